//! Weights of the values around a point between those of the coarser level (SPEC 9.4.6).

use super::pyramid::{AXES, LEFT, Level, ROW, STEP};
use fearless_simd::{Simd, f32x8};

/// Weight 1.
pub(super) const ONE: i32 = 1 << 9;

/// Weights of the near and the far two of the four values along each axis of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Weights {
    pub(super) near: [i32; AXES],
    pub(super) far: [i32; AXES],
}

impl Weights {
    /// The mean of cubic interpolation along the axes of `pass`.
    pub(super) fn cubic(pass: usize) -> Self {
        let n = pass.count_ones().max(1) as i32;
        let mut w = Weights::default();
        for a in (0..AXES).filter(|a| pass >> a & 1 == 1) {
            (w.near[a], w.far[a]) = (ONE * 9 / 16 / n, -ONE / 16 / n);
        }
        w.complete(pass);
        w
    }

    /// The weights that can be chosen for `pass`: those along its axes but the near one of the first.
    pub(super) fn free(&mut self, pass: usize) -> impl Iterator<Item = &mut i32> {
        let pairs = self.near.iter_mut().zip(&mut self.far).enumerate();
        let pairs = pairs.filter(move |(a, _)| pass >> a & 1 == 1).flat_map(|(_, (near, far))| [near, far]);
        pairs.skip(1)
    }

    /// Sets the near weight along the first axis of `pass` so that all add up to 1.
    pub(super) fn complete(&mut self, pass: usize) {
        let first = pass.trailing_zeros() as usize;
        if first < AXES {
            self.near[first] = 0;
            let rest: i32 = self.near.iter().chain(&self.far).sum();
            self.near[first] = ONE / 2 - rest;
        }
    }

    /// Whether no weight is far from those of an interpolation.
    pub(super) fn is_tame(&self) -> bool {
        self.near.iter().chain(&self.far).all(|w| w.abs() <= 2 * ONE)
    }
}

/// Where a value is that has a weight: the first one of the part of a row that it is in, for point 0.
pub(super) type Tap = (usize, f32);

/// The taps of the part of a row that a pass predicts.
pub(super) fn taps(level: &Level, pass: usize, weights: &Weights, position: [usize; ROW], taps: &mut Vec<Tap>) {
    taps.clear();
    let (strides, pitch) = (level.strides(), level.pitch());
    let r: usize = (0..ROW).map(|a| position[a] * strides[a]).sum();
    let part = pass >> ROW & 1;
    let scaled = |w: i32| w as f32 * (1.0 / ONE as f32);
    for a in (0..ROW).filter(|a| pass >> a & 1 == 1) {
        let (near, far) = (weights.near[a], weights.far[a]);
        if (near, far) == (0, 0) {
            continue;
        }
        let evens = level.dims[a].div_ceil(2);
        let k = position[a] / 2;
        // Weights of the even positions from k - 2 to k + 2.
        let mut w = [0, far, near, near, far];
        let last = evens - 1 - k;
        if last < 2 {
            let beyond = std::mem::take(&mut w[4]);
            let from = 2 + last;
            // A straight line goes on; a single point repeats.
            let steps = (2 - last) as i32;
            if evens == 1 {
                w[from] += beyond;
            } else {
                w[from] += (steps + 1) * beyond;
                w[from - 1] -= steps * beyond;
            }
        }
        if last < 1 {
            let beyond = std::mem::take(&mut w[3]);
            if evens == 1 {
                w[2] += beyond;
            } else {
                w[2] += 2 * beyond;
                w[1] -= beyond;
            }
        }
        if k == 0 {
            let before = w[1];
            w[1] = 0;
            if evens == 1 {
                w[2] += before;
            } else {
                w[2] += 2 * before;
                w[3] -= before;
            }
        }
        for (i, w) in w.iter().enumerate().filter(|(_, w)| **w != 0) {
            let other = (r + (2 * (k + i) - 4) * strides[a]) - position[a] * strides[a];
            taps.push((level.part(part, other) * pitch + LEFT, scaled(*w)));
        }
    }
    if part == 1 {
        let start = level.part(0, r) * pitch;
        let (near, far) = (weights.near[ROW], weights.far[ROW]);
        for (i, w) in [far, near, near, far].into_iter().enumerate().filter(|(_, w)| *w != 0) {
            taps.push((start + i, scaled(w)));
        }
    }
}

/// Continues the even points of a row on both sides in a straight line.
pub(super) fn extend(row: &mut [f32], n: usize) {
    let at = |i: usize| LEFT + i;
    let (first, last) = (row[at(0)], row[at(n - 1)]);
    let (second, other) = if n > 1 { (row[at(1)], row[at(n - 2)]) } else { (first, last) };
    row[LEFT - 1] = 2.0 * first - second;
    row[at(n)] = 2.0 * last - other;
    row[at(n + 1)] = 3.0 * last - 2.0 * other;
}

/// The weighted sum of the taps from point `x` on, added one after another.
#[inline(always)]
pub(super) fn sum<S: Simd>(simd: S, data: &[f32], taps: &[Tap], x: usize) -> f32x8<S> {
    let mut sum = simd.splat_f32x8(0.0);
    let Some(last) = data.len().checked_sub(STEP) else { return sum };
    for (place, w) in taps {
        let start = place + x;
        // One comparison for both ends of the step.
        if start <= last
            && let Some(v) = data[start..].first_chunk()
        {
            sum = simd.add_f32x8(sum, simd.mul_f32x8(simd.splat_f32x8(*w), simd.load_array_ref_f32x8(v)));
        }
    }
    sum
}
