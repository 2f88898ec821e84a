//! Codes of a frame to and from streams, one for each class (SPEC 9.4.4).

use super::activity::{Activity, BLOCK, Classifier, first_row};
use super::classes::{BUCKETS, MOST_CLASSES, choose_classes};
use super::shape::Shape;
use super::stencil::CHUNK;
use crate::codec::cursor::Cursor;
use crate::codec::prefix::{self, PADDING, Stream, WIDE};
use crate::error::FormatError;

/// Room for the codes of a row and of a chunk past its end.
pub(super) fn row_capacity(shape: &Shape) -> usize {
    shape.row.next_multiple_of(CHUNK)
}

/// Whether a block has a point that is ordinary.
fn is_coded(ordinary: Option<&[bool]>, x: usize) -> bool {
    ordinary.is_none_or(|o| o.iter().skip(x).take(BLOCK).any(|o| *o))
}

/// Appends the streams of `codes`; those of points that are not ordinary must be 0.
pub(super) fn write(codes: &[i16], shape: &Shape, ordinary: Option<&[bool]>, out: &mut Vec<u8>) {
    let n = shape.row;
    let blocks = n.div_ceil(BLOCK);
    let all = Classifier::new((1 << (BUCKETS - 1)) - 1);
    let mut activity = Activity::new(shape);
    /// Marks blocks that are not coded.
    const NONE: u8 = u8::MAX;
    /// Blocks that are counted, about.
    const COUNTED: usize = 1 << 13;
    let part = (8 * COUNTED / (codes.len() / BLOCK).max(1)).clamp(1, 8) as u32;
    let mut buckets = vec![0u8; blocks * shape.rows()];
    let mut counts = [[0u32; 256]; BUCKETS];
    for (r, (row, buckets)) in codes.chunks_exact(n).zip(buckets.chunks_exact_mut(blocks)).enumerate() {
        let mask = ordinary.map(|o| &o[r * n..(r + 1) * n]);
        let first = match activity.look(shape) {
            Some((activities, quiet)) => {
                if quiet && mask.is_none() && is_zero(row) {
                    counts[0][0] += n as u32;
                    activity.advance(shape, true);
                    continue;
                }
                all.classes(activities, buckets);
                false
            }
            None => true,
        };
        let (mut one, mut two, mut total) = (0, 0, 0);
        let magnitudes = activity.magnitudes();
        for (j, ((block, bucket), m)) in row.chunks(BLOCK).zip(buckets).zip(magnitudes).enumerate() {
            if first {
                *bucket = all.class(first_row(one, two));
            }
            if !is_coded(mask, j * BLOCK) {
                *bucket = NONE;
            }
            *m = block.iter().map(|c| c.unsigned_abs().min(128)).sum();
            total |= *m;
            (two, one) = (one, *m);
            // A part of the blocks tells what classes suit.
            if (j as u32).wrapping_mul(0x9e37_79b1).wrapping_add((r as u32).wrapping_mul(0x85eb_ca6b)) >> 29 >= part {
                continue;
            }
            let Some(counts) = counts.get_mut(usize::from(*bucket)) else { continue };
            if *m == 0 {
                counts[0] += block.len() as u32;
                continue;
            }
            for c in block {
                counts[usize::from((c << 1 ^ c >> 15).cast_unsigned().min(255))] += 1;
            }
        }
        activity.advance(shape, total == 0);
    }
    let starts = choose_classes(&counts, 8.0 / f64::from(part));
    let class_of: [u8; BUCKETS] = std::array::from_fn(|b| (starts & ((1u32 << b) - 1)).count_ones() as u8);
    let mut parts: [Vec<i16>; MOST_CLASSES] = std::array::from_fn(|_| Vec::new());
    let mut sizes = [0usize; 256];
    buckets.iter().for_each(|b| sizes[usize::from(*b)] += BLOCK);
    for (size, class) in sizes.iter().zip(class_of) {
        parts[usize::from(class)].reserve(*size);
    }
    for (row, buckets) in codes.chunks_exact(n).zip(buckets.chunks_exact(blocks)) {
        for (block, bucket) in row.chunks(BLOCK).zip(buckets) {
            if let Some(c) = class_of.get(usize::from(*bucket)) {
                match block.first_chunk::<BLOCK>() {
                    Some(b) => parts[usize::from(*c)].extend_from_slice(b),
                    None => parts[usize::from(*c)].extend_from_slice(block),
                }
            }
        }
    }
    let [low, high, ..] = starts.to_le_bytes();
    out.extend([low, high]);
    let streams: Vec<_> = parts[..=starts.count_ones() as usize].iter().map(|p| prefix::encode(p)).collect();
    prefix::write(&streams, out);
}

fn is_zero(codes: &[i16]) -> bool {
    codes.iter().fold(0, |all, c| all | c) == 0
}

/// The codes of a row, in whole chunks.
pub(super) enum Codes<'a> {
    Zero,
    /// Each in two's complement.
    Narrow(&'a [u8]),
    /// Where some are wide.
    Any(&'a [i32]),
}

/// Reads rows of codes.
#[derive(Debug)]
pub(super) struct CodeReader {
    streams: Vec<Reading>,
    classifier: Classifier,
    activity: Activity,
    classes: Vec<u8>,
    /// Codes of the row at hand, and zeros up to [`row_capacity`].
    narrow: Vec<[u8; BLOCK]>,
    any: Vec<i32>,
}

/// A stream and how much of it was read.
#[derive(Debug)]
struct Reading {
    stream: Stream,
    numbers: usize,
    wide: usize,
}

impl Reading {
    /// The next `n` numbers, at most [`BLOCK`], followed by others.
    #[inline(always)]
    fn block(&mut self, n: usize) -> Option<[u8; BLOCK]> {
        let block = *self.stream.numbers.get(self.numbers..)?.first_chunk()?;
        self.numbers += n;
        Some(block)
    }
}

/// The lowest bit of each byte.
const ONES: u64 = u64::MAX / 255;
/// The lower byte of each pair.
const LOWER: u64 = u64::MAX / 257;

/// Magnitudes of eight numbers.
#[inline(always)]
fn magnitudes(numbers: u64) -> u64 {
    let sign = numbers >> 7 & ONES;
    (numbers ^ (sign * 255)) + sign
}

/// Sum of eight magnitudes.
#[inline(always)]
fn sum(magnitudes: u64) -> u16 {
    let pairs = (magnitudes & LOWER) + (magnitudes >> 8 & LOWER);
    let fours = pairs + (pairs >> 16);
    (fours + (fours >> 32)) as u16
}

impl CodeReader {
    /// Takes all that is left of `cursor`.
    pub(super) fn new(cursor: &mut Cursor<'_>, shape: &Shape) -> Result<Self, FormatError> {
        let starts = u32::from(cursor.u8("class starts")?) | u32::from(cursor.u8("class starts")?) << 8;
        if starts.count_ones() as usize >= MOST_CLASSES || starts >> (BUCKETS - 1) != 0 {
            let expected = (1 << (BUCKETS - 1)) - 1;
            return Err(FormatError::Value { field: "class starts", found: starts.into(), expected });
        }
        let count = starts.count_ones() as usize + 1;
        let streams = prefix::read(cursor, count, shape.row * shape.rows())?;
        Ok(CodeReader {
            streams: streams.into_iter().map(|stream| Reading { stream, numbers: 0, wide: 0 }).collect(),
            classifier: Classifier::new(starts),
            activity: Activity::new(shape),
            classes: vec![0; shape.row.div_ceil(BLOCK)],
            narrow: vec![[0; BLOCK]; row_capacity(shape) / BLOCK],
            any: vec![0; row_capacity(shape)],
        })
    }

    /// Reads the codes of the next row; `ordinary` is given where not all points are.
    #[inline(always)]
    pub(super) fn row(&mut self, shape: &Shape, ordinary: Option<&[bool]>) -> Result<Codes<'_>, FormatError> {
        let n = shape.row;
        let mut first = false;
        match self.activity.look(shape) {
            None => first = true,
            Some((_, true)) if ordinary.is_none() && take_zeros(self.streams.first_mut(), n) => {
                self.activity.advance(shape, true);
                return Ok(Codes::Zero);
            }
            Some((activities, _)) => self.classifier.classes(activities, &mut self.classes),
        };
        if first || ordinary.is_some() {
            self.blocks_in_turn(first, n, ordinary)?;
        } else {
            self.blocks(n)?;
        }
        let blocks = &self.narrow;
        let mut total = 0u64;
        for (b, m) in blocks.iter().zip(self.activity.magnitudes()) {
            let magnitudes = magnitudes(u64::from_le_bytes(*b));
            *m = sum(magnitudes);
            total |= magnitudes;
        }
        self.activity.advance(shape, total == 0);
        if total == 0 {
            return Ok(Codes::Zero);
        }
        if total & ONES << 7 == 0 {
            return Ok(Codes::Narrow(self.narrow.as_flattened()));
        }
        self.widen()?;
        Ok(Codes::Any(&self.any))
    }

    /// Takes the blocks of a row, all of whose classes are known.
    #[inline(always)]
    fn blocks(&mut self, n: usize) -> Result<(), FormatError> {
        let blocks = self.narrow.iter_mut().zip(&self.classes);
        let mut last = n;
        for (to, class) in blocks {
            let taken = self.streams.get_mut(usize::from(*class)).and_then(|r| r.block(last.min(BLOCK)));
            *to = taken.ok_or(FormatError::Code { what: "codes of a class" })?;
            last = last.saturating_sub(BLOCK);
        }
        if !n.is_multiple_of(BLOCK) {
            self.cut(n);
        }
        Ok(())
    }

    /// Clears what is past the end of a row.
    fn cut(&mut self, n: usize) {
        if let Some(to) = self.narrow.get_mut(n / BLOCK) {
            to[n % BLOCK..].fill(0);
        }
    }

    /// Takes the blocks of a row that is the first, or has points that are not ordinary.
    #[cold]
    fn blocks_in_turn(&mut self, first: bool, n: usize, ordinary: Option<&[bool]>) -> Result<(), FormatError> {
        let (mut one, mut two) = (0, 0);
        for j in 0..self.classes.len() {
            if first {
                self.classes[j] = self.classifier.class(first_row(one, two));
            }
            let here = BLOCK.min(n - j * BLOCK);
            let block = match is_coded(ordinary, j * BLOCK) {
                true => self.streams.get_mut(usize::from(self.classes[j])).and_then(|r| r.block(here)),
                false => Some([0; BLOCK]),
            };
            self.narrow[j] = block.ok_or(FormatError::Code { what: "codes of a class" })?;
            if here < BLOCK {
                self.cut(n);
            }
            (two, one) = (one, sum(magnitudes(u64::from_le_bytes(self.narrow[j]))));
        }
        Ok(())
    }

    /// Replaces those codes of a row that are wide.
    #[cold]
    fn widen(&mut self) -> Result<(), FormatError> {
        let any = self.any.as_chunks_mut::<BLOCK>().0;
        for (j, (any, narrow)) in any.iter_mut().zip(&self.narrow).enumerate() {
            for (to, c) in any.iter_mut().zip(narrow) {
                *to = c.cast_signed().into();
                if c.cast_signed() == WIDE {
                    // Blocks that are not coded hold none.
                    let reading = self.classes.get(j).and_then(|c| self.streams.get_mut(usize::from(*c)));
                    let wide = reading.and_then(|r| {
                        r.wide += 1;
                        r.stream.wide.get(r.wide - 1)
                    });
                    *to = *wide.ok_or(FormatError::Code { what: "wide codes of a class" })?;
                }
            }
        }
        Ok(())
    }

    /// Checks that everything was read.
    pub(super) fn finish(self) -> Result<(), FormatError> {
        for r in &self.streams {
            if r.numbers + PADDING != r.stream.numbers.len() || r.wide != r.stream.wide.len() {
                return Err(FormatError::Code { what: "codes of a class" });
            }
        }
        Ok(())
    }
}

/// Takes the next `n` numbers of a stream if they are 0.
#[inline(always)]
fn take_zeros(reading: Option<&mut Reading>, n: usize) -> bool {
    let Some(reading) = reading else { return false };
    let end = reading.numbers + n;
    let zero =
        reading.stream.numbers.get(reading.numbers..end).is_some_and(|s| s.iter().fold(0, |all, c| all | c) == 0);
    if zero && end + PADDING <= reading.stream.numbers.len() {
        reading.numbers = end;
        return true;
    }
    false
}
