//! Means over the steps of the slowest axis: what a place had before says what it will have (SPEC 9.3.3).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "places are counted up to their number; steps are fewer than points, which binary64 counts"
)]

use crate::lattice::causal::Shape;

/// Inputs that the means give.
pub(super) const MEANS: usize = 4;
/// Fewer axes have no places: a row of steps is no better known by its mean than by its neighbors.
const AXES_MIN: usize = 3;
/// Fewer steps have hardly a mean.
const STEPS_MIN: usize = 6;

/// Sums and means of each place, that is of each point of a step.
#[derive(Debug)]
pub(super) struct Means {
    /// Sums over the steps so far.
    sums: Vec<f64>,
    /// Means over the whole steps before this one.
    means: Vec<f64>,
    steps: usize,
    place: usize,
}

impl Means {
    /// `None` if a shape is too small for means to tell anything.
    pub(super) fn new(shape: &Shape) -> Option<Means> {
        let slowest = shape.axes() - 1;
        let places = shape.strides[slowest];
        (slowest + 1 >= AXES_MIN && shape.extents[slowest] >= STEPS_MIN).then(|| Means {
            sums: vec![0.0; places],
            means: vec![0.0; places],
            steps: 0,
            place: 0,
        })
    }

    /// The means here and so far back, as seen from `base`; zeros in the first step.
    #[inline(always)]
    pub(super) fn inputs(&self, back: [usize; MEANS - 1], base: f64) -> [f64; MEANS] {
        if self.steps == 0 {
            return [0.0; MEANS];
        }
        // What lies back in the step before stands for this place.
        let mean = |back: usize| self.means[self.place.checked_sub(back).unwrap_or(self.place)] - base;
        [mean(0), mean(back[0]), mean(back[1]), mean(back[2])]
    }

    /// Takes the value of the point, and goes to the next.
    #[inline(always)]
    pub(super) fn put(&mut self, value: f64) {
        self.sums[self.place] += value;
        self.place += 1;
        if self.place == self.sums.len() {
            self.place = 0;
            self.steps += 1;
            let share = 1.0 / self.steps as f64;
            for (mean, sum) in self.means.iter_mut().zip(&self.sums) {
                *mean = sum * share;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_the_mean_of_the_steps_before() {
        let mut means = Means::new(&Shape::of_grid(&[9, 2, 3])).unwrap();
        for i in 0..12u8 {
            let inputs = means.inputs([1, 3, 4], 1.0);
            match i {
                0..6 => assert_eq!(inputs, [0.0; 4]),
                // Place 0: nothing lies back in this step.
                6 => assert_eq!(inputs, [-1.0; 4]),
                10 => assert_eq!(inputs, [3.0, 2.0, 0.0, -1.0]),
                _ => (),
            }
            means.put(f64::from(i));
        }
        // (4 + 10) / 2 at place 4, seen from place 4 of the third step.
        for i in 0..4u8 {
            means.put(f64::from(i));
        }
        assert_eq!(means.inputs([1, 3, 4], 0.0), [7.0, 6.0, 4.0, 3.0]);
        assert!(Means::new(&Shape::of_grid(&[5, 9, 9])).is_none() && Means::new(&Shape::of_grid(&[9, 9])).is_none());
    }
}
