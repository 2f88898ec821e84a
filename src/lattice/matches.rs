//! Where the numbers just coded were coded before, and what came after them (SPEC 9.3.5).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "positions lie inside the numbers coded so far, and tables are indexed by hashes cut to their size"
)]

/// Records that tell how far a guess can be trusted.
pub(super) const RECORDS: usize = 16;

/// Factor of the rolling hash.
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

/// Finds the last place where the same numbers stood and follows it.
#[derive(Debug)]
pub(super) struct Matches {
    /// Position after the last occurrence of each hash, plus one; 0 if none.
    table: Vec<u32>,
    bits: u32,
    /// Numbers that the hash covers.
    min_len: usize,
    /// `FACTOR` to the power of `min_len`.
    power: u64,
    hash: u64,
    /// Position of the number that is expected next, if there is a match.
    next: Option<usize>,
    len: u32,
    /// The last eight guesses, 1 where one was wrong.
    misses: u8,
}

impl Matches {
    pub(super) fn new(bits: u32, min_len: usize) -> Self {
        let power = (0..min_len).fold(1u64, |p, _| p.wrapping_mul(FACTOR));
        Matches { table: vec![0; 1 << bits], bits, min_len, power, hash: 0, next: None, len: 0, misses: 0 }
    }

    /// Position of the number that is expected to come next, and how far it can be trusted.
    #[inline(always)]
    pub(super) fn guess(&self) -> Option<(usize, usize)> {
        let record = match self.misses {
            0 => (u32::BITS - self.len.leading_zeros()).div_ceil(2).min(7) as usize,
            m => 8 + usize::from(m & 7),
        };
        self.next.map(|p| (p, record))
    }

    /// Takes the numbers `coded`, of which the last is new.
    #[inline(always)]
    pub(super) fn update(&mut self, coded: &[i64]) {
        let n = coded.len();
        if let Some(p) = self.next {
            let hit = coded[p] == coded[n - 1];
            self.misses = self.misses << 1 | u8::from(!hit);
            self.len = if hit { (self.len + 1).min(65535) } else { self.len / 4 };
            self.next = (self.misses.count_ones() < 5).then_some(p + 1);
        }
        self.hash = self.hash.wrapping_mul(FACTOR).wrapping_add(coded[n - 1].cast_unsigned());
        if n > self.min_len {
            self.hash = self.hash.wrapping_sub(self.power.wrapping_mul(coded[n - 1 - self.min_len].cast_unsigned()));
        }
        if n < self.min_len {
            return;
        }
        let h = (self.hash ^ self.hash >> 32).wrapping_mul(FACTOR);
        let slot = &mut self.table[(h >> (64 - self.bits)) as usize];
        if *slot > 0 && (self.next.is_none() || self.misses & 1 == 1) {
            let p = *slot as usize;
            let most = (4 * self.min_len).min(p);
            let len = (0..most).take_while(|j| coded[p - 1 - j] == coded[n - 1 - j]).count();
            if len >= self.min_len {
                (self.next, self.len, self.misses) = (Some(p), len as u32, 0);
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
