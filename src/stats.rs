//! What was lost: errors of decoded values against the originals.

use crate::bound::Tolerance;

/// Sums over the finite values of a frame or an array; [`ErrorStats::merge`] joins those of its parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ErrorStats {
    tolerance: Tolerance,
    /// Finite values seen.
    pub count: u64,
    /// Smallest and largest finite value.
    pub range: (f64, f64),
    /// Largest |x - y|.
    pub max_error: f64,
    /// Largest error as a multiple of the bound at its point; 0 for lossless.
    pub max_error_over_bound: f64,
    sum_squares: f64,
    sum_relative: f64,
    nonzero: u64,
}

impl ErrorStats {
    pub(crate) fn new(tolerance: Tolerance) -> Self {
        ErrorStats {
            tolerance,
            count: 0,
            range: (f64::INFINITY, f64::NEG_INFINITY),
            max_error: 0.0,
            max_error_over_bound: 0.0,
            sum_squares: 0.0,
            sum_relative: 0.0,
            nonzero: 0,
        }
    }

    /// Takes in the finite original `x` and what it became.
    pub(crate) fn add(&mut self, x: f64, y: f64) {
        let e = (x - y).abs();
        self.count = self.count.saturating_add(1);
        self.range = (self.range.0.min(x), self.range.1.max(x));
        self.sum_squares += e * e;
        if x != 0.0 {
            self.nonzero = self.nonzero.saturating_add(1);
            self.sum_relative += e / x.abs();
        }
        if e > 0.0 {
            let bound = match self.tolerance {
                Tolerance::Lossless => 0.0,
                Tolerance::Absolute(a) => a,
                Tolerance::Pointwise(b) => b * x.abs(),
            };
            self.max_error = self.max_error.max(e);
            self.max_error_over_bound = self.max_error_over_bound.max(e / bound);
        }
    }

    /// Joins the figures of another part of the same array.
    pub fn merge(&mut self, other: &ErrorStats) {
        self.count = self.count.saturating_add(other.count);
        self.range = (self.range.0.min(other.range.0), self.range.1.max(other.range.1));
        self.max_error = self.max_error.max(other.max_error);
        self.max_error_over_bound = self.max_error_over_bound.max(other.max_error_over_bound);
        self.sum_squares += other.sum_squares;
        self.sum_relative += other.sum_relative;
        self.nonzero = self.nonzero.saturating_add(other.nonzero);
    }

    /// Mean of |x - y| / |x| over non-zero values: the paper's E.
    #[allow(clippy::cast_precision_loss, reason = "a mean needs no more")]
    pub fn mean_pointwise_error(&self) -> f64 {
        if self.nonzero == 0 { 0.0 } else { self.sum_relative / self.nonzero as f64 }
    }

    /// Root of the mean squared error.
    #[allow(clippy::cast_precision_loss, reason = "a mean needs no more")]
    pub fn rmse(&self) -> f64 {
        if self.count == 0 { 0.0 } else { (self.sum_squares / self.count as f64).sqrt() }
    }

    /// Peak signal-to-noise ratio in dB, the peak being max - min; infinite where nothing was lost.
    pub fn psnr(&self) -> f64 {
        20.0 * ((self.range.1 - self.range.0) / self.rmse()).log10()
    }
}
