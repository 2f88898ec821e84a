//! Slots of whole numbers, which entropy codes suit: what a number begins with, and how many bits follow (SPEC 8.6).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "shifts are below 64, and slots of 64-bit numbers below 256"
)]

/// Slots so small hold themselves.
pub(crate) const SMALL: u64 = 16;
/// Number of slots of 64-bit numbers.
pub(crate) const SLOTS: usize = 256;

/// The slot of a number: how many bits it has, and the two after its highest.
#[inline(always)]
pub(crate) fn slot(number: u64) -> u32 {
    let octave = (number | 1).ilog2();
    let large = 4 * octave + (number >> octave.saturating_sub(2) & 3) as u32;
    if number < SMALL { number as u32 } else { large }
}

/// How many bits follow a slot, and its least number; `None` if there is no such slot.
#[inline(always)]
pub(crate) fn of_slot(slot: u32) -> Option<(u32, u64)> {
    match slot {
        0..16 => Some((0, slot.into())),
        16..256 => Some((slot / 4 - 2, (4 | u64::from(slot & 3)) << (slot / 4 - 2))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_have_all_numbers() {
        let powers = (0..64).flat_map(|k| [(1 << k) - 1, 1 << k, (1 << k) + 1]);
        for n in (0..5000).chain(powers).chain([u64::MAX, u64::MAX / 3]) {
            let (bits, least) = of_slot(slot(n)).unwrap();
            assert!(n >= least && n - least < (1 << bits), "{n}");
        }
        assert_eq!((slot(u64::MAX), of_slot(256)), (255, None));
    }
}
