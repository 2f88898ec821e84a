//! From a float decoder to one in exact arithmetic (SPEC 5.6), after training: every value becomes a whole number of
//! units that are powers of two, every function a chain of straight pieces.
//!
//! Ranges come from running the float model on some latents. What leaves its range is clipped, so that the proof's
//! intervals stay as narrow as the data are.
#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "shapes were checked when the program was built, whole numbers have at most 24 bits"
)]

mod conversion;

use std::sync::Arc;

use super::exact::{self, Bounds};
use super::piecewise::Pieces;
use super::program::{Binary, Interpolation, Op, Program, Slot, Step, Unary, Window};
use super::reference::{self, window};
use super::{emit, refused, vet};
use crate::error::{ArgumentError, Result};
use crate::limits::Limits;
use conversion::Conversion;

/// Multiply-adds that finding the ranges may take.
const TRACE_OPERATIONS: u64 = 1 << 29;
/// By how much of its width a range is widened on either side.
const MARGIN: f64 = 1.0 / 32.0;
/// Bits of the argument of a function, and of the operands of a product of two values.
const ARGUMENT_BITS: u32 = 12;
/// Matrices and kernels of fewer weights keep 16 bits.
const CODED_MIN: usize = 1024;
/// Whole numbers up to here are exact.
const UNITS_MAX: f64 = 16_777_216.0;

/// The whole numbers that stand for latents: `offset + q * 2^-exponent`, one of each for every latent of a block.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LatentGrid {
    pub(crate) offset: Vec<f32>,
    pub(crate) exponent: Vec<i32>,
    /// q lies in -limit ..= limit.
    pub(crate) limit: i32,
}

/// What may be chosen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choices {
    /// Bits of a latent, 2 to 16.
    pub(crate) latent_bits: u32,
    /// Bits of a weight, 8 or 16, each channel on a scale of its own.
    pub(crate) weight_bits: u32,
}

/// An exact decoder, and the encoder for it if one was given.
pub(crate) struct Quantized {
    pub(crate) grid: LatentGrid,
    pub(crate) decoder: Vec<u8>,
    pub(crate) encoder: Option<Vec<u8>>,
}

/// Converts `decoder`, whose ranges are those that `latents` give it.
pub(crate) fn quantize(
    decoder: &[u8],
    encoder: Option<&[u8]>,
    latents: &[f32],
    choices: Choices,
    limits: &Limits,
) -> Result<Quantized> {
    let vetted = vet::vet(decoder, limits)?;
    let grid = LatentGrid::new(&vetted.program, latents, choices.latent_bits)?;
    let program = Conversion::run(&vetted.program, latents, &grid, choices, limits)?;
    let bytes = emit::compact(&program, Some((-grid.limit, grid.limit)))?;
    // The proof is that of the reader, from the bytes.
    let proof = vet::vet(&bytes, limits)?;
    if let Err(e) = exact::prove(&proof.program, proof.latent_range) {
        return Err(refused(&e.node, format!("its exact form is not proved: {}", e.reason)));
    }
    let encoder = encoder.map(|e| grid.encoder(e, limits)).transpose()?;
    Ok(Quantized { grid, decoder: bytes, encoder })
}

/// 2^e.
fn exp2(e: i32) -> f64 {
    2f64.powi(e)
}

/// The greatest e with `v * 2^e <= most`; large where v is zero.
fn fitting(v: f64, most: f64) -> i32 {
    if v > 0.0 { ((most / v).log2().floor()).clamp(-60.0, 60.0) as i32 } else { 60 }
}

/// By how much the output changes, root mean square, for a unit of each latent.
fn sensitivity(program: &Program, latents: &[f32], ranges: &[(f64, f64)]) -> Result<Vec<f64>> {
    let len = ranges.len();
    let blocks = latents.len() / len;
    let affordable = (TRACE_OPERATIONS / program.operations.max(1) / (len as u64 + 1)).clamp(2, 32) as usize;
    let mut sums = vec![0.0; len];
    for latent in latents.chunks_exact(len).step_by(blocks.div_ceil(affordable).max(1)) {
        let here = reference::evaluate(program, latent)?;
        for (j, sum) in sums.iter_mut().enumerate() {
            let step = ((ranges[j].1 - ranges[j].0) / 64.0) as f32;
            if step > 0.0 {
                let mut moved = latent.to_vec();
                moved[j] += step;
                let there = reference::evaluate(program, &moved)?;
                let apart = here.iter().zip(&there).map(|(a, b)| f64::from(a - b) / f64::from(step));
                *sum += apart.map(|d| d * d).sum::<f64>();
            }
        }
    }
    Ok(sums.into_iter().map(f64::sqrt).collect())
}

impl LatentGrid {
    /// Steps that change the program's output by about as much for every latent, the widest latent in so many bits.
    fn new(program: &Program, latents: &[f32], bits: u32) -> Result<Self> {
        let len: usize = program.slots[program.input].shape.iter().product();
        if len == 0 || latents.is_empty() || !latents.len().is_multiple_of(len) {
            return Err(ArgumentError::Other("the model needs latents of whole blocks to be calibrated".into()).into());
        }
        let limit = (1_i32 << (bits.clamp(2, 16) - 1)) - 1;
        let range = |j: usize| {
            let all = latents.iter().skip(j).step_by(len).map(|z| f64::from(*z));
            all.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), z| (l.min(z), h.max(z)))
        };
        let ranges: Vec<(f64, f64)> = (0..len).map(range).collect();
        let weights = sensitivity(program, latents, &ranges)?;
        let largest = weights.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        // Exponents up to one that is common to all.
        let own: Vec<i32> = weights.iter().map(|w| (w / largest).max(1e-6).log2().round() as i32).collect();
        let fits = |j: usize| fitting((ranges[j].1 - ranges[j].0) * (0.5 + MARGIN / 2.0), f64::from(limit)).min(30);
        let common = (0..len).map(|j| fits(j) - own[j]).min().unwrap_or(0);
        let exponent: Vec<i32> = own.iter().map(|e| (e + common).min(30)).collect();
        // A multiple of the unit: it is added to whole numbers.
        let offset = ranges
            .iter()
            .zip(&exponent)
            .map(|((low, high), e)| ((f64::midpoint(*low, *high) * exp2(*e)).round() * exp2(-e)) as f32);
        Ok(LatentGrid { offset: offset.collect(), exponent, limit })
    }

    /// The whole latents nearest to these.
    pub(crate) fn whole(&self, latents: &[f32]) -> Vec<f32> {
        let (len, limit) = (self.offset.len(), f64::from(self.limit));
        let whole = |(i, z): (usize, &f32)| {
            let over = f64::from(*z) - f64::from(self.offset[i % len]);
            (over * exp2(self.exponent[i % len])).round_ties_even().clamp(-limit, limit) as f32
        };
        latents.iter().enumerate().map(whole).collect()
    }

    /// What whole latents stand for.
    fn real(&self, whole: &[f32]) -> Vec<f32> {
        let len = self.offset.len();
        let real = |(i, q): (usize, &f32)| {
            (f64::from(self.offset[i % len]) + f64::from(*q) * exp2(-self.exponent[i % len])) as f32
        };
        whole.iter().enumerate().map(real).collect()
    }

    /// The encoder, followed by rounding to this grid.
    fn encoder(&self, bytes: &[u8], limits: &Limits) -> Result<Vec<u8>> {
        let vetted = vet::vet(bytes, limits)?;
        let shape = vetted.output_shape;
        let mut program = vetted.program;
        if shape.iter().product::<usize>() != self.offset.len() {
            return Err(refused("", "the encoder's latents are not the decoder's"));
        }
        let (label, output) = ("to the grid of latents", program.output);
        let offset = program.constant(shape.clone(), self.offset.clone().into());
        let scale: Vec<f32> = self.exponent.iter().map(|e| exp2(*e) as f32).collect();
        let scale = program.constant(shape.clone(), scale.into());
        let mut step = |op, inputs: &[usize]| program.step(op, inputs, shape.clone(), 0, label, limits);
        let centred = step(Op::Binary(Binary::Sub), &[output, offset])?;
        let scaled = step(Op::Binary(Binary::Mul), &[centred, scale])?;
        let rounded = step(Op::Unary(Unary::Round), &[scaled])?;
        let limit = self.limit as f32;
        program.output = step(Op::Unary(Unary::Clip { low: -limit, high: limit }), &[rounded])?;
        emit::compact(&program, None)
    }
}

/// Whether a step multiplies a vector of latents by a matrix.
fn is_plain_product(step: &Step, program: &Program) -> bool {
    step.op == Op::MatMul
        && program.slots[step.inputs[0]].shape.len() == 1
        && program.slots[step.inputs[1]].constant.is_some()
}

fn greatest(constant: Option<&[f32]>) -> f64 {
    constant.unwrap_or_default().iter().fold(0.0, |m, v| m.max(f64::from(v.abs())))
}

/// Least and greatest value of each slot over as many of the latents as are worth the time, a little widened.
fn ranges(program: &Program, latents: &[f32]) -> Result<Vec<(f64, f64)>> {
    let mut ranges = vec![(f64::INFINITY, f64::NEG_INFINITY); program.slots.len()];
    let len: usize = program.slots[program.input].shape.iter().product();
    let blocks = latents.len() / len.max(1);
    let affordable = (TRACE_OPERATIONS / program.operations.max(1)).clamp(16, 1 << 16) as usize;
    for latent in latents.chunks_exact(len).step_by(blocks.div_ceil(affordable).max(1)) {
        for (range, values) in ranges.iter_mut().zip(reference::trace(program, latent)?) {
            for v in values.iter().flatten().map(|v| f64::from(*v)) {
                *range = (range.0.min(v), range.1.max(v));
            }
        }
    }
    let widen = |(low, high): (f64, f64)| {
        if low > high {
            return (0.0, 0.0);
        }
        let margin = (high - low) * MARGIN;
        // What never falls below zero does not do so a little.
        (if low >= 0.0 { (low - margin).max(0.0) } else { low - margin }, high + margin)
    };
    Ok(ranges.into_iter().map(widen).collect())
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::{check, load_decoder};
    use super::*;
    use crate::error::{Error, ModelError};

    const CHOICES: Choices = Choices { latent_bits: 12, weight_bits: 16 };

    fn latents(len: usize, blocks: usize) -> Vec<f32> {
        (0..len * blocks).map(|i| noise(i * 7 + 3)).collect()
    }

    /// Converts, proves, and gives the greatest error of the output and its range.
    fn converted(model: &Builder, len: usize, choices: Choices) -> (f64, f64) {
        let (bytes, limits, z) = (model.build(), Limits::default(), latents(len, 60));
        let made = quantize(&bytes, None, &z, choices, &limits).unwrap();
        let report = check(&made.decoder, &limits).unwrap();
        assert!(report.exact, "{:?}", report.inexact);
        let (float, exact) = (load_decoder(&bytes, &limits).unwrap(), load_decoder(&made.decoder, &limits).unwrap());
        assert!(exact.is_exact() && exact.block_shape() == float.block_shape());
        let mut out = vec![vec![0.0; 60 * float.block_len()]; 2];
        float.decode(&z, &mut out[0]).unwrap();
        exact.decode(&made.grid.whole(&z), &mut out[1]).unwrap();
        let range = out[0].iter().fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
        let worst = out[0].iter().zip(&out[1]).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
        (worst, f64::from(range.1 - range.0))
    }

    #[test]
    fn a_perceptron_keeps_its_output() {
        for function in ["Sigmoid", "Tanh", "Relu", "LeakyRelu", "Softplus", "Gelu", "Elu", "HardSwish", "Erf"] {
            let model = Builder::new(&[4])
                .init(noisy("w1", &[4, 30]))
                .init(noisy("b1", &[30]))
                .init(noisy("w2", &[40, 30]))
                .init(noisy("b2", &[40]))
                .opset(20)
                .node(node("Gemm", &["x", "w1", "b1"], "h0"))
                .node(node(function, &["h0"], "h"))
                .node(node("Gemm", &["h", "w2", "b2"], "o").int_attr("transB", 1))
                .node(node("Sigmoid", &["o"], "y"));
            for weight_bits in [16, 8] {
                let (worst, range) = converted(&model, 4, Choices { latent_bits: 12, weight_bits });
                let allowed = if weight_bits == 16 { 0.01 } else { 0.03 };
                assert!(worst < allowed * range, "{function}, {weight_bits} bits: {worst} of {range}");
            }
        }
    }

    #[test]
    fn convolutions_and_arithmetic_of_values_keep_their_output() {
        let model = Builder::new(&[4])
            .init(noisy("w", &[4, 32]))
            .init(ints("shape", &[-1, 2, 4, 4]))
            .init(noisy("k", &[2, 3, 4, 4]))
            .init(noisy("kb", &[3]))
            .init(noisy("c", &[3, 3, 3, 3]))
            .init(noisy("edges", &[1, 3, 8, 8]))
            .init(noisy("slope", &[3, 1, 1]))
            .init(floats("third", &[], &[0.333]))
            .node(node("Mul", &["x", "x"], "xx"))
            .node(node("Mul", &["xx", "third"], "t"))
            .node(node("Add", &["x", "t"], "z"))
            .node(node("MatMul", &["z", "w"], "flat"))
            .node(node("Reshape", &["flat", "shape"], "image"))
            .node(
                node("ConvTranspose", &["image", "k", "kb"], "wide")
                    .ints_attr("strides", &[2, 2])
                    .ints_attr("pads", &[1; 4]),
            )
            .node(node("PRelu", &["wide", "slope"], "bent"))
            .node(node("Conv", &["bent", "c"], "conv").ints_attr("pads", &[1; 4]))
            .node(node("Mul", &["conv", "edges"], "scaled"))
            .node(node("Concat", &["scaled", "bent"], "both").int_attr("axis", 1))
            .node(node("Clip", &["both"], "y").float_attr("min", -3.0).float_attr("max", 4.0))
            .opset(9);
        let (worst, range) = converted(&model, 4, CHOICES);
        assert!(worst < 0.02 * range, "{worst} of {range}");
    }

    #[test]
    fn the_encoder_gives_whole_latents_in_the_declared_range() {
        let encoder = Builder::new(&[8]).init(noisy("w", &[8, 4])).node(node("MatMul", &["x", "w"], "y")).build();
        let limits = Limits::default();
        let made = quantize(&perceptron().build(), Some(&encoder), &latents(4, 60), CHOICES, &limits).unwrap();
        let range = check(&made.decoder, &limits).unwrap().latent_range.unwrap();
        assert_eq!(range, (-2047, 2047));
        let encoder = super::super::load_encoder(&made.encoder.unwrap(), &limits).unwrap();
        let mut z = vec![0.0; 4];
        encoder.encode(&[0.3, -0.2, 9.0, 0.0, 0.5, -0.9, 1.0, 0.1], &mut z).unwrap();
        assert!(z.iter().all(|z| z.fract() == 0.0 && z.abs() <= 2047.0) && z.iter().any(|z| *z != 0.0), "{z:?}");
    }

    #[test]
    fn what_has_no_exact_form_is_named() {
        let softmax = Builder::new(&[4]).node(node("Softmax", &["x"], "y")).build();
        let result = quantize(&softmax, None, &latents(4, 3), CHOICES, &Limits::default());
        let Err(Error::Model(ModelError::Refused { node, .. })) = result else { panic!("it was converted") };
        assert_eq!(node, "Softmax_y");
        assert!(quantize(&softmax, None, &[1.0; 3], CHOICES, &Limits::default()).is_err());
    }
}
