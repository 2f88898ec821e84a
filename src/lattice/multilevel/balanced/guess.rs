//! What is expected of a point, and what a network in the loop is told for that (SPEC 9.2.7).

use super::super::links::Links;
use super::super::network::{BEFORE, BESIDE, Network, Opinion, QUIET_SCALE, TOLD, Told};
use super::super::pass::{AXES, Pass, Shape};
use super::super::weights::REACH;
use super::{AROUND, Frame, State};
use crate::vector::vectorize;
use fearless_simd::Simd;

/// What is expected of a point.
#[derive(Clone, Copy)]
pub(super) struct Guess {
    /// The value where there is no correction.
    pub(super) prediction: f64,
    /// What the stencil alone predicts.
    pub(super) stencil: f64,
    /// How far off the network expects to be, in steps; `None` where none is asked.
    pub(super) scale: Option<f32>,
}

impl Guess {
    pub(super) const NONE: Guess = Guess { prediction: 0.0, stencil: 0.0, scale: None };
}

/// Where a network looks, in a pass.
pub(super) struct Sight {
    /// All taps, whether they have weights or not.
    taps: Links,
    /// Those whose misses count.
    beside: Links,
    /// Where the taps are, if there are as many as can be.
    reach: Option<[isize; REACH]>,
}

impl Sight {
    pub(super) fn new(deltas: &[[i8; AXES]], pass: &Pass, shape: &Shape) -> Self {
        let taps = Links::new(deltas.iter().copied(), pass, shape);
        let beside = BESIDE.iter().filter_map(|t| deltas.get(*t).copied());
        let reach = (deltas.len() == REACH).then(|| taps.offsets());
        Sight { beside: Links::new(beside, pass, shape), taps, reach }
    }

    pub(super) fn enter(&mut self, at: &[usize; AXES], pass: &Pass, shape: &Shape) {
        self.taps.enter(at, pass, shape);
        self.beside.enter(at, pass, shape);
    }

    /// Where the taps of a point are, if all are there.
    #[inline(always)]
    fn all(&self, x: usize) -> Option<&[isize; REACH]> {
        self.reach.as_ref().filter(|_| self.taps.surrounds(x))
    }
}

impl State<'_> {
    /// What the stencil expects of a point, and the network if one is asked.
    #[inline(always)]
    pub(super) fn guess<S: Simd>(
        &self,
        simd: S,
        frame: &Frame,
        network: Option<&mut Network>,
        i: usize,
        x: usize,
        fallback: f64,
    ) -> Guess {
        let stencil = self.predict(simd, frame, i, x, fallback);
        match network {
            None => Guess { prediction: stencil, stencil, scale: None },
            Some(network) => self.ask(frame, network, i, x, stencil),
        }
    }

    #[inline(always)]
    fn ask(&self, frame: &Frame, network: &mut Network, i: usize, x: usize, stencil: f64) -> Guess {
        let told = self.told(frame, i, x);
        if told.is_quiet() {
            return Guess { prediction: stencil, stencil, scale: Some(QUIET_SCALE) };
        }
        let opinion = self.opinion(frame, network, i, x, stencil, &told);
        let moved = stencil + f64::from(opinion.shift) * frame.step;
        let prediction = if moved.abs() < 1e300 { moved } else { stencil };
        Guess { prediction, stencil, scale: Some(opinion.scale) }
    }

    #[inline(never)]
    fn opinion(&self, frame: &Frame, network: &mut Network, i: usize, x: usize, stencil: f64, told: &Told) -> Opinion {
        vectorize!(simd => network.ask(simd, &self.places(frame, i, x, stencil), told))
    }

    /// How far off expectations were at neighbors.
    #[inline(always)]
    pub(super) fn told(&self, frame: &Frame, i: usize, x: usize) -> Told {
        let sight = &frame.sight;
        let mut misses = [[0f32; 2]; TOLD];
        let mut inside = 0f32;
        if let Some(reach) = sight.all(x) {
            for (miss, t) in misses.iter_mut().zip(BESIDE) {
                *miss = self.misses[i.wrapping_add_signed(reach[t])];
            }
            inside += 2.0 * BESIDE.len() as f32;
        } else {
            for (miss, j) in misses.iter_mut().zip(sight.beside.indexes(i, x)) {
                if let Some(j) = j {
                    *miss = self.misses[j];
                    inside += 2.0;
                }
            }
        }
        for (miss, j) in misses[BESIDE.len()..].iter_mut().zip(frame.around.indexes(i, x).skip(AROUND - BEFORE)) {
            if let Some(j) = j {
                *miss = self.misses[j];
                inside += 3.0;
            }
        }
        Told::new(misses, inside)
    }

    /// Where neighbors lie to what the stencil predicts, in steps; 0 for what is unknown.
    #[inline(always)]
    pub(super) fn places(&self, frame: &Frame, i: usize, x: usize, stencil: f64) -> [f32; REACH] {
        let mut v = [f64::NAN; REACH];
        if let Some(reach) = frame.sight.all(x) {
            for (v, offset) in v.iter_mut().zip(reach) {
                *v = self.recon[i.wrapping_add_signed(*offset)];
            }
        } else {
            for (v, j) in v.iter_mut().zip(frame.sight.taps.indexes(i, x)) {
                if let Some(j) = j {
                    *v = self.recon[j];
                }
            }
        }
        v.map(|v| {
            let d = ((v - stencil) * frame.inverse) as f32;
            if d.abs() < 1e12 { d } else { 0.0 }
        })
    }

    /// Keeps how far off the expectations of a decoded point were.
    #[inline(always)]
    pub(super) fn missed(&mut self, frame: &Frame, i: usize, guess: &Guess, k: i32) {
        if let Some(misses) = self.misses.get_mut(i) {
            let off = (self.recon[i] - guess.stencil) * frame.inverse;
            *misses = [off.clamp(-1e6, 1e6) as f32, k.clamp(-32767, 32767) as f32];
        }
    }
}
