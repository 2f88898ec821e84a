//! Autoencoders whose decoder is in exact arithmetic (SPEC 5.6).

use crate::Result;
use crate::autoencoder::Autoencoder;
use crate::data::Blocks;
use crate::onnx::{Form, Precision, Side, write};
use cae::convert::{ExactOptions, to_exact};
use cae::{Limits, model};
use ndarray::{Array2, Axis, Zip};

/// Bits of a latent: as many as are of use to any bound. Archives store coarser ones where that takes fewer bytes.
const LATENT_BITS: u32 = 12;

/// Bits that a weight may take. Weights that were learned in 8 stay as they are.
const WEIGHT_BITS: u32 = 16;

/// By how much latents may leave the range that they have in the blocks learned from, over half of that range.
const BEYOND: f32 = 1.25;

/// The files of an encoder and a decoder.
#[derive(Debug, Clone)]
pub struct Files {
    /// Gives whole latents.
    pub encoder: Vec<u8>,
    /// Exact.
    pub decoder: Vec<u8>,
}

/// Writes `model` down in exact arithmetic, for latents such as those of `blocks`.
///
/// # Errors
/// A function of the decoder has no exact form.
pub fn files(model: &Autoencoder, blocks: &Blocks, metadata: &[(&str, String)]) -> Result<Files> {
    let (encoder, decoder) = model.folded();
    let form = |side| Form { side, block_shape: &model.block_shape, precision: Precision::F32, metadata };
    let (encoder, decoder) = (write(&encoder, &form(Side::Encoder)), write(&decoder, &form(Side::Decoder)));
    let mut latents = model.encode(blocks.inputs.view());
    // Other data may have latents a little outside.
    let (low, high) = (extreme(&latents, f32::min), extreme(&latents, f32::max));
    let ends = [1.0, -1.0].map(|side| {
        let ends = low.iter().zip(&high).map(|(l, h)| f32::midpoint(*l, *h) + side * BEYOND * (h - l) / 2.0);
        ndarray::Array1::from_iter(ends)
    });
    for end in &ends {
        latents.push_row(end.view()).map_err(|e| crate::Error::Asked(e.to_string()))?;
    }
    let options = ExactOptions::with_bits(LATENT_BITS, WEIGHT_BITS);
    let latents: Vec<f32> = latents.iter().copied().collect();
    let made = to_exact(&decoder, Some(&encoder), &latents, options, &Limits::default())?;
    Ok(Files { encoder: made.encoder.unwrap_or_default(), decoder: made.decoder })
}

impl Files {
    /// Mean point-wise relative error of blocks that these files encode and decode.
    ///
    /// # Errors
    /// The files are no models of such blocks.
    pub fn mean_relative_error(&self, blocks: &Blocks) -> Result<f64> {
        let encoder = model::load_encoder(&self.encoder, &Limits::default())?;
        let decoder = model::load_decoder(&self.decoder, &Limits::default())?;
        let mut latents = vec![0.0; blocks.len() * decoder.latent_len()];
        let mut decoded = Array2::zeros(blocks.targets.dim());
        if let (Some(inputs), Some(decoded)) = (blocks.inputs.as_slice(), decoded.as_slice_mut()) {
            encoder.encode(inputs, &mut latents)?;
            decoder.decode(&latents, decoded)?;
        }
        let (mut sum, mut count) = (0.0, 0u64);
        Zip::from(&decoded).and(&blocks.targets).for_each(|p: &f32, y| {
            if *y != 0.0 {
                sum += f64::from((p - y).abs() / y.abs());
                count += 1;
            }
        });
        Ok(sum / count.max(1) as f64)
    }
}

fn extreme(latents: &Array2<f32>, of: fn(f32, f32) -> f32) -> Vec<f32> {
    latents.axis_iter(Axis(1)).map(|z| z.iter().copied().reduce(of).unwrap_or(0.0)).collect()
}
