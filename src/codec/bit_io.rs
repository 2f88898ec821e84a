//! One code path for both directions: a coder that either writes the bit it is given or answers the bit it reads.

use super::arithmetic::{Decoder, Encoder};

/// An arithmetic coder (SPEC 8.1), or something that stands in for one while the writer measures.
pub(crate) trait BitIo {
    /// Whether the bits are known before they are coded.
    const ENCODING: bool;

    /// Codes one bit of probability `p1 / 65536` of being 1, `p1` in 1..=65535. A reader ignores `bit`.
    fn code(&mut self, bit: bool, p1: u32) -> bool;
}

impl BitIo for Encoder {
    const ENCODING: bool = true;

    #[inline(always)]
    fn code(&mut self, bit: bool, p1: u32) -> bool {
        self.bit(bit, p1);
        bit
    }
}

impl BitIo for Decoder<'_> {
    const ENCODING: bool = false;

    #[inline(always)]
    fn code(&mut self, _bit: bool, p1: u32) -> bool {
        self.bit(p1)
    }
}
