//! Protocol buffers' wire format, as much of it as ONNX needs: no groups, no recursion.

use crate::error::{Error, ModelError, Result};

/// The bytes are not an ONNX model.
pub(super) fn malformed(what: impl Into<String>) -> Error {
    Error::Model(ModelError::Malformed { what: what.into() })
}

/// The value of one field, borrowed from the message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

impl<'a> Value<'a> {
    /// A varint read as the two's complement that `int32`, `int64` and enumerations use.
    pub(super) fn int(self, what: &str) -> Result<i64> {
        match self {
            Value::Varint(v) => Ok(v.cast_signed()),
            _ => Err(malformed(format!("{what} is not an integer"))),
        }
    }

    pub(super) fn bytes(self, what: &str) -> Result<&'a [u8]> {
        match self {
            Value::Bytes(b) => Ok(b),
            _ => Err(malformed(format!("{what} is not a message or string"))),
        }
    }

    pub(super) fn text(self, what: &str) -> Result<&'a str> {
        std::str::from_utf8(self.bytes(what)?).map_err(|_| malformed(format!("{what} is not UTF-8")))
    }

    pub(super) fn float(self, what: &str) -> Result<f32> {
        match self {
            Value::Fixed32(b) => Ok(f32::from_le_bytes(b)),
            _ => Err(malformed(format!("{what} is not a 32-bit float"))),
        }
    }
}

/// The fields of one message, in the order of the bytes.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Fields { rest: message }
    }

    fn field(&mut self) -> Result<(u64, Value<'a>)> {
        let key = varint(&mut self.rest)?;
        let value = match key & 7 {
            0 => Value::Varint(varint(&mut self.rest)?),
            1 => Value::Fixed64(*self.chunk()?),
            2 => {
                let len = varint(&mut self.rest)?;
                let available = self.rest.len();
                let len = usize::try_from(len)
                    .ok()
                    .filter(|&n| n <= available)
                    .ok_or_else(|| malformed(format!("a field of {len} bytes, {available} left")))?;
                let (head, tail) = self.rest.split_at(len);
                self.rest = tail;
                Value::Bytes(head)
            }
            5 => Value::Fixed32(*self.chunk()?),
            other => return Err(malformed(format!("wire type {other}, which ONNX does not use"))),
        };
        if key >> 3 == 0 {
            return Err(malformed("a field with number 0"));
        }
        Ok((key >> 3, value))
    }

    fn chunk<const N: usize>(&mut self) -> Result<&'a [u8; N]> {
        let (head, tail) = self.rest.split_first_chunk().ok_or_else(|| malformed("the bytes end inside a number"))?;
        self.rest = tail;
        Ok(head)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// Takes one base-128 integer of at most ten bytes off the front.
pub(super) fn varint(bytes: &mut &[u8]) -> Result<u64> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or_else(|| malformed("the bytes end inside an integer"))?;
        *bytes = rest;
        // As every protobuf reader does, bits beyond the 64th are dropped.
        value |= u64::from(byte & 0x7F).checked_shl(shift).unwrap_or(0);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(malformed("an integer of more than ten bytes"))
}

/// Builds one message, field by field.
#[derive(Debug, Clone, Default)]
pub(super) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    pub(super) fn new() -> Self {
        Message::default()
    }

    pub(super) fn int(mut self, field: u32, value: i64) -> Self {
        self.put_varint(u64::from(field) << 3);
        self.put_varint(value.cast_unsigned());
        self
    }

    pub(super) fn float(mut self, field: u32, value: f32) -> Self {
        self.put_varint((u64::from(field) << 3) | 5);
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(super) fn bytes(mut self, field: u32, value: &[u8]) -> Self {
        self.put_varint((u64::from(field) << 3) | 2);
        self.put_varint(value.len() as u64);
        self.bytes.extend_from_slice(value);
        self
    }

    pub(super) fn text(self, field: u32, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    pub(super) fn message(self, field: u32, value: &Message) -> Self {
        self.bytes(field, &value.bytes)
    }

    /// Appends the fields of `other`.
    pub(super) fn append(mut self, other: Message) -> Self {
        self.bytes.extend_from_slice(&other.bytes);
        self
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.bytes.push(value.to_le_bytes()[0]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_wrote() {
        let message = Message::new().int(1, -3).float(2, 1.5).text(3, "ab").finish();
        let fields: Vec<_> = Fields::new(&message).map(|f| f.unwrap()).collect();
        assert_eq!(fields[0].1.int("x").unwrap(), -3);
        assert_eq!(fields[1].1.float("x").unwrap(), 1.5);
        assert_eq!(fields[2].1.text("x").unwrap(), "ab");
    }

    #[test]
    fn refuses_groups_and_lengths_beyond_the_end() {
        for bytes in [&[0x0B][..], &[0x0A, 5, 1], &[0x80], &[0x09, 1, 2], &[0x00, 0x00], &[0xFF; 12]] {
            assert!(Fields::new(bytes).any(|f| f.is_err()), "{bytes:?}");
        }
    }
}
