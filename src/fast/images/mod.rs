//! Class images as bits (SPEC 6.3): those of [`crate::codec::classes`] are smaller, and take many times as long.

mod bits;

use super::integers;
use crate::codec::cursor::{Cursor, put_varint};
use crate::error::FormatError;
use bits::{Bits, Distances, NEAREST};

/// First byte of such an image.
pub(crate) const BITS: u8 = 0x80;

/// Bits of a class, of which there are `count`.
fn width(count: u8) -> u32 {
    u8::BITS - count.saturating_sub(1).leading_zeros()
}

/// Where neighbors may be in a grid of `points`.
fn distances(dims: &[usize], points: usize) -> impl Iterator<Item = Distances> {
    // Whole rows, or planes, back; as many as it takes.
    let back = move |d: usize| if d > 0 { d * NEAREST.div_ceil(d) } else { 0 };
    let beside = integers::distances(dims).into_iter().flat_map(|(row, plane)| [(row, 0), (row, plane)]);
    let beside = beside.map(move |(row, plane)| Distances { row: back(row), plane: back(plane) });
    beside.filter(move |d| d.row <= points && d.plane <= points)
}

/// Codes the class of every point of a grid, each less than `count`.
pub(crate) fn encode(classes: &[u8], count: u8, dims: &[usize]) -> Vec<u8> {
    let mut out = vec![BITS];
    let mut all = (0..width(count)).map(|number| Bits::of(classes, number));
    let none = Distances { row: 0, plane: 0 };
    let first = all.next().and_then(|bits| {
        let period = if dims.iter().filter(|n| **n > 1).count() < 2 { bits::period(&bits) } else { None };
        let lost = period.map(|row| Distances { row, plane: 0 });
        let among = [none].into_iter().chain(lost).chain(distances(dims, classes.len()));
        bits::choose(&bits, among).map(|(d, counts)| (bits, d, counts))
    });
    let distances = first.as_ref().map_or(none, |(_, d, _)| *d);
    put_varint(&mut out, distances.row as u64);
    put_varint(&mut out, distances.plane as u64);
    if let Some((bits, _, counts)) = first {
        bits::encode(&bits, distances, &counts, &mut out);
    }
    all.for_each(|bits| bits::encode(&bits, distances, &distances.counts(&bits), &mut out));
    out
}

/// Inverts [`encode`]: the classes, from what follows the first byte.
pub(crate) fn decode(bytes: &[u8], count: u8, classes: &mut [u8]) -> Result<(), FormatError> {
    let mut cursor = Cursor::new(bytes);
    let points = classes.len();
    let mut distance = |what| {
        let d = cursor.varint_max(what, points as u64)? as usize;
        let (found, least) = (d as u64, NEAREST as u64);
        if d == 0 || d >= NEAREST { Ok(d) } else { Err(FormatError::TooSmall { field: what, found, least }) }
    };
    let distances = Distances { row: distance("distance of rows")?, plane: distance("distance of planes")? };
    if distances.row == 0 && distances.plane > 0 {
        let (found, expected) = (distances.plane as u64, 0);
        return Err(FormatError::Value { field: "distance of planes", found, expected });
    }
    classes.fill(0);
    for number in 0..width(count) {
        bits::decode(&mut cursor, distances, points)?.add_to(classes, number);
    }
    cursor.finish("class image")?;
    let greatest = classes.iter().fold(0, |greatest, c| greatest.max(*c));
    if greatest >= count {
        let (found, expected) = (greatest.into(), count.saturating_sub(1).into());
        return Err(FormatError::Value { field: "class of a point", found, expected });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(classes: &[u8], count: u8, dims: &[usize]) -> usize {
        let bytes = encode(classes, count, dims);
        assert_eq!(bytes[0], BITS);
        let mut out = vec![9; classes.len()];
        assert_eq!(decode(&bytes[1..], count, &mut out), Ok(()));
        assert_eq!(out, classes);
        bytes.len()
    }

    #[test]
    fn a_mask_that_recurs_is_stored_once() {
        let plane: Vec<u8> = (0..64usize * 64).map(|i| u8::from((i % 64).pow(2) + (i / 64).pow(2) < 1800)).collect();
        let one = round_trip(&plane, 2, &[64, 64]);
        let many = round_trip(&plane.repeat(50), 2, &[50, 64, 64]);
        assert!(one < 200 && many < one + 40, "{one} {many}");
    }

    #[test]
    fn masks_that_change_little_from_plane_to_plane_become_small() {
        let at = |z: usize, y: usize, x: usize| {
            u8::from(x * x + y * y < 9000 + 50 * z + 40 * (x * 7919 + y * 104_729 + z * 7).is_multiple_of(11) as usize)
        };
        let all: Vec<u8> = (0..20 * 100 * 130).map(|i| at(i / 13_000, i / 130 % 100, i % 130)).collect();
        let size = round_trip(&all, 2, &[20, 100, 130]);
        assert!(size < 2500, "{size}");
    }

    #[test]
    fn a_row_that_was_lost_is_found() {
        let row: Vec<u8> = (0..500usize).map(|i| u8::from(i * i % 7 < 3)).collect();
        assert!(round_trip(&row.repeat(30), 2, &[15_000]) < 400);
    }

    #[test]
    fn a_class_beyond_the_last_is_refused() {
        let bytes = encode(&[0, 1, 3, 1, 0], 4, &[5]);
        let wrong = FormatError::Value { field: "class of a point", found: 3, expected: 2 };
        assert_eq!(decode(&bytes[1..], 3, &mut [0; 5]), Err(wrong));
        assert!(decode(&bytes[1..], 4, &mut [0; 9]).is_err());
        assert!(decode(&bytes[1..], 2, &mut [0; 5]).is_err());
    }

    /// The example of SPEC 6.3.
    #[test]
    fn the_example_of_the_specification() {
        let mut classes = [0; 32];
        for i in [1, 5, 17, 21, 22] {
            classes[i] = 1;
        }
        let distances = Distances { row: 16, plane: 0 };
        let mut bytes = vec![BITS, 16, 0];
        let bits = Bits::of(&classes, 0);
        bits::encode(&bits, distances, &distances.counts(&bits), &mut bytes);
        let mut out = [9; 32];
        assert_eq!(decode(&bytes[1..], 2, &mut out), Ok(()));
        assert_eq!(out, classes);
        let text: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(text.join(" "), "80 10 00 00 04 00 06 bf ef ff f8 98 24 01 98");
    }

    proptest! {
        #[test]
        fn any_image_round_trips(
            dims in prop_oneof![
                prop::collection::vec(1usize..9, 1..6),
                prop::collection::vec(1usize..200, 1..3),
                prop::collection::vec(1usize..40, 3..4),
            ],
            count in 2u8..=16,
            noise in prop::collection::vec(any::<u8>(), 1..40),
            block in 1usize..30,
        ) {
            let n: usize = dims.iter().product();
            let classes: Vec<u8> = noise.iter().cycle().flat_map(|v| std::iter::repeat_n(v % count, block)).take(n).collect();
            round_trip(&classes, count, &dims);
        }

        #[test]
        fn any_bytes_end(n in 1usize..400, bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&bytes, 3, &mut vec![0; n]);
        }
    }
}
