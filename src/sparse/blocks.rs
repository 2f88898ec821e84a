//! How the blocks of a network lie over a frame (SPEC 7.3.1).

use crate::error::{ModelError, Result};

/// Most padded values for each real one. Beyond it a small file could make a reader run a network for very long.
const PADDING_MAX: usize = 64;

/// Blocks of one shape that cover a frame; those at the ends of axes reach past it.
#[derive(Debug, Clone)]
pub(crate) struct Blocks {
    /// Extents of the frame: all in one for blocks of rank 1.
    dims: Vec<usize>,
    /// Extents of a block, as many as `dims`.
    shape: Vec<usize>,
    /// Number of blocks along each axis.
    counts: Vec<usize>,
    /// Number of blocks.
    pub(crate) count: usize,
    /// Number of points of a block.
    pub(crate) len: usize,
}

impl Blocks {
    /// Blocks of `shape` over the last axes of a frame of extents `dims`, or over the flattened frame if the shape
    /// has rank 1.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] if the shape has more axes than the frame, or mostly pads.
    pub(crate) fn new(dims: &[usize], shape: &[usize]) -> Result<Self> {
        let mismatch = |what: String| ModelError::Mismatch { what };
        let volume = |extents: &[usize]| extents.iter().try_fold(1usize, |v, d| v.checked_mul(*d));
        let points = volume(dims).unwrap_or(usize::MAX);
        let dims = if shape.len() == 1 { vec![points] } else { dims.to_vec() };
        let leading = dims.len().checked_sub(shape.len());
        let Some(leading) = leading.filter(|_| !shape.is_empty() && !shape.contains(&0)) else {
            return Err(mismatch(format!("blocks of shape {shape:?} do not fit a frame of {} axes", dims.len())).into());
        };
        let shape: Vec<usize> = std::iter::repeat_n(1, leading).chain(shape.iter().copied()).collect();
        let counts: Vec<usize> = dims.iter().zip(&shape).map(|(d, s)| d.div_ceil(*s)).collect();
        let (count, len) = (volume(&counts), volume(&shape));
        let padded = count.zip(len).and_then(|(c, l)| c.checked_mul(l));
        match (count, len, padded) {
            (Some(count), Some(len), Some(padded)) if count <= 1 || padded <= points.saturating_mul(PADDING_MAX) => {
                Ok(Blocks { dims, shape, counts, count, len })
            }
            _ => Err(mismatch(format!("blocks of shape {shape:?} on a frame of {dims:?} would mostly pad")).into()),
        }
    }

    /// Points of the frame.
    pub(crate) fn points(&self) -> usize {
        self.dims.iter().fold(1, |n, d| n.saturating_mul(*d))
    }

    /// Calls `each` with the position in the block, that in the frame, and whether it is real: a position past the
    /// end of an axis stands for the last one there.
    pub(crate) fn visit(&self, block: usize, mut each: impl FnMut(usize, usize, bool)) {
        let Some((row, last)) = self.shape.split_last().map(|(row, outer)| (*row, outer.len())) else { return };
        let origin = unravel(block, &self.counts);
        let outer_shape = self.shape.get(..last).unwrap_or_default();
        let rows = self.len.checked_div(row).unwrap_or(0);
        let mut local = 0usize;
        for r in 0..rows {
            let within = unravel(r, outer_shape);
            let (mut base, mut real) = (0usize, true);
            for (((d, s), o), w) in self.dims.iter().zip(outer_shape).zip(&origin).zip(&within) {
                let at = o.saturating_mul(*s).saturating_add(*w);
                real &= at < *d;
                base = base.saturating_mul(*d).saturating_add(at.min(d.saturating_sub(1)));
            }
            let extent = self.dims.last().copied().unwrap_or(1);
            let start = origin.last().map_or(0, |o| o.saturating_mul(row));
            let base = base.saturating_mul(extent);
            for w in 0..row {
                let at = start.saturating_add(w);
                each(local, base.saturating_add(at.min(extent.saturating_sub(1))), real && at < extent);
                local = local.saturating_add(1);
            }
        }
    }

    /// Position of every point in its block, modulo 4096.
    pub(crate) fn phases(&self, points: usize) -> Vec<u16> {
        let mut phases = vec![0; points];
        for block in 0..self.count {
            self.visit(block, |local, at, real| {
                if let Some(slot) = phases.get_mut(at).filter(|_| real) {
                    *slot = u16::try_from(local & 4095).unwrap_or(0);
                }
            });
        }
        phases
    }
}

/// The coordinates of flat position `at` in extents `dims`.
fn unravel(mut at: usize, dims: &[usize]) -> Vec<usize> {
    let mut coordinates = vec![0; dims.len()];
    for (c, d) in coordinates.iter_mut().zip(dims).rev() {
        *c = at.checked_rem(*d).unwrap_or(0);
        at = at.checked_div(*d).unwrap_or(0);
    }
    coordinates
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(dims: &[usize], shape: &[usize]) -> Vec<Vec<(usize, bool)>> {
        let blocks = Blocks::new(dims, shape).unwrap();
        (0..blocks.count)
            .map(|b| {
                let mut points = Vec::new();
                blocks.visit(b, |local, at, real| {
                    assert_eq!(local, points.len());
                    points.push((at, real));
                });
                assert_eq!(points.len(), blocks.len);
                points
            })
            .collect()
    }

    #[test]
    fn rank_1_blocks_run_over_the_flattened_frame() {
        let t = true;
        assert_eq!(seen(&[2, 2], &[3]), [[(0, t), (1, t), (2, t)], [(3, t), (3, false), (3, false)]]);
    }

    #[test]
    fn higher_ranks_cover_the_last_axes_and_repeat_the_edge() {
        let (t, f) = (true, false);
        let got = seen(&[2, 1, 3], &[2, 2]);
        assert_eq!(got.len(), 4);
        assert_eq!(got[0], [(0, t), (1, t), (0, f), (1, f)]);
        assert_eq!(got[3], [(5, t), (5, f), (5, f), (5, f)]);
    }

    #[test]
    fn every_point_is_real_once() {
        for (dims, shape) in [(vec![5, 7, 3], vec![2, 3]), (vec![5, 7, 3], vec![2, 3, 4]), (vec![4, 9], vec![5])] {
            let mut count = vec![0; dims.iter().product()];
            for (at, _) in seen(&dims, &shape).into_iter().flatten().filter(|p| p.1) {
                count[at] += 1;
            }
            assert!(count.iter().all(|c| *c == 1));
        }
    }

    #[test]
    fn blocks_that_cannot_lie_on_the_frame_are_refused() {
        assert!(Blocks::new(&[5], &[2, 2]).is_err());
        assert!(Blocks::new(&[5], &[]).is_err());
        assert!(Blocks::new(&[5], &[0]).is_err());
        assert!(Blocks::new(&[1000, 1], &[1, 65]).is_err());
        assert!(Blocks::new(&[5, 5], &[usize::MAX, 2]).is_err());
        assert!(Blocks::new(&[1, 1], &[100, 100]).is_ok());
    }
}
