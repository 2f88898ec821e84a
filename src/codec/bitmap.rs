//! The bitmap (SPEC 7.4): which points carry a delta, one bit for each point with an exponent.

use super::arithmetic::{BitCoder, Decoder, Encoder};
use super::bzip;
use super::cursor::Cursor;
use super::exponents::is_exponent;
use super::integers::Decisions;
use super::neighbors::{Neighbors, Place};
use crate::error::FormatError;
use bitvec::prelude::{BitVec, Lsb0};

const WHAT: &str = "bitmap";
const RAW: u8 = 0;
const BZIP2: u8 = 1;
const CODED: u8 = 2;
const CLEAR: u8 = 3;
const SET: u8 = 4;

/// What is known of the points before their bits are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Points<'a> {
    /// Extents of the frame.
    pub(crate) dims: &'a [usize],
    /// Exponent, marker or hole of each point (SPEC 7.2).
    pub(crate) exponents: &'a [i16],
    /// Where each point lies in its block, modulo 4096; empty if there are no blocks.
    pub(crate) phases: &'a [u16],
}

impl Points<'_> {
    #[inline(always)]
    pub(crate) fn phase(&self, i: usize) -> usize {
        self.phases.get(i).map_or(0, |p| usize::from(*p))
    }

    fn count(&self) -> usize {
        self.exponents.iter().filter(|e| is_exponent(**e)).count()
    }
}

/// `marked` has an entry for each point; only those of points with an exponent count. No bytes if there are none.
pub(crate) fn encode(marked: &[bool], points: &Points<'_>) -> Vec<u8> {
    let bits: BitVec<u8, Lsb0> =
        marked.iter().zip(points.exponents).filter(|(_, e)| is_exponent(**e)).map(|(m, _)| *m).collect();
    if bits.is_empty() {
        return Vec::new();
    }
    if bits.not_any() {
        return vec![CLEAR];
    }
    if bits.all() {
        return vec![SET];
    }
    let mut bytes = bits.into_vec();
    let mut io = Encoder::new();
    let mut flags = marked.to_vec();
    code(&mut io, &mut flags, points, |i| marked.get(i).copied().unwrap_or(false));
    let mut best = [&[CODED], io.finish().as_slice()].concat();
    if let Some(packed) = bzip::encode(&bytes).filter(|p| p.len().saturating_add(1) < best.len()) {
        best = [&[BZIP2], packed.as_slice()].concat();
    }
    if bytes.len() < best.len() {
        bytes.insert(0, RAW);
        best = bytes;
    }
    best
}

/// The flag of each point from what [`encode`] made; false where there is no exponent.
pub(crate) fn decode(bytes: &[u8], points: &Points<'_>) -> Result<Vec<bool>, FormatError> {
    let mut cursor = Cursor::new(bytes);
    let count = points.count();
    let mut flags = vec![false; points.exponents.len()];
    if count == 0 {
        return cursor.finish(WHAT).map(|()| flags);
    }
    let method = cursor.u8(WHAT)?;
    let body = cursor.take_rest();
    match method {
        RAW => lay(body.to_vec(), count, points, &mut flags)?,
        BZIP2 => lay(bzip::decode(body, count.div_ceil(8), WHAT)?, count, points, &mut flags)?,
        CODED => {
            let mut io = Decoder::new(body);
            code(&mut io, &mut flags, points, |_| false);
            io.finish(WHAT)?;
        }
        CLEAR | SET => {
            Cursor::new(body).finish(WHAT)?;
            for (flag, e) in flags.iter_mut().zip(points.exponents) {
                *flag = method == SET && is_exponent(*e);
            }
        }
        found => {
            let expected = u64::from(SET);
            return Err(FormatError::Value { field: "bitmap method", found: u64::from(found), expected });
        }
    }
    Ok(flags)
}

/// Lays packed bits over the points with an exponent.
fn lay(bytes: Vec<u8>, count: usize, points: &Points<'_>, flags: &mut [bool]) -> Result<(), FormatError> {
    let expected = count.div_ceil(8);
    if bytes.len() != expected {
        return Err(FormatError::Count {
            what: "bytes of the bitmap",
            found: bytes.len() as u64,
            expected: expected as u64,
        });
    }
    let bits: BitVec<u8, Lsb0> = BitVec::from_vec(bytes);
    // Bits past the last point must be zero.
    if bits.iter().skip(count).any(|b| *b) {
        return Err(FormatError::Code { what: WHAT });
    }
    let with_exponent = flags.iter_mut().zip(points.exponents).filter(|(_, e)| is_exponent(**e));
    for ((flag, _), bit) in with_exponent.zip(bits.iter()) {
        *flag = *bit;
    }
    Ok(())
}

/// Codes the flags of all points with an exponent into or from `flags`, in flat order.
fn code<B: BitCoder>(io: &mut B, flags: &mut [bool], points: &Points<'_>, given: impl Fn(usize) -> bool) {
    use Place::{Below, North, NorthEast, NorthWest, West, WestWest};
    let around = Neighbors::new(points.dims);
    let mut model = Decisions::new(1, [1024, 256, 4096]);
    let mut history = 0usize;
    for (i, exponent) in points.exponents.iter().enumerate() {
        let mut flag = false;
        if is_exponent(*exponent) {
            let next = points.exponents.get(i.saturating_add(1)).unwrap_or(exponent);
            let changes = [around.at(points.exponents, i, West, *exponent) != *exponent, next != exponent];
            let near = [West, WestWest, North, NorthEast, NorthWest, Below].map(|p| around.at(flags, i, p, false));
            let near = near.iter().chain(&changes).fold(0usize, |c, b| (c << 1) | usize::from(*b));
            flag = model.code(io, given(i), 0, [history & 1023, near, points.phase(i)]);
            history = (history << 1) | usize::from(flag);
        }
        if let Some(slot) = flags.get_mut(i) {
            *slot = flag;
        }
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, clippy::arithmetic_side_effects, reason = "small numbers of tests")]
mod tests {
    use super::super::exponents::{HOLE, ZERO};
    use super::*;
    use proptest::prelude::*;

    fn round_trip(marked: &[bool], points: &Points<'_>) -> Vec<u8> {
        let bytes = encode(marked, points);
        let wanted: Vec<bool> = marked.iter().zip(points.exponents).map(|(m, e)| *m && is_exponent(*e)).collect();
        assert_eq!(decode(&bytes, points).unwrap(), wanted);
        bytes
    }

    #[test]
    fn all_or_none_takes_one_byte() {
        let points = Points { dims: &[100], exponents: &[2; 100], phases: &[] };
        assert_eq!(round_trip(&[true; 100], &points), [SET]);
        assert_eq!(round_trip(&[false; 100], &points), [CLEAR]);
    }

    #[test]
    fn nonzero_bits_past_the_end_are_refused() {
        let points = Points { dims: &[3], exponents: &[2; 3], phases: &[] };
        assert_eq!(decode(&[RAW, 5], &points).unwrap(), [true, false, true]);
        assert_eq!(decode(&[RAW, 9], &points), Err(FormatError::Code { what: WHAT }));
        assert!(matches!(decode(&[RAW, 1, 1], &points), Err(FormatError::Count { .. })));
        assert!(decode(&[SET, 0], &points).is_err());
        assert!(decode(&[5], &points).is_err());
        assert!(decode(&[], &points).is_err());
    }

    #[test]
    fn marks_at_one_place_of_every_block_are_cheap() {
        let phases: Vec<u16> = (0..40_000).map(|i| (i % 611) as u16).collect();
        let marked: Vec<bool> = phases.iter().map(|p| (u32::from(*p) * 7919) % 13 == 1).collect();
        let points = Points { dims: &[40_000], exponents: &[0; 40_000], phases: &phases };
        assert!(round_trip(&marked, &points).len() < 500);
    }

    proptest! {
        #[test]
        fn any_bitmap_round_trips(
            cells in prop::collection::vec((prop::bool::weighted(0.2), 0u8..10), 0..400), width in 1usize..9)
        {
            let n = cells.len() / width * width;
            let exponents: Vec<i16> =
                cells[..n].iter().map(|c| match c.1 { 0 => HOLE, 1 => ZERO, k => i16::from(k > 7) }).collect();
            let marked: Vec<bool> = cells[..n].iter().map(|c| c.0).collect();
            let points = Points { dims: &[n / width, width], exponents: &exponents, phases: &[] };
            round_trip(&marked, &points);
        }

        #[test]
        fn every_method_survives_random_bytes(mut bytes in prop::collection::vec(any::<u8>(), 1..60), method in 0u8..5) {
            bytes[0] = method;
            let points = Points { dims: &[5, 11], exponents: &[1; 55], phases: &[] };
            let _ = decode(&bytes, &points);
        }
    }
}
