//! How active the known neighbors of a token are (SPEC 9.4.4).

use super::classes::Class;
use super::shape::{OUTER, Ring, Shape};
use super::tokens::{GROUP, Packing};
use crate::codec::rans::FREE;

/// Activity of rows without an earlier one.
const FIRST: i16 = 24;

/// Magnitudes of the tokens of the latest rows, with zeros at both ends of each.
#[derive(Debug)]
pub(super) struct Activity {
    ring: Ring,
    data: Vec<u8>,
    pitch: usize,
    /// Activities of the row at hand, by groups.
    pub(super) row: Vec<[i16; GROUP]>,
}

impl Activity {
    pub(super) fn new(shape: &Shape, packing: Packing) -> Self {
        let groups = packing.tokens(shape.row).div_ceil(GROUP);
        let ring = Ring::new(shape, 1);
        let pitch = (groups + 1) * GROUP;
        Activity { data: vec![0; ring.len() * pitch], ring, pitch, row: vec![[0; GROUP]; groups] }
    }

    /// The place for the magnitudes of row `r`, by groups; those past the end of the row must be 0.
    pub(super) fn magnitudes(&mut self, r: usize) -> &mut [[u8; GROUP]] {
        let start = self.ring.slot(r) * self.pitch + 1;
        self.data[start..start + self.pitch - GROUP].as_chunks_mut().0
    }

    /// Computes the activities of row `r`: 24 times the mean magnitude around the same place in the row before it along
    /// each outer axis.
    pub(super) fn look(&mut self, shape: &Shape, r: usize) {
        let (position, strides) = (shape.position(r), shape.strides());
        let mut starts = [0; OUTER];
        let mut n = 0;
        for a in (0..OUTER).rev() {
            if position[a] > 0 {
                starts[n] = self.ring.slot(r - strides[a]) * self.pitch;
                n += 1;
            }
        }
        match starts[..n] {
            [] => self.row.fill([FIRST; GROUP]),
            [a] => sum(&mut self.row, &self.data, [a], 6),
            [a, b] => sum(&mut self.row, &self.data, [a, b], 3),
            [a, b, c, ..] => sum(&mut self.row, &self.data, [a, b, c], 2),
        }
    }
}

fn sum<const K: usize>(out: &mut [[i16; GROUP]], data: &[u8], starts: [usize; K], weight: i16) {
    let out = out.as_flattened_mut();
    let n = out.len();
    let rows = starts.map(|s| &data[s..s + n + 2]);
    for x in 0..n {
        let mut total = 0;
        for row in rows {
            total += i16::from(row[x]) + 2 * i16::from(row[x + 1]) + i16::from(row[x + 2]);
        }
        out[x] = total * weight;
    }
}

/// How many of `thresholds` each activity reaches.
pub(super) fn classify<const K: usize>(activities: &[[i16; GROUP]], thresholds: &[i16; K], out: &mut [[Class; GROUP]]) {
    for (o, a) in out.as_flattened_mut().iter_mut().zip(activities.as_flattened()) {
        let mut reached = 0i16;
        for t in thresholds {
            reached += i16::from(a >= t);
        }
        *o = reached as u8;
    }
}

/// Makes the class of tokens whose codes are all known to be 0 free.
pub(super) fn exempt(classes: &mut [Class], ordinary: &[bool], packing: Packing) {
    let codes = if packing == Packing::Paired { 2 } else { 1 };
    for (c, o) in classes.iter_mut().zip(ordinary.chunks(codes)) {
        *c = if o.iter().any(|o| *o) { *c } else { FREE };
    }
}

/// Class of a group's zero flag, less the first of them: 0 if nothing around it is active, 1 if little is; [`FREE`] if
/// all its codes are known to be 0.
pub(super) fn group_class(activities: &[i16; GROUP], classes: &[Class]) -> Class {
    if classes.iter().fold(true, |all, c| all & (*c == FREE)) {
        return FREE;
    }
    let sum: i32 = activities.iter().map(|a| i32::from(*a)).sum();
    u8::from(sum > 0) + u8::from(sum >= 12 * GROUP as i32)
}
