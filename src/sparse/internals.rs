//! What benchmarks and fuzz targets may call of the kernel.
#![allow(missing_docs, reason = "each forwards to the function of that name, documented there")]

use crate::lattice::Grid;
pub use crate::model::{Decoder, Encoder};
use crate::normalize;
use crate::sparse::blocks::Blocks;
use crate::sparse::{self, Frame, Options, Precision, Sections, Target};

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

/// What an encoder is shown of an array, and what is asked of its decoder.
#[derive(Debug, Clone, PartialEq)]
pub struct NormalizedBlocks {
    /// Points of a block.
    pub len: usize,
    /// Normalized values, block after block: what a writer shows the encoder.
    pub inputs: Vec<f32>,
    /// The same; 0 where nothing is predicted: zeros, points that are not ordinary, padding.
    pub targets: Vec<f32>,
    /// Decimal exponent of each point; 0 where nothing is predicted.
    pub exponents: Vec<i16>,
    /// Index along the array's first axis at which each block begins.
    pub steps: Vec<usize>,
}

/// The blocks of `shape` of an array whose values that are not finite are not ordinary.
pub fn normalized_blocks(values: &[f64], dims: &[usize], shape: &[usize]) -> crate::Result<NormalizedBlocks> {
    let ordinary: Vec<bool> = values.iter().map(|v| v.is_finite()).collect();
    let grid = Grid { dims, ordinary: Some(&ordinary) };
    let target = Target { values, grid: &grid, precision: Precision::F64, ok: &|_, _| true };
    let blocks = Blocks::new(dims, shape)?;
    let frame = Frame::new(&target)?;
    let filled = frame.filled(&grid);
    let each_step = values.len().checked_div(dims.first().copied().unwrap_or(1)).unwrap_or(1).max(1);
    let points = blocks.count.saturating_mul(blocks.len);
    let mut out = NormalizedBlocks {
        len: blocks.len,
        inputs: Vec::with_capacity(points),
        targets: Vec::with_capacity(points),
        exponents: Vec::with_capacity(points),
        steps: Vec::with_capacity(blocks.count),
    };
    for block in 0..blocks.count {
        blocks.visit(block, |local, at, real| {
            if local == 0 {
                out.steps.push(at.checked_div(each_step).unwrap_or(0));
            }
            let input = filled.get(at).copied().unwrap_or(0.0);
            let exponent = frame.exponents.get(at).copied().filter(|e| real && sparse::is_exponent(*e));
            out.inputs.push(input);
            out.targets.push(if exponent.is_some() { input } else { 0.0 });
            out.exponents.push(exponent.unwrap_or(0));
        });
    }
    Ok(out)
}

/// `v * 10^k` as the archive computes it.
pub fn denormalize(v: f64, k: i16) -> f64 {
    normalize::invert(v, k)
}
