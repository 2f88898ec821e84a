//! From values to whole numbers of steps and back (SPEC 9.1).

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "numbers of steps are checked to be below 2^30 or 2^51"
)]

/// Largest magnitude of a correction, in steps.
pub(crate) const CODE_MAX: i32 = 1 << 30;

/// Adding and subtracting this rounds a number below 2^51 in magnitude to the nearest integer, ties to even.
const ROUNDER: f64 = 6_755_399_441_055_744.0;

/// `x` rounded to the nearest integer, ties to even; `|x|` must be below 2^51.
#[inline(always)]
pub(crate) fn round(x: f64) -> f64 {
    (x + ROUNDER) - ROUNDER
}

/// Spacing of what can be reconstructed around a prediction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quantizer {
    step: f64,
    /// Predictions are first rounded to a whole number of steps, so that every reconstruction is one.
    snapped: bool,
    /// What is added to whole numbers of steps then.
    offset: f64,
}

impl Quantizer {
    pub(crate) fn new(step: f64) -> Self {
        Quantizer { step, snapped: false, offset: 0.0 }
    }

    pub(crate) fn snapped(step: f64, offset: f64) -> Self {
        Quantizer { step, snapped: true, offset }
    }

    /// The same kind of quantizer with another step.
    pub(crate) fn with_step(self, step: f64) -> Self {
        Quantizer { step, ..self }
    }

    /// The value that `k` stands for.
    #[inline(always)]
    pub(crate) fn reconstruct(&self, prediction: f64, k: i32) -> f64 {
        if self.snapped {
            self.offset + (self.snap(prediction) + f64::from(k)) * self.step
        } else {
            prediction + f64::from(k) * self.step
        }
    }

    #[inline(always)]
    fn snap(&self, prediction: f64) -> f64 {
        round(((prediction - self.offset) / self.step).clamp(-1e15, 1e15))
    }

    /// The number that brings `prediction` within `tolerance` of `value`, if one does.
    #[inline(always)]
    pub(crate) fn quantize(&self, value: f64, prediction: f64, tolerance: f64) -> Option<i32> {
        let center = if self.snapped { self.offset + self.snap(prediction) * self.step } else { prediction };
        let q = round(((value - center) / self.step).clamp(-2e9, 2e9));
        let k = q as i32;
        if k.checked_abs()? > CODE_MAX {
            return None;
        }
        let good = |k: i32| (self.reconstruct(prediction, k) - value).abs() <= tolerance;
        if good(k) {
            return Some(k);
        }
        // Rounding of the sum may have pushed a value at the edge of its cell out of it.
        [k.checked_add(1)?, k.checked_sub(1)?].into_iter().find(|k| good(*k))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_ties_to_even() {
        for (x, r) in [(0.5, 0.0), (1.5, 2.0), (-0.5, 0.0), (-2.5, -2.0), (3.2, 3.0), (1e12 + 0.5, 1e12)] {
            assert_eq!(round(x), r);
        }
    }

    #[test]
    fn keeps_the_tolerance() {
        for q in [Quantizer::new(0.02), Quantizer::snapped(0.02, 0.003)] {
            for i in -1000..1000 {
                let v = f64::from(i) * 0.00317;
                let k = q.quantize(v, 0.0123, 0.01).unwrap();
                assert!((q.reconstruct(0.0123, k) - v).abs() <= 0.01);
            }
        }
    }
}
