//! What the writer of a raster stream chooses: where the lattice lies and how long rows are.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "samples are cut to the length of the data"
)]

use super::Grid;
use super::causal::Shape;
use super::raster_model::{Plan, run};
use crate::codec::arithmetic::Encoder;
use crate::codec::period::{periods, row_periods};

/// Points that each shape is tried on, at least.
const TRIAL: usize = 1 << 16;

/// Sixteenths of a step by which to shift the lattice so that neighbors fall together most often.
pub(super) fn phase(values: &[f64], step: f64) -> u8 {
    let changes = |phase: u8| {
        let shift = f64::from(phase) / 16.0;
        let mut last = f64::NAN;
        let mut count = 0usize;
        for v in values {
            let q = (v / step - shift + 0.5).floor();
            count += usize::from(q != last);
            last = q;
        }
        count
    };
    let plain = changes(0);
    // Where neighbors seldom fall together the position is of no account.
    if plain > values.len() / 3 {
        return 0;
    }
    let best = (1..16u8).map(|p| (changes(p), p)).min().unwrap_or((plain, 0));
    if best.0 + best.0 / 32 + 8 < plain { best.1 } else { 0 }
}

/// Extents of rows and planes to read a grid of one axis as; empty if as it is.
pub(super) fn inner(wanted: &[f64], grid: &Grid, snapped: bool) -> Vec<usize> {
    let n = wanted.len();
    if Shape::of_grid(grid.dims).axes() > 1 || n < 256 {
        return Vec::new();
    }
    let mut candidates: Vec<Vec<usize>> = vec![Vec::new(), vec![8], vec![8, 8]];
    let rows = periods(wanted);
    for row in &rows {
        candidates.push(vec![*row]);
        let planes = rows.iter().filter(|p| **p > *row && p.is_multiple_of(*row));
        candidates.extend(planes.map(|p| vec![*row, p / row]));
    }
    if let Some(row) = rows.iter().min() {
        candidates.extend(row_periods(wanted, *row).into_iter().map(|planes| vec![*row, planes]));
    }
    candidates.sort();
    candidates.dedup();
    let unit = candidates.iter().map(|c| c.iter().product::<usize>()).max().unwrap_or(1);
    let len = (4 * unit).max(TRIAL).min(n);
    // Blocks start at multiples of powers of two.
    let start = (n - len) / 2 / 4096 * 4096;
    let ordinary = grid.ordinary.map(|o| &o[start..start + len]);
    let mut out = vec![0.0; len];
    let mut cost = |inner: &[usize]| {
        let shape = if inner.is_empty() { Shape::of_grid(&[len]) } else { Shape::of_period(len, inner) };
        let mut coder = Encoder::new();
        run(
            &mut coder,
            &Plan { shape, snapped, maps: Vec::new() },
            ordinary,
            Some(&wanted[start..start + len]),
            &mut out,
        )
        .ok()?;
        Some(coder.finish().len() + 2 * inner.len())
    };
    let costs = candidates.iter().map(|c| cost(c).unwrap_or(usize::MAX)).collect::<Vec<_>>();
    let best = (0..candidates.len()).min_by_key(|i| costs[*i]).unwrap_or(0);
    candidates.swap_remove(best)
}
