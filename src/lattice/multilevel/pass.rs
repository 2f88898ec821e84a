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

/// Largest head start of an axis.
pub(crate) const LEAD_MAX: u8 = 15;

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

/// What the header says about the order of points (SPEC 9.2.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// All axes of a level at once, by the number of odd coordinates, instead of one axis after another.
    pub(crate) joint: bool,
    /// How many levels earlier than the others each axis is refined.
    pub(crate) leads: [u8; AXES],
    /// How far apart neighbors along each axis count as being when taps are chosen, in quarter octaves.
    pub(crate) distances: [u8; AXES],
}

/// A neighbor used for prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tap {
    /// In units of the pass.
    pub(crate) delta: [i8; AXES],
    /// Squared weighted distance.
    pub(crate) distance: u32,
}

/// A set of points that are predicted in the same way, in C order.
#[derive(Debug, Clone)]
pub(crate) struct Pass {
    pub(crate) start: [usize; AXES],
    pub(crate) step: [usize; AXES],
    /// Spacing of the points known after this level.
    pub(crate) unit: [usize; AXES],
    /// Axes along which the points lie between known ones.
    pub(crate) odd: [bool; AXES],
    /// Level, 1 for the finest.
    pub(crate) level: u32,
    /// Number of the pass in its level.
    pub(crate) number: usize,
    /// For an axis-by-axis pass, place of each axis in this level's order; `None` for joint passes.
    sequence: Option<[u8; AXES]>,
    active: [bool; AXES],
}

/// All passes after the point at the origin, coarsest first.
pub(crate) fn passes(shape: &Shape, plan: &Plan) -> Vec<Pass> {
    let mut out = Vec::new();
    let top = (0..AXES).map(|a| (shape.extents[a].next_power_of_two() as u64) << plan.leads[a]).max().unwrap_or(1);
    let mut level = top.trailing_zeros();
    while level > 0 {
        let h = 1u64 << (level - 1);
        let unit: [usize; AXES] = std::array::from_fn(|a| (h >> plan.leads[a]).max(1) as usize);
        let old: [usize; AXES] = std::array::from_fn(|a| ((2 * h) >> plan.leads[a]).max(1) as usize);
        let active: [bool; AXES] = std::array::from_fn(|a| unit[a] != old[a] && unit[a] < shape.extents[a]);
        let order: Vec<usize> = (0..AXES).filter(|a| active[*a]).collect();
        let mut number = 0;
        if plan.joint {
            let mut sets: Vec<u32> = (1..1u32 << order.len()).collect();
            sets.sort_by_key(|s| s.count_ones());
            for set in sets {
                let mut p = Pass {
                    start: [0; AXES],
                    step: old,
                    unit,
                    odd: [false; AXES],
                    level,
                    number,
                    sequence: None,
                    active,
                };
                for (j, a) in order.iter().enumerate() {
                    if set >> j & 1 == 1 {
                        p.odd[*a] = true;
                        p.start[*a] = unit[*a];
                    }
                }
                out.push(p);
                number += 1;
            }
        } else {
            let mut sequence = [u8::MAX; AXES];
            for (j, a) in order.iter().enumerate() {
                sequence[*a] = j as u8;
            }
            let mut step = old;
            for a in &order {
                let mut start = [0; AXES];
                let mut odd = [false; AXES];
                start[*a] = unit[*a];
                odd[*a] = true;
                out.push(Pass { start, step, unit, odd, level, number, sequence: Some(sequence), active });
                step[*a] = unit[*a];
                number += 1;
            }
        }
        level -= 1;
    }
    out
}

impl Pass {
    /// Whether the neighbor at `delta` is decoded before the points of this pass.
    fn knows(&self, delta: &[i8; AXES]) -> bool {
        let causal = || delta.iter().find(|d| **d != 0).is_some_and(|d| *d < 0);
        let moved = |a: usize| self.active[a] && delta[a] % 2 != 0;
        if let Some(sequence) = &self.sequence {
            let own = (0..AXES).find(|a| self.odd[*a]).unwrap_or(0);
            if (0..AXES).any(|a| self.active[a] && sequence[a] > sequence[own] && moved(a)) {
                return false;
            }
            return moved(own) || causal();
        }
        let class = |flip: bool| {
            let mut count = 0u32;
            let mut bits = 0u32;
            let mut place = 0;
            for a in 0..AXES {
                if self.active[a] {
                    if self.odd[a] != (flip && moved(a)) {
                        count += 1;
                        bits |= 1 << place;
                    }
                    place += 1;
                }
            }
            (count, bits)
        };
        let (there, here) = (class(true), class(false));
        there < here || (there == here && causal())
    }

    /// The known neighbors, at most `count`: those at odd distances up to 3 along the odd axes, then the nearest.
    pub(crate) fn taps(&self, shape: &Shape, plan: &Plan, count: usize) -> Vec<Tap> {
        let weight: [u32; AXES] = std::array::from_fn(|a| WEIGHTS[usize::from(plan.distances[a]) & 15]);
        let distance =
            |d: &[i8; AXES]| (0..AXES).map(|a| weight[a] * u32::from(d[a].unsigned_abs()).pow(2)).sum::<u32>();
        let mut taps = Vec::new();
        for a in (0..AXES).filter(|a| self.odd[*a]) {
            for d in [-1, 1, -3, 3] {
                let mut delta = [0; AXES];
                delta[a] = d;
                taps.push(Tap { delta, distance: distance(&delta) });
            }
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

/// 16 * 2^(i / 2) rounded: weights of a squared distance.
const WEIGHTS: [u32; 16] = [16, 23, 32, 45, 64, 91, 128, 181, 256, 362, 512, 724, 1024, 1448, 2048, 2896];

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(joint: bool, leads: [u8; AXES]) -> Plan {
        Plan { joint, leads, distances: [0; AXES] }
    }

    #[test]
    fn every_point_is_visited_once_and_taps_are_known() {
        for dims in [vec![1], vec![7], vec![5, 6], vec![3, 1, 9, 2], vec![2, 3, 2, 3, 2, 3]] {
            for (joint, leads) in [(false, [0; AXES]), (true, [0; AXES]), (true, [0, 15, 0, 1, 2])] {
                let shape = Shape::new(&dims);
                let plan = plan(joint, leads);
                let mut seen = vec![false; dims.iter().product()];
                seen[0] = true;
                for p in passes(&shape, &plan) {
                    let taps = p.taps(&shape, &plan, 24);
                    let mut c = p.start;
                    if (0..AXES).any(|a| c[a] >= shape.extents[a]) {
                        continue;
                    }
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
