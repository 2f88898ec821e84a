//! Exponent runs (SPEC 7.2): the decimal exponent of every ordinary point, with two markers for the zeros.

use super::arithmetic::{BitCoder, Decoder, Encoder};
use super::bzip;
use super::cursor::{Cursor, put_varint, unzigzag, zigzag};
use super::integers::{Decisions, Integers, bit_length};
use super::neighbors::{Neighbors, Place};
use crate::error::FormatError;
use crate::lattice::Grid;
use crate::normalize::EXPONENT_MAX;

/// Exponent of a point that is not ordinary: such points have none.
pub(crate) const HOLE: i16 = i16::MIN;
/// Marker of +0.
pub(crate) const ZERO: i16 = 1000;
/// Marker of -0.
pub(crate) const MINUS_ZERO: i16 = 1001;

/// Whether `exponent` is one, neither a marker nor [`HOLE`].
#[inline(always)]
pub(crate) fn is_exponent(exponent: i16) -> bool {
    exponent.unsigned_abs() <= EXPONENT_MAX.unsigned_abs()
}

const WHAT: &str = "exponent runs";
const RAW: u8 = 0;
const BZIP2: u8 = 1;
const RUNS: u8 = 2;
const POINTS: u8 = 3;

/// Most bytes of one raw run: a code below 2^11 and a length of at most 2^64.
const RUN_BYTES_MAX: usize = 12;

/// Largest code of a run: 2 and the zigzag of the difference between the extreme exponents.
const CODE_MAX: u64 = 2 + 4 * EXPONENT_MAX.unsigned_abs() as u64;

/// The runs of `exponents`, one entry for each point of `grid`, which must be [`HOLE`] exactly where `grid` has no
/// ordinary value. No bytes if there is none.
pub(crate) fn encode(exponents: &[i16], grid: &Grid<'_>) -> Vec<u8> {
    let runs = runs(exponents);
    if runs.is_empty() {
        return Vec::new();
    }
    let mut raw = Vec::new();
    let mut last = 0;
    for (exponent, len) in &runs {
        put_varint(&mut raw, code_of(*exponent, last));
        put_varint(&mut raw, len.saturating_sub(1));
        if is_exponent(*exponent) {
            last = *exponent;
        }
    }
    let mut best = with_method(RAW, &raw);
    // No other form gets a few runs below their raw size.
    if raw.len() > 8 {
        if let Some(packed) = bzip::encode(&raw) {
            let mut form = vec![BZIP2];
            put_varint(&mut form, raw.len() as u64);
            form.extend(packed);
            keep_shorter(&mut best, form);
        }
        let mut io = Encoder::new();
        let mut given = runs.iter().copied();
        let coded = code_runs(&mut io, total(&runs), || given.next(), |_, _| {});
        if coded.is_ok() {
            let mut form = vec![RUNS];
            put_varint(&mut form, runs.len() as u64);
            form.extend(io.finish());
            keep_shorter(&mut best, form);
        }
        let mut io = Encoder::new();
        let mut carried = exponents.to_vec();
        if code_points(&mut io, &mut carried, grid, |i| exponents.get(i).copied().unwrap_or(0)).is_ok() {
            keep_shorter(&mut best, with_method(POINTS, &io.finish()));
        }
    }
    best
}

/// The exponents of all points of `grid` from what [`encode`] made.
pub(crate) fn decode(bytes: &[u8], grid: &Grid<'_>) -> Result<Vec<i16>, FormatError> {
    let ordinary = (0..grid.len()).filter(|i| grid.is_ordinary(*i)).count() as u64;
    let mut cursor = Cursor::new(bytes);
    if ordinary == 0 {
        return cursor.finish(WHAT).map(|()| vec![HOLE; grid.len()]);
    }
    match cursor.u8(WHAT)? {
        RAW => read_runs(cursor.take_rest(), ordinary).map(|runs| spread(&runs, grid)),
        BZIP2 => read_packed(cursor, ordinary).map(|runs| spread(&runs, grid)),
        RUNS => read_coded(cursor, ordinary).map(|runs| spread(&runs, grid)),
        POINTS => read_points(cursor, grid),
        found => {
            let expected = u64::from(POINTS);
            Err(FormatError::Value { field: "exponent method", found: u64::from(found), expected })
        }
    }
}

fn with_method(method: u8, body: &[u8]) -> Vec<u8> {
    [&[method], body].concat()
}

fn keep_shorter(best: &mut Vec<u8>, form: Vec<u8>) {
    if form.len() < best.len() {
        *best = form;
    }
}

/// Maximal runs of equal exponents over the ordinary points in flat order.
fn runs(exponents: &[i16]) -> Vec<(i16, u64)> {
    let mut runs: Vec<(i16, u64)> = Vec::new();
    for e in exponents.iter().filter(|e| **e != HOLE) {
        match runs.last_mut() {
            Some((last, len)) if last == e => *len = len.saturating_add(1),
            _ => runs.push((*e, 1)),
        }
    }
    runs
}

fn total(runs: &[(i16, u64)]) -> u64 {
    runs.iter().fold(0, |sum, (_, len)| sum.saturating_add(*len))
}

/// 0 and 1 are the zeros; exponents follow as the zigzag of their difference from the last one.
fn code_of(exponent: i16, last: i16) -> u64 {
    match exponent {
        ZERO => 0,
        MINUS_ZERO => 1,
        k => zigzag(i64::from(k).saturating_sub(i64::from(last))).saturating_add(2),
    }
}

/// Inverse of [`code_of`].
fn exponent_of(code: u64, last: i16) -> Result<i16, FormatError> {
    match code {
        0 => Ok(ZERO),
        1 => Ok(MINUS_ZERO),
        c => {
            let k = unzigzag(c.saturating_sub(2)).saturating_add(i64::from(last));
            i16::try_from(k).ok().filter(|k| is_exponent(*k)).ok_or(FormatError::Code { what: WHAT })
        }
    }
}

/// What the rules on runs demand of each next one.
struct Rules {
    left: u64,
    previous: Option<i16>,
    last: i16,
}

impl Rules {
    fn new(ordinary: u64) -> Self {
        Rules { left: ordinary, previous: None, last: 0 }
    }

    /// Accepts a run of `len_less_1 + 1` points with the exponent of `code`.
    fn accept(&mut self, code: u64, len_less_1: u64) -> Result<(i16, u64), FormatError> {
        let exponent = exponent_of(code, self.last)?;
        // Equal neighbors would be one run.
        if self.previous == Some(exponent) || len_less_1 >= self.left {
            return Err(FormatError::Code { what: WHAT });
        }
        let len = len_less_1.saturating_add(1);
        self.left = self.left.saturating_sub(len);
        self.previous = Some(exponent);
        if is_exponent(exponent) {
            self.last = exponent;
        }
        Ok((exponent, len))
    }
}

fn read_runs(raw: &[u8], ordinary: u64) -> Result<Vec<(i16, u64)>, FormatError> {
    let mut cursor = Cursor::new(raw);
    let mut rules = Rules::new(ordinary);
    let mut runs = Vec::new();
    while rules.left > 0 {
        let code = cursor.varint_max("exponent code", CODE_MAX)?;
        runs.push(rules.accept(code, cursor.varint("exponent run length")?)?);
    }
    cursor.finish(WHAT)?;
    Ok(runs)
}

fn read_packed(mut cursor: Cursor<'_>, ordinary: u64) -> Result<Vec<(i16, u64)>, FormatError> {
    let most = ordinary.saturating_mul(RUN_BYTES_MAX as u64);
    let len = cursor.varint_max("bytes of exponent runs", most)?;
    let len = usize::try_from(len).map_err(|_| FormatError::Code { what: WHAT })?;
    read_runs(&bzip::decode(cursor.take_rest(), len, WHAT)?, ordinary)
}

fn read_coded(mut cursor: Cursor<'_>, ordinary: u64) -> Result<Vec<(i16, u64)>, FormatError> {
    let count = cursor.varint_max("number of exponent runs", ordinary)?;
    let mut io = Decoder::new(cursor.take_rest());
    let mut runs = Vec::new();
    let mut left = count;
    code_runs(
        &mut io,
        ordinary,
        || {
            left = left.checked_sub(1)?;
            Some((ZERO, 1))
        },
        |exponent, len| runs.push((exponent, len)),
    )?;
    io.finish(WHAT)?;
    Ok(runs)
}

/// Codes runs until `next` has no more; they must add up to `ordinary`. A decoder's `next` gives anything.
fn code_runs<B: BitCoder>(
    io: &mut B,
    ordinary: u64,
    mut next: impl FnMut() -> Option<(i16, u64)>,
    mut done: impl FnMut(i16, u64),
) -> Result<(), FormatError> {
    let damaged = FormatError::Code { what: WHAT };
    let mut codes = Integers::new([32, 16, 1]);
    let mut lengths = Integers::new([32, 64, 1]);
    let mut rules = Rules::new(ordinary);
    let (mut code_before, mut len_before) = (0usize, [0usize; 2]);
    while let Some((exponent, len)) = next() {
        let wanted = code_of(exponent, rules.last).cast_signed();
        let code = codes.code(io, wanted, [code_before, len_before[0], 0]).ok_or(damaged.clone())?;
        let code = u64::try_from(code).ok().filter(|c| *c <= CODE_MAX).ok_or(damaged.clone())?;
        let class = usize::try_from(code.min(31)).unwrap_or(31);
        let wanted = len.saturating_sub(1).cast_signed();
        let around = len_before[0].saturating_mul(8).saturating_add(len_before[1]);
        let len = lengths.code(io, wanted, [class, around, 0]).ok_or(damaged.clone())?;
        let len = u64::try_from(len).map_err(|_| damaged.clone())?;
        code_before = class;
        len_before = [bit_length(len, 7), len_before[0]];
        let (exponent, len) = rules.accept(code, len)?;
        done(exponent, len);
    }
    if rules.left == 0 { Ok(()) } else { Err(damaged) }
}

/// Nodes of the models of [`code_points`].
const IS_WEST: usize = 0;
const IS_NORTH: usize = 1;
const IS_BELOW: usize = 2;

/// Codes point after point. `carried` is filled with the exponents; points that are not ordinary carry that of the
/// point before them (0 at the start), so that every neighbor has one.
fn code_points<B: BitCoder>(
    io: &mut B,
    carried: &mut [i16],
    grid: &Grid<'_>,
    given: impl Fn(usize) -> i16,
) -> Result<(), FormatError> {
    let damaged = FormatError::Code { what: WHAT };
    let around = Neighbors::new(grid.dims);
    let mut same = Decisions::new(3, [256, 64, 1]);
    let mut codes = Integers::new([32, 1, 1]);
    let (mut last, mut history, mut code_before) = (0i16, 0usize, 0usize);
    for i in 0..carried.len() {
        let west = around.at(carried, i, Place::West, 0);
        let mut found = west;
        if grid.is_ordinary(i) {
            let exponent = given(i);
            let [north, below] = [Place::North, Place::Below].map(|p| around.at(carried, i, p, west));
            let [east, corner, depth, level] =
                [Place::NorthEast, Place::NorthWest, Place::BelowWest, Place::BelowNorth]
                    .map(|p| around.at(carried, i, p, west));
            let alike = [
                north == west,
                below == west,
                east == west,
                corner == west,
                north == below,
                north == corner,
                below == depth,
                north == level,
            ];
            let context = alike.iter().fold(0usize, |c, b| (c << 1) | usize::from(*b));
            let contexts = [context & 255, history & 63, 0];
            let stays = same.code(io, exponent == west, IS_WEST, contexts);
            history = (history << 1) | usize::from(!stays);
            if !stays {
                if north != west && same.code(io, exponent == north, IS_NORTH, contexts) {
                    found = north;
                } else if below != west && below != north && same.code(io, exponent == below, IS_BELOW, contexts) {
                    found = below;
                } else {
                    let wanted = code_of(exponent, last).cast_signed();
                    let code = codes.code(io, wanted, [code_before, 0, 0]).ok_or(damaged.clone())?;
                    let code = u64::try_from(code).ok().filter(|c| *c <= CODE_MAX).ok_or(damaged.clone())?;
                    code_before = usize::try_from(code.min(31)).unwrap_or(31);
                    found = exponent_of(code, last)?;
                }
            }
            if is_exponent(found) {
                last = found;
            }
        }
        if let Some(slot) = carried.get_mut(i) {
            *slot = found;
        }
    }
    Ok(())
}

fn read_points(mut cursor: Cursor<'_>, grid: &Grid<'_>) -> Result<Vec<i16>, FormatError> {
    let mut io = Decoder::new(cursor.take_rest());
    let mut exponents = vec![0; grid.len()];
    code_points(&mut io, &mut exponents, grid, |_| 0)?;
    io.finish(WHAT)?;
    for (i, e) in exponents.iter_mut().enumerate() {
        if !grid.is_ordinary(i) {
            *e = HOLE;
        }
    }
    Ok(exponents)
}

/// Lays runs over the ordinary points; their lengths add up to the number of those.
fn spread(runs: &[(i16, u64)], grid: &Grid<'_>) -> Vec<i16> {
    let mut runs = runs.iter();
    let (mut exponent, mut left) = (HOLE, 0u64);
    (0..grid.len())
        .map(|i| {
            if !grid.is_ordinary(i) {
                return HOLE;
            }
            if left == 0 {
                (exponent, left) = runs.next().copied().unwrap_or((HOLE, 1));
            }
            left = left.saturating_sub(1);
            exponent
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, clippy::arithmetic_side_effects, reason = "small numbers of tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(exponents: &[i16], dims: &[usize]) -> usize {
        let ordinary: Vec<bool> = exponents.iter().map(|e| *e != HOLE).collect();
        let grid = Grid { dims, ordinary: Some(&ordinary) };
        let bytes = encode(exponents, &grid);
        assert_eq!(decode(&bytes, &grid).unwrap(), exponents);
        let mut more = bytes.clone();
        more.push(1);
        // The arithmetic decoder reads four bytes ahead, so it need not notice one more.
        assert!(decode(&more, &grid).is_err() || bytes.first().is_some_and(|m| *m >= RUNS));
        bytes.len()
    }

    #[test]
    fn one_run_takes_a_few_bytes() {
        assert_eq!(round_trip(&[3; 1000], &[1000]), 4);
        assert_eq!(round_trip(&[ZERO; 100], &[100]), 3);
        assert_eq!(round_trip(&[HOLE; 100], &[100]), 0);
        assert_eq!(round_trip(&[MINUS_ZERO], &[1]), 3);
        assert_eq!(round_trip(&[], &[0]), 0);
    }

    #[test]
    fn smooth_exponents_are_coded_by_point() {
        let exponents: Vec<i16> = (0..64 * 64i32)
            .map(|i| {
                let (r, c) = (i / 64 - 30, i % 64 - 30);
                ((r * r + c * c) / 300) as i16 - 2
            })
            .collect();
        let grid = Grid { dims: &[64, 64], ordinary: None };
        let bytes = encode(&exponents, &grid);
        assert_eq!(bytes.first(), Some(&POINTS));
        assert_eq!(decode(&bytes, &grid).unwrap(), exponents);
    }

    #[test]
    fn runs_that_break_the_rules_are_refused() {
        let grid = Grid { dims: &[4], ordinary: None };
        let code = FormatError::Code { what: WHAT };
        // Two equal runs in a row; a run too long; an exponent beyond 330.
        assert_eq!(decode(&[RAW, 0, 1, 0, 1], &grid), Err(code.clone()));
        assert_eq!(decode(&[RAW, 0, 4], &grid), Err(code.clone()));
        assert_eq!(decode(&[RAW, 0xb8, 5, 3], &grid).unwrap_err(), code);
        assert!(matches!(decode(&[RAW, 0, 1], &grid), Err(FormatError::Truncated { .. })));
        assert!(decode(&[9], &grid).is_err());
    }

    fn any_exponent() -> impl Strategy<Value = i16> {
        prop_oneof![4 => -1i16..2, 1 => Just(ZERO), 1 => Just(MINUS_ZERO), 1 => Just(HOLE), 1 => -330i16..=330]
    }

    proptest! {
        #[test]
        fn any_exponents_round_trip(
            runs in prop::collection::vec((any_exponent(), 1usize..20), 0..60), width in 1usize..9)
        {
            let mut all: Vec<i16> = runs.iter().flat_map(|(e, n)| std::iter::repeat_n(*e, *n)).collect();
            all.truncate(all.len() / width * width);
            round_trip(&all, &[all.len() / width, width]);
        }

        #[test]
        fn every_method_survives_random_bytes(mut bytes in prop::collection::vec(any::<u8>(), 1..80), method in 0u8..4) {
            bytes[0] = method;
            let ordinary: Vec<bool> = (0..60).map(|i| i % 7 != 3).collect();
            let grid = Grid { dims: &[3, 4, 5], ordinary: Some(&ordinary) };
            if let Ok(e) = decode(&bytes, &grid) {
                prop_assert!(e.iter().zip(&ordinary).all(|(e, o)| (*e == HOLE) != *o));
            }
        }
    }
}
