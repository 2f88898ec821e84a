//! At which level each axis is halved first: by how well values lie on cubics along each. On the writer's side only.

use super::Sample;
use super::pyramid::{AXES, axes, levels};
use crate::fast::scale::Scale;
use crate::lattice::Grid;

/// Halvings of an axis whose effect is measured.
const HALVINGS: usize = 4;
/// An axis that is halved last.
const LAST: u8 = 15;

/// At which level to halve each axis first, by how well values lie on cubics along each, and how many bits a point takes then, about.
pub(in crate::fast) fn starts<T: Sample>(values: &[T], grid: &Grid, scale: &Scale) -> ([u8; AXES], f32) {
    let dims = axes(grid.dims);
    let roughness: [[f32; HALVINGS]; AXES] =
        std::array::from_fn(|a| std::array::from_fn(|h| roughness(values, grid, scale, &dims, a, h)));
    let long: Vec<usize> = (0..AXES).filter(|a| dims[*a] > 1).collect();
    let mut best = (f32::INFINITY, [0; AXES]);
    for choice in 0..3usize.pow(long.len() as u32) {
        let mut starts = [0; AXES];
        let mut rest = choice;
        for a in &long {
            starts[*a] = [0, 1, LAST][rest % 3];
            rest /= 3;
        }
        if long.iter().all(|a| starts[*a] > 0) {
            continue;
        }
        let cost = cost(&roughness, dims, starts);
        if cost < best.0 {
            best = (cost, starts);
        }
    }
    (best.1, best.0)
}

/// Squared errors in steps that take half a bit.
const QUIET: f32 = 0.1;

/// How far values are from a cubic through those two to the power `halvings` before and after, along axis `a`: squared, in steps.
fn roughness<T: Sample>(
    values: &[T],
    grid: &Grid,
    scale: &Scale,
    dims: &[usize; AXES],
    a: usize,
    halvings: usize,
) -> f32 {
    const SAMPLES: usize = 96;
    let s = 1 << halvings;
    let n = dims[a];
    if n <= 2 * s {
        return f32::INFINITY;
    }
    let stride: usize = dims[a + 1..].iter().product();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    // Many logarithms as that of one product: a factor is less than 2^60.
    const FACTORS: u32 = 16;
    let (mut bits, mut count, mut product) = (0.0, 0, 1f64);
    for _ in 0..SAMPLES {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let i = (((seed >> 32) * values.len() as u64) >> 32) as usize;
        let x = i / stride % n;
        let here = s + x % (n - 2 * s);
        let i = i - x * stride + here * stride;
        let at = |i: usize| scale.place(values[i]);
        let near = [i, i - s * stride, i + s * stride];
        if near.iter().any(|i| !grid.is_ordinary(*i)) {
            continue;
        }
        let mean = (at(near[1]) + at(near[2])) * 0.5;
        let curve = if here >= 3 * s && here + 3 * s < n {
            let far = [i - 3 * s * stride, i + 3 * s * stride];
            let whole = far.iter().all(|i| grid.is_ordinary(*i));
            if whole { (mean - (at(far[0]) + at(far[1])) * 0.5) * 0.125 } else { 0.0 }
        } else {
            0.0
        };
        let error = at(i) - mean - curve;
        product *= f64::from(1.0 + error * error / QUIET);
        count += 1;
        if count % FACTORS == 0 {
            bits += product.log2();
            product = 1.0;
        }
    }
    if count == 0 { 1.0 } else { QUIET * (((bits + product.log2()) as f32 / count as f32).exp2() - 1.0) }
}

/// Bits that a point takes, about.
fn cost(roughness: &[[f32; HALVINGS]; AXES], dims: [usize; AXES], starts: [u8; AXES]) -> f32 {
    let all: f32 = dims.iter().map(|d| *d as f32).product();
    let mut halvings = [0; AXES];
    let mut total = 0.0;
    let mut last = 0.0;
    let mut left = all;
    for level in levels(dims, starts).iter().take(2 * HALVINGS) {
        let points: f32 = level.dims.iter().map(|d| *d as f32).product();
        let passes = level.passes();
        let each = points / (passes.len() + 1) as f32;
        for pass in passes {
            let inverse: f32 = (0..AXES)
                .filter(|a| pass >> a & 1 == 1)
                .map(|a| 1.0 / (roughness[a][halvings[a].min(HALVINGS - 1)] + 1e-6))
                .sum();
            let error = 1.0 / inverse.max(1e-6);
            last = 0.6 * (1.0 + error / QUIET).log2();
            total += each * last;
        }
        for a in 0..AXES {
            halvings[a] += usize::from(level.halved[a]);
        }
        left = each;
    }
    (total + left * last) / all
}
