//! The lattice: which value each whole number stands for (SPEC 9.4.1).

use super::Sample;
use crate::codec::cursor::Cursor;
use crate::error::FormatError;

/// Adding this leaves a whole number of small magnitude in the lower half of the bits.
pub(super) const ROUND: f32 = 12_582_912.0;

/// Lattice point `k` stands for `base + step * k`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    pub(super) base: f64,
    pub(super) step: f64,
    inverse: f64,
}

impl Scale {
    pub(super) fn new(base: f64, step: f64) -> Self {
        Scale { base, step, inverse: 1.0 / step }
    }

    /// A scale whose points are near enough to meet `tolerance` on values between `low` and `high` even after rounding to
    /// `T`, where that is possible.
    pub(super) fn fit<T: Sample>(base: f64, low: f64, high: f64, tolerance: f64) -> Self {
        let largest = low.abs().max(high.abs());
        let slack = largest * T::HALF_ULP * 1.01;
        let half = if slack < tolerance / 8.0 { tolerance - slack } else { tolerance };
        // Single precision places values within spread / step * 2^-24 steps or so, and the recurrence of a step multiplies that:
        // a dozen times as much is kept free.
        let places = 12.0 * (high - low) / half * f64::from(f32::EPSILON);
        Scale::new(base, 2.0 * half * (1.0 - places.min(0.25)))
    }

    /// A scale whose points are near enough to values between `low` and `high`, as they are rounded to whole steps in double
    /// precision; `low` is a point.
    pub(super) fn exact<T: Sample>(low: f64, high: f64, tolerance: f64) -> Self {
        let slack = low.abs().max(high.abs()) * (T::HALF_ULP * 1.01 + f64::EPSILON);
        let half = if slack < tolerance / 8.0 { tolerance - slack } else { tolerance };
        Scale::new(low, 2.0 * half * (1.0 - 1e-10))
    }

    /// Where `value` lies, in steps from the base.
    #[inline(always)]
    pub(super) fn place(&self, value: f64) -> f32 {
        ((value - self.base) * self.inverse) as f32
    }

    /// The value of lattice point `k`.
    #[inline(always)]
    pub(super) fn value(&self, k: f64) -> f64 {
        self.base + self.step * k
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.base.to_le_bytes());
        out.extend(self.step.to_le_bytes());
    }

    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, FormatError> {
        let (base, step) = (cursor.f64("base")?, cursor.f64("step")?);
        if !base.is_finite() {
            return Err(FormatError::Value { field: "base", found: base.to_bits(), expected: f64::MAX.to_bits() });
        }
        if !(step.is_finite() && step > 0.0) {
            return Err(FormatError::Value { field: "step", found: step.to_bits(), expected: f64::MAX.to_bits() });
        }
        Ok(Scale::new(base, step))
    }
}
