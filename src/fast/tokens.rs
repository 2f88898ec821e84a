//! What tokens stand for (SPEC 9.4.5).

/// Single tokens below this are the zigzag image of their code.
pub(super) const DIRECT: u32 = 192;
/// Largest single token: an escape with 30 extra bits.
pub(super) const LAST_TOKEN: u32 = DIRECT + 30;
/// Half of a paired token that says that the code is an escape.
pub(super) const PAIR_ESCAPE: u8 = 15;
/// Extra bits that give the number of a paired code's other extra bits.
pub(super) const LENGTH_BITS: u32 = 5;
/// Longest batch, in tokens; longer rows are cut.
pub(super) const BATCH: usize = 4096;
/// Tokens that share a zero flag in sparse streams.
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
    /// One code a token.
    Single,
    /// Two codes a token; the last token of a row of odd length has one and a zero.
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

    /// Images from here on are escapes.
    pub(super) fn least_escape(self) -> u32 {
        match self {
            Packing::Single => DIRECT,
            Packing::Paired => PAIR_ESCAPE.into(),
        }
    }
}

/// Magnitude of a code from its zigzag image, for activities.
#[inline(always)]
pub(super) fn magnitude(image: u8) -> u8 {
    (image >> 1) + (image & 1)
}

/// The code with zigzag image `z`.
pub(super) fn code(z: u32) -> i32 {
    (z >> 1).cast_signed() ^ -(z & 1).cast_signed()
}
