//! The types of value that an array may hold (SPEC 4.2).

use std::borrow::Cow;
use std::fmt::Debug;
use zerocopy::IntoBytes;

/// Type of an array's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DataType {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary64.
    F64,
}

impl DataType {
    /// Bytes of one value.
    pub fn size(self) -> usize {
        match self {
            DataType::F32 => 4,
            DataType::F64 => 8,
        }
    }

    /// `f32` or `f64`.
    pub fn name(self) -> &'static str {
        match self {
            DataType::F32 => "f32",
            DataType::F64 => "f64",
        }
    }
}

/// Number of bit patterns that order below +0; for `f64` as a wrapped `i64`.
fn lowest(data_type: DataType) -> i64 {
    match data_type {
        DataType::F32 => 1 << 31,
        DataType::F64 => i64::MIN,
    }
}

mod sealed {
    use crate::frame::Typed;
    use std::ops::{Add, Sub};

    pub trait Sealed: Sized + Add<Output = Self> + Sub<Output = Self> + Typed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// A value of an array: `f32` or `f64`.
pub trait Element: sealed::Sealed + Copy + PartialOrd + Debug + Default + Send + Sync + 'static {
    /// The type in the file.
    const DATA_TYPE: DataType;
    /// Not a number, used to fill what a damaged frame held.
    const NAN: Self;
    /// Half the distance between 1 and the next larger value.
    const HALF_ULP: f64;
    /// Widens exactly.
    fn to_f64(self) -> f64;
    /// Rounds to nearest, ties to even.
    fn from_f64(v: f64) -> Self;
    /// The bit pattern in the low bits.
    fn to_bits64(self) -> u64;
    /// The value with this bit pattern; high bits are ignored for `f32`.
    fn from_bits64(bits: u64) -> Self;
    /// Appends the little-endian bytes.
    fn put_le(self, out: &mut Vec<u8>);
    /// The little-endian bytes of all values; borrowed where the machine keeps them so.
    fn le_bytes(values: &[Self]) -> Cow<'_, [u8]>;
    /// The value whose little-endian bytes start `bytes`, which hold at least [`DataType::size`].
    fn get_le(bytes: &[u8]) -> Option<Self>;

    /// Position of the value in the order of all finite values: negatives below, -0.0 just under 0.0 (SPEC 6.4).
    fn to_ordered(self) -> i64;
    /// Inverse of [`Element::to_ordered`].
    fn from_ordered(q: i64) -> Self;

    /// [`Element::to_ordered`] counted from the lowest bit pattern, so that it is never negative.
    fn to_image(self) -> u64 {
        self.to_ordered().wrapping_add(lowest(Self::DATA_TYPE)).cast_unsigned()
    }
    /// Inverse of [`Element::to_image`].
    fn from_image(q: u64) -> Self {
        Self::from_ordered(q.cast_signed().wrapping_sub(lowest(Self::DATA_TYPE)))
    }
}

impl Element for f32 {
    const DATA_TYPE: DataType = DataType::F32;
    const NAN: f32 = f32::NAN;
    const HALF_ULP: f64 = f32::EPSILON as f64 / 2.0;
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    #[allow(clippy::cast_possible_truncation, reason = "IEEE rounding to nearest is what is wanted")]
    #[inline(always)]
    fn from_f64(v: f64) -> f32 {
        v as f32
    }
    #[inline(always)]
    fn to_bits64(self) -> u64 {
        u64::from(self.to_bits())
    }
    #[allow(clippy::cast_possible_truncation, reason = "documented: high bits are ignored")]
    #[inline(always)]
    fn from_bits64(bits: u64) -> f32 {
        f32::from_bits(bits as u32)
    }
    fn le_bytes(values: &[Self]) -> Cow<'_, [u8]> {
        if cfg!(target_endian = "little") {
            return Cow::Borrowed(values.as_bytes());
        }
        let mut bytes = Vec::with_capacity(size_of_val(values));
        values.iter().for_each(|v| v.put_le(&mut bytes));
        Cow::Owned(bytes)
    }
    #[inline(always)]
    fn put_le(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }
    #[inline(always)]
    fn get_le(bytes: &[u8]) -> Option<f32> {
        bytes.first_chunk().map(|b| f32::from_le_bytes(*b))
    }
    fn to_ordered(self) -> i64 {
        let b = self.to_bits().cast_signed();
        i64::from(if b < 0 { !(b & i32::MAX) } else { b })
    }
    #[allow(clippy::cast_possible_truncation, reason = "the ordered image of an f32 fits 32 bits")]
    fn from_ordered(q: i64) -> f32 {
        let q = q as i32;
        f32::from_bits(if q < 0 { (!q).cast_unsigned() | 1 << 31 } else { q.cast_unsigned() })
    }
}

impl Element for f64 {
    const DATA_TYPE: DataType = DataType::F64;
    const NAN: f64 = f64::NAN;
    const HALF_ULP: f64 = f64::EPSILON / 2.0;
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn from_f64(v: f64) -> f64 {
        v
    }
    #[inline(always)]
    fn to_bits64(self) -> u64 {
        self.to_bits()
    }
    #[inline(always)]
    fn from_bits64(bits: u64) -> f64 {
        f64::from_bits(bits)
    }
    fn le_bytes(values: &[Self]) -> Cow<'_, [u8]> {
        if cfg!(target_endian = "little") {
            return Cow::Borrowed(values.as_bytes());
        }
        let mut bytes = Vec::with_capacity(size_of_val(values));
        values.iter().for_each(|v| v.put_le(&mut bytes));
        Cow::Owned(bytes)
    }
    #[inline(always)]
    fn put_le(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }
    #[inline(always)]
    fn get_le(bytes: &[u8]) -> Option<f64> {
        bytes.first_chunk().map(|b| f64::from_le_bytes(*b))
    }
    fn to_ordered(self) -> i64 {
        let b = self.to_bits().cast_signed();
        if b < 0 { !(b & i64::MAX) } else { b }
    }
    fn from_ordered(q: i64) -> f64 {
        f64::from_bits(if q < 0 { (!q).cast_unsigned() | 1 << 63 } else { q.cast_unsigned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordered_images_keep_the_order_and_come_back() {
        let v = [f64::MIN, -1.0, -5e-324, -0.0, 0.0, 5e-324, 1.0, f64::MAX];
        assert!(v.windows(2).all(|w| w[0].to_ordered() < w[1].to_ordered()));
        assert!(v.iter().all(|x| f64::from_ordered(x.to_ordered()).to_bits() == x.to_bits()));
        let v = [f32::MIN, -1.0, -1e-45, -0.0, 0.0, 1e-45, 1.0, f32::MAX];
        assert!(v.windows(2).all(|w| w[0].to_ordered() < w[1].to_ordered()));
        assert!(v.iter().all(|x| f32::from_ordered(x.to_ordered()).to_bits() == x.to_bits()));
        assert_eq!((-0.0f32).to_ordered(), -1);
    }
}
