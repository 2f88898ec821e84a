//! A table of the values that a frame's points may have (SPEC 6.4.1): kernels code places in it. Data that were counts once,
//! and then went through a curve, take few values that lie on no lattice.

use crate::bound::Tolerance;
use crate::codec::arithmetic::{BitCoder, Decoder, Encoder};
use crate::codec::cursor::{Cursor, put_varint, unzigzag, zigzag};
use crate::codec::integers::{Integers, MAGNITUDE_MAX, bit_length};
use crate::element::Element;
use crate::error::FormatError;
use crate::fast::Effort;
use crate::lattice::Grid;

/// Most values of a table.
const MOST: usize = 1 << 16;
/// Bits that all positions may have in common, less one.
const SHIFT_MAX: u8 = 63;
/// Sizes of the contexts of a gap: bits of the gap before, and those of both before it.
const CONTEXTS: [usize; 3] = [32, 1024, 1];

/// The table in `bytes`: values in ascending order, at least one.
///
/// # Errors
/// If the bytes are not what a writer could have made.
pub(super) fn read<T: Element>(bytes: &[u8]) -> Result<Vec<T>, FormatError> {
    let code = || FormatError::Code { what: "table of values" };
    let mut c = Cursor::new(bytes);
    let shift = c.u8("table of values")?;
    let count = c.varint("table of values")?;
    let first = unzigzag(c.varint("table of values")?);
    let count = usize::try_from(count).ok().filter(|n| (1..=MOST).contains(n)).ok_or_else(code)?;
    if shift > SHIFT_MAX {
        return Err(code());
    }
    let mut coder = Decoder::new(c.take_rest());
    let places = run(&mut coder, &vec![0; count.saturating_sub(1)], first).ok_or_else(code)?;
    coder.finish("table of values")?;
    // Positions are those of the type: none is lost by the shift, and none lies beyond the greatest.
    let value = |p: i64| {
        let position = p.checked_shl(shift.into()).filter(|q| q >> shift == p)?;
        let value = T::from_ordered(position);
        (value.to_ordered() == position).then_some(value)
    };
    places.into_iter().map(value).collect::<Option<_>>().ok_or_else(code)
}

/// The value at place `r`, which is rounded and held inside the table.
#[inline(always)]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturating, as SPEC 6.4 says")]
pub(super) fn value<T: Element>(table: &[T], r: f64) -> T {
    let place = (r.round_ties_even() as usize).min(table.len().saturating_sub(1));
    table.get(place).copied().unwrap_or_default()
}

/// Codes the gaps less one between positions into or from `coder`; the positions, of which `first` is the first. `None` if
/// one of them is beyond 2^63.
fn run<C: BitCoder>(coder: &mut C, gaps: &[u64], first: i64) -> Option<Vec<i64>> {
    let mut integers = Integers::new(CONTEXTS);
    let (mut position, mut before, mut last) = (first, 0usize, 0usize);
    let mut positions = vec![first];
    for gap in gaps {
        let gap = integers.code(coder, gap.cast_signed(), [last, last.checked_mul(32)?.checked_add(before)?, 0])?;
        let gap = u64::try_from(gap).ok()?;
        position = position.checked_add_unsigned(gap)?.checked_add(1)?;
        positions.push(position);
        (before, last) = (last, bit_length(gap, 31));
    }
    Some(positions)
}

/// A table that suits some values, and which of its places each of them has.
#[derive(Debug)]
pub(super) struct Table<T> {
    /// As [`read`] gives it.
    values: Vec<T>,
    /// As a frame stores it.
    pub(super) bytes: Vec<u8>,
    /// The greatest value that each place stands for.
    ends: Vec<i64>,
    index: Index,
}

/// Where to look among ascending positions: how many lie in the cells before each cell, all of which are equally wide.
#[derive(Debug)]
struct Index {
    first: i64,
    shift: u32,
    before: Vec<usize>,
}

impl Index {
    fn new(positions: &[i64]) -> Option<Self> {
        /// Bits of the number of cells, about.
        const CELLS: u32 = 12;
        let [first, .., last] = *positions else { return None };
        let width = last.abs_diff(first);
        let shift = u64::BITS.saturating_sub(width.leading_zeros()).saturating_sub(CELLS);
        let mut index = Index { first, shift, before: Vec::new() };
        let cells = usize::try_from(width >> shift).ok()?;
        index.before =
            (0..=cells.saturating_add(1)).map(|c| positions.partition_point(|p| index.cell(*p) < c)).collect();
        Some(index)
    }

    #[allow(clippy::cast_possible_truncation, reason = "cells are few")]
    fn cell(&self, position: i64) -> usize {
        if position < self.first { 0 } else { (position.abs_diff(self.first) >> self.shift) as usize }
    }

    /// How many of the positions, those that the index was made for, lie before this one.
    fn rank(&self, positions: &[i64], position: i64) -> usize {
        let cell = self.cell(position);
        let before = |c: usize| self.before.get(c).copied().unwrap_or(positions.len());
        let range = before(cell)..before(cell.saturating_add(1));
        let some = positions.get(range.clone()).unwrap_or_default();
        range.start.saturating_add(some.partition_point(|p| *p < position))
    }
}

impl<T: Element> Table<T> {
    /// The smallest table with a value within `tolerance` of each ordinary one of `values`, which lie in `range`; `None` if they are too many for it to pay.
    pub(super) fn new(
        values: &[T],
        grid: &Grid,
        range: (f64, f64),
        tolerance: Tolerance,
        effort: Effort,
    ) -> Option<Self> {
        // Data that were whole numbers once have 1.5 to 2.5 values for each; who is in haste tries no others.
        let crowd = if effort == Effort::Hasty { 3 } else { usize::MAX };
        let most = most_values(values, grid, range, tolerance, crowd)?;
        let count = grid.ordinary.map_or(values.len(), |o| o.iter().filter(|o| **o).count());
        let ordinary = values.iter().enumerate().filter(|(i, _)| grid.is_ordinary(*i));
        let values = ordinary.map(|(_, v)| *v);
        let found = distinct(values, count, most)?;
        let spans: Vec<(i64, i64)> = found.iter().map(|p| span(T::from_ordered(*p), tolerance)).collect();
        let least = cover(&spans, 0)?.len();
        let [low, .., high] = found.as_slice() else { return None };
        let [low, high] = [low, high].map(|p| T::from_ordered(*p).to_f64());
        if least < 2 || found.len() > crowd.saturating_mul(least) || !is_sparse(low, high, least, tolerance) {
            return None;
        }
        // Fewer bits to store, at hardly more values.
        let groups = (0..=SHIFT_MAX).rev().find_map(|z| {
            let groups = cover(&spans, z)?;
            (groups.len() <= least.saturating_add(least / 32)).then_some((z, groups))
        });
        let (shift, groups) = groups?;
        let first = groups.first()?.0 >> shift;
        let gap = |w: &[(i64, usize)]| match w {
            [(a, _), (b, _)] => (b >> shift).wrapping_sub(a >> shift).wrapping_sub(1).cast_unsigned(),
            _ => 0,
        };
        let gaps: Vec<u64> = groups.windows(2).map(gap).collect();
        if gaps.iter().any(|g| *g > MAGNITUDE_MAX) {
            return None;
        }
        let mut bytes = vec![shift];
        put_varint(&mut bytes, groups.len() as u64);
        put_varint(&mut bytes, zigzag(first));
        let mut coder = Encoder::new();
        run(&mut coder, &gaps, first)?;
        bytes.extend(coder.finish());
        let ends = groups.iter().map(|(_, last)| found.get(*last).copied()).collect::<Option<Vec<_>>>()?;
        let (values, index) = (read(&bytes).ok()?, Index::new(&ends)?);
        Some(Table { values, bytes, ends, index })
    }

    /// The place of a value that the table was made for.
    #[allow(clippy::cast_precision_loss, reason = "at most 2^16")]
    pub(super) fn place(&self, v: T) -> f64 {
        self.index.rank(&self.ends, v.to_ordered()) as f64
    }

    pub(super) fn values(&self) -> &[T] {
        &self.values
    }
}

/// How many different values there may be at most, `crowd` for each place, where the ordinary ones, which lie between `low` and `high`,
/// leave so much of that range empty that a table may pay, as far as this tells; `None` where they do not.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cells are few")]
fn most_values<T: Element>(
    values: &[T],
    grid: &Grid,
    (low, high): (f64, f64),
    tolerance: Tolerance,
    crowd: usize,
) -> Option<usize> {
    /// Cells of the width that a value reaches to both sides.
    const PARTS: usize = 4;
    /// Values that are looked at one after another; of so many such chunks one, then twice as many, until enough was seen.
    const CHUNK: usize = 64;
    const APART: usize = 32;
    let Tolerance::Absolute(e) = tolerance else { return Some(usize::MAX) };
    // A little wider, so that rounding makes no two values seem farther apart than they are.
    let scale = PARTS as f64 / (2.0 * e * (1.0 + 1e-9));
    let cells = (high - low) * scale;
    if !(cells < (8 * MOST) as f64) {
        return Some(usize::MAX);
    }
    let mut occupied = vec![false; (cells as usize).saturating_add(1)];
    let mut most = usize::MAX;
    for turn in 0..APART {
        for k in (turn..values.len().div_ceil(CHUNK)).step_by(APART) {
            let start = k.saturating_mul(CHUNK);
            for (i, v) in values.iter().enumerate().skip(start).take(CHUNK) {
                let cell = occupied.get_mut(((v.to_f64() - low) * scale) as usize);
                if let Some(cell) = cell.filter(|_| grid.is_ordinary(i)) {
                    *cell = true;
                }
            }
        }
        if !turn.saturating_add(1).is_power_of_two() {
            continue;
        }
        // Values more than so many cells apart have no place in common.
        let (mut places, mut next) = (0usize, 0usize);
        while let Some(at) = occupied.get(next..).and_then(|rest| rest.iter().position(|o| *o)) {
            places = places.saturating_add(1);
            next = next.saturating_add(at).saturating_add(PARTS + 1);
        }
        let cells = occupied.iter().filter(|o| **o).count();
        if cells > crowd.saturating_mul(places) || !is_sparse(low, high, places, tolerance) {
            return None;
        }
        // A cell has one place, or none.
        most = crowd.saturating_mul(cells);
    }
    Some(most)
}

/// Bits of a hash of positions seen lately.
const RECENT: u32 = 12;

/// Positions of all values, ascending; `None` if they are more than one in four of the values, or more than `most`.
fn distinct<T: Element>(values: impl Iterator<Item = T> + Clone, count: usize, most: usize) -> Option<Vec<i64>> {
    let most = (count / 4).min(MOST).min(most);
    let unique = |positions: &mut Vec<i64>| {
        positions.sort_unstable();
        positions.dedup();
    };
    // Where there are few, a part shows it.
    let step = (count / 8192).max(1);
    let mut some: Vec<i64> = values.clone().step_by(step).map(Element::to_ordered).collect();
    let looked = some.len();
    unique(&mut some);
    if some.len() > most || some.len().saturating_mul(2) > looked {
        return None;
    }
    let mut all = std::collections::HashSet::new();
    // Most of them were seen a moment ago.
    let mut recent = vec![None; 1 << RECENT];
    for position in values.map(Element::to_ordered) {
        let hash = position.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - RECENT);
        match recent.get_mut(hash as usize) {
            Some(r) if *r == Some(position) => continue,
            Some(r) => *r = Some(position),
            None => {}
        }
        if all.insert(position) && all.len() > most {
            return None;
        }
    }
    let mut all: Vec<i64> = all.into_iter().collect();
    all.sort_unstable();
    Some(all)
}

/// The lowest and the highest position that may stand for `x`.
fn span<T: Element>(x: T, tolerance: Tolerance) -> (i64, i64) {
    let at = x.to_ordered();
    // Where the real numbers would have the ends.
    let reach = match tolerance {
        Tolerance::Lossless => return (at, at),
        Tolerance::Absolute(e) => e,
        Tolerance::Pointwise(b) => b * x.to_f64().abs(),
    };
    let is_inside = |p: i64| tolerance.allows(x, T::from_ordered(p));
    let end = |towards: T, near: f64| {
        /// Positions by which rounding may be off.
        const NEAR: i64 = 4;
        let (mut inside, mut outside) = (at, towards.to_ordered());
        let near = T::from_f64(near).to_ordered();
        for p in [near.saturating_sub(NEAR), near.saturating_add(NEAR)] {
            if p > inside.min(outside) && p < inside.max(outside) {
                *if is_inside(p) { &mut inside } else { &mut outside } = p;
            }
        }
        while inside.abs_diff(outside) > 1 {
            let middle = inside.midpoint(outside);
            *if is_inside(middle) { &mut inside } else { &mut outside } = middle;
        }
        inside
    };
    let wide = x.to_f64();
    (end(T::from_f64(f64::NEG_INFINITY), wide - reach), end(T::from_f64(f64::INFINITY), wide + reach))
}

/// The fewest multiples of 2^`shift` that hit every span, each with the index of the last span that it is for. `None` if
/// a span has none.
fn cover(spans: &[(i64, i64)], shift: u8) -> Option<Vec<(i64, usize)>> {
    let down = |p: i64| p >> shift << shift;
    let mut groups: Vec<(i64, usize)> = Vec::new();
    // What is common to the spans of the last group.
    let (mut low, mut high) = (i64::MAX, i64::MIN);
    for (i, (l, h)) in spans.iter().enumerate() {
        let both = (low.max(*l), high.min(*h));
        (low, high) = if !groups.is_empty() && down(both.1) >= both.0 {
            both
        } else {
            groups.push((0, i));
            (*l, *h)
        };
        if down(high) < low {
            return None;
        }
        // Near the middle of what is common.
        let middle = down(low.midpoint(high));
        let near = if middle >= low { middle } else { down(high) };
        *groups.last_mut()? = (near, i);
    }
    // Spans of one bound never nest, but middles may come close: places must ascend.
    groups.windows(2).all(|w| matches!(w, [(a, _), (b, _)] if a < b)).then_some(groups)
}

/// Whether a table may pay for values between `low` and `high` of which these are some, ascending.
pub(super) fn may_pay<T: Element>(some: &[T], (low, high): (f64, f64), tolerance: Tolerance) -> bool {
    /// Rounding makes no two groups of one.
    const SLACK: f64 = 1.0 + 1e-6;
    let (mut places, mut first) = (0usize, None);
    for v in some {
        let v = v.to_f64();
        let is_near = |first: f64| match tolerance {
            Tolerance::Lossless => false,
            Tolerance::Absolute(e) => v - first <= 2.0 * e * SLACK,
            Tolerance::Pointwise(b) => v - first <= 2.0 * b * SLACK / (1.0 - b).max(0.0) * first.abs().max(v.abs()),
        };
        if !first.is_some_and(is_near) {
            (places, first) = (places.saturating_add(1), Some(v));
        }
    }
    is_sparse(low, high, places, tolerance)
}

/// Whether a lattice as fine as the tolerance asks has at least twice as many places.
#[allow(clippy::cast_precision_loss, reason = "an estimate")]
fn is_sparse(low: f64, high: f64, places: usize, tolerance: Tolerance) -> bool {
    let steps = match tolerance {
        Tolerance::Lossless => return true,
        Tolerance::Absolute(e) => (high - low) / (2.0 * e),
        Tolerance::Pointwise(_) if low < 0.0 && high > 0.0 => return true,
        Tolerance::Pointwise(b) => (high / low).ln().abs() / (2.0 * b.ln_1p()),
    };
    steps + 1.0 >= 2.0 * places as f64
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small test data")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_the_specification() {
        let bytes = [0x10, 3, 0x80, 0x86, 2];
        let table = read::<f32>(&bytes).unwrap();
        assert_eq!(table, [16.0, 16.125, 16.25]);
        assert_eq!([f64::NAN, -7.0, 0.5, 1.5, 1e300].map(|r| value(&table, r)), [16.0, 16.0, 16.0, 16.25, 16.25]);
    }

    #[test]
    fn many_values_and_those_of_a_plain_lattice_have_no_table() {
        let table = |values: Vec<f64>, e| table_of(&values, Tolerance::Absolute(e)).is_some();
        let lattice = |i: u32| f64::from(i % 50);
        assert!(!table((0..1000).map(|i| f64::from(i).sqrt()).collect(), 1e-9));
        assert!(!table((0..1000).map(lattice).collect(), 0.4));
        assert!(table((0..1000).map(lattice).collect(), 0.2));
        assert!(table((0..1000).map(|i| lattice(i).sqrt()).collect(), 1e-3));
    }

    #[test]
    fn haste_leaves_places_that_many_values_crowd() {
        let grid = Grid { dims: &[4000], ordinary: None };
        for (values_of_a_place, crowded) in [(2, false), (20, true)] {
            let place = |i: u32| f64::from(i % 50 * 10) + 1e-3 * f64::from(i / 50 % values_of_a_place);
            let values: Vec<f64> = (0..4000).map(place).collect();
            let table = |effort| Table::new(&values, &grid, (0.0, 490.02), Tolerance::Absolute(0.1), effort);
            assert!(table(Effort::Thorough).is_some());
            assert_eq!(table(Effort::Hasty).is_none(), crowded);
        }
    }

    fn tolerances() -> impl Strategy<Value = Tolerance> {
        prop_oneof![
            Just(Tolerance::Lossless),
            (1e-9f64..10.0).prop_map(Tolerance::Absolute),
            (1e-9f64..0.5).prop_map(Tolerance::Pointwise),
        ]
    }

    fn table_of<T: Element>(values: &[T], tolerance: Tolerance) -> Option<Table<T>> {
        let grid = Grid { dims: &[values.len()], ordinary: None };
        let range = crate::fast::range(values, None).unwrap_or_default();
        Table::new(values, &grid, range, tolerance, Effort::Thorough)
    }

    fn check<T: Element>(values: &[T], tolerance: Tolerance) {
        if let Some(table) = table_of(values, tolerance) {
            assert_eq!(read::<T>(&table.bytes).unwrap(), table.values());
            assert!(table.values().windows(2).all(|w| w[0] < w[1]));
            for x in values {
                assert!(tolerance.allows(*x, value(table.values(), table.place(*x))), "{x:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn ranks_are_those_of_a_search(mut some in prop::collection::vec(prop_oneof![any::<i64>(), -99i64..99], 2..60), at in any::<i64>()) {
            some.sort_unstable();
            some.dedup();
            if let Some(index) = Index::new(&some) {
                for p in some.iter().copied().chain([at]).flat_map(|p| [p.saturating_sub(1), p, p.saturating_add(1)]) {
                    assert_eq!(index.rank(&some, p), some.partition_point(|q| *q < p));
                }
            }
        }

        #[test]
        fn every_value_has_a_place_within_its_bound(
            some in prop::collection::vec(prop_oneof![-1e3f64..1e3, 1.0f64..1.001, prop::num::f64::NORMAL], 1..40),
            tolerance in tolerances(),
        ) {
            let ordinary = |v: &f64| *v != 0.0 || !matches!(tolerance, Tolerance::Pointwise(_));
            let wide: Vec<f64> = (0..4 * some.len()).map(|i| some[i % some.len()]).filter(ordinary).collect();
            check(&wide, tolerance);
            let narrow: Vec<f32> = wide.iter().map(|v| f32::from_f64(*v)).filter(|v| v.is_finite()).filter(|v| ordinary(&v.to_f64())).collect();
            check(&narrow, tolerance);
        }

        #[test]
        fn damage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = read::<f32>(&bytes);
            let _ = read::<f64>(&bytes);
        }
    }
}
