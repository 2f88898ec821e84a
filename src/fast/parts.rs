//! Parts of a frame by which the writer judges the whole.

use super::Sample;
use crate::lattice::Grid;

/// A part of a grid.
pub(super) struct Part<T> {
    pub(super) values: Vec<T>,
    pub(super) ordinary: Option<Vec<bool>>,
    pub(super) dims: Vec<usize>,
}

impl<T: Sample> Part<T> {
    /// About so many points, so many quarters of the way along each axis.
    pub(super) fn cut(values: &[T], grid: &Grid, points: usize, quarters: usize) -> Self {
        let mut dims = grid.dims.to_vec();
        // All axes are cut alike, but short ones stay.
        while dims.iter().product::<usize>() > points * 5 / 4 {
            let Some(longest) = dims.iter_mut().max_by_key(|d| **d) else { break };
            *longest = (*longest * 4).div_ceil(5);
        }
        let firsts: Vec<usize> = grid.dims.iter().zip(&dims).map(|(all, d)| (all - d) * quarters / 4).collect();
        let n = dims.last().copied().unwrap_or(1);
        let rows = dims.iter().product::<usize>() / n;
        let mut part = Vec::with_capacity(rows * n);
        let mut ordinary = grid.ordinary.map(|_| Vec::with_capacity(rows * n));
        for r in 0..rows {
            let (mut rest, mut stride, mut start) = (r * n, 1, 0);
            for ((d, all), first) in dims.iter().zip(grid.dims).zip(&firsts).rev() {
                start += (rest % d + first) * stride;
                rest /= d;
                stride *= all;
            }
            part.extend_from_slice(&values[start..start + n]);
            if let (Some(to), Some(o)) = (&mut ordinary, grid.ordinary) {
                to.extend_from_slice(&o[start..start + n]);
            }
        }
        Part { values: part, ordinary, dims }
    }
}
