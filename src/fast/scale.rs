//! The lattice: which value each whole number stands for (SPEC 9.4.1).

use super::Sample;
use crate::codec::cursor::Cursor;
use crate::error::FormatError;

/// Adding and subtracting this rounds to the nearest whole number, ties to even, numbers up to 2^51.
const ROUND: f64 = 6_755_399_441_055_744.0;

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
    pub(super) fn fit<T: Sample>(low: f64, high: f64, tolerance: f64) -> Self {
        let largest = low.abs().max(high.abs());
        let slack = largest * T::HALF_ULP * 1.01;
        let half = if slack < tolerance / 8.0 { tolerance - slack } else { tolerance };
        Scale::new(low + (high - low) / 2.0, 2.0 * half)
    }

    /// The lattice point nearest to `value`; 0 for what is not finite.
    #[inline(always)]
    pub(super) fn quantize(&self, value: f64) -> f32 {
        (((value - self.base) * self.inverse) + ROUND - ROUND) as f32
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
