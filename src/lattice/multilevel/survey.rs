//! What the writer learns about an array before it plans (not part of the format).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "samples are taken inside the grid; axes index arrays of AXES"
)]

use super::pass::{AXES, Order, Shape, halvings};
use crate::lattice::Grid;

/// How many points are looked at per axis and spacing.
const SAMPLES: usize = 4096;

/// Estimated bits per point that interpolation along `axis` between points `unit` away leaves to be coded.
fn roughness(values: &[f64], grid: &Grid, shape: &Shape, axis: usize, unit: usize, step: f64) -> f64 {
    let n = values.len();
    let (extent, stride) = (shape.extents[axis], shape.strides[axis]);
    let far = unit * stride;
    let mut random = 0x9E37_79B9_7F4A_7C15u64;
    let (mut sum, mut count) = (0.0, 0.0);
    for _ in 0..SAMPLES {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let i = ((u128::from(random) * n as u128) >> 64) as usize;
        let c = i / stride % extent;
        let known = |ok: bool, j: usize| (ok && grid.is_ordinary(j)).then(|| values[j]);
        let left = known(c >= unit, i.wrapping_sub(far));
        let right = known(c + unit < extent, i.wrapping_add(far));
        let guess = match (left, right) {
            (Some(l), Some(r)) => 0.5 * l + 0.5 * r,
            (Some(v), None) | (None, Some(v)) => v,
            (None, None) => continue,
        };
        if grid.is_ordinary(i) {
            sum += (1.0 + (values[i] - guess).abs() / step).log2();
            count += 1.0;
        }
    }
    if count > 0.0 { sum / count } else { 0.0 }
}

/// Exponents of [`WEIGHTS`](super::WEIGHTS): axes that are rougher than the smoothest have farther neighbors.
pub(crate) fn distances(values: &[f64], grid: &Grid, shape: &Shape, step: f64) -> [u8; AXES] {
    let mut rough = [f64::INFINITY; AXES];
    for a in shape.real_axes() {
        let (extent, stride) = (shape.extents[a], shape.strides[a]);
        let mut random = 0x9E37_79B9_7F4A_7C15u64;
        let (mut sum, mut count) = (0.0, 0.0);
        for _ in 0..SAMPLES {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let i = ((u128::from(random) * values.len() as u128) >> 64) as usize;
            if i / stride % extent + 1 < extent && grid.is_ordinary(i) && grid.is_ordinary(i + stride) {
                sum += (values[i + stride] - values[i]).abs().min(1e6 * step);
                count += 1.0;
            }
        }
        rough[a] = (sum + 0.25 * step) / (count + 1.0);
    }
    let least = rough.iter().copied().fold(f64::INFINITY, f64::min);
    rough.map(|r| if r < f64::INFINITY { (3.0 * (r / least).log2()).round().clamp(0.0, 15.0) as u8 } else { 0 })
}

/// An order that always leaves to the end the axis along which interpolation is expected to be cheapest.
pub(crate) fn greedy(values: &[f64], grid: &Grid, shape: &Shape, step: f64) -> Order {
    let mut left = shape.extents.map(halvings);
    let mut unit = [1usize; AXES];
    let cost = |a: usize, u: usize| roughness(values, grid, shape, a, u, step);
    let mut costs: [f64; AXES] = std::array::from_fn(|a| if left[a] > 0 { cost(a, 1) } else { 0.0 });
    let mut order = Order::new();
    while let Some(a) = (0..AXES).filter(|a| left[*a] > 0).min_by(|a, b| costs[*a].total_cmp(&costs[*b])) {
        order.push(a as u8);
        unit[a] *= 2;
        left[a] -= 1;
        if left[a] > 0 {
            costs[a] = cost(a, unit[a]);
        }
    }
    order
}

/// Spacing and offset of the lattice on which all values lie but for rounding to binary32, if there is one.
pub(crate) fn native(values: &[f64], grid: &Grid) -> Option<(f64, f64)> {
    let ordinary = || values.iter().enumerate().filter(|(i, _)| grid.is_ordinary(*i)).map(|(_, v)| *v);
    let (low, high) = ordinary().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    let noise = low.abs().max(high.abs()) / 8_388_608.0;
    if !(high - low > 64.0 * noise && high - low < f64::INFINITY) {
        return None;
    }
    let count = ordinary().count();
    let mut some: Vec<f64> = ordinary().step_by((count / SAMPLES).max(1)).map(|v| v - low).collect();
    some.sort_by(f64::total_cmp);
    let mut spacing = some.windows(2).map(|w| w[1] - w[0]).filter(|d| *d > 2.0 * noise).fold(f64::INFINITY, f64::min);
    // The smallest gap may be a multiple, and is rounded: remainders refine it, larger distances sharpen it.
    let mut reach = 1.0;
    for v in &some {
        let n = (v / spacing).round();
        let rest = (v - n * spacing).abs();
        if rest > (2.0 * noise).max(0.2 * spacing) {
            return None;
        }
        if n >= 1.5 * reach {
            spacing = v / n;
            reach = n;
        }
    }
    let fits = |v: f64| {
        let n = ((v - low) / spacing).round();
        (low + n * spacing - v).abs() <= noise
    };
    (spacing > 8.0 * noise && spacing < f64::INFINITY && ordinary().all(fits)).then_some((spacing, low))
}

/// Extents and corner of a block of at most about `count` points with as many ordinary ones as any of three.
pub(crate) fn block(grid: &Grid, count: usize) -> (Vec<usize>, Vec<usize>) {
    let mut extents = grid.dims.to_vec();
    while extents.iter().product::<usize>() > count {
        let Some(a) = (0..extents.len()).filter(|a| extents[*a] > 2).max_by_key(|a| extents[*a]) else { break };
        extents[a] = extents[a].div_ceil(2);
    }
    let corner = |q: usize| -> Vec<usize> { grid.dims.iter().zip(&extents).map(|(n, e)| (n - e) * q / 4).collect() };
    let good = |q: &usize| pick(grid.dims, &extents, &corner(*q)).filter(|i| grid.is_ordinary(*i)).count();
    let best = if grid.ordinary.is_some() { [2, 1, 3].into_iter().max_by_key(good).unwrap_or(2) } else { 2 };
    let corner = corner(best);
    (extents, corner)
}

/// Indices of the points of a block in a grid of extents `dims`, in C order.
pub(crate) fn pick(dims: &[usize], extents: &[usize], corner: &[usize]) -> impl Iterator<Item = usize> {
    let total: usize = extents.iter().product();
    (0..total).map(move |mut at| {
        let (mut index, mut stride) = (0, 1);
        for a in (0..dims.len()).rev() {
            index += (corner[a] + at % extents[a]) * stride;
            at /= extents[a];
            stride *= dims[a];
        }
        index
    })
}

/// One halving of every axis after the other, the last axis refined last.
pub(crate) fn round_robin(shape: &Shape) -> Order {
    let mut order = Order::new();
    for round in 0..usize::BITS {
        order.extend((0..AXES as u8).rev().filter(|a| halvings(shape.extents[usize::from(*a)]) > round));
    }
    order
}
