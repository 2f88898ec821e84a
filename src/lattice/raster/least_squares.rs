//! Least squares that learn from the points already decoded (SPEC 9.3.3).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "floating-point inner loops over a square matrix whose side is fixed when it is made"
)]

/// Weights of past samples grow by a factor a sample; past this the sums are brought down.
const GAIN_MAX: f64 = 1.0e12;

/// A linear predictor whose weights minimize the weighted squares of its past errors.
#[derive(Debug)]
pub(super) struct LeastSquares {
    side: usize,
    /// Sums of products of inputs; only the lower triangle is kept.
    gram: Vec<f64>,
    /// Sums of products of inputs and target.
    target: Vec<f64>,
    pub(super) weights: Vec<f64>,
    /// Weight of the next sample.
    gain: f64,
    /// Factor by which each sample outweighs the one before.
    growth: f64,
    /// Samples seen since the weights were last solved for, and how many there are to be.
    pending: u32,
    interval: u32,
    interval_max: u32,
    factor: Vec<f64>,
    column: Vec<f64>,
}

impl LeastSquares {
    pub(super) fn new(side: usize, growth: f64, interval_max: u32) -> Self {
        LeastSquares {
            side,
            gram: vec![0.0; side * side],
            target: vec![0.0; side],
            weights: vec![0.0; side],
            gain: 1.0,
            growth,
            pending: 0,
            interval: 1,
            interval_max,
            factor: vec![0.0; side * side],
            column: vec![0.0; side],
        }
    }

    /// The prediction from `inputs`, summed in four lanes.
    #[inline(always)]
    pub(super) fn predict(&self, inputs: &[f64]) -> f64 {
        let mut lanes = [0.0f64; 4];
        for (w, x) in self.weights.chunks_exact(4).zip(inputs.chunks_exact(4)) {
            for j in 0..4 {
                lanes[j] += w[j] * x[j];
            }
        }
        (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])
    }

    /// Learns that `inputs` came with `target`; `trust` weighs the sample.
    #[inline(always)]
    pub(super) fn learn(&mut self, inputs: &[f64], target: f64, trust: f64) {
        let weight = self.gain * trust;
        for (i, row) in self.gram.chunks_exact_mut(self.side).enumerate() {
            let scaled = weight * inputs[i];
            for (g, x) in row[..=i].iter_mut().zip(inputs) {
                *g += scaled * x;
            }
            self.target[i] += scaled * target;
        }
        self.gain *= self.growth;
        if self.gain > GAIN_MAX {
            let down = 1.0 / self.gain;
            self.gram.iter_mut().for_each(|g| *g *= down);
            self.target.iter_mut().for_each(|t| *t *= down);
            self.gain = 1.0;
        }
        self.pending += 1;
        if self.pending >= self.interval {
            self.pending = 0;
            self.interval = (self.interval + 1).min(self.interval_max);
            self.solve();
        }
    }

    /// Solves for the weights by LDL'; where the matrix is not positive they stay.
    #[inline(always)]
    fn solve(&mut self) {
        let n = self.side;
        self.factor.copy_from_slice(&self.gram);
        for i in 0..n {
            let d = &mut self.factor[i * n + i];
            *d += self.gain * RIDGE + *d * 1.0e-9;
        }
        for k in 0..n {
            let pivot = self.factor[k * n + k];
            // Written so that a NaN is refused too.
            if !(pivot > 0.0 && pivot < f64::MAX) {
                return;
            }
            let inverse = 1.0 / pivot;
            for i in k + 1..n {
                self.column[i] = self.factor[i * n + k];
            }
            for i in k + 1..n {
                let f = self.column[i] * inverse;
                let row = &mut self.factor[i * n..(i + 1) * n];
                row[k] = f;
                for (a, c) in row[k + 1..=i].iter_mut().zip(&self.column[k + 1..=i]) {
                    *a -= f * c;
                }
            }
        }
        // L y = t, then D L' w = y.
        let y = &mut self.column;
        for i in 0..n {
            let mut sum = self.target[i];
            for (f, y) in self.factor[i * n..i * n + i].iter().zip(&*y) {
                sum -= f * y;
            }
            y[i] = sum;
        }
        for (i, y) in y.iter_mut().enumerate() {
            *y /= self.factor[i * n + i];
        }
        for i in (0..n).rev() {
            let w = y[i];
            for (y, f) in y.iter_mut().zip(&self.factor[i * n..i * n + i]) {
                *y -= f * w;
            }
        }
        if y.iter().all(|w| w.abs() < 1.0e6) {
            self.weights.copy_from_slice(y);
        }
    }
}

/// What is added to the diagonal, in squared steps times the weight of the next sample.
const RIDGE: f64 = 0.3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learns_a_linear_rule() {
        let mut ls = LeastSquares::new(4, 1.001, 8);
        for i in 0..500u32 {
            let f = |m: u32| f64::from((i * i + m * i) % 101);
            let inputs = [f(1), f(7), f(20), f(33)];
            ls.learn(&inputs, 0.5 * inputs[0] - 2.0 * inputs[2], 1.0);
        }
        let p = ls.predict(&[1.0, 10.0, 100.0, 1000.0]);
        assert!((p + 199.5).abs() < 0.01, "{p}");
    }
}
