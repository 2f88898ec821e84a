//! Stored weights of the balanced profile (SPEC 9.2.6): how a writer finds them, and how they are coded.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    reason = "points are inside the pass, neighbors inside the grid by the line's ranges, weights clamped to their bits"
)]

use super::links::Links;
use super::pass::{AXES, Pass, Shape};
use super::small::interpolate;
use super::stencil::{Stencil, TAPS};
use crate::codec::arithmetic::BitCoder;
use crate::lattice::Grid;
use crate::vector::vectorize;

/// Neighbors of a stored stencil.
pub(super) const REACH: usize = 16;

/// Unit of a stored weight, and the number of its bits.
const UNIT: f64 = 1.0 / 256.0;
const BITS: u32 = 10;

/// Points that weights are fitted to: at most so many, and one in so many of a pass.
const SAMPLES: usize = 4000;
const SHARE: usize = 4;

/// Weights of values that predict the same as cubic interpolation and weighted differences to it.
pub(super) fn direct(weights: Option<&[f64; REACH]>) -> [f64; REACH] {
    let mut direct = [0.0; REACH];
    let mut rest = 1.0;
    if let Some(w) = weights {
        direct = *w;
        for w in w {
            rest -= w;
        }
    }
    for (d, cubic) in direct.iter_mut().zip([0.5625, 0.5625, -0.0625, -0.0625]) {
        *d += cubic * rest;
    }
    direct
}

/// Whether weights follow, and those.
pub(super) fn code<C: BitCoder>(coder: &mut C, wanted: Option<[i32; REACH]>) -> Option<[f64; REACH]> {
    if !coder.code(wanted.is_some(), 1 << 15) {
        return None;
    }
    let wanted = wanted.unwrap_or([0; REACH]);
    let half = 1i32 << (BITS - 1);
    Some(wanted.map(|w| {
        let mut found = 0;
        for bit in (0..BITS).rev() {
            found = 2 * found + i32::from(coder.code((w + half) >> bit & 1 == 1, 1 << 15));
        }
        f64::from(found - half) * UNIT
    }))
}

/// What the neighbors of a point are to its interpolation, in steps, and what the point is.
type Sample = ([f64; TAPS], f64);

/// The writer's choice of weights from the original values, if they pay.
pub(super) fn fit(
    values: &[f64],
    grid: &Grid,
    shape: &Shape,
    pass: &Pass,
    taps: &mut Links,
    inverse: f64,
) -> Option<[i32; REACH]> {
    let points = pass.points(shape);
    let samples = samples(values, grid, shape, pass, taps, inverse);
    // Points amid steep slopes count less, and then those that are far off all the same: bits grow with the logarithm.
    let rough = |x: &[f64; TAPS]| 1.0 + x.iter().map(|x| x.abs()).sum::<f64>() / REACH as f64;
    let first = solve(&samples, |x, _| 1.0 / rough(x));
    let stencil = solve(&samples, |x, y| {
        let off = (y - first.predict(x)).abs();
        1.0 / ((0.5 + off) * (1.0 + off))
    });
    let limit = f64::from((1i32 << (BITS - 1)) - 1);
    let stored: [i32; REACH] = std::array::from_fn(|t| (stencil.weight(t) / UNIT).round().clamp(-limit, limit) as i32);
    let gain = |(x, y): &Sample| {
        let guess: f64 = x.iter().zip(&stored).map(|(x, w)| x * f64::from(*w) * UNIT).sum();
        ((1.0 + y.abs()) / (1.0 + (y - guess).abs())).log2()
    };
    let mean = samples.iter().map(gain).sum::<f64>() / f64::max(samples.len() as f64, 1.0);
    (mean * points as f64 > f64::from(BITS) * REACH as f64).then_some(stored)
}

/// Least squares over weighted samples.
fn solve(samples: &[Sample], weight: impl Fn(&[f64; TAPS], f64) -> f64) -> Stencil {
    let mut stencil = Stencil::new(REACH, 1.0);
    gather(&mut stencil, samples, weight);
    // What is known is off by the quantizer's noise, one twelfth of a squared step.
    stencil.solve_with_noise(1.0 / 12.0);
    stencil
}

fn gather(stencil: &mut Stencil, samples: &[Sample], weight: impl Fn(&[f64; TAPS], f64) -> f64) {
    vectorize!(simd => for (x, y) in samples {
        stencil.gather(simd, x, *y, weight(x, *y));
    })
}

fn samples(values: &[f64], grid: &Grid, shape: &Shape, pass: &Pass, taps: &mut Links, inverse: f64) -> Vec<Sample> {
    let points = pass.points(shape);
    let counts: [usize; AXES] = std::array::from_fn(|a| (shape.extents[a] - pass.start[a]).div_ceil(pass.step[a]));
    let mut samples = Vec::with_capacity(SAMPLES);
    // Away from the edges all neighbors are inside the grid.
    let reach: [usize; AXES] = std::array::from_fn(|a| if a == pass.axis { 3 } else { 2 } * pass.unit[a]);
    let inside = |at: &[usize; AXES]| {
        (0..AXES).all(|a| shape.extents[a] == 1 || (at[a] >= reach[a] && at[a] + reach[a] < shape.extents[a]))
    };
    let offsets: [isize; REACH] = taps.offsets();
    for n in 1..=SAMPLES.min(points / SHARE) as u64 {
        // Multiples of the golden ratio spread over all lines without favoring any column.
        let mut j = ((u128::from(n.wrapping_mul(0x9E37_79B9_7F4A_7C15)) * points as u128) >> 64) as usize;
        let mut at = [0; AXES];
        for a in (0..AXES).rev() {
            at[a] = pass.start[a] + j % counts[a] * pass.step[a];
            j /= counts[a];
        }
        let i: usize = (0..AXES).map(|a| at[a] * shape.strides[a]).sum();
        if !grid.is_ordinary(i) {
            continue;
        }
        let mut v = [f64::NAN; TAPS];
        let mut see = |t: usize, j: usize| {
            if grid.is_ordinary(j) {
                v[t] = values[j];
            }
        };
        if inside(&at) {
            offsets.iter().enumerate().for_each(|(t, offset)| see(t, i.wrapping_add_signed(*offset)));
        } else {
            taps.enter(&at, pass, shape);
            (0..REACH).filter_map(|t| Some((t, taps.index(t, i, at[AXES - 1])?))).for_each(|(t, j)| see(t, j));
        }
        let cubic = interpolate(&v, values[i]);
        let mut x = [0f64; TAPS];
        for (x, v) in x.iter_mut().zip(&v) {
            let d = (v - cubic) * inverse;
            *x = if d.abs() < 1e12 { d } else { 0.0 };
        }
        samples.push((x, (values[i] - cubic) * inverse));
    }
    samples
}
