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
            Form::Decimal { source, multiply, .. } => {
                let source = match source {
                    Source::Binary64 => 0,
                    Source::Binary32 => 1,
                    Source::Rounded => 2,
                };
                2 + 2 * source + u8::from(multiply)
            }
        }
    }

    fn read_from(cursor: &mut Cursor) -> Result<Form, FormatError> {
        let code = cursor.u8("exact form")?;
        let source = match code {
            0 => return Ok(Form::Plain),
            1 => return Ok(Form::Widened),
            2 | 3 => Source::Binary64,
            4 | 5 => Source::Binary32,
            6 | 7 => Source::Rounded,
            _ => return Err(FormatError::Value { field: "exact form", found: code.into(), expected: 7 }),
        };
        let digits = cursor.u8("exact digits")?;
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
                let x = match source {
                    Source::Binary32 => f64::from(float32(q)),
                    _ => float64(q),
                };
                let n = (x * TENS[usize::from(digits)]).round_ties_even();
                if !(n.abs() < DECIMAL_MAX) {
                    return None;
                }
                let n = ((n as i64).cast_unsigned()).wrapping_add(1 << 63);
                (self.restore(n) == q).then_some(n)
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
                let x = if multiply { n * TENTHS[d] } else { n / TENS[d] };
                match source {
                    Source::Binary64 => image64(x),
                    Source::Binary32 => image32(x as f32),
                    Source::Rounded => image64((x as f32).into()),
                }
            }
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
    let bits = u64::BITS - (any >> zeros).leading_zeros();

    // Points that are not ordinary repeat the one before.
    let mut offsets = Vec::with_capacity(q.len());
    let mut rest = numbers.iter();
    let mut last = numbers.first().map_or(0, |n| (n - base) >> zeros);
    for i in 0..q.len() {
        if grid.is_ordinary(i) {
            last = rest.next().map_or(0, |n| (n - base) >> zeros);
        }
        offsets.push(last);
    }
    let mut distinct = offsets.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let noise = if distinct.len() <= DICTIONARY { 0 } else { noise_bits(&offsets, grid).saturating_sub(KEPT_BITS) };
    drop(distinct);
    let mut cut = bits.saturating_sub(UPPER_BITS).max(noise);
    loop {
        let upper: Vec<f64> = offsets.iter().map(|n| (n >> cut) as f64).collect();
        if let Some(block) = raster::encode_whole(&upper, grid) {
            let mut out = vec![form.code()];
            if let Form::Decimal { digits, .. } = form {
                out.push(digits);
            }
            out.push(zeros as u8);
            out.push(cut as u8);
            put_varint(&mut out, base);
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
        *n = if grid.is_ordinary(i) { form.restore(base.wrapping_add(*n << zeros)) } else { 0 };
    }
    Ok(())
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
    for digits in 0..=DIGITS_TRIED {
        for multiply in [false, true] {
            let form = Form::Decimal { source, multiply, digits };
            if all(form) && span(images, form) < span(images, Form::Plain) {
                return form;
            }
        }
    }
    if widened { Form::Widened } else { Form::Plain }
}

/// Difference between the largest and the smallest number that stand for `images`.
fn span(images: &[u64], form: Form) -> u64 {
    let numbers = || images.iter().filter_map(|q| form.shorten(*q));
    numbers().max().unwrap_or(0) - numbers().min().unwrap_or(0)
}

/// Bit length that half of the differences to the nearest of the neighbors on each axis stay below.
fn noise_bits(numbers: &[u64], grid: &Grid) -> u32 {
    let shape = Shape::of_grid(grid.dims);
    let mut counts = [0usize; 65];
    let mut total = 0;
    for i in 0..numbers.len() {
        let nearest = shape.strides.iter().filter(|s| **s <= i).map(|s| numbers[i].abs_diff(numbers[i - s])).min();
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
