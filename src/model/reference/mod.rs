//! What every operation means, written as plainly as possible (SPEC 5.4): the arithmetic on constants, the oracle
//! for tract, and the engine where tract is left out.
#![cfg_attr(all(feature = "tract", not(test)), allow(dead_code, reason = "tract runs the programs of this build"))]
#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "shapes were checked when the program was built; every index is computed from them"
)]

pub(super) mod window;

use super::program::{Binary, Interpolation, Op, Program, Unary, volume};
use super::refused;
use crate::error::Result;

/// The program's output for one block: every operation in `f64`, its result rounded to `f32`.
pub(super) fn evaluate(program: &Program, input: &[f32]) -> Result<Vec<f32>> {
    let mut values = trace(program, input)?;
    values[program.output].take().ok_or_else(|| refused("", "the output is never computed"))
}

/// As [`evaluate`], every value that depends on the input.
pub(super) fn trace(program: &Program, input: &[f32]) -> Result<Vec<Option<Vec<f32>>>> {
    let mut values: Vec<Option<Vec<f32>>> = vec![None; program.slots.len()];
    if Some(input.len() as u64) != volume(&program.slot(program.input)?.shape) {
        return Err(refused("", "the input has the wrong length"));
    }
    values[program.input] = Some(input.to_vec());
    for step in &program.steps {
        let out_shape = &program.slot(step.output)?.shape;
        let mut operands: Vec<(&[usize], &[f32])> = Vec::new();
        for &i in &step.inputs {
            let slot = program.slot(i)?;
            let data = match (&slot.constant, &values[i]) {
                (Some(c), _) => &**c,
                (None, Some(v)) => v,
                (None, None) => return Err(refused(&step.name, "a step uses a value before it is known")),
            };
            operands.push((&slot.shape, data));
        }
        let result = apply(&step.op, &operands, out_shape);
        values[step.output] = Some(result);
    }
    Ok(values)
}

/// One operation on operands of known shapes.
fn apply(op: &Op, operands: &[(&[usize], &[f32])], out_shape: &[usize]) -> Vec<f32> {
    let (shape, data) = operands[0];
    match op {
        Op::Unary(f) => data.iter().map(|&x| unary(*f, x)).collect(),
        Op::Binary(f) => binary(*f, operands[0], operands[1], out_shape),
        Op::MatMul => mat_mul(operands[0], operands[1], out_shape),
        Op::Conv(window) => window::conv(window, operands, out_shape),
        Op::ConvTranspose { window, .. } => window::conv_transpose(window, operands, out_shape),
        Op::Upsample { factors, mode } => upsample(factors, *mode, (shape, data), out_shape),
        Op::Softmax(axis) => softmax(*axis, shape, data),
        Op::LayerNorm { axis, epsilon } => {
            let run = shape[*axis..].iter().product();
            let bias = operands.get(2).map(|b| b.1);
            normalized(data, run, *epsilon, |i| operands[1].1[i % run], |i| bias.map_or(0.0, |b| b[i % run]))
        }
        Op::InstanceNorm { epsilon } => {
            let run = shape[1..].iter().product();
            normalized(data, run, *epsilon, |i| operands[1].1[i / run], |i| operands[2].1[i / run])
        }
        Op::Reshape | Op::Transpose(_) | Op::Concat(_) | Op::Slice { .. } => {
            let shapes: Vec<&[usize]> = operands.iter().map(|o| o.0).collect();
            let parts: Vec<&[f32]> = operands.iter().map(|o| o.1).collect();
            gather(&parts, &sources(op, &shapes, out_shape))
        }
    }
}

/// Whether IEEE 754 fixes the last bit of the function.
pub(super) fn is_exactly_rounded(f: Unary) -> bool {
    matches!(
        f,
        Unary::Relu
            | Unary::LeakyRelu(_)
            | Unary::Sqrt
            | Unary::Abs
            | Unary::Neg
            | Unary::Floor
            | Unary::Ceil
            | Unary::Round
            | Unary::Clip { .. }
    )
}

/// A function of one value.
pub(super) fn unary(f: Unary, x: f32) -> f32 {
    real(f, f64::from(x)) as f32
}

/// A function of one value, before its result is rounded to `f32`.
pub(super) fn real(f: Unary, v: f64) -> f64 {
    let wide = |a: f32| f64::from(a);
    match f {
        Unary::Relu => v.max(0.0),
        Unary::LeakyRelu(alpha) => {
            if v < 0.0 {
                v * wide(alpha)
            } else {
                v
            }
        }
        Unary::Elu(alpha) => {
            if v < 0.0 {
                wide(alpha) * v.exp_m1()
            } else {
                v
            }
        }
        Unary::Selu { alpha, gamma } => wide(gamma) * if v < 0.0 { wide(alpha) * v.exp_m1() } else { v },
        Unary::Sigmoid => 1.0 / (1.0 + (-v).exp()),
        Unary::HardSigmoid { alpha, beta } => (wide(alpha) * v + wide(beta)).clamp(0.0, 1.0),
        Unary::HardSwish => v * (v / 6.0 + 0.5).clamp(0.0, 1.0),
        Unary::Tanh => v.tanh(),
        Unary::Softplus => v.max(0.0) + (-v.abs()).exp().ln_1p(),
        Unary::Softsign => v / (1.0 + v.abs()),
        Unary::Gelu { tanh: false } => 0.5 * v * (1.0 + erf(v * std::f64::consts::FRAC_1_SQRT_2)),
        Unary::Gelu { tanh: true } => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (v + 0.044_715 * v * v * v);
            0.5 * v * (1.0 + inner.tanh())
        }
        Unary::Erf => erf(v),
        Unary::Exp => v.exp(),
        Unary::Sqrt => v.sqrt(),
        Unary::Abs => v.abs(),
        Unary::Neg => -v,
        Unary::Floor => v.floor(),
        Unary::Ceil => v.ceil(),
        Unary::Round => v.round_ties_even(),
        Unary::Clip { low, high } => v.max(wide(low)).min(wide(high)),
        Unary::Pow(y) => v.powf(wide(y)),
    }
}

/// The error function by its Taylor series near 0 and a continued fraction far from it.
fn erf(x: f64) -> f64 {
    let a = x.abs();
    let value = if a < 2.5 {
        let (mut term, mut sum) = (a, a);
        for n in 1..80 {
            let n = f64::from(n);
            term *= -a * a / n;
            sum += term / (2.0 * n + 1.0);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    } else {
        let mut tail = a;
        for n in (1..60).rev() {
            tail = a + f64::from(n) / 2.0 / tail;
        }
        1.0 - (-a * a).exp() / (tail * std::f64::consts::PI.sqrt())
    };
    value.copysign(x)
}

/// A function of two operands, broadcast to `out_shape`.
pub(super) fn binary(f: Binary, a: (&[usize], &[f32]), b: (&[usize], &[f32]), out_shape: &[usize]) -> Vec<f32> {
    let mut out = Vec::new();
    let (left, right) = (aligned_strides(a.0, out_shape), aligned_strides(b.0, out_shape));
    for_each_index(out_shape, |index| {
        let (x, y) = (a.1[dot(index, &left)], b.1[dot(index, &right)]);
        out.push(match f {
            Binary::Add => x + y,
            Binary::Sub => x - y,
            Binary::Mul => x * y,
            Binary::Div => x / y,
            Binary::Min => x.min(y),
            Binary::Max => x.max(y),
            Binary::PRelu => {
                if x < 0.0 {
                    x * y
                } else {
                    x
                }
            }
        });
    });
    out
}

/// Visits every pair of values that a matrix product multiplies, with the sum that they add to:
/// (left, right, output) offsets.
pub(super) fn mat_mul_terms(a: &[usize], b: &[usize], out: &[usize], mut visit: impl FnMut(usize, usize, usize)) {
    // A vector is one row; which side has leading axes follows from the ranks.
    let matrix = |s: &[usize]| if s.len() == 1 { vec![1, s[0]] } else { s.to_vec() };
    let (a, b) = (matrix(a), matrix(b));
    let (rows, inner, columns) = (a[a.len() - 2], a[a.len() - 1], b[b.len() - 1]);
    let count = out.iter().product::<usize>() / (rows * columns);
    let step_a = if a.len() > 2 { rows * inner } else { 0 };
    let step_b = if b.len() > 2 { inner * columns } else { 0 };
    for n in 0..count {
        for r in 0..rows {
            for k in 0..inner {
                for c in 0..columns {
                    let (left, right) = (n * step_a + r * inner + k, n * step_b + k * columns + c);
                    visit(left, right, (n * rows + r) * columns + c);
                }
            }
        }
    }
}

/// Product over the last two axes of the operand that has them; the other is a matrix.
fn mat_mul(a: (&[usize], &[f32]), b: (&[usize], &[f32]), out: &[usize]) -> Vec<f32> {
    let mut sums = vec![0.0_f64; out.iter().product()];
    mat_mul_terms(a.0, b.0, out, |i, j, o| sums[o] += f64::from(a.1[i]) * f64::from(b.1[j]));
    sums.iter().map(|&v| v as f32).collect()
}

fn softmax(axis: usize, shape: &[usize], data: &[f32]) -> Vec<f32> {
    let (len, stride) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
    let mut out = vec![0.0; data.len()];
    for start in (0..data.len()).filter(|i| (i / stride) % len == 0) {
        let lane: Vec<f64> = (0..len).map(|k| f64::from(data[start + k * stride])).collect();
        let top = lane.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = lane.iter().map(|v| (v - top).exp()).sum();
        for (k, v) in lane.iter().enumerate() {
            out[start + k * stride] = ((v - top).exp() / sum) as f32;
        }
    }
    out
}

/// Each run of values less its mean, over its standard deviation, times a scale, plus a bias.
fn normalized(
    data: &[f32],
    run: usize,
    epsilon: f32,
    scale: impl Fn(usize) -> f32,
    bias: impl Fn(usize) -> f32,
) -> Vec<f32> {
    let mut out = Vec::with_capacity(data.len());
    for chunk in data.chunks_exact(run) {
        let n = run as f64;
        let mean = chunk.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let variance = chunk.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
        for &v in chunk {
            let i = out.len();
            let unit = (f64::from(v) - mean) / (variance + f64::from(epsilon)).sqrt();
            out.push((unit * f64::from(scale(i)) + f64::from(bias(i))) as f32);
        }
    }
    out
}

fn upsample(factors: &[usize], mode: Interpolation, input: (&[usize], &[f32]), out_shape: &[usize]) -> Vec<f32> {
    let (shape, data) = input;
    let strides = strides(shape);
    let mut out = Vec::new();
    for_each_index(out_shape, |index| {
        // Weighted corners, doubled for each axis between two of its values.
        let mut corners = vec![(0_usize, 1.0_f64)];
        for axis in 0..shape.len() {
            let (n, f, i) = (shape[axis], factors[axis], index[axis]);
            let position = match mode {
                Interpolation::Nearest => (i / f) as f64,
                Interpolation::LinearHalfPixel => (i as f64 + 0.5) / f as f64 - 0.5,
                Interpolation::LinearAsymmetric => i as f64 / f as f64,
                Interpolation::LinearAlignCorners => (i * (n - 1)) as f64 / (n * f - 1).max(1) as f64,
            };
            let position = position.clamp(0.0, (n - 1) as f64);
            let (low, part) = (position.floor() as usize, position.fract());
            let high = (low + 1).min(n - 1);
            corners = corners
                .iter()
                .flat_map(|&(at, w)| {
                    [(at + low * strides[axis], w * (1.0 - part)), (at + high * strides[axis], w * part)]
                })
                .filter(|c| c.1 > 0.0)
                .collect();
        }
        out.push(corners.iter().map(|&(at, w)| f64::from(data[at]) * w).sum::<f64>() as f32);
    });
    out
}

/// For each value of the result of an operation that only moves values: which operand, and where in it.
pub(super) fn sources(op: &Op, shapes: &[&[usize]], out_shape: &[usize]) -> Vec<(usize, usize)> {
    let mut out = Vec::new();
    let strides: Vec<Vec<usize>> = shapes.iter().map(|s| strides(s)).collect();
    for_each_index(out_shape, |index| {
        out.push(match op {
            Op::Transpose(permutation) => (0, permutation.iter().zip(index).map(|(&p, &i)| i * strides[0][p]).sum()),
            Op::Slice { starts, steps } => {
                (0, index.iter().enumerate().map(|(a, &i)| (starts[a] + i * steps[a]) * strides[0][a]).sum())
            }
            Op::Concat(axis) => {
                let (mut which, mut at) = (0, index[*axis]);
                while at >= shapes[which][*axis] {
                    at -= shapes[which][*axis];
                    which += 1;
                }
                let offset = |a: usize, i: usize| if a == *axis { at } else { i } * strides[which][a];
                (which, index.iter().enumerate().map(|(a, &i)| offset(a, i)).sum())
            }
            _ => (0, out.len()),
        });
    });
    out
}

/// The values that [`sources`] names.
pub(super) fn gather<T: Copy>(parts: &[&[T]], sources: &[(usize, usize)]) -> Vec<T> {
    sources.iter().map(|&(part, at)| parts[part][at]).collect()
}

/// Distance between neighbours along each axis, in C order.
pub(super) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut out = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        out[axis - 1] = out[axis] * shape[axis];
    }
    out
}

/// Strides of an operand within the shape that it is broadcast to.
pub(super) fn aligned_strides(shape: &[usize], out_shape: &[usize]) -> Vec<usize> {
    let own = strides(shape);
    let missing = out_shape.len() - shape.len();
    (0..out_shape.len())
        .map(|axis| if axis < missing || shape[axis - missing] == 1 { 0 } else { own[axis - missing] })
        .collect()
}

pub(super) fn dot(index: &[usize], strides: &[usize]) -> usize {
    index.iter().zip(strides).map(|(i, s)| i * s).sum()
}

/// Visits every index of a shape in C order.
pub(super) fn for_each_index(shape: &[usize], mut visit: impl FnMut(&[usize])) {
    if shape.contains(&0) {
        return;
    }
    let mut index = vec![0; shape.len()];
    loop {
        visit(&index);
        let mut axis = shape.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
}
