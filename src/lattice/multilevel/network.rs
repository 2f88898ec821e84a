//! What a network in the loop is told about a point, and what its answer means (SPEC 9.2.7).

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "inputs are clamped, and stand at places fixed by constants"
)]

use super::weights::REACH;
use crate::lattice::opinion::{UNIT, log, scale};
use crate::model::{PREDICTOR_INPUT_MAX, PREDICTOR_KINDS, Predictor, Scratch};
use fearless_simd::Simd;

/// Taps whose misses are told: two on the axis of the pass, and the nearest others.
pub(super) const BESIDE: [usize; 6] = [0, 1, 4, 5, 6, 7];
/// Neighbors before the point whose misses are told.
pub(super) const BEFORE: usize = 3;
/// Both together.
pub(super) const TOLD: usize = BESIDE.len() + BEFORE;

/// The shift in an answer is in 1/64 of the stencil's usual miss, within this.
const SHIFT_MAX: f32 = 1024.0;

/// How far off expectations were at neighbors, in steps of the lattice.
pub(super) struct Told {
    /// Of the stencil and of the network; 0 for what is unknown.
    misses: [[f32; 2]; TOLD],
    /// Of the stencil, those before the point counting most.
    sum: f32,
    /// How far the stencil is usually off around here: the unit of the answer.
    unit: f32,
}

impl Told {
    /// `inside` is what the neighbors that are inside the grid count together.
    #[inline(always)]
    pub(super) fn new(misses: [[f32; 2]; TOLD], inside: f32) -> Self {
        let [a, b, c, d, e, f, w, n, u] = misses.map(|m| m[0].abs());
        let sum = 2.0 * (((a + b) + (c + d)) + (e + f)) + 3.0 * ((w + n) + u);
        Told { misses, sum, unit: (sum + 0.001) / (inside + 0.01) + 0.25 }
    }

    /// Whether so little is off around that no network is asked: it would take most of the time where next to nothing is to be coded.
    #[inline(always)]
    pub(super) fn is_quiet(&self) -> bool {
        self.sum < 2.0 && self.misses.iter().all(|m| m[1] == 0.0)
    }
}

/// The scale that is expected where no network is asked.
pub(super) const QUIET_SCALE: f32 = 1.0 / 64.0;

/// What is expected of a point, in steps of the lattice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opinion {
    /// What is added to the stencil's prediction.
    pub(super) shift: f32,
    /// Scale of the logistic distribution around it.
    pub(super) scale: f32,
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

/// The network that is asked at every point.
pub(super) struct Network<'a> {
    /// Without one, nothing is added to the stencil: for samples to train the first one on.
    predictor: Option<&'a Predictor>,
    scratch: Scratch,
    /// Where a writer wants everything to be written down.
    samples: Option<&'a mut Samples>,
}

impl<'a> Network<'a> {
    pub(super) fn new(predictor: &'a Predictor) -> Self {
        Network { predictor: Some(predictor), scratch: Scratch::default(), samples: None }
    }

    pub(super) fn recorded(predictor: Option<&'a Predictor>, samples: &'a mut Samples) -> Self {
        Network { predictor, scratch: Scratch::default(), samples: Some(samples) }
    }

    /// Prepares for the points of a pass.
    pub(super) fn enter(&mut self, axis: usize, level: usize) {
        let mut kinds = [0.0; PREDICTOR_KINDS];
        kinds[level] = UNIT;
        kinds[4 + axis] = UNIT;
        self.scratch.settle(kinds);
        if let Some(predictor) = self.predictor {
            predictor.settle(&mut self.scratch);
        }
    }

    /// What is expected of a point.
    #[inline(always)]
    pub(super) fn ask<S: Simd>(&mut self, simd: S, places: &[f32; REACH], told: &Told) -> Opinion {
        let answer = match self.predictor {
            None => [0.0, -8.0],
            Some(predictor) => {
                inputs(places, told, self.scratch.varying());
                predictor.run(simd, &mut self.scratch)
            }
        };
        let shift = answer[0].clamp(-SHIFT_MAX, SHIFT_MAX) * (1.0 / 64.0) * told.unit;
        Opinion { shift, scale: scale(told.unit, answer[1]) }
    }

    /// Whether [`Self::record`] is wanted.
    pub(super) fn records(&self) -> bool {
        self.samples.is_some()
    }

    /// Writes down how far the stencil was off from the value to be coded.
    pub(super) fn record(&mut self, places: &[f32; REACH], told: &Told, miss: f32) {
        if let Some(samples) = &mut self.samples {
            inputs(places, told, self.scratch.varying());
            samples.inputs.extend(self.scratch.inputs().iter().map(|x| *x as i16));
            samples.usual.push(told.unit);
            samples.misses.push(miss);
        }
    }
}

/// To the nearest whole number, ties to even, within what inputs may be.
#[inline(always)]
fn whole(x: f32) -> f32 {
    const MAX: f32 = PREDICTOR_INPUT_MAX as f32;
    /// Numbers from here to twice this have no fraction.
    const WHOLE: f32 = 12_582_912.0;
    let x = if x > MAX { MAX } else { x };
    let x = if x < -MAX { -MAX } else { x };
    x + WHOLE - WHOLE
}

/// Least and largest of them and 0.
#[inline(always)]
fn range(places: &[f32; REACH]) -> (f32, f32) {
    const LANES: usize = 8;
    let (mut low, mut high) = ([0f32; LANES], [0f32; LANES]);
    for places in places.as_chunks::<LANES>().0 {
        for j in 0..LANES {
            low[j] = if places[j] < low[j] { places[j] } else { low[j] };
            high[j] = if places[j] > high[j] { places[j] } else { high[j] };
        }
    }
    let less = |a: f32, b: f32| if a < b { a } else { b };
    let more = |a: f32, b: f32| if a > b { a } else { b };
    let [a, b, c, d, e, f, g, h] = low;
    let least = less(less(less(a, b), less(c, d)), less(less(e, f), less(g, h)));
    let [a, b, c, d, e, f, g, h] = high;
    (least, more(more(more(a, b), more(c, d)), more(more(e, f), more(g, h))))
}

/// The network's inputs, but those that say what pass it is.
#[inline(always)]
fn inputs(places: &[f32; REACH], told: &Told, x: &mut [f32]) {
    let (low, high) = range(places);
    let wide = (high - low) * 0.25 + 0.1;
    let (by_wide, by_unit) = (UNIT / wide, UNIT / told.unit);
    let (near, rest) = x.split_at_mut(REACH);
    for (x, p) in near.iter_mut().zip(places) {
        *x = whole(p * by_wide);
    }
    rest[0] = whole((places[0] + places[1]) * 0.5 * by_unit);
    let (misses, rest) = rest[1..].split_at_mut(2 * TOLD);
    for (x, miss) in misses.iter_mut().zip(told.misses.as_flattened()) {
        *x = whole(miss * by_unit);
    }
    rest[0] = log(told.unit);
    rest[1] = log(wide);
}
