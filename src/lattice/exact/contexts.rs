//! Whole numbers in two parts: upper ones by the raster kernel on a lattice of step 1, lower ones, which are noise unless a neighbor with
//! the same upper part repeats, mostly as they are (SPEC 9.5.3).

use crate::codec::arithmetic::{BitCoder, Decoder, Encoder};
use crate::codec::cursor::{Cursor, put_block, put_varint};
use crate::codec::mix::Counter;
use crate::error::FormatError;
use crate::lattice::causal::{Shape, Walk, taps};
use crate::lattice::matches::Lookup;
use crate::lattice::{Grid, copies, raster};

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

/// Codes numbers, which `base` and `zeros` were taken away from; those that are not ordinary repeat the one before.
pub(super) fn encode(numbers: &[u64], zeros: u32, base: u64, grid: &Grid, out: &mut Vec<u8>) {
    let mut distinct: Vec<u64> = (0..numbers.len()).filter(|i| grid.is_ordinary(*i)).map(|i| numbers[i]).collect();
    distinct.sort_unstable();
    distinct.dedup();
    let gaps = find_gaps(&distinct);
    let largest = close_gaps(distinct.last().copied().unwrap_or(0), &gaps);
    let bits = u64::BITS - largest.leading_zeros();
    let few = distinct.len() <= DICTIONARY;
    drop(distinct);
    let mut offsets: Vec<u64> = numbers.iter().map(|n| close_gaps(*n, &gaps)).collect();
    let noise = if few { 0 } else { noise_bits(&offsets, grid).saturating_sub(KEPT_BITS) };
    let mut cut = bits.saturating_sub(UPPER_BITS).max(noise);
    loop {
        let upper: Vec<f64> = offsets.iter().map(|n| (n >> cut) as f64).collect();
        if let Some(block) = raster::encode_whole(&upper, grid) {
            out.push(cut as u8);
            put_varint(out, base);
            out.push(gaps.len() as u8);
            for (start, len) in &gaps {
                put_varint(out, *start);
                put_varint(out, *len);
            }
            if cut == 0 {
                out.extend(block);
            } else {
                put_block(out, &block);
                let mut coder = Encoder::new();
                code_lower(&mut coder, &mut offsets, cut, grid);
                out.extend(coder.finish());
            }
            return;
        }
        // Upper parts that jump too far are made narrower; at 0 bits they always suit.
        cut = (cut + 4).min(63 - zeros);
    }
}

/// Inverse of [`encode`]: sets the numbers, and returns the base. Takes all that is left of `cursor`.
pub(super) fn decode(cursor: &mut Cursor, zeros: u32, grid: &Grid, out: &mut [u64]) -> Result<u64, FormatError> {
    let cut = u32::from(cursor.u8("exact lower bits")?);
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
    out.iter_mut().for_each(|n| *n = open_gaps(*n, &gaps));
    Ok(base)
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
