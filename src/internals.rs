//! What benchmarks and fuzz targets may call; no part of the public API, no promise of stability.
#![allow(missing_docs, reason = "each forwards to the function of that name, documented there")]

pub use crate::fast::Sample;

use crate::codec::classes;
use crate::error::FormatError;
use crate::lattice::{Grid, raster};

pub fn encode_classes(classes: &[u8], alphabet: u8, dims: &[usize]) -> Vec<u8> {
    classes::encode(classes, alphabet, dims)
}
pub fn decode_classes(bytes: &[u8], alphabet: u8, dims: &[usize], out: &mut [u8]) -> Result<(), FormatError> {
    classes::decode(bytes, alphabet, dims, out)
}

/// Bytes and reconstruction of the raster kernel, or `None` if it does not suit.
pub fn encode_raster(
    values: &[f64],
    dims: &[usize],
    ordinary: Option<&[bool]>,
    tolerance: f64,
    snapped: bool,
    inner: &[usize],
) -> Option<(Vec<u8>, Vec<f64>)> {
    let mut recon = vec![0.0; values.len()];
    let options = raster::Options { snapped, inner: inner.to_vec() };
    let bytes = raster::encode(values, &Grid { dims, ordinary }, tolerance, &options, &mut recon)?;
    Some((bytes, recon))
}
pub fn decode_raster(
    bytes: &[u8],
    dims: &[usize],
    ordinary: Option<&[bool]>,
    out: &mut [f64],
) -> Result<(), FormatError> {
    raster::decode(bytes, &Grid { dims, ordinary }, out)
}

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

/// The multilevel kernel (SPEC 9.2).
pub mod multilevel {
    use crate::error::FormatError;
    use crate::lattice::Grid;
    use crate::lattice::multilevel::{self, Options, Profile};

    /// The bytes, and what they decode to.
    pub fn encode(
        values: &[f64],
        dims: &[usize],
        ordinary: Option<&[bool]>,
        tolerance: f64,
        small: bool,
    ) -> Option<(Vec<u8>, Vec<f64>)> {
        let mut recon = vec![0.0; values.len()];
        let profile = if small { Profile::Small } else { Profile::Balanced };
        let bytes = multilevel::encode(values, &Grid { dims, ordinary }, tolerance, &Options { profile }, &mut recon)?;
        Some((bytes, recon))
    }

    /// The values of all points.
    ///
    /// # Errors
    /// If the bytes are damaged.
    pub fn decode(bytes: &[u8], dims: &[usize], ordinary: Option<&[bool]>) -> Result<Vec<f64>, FormatError> {
        let mut out = vec![0.0; dims.iter().product()];
        multilevel::decode(bytes, &Grid { dims, ordinary }, &mut out)?;
        Ok(out)
    }
}

/// A frame coded in one way, or `None` if that way does not suit the bound; a bound relative to the range is not for
/// a lone frame (SPEC 6).
///
/// # Errors
/// If the way is unknown, or the frame misses its bound.
pub fn encode_frame<T: crate::Element>(
    values: &[T],
    dims: &[usize],
    bound: crate::Bound,
    fill: Option<T>,
    kernel: &str,
) -> crate::Result<Option<Vec<u8>>> {
    use crate::frame::{Candidate, Kernel, Models};
    use crate::lattice::multilevel::{Options, Profile};
    let raster = |snapped| Kernel::Raster(raster::Options { snapped, inner: Vec::new() });
    let kernel = match kernel {
        "multilevel" => Kernel::Multilevel(Options { profile: Profile::Balanced }),
        "multilevel small" => Kernel::Multilevel(Options { profile: Profile::Small }),
        "raster" => raster(false),
        "raster snapped" => raster(true),
        "fast" => Kernel::Fast,
        "exact" => Kernel::Exact,
        "sparse" => Kernel::Sparse(crate::sparse::Options::default()),
        other => return Err(crate::ArgumentError::Other(format!("no kernel `{other}`")).into()),
    };
    let candidates = [Candidate { label: "asked", kernel, hole: false }];
    let tolerance = crate::ResolvedBound::new(bound.validate()?, 0.0).tolerance;
    let (models, threads) = (Models::default(), crate::parallel::Threads::new(1));
    let encoded = crate::frame::encode(values, dims, tolerance, fill, &candidates, &models, threads)?;
    Ok((encoded.chosen == "asked").then_some(encoded.bytes))
}

/// Decodes a lone frame (SPEC 6).
///
/// # Errors
/// What is wrong with it.
pub fn decode_frame<T: crate::Element>(bytes: &[u8], dims: &[usize], out: &mut [T]) -> crate::Result<()> {
    crate::frame::decode(bytes, dims, None, out).map_err(|fault| fault.at(crate::Place::LoneFrame, 0))
}
