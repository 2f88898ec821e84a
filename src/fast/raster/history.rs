//! The latest rows of reconstructed values (SPEC 9.4.3).

use super::shape::{Ring, Shape};
use super::stencil::{CHUNK, MOST_TAPS, PAD, STEP, Tap};
use fearless_simd::{Simd, f32x8};

/// The latest rows of values, each with its first and last value repeated at the ends.
#[derive(Debug)]
pub(super) struct History {
    ring: Ring,
    data: Vec<f32>,
    /// The value of all points of a row that is level.
    level: Vec<Option<f32>>,
    row: usize,
    pitch: usize,
}

impl History {
    pub(super) fn new(shape: &Shape, abreast: usize) -> Self {
        let ring = Ring::new(shape, 2, abreast);
        let pitch = shape.row.next_multiple_of(CHUNK) + CHUNK;
        History { data: vec![0.0; ring.len() * pitch], level: vec![None; ring.len()], ring, row: shape.row, pitch }
    }

    /// Where row `r` starts, its padding included.
    #[inline(always)]
    pub(super) fn start(&self, r: usize) -> usize {
        self.ring.slot(r) * self.pitch
    }

    /// First value of row `r`.
    pub(super) fn first(&self, r: usize) -> f32 {
        self.data[self.start(r)]
    }

    /// The value that all points of all `rows` have because they are level; 0 without rows.
    pub(super) fn level(&self, rows: &[usize]) -> Option<f32> {
        let mut levels = rows.iter().map(|r| self.level[self.ring.slot(*r)]);
        match levels.next() {
            None => Some(0.0),
            Some(first) => first.filter(|v| levels.all(|l| l.is_some_and(|l| l.to_bits() == v.to_bits()))),
        }
    }

    /// Makes row `r` level.
    pub(super) fn fill(&mut self, r: usize, value: f32) {
        let level = &mut self.level[self.ring.slot(r)];
        if level.is_none_or(|f| f.to_bits() != value.to_bits()) {
            *level = Some(value);
            let start = self.start(r);
            self.data[start..start + self.row + 2 * PAD].fill(value);
        }
    }

    /// Whether row `r` is level.
    pub(super) fn is_level(&self, r: usize) -> bool {
        self.level[self.ring.slot(r)].is_some()
    }

    /// Says that row `r` is not level.
    pub(super) fn unlevel(&mut self, r: usize) {
        let slot = self.ring.slot(r);
        self.level[slot] = None;
    }

    /// The values of the row that starts at `start`.
    #[inline(always)]
    pub(super) fn values(&self, start: usize) -> &[f32] {
        &self.data[start + PAD..start + PAD + self.row]
    }

    /// Where the `taps` of point 0 of the row at `slot` are, given how many rows before it their ways lead.
    #[inline(always)]
    pub(super) fn places_inside(
        &self,
        taps: &[(Tap, f32)],
        distances: &[usize],
        slot: usize,
        places: &mut [usize; MOST_TAPS],
    ) {
        for (place, (t, _)) in places.iter_mut().zip(taps) {
            let distance = distances.get(t.way).copied().unwrap_or(1);
            *place = self.ring.before(slot, distance) * self.pitch + t.at;
        }
    }

    /// Place of row `r`.
    pub(super) fn slot(&self, r: usize) -> usize {
        self.ring.slot(r)
    }

    /// First value of the row so many before the one at `slot`.
    #[inline(always)]
    pub(super) fn first_before(&self, slot: usize, distance: usize) -> f32 {
        self.data[self.ring.before(slot, distance) * self.pitch]
    }

    /// Where the `taps` of point 0 are, given the rows of their ways.
    pub(super) fn places(&self, taps: &[(Tap, f32)], rows: &[usize], places: &mut [usize; MOST_TAPS]) {
        for (place, (t, _)) in places.iter_mut().zip(taps) {
            *place = self.start(rows[t.way]) + t.at;
        }
    }

    /// The weighted sum of the taps at `places`, added one after another, for a step from point `x` on.
    #[inline(always)]
    pub(super) fn sum_step<S: Simd>(&self, simd: S, taps: &[(usize, f32)], x: usize) -> f32x8<S> {
        let mut sum = simd.splat_f32x8(0.0);
        let Some(last) = self.data.len().checked_sub(STEP) else { return sum };
        for (place, w) in taps {
            let start = place + x;
            // One comparison for both ends of the step.
            if start <= last
                && let Some(v) = self.data[start..].first_chunk()
            {
                sum = simd.add_f32x8(sum, simd.mul_f32x8(simd.splat_f32x8(*w), simd.load_array_ref_f32x8(v)));
            }
        }
        sum
    }

    /// [`History::sum_step`] for the steps of a chunk.
    #[inline(always)]
    pub(super) fn sum_chunk<S: Simd>(
        &self,
        simd: S,
        taps: &[(Tap, f32)],
        places: &[usize; MOST_TAPS],
        x: usize,
    ) -> [f32x8<S>; CHUNK / STEP] {
        // Not in an array before the end, or they would not stay in registers.
        let zero = simd.splat_f32x8(0.0);
        let (mut a, mut b, mut c, mut d) = (zero, zero, zero, zero);
        for ((_, w), place) in taps.iter().zip(places) {
            let w = simd.splat_f32x8(*w);
            let values = self.data.get(place + x..).and_then(<[f32]>::first_chunk::<CHUNK>);
            if let Some([e, f, g, h]) = values.map(|v| v.as_chunks::<STEP>().0) {
                a = simd.add_f32x8(a, simd.mul_f32x8(w, simd.load_array_ref_f32x8(e)));
                b = simd.add_f32x8(b, simd.mul_f32x8(w, simd.load_array_ref_f32x8(f)));
                c = simd.add_f32x8(c, simd.mul_f32x8(w, simd.load_array_ref_f32x8(g)));
                d = simd.add_f32x8(d, simd.mul_f32x8(w, simd.load_array_ref_f32x8(h)));
            }
        }
        [a, b, c, d]
    }

    /// Points `x` to `x + N - 1` of the row that starts at `start`, to be set; those past its end do not count.
    #[inline(always)]
    pub(super) fn place<const N: usize>(&mut self, start: usize, x: usize) -> Option<&mut [f32; N]> {
        self.data.get_mut(start + PAD + x..).and_then(<[f32]>::first_chunk_mut::<N>)
    }

    /// Repeats the first value of the row that starts at `start`, whose first points are set, before it.
    #[inline(always)]
    pub(super) fn begin(&mut self, start: usize) {
        let first = self.data[start + PAD];
        self.data[start..start + PAD].fill(first);
    }

    /// Repeats the first and last value of the row that starts at `start`, all of whose points are set, beside it.
    #[inline(always)]
    pub(super) fn complete(&mut self, start: usize) {
        self.begin(start);
        let row = &mut self.data[start + PAD..start + self.row + 2 * PAD];
        let last = row[self.row - 1];
        row[self.row..].fill(last);
    }
}
