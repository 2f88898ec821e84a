//! The coder of small files at speed: stored stencils, runs of zeros, few contexts (SPEC 9.2.6).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    reason = "inner loop of every value: neighbors are inside the grid by the line's ranges, table indices are clamped"
)]

use super::links::Links;
use super::pass::{AXES, Pass, Shape, passes};
use super::quantizer::{CODE_MAX, Quantizer};
use super::small::{Setup, interpolate};
use super::stencil::TAPS;
use super::weights::{self, REACH};
use crate::codec::arithmetic::BitCoder;
use crate::codec::mix::{Counter, Logistic, Mixer};
use crate::error::FormatError;
use crate::lattice::Grid;
use fearless_simd::Fallback;

/// Passes of fewer points have no stencil.
const STENCIL_MIN: usize = 2048;

/// Points that share a flag when all their corrections are zero.
const GROUP: usize = 16;

/// Contexts of a mixed decision, beside the constant input.
const CONTEXTS: usize = 7;

/// Rows of counters of each context.
const ROWS: [usize; CONTEXTS] = [20 * 64, 5 * 5 * 3 * 5, 21 * 21, 21 * 21, 21 * 21 * 3, 81 * 3, 1024];

/// Nodes of a row: zero flag, sign, and whether the magnitude is longer than 1, 2, .. bits.
const NODES: usize = 8;

/// Bins of half an octave that sums of magnitudes around fall into: from which on decisions are not mixed, and all.
const LOUD: u32 = 8;
const LOUD_BINS: usize = 36;
/// Weight sets of a mixed decision.
const SETS: usize = LOUD as usize / 2;
/// The same less this is twice the number of bits that is expected.
const LOUD_BIAS: u32 = 5;
/// Bins of the sums on both sides, and of those before, that plain decisions distinguish.
const PLACE_BINS: u32 = 24;

/// Count limits: what is around changes from place to place.
const LIMIT: u32 = 127;
const PLAIN_LIMIT: u32 = 31;

struct State<'a> {
    recon: &'a mut [f64],
    codes: Vec<i16>,
    logistic: Logistic,
    rows: Vec<[Counter; NODES]>,
    mixer: Mixer<8>,
    /// Whether loud numbers have more than so many bits, by the sum of magnitudes around and by its parts; row 0 of the
    /// first is for the lengths of others.
    lengths: Vec<[Counter; 32]>,
    places: Vec<[Counter; 32]>,
    signs: [Counter; 27],
    /// First bits below the leading one, by length.
    tops: [[Counter; 3]; 32],
    groups: Vec<[Counter; 4]>,
    fallback: f64,
}

/// What a writer knows of a group before it is coded.
struct Ahead {
    /// Whether all corrections are zero.
    quiet: bool,
    /// Predictions of the first ordinary points; all but the last one have no correction.
    predictions: [f64; GROUP],
    count: usize,
}

impl Ahead {
    const NONE: Ahead = Ahead { quiet: false, predictions: [0.0; GROUP], count: 0 };
}

/// What is the same for all points of a pass.
struct Frame<'a> {
    taps: Links,
    causal: Links,
    /// Weights of differences to the interpolation, for edges.
    weights: Option<[f64; REACH]>,
    /// The same prediction as weights of values.
    direct: [f64; REACH],
    offsets: [isize; REACH],
    quantizer: Quantizer,
    tolerance: f64,
    inverse: f64,
    kind: usize,
    values: Option<&'a [f64]>,
}

/// Codes all ordinary points, as `small::run`.
pub(crate) fn run<C: BitCoder>(
    coder: &mut C,
    values: Option<&[f64]>,
    grid: &Grid,
    setup: &Setup,
    recon: &mut [f64],
) -> Result<(), FormatError> {
    let shape = Shape::new(grid.dims);
    recon.fill(f64::NAN);
    let mut start = [0.3f32; 8];
    start[CONTEXTS] = 0.0;
    let mut state = State {
        codes: vec![0; recon.len()],
        recon,
        logistic: Logistic::new(),
        rows: vec![[Counter::NEW; NODES]; ROWS.iter().sum()],
        mixer: Mixer::new(NODES * SETS, &start, 0.003, 0.02),
        lengths: vec![[Counter::NEW; 32]; LOUD_BINS],
        places: vec![[Counter::NEW; 32]; (PLACE_BINS * PLACE_BINS) as usize],
        signs: [Counter::NEW; 27],
        tops: [[Counter::NEW; 3]; 32],
        groups: vec![[Counter::NEW; 4]; AXES * 4],
        fallback: setup.origin,
    };
    for pass in std::iter::once(Pass::first(&shape)).chain(passes(&shape, &setup.order)) {
        let deltas: Vec<[i8; AXES]> = pass.taps(&shape, &setup.weights, REACH).iter().map(|t| t.delta).collect();
        let factor = setup.factors[(pass.level as usize).min(3)];
        let before = |a: usize| {
            let mut d = [0i8; AXES];
            d[a] = -((pass.step[a] / pass.unit[a]).min(2) as i8);
            d
        };
        let mut frame = Frame {
            taps: Links::new(deltas.iter().copied(), &pass, &shape),
            causal: Links::new((0..AXES).rev().take(3).map(before), &pass, &shape),
            weights: None,
            direct: [0.0; REACH],
            offsets: [0; REACH],
            quantizer: setup.quantizer.with_step(setup.step * factor),
            tolerance: setup.tolerance * factor,
            inverse: 1.0 / (setup.step * factor),
            kind: pass.axis * 4 + pass.level.min(3) as usize,
            values,
        };
        let mut used = 4;
        if pass.points(&shape) >= STENCIL_MIN && deltas.len() == REACH {
            let wanted = values.and_then(|v| weights::fit(v, grid, &shape, &pass, &mut frame.taps, frame.inverse));
            frame.weights = weights::code(coder, wanted);
            used = if frame.weights.is_some() { REACH } else { 4 };
        }
        frame.taps = Links::new(deltas.iter().copied().take(used), &pass, &shape);
        frame.offsets = frame.taps.offsets();
        frame.direct = weights::direct(frame.weights.as_ref());
        state.pass(coder, grid, &shape, &pass, &mut frame)?;
    }
    Ok(())
}

impl State<'_> {
    fn pass<C: BitCoder>(
        &mut self,
        coder: &mut C,
        grid: &Grid,
        shape: &Shape,
        pass: &Pass,
        frame: &mut Frame,
    ) -> Result<(), FormatError> {
        let inner = AXES - 1;
        let (first, step, end) = (pass.start[inner], pass.step[inner], shape.extents[inner]);
        let count = end.saturating_sub(first).div_ceil(step);
        // Whether each group of the line before was silent.
        let mut above = vec![false; count.div_ceil(GROUP)];
        let mut at = pass.start;
        loop {
            frame.taps.enter(&at, pass, shape);
            frame.causal.enter(&at, pass, shape);
            let base: usize = (0..inner).map(|a| at[a] * shape.strides[a]).sum();
            let mut silent = false;
            for (g, above) in above.iter_mut().enumerate() {
                let from = first + g * GROUP * step;
                let to = (from + GROUP * step).min(end);
                let fallback = self.fallback;
                let ahead = match frame.values {
                    Some(v) => self.look_ahead(v, grid, frame, base, (from..to).step_by(step)),
                    None => Ahead::NONE,
                };
                let counter = &mut self.groups[frame.kind][usize::from(silent) * 2 + usize::from(*above)];
                silent = coder.code(ahead.quiet, counter.p().clamp(1, 65535));
                counter.update(silent, LIMIT);
                *above = silent;
                let mut n = 0;
                for x in (from..to).step_by(step) {
                    let i = base + x;
                    if !grid.is_ordinary(i) {
                        continue;
                    }
                    let known = n < ahead.count;
                    let prediction = if known { ahead.predictions[n] } else { self.predict(frame, i, x, fallback) };
                    let mut k = 0;
                    if !silent {
                        if let Some(v) = frame.values.filter(|_| !known || n + 1 == ahead.count) {
                            k = frame
                                .quantizer
                                .quantize(v[i], prediction, frame.tolerance)
                                .ok_or(FormatError::Code { what: "correction" })?;
                        }
                        k = self.correction(coder, frame, i, x, prediction, k);
                    }
                    let r = frame.quantizer.reconstruct(prediction, k);
                    self.recon[i] = r;
                    self.codes[i] = k.clamp(-32767, 32767) as i16;
                    self.fallback = r;
                    n += 1;
                }
            }
            let Some(a) = (0..inner).rev().find(|a| at[*a] + pass.step[*a] < shape.extents[*a]) else { break };
            at[a] += pass.step[a];
            at[a + 1..inner].copy_from_slice(&pass.start[a + 1..inner]);
        }
        Ok(())
    }

    /// The predictions of a group up to the first point whose correction is not zero. Leaves reconstructions behind,
    /// which the caller overwrites in the same order.
    fn look_ahead(
        &mut self,
        values: &[f64],
        grid: &Grid,
        frame: &Frame,
        base: usize,
        places: impl Iterator<Item = usize>,
    ) -> Ahead {
        let mut ahead = Ahead { quiet: true, ..Ahead::NONE };
        let fallback = self.fallback;
        for x in places {
            let i = base + x;
            if grid.is_ordinary(i) {
                let prediction = self.predict(frame, i, x, fallback);
                ahead.predictions[ahead.count] = prediction;
                ahead.count += 1;
                if frame.quantizer.quantize(values[i], prediction, frame.tolerance) != Some(0) {
                    ahead.quiet = false;
                    break;
                }
                self.recon[i] = frame.quantizer.reconstruct(prediction, 0);
            }
        }
        ahead
    }

    #[inline(always)]
    fn predict(&self, frame: &Frame, i: usize, x: usize, fallback: f64) -> f64 {
        if frame.taps.surrounds(x) {
            let v = |t: usize| self.recon[i.wrapping_add_signed(frame.offsets[t])];
            let mut lanes: [f64; 4] = std::array::from_fn(|t| frame.direct[t] * v(t));
            if frame.weights.is_some() {
                for q in 1..REACH / 4 {
                    for (j, lane) in lanes.iter_mut().enumerate() {
                        *lane += frame.direct[4 * q + j] * v(4 * q + j);
                    }
                }
            }
            let sum = (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
            if sum.abs() < 1e300 {
                return sum;
            }
        }
        self.predict_edge(frame, i, x, fallback)
    }

    /// Prediction where some neighbor is unknown, which makes the plain sum NaN.
    #[inline(never)]
    fn predict_edge(&self, frame: &Frame, i: usize, x: usize, fallback: f64) -> f64 {
        let used = if frame.weights.is_some() { REACH } else { 4 };
        let mut v = [f64::NAN; TAPS];
        for (t, v) in v.iter_mut().enumerate().take(used) {
            if let Some(j) = frame.taps.index(t, i, x) {
                *v = self.recon[j];
            }
        }
        let cubic = interpolate(&v, fallback);
        let mut shift = 0.0;
        if let Some(weights) = &frame.weights {
            for (w, v) in weights.iter().zip(&v) {
                let d = v - cubic;
                shift += if d.abs() < 1e300 { w * d } else { 0.0 };
            }
        }
        let sum = cubic + shift;
        if sum.abs() < 1e300 { sum } else { fallback }
    }

    /// Codes the correction of one point of a group that is not silent.
    #[inline(always)]
    fn correction<C: BitCoder>(
        &mut self,
        coder: &mut C,
        frame: &Frame,
        i: usize,
        x: usize,
        prediction: f64,
        k: i32,
    ) -> i32 {
        // Neighbors left and right along the axis, then the ones decoded before along the last three axes.
        let mut near = [0i32; 5];
        let mut toward = [20usize; 4];
        for (n, near) in near.iter_mut().enumerate() {
            let j = if n < 2 { frame.taps.index(n, i, x) } else { frame.causal.index(n - 2, i, x) };
            if let Some(j) = j {
                *near = i32::from(self.codes[j]);
                if n < 4 {
                    let d = (self.recon[j] - prediction) * frame.inverse;
                    toward[n] = (d.clamp(-10.0, 9.0) + 10.5) as usize;
                }
            }
        }
        let [l, r, w, n, u] = near.map(i32::unsigned_abs);
        let sides = l + r;
        let before = 2 * (w + n) + u;
        let total = sides + before;
        let loud = octave_bin(total);
        let sign = |k: i32| (k.signum() + 1) as usize;
        let signs = (sign(near[0]) * 3 + sign(near[1])) * 3 + sign(near[2]);
        if loud >= LOUD {
            let part = |m: u32| octave_bin(m).min(PLACE_BINS - 1);
            let place = part(sides) * PLACE_BINS + part(before);
            return self.plainly(coder, k, loud, place as usize, signs);
        }
        let cap = |m: u32, c: u32| m.min(c) as usize;
        let [tl, tr, tw, tn] = toward;
        let level = ((prediction * frame.inverse * 0.125).clamp(-1e6, 1e6)) as i32;
        let places = [
            frame.kind * 64 + (octave_bin(sides) * 8 + octave_bin(before)) as usize,
            ((cap(w, 4) * 5 + cap(n, 4)) * 3 + cap(u, 2)) * 5 + cap(sides, 4),
            tl * 21 + tr,
            tw * 21 + tn,
            (tl * 21 + tw) * 3 + cap(sides, 2),
            (signs * 3 + sign(near[3])) * 3 + cap(before, 2),
            (level.cast_unsigned().wrapping_mul(0x9E37_79B1) >> 22) as usize,
        ];
        let mut rows = [0usize; CONTEXTS];
        let mut first = 0;
        for (row, (place, size)) in rows.iter_mut().zip(places.iter().zip(&ROWS)) {
            *row = first + place;
            first += size;
        }
        let set = loud as usize / 2;
        if self.decide(coder, k == 0, 0, set, &rows) {
            return 0;
        }
        let negative = self.decide(coder, k < 0, 1, set, &rows);
        let m = k.unsigned_abs();
        let mut length = 0;
        while length < 30 {
            let longer = m >> (length + 1) != 0;
            let longer = if length < 6 {
                self.decide(coder, longer, 2 + length as usize, set, &rows)
            } else {
                plain(coder, longer, &mut self.lengths[0][length as usize])
            };
            if !longer {
                break;
            }
            length += 1;
        }
        self.finish(coder, m, length, negative)
    }

    /// One mixed decision.
    #[inline(always)]
    fn decide<C: BitCoder>(
        &mut self,
        coder: &mut C,
        bit: bool,
        node: usize,
        set: usize,
        rows: &[usize; CONTEXTS],
    ) -> bool {
        let mut inputs = [0.25f32; 8];
        for (input, row) in inputs.iter_mut().zip(rows) {
            *input = self.logistic.stretch(self.rows[*row][node].p());
        }
        let x = self.mixer.mix(Fallback::new(), &inputs, node * SETS + set, &self.logistic);
        let bit = coder.code(bit, self.logistic.squash(x));
        for row in rows {
            self.rows[*row][node].update(bit, LIMIT);
        }
        self.mixer.update(Fallback::new(), &inputs, bit);
        bit
    }

    /// A number that is expected to be large: how many bits it has is sought up or down from how many are expected.
    #[inline(always)]
    fn plainly<C: BitCoder>(&mut self, coder: &mut C, k: i32, loud: u32, place: usize, signs: usize) -> i32 {
        let m = k.unsigned_abs();
        let mut bits = (loud - LOUD_BIAS) / 2;
        if self.exceeds(coder, m, bits, loud, place) {
            bits += 1;
            while bits < 31 && self.exceeds(coder, m, bits, loud, place) {
                bits += 1;
            }
        } else {
            while bits > 0 && !self.exceeds(coder, m, bits - 1, loud, place) {
                bits -= 1;
            }
        }
        if bits == 0 {
            return 0;
        }
        let negative = plain(coder, k < 0, &mut self.signs[signs]);
        self.finish(coder, m, bits - 1, negative)
    }

    /// Whether `m` has more than `bits` bits.
    #[inline(always)]
    fn exceeds<C: BitCoder>(&mut self, coder: &mut C, m: u32, bits: u32, loud: u32, place: usize) -> bool {
        let (a, b) = (&mut self.lengths[loud as usize][bits as usize], &mut self.places[place][bits as usize]);
        let p = (a.p() + b.p()) >> 1;
        let bit = coder.code(m >> bits != 0, p.clamp(32, 65504));
        a.update(bit, PLAIN_LIMIT);
        b.update(bit, PLAIN_LIMIT);
        bit
    }

    /// The bits below the leading one, of which there are `length`.
    #[inline(always)]
    fn finish<C: BitCoder>(&mut self, coder: &mut C, m: u32, length: u32, negative: bool) -> i32 {
        let mut found = 1u32;
        for bit in (0..length).rev() {
            let one = m >> bit & 1 == 1;
            let one = match length - 1 - bit {
                0 => plain(coder, one, &mut self.tops[length as usize][0]),
                1 => plain(coder, one, &mut self.tops[length as usize][1 + (found & 1) as usize]),
                _ => coder.code(one, 1 << 15),
            };
            found = 2 * found + u32::from(one);
        }
        let k = found.min(CODE_MAX.unsigned_abs()).cast_signed();
        if negative { -k } else { k }
    }
}

/// A decision of one counter.
#[inline(always)]
fn plain<C: BitCoder>(coder: &mut C, bit: bool, counter: &mut Counter) -> bool {
    let bit = coder.code(bit, counter.p().clamp(32, 65504));
    counter.update(bit, PLAIN_LIMIT);
    bit
}

/// 0, 1, 2, 3, then two bins to the octave.
#[inline(always)]
fn octave_bin(m: u32) -> u32 {
    if m < 4 {
        return m;
    }
    let top = 31 - m.leading_zeros();
    2 * top + (m >> (top - 1) & 1)
}
