//! Whole numbers without loss: the ordered images of floating-point values (SPEC 9.5).
//!
//! Where all values are decimal fractions, or narrower than they are stored, the shorter number is coded instead. What
//! is left is cut in two: upper parts are coded by the raster kernel on a lattice of step 1, lower parts, which are
//! noise unless a neighbor with the same upper part repeats, are mostly stored as they are.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "shifts are below 64 by the checks on the header, positions are those of the grid"
)]

use super::causal::{Shape, Walk, taps};
use super::copies;
use super::matches::Lookup;
use super::{Grid, raster};
use crate::codec::arithmetic::{BitCoder, Decoder, Encoder};
use crate::codec::cursor::{Cursor, put_block, put_varint};
use crate::codec::mix::Counter;
use crate::error::FormatError;

/// Largest power of ten that binary64 holds exactly, as a table.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];
/// The nearest binary64 numbers to negative powers of ten.
const TENTHS: [f64; 23] = [
    1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14, 1e-15, 1e-16, 1e-17,
    1e-18, 1e-19, 1e-20, 1e-21, 1e-22,
];
/// Most significant digits of a ranked number.
const SIGNIFICANT_MAX: u8 = 15;
/// Digits that the writer tries.
const DIGITS_TRIED: u8 = 12;
/// Decimal numbers are kept below this.
const DECIMAL_MAX: f64 = 4_503_599_627_370_496.0;
/// Bits that upper parts keep beyond what they change from point to point.
const KEPT_BITS: u32 = 14;
/// Bits of the widest upper part.
const UPPER_BITS: u32 = 52;
/// Neighbors whose lower part may repeat.
const NEIGHBORS: usize = 6;
/// Those, and the last points with the same upper part: after the same three, between the same four, and anywhere.
const SOURCES: usize = NEIGHBORS + 3;
/// Stretches without numbers that are taken out.
const MAX_GAPS: usize = 2;
/// Distinct numbers up to which they are not cut.
const DICTIONARY: usize = 4096;

/// What a number stands for (SPEC 9.5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Itself.
    Plain,
    /// The ordered image of a binary32 number, for the ordered image of the same number in binary64.
    Widened,
    /// `n` for the image of `n / 10^digits`, or of `n * 10^-digits`.
    Decimal { source: Source, multiply: bool, digits: u8 },
    /// The rank of a number among those of so many significant decimal digits.
    Significant { source: Source, digits: u8 },
}

/// What images are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Binary64,
    Binary32,
    /// Binary64 numbers rounded to binary32.
    Rounded,
}

impl Form {
    fn code(self) -> u8 {
        match self {
            Form::Plain => 0,
            Form::Widened => 1,
            Form::Decimal { source, multiply, .. } => 2 + 2 * source as u8 + u8::from(multiply),
            Form::Significant { source, .. } => 8 + source as u8,
        }
    }

    fn read_from(cursor: &mut Cursor) -> Result<Form, FormatError> {
        let code = cursor.u8("exact form")?;
        let source = match code {
            0 => return Ok(Form::Plain),
            1 => return Ok(Form::Widened),
            2 | 3 | 8 => Source::Binary64,
            4 | 5 | 9 => Source::Binary32,
            6 | 7 | 10 => Source::Rounded,
            _ => return Err(FormatError::Value { field: "exact form", found: code.into(), expected: 10 }),
        };
        let digits = cursor.u8("exact digits")?;
        if code >= 8 {
            if !(1..=SIGNIFICANT_MAX).contains(&digits) {
                let expected = SIGNIFICANT_MAX.into();
                return Err(FormatError::Value { field: "exact digits", found: digits.into(), expected });
            }
            return Ok(Form::Significant { source, digits });
        }
        if usize::from(digits) >= TENS.len() {
            return Err(FormatError::Value { field: "exact digits", found: digits.into(), expected: 22 });
        }
        Ok(Form::Decimal { source, multiply: code & 1 == 1, digits })
    }

    /// The number that stands for image `q`, if there is one.
    fn shorten(self, q: u64) -> Option<u64> {
        match self {
            Form::Plain => Some(q),
            Form::Widened => {
                let n = image32(float64(q) as f32);
                (self.restore(n) == q).then_some(n)
            }
            Form::Decimal { source, digits, .. } => {
                let x = source.number(q);
                let n = (x * TENS[usize::from(digits)]).round_ties_even();
                if n.is_nan() || n.abs() >= DECIMAL_MAX {
                    return None;
                }
                let n = ((n as i64).cast_unsigned()).wrapping_add(1 << 63);
                (self.restore(n) == q).then_some(n)
            }
            Form::Significant { source, digits } => {
                let x = source.number(q);
                if x == 0.0 {
                    return (self.restore(1 << 63) == q).then_some(1 << 63);
                }
                let lowest = TENS[usize::from(digits) - 1];
                // Logarithms may be off by one near powers of ten.
                let guess = f64::from(digits) - 1.0 - x.abs().log10().floor();
                (-1..=1).find_map(|d| {
                    let k = guess as i32 + d;
                    let tens = *TENS.get(k.unsigned_abs() as usize)?;
                    let n = (if k < 0 { x.abs() / tens } else { x.abs() * tens }).round_ties_even();
                    if !(n >= lowest && n < lowest * 10.0) {
                        return None;
                    }
                    let decade = 9 * lowest as u64;
                    let rank = decade * (22 - k).unsigned_abs() as u64 + (n - lowest) as u64 + 1;
                    let rank = if x < 0.0 { (1 << 63) - rank } else { (1 << 63) + rank };
                    (self.restore(rank) == q).then_some(rank)
                })
            }
        }
    }

    /// Inverse of [`Form::shorten`].
    fn restore(self, n: u64) -> u64 {
        match self {
            Form::Plain => n,
            Form::Widened => image64(float32(n).into()),
            Form::Decimal { source, multiply, digits } => {
                let n = n.wrapping_sub(1 << 63).cast_signed() as f64;
                let d = usize::from(digits);
                source.image(if multiply { n * TENTHS[d] } else { n / TENS[d] })
            }
            Form::Significant { source, digits } => {
                let rank = n.abs_diff(1 << 63);
                if rank == 0 {
                    return source.image(0.0);
                }
                let lowest = TENS[usize::from(digits) - 1];
                let decade = 9 * lowest as u64;
                let mantissa = lowest + ((rank - 1) % decade) as f64;
                // Hostile ranks beyond the table stop at its end.
                let place = ((rank - 1) / decade).min(44) as usize;
                let x = if place <= 22 { mantissa / TENS[22 - place] } else { mantissa * TENS[place - 22] };
                source.image(if n < 1 << 63 { -x } else { x })
            }
        }
    }
}

impl Source {
    fn number(self, q: u64) -> f64 {
        match self {
            Source::Binary32 => float32(q).into(),
            Source::Binary64 | Source::Rounded => float64(q),
        }
    }

    fn image(self, x: f64) -> u64 {
        match self {
            Source::Binary64 => image64(x),
            Source::Binary32 => image32(x as f32),
            Source::Rounded => image64((x as f32).into()),
        }
    }
}

/// The ordered image of a binary64 number (SPEC 9.5): images compare as the numbers do.
pub(crate) fn image64(x: f64) -> u64 {
    let b = x.to_bits();
    if b >> 63 == 1 { !b } else { b | 1 << 63 }
}
/// Inverse of [`image64`].
pub(crate) fn float64(q: u64) -> f64 {
    f64::from_bits(if q >> 63 == 1 { q & !(1 << 63) } else { !q })
}
/// The ordered image of a binary32 number.
pub(crate) fn image32(x: f32) -> u64 {
    let b = x.to_bits();
    u64::from(if b >> 31 == 1 { !b } else { b | 1 << 31 })
}
/// Inverse of [`image32`]; bits above the lowest 32 are ignored.
pub(crate) fn float32(q: u64) -> f32 {
    let q = q as u32;
    f32::from_bits(if q >> 31 == 1 { q & !(1 << 31) } else { !q })
}

/// Codes the ordinary points of `q`.
pub(crate) fn encode(q: &[u64], grid: &Grid) -> Vec<u8> {
    let points: Vec<u64> = (0..q.len()).filter(|i| grid.is_ordinary(*i)).map(|i| q[i]).collect();
    let form = choose_form(&points);
    let numbers: Vec<u64> = points.iter().map(|q| form.shorten(*q).unwrap_or(0)).collect();
    let base = numbers.iter().min().copied().unwrap_or(0);
    let any = numbers.iter().fold(0, |a, n| a | (n - base));
    let zeros = any.trailing_zeros() & 63;
    let mut distinct: Vec<u64> = numbers.iter().map(|n| (n - base) >> zeros).collect();
    distinct.sort_unstable();
    distinct.dedup();
    let gaps = find_gaps(&distinct);
    let largest = close_gaps(distinct.last().copied().unwrap_or(0), &gaps);
    let bits = u64::BITS - largest.leading_zeros();
    let few = distinct.len() <= DICTIONARY;
    drop(distinct);

    // Points that are not ordinary repeat the one before.
    let mut offsets = Vec::with_capacity(q.len());
    let mut rest = numbers.iter();
    let offset = |n: &u64| close_gaps((n - base) >> zeros, &gaps);
    let mut last = numbers.first().map_or(0, offset);
    for i in 0..q.len() {
        if grid.is_ordinary(i) {
            last = rest.next().map_or(0, offset);
        }
        offsets.push(last);
    }
    let noise = if few { 0 } else { noise_bits(&offsets, grid).saturating_sub(KEPT_BITS) };
    let mut cut = bits.saturating_sub(UPPER_BITS).max(noise);
    loop {
        let upper: Vec<f64> = offsets.iter().map(|n| (n >> cut) as f64).collect();
        if let Some(block) = raster::encode_whole(&upper, grid) {
            let mut out = vec![form.code()];
            if let Form::Decimal { digits, .. } | Form::Significant { digits, .. } = form {
                out.push(digits);
            }
            out.push(zeros as u8);
            out.push(cut as u8);
            put_varint(&mut out, base);
            out.push(gaps.len() as u8);
            for (start, len) in &gaps {
                put_varint(&mut out, *start);
                put_varint(&mut out, *len);
            }
            if cut == 0 {
                out.extend(block);
            } else {
                put_block(&mut out, &block);
                let mut coder = Encoder::new();
                code_lower(&mut coder, &mut offsets, cut, grid);
                out.extend(coder.finish());
            }
            return out;
        }
        // Upper parts that jump too far are made narrower; at 0 bits they always suit.
        cut = (cut + 4).min(63 - zeros);
    }
}

/// Inverse of [`encode`]; `out` must have the number of points of `grid`. Points that are not ordinary become 0.
pub(crate) fn decode(bytes: &[u8], grid: &Grid, out: &mut [u64]) -> Result<(), FormatError> {
    let mut cursor = Cursor::new(bytes);
    let form = Form::read_from(&mut cursor)?;
    let zeros = u32::from(cursor.u8("exact zero bits")?);
    let cut = u32::from(cursor.u8("exact lower bits")?);
    if zeros > 63 {
        return Err(FormatError::Value { field: "exact zero bits", found: zeros.into(), expected: 63 });
    }
    if cut > 63 - zeros {
        return Err(FormatError::Value { field: "exact lower bits", found: cut.into(), expected: (63 - zeros).into() });
    }
    let base = cursor.varint("exact base")?;
    let count = cursor.u8("exact gap count")?;
    if usize::from(count) > MAX_GAPS {
        return Err(FormatError::Value { field: "exact gap count", found: count.into(), expected: MAX_GAPS as u64 });
    }
    let mut gaps = Vec::new();
    for _ in 0..count {
        gaps.push((cursor.varint("exact gap start")?, cursor.varint("exact gap length")?));
    }
    let block = if cut == 0 { cursor.take_rest() } else { cursor.block("exact upper parts")? };
    let mut upper = vec![0.0; out.len()];
    raster::decode(block, grid, &mut upper)?;
    for (n, x) in out.iter_mut().zip(&upper) {
        // Hostile numbers saturate; shifting loses what does not fit.
        *n = (*x as u64) << cut;
    }
    drop(upper);
    if cut > 0 {
        let mut coder = Decoder::new(cursor.take_rest());
        code_lower(&mut coder, out, cut, grid);
        coder.finish("exact lower parts")?;
    }
    for (i, n) in out.iter_mut().enumerate() {
        *n = if grid.is_ordinary(i) { form.restore(base.wrapping_add(open_gaps(*n, &gaps) << zeros)) } else { 0 };
    }
    Ok(())
}

/// The widest stretches without numbers, if they are a good part of the whole: the last number before each, and by how
/// much the numbers after it come down. Values on both sides of zero leave such stretches.
fn find_gaps(distinct: &[u64]) -> Vec<(u64, u64)> {
    let mut widest: Vec<(u64, u64)> = distinct.windows(2).map(|w| (w[1] - w[0], w[0])).collect();
    widest.sort_unstable_by(|a, b| b.cmp(a));
    widest.truncate(MAX_GAPS);
    let span = distinct.last().copied().unwrap_or(0);
    let mut gaps: Vec<(u64, u64)> = widest
        .into_iter()
        .filter(|(width, _)| *width > 64 && *width > span / 8)
        .map(|(w, start)| (start, w - 1))
        .collect();
    gaps.sort_unstable();
    gaps
}

fn close_gaps(n: u64, gaps: &[(u64, u64)]) -> u64 {
    gaps.iter().rev().fold(n, |n, (start, len)| if n > *start { n - len } else { n })
}

/// Inverse of [`close_gaps`].
fn open_gaps(n: u64, gaps: &[(u64, u64)]) -> u64 {
    gaps.iter().fold(n, |n, (start, len)| if n > *start { n.wrapping_add(*len) } else { n })
}

/// The form in which all of `images` can be told apart with the fewest bits.
fn choose_form(images: &[u64]) -> Form {
    let all = |form: Form| images.iter().all(|q| form.shorten(*q).is_some());
    let narrow = images.iter().all(|q| *q <= u64::from(u32::MAX));
    let widened = !narrow && all(Form::Widened);
    let source = match (narrow, widened) {
        (true, _) => Source::Binary32,
        (false, true) => Source::Rounded,
        (false, false) => Source::Binary64,
    };
    let mut best = if widened { Form::Widened } else { Form::Plain };
    let fixed =
        (0..=DIGITS_TRIED).flat_map(|digits| [false, true].map(|multiply| Form::Decimal { source, multiply, digits }));
    let significant = (1..=SIGNIFICANT_MAX).map(|digits| Form::Significant { source, digits });
    for form in fixed.filter(|f| all(*f)).take(1).chain(significant.filter(|f| all(*f)).take(1)) {
        if span(images, form) < span(images, best) {
            best = form;
        }
    }
    best
}

/// Difference between the largest and the smallest number that stand for `images`.
fn span(images: &[u64], form: Form) -> u64 {
    let numbers = || images.iter().filter_map(|q| form.shorten(*q));
    numbers().max().unwrap_or(0) - numbers().min().unwrap_or(0)
}

/// Bit length that half of the differences to the nearest of the neighbors on each axis stay below.
fn noise_bits(numbers: &[u64], grid: &Grid) -> u32 {
    let shape = Shape::of_grid(grid.dims);
    let values: Vec<f64> = numbers.iter().map(|n| *n as f64).collect();
    // Where points are copies of others their lowest bits are too, or nearly.
    if !copies::find(&values, grid.ordinary, &shape).is_empty() {
        return 0;
    }
    drop(values);
    let mut counts = [0usize; 65];
    let mut total = 0;
    for i in 0..numbers.len() {
        let near = shape.strides.iter().filter(|s| **s <= i).map(|s| i - s);
        let nearest = near.map(|p| numbers[i].abs_diff(numbers[p])).min();
        if let Some(d) = nearest.filter(|d| *d > 0 && grid.is_ordinary(i)) {
            counts[(u64::BITS - d.leading_zeros()) as usize] += 1;
            total += 1;
        }
    }
    let mut below = 0;
    let at = |count: &usize| {
        below += count;
        2 * below >= total
    };
    counts.iter().position(at).unwrap_or(0) as u32
}

/// Codes the lowest `cut` bits of `numbers`, whose other bits are there already.
fn code_lower<C: BitCoder>(coder: &mut C, numbers: &mut [u64], cut: u32, grid: &Grid) {
    let shape = Shape::of_grid(grid.dims);
    let axes = shape.axes();
    let mut walk = Walk::new(shape, taps(axes, NEIGHBORS));
    let mask = (1u64 << cut) - 1;
    let bits = (usize::BITS - numbers.len().leading_zeros()).clamp(10, 20);
    let mut lookups = [Lookup::new(bits), Lookup::new(bits), Lookup::new(bits)];
    // By source, by whether it repeated the last three times, and by whether another was refused before it.
    let mut counters = [Counter::NEW; SOURCES * 8 * 2];
    let mut history = [0usize; SOURCES];
    for i in 0..numbers.len() {
        if !grid.is_ordinary(i) {
            walk.step();
            continue;
        }
        let upper = numbers[i] & !mask;
        let mut lower = numbers[i] & mask;
        let key = (upper >> cut).cast_signed();
        let near = walk.back.iter().map(|b| Some(i - b).filter(|p| *b > 0 && grid.is_ordinary(*p)));
        // Upper parts are all known, those that follow too; a mirror image has the same keys.
        let ahead = |d: usize| Some(i + d).filter(|p| *p < numbers.len() && grid.is_ordinary(*p));
        let behind = |d: usize| i.checked_sub(d).filter(|p| grid.is_ordinary(*p));
        let part = |p: Option<usize>| p.map_or(0, |p| (numbers[p] >> cut).cast_signed());
        let pair = |d: usize| {
            let (a, b) = (part(behind(d)), part(ahead(d)));
            (a.min(b), a.max(b))
        };
        let ((a, b), (c, d)) = (pair(1), pair(2));
        let found = [
            lookups[0].find(&[key, part(behind(1)), part(behind(2)), part(behind(3))]),
            lookups[1].find(&[key, a, b, c, d]),
            lookups[2].find(&[key]),
        ];
        let mut known = false;
        let mut refused = None;
        for (j, from) in found.into_iter().chain(near).enumerate() {
            let Some(from) = from.filter(|f| numbers[*f] & !mask == upper) else { continue };
            let there = numbers[from] & mask;
            if refused == Some(there) {
                continue;
            }
            let slot = (j * 8 + history[j]) * 2 + usize::from(refused.is_some());
            let same = coder.code(there == lower, counters[slot].p().clamp(1, 65535));
            counters[slot].update(same, 255);
            history[j] = (history[j] * 2 + usize::from(same)) & 7;
            if same {
                lower = there;
                known = true;
                break;
            }
            refused = Some(there);
        }
        if !known {
            let wanted = lower;
            lower = 0;
            for bit in (0..cut).rev() {
                lower = lower << 1 | u64::from(coder.code(wanted >> bit & 1 == 1, 1 << 15));
            }
        }
        numbers[i] = upper | lower;
        lookups.iter_mut().for_each(|l| l.put(i));
        walk.step();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(q: &[u64], dims: &[usize], ordinary: Option<&[bool]>) -> usize {
        let grid = Grid { dims, ordinary };
        let bytes = encode(q, &grid);
        let mut out = vec![7; q.len()];
        assert_eq!(decode(&bytes, &grid, &mut out), Ok(()));
        for i in 0..q.len() {
            assert_eq!(out[i], if grid.is_ordinary(i) { q[i] } else { 0 }, "{i}");
        }
        bytes.len()
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
