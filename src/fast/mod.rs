//! The fast kernel (SPEC 9.4): one prediction a row from rows before it, codes in prefix codes with few static classes.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::needless_range_loop,
    clippy::neg_cmp_op_on_partial_ord,
    reason = "numeric inner loops over slices whose lengths are fixed by the grid; a NaN fails the negated comparisons"
)]

mod choice;
mod classes;
mod eight;
pub(crate) mod images;
mod integers;
mod levels;
mod parts;
mod raster;
mod scale;
mod snapped;
mod streams;

use crate::codec::cursor::Cursor;
use crate::error::FormatError;
use crate::lattice::Grid;
use crate::vector::vectorize;
use fearless_simd::Simd;
use scale::Scale;

pub use crate::element::Element as Sample;
pub(crate) use integers::Effort;

/// How the points are coded (SPEC 9.4.1).
const CONSTANT: u8 = 0;
const RASTER: u8 = 1;
/// Values between those of a coarser grid.
const LEVELS: u8 = 2;
/// Whole numbers of a lattice.
const SNAPPED: u8 = 3;

/// Least and largest of the values; `None` if there is none or one is not finite.
pub(crate) fn finite_range<T: Sample>(values: &[T]) -> Option<(f64, f64)> {
    vectorize!(simd => finite_lanes(simd, values))
}

#[allow(clippy::eq_op, reason = "what is not finite is no number less itself")]
#[inline(always)]
fn finite_lanes<S: Simd, T: Sample>(_: S, values: &[T]) -> Option<(f64, f64)> {
    // More would not fit into registers.
    const LANES: usize = 16;
    let first = *values.first()?;
    let (mut low, mut high) = ([first; LANES], [first; LANES]);
    // A sum that what is not finite makes no number.
    let mut zero = [first - first; LANES];
    let mut widen = |i: usize, v: T| {
        low[i] = if v < low[i] { v } else { low[i] };
        high[i] = if v > high[i] { v } else { high[i] };
        zero[i] = zero[i] + (v - v);
    };
    let (chunks, last) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            widen(i, chunk[i]);
        }
    }
    for v in last {
        widen(0, *v);
    }
    let low = low.iter().fold(first, |a, b| if *b < a { *b } else { a });
    let high = high.iter().fold(first, |a, b| if *b > a { *b } else { a });
    zero.iter().all(|z| z.to_f64() == 0.0).then_some((low.to_f64(), high.to_f64()))
}

/// Least and largest of the ordinary values; `None` if there is none.
pub(crate) fn range<T: Sample>(values: &[T], ordinary: Option<&[bool]>) -> Option<(f64, f64)> {
    vectorize!(simd => range_lanes(simd, values, ordinary))
}

#[inline(always)]
fn range_lanes<S: Simd, T: Sample>(_: S, values: &[T], ordinary: Option<&[bool]>) -> Option<(f64, f64)> {
    const LANES: usize = 32;
    let first = match ordinary {
        Some(o) => *values.get(o.iter().position(|o| *o)?)?,
        None => *values.first()?,
    };
    let (mut low, mut high) = ([first; LANES], [first; LANES]);
    let mut widen = |chunk: &[T; LANES]| {
        for i in 0..LANES {
            low[i] = if chunk[i] < low[i] { chunk[i] } else { low[i] };
            high[i] = if chunk[i] > high[i] { chunk[i] } else { high[i] };
        }
    };
    for (k, chunk) in values.chunks(LANES).enumerate() {
        let mut padded = [first; LANES];
        match ordinary {
            None => match chunk.first_chunk() {
                Some(whole) => {
                    widen(whole);
                    continue;
                }
                None => padded[..chunk.len()].copy_from_slice(chunk),
            },
            Some(o) => {
                for ((p, v), o) in padded.iter_mut().zip(chunk).zip(&o[k * LANES..]) {
                    *p = if *o { *v } else { first };
                }
            }
        }
        widen(&padded);
    }
    let low = low.iter().fold(first, |a, b| if *b < a { *b } else { a });
    let high = high.iter().fold(first, |a, b| if *b > a { *b } else { a });
    Some((low.to_f64(), high.to_f64()))
}

/// The value that many of the ordinary points share exactly, if there is one: as the base of the lattice it makes rows
/// without anything else in them free.
fn background<T: Sample>(values: &[T], ordinary: Option<&[bool]>) -> Option<f64> {
    const SAMPLES: u32 = 32;
    let mut found: Vec<f64> = (0..SAMPLES)
        .map(|k| ((u64::from(k.wrapping_mul(0x9e37_79b9)) * values.len() as u64) >> 32) as usize)
        .filter(|i| ordinary.is_none_or(|o| o[*i]))
        .map(|i| values[i].to_f64())
        .collect();
    found.sort_by(f64::total_cmp);
    let equal = found.chunk_by(|a, b| a == b).max_by_key(|c| c.len())?;
    (equal.len() * 4 > SAMPLES as usize).then(|| equal[0])
}

/// Codes `values`, the ordinary ones between `low` and `high`, so that they decode within `tolerance` at every ordinary point, where the type of the values allows that.
/// `None` if the kernel does not suit: the tolerance is too small for the spread of the values.
pub(crate) fn encode<T: Sample>(
    values: &[T],
    grid: &Grid,
    (low, high): (f64, f64),
    tolerance: f64,
    effort: Effort,
) -> Option<Vec<u8>> {
    let spread = high - low;
    if !spread.is_finite() || !(tolerance > 0.0) && spread > 0.0 {
        return None;
    }
    let middle = low + spread / 2.0;
    let one = T::from_f64(middle).to_f64();
    if (high - one).max(one - low) <= tolerance {
        let mut out = vec![CONSTANT];
        out.extend(middle.to_le_bytes());
        return Some(out);
    }
    choice::Frame { values, grid, range: (low, high), tolerance, effort }.encode()
}

/// Inverts [`encode`]; `out` has the grid's length and receives every point, ordinary or not.
pub(crate) fn decode<T: Sample>(bytes: &[u8], grid: &Grid, out: &mut [T]) -> Result<(), FormatError> {
    let mut cursor = Cursor::new(bytes);
    match cursor.u8("fast mode")? {
        CONSTANT => {
            let value = cursor.f64("constant")?;
            if !value.is_finite() {
                return Err(FormatError::number("constant", value, "a finite number"));
            }
            out.fill(T::from_f64(value));
            cursor.finish("fast kernel")
        }
        RASTER => {
            let scale = Scale::read(&mut cursor)?;
            raster::decode(&mut cursor, grid, &scale, out)?;
            cursor.finish("fast kernel")
        }
        LEVELS => {
            let scale = Scale::read(&mut cursor)?;
            levels::decode(&mut cursor, grid, &scale, out)?;
            cursor.finish("fast kernel")
        }
        SNAPPED => {
            snapped::decode(&mut cursor, grid, out)?;
            cursor.finish("fast kernel")
        }
        found => Err(FormatError::Value { field: "fast mode", found: found.into(), expected: SNAPPED.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Codes values between the least and the largest of them.
    fn encode<T: Sample>(values: &[T], grid: &Grid, tolerance: f64) -> Option<Vec<u8>> {
        super::encode(values, grid, range(values, grid.ordinary).unwrap_or_default(), tolerance, Effort::Hasty)
    }

    /// A wave with noise of the given amplitude.
    fn field(n: usize, noise: f64, seed: u64) -> Vec<f64> {
        let mut state = seed;
        (0..n)
            .map(|i| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let t = (i % 4000) as f64 / 2000.0 - 1.0;
                t * t * t + noise * ((state >> 40) as f64 / f64::from(1u32 << 24) - 0.5)
            })
            .collect()
    }

    fn round_trip<T: Sample + std::fmt::Debug>(
        values: &[T],
        grid: &Grid,
        tolerance: f64,
        slack: f64,
    ) -> Option<Vec<u8>> {
        let bytes = encode(values, grid, tolerance)?;
        let mut out = vec![T::from_f64(1.0); values.len()];
        assert_eq!(decode(&bytes, grid, &mut out), Ok(()));
        for (i, (v, a)) in values.iter().zip(&out).enumerate() {
            if grid.is_ordinary(i) {
                let error = (a.to_f64() - v.to_f64()).abs();
                assert!(
                    error <= tolerance + slack,
                    "point {i}: {v:?} became {a:?}, off by {error}, {tolerance} allowed"
                );
            }
        }
        for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            assert!(decode(&bytes[..cut], grid, &mut out).is_err());
        }
        let longer: Vec<u8> = bytes.iter().copied().chain([0]).collect();
        assert!(decode(&longer, grid, &mut out).is_err());
        Some(bytes)
    }

    /// Whether raster mode alone codes the values, too.
    fn raster_suits(values: &[f32], grid: &Grid) -> bool {
        round_trip(values, grid, 1e-3, 0.0).unwrap();
        let (low, high) = range(values, grid.ordinary).unwrap();
        let scale = Scale::fit::<f32>(0.0, low, high, 1e-3);
        raster::encode(values, grid, &scale, &raster::learn(values, grid, &scale), &mut Vec::new()).is_some()
    }

    #[test]
    fn constant_fields_take_nine_bytes() {
        let grid = Grid { dims: &[100, 100], ordinary: None };
        assert_eq!(round_trip(&vec![3.25f32; 10_000], &grid, 0.0, 0.0).unwrap().len(), 9);
        let nearly: Vec<f64> = (0..10_000).map(|i| 1.0 + 1e-6 * f64::from(i % 3)).collect();
        assert_eq!(round_trip(&nearly, &grid, 1.01e-6, 0.0).unwrap().len(), 9);
    }

    #[test]
    fn points_that_are_not_ordinary_may_hold_anything() {
        let dims = [20, 30, 40];
        let mut values: Vec<f32> = field(24_000, 0.01, 3).iter().map(|v| *v as f32).collect();
        let plain = round_trip(&values, &Grid { dims: &dims, ordinary: None }, 1e-3, 0.0).unwrap().len();
        let ordinary: Vec<bool> = (0..24_000).map(|i| i / 40 % 30 > 12).collect();
        for (v, o) in values.iter_mut().zip(&ordinary) {
            *v = if *o { *v } else { [f32::NAN, f32::INFINITY, 1e30][v.to_bits() as usize % 3] };
        }
        let masked = round_trip(&values, &Grid { dims: &dims, ordinary: Some(&ordinary) }, 1e-3, 0.0).unwrap().len();
        assert!(masked < plain * 3 / 4, "{masked} {plain}");
        // The last value of a row is repeated past its end.
        let odd = Grid { dims: &[20, 30 * 40 - 1], ordinary: Some(&ordinary[..20 * 1199]) };
        assert!(raster_suits(&values[..20 * 1199], &odd));
        let none = vec![false; 24_000];
        assert_eq!(round_trip(&values, &Grid { dims: &dims, ordinary: Some(&none) }, 1e-3, 0.0).unwrap().len(), 9);
    }

    #[test]
    fn extreme_magnitudes_keep_the_bound_or_are_refused() {
        let grid = Grid { dims: &[64, 64], ordinary: None };
        for scale in [1e300, 1e-300, 1e-310, 5e-324] {
            let values: Vec<f64> = field(4096, 0.1, 5).iter().map(|v| v * scale).collect();
            round_trip(&values, &grid, 1e-3 * scale, 0.0);
        }
        let wild: Vec<f64> = field(4096, 1.0, 9).iter().map(|v| v * f64::MAX).collect();
        assert!(encode(&wild, &grid, 1.0).is_none());
        let offset: Vec<f32> = field(4096, 0.1, 5).iter().map(|v| (1e6 + v) as f32).collect();
        round_trip(&offset, &grid, 0.5, 0.0).unwrap();
    }

    #[test]
    fn smooth_fields_of_every_rank_become_small() {
        for dims in [&[65_536][..], &[256, 256], &[16, 64, 64], &[4, 16, 32, 32], &[2, 2, 16, 32, 32], &[4096, 4, 4]] {
            let values = field(65_536, 0.0, 1);
            let bytes = round_trip(&values, &Grid { dims, ordinary: None }, 1e-3, 0.0).unwrap();
            assert!(bytes.len() < 12_000, "{dims:?}: {}", bytes.len());
        }
    }

    #[test]
    fn what_is_learned_tells_what_raster_mode_takes() {
        let grid = Grid { dims: &[20, 50, 60], ordinary: None };
        for noise in [0.003, 0.03, 0.3] {
            let values = field(60_000, noise, 11);
            let (low, high) = range(&values, None).unwrap();
            let scale = Scale::fit::<f64>(0.0, low, high, 1e-3);
            let learned = raster::learn(&values, &grid, &scale);
            let mut bytes = Vec::new();
            raster::encode(&values, &grid, &scale, &learned, &mut bytes).unwrap();
            let (told, taken) = (learned.bits.unwrap(), bytes.len() as f32 * 8.0 / values.len() as f32);
            assert!((0.67..1.5).contains(&(told / taken)), "noise {noise}: {told} bits instead of {taken}");
        }
    }

    #[test]
    fn haste_takes_the_mode_that_suits() {
        let grid = Grid { dims: &[400, 400], ordinary: None };
        let at = |i: usize| ((i % 400) as f64, (i / 400) as f64);
        let smooth: Vec<f64> = (0..160_000).map(at).map(|(x, y)| (x * 0.01).sin() * (y * 0.02).cos()).collect();
        let noise = field(160_000, 0.3, 7);
        // Rows of noise that come again in no order.
        let repeats: Vec<f64> = (0..160_000).map(|i| noise[i / 400 * 37 % 11 * 400 + i % 400]).collect();
        for (values, mode) in [(smooth, LEVELS), (noise, RASTER), (repeats, SNAPPED)] {
            assert_eq!(encode(&values, &grid, 1e-3).unwrap()[0], mode);
        }
    }

    fn shapes() -> impl Strategy<Value = Vec<usize>> {
        prop::collection::vec(prop_oneof![1usize..5, 1usize..40], 1..6)
            .prop_filter("small", |d| d.iter().product::<usize>() < 20_000)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_field_round_trips(
            dims in shapes(),
            noise in prop_oneof![Just(0.0), 1e-4f64..2.0],
            tolerance in prop_oneof![1e-5f64..1e-2, 1e-2f64..0.6],
            holes in prop::option::of(2u64..50),
            seed in any::<u64>(),
        ) {
            let values = field(dims.iter().product(), noise, seed);
            let ordinary: Vec<bool> = (0..values.len() as u64).map(|i| holes.is_none_or(|h| i * i / 7 % h != 0)).collect();
            let grid = Grid { dims: &dims, ordinary: holes.map(|_| ordinary.as_slice()) };
            prop_assert!(round_trip(&values, &grid, tolerance, 0.0).is_some() || tolerance < 1e-4);
            let single: Vec<f32> = values.iter().map(|v| *v as f32).collect();
            prop_assert!(round_trip(&single, &grid, tolerance, 0.0).is_some() || tolerance < 1e-4);
        }

        #[test]
        fn damaged_bytes_end_without_a_panic(
            dims in shapes(),
            seed in any::<u64>(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            tolerance in prop_oneof![Just(1e-4), Just(1e-2)],
        ) {
            let values = field(dims.iter().product(), 0.05, seed);
            let grid = Grid { dims: &dims, ordinary: None };
            let mut out = values.clone();
            if let Some(mut bytes) = encode(&values, &grid, tolerance) {
                for (at, byte) in damage {
                    let i = at.index(bytes.len());
                    bytes[i] ^= byte;
                }
                let _ = decode(&bytes, &grid, &mut out);
            }
        }

        #[test]
        fn arbitrary_bytes_are_refused_or_decode(
            dims in shapes(),
            bytes in prop::collection::vec(any::<u8>(), 0..120),
            mode in 0u8..5,
        ) {
            let grid = Grid { dims: &dims, ordinary: None };
            let mut out = vec![0f32; grid.len()];
            let bytes: Vec<u8> = [mode].into_iter().chain(bytes).collect();
            let _ = decode(&bytes, &grid, &mut out);
        }
    }
}
