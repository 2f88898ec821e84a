//! The fixed parts of a file: header and trailer (SPEC 3).

use crate::codec::checksum_holds;
use crate::error::{Error, FormatError, Place, Result, Unsupported};
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

    /// The directory of `file` and the offset of its first byte; its checksum is checked.
    pub(crate) fn directory_of(file: &[u8]) -> Result<(&[u8], u64)> {
        let (directory, offset) = Trailer::unchecked_directory_of(file)?;
        let (stored, computed) = Trailer::checksums(file).unwrap_or_default();
        if !checksum_holds(stored, computed) {
            let at = file.len().saturating_sub(TRAILER_LEN) as u64;
            let kind = FormatError::Checksum { what: "directory", stored, computed };
            return Err(Error::Format { place: Place::Trailer, offset: at, kind });
        }
        Ok((directory, offset))
    }

    /// The same for a file whose checksum may be wrong.
    pub(crate) fn unchecked_directory_of(file: &[u8]) -> Result<(&[u8], u64)> {
        let at = file.len().saturating_sub(TRAILER_LEN) as u64;
        let fail = |kind| Error::Format { place: Place::Trailer, offset: at, kind };
        let body = file.get(HEADER_LEN..).unwrap_or_default();
        let (before, trailer) = Trailer::read_from_suffix(body).map_err(|_| {
            fail(FormatError::Truncated { what: "trailer", needed: TRAILER_LEN as u64, available: body.len() as u64 })
        })?;
        let needed = trailer.directory_len.get();
        let start = before.len().checked_sub(needed as usize).ok_or_else(|| {
            fail(FormatError::Truncated { what: "directory", needed: needed.into(), available: before.len() as u64 })
        })?;
        Ok((before.get(start..).unwrap_or_default(), (HEADER_LEN as u64).saturating_add(start as u64)))
    }

    /// The checksum that is stored, and that of the directory, if there can be one.
    pub(crate) fn checksums(file: &[u8]) -> Option<(u32, u32)> {
        let (directory, _) = Trailer::unchecked_directory_of(file).ok()?;
        let (_, trailer) = Trailer::read_from_suffix(file).ok()?;
        Some((trailer.crc.get(), Trailer::new(directory, trailer.directory_len.get()).crc.get()))
    }
}
