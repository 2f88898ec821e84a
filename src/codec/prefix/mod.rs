//! Prefix codes over runs of zeros and what ends them, many symbols a table look-up (SPEC 8.4).
//!
//! One stream holds small whole numbers, mostly zeros, that share one code. It is decoded at once and without any
//! context, so that nothing but the look-ups is between the bits and the numbers.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::needless_range_loop,
    reason = "tables have fixed sizes and indices are masked; sums stay far below the width of their type"
)]

mod decode;
mod encode;
mod lengths;
mod numbers;
mod symbols;

pub(crate) use decode::{Stream, read};
pub(crate) use encode::{Coded, encode, write};
pub(crate) use numbers::{CALM, Numbers};
pub(crate) use symbols::Images;

/// Longest code in bits.
const LONGEST: u32 = 11;
/// Stands in a decoded stream for a number that is in the list of wide ones.
pub(crate) const WIDE: i8 = i8::MIN;
/// Largest image of a number.
pub(crate) const LARGEST_IMAGE: u32 = u16::MAX as u32;
/// Numbers after the decoded ones that are there to be read, and are 0.
pub(crate) const PADDING: usize = 16;

/// Most bits of a symbol that say how many zeros come first.
const MOST_RUN_BITS: u32 = 6;
/// Most doublings of a run of zeros alone.
const MOST_DOUBLINGS: u32 = 12;
/// Form of a stream of zeros only.
const ZEROS: u8 = 7;
/// Bit of the form that says that there are four lanes.
const FOUR_LANES: u8 = 8;
const LANES: usize = 4;

/// How one stream is coded: its form (SPEC 8.4.1) and the length of each symbol's code, 0 where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Code {
    form: u8,
    lengths: [u8; 256],
}

impl Code {
    fn run_bits(&self) -> u32 {
        u32::from(self.form & 7)
    }

    fn lanes(&self) -> usize {
        match self.form {
            ZEROS => 0,
            f if f & FOUR_LANES != 0 => LANES,
            _ => 1,
        }
    }

    /// Codes in the order of length, then symbol: for each symbol its code, the highest bits first.
    fn codes(&self) -> [u16; 256] {
        let mut codes = [0u16; 256];
        let mut next = 0u16;
        for length in 1..=LONGEST {
            next <<= 1;
            for (c, l) in codes.iter_mut().zip(&self.lengths) {
                if u32::from(*l) == length {
                    *c = next;
                    next += 1;
                }
            }
        }
        codes
    }
}

/// Most run bits with which the level of an escape says how many bits follow its code.
const MOST_TELLING: u32 = 2;

/// Whether the level of an escape says how many bits follow; otherwise there is one such level, and four bits say it.
fn levels_tell(run_bits: u32) -> bool {
    run_bits <= MOST_TELLING
}

/// The first level of escapes, which are the last ones.
fn escape(run_bits: u32) -> u32 {
    (256 >> run_bits) - if levels_tell(run_bits) { 16 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::encode::{Coded, lengths};
    use super::*;
    use crate::codec::cursor::Cursor;
    use proptest::prelude::*;

    fn round_trip(streams: &[Vec<i16>]) -> usize {
        let coded: Vec<Coded> = streams.iter().map(|s| encode(&Images::of(s))).collect();
        let mut bytes = Vec::new();
        write(&coded, &mut bytes);
        let all = streams.iter().map(Vec::len).sum();
        let mut cursor = Cursor::new(&bytes);
        let back = read(&mut cursor, streams.len(), all).unwrap();
        assert_eq!(cursor.remaining(), 0);
        for (s, b) in streams.iter().zip(back) {
            let mut wide = b.wide.iter();
            let got: Vec<i32> = b.numbers[..s.len()]
                .iter()
                .map(|n| n.cast_signed())
                .map(|n| if n == WIDE { *wide.next().unwrap() } else { i32::from(n) })
                .collect();
            assert_eq!(got, s.iter().map(|n| i32::from(*n)).collect::<Vec<_>>());
            assert!(wide.next().is_none() && b.numbers[s.len()..].iter().all(|n| *n == 0));
        }
        bytes.len()
    }

    #[test]
    fn lone_symbols_and_extremes_come_back() {
        assert_eq!(round_trip(&[vec![0; 100_000]]), 5);
        round_trip(&[vec![1; 5000], vec![], vec![i16::MIN, i16::MAX], vec![-1], vec![0, 0, 7]]);
        let mut rare = vec![0i16; 1 << 19];
        (rare[70_000], rare[300_000], rare[300_001]) = (3, -300, 1);
        assert!(round_trip(&[rare]) < 100);
        round_trip(&[(i16::MIN..=i16::MAX).collect()]);
    }

    #[test]
    fn codes_are_complete_even_where_the_longest_are_cut() {
        let mut counts = [0u32; 256];
        let (mut a, mut b) = (1u32, 1u32);
        for c in counts.iter_mut().take(40) {
            *c = a;
            (a, b) = (b, a.saturating_add(b));
        }
        for counts in [counts, [1; 256], std::array::from_fn(|i| u32::from(i == 9))] {
            let sum: u32 = lengths(&counts).iter().filter(|l| **l > 0).map(|l| 1 << (LONGEST - u32::from(*l))).sum();
            assert_eq!(sum, 1 << LONGEST);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn numbers_round_trip(
            streams in prop::collection::vec((0usize..20_000, 0u32..16, 0u32..10, any::<u64>()), 1..5),
        ) {
            let streams: Vec<Vec<i16>> = streams
                .iter()
                .map(|(n, wide, sparse, seed)| {
                    let mut state = *seed;
                    (0..*n)
                        .map(|_| {
                            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                            let zero = (state >> 20) & ((1 << sparse) - 1) != 0;
                            if zero { 0 } else { ((state >> 40) as i16) >> (15 - (wide & (state >> 60) as u32)) }
                        })
                        .collect()
                })
                .collect();
            round_trip(&streams);
        }

        #[test]
        fn arbitrary_bytes_end_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&mut Cursor::new(&bytes), 2, 5000);
        }

        #[test]
        fn damaged_bytes_end_without_a_panic(
            seed in any::<u64>(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let numbers: Vec<i16> = (0..5000u64).map(|i| (((i * i) ^ seed) % 19) as i16 / 6).collect();
            let mut bytes = Vec::new();
            write(&[encode(&Images::of(&numbers))], &mut bytes);
            for (at, byte) in damage {
                let i = at.index(bytes.len());
                bytes[i] ^= byte;
            }
            let _ = read(&mut Cursor::new(&bytes), 1, 5000);
        }
    }
}
