//! The closed loop of the raster kernel: expects each point from those before it and codes the rest (SPEC 9.3).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "per-point loop: distances back are checked against the point by `Walk`, the rest is floating point"
)]

use super::learning::{Around, Learning};
use super::least_squares::LeastSquares;
use super::means::{MEANS, Means};
use super::recent::Recent;
use super::symbol::{CLASSES, CONTEXTS, EXPERTS, Given, Guesses, SELECTORS, SymbolCoder};
use crate::codec::arithmetic::BitCoder;
use crate::lattice::blocks::{BLOCK, WIDTH_MAX};
use crate::lattice::causal::{Shape, Walk, taps};
use crate::lattice::copies::Map;
use crate::lattice::decision::Expert;
use crate::lattice::matches::{Lookup, Matches};
use crate::vector::vectorize;
use fearless_simd::Simd;

/// Taps of the slow predictor for each number of axes, a multiple of four.
const SLOW_TAPS: [usize; 6] = [0, 12, 16, 20, 28, 32];
/// Taps of the fast predictor, a multiple of four.
const FAST_TAPS: [usize; 6] = [0, 4, 8, 12, 16, 20];
// The most inputs: taps, a copy, means.
const _: () = assert!(SLOW_TAPS[5] + BLOCK + MEANS == WIDTH_MAX * BLOCK);
/// Numbers that must repeat for a match, for each match model.
const MATCH_LENS: [usize; 3] = [3, 24, 100];
/// Taps of the quick predictor, a multiple of four.
const QUICK_TAPS: [usize; 6] = [0, 4, 4, 8, 8, 12];
/// By how much each sample outweighs the one before, for the slow, the fast and the quick predictor: for data that
/// stay alike, and for data that change from place to place.
const GROWTH: [[f64; 3]; 2] = [[1.000_1, 1.003, 1.02], [1.000_5, 1.015, 1.05]];
/// Samples from one solution to the next, at most, for the slow, the fast and the quick predictor.
const PATIENCE: [u32; 3] = [64, 32, 8];
/// Errors, in steps, that are taken for none.
const FLAT: f64 = 1.0 / 64.0;
/// Memory bit: learning forgets fast.
pub(super) const FORGETFUL: u8 = 1;
/// Memory bit: nothing is learned where errors are taken for none.
pub(super) const FLAT_SKIPPED: u8 = 2;
/// Memory bit: earlier values are not searched for what followed them.
pub(super) const UNSOUGHT: u8 = 4;
/// Memory bit: what a value is depends on its column, its row and what was seen lately more than on how its neighbors go on.
pub(super) const PLACES: u8 = 8;
/// Memory bit: a network learns, too.
pub(super) const LEARNER: u8 = 16;
/// Number of values that the memory field has.
pub(super) const MEMORIES: u8 = 32;
/// Predictors that are blended: slow, fast, a fixed one, quick, a copy if the plan has maps, and the learner if it has one.
const PREDICTORS: usize = 6;
/// Where the last two stand.
const COPY: usize = 4;
const LEARNED: usize = 5;

/// What the header says about the loop.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) shape: Shape,
    /// Whether values are whole numbers of steps.
    pub(super) snapped: bool,
    /// Whether numbers are coded as they are, what is expected being known only through contexts.
    pub(super) absolute: bool,
    /// What is learned and remembered: `FORGETFUL`, `FLAT_SKIPPED`, `UNSOUGHT`, `PLACES` and `LEARNER`.
    pub(super) memory: u8,
    /// Maps to earlier points that probably have the same value, the likeliest first.
    pub(super) maps: Vec<Map>,
}

/// Why the loop ends before the last point.
#[derive(Debug)]
pub(super) enum Stop {
    /// The number left to code is out of range.
    OutOfRange,
    /// More bytes than others take for the same points.
    Behind,
}

/// By how much a way may be behind another on the way and may still be the best.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leeway {
    /// One in so many of its bytes, ...
    pub(super) part: usize,
    /// ... and so many.
    pub(super) bytes: usize,
}

/// How many bytes ways to code the same points take on the way: one that is far behind is left.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    /// How far behind a way may be and still catch up.
    pub(super) leeway: Leeway,
    /// Bytes of the best way, every [`STRIDE`] points.
    best: Vec<usize>,
    /// Those of the way that is tried now.
    now: Vec<usize>,
}

/// Points from one look at the bytes to the next.
const STRIDE: usize = 128;

impl Pace {
    pub(super) fn new(leeway: Leeway) -> Self {
        Pace { leeway, best: Vec::new(), now: Vec::new() }
    }

    /// Whether a way that took `bytes` so far may still be the best.
    fn keeps(&mut self, bytes: usize) -> bool {
        let best = self.best.get(self.now.len());
        self.now.push(bytes);
        best.is_none_or(|b| bytes <= b + b / self.leeway.part + self.leeway.bytes)
    }

    /// Bytes that the best way took for the first half.
    pub(super) fn half(&self) -> usize {
        self.best.get(self.best.len() / 2).copied().unwrap_or(0)
    }

    /// A way is done, and may have been the best.
    pub(super) fn done(&mut self, is_best: bool) {
        if is_best {
            std::mem::swap(&mut self.best, &mut self.now);
        }
        self.now.clear();
    }
}

/// A number for each predictor.
type Each = [[f64; BLOCK]; PREDICTORS.div_ceil(BLOCK)];

/// Errors of the predictors near the current point.
#[derive(Debug)]
struct Tracks {
    /// Decaying sums along the row.
    near: Each,
    /// Last errors at each place of the row, with two more at the end.
    row: Vec<Each>,
}

impl Tracks {
    fn new(width: usize) -> Self {
        Tracks { near: Each::default(), row: vec![Each::default(); width + 2] }
    }

    /// Weighted mean errors around place `x`, and how much each predictor counts for that.
    #[inline(always)]
    fn means<S: Simd>(&self, simd: S, x: usize) -> (Each, Each) {
        let (mut means, mut weights) = (Each::default(), Each::default());
        let row = [&self.row[x], &self.row[x + 1], &self.row[x + 2]];
        for b in 0..means.len() {
            let [here, next, last] = row.map(|r| simd.load_array_ref_f64x4(&r[b]));
            let sum = simd.add_f64x4(simd.load_array_ref_f64x4(&self.near[b]), here);
            let sum = simd.add_f64x4(sum, simd.mul_f64x4(simd.splat_f64x4(0.75), next));
            let sum = simd.add_f64x4(sum, simd.mul_f64x4(simd.splat_f64x4(0.25), last));
            let mean = simd.mul_f64x4(sum, simd.splat_f64x4(1.0 / 5.0));
            let m = simd.add_f64x4(simd.mul_f64x4(mean, mean), simd.splat_f64x4(0.005));
            simd.store_array_f64x4(mean, &mut means[b]);
            simd.store_array_f64x4(simd.div_f64x4(simd.splat_f64x4(1.0), simd.mul_f64x4(m, m)), &mut weights[b]);
        }
        (means, weights)
    }

    /// Takes the value at place `x`.
    #[inline(always)]
    fn put<S: Simd>(&mut self, simd: S, x: usize, value: f64, predictions: &Each) {
        for (b, predictions) in predictions.iter().enumerate() {
            let off = simd.sub_f64x4(simd.splat_f64x4(value), simd.load_array_ref_f64x4(predictions));
            let error = simd.abs_f64x4(off);
            let near = simd.mul_f64x4(simd.load_array_ref_f64x4(&self.near[b]), simd.splat_f64x4(2.0 / 3.0));
            simd.store_array_f64x4(simd.add_f64x4(near, error), &mut self.near[b]);
            simd.store_array_f64x4(error, &mut self.row[x][b]);
        }
    }
}

/// Runs the loop over all points. `wanted`, in steps, is given when `coder` writes; `v` receives what was coded.
pub(super) fn run<C: BitCoder>(
    coder: &mut C,
    plan: &Plan,
    ordinary: Option<&[bool]>,
    wanted: Option<&[f64]>,
    pace: Option<&mut Pace>,
    v: &mut [f64],
) -> Result<(), Stop> {
    vectorize!(simd => run_points(simd, coder, plan, ordinary, wanted, pace, v))
}

#[inline(always)]
fn run_points<S: Simd, C: BitCoder>(
    simd: S,
    coder: &mut C,
    plan: &Plan,
    ordinary: Option<&[bool]>,
    wanted: Option<&[f64]>,
    mut pace: Option<&mut Pace>,
    v: &mut [f64],
) -> Result<(), Stop> {
    let n = v.len();
    let axes = plan.shape.axes();
    let width = plan.shape.extents[0];
    let tap_list = taps(axes, SLOW_TAPS[axes]);
    let find = |t: [i8; 5]| tap_list.iter().position(|u| *u == t).unwrap_or(0);
    let (west2, northwest) = (find([-2, 0, 0, 0, 0]), find([-1, -1, 0, 0, 0]));
    let plane_west = find([-1, 0, -1, 0, 0]);
    let tap_count = tap_list.len();
    let mut walk = Walk::new(plan.shape.clone(), tap_list);
    let bits = (usize::BITS - n.leading_zeros()).clamp(10, 20);
    let mut symbols = SymbolCoder::new((bits - 3).min(11));
    let mut matches = MATCH_LENS.map(|l| Matches::new(bits, l));
    let mut lookups = [Lookup::new(bits), Lookup::new(bits)];
    let growth = GROWTH[usize::from(plan.memory & FORGETFUL)];
    let seek = plan.memory & UNSOUGHT == 0;
    let places = plan.memory & PLACES != 0;
    // The guesses that recent values may be.
    let recent_guesses = if axes < 3 { &[7, 8, 5, 6][..] } else { &[7, 8] };
    let mut recent = Recent::default();
    let flat = if plan.memory & FLAT_SKIPPED != 0 { FLAT } else { 0.0 };
    // A copy is one more input, which the fast predictor gets in place of its last tap.
    let copying = !plan.maps.is_empty();
    let predictors = if copying { COPY + 1 } else { COPY };
    let fast_count = FAST_TAPS[axes];
    let mut means_of_places = Means::new(&plan.shape);
    let first_mean = SLOW_TAPS[axes] + if copying { 4 } else { 0 };
    let slow_count = first_mean + if means_of_places.is_some() { MEANS } else { 0 };
    let mut slow = LeastSquares::new(slow_count, growth[0], PATIENCE[0]);
    let mut fast = LeastSquares::new(fast_count, growth[1], PATIENCE[1]);
    let quick_count = QUICK_TAPS[axes];
    let mut quick = LeastSquares::new(quick_count, growth[2], PATIENCE[2]);
    let mut learning = (plan.memory & LEARNER != 0).then(|| Learning::new(n));
    let mut tracks = Tracks::new(width);
    let mut ks = vec![0i64; n];
    // What matches are sought in: values if they are whole, otherwise the numbers coded.
    let mut sequence: Vec<i64> = Vec::with_capacity(n);
    // Magnitudes of errors, in steps.
    let mut errors = vec![0f32; n];
    // Which guesses were right: every fourth bit is one of them.
    let mut hits = vec![0u64; n];
    let mut t = [0.0f64; 32];
    let mut x = [0.0f64; 40];
    let mut fast_x = [0.0f64; 20];
    let (mut low, mut high) = (0.0f64, 0.0f64);
    let near_taps = (axes + 4).min(tap_count);
    let lookup_taps = tap_count.min(axes + 4);

    for i in 0..n {
        if i % STRIDE == STRIDE - 1 && pace.as_mut().is_some_and(|p| !p.keeps(coder.written())) {
            return Err(Stop::Behind);
        }
        let at = walk.at[0];
        for (value, back) in t.iter_mut().zip(&walk.back) {
            *value = if *back == 0 { 0.0 } else { v[i - back] };
        }
        if ordinary.is_some_and(|o| !o[i]) {
            v[i] = t[0];
            means_of_places.iter_mut().for_each(|m| m.put(t[0]));
            errors[i] = if walk.back[0] == 0 { 0.0 } else { errors[i - walk.back[0]] };
            walk.step();
            continue;
        }
        let base = if axes == 1 { t[0] } else { (t[0] + t[1]) * 0.5 };
        for (input, value) in x[..tap_count].iter_mut().zip(&t) {
            *input = value - base;
        }
        let planar = if axes == 1 { 2.0 * t[0] - t[west2] } else { t[0] + t[1] - t[northwest] };
        let fixed = if axes == 1 { t[0] } else { median(t[0], t[1], planar) };
        let copy = plan.maps.iter().find_map(|m| m.source(&walk.at, &plan.shape).filter(|s| *s < i)).map(|s| v[s]);
        fast_x[..fast_count].copy_from_slice(&x[..fast_count]);
        if copying {
            x[SLOW_TAPS[axes]] = copy.map_or(0.0, |c| c - base);
            fast_x[fast_count - 1] = x[SLOW_TAPS[axes]];
        }
        let back = [walk.back[0], walk.back[1], walk.back[northwest]];
        let places_around = means_of_places.as_ref().map(|means| means.inputs(back, base));
        if let Some(means) = &places_around {
            x[first_mean..first_mean + MEANS].copy_from_slice(means);
        }
        let mut predictions = Each::default();
        predictions.as_flattened_mut()[..=COPY].copy_from_slice(&[
            (base + slow.predict(&x)).clamp(low, high),
            (base + fast.predict(&fast_x)).clamp(low, high),
            fixed,
            (base + quick.predict(&fast_x[..quick_count])).clamp(low, high),
            copy.unwrap_or(fixed),
        ]);
        let (means, shares) = tracks.means(simd, at);
        let (mut sum, mut weights) = (0.0, 0.0);
        for (weight, prediction) in shares.as_flattened().iter().zip(predictions.as_flattened()).take(predictors) {
            sum += weight * prediction;
            weights += weight;
        }
        let mut p = sum / weights;
        let mut learned_scale = None;
        if let Some(learning) = &mut learning {
            let [slow, fast, fixed, quick] = predictions[0];
            let (expected, scale) = learning.ask(
                i,
                &Around {
                    values: &t,
                    back: &walk.back,
                    near: (axes, near_taps),
                    slow,
                    others: [fast, quick, fixed, copy.unwrap_or(slow), p],
                    errors: [means[0][0], means[0][1], means[0][2], means[0][3], means.as_flattened()[LEARNED]],
                    places: places_around.map(|means| means.map(|m| m + base)),
                },
            );
            let learned = expected.clamp(low, high);
            predictions.as_flattened_mut()[LEARNED] = learned;
            let weight = shares.as_flattened()[LEARNED];
            p = (sum + weight * learned) / (weights + weight);
            learned_scale = Some(scale);
        }
        let center = match (plan.absolute, plan.snapped) {
            (true, _) => 0.0,
            (false, true) => (p + 0.5).floor(),
            (false, false) => p,
        };

        // How far off the points around were.
        let mut sum = 0.0;
        let mut shares = 0.0;
        for (j, back) in walk.back[..near_taps].iter().enumerate() {
            if *back > 0 {
                let share = if j < axes { 2.0 } else { 1.0 };
                sum += share * f64::from(errors[i - back]);
                shares += share;
            }
        }
        let spread = if shares > 0.0 { sum / shares } else { 0.0 };
        let scale = log_bucket((64.0 * spread) as u64);

        let steps = |value: f64| ((value - center) + 0.5).floor().clamp(-4.0e15, 4.0e15) as i64;
        let mut guesses = Guesses::default();
        // Whether each guess was right at four neighbors: four bits a guess.
        let mut history = 0;
        for (place, j) in [0, west2, 1, 2].into_iter().enumerate() {
            let back = walk.back.get(j).copied().unwrap_or(0);
            if back > 0 {
                history |= hits[i - back] << place;
            }
        }
        let record = |g: usize| (history >> (4 * g) & 15) as usize;
        for (m, g) in matches.iter().zip([0, 9, 10]) {
            if let Some((from, record)) = m.guess() {
                let number = if plan.snapped { steps(sequence[from] as f64) } else { sequence[from] };
                guesses.make(g, number, record);
            }
        }
        if seek {
            let mut keys = [0i64; 16];
            for (key, value) in keys[..lookup_taps].iter_mut().zip(&t) {
                *key = (value + 0.5).floor() as i64;
            }
            let few = axes.max(2);
            for (g, (lookup, keys)) in lookups.iter_mut().zip([&keys[..lookup_taps], &keys[..few]]).enumerate() {
                if let Some(from) = lookup.find(keys) {
                    guesses.make(1 + g, steps(v[from]), record(1 + g));
                }
            }
        }
        let plain =
            [Some(t[0]), (axes > 1).then_some(t[1]), (axes > 2).then_some(t[2]), (axes > 3).then_some(t[axes - 1])];
        for (g, value) in plain.into_iter().enumerate() {
            if let Some(value) = value {
                guesses.make(3 + g, steps(value), record(3 + g));
            }
        }
        if places {
            let others = recent.iter().filter(|v| *v != t[0] && (axes == 1 || *v != t[1]));
            for (g, value) in recent_guesses.iter().zip(others) {
                guesses.make(*g, steps(value), record(*g));
            }
        } else {
            guesses.make(7, steps(planar), record(7));
            if axes > 2 {
                guesses.make(8, steps(t[2] + t[0] - t[plane_west]), record(8));
            }
        }
        if let Some(copy) = copy {
            guesses.make(11, steps(copy), record(11));
        }

        // Mirrored so that the side on which the number probably lies is the positive one.
        let lean = if plan.snapped { p - center } else { fixed - p };
        let mirrored = lean < 0.0;
        let signed = |d: i64| if mirrored { -d } else { d };
        let tap_steps = |j: usize| signed(steps(t[j]));
        let error_of = |j: usize| {
            let back = walk.back.get(j).copied().unwrap_or(0);
            if back > 0 { signed(ks[i - back]) } else { 0 }
        };
        let d_west = tap_steps(0);
        let d_north = if axes > 1 { tap_steps(1) } else { tap_steps(west2) };
        let d_plane = if axes > 2 { tap_steps(2) } else { tap_steps(3) };
        let d_volume = if axes > 3 { tap_steps(axes - 1) } else { tap_steps(4) };
        let fraction = ((lean.abs() * 16.0).min(15.0)) as u32;
        let coarse = scale >> 1;
        let mut contexts: [u32; CONTEXTS] = [
            hash(&[scale, fraction]),
            hash(&[log_signed(error_of(0)), log_signed(error_of(1)), coarse >> 1]),
            hash(&[log_signed(signed(guesses.number(7))), fraction >> 1, coarse]),
            hash(&[log_signed(error_of(2)), log_signed(error_of(axes - 1)), coarse]),
            hash(&[log_signed(d_west), log_signed(d_plane), fraction >> 2]),
            hash(&[d_west as u32, d_north as u32, tap_steps(northwest) as u32, tap_steps(3.min(tap_count - 1)) as u32]),
            hash(&[d_west as u32, d_plane as u32, d_north as u32, d_volume as u32]),
            hash(&[
                error_of(0).clamp(-3, 3) as u32,
                error_of(1).clamp(-3, 3) as u32,
                error_of(2).clamp(-3, 3) as u32,
                error_of(3).clamp(-3, 3) as u32,
                error_of(4).clamp(-1, 1) as u32,
            ]),
        ];
        if places {
            let [west, north] = [0, 1].map(|j| tap_steps(j) as u32);
            // A line has neither columns nor rows: what lies farther back stands in for them.
            let (column, row) =
                if axes > 1 { (at as u32, walk.at[1] as u32) } else { (tap_steps(west2) as u32, tap_steps(2) as u32) };
            contexts[0] = hash(&[1, column]);
            contexts[1] = hash(&[2, row]);
            contexts[2] = hash(&[3, west]);
            contexts[3] = hash(&[4, west, north]);
            contexts[7] = hash(&[5, west, column]);
        }
        let none = guesses.right(0) as usize;
        let mut agree = 0usize;
        for (place, g) in [0, 1, 3, 4, if copying { 11 } else { 5 }, 7].into_iter().enumerate() {
            agree |= (none >> g & 1) << place;
        }
        let expert = |center_of: f64, mean: f64| Expert {
            center: signed_real(center_of - center, mirrored) as f32,
            inverse_scale: (1.4 / (mean + 0.04)) as f32,
        };
        let mut experts: [Expert; EXPERTS] =
            [expert(p, spread), expert(predictions[0][0], means[0][0]), expert(predictions[0][1], means[0][1])];
        if let Some(scale) = learned_scale {
            let center = signed_real(predictions.as_flattened()[LEARNED] - center, mirrored) as f32;
            experts[2] = Expert { center, inverse_scale: 1.0 / scale };
        }
        if mirrored {
            guesses.mirror();
        }
        let given = Given {
            contexts,
            selectors: [if places { at % SELECTORS[0] } else { 0 }, (coarse as usize).min(SELECTORS[1] - 1), agree],
            start: ((spread * 0.75 + 1.0) as u64).ilog2().min(CLASSES - 2),
            experts,
            guesses,
        };

        let mut k = 0;
        if let Some(wanted) = wanted {
            let real = (wanted[i] - center + 0.5).floor();
            if real.is_nan() || real.abs() >= (1u64 << CLASSES) as f64 {
                return Err(Stop::OutOfRange);
            }
            k = signed(real as i64);
        }
        let coded = symbols.code(simd, coder, k, &given);
        let k = signed(coded);
        let value = center + k as f64;

        v[i] = value;
        means_of_places.iter_mut().for_each(|m| m.put(value));
        ks[i] = k;
        errors[i] = (value - p).abs() as f32;
        hits[i] = every_fourth(given.guesses.right(coded));
        if places {
            recent.put(value);
        }
        low = low.min(value);
        high = high.max(value);
        tracks.put(simd, at, value, &predictions);
        if let Some(learning) = &mut learning {
            learning.learn(i, value);
        }
        let trust = 1.0 / ((spread + 0.3) * (spread + 0.3));
        // Where all is flat there is nothing to learn, and what was learned elsewhere is kept.
        if spread >= flat || (value - p).abs() >= flat {
            slow.learn(simd, &x, value - base, trust);
            fast.learn(simd, &fast_x, value - base, trust);
            quick.learn(simd, &fast_x, value - base, trust);
        }
        if seek {
            lookups.iter_mut().for_each(|l| l.put(i));
            sequence.push(if plan.snapped { value as i64 } else { k });
            for m in &mut matches {
                m.update(&sequence);
            }
        }
        walk.step();
    }
    Ok(())
}

/// Spreads 16 bits over 64.
#[inline(always)]
fn every_fourth(bits: u32) -> u64 {
    let mut b = u64::from(bits);
    b = (b | b << 24) & 0x0000_00ff_0000_00ff;
    b = (b | b << 12) & 0x000f_000f_000f_000f;
    b = (b | b << 6) & 0x0303_0303_0303_0303;
    (b | b << 3) & 0x1111_1111_1111_1111
}

#[inline(always)]
fn signed_real(value: f64, mirrored: bool) -> f64 {
    if mirrored { -value } else { value }
}

#[inline(always)]
fn median(a: f64, b: f64, c: f64) -> f64 {
    a.max(b).min(a.min(b).max(c))
}

/// Four buckets an octave.
#[inline(always)]
fn log_bucket(v: u64) -> u32 {
    if v < 4 {
        return v as u32;
    }
    let log = v.ilog2();
    4 * log - 4 + (v >> (log - 2) & 3) as u32
}

/// Two buckets an octave on either side of zero.
#[inline(always)]
fn log_signed(d: i64) -> u32 {
    let m = d.unsigned_abs();
    let bucket = if m < 2 { m as u32 } else { 2 * m.ilog2() + (m >> (m.ilog2() - 1) & 1) as u32 };
    if d < 0 { bucket | 256 } else { bucket }
}

#[inline(always)]
fn hash(parts: &[u32]) -> u32 {
    parts.iter().fold(0u32, |h, p| (h.rotate_left(7) ^ *p).wrapping_mul(0x9E37_79B1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_spread_to_every_fourth() {
        for bits in [0, 1, 0x8000, 0xffff, 0xa5c3] {
            let expected = (0..16).fold(0u64, |all, b| all | u64::from(bits >> b & 1) << (4 * b));
            assert_eq!(every_fourth(bits), expected, "{bits:x}");
        }
    }
}
