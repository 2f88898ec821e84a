#![allow(dead_code, unused_variables, reason = "stub")]
use crate::{DataType, FormatError, lattice::Grid};
pub(crate) fn encode(q: &[u64], grid: &Grid, t: DataType) -> Vec<u8> {
    q.iter().flat_map(|v| v.to_le_bytes()).collect()
}
pub(crate) fn decode(bytes: &[u8], grid: &Grid, t: DataType, out: &mut [u64]) -> Result<(), FormatError> {
    for (o, b) in out.iter_mut().zip(bytes.chunks_exact(8)) {
        *o = u64::from_le_bytes(b.try_into().unwrap_or_default());
    }
    Ok(())
}
