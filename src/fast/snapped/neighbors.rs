//! What the integers before a point say about it (SPEC 9.4.8).

use crate::codec::cursor::{Cursor, put_varint};
use crate::error::FormatError;
use crate::fast::classes::BUCKETS;
use std::ops::Range;

/// Ways to predict.
pub(super) const PREDICTORS: u8 = 8;
/// Predictors from here on look at the plane before.
pub(super) const FIRST_OF_PLANES: u8 = 4;
/// Bit of the form that says that activities look at the plane before.
const WIDE: u8 = 8;
/// In the first row: the point before.
const ALONE: u8 = 16;
/// In the first plane.
const FLAT: u8 = 2;
/// Lowest activity of buckets 1, 2, ..
pub(super) const THRESHOLDS: [u16; BUCKETS - 1] = [1, 2, 3, 4, 6, 8, 12, 18, 28, 44, 70, 120, 220, 500, 1200];

/// Which integers before a point are its neighbors, and what is made of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    /// The predictor, and [`WIDE`].
    code: u8,
    /// Distance of the neighbor in the row before; 0 if there are no rows.
    row: usize,
    /// Distance of the neighbor in the plane before; 0 if there are no planes.
    plane: usize,
}

/// The distances at which neighbors are.
pub(super) type Distances = (usize, usize);

impl Form {
    pub(super) fn new(predictor: u8, wide: bool, (row, plane): Distances) -> Self {
        Form { code: predictor | if wide { WIDE } else { 0 }, row, plane }
    }

    /// The distances that repeats may have most often.
    pub(super) fn near(&self) -> [usize; 2] {
        [self.row, self.plane]
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.code);
        put_varint(out, self.row as u64);
        put_varint(out, self.plane as u64);
    }

    /// The form of a grid of `n` points.
    pub(super) fn read(cursor: &mut Cursor<'_>, n: usize) -> Result<Self, FormatError> {
        let code = cursor.u8("form of neighbors")?;
        let row = cursor.varint_max("distance of rows", n as u64)? as usize;
        let plane = cursor.varint_max("distance of planes", n as u64)? as usize;
        let looks_at_planes = code >= FIRST_OF_PLANES;
        if code >= ALONE || (row == 0 && code > 0) || (plane == 0 && looks_at_planes) || row == 1 || plane == 1 {
            return Err(FormatError::Code { what: "form of neighbors" });
        }
        Ok(Form { code, row, plane })
    }

    /// Goes through the points of a range; those of one call of `parts` have the same neighbors. The parts are those of the
    /// first row, those of the first plane, and the others.
    #[inline(always)]
    fn parts(&self, range: Range<usize>, mut part: impl FnMut(u8, Range<usize>)) {
        let plane = if self.code >= FIRST_OF_PLANES { self.plane } else { 0 };
        let first = if self.row == 0 { range.end } else { range.end.min(self.row + 1) };
        let second = if plane == 0 { first } else { range.end.min(self.row + plane + 1) };
        let mut start = range.start;
        for (code, end) in [(ALONE, first), (FLAT, second), (self.code, range.end)] {
            if start < end {
                part(code, start..end);
                start = end;
            }
        }
    }

    /// Calls `visit` for the parts of a range (SPEC 9.4.8).
    #[inline(always)]
    pub(super) fn visit<V: Visit>(&self, range: Range<usize>, v: &mut V) -> Option<()> {
        let (row, plane) = (self.row, self.plane);
        let mut done = Some(());
        self.parts(range, |code, r| {
            if done.is_some() {
                done = match code {
                    0 => v.part(Look::<0> { row, plane }, r),
                    1 => v.part(Look::<1> { row, plane }, r),
                    2 => v.part(Look::<2> { row, plane }, r),
                    3 => v.part(Look::<3> { row, plane }, r),
                    4 => v.part(Look::<4> { row, plane }, r),
                    5 => v.part(Look::<5> { row, plane }, r),
                    6 => v.part(Look::<6> { row, plane }, r),
                    7 => v.part(Look::<7> { row, plane }, r),
                    8 => v.part(Look::<8> { row, plane }, r),
                    9 => v.part(Look::<9> { row, plane }, r),
                    10 => v.part(Look::<10> { row, plane }, r),
                    11 => v.part(Look::<11> { row, plane }, r),
                    12 => v.part(Look::<12> { row, plane }, r),
                    13 => v.part(Look::<13> { row, plane }, r),
                    14 => v.part(Look::<14> { row, plane }, r),
                    15 => v.part(Look::<15> { row, plane }, r),
                    _ => v.part(Look::<ALONE> { row, plane }, r),
                };
            }
        });
        done
    }
}

/// What is done with the points of a part.
pub(super) trait Visit {
    fn part<const CODE: u8>(&mut self, look: Look<CODE>, range: Range<usize>) -> Option<()>;
}

/// The neighbors of points of one part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look<const CODE: u8> {
    row: usize,
    plane: usize,
}

/// The integer `d` before place `i`; 0 where there is none.
#[inline(always)]
fn back(q: &[u16], i: usize, d: usize) -> u16 {
    q.get(i.wrapping_sub(d)).copied().unwrap_or(0)
}

/// Distance of integers modulo 2^16.
#[inline(always)]
fn apart(a: u16, b: u16) -> u32 {
    a.wrapping_sub(b).cast_signed().unsigned_abs().into()
}

/// `a + b - c`, held between `a` and `b`.
#[inline(always)]
fn median(a: u16, b: u16, c: u16) -> u16 {
    let (low, high) = (a.min(b), a.max(b));
    (i32::from(a) + i32::from(b) - i32::from(c)).clamp(low.into(), high.into()) as u16
}

impl<const CODE: u8> Look<CODE> {
    /// What is expected at place `i`, and how active its neighbors are.
    #[inline(always)]
    pub(super) fn at(&self, q: &[u16], i: usize) -> (u16, u32) {
        let Look { row, plane } = *self;
        let w = back(q, i, 1);
        if CODE == ALONE {
            return (w, apart(w, back(q, i, 2)));
        }
        let (n, nw, ne) = (back(q, i, row), back(q, i, row + 1), back(q, i, row - 1));
        let (u, uw, un) = (back(q, i, plane), back(q, i, plane + 1), back(q, i, plane + row));
        let expected = match CODE % PREDICTORS {
            0 => w,
            1 => n,
            2 => median(w, n, nw),
            3 => w.wrapping_add(n).wrapping_sub(nw),
            4 => u,
            5 => median(w, u, uw),
            6 => median(n, u, un),
            _ => {
                let near = w.wrapping_add(n).wrapping_sub(nw).wrapping_add(u);
                near.wrapping_sub(uw).wrapping_sub(un).wrapping_add(back(q, i, plane + row + 1))
            }
        };
        let along = if CODE & WIDE == 0 { apart(n, nw) } else { apart(w, uw) + apart(n, un) };
        (expected, apart(w, nw) + apart(n, ne) + along)
    }

    /// Whether points from `i` on, as many as `N`, have no neighbors but those of value `w`, if those among them have it.
    #[inline(always)]
    pub(super) fn is_calm<const N: usize>(&self, q: &[u16], i: usize, w: u16) -> bool {
        let Look { row, plane } = *self;
        let level = |d: usize, more: usize| {
            let window = q.get(i.wrapping_sub(d)..i.wrapping_sub(d).wrapping_add(N + more));
            // What is not known yet is not level.
            d >= N + more && window.is_some_and(|r| r.iter().fold(0, |all, v| all | (v ^ w)) == 0)
        };
        match CODE {
            ALONE => true,
            _ if CODE < FIRST_OF_PLANES => level(row + 1, 2),
            _ => level(row + 1, 2) && level(plane + 1, 1) && level(plane + row + 1, 1),
        }
    }
}

/// The bucket of an activity.
#[inline(always)]
pub(super) fn bucket(activity: u32) -> usize {
    THRESHOLDS.iter().map(|t| usize::from(activity >= u32::from(*t))).sum()
}
