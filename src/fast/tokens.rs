//! What tokens stand for (SPEC 9.4.5).
//!
//! Eight tokens of a row make a group.

/// Most doublings in an escape.
pub(super) const MOST_DOUBLINGS: u32 = 15;
/// Largest token that is one code.
pub(super) const LARGEST_SINGLE: u8 = 192 + 15;
/// Tokens of a group.
pub(super) const GROUP: usize = 8;
/// Most classes that activity picks.
pub(super) const MAX_ACTIVE: usize = 8;
/// Models beside those of the activity classes in sparse streams: two of batch flags, three of group flags.
pub(super) const FLAG_MODELS: usize = 5;
/// Bits of the layout byte.
pub(super) const SPARSE: u8 = 1;
pub(super) const PAIRED: u8 = 2;

/// How codes become tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    /// A token is the zigzag image of a code, or from 192 on an escape that tells how many bits follow.
    Single,
    /// The lower and the upper half of a token are the images of two codes, or 15 as escapes; the last token of a row
    /// of odd length has one code and a zero.
    Paired,
}

impl Packing {
    /// Tokens of a row of `n` codes.
    pub(super) fn tokens(self, n: usize) -> usize {
        match self {
            Packing::Single => n,
            Packing::Paired => n.div_ceil(2),
        }
    }

    /// Least image that takes an escape.
    pub(super) fn escape(self) -> u16 {
        match self {
            Packing::Single => 192,
            Packing::Paired => 15,
        }
    }
}

/// Magnitude of a code from its zigzag image.
#[inline(always)]
pub(super) fn magnitude(image: u16) -> u16 {
    (image >> 1) + (image & 1)
}

/// Magnitude of a token for activities: that of both its codes, cut at 255.
#[inline(always)]
pub(super) fn pair_magnitude(first: u16, second: u16) -> u8 {
    (magnitude(first).min(255) + magnitude(second).min(255)).min(255) as u8
}

/// The code with zigzag image `z`.
#[inline(always)]
pub(super) fn code(z: u32) -> i32 {
    (z >> 1).cast_signed() ^ -(z & 1).cast_signed()
}

/// Bits, lowest first.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    pending: u64,
    count: u32,
}

impl BitWriter {
    /// Appends the lowest `n` bits of `value`, at most 32; the others must be 0.
    #[inline(always)]
    pub(super) fn put(&mut self, value: u32, n: u32) {
        self.pending |= u64::from(value) << self.count;
        self.count += n;
        while self.count >= 8 {
            self.bytes.push(self.pending as u8);
            self.pending >>= 8;
            self.count -= 8;
        }
    }

    /// Appends what is in excess of an escape: as many zeros as there are doublings, a one, and the rest.
    pub(super) fn put_excess(&mut self, excess: u32) {
        let doublings = (excess + 2).ilog2() - 1;
        self.put(0, doublings);
        self.put(1, 1);
        self.put(excess + 2 - (2 << doublings), doublings + 1);
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.bytes.push(self.pending as u8);
        }
        self.bytes
    }
}

/// Reads bits back. Past the end there are zeros; [`BitReader::finish`] tells.
#[derive(Debug)]
pub(super) struct BitReader {
    /// The bytes and eight more.
    bytes: Vec<u8>,
    /// Bits read.
    position: u64,
}

impl BitReader {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let mut padded = Vec::with_capacity(bytes.len() + 8);
        padded.extend_from_slice(bytes);
        padded.resize(bytes.len() + 8, 0);
        BitReader { bytes: padded, position: 0 }
    }

    /// At least the next 57 bits.
    #[inline(always)]
    fn peek(&self) -> u64 {
        let word = self.bytes.get((self.position >> 3) as usize..).and_then(<[u8]>::first_chunk);
        word.map_or(0, |w| u64::from_le_bytes(*w)) >> (self.position & 7)
    }

    /// The next `n` bits, at most 32.
    #[inline(always)]
    pub(super) fn get(&mut self, n: u32) -> u32 {
        let value = self.peek() & ((1 << n) - 1);
        self.position += u64::from(n);
        value as u32
    }

    /// Inverse of [`BitWriter::put_excess`]; `None` after too many doublings.
    pub(super) fn get_excess(&mut self) -> Option<u32> {
        let doublings = self.peek().trailing_zeros();
        if doublings > MOST_DOUBLINGS {
            return None;
        }
        self.position += u64::from(doublings) + 1;
        Some((2 << doublings) - 2 + self.get(doublings + 1))
    }

    /// How many bytes were not read, if none was read that is not there and all bits after the last one are 0.
    pub(super) fn finish(self) -> Option<usize> {
        let there = self.bytes.len() - 8;
        let read = usize::try_from(self.position.div_ceil(8)).ok()?;
        let used = self.position & 7;
        let clean = used == 0 || self.bytes.get(read - 1).is_some_and(|b| b >> used == 0);
        there.checked_sub(read).filter(|_| clean)
    }
}
