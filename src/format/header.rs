//! The fixed parts of a file: header and trailer (SPEC 3).

use crate::codec::checksum_holds;
use crate::error::{Error, FormatError, Place, Result, Unsupported};
use std::ops::Range;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The first eight bytes of every file, after PNG's: a byte above 127, the name, and line ends that a text-mode
/// transfer would change.
pub(crate) const SIGNATURE: [u8; 8] = *b"\x89CAE\r\n\x1a\n";

/// The version that this crate writes. Major 0 marks a draft: every minor version is a format of its own.
pub const VERSION: (u8, u8) = (0, 1);

/// The header (SPEC 3.1).
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Header {
    pub(crate) signature: [u8; 8],
    pub(crate) major: u8,
    pub(crate) minor: u8,
    /// Zero; a set bit is a feature that this reader lacks.
    pub(crate) flags: U16,
    /// CRC-32 of the twelve bytes before.
    pub(crate) crc: U32,
}

/// The trailer (SPEC 3.3): the last eight bytes of the file.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Trailer {
    /// Bytes of the directory, which ends where the trailer begins.
    pub(crate) directory_len: U32,
    /// CRC-32 of the directory and of `directory_len`.
    pub(crate) crc: U32,
}

/// Bytes of the header.
pub(crate) const HEADER_LEN: usize = size_of::<Header>();
/// Bytes of the trailer.
pub(crate) const TRAILER_LEN: usize = size_of::<Trailer>();

impl Header {
    /// The header that this version writes.
    pub(crate) fn current() -> Header {
        let mut h =
            Header { signature: SIGNATURE, major: VERSION.0, minor: VERSION.1, flags: U16::ZERO, crc: U32::ZERO };
        h.crc = h.computed_crc().into();
        h
    }

    fn computed_crc(&self) -> u32 {
        let (covered, _) = self.as_bytes().split_at(HEADER_LEN.saturating_sub(size_of::<U32>()));
        crc32fast::hash(covered)
    }

    /// Whether what may be the header of another version has its checksum.
    pub(crate) fn is_sealed(file: &[u8]) -> bool {
        Header::read_from_prefix(file).is_ok_and(|(h, _)| h.signature == SIGNATURE && h.crc.get() == h.computed_crc())
    }

    /// The header at the start of `file`, checked.
    pub(crate) fn read_from(file: &[u8]) -> Result<Header> {
        let fail = |kind| Error::Format { place: Place::Header, offset: 0, kind };
        let unsupported = |kind| Error::Unsupported { place: Place::Header, offset: 0, kind };
        if !SIGNATURE.starts_with(file.get(..SIGNATURE.len()).unwrap_or(file)) {
            return Err(fail(match file.get(1..4) {
                Some(b"CAE") => FormatError::TextModeDamage,
                _ => FormatError::Signature,
            }));
        }
        let (h, _) = Header::read_from_prefix(file).map_err(|_| {
            fail(FormatError::Truncated { what: "header", needed: HEADER_LEN as u64, available: file.len() as u64 })
        })?;
        // The version is judged first: the header of another may have another checksum.
        if (h.major, h.minor) != VERSION {
            return Err(unsupported(Unsupported::Version { found: (h.major, h.minor), newest: VERSION }));
        }
        let (stored, computed) = (h.crc.get(), h.computed_crc());
        if !checksum_holds(stored, computed) {
            return Err(fail(FormatError::Checksum { what: "header", stored, computed }));
        }
        match h.flags.get() {
            0 => Ok(h),
            found => Err(unsupported(Unsupported::Variant { field: "header flags", found: found.into() })),
        }
    }
}

impl Trailer {
    /// The trailer for this directory.
    pub(crate) fn new(directory: &[u8], directory_len: u32) -> Trailer {
        let directory_len = U32::from(directory_len);
        let mut crc = crc32fast::Hasher::new();
        crc.update(directory);
        crc.update(directory_len.as_bytes());
        Trailer { directory_len, crc: crc.finalize().into() }
    }

    /// The trailer of a file of `file_len` bytes that ends with `tail`, and where the directory lies.
    pub(crate) fn read_from_end(tail: &[u8], file_len: u64) -> Result<(Trailer, Range<u64>)> {
        let fail = |kind| Error::Format { place: Place::Trailer, offset: Trailer::offset(file_len), kind };
        let body = file_len.saturating_sub(HEADER_LEN as u64);
        let needed = TRAILER_LEN as u64;
        let truncated = fail(FormatError::Truncated { what: "trailer", needed, available: body });
        let Some(before) = body.checked_sub(needed) else { return Err(truncated) };
        let (_, trailer) = Trailer::read_from_suffix(tail).map_err(|_| truncated)?;
        let needed = u64::from(trailer.directory_len.get());
        let start = before.checked_sub(needed);
        let start =
            start.ok_or_else(|| fail(FormatError::Truncated { what: "directory", needed, available: before }))?;
        let at = |n: u64| n.saturating_add(HEADER_LEN as u64);
        Ok((trailer, at(start)..at(before)))
    }

    /// Fails unless the directory of a file of `file_len` bytes has its checksum.
    pub(crate) fn check(&self, directory: &[u8], file_len: u64) -> Result<()> {
        let (stored, computed) = (self.crc.get(), Trailer::new(directory, self.directory_len.get()).crc.get());
        if checksum_holds(stored, computed) {
            return Ok(());
        }
        let kind = FormatError::Checksum { what: "directory", stored, computed };
        Err(Error::Format { place: Place::Trailer, offset: Trailer::offset(file_len), kind })
    }

    fn offset(file_len: u64) -> u64 {
        file_len.saturating_sub(TRAILER_LEN as u64)
    }

    /// The directory of `file`, whose checksum may be wrong, the offset of its first byte, and the trailer.
    pub(crate) fn directory_of(file: &[u8]) -> Result<(&[u8], u64, Trailer)> {
        let (trailer, Range { start, end }) = Trailer::read_from_end(file, file.len() as u64)?;
        let range = usize::try_from(start).unwrap_or(usize::MAX)..usize::try_from(end).unwrap_or(usize::MAX);
        Ok((file.get(range).unwrap_or_default(), start, trailer))
    }
}
