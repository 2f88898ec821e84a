//! Eight points in a byte, the first in the lowest bit.

/// The lowest bit of each byte.
pub(super) const LOWEST: u64 = u64::MAX / 255;

/// Bit `number` of each of eight bytes.
#[inline(always)]
pub(super) fn gather(bytes: [u8; 8], number: u32) -> u8 {
    /// Moves the lowest bit of each byte into the highest one.
    const TO_HIGHEST: u64 = 0x0102_0408_1020_4080;
    ((u64::from_le_bytes(bytes) >> number & LOWEST).wrapping_mul(TO_HIGHEST) >> 56) as u8
}

/// The bits of a byte, one as the lowest of each of eight bytes.
#[inline(always)]
pub(super) fn spread(byte: u8) -> u64 {
    /// Bit `j` in byte `j`.
    const DIAGONAL: u64 = 0x8040_2010_0804_0201;
    let each = (u64::from(byte) * LOWEST) & DIAGONAL;
    // Bytes other than 0 become 1.
    (each + LOWEST * 0x7f) >> 7 & LOWEST
}

/// How many bits are set in each byte.
#[inline(always)]
pub(super) fn ones(word: u64) -> [u8; 8] {
    let pairs = word - (word >> 1 & (LOWEST * 0x55));
    let fours = (pairs & (LOWEST * 0x33)) + (pairs >> 2 & (LOWEST * 0x33));
    ((fours + (fours >> 4)) & (LOWEST * 0x0f)).to_le_bytes()
}

/// Bit `k` of byte `j` becomes bit `j` of byte `k` (Knuth, The Art of Computer Programming, volume 4A, 7.1.3).
#[inline(always)]
pub(super) fn transposed(bytes: [u8; 8]) -> [u8; 8] {
    let mut w = u64::from_le_bytes(bytes);
    for (shift, mask) in [(7, 0x00aa_00aa_00aa_00aa), (14, 0x0000_cccc_0000_cccc), (28, 0x0000_0000_f0f0_f0f0)] {
        let swapped = (w ^ w >> shift) & mask;
        w ^= swapped ^ swapped << shift;
    }
    w.to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bits_are_where_they_belong(bytes in any::<[u8; 8]>(), number in 0u32..8) {
            let bit = |b: u8, i: usize| b >> i & 1;
            let gathered = gather(bytes, number);
            for j in 0..8 {
                prop_assert_eq!(bit(gathered, j), bit(bytes[j], number as usize));
                prop_assert_eq!(spread(bytes[0]).to_le_bytes()[j], bit(bytes[0], j));
                prop_assert_eq!(u32::from(ones(u64::from_le_bytes(bytes))[j]), bytes[j].count_ones());
                for k in 0..8 {
                    prop_assert_eq!(bit(transposed(bytes)[k], j), bit(bytes[j], k));
                }
            }
        }
    }
}
