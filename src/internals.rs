//! What benchmarks and fuzz targets may call; no part of the public API, no promise of stability.
#![allow(missing_docs, reason = "each forwards to the function of that name, documented there")]

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
