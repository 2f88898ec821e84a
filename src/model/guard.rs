//! How far apart two engines may be on a model that is not exact (SPEC 5.5).
//!
//! Every value is known to lie in an interval and to be off by at most an error, which grows as SPEC 5.5 says. The
//! interval is that of the real functions; it is widened by the error before it is used.
#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "shapes were checked when the program was built; every index is computed from them"
)]

use super::program::{Binary, Interpolation, Op, Program, Slot, Unary};
use super::reference::{self, aligned_strides, dot, for_each_index, window};

/// Half a unit in the last place of 1.0 in `f32`.
const ROUNDING: f64 = 5.960_464_477_539_063e-8;
/// As for the proof of exactness.
const OPERATIONS_MAX: u64 = 1 << 28;
const VALUES_MAX: usize = 1 << 24;

/// What an engine may be off in a function that IEEE 754 does not fix, as a share of the result or of 1 (SPEC 5.5).
/// Engines approximate Erf coarsely: tract 0.23 is off by 1.7e-6 there, elsewhere by no more than 7.2e-7.
pub(super) fn function_error(f: Unary) -> f64 {
    if matches!(f, Unary::Erf | Unary::Gelu { .. }) { 4.0e-6 } else { 1.0e-6 }
}

/// What is known of one tensor.
#[derive(Debug, Clone)]
struct Bounds {
    low: Vec<f64>,
    high: Vec<f64>,
    error: Vec<f64>,
}

impl Bounds {
    fn of_constant(values: &[f32]) -> Self {
        let wide: Vec<f64> = values.iter().map(|&v| f64::from(v)).collect();
        Bounds { low: wide.clone(), high: wide, error: vec![0.0; values.len()] }
    }

    fn zeros(len: usize) -> Self {
        Bounds { low: vec![0.0; len], high: vec![0.0; len], error: vec![0.0; len] }
    }

    /// Greatest magnitude of value `i`, errors included.
    fn magnitude(&self, i: usize) -> f64 {
        self.low[i].abs().max(self.high[i].abs()) + self.error[i]
    }
}

/// Greatest error of each output value for latents in these ranges, one for each of a block; `None` where an operation
/// knows no bound.
pub(super) fn errors(program: &Program, ranges: &[(f32, f32)]) -> Option<Vec<f64>> {
    let values: usize = program.slots.iter().map(|s| s.shape.iter().product::<usize>()).sum();
    let len: usize = program.slots[program.input].shape.iter().product();
    let legal = |(low, high): &(f32, f32)| low <= high && low.is_finite() && high.is_finite();
    if program.operations > OPERATIONS_MAX || values > VALUES_MAX || ranges.len() != len || !ranges.iter().all(legal) {
        return None;
    }
    let mut known: Vec<Option<Bounds>> = program.slots.iter().map(|_| None).collect();
    known[program.input] = Some(Bounds {
        low: ranges.iter().map(|r| f64::from(r.0)).collect(),
        high: ranges.iter().map(|r| f64::from(r.1)).collect(),
        error: vec![0.0; len],
    });
    for step in &program.steps {
        for &i in &step.inputs {
            if let (None, Some(values)) = (&known[i], &program.slots[i].constant) {
                known[i] = Some(Bounds::of_constant(values));
            }
        }
        let operands: Vec<(&Slot, &Bounds)> =
            step.inputs.iter().filter_map(|&i| Some((&program.slots[i], known[i].as_ref()?))).collect();
        let out = &program.slots[step.output].shape;
        known[step.output] = Some(bounds(&step.op, &operands, out)?);
    }
    let errors = known[program.output].take()?.error;
    errors.iter().all(|e| e.is_finite()).then_some(errors)
}

fn bounds(op: &Op, operands: &[(&Slot, &Bounds)], out: &[usize]) -> Option<Bounds> {
    let (slot, x) = *operands.first()?;
    match op {
        Op::Unary(f) => unary(*f, x),
        Op::Binary(f) => binary(*f, operands[0], operands[1], out),
        Op::MatMul => Some(sums(operands, out, |a, b, visit| reference::mat_mul_terms(a, b, out, visit))),
        Op::Conv(w) => Some(sums(operands, out, |a, b, visit| window::conv_terms(w, a, b, out, visit))),
        Op::ConvTranspose { window: w, .. } => {
            Some(sums(operands, out, |a, b, visit| window::conv_transpose_terms(w, a, b, out, visit)))
        }
        Op::Upsample { factors, mode: Interpolation::Nearest } => {
            let strides = reference::strides(&slot.shape);
            let mut sources = Vec::new();
            for_each_index(out, |i| {
                sources.push((0, i.iter().zip(factors).zip(&strides).map(|((i, f), s)| i / f * s).sum()));
            });
            Some(moved(operands, &sources))
        }
        Op::Reshape | Op::Transpose(_) | Op::Concat(_) | Op::Slice { .. } => {
            let shapes: Vec<&[usize]> = operands.iter().map(|o| o.0.shape.as_slice()).collect();
            Some(moved(operands, &reference::sources(op, &shapes, out)))
        }
        Op::Upsample { .. } => {
            // Weights are at most 1 and sum to 1; three axes make eight terms, each rounded a few times.
            let worst = (0..x.low.len()).map(|i| x.magnitude(i)).fold(0.0, f64::max);
            let error = x.error.iter().copied().fold(0.0, f64::max) + 64.0 * ROUNDING * worst;
            let len = out.iter().product();
            let low = x.low.iter().copied().fold(f64::INFINITY, f64::min);
            let high = x.high.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            Some(Bounds { low: vec![low; len], high: vec![high; len], error: vec![error; len] })
        }
        Op::Softmax(_) | Op::LayerNorm { .. } | Op::InstanceNorm { .. } => None,
    }
}

type Visit<'v> = &'v mut dyn FnMut(usize, usize, usize);

/// Terms of one step that are kept until each sum is complete.
const TERMS_MAX: usize = 1 << 21;

/// One sum of products while its terms come in.
#[derive(Clone, Default)]
struct Sum {
    count: f64,
    /// Greatest sum of the terms that may be positive, and of those that may be negative, in magnitude.
    up: f64,
    down: f64,
    /// Those parts of each term, where they are kept.
    terms: Vec<(f64, f64)>,
}

impl Sum {
    fn add(&mut self, low: f64, high: f64, error: f64, keep: bool) {
        let (up, down) = ((high + error).max(0.0), (error - low).max(0.0));
        self.count += 1.0;
        self.up += up;
        self.down += down;
        if keep {
            self.terms.push((up, down));
        }
    }

    /// What rounding adds. An engine makes n - 1 partial sums; sorted by the number of their terms, the first has at
    /// most n, the next n - 1, and so on (in sequence just these), and each is rounded once, by a share of its
    /// magnitude. That is at most what the largest terms of one sign give. Products round once more, and weights into
    /// which an engine moved a factor, and results that it moved one out of, three times.
    fn rounding(&mut self) -> f64 {
        let partial = if self.terms.is_empty() {
            self.count * self.up.max(self.down)
        } else {
            let mut parts: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
            parts[0].extend(self.terms.iter().map(|t| t.0));
            parts[1].extend(self.terms.iter().map(|t| t.1));
            for p in &mut parts {
                p.sort_by(|a, b| b.total_cmp(a));
            }
            let (mut up, mut down, mut all) = (0.0, 0.0, 0.0);
            for (u, d) in parts[0].iter().zip(&parts[1]) {
                up += u;
                down += d;
                all += f64::max(up, down);
            }
            all
        };
        let share = (self.count + 4.0) * ROUNDING;
        (partial + 4.0 * (self.up + self.down)) * ROUNDING / (1.0 - share).max(0.5)
    }
}

/// Sums of products, and perhaps a bias, in whatever order.
fn sums(operands: &[(&Slot, &Bounds)], out: &[usize], terms: impl Fn(&[usize], &[usize], Visit<'_>)) -> Bounds {
    let len = out.iter().product();
    let (mut sum, mut parts) = (Bounds::zeros(len), vec![Sum::default(); len]);
    let ((a_slot, a), (b_slot, b)) = (operands[0], operands[1]);
    let mut all = 0_usize;
    terms(&a_slot.shape, &b_slot.shape, &mut |_, _, _| all += 1);
    let keep = all <= TERMS_MAX;
    terms(&a_slot.shape, &b_slot.shape, &mut |i, j, o| {
        let (low, high) = product(a.low[i], a.high[i], b.low[j], b.high[j]);
        let error = a.error[i] * b.magnitude(j) + b.error[j] * a.magnitude(i);
        sum.low[o] += low;
        sum.high[o] += high;
        sum.error[o] += error;
        parts[o].add(low, high, error, keep);
    });
    if let Some((_, bias)) = operands.get(2) {
        let run = out[1..].iter().product::<usize>();
        for (o, part) in parts.iter_mut().enumerate() {
            let (low, high, error) = (bias.low[o / run], bias.high[o / run], bias.error[o / run]);
            sum.low[o] += low;
            sum.high[o] += high;
            sum.error[o] += error;
            part.add(low, high, error, keep);
        }
    }
    for (error, part) in sum.error.iter_mut().zip(&mut parts) {
        *error += part.rounding();
    }
    sum
}

fn moved(operands: &[(&Slot, &Bounds)], sources: &[(usize, usize)]) -> Bounds {
    let part = |f: fn(&Bounds) -> &[f64]| {
        let parts: Vec<&[f64]> = operands.iter().map(|o| f(o.1)).collect();
        reference::gather(&parts, sources)
    };
    Bounds { low: part(|b| &b.low), high: part(|b| &b.high), error: part(|b| &b.error) }
}

fn product(a: f64, b: f64, c: f64, d: f64) -> (f64, f64) {
    let corners = [a * c, a * d, b * c, b * d];
    (corners.into_iter().fold(f64::INFINITY, f64::min), corners.into_iter().fold(f64::NEG_INFINITY, f64::max))
}

/// Steepest slope and interval of the result for a function that never falls.
fn rising(f: Unary, low: f64, high: f64) -> Option<f64> {
    // The least magnitude in the interval, where functions that saturate are steepest.
    let nearest = if low <= 0.0 && high >= 0.0 { 0.0 } else { low.abs().min(high.abs()) };
    Some(match f {
        Unary::Relu | Unary::Clip { .. } => 1.0,
        Unary::LeakyRelu(alpha) if alpha >= 0.0 => f64::from(alpha).max(1.0),
        Unary::Elu(alpha) if alpha >= 0.0 => f64::from(alpha).max(1.0),
        Unary::Selu { alpha, gamma } if alpha >= 0.0 && gamma >= 0.0 => f64::from(gamma) * f64::from(alpha).max(1.0),
        Unary::Sigmoid => {
            let e = (-nearest).exp();
            e / ((1.0 + e) * (1.0 + e))
        }
        Unary::HardSigmoid { alpha, .. } if alpha >= 0.0 => f64::from(alpha),
        Unary::Tanh => 1.0 - nearest.tanh() * nearest.tanh(),
        Unary::Softplus => 1.0,
        Unary::Softsign => 1.0 / ((1.0 + nearest) * (1.0 + nearest)),
        Unary::Erf => std::f64::consts::FRAC_2_SQRT_PI * (-nearest * nearest).exp(),
        Unary::Exp => high.exp(),
        Unary::Sqrt if low > 0.0 => 0.5 / low.sqrt(),
        _ => return None,
    })
}

fn unary(f: Unary, x: &Bounds) -> Option<Bounds> {
    let mut out = Bounds::zeros(0);
    for i in 0..x.low.len() {
        let (low, high, error) = (x.low[i], x.high[i], x.error[i]);
        let (a, b, slope) = match f {
            Unary::Neg => (-high, -low, 1.0),
            Unary::Abs => (low.max(-high).max(0.0), high.max(-low), 1.0),
            // Not monotonous, but never steeper than this, and never far below zero.
            Unary::HardSwish => (low.clamp(-0.5, 0.0), high.max(0.0), 1.5),
            Unary::Gelu { .. } => (low.clamp(-0.2, 0.0), high.max(0.0), 1.2),
            _ => {
                let slope = rising(f, low - error, high + error)?;
                // Evaluating at the ends rounds to f32, which the function's error below covers.
                (reference::real(f, low), reference::real(f, high), slope)
            }
        };
        let own = match f {
            Unary::Relu | Unary::Clip { .. } | Unary::Neg | Unary::Abs => 0.0,
            Unary::Sqrt | Unary::LeakyRelu(_) => 2.0 * ROUNDING * a.abs().max(b.abs()),
            _ => function_error(f) * a.abs().max(b.abs()).max(1.0),
        };
        out.low.push(a);
        out.high.push(b);
        out.error.push(slope * error + own);
    }
    Some(out)
}

fn binary(f: Binary, a: (&Slot, &Bounds), b: (&Slot, &Bounds), shape: &[usize]) -> Option<Bounds> {
    let (x, y) = (a.1, b.1);
    let (left, right) = (aligned_strides(&a.0.shape, shape), aligned_strides(&b.0.shape, shape));
    let mut out = Bounds::zeros(0);
    let mut bounded = true;
    for_each_index(shape, |index| {
        let (i, j) = (dot(index, &left), dot(index, &right));
        let sum_error = x.error[i] + y.error[j];
        let (low, high, error) = match f {
            Binary::Add => (x.low[i] + y.low[j], x.high[i] + y.high[j], sum_error),
            Binary::Sub => (x.low[i] - y.high[j], x.high[i] - y.low[j], sum_error),
            Binary::Min => (x.low[i].min(y.low[j]), x.high[i].min(y.high[j]), x.error[i].max(y.error[j])),
            Binary::Max => (x.low[i].max(y.low[j]), x.high[i].max(y.high[j]), x.error[i].max(y.error[j])),
            Binary::Mul => {
                let (low, high) = product(x.low[i], x.high[i], y.low[j], y.high[j]);
                (low, high, x.error[i] * y.magnitude(j) + y.error[j] * x.magnitude(i))
            }
            Binary::Div => {
                // Only by what stays away from zero.
                let least = y.low[j].abs().min(y.high[j].abs()) - y.error[j];
                bounded &= least > 0.0 && (y.low[j] > 0.0) == (y.high[j] > 0.0);
                let (low, high) = product(x.low[i], x.high[i], 1.0 / y.high[j], 1.0 / y.low[j]);
                (low, high, x.error[i] / least + y.error[j] * x.magnitude(i) / (least * least))
            }
            Binary::PRelu => {
                let (low, high) = product(x.low[i].min(0.0), x.high[i].min(0.0), y.low[j], y.high[j]);
                let steep = y.magnitude(j).max(1.0);
                (
                    low.min(x.low[i].max(0.0)),
                    high.max(x.high[i].max(0.0)),
                    x.error[i] * steep + y.error[j] * x.magnitude(i),
                )
            }
        };
        let own = if matches!(f, Binary::Min | Binary::Max) {
            0.0
        } else {
            2.0 * ROUNDING * (low.abs().max(high.abs()) + error)
        };
        out.low.push(low);
        out.high.push(high);
        out.error.push(error + own);
    });
    bounded.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::vet::vet;
    use super::*;
    use crate::limits::Limits;

    fn bound(model: &Builder) -> Option<f64> {
        let program = vet(&model.build(), &Limits::default()).unwrap().program;
        let len = program.slots[program.input].shape.iter().product();
        Some(errors(&program, &vec![(-1.0, 1.0); len])?.into_iter().fold(0.0, f64::max))
    }

    #[test]
    fn bounds_a_perceptron_closely() {
        let e = bound(&perceptron()).unwrap();
        assert!(e > 1e-7 && e < 1e-4, "{e}");
    }

    #[test]
    fn movements_add_no_error() {
        let moved = Builder::new(&[4, 6]).node(node("Transpose", &["x"], "y").ints_attr("perm", &[0, 2, 1]));
        assert_eq!(bound(&moved), Some(0.0));
    }

    #[test]
    fn knows_no_bound_where_there_is_none() {
        for op in ["Softmax", "Floor", "Sqrt"] {
            assert_eq!(bound(&Builder::new(&[4]).node(node(op, &["x"], "y"))), None, "{op}");
        }
        assert_eq!(bound(&Builder::new(&[4]).node(node("Div", &["x", "x"], "y"))), None);
    }

    #[test]
    fn the_engine_stays_within_the_bound() {
        let model = perceptron();
        let vetted = vet(&model.build(), &Limits::default()).unwrap();
        let decoder = super::super::load_decoder(&model.build(), &Limits::default()).unwrap();
        let e = decoder.error_bounds(&[(-1.0, 1.0); 4]).unwrap();
        let latents: Vec<f32> = (0..400).map(noise).collect();
        let mut out = vec![0.0; 800];
        decoder.decode(&latents, &mut out).unwrap();
        for (latent, found) in latents.chunks(4).zip(out.chunks(8)) {
            let expected = super::reference::evaluate(&vetted.program, latent).unwrap();
            assert!(expected.iter().zip(found).zip(&e).all(|((x, y), e)| f64::from((x - y).abs()) <= 2.0 * e));
        }
    }
}
