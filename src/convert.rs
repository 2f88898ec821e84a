//! From a trained autoencoder to one whose decoder every engine computes alike.

use crate::error::Result;
use crate::limits::Limits;
use crate::model::{self, Choices, LatentGrid};
use crate::sparse;

/// How an autoencoder is made exact.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ExactOptions {
    /// Bits of a latent, 2 to 16: each is rounded to so many levels over the range that it has in the calibration data.
    /// Default 10.
    pub latent_bits: u32,
    /// Bits of a weight, 8 or 16. Default 16.
    pub weight_bits: u32,
}

impl Default for ExactOptions {
    fn default() -> Self {
        ExactOptions { latent_bits: 10, weight_bits: 16 }
    }
}

impl ExactOptions {
    /// The defaults, with latents and weights of so many bits.
    pub fn with_bits(latent_bits: u32, weight_bits: u32) -> Self {
        ExactOptions { latent_bits, weight_bits }
    }
}

/// The latents that an encoder gives a calibration array: what [`to_exact`] needs of the data.
///
/// `values`, C order, must be of `shape` and finite.
///
/// # Errors
/// [`Error::Model`](crate::Error::Model) if the model is refused or its blocks do not fit the array;
/// [`Error::Argument`](crate::Error::Argument) for values that are not finite or not as many as the shape says.
pub fn calibrate(encoder: &[u8], values: &[f64], shape: &[usize], limits: &Limits) -> Result<Vec<f32>> {
    sparse::latents_of(&*model::load_encoder(encoder, limits)?, values, shape)
}

/// An autoencoder in two ONNX files.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ExactModel {
    /// Exact, as the proof of SPEC 5.6 says.
    pub decoder: Vec<u8>,
    /// Gives the whole latents that the decoder takes.
    pub encoder: Option<Vec<u8>>,
    grid: LatentGrid,
}

impl ExactModel {
    /// The whole latents that stand for real ones of the float decoder: for encoders of one's own.
    pub fn whole_latents(&self, latents: &[f32]) -> Vec<f32> {
        self.grid.whole(latents)
    }
}

/// Converts a float decoder of products, convolutions, functions of one value and movements to one in exact arithmetic,
/// for latents like these, and its encoder to one that gives whole latents.
///
/// # Errors
/// [`Error::Model`](crate::Error::Model) if a model is refused, or has an operation with no exact form: normalization by
/// measured statistics, Softmax, linear interpolation, quotients of two values; the error names the node.
pub fn to_exact(
    decoder: &[u8],
    encoder: Option<&[u8]>,
    latents: &[f32],
    options: ExactOptions,
    limits: &Limits,
) -> Result<ExactModel> {
    let choices = Choices { latent_bits: options.latent_bits, weight_bits: options.weight_bits };
    let made = model::quantize(decoder, encoder, latents, choices, limits)?;
    Ok(ExactModel { decoder: made.decoder, encoder: made.encoder, grid: made.grid })
}
