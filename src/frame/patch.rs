//! Patches: points that the method left outside their bound, stored as they are (SPEC 6.5).

use crate::codec::cursor::{Cursor, put_varint};
use crate::element::Element;
use crate::error::FormatError;

/// Appends (position, value) pairs; positions ascend.
pub(crate) fn write_to<T: Element>(patches: &[(usize, T)], out: &mut Vec<u8>) {
    let mut next = 0usize;
    for (i, v) in patches {
        put_varint(out, i.saturating_sub(next) as u64);
        next = i.saturating_add(1);
        v.put_le(out);
    }
}

/// Applies the patches in `bytes`, all of it.
pub(crate) fn apply<T: Element>(bytes: &[u8], out: &mut [T]) -> Result<(), FormatError> {
    let mut c = Cursor::new(bytes);
    let mut rest = out;
    while c.remaining() > 0 {
        let skip = c.varint("patch position")?;
        let bits = match T::DATA_TYPE.size() {
            4 => u64::from(c.u32("patch value")?),
            _ => c.u64("patch value")?,
        };
        let n = rest.len() as u64;
        let beyond = FormatError::Value { field: "patch position", found: skip, expected: n.saturating_sub(1) };
        let skip = usize::try_from(skip).map_err(|_| beyond.clone())?;
        let (target, tail) =
            std::mem::take(&mut rest).get_mut(skip..).and_then(|r| r.split_first_mut()).ok_or(beyond)?;
        *target = T::from_bits64(bits);
        rest = tail;
    }
    Ok(())
}
