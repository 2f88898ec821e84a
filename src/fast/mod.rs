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

pub use crate::element::Element as Sample;

/// How the points are coded (SPEC 9.4.1).
const CONSTANT: u8 = 0;
const RASTER: u8 = 1;

/// Values spread over more steps than this do not suit: codes take 16 bits.
const LARGEST_SPREAD: f64 = 65_000.0;

/// Codes `values` so that `|recon - value| <= tolerance` at every ordinary point, where the type of the values allows that.
/// `None` if the kernel does not suit: the tolerance is too small for the spread of the values.
pub(crate) fn encode<T: Sample>(values: &[T], grid: &Grid, tolerance: f64, recon: &mut [T]) -> Option<Vec<u8>> {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for (i, v) in values.iter().enumerate() {
        if grid.is_ordinary(i) {
            let v = v.to_f64();
            low = low.min(v);
            high = high.max(v);
        }
    }
    if low > high {
        (low, high) = (0.0, 0.0);
    }
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
