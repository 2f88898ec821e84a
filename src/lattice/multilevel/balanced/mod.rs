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

mod correction;
mod guess;

use super::links::Links;
use super::network::{BEFORE, Network};
use super::pass::{AXES, Pass, Shape, passes};
use super::quantizer::Quantizer;
use super::small::{Setup, interpolate};
use super::stencil::TAPS;
use super::weights::{self, REACH};
use crate::codec::arithmetic::BitCoder;
use crate::codec::mix::Counter;
use crate::error::FormatError;
use crate::lattice::Grid;
use crate::vector::vectorize;
use correction::{Corrections, LIMIT, Near};
use fearless_simd::Simd;
use guess::{Guess, Sight};

/// Passes of fewer points have no stencil.
const STENCIL_MIN: usize = 2048;

/// Neighbors whose corrections are looked at: two taps, and those before the point.
const AROUND: usize = 2 + BEFORE;

/// Points that share a flag when all their corrections are zero.
const GROUP: usize = 16;

struct State<'a> {
    recon: &'a mut [f64],
    codes: Vec<i16>,
    /// How far the stencil was off, and how far the network was, in steps; empty where none is asked.
    misses: Vec<[f32; 2]>,
    corrections: Corrections,
    groups: Vec<[Counter; 4]>,
    fallback: f64,
}

/// What a writer knows of a group before it is coded.
struct Ahead {
    /// Whether all corrections are zero.
    quiet: bool,
    /// What is expected of the first ordinary points; all but the last one have no correction.
    guesses: [Guess; GROUP],
    count: usize,
}

impl Ahead {
    const NONE: Ahead = Ahead { quiet: false, guesses: [Guess::NONE; GROUP], count: 0 };
}

/// What is the same for all points of a pass.
struct Frame<'a> {
    taps: Links,
    /// The first two taps, and those neighbors: their corrections are the contexts of another.
    around: Links,
    /// Where they are in this line.
    open: [Option<isize>; AROUND],
    sight: Sight,
    /// Weights of differences to the interpolation, for edges.
    weights: Option<[f64; REACH]>,
    /// The same prediction as weights of values.
    direct: [f64; REACH],
    offsets: [isize; REACH],
    quantizer: Quantizer,
    tolerance: f64,
    step: f64,
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
    network: Option<&mut Network>,
    recon: &mut [f64],
) -> Result<(), FormatError> {
    vectorize!(simd => run_passes(simd, coder, values, grid, setup, network, recon))
}

#[inline(always)]
fn run_passes<S: Simd, C: BitCoder>(
    simd: S,
    coder: &mut C,
    values: Option<&[f64]>,
    grid: &Grid,
    setup: &Setup,
    mut network: Option<&mut Network>,
    recon: &mut [f64],
) -> Result<(), FormatError> {
    let shape = Shape::new(grid.dims);
    recon.fill(f64::NAN);
    let asked = network.is_some();
    let mut state = State {
        codes: vec![0; recon.len()],
        misses: vec![[0.0; 2]; if asked { recon.len() } else { 0 }],
        recon,
        corrections: Corrections::new(asked),
        groups: vec![[Counter::NEW; 4]; AXES * 4],
        fallback: setup.origin,
    };
    for (n, pass) in std::iter::once(Pass::first(&shape)).chain(passes(&shape, &setup.order)).enumerate() {
        let deltas: Vec<[i8; AXES]> = pass.taps(&shape, &setup.weights, REACH).iter().map(|t| t.delta).collect();
        let factor = setup.factors[(pass.level as usize).min(3)];
        let before = |a: usize| {
            let mut d = [0i8; AXES];
            d[a] = -((pass.step[a] / pass.unit[a]).min(2) as i8);
            d
        };
        let causal = (0..AXES).rev().take(BEFORE).map(before);
        // Nobody is asked about the first point.
        let asking = if n > 0 { network.as_deref_mut() } else { None };
        let told = if asking.is_some() { &deltas[..] } else { &[] };
        let mut frame = Frame {
            taps: Links::new(deltas.iter().copied(), &pass, &shape),
            around: Links::new(deltas.iter().copied().take(AROUND - BEFORE).chain(causal), &pass, &shape),
            open: [None; AROUND],
            sight: Sight::new(told, &pass, &shape),
            weights: None,
            direct: [0.0; REACH],
            offsets: [0; REACH],
            quantizer: setup.quantizer.with_step(setup.step * factor),
            tolerance: setup.tolerance * factor,
            step: setup.step * factor,
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
        match asking {
            None => state.pass::<S, C, false>(simd, coder, grid, &shape, &pass, &mut frame, None)?,
            some => state.pass::<S, C, true>(simd, coder, grid, &shape, &pass, &mut frame, some)?,
        }
    }
    Ok(())
}

impl State<'_> {
    /// `ASKED`: whether there is a network, so that the loop is compiled without one, too.
    #[allow(clippy::too_many_arguments, reason = "what stays the same while a pass is coded, called from one place")]
    #[inline(always)]
    fn pass<S: Simd, C: BitCoder, const ASKED: bool>(
        &mut self,
        simd: S,
        coder: &mut C,
        grid: &Grid,
        shape: &Shape,
        pass: &Pass,
        frame: &mut Frame,
        network: Option<&mut Network>,
    ) -> Result<(), FormatError> {
        let mut network = network.filter(|_| ASKED);
        let inner = AXES - 1;
        let (first, step, end) = (pass.start[inner], pass.step[inner], shape.extents[inner]);
        let count = end.saturating_sub(first).div_ceil(step);
        if let Some(network) = &mut network {
            network.enter(frame.kind / 4, frame.kind % 4);
        }
        // Whether each group of the line before was silent.
        let mut above = vec![false; count.div_ceil(GROUP)];
        let mut at = pass.start;
        loop {
            frame.taps.enter(&at, pass, shape);
            frame.around.enter(&at, pass, shape);
            frame.open = frame.around.open();
            frame.sight.enter(&at, pass, shape);
            let base: usize = (0..inner).map(|a| at[a] * shape.strides[a]).sum();
            let mut silent = false;
            for (g, above) in above.iter_mut().enumerate() {
                let from = first + g * GROUP * step;
                let to = (from + GROUP * step).min(end);
                let fallback = self.fallback;
                let ahead = match frame.values {
                    Some(v) => {
                        self.look_ahead(simd, v, grid, frame, network.as_deref_mut(), base, (from..to).step_by(step))
                    }
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
                    let guess = if known {
                        ahead.guesses[n]
                    } else {
                        self.guess(simd, frame, network.as_deref_mut(), i, x, fallback)
                    };
                    let mut k = 0;
                    if !silent {
                        if let Some(v) = frame.values.filter(|_| !known || n + 1 == ahead.count) {
                            k = frame
                                .quantizer
                                .quantize(v[i], guess.prediction, frame.tolerance)
                                .ok_or(FormatError::Code { what: "correction" })?;
                        }
                        k = self.corrections.code(simd, coder, frame.kind, &self.near::<ASKED>(frame, i, x, &guess), k);
                    }
                    if let (Some(network), Some(v)) = (&mut network, frame.values)
                        && network.records()
                    {
                        let told = self.told(frame, i, x);
                        let miss = (v[i] - guess.stencil) * frame.inverse;
                        if !told.is_quiet() {
                            network.record(&self.places(frame, i, x, guess.stencil), &told, miss as f32);
                        }
                    }
                    let r = frame.quantizer.reconstruct(guess.prediction, k);
                    self.recon[i] = r;
                    self.missed(frame, i, &guess, k);
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
    #[allow(clippy::too_many_arguments, reason = "as `pass`")]
    #[inline(always)]
    fn look_ahead<S: Simd>(
        &mut self,
        simd: S,
        values: &[f64],
        grid: &Grid,
        frame: &Frame,
        mut network: Option<&mut Network>,
        base: usize,
        places: impl Iterator<Item = usize>,
    ) -> Ahead {
        let mut ahead = Ahead { quiet: true, ..Ahead::NONE };
        let fallback = self.fallback;
        for x in places {
            let i = base + x;
            if grid.is_ordinary(i) {
                let guess = self.guess(simd, frame, network.as_deref_mut(), i, x, fallback);
                ahead.guesses[ahead.count] = guess;
                ahead.count += 1;
                if frame.quantizer.quantize(values[i], guess.prediction, frame.tolerance) != Some(0) {
                    ahead.quiet = false;
                    break;
                }
                self.recon[i] = frame.quantizer.reconstruct(guess.prediction, 0);
                self.missed(frame, i, &guess, 0);
            }
        }
        ahead
    }

    #[inline(always)]
    fn predict<S: Simd>(&self, simd: S, frame: &Frame, i: usize, x: usize, fallback: f64) -> f64 {
        if frame.taps.surrounds(x) {
            let used = if frame.weights.is_some() { REACH / 4 } else { 1 };
            let mut sums = simd.splat_f64x4(0.0);
            for q in 0..used {
                let mut v = [0.0; 4];
                for (v, offset) in v.iter_mut().zip(&frame.offsets.as_chunks::<4>().0[q]) {
                    *v = self.recon[i.wrapping_add_signed(*offset)];
                }
                let weights = simd.load_array_ref_f64x4(&frame.direct.as_chunks::<4>().0[q]);
                let products = simd.mul_f64x4(weights, simd.load_array_f64x4(v));
                sums = if q == 0 { products } else { simd.add_f64x4(sums, products) };
            }
            let lanes = simd.as_array_f64x4(sums);
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

    /// What is around a point, for the contexts of its correction.
    #[inline(always)]
    fn near<const ASKED: bool>(&self, frame: &Frame, i: usize, x: usize, guess: &Guess) -> Near {
        let prediction = guess.prediction;
        let mut near = Near { codes: [0; 5], toward: [20; 4], place: 0, scale: guess.scale.filter(|_| ASKED) };
        let reaches = frame.around.reaches(x);
        for n in 0..AROUND {
            let j = if reaches { frame.open[n].map(|o| i.wrapping_add_signed(o)) } else { frame.around.index(n, i, x) };
            if let Some(j) = j {
                near.codes[n] = i32::from(self.codes[j]);
                if n < near.toward.len() {
                    let d = (self.recon[j] - prediction) * frame.inverse;
                    near.toward[n] = (d.clamp(-10.0, 9.0) + 10.5) as i32 as usize;
                }
            }
        }
        near.place = ((prediction * frame.inverse * 0.125).clamp(-1e6, 1e6)) as i32;
        near
    }
}
