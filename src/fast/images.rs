//! Class images as integers (SPEC 6.3): larger than those of [`crate::codec::classes`], and many times as fast.

use super::integers::{self, Effort};
use crate::codec::cursor::Cursor;
use crate::error::FormatError;

/// First byte of such an image.
pub(crate) const INTEGERS: u8 = 0x80;

/// Codes the class of every point of a grid.
pub(crate) fn encode(classes: &[u8], dims: &[usize]) -> Vec<u8> {
    let q: Vec<u16> = classes.iter().map(|c| u16::from(*c)).collect();
    let mut out = vec![INTEGERS];
    // Without a limit nothing is too large.
    let _ = integers::encode(&q, None, integers::distances(dims), Effort::Hasty, usize::MAX, &mut out);
    out
}

/// Inverts [`encode`]: the classes, each less than `count`, from what follows the first byte.
pub(crate) fn decode(bytes: &[u8], count: u8, classes: &mut [u8]) -> Result<(), FormatError> {
    let mut cursor = Cursor::new(bytes);
    let q = integers::decode(&mut cursor, None, classes.len())?;
    cursor.finish("class image")?;
    let greatest = q.iter().fold(0, |greatest, q| greatest.max(*q));
    if greatest >= u16::from(count) {
        let (found, expected) = (greatest.into(), u64::from(count.saturating_sub(1)));
        return Err(FormatError::Value { field: "class of a point", found, expected });
    }
    for (class, q) in classes.iter_mut().zip(q) {
        *class = q as u8;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(classes: &[u8], count: u8, dims: &[usize]) -> usize {
        let bytes = encode(classes, dims);
        assert_eq!(bytes[0], INTEGERS);
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
    fn a_class_beyond_the_last_is_refused() {
        let bytes = encode(&[0, 1, 2, 1, 0], &[5]);
        let wrong = FormatError::Value { field: "class of a point", found: 2, expected: 1 };
        assert_eq!(decode(&bytes[1..], 2, &mut [0; 5]), Err(wrong));
        assert!(decode(&bytes[1..], 3, &mut [0; 6]).is_err());
    }

    /// The example of SPEC 6.3.
    #[test]
    fn the_example_of_the_specification() {
        let bytes = encode(&[0, 1, 0, 0, 0, 1, 0, 0], &[2, 4]);
        let text: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(text.join(" "), "80 01 04 00 00 00 00 08 00 00 00 01 04 fa dd df fe 01 e4");
    }

    proptest! {
        #[test]
        fn any_image_round_trips(
            dims in prop::collection::vec(1usize..9, 1..6),
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
