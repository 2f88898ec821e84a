//! How active the known neighbors of a token are (SPEC 9.4.4).

use super::classes::Class;
use super::shape::{OUTER, Ring, Shape};
use super::tokens::{GROUP, Packing};
use crate::codec::rans::FREE;

/// Activity of rows without an earlier one.
const FIRST: i16 = 24;

/// Magnitudes of the tokens of the latest rows, with a zero at both ends of each.
#[derive(Debug)]
pub(super) struct Activity {
    ring: Ring,
    data: Vec<u8>,
    /// Tokens of a row.
    tokens: usize,
    /// Activities of the row at hand.
    pub(super) row: Vec<i16>,
}

impl Activity {
    pub(super) fn new(shape: &Shape, packing: Packing) -> Self {
        let tokens = packing.tokens(shape.row);
        let ring = Ring::new(shape, 1);
        Activity { data: vec![0; ring.len() * (tokens + 2)], ring, tokens, row: vec![0; tokens] }
    }

    fn slot(&self, r: usize) -> &[u8] {
        let pitch = self.tokens + 2;
        &self.data[self.ring.slot(r) * pitch..][..pitch]
    }

    /// The place for the magnitudes of row `r`.
    pub(super) fn magnitudes(&mut self, r: usize) -> &mut [u8] {
        let pitch = self.tokens + 2;
        &mut self.data[self.ring.slot(r) * pitch + 1..][..self.tokens]
    }

    /// Computes the activities of row `r`: 24 times the mean magnitude around the same place in the row before it along
    /// each outer axis.
    pub(super) fn look(&mut self, shape: &Shape, r: usize) {
        let mut row = std::mem::take(&mut self.row);
        let (position, strides) = (shape.position(r), shape.strides());
        let mut rows = [r; OUTER];
        let mut n = 0;
        for a in (0..OUTER).rev() {
            if position[a] > 0 {
                rows[n] = r - strides[a];
                n += 1;
            }
        }
        match rows[..n] {
            [] => row.fill(FIRST),
            [a] => sum(&mut row, [self.slot(a)], 6),
            [a, b] => sum(&mut row, [self.slot(a), self.slot(b)], 3),
            [a, b, c, ..] => sum(&mut row, [self.slot(a), self.slot(b), self.slot(c)], 2),
        }
        self.row = row;
    }
}

fn sum<const K: usize>(out: &mut [i16], rows: [&[u8]; K], weight: i16) {
    let n = out.len();
    let rows = rows.map(|r| &r[..n + 2]);
    for x in 0..n {
        let mut s = 0;
        for r in rows {
            s += i16::from(r[x]) + 2 * i16::from(r[x + 1]) + i16::from(r[x + 2]);
        }
        out[x] = s * weight;
    }
}

/// How many of `thresholds` each activity reaches.
pub(super) fn classify(activities: &[i16], thresholds: &[i16], out: &mut [Class]) {
    out.fill(0);
    let (fours, rest) = thresholds.as_chunks::<4>();
    for [a, b, c, d] in fours {
        for (o, x) in out.iter_mut().zip(activities) {
            *o += u8::from(x >= a) + u8::from(x >= b) + u8::from(x >= c) + u8::from(x >= d);
        }
    }
    for t in rest {
        for (o, x) in out.iter_mut().zip(activities) {
            *o += u8::from(x >= t);
        }
    }
}

/// Makes the class of tokens whose codes are all known to be 0 free.
pub(super) fn exempt(classes: &mut [Class], ordinary: &[bool], packing: Packing) {
    match packing {
        Packing::Single => {
            for (c, o) in classes.iter_mut().zip(ordinary) {
                *c = if *o { *c } else { FREE };
            }
        }
        Packing::Paired => {
            for (c, o) in classes.iter_mut().zip(ordinary.chunks(2)) {
                *c = if o.iter().any(|o| *o) { *c } else { FREE };
            }
        }
    }
}

/// Class of a group's zero flag, less the first of them: 0 if nothing around it is active, 1 if little is; [`FREE`] if
/// all its codes are known to be 0.
pub(super) fn group_class(activities: &[i16], classes: &[Class]) -> Class {
    if classes.iter().fold(true, |all, c| all & (*c == FREE)) {
        return FREE;
    }
    let sum = activities.iter().fold(0i32, |s, a| s + i32::from(*a));
    u8::from(sum > 0) + u8::from(sum >= 12 * GROUP as i32)
}
