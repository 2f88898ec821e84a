//! Figures that several commands report.

use crate::failure::Failure;
use cae::{Bound, Reader, Tolerance};
use std::collections::BTreeMap;

/// How many times smaller `output` is than `input`.
#[allow(clippy::cast_precision_loss, reason = "a ratio for people")]
pub fn ratio(input: u64, output: u64) -> f64 {
    if output == 0 { 0.0 } else { input as f64 / output as f64 }
}

/// Name and number of a bound as it was asked for.
pub fn bound_of(bound: Bound) -> (&'static str, Option<f64>) {
    let mode = match bound {
        Bound::Absolute(_) => "abs",
        Bound::Range(_) => "rel",
        Bound::Pointwise(_) => "pw",
        Bound::Rmse(_) => "rmse",
        Bound::Psnr(_) => "psnr",
        Bound::Ratio(_) => "ratio",
        Bound::ByPoint => "by_point",
        _ => "lossless",
    };
    (mode, bound.parameter())
}

/// The error that is allowed everywhere alike, if there is one.
pub fn abs_bound(tolerance: Tolerance) -> Option<f64> {
    match tolerance {
        Tolerance::Absolute(e) => Some(e),
        _ => None,
    }
}

/// Bytes of the whole file by what they are for; they add up to its length.
pub fn sections(reader: &Reader) -> Result<BTreeMap<&'static str, u64>, Failure> {
    let mut sections = BTreeMap::new();
    let (mut frames, mut known) = (0u64, 0u64);
    for array in reader.arrays() {
        let breakdown = array.breakdown().map_err(|e| Failure::bad(e.to_string()))?;
        frames = frames.saturating_add(array.stored_bytes());
        for (section, n) in breakdown.sections {
            let sum: &mut u64 = sections.entry(section.name()).or_default();
            *sum = sum.saturating_add(n);
            known = known.saturating_add(n);
        }
    }
    let model: u64 = reader.models().map(|m| m.len).sum();
    sections.insert("model", model);
    sections.insert("header", reader.file_len().saturating_sub(frames).saturating_sub(model));
    if known < frames {
        sections.insert("damaged", frames.saturating_sub(known));
    }
    Ok(sections)
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
