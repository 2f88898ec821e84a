//! Least squares that learn from the points already decoded (SPEC 9.3.3).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "floating-point inner loops over a square matrix whose side is fixed when it is made"
)]

use crate::lattice::blocks::{BLOCK, add_to_band};
use fearless_simd::Simd;

/// Weights of past samples grow by a factor a sample; past this the sums are brought down.
const GAIN_MAX: f64 = 1.0e12;

/// A linear predictor whose weights minimize the weighted squares of its past errors.
#[derive(Debug)]
pub(super) struct LeastSquares {
    /// Number of inputs, a multiple of `BLOCK`.
    side: usize,
    /// Sums of products of inputs; only the lower triangle is of account.
    gram: Vec<[f64; BLOCK]>,
    /// Sums of products of inputs and target.
    target: Vec<[f64; BLOCK]>,
    pub(super) weights: Vec<[f64; BLOCK]>,
    /// Weight of the next sample.
    gain: f64,
    /// Factor by which each sample outweighs the one before.
    growth: f64,
    /// Samples seen since the weights were last solved for, and how many there are to be.
    pending: u32,
    interval: u32,
    interval_max: u32,
    factor: Vec<[f64; BLOCK]>,
    diagonal: Vec<[f64; BLOCK]>,
    column: Vec<[f64; BLOCK]>,
    solution: Vec<[f64; BLOCK]>,
}

impl LeastSquares {
    pub(super) fn new(side: usize, growth: f64, interval_max: u32) -> Self {
        let blocks = side / BLOCK;
        let list = vec![[0.0; BLOCK]; blocks];
        LeastSquares {
            side,
            gram: vec![[0.0; BLOCK]; side * blocks],
            target: list.clone(),
            weights: list.clone(),
            gain: 1.0,
            growth,
            pending: 0,
            interval: 1,
            interval_max,
            factor: vec![[0.0; BLOCK]; side * blocks],
            diagonal: list.clone(),
            column: list.clone(),
            solution: list,
        }
    }

    /// The prediction from `inputs`, summed in four lanes.
    #[inline(always)]
    pub(super) fn predict(&self, inputs: &[f64]) -> f64 {
        let mut lanes = [0.0f64; BLOCK];
        for (w, x) in self.weights.iter().zip(inputs.as_chunks::<BLOCK>().0) {
            for j in 0..BLOCK {
                lanes[j] += w[j] * x[j];
            }
        }
        (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])
    }

    /// Learns that `inputs` came with `target`; `trust` weighs the sample. Not inlined: it is long, and called from several places.
    #[inline(never)]
    pub(super) fn learn<S: Simd>(&mut self, simd: S, inputs: &[f64], target: f64, trust: f64) {
        simd.vectorize(
            #[inline(always)]
            || {
                let weight = self.gain * trust;
                let inputs = inputs.as_chunks::<BLOCK>().0;
                let blocks = self.side / BLOCK;
                for (b, band) in self.gram.chunks_exact_mut(BLOCK * blocks).enumerate() {
                    let scaled = inputs[b].map(|x| weight * x);
                    add_to_band(simd, b + 1, band, blocks, scaled, inputs);
                    for (sum, scaled) in self.target[b].iter_mut().zip(scaled) {
                        *sum += scaled * target;
                    }
                }
                self.gain *= self.growth;
                if self.gain > GAIN_MAX {
                    let down = 1.0 / self.gain;
                    self.gram.as_flattened_mut().iter_mut().for_each(|g| *g *= down);
                    self.target.as_flattened_mut().iter_mut().for_each(|t| *t *= down);
                    self.gain = 1.0;
                }
                self.pending += 1;
                if self.pending >= self.interval {
                    self.pending = 0;
                    self.interval = (self.interval + 1).min(self.interval_max);
                    self.solve(simd);
                }
            },
        );
    }

    /// Solves for the weights by LDL'; where the matrix is not positive they stay.
    #[inline(always)]
    fn solve<S: Simd>(&mut self, simd: S) {
        let n = self.side;
        let blocks = n / BLOCK;
        self.factor.copy_from_slice(&self.gram);
        self.solution.copy_from_slice(&self.target);
        let y = &mut self.solution;
        for i in 0..n {
            let d = &mut self.factor.as_flattened_mut()[i * n + i];
            *d += self.gain * RIDGE + *d * 1.0e-9;
        }
        // L, and L y = t on the way.
        for k in 0..n {
            let pivot = self.factor.as_flattened()[k * n + k];
            // Written so that a NaN is refused too.
            if !(pivot > 0.0 && pivot < f64::MAX) {
                return;
            }
            self.diagonal.as_flattened_mut()[k] = pivot;
            let inverse = 1.0 / pivot;
            // Zeros up to the diagonal leave what stands there in a block as it is.
            let column = self.column.as_flattened_mut();
            column[k] = 0.0;
            for i in k + 1..n {
                column[i] = self.factor.as_flattened()[i * n + k];
            }
            let first = (k + 1) / BLOCK;
            let y_k = y.as_flattened()[k];
            for (b, band) in self.factor.chunks_exact_mut(BLOCK * blocks).enumerate().skip(first) {
                let by = self.column[b].map(|c| c * inverse);
                add_to_band(simd, b + 1 - first, &mut band[first..], blocks, by.map(|f| -f), &self.column[first..]);
                for (j, f) in by.into_iter().enumerate() {
                    y[b][j] -= f * y_k;
                    if b * BLOCK + j > k {
                        band[j * blocks + k / BLOCK][k % BLOCK] = f;
                    }
                }
            }
        }
        for (y, d) in y.as_flattened_mut().iter_mut().zip(self.diagonal.as_flattened()) {
            *y /= d;
        }
        // L' w = y / D.
        for i in (0..n).rev() {
            let w = y.as_flattened()[i];
            let row = &self.factor.as_flattened()[i * n..];
            for (y, f) in y.as_flattened_mut()[..i].iter_mut().zip(row) {
                *y -= f * w;
            }
        }
        if y.as_flattened().iter().all(|w| w.abs() < 1.0e6) {
            self.weights.copy_from_slice(y);
        }
    }
}

/// What is added to the diagonal, in squared steps times the weight of the next sample.
const RIDGE: f64 = 0.3;

#[cfg(test)]
mod tests {
    use super::*;
    use fearless_simd::Fallback;

    #[test]
    fn learns_a_linear_rule() {
        let mut ls = LeastSquares::new(4, 1.001, 8);
        for i in 0..500u32 {
            let f = |m: u32| f64::from((i * i + m * i) % 101);
            let inputs = [f(1), f(7), f(20), f(33)];
            ls.learn(Fallback::new(), &inputs, 0.5 * inputs[0] - 2.0 * inputs[2], 1.0);
        }
        let p = ls.predict(&[1.0, 10.0, 100.0, 1000.0]);
        assert!((p + 199.5).abs() < 0.01, "{p}");
    }
}
