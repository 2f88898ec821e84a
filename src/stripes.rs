//! A buffer that threads fill side by side, frame by frame: cut into stripes, each behind its own lock.
//!
//! What is kept beside the values does not grow with the runs that a frame has in the buffer: a file can make those one value long.

use crate::grid::{Region, for_each_shared_run};
use std::sync::{Mutex, PoisonError};

/// Stripes of one frame's extent where several frames lie side by side in it, so that threads seldom wait for each other.
const SIDE_BY_SIDE: u64 = 8;
/// Values of a stripe of several frames, at least.
const LEAST: u64 = 4096;

/// A buffer that holds a region, cut along one dimension.
pub(crate) struct Stripes<'o, T> {
    list: Vec<Stripe<'o, T>>,
    /// The dimension of the cuts: all before it have extent 1, so that each stripe is one piece of memory.
    cut: usize,
}

struct Stripe<'o, T> {
    region: Region,
    values: Mutex<&'o mut [T]>,
}

impl<'o, T> Stripes<'o, T> {
    /// Cuts `out`, which holds `region`, a box that `frames` frames touch. Frames that are large and one piece of memory each get a
    /// stripe of their own.
    pub(crate) fn new(region: &Region, frame_shape: &[usize], frames: usize, out: &'o mut [T]) -> Self {
        let cut = region.extent.iter().position(|n| *n > 1).unwrap_or(0);
        let range = region.ranges().nth(cut).unwrap_or(0..1);
        let frame = frame_shape.get(cut).map_or(1, |f| (*f as u64).max(1));
        let row = (out.len() as u64).checked_div(range.end.saturating_sub(range.start)).unwrap_or(0).max(1);
        // The border between frames after a row.
        let border = |at: u64| at.checked_div(frame).unwrap_or(0).saturating_add(1).saturating_mul(frame);
        let last = border(range.end.saturating_sub(1));
        let rows_of_frames = last.saturating_sub(border(range.start)).checked_div(frame).unwrap_or(0).saturating_add(1);
        let alone = frames as u64 == rows_of_frames && frame.saturating_mul(row) >= LEAST;
        let step = frame.div_ceil(SIDE_BY_SIDE).max(LEAST.div_ceil(row));
        let mut list = Vec::new();
        let (mut rest, mut at) = (out, range.start);
        while at < range.end {
            let end = match frames {
                1 => range.end,
                _ if alone => border(at).min(range.end),
                _ => at.saturating_add(step).min(range.end),
            };
            let rows = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
            let mut part = region.clone();
            if let (Some(s), Some(e)) = (part.start.get_mut(cut), part.extent.get_mut(cut)) {
                (*s, *e) = (at, rows);
            }
            let values = part.len().min(rest.len());
            let (values, tail) = std::mem::take(&mut rest).split_at_mut(values);
            list.push(Stripe { region: part, values: Mutex::new(values) });
            (rest, at) = (tail, end);
        }
        Stripes { list, cut }
    }

    /// The stripes that hold some of `part`.
    fn of(&self, part: &Region) -> &[Stripe<'o, T>] {
        let along = |r: &Region| r.ranges().nth(self.cut).unwrap_or(0..1);
        let part = along(part);
        let first = self.list.partition_point(|s| along(&s.region).end <= part.start);
        let last = self.list.partition_point(|s| along(&s.region).start < part.end);
        self.list.get(first..last).unwrap_or_default()
    }

    /// What `fill` makes of the place of `part`, if that is just one stripe.
    pub(crate) fn in_place<R>(&self, part: &Region, fill: impl FnOnce(&mut [T]) -> R) -> Option<R> {
        let [stripe] = self.of(part) else { return None };
        (stripe.region == *part).then(|| fill(&mut stripe.values.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Calls `run` with each run of values that the buffer has of `part`, and the position in `part` where it begins.
    pub(crate) fn for_each_run(&self, part: &Region, mut run: impl FnMut(usize, &mut [T])) {
        for stripe in self.of(part) {
            let mut values = stripe.values.lock().unwrap_or_else(PoisonError::into_inner);
            for_each_shared_run(&stripe.region, part, |to, from, n| {
                run(from, values.get_mut(to..to.saturating_add(n)).unwrap_or_default());
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every value of a region comes from the frame that holds it, whatever the cuts.
    #[test]
    fn frames_fill_a_region() {
        let shape = [300u64, 7, 11];
        let position = |at: &[u64]| (at[0] * shape[1] + at[1]) * shape[2] + at[2];
        for (frame_shape, start, extent) in [
            ([300usize, 7, 11], [0u64, 0, 0], [300usize, 7, 11]),
            ([60, 7, 11], [0, 0, 0], [300, 7, 11]),
            ([60, 7, 11], [13, 0, 0], [200, 7, 11]),
            ([64, 4, 5], [1, 2, 3], [290, 4, 7]),
            ([1, 7, 11], [5, 0, 0], [290, 7, 11]),
            ([300, 1, 1], [0, 0, 0], [300, 7, 11]),
            ([7, 7, 7], [4, 3, 2], [1, 1, 9]),
            ([7, 7, 7], [4, 3, 2], [1, 1, 1]),
        ] {
            let grid = crate::grid::FrameGrid::new(shape.to_vec(), &frame_shape.map(|n| n as u64)).unwrap();
            let region = Region { start: start.to_vec(), extent: extent.to_vec() };
            let frames = grid.frames_of(&region);
            let mut out = vec![u64::MAX; region.len()];
            let stripes = Stripes::new(&region, &frame_shape, frames.size_hint().0, &mut out);
            let mut in_place = 0;
            for f in frames {
                let part = grid.frame(f);
                let mut values = Vec::new();
                for_each_point(&part, |at| values.push(position(at)));
                let whole = stripes.in_place(&part, |to| to.copy_from_slice(&values));
                in_place += usize::from(whole.is_some());
                if whole.is_none() {
                    stripes.for_each_run(&part, |from, to| to.copy_from_slice(&values[from..from + to.len()]));
                }
            }
            drop(stripes);
            let mut expected = Vec::new();
            for_each_point(&region, |at| expected.push(position(at)));
            assert_eq!(out, expected, "{frame_shape:?} {region:?}");
            let slabs = frame_shape[1..] == [7, 11] && frame_shape[0] >= 60;
            assert_eq!(in_place > 0, slabs, "{frame_shape:?} {region:?}");
        }
    }

    fn for_each_point(region: &Region, mut visit: impl FnMut(&[u64])) {
        let ranges: Vec<_> = region.ranges().collect();
        for i in ranges[0].clone() {
            for j in ranges[1].clone() {
                for k in ranges[2].clone() {
                    visit(&[i, j, k]);
                }
            }
        }
    }
}
