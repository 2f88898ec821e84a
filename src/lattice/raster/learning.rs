//! What the learner is told about a point, and what its answer means (SPEC 9.3.7).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "per-point loop: distances back are checked against the point by `Walk`, the rest is floating point"
)]

use super::means::MEANS;
use crate::lattice::learner::{INPUTS, Learner};
use crate::lattice::opinion::{Opinion, UNIT, log};

/// Neighbors whose values are told.
const SEEN: usize = 12;
/// Neighbors of which it is told how far off the slow predictor was, and the learner.
const TOLD: usize = 9;
/// Predictions that are told beside the slow one.
const OTHERS: usize = 5;
/// Predictors whose usual errors are told, the slow one and the learner among them.
const ERRORS: usize = 5;
/// Errors are kept within this.
const MISS_MAX: f64 = 1e6;

/// What is around a point, in steps.
pub(super) struct Around<'a> {
    /// Values of the neighbors, the nearest first, and how far they lie back.
    pub(super) values: &'a [f64],
    pub(super) back: &'a [usize],
    /// How many of the nearest count twice, and how many count, where errors are averaged.
    pub(super) near: (usize, usize),
    pub(super) slow: f64,
    /// The other predictions: fast, quick, fixed, copied (the slow one where nothing is), and all of them blended.
    pub(super) others: [f64; OTHERS],
    /// Mean errors of the slow, the fast, the fixed and the quick predictor and of the learner.
    pub(super) errors: [f64; ERRORS],
    /// Means of places, if there are any.
    pub(super) places: Option<[f64; MEANS]>,
}

/// The learner, and what is kept for it of every point.
#[derive(Debug)]
pub(super) struct Learning {
    learner: Learner,
    /// How far above what the slow predictor and the learner expected the points were; 0 for those that are not ordinary.
    misses: Vec<[f32; 2]>,
    /// Usual error of the slow predictor around the point asked about last, and the predictions for that point.
    unit: f32,
    expected: [f64; 2],
}

impl Learning {
    /// For so many points.
    pub(super) fn new(points: usize) -> Self {
        Learning { learner: Learner::new(), misses: vec![[0.0; 2]; points], unit: 1.0, expected: [0.0; 2] }
    }

    /// Where the learner expects the value of point `i`, and the scale of the logistic distribution around that, in steps.
    pub(super) fn ask(&mut self, i: usize, around: &Around) -> (f64, f32) {
        let (mut sum, mut shares) = (0.0f32, 0.0f32);
        for (j, back) in around.back[..around.near.1].iter().enumerate() {
            let share = if j < around.near.0 { 2.0 } else { 1.0 };
            sum += share * self.misses[i - back][0].abs();
            shares += share;
        }
        self.unit = sum / shares + 0.05;
        let opinion = Opinion::of(self.learner.ask(&self.inputs(i, around)), self.unit);
        let value = around.slow + opinion.shift;
        self.expected = [around.slow, value];
        (value, opinion.scale)
    }

    fn inputs(&self, i: usize, around: &Around) -> [f32; INPUTS] {
        let part = |x: f32| x.clamp(-8.0, 8.0);
        let log = |x: f32| log(x) * (1.0 / UNIT);
        let away = |value: f64| (value - around.slow) as f32;
        let seen = around.values.first_chunk::<SEEN>().unwrap_or(&[0.0; SEEN]).map(away);
        let wide = seen.iter().fold(0.0, |sum, x| sum + x.abs()) * (1.0 / 8.0) + 0.1;
        let (by_wide, by_unit) = (1.0 / wide, 1.0 / self.unit);
        let mut x = [0f32; INPUTS];
        let (first, rest) = x.split_at_mut(SEEN);
        for (x, seen) in first.iter_mut().zip(seen) {
            *x = part(seen * by_wide);
        }
        let (others, rest) = rest.split_at_mut(OTHERS);
        for (x, other) in others.iter_mut().zip(around.others) {
            *x = part(away(other) * by_unit);
        }
        let (misses, rest) = rest.split_at_mut(2 * TOLD);
        for (x, back) in misses.chunks_exact_mut(2).zip(around.back) {
            let [slow, own] = self.misses[i - back];
            x.copy_from_slice(&[part(slow * by_unit), part(own * by_unit)]);
        }
        let (errors, rest) = rest.split_at_mut(ERRORS);
        for (x, error) in errors.iter_mut().zip(around.errors) {
            *x = log((error as f32 + 0.05) * by_unit);
        }
        let (sizes, rest) = rest.split_at_mut(2);
        sizes.copy_from_slice(&[log(self.unit), log(wide)]);
        for (x, mean) in rest.iter_mut().zip(around.places.iter().flatten()) {
            *x = part(away(*mean) * by_wide);
        }
        x
    }

    /// Learns that point `i`, asked about last, has this value.
    pub(super) fn learn(&mut self, i: usize, value: f64) {
        self.misses[i] = self.expected.map(|e| (value - e).clamp(-MISS_MAX, MISS_MAX) as f32);
        self.learner.learn((value - self.expected[0]) as f32, self.unit);
    }
}
