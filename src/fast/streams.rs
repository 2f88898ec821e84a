//! Streams of codes, one for each class, as raster and levels mode read them (SPEC 9.4.4).

use super::classes::{BUCKETS, Classifier, MOST_CLASSES};
use super::eight::LOWEST;
use crate::codec::cursor::Cursor;
use crate::codec::prefix::{self, PADDING, Stream};
use crate::error::FormatError;

/// Codes of a row that share a class.
pub(super) const BLOCK: usize = 8;
/// Codes whose magnitude is larger count as this in that of their block.
pub(super) const MOST_MAGNITUDE: f32 = 128.0;

/// A stream and how much of it was read.
#[derive(Debug)]
pub(super) struct Reading {
    stream: Stream,
    numbers: usize,
    wide: usize,
}

impl Reading {
    /// The next `n` numbers, at most [`BLOCK`], followed by others.
    #[inline(always)]
    pub(super) fn block(&mut self, n: usize) -> Option<[u8; BLOCK]> {
        let block = *self.stream.numbers.get(self.numbers..)?.first_chunk()?;
        self.numbers += n;
        Some(block)
    }

    /// The next number that is wide.
    pub(super) fn wide(&mut self) -> Option<i32> {
        self.wide += 1;
        self.stream.wide.get(self.wide - 1).copied()
    }

    /// Takes the next `n` numbers if they are 0.
    #[inline(always)]
    pub(super) fn zeros(&mut self, n: usize) -> bool {
        let end = self.numbers + n;
        let zero = self.stream.numbers.get(self.numbers..end).is_some_and(|s| s.iter().fold(0, |all, c| all | c) == 0);
        if zero && end + PADDING <= self.stream.numbers.len() {
            self.numbers = end;
            return true;
        }
        false
    }
}

/// The streams and the classes that they belong to; they end where `cursor` does.
pub(super) fn read(cursor: &mut Cursor<'_>, most: usize) -> Result<(Vec<Reading>, Classifier), FormatError> {
    let starts = u32::from(cursor.u8("class starts")?) | u32::from(cursor.u8("class starts")?) << 8;
    if starts.count_ones() as usize >= MOST_CLASSES || starts >> (BUCKETS - 1) != 0 {
        let expected = (1 << (BUCKETS - 1)) - 1;
        return Err(FormatError::Value { field: "class starts", found: starts.into(), expected });
    }
    let streams = prefix::read(cursor, starts.count_ones() as usize + 1, most)?;
    let streams = streams.into_iter().map(|stream| Reading { stream, numbers: 0, wide: 0 }).collect();
    Ok((streams, Classifier::new(starts)))
}

/// Checks that all streams were read.
pub(super) fn finish(streams: &[Reading]) -> Result<(), FormatError> {
    let is_read = |r: &Reading| r.numbers + PADDING == r.stream.numbers.len() && r.wide == r.stream.wide.len();
    if streams.iter().all(is_read) { Ok(()) } else { Err(FormatError::Code { what: "codes of a class" }) }
}

/// The lower byte of each pair.
const LOWER: u64 = u64::MAX / 257;

/// Magnitudes of eight numbers.
#[inline(always)]
pub(super) fn magnitudes(numbers: u64) -> u64 {
    let sign = numbers >> 7 & LOWEST;
    (numbers ^ (sign * 255)) + sign
}

/// Sum of eight magnitudes.
#[inline(always)]
pub(super) fn sum(magnitudes: u64) -> u16 {
    let pairs = (magnitudes & LOWER) + (magnitudes >> 8 & LOWER);
    let fours = pairs + (pairs >> 16);
    (fours + (fours >> 32)) as u16
}
