//! What benchmarks and fuzz targets may call; no part of the public API, no promise of stability.

pub use crate::fast::Sample;

use crate::codec::cursor::Cursor;
use crate::codec::rans;
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

/// One batch through [`crate::codec::rans`]: the models' bytes and the stream's. Classes are below `classes_used`.
pub fn rans_encode(symbols: &[u8], classes: &[u8], classes_used: usize) -> (Vec<u8>, Vec<u8>) {
    let mut counts = vec![[0u32; 256]; classes_used];
    for (s, c) in symbols.iter().zip(classes) {
        if let Some(n) = counts.get_mut(usize::from(*c)).and_then(|c| c.get_mut(usize::from(*s))) {
            *n = n.saturating_add(1);
        }
    }
    let models: Vec<rans::Model> = counts.iter().map(rans::Model::from_counts).collect();
    let mut encoder = rans::Encoder::new(&models, rans::MAX_LANES);
    encoder.put(symbols, classes);
    let mut stream = Vec::new();
    encoder.finish(&mut stream);
    (rans::write_models(&models), stream)
}

/// Inverts [`rans_encode`].
///
/// # Errors
/// What breaks the specification.
pub fn rans_decode(models: &[u8], stream: &[u8], classes: &[u8], symbols: &mut [u8]) -> Result<(), FormatError> {
    let used = classes.iter().map(|c| usize::from(*c)).max().unwrap_or(0).saturating_add(1);
    let models = rans::read_models(models, used)?;
    let mut decoder = rans::Decoder::new(&models, rans::MAX_LANES, &mut Cursor::new(stream))?;
    decoder.get(classes, symbols)?;
    decoder.finish()
}
