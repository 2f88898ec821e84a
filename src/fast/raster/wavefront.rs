//! Rows side by side (SPEC 9.4.3): each lane of a vector has a row of its own and is two steps behind the row before it, so that
//! what its stencil needs is there. Short rows leave lanes for the planes that follow. A row and its points follow from the same operations as alone, which is how the reader works.

use super::history::History;
use super::masks::{Masks, WHOLE};
use super::predictor::Predictor;
use super::shape::{OUTER, Shape};
use super::stencil::{self, MOST_TAPS, STEP};
use crate::fast::eight;
use fearless_simd::{Simd, f32x8, mask32x8};
use std::collections::VecDeque;
use std::ops::Range;

/// Rows side by side.
pub(super) const LANES: usize = 8;
/// Steps that a lane is behind the one before it: taps lead into the next step of an earlier row.
const LAG: usize = 2;

/// What is done with rows.
pub(super) trait Task {
    /// What the taps and codes of the step at hand give, point by point across the lanes.
    fn inputs<S: Simd>(&mut self, simd: S, at: &Step<'_, S>) -> [f32x8<S>; STEP];

    /// Row `r` has all its values.
    fn complete(&mut self, r: usize);
}

/// A step of each lane.
pub(super) struct Step<'a, S: Simd> {
    pub(super) lanes: &'a Lanes<'a>,
    /// What the taps of each lane give for its points.
    pub(super) sums: [f32x8<S>; LANES],
    /// The points before the step, one and two back.
    pub(super) before: [f32x8<S>; 2],
    pub(super) holes: Option<&'a Holes<S>>,
}

/// Where points of a step are not ordinary.
pub(super) struct Holes<S: Simd> {
    /// Which points are ordinary.
    pub(super) ordinary: [mask32x8<S>; STEP],
    /// Lanes in which all are.
    whole: mask32x8<S>,
}

/// Where the lanes are.
pub(super) struct Lanes<'a> {
    /// Bit `k` says that lane `k` has a row.
    active: u32,
    pub(super) row: [usize; LANES],
    /// First point of the step.
    pub(super) x: [usize; LANES],
    /// Where the row starts in the history.
    start: [usize; LANES],
    /// Places of the taps of the row's first point in the history, with their weights.
    taps: [[(usize, f32); MOST_TAPS]; LANES],
    count: [usize; LANES],
    /// Which points of the row are ordinary, unless all are.
    mask: [Option<&'a [u8]>; LANES],
    kind: [usize; LANES],
    /// Weights of the points before the step, one and two back.
    pub(super) one: [[f32; LANES]; STEP],
    pub(super) two: [[f32; LANES]; STEP],
}

impl Lanes<'_> {
    /// The lanes that have a row.
    #[inline(always)]
    pub(super) fn active(&self) -> impl Iterator<Item = usize> + use<> {
        let active = self.active;
        (0..LANES).filter(move |k| active >> k & 1 == 1)
    }

    #[inline(always)]
    fn holes<S: Simd>(&self, simd: S) -> Option<Holes<S>> {
        let mut steps = [WHOLE; LANES];
        for k in self.active() {
            steps[k] = self.mask[k].and_then(|m| m.get(self.x[k] / STEP)).copied().unwrap_or(WHOLE);
        }
        if steps == [WHOLE; LANES] {
            return None;
        }
        // A byte for each point, with a bit for each lane.
        let points = eight::transposed(steps);
        let of = |lanes: u8| simd.from_bitmask_mask32x8(lanes.into());
        let mut ordinary = [of(WHOLE); STEP];
        for j in 0..STEP {
            ordinary[j] = of(points[j]);
        }
        Some(Holes { ordinary, whole: of(points.iter().fold(WHOLE, |all, p| all & p)) })
    }
}

/// Planes that are worked on side by side, as many as rows so short leave lanes for.
fn planes_abreast(shape: &Shape) -> usize {
    let [slices, planes, _] = shape.outer;
    let rows = shape.row.div_ceil(STEP).div_ceil(LAG);
    if slices * planes > 1 { (LANES / rows).max(1) } else { 1 }
}

/// Rows between the first and the last one that are worked on at once.
pub(super) fn rows_abreast(shape: &Shape) -> usize {
    match planes_abreast(shape) {
        1 => 1,
        // The last rows of a plane are not done when the next but one begins.
        planes => (planes + 1) * shape.outer[OUTER - 1],
    }
}

/// In which order rows are begun: those of a slot at once, each [`LAG`] steps after those of the slot before. A plane is two slots
/// or more behind the one before it, since its rows look one row ahead there.
struct Schedule {
    rows: Range<usize>,
    /// Rows of a plane.
    height: usize,
    slot: usize,
    /// Planes at work and how many there may be: of each the number of its row 0 and the slot of that, if no row were missing.
    planes: VecDeque<(usize, isize)>,
    abreast: usize,
}

impl Schedule {
    fn new(shape: &Shape, rows: Range<usize>) -> Self {
        let height = shape.outer[OUTER - 1];
        let inside = rows.start % height;
        let first = (rows.start - inside, -(inside as isize));
        Schedule { rows, height, slot: 0, planes: VecDeque::from([first]), abreast: planes_abreast(shape) }
    }

    /// The rows of the next slot that has any, at most [`LANES`], and how many they are; 0 after the last.
    fn next(&mut self) -> ([usize; LANES], usize) {
        let (mut found, mut count) = ([0; LANES], 0);
        while count == 0 && !self.planes.is_empty() {
            let slot = self.slot as isize;
            for (first, start) in &self.planes {
                let row = first + (slot - start).max(0) as usize;
                if *start <= slot && self.rows.contains(&row) && row < first + self.height {
                    found[count % LANES] = row;
                    count += 1;
                }
            }
            self.slot += 1;
            while self.planes.front().is_some_and(|p| p.1 + self.height as isize <= self.slot as isize) {
                let done = self.planes.pop_front();
                self.open(done);
            }
            self.open(None);
        }
        (found, count)
    }

    /// Adds the planes that fit, after those at work or the one that is done.
    fn open(&mut self, done: Option<(usize, isize)>) {
        while self.planes.len() < self.abreast
            && let Some((first, start)) = self.planes.back().copied().or(done)
            && first + self.height < self.rows.end
        {
            // At once if those before it have had their lead.
            self.planes.push_back((first + self.height, (start + 2).max(self.slot as isize)));
        }
    }
}

/// Works on `rows`, none of which may be level; `None` if there is no predictor for one.
#[inline(always)]
pub(super) fn run<S: Simd, T: Task>(
    simd: S,
    shape: &Shape,
    predictors: &[Option<Predictor>],
    masks: Option<&Masks>,
    history: &mut History,
    rows: Range<usize>,
    task: &mut T,
) -> Option<()> {
    let n = shape.row;
    let zero = simd.splat_f32x8(0.0);
    let mut lanes = Lanes {
        active: 0,
        row: [0; LANES],
        x: [0; LANES],
        start: [0; LANES],
        taps: [[(0, 0.0); MOST_TAPS]; LANES],
        count: [0; LANES],
        mask: [None; LANES],
        kind: [usize::MAX; LANES],
        one: [[0.0; LANES]; STEP],
        two: [[0.0; LANES]; STEP],
    };
    let (mut near, mut far) = (zero, zero);
    let mut schedule = Schedule::new(shape, rows);
    let (mut next, mut wait) = (schedule.next(), 0);
    let mut scratch = Vec::new();
    let mut places = [0; MOST_TAPS];
    while lanes.active != 0 || next.1 > 0 {
        if wait == 0 && next.1 > 0 && next.1 + lanes.active.count_ones() as usize <= LANES {
            for r in next.0.into_iter().take(next.1) {
                let free = lanes.active.trailing_ones() as usize % LANES;
                let position = shape.position(r);
                let kind = stencil::kind(position);
                let p = predictors.get(kind)?.as_ref()?;
                let start = p.places(shape, history, r, position, &mut scratch, &mut places);
                lanes.count[free] = p.taps.len();
                lanes.mask[free] = masks.and_then(|m| m.row(r));
                for (to, (place, (_, w))) in lanes.taps[free].iter_mut().zip(places.iter().zip(&p.taps)) {
                    *to = (*place, *w);
                }
                if lanes.kind[free] != kind {
                    lanes.kind[free] = kind;
                    for j in 0..STEP {
                        (lanes.one[j][free], lanes.two[j][free]) = p.recurrence.weights(j);
                    }
                }
                lanes.active |= 1 << free;
                (lanes.row[free], lanes.x[free], lanes.start[free]) = (r, 0, history.start(r));
                let here = simd.from_bitmask_mask32x8(1 << free);
                let start = simd.splat_f32x8(start);
                (near, far) = (simd.select_f32x8(here, start, near), simd.select_f32x8(here, start, far));
            }
            (next, wait) = (schedule.next(), LAG);
        }
        wait = wait.saturating_sub(1);

        let mut sums = [zero; LANES];
        for k in lanes.active() {
            let taps = lanes.taps[k].get(..lanes.count[k]).unwrap_or_default();
            sums[k] = history.sum_step(simd, taps, lanes.x[k]);
        }
        let holes = if masks.is_some() { lanes.holes(simd) } else { None };
        let step = Step { lanes: &lanes, sums, before: [near, far], holes: holes.as_ref() };
        let u = task.inputs(simd, &step);
        let v = values(simd, &step, u);
        (near, far) = (v[STEP - 1], v[STEP - 2]);
        let along = transposed(simd, v);
        let mut done = 0;
        for k in lanes.active() {
            let (start, x) = (lanes.start[k], lanes.x[k]);
            if let Some(to) = history.place::<STEP>(start, x) {
                simd.store_array_f32x8(along[k], to);
            }
            if x == 0 {
                history.begin(start);
            }
            lanes.x[k] = x + STEP;
            if x + STEP >= n {
                done |= 1 << k;
                history.complete(start);
                task.complete(lanes.row[k]);
            }
        }
        if done != 0 {
            lanes.active &= !done;
            let here = simd.from_bitmask_mask32x8(done.into());
            (near, far) = (simd.select_f32x8(here, zero, near), simd.select_f32x8(here, zero, far));
        }
    }
    Some(())
}

/// The points of a step across the lanes, from what taps and codes give.
#[inline(always)]
fn values<S: Simd>(simd: S, step: &Step<'_, S>, u: [f32x8<S>; STEP]) -> [f32x8<S>; STEP] {
    const HALF: usize = STEP / 2;
    let one = |j: usize| simd.load_array_ref_f32x8(&step.lanes.one[j]);
    let two = |j: usize| simd.load_array_ref_f32x8(&step.lanes.two[j]);
    let plus = |w, weight, v| simd.add_f32x8(w, simd.mul_f32x8(weight, v));
    let [near, far] = step.before;
    // Zeros before each half add nothing.
    let mut v = u;
    for h in [0, HALF] {
        for j in (0..HALF).rev() {
            for i in 0..j {
                v[h + j] = plus(v[h + j], one(i), u[h + j - 1 - i]);
            }
        }
    }
    for j in 0..HALF {
        v[HALF + j] = plus(v[HALF + j], two(j), v[2]);
        v[HALF + j] = plus(v[HALF + j], one(j), v[3]);
    }
    for j in 0..STEP {
        v[j] = plus(v[j], two(j), far);
        v[j] = plus(v[j], one(j), near);
    }
    if let Some(h) = step.holes {
        let (mut near, mut far) = (near, far);
        for j in 0..STEP {
            let value = plus(plus(u[j], two(0), far), one(0), near);
            let value = simd.select_f32x8(h.ordinary[j], value, near);
            (far, near) = (near, value);
            v[j] = simd.select_f32x8(h.whole, v[j], value);
        }
    }
    v
}

/// From lanes to points, or back.
#[inline(always)]
pub(super) fn transposed<S: Simd>(simd: S, rows: [f32x8<S>; LANES]) -> [f32x8<S>; LANES] {
    let shuffled = |[a, b, c, d, e, f, g, h]: [f32x8<S>; LANES]| {
        let ((a, e), (b, f)) = (simd.interleave_f32x8(a, e), simd.interleave_f32x8(b, f));
        let ((c, g), (d, h)) = (simd.interleave_f32x8(c, g), simd.interleave_f32x8(d, h));
        [a, e, b, f, c, g, d, h]
    };
    shuffled(shuffled(shuffled(rows)))
}
