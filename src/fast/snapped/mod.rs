//! Snapped mode: values as whole numbers of a lattice, which are coded without loss (SPEC 9.4.8).

mod promise;

use super::Sample;
use super::integers::{self, Care, Distances, Effort, Survey, Surveyed};
use super::scale::Scale;
use crate::codec::cursor::Cursor;
use crate::error::FormatError;
use crate::lattice::Grid;
use crate::vector::vectorize;
use std::cell::OnceCell;
use std::ops::Range;

/// The largest integer.
const MOST: f64 = 65_000.0;
/// Integers are decoded one by one: they must take less than so many hundredths of what the other mode takes.
const WORTH: usize = 94;
const WORTH_IN_HASTE: usize = 90;

/// What a few integers say of all.
pub(super) struct Outlook<'a, T> {
    values: &'a [T],
    grid: &'a Grid<'a>,
    scale: Scale,
    distances: Vec<Distances>,
    /// Bits of all integers, about, if nothing repeats; `None` if there is one axis only, whose integers do not tell that soon.
    bits: Option<f64>,
    /// The part of them that is saved by repeats, once it was asked for.
    saved: OnceCell<f64>,
    /// All integers, once they were asked for.
    all: OnceCell<Surveyed<'a>>,
    effort: Effort,
}

impl<'a, T: Sample> Outlook<'a, T> {
    /// For values between `low` and `high` that are to decode within `tolerance`; `None` if the mode does not suit.
    pub(super) fn new(
        values: &'a [T],
        grid: &'a Grid<'a>,
        (low, high): (f64, f64),
        tolerance: f64,
        effort: Effort,
    ) -> Option<Self> {
        let scale = Scale::exact::<T>(low, high, tolerance);
        if !((high - low) / scale.step < MOST) || !(1.0 / scale.step).is_finite() {
            return None;
        }
        let distances = integers::distances(grid.dims);
        let bits = (!distances.is_empty()).then(|| {
            let mut q = vec![0; values.len()];
            integers::looked_at(values.len(), &distances, |range| fill(&mut q, values, grid.ordinary, &scale, range));
            Survey::new(&q, grid.ordinary, &distances, Care::Hasty).bits()
        });
        Some(Outlook { values, grid, scale, distances, bits, saved: OnceCell::new(), all: OnceCell::new(), effort })
    }

    /// Whether all may take fewer than so many bytes, as far as a few tell.
    pub(super) fn is_below(&self, limit: f64) -> bool {
        /// What a sample saves by repeats is more in the whole.
        const REPEATS: f64 = 4.0;
        let saved =
            || self.saved.get_or_init(|| promise::saved(self.values, self.grid.ordinary, &self.scale, self.effort));
        let most = |bits: f64| bits / 8.0 <= limit || bits / 8.0 * (1.0 - REPEATS * saved()) <= limit;
        self.bits.is_none_or(most)
    }

    fn all(&self) -> &Surveyed<'a> {
        self.all.get_or_init(|| {
            let mut q = vec![0; self.values.len()];
            fill(&mut q, self.values, self.grid.ordinary, &self.scale, 0..self.values.len());
            Surveyed::new(q, self.grid.ordinary, self.distances.clone(), self.effort)
        })
    }

    /// Bytes that all take, about.
    pub(super) fn bytes(&self) -> f64 {
        self.all().bytes()
    }

    /// Codes the values.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.scale.write(&mut out);
        self.all().write(&mut out);
        out
    }

    /// Codes the values; `None` if that takes `limit` bytes or not much less, as far as a part of them tells.
    pub(super) fn encode_below(&self, limit: usize) -> Option<Vec<u8>> {
        /// A few integers say more or less than all, and little of what repeats far apart.
        const DOUBT: f64 = 1.25;
        // What is near the limit is seldom below it in the end: who is in haste does not see.
        let (worth, doubt) = if self.effort == Effort::Hasty { (WORTH_IN_HASTE, 1.06) } else { (WORTH, 1.0) };
        let limit = limit.saturating_mul(worth) / 100;
        if !self.is_below(limit as f64 * DOUBT) || self.bytes() * doubt > limit as f64 {
            return None;
        }
        Some(self.encode()).filter(|out| out.len() < limit)
    }
}

/// Sets those integers of a range: the lattice points of values; where they are not ordinary, that of the point before.
fn fill<T: Sample>(q: &mut [u16], values: &[T], ordinary: Option<&[bool]>, scale: &Scale, range: Range<usize>) {
    vectorize!(_simd => fill_lanes(q, values, ordinary, scale, range))
}

#[inline(always)]
fn fill_lanes<T: Sample>(q: &mut [u16], values: &[T], ordinary: Option<&[bool]>, scale: &Scale, range: Range<usize>) {
    let inverse = 1.0 / scale.step;
    let place = |v: &T| ((v.to_f64() - scale.base) * inverse).round_ties_even() as i32 as u16;
    let mut last = range.start.checked_sub(1).map_or(0, |i| q[i]);
    let pairs = q[range.clone()].iter_mut().zip(&values[range.clone()]);
    match ordinary {
        None => {
            for (q, v) in pairs {
                *q = place(v);
            }
        }
        Some(o) => {
            for ((q, v), o) in pairs.zip(&o[range]) {
                last = if *o { place(v) } else { last };
                *q = last;
            }
        }
    }
}

/// Inverts [`Outlook::encode`]; takes all that is left of `cursor`.
pub(super) fn decode<T: Sample>(cursor: &mut Cursor<'_>, grid: &Grid, out: &mut [T]) -> Result<(), FormatError> {
    let scale = Scale::read(cursor)?;
    let q = integers::decode(cursor, grid.ordinary, out.len())?;
    for (to, q) in out.iter_mut().zip(q) {
        *to = T::from_f64(scale.value(f64::from(q)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Terraces over all axes with noise, in which parts come again.
    fn field(dims: &[usize], rough: u64, repeats: bool, seed: u64) -> Vec<f64> {
        let n: usize = dims.iter().product();
        let mut state = seed;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let row = dims.last().copied().unwrap_or(1);
        let mut values: Vec<f64> =
            (0..n).map(|i| ((i % row) / 5 + i / row / 3 * 2) as f64 + (next() % (rough + 1)) as f64).collect();
        for _ in 0..if repeats { n / 40 } else { 0 } {
            let (from, to) = (next() as usize % n, next() as usize % n);
            let len = (next() as usize % 50).min(n - from.max(to));
            values.copy_within(from..from + len, to);
        }
        values
    }

    fn coded<T: Sample>(values: &[T], grid: &Grid, tolerance: f64, effort: Effort) -> Vec<u8> {
        let range = crate::fast::range(values, grid.ordinary).unwrap_or((0.0, 0.0));
        Outlook::new(values, grid, range, tolerance, effort).unwrap().encode()
    }

    /// The most bytes that any effort gives.
    fn round_trip<T: Sample + std::fmt::Debug>(values: &[T], grid: &Grid, tolerance: f64) -> usize {
        let mut most = 0;
        for effort in [Effort::Hasty, Effort::Thorough] {
            let bytes = coded(values, grid, tolerance, effort);
            let mut out = vec![T::from_f64(1.0); values.len()];
            assert_eq!(decode(&mut Cursor::new(&bytes), grid, &mut out), Ok(()));
            for (i, (v, a)) in values.iter().zip(&out).enumerate().filter(|(i, _)| grid.is_ordinary(*i)) {
                assert!((a.to_f64() - v.to_f64()).abs() <= tolerance, "point {i}: {v:?} became {a:?}");
            }
            for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
                assert!(decode(&mut Cursor::new(&bytes[..cut]), grid, &mut out).is_err());
            }
            most = most.max(bytes.len());
        }
        most
    }

    #[test]
    fn rows_that_were_lost_and_repeats_are_found() {
        let noise = field(&[20_000], 60, false, 5);
        let period: Vec<f64> = (0..20_000).map(|i| noise[i % 250] * 3.0 + noise[i] / 30.0).collect();
        let grid = Grid { dims: &[20_000], ordinary: None };
        assert!(round_trip(&period, &grid, 0.5) < 10_000);
        let twice: Vec<f64> = noise.iter().chain(&noise).copied().collect();
        let once = round_trip(&noise, &grid, 0.5);
        assert!(round_trip(&twice, &Grid { dims: &[40_000], ordinary: None }, 0.5) < once + 200);
    }

    #[test]
    fn what_repeats_far_apart_is_looked_at_in_full() {
        let half = field(&[200, 200], 60, false, 7);
        let values: Vec<f64> = half.iter().chain(&half).copied().collect();
        let grid = Grid { dims: &[400, 200], ordinary: None };
        let range = crate::fast::range(&values, None).unwrap();
        let outlook = Outlook::new(&values, &grid, range, 0.5, Effort::Hasty).unwrap();
        // Others take less than the integers would if nothing repeated, and more than they take.
        let limit = (outlook.bits.unwrap() / 8.0 / 1.05) as usize;
        assert!(outlook.encode_below(limit).is_some_and(|b| b.len() * 10 < limit * 7));
    }

    #[test]
    fn what_is_not_ordinary_is_not_counted() {
        let values = field(&[300, 200], 30, false, 3);
        // Two of three are missing, without order.
        let ordinary: Vec<bool> =
            (0..60_000u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % 3 == 0).collect();
        let grid = Grid { dims: &[300, 200], ordinary: Some(&ordinary) };
        let range = crate::fast::range(&values, grid.ordinary).unwrap();
        let outlook = Outlook::new(&values, &grid, range, 0.5, Effort::Hasty).unwrap();
        let (few, all, taken) = (outlook.bits.unwrap() / 8.0, outlook.bytes(), outlook.encode().len() as f64);
        assert!((0.67..1.5).contains(&(few / taken)), "{few} {taken}");
        assert!((0.8..1.25).contains(&(all / taken)), "{all} {taken}");
    }

    #[test]
    fn what_repeats_little_or_nothing_is_left_to_others() {
        let smooth: Vec<f32> =
            (0..40_000).map(|i| ((i % 200) as f32 * 0.03).sin() * ((i / 200) as f32 * 0.02).cos()).collect();
        let grid = Grid { dims: &[200, 200], ordinary: None };
        let outlook = Outlook::new(&smooth, &grid, (-1.0, 1.0), 1e-4, Effort::Thorough).unwrap();
        assert_eq!(outlook.encode_below(3000), None);
    }

    fn shapes() -> impl Strategy<Value = Vec<usize>> {
        prop::collection::vec(prop_oneof![1usize..5, 1usize..40], 1..6)
            .prop_filter("small", |d| d.iter().product::<usize>() < 20_000)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_integers_round_trip(
            dims in shapes(),
            rough in prop_oneof![Just(0u64), 1u64..9, 1u64..60_000],
            repeats in any::<bool>(),
            holes in prop::option::of(2u64..50),
            seed in any::<u64>(),
        ) {
            let values = field(&dims, rough, repeats, seed);
            let ordinary: Vec<bool> = (0..values.len() as u64).map(|i| holes.is_none_or(|h| i * i / 7 % h != 0)).collect();
            let grid = Grid { dims: &dims, ordinary: holes.map(|_| ordinary.as_slice()) };
            for tolerance in [0.5, 4.0] {
                round_trip(&values, &grid, tolerance);
            }
            let single: Vec<f32> = values.iter().map(|v| *v as f32).collect();
            round_trip(&single, &grid, 0.75);
        }

        #[test]
        fn damaged_bytes_end_without_a_panic(
            dims in shapes(),
            seed in any::<u64>(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let values = field(&dims, 9, true, seed);
            let grid = Grid { dims: &dims, ordinary: None };
            let mut bytes = coded(&values, &grid, 0.5, Effort::Thorough);
            for (at, byte) in damage {
                let i = at.index(bytes.len());
                bytes[i] ^= byte;
            }
            let mut out = values.clone();
            let _ = decode(&mut Cursor::new(&bytes), &grid, &mut out);
        }
    }
}
