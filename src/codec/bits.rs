//! Numbers of some bits each, one after another, the highest bit of each byte first (SPEC 8.6).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::big_endian_bytes,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "bits that begin with the highest of a byte are a number whose highest byte comes first; at most 64 bits a number, at places \
              within what was made room for"
)]

use crate::error::FormatError;

/// Bits of a word that a number of it may take wherever in a byte it begins.
const ONE_WORD: u32 = 56;

/// Numbers on their way to bytes.
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits written.
    at: usize,
}

impl BitWriter {
    /// For so many bits in all, which the caller must not exceed.
    pub(crate) fn with_room(bits: usize) -> Self {
        BitWriter { bytes: vec![0; bits / 8 + 9], at: 0 }
    }

    /// Appends the lowest `count` bits of `value`, whose others are 0; at most 64.
    #[inline(always)]
    pub(crate) fn put(&mut self, value: u64, count: u32) {
        if count > ONE_WORD {
            self.put_word(value >> 32, count - 32);
            self.put_word(value & u64::from(u32::MAX), 32);
        } else if count > 0 {
            self.put_word(value, count);
        }
    }

    #[inline(always)]
    fn put_word(&mut self, value: u64, count: u32) {
        let byte = self.at / 8;
        let word = value << (64 - count - (self.at % 8) as u32);
        if let Some(to) = self.bytes.get_mut(byte..).and_then(<[u8]>::first_chunk_mut::<8>) {
            *to = (u64::from_be_bytes(*to) | word).to_be_bytes();
        }
        self.at += count as usize;
    }

    /// The bytes; the last one is filled with zeros.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.bytes.truncate(self.at.div_ceil(8));
        self.bytes
    }
}

/// Numbers read from bytes.
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Bits read.
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        BitReader { bytes, at: 0 }
    }

    /// The next `count` bits, at most 64; `None` if there are fewer.
    #[inline(always)]
    pub(crate) fn take(&mut self, count: u32) -> Option<u64> {
        match count {
            0 => Some(0),
            1..=ONE_WORD => self.word(count),
            _ => {
                let high = self.word(count - 32)?;
                Some(high << 32 | self.word(32)?)
            }
        }
    }

    #[inline(always)]
    fn word(&mut self, count: u32) -> Option<u64> {
        let byte = self.at / 8;
        let word = match self.bytes.get(byte..).and_then(<[u8]>::first_chunk::<8>) {
            Some(word) => u64::from_be_bytes(*word),
            None => self.last(byte, count)?,
        };
        let value = word << (self.at % 8) >> (64 - count);
        self.at += count as usize;
        Some(value)
    }

    /// The last bytes, with zeros behind them.
    #[cold]
    fn last(&self, byte: usize, count: u32) -> Option<u64> {
        if self.at + count as usize > 8 * self.bytes.len() {
            return None;
        }
        let mut word = [0; 8];
        word.iter_mut().zip(&self.bytes[byte..]).for_each(|(to, from)| *to = *from);
        Some(u64::from_be_bytes(word))
    }

    /// Fails unless all was read but for zeros that fill the last byte.
    pub(crate) fn finish(mut self, what: &'static str) -> Result<(), FormatError> {
        let left = 8 * self.bytes.len() - self.at;
        let is_done = left < 8 && self.take(left as u32) == Some(0);
        if is_done { Ok(()) } else { Err(FormatError::Code { what }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(numbers in prop::collection::vec((any::<u64>(), 0u32..=64), 0..100)) {
            let cut = |(v, n): &(u64, u32)| if *n == 0 { 0 } else { v >> (64 - n) };
            let mut writer = BitWriter::with_room(numbers.iter().map(|(_, n)| *n as usize).sum());
            numbers.iter().for_each(|n| writer.put(cut(n), n.1));
            let bytes = writer.finish();
            let mut reader = BitReader::new(&bytes);
            for n in &numbers {
                prop_assert_eq!(reader.take(n.1), Some(cut(n)));
            }
            prop_assert_eq!(reader.take(8), None);
            prop_assert_eq!(reader.finish("bits"), Ok(()));
        }
    }

    #[test]
    fn what_is_left_over_is_no_padding() {
        let finish = |bytes: &[u8], n| {
            let mut reader = BitReader::new(bytes);
            reader.take(n).unwrap();
            reader.finish("bits")
        };
        assert!(finish(&[0b1010_0000], 3).is_ok() && finish(&[0b1011_0000], 3).is_err());
        assert!(finish(&[0, 0], 8).is_err());
    }
}
