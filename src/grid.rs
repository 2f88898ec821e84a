//! An array cut into frames, and regions of it (SPEC 4.4).

use crate::error::{ArgumentError, FormatError, Result};
use std::ops::Range;

/// The shape of an array and of its frames. Frames lie in C order; those at the upper edge of a dimension are cut
/// off there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FrameGrid {
    shape: Vec<u64>,
    frame_shape: Vec<usize>,
    /// Frames along each dimension.
    counts: Vec<u64>,
    total: u64,
}

/// A box of an array: a start and an extent in each dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// First index in each dimension.
    pub start: Vec<u64>,
    /// Number of indices in each dimension.
    pub extent: Vec<usize>,
}

impl Region {
    /// The box of these ranges.
    ///
    /// # Errors
    /// [`ArgumentError::Region`] for a range that runs backwards.
    pub fn from_ranges(ranges: &[Range<u64>]) -> Result<Region> {
        let mut region = Region { start: Vec::new(), extent: Vec::new() };
        for r in ranges {
            let wrong = |how| ArgumentError::Region(format!("range {}:{} {how}", r.start, r.end));
            let extent = r.end.checked_sub(r.start).ok_or_else(|| wrong("runs backwards"))?;
            region.start.push(r.start);
            region.extent.push(usize::try_from(extent).map_err(|_| wrong("is longer than memory"))?);
        }
        Ok(region)
    }

    /// A box of at most `values` values in the middle of this one, as cubic as it allows.
    pub(crate) fn center(&self, values: u64) -> Region {
        let mut part = self.clone();
        while part.len() as u64 > values.max(1) {
            let Some(widest) = (0..part.extent.len()).max_by_key(|d| part.extent.get(*d)) else { break };
            if let Some(e) = part.extent.get_mut(widest) {
                *e = e.div_ceil(2);
            }
        }
        part.amid(self)
    }

    /// A box of at most about `values` values in the middle of this one, with rows and planes as whole as it allows.
    pub(crate) fn middle(&self, values: u64) -> Region {
        /// Slower dimensions are not cut to fewer indices while there are faster ones.
        const THICK: usize = 4;
        let mut part = self.clone();
        while part.len() as u64 > values.max(1) {
            let Some(e) = part.extent.iter_mut().find(|e| **e > THICK) else { break };
            *e = e.div_ceil(2);
        }
        part.amid(self)
    }

    /// Moved to the middle of `whole`, from whose start it starts.
    fn amid(mut self, whole: &Region) -> Region {
        for ((s, e), whole) in self.start.iter_mut().zip(&self.extent).zip(&whole.extent) {
            *s = s.saturating_add((whole.saturating_sub(*e) / 2) as u64);
        }
        self
    }

    /// Number of values; saturates.
    pub fn len(&self) -> usize {
        self.extent.iter().fold(1, |n: usize, e| n.saturating_mul(*e))
    }

    /// Whether it holds no value.
    pub fn is_empty(&self) -> bool {
        self.extent.contains(&0)
    }

    /// The range of each dimension.
    pub fn ranges(&self) -> impl Iterator<Item = Range<u64>> {
        self.start.iter().zip(&self.extent).map(|(s, e)| *s..s.saturating_add(*e as u64))
    }
}

impl FrameGrid {
    /// Frames of at most `frame_shape`, as the writer wants them.
    pub(crate) fn new(shape: Vec<u64>, frame_shape: &[u64]) -> Result<FrameGrid> {
        let frame_shape = frame_shape.to_vec();
        FrameGrid::from_file(shape, Some(frame_shape))
            .map_err(|e| ArgumentError::Shape(format!("shape of array or frames: {e}")).into())
    }

    /// What a directory says; `None` makes the array one frame.
    pub(crate) fn from_file(
        shape: Vec<u64>,
        frame_shape: Option<Vec<u64>>,
    ) -> std::result::Result<FrameGrid, FormatError> {
        let too_large = |found| FormatError::Value { field: "extent", found, expected: usize::MAX as u64 };
        let values = shape.iter().try_fold(1u64, |n, e| n.checked_mul(*e));
        // The product is checked even when an extent is zero, so that the order of extents does not matter.
        let nonzero = shape.iter().filter(|e| **e > 0).try_fold(1u64, |n, e| n.checked_mul(*e));
        let (Some(values), Some(_)) = (values, nonzero) else { return Err(too_large(u64::MAX)) };
        let frame_shape = frame_shape.unwrap_or_else(|| shape.clone());
        let mut counts = Vec::with_capacity(shape.len());
        let mut sizes = Vec::with_capacity(shape.len());
        for (n, f) in shape.iter().zip(&frame_shape) {
            if *f == 0 && *n != 0 {
                return Err(FormatError::Value { field: "frame extent", found: 0, expected: *n });
            }
            counts.push(n.checked_div(*f).map_or(0, |q| q.saturating_add(u64::from(q.saturating_mul(*f) < *n))));
            sizes.push(usize::try_from(*f).map_err(|_| too_large(*f))?);
        }
        let total = if values == 0 { 0 } else { counts.iter().product() };
        Ok(FrameGrid { shape, frame_shape: sizes, counts, total })
    }

    pub(crate) fn shape(&self) -> &[u64] {
        &self.shape
    }

    pub(crate) fn frame_shape(&self) -> &[usize] {
        &self.frame_shape
    }

    pub(crate) fn frame_count(&self) -> u64 {
        self.total
    }

    /// Whether the frame shape need not be stored.
    pub(crate) fn is_one_frame(&self) -> bool {
        self.shape.iter().zip(&self.frame_shape).all(|(n, f)| *n == *f as u64)
    }

    /// Values of the largest frame; saturates.
    pub(crate) fn frame_values(&self) -> u64 {
        if self.total == 0 { 0 } else { self.frame_shape.iter().fold(1, |n: u64, e| n.saturating_mul(*e as u64)) }
    }

    /// Values of the whole array. Cannot overflow: checked when the grid was made.
    pub(crate) fn values(&self) -> u64 {
        self.shape.iter().product()
    }

    /// The whole array as a region, if its extents fit the machine.
    pub(crate) fn whole(&self) -> Result<Region> {
        let extent = self.shape.iter().map(|n| usize::try_from(*n)).collect::<std::result::Result<_, _>>();
        let extent = extent.map_err(|_| ArgumentError::Shape("the array is too large for this machine".into()))?;
        Ok(Region { start: vec![0; self.shape.len()], extent })
    }

    /// Where frame `index` lies.
    pub(crate) fn frame(&self, index: u64) -> Region {
        let mut start = vec![0; self.shape.len()];
        let mut extent = vec![0; self.shape.len()];
        let mut rest = index;
        for (d, count) in self.counts.iter().enumerate().rev() {
            let at = rest.checked_rem(*count).unwrap_or(0);
            rest = rest.checked_div(*count).unwrap_or(0);
            let (Some(s), Some(e), Some(n), Some(f)) =
                (start.get_mut(d), extent.get_mut(d), self.shape.get(d), self.frame_shape.get(d))
            else {
                continue;
            };
            *s = at.saturating_mul(*f as u64);
            *e = usize::try_from(n.saturating_sub(*s)).unwrap_or(usize::MAX).min(*f);
        }
        Region { start, extent }
    }

    /// The frames that `region` touches, in C order.
    pub(crate) fn frames_of(&self, region: &Region) -> impl Iterator<Item = u64> + Send + '_ {
        let touched = |(r, f): (Range<u64>, &usize)| {
            let f = (*f as u64).max(1);
            let of = |i: u64| i.checked_div(f).unwrap_or(0);
            if r.is_empty() { 0..0 } else { of(r.start)..of(r.end.saturating_sub(1)).saturating_add(1) }
        };
        let all = Indices::new(region.ranges().zip(&self.frame_shape).map(touched).collect());
        let number = |index: Vec<u64>| {
            index.iter().zip(&self.counts).fold(0u64, |n, (i, count)| n.saturating_mul(*count).saturating_add(*i))
        };
        all.map(number)
    }

    /// Fails unless `region` lies in the array.
    pub(crate) fn check(&self, region: &Region) -> Result<()> {
        let fits = region.start.len() == self.shape.len()
            && region.extent.len() == self.shape.len()
            && region
                .start
                .iter()
                .zip(&region.extent)
                .zip(&self.shape)
                .all(|((s, e), n)| s.checked_add(*e as u64).is_some_and(|end| end <= *n));
        if fits {
            Ok(())
        } else {
            let asked: Vec<String> = region.ranges().map(|r| format!("{}:{}", r.start, r.end)).collect();
            Err(ArgumentError::Region(format!(
                "region {} is not in an array of shape {:?}",
                asked.join(","),
                self.shape
            ))
            .into())
        }
    }
}

/// All combinations of indices in a range for each dimension, the last varying fastest.
#[derive(Debug, Clone)]
pub(crate) struct Indices {
    ranges: Vec<Range<u64>>,
    next: Vec<u64>,
    left: u64,
}

impl Indices {
    pub(crate) fn new(ranges: Vec<Range<u64>>) -> Self {
        let left = ranges.iter().fold(1u64, |n, r| n.saturating_mul(r.end.saturating_sub(r.start)));
        Indices { next: ranges.iter().map(|r| r.start).collect(), ranges, left }
    }
}

impl Iterator for Indices {
    type Item = Vec<u64>;

    fn next(&mut self) -> Option<Vec<u64>> {
        self.left = self.left.checked_sub(1)?;
        let now = self.next.clone();
        for (i, range) in self.next.iter_mut().zip(&self.ranges).rev() {
            *i = i.saturating_add(1);
            if *i < range.end {
                break;
            }
            *i = range.start;
        }
        Some(now)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::try_from(self.left).unwrap_or(usize::MAX), usize::try_from(self.left).ok())
    }
}

/// The runs of consecutive values that two overlapping boxes share: calls `run(position in a, position in b, length)`.
pub(crate) fn for_each_shared_run(a: &Region, b: &Region, mut run: impl FnMut(usize, usize, usize)) {
    let mut start = Vec::with_capacity(a.start.len());
    let mut extent = Vec::with_capacity(a.start.len());
    for (ra, rb) in a.ranges().zip(b.ranges()) {
        let (s, e) = (ra.start.max(rb.start), ra.end.min(rb.end));
        if s >= e {
            return;
        }
        start.push(s);
        extent.push(e.saturating_sub(s));
    }
    // Dimensions that both boxes cover whole join the one before into longer runs.
    let mut outer = start.len();
    let mut length = 1u64;
    while let Some(d) = outer.checked_sub(1) {
        outer = d;
        let of = |v: &[usize]| v.get(d).map(|e| *e as u64);
        let shared = extent.get(d).copied();
        length = length.saturating_mul(shared.unwrap_or(1));
        if of(&a.extent) != shared || of(&b.extent) != shared {
            break;
        }
    }
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let of = |r: &Region| {
        let mut steps = Vec::with_capacity(r.extent.len());
        r.extent.iter().rev().fold(1usize, |step, e| {
            steps.push(step);
            step.saturating_mul(*e)
        });
        steps.reverse();
        let offset = |(at, from): (&u64, &u64)| usize::try_from(at.saturating_sub(*from)).unwrap_or(usize::MAX);
        let first = start
            .iter()
            .zip(&r.start)
            .map(offset)
            .zip(&steps)
            .fold(0usize, |p, (i, s)| p.saturating_add(i.saturating_mul(*s)));
        (first, steps)
    };
    let ((first_a, steps_a), (first_b, steps_b)) = (of(a), of(b));
    let outer: Vec<Axis> = extent
        .iter()
        .zip(steps_a.iter().zip(&steps_b))
        .take(outer)
        .map(|(n, (a, b))| Axis { extent: usize::try_from(*n).unwrap_or(usize::MAX), step_a: *a, step_b: *b })
        .collect();
    along(&outer, first_a, first_b, &mut |a, b| run(a, b, length));
}

/// A dimension of runs: how many indices it has, and how far apart these are in either box.
struct Axis {
    extent: usize,
    step_a: usize,
    step_b: usize,
}

/// Calls `run` with the positions of all combinations of indices, the last axis varying fastest.
fn along(axes: &[Axis], mut a: usize, mut b: usize, run: &mut impl FnMut(usize, usize)) {
    let Some((axis, inner)) = axes.split_first() else { return run(a, b) };
    for _ in 0..axis.extent {
        if inner.is_empty() {
            run(a, b)
        } else {
            along(inner, a, b, run)
        }
        (a, b) = (a.saturating_add(axis.step_a), b.saturating_add(axis.step_b));
    }
}

/// How frames are cut from an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// As cubic as the array allows.
    Cubes,
    /// Along the slowest dimension as far as slabs do not become thin, since a slab is one piece of memory; then as cubic as the
    /// array allows, but short rows, along the last dimension, stay whole as long as frames are not twice as wide.
    Slabs,
}

impl Cut {
    /// The dimension that is to be cut next.
    fn next(self, frame: &[u64]) -> Option<usize> {
        const THIN: u64 = 16;
        const SHORT_ROW: u64 = 256;
        let slowest = frame.iter().position(|n| *n > 1)?;
        if self == Cut::Slabs && frame.get(slowest).is_some_and(|n| *n >= 2 * THIN) {
            return Some(slowest);
        }
        let width = |d: usize| match frame.get(d).copied().unwrap_or(0) {
            row if self == Cut::Slabs && d.saturating_add(1) == frame.len() && row <= SHORT_ROW => row / 2,
            extent => extent,
        };
        // Among equals the first is cut, so that rows stay long.
        (0..frame.len()).rev().max_by_key(|d| width(*d))
    }
}

/// A shape for frames of at most about `target` values, cut evenly.
pub(crate) fn frame_shape(shape: &[u64], target: u64, cut: Cut) -> Vec<u64> {
    let mut frame: Vec<u64> = shape.to_vec();
    let mut pieces = vec![1u64; shape.len()];
    // A little over the target is better than two thin halves.
    let most = target.saturating_add(target / 2);
    while frame.iter().fold(1u64, |n, e| n.saturating_mul(*e)) > most {
        let Some(d) = cut.next(&frame) else { break };
        if let (Some(f), Some(p), Some(n)) = (frame.get_mut(d), pieces.get_mut(d), shape.get(d)) {
            if *f <= 1 {
                break;
            }
            *p = p.saturating_add(1);
            *f = n.div_ceil(*p);
        }
    }
    frame
}

/// A shape for parts of at most `most` values, each of which is one piece of an array in C order.
pub(crate) fn run_shape(shape: &[u64], most: u64) -> Vec<u64> {
    let mut room = most.max(1);
    let mut part: Vec<u64> = shape
        .iter()
        .rev()
        .map(|n| {
            let extent = room.min(*n);
            // What is not whole ends the piece.
            room = if extent == *n { room.checked_div(*n).unwrap_or(room) } else { 1 };
            extent
        })
        .collect();
    part.reverse();
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_one_piece_each() {
        assert_eq!(run_shape(&[10, 20, 30], 1000), [1, 20, 30]);
        assert_eq!(run_shape(&[10, 20, 30], 6000), [10, 20, 30]);
        assert_eq!(run_shape(&[10, 20, 30], 3599), [5, 20, 30]);
        assert_eq!(run_shape(&[10, 20, 30], 70), [1, 2, 30]);
        assert_eq!(run_shape(&[10, 20, 30], 7), [1, 1, 7]);
        assert_eq!(run_shape(&[10, 0, 30], 7), [1, 0, 7]);
        assert_eq!(run_shape(&[1, 5], 7), [1, 5]);
        assert_eq!(run_shape(&[], 7), [0u64; 0]);
    }

    #[test]
    fn frames_tile_the_array() {
        let g = FrameGrid::new(vec![5, 7], &[2, 3]).unwrap();
        assert_eq!(g.frame_count(), 9);
        let values: usize = (0..9).map(|i| g.frame(i).len()).sum();
        assert_eq!(values, 35);
        assert_eq!(g.frame(8), Region { start: vec![4, 6], extent: vec![1, 1] });
        let frames = |start, extent| g.frames_of(&Region { start, extent }).collect::<Vec<_>>();
        assert_eq!(frames(vec![1, 2], vec![2, 2]), [0, 1, 3, 4]);
        assert_eq!(frames(vec![1, 2], vec![2, 0]), [0; 0]);
        assert_eq!(frames(vec![0, 0], vec![5, 7]), (0..9).collect::<Vec<_>>());
    }

    #[test]
    fn shared_runs_copy_a_region() {
        let a = Region { start: vec![0, 0, 0], extent: vec![3, 4, 5] };
        let b = Region { start: vec![1, 1, 2], extent: vec![2, 2, 3] };
        let mut seen = Vec::new();
        for_each_shared_run(&a, &b, |pa, pb, n| seen.push((pa, pb, n)));
        assert_eq!(seen, [(27, 0, 3), (32, 3, 3), (47, 6, 3), (52, 9, 3)]);
        let scalar = Region { start: vec![], extent: vec![] };
        let mut seen = Vec::new();
        for_each_shared_run(&scalar, &scalar, |pa, pb, n| seen.push((pa, pb, n)));
        assert_eq!(seen, [(0, 0, 1)]);
    }

    #[test]
    fn whole_trailing_dimensions_make_long_runs() {
        let a = Region { start: vec![0, 0, 0], extent: vec![3, 4, 5] };
        let b = Region { start: vec![1, 0, 0], extent: vec![2, 4, 5] };
        let mut seen = Vec::new();
        for_each_shared_run(&a, &b, |pa, pb, n| seen.push((pa, pb, n)));
        assert_eq!(seen, [(20, 0, 40)]);
    }

    #[test]
    fn frame_shapes_are_near_cubes_within_the_target() {
        assert_eq!(frame_shape(&[100, 100, 100], 1 << 20, Cut::Cubes), [100, 100, 100]);
        assert_eq!(frame_shape(&[1024, 1024, 1024], 1 << 20, Cut::Cubes), [114, 114, 114]);
        assert_eq!(frame_shape(&[10, 2000, 2000], 1 << 20, Cut::Cubes), [10, 334, 400]);
        assert_eq!(frame_shape(&[132, 73, 144], 1 << 18, Cut::Slabs), [33, 73, 144]);
        assert_eq!(frame_shape(&[20, 180, 360], 1 << 18, Cut::Slabs), [20, 90, 180]);
        assert_eq!(frame_shape(&[1 << 24], 1 << 20, Cut::Cubes).len(), 1);
        assert_eq!(frame_shape(&[], 1 << 20, Cut::Cubes), [0u64; 0]);
    }

    #[test]
    fn empty_and_scalar_arrays_have_zero_and_one_frame() {
        assert_eq!(FrameGrid::new(vec![3, 0], &[3, 0]).unwrap().frame_count(), 0);
        assert_eq!(FrameGrid::new(vec![], &[]).unwrap().frame_count(), 1);
        assert!(FrameGrid::new(vec![1 << 40, 1 << 40, 0], &[1, 1, 0]).is_err());
    }
}
