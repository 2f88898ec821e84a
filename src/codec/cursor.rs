//! Reading fields one after another from a slice, and appending them to a vector (SPEC 2).

use crate::error::FormatError;

/// A position in a slice of bytes from a file.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Cursor { rest: bytes }
    }

    /// How many bytes are left.
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The next `n` bytes.
    pub(crate) fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], FormatError> {
        let (head, tail) = self.rest.split_at_checked(n).ok_or(FormatError::Truncated {
            what,
            needed: n as u64,
            available: self.rest.len() as u64,
        })?;
        self.rest = tail;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], FormatError> {
        let available = self.rest.len() as u64;
        let (head, tail) =
            self.rest.split_first_chunk::<N>().ok_or(FormatError::Truncated { what, needed: N as u64, available })?;
        self.rest = tail;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, FormatError> {
        self.array::<1>(what).map(|[b]| b)
    }
    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, FormatError> {
        self.array(what).map(u32::from_le_bytes)
    }
    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, FormatError> {
        self.array(what).map(u64::from_le_bytes)
    }
    pub(crate) fn f64(&mut self, what: &'static str) -> Result<f64, FormatError> {
        self.array(what).map(f64::from_le_bytes)
    }

    /// An unsigned LEB128 integer of at most 64 bits in its shortest form (SPEC 2.2).
    pub(crate) fn varint(&mut self, field: &'static str) -> Result<u64, FormatError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(field)?;
            let bits = u64::from(byte & 0x7f);
            if (shift == 63 && bits > 1) || (shift > 0 && byte == 0) {
                return Err(FormatError::Varint { field });
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(FormatError::Varint { field })
    }

    /// A varint that must not exceed `max`.
    pub(crate) fn varint_max(&mut self, field: &'static str, max: u64) -> Result<u64, FormatError> {
        let found = self.varint(field)?;
        if found > max { Err(FormatError::Value { field, found, expected: max }) } else { Ok(found) }
    }

    /// A varint length and that many bytes.
    pub(crate) fn block(&mut self, what: &'static str) -> Result<&'a [u8], FormatError> {
        let n = self.varint(what)?;
        let available = self.rest.len() as u64;
        match usize::try_from(n) {
            Ok(n) if n <= self.rest.len() => self.take(n, what),
            _ => Err(FormatError::Truncated { what, needed: n, available }),
        }
    }

    /// All that is left.
    pub(crate) fn take_rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Fails if anything is left.
    pub(crate) fn finish(self, what: &'static str) -> Result<(), FormatError> {
        match self.rest.len() {
            0 => Ok(()),
            n => Err(FormatError::TrailingBytes { what, count: n as u64 }),
        }
    }
}

/// Appends `value` as LEB128 (SPEC 2.2).
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Appends a varint length and `bytes`.
pub(crate) fn put_block(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Maps 0, -1, 1, -2, .. to 0, 1, 2, 3, .. (SPEC 2.2).
pub(crate) fn zigzag(v: i64) -> u64 {
    ((v << 1) ^ (v >> 63)).cast_unsigned()
}

/// Inverse of [`zigzag`].
pub(crate) fn unzigzag(v: u64) -> i64 {
    (v >> 1).cast_signed() ^ (v & 1).wrapping_neg().cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_and_reject_long_forms() {
        for v in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, v);
            let mut c = Cursor::new(&out);
            assert_eq!(c.varint("v"), Ok(v));
            assert_eq!(c.finish("v"), Ok(()));
        }
        assert_eq!(Cursor::new(&[0x80, 0]).varint("v"), Err(FormatError::Varint { field: "v" }));
        let eleven = [0xff; 11];
        assert_eq!(Cursor::new(&eleven).varint("v"), Err(FormatError::Varint { field: "v" }));
        assert!(matches!(Cursor::new(&[0x80]).varint("v"), Err(FormatError::Truncated { .. })));
    }

    #[test]
    fn zigzag_is_a_bijection_at_the_ends() {
        for v in [0, -1, 1, i64::MIN, i64::MAX] {
            assert_eq!(unzigzag(zigzag(v)), v);
        }
    }
}
