//! What is wanted of a prediction, and in which direction it lacks.

use crate::autoencoder::Scale;
use ndarray::{Array2, ArrayView2, Zip};

/// Measure of a prediction p of a value y.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// (p - y)^2.
    Mse,
    /// |p - y| / |y|: the paper's measure of accuracy.
    Mae,
    /// The square of log(p / y).
    Log,
    /// log(1 + q^2), q being the error over the bound: about the bits that a correction takes. Inside the bound it still
    /// pulls a little, since rounding and coarser latents may push a value out again.
    Bound,
}

/// |x| is smooth below this, so that steps can settle.
const SMOOTH: f32 = 1e-3;

/// Ratios below this are judged as if the logarithm went on straight.
const LEAST_RATIO: f32 = 0.05;

impl Loss {
    /// The loss at one value and its slope by p; `tolerance` is what the bound allows there.
    fn at(self, p: f32, y: f32, tolerance: f32, spread: f32) -> (f32, f32) {
        match self {
            Loss::Mse => {
                let e = (p - y) / spread;
                (e * e, 2.0 * e / spread)
            }
            Loss::Mae => {
                let e = (p - y) / y.abs();
                let root = e.mul_add(e, SMOOTH * SMOOTH).sqrt();
                (root - SMOOTH, e / root / y.abs())
            }
            Loss::Log => {
                let ratio = p / y;
                let (log, slope) = if ratio > LEAST_RATIO {
                    (ratio.ln(), 1.0 / ratio)
                } else {
                    (LEAST_RATIO.ln() + (ratio - LEAST_RATIO) / LEAST_RATIO, 1.0 / LEAST_RATIO)
                };
                (log * log, 2.0 * log * slope / y)
            }
            Loss::Bound => {
                let tolerance = tolerance.max(f32::MIN_POSITIVE);
                let q = (p - y) / tolerance;
                let loss = (q * q).ln_1p();
                let slope = 2.0 * q / (1.0 + q * q) / tolerance;
                (loss, slope)
            }
        }
    }

    /// Mean loss of a batch of scaled predictions, and its slope by them.
    pub fn slope(
        self,
        predicted: ArrayView2<'_, f32>,
        targets: ArrayView2<'_, f32>,
        tolerances: Option<ArrayView2<'_, f32>>,
        scale: Scale,
        spread: f32,
    ) -> (f64, Array2<f32>) {
        let mut slope = Array2::zeros(predicted.dim());
        let (mut sum, mut count) = (0.0f64, 0u64);
        let mut one = |s: &mut f32, u: f32, y: f32, t: f32| {
            if y != 0.0 {
                let (loss, by) = self.at(u * scale.spread + scale.mean, y, t, spread);
                sum += f64::from(loss);
                count += 1;
                *s = by * scale.spread;
            }
        };
        match tolerances {
            Some(t) => {
                Zip::from(&mut slope).and(predicted).and(targets).and(t).for_each(|s, u, y, t| one(s, *u, *y, *t))
            }
            None => Zip::from(&mut slope).and(predicted).and(targets).for_each(|s, u, y| one(s, *u, *y, 0.0)),
        }
        let n = count.max(1) as f64;
        slope *= (1.0 / n) as f32;
        (sum / n, slope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_those_of_the_losses() {
        for loss in [Loss::Mse, Loss::Mae, Loss::Log, Loss::Bound] {
            for (p, y) in [(0.05f32, 0.03f32), (0.02, 0.03), (-0.01, 0.03), (-0.05, -0.04), (0.001, 0.09)] {
                let h = 1e-5;
                let t = 0.002;
                let up = f64::from(loss.at(p + h, y, t, 0.02).0);
                let down = f64::from(loss.at(p - h, y, t, 0.02).0);
                let slope = (up - down) / f64::from(2.0 * h);
                let found = f64::from(loss.at(p, y, t, 0.02).1);
                assert!((slope - found).abs() <= 0.02 * slope.abs().max(1.0), "{loss:?} {p} {y}: {slope} {found}");
            }
        }
        assert!(Loss::Bound.at(0.0301, 0.03, 0.001, 1.0).0 < 0.01);
    }
}
