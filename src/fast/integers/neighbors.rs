//! What the integers before a point say about it (SPEC 9.4.9).

use crate::codec::cursor::{Cursor, put_varint};
use crate::error::FormatError;
use crate::fast::classes::BUCKETS;
use std::ops::Range;

/// Ways to predict.
pub(super) const PREDICTORS: u8 = 8;
/// Those that expect a point to be like one neighbor.
pub(super) const ALIKE: [u8; 3] = [0, 1, 4];
/// Predictors from here on look at the plane before.
pub(super) const FIRST_OF_PLANES: u8 = 4;
/// Bit of the form that says that activities look at the plane before.
const WIDE: u8 = 8;
/// Instead of a predictor: one integer is expected everywhere.
const LEVEL: u8 = 16;
/// In the first row: the point before.
const ALONE: u8 = 32;
const LEVEL_ALONE: u8 = LEVEL | ALONE;
/// In the first plane.
const FLAT: u8 = 2;
/// Lowest activity of buckets 1, 2, ..
pub(super) const THRESHOLDS: [u16; BUCKETS - 1] = [1, 2, 3, 4, 6, 8, 12, 18, 28, 44, 70, 120, 220, 500, 1200];

/// Which integers before a point are its neighbors, and what is made of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fast) struct Form {
    /// The predictor, and [`WIDE`]; or [`LEVEL`].
    code: u8,
    /// What is expected everywhere, in a form of that code.
    level: u16,
    /// Distance of the neighbor in the row before; 0 if there are no rows.
    row: usize,
    /// Distance of the neighbor in the plane before; 0 if there are no planes.
    plane: usize,
}

/// The distances at which neighbors are.
pub(in crate::fast) type Distances = (usize, usize);

impl Form {
    pub(super) fn new(predictor: u8, wide: bool, (row, plane): Distances) -> Self {
        Form { code: predictor | if wide { WIDE } else { 0 }, level: 0, row, plane }
    }

    /// One integer is expected everywhere: of values that have nothing to do with each other.
    pub(super) fn of_level(level: u16, (row, plane): Distances) -> Self {
        Form { code: LEVEL, level, row, plane }
    }

    /// The distances that repeats may have most often.
    pub(super) fn near(&self) -> [usize; 2] {
        [self.row, self.plane]
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.code);
        put_varint(out, self.row as u64);
        put_varint(out, self.plane as u64);
        if self.code == LEVEL {
            put_varint(out, self.level.into());
        }
    }

    /// The form of a grid of `n` points.
    pub(super) fn read(cursor: &mut Cursor<'_>, n: usize) -> Result<Self, FormatError> {
        let code = cursor.u8("form of neighbors")?;
        let row = cursor.varint_max("distance of rows", n as u64)? as usize;
        let plane = cursor.varint_max("distance of planes", n as u64)? as usize;
        let is_level = code == LEVEL;
        let predicts = code < LEVEL && (row > 0 || code == 0) && (plane > 0 || code < FIRST_OF_PLANES);
        if !(is_level || predicts) || row == 1 || plane == 1 {
            return Err(FormatError::Code { what: "form of neighbors" });
        }
        let level = if is_level { cursor.varint_max("level of integers", u16::MAX.into())? as u16 } else { 0 };
        Ok(Form { code, level, row, plane })
    }

    /// The parts of a range whose points have the same neighbors: those of the first row, those of the first plane, and the
    /// others.
    #[inline(always)]
    fn parts(&self, range: Range<usize>) -> [(u8, Range<usize>); 3] {
        let plane = if looks_at_planes(self.code) { self.plane } else { 0 };
        let first = if self.row == 0 { range.end } else { range.end.min(self.row + 1) };
        let second = if plane == 0 { first } else { range.end.min(self.row + plane + 1) };
        let (to_first, to_second) = (first.max(range.start), second.max(range.start));
        [(ALONE | self.code & LEVEL, range.start..first), (FLAT, to_first..second), (self.code, to_second..range.end)]
    }

    /// Visits the parts of a range (SPEC 9.4.9). What is compiled for vectors must be inlined: a closure would not be.
    #[inline(always)]
    pub(super) fn visit<V: Visit>(&self, range: Range<usize>, v: &mut V) -> Option<()> {
        let Form { level, row, plane, .. } = *self;
        for (code, r) in self.parts(range) {
            if r.is_empty() {
                continue;
            }
            match code {
                0 => v.part(Look::<0> { level, row, plane }, r),
                1 => v.part(Look::<1> { level, row, plane }, r),
                2 => v.part(Look::<2> { level, row, plane }, r),
                3 => v.part(Look::<3> { level, row, plane }, r),
                4 => v.part(Look::<4> { level, row, plane }, r),
                5 => v.part(Look::<5> { level, row, plane }, r),
                6 => v.part(Look::<6> { level, row, plane }, r),
                7 => v.part(Look::<7> { level, row, plane }, r),
                8 => v.part(Look::<8> { level, row, plane }, r),
                9 => v.part(Look::<9> { level, row, plane }, r),
                10 => v.part(Look::<10> { level, row, plane }, r),
                11 => v.part(Look::<11> { level, row, plane }, r),
                12 => v.part(Look::<12> { level, row, plane }, r),
                13 => v.part(Look::<13> { level, row, plane }, r),
                14 => v.part(Look::<14> { level, row, plane }, r),
                15 => v.part(Look::<15> { level, row, plane }, r),
                LEVEL => v.part(Look::<LEVEL> { level, row, plane }, r),
                ALONE => v.part(Look::<ALONE> { level, row, plane }, r),
                _ => v.part(Look::<LEVEL_ALONE> { level, row, plane }, r),
            }?;
        }
        Some(())
    }
}

/// What is done with the points of a part.
pub(super) trait Visit {
    fn part<const CODE: u8>(&mut self, look: Look<CODE>, range: Range<usize>) -> Option<()>;
}

/// The neighbors of points of one part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look<const CODE: u8> {
    level: u16,
    row: usize,
    plane: usize,
}

/// Whether what is expected has to do with the plane before.
const fn looks_at_planes(code: u8) -> bool {
    code < LEVEL && code >= FIRST_OF_PLANES
}

/// The integer `d` before place `i`; 0 where there is none.
#[inline(always)]
fn back(q: &[u16], i: usize, d: usize) -> u16 {
    q.get(i.wrapping_sub(d)).copied().unwrap_or(0)
}

/// Those from `d` before place `i` on, which are there.
#[inline(always)]
fn window<const N: usize>(q: &[u16], i: usize, d: usize) -> Option<&[u16; N]> {
    q.get(i.checked_sub(d)?..)?.first_chunk()
}

/// Distance of integers modulo 2^16.
#[inline(always)]
fn apart(a: u16, b: u16) -> u16 {
    a.wrapping_sub(b).cast_signed().unsigned_abs()
}

/// `a + b - c`, held between `a` and `b`.
#[inline(always)]
fn median(a: u16, b: u16, c: u16) -> u16 {
    let (low, high) = (a.min(b), a.max(b));
    let between = a.wrapping_add(b).wrapping_sub(c);
    let lower = if c >= high { low } else { between };
    if c <= low { high } else { lower }
}

/// Neighbors of a point; those that its predictor does not look at may be anything.
#[derive(Debug, Clone, Copy, Default)]
struct Near {
    level: u16,
    w: u16,
    ww: u16,
    n: u16,
    nw: u16,
    ne: u16,
    u: u16,
    uw: u16,
    un: u16,
    unw: u16,
}

impl<const CODE: u8> Look<CODE> {
    const PLANES: bool = looks_at_planes(CODE);
    /// Whether there is no row before.
    const ALONE: bool = CODE & ALONE != 0;

    /// What is expected at place `i`, and how active its neighbors are.
    #[inline(always)]
    pub(super) fn at(&self, q: &[u16], i: usize) -> (u16, u16) {
        let Look { level, row, plane } = *self;
        let mut near = Near { level, w: back(q, i, 1), ..Near::default() };
        if Self::ALONE {
            near.ww = back(q, i, 2);
        } else {
            (near.n, near.nw, near.ne) = (back(q, i, row), back(q, i, row + 1), back(q, i, row - 1));
        }
        if Self::PLANES {
            (near.u, near.uw) = (back(q, i, plane), back(q, i, plane + 1));
            (near.un, near.unw) = (back(q, i, plane + row), back(q, i, plane + row + 1));
        }
        Self::of(near)
    }

    /// [`Look::at`] for places from `i` on, all neighbors of which are there; `None` if they are not.
    #[inline(always)]
    pub(super) fn of_many<const N: usize>(&self, q: &[u16], i: usize) -> Option<([u16; N], [u16; N])> {
        let Look { level, row, plane } = *self;
        let none = &[0; N];
        let w: &[u16; N] = window(q, i, 1)?;
        let [mut ww, mut n, mut nw, mut ne, mut u, mut uw, mut un, mut unw] = [none; 8];
        if Self::ALONE {
            ww = window(q, i, 2)?;
        } else {
            (n, nw, ne) = (window(q, i, row)?, window(q, i, row + 1)?, window(q, i, row - 1)?);
        }
        if Self::PLANES {
            (u, uw) = (window(q, i, plane)?, window(q, i, plane + 1)?);
            (un, unw) = (window(q, i, plane + row)?, window(q, i, plane + row + 1)?);
        }
        let (mut expected, mut activities) = ([0; N], [0; N]);
        for j in 0..N {
            let (w, ww, n, nw, ne) = (w[j], ww[j], n[j], nw[j], ne[j]);
            let near = Near { level, w, ww, n, nw, ne, u: u[j], uw: uw[j], un: un[j], unw: unw[j] };
            (expected[j], activities[j]) = Self::of(near);
        }
        Some((expected, activities))
    }

    /// What is known of `N` places from `i` on before the first of them is, the integer before it, and room for them; `None` if
    /// some neighbors are among them or not there.
    #[inline(always)]
    pub(super) fn known<'a, const N: usize>(
        &self,
        q: &'a mut [u16],
        i: usize,
    ) -> Option<(Known<'a, CODE, N>, u16, &'a mut [u16; N])> {
        let Look { level, row, plane } = *self;
        if Self::ALONE || row <= N || i <= row || (Self::PLANES && (plane <= N || i <= plane + row)) {
            return None;
        }
        let (before, here) = q.split_at_mut_checked(i)?;
        let (n, nw, ne) = (window(before, i, row)?, window(before, i, row + 1)?, window(before, i, row - 1)?);
        let [mut u, mut uw, mut un, mut unw] = [n; 4];
        if Self::PLANES {
            (u, uw) = (window(before, i, plane)?, window(before, i, plane + 1)?);
            (un, unw) = (window(before, i, plane + row)?, window(before, i, plane + row + 1)?);
        }
        let mut known = Known { level, n, nw, ne, u, uw, un, unw, beside: [0; N] };
        let mut beside = [0; N];
        for j in 0..N {
            beside[j] = Self::beside(known.near(0, j));
        }
        known.beside = beside;
        Some((known, *before.last()?, here.first_chunk_mut()?))
    }

    #[inline(always)]
    fn of(near: Near) -> (u16, u16) {
        // No threshold is near the greatest.
        (Self::expected(near), Self::along(near).saturating_add(Self::beside(near)))
    }

    #[inline(always)]
    fn expected(near: Near) -> u16 {
        let Near { w, n, nw, u, uw, un, unw, .. } = near;
        match CODE {
            ALONE => return w,
            LEVEL | LEVEL_ALONE => return near.level,
            _ => {}
        }
        match CODE % PREDICTORS {
            0 => w,
            1 => n,
            2 => median(w, n, nw),
            3 => w.wrapping_add(n).wrapping_sub(nw),
            4 => u,
            5 => median(w, u, uw),
            6 => median(n, u, un),
            _ => {
                let near = w.wrapping_add(n).wrapping_sub(nw).wrapping_add(u);
                near.wrapping_sub(uw).wrapping_sub(un).wrapping_add(unw)
            }
        }
    }

    /// The part of the activity that the point before has to do with.
    #[inline(always)]
    fn along(near: Near) -> u16 {
        let Near { level, w, ww, nw, uw, .. } = near;
        match CODE {
            ALONE => apart(w, ww),
            LEVEL => apart(w, level),
            LEVEL_ALONE => apart(w, level).saturating_add(apart(ww, level)),
            _ if CODE & WIDE == 0 => apart(w, nw),
            _ => apart(w, nw).saturating_add(apart(w, uw)),
        }
    }

    /// The other part.
    #[inline(always)]
    fn beside(near: Near) -> u16 {
        let Near { level, n, nw, ne, un, .. } = near;
        match CODE {
            ALONE | LEVEL_ALONE => 0,
            LEVEL => apart(n, level),
            _ if CODE & WIDE == 0 => apart(n, ne).saturating_add(apart(n, nw)),
            _ => apart(n, ne).saturating_add(apart(n, un)),
        }
    }

    /// Whether points from `i` on, as many as `N`, have no neighbors but those of value `w`, if those among them have it.
    #[inline(always)]
    pub(super) fn is_calm<const N: usize>(&self, q: &[u16], i: usize, w: u16) -> bool {
        let Look { row, plane, .. } = *self;
        let flat = |d: usize, more: usize| {
            let window = q.get(i.wrapping_sub(d)..i.wrapping_sub(d).wrapping_add(N + more));
            // What is not known yet is not flat.
            d >= N + more && window.is_some_and(|r| r.iter().fold(0, |all, v| all | (v ^ w)) == 0)
        };
        match CODE {
            // In the first row the point two before is a neighbor, too.
            ALONE => q.get(i.wrapping_sub(2)) == Some(&w),
            LEVEL_ALONE => self.level == w && q.get(i.wrapping_sub(2)) == Some(&w),
            LEVEL => self.level == w && flat(row + 1, 2),
            _ if !Self::PLANES => flat(row + 1, 2),
            _ => flat(row + 1, 2) && flat(plane + 1, 1) && flat(plane + row + 1, 1),
        }
    }
}

/// What is known of `N` places before the first of them is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a, const CODE: u8, const N: usize> {
    level: u16,
    n: &'a [u16; N],
    nw: &'a [u16; N],
    ne: &'a [u16; N],
    u: &'a [u16; N],
    uw: &'a [u16; N],
    un: &'a [u16; N],
    unw: &'a [u16; N],
    /// The part of the activities that the point before has nothing to do with.
    beside: [u16; N],
}

impl<const CODE: u8, const N: usize> Known<'_, CODE, N> {
    /// Neighbors of place `j`, whose integer before is `w`.
    #[inline(always)]
    fn near(&self, w: u16, j: usize) -> Near {
        let Known { level, n, nw, ne, u, uw, un, unw, .. } = *self;
        Near { level, w, ww: 0, n: n[j], nw: nw[j], ne: ne[j], u: u[j], uw: uw[j], un: un[j], unw: unw[j] }
    }

    /// What is expected at place `j`, whose integer before is `w`.
    #[inline(always)]
    pub(super) fn expected(&self, w: u16, j: usize) -> u16 {
        Look::<CODE>::expected(self.near(w, j))
    }

    /// How active its neighbors are.
    #[inline(always)]
    pub(super) fn activity(&self, w: u16, j: usize) -> u16 {
        Look::<CODE>::along(self.near(w, j)).saturating_add(self.beside[j])
    }
}

/// The bucket of an activity.
#[inline(always)]
pub(super) fn bucket(activity: u16) -> usize {
    THRESHOLDS.iter().map(|t| usize::from(activity >= *t)).sum()
}
