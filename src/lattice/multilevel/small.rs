//! The coder of the smallest files: least-squares prediction learned on the way, corrections coded in many contexts
//! (SPEC 9.2.4, 9.2.5).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    reason = "inner loop of every value: neighbors are inside the grid by the line's ranges, quantized features are clamped"
)]

use super::learning::{Around, TOLD};
use super::links::Links;
use super::pass::{AXES, Order, Pass, Shape, passes};
use super::quantizer::Quantizer;
use super::stencil::{Stencil, TAPS};
use crate::codec::arithmetic::BitCoder;
use crate::error::FormatError;
use crate::lattice::Grid;
use crate::lattice::decision::Expert;
use crate::lattice::learner::Learner;
use crate::lattice::residual::{Given, ResidualCoder};
use crate::vector::vectorize;
use fearless_simd::Simd;

const CONTEXTS: usize = 10;
const SELECTORS: usize = 3;
const EXPERTS: usize = 3;
type Residuals = ResidualCoder<CONTEXTS, SELECTORS, EXPERTS, 24, 8>;
type Known = Given<CONTEXTS, SELECTORS, EXPERTS>;

/// How many neighbors' corrections are summed.
const NEAR: usize = 6;
const FAR: usize = 16;

/// The stencil's usual miss, in steps, below which surroundings may be quiet: they teach nothing, and the network is not asked.
const QUIET: f32 = 1.0 / 32.0;

/// What is kept of every decoded point.
struct Field<'a> {
    /// NaN until decoded.
    recon: &'a mut [f64],
    codes: Vec<i16>,
    /// How far the stencil and the interpolation were off, in steps.
    misses: Vec<[f32; 2]>,
    /// How far the learner was off, and the stencil with the sign, in steps; empty without a learner.
    asked: Vec<[f32; 2]>,
}

/// Running mean of magnitudes, by context.
#[derive(Debug, Clone, Copy)]
struct Mean {
    value: f32,
    count: f32,
}

impl Mean {
    #[inline(always)]
    fn learn(&mut self, x: f32) {
        if self.count < 60.0 {
            self.count += 1.0;
        }
        self.value += (x - self.value) / (self.count + 1.0);
    }
}

/// Logarithmic bins, `4 >> coarse` to the octave from 2^-6 up.
#[inline(always)]
fn bin(x: f32, coarse: u32, bins: u32) -> u32 {
    let base = (127 - 6) << 2;
    ((x.to_bits() >> 21).saturating_sub(base) >> coarse).min(bins - 1)
}

/// Like [`bin`], with the sign.
#[inline(always)]
fn signed_bin(x: f32, coarse: u32, bins: u32) -> u32 {
    2 * bin(x.abs(), coarse, bins) + u32::from(x < 0.0)
}

#[inline(always)]
fn capped(k: i16, cap: i16) -> u32 {
    (k.clamp(-cap, cap) + cap) as u32
}

/// Mixes up to four numbers into a hash.
#[inline(always)]
fn hash(salt: u32, a: u32, b: u32, c: u32) -> u32 {
    let h = (salt + 1).wrapping_mul(0x9E37_79B1) ^ a.wrapping_mul(0x85EB_CA6B);
    let h = (h ^ (h >> 16)).wrapping_add(b).wrapping_mul(0xC2B2_AE35);
    (h ^ (h >> 15)).wrapping_add(c).wrapping_mul(0x27D4_EB2F)
}

/// How the values of a frame are coded.
pub(crate) struct Setup {
    pub(crate) order: Order,
    /// Weights of squared distances along the axes when taps are chosen.
    pub(crate) weights: [u32; AXES],
    pub(crate) quantizer: Quantizer,
    /// What the first point is predicted to be.
    pub(crate) origin: f64,
    /// Step sizes of levels 0, 1, .. as factors of the step; the last holds for all further ones.
    pub(crate) factors: [f64; 4],
    pub(crate) step: f64,
    pub(crate) tolerance: f64,
}

/// Codes all ordinary points: from `values` if given, else decoding. `recon` receives what the decoder gets.
pub(super) fn run<C: BitCoder>(
    coder: &mut C,
    values: Option<&[f64]>,
    grid: &Grid,
    setup: &Setup,
    learner: Option<&mut Learner>,
    recon: &mut [f64],
) -> Result<(), FormatError> {
    vectorize!(simd => run_passes(simd, coder, values, grid, setup, learner, recon))
}

#[inline(always)]
fn run_passes<S: Simd, C: BitCoder>(
    simd: S,
    coder: &mut C,
    values: Option<&[f64]>,
    grid: &Grid,
    setup: &Setup,
    mut learner: Option<&mut Learner>,
    recon: &mut [f64],
) -> Result<(), FormatError> {
    let shape = Shape::new(grid.dims);
    let n = grid.len();
    let row_bits = (usize::BITS - n.leading_zeros()).saturating_sub(5).clamp(5, 10);
    recon.fill(f64::NAN);
    let mut state = State {
        field: Field {
            recon,
            codes: vec![0; n],
            misses: vec![[0.0; 2]; n],
            asked: if learner.is_some() { vec![[0.0; 2]; n] } else { Vec::new() },
        },
        residuals: Residuals::new(row_bits, [32, 40, 27], 64),
        scales: vec![Mean { value: 1.0, count: 1.0 }; 32 * 40 * 12],
        fallback: setup.origin,
    };
    if grid.is_ordinary(0) && n > 0 {
        let known = Known {
            contexts: [u32::MAX; CONTEXTS],
            selectors: [0; SELECTORS],
            experts: [Expert { center: 0.0, inverse_scale: 1.0 }; EXPERTS],
            refinement: 0,
        };
        let (_, _) = state.settle(simd, coder, values, 0, setup.origin, &setup.quantizer, setup.tolerance, &known)?;
    }
    let mut stencils: Vec<(Vec<[i8; AXES]>, Stencil)> = Vec::new();
    for pass in passes(&shape, &setup.order) {
        let taps = pass.taps(&shape, &setup.weights, TAPS);
        let deltas: Vec<[i8; AXES]> = taps.iter().map(|t| t.delta).collect();
        let mut stencil = match stencils.iter().position(|s| s.0 == deltas) {
            Some(i) => {
                let mut s = stencils.swap_remove(i).1;
                s.descend(30.0);
                s
            }
            None => Stencil::new(deltas.len(), 1.0 + 1.0 / 4096.0),
        };
        state.pass(simd, coder, values, grid, &shape, &pass, setup, &taps, &mut stencil, learner.as_deref_mut())?;
        stencils.push((deltas, stencil));
    }
    Ok(())
}

struct State<'a> {
    field: Field<'a>,
    residuals: Residuals,
    scales: Vec<Mean>,
    /// Prediction where nothing around is known.
    fallback: f64,
}

impl State<'_> {
    /// Codes the correction of point `i` and puts the point into the field.
    #[allow(clippy::too_many_arguments, reason = "inlined into the two places that code a point")]
    #[inline(always)]
    fn settle<S: Simd, C: BitCoder>(
        &mut self,
        simd: S,
        coder: &mut C,
        values: Option<&[f64]>,
        i: usize,
        prediction: f64,
        quantizer: &Quantizer,
        tolerance: f64,
        known: &Known,
    ) -> Result<(i32, f64), FormatError> {
        let k = match values {
            Some(v) => {
                quantizer.quantize(v[i], prediction, tolerance).ok_or(FormatError::Code { what: "correction" })?
            }
            None => 0,
        };
        let k = self.residuals.code(simd, coder, k, known);
        let r = quantizer.reconstruct(prediction, k);
        self.field.recon[i] = r;
        self.field.codes[i] = k.clamp(-32767, 32767) as i16;
        self.fallback = r;
        Ok((k, r))
    }

    #[allow(clippy::too_many_arguments, reason = "one call")]
    #[inline(always)]
    fn pass<S: Simd, C: BitCoder>(
        &mut self,
        simd: S,
        coder: &mut C,
        values: Option<&[f64]>,
        grid: &Grid,
        shape: &Shape,
        pass: &Pass,
        setup: &Setup,
        taps: &[super::pass::Tap],
        stencil: &mut Stencil,
        mut learner: Option<&mut Learner>,
    ) -> Result<(), FormatError> {
        let factor = setup.factors[(pass.level as usize).min(3)];
        let step = setup.step * factor;
        let tolerance = setup.tolerance * factor;
        let quantizer = setup.quantizer.with_step(step);
        let inverse = 1.0 / step;

        let mut near: Vec<_> = taps.iter().filter(|t| t.delta.iter().all(|d| d.abs() < 3)).copied().collect();
        near.sort_by_key(|t| t.distance);
        near.truncate(FAR);
        let before = |a: usize| {
            let mut d = [0i8; AXES];
            d[a] = -((pass.step[a] / pass.unit[a]).min(2) as i8);
            d
        };
        let real: Vec<usize> = shape.real_axes().collect();
        let causal: Vec<[i8; AXES]> = real.iter().rev().take(3).map(|a| before(*a)).collect();
        let mut tap_links = Links::new(taps.iter().map(|t| t.delta), pass, shape);
        let mut near_links = Links::new(near.iter().map(|t| t.delta), pass, shape);
        let mut causal_links = Links::new(causal.iter().copied(), pass, shape);
        let level = pass.level.min(3);
        let kind = pass.axis as u32 * 4 + level;
        let learning = learner.is_some();

        let inner = AXES - 1;
        let mut at = pass.start;
        loop {
            for links in [&mut tap_links, &mut near_links, &mut causal_links] {
                links.enter(&at, pass, shape);
            }
            let base: usize = (0..inner).map(|a| at[a] * shape.strides[a]).sum();
            let mut x = pass.start[inner];
            while x < shape.extents[inner] {
                let i = base + x;
                if !grid.is_ordinary(i) {
                    x += pass.step[inner];
                    continue;
                }
                // Neighbors, and what plain interpolation makes of them.
                let mut v = [f64::NAN; TAPS];
                for (v, j) in v.iter_mut().zip(tap_links.indexes(i, x)) {
                    if let Some(j) = j {
                        *v = self.field.recon[j];
                    }
                }
                let cubic = interpolate(&v, self.fallback);
                let mut features = [0f64; TAPS];
                let (mut lows, mut highs) = ([0f64; 4], [0f64; 4]);
                for (f, v) in features.as_chunks_mut::<4>().0.iter_mut().zip(v.as_chunks::<4>().0) {
                    for j in 0..4 {
                        let d = (v[j] - cubic) * inverse;
                        // Unknown neighbors say nothing.
                        f[j] = if d.abs() < 1e12 { d } else { 0.0 };
                        lows[j] = if f[j] < lows[j] { f[j] } else { lows[j] };
                        highs[j] = if f[j] > highs[j] { f[j] } else { highs[j] };
                    }
                }
                let low = lows[0].min(lows[1]).min(lows[2].min(lows[3]));
                let high = highs[0].max(highs[1]).max(highs[2].max(highs[3]));
                let margin = (high - low) * 0.5;
                let learned = stencil.predict(&features).clamp(low - margin, high + margin);

                // Neighbors' corrections and misses.
                let mut codes = [0i16; FAR];
                let (mut told, mut own) = ([0f32; TOLD], [0f32; TOLD]);
                let mut learner_miss = 1e-3f32;
                let (mut miss, mut weight) = ([1e-3f32; 2], 1e-2f32);
                for ((n, c), j) in codes.iter_mut().enumerate().zip(near_links.indexes(i, x)) {
                    if let Some(j) = j {
                        *c = self.field.codes[j];
                        let m = self.field.misses[j];
                        let w = if n < NEAR { 2.0 } else { 1.0 };
                        miss[0] += w * m[0];
                        miss[1] += w * m[1];
                        weight += w;
                        if learning {
                            let [off, signed] = self.field.asked[j];
                            learner_miss += w * off;
                            if n < NEAR {
                                told[n] = signed;
                                own[n] = off;
                            }
                        }
                    }
                }
                let mut past = [0i16; 3];
                for (n, c) in past.iter_mut().enumerate().take(causal.len()) {
                    if let Some(j) = causal_links.index(n, i, x) {
                        *c = self.field.codes[j];
                        let m = self.field.misses[j];
                        miss[0] += 3.0 * m[0];
                        miss[1] += 3.0 * m[1];
                        weight += 3.0;
                        if learning {
                            let [off, signed] = self.field.asked[j];
                            learner_miss += 3.0 * off;
                            told[NEAR + n] = signed;
                            own[NEAR + n] = off;
                        }
                    }
                }
                let miss = miss.map(|m| m / weight);
                let none = codes[..NEAR].iter().chain(&past).all(|c| *c == 0);
                let quiet = none && miss[0] < QUIET;

                // The blend trusts each predictor by its misses around.
                let trust = miss.map(|m| f64::from(1.0 / (m * m + 1e-4)));
                let mut shift = learned * (trust[0] / (trust[0] + trust[1]));
                let spread = ((high - low) as f32) * 0.25;
                // What the learner says stands in for the stencil in contexts and expectations.
                let mut best = learned;
                let mut scale = None;
                let around = Around {
                    features: &features,
                    learned,
                    spread,
                    usual: miss,
                    misses: told,
                    own,
                    level,
                    axis: pass.axis,
                };
                if let Some(learner) = learner.as_mut().filter(|_| !quiet) {
                    let opinion = around.ask(learner);
                    scale = Some(opinion.scale);
                    best = (learned + opinion.shift).clamp(low - margin, high + margin);
                    let m = learner_miss / weight;
                    let ours = f64::from(1.0 / (m * m + 1e-4));
                    shift = (learned * trust[0] + best * ours) / (trust[0] + trust[1] + ours);
                }
                let mut prediction = cubic + shift * step;
                if prediction.is_nan() || prediction.abs() > 1e300 {
                    prediction = self.fallback;
                }

                let past_sum: u32 = past.iter().map(|c| u32::from(c.unsigned_abs())).sum();
                let past_bin = bin(past_sum as f32 / 32.0, 1, 24);
                let miss_bin = bin(miss[0], 0, 40);
                let best_f = (best - shift) as f32;
                let back = (-shift) as f32;
                let [w, north, up] = past;
                let l = codes[0];
                let scale_at = (kind as usize * 40 + miss_bin as usize) * 12 + bin(spread, 2, 12) as usize;
                let mean = self.scales[scale_at].value;
                let mean_bin = bin(scale.map_or(mean, |s| s * 1.386), 0, 40);
                let toward = |j: Option<usize>| {
                    j.map_or(40, |j| {
                        let d = (self.field.recon[j] - prediction) * inverse;
                        super::quantizer::round(d.clamp(-20.0, 20.0)) as i32 as u32
                    })
                };
                let kl = toward(tap_links.index(0, i, x));
                let kr = toward(tap_links.index(1, i, x));
                let kw = toward(causal_links.index(0, i, x));
                let kn = if causal.len() > 1 { toward(causal_links.index(1, i, x)) } else { 41 };
                let contexts = [
                    hash(8, bin(spread, 0, 60), past_bin, 0),
                    hash(0, kl, kr, 0),
                    hash(3, capped(w, 4), capped(north, 4), capped(up, 2)),
                    hash(2, kw, kn, 0),
                    hash(6, signed_bin(best_f, 1, 20), signed_bin(back, 1, 20), 0),
                    hash(12, kl, kw, 0),
                    hash(13, kr, kw, capped(l, 1)),
                    hash(14, ((prediction * inverse * 0.125).clamp(-1e6, 1e6)) as i32 as u32, 0, 0),
                    hash(17, codes[..NEAR].iter().fold(0, |h, c| h * 3 + capped(*c, 1)), 0, 0),
                    hash(18, kl.wrapping_mul(64).wrapping_add(kr), kw, 0),
                ];
                let steep = 1.386 / (mean + 0.02);
                let known = Known {
                    contexts,
                    selectors: [
                        kind as usize,
                        mean_bin as usize,
                        (capped(w, 1) * 9 + capped(north, 1) * 3 + capped(l, 1)) as usize,
                    ],
                    experts: [
                        Expert { center: 0.0, inverse_scale: steep },
                        Expert { center: best_f, inverse_scale: scale.map_or(1.386 / (miss[0] + 0.05), |s| 1.0 / s) },
                        Expert { center: back, inverse_scale: 1.386 / (miss[1] + 0.05) },
                    ],
                    refinement: mean_bin as usize,
                };
                let (k, recon) = self.settle(simd, coder, values, i, prediction, &quantizer, tolerance, &known)?;

                let truth = (recon - cubic) * inverse;
                self.field.misses[i] = [(truth - learned).abs().min(1e6) as f32, truth.abs().min(1e6) as f32];
                if let Some(learner) = &mut learner {
                    if !quiet {
                        learner.learn((truth - learned) as f32, around.unit());
                    }
                    let signed = (truth - learned).clamp(-1e6, 1e6) as f32;
                    self.field.asked[i] = [(truth - best).abs().min(1e6) as f32, signed];
                }
                self.scales[scale_at].learn((k.unsigned_abs() as f32).min(1e6));
                if !quiet || (truth - learned).abs() >= f64::from(QUIET) {
                    // Points in smooth surroundings say more about the weights.
                    let noise = f64::from(miss[0]) + 0.5;
                    stencil.learn(simd, &features, truth.clamp(-1e9, 1e9), 1.0 / (noise * noise));
                }
                x += pass.step[inner];
            }
            let Some(a) = (0..inner).rev().find(|a| at[*a] + pass.step[*a] < shape.extents[*a]) else { break };
            at[a] += pass.step[a];
            at[a + 1..inner].copy_from_slice(&pass.start[a + 1..inner]);
        }
        Ok(())
    }
}

/// Cubic interpolation between the first four neighbors, which are at -1, 1, -3 and 3 along the axis; what
/// is left if some are unknown (SPEC 9.2.3).
#[inline(always)]
pub(crate) fn interpolate(v: &[f64; TAPS], fallback: f64) -> f64 {
    let [l, r, ll, rr, ..] = *v;
    match (!l.is_nan(), !r.is_nan(), !ll.is_nan(), !rr.is_nan()) {
        (true, true, true, true) => (l + r) * 0.5625 - (ll + rr) * 0.0625,
        (true, true, true, false) => (l * 0.75 + r * 0.375) - ll * 0.125,
        (true, true, false, true) => (r * 0.75 + l * 0.375) - rr * 0.125,
        (true, true, false, false) => (l + r) * 0.5,
        (true, false, true, _) => l * 1.5 - ll * 0.5,
        (true, false, false, _) => l,
        (false, true, _, true) => r * 1.5 - rr * 0.5,
        (false, true, _, false) => r,
        (false, false, ..) => {
            let (mut sum, mut count) = (0.0, 0.0);
            for v in v.iter().filter(|v| v.is_finite()) {
                sum += v;
                count += 1.0;
            }
            if count > 0.0 { sum / count } else { fallback }
        }
    }
}
