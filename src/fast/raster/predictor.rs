//! Kinds of rows, each with its weights (SPEC 9.4.3).

use super::history::History;
use super::shape::{OUTER, Shape};
use super::stencil::{self, Layout, MOST_TAPS, ONE, Recurrence, Tap, Weights};

/// One kind of row and how it is predicted.
pub(super) struct Predictor {
    pub(super) layout: Layout,
    pub(super) recurrence: Recurrence,
    /// The taps whose weight is not 0.
    pub(super) taps: Vec<(Tap, f32)>,
    /// How many rows before a row that is inside the one of each way is.
    distances: Vec<usize>,
}

impl Predictor {
    pub(super) fn new(layout: Layout, weights: &Weights, shape: &Shape) -> Self {
        let scaled = |w: i32| w as f32 * (1.0 / ONE as f32);
        let taps = layout.taps.iter().zip(&weights.taps);
        let taps = taps.filter(|(_, w)| **w != 0).map(|(t, w)| (*t, scaled(*w))).collect();
        let distances = layout.distances(shape);
        Predictor { layout, recurrence: Recurrence::new(weights.before()), taps, distances }
    }

    /// Where the taps of row `r` are, and what stands before its first point.
    #[inline(always)]
    pub(super) fn places(
        &self,
        shape: &Shape,
        history: &History,
        r: usize,
        position: [usize; OUTER],
        rows: &mut Vec<usize>,
        places: &mut [usize; MOST_TAPS],
    ) -> f32 {
        if let Some(first) = self.distances.first()
            && self.layout.is_inside(shape, position)
        {
            let slot = history.slot(r);
            history.places_inside(&self.taps, &self.distances, slot, places);
            return history.first_before(slot, *first);
        }
        self.layout.rows(shape, r, position, rows);
        history.places(&self.taps, rows, places);
        rows.first().map_or(0.0, |r| history.first(*r))
    }
}

/// Kinds of rows that `shape` has: bit `a` says that there is an earlier row along outer axis `a`.
pub(super) fn kinds(shape: &Shape) -> impl Iterator<Item = usize> {
    let all = stencil::kind(shape.outer.map(|n| n - 1));
    (0..1 << OUTER).filter(move |k| k & !all == 0)
}
