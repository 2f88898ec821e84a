//! Proof that a model's arithmetic cannot round, so that every engine gives the same bits (SPEC 5.6).
//!
//! Every value is known to be a multiple of `2^-scale` and to lie in an interval. While no sum, and no partial sum in
//! whatever order, exceeds 2^24 of those units, `f32` holds every one of them exactly.
#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "shapes were checked when the program was built; every index is computed from them"
)]

use super::program::{Binary, Interpolation, Op, Program, Slot, Step, Unary};
use super::reference::{self, aligned_strides, dot, for_each_index, window};

/// Why a model cannot be proved exact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inexact {
    pub(super) node: String,
    pub(super) reason: String,
}

/// Integers up to here are exact in `f32`.
const UNITS_MAX: f64 = 16_777_216.0;
/// Finest unit, 2^-100: far from underflow even after products.
const SCALE_MAX: u32 = 100;
/// Models of more operations than this are not analysed.
const OPERATIONS_MAX: u64 = 1 << 28;
/// Nor are those whose values together are more than this.
const VALUES_MAX: usize = 1 << 24;

/// What is known of one tensor.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    pub(super) low: Vec<f64>,
    pub(super) high: Vec<f64>,
    /// Greatest magnitude that the value, or a partial sum on the way to it, may have.
    gross: Vec<f64>,
    /// Every value is a multiple of `2^-scale`.
    scale: u32,
}

type Proved<T> = std::result::Result<T, String>;

/// Proves that the program is exact for integer latents in `range`.
pub(super) fn prove(program: &Program, range: Option<(i32, i32)>) -> std::result::Result<(), Inexact> {
    let whole = |reason: &str| Inexact { node: String::new(), reason: reason.to_owned() };
    let (low, high) = range.ok_or_else(|| whole("it declares no cae.latent_range"))?;
    let values: usize = program.slots.iter().map(|s| s.shape.iter().product::<usize>()).sum();
    if program.operations > OPERATIONS_MAX || values > VALUES_MAX {
        return Err(whole("it is too large for the proof"));
    }
    let mut known: Vec<Option<Bounds>> = program.slots.iter().map(|_| None).collect();
    let len = program.slots[program.input].shape.iter().product();
    known[program.input] = Some(Bounds::settled(vec![f64::from(low); len], vec![f64::from(high); len], 0));
    for step in &program.steps {
        let bounds = self::step(program, step, &mut known)?;
        known[step.output] = Some(bounds);
    }
    Ok(())
}

/// What is known of the result of one step, given what is known of the slots before it; constants are added to that.
pub(super) fn step(
    program: &Program,
    step: &Step,
    known: &mut [Option<Bounds>],
) -> std::result::Result<Bounds, Inexact> {
    let named = |reason: String| Inexact { node: super::onnx::show(&step.name), reason };
    for &i in &step.inputs {
        if let (None, Some(values)) = (&known[i], &program.slots[i].constant) {
            known[i] = Some(Bounds::of_constant(values).map_err(named)?);
        }
    }
    let bounds = step_bounds(program, step, known).map_err(named)?;
    let unit = exp2(bounds.scale);
    if let Some(worst) = bounds.gross.iter().find(|&&g| g * unit > UNITS_MAX) {
        return Err(named(format!(
            "a sum may reach {worst} in steps of 2^-{}, more than 24 bits can hold",
            bounds.scale
        )));
    }
    if bounds.scale > SCALE_MAX {
        return Err(named(format!("it needs steps of 2^-{}, 2^-{SCALE_MAX} is the finest", bounds.scale)));
    }
    Ok(bounds)
}

/// 2^scale.
fn exp2(scale: u32) -> f64 {
    (0..scale).fold(1.0, |unit, _| unit * 2.0)
}

/// The least `s` for which `v` is a multiple of `2^-s`.
fn scale_of(v: f32) -> u32 {
    let mut wide = f64::from(v);
    let mut scale = 0;
    while wide.fract() != 0.0 {
        wide *= 2.0;
        scale += 1;
    }
    scale
}

fn is_power_of_two(v: f32) -> bool {
    // Of a normal number, the fraction bits are zero.
    v.is_normal() && v.to_bits().trailing_zeros() >= 23
}

impl Bounds {
    /// Values whose partial sums are of no further interest.
    pub(super) fn settled(low: Vec<f64>, high: Vec<f64>, scale: u32) -> Self {
        let gross = low.iter().zip(&high).map(|(l, h)| l.abs().max(h.abs())).collect();
        Bounds { low, high, gross, scale }
    }

    fn of_constant(values: &[f32]) -> Proved<Self> {
        let scale = values.iter().map(|&v| scale_of(v)).max().unwrap_or(0);
        let wide: Vec<f64> = values.iter().map(|&v| f64::from(v)).collect();
        let unit = exp2(scale);
        if scale > SCALE_MAX || wide.iter().any(|v| v.abs() * unit > UNITS_MAX) {
            return Err("its constants are not 24-bit multiples of one power of two".into());
        }
        Ok(Bounds::settled(wide.clone(), wide, scale))
    }

    fn map(&self, scale: u32, f: impl Fn(f64) -> f64) -> Self {
        Bounds::settled(self.low.iter().map(|&v| f(v)).collect(), self.high.iter().map(|&v| f(v)).collect(), scale)
    }

    fn with_zeros(len: usize, scale: u32) -> Self {
        Bounds { low: vec![0.0; len], high: vec![0.0; len], gross: vec![0.0; len], scale }
    }

    /// Adds to value `at` the product of value `a` of `x` and value `b` of `y`.
    fn add_product(&mut self, at: usize, x: &Bounds, a: usize, y: &Bounds, b: usize) {
        let (low, high) = product(x.low[a], x.high[a], y.low[b], y.high[b]);
        self.low[at] += low;
        self.high[at] += high;
        self.gross[at] += low.abs().max(high.abs());
    }

    /// A partial sum may take any part of the terms, hence no less than the sum of their magnitudes.
    fn add_bias(&mut self, bias: Option<&Bounds>, run: usize) {
        let Some(bias) = bias else { return };
        for at in 0..self.low.len() {
            let b = at / run;
            self.low[at] += bias.low[b];
            self.high[at] += bias.high[b];
            self.gross[at] += bias.gross[b];
        }
        self.scale = self.scale.max(bias.scale);
    }
}

/// The interval of a product.
fn product(a: f64, b: f64, c: f64, d: f64) -> (f64, f64) {
    let corners = [a * c, a * d, b * c, b * d];
    (corners.into_iter().fold(f64::INFINITY, f64::min), corners.into_iter().fold(f64::NEG_INFINITY, f64::max))
}

fn step_bounds(program: &Program, step: &Step, known: &[Option<Bounds>]) -> Proved<Bounds> {
    let operands: Vec<(&Slot, &Bounds)> =
        step.inputs.iter().filter_map(|&i| Some((&program.slots[i], known[i].as_ref()?))).collect();
    let out = program.slots[step.output].shape.as_slice();
    let (slot, x) = *operands.first().ok_or("it has no operand")?;
    match &step.op {
        Op::Unary(f) => unary(*f, x),
        Op::Binary(f) => binary(*f, operands[0], operands[1], out),
        Op::MatMul => Ok(mat_mul(operands[0], operands[1], out)),
        Op::Conv(w) => {
            let (kernel_slot, kernel) = operands[1];
            let mut sums = Bounds::with_zeros(out.iter().product(), x.scale + kernel.scale);
            window::conv_terms(w, &slot.shape, &kernel_slot.shape, out, |i, k, o| sums.add_product(o, x, i, kernel, k));
            sums.add_bias(operands.get(2).map(|b| b.1), out[1..].iter().product());
            Ok(sums)
        }
        Op::ConvTranspose { window: w, .. } => {
            let (kernel_slot, kernel) = operands[1];
            let mut sums = Bounds::with_zeros(out.iter().product(), x.scale + kernel.scale);
            window::conv_transpose_terms(w, &slot.shape, &kernel_slot.shape, out, |i, k, o| {
                sums.add_product(o, x, i, kernel, k);
            });
            sums.add_bias(operands.get(2).map(|b| b.1), out[1..].iter().product());
            Ok(sums)
        }
        Op::Upsample { factors, mode: Interpolation::Nearest } => {
            let strides = reference::strides(&slot.shape);
            let mut sources = Vec::new();
            for_each_index(out, |i| {
                sources.push((0, i.iter().zip(factors).zip(&strides).map(|((i, f), s)| i / f * s).sum()));
            });
            Ok(moved(&operands, &sources))
        }
        Op::Reshape | Op::Transpose(_) | Op::Concat(_) | Op::Slice { .. } => {
            let shapes: Vec<&[usize]> = operands.iter().map(|o| o.0.shape.as_slice()).collect();
            Ok(moved(&operands, &reference::sources(&step.op, &shapes, out)))
        }
        Op::Upsample { .. } => Err("linear interpolation rounds".into()),
        Op::Softmax(_) => Err("Softmax rounds".into()),
        Op::LayerNorm { .. } | Op::InstanceNorm { .. } => Err("normalization by measured statistics rounds".into()),
    }
}

fn moved(operands: &[(&Slot, &Bounds)], sources: &[(usize, usize)]) -> Bounds {
    let part = |f: fn(&Bounds) -> &[f64]| {
        let parts: Vec<&[f64]> = operands.iter().map(|o| f(o.1)).collect();
        reference::gather(&parts, sources)
    };
    Bounds {
        low: part(|b| &b.low),
        high: part(|b| &b.high),
        gross: part(|b| &b.gross),
        scale: operands.iter().map(|o| o.1.scale).max().unwrap_or(0),
    }
}

fn unary(f: Unary, x: &Bounds) -> Proved<Bounds> {
    Ok(match f {
        Unary::Relu => x.map(x.scale, |v| v.max(0.0)),
        Unary::Clip { low, high } => {
            // A bound that no value passes leaves no trace.
            let reached = |bound: f32, side: bool| {
                let b = f64::from(bound);
                if side { x.low.iter().any(|&v| v < b) } else { x.high.iter().any(|&v| v > b) }
            };
            let scale_low = if reached(low, true) { scale_of(low) } else { 0 };
            let scale_high = if reached(high, false) { scale_of(high) } else { 0 };
            x.map(x.scale.max(scale_low).max(scale_high), |v| v.max(f64::from(low)).min(f64::from(high)))
        }
        Unary::Floor => x.map(0, f64::floor),
        Unary::Ceil => x.map(0, f64::ceil),
        Unary::Round => x.map(0, f64::round_ties_even),
        Unary::Neg => Bounds {
            low: x.high.iter().map(|v| -v).collect(),
            high: x.low.iter().map(|v| -v).collect(),
            gross: x.gross.clone(),
            scale: x.scale,
        },
        Unary::Abs => {
            let low = x.low.iter().zip(&x.high).map(|(&l, &h)| l.max(-h).max(0.0)).collect();
            let high = x.low.iter().zip(&x.high).map(|(&l, &h)| h.max(-l)).collect();
            Bounds::settled(low, high, x.scale)
        }
        Unary::LeakyRelu(alpha) if alpha > 0.0 && alpha <= 1.0 && is_power_of_two(alpha) => {
            x.map(x.scale + scale_of(alpha), |v| if v < 0.0 { v * f64::from(alpha) } else { v })
        }
        other => return Err(format!("{other:?} rounds")),
    })
}

fn binary(f: Binary, a: (&Slot, &Bounds), b: (&Slot, &Bounds), out: &[usize]) -> Proved<Bounds> {
    let powers =
        |slot: &Slot| slot.constant.as_ref().is_none_or(|c| c.iter().all(|&v| v == 0.0 || is_power_of_two(v.abs())));
    let reciprocals;
    let (b, f) = match f {
        Binary::Div => {
            let Some(values) = b.0.constant.as_ref().filter(|c| c.iter().all(|&v| is_power_of_two(v.abs()))) else {
                return Err("Div by anything but constant powers of two rounds".into());
            };
            reciprocals = Bounds::of_constant(&values.iter().map(|v| 1.0 / v).collect::<Vec<_>>())?;
            ((b.0, &reciprocals), Binary::Mul)
        }
        // An engine may move a constant factor into the weights before it, whose partial sums then grow.
        Binary::Mul if !powers(a.0) || !powers(b.0) => {
            return Err("Mul by a constant that is no power of two".into());
        }
        Binary::PRelu => return Err("PRelu rounds".into()),
        other => (b, other),
    };
    let (x, y) = (a.1, b.1);
    let scale = if f == Binary::Mul { x.scale + y.scale } else { x.scale.max(y.scale) };
    let (left, right) = (aligned_strides(&a.0.shape, out), aligned_strides(&b.0.shape, out));
    let mut bounds = Bounds { low: vec![], high: vec![], gross: vec![], scale };
    for_each_index(out, |index| {
        let (i, j) = (dot(index, &left), dot(index, &right));
        let (low, high, gross) = match f {
            Binary::Add => (x.low[i] + y.low[j], x.high[i] + y.high[j], x.gross[i] + y.gross[j]),
            Binary::Sub => (x.low[i] - y.high[j], x.high[i] - y.low[j], x.gross[i] + y.gross[j]),
            Binary::Min => (x.low[i].min(y.low[j]), x.high[i].min(y.high[j]), 0.0),
            Binary::Max => (x.low[i].max(y.low[j]), x.high[i].max(y.high[j]), 0.0),
            _ => {
                let (low, high) = product(x.low[i], x.high[i], y.low[j], y.high[j]);
                (low, high, x.gross[i] * y.gross[j])
            }
        };
        bounds.low.push(low);
        bounds.high.push(high);
        bounds.gross.push(gross.max(low.abs()).max(high.abs()));
    });
    Ok(bounds)
}

fn mat_mul(a: (&Slot, &Bounds), b: (&Slot, &Bounds), out: &[usize]) -> Bounds {
    let mut sums = Bounds::with_zeros(out.iter().product(), a.1.scale + b.1.scale);
    reference::mat_mul_terms(&a.0.shape, &b.0.shape, out, |i, j, o| sums.add_product(o, a.1, i, b.1, j));
    sums
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::vet::vet;
    use super::*;
    use crate::limits::Limits;

    fn verdict(model: &Builder) -> std::result::Result<(), Inexact> {
        let vetted = vet(&model.build(), &Limits::default()).unwrap();
        prove(&vetted.program, vetted.latent_range)
    }

    /// 2 latents, 3 hidden values rescaled by 2^-4, 4 outputs.
    fn integer_decoder(weight: f32, range: &str) -> Builder {
        Builder::new(&[2])
            .init(floats("w1", &[2, 3], &[weight, -3.0, 5.0, 7.0, 0.0, -weight]))
            .init(floats("b1", &[3], &[100.0, -7.0, 8.0]))
            .init(floats("s", &[], &[0.0625]))
            .init(floats("w2", &[3, 4], &[1.0, 2.0, 3.0, 4.0, -5.0, 6.0, 7.0, 8.0, 9.0, -10.0, 11.0, 12.0]))
            .node(node("Gemm", &["x", "w1", "b1"], "a"))
            .node(node("Mul", &["a", "s"], "b"))
            .node(node("Floor", &["b"], "c"))
            .node(node("Clip", &["c"], "d").float_attr("min", 0.0).float_attr("max", 255.0))
            .node(node("MatMul", &["d", "w2"], "y"))
            .opset(9)
            .metadata("cae.latent_range", range)
    }

    #[test]
    fn proves_an_integer_decoder() {
        assert_eq!(verdict(&integer_decoder(1000.0, "-128,127")), Ok(()));
    }

    #[test]
    fn finds_the_sum_that_is_too_large() {
        let inexact = verdict(&integer_decoder(200_000.0, "-128,127")).unwrap_err();
        assert!(inexact.node.starts_with("Gemm"), "{inexact:?}");
        // A bias alone tips the scale: 8388607 * 2 + 100 > 2^24.
        assert!(verdict(&integer_decoder(8_388_558.0, "0,2")).is_err());
    }

    #[test]
    fn a_partial_sum_counts_even_if_terms_cancel() {
        let cancel = |w: f32| {
            Builder::new(&[1])
                .init(floats("w", &[1, 1], &[w]))
                .init(floats("b", &[1], &[-w]))
                .node(node("Gemm", &["x", "w", "b"], "y"))
                .metadata("cae.latent_range", "1,1")
        };
        assert!(verdict(&cancel(8_388_608.0)).is_ok());
        assert!(verdict(&cancel(8_388_609.0)).is_err());
    }

    #[test]
    fn fractions_of_powers_of_two_are_exact_and_others_are_not() {
        let scaled = |s: f32| {
            Builder::new(&[4])
                .init(floats("s", &[], &[s]))
                .node(node("Mul", &["x", "s"], "y"))
                .metadata("cae.latent_range", "-9,9")
        };
        assert!(verdict(&scaled(0.125)).is_ok());
        assert!(verdict(&scaled(0.1)).is_err());
        assert!(verdict(&scaled(3.0)).is_err());
    }

    #[test]
    fn what_rounds_is_named() {
        let inexact = verdict(&perceptron().metadata("cae.latent_range", "0,1")).unwrap_err();
        assert_eq!(inexact.node, "MatMul_h0");
        let sigmoid = Builder::new(&[1]).node(node("Sigmoid", &["x"], "y")).metadata("cae.latent_range", "0,1");
        assert_eq!(verdict(&sigmoid).unwrap_err().node, "Sigmoid_y");
        assert!(verdict(&perceptron()).unwrap_err().reason.contains("cae.latent_range"));
    }

    #[test]
    fn an_exact_decoder_equals_integer_arithmetic() {
        let model = integer_decoder(1000.0, "-128,127");
        let decoder = super::super::load_decoder(&model.build(), &Limits::default()).unwrap();
        assert!(decoder.is_exact());
        let latents: Vec<i64> = (0..512).map(|i| (i * 37) % 256 - 128).collect();
        let mut out = vec![0.0; latents.len() / 2 * 4];
        decoder.decode(&latents.iter().map(|&v| v as f32).collect::<Vec<_>>(), &mut out).unwrap();
        let w2 = [[1, 2, 3, 4], [-5, 6, 7, 8], [9, -10, 11, 12]];
        for (z, found) in latents.chunks(2).zip(out.chunks(4)) {
            let a = [z[0] * 1000 + z[1] * 7 + 100, z[0] * -3 - 7, z[0] * 5 - z[1] * 1000 + 8];
            let d = a.map(|v| (v >> 4).clamp(0, 255));
            for (j, &y) in found.iter().enumerate() {
                let expected: i64 = (0..3).map(|k| d[k] * w2[k][j]).sum();
                assert_eq!(y, expected as f32);
            }
        }
    }
}
