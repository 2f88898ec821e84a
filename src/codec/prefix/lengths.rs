//! Lengths of the codes of all streams (SPEC 8.4.3).

use super::{Code, LONGEST, MOST_DOUBLINGS, ZEROS};
use crate::codec::arithmetic;
use crate::codec::mix::Counter;
use crate::error::FormatError;

/// Limit of the counters' adaptation.
const COUNTER_LIMIT: u32 = 60;

/// Counters of the binary tree over a length, by the lengths before it.
struct LengthContexts(Vec<[Counter; 16]>);

impl LengthContexts {
    fn new() -> Self {
        LengthContexts(vec![[Counter::NEW; 16]; 12])
    }

    /// Counters after the lengths `one` and `two` before.
    fn tree(&mut self, one: u32, two: u32) -> &mut [Counter; 16] {
        &mut self.0[((one + two + 1) >> 1) as usize]
    }
}

/// What a length is thought to follow where there is none before.
const FIRST_LENGTH: u32 = 6;

pub(super) fn write_lengths<'a>(tables: impl Iterator<Item = &'a [u8; 256]>) -> Vec<u8> {
    let mut contexts = LengthContexts::new();
    let mut e = arithmetic::Encoder::new();
    let mut any = false;
    for lengths in tables {
        any = true;
        let last = lengths.iter().rposition(|l| *l > 0).unwrap_or(0);
        for shift in (0..8).rev() {
            e.bit(last >> shift & 1 == 1, 1 << 15);
        }
        let (mut one, mut two) = (FIRST_LENGTH, FIRST_LENGTH);
        for l in &lengths[..=last] {
            let tree = contexts.tree(one, two);
            let mut node = 1;
            for shift in (0..4).rev() {
                let bit = l >> shift & 1 == 1;
                e.bit(bit, tree[node].p().max(1));
                tree[node].update(bit, COUNTER_LIMIT);
                node = node * 2 + usize::from(bit);
            }
            (one, two) = (u32::from(*l), one);
        }
    }
    if any { e.finish() } else { Vec::new() }
}

pub(super) fn read_lengths(bytes: &[u8], codes: &mut [Code]) -> Result<(), FormatError> {
    let mut contexts = LengthContexts::new();
    let mut d = arithmetic::Decoder::new(bytes);
    let mut any = false;
    for code in codes.iter_mut().filter(|c| c.form != ZEROS) {
        any = true;
        let mut last = 0usize;
        for _ in 0..8 {
            last = last << 1 | usize::from(d.bit(1 << 15));
        }
        let (mut one, mut two) = (FIRST_LENGTH, FIRST_LENGTH);
        let mut used = 0u32;
        for l in &mut code.lengths[..=last] {
            let tree = contexts.tree(one, two);
            let mut node = 1;
            for _ in 0..4 {
                let bit = d.bit(tree[node].p().max(1));
                tree[node].update(bit, COUNTER_LIMIT);
                node = node * 2 + usize::from(bit);
            }
            let length = node as u32 - 16;
            if length > LONGEST {
                return Err(FormatError::Code { what: "length of a prefix code" });
            }
            *l = length as u8;
            used += if length > 0 { 1 << (LONGEST - length) } else { 0 };
            (one, two) = (length, one);
        }
        if used != 1 << LONGEST {
            return Err(FormatError::Code { what: "prefix code" });
        }
        let run_bits = code.run_bits();
        if let Some(l) = code.lengths.get(MOST_DOUBLINGS as usize + 1..1 << run_bits)
            && l.iter().any(|l| *l > 0)
        {
            return Err(FormatError::Code { what: "run of zeros" });
        }
    }
    if any {
        return d.finish("lengths of prefix codes");
    }
    if bytes.is_empty() {
        Ok(())
    } else {
        Err(FormatError::TrailingBytes { what: "prefix codes", count: bytes.len() as u64 })
    }
}
