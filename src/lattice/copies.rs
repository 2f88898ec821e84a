//! Symmetries and displaced repeats: maps of the grid onto itself that keep values (SPEC 9.3.4).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "axes are those of the shape; coordinates are compared with its extents before use"
)]

use super::causal::{MAX_AXES, Shape};
use crate::codec::cursor::{Cursor, put_varint, unzigzag, zigzag};
use crate::error::FormatError;
use std::collections::HashMap;

/// Maps that a stream may have.
pub(super) const MAX_MAPS: usize = 4;
/// Shifts beyond this are of no use.
const SHIFT_MAX: i64 = 1 << 32;
/// Pairs of points with equal values that vote.
const PAIRS: usize = 6000;
/// Pairs without which there is no vote.
const ENOUGH: usize = 64;
/// Points that share a value, at most: more say nothing about where they came from.
const CROWD: usize = 16;

/// Where the source of one coordinate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Axis {
    /// The axis of the point that it is taken from.
    from: usize,
    /// Whether it runs the other way.
    flipped: bool,
    shift: i64,
}

/// A map from a point to an earlier one that is expected to have the same value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Map(Vec<Axis>);

impl Map {
    /// Position of the source of the point at `at`, if it lies in the shape.
    #[inline(always)]
    pub(super) fn source(&self, at: &[usize; MAX_AXES], shape: &Shape) -> Option<usize> {
        let mut position = 0;
        for (axis, to) in self.0.iter().enumerate() {
            let c = at[to.from].cast_signed() as i64;
            let c = if to.flipped { to.shift - c } else { to.shift + c };
            if c < 0 || c >= shape.extents[axis].cast_signed() as i64 {
                return None;
            }
            position += c as usize * shape.strides[axis];
        }
        Some(position)
    }

    pub(super) fn write_to(&self, out: &mut Vec<u8>) {
        for axis in &self.0 {
            out.push(axis.from as u8 | u8::from(axis.flipped) << 3);
            put_varint(out, zigzag(axis.shift));
        }
    }

    pub(super) fn read_from(cursor: &mut Cursor, axes: usize) -> Result<Map, FormatError> {
        let mut map = Vec::with_capacity(axes);
        for _ in 0..axes {
            let code = cursor.u8("copy axis")?;
            let from = usize::from(code & 7);
            if code > 15 {
                return Err(FormatError::Value { field: "copy axis", found: code.into(), expected: 15 });
            }
            if from >= axes {
                let (found, expected) = (from as u64, axes.saturating_sub(1) as u64);
                return Err(FormatError::Value { field: "axis that is copied from", found, expected });
            }
            let shift = unzigzag(cursor.varint_max("copy shift", 2 * SHIFT_MAX.cast_unsigned())?);
            map.push(Axis { from, flipped: code & 8 != 0, shift });
        }
        Ok(Map(map))
    }
}

/// The maps that most pairs of points with equal rare values agree on.
pub(super) fn find(values: &[f64], ordinary: Option<&[bool]>, shape: &Shape) -> Vec<Map> {
    let kept =
        || values.iter().enumerate().filter(|(i, _)| ordinary.is_none_or(|o| o[*i])).map(|(i, v)| (*v, i as u32));
    let (low, high) = kept().fold((f64::MAX, f64::MIN), |(l, h), (v, _)| (l.min(v), h.max(v)));
    if high <= low || values.len() > 1 << 22 {
        return Vec::new();
    }
    // Equal to the bit, or else to a part in four million of the range.
    let unit = (high - low) / f64::from(1 << 22);
    let same = pairs_of(kept().map(|(v, i)| (v.to_bits().cast_signed(), i)).collect());
    let sample = if same.len() >= ENOUGH {
        same
    } else {
        pairs_of(kept().map(|(v, i)| (((v - low) / unit) as i64, i)).collect())
    };
    if sample.len() < ENOUGH {
        return Vec::new();
    }

    let coordinates = |i: u32| {
        let mut at = [0usize; MAX_AXES];
        for (axis, c) in at.iter_mut().enumerate().take(shape.axes()) {
            *c = i as usize / shape.strides[axis] % shape.extents[axis];
        }
        at
    };
    let turns = turns(shape);
    let mut votes: HashMap<Map, usize> = HashMap::new();
    for (late, early) in &sample {
        let (to, from) = (coordinates(*late), coordinates(*early));
        for turn in &turns {
            let place = |(axis, (source, flipped)): (usize, &(usize, bool))| {
                let c = to[*source] as i64;
                let shift = from[axis] as i64 - if *flipped { -c } else { c };
                Axis { from: *source, flipped: *flipped, shift }
            };
            *votes.entry(Map(turn.iter().enumerate().map(place).collect())).or_default() += 1;
        }
    }
    // Neighbors of equal value say nothing that the neighborhood does not.
    let near = |map: &Map| map.0.iter().enumerate().all(|(a, x)| x.from == a && !x.flipped && x.shift.abs() < 4);
    let mut ranked: Vec<(usize, Map)> =
        votes.into_iter().filter(|(m, v)| *v * 40 > sample.len() && !near(m)).map(|(m, v)| (v, m)).collect();
    // Wholly ordered, so that the same values always give the same bytes.
    ranked.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    // Each map must explain pairs that those before it do not.
    let mut unexplained: Vec<(u32, u32)> = sample.clone();
    let mut maps = Vec::new();
    for (_, map) in ranked {
        let explains = |p: &(u32, u32)| map.source(&coordinates(p.0), shape) == Some(p.1 as usize);
        let gain = unexplained.iter().filter(|p| explains(p)).count();
        if gain * 40 > sample.len() {
            unexplained.retain(|p| !explains(p));
            maps.push(map);
            if maps.len() == MAX_MAPS {
                break;
            }
        }
    }
    maps
}

/// Pairs of points with equal rare keys, the later first.
fn pairs_of(mut keyed: Vec<(i64, u32)>) -> Vec<(u32, u32)> {
    keyed.sort_unstable();
    let mut pairs: Vec<(u32, u32)> = Vec::new();
    for group in keyed.chunk_by(|a, b| a.0 == b.0).filter(|g| g.len() > 1 && g.len() <= CROWD) {
        for (j, late) in group.iter().enumerate() {
            pairs.extend(group[..j].iter().map(|early| (late.1, early.1)));
        }
    }
    let every = pairs.len().div_ceil(PAIRS).max(1);
    pairs.into_iter().step_by(every).collect()
}

/// Ways to exchange axes of equal extent and to reverse axes.
fn turns(shape: &Shape) -> Vec<Vec<(usize, bool)>> {
    let axes = shape.axes();
    let mut orders: Vec<Vec<usize>> = vec![Vec::new()];
    for axis in 0..axes {
        let longer = |order: &Vec<usize>| {
            let free = |a: &usize| !order.contains(a) && shape.extents[*a] == shape.extents[axis];
            (0..axes).filter(free).map(|a| [order.as_slice(), &[a]].concat()).collect::<Vec<_>>()
        };
        orders = orders.iter().flat_map(longer).collect();
    }
    let flips = |order: &Vec<usize>| {
        let flip = |bits: usize| order.iter().enumerate().map(|(i, a)| (*a, bits >> i & 1 == 1)).collect();
        (0..1usize << axes).map(flip).collect::<Vec<_>>()
    };
    orders.iter().flat_map(flips).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_mirror_and_a_transposition() {
        let shape = Shape::of_grid(&[30, 30]);
        let f = |x: usize, y: usize| ((x * 7919 + y * 104_729) % 5003) as f64;
        let mirror: Vec<f64> = (0..900).map(|i| f((i % 30).min(29 - i % 30), i / 30)).collect();
        let maps = find(&mirror, None, &shape);
        assert_eq!(maps.first().and_then(|m| m.source(&[20, 4, 0, 0, 0], &shape)), Some(4 * 30 + 9));
        let turned: Vec<f64> = (0..900).map(|i| f((i % 30).min(i / 30), (i % 30).max(i / 30))).collect();
        let maps = find(&turned, None, &shape);
        assert_eq!(maps.first().and_then(|m| m.source(&[2, 11, 0, 0, 0], &shape)), Some(2 * 30 + 11));
        // Two mirrors and a turn explain the same pairs: which of them is taken must not depend on chance.
        let both: Vec<f64> = (0..900).map(|i| f((i % 30).min(29 - i % 30), (i / 30).min(29 - i / 30))).collect();
        assert!((0..8).all(|_| find(&both, None, &shape) == find(&both, None, &shape)));
        let mut out = Vec::new();
        maps[0].write_to(&mut out);
        assert_eq!(Map::read_from(&mut Cursor::new(&out), 2), Ok(maps[0].clone()));
    }
}
