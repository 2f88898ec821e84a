//! The fast kernel (SPEC 9.4): one prediction a row from rows before it, codes in rANS with few static classes.

#![allow(
    dead_code,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "numeric inner loops over slices whose lengths are fixed by the grid; sums that input can reach wrap"
)]

mod activity;
mod classes;
mod learn;
mod raster;
mod scale;
mod shape;
mod stencil;
mod token_reader;
mod token_writer;
mod tokens;

use crate::codec::cursor::Cursor;
use crate::error::FormatError;
use crate::lattice::Grid;
use scale::Scale;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// A type of value that the kernel reads and writes without a conversion on the side.
pub trait Sample: sealed::Sealed + Copy + PartialOrd {
    /// Half the distance between 1 and the next larger number.
    const HALF_ULP: f64;
    /// The same number.
    fn to_f64(self) -> f64;
    /// The nearest number of this type.
    fn from_f64(value: f64) -> Self;
}

impl Sample for f32 {
    const HALF_ULP: f64 = f32::EPSILON as f64 / 2.0;
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as f32
    }
}

impl Sample for f64 {
    const HALF_ULP: f64 = f64::EPSILON / 2.0;
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }
}

/// How the points are coded (SPEC 9.4.1).
const CONSTANT: u8 = 0;
const RASTER: u8 = 1;

/// Values spread over more steps than this do not suit: codes take 16 bits.
const LARGEST_SPREAD: f64 = 65_000.0;

/// Least and largest of the ordinary values; `None` if there is none.
fn range<T: Sample>(values: &[T], ordinary: Option<&[bool]>) -> Option<(f64, f64)> {
    const LANES: usize = 16;
    let first = match ordinary {
        Some(o) => *values.get(o.iter().position(|o| *o)?)?,
        None => *values.first()?,
    };
    let (mut low, mut high) = ([first; LANES], [first; LANES]);
    let mut widen = |chunk: &[T; LANES]| {
        for ((l, h), v) in low.iter_mut().zip(&mut high).zip(chunk) {
            *l = if *v < *l { *v } else { *l };
            *h = if *v > *h { *v } else { *h };
        }
    };
    for (k, chunk) in values.chunks(LANES).enumerate() {
        let mut padded = [first; LANES];
        match ordinary {
            None => match chunk.first_chunk() {
                Some(whole) => {
                    widen(whole);
                    continue;
                }
                None => padded[..chunk.len()].copy_from_slice(chunk),
            },
            Some(o) => {
                for ((p, v), o) in padded.iter_mut().zip(chunk).zip(&o[k * LANES..]) {
                    *p = if *o { *v } else { first };
                }
            }
        }
        widen(&padded);
    }
    let low = low.iter().fold(first, |a, b| if *b < a { *b } else { a });
    let high = high.iter().fold(first, |a, b| if *b > a { *b } else { a });
    Some((low.to_f64(), high.to_f64()))
}

/// Codes `values` so that `|recon - value| <= tolerance` at every ordinary point, where the type of the values allows that.
/// `None` if the kernel does not suit: the tolerance is too small for the spread of the values.
pub(crate) fn encode<T: Sample>(values: &[T], grid: &Grid, tolerance: f64, recon: &mut [T]) -> Option<Vec<u8>> {
    let (low, high) = range(values, grid.ordinary).unwrap_or((0.0, 0.0));
    let spread = high - low;
    if !spread.is_finite() || !(tolerance > 0.0) && spread > 0.0 {
        return None;
    }
    let middle = low + spread / 2.0;
    let one = T::from_f64(middle).to_f64();
    if (high - one).max(one - low) <= tolerance {
        let mut out = vec![CONSTANT];
        out.extend(middle.to_le_bytes());
        recon.fill(T::from_f64(middle));
        return Some(out);
    }
    let scale = Scale::fit::<T>(low, high, tolerance);
    if !(spread / scale.step < LARGEST_SPREAD) || !(1.0 / scale.step).is_finite() {
        return None;
    }
    let mut out = vec![RASTER];
    scale.write(&mut out);
    raster::encode(values, grid, &scale, recon, &mut out)?;
    Some(out)
}

/// Inverts [`encode`]; `out` has the grid's length and receives every point, ordinary or not.
pub(crate) fn decode<T: Sample>(bytes: &[u8], grid: &Grid, out: &mut [T]) -> Result<(), FormatError> {
    let mut cursor = Cursor::new(bytes);
    match cursor.u8("fast mode")? {
        CONSTANT => {
            let value = cursor.f64("constant")?;
            if !value.is_finite() {
                return Err(FormatError::Value {
                    field: "constant",
                    found: value.to_bits(),
                    expected: f64::MAX.to_bits(),
                });
            }
            out.fill(T::from_f64(value));
            cursor.finish("fast kernel")
        }
        RASTER => {
            let scale = Scale::read(&mut cursor)?;
            raster::decode(&mut cursor, grid, &scale, out)?;
            cursor.finish("fast kernel")
        }
        found => Err(FormatError::Value { field: "fast mode", found: found.into(), expected: RASTER.into() }),
    }
}
