//! What the learner is told about a point, and what its answer means (SPEC 9.2.8).

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "features are clamped, and stand at places fixed by constants"
)]

use super::pass::AXES;
use super::stencil::TAPS;
use crate::lattice::learner::{self, Learner};
use crate::lattice::opinion::{Opinion, UNIT, log};

/// Neighbors whose misses are told: six of the nearest, three before the point.
pub(super) const TOLD: usize = 9;

/// Features that a learner is told.
const SEEN: usize = 16;

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

impl Around<'_> {
    /// The stencil's usual miss, which is the unit of errors and answers.
    #[inline(always)]
    pub(super) fn unit(&self) -> f32 {
        self.usual[0] + 0.05
    }

    /// What `learner` expects of the point; the shift is added to the stencil's prediction.
    pub(super) fn ask(&self, learner: &mut Learner) -> Opinion {
        Opinion::of(learner.ask(&self.inputs()), self.unit())
    }

    #[inline(always)]
    fn inputs(&self) -> [f32; learner::INPUTS] {
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
}
