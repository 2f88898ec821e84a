//! What a network in the loop is told about a point, and what its answer means (SPEC 9.2.7).

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "features are clamped, and stand at places fixed by constants"
)]

use super::learner::{self, Learner};
use super::pass::AXES;
use super::quantizer::round;
use super::stencil::TAPS;
use crate::model::{PREDICTOR_INPUT_MAX, PREDICTOR_INPUTS, Predictor};

/// Neighbors whose misses are told: six of the nearest, three before the point.
pub(super) const TOLD: usize = 9;

/// Features that a learner is told.
const SEEN: usize = 16;

/// Inputs are in units of 1/128.
const UNIT: f32 = 128.0;
/// The scale in an answer is in sixteenths of an octave, straight lines between whole ones, within this.
const SCALES: (f32, f32) = (-128.0, 96.0);
/// The shift in an answer is in 1/64 of the stencil's usual miss, within this.
const SHIFT_MAX: f32 = 32_768.0;

/// What is around a point, in steps.
pub(super) struct Around<'a> {
    /// Neighbors less the interpolation.
    pub(super) features: &'a [f64; TAPS],
    /// What the stencil adds to the interpolation.
    pub(super) learned: f64,
    /// A quarter of the range of the features.
    pub(super) spread: f32,
    /// Usual misses of the stencil and of the interpolation around.
    pub(super) usual: [f32; 2],
    /// How far the stencil was off at neighbors, with the sign.
    pub(super) misses: [f32; TOLD],
    /// How far the network was off there.
    pub(super) own: [f32; TOLD],
    pub(super) level: u32,
    pub(super) axis: usize,
}

/// What is expected of a point, in steps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opinion {
    /// What is added to the stencil's prediction.
    pub(super) shift: f64,
    /// Scale of the logistic distribution around it.
    pub(super) scale: f32,
}

/// Who is asked at every point. Called by pointer: the kernel, which is large, would be compiled for each.
pub(super) trait Network {
    /// Whether there is anyone to ask.
    fn is_asked(&self) -> bool {
        true
    }

    fn answer(&mut self, around: &Around) -> [f32; 2];

    /// Told by the writer: how far off the stencil was from the value to be coded.
    fn told(&mut self, _around: &Around, _miss: f32) {}

    /// Told by writer and reader: how far off the stencil was from what was decoded, and its usual miss.
    fn learn(&mut self, _miss: f32, _usual: f32) {}
}

/// No network.
pub(super) struct Nobody;

impl Network for Nobody {
    fn is_asked(&self) -> bool {
        false
    }

    fn answer(&mut self, _: &Around) -> [f32; 2] {
        [0.0; 2]
    }
}

impl Network for &Predictor {
    fn answer(&mut self, around: &Around) -> [f32; 2] {
        self.run(&around.inputs())
    }
}

impl Network for Learner {
    fn answer(&mut self, around: &Around) -> [f32; 2] {
        let [shift, octaves] = self.ask(&around.learner_inputs());
        [shift * 64.0, octaves * 16.0]
    }

    fn learn(&mut self, miss: f32, usual: f32) {
        Learner::learn(self, miss, usual);
    }
}

/// What a network is asked, and what would have been right: for those who train one.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Samples {
    /// [`PREDICTOR_INPUTS`](crate::model::PREDICTOR_INPUTS) whole numbers a point.
    pub inputs: Vec<i16>,
    /// One a point, in steps of the lattice: the usual miss of the stencil around it, which is the unit of the answer.
    pub usual: Vec<f32>,
    /// One a point, in steps of the lattice: how far the value lies above the stencil's prediction.
    pub misses: Vec<f32>,
}

/// Asks `network`, or assumes that it would have nothing to add, and writes everything down.
pub(super) struct Recorder<'a> {
    pub(super) network: Option<&'a Predictor>,
    pub(super) samples: Samples,
}

impl Network for Recorder<'_> {
    fn answer(&mut self, around: &Around) -> [f32; 2] {
        self.network.map_or([0.0, -8.0], |n| n.run(&around.inputs()))
    }

    fn told(&mut self, around: &Around, miss: f32) {
        self.samples.inputs.extend(around.inputs().iter().map(|x| *x as i16));
        self.samples.usual.push(around.unit());
        self.samples.misses.push(miss);
    }
}

/// Quarters of an octave, of 8 units each.
#[inline(always)]
fn log(x: f32) -> f32 {
    (((x.to_bits() >> 21) as i32 - (127 << 2)) * 8).clamp(-1023, 1023) as f32
}

impl Around<'_> {
    /// The stencil's usual miss, which is the unit of errors and answers.
    #[inline(always)]
    pub(super) fn unit(&self) -> f32 {
        self.usual[0] + 0.05
    }

    /// The network's inputs.
    #[inline(always)]
    pub(super) fn inputs(&self) -> [f32; PREDICTOR_INPUTS] {
        const MAX: f32 = PREDICTOR_INPUT_MAX as f32;
        let whole = |x: f32| round(f64::from(x.clamp(-MAX, MAX))) as f32;
        let (spread, unit) = (self.spread + 0.1, self.unit());
        let (by_spread, by_unit) = (UNIT / spread, UNIT / unit);
        let mut x = [0f32; PREDICTOR_INPUTS];
        for (x, f) in x.iter_mut().zip(self.features) {
            *x = whole(*f as f32 * by_spread);
        }
        x[32] = whole(self.learned as f32 * by_spread);
        for (x, m) in x[33..].iter_mut().zip(&self.misses) {
            *x = whole(m * by_unit);
        }
        x[42] = log(unit);
        x[43] = log(spread);
        x[44] = log((self.usual[1] + 0.05) / unit);
        x[45] = whole(self.learned as f32 * by_unit);
        x[46 + (self.level as usize).min(3)] = UNIT;
        x[50 + self.axis.min(AXES - 1)] = UNIT;
        x
    }

    /// What a learner is told.
    #[inline(always)]
    fn learner_inputs(&self) -> [f32; learner::INPUTS] {
        let part = |x: f32| x.clamp(-8.0, 8.0);
        let (spread, unit) = (self.spread + 0.1, self.unit());
        let (by_spread, by_unit) = (1.0 / spread, 1.0 / unit);
        let mut x = [0f32; learner::INPUTS];
        for (x, f) in x[..SEEN].iter_mut().zip(self.features) {
            *x = part(*f as f32 * by_spread);
        }
        for t in 0..TOLD {
            x[SEEN + t] = part(self.misses[t] * by_unit);
            x[SEEN + TOLD + t] = part(self.own[t] * by_unit);
        }
        let rest = &mut x[SEEN + 2 * TOLD..];
        rest[0] = part(self.learned as f32 * by_spread);
        rest[1] = part(self.learned as f32 * by_unit);
        rest[2] = log(unit) * (1.0 / UNIT);
        rest[3] = log(spread) * (1.0 / UNIT);
        rest[4] = log((self.usual[1] + 0.05) / unit) * (1.0 / UNIT);
        rest[5 + (self.level as usize).min(3)] = 1.0;
        rest[9 + self.axis.min(AXES - 1)] = 1.0;
        x
    }

    /// What an answer means.
    #[inline(always)]
    pub(super) fn opinion(&self, answer: [f32; 2]) -> Opinion {
        let unit = self.unit();
        let shift = answer[0].clamp(-SHIFT_MAX, SHIFT_MAX) * (1.0 / 64.0) * unit;
        // Whole octaves are exponents, sixteenths the upper bits of the fraction.
        let sixteenths = answer[1].clamp(SCALES.0, SCALES.1).floor() as i32;
        let scale = unit * f32::from_bits(((127 * 16 + sixteenths) as u32) << 19);
        Opinion { shift: f64::from(shift), scale }
    }
}
