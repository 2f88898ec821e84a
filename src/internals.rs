//! What benchmarks and fuzz targets may call; no part of the public API, no promise of stability.
#![allow(missing_docs, reason = "each forwards to the function of that name, documented there")]

use crate::codec::classes;
use crate::error::FormatError;

pub fn encode_classes(classes: &[u8], alphabet: u8, dims: &[usize]) -> Vec<u8> {
    classes::encode(classes, alphabet, dims)
}
pub fn decode_classes(bytes: &[u8], alphabet: u8, dims: &[usize], out: &mut [u8]) -> Result<(), FormatError> {
    classes::decode(bytes, alphabet, dims, out)
}
