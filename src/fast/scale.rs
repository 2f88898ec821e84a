//! The lattice: which value each whole number stands for (SPEC 9.4.1).

use super::Sample;
use crate::codec::cursor::Cursor;
use crate::element::DataType;
use crate::error::FormatError;
use fearless_simd::{Simd, f32x8};

/// Adding this leaves a whole number of small magnitude in the lower half of the bits.
pub(super) const ROUND: f32 = 12_582_912.0;

/// Lattice point `k` stands for `base + step * k`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    pub(super) base: f64,
    pub(super) step: f64,
    inverse: f64,
    /// Base and inverse step in single precision.
    single: (f32, f32),
}

impl Scale {
    pub(super) fn new(base: f64, step: f64) -> Self {
        let inverse = 1.0 / step;
        Scale { base, step, inverse, single: (base as f32, inverse as f32) }
    }

    /// Whether [`Scale::place`] is exact enough: values of single precision are placed in that.
    pub(super) fn suits<T: Sample>(&self, low: f64, high: f64) -> bool {
        match T::DATA_TYPE {
            DataType::F32 => self.single.1.is_normal() && high - low < f64::from(f32::MAX),
            DataType::F64 => self.inverse.is_finite(),
        }
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

    /// Where `value` lies, in steps from the base, which must be a value of that type.
    #[inline(always)]
    pub(super) fn place<T: Sample>(&self, value: T) -> f32 {
        match T::DATA_TYPE {
            // Three roundings instead of one: of the dozen that `fit` keeps free.
            DataType::F32 => (value.to_f64() as f32 - self.single.0) * self.single.1,
            DataType::F64 => ((value.to_f64() - self.base) * self.inverse) as f32,
        }
    }

    /// [`Scale::place`] of eight values.
    #[inline(always)]
    pub(super) fn places<S: Simd, T: Sample>(&self, simd: S, values: &[T; 8]) -> f32x8<S> {
        let mut places = [0f32; 8];
        if T::DATA_TYPE == DataType::F64 {
            for (p, v) in places.iter_mut().zip(values) {
                *p = self.place(*v);
            }
            return simd.load_array_f32x8(places);
        }
        // A copy, which becomes a load.
        for (p, v) in places.iter_mut().zip(values) {
            *p = v.to_f64() as f32;
        }
        let (base, inverse) = self.single;
        let far = simd.sub_f32x8(simd.load_array_f32x8(places), simd.splat_f32x8(base));
        simd.mul_f32x8(far, simd.splat_f32x8(inverse))
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
            return Err(FormatError::number("base", base, "a finite number"));
        }
        if !(step.is_finite() && step > 0.0) {
            return Err(FormatError::number("step", step, "a positive finite number"));
        }
        Ok(Scale::new(base, step))
    }
}
