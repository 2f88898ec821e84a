//! Coders: slices in, slices out. They know nothing of models, frames or files.
//!
//! Every decoder is told how much it must produce, consumes its input exactly, and answers bad input with a
//! [`FormatError`](crate::FormatError).

pub(crate) mod arithmetic;
pub(crate) mod bitmap;
pub(crate) mod bits;
pub(crate) mod bzip;
pub(crate) mod classes;
pub(crate) mod cursor;
pub(crate) mod deltas;
pub(crate) mod exponents;
pub(crate) mod integers;
pub(crate) mod latents;
pub(crate) mod mix;
pub(crate) mod neighbors;
pub(crate) mod period;
pub(crate) mod prefix;
pub(crate) mod slots;

/// Whether a stored checksum or digest is the computed one. Fuzz targets are built to take any, so that changed bytes
/// reach the parsers behind it.
pub(crate) fn checksum_holds(stored: u32, computed: u32) -> bool {
    stored == computed || cfg!(fuzzing)
}
