//! bzip2 streams of known length (SPEC 7): one stream, nothing after it.

use crate::error::FormatError;
use bzip2::{Action, Compress, Compression, Decompress, Status};

/// `bytes` as one bzip2 stream; `None` if bzip2 fails, which only lack of memory makes it do.
pub(crate) fn encode(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut coder = Compress::new(Compression::best(), 0);
    // bzip2 promises at most 1 % and 600 bytes more.
    let mut out = Vec::with_capacity(bytes.len().saturating_add(bytes.len() >> 6).saturating_add(600));
    let mut rest = bytes;
    loop {
        let before = coder.total_in();
        let status = coder.compress_vec(rest, &mut out, Action::Finish).ok()?;
        let taken = usize::try_from(coder.total_in().saturating_sub(before)).ok()?;
        rest = rest.get(taken..)?;
        if status == Status::StreamEnd {
            return Some(out);
        }
        out.reserve(4096);
    }
}

/// The `len` bytes that the stream `bytes` holds; the caller has compared `len` with something physical.
pub(crate) fn decode(bytes: &[u8], len: usize, what: &'static str) -> Result<Vec<u8>, FormatError> {
    let damaged = FormatError::Bzip2 { what };
    let mut coder = Decompress::new(false);
    // One byte more than is wanted, so that a longer stream shows itself.
    let mut out = vec![0; len.saturating_add(1)];
    let mut rest = bytes;
    let mut filled = 0usize;
    loop {
        let (taken, made) = (coder.total_in(), coder.total_out());
        let free = out.get_mut(filled..).unwrap_or_default();
        let status = coder.decompress(rest, free).map_err(|_| damaged.clone())?;
        let taken = usize::try_from(coder.total_in().saturating_sub(taken)).unwrap_or(usize::MAX);
        let made = usize::try_from(coder.total_out().saturating_sub(made)).unwrap_or(usize::MAX);
        filled = filled.saturating_add(made);
        rest = rest.get(taken..).unwrap_or_default();
        match status {
            Status::StreamEnd => break,
            _ if filled > len || (taken == 0 && made == 0) => return Err(damaged),
            _ => {}
        }
    }
    if filled != len {
        return Err(FormatError::Count { what, found: filled as u64, expected: len as u64 });
    }
    if !rest.is_empty() {
        return Err(FormatError::TrailingBytes { what, count: rest.len() as u64 });
    }
    out.truncate(len);
    Ok(out)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers of tests")]
mod tests {
    use super::*;

    #[test]
    fn streams_round_trip_and_wrong_lengths_are_refused() {
        for len in [0usize, 1, 1000, 2_000_000] {
            let bytes: Vec<u8> = (0..=255u8).cycle().take(len).collect();
            let mut coded = encode(&bytes).unwrap();
            assert_eq!(decode(&coded, len, "x").unwrap(), bytes);
            assert!(matches!(decode(&coded, len + 1, "x"), Err(FormatError::Count { .. })));
            if len > 0 {
                assert!(decode(&coded, len - 1, "x").is_err());
            }
            assert!(decode(&coded[..coded.len() - 1], len, "x").is_err());
            coded.push(0);
            assert!(matches!(decode(&coded, len, "x"), Err(FormatError::TrailingBytes { count: 1, .. })));
        }
        assert!(decode(&[], 3, "x").is_err());
    }
}
