//! What benchmarks and fuzz targets may call of the kernel.
#![allow(missing_docs, reason = "each forwards to the function of that name, documented there")]

use crate::lattice::Grid;
pub use crate::model::{Decoder, Encoder};
use crate::sparse::{self, Options, Precision, Sections, Target};

fn precision(single: bool) -> Precision {
    if single { Precision::F32 } else { Precision::F64 }
}

/// The four sections of the paper's pipeline under a point-wise relative or an absolute bound.
pub fn encode_sparse(
    values: &[f64],
    dims: &[usize],
    single: bool,
    bound: f64,
    relative: bool,
    models: Option<(&dyn Encoder, &dyn Decoder)>,
) -> crate::Result<[Vec<u8>; 4]> {
    let ordinary: Vec<bool> = values.iter().map(|v| v.is_finite()).collect();
    let grid = Grid { dims, ordinary: Some(&ordinary) };
    let ok = |i: usize, v: f64| {
        let x = values.get(i).copied().unwrap_or(f64::NAN);
        (v - x).abs() <= if relative { bound * x.abs() } else { bound }
    };
    let target = Target { values, grid: &grid, precision: precision(single), ok: &ok };
    let options = Options { unproved: Some(0.0), ..Options::default() };
    let coded = sparse::encode(&target, models.map(|m| m.0), models.map(|m| m.1), &options)?;
    let s = coded.map(|c| c.sections).unwrap_or_default();
    Ok([s.exponents, s.latents, s.bitmap, s.deltas])
}

/// Decodes what [`encode_sparse`] made of values that were all finite.
pub fn decode_sparse(
    sections: [&[u8]; 4],
    dims: &[usize],
    single: bool,
    decoder: Option<&dyn Decoder>,
    out: &mut [f64],
) -> crate::Result<()> {
    let [exponents, latents, bitmap, deltas] = sections;
    let sections = Sections { exponents, latents, bitmap, deltas };
    sparse::decode(&sections, &Grid { dims, ordinary: None }, precision(single), decoder, out)
}
