//! In which order points are visited, and which neighbors are known by then (SPEC 9.2.2).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::indexing_slicing,
    reason = "coordinates and strides stay below the number of points, which is at most 2^32; axes index arrays of AXES"
)]

/// How many dimensions are told apart; leading ones beyond are merged.
pub(crate) const AXES: usize = 5;

/// The grid as this kernel sees it: always `AXES` dimensions, the missing ones of extent 1 in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) extents: [usize; AXES],
    pub(crate) strides: [usize; AXES],
}

impl Shape {
    /// Drops extents of 1, merges leading dimensions beyond `AXES`.
    pub(crate) fn new(dims: &[usize]) -> Self {
        let mut extents = [1usize; AXES];
        let real: Vec<usize> = dims.iter().copied().filter(|n| *n != 1).collect();
        for (i, n) in real.iter().rev().enumerate() {
            extents[AXES - 1 - i.min(AXES - 1)] *= n;
        }
        let mut strides = [1usize; AXES];
        for a in (0..AXES - 1).rev() {
            strides[a] = strides[a + 1] * extents[a + 1];
        }
        Shape { extents, strides }
    }

    /// The axes along which there is more than one point.
    pub(crate) fn real_axes(&self) -> impl Iterator<Item = usize> + '_ {
        (0..AXES).filter(|a| self.extents[*a] > 1)
    }
}

/// In which order the spacing of decoded points is halved along the axes, finest first: the last entry is decoded
/// first. Each axis occurs [`halvings`] times.
pub(crate) type Order = Vec<u8>;

/// How often the spacing along an axis of `extent` points is halved, from a single known point on.
pub(crate) fn halvings(extent: usize) -> u32 {
    extent.next_power_of_two().trailing_zeros()
}

/// A neighbor used for prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tap {
    /// In units of the pass.
    pub(crate) delta: [i8; AXES],
    /// Squared weighted distance.
    pub(crate) distance: u32,
}

/// The points halfway between known ones along one axis, in C order.
#[derive(Debug, Clone)]
pub(crate) struct Pass {
    pub(crate) axis: usize,
    pub(crate) start: [usize; AXES],
    pub(crate) step: [usize; AXES],
    /// Spacing of the points known after this pass.
    pub(crate) unit: [usize; AXES],
    /// 0 for the finest level, about one more for every halving of all axes.
    pub(crate) level: u32,
}

/// All passes after the point at the origin, coarsest first.
pub(crate) fn passes(shape: &Shape, order: &Order) -> Vec<Pass> {
    let mut unit = shape.extents.map(usize::next_power_of_two);
    let axes = shape.real_axes().count().max(1) as u32;
    let mut out = Vec::with_capacity(order.len());
    for (later, axis) in order.iter().enumerate().rev() {
        let axis = usize::from(*axis).min(AXES - 1);
        let step = unit;
        unit[axis] = (unit[axis] / 2).max(1);
        let mut start = [0; AXES];
        start[axis] = unit[axis];
        out.push(Pass { axis, start, step, unit, level: later as u32 / axes });
    }
    out
}

impl Pass {
    /// The pass of the point at the origin alone, which knows nothing.
    pub(crate) fn first(shape: &Shape) -> Self {
        let unit = shape.extents.map(usize::next_power_of_two);
        Pass { axis: 0, start: [0; AXES], step: unit, unit, level: 3 }
    }

    /// How many points it has.
    pub(crate) fn points(&self, shape: &Shape) -> usize {
        (0..AXES).map(|a| shape.extents[a].saturating_sub(self.start[a]).div_ceil(self.step[a])).product()
    }

    /// Whether the neighbor at `delta` is decoded before the points of this pass.
    fn knows(&self, delta: &[i8; AXES]) -> bool {
        delta[self.axis] % 2 != 0 || delta.iter().find(|d| **d != 0).is_some_and(|d| *d < 0)
    }

    /// The known neighbors, at most `count`: those at distances 1 and 3 along the axis, then the nearest.
    pub(crate) fn taps(&self, shape: &Shape, weights: &[u32; AXES], count: usize) -> Vec<Tap> {
        let distance =
            |d: &[i8; AXES]| d.iter().zip(weights).map(|(d, w)| w * u32::from(d.unsigned_abs()).pow(2)).sum::<u32>();
        let mut taps = Vec::new();
        for d in [-1, 1, -3, 3] {
            let mut delta = [0; AXES];
            delta[self.axis] = d;
            taps.push(Tap { delta, distance: distance(&delta) });
        }
        let forced = taps.len();
        let reach: [i8; AXES] = std::array::from_fn(|a| if shape.extents[a] > 1 { 2 } else { 0 });
        let mut delta = reach.map(|r| -r);
        loop {
            let sum: u32 = delta.iter().map(|d| u32::from(d.unsigned_abs())).sum();
            if sum > 0 && sum <= 4 && self.knows(&delta) {
                let tap = Tap { delta, distance: distance(&delta) };
                if !taps[..forced].iter().any(|t| t.delta == delta) {
                    taps.push(tap);
                }
            }
            let Some(a) = (0..AXES).rev().find(|a| delta[*a] < reach[*a]) else { break };
            delta[a] += 1;
            for b in a + 1..AXES {
                delta[b] = -reach[b];
            }
        }
        taps[forced..].sort_by_key(|t| t.distance);
        taps.truncate(count);
        taps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_visited_once_and_taps_are_known() {
        for dims in [vec![1], vec![7], vec![5, 6], vec![3, 1, 9, 2], vec![2, 3, 2, 3, 2, 3]] {
            for reverse in [false, true] {
                let shape = Shape::new(&dims);
                let mut order: Order =
                    (0..AXES).flat_map(|a| vec![a as u8; halvings(shape.extents[a]) as usize]).collect();
                if reverse {
                    order.reverse();
                }
                let mut seen = vec![false; dims.iter().product()];
                seen[0] = true;
                for p in passes(&shape, &order) {
                    let taps = p.taps(&shape, &[1; AXES], 24);
                    let mut c = p.start;
                    loop {
                        let at = |c: &[usize; AXES]| (0..AXES).map(|a| c[a] * shape.strides[a]).sum::<usize>();
                        for t in &taps {
                            let n: [usize; AXES] = std::array::from_fn(|a| {
                                c[a].wrapping_add_signed(isize::from(t.delta[a]) * p.unit[a] as isize)
                            });
                            if (0..AXES).all(|a| n[a] < shape.extents[a]) {
                                assert!(seen[at(&n)], "{dims:?} {p:?} {t:?}");
                            }
                        }
                        assert!(!seen[at(&c)]);
                        seen[at(&c)] = true;
                        let Some(a) = (0..AXES).rev().find(|a| c[*a] + p.step[*a] < shape.extents[*a]) else { break };
                        c[a] += p.step[a];
                        c[a + 1..].copy_from_slice(&p.start[a + 1..]);
                    }
                }
                assert!(seen.iter().all(|s| *s), "{dims:?}");
            }
        }
    }
}
