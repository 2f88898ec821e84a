//! Least squares that learn from the points already decoded (SPEC 9.3.3).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "floating-point inner loops over a square matrix whose side is fixed when it is made"
)]

use crate::lattice::blocks::{BLOCK, WIDTH_MAX, add_sample};
use fearless_simd::Simd;

/// Weights of past samples grow by a factor a sample; past this the sums are brought down.
const GAIN_MAX: f64 = 1.0e12;

/// A linear predictor whose weights minimize the weighted squares of its past errors.
#[derive(Debug)]
pub(super) struct LeastSquares {
    /// Sums of products of inputs, row by row; only the lower triangle is of account.
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
}

impl LeastSquares {
    /// For so many inputs, a multiple of `BLOCK`.
    pub(super) fn new(side: usize, growth: f64, interval_max: u32) -> Self {
        let blocks = side / BLOCK;
        let list = vec![[0.0; BLOCK]; blocks];
        LeastSquares {
            gram: vec![[0.0; BLOCK]; side * blocks],
            target: list.clone(),
            weights: list,
            gain: 1.0,
            growth,
            pending: 0,
            interval: 1,
            interval_max,
            factor: vec![[0.0; BLOCK]; side * blocks],
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
            // Loops whose lengths are constants leave nothing but the arithmetic.
            || match self.weights.len() {
                1 => self.learn_blocks::<S, 1>(simd, inputs, target, trust),
                2 => self.learn_blocks::<S, 2>(simd, inputs, target, trust),
                3 => self.learn_blocks::<S, 3>(simd, inputs, target, trust),
                4 => self.learn_blocks::<S, 4>(simd, inputs, target, trust),
                5 => self.learn_blocks::<S, 5>(simd, inputs, target, trust),
                6 => self.learn_blocks::<S, 6>(simd, inputs, target, trust),
                7 => self.learn_blocks::<S, 7>(simd, inputs, target, trust),
                8 => self.learn_blocks::<S, 8>(simd, inputs, target, trust),
                9 => self.learn_blocks::<S, 9>(simd, inputs, target, trust),
                _ => self.learn_blocks::<S, WIDTH_MAX>(simd, inputs, target, trust),
            },
        );
    }

    #[inline(always)]
    fn learn_blocks<S: Simd, const B: usize>(&mut self, simd: S, inputs: &[f64], target: f64, trust: f64) {
        let (gram, inputs) = (self.gram.as_chunks_mut::<B>().0, inputs.as_chunks::<BLOCK>().0);
        add_sample::<S, B>(simd, gram, &mut self.target, &inputs[..B], target, self.gain * trust);
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
            self.solve::<S, B>(simd);
        }
    }

    /// Solves for the weights by LDL'; where the matrix is not positive they stay.
    #[inline(always)]
    fn solve<S: Simd, const B: usize>(&mut self, simd: S) {
        let n = B * BLOCK;
        self.factor.copy_from_slice(&self.gram);
        let rows = self.factor.as_chunks_mut::<B>().0;
        let mut y = [[0.0; BLOCK]; B];
        y.copy_from_slice(&self.target);
        let mut diagonal = [[0.0; BLOCK]; B];
        for i in 0..n {
            let d = &mut rows[i][i / BLOCK][i % BLOCK];
            *d += self.gain * RIDGE + *d * 1.0e-9;
        }
        // L, and L y = t on the way.
        for k in 0..n {
            let (block, lane) = (k / BLOCK, k % BLOCK);
            let pivot = rows[k][block][lane];
            // Written so that a NaN is refused too.
            if !(pivot > 0.0 && pivot < f64::MAX) {
                return;
            }
            diagonal[block][lane] = pivot;
            let inverse = 1.0 / pivot;
            // Zeros up to the diagonal leave what stands there in a block as it is.
            let mut column = [[0.0; BLOCK]; B];
            for i in k + 1..n {
                column[i / BLOCK][i % BLOCK] = rows[i][block][lane];
            }
            let y_k = y[block][lane];
            let first = (k + 1) / BLOCK;
            for i in k + 1..n {
                let f = column[i / BLOCK][i % BLOCK] * inverse;
                let by = simd.splat_f64x4(-f);
                for (entry, column) in rows[i][first..=i / BLOCK].iter_mut().zip(&column[first..]) {
                    let product = simd.mul_f64x4(by, simd.load_array_ref_f64x4(column));
                    simd.store_array_f64x4(simd.add_f64x4(simd.load_array_ref_f64x4(entry), product), entry);
                }
                y[i / BLOCK][i % BLOCK] -= f * y_k;
                rows[i][block][lane] = f;
            }
        }
        for (y, d) in y.as_flattened_mut().iter_mut().zip(diagonal.as_flattened()) {
            *y /= d;
        }
        // L' w = y / D.
        for i in (0..n).rev() {
            let w = y.as_flattened()[i];
            for (y, f) in y.as_flattened_mut()[..i].iter_mut().zip(rows[i].as_flattened()) {
                *y -= f * w;
            }
        }
        if y.as_flattened().iter().all(|w| w.abs() < 1.0e6) {
            self.weights.copy_from_slice(&y);
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
