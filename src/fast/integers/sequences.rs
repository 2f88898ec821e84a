//! Copies of integers that stood before, and how they are stored (SPEC 9.4.9).

use crate::codec::cursor::{Cursor, put_block};
use crate::codec::prefix::{self, Coded, Images};
use crate::error::FormatError;
use crate::fast::numbers::Numbers;
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
/// Slots so small hold themselves.
const SMALL: u32 = 16;

/// The slot of a number: how many bits it has, and the two after its highest.
fn slot(number: u32) -> u32 {
    match number {
        0..SMALL => number,
        n => 4 * n.ilog2() + (n >> (n.ilog2() - 2) & 3),
    }
}

/// How many bits follow a slot, and its least number; `None` if there is no such slot.
fn of_slot(slot: u32) -> Option<(u32, u32)> {
    match slot {
        0..SMALL => Some((0, slot)),
        SMALL..128 => Some((slot / 4 - 2, (4 | slot & 3) << (slot / 4 - 2))),
        _ => None,
    }
}

/// Appends the block of lower bits to `out`, and the streams of slots to `streams`.
pub(super) fn write(sequences: &[Sequence], out: &mut Vec<u8>, streams: &mut Vec<Coded>) {
    let fields: [fn(&Sequence) -> u32; STREAMS] = [|s| s.run, |s| s.len, |s| s.distance];
    for field in fields {
        let mut images = Images::with_room(sequences.len());
        sequences.iter().for_each(|s| images.push_image(slot(field(s)) as u16));
        streams.push(prefix::encode(&images));
    }
    let mut bits = Bits::default();
    let mut lower = Vec::new();
    for s in sequences {
        for number in fields.map(|field| field(s)) {
            let (count, least) = of_slot(slot(number)).unwrap_or_default();
            bits.put(number - least, count, &mut lower);
        }
    }
    bits.finish(&mut lower);
    put_block(out, &lower);
}

/// The sequences of these streams, with the lower bits of their numbers.
pub(super) fn read(fields: &mut [Numbers], mut lower: Cursor<'_>) -> Result<Vec<Sequence>, FormatError> {
    let wrong = || FormatError::Code { what: "sequences" };
    let count = fields.first().map_or(0, Numbers::len);
    if fields.iter().any(|f| f.len() != count) {
        return Err(wrong());
    }
    let mut bits = Bits::default();
    let mut sequences = Vec::with_capacity(count);
    for _ in 0..count {
        let mut numbers = [0; STREAMS];
        for (number, field) in numbers.iter_mut().zip(fields.iter_mut()) {
            let (count, least) = field.image().and_then(of_slot).ok_or_else(wrong)?;
            *number = least | bits.take(count, &mut lower)?;
        }
        let [run, len, distance] = numbers;
        sequences.push(Sequence { run, len, distance });
    }
    if !bits.is_done() || !fields.iter().all(Numbers::is_used_up) {
        return Err(wrong());
    }
    lower.finish("bits of sequences")?;
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

/// Bits on their way to whole bytes, the highest first.
#[derive(Debug, Default)]
struct Bits {
    pending: u64,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u32, bits: u32, out: &mut Vec<u8>) {
        self.pending = self.pending << bits | u64::from(value);
        self.count += bits;
        while self.count >= 8 {
            self.count -= 8;
            out.push((self.pending >> self.count) as u8);
        }
    }

    fn finish(mut self, out: &mut Vec<u8>) {
        if self.count > 0 {
            let fill = 8 - self.count;
            self.put(0, fill, out);
        }
    }

    fn take(&mut self, bits: u32, cursor: &mut Cursor<'_>) -> Result<u32, FormatError> {
        while self.count < bits {
            self.pending = self.pending << 8 | u64::from(cursor.u8("bits of sequences")?);
            self.count += 8;
        }
        self.count -= bits;
        Ok((self.pending >> self.count) as u32 & ((1u64 << bits) - 1) as u32)
    }

    /// Whether all bits that were not taken are 0.
    fn is_done(&self) -> bool {
        self.pending & ((1 << self.count) - 1) == 0
    }
}

/// What a field of a sequence costs, about.
fn field_cost(number: u32) -> u32 {
    4 * BIT + BIT * number.max(1).ilog2() * if number < SMALL { 1 } else { 2 } / 2
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

    #[test]
    fn slots_have_all_numbers() {
        for d in (0..5000).chain([u32::MAX, u32::MAX / 3]) {
            let (bits, least) = of_slot(slot(d)).unwrap();
            assert!(d >= least && u64::from(d) < u64::from(least) + (1 << bits), "{d}");
        }
        assert_eq!(of_slot(128), None);
    }
}
