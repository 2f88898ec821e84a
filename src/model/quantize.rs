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

use std::sync::Arc;

use super::exact::{self, Bounds};
use super::piecewise::Pieces;
use super::program::{Binary, Interpolation, Op, Program, Slot, Step, Unary, Window};
use super::reference::{self, window};
use super::{emit, refused, vet};
use crate::error::{ArgumentError, Result};
use crate::limits::Limits;

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

/// A value in whole numbers: the tensor times 2^-exponent.
#[derive(Debug, Clone, Copy)]
struct Whole {
    slot: usize,
    exponent: i32,
    /// The real values it takes, a little widened.
    low: f64,
    high: f64,
}

struct Conversion<'a> {
    old: &'a Program,
    new: Program,
    known: Vec<Option<Bounds>>,
    /// What each slot of the old program became.
    whole: Vec<Option<Whole>>,
    /// Range of each slot of the old program.
    ranges: Vec<(f64, f64)>,
    grid: &'a LatentGrid,
    choices: Choices,
    limits: &'a Limits,
    /// The node being converted.
    label: String,
}

impl<'a> Conversion<'a> {
    fn run(
        old: &'a Program,
        latents: &[f32],
        grid: &'a LatentGrid,
        choices: Choices,
        limits: &'a Limits,
    ) -> Result<Program> {
        let mut c = Conversion {
            old,
            new: Program::default(),
            known: Vec::new(),
            whole: vec![None; old.slots.len()],
            ranges: ranges(old, &grid.real(&grid.whole(latents)))?,
            grid,
            choices,
            limits,
            label: "latents".to_owned(),
        };
        c.input()?;
        for index in 0..old.steps.len() {
            old.steps[index].name.clone_into(&mut c.label);
            let out = c.step(index)?;
            let (low, high) = c.ranges[old.steps[index].output];
            c.whole[old.steps[index].output] = Some(Whole { low, high, ..out });
        }
        let out = c.whole[old.output].ok_or_else(|| refused("", "the output is never computed"))?;
        "output".clone_into(&mut c.label);
        let out = if out.exponent == 0 { out } else { c.times_power(out, -out.exponent)? };
        c.new.output = out.slot;
        Ok(c.new)
    }

    /// Whole latents, and from them the real ones on a common unit, but where only matrix products need them.
    fn input(&mut self) -> Result<()> {
        let shape = self.old.slots[self.old.input].shape.clone();
        self.new.input = self.new.push_slot(Slot { shape: shape.clone(), constant: None });
        let limit = f64::from(self.grid.limit);
        let len = self.grid.offset.len();
        self.know(self.new.input, Bounds::settled(vec![-limit; len], vec![limit; len], 0));
        let products = |s: &Step| s.inputs[0] != self.old.input || is_plain_product(s, self.old);
        if self.old.output != self.old.input && self.old.steps.iter().all(products) {
            return Ok(());
        }
        let reach = |exponent: i32| {
            let each = self.grid.offset.iter().zip(&self.grid.exponent);
            each.map(|(o, e)| f64::from(o.abs()) * exp2(exponent) + limit * exp2(exponent - e)).fold(0.0, f64::max)
        };
        let mut exponent = self.grid.exponent.iter().copied().max().unwrap_or(0);
        while reach(exponent) > UNITS_MAX / 4.0 {
            exponent -= 1;
        }
        let offset: Vec<f64> = self.grid.offset.iter().map(|v| (f64::from(*v) * exp2(exponent)).round()).collect();
        let scale: Vec<f64> = self.grid.exponent.iter().map(|e| exp2(exponent - e)).collect();
        let scale = self.constant(&shape, &scale);
        let offset = self.constant(&shape, &offset);
        let scaled = self.push(Op::Binary(Binary::Mul), &[self.new.input, scale], shape.clone())?;
        // Latents on units finer than the common one are rounded to it.
        let rounded = self.unary(Unary::Round, scaled)?;
        let slot = self.push(Op::Binary(Binary::Add), &[rounded, offset], shape)?;
        let (low, high) = self.ranges[self.old.input];
        self.whole[self.old.input] = Some(Whole { slot, exponent, low, high });
        Ok(())
    }

    /// The product of the whole latents and a matrix into which their units are folded.
    fn first_product(&mut self, index: usize) -> Result<Whole> {
        let step = &self.old.steps[index];
        let out = self.old.slots[step.output].shape.clone();
        let weight_slot = &self.old.slots[step.inputs[1]];
        let w = weight_slot.constant.clone().ok_or_else(|| refused(&step.name, "a product without a constant"))?;
        let columns = weight_slot.shape[1].max(1);
        let units: Vec<f64> = self.grid.exponent.iter().map(|e| exp2(-e)).collect();
        let folded: Vec<f64> = w.iter().enumerate().map(|(i, v)| f64::from(*v) * units[i / columns]).collect();
        let mut fixed = vec![0.0; columns];
        let mut gross = vec![self.addend_after(index); columns];
        for (i, v) in w.iter().enumerate() {
            fixed[i % columns] += f64::from(*v) * f64::from(self.grid.offset[i / columns]);
            gross[i % columns] += folded[i].abs() * f64::from(self.grid.limit);
        }
        let worst = gross.iter().zip(&fixed).fold(0.0, |m: f64, (g, f)| m.max(g + f.abs()));
        let largest = folded.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        let scale = fitting(worst, UNITS_MAX * 0.9).min(fitting(largest, 32_767.0)).min(40);
        let whole: Vec<f64> = folded.iter().map(|v| (v * exp2(scale)).round()).collect();
        let fixed: Vec<f64> = fixed.iter().map(|v| (v * exp2(scale)).round()).collect();
        let weights = self.constant(&weight_slot.shape, &whole);
        let product = self.push(Op::MatMul, &[self.new.input, weights], out.clone())?;
        let fixed = self.constant(&[columns], &fixed);
        let slot = self.push(Op::Binary(Binary::Add), &[product, fixed], out)?;
        Ok(Whole { slot, exponent: scale, low: 0.0, high: 0.0 })
    }

    /// Greatest magnitude of a constant that is added to the result of a step.
    fn addend_after(&self, index: usize) -> f64 {
        let old = self.old;
        let output = old.steps[index].output;
        let later = old.steps[index + 1..].iter().find(|s| s.inputs.contains(&output));
        let adds = later.filter(|s| matches!(s.op, Op::Binary(Binary::Add | Binary::Sub)));
        let constant = adds.and_then(|s| s.inputs.iter().find_map(|i| old.slots[*i].constant.as_deref()));
        greatest(constant)
    }

    fn know(&mut self, slot: usize, bounds: Bounds) {
        self.known.resize(slot + 1, None);
        self.known[slot] = Some(bounds);
    }

    fn constant(&mut self, shape: &[usize], values: &[f64]) -> usize {
        let values: Arc<[f32]> = values.iter().map(|v| *v as f32).collect();
        self.new.constant(shape.to_vec(), values)
    }

    fn shape(&self, slot: usize) -> Vec<usize> {
        self.new.slots[slot].shape.clone()
    }

    /// Greatest magnitude of a tensor, as proved.
    fn magnitude(&self, slot: usize) -> f64 {
        let bounds = self.known[slot].as_ref();
        bounds.map_or(0.0, |b| b.low.iter().zip(&b.high).fold(0.0, |m, (l, h)| m.max(l.abs()).max(h.abs())))
    }

    /// Adds a step, and proves it.
    fn push(&mut self, op: Op, inputs: &[usize], shape: Vec<usize>) -> Result<usize> {
        let slot = self.new.step(op, inputs, shape, 0, &self.label, self.limits)?;
        let step = Step { name: self.label.clone(), ..self.new.steps[self.new.steps.len() - 1].clone() };
        self.known.resize(slot + 1, None);
        let bounds = exact::step(&self.new, &step, &mut self.known).map_err(|e| refused(&e.node, e.reason))?;
        self.know(slot, bounds);
        Ok(slot)
    }

    fn unary(&mut self, f: Unary, x: usize) -> Result<usize> {
        self.push(Op::Unary(f), &[x], self.shape(x))
    }

    /// The same numbers, times 2^by.
    fn times_power(&mut self, x: Whole, by: i32) -> Result<Whole> {
        let factor = self.constant(&[], &[exp2(by)]);
        let slot = self.push(Op::Binary(Binary::Mul), &[x.slot, factor], self.shape(x.slot))?;
        Ok(Whole { slot, exponent: x.exponent + by, ..x })
    }

    /// The value on a unit of 2^-exponent, rounded if that is coarser.
    fn on_unit(&mut self, x: Whole, exponent: i32) -> Result<Whole> {
        if exponent == x.exponent {
            return Ok(x);
        }
        let scaled = self.times_power(x, exponent - x.exponent)?;
        if exponent > x.exponent {
            return Ok(scaled);
        }
        Ok(Whole { slot: self.unary(Unary::Round, scaled.slot)?, ..scaled })
    }

    /// The value in at most so many bits beside its sign, clipped to its range where it may leave it.
    fn narrow(&mut self, x: Whole, bits: u32) -> Result<Whole> {
        let most = exp2(bits.cast_signed());
        let widest = x.low.abs().max(x.high.abs()) * exp2(x.exponent);
        let proved = self.magnitude(x.slot);
        let e = x.exponent + fitting(widest.min(proved), most).min(0);
        let x = self.on_unit(x, e)?;
        if self.magnitude(x.slot) <= most && proved <= 1.25 * widest {
            return Ok(x);
        }
        let (low, high) = ((x.low * exp2(e)).floor() as f32, (x.high * exp2(e)).ceil() as f32);
        Ok(Whole { slot: self.unary(Unary::Clip { low, high }, x.slot)?, ..x })
    }

    fn operand(&self, slot: usize) -> Result<Whole> {
        self.whole[slot].ok_or_else(|| refused(&self.label, "it uses a value before it is known"))
    }

    fn step(&mut self, index: usize) -> Result<Whole> {
        let old = self.old;
        let step = &old.steps[index];
        let shape = old.slots[step.output].shape.clone();
        let first = step.inputs[0];
        let constant = |i: usize| old.slots[step.inputs[i]].constant.clone();
        match &step.op {
            Op::Unary(f) => self.function(*f, first),
            Op::MatMul if first == old.input && is_plain_product(step, old) => self.first_product(index),
            Op::MatMul | Op::Conv(_) | Op::ConvTranspose { .. } => self.linear(index),
            Op::Binary(f) => match (constant(0), constant(1)) {
                (None, None) => self.pair(*f, step, shape),
                (Some(c), _) => self.with_constant(*f, step.inputs[1], (step.inputs[0], &c), true, shape),
                (_, Some(c)) => self.with_constant(*f, first, (step.inputs[1], &c), false, shape),
            },
            Op::Reshape | Op::Transpose(_) | Op::Slice { .. } | Op::Upsample { mode: Interpolation::Nearest, .. } => {
                let x = self.operand(first)?;
                Ok(Whole { slot: self.push(step.op.clone(), &[x.slot], shape)?, ..x })
            }
            Op::Concat(_) => {
                let parts = step.inputs.iter().map(|i| self.operand(*i)).collect::<Result<Vec<_>>>()?;
                let exponent = parts.iter().map(|p| p.exponent).min().unwrap_or(0);
                let parts =
                    parts.into_iter().map(|p| Ok(self.on_unit(p, exponent)?.slot)).collect::<Result<Vec<_>>>()?;
                let slot = self.push(step.op.clone(), &parts, shape)?;
                Ok(Whole { slot, exponent, low: 0.0, high: 0.0 })
            }
            Op::Upsample { .. } => {
                Err(refused(&step.name, "linear interpolation has no exact form; use ConvTranspose"))
            }
            Op::Softmax(_) | Op::LayerNorm { .. } | Op::InstanceNorm { .. } => {
                Err(refused(&step.name, "normalization by measured statistics has no exact form"))
            }
        }
    }

    /// A matrix product or convolution; its bias, or the sum that follows it, leaves room in 24 bits.
    fn linear(&mut self, index: usize) -> Result<Whole> {
        let old = self.old;
        let step = &old.steps[index];
        // The constant is the right operand but for a matrix times a value.
        let constant_first = old.slots[step.inputs[0]].constant.is_some();
        let (value, weights) =
            if constant_first { (step.inputs[1], step.inputs[0]) } else { (step.inputs[0], step.inputs[1]) };
        let weight_slot = &old.slots[weights];
        let (Some(w), out) = (weight_slot.constant.clone(), old.slots[step.output].shape.clone()) else {
            return Err(refused(&step.name, "a product without a constant"));
        };
        let output_axis = match &step.op {
            Op::Conv(_) => 0,
            Op::ConvTranspose { .. } => 1,
            _ if constant_first => 0,
            _ => weight_slot.shape.len() - 1,
        };
        let x = self.operand(value)?;
        let bias = step.inputs.get(2).and_then(|b| old.slots[*b].constant.clone());
        let product = Product { op: &step.op, constant_first, axis: output_axis, shape: &weight_slot.shape, out: &out };
        let grouped = matches!(&step.op, Op::ConvTranspose { window, .. } if window.group > 1);
        if self.choices.weight_bits <= 8 && w.len() >= CODED_MIN && !grouped {
            return self.coded(&product, x, &w, bias.as_deref());
        }
        let real: Vec<f64> = w.iter().map(|v| f64::from(*v)).collect();
        let extra = greatest(bias.as_deref()) + self.addend_after(index);
        let bits = self.balance(&product, x, &real, extra);
        let x = self.narrow(x, bits)?;
        let gross = self.gross(&product, x.slot, &real);
        let extra = extra * exp2(x.exponent);
        // Rounded weights may be a little larger: the proof has the last word.
        let mut scale = fitting(gross + extra, UNITS_MAX * 0.999).min(24);
        loop {
            let rows = self.weights(&w, &weight_slot.shape, output_axis, scale);
            let slot = self.constant(&weight_slot.shape, &rows);
            let mut inputs = if constant_first { vec![slot, x.slot] } else { vec![x.slot, slot] };
            if let Some(b) = &bias {
                let unit = exp2(x.exponent + scale);
                let b: Vec<f64> = b.iter().map(|v| (f64::from(*v) * unit).round()).collect();
                inputs.push(self.constant(&[b.len()], &b));
            }
            let before = self.new.steps.len();
            match self.push(step.op.clone(), &inputs, out.clone()) {
                Ok(slot) => return Ok(Whole { slot, exponent: x.exponent + scale, ..x }),
                Err(e) if scale <= -20 => return Err(e),
                Err(_) => {
                    self.new.steps.truncate(before);
                    scale -= 1;
                }
            }
        }
    }

    /// How many bits of the value leave as much for the weights that the error of both together is least.
    fn balance(&self, p: &Product<'_>, x: Whole, weights: &[f64], extra: f64) -> u32 {
        let widest = x.low.abs().max(x.high.abs()).max(1e-30);
        let gross = self.gross(p, x.slot, weights) * exp2(-x.exponent);
        let clipped = gross.min(gross * widest / (self.magnitude(x.slot) * exp2(-x.exponent)).max(1e-30)) + extra;
        let square = |v: f64| v * v;
        let energy: f64 = weights.iter().map(|w| w * w).sum();
        let error = |bits: u32| {
            let unit = exp2(-fitting(widest, exp2(bits.cast_signed())));
            let scale = exp2(fitting(clipped / unit, UNITS_MAX * 0.999));
            let rounded: f64 = weights.iter().map(|w| square((w * scale).round() / scale - w)).sum();
            energy * unit * unit / 12.0 + rounded * square(widest) / 4.0
        };
        (6..=18).min_by(|a, b| error(*a).total_cmp(&error(*b))).unwrap_or(ARGUMENT_BITS)
    }

    /// The greatest sum of magnitudes of any output, for these weights.
    fn gross(&self, p: &Product<'_>, value: usize, weights: &[f64]) -> f64 {
        let Some(b) = &self.known[value] else { return f64::INFINITY };
        let reach: Vec<f64> = b.low.iter().zip(&b.high).map(|(l, h)| l.abs().max(h.abs())).collect();
        let mut gross = vec![0.0_f64; p.out.iter().product()];
        terms(p, &self.shape(value), &mut |i, j, o| gross[o] += reach[i] * weights[j].abs());
        gross.into_iter().fold(0.0, f64::max)
    }

    /// Weights of 8 bits: codes, and a factor for each channel that multiplies the sums.
    fn coded(&mut self, p: &Product<'_>, x: Whole, w: &[f32], bias: Option<&[f32]>) -> Result<Whole> {
        let inner: usize = p.shape[p.axis + 1..].iter().product();
        let channel = |i: usize| i / inner % p.shape[p.axis];
        let mut rows = vec![Vec::new(); p.shape[p.axis]];
        for (i, v) in w.iter().enumerate() {
            rows[channel(i)].push(f64::from(*v));
        }
        let factors: Vec<f64> = rows.iter().map(|r| code_unit(r)).collect();
        let codes: Vec<f64> =
            w.iter().enumerate().map(|(i, v)| (f64::from(*v) / factors[channel(i)]).round()).collect();
        let mut gross = vec![0.0_f64; p.out.iter().product()];
        terms(p, &self.shape(x.slot), &mut |_, j, o| gross[o] += codes[j].abs());
        let most = gross.into_iter().fold(1.0, f64::max);
        let bits = fitting(most, UNITS_MAX * 0.999).clamp(4, ARGUMENT_BITS.cast_signed());
        let x = self.narrow(x, bits.cast_unsigned())?;
        let codes = self.constant(p.shape, &codes);
        let inputs = if p.constant_first { [codes, x.slot] } else { [x.slot, codes] };
        let sums = self.push(p.op.clone(), &inputs, p.out.to_vec())?;
        let most = self.magnitude(sums) * exp2(-x.exponent);
        let sums = Whole { slot: sums, exponent: x.exponent, low: -most, high: most };
        // The channel's axis among those of the result.
        let at = if p.constant_first {
            p.out.len() - 2
        } else if *p.op == Op::MatMul {
            p.out.len() - 1
        } else {
            0
        };
        let mut factor_shape = vec![1; p.out.len()];
        factor_shape[at] = factors.len();
        let scaled = self.scaled_by(sums, &factors, &factor_shape, p.out.to_vec())?;
        let Some(bias) = bias else { return Ok(scaled) };
        let bias: Vec<f64> = bias.iter().map(|b| (f64::from(*b) * exp2(scaled.exponent)).round()).collect();
        let bias = self.constant(&factor_shape, &bias);
        Ok(Whole { slot: self.push(Op::Binary(Binary::Add), &[scaled.slot, bias], p.out.to_vec())?, ..scaled })
    }

    /// Whole weights: each channel rounded to its own power of two that its largest weight allows.
    fn weights(&self, w: &[f32], shape: &[usize], axis: usize, scale: i32) -> Vec<f64> {
        let inner: usize = shape[axis + 1..].iter().product();
        let channel = |i: usize| i / inner % shape[axis];
        let mut largest = vec![0.0_f64; shape[axis]];
        for (i, v) in w.iter().enumerate() {
            largest[channel(i)] = largest[channel(i)].max(f64::from(v.abs()));
        }
        let most = exp2(self.choices.weight_bits.clamp(2, 16).cast_signed() - 1) - 1.0;
        w.iter()
            .enumerate()
            .map(|(i, v)| {
                let own = fitting(largest[channel(i)], most).min(scale);
                (f64::from(*v) * exp2(own)).round() * exp2(scale - own)
            })
            .collect()
    }

    /// Sum, difference, product, minimum or maximum of two values.
    fn pair(&mut self, f: Binary, step: &Step, shape: Vec<usize>) -> Result<Whole> {
        let (a, b) = (self.operand(step.inputs[0])?, self.operand(step.inputs[1])?);
        let (a, b, exponent) = match f {
            Binary::Mul => {
                let a = self.narrow(a, ARGUMENT_BITS)?;
                let b = if step.inputs[0] == step.inputs[1] { a } else { self.narrow(b, ARGUMENT_BITS)? };
                (a, b, a.exponent + b.exponent)
            }
            Binary::Add | Binary::Sub | Binary::Min | Binary::Max => {
                let (a, b) = (self.narrow(a, 22)?, self.narrow(b, 22)?);
                let real = self.magnitude(a.slot) * exp2(-a.exponent) + self.magnitude(b.slot) * exp2(-b.exponent);
                let e = a.exponent.max(b.exponent).min(fitting(real, UNITS_MAX / 2.0));
                (self.on_unit(a, e)?, self.on_unit(b, e)?, e)
            }
            Binary::Div | Binary::PRelu => {
                return Err(refused(&step.name, format!("{f:?} of two values has no exact form")));
            }
        };
        let slot = self.push(Op::Binary(f), &[a.slot, b.slot], shape)?;
        Ok(Whole { slot, exponent, low: 0.0, high: 0.0 })
    }

    /// A value and a constant; `swapped` if the constant comes first.
    fn with_constant(
        &mut self,
        f: Binary,
        value: usize,
        (constant, c): (usize, &[f32]),
        swapped: bool,
        shape: Vec<usize>,
    ) -> Result<Whole> {
        let x = self.operand(value)?;
        let constant_shape = self.old.slots[constant].shape.clone();
        let real: Vec<f64> = c.iter().map(|v| f64::from(*v)).collect();
        match f {
            Binary::Mul => self.scaled_by(x, &real, &constant_shape, shape),
            Binary::Div if !swapped && real.iter().all(|v| *v != 0.0) => {
                let reciprocals: Vec<f64> = real.iter().map(|v| 1.0 / v).collect();
                self.scaled_by(x, &reciprocals, &constant_shape, shape)
            }
            Binary::PRelu if !swapped => {
                // Either part of the sum takes less than half of what there is.
                let x = self.narrow(x, 22)?;
                let flipped = self.unary(Unary::Neg, x.slot)?;
                let (low, high) = ((-x.high).max(0.0), (-x.low).max(0.0));
                let below = Whole { slot: self.unary(Unary::Relu, flipped)?, low, high, ..x };
                let slopes: Vec<f64> = real.iter().map(|v| -v).collect();
                let below = self.scaled_by(below, &slopes, &constant_shape, shape.clone())?;
                let above = Whole { slot: self.unary(Unary::Relu, x.slot)?, low: x.low.max(0.0), ..x };
                let e = above.exponent.min(below.exponent);
                let (above, below) = (self.on_unit(above, e)?, self.on_unit(below, e)?);
                let slot = self.push(Op::Binary(Binary::Add), &[above.slot, below.slot], shape)?;
                Ok(Whole { slot, exponent: e, ..x })
            }
            Binary::Add | Binary::Sub | Binary::Min | Binary::Max => {
                let largest = real.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
                let worst = self.magnitude(x.slot) + largest * exp2(x.exponent);
                // A constant of much finer detail than the value raises its unit while there is room.
                let e =
                    x.exponent + fitting(worst, UNITS_MAX / 2.0).min(8).max(if worst > UNITS_MAX { -24 } else { 0 });
                let e = if x.exponent >= 12 { e.min(x.exponent) } else { e };
                let x = self.on_unit(x, e)?;
                let whole: Vec<f64> = real.iter().map(|v| (v * exp2(e)).round()).collect();
                let c = self.constant(&constant_shape, &whole);
                let inputs = if swapped { [c, x.slot] } else { [x.slot, c] };
                Ok(Whole { slot: self.push(Op::Binary(f), &inputs, shape)?, ..x })
            }
            Binary::Div | Binary::PRelu => {
                Err(refused(&self.label, format!("{f:?} of these operands has no exact form")))
            }
        }
    }

    /// A value times constants: a convolution of one tap for each value, since a factor that is no power of two could be
    /// moved into the weights before it.
    fn scaled_by(&mut self, x: Whole, factors: &[f64], factor_shape: &[usize], shape: Vec<usize>) -> Result<Whole> {
        let x = self.narrow(x, ARGUMENT_BITS)?;
        if self.shape(x.slot) != shape {
            return Err(refused(&self.label, "a product with a constant that has more values has no exact form"));
        }
        let strides = reference::aligned_strides(factor_shape, &shape);
        // One channel for each factor: the first axis if factors differ along no other, else every value.
        let by_channel = shape.len() > 1 && shape.len() <= 4 && strides[1..].iter().all(|s| *s == 0);
        let image = if by_channel { shape.clone() } else { vec![shape.iter().product(), 1] };
        let mut each = Vec::new();
        if by_channel {
            each.extend((0..shape[0]).map(|c| factors[c * strides[0]]));
        } else {
            reference::for_each_index(&shape, |i| each.push(factors[reference::dot(i, &strides)]));
        }
        let largest = each.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        let scale = fitting(largest * self.magnitude(x.slot), UNITS_MAX / 2.0).min(fitting(largest, 32_767.0));
        let whole: Vec<f64> = each.iter().map(|v| (v * exp2(scale)).round()).collect();
        let spatial = image.len() - 1;
        let kernel: Vec<usize> = [image[0], 1].into_iter().chain(vec![1; spatial]).collect();
        let kernel = self.constant(&kernel, &whole);
        let window = Window {
            kernel: vec![1; spatial],
            strides: vec![1; spatial],
            dilations: vec![1; spatial],
            pads_begin: vec![0; spatial],
            pads_end: vec![0; spatial],
            group: image[0],
        };
        let laid = if by_channel { x.slot } else { self.push(Op::Reshape, &[x.slot], image.clone())? };
        let product = self.push(Op::Conv(window), &[laid, kernel], image)?;
        let slot = if by_channel { product } else { self.push(Op::Reshape, &[product], shape)? };
        Ok(Whole { slot, exponent: x.exponent + scale, ..x })
    }

    fn function(&mut self, f: Unary, value: usize) -> Result<Whole> {
        let x = self.operand(value)?;
        match f {
            Unary::Relu | Unary::Abs | Unary::Neg => Ok(Whole { slot: self.unary(f, x.slot)?, ..x }),
            Unary::Clip { low, high } => {
                let most = UNITS_MAX * exp2(-x.exponent);
                let whole = |v: f32| (f64::from(v).clamp(-most, most) * exp2(x.exponent)).round() as f32;
                let (low, high) = (whole(low), whole(high));
                Ok(Whole { slot: self.unary(Unary::Clip { low, high }, x.slot)?, ..x })
            }
            Unary::Floor | Unary::Ceil | Unary::Round => {
                let unscaled = if x.exponent == 0 { x } else { self.times_power(x, -x.exponent)? };
                Ok(Whole { slot: self.unary(f, unscaled.slot)?, exponent: 0, ..x })
            }
            _ => self.pieces(f, x),
        }
    }

    /// Straight pieces: the value's share of each, between 0 and its width, times the slopes there.
    fn pieces(&mut self, f: Unary, x: Whole) -> Result<Whole> {
        let e = x.exponent + fitting((x.high - x.low) * exp2(x.exponent), exp2(ARGUMENT_BITS.cast_signed())).min(0);
        let x = self.on_unit(x, e)?;
        let (low, high) = ((x.low * exp2(e)).floor() as i32, (x.high * exp2(e)).ceil() as i32);
        let real = |n: i32| reference::real(f, f64::from(n) * exp2(-e));
        let sampled = (0..=64).map(|i| real(low + ((i64::from(high) - i64::from(low)) * i / 64) as i32));
        let (least, most) = sampled.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if !(least.is_finite() && most.is_finite()) {
            return Err(refused(&self.label, format!("{f:?} is not finite over its range")));
        }
        let pieces = Pieces::fit(&real, low, high, ((most - least) / 4096.0).max(1e-12));
        let shape = self.shape(x.slot);
        let count = pieces.knots.len() - 1;
        let variation: f64 = pieces.values.windows(2).map(|v| (v[1] - v[0]).abs()).sum();
        let first = pieces.values[0];
        let scale = fitting((variation + first.abs()).max(1e-30), UNITS_MAX * 0.99).min(40);
        let len = shape.iter().product::<usize>();
        let column = self.push(Op::Reshape, &[x.slot], vec![len, 1])?;
        let starts: Vec<f64> = pieces.knots[..count].iter().map(|k| f64::from(*k)).collect();
        let widths: Vec<f64> = pieces.knots.windows(2).map(|k| f64::from(k[1] - k[0])).collect();
        let slopes: Vec<f64> =
            pieces.values.windows(2).zip(&widths).map(|(v, w)| ((v[1] - v[0]) / w * exp2(scale)).round()).collect();
        let sum = if count == 0 {
            let zero = self.constant(&[1], &[0.0]);
            self.push(Op::Binary(Binary::Mul), &[column, zero], vec![len, 1])?
        } else {
            let (starts, widths) = (self.constant(&[count], &starts), self.constant(&[count], &widths));
            let slopes = self.constant(&[count, 1], &slopes);
            let past = self.push(Op::Binary(Binary::Sub), &[column, starts], vec![len, count])?;
            let past = self.unary(Unary::Relu, past)?;
            let share = self.push(Op::Binary(Binary::Min), &[past, widths], vec![len, count])?;
            self.push(Op::MatMul, &[share, slopes], vec![len, 1])?
        };
        let start = self.constant(&[1], &[(first * exp2(scale)).round()]);
        let sum = self.push(Op::Binary(Binary::Add), &[sum, start], vec![len, 1])?;
        let slot = self.push(Op::Reshape, &[sum], shape)?;
        Ok(Whole { slot, exponent: scale, ..x })
    }
}

type Visit<'v> = &'v mut dyn FnMut(usize, usize, usize);

/// A product of a value and a constant, and the axis of the constant along which outputs differ.
struct Product<'a> {
    op: &'a Op,
    constant_first: bool,
    axis: usize,
    shape: &'a [usize],
    out: &'a [usize],
}

/// Every product that a linear step adds up, as (value, weight, output).
fn terms(p: &Product<'_>, value: &[usize], visit: Visit<'_>) {
    match p.op {
        Op::Conv(w) => window::conv_terms(w, value, p.shape, p.out, visit),
        Op::ConvTranspose { window: w, .. } => window::conv_transpose_terms(w, value, p.shape, p.out, visit),
        _ if p.constant_first => reference::mat_mul_terms(p.shape, value, p.out, |j, i, o| visit(i, j, o)),
        _ => reference::mat_mul_terms(value, p.shape, p.out, visit),
    }
}

/// The unit of which these weights are whole multiples of at most 127, or very nearly the best: weights that were stored
/// in 8 bits keep their codes.
fn code_unit(weights: &[f64]) -> f64 {
    let largest = weights.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    if largest == 0.0 {
        return 1.0;
    }
    let whole = |unit: f64| weights.iter().all(|w| (w / unit - (w / unit).round()).abs() < 1e-3);
    let units = (1..=127).rev().map(|k| largest / f64::from(k));
    units.into_iter().find(|u| whole(*u)).unwrap_or(largest / 127.0)
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
