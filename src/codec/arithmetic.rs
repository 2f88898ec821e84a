//! Binary arithmetic coder with 16-bit probabilities (SPEC 8.1): 32-bit interval, carry-less, byte-wise.
//!
//! The interval is `[low, high]`; a bit of probability `p / 65536` of being 1 splits it at
//! `low + ((high - low) * p >> 16)`: 1 takes the lower part. Leading bytes that agree are shifted out.

use crate::error::FormatError;

/// Either direction of the coder, so that one code path serves both and they cannot drift apart.
pub(crate) trait BitCoder {
    /// The encoder codes `bit` and returns it; the decoder ignores `bit` and returns the coded one.
    fn code(&mut self, bit: bool, p1: u32) -> bool;

    /// Bytes that the encoder has written so far.
    fn written(&self) -> usize {
        0
    }
}

impl BitCoder for Encoder {
    #[inline(always)]
    fn code(&mut self, bit: bool, p1: u32) -> bool {
        self.bit(bit, p1);
        bit
    }

    fn written(&self) -> usize {
        self.out.len()
    }
}

impl BitCoder for Decoder<'_> {
    #[inline(always)]
    fn code(&mut self, _bit: bool, p1: u32) -> bool {
        self.bit(p1)
    }
}

/// Writes bits to a byte vector.
#[derive(Debug)]
pub(crate) struct Encoder {
    low: u32,
    high: u32,
    out: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new() -> Self {
        Encoder { low: 0, high: u32::MAX, out: Vec::new() }
    }

    /// Codes `bit`; `p1` in 1..=65535 is the probability of a 1, times 65536.
    #[inline(always)]
    pub(crate) fn bit(&mut self, bit: bool, p1: u32) {
        let mid = split(self.low, self.high, p1);
        if bit {
            self.high = mid;
        } else {
            self.low = mid.wrapping_add(1);
        }
        while (self.low ^ self.high) >> 24 == 0 {
            let [.., top] = self.high.to_le_bytes();
            self.out.push(top);
            self.low <<= 8;
            self.high = (self.high << 8) | 0xff;
        }
    }

    /// The coded bytes: the shortest tail that stays inside the interval when zeros follow.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        // The decoder reads zeros past the end, so trailing zero bytes need not be stored.
        if self.low > 0 {
            for bytes in 1..=4u32 {
                let keep = 32_u32.wrapping_sub(bytes.wrapping_mul(8));
                let mask = u32::MAX.checked_shl(keep).unwrap_or(u32::MAX);
                let value = match (self.low & mask, self.low & !mask) {
                    (v, 0) => Some(v),
                    (v, _) => v.checked_add(1_u32.checked_shl(keep).unwrap_or(0)),
                };
                if let Some(v) = value.filter(|v| *v >= self.low && *v <= self.high) {
                    let [b0, b1, b2, b3] = v.to_le_bytes();
                    self.out.extend([b3, b2, b1, b0].iter().take(bytes as usize));
                    break;
                }
            }
        }
        while self.out.last() == Some(&0) {
            self.out.pop();
        }
        self.out
    }
}

/// Reads bits back.
#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    low: u32,
    high: u32,
    code: u32,
    bytes: std::slice::Iter<'a, u8>,
    /// Whether the last byte is a zero, which [`Encoder::finish`] would have dropped.
    padded: bool,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let mut d = Decoder { low: 0, high: u32::MAX, code: 0, bytes: bytes.iter(), padded: bytes.last() == Some(&0) };
        for _ in 0..4 {
            d.shift();
        }
        d
    }

    #[inline(always)]
    fn shift(&mut self) {
        // Past the end of the input come zeros.
        let byte = self.bytes.next().copied().unwrap_or(0);
        self.code = (self.code << 8) | u32::from(byte);
    }

    /// The next bit; `p1` as in [`Encoder::bit`].
    #[inline(always)]
    pub(crate) fn bit(&mut self, p1: u32) -> bool {
        let mid = split(self.low, self.high, p1);
        let bit = self.code <= mid;
        if bit {
            self.high = mid;
        } else {
            self.low = mid.wrapping_add(1);
        }
        while (self.low ^ self.high) >> 24 == 0 {
            self.low <<= 8;
            self.high = (self.high << 8) | 0xff;
            self.shift();
        }
        bit
    }

    /// Checks that the input was consumed exactly: nothing is left, and its last byte is not a zero that
    /// [`Encoder::finish`] would have dropped.
    pub(crate) fn finish(self, what: &'static str) -> Result<(), FormatError> {
        match self.bytes.len().max(usize::from(self.padded)) {
            0 => Ok(()),
            n => Err(FormatError::TrailingBytes { what, count: n as u64 }),
        }
    }
}

/// Last point of the part of `[low, high]` that stands for a 1.
#[inline(always)]
fn split(low: u32, high: u32, p1: u32) -> u32 {
    // The product of two 32-bit numbers shifted down by 16 is below high - low, so nothing is lost.
    let width = u64::from(high.wrapping_sub(low));
    #[allow(clippy::cast_possible_truncation, reason = "p1 < 65536, so the quotient is below width, which is 32-bit")]
    let part = (width.wrapping_mul(u64::from(p1)) >> 16) as u32;
    low.wrapping_add(part)
}
