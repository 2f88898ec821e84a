//! Least-squares weights of neighbors, learned on the way from points already decoded (SPEC 9.2.4).
//!
//! Writer and reader run the same IEEE-754 binary64 operations in the same order, so nothing is stored.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::needless_range_loop,
    reason = "inner loops over triangles whose sizes are constants"
)]

use crate::lattice::blocks::{BLOCK, add_sample};
use fearless_simd::Simd;

/// Largest number of taps.
pub(crate) const TAPS: usize = 32;
const WIDTH: usize = TAPS / BLOCK;

/// Weighted normal equations and their solution.
#[derive(Debug, Clone)]
pub(crate) struct Stencil {
    /// How many taps are in use.
    len: usize,
    /// Lower triangle of the sums of products of taps, row by row in rows of `TAPS`.
    moments: Box<[[f64; TAPS]; TAPS]>,
    /// Sums of products of taps and targets.
    targets: [f64; TAPS],
    weights: [f64; TAPS],
    /// Weight of the next sample; grows instead of shrinking all sums.
    gain: f64,
    growth: f64,
    samples: u32,
    next_solution: u32,
    /// Sum of the weights gathered.
    trust: f64,
}

/// Sums are scaled down when the weight of a sample exceeds this.
const GAIN_MAX: f64 = 1_048_576.0;

/// Longest wait between solutions, in samples.
const PATIENCE: u32 = 128;

/// Part of the mean diagonal that is added to the diagonal.
const RIDGE: f64 = 1.0 / 2048.0;

impl Stencil {
    /// `growth`: factor by which each sample outweighs the one before.
    pub(crate) fn new(len: usize, growth: f64) -> Self {
        Stencil {
            len: len.min(TAPS),
            moments: Box::new([[0.0; TAPS]; TAPS]),
            targets: [0.0; TAPS],
            weights: [0.0; TAPS],
            gain: 1.0,
            growth,
            samples: 0,
            next_solution: 16,
            trust: 0.0,
        }
    }

    /// Starts the next pass from this one's sums, which then count as about `keep` samples.
    pub(crate) fn descend(&mut self, keep: f64) {
        let effective = f64::from(self.samples) * self.gain;
        if effective > keep {
            self.scale(keep / effective);
        } else {
            self.scale(1.0 / self.gain);
        }
        self.samples = self.samples.min(16);
        self.next_solution = self.samples + 16;
        self.gain = 1.0;
    }

    fn scale(&mut self, by: f64) {
        for row in self.moments.iter_mut() {
            row.iter_mut().for_each(|m| *m *= by);
        }
        self.targets.iter_mut().for_each(|t| *t *= by);
    }

    /// The weighted sum of `taps`.
    #[inline(always)]
    pub(crate) fn predict(&self, taps: &[f64; TAPS]) -> f64 {
        let mut lanes = [0f64; 4];
        for (x, w) in taps.chunks_exact(4).zip(self.weights.chunks_exact(4)) {
            for j in 0..4 {
                lanes[j] += x[j] * w[j];
            }
        }
        (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])
    }

    /// Learns that `taps` were followed by `target`; `weight` is the trust in it. Not inlined: writer and reader share it.
    #[inline(never)]
    pub(crate) fn learn<S: Simd>(&mut self, simd: S, taps: &[f64; TAPS], target: f64, weight: f64) {
        simd.vectorize(
            #[inline(always)]
            || {
                self.add(simd, taps, target, weight * self.gain);
                self.gain *= self.growth;
                self.samples += 1;
                if self.samples >= self.next_solution {
                    self.next_solution = self.samples + (self.samples / 4).min(PATIENCE);
                    if self.gain > GAIN_MAX {
                        self.scale(1.0 / self.gain);
                        self.gain = 1.0;
                    }
                    self.solve();
                }
            },
        );
    }

    /// Adds a sample of some weight without ever solving.
    #[inline(always)]
    pub(crate) fn gather<S: Simd>(&mut self, simd: S, taps: &[f64; TAPS], target: f64, weight: f64) {
        self.trust += weight;
        self.add(simd, taps, target, weight);
    }

    /// Solves for taps that have noise of this variance on top of what was gathered.
    pub(crate) fn solve_with_noise(&mut self, variance: f64) {
        for i in 0..self.len {
            self.moments[i][i] += variance * self.trust;
        }
        self.solve();
    }

    /// The weight of tap `t`.
    pub(crate) fn weight(&self, t: usize) -> f64 {
        self.weights[t]
    }

    #[inline(always)]
    fn add<S: Simd>(&mut self, simd: S, taps: &[f64; TAPS], target: f64, gain: f64) {
        let moments = self.moments.as_flattened_mut().as_chunks_mut::<BLOCK>().0.as_chunks_mut::<WIDTH>().0;
        let targets = self.targets.as_chunks_mut::<BLOCK>().0;
        // What lies above the diagonal is never read. Taps that are not in use are zeros.
        let used = &taps.as_chunks::<BLOCK>().0[..self.len.div_ceil(BLOCK)];
        add_sample::<S, WIDTH>(simd, moments, targets, used, target, gain);
    }

    /// Cholesky decomposition of the sums with a ridge; weights stay as they were if it fails.
    #[inline(always)]
    fn solve(&mut self) {
        let n = self.len;
        let mut trace = 0.0;
        for i in 0..n {
            trace += self.moments[i][i];
        }
        #[allow(clippy::cast_precision_loss, reason = "at most TAPS")]
        let ridge = RIDGE * trace / n as f64 + 1e-6 * self.gain;
        let mut l = [[0f64; TAPS]; TAPS];
        let mut z = [0f64; TAPS];
        for i in 0..n {
            for j in 0..i {
                let mut s = self.moments[i][j];
                for k in 0..j {
                    s -= l[i][k] * l[j][k];
                }
                l[i][j] = s * l[j][j];
            }
            let mut s = self.moments[i][i] + ridge;
            for k in 0..i {
                s -= l[i][k] * l[i][k];
            }
            if !(s > 0.0 && s < f64::INFINITY) {
                return;
            }
            // The diagonal holds inverses.
            l[i][i] = 1.0 / s.sqrt();
            let mut s = self.targets[i];
            for k in 0..i {
                s -= l[i][k] * z[k];
            }
            z[i] = s * l[i][i];
        }
        let mut w = [0f64; TAPS];
        for i in (0..n).rev() {
            let mut s = z[i];
            for k in i + 1..n {
                s -= l[k][i] * w[k];
            }
            w[i] = s * l[i][i];
        }
        if w.iter().all(|w| w.abs() < 1e6) {
            self.weights = w;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fearless_simd::Fallback;

    #[test]
    fn learns_a_linear_rule() {
        let mut s = Stencil::new(3, 1.001);
        let mut state = 1u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f64 / 16_777_216.0 - 0.5
        };
        for _ in 0..3000 {
            let mut x = [0.0; TAPS];
            x[..3].copy_from_slice(&[random(), random(), random()]);
            s.learn(Fallback::new(), &x, 0.5 * x[0] - 0.25 * x[1] + x[2], 1.0);
        }
        let mut x = [0.0; TAPS];
        x[0] = 2.0;
        assert!((s.predict(&x) - 1.0).abs() < 0.02);
    }
}
