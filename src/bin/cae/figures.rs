//! Figures that several commands report.

use crate::failure::Failure;
use cae::{Bound, Reader, Tolerance};
use std::collections::BTreeMap;

/// How many times smaller `output` is than `input`.
#[allow(clippy::cast_precision_loss, reason = "a ratio for people")]
pub fn ratio(input: u64, output: u64) -> f64 {
    if output == 0 { 0.0 } else { input as f64 / output as f64 }
}

/// The same in words; empty where there is nothing to compare.
pub fn times(ratio: f64) -> String {
    match ratio {
        r if r >= 1.0 => format!(", {r:.2} times smaller"),
        r if r > 0.0 => format!(", {:.2} times larger", 1.0 / r),
        _ => String::new(),
    }
}

/// A number in few digits.
pub fn short(x: f64) -> String {
    if x == 0.0 || (1e-3..1e5).contains(&x.abs()) { format!("{x:.4}") } else { format!("{x:.3e}") }
}

/// `1 frame`, `2 frames`.
pub fn count(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// `1 frame is`, `2 frames are`.
pub fn count_are(n: u64, what: &str) -> String {
    format!("{} {}", count(n, what), if n == 1 { "is" } else { "are" })
}

/// `1 of 3 frames is`, `2 of 3 frames are`.
pub fn frames_are(n: u64, all: u64) -> String {
    format!("{n} of {} {}", count(all, "frame"), if n == 1 { "is" } else { "are" })
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

/// A bound in words: as it was asked for, and what it came to.
pub fn bound_in_words(bound: Bound, tolerance: Tolerance) -> String {
    let (mode, asked) = bound_of(bound);
    if is_unknown(tolerance) {
        return "unknown".to_owned();
    }
    let asked = asked.map_or_else(|| mode.to_owned(), |asked| format!("{mode} {asked:?}"));
    match (bound, tolerance) {
        (Bound::Lossless | Bound::Absolute(_) | Bound::Pointwise(_), _) => asked,
        (Bound::ByPoint, Tolerance::Absolute(e)) => format!("{asked} (abs {e:?} at most)"),
        (_, Tolerance::Absolute(e)) => format!("{asked} (abs {e:?})"),
        _ => format!("{asked} (lossless)"),
    }
}

/// Whether it is what `cae recover` puts for a bound that it is not told.
pub fn is_unknown(tolerance: Tolerance) -> bool {
    tolerance == Tolerance::Absolute(f64::MAX)
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
