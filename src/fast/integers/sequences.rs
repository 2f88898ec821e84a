//! Copies of integers that stood before, and how they are stored (SPEC 9.4.9).

use crate::codec::bits::{BitReader, BitWriter};
use crate::codec::cursor::put_block;
use crate::codec::prefix::{self, Coded, Images, Numbers};
use crate::codec::slots::{SMALL, of_slot, slot};
use crate::error::FormatError;
use std::ops::Range;

/// After so many literals come so many copied integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sequence {
    pub(super) run: u32,
    pub(super) len: u32,
    /// How far back they stand; 0 for as far as in the sequence before.
    pub(super) distance: u32,
}

/// Prices are in parts of a bit.
pub(super) const BIT: u32 = 8;
/// Streams of sequences: slots of runs, lengths and distances.
pub(super) const STREAMS: usize = 3;
/// Slots below this have numbers of 32 bits.
const SLOTS: u32 = 128;

/// Appends the block of lower bits to `out`, and the streams of slots to `streams`.
pub(super) fn write(sequences: &[Sequence], out: &mut Vec<u8>, streams: &mut Vec<Coded>) {
    let fields: [fn(&Sequence) -> u32; STREAMS] = [|s| s.run, |s| s.len, |s| s.distance];
    for field in fields {
        let mut images = Images::with_room(sequences.len());
        sequences.iter().for_each(|s| images.push_image(slot(field(s).into()) as u16));
        streams.push(prefix::encode(&images));
    }
    let mut bits = BitWriter::with_room(sequences.len() * STREAMS * 32);
    for s in sequences {
        for number in fields.map(|field| u64::from(field(s))) {
            let (count, least) = of_slot(slot(number)).unwrap_or_default();
            bits.put(number - least, count);
        }
    }
    put_block(out, &bits.finish());
}

/// The sequences of these streams, with the lower bits of their numbers.
pub(super) fn read(fields: &mut [Numbers], lower: &[u8]) -> Result<Vec<Sequence>, FormatError> {
    let wrong = || FormatError::Code { what: "sequences" };
    let count = fields.first().map_or(0, Numbers::len);
    if fields.iter().any(|f| f.len() != count) {
        return Err(wrong());
    }
    let mut bits = BitReader::new(lower);
    let mut sequences = Vec::with_capacity(count);
    for _ in 0..count {
        let mut numbers = [0; STREAMS];
        for (number, field) in numbers.iter_mut().zip(fields.iter_mut()) {
            let slot = field.image().filter(|s| *s < SLOTS);
            let (count, least) = slot.and_then(of_slot).ok_or_else(wrong)?;
            *number = (least | bits.take(count).ok_or_else(wrong)?) as u32;
        }
        let [run, len, distance] = numbers;
        sequences.push(Sequence { run, len, distance });
    }
    if !fields.iter().all(Numbers::is_used_up) {
        return Err(wrong());
    }
    bits.finish("bits of sequences")?;
    Ok(sequences)
}

/// Copies integers of `q` within it; false if that is not possible.
pub(super) fn copy(q: &mut [u16], to: Range<usize>, distance: usize) -> bool {
    let (start, end) = (to.start, to.end);
    if distance == 0 || distance > start || end > q.len() || start > end {
        return false;
    }
    let mut at = start;
    while at < end {
        // What was copied can be copied in turn.
        let n = (end - at).min(at - (start - distance));
        q.copy_within(start - distance..start - distance + n, at);
        at += n;
    }
    true
}

/// How many integers from `i` on stand `d` before, too, which is not before the first.
pub(super) fn alike(q: &[u16], i: usize, d: usize) -> usize {
    let (a, b) = (&q[i..], &q[i - d..]);
    let blocks = a.chunks_exact(16).zip(b.chunks_exact(16)).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[16 * blocks..], &b[16 * blocks..]);
    16 * blocks + a.iter().zip(b).take(16).take_while(|(a, b)| a == b).count()
}

/// What a field of a sequence costs, about.
fn field_cost(number: u32) -> u32 {
    4 * BIT + BIT * number.max(1).ilog2() * if u64::from(number) < SMALL { 1 } else { 2 } / 2
}

/// What a sequence costs, about, in parts of a bit; `last` is the distance before.
pub(super) fn cost(run: u32, len: u32, distance: u32, last: u32) -> u32 {
    let far = if distance == last { 2 * BIT } else { (4 + distance.max(1).ilog2()) * BIT };
    far + field_cost(run) + field_cost(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_may_overlap_what_they_make() {
        let mut q = [1, 2, 0, 0, 0, 0, 0];
        assert!(copy(&mut q, 2..7, 2));
        assert_eq!(q, [1, 2, 1, 2, 1, 2, 1]);
        assert!(!copy(&mut q, 2..7, 3) && !copy(&mut q, 2..8, 1) && !copy(&mut q, 2..4, 0));
    }
}
