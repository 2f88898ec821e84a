//! Whole numbers without loss: the ordered images of floating-point values (SPEC 9.5).
//!
//! Where all values are decimal fractions, or narrower than they are stored, the shorter number is coded instead.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "shifts are below 64 by the checks on the header, positions are those of the grid"
)]

mod contexts;
mod differences;
mod form;
mod steps;

use super::Grid;
use crate::codec::cursor::{Cursor, put_varint};
use crate::error::FormatError;
use form::Form;
#[cfg(any(test, feature = "internals"))]
pub(crate) use form::{image32, image64};

/// How numbers are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// In contexts: in the fewest bytes.
    Contexts,
    /// By differences in prefix codes: a hundred times as fast.
    Differences,
}

/// Bit of the form that says that differences are coded.
const DIFFERENCES: u8 = 16;

/// Codes the ordinary points of `q`.
pub(crate) fn encode(q: &[u64], grid: &Grid, coding: Coding) -> Vec<u8> {
    let form = match grid.ordinary {
        None => form::choose(q),
        Some(o) => form::choose(&q.iter().zip(o).filter(|(_, o)| **o).map(|(q, _)| *q).collect::<Vec<_>>()),
    };
    // Points that are not ordinary repeat the one before.
    let first = (0..q.len()).find(|i| grid.is_ordinary(*i));
    let number = |i: usize| form.shorten(q[i]).unwrap_or(0);
    let mut last = first.map_or(0, number);
    let mut numbers: Vec<u64> = Vec::with_capacity(q.len());
    for i in 0..q.len() {
        last = if grid.is_ordinary(i) { number(i) } else { last };
        numbers.push(last);
    }
    let base = numbers.iter().min().copied().unwrap_or(0);
    let any = numbers.iter().fold(0, |a, n| a | (n - base));
    let zeros = any.trailing_zeros() & 63;
    numbers.iter_mut().for_each(|n| *n = (*n - base) >> zeros);
    let mut out = Vec::new();
    out.push(form.code() | if coding == Coding::Differences { DIFFERENCES } else { 0 });
    form.write_rest(&mut out);
    out.push(zeros as u8);
    match coding {
        Coding::Contexts => contexts::encode(&numbers, zeros, base, grid, &mut out),
        Coding::Differences => {
            put_varint(&mut out, base);
            differences::encode(&mut numbers, grid, &mut out);
        }
    }
    out
}

/// Inverse of [`encode`]; `out` must have the number of points of `grid`. Points that are not ordinary become 0.
pub(crate) fn decode(bytes: &[u8], grid: &Grid, out: &mut [u64]) -> Result<(), FormatError> {
    let mut cursor = Cursor::new(bytes);
    let code = cursor.u8("exact form")?;
    let form = Form::read_from(code & !DIFFERENCES, &mut cursor)?;
    let zeros = u32::from(cursor.u8("exact zero bits")?);
    if zeros > 63 {
        return Err(FormatError::Value { field: "exact zero bits", found: zeros.into(), expected: 63 });
    }
    let base = if code & DIFFERENCES == 0 {
        contexts::decode(&mut cursor, zeros, grid, out)?
    } else {
        let base = cursor.varint("exact base")?;
        differences::decode(&mut cursor, grid, out)?;
        base
    };
    for (i, n) in out.iter_mut().enumerate() {
        *n = if grid.is_ordinary(i) { form.restore(base.wrapping_add(*n << zeros)) } else { 0 };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(q: &[u64], dims: &[usize], ordinary: Option<&[bool]>) -> usize {
        let grid = Grid { dims, ordinary };
        [Coding::Differences, Coding::Contexts].map(|coding| {
            let bytes = encode(q, &grid, coding);
            let mut out = vec![7; q.len()];
            assert_eq!(decode(&bytes, &grid, &mut out), Ok(()));
            for i in 0..q.len() {
                assert_eq!(out[i], if grid.is_ordinary(i) { q[i] } else { 0 }, "{i}");
            }
            bytes.len()
        })[1]
    }

    #[test]
    fn decimal_values_cost_little() {
        let f = |i: u32| f64::from((i * i) % 97 + 1000) / 100.0;
        let q: Vec<u64> = (0..400).map(|i| image64(f(i))).collect();
        assert!(round_trip(&q, &[20, 20], None) < 450);
        let q: Vec<u64> = (0..400).map(|i| image32(f(i) as f32)).collect();
        assert!(round_trip(&q, &[20, 20], None) < 450);
        let q: Vec<u64> = (0..400).map(|i| image64((f(i) as f32).into())).collect();
        assert!(round_trip(&q, &[20, 20], None) < 450);
    }

    #[test]
    fn printed_numbers_cost_little() {
        let f = |i: i32| format!("{:.5e}", f64::from(i * i - 3000) * 1.234_567_891e-7).parse::<f64>();
        let q: Vec<u64> = (0..400).map(|i| image64(f(i).unwrap())).collect();
        let n = round_trip(&q, &[400], None);
        assert!(n < 1200, "{n}");
        let zero: Vec<u64> = [0.0, -1.5, 2.0e-9, 0.0].map(image64).to_vec();
        round_trip(&zero, &[4], None);
        round_trip(&[image64(-0.0), image64(0.0)], &[2], None);
    }

    #[test]
    fn numbers_unpacked_from_sixteen_bits_cost_sixteen_bits() {
        let mut state = 1u64;
        let q: Vec<u64> = (0..20_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                image32((281.7 + 0.001_234_5 * (state >> 48) as f64) as f32)
            })
            .collect();
        let n = round_trip(&q, &[100, 200], None);
        assert!(n < 20_000 * 17 / 8, "{n}");
        let damaged = |at: usize, v: f64| {
            let grid = Grid { dims: &[100, 200], ordinary: None };
            let mut bytes = encode(&q, &grid, Coding::Differences);
            assert_eq!(bytes[0], 11 | DIFFERENCES);
            bytes[at..at + 8].copy_from_slice(&v.to_le_bytes());
            decode(&bytes, &grid, &mut vec![0; 20_000])
        };
        assert!(damaged(1, f64::NAN).is_err() && damaged(9, 0.0).is_err() && damaged(9, f64::INFINITY).is_err());
    }

    #[test]
    fn extreme_numbers_round_trip() {
        round_trip(&[], &[0], None);
        round_trip(&[u64::MAX], &[1], None);
        round_trip(&[u64::MAX, 0, 1, 1 << 63], &[2, 2], None);
        let ordinary = [true, false, false, true];
        round_trip(&[u64::MAX, 3, 9, 0], &[4], Some(&ordinary));
    }

    proptest! {
        #[test]
        fn any_numbers_round_trip(
            q in prop::collection::vec(any::<u64>(), 24),
            shift in 0u32..64,
            ordinary in prop::collection::vec(any::<bool>(), 24),
        ) {
            let q: Vec<u64> = q.iter().map(|v| v >> shift).collect();
            round_trip(&q, &[2, 3, 4], None);
            round_trip(&q, &[24], Some(&ordinary));
        }

        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut out = [0; 24];
            let _ = decode(&bytes, &Grid { dims: &[2, 3, 4], ordinary: None }, &mut out);
        }
    }
}
