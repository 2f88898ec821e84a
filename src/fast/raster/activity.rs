//! How active the known neighbors of a block are (SPEC 9.4.4).

use super::shape::{OUTER, Ring, Shape};
use crate::fast::streams::BLOCK;

/// Magnitudes around the blocks of the latest rows.
#[derive(Debug)]
pub(super) struct Activity {
    ring: Ring,
    /// For each block the sum of its magnitude, once more, and those of the blocks beside it.
    around: Vec<u16>,
    /// Whether all magnitudes of a row are 0.
    quiet: Vec<bool>,
    blocks: usize,
    /// The row at hand.
    slot: usize,
    position: [usize; OUTER],
    /// Activities of its blocks.
    row: Vec<u16>,
    /// Magnitudes of its blocks, with a zero at each end.
    magnitudes: Vec<u16>,
}

impl Activity {
    pub(super) fn new(shape: &Shape) -> Self {
        let blocks = shape.row.div_ceil(BLOCK);
        let ring = Ring::new(shape, 1, 1);
        Activity {
            around: vec![0; ring.len() * blocks],
            quiet: vec![false; ring.len()],
            ring,
            blocks,
            slot: 0,
            position: [0; OUTER],
            row: vec![0; blocks],
            magnitudes: vec![0; blocks + 2],
        }
    }

    /// The place for the magnitudes of the row at hand.
    #[inline(always)]
    pub(super) fn magnitudes(&mut self) -> &mut [u16] {
        &mut self.magnitudes[1..=self.blocks]
    }

    /// Goes on to the next row; `quiet` says that all magnitudes are 0.
    #[inline(always)]
    pub(super) fn advance(&mut self, shape: &Shape, quiet: bool) {
        let start = self.slot * self.blocks;
        let around = &mut self.around[start..start + self.blocks];
        if quiet {
            if !self.quiet[self.slot] {
                around.fill(0);
            }
        } else {
            let m = &self.magnitudes[..self.blocks + 2];
            for (a, m) in around.iter_mut().zip(m.windows(3)) {
                *a = m[0] + 2 * m[1] + m[2];
            }
        }
        self.quiet[self.slot] = quiet;
        self.slot = self.ring.after(self.slot);
        shape.advance(&mut self.position);
    }

    /// The activities of the row at hand; `None` for the first row, whose activities follow from its own blocks. True if they
    /// are all 0.
    #[inline(always)]
    pub(super) fn look(&mut self, shape: &Shape) -> Option<(&[u16], bool)> {
        let strides = shape.strides();
        let mut starts = [0; OUTER];
        let mut n = 0;
        let mut quiet = true;
        for a in (0..OUTER).rev() {
            if self.position[a] > 0 {
                let slot = self.ring.before(self.slot, strides[a]);
                starts[n] = slot * self.blocks;
                quiet &= self.quiet[slot];
                n += 1;
            }
        }
        match starts[..n] {
            [] => return None,
            _ if quiet => self.row.fill(0),
            [a] => sum(&mut self.row, &self.around, [a], 6),
            [a, b] => sum(&mut self.row, &self.around, [a, b], 3),
            [a, b, c, ..] => sum(&mut self.row, &self.around, [a, b, c], 2),
        }
        Some((&self.row, quiet))
    }
}

#[inline(always)]
fn sum<const K: usize>(out: &mut [u16], around: &[u16], starts: [usize; K], weight: u16) {
    let n = out.len();
    let rows = starts.map(|s| &around[s..s + n]);
    for x in 0..n {
        let mut total = 0;
        for row in rows {
            total += row[x];
        }
        out[x] = total * weight;
    }
}

/// Activity of a block of the first row, given the magnitudes of the one and the two before.
pub(super) fn first_row(one: u16, two: u16) -> u16 {
    6 * (3 * one + two)
}
