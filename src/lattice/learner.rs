//! A network that learns while it decodes (SPEC 9.6): asked where a value lies and how sure that is, and told afterwards.
//!
//! Writer and reader run the same IEEE-754 binary32 operations in the same order, so no weights are stored.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    reason = "inner loops over arrays whose sizes are constants; every number is clamped"
)]

use crate::vector::vectorize;
use fearless_simd::Simd;

/// Numbers that it is told, each within 8 of 0.
pub(crate) const INPUTS: usize = 48;
/// With one that is always 1.
const COLUMNS: usize = INPUTS + 1;
/// Values of the first and of the second hidden layer.
const WIDE: usize = 32;
const NARROW: usize = 16;
/// Lengths of the lists of a layer's inputs: with the one that is always 1, and zeros up to whole vectors.
const COLUMNS_LEN: usize = COLUMNS.next_multiple_of(8);
const WIDE_LEN: usize = (WIDE + 1).next_multiple_of(8);
const NARROW_LEN: usize = (NARROW + 1).next_multiple_of(8);
const ANSWERS_LEN: usize = ANSWERS.next_multiple_of(8);
/// Shift and octaves.
const ANSWERS: usize = 2;

/// Rate of learning: `RATE + EXTRA * FADE / (FADE + points learned from)`.
const RATE: f32 = 2e-4;
const EXTRA: f32 = 1.2e-3;
const FADE: f32 = 16_384.0;
/// Least share of a point in the mean squares, and how many points those count as that they start from.
const SHARE: f32 = 3e-4;
const FIRST: f32 = 10.0;
/// What the mean squares of values and of slopes start from, and what is added to their roots.
const VALUES: (f32, f32) = (1.0, 1e-2);
const SLOPES: (f32, f32) = (1e-2, 1e-3);
/// Least mean square: subnormal numbers are slow.
const TINY: f32 = 1e-20;
/// Bound on hidden values, so that all numbers stay finite.
const VALUE_MAX: f32 = 256.0;
/// Least and greatest logarithm of a scale.
const OCTAVES: (f32, f32) = (-8.0, 6.0);
/// Bound on what one point may say.
const SLOPE_MAX: f32 = 4.0;
/// Misses beyond this many steps teach nothing.
const MISS_MAX: f32 = 1e6;
/// Scales beyond this are those of a density: an interval of one step is a point.
const SCALE_MAX: f32 = 256.0;
/// Below this many scales no difference is left between the two ends of an interval.
const FAR: f32 = -40.0;

#[derive(Debug)]
struct Weights {
    first: [[f32; WIDE]; COLUMNS],
    second: [[f32; NARROW]; WIDE + 1],
    last: [[f32; NARROW_LEN]; ANSWERS],
    /// The second layer's, by its inputs in the inner direction.
    turned: [[f32; WIDE]; NARROW],
}

impl Weights {
    /// Evenly distributed, the first answers near "nothing to add".
    fn start() -> Self {
        let mut w = Weights {
            first: [[0.0; WIDE]; COLUMNS],
            second: [[0.0; NARROW]; WIDE + 1],
            last: [[0.0; NARROW_LEN]; ANSWERS],
            turned: [[0.0; WIDE]; NARROW],
        };
        let mut state = 1u32;
        let mut draw = |width: f32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 8) as f32 * (1.0 / 8_388_608.0) - 1.0) * width
        };
        w.first.as_flattened_mut().iter_mut().for_each(|w| *w = draw(0.175));
        w.second[..WIDE].as_flattened_mut().iter_mut().for_each(|w| *w = draw(0.4375));
        for row in &mut w.last {
            row[..NARROW].iter_mut().for_each(|w| *w = draw(0.0875));
        }
        w.last[1][NARROW] = -0.5;
        for (i, row) in w.second[..WIDE].iter().enumerate() {
            for (turned, w) in w.turned.iter_mut().zip(row) {
                turned[i] = *w;
            }
        }
        w
    }
}

/// Running means of the squares of what weights are multiplied with, and of the slopes behind them.
#[derive(Debug)]
struct Squares {
    inputs: [f32; COLUMNS_LEN],
    wide: [f32; WIDE_LEN],
    narrow: [f32; NARROW_LEN],
    wide_slopes: [f32; WIDE],
    narrow_slopes: [f32; NARROW],
    slopes: [f32; ANSWERS_LEN],
}

/// The network, and what it was asked last.
#[derive(Debug)]
pub(crate) struct Learner {
    weights: Box<Weights>,
    squares: Box<Squares>,
    /// Points learned from.
    points: f32,
    inputs: [f32; COLUMNS_LEN],
    wide: [f32; WIDE_LEN],
    narrow: [f32; NARROW_LEN],
    answer: [f32; ANSWERS],
}

impl Learner {
    pub(crate) fn new() -> Self {
        Learner {
            weights: Box::new(Weights::start()),
            squares: Box::new(Squares {
                inputs: [VALUES.0; COLUMNS_LEN],
                wide: [VALUES.0; WIDE_LEN],
                narrow: [VALUES.0; NARROW_LEN],
                wide_slopes: [SLOPES.0; WIDE],
                narrow_slopes: [SLOPES.0; NARROW],
                slopes: [SLOPES.0; ANSWERS_LEN],
            }),
            points: 0.0,
            inputs: std::array::from_fn(|i| if i == INPUTS { 1.0 } else { 0.0 }),
            wide: std::array::from_fn(|i| if i == WIDE { 1.0 } else { 0.0 }),
            narrow: std::array::from_fn(|i| if i == NARROW { 1.0 } else { 0.0 }),
            answer: [0.0; ANSWERS],
        }
    }

    /// How many units the value lies above what was expected without the network, and the logarithm to base 2 of the
    /// scale in units.
    pub(crate) fn ask(&mut self, inputs: &[f32; INPUTS]) -> [f32; ANSWERS] {
        vectorize!(simd => self.forward(simd, inputs))
    }

    #[inline(always)]
    fn forward<S: Simd>(&mut self, simd: S, inputs: &[f32; INPUTS]) -> [f32; ANSWERS] {
        self.inputs[..INPUTS].copy_from_slice(inputs);
        let sums = product(simd, &self.inputs, &self.weights.first);
        for j in 0..WIDE {
            self.wide[j] = if sums[j] > 0.0 { sums[j].min(VALUE_MAX) } else { 0.0 };
        }
        let sums = product(simd, &self.wide, &self.weights.second);
        for j in 0..NARROW {
            self.narrow[j] = if sums[j] > 0.0 { sums[j].min(VALUE_MAX) } else { 0.0 };
        }
        for (y, row) in self.answer.iter_mut().zip(&self.weights.last) {
            *y = self.narrow.iter().zip(row).fold(0.0, |sum, (x, w)| sum + x * w);
        }
        self.answer
    }

    /// Learns that the point asked about last lies `miss` steps above what was expected, a unit being `unit` steps.
    pub(crate) fn learn(&mut self, miss: f32, unit: f32) {
        // Written so that a NaN is refused too.
        if !(miss.abs() < MISS_MAX) {
            return;
        }
        vectorize!(simd => self.backward(simd, slopes(self.answer, miss, unit)));
    }

    /// Moves each weight against its slope, a product of a value and of a slope behind it, over the usual size of both.
    #[inline(always)]
    fn backward<S: Simd>(&mut self, simd: S, slopes: [f32; ANSWERS]) {
        let w = &mut *self.weights;
        let mut narrow = [0f32; NARROW];
        for j in 0..NARROW {
            let sum = slopes[0] * w.last[0][j] + slopes[1] * w.last[1][j];
            narrow[j] = if self.narrow[j] > 0.0 { sum } else { 0.0 };
        }
        let mut wide = product(simd, &narrow, &w.turned);
        for i in 0..WIDE {
            wide[i] = if self.wide[i] > 0.0 { wide[i] } else { 0.0 };
        }
        self.points += 1.0;
        let share = (1.0 / (self.points + FIRST)).max(SHARE);
        let rate = RATE + EXTRA * (FADE / (FADE + self.points));
        let squares = &mut *self.squares;
        let inputs = usual(simd, &self.inputs, &mut squares.inputs, share, 1.0, VALUES.1);
        let layer = usual(simd, &self.wide, &mut squares.wide, share, 1.0, VALUES.1);
        let top = usual(simd, &self.narrow, &mut squares.narrow, share, 1.0, VALUES.1);
        let wide = usual(simd, &wide, &mut squares.wide_slopes, share, rate, SLOPES.1);
        let narrow = usual(simd, &narrow, &mut squares.narrow_slopes, share, rate, SLOPES.1);
        let slopes = std::array::from_fn(|o| if o < ANSWERS { slopes[o] } else { 0.0 });
        let slopes = usual(simd, &slopes, &mut squares.slopes, share, rate, SLOPES.1);
        move_against(simd, &mut w.first, &inputs, &wide);
        move_against(simd, &mut w.second, &layer, &narrow);
        move_against(simd, &mut w.turned, &narrow, layer.first_chunk().unwrap_or(&[0.0; WIDE]));
        move_against(simd, &mut w.last, &slopes, &top);
    }
}

/// Each of `x` takes its `share` in the mean squares, and is returned times `by` over the root of its mean square.
#[inline(always)]
fn usual<S: Simd, const N: usize>(
    simd: S,
    x: &[f32; N],
    squares: &mut [f32; N],
    share: f32,
    by: f32,
    calm: f32,
) -> [f32; N] {
    let [share, by, calm, tiny] = [share, by, calm, TINY].map(|s| simd.splat_f32x8(s));
    let mut out = [0f32; N];
    let lanes = x.as_chunks().0.iter().zip(squares.as_chunks_mut().0).zip(out.as_chunks_mut().0);
    for ((x, square), out) in lanes {
        let (x, old) = (simd.load_array_ref_f32x8(x), simd.load_array_ref_f32x8(square));
        let more = simd.mul_f32x8(simd.sub_f32x8(simd.mul_f32x8(x, x), old), share);
        let new = simd.max_f32x8(simd.add_f32x8(old, more), tiny);
        simd.store_array_f32x8(new, square);
        let usual = simd.add_f32x8(simd.sqrt_f32x8(new), calm);
        simd.store_array_f32x8(simd.div_f32x8(simd.mul_f32x8(x, by), usual), out);
    }
    out
}

/// Takes from each row its `x` times `y`.
#[inline(always)]
fn move_against<S: Simd, const N: usize>(simd: S, rows: &mut [[f32; N]], x: &[f32], y: &[f32; N]) {
    for (row, x) in rows.iter_mut().zip(x) {
        let x = simd.splat_f32x8(*x);
        for (row, y) in row.as_chunks_mut().0.iter_mut().zip(y.as_chunks().0) {
            let change = simd.mul_f32x8(x, simd.load_array_ref_f32x8(y));
            simd.store_array_f32x8(simd.sub_f32x8(simd.load_array_ref_f32x8(row), change), row);
        }
    }
}

/// Sums of `x` times rows, in order.
#[inline(always)]
fn product<S: Simd, const N: usize>(simd: S, x: &[f32], rows: &[[f32; N]]) -> [f32; N] {
    let mut sums = [simd.splat_f32x8(0.0); WIDE / 8];
    for (x, row) in x.iter().zip(rows) {
        let x = simd.splat_f32x8(*x);
        for (sum, row) in sums.iter_mut().zip(row.as_chunks().0) {
            *sum = simd.add_f32x8(*sum, simd.mul_f32x8(x, simd.load_array_ref_f32x8(row)));
        }
    }
    let mut out = [0f32; N];
    for (out, sum) in out.as_chunks_mut().0.iter_mut().zip(sums) {
        simd.store_array_f32x8(sum, out);
    }
    out
}

/// About e^z, z being cut to -60..=60: whole octaves are exponents, between them lies a parabola.
#[inline(always)]
fn exponential(z: f32) -> f32 {
    let octaves = z.clamp(-60.0, 60.0) * std::f32::consts::LOG2_E;
    let whole = octaves.floor();
    let part = octaves - whole;
    let scale = f32::from_bits(((whole as i32 + 127) as u32) << 23);
    scale * (1.0 + part * (0.6565 + 0.3435 * part))
}

/// Slopes, by the two answers, of what the logistic distribution that they describe makes a value cost that misses by
/// `miss` steps: minus the logarithm of what it gives to the interval of one step around the value.
#[inline(always)]
fn slopes([shift, octaves]: [f32; ANSWERS], miss: f32, unit: f32) -> [f32; ANSWERS] {
    let bounded = octaves.clamp(OCTAVES.0, OCTAVES.1);
    let whole = bounded.floor();
    let part = 1.0 + (bounded - whole);
    let scale = unit * f32::from_bits(((whole as i32 + 127) as u32) << 23) * part;
    let off = miss - shift * unit;
    // On the lower side, where differences of the distribution function keep their precision.
    let far = -off.abs();
    let below = |z: f32| {
        let e = exponential(z);
        e / (1.0 + e)
    };
    let upper = (far + 0.5) / scale;
    let (a, b) = (below(upper), below((far - 0.5) / scale));
    let outer = (1.0 - a) - b;
    let by_off = if off < 0.0 { -outer } else { outer } / scale;
    let inner =
        if scale > SCALE_MAX || upper < FAR { 1.0 } else { 0.5 * (a * (1.0 - a) + b * (1.0 - b)) / ((a - b) * scale) };
    let by_log = far / scale * outer + inner;
    let by_octaves = if bounded == octaves { by_log / part } else { 0.0 };
    [-(by_off * unit), by_octaves].map(|s| s.clamp(-SLOPE_MAX, SLOPE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_those_of_the_code_length() {
        let cost = |shift: f64, octaves: f64, miss: f64, unit: f64| {
            let scale = unit * octaves.floor().exp2() * (1.0 + octaves - octaves.floor());
            let below = |z: f64| 1.0 / (1.0 + (-z).exp());
            let far = -(miss - shift * unit).abs();
            -(below((far + 0.5) / scale) - below((far - 0.5) / scale)).ln()
        };
        let d = 1e-4;
        for miss in [-7.3, -0.4, 0.2, 1.9, 12.0] {
            for unit in [0.3, 1.0, 40.0] {
                for [shift, octaves] in [[0.1, -0.5], [-0.7, 1.3], [0.0, 2.2]] {
                    let by = [
                        (cost(shift + d, octaves, miss, unit) - cost(shift - d, octaves, miss, unit)) / (2.0 * d),
                        (cost(shift, octaves + d, miss, unit) - cost(shift, octaves - d, miss, unit)) / (2.0 * d),
                    ];
                    let got = slopes([shift as f32, octaves as f32], miss as f32, unit as f32);
                    for (by, got) in by.iter().zip(got) {
                        let wanted = by.clamp(-4.0, 4.0);
                        assert!(
                            (wanted - f64::from(got)).abs() < 0.03 * (1.0 + wanted.abs()),
                            "{miss} {unit} {shift} {octaves}: {wanted} {got}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_to_be_learned_is_learned() {
        let mut learner = Learner::new();
        let mut state = 7u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        };
        let mut late = [0f32; 2];
        for i in 0..20_000 {
            let mut inputs = [0f32; INPUTS];
            inputs[3] = 2.0 * next();
            // Not linear: what a stencil cannot say.
            let miss = 10.0 * inputs[3].abs() + next();
            let answer = learner.ask(&inputs);
            if i > 15_000 {
                late[0] += (miss - answer[0] * 4.0).abs();
                late[1] += miss.abs();
            }
            learner.learn(miss, 4.0);
        }
        assert!(late[0] < 0.15 * late[1], "{late:?}");
    }

    #[test]
    fn weights_stay_finite_whatever_comes() {
        let mut learner = Learner::new();
        let mut state = 9u32;
        for i in 0..5_000u32 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let inputs = [if state >> 31 == 1 { 8.0 } else { -8.0 }; INPUTS];
            let answer = learner.ask(&inputs);
            assert!(answer.iter().all(|y| y.is_finite()));
            let miss = [0.0, -0.5, f32::NAN, f32::INFINITY, 9e5, -9e5, 1e-30][i as usize % 7];
            learner.learn(miss, [0.05, 1.0, 1e6][i as usize % 3]);
        }
    }
}
