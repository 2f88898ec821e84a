//! Where the numbers just coded were coded before, and what came after them (SPEC 9.3.5).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "positions lie inside the numbers coded so far, and tables are indexed by hashes cut to their size"
)]

use super::raster_symbol::RECORDS;

/// Numbers that the hash of a match covers.
const MIN_LEN: usize = 6;
/// How far back the length of a new match is measured.
const MEASURED: u32 = 32;

/// Finds the last place where the same `MIN_LEN` numbers stood and follows it.
#[derive(Debug)]
pub(super) struct Matches {
    /// Position after the last occurrence of each hash, plus one; 0 if none.
    table: Vec<u32>,
    bits: u32,
    /// Position of the number that is expected next, if there is a match.
    next: Option<usize>,
    len: u32,
    /// The last eight guesses, 1 where one was wrong.
    misses: u8,
}

impl Matches {
    pub(super) fn new(bits: u32) -> Self {
        Matches { table: vec![0; 1 << bits], bits, next: None, len: 0, misses: 0 }
    }

    /// Position of the number that is expected to come next, and how far it can be trusted.
    #[inline(always)]
    pub(super) fn guess(&self) -> Option<(usize, usize)> {
        let record = match self.misses.count_ones() {
            0 => (u32::BITS - self.len.leading_zeros()).min(11) as usize,
            n => 11 + (n as usize).min(4),
        };
        self.next.map(|p| (p, record.min(RECORDS - 1)))
    }

    /// Takes the numbers `coded`, of which the last is new.
    #[inline(always)]
    pub(super) fn update<T: Copy + PartialEq>(&mut self, coded: &[T], key: impl Fn(T) -> u64) {
        let n = coded.len();
        if let Some(p) = self.next {
            let hit = coded[p] == coded[n - 1];
            self.misses = self.misses << 1 | u8::from(!hit);
            self.len = if hit { (self.len + 1).min(65535) } else { self.len / 4 };
            self.next = (self.misses.count_ones() < 5).then_some(p + 1);
        }
        if n < MIN_LEN {
            return;
        }
        let mut h = 0u64;
        for v in &coded[n - MIN_LEN..] {
            h = (h ^ key(*v)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            h ^= h >> 29;
        }
        let slot = &mut self.table[(h >> (64 - self.bits)) as usize];
        if self.next.is_none() && *slot > 0 {
            let p = *slot as usize;
            let mut len = 0;
            while len < MEASURED && len < p as u32 && coded[p - 1 - len as usize] == coded[n - 1 - len as usize] {
                len += 1;
            }
            if len as usize >= MIN_LEN {
                (self.next, self.len, self.misses) = (Some(p), len, 0);
            }
        }
        *slot = n as u32;
    }
}

/// Remembers what stood last at a point with the same neighbors.
#[derive(Debug)]
pub(super) struct Lookup {
    /// Position of the last point of each hash, plus one; 0 if none.
    table: Vec<u32>,
    bits: u32,
    slot: usize,
}

impl Lookup {
    pub(super) fn new(bits: u32) -> Self {
        Lookup { table: vec![0; 1 << bits], bits, slot: 0 }
    }

    /// Position of the last point with these `neighbors`.
    #[inline(always)]
    pub(super) fn find(&mut self, neighbors: &[i64]) -> Option<usize> {
        let mut h = 0u64;
        for v in neighbors {
            h = (h ^ v.cast_unsigned()).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            h ^= h >> 29;
        }
        self.slot = (h >> (64 - self.bits)) as usize;
        (self.table[self.slot] as usize).checked_sub(1)
    }

    /// Remembers point `i` under the neighbors asked for last.
    #[inline(always)]
    pub(super) fn put(&mut self, i: usize) {
        self.table[self.slot] = i as u32 + 1;
    }
}
