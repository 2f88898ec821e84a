//! Protocol buffers' wire format, as much of it as ONNX files of perceptrons need.

/// A message being written.
#[derive(Debug, Clone, Default)]
pub(super) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    fn varint(&mut self, mut v: u64) {
        while v >= 0x80 {
            self.bytes.push((v & 0x7f) as u8 | 0x80);
            v >>= 7;
        }
        self.bytes.push(v as u8);
    }

    pub(super) fn int(mut self, field: u64, v: i64) -> Self {
        self.varint(field << 3);
        self.varint(v.cast_unsigned());
        self
    }

    pub(super) fn bytes(mut self, field: u64, v: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(v.len() as u64);
        self.bytes.extend_from_slice(v);
        self
    }

    pub(super) fn text(self, field: u64, v: &str) -> Self {
        self.bytes(field, v.as_bytes())
    }

    pub(super) fn message(self, field: u64, v: &Message) -> Self {
        self.bytes(field, &v.bytes)
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// The value of a field being read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Int(u64),
    Bytes(&'a [u8]),
    Float(f32),
}

impl<'a> Value<'a> {
    pub(super) fn int(self) -> i64 {
        if let Value::Int(v) = self { v.cast_signed() } else { 0 }
    }

    pub(super) fn bytes(self) -> &'a [u8] {
        if let Value::Bytes(b) = self { b } else { &[] }
    }

    pub(super) fn text(self) -> &'a str {
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }
}

/// The fields of a message, up to the first that is damaged.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut v = 0u64;
        for shift in (0..70).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            v |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(v);
            }
        }
        None
    }

    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    /// A packed list of varints.
    pub(super) fn list(bytes: &'a [u8]) -> Vec<i64> {
        let mut fields = Fields(bytes);
        std::iter::from_fn(|| fields.varint()).map(u64::cast_signed).collect()
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Int(self.varint()?),
            1 => Value::Bytes(self.take(8)?),
            2 => {
                let len = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(len)?)
            }
            5 => Value::Float(f32::from_le_bytes(*self.take(4)?.first_chunk()?)),
            _ => return None,
        };
        Some((key >> 3, value))
    }
}
