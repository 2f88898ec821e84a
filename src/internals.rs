//! What benchmarks and fuzz targets may call; no part of the public API, no promise of stability.

pub use crate::fast::Sample;

use crate::error::FormatError;
use crate::lattice::Grid;

/// [`crate::fast::encode`].
pub fn fast_encode<T: Sample>(
    values: &[T],
    dims: &[usize],
    ordinary: Option<&[bool]>,
    tolerance: f64,
    recon: &mut [T],
) -> Option<Vec<u8>> {
    crate::fast::encode(values, &Grid { dims, ordinary }, tolerance, recon)
}

/// [`crate::fast::decode`].
///
/// # Errors
/// What breaks the specification.
pub fn fast_decode<T: Sample>(
    bytes: &[u8],
    dims: &[usize],
    ordinary: Option<&[bool]>,
    out: &mut [T],
) -> Result<(), FormatError> {
    crate::fast::decode(bytes, &Grid { dims, ordinary }, out)
}
