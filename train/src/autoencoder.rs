//! An encoder and a decoder, and the scaling of values around them.

use crate::data::Blocks;
use crate::network::{Activation, Network, Trace};
use ndarray::{Array2, ArrayView2, Axis, Zip};

/// Latents that are tried for each block.
const TRIED: usize = 128;

/// Blocks that are run at a time.
const BATCH: usize = 256;

/// `u = (y - mean) / spread` of normalized values y: what the networks see and give while they are trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Of the values.
    pub mean: f32,
    /// Their standard deviation.
    pub spread: f32,
}

impl Scale {
    /// Nothing is scaled.
    pub const NONE: Scale = Scale { mean: 0.0, spread: 1.0 };

    /// Of the values that are predicted.
    pub fn of(blocks: &Blocks) -> Self {
        let (mut n, mut sum, mut square) = (0.0f64, 0.0f64, 0.0f64);
        for y in blocks.targets.iter().map(|y| f64::from(*y)).filter(|y| *y != 0.0) {
            n += 1.0;
            sum += y;
            square += y * y;
        }
        let mean = sum / n.max(1.0);
        let variance = square / n.max(1.0) - mean * mean;
        Scale { mean: mean as f32, spread: variance.max(1e-8).sqrt() as f32 }
    }
}

impl Scale {
    /// The same with a spread that is a power of two: whole weights stay whole when it is taken into them.
    pub fn binary(self) -> Self {
        Scale { spread: self.spread.log2().round().exp2(), ..self }
    }
}

/// Two networks that meet in the latents. Their outer sides take and give scaled values.
#[derive(Debug, Clone, PartialEq)]
pub struct Autoencoder {
    /// Extents of a block.
    pub block_shape: Vec<usize>,
    /// Blocks to latents.
    pub encoder: Network,
    /// Latents to blocks.
    pub decoder: Network,
    /// Of the values that the encoder sees.
    pub input: Scale,
    /// Of the values that the decoder gives; [`Scale::NONE`] where its last layer is bent.
    pub output: Scale,
}

impl Autoencoder {
    /// Values of a block.
    pub fn block_len(&self) -> usize {
        self.block_shape.iter().product()
    }

    /// Latents of a block.
    pub fn latent_len(&self) -> usize {
        self.encoder.outputs()
    }

    /// The networks with the scaling taken into their weights: normalized values in and out.
    pub fn folded(&self) -> (Network, Network) {
        let (mut encoder, mut decoder) = (self.encoder.clone(), self.decoder.clone());
        if let Some(first) = encoder.layers.first_mut() {
            first.weights /= self.input.spread;
            first.bias.scaled_add(-self.input.mean, &first.weights.sum_axis(Axis(0)));
        }
        if let Some(last) = decoder.layers.last_mut() {
            last.weights *= self.output.spread;
            last.bias.mapv_inplace(|b| b * self.output.spread + self.output.mean);
        }
        (encoder, decoder)
    }

    /// The inverse of [`Autoencoder::folded`].
    pub fn unfolded(block_shape: Vec<usize>, encoder: Network, decoder: Network, scale: Scale) -> Self {
        let linear = decoder.layers.last().is_some_and(|l| l.activation == Activation::Identity);
        let output = if linear { scale } else { Scale::NONE };
        let mut model = Autoencoder { block_shape, encoder, decoder, input: scale, output };
        if let Some(first) = model.encoder.layers.first_mut() {
            first.bias.scaled_add(scale.mean, &first.weights.sum_axis(Axis(0)));
            first.weights *= scale.spread;
        }
        if let Some(last) = model.decoder.layers.last_mut() {
            last.weights /= output.spread;
            last.bias.mapv_inplace(|b| (b - output.mean) / output.spread);
        }
        model
    }

    /// The same model between other scales.
    pub fn rescaled(self, scale: Scale) -> Self {
        let (encoder, decoder) = self.folded();
        Self::unfolded(self.block_shape, encoder, decoder, scale)
    }

    /// Scaled blocks for the encoder.
    pub fn scaled(&self, blocks: ArrayView2<'_, f32>) -> Array2<f32> {
        blocks.mapv(|y| (y - self.input.mean) / self.input.spread)
    }

    /// Latents of normalized blocks.
    pub fn encode(&self, blocks: ArrayView2<'_, f32>) -> Array2<f32> {
        self.encoder.run(self.scaled(blocks).view())
    }

    /// Normalized blocks of latents.
    pub fn decode(&self, latents: ArrayView2<'_, f32>) -> Array2<f32> {
        let mut trace = Trace::default();
        self.decoder.forward(latents, &mut trace);
        let mut out = trace.outputs.pop().unwrap_or_default();
        out.mapv_inplace(|u| u * self.output.spread + self.output.mean);
        out
    }

    /// As [`Autoencoder::mean_relative_error`], with the best of some latents for each block instead of the encoder's:
    /// what archives come near, since their writer looks for better latents too. Of models with several latents a
    /// block, that of the encoder.
    pub fn least_relative_error(&self, blocks: &Blocks) -> f64 {
        if self.latent_len() != 1 || blocks.is_empty() {
            return self.mean_relative_error(blocks);
        }
        let latents = self.encode(blocks.inputs.view());
        let (low, high) = latents.iter().fold((f32::MAX, f32::MIN), |(l, h), z| (l.min(*z), h.max(*z)));
        let at = |i: usize| low + (high - low) * i as f32 / (TRIED - 1) as f32;
        let tried = self.decode(Array2::from_shape_fn((TRIED, 1), |(i, _)| at(i)).view());
        let (mut sum, mut count) = (0.0, 0u64);
        for targets in blocks.targets.rows() {
            let inverse = targets.mapv(|y| if y == 0.0 { 0.0 } else { 1.0 / y.abs() });
            let error = |predicted: ndarray::ArrayView1<'_, f32>| {
                let mut sum = 0.0f32;
                Zip::from(&predicted).and(targets).and(&inverse).for_each(|p, y, w| sum += (p - y).abs() * w);
                sum
            };
            sum += f64::from(tried.rows().into_iter().map(error).fold(f32::INFINITY, f32::min));
            count += targets.iter().filter(|y| **y != 0.0).count() as u64;
        }
        sum / count.max(1) as f64
    }

    /// Mean of |error| / |value| over all values that are predicted; the same of the original values, up to rounding.
    pub fn mean_relative_error(&self, blocks: &Blocks) -> f64 {
        let (mut sum, mut count) = (0.0, 0u64);
        for (inputs, targets) in
            blocks.inputs.axis_chunks_iter(Axis(0), BATCH).zip(blocks.targets.axis_chunks_iter(Axis(0), BATCH))
        {
            let predicted = self.decode(self.encode(inputs).view());
            Zip::from(&predicted).and(targets).for_each(|p, y| {
                if *y != 0.0 {
                    sum += f64::from((p - y).abs() / y.abs());
                    count += 1;
                }
            });
        }
        if count == 0 { 0.0 } else { sum / count as f64 }
    }
}
