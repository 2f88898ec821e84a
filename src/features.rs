//! What can be said of values before anything is tried on them: the features by which the paper tells which data suit
//! an autoencoder.

use crate::element::Element;
use crate::normalize;

/// Features of one array; of its ordinary values (finite, not missing) unless said otherwise.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Features {
    /// Number of values.
    pub values: u64,
    /// Those that are finite and not missing.
    pub ordinary: u64,
    /// Those that are zero.
    pub zeros: u64,
    /// Those below zero.
    pub negative: u64,
    /// Least, and the values that 10 %, 20 %, ... 90 % of the others do not exceed, and greatest.
    pub deciles: [f64; 11],
    /// The same of the normalized values (SPEC 7.1), zeros left out.
    pub normalized_deciles: [f64; 11],
    /// Entropy of the bytes of the values in bits, 0 to 8.
    pub byte_entropy: f64,
    /// How many cells of a hundredth of the range hold 95 % of the values: 1 to 95.
    pub coreset_size: u32,
    /// Correlation of each value with the one after it in C order, -1 to 1.
    pub serial_correlation: f64,
    /// The same of the normalized values.
    pub normalized_serial_correlation: f64,
    /// Coefficient of variation: standard deviation over mean magnitude.
    pub cv: f64,
    /// The same of the normalized values, zeros left out. The paper's rule: below 0.4, an autoencoder suits the data.
    pub normalized_cv: f64,
    /// Different decimal exponents of the normalized values.
    pub exponents: u32,
    /// Runs of equal decimal exponents in C order.
    pub exponent_runs: u64,
}

impl Features {
    /// The greatest coefficient of variation after normalization at which the paper recommends an autoencoder.
    pub const CV_RULE: f64 = 0.4;

    /// Measures `values`, in C order; `fill` stands for missing ones. Sorts copies of them.
    pub fn of<T: Element>(values: &[T], fill: Option<f64>) -> Self {
        let missing = |v: &f64| !v.is_finite() || Some(*v) == fill;
        let all: Vec<f64> = values.iter().map(|v| v.to_f64()).filter(|v| !missing(v)).collect();
        let pairs: Vec<(f64, i16)> = all.iter().filter(|v| **v != 0.0).map(|v| normalize::apply(*v)).collect();
        let normalized: Vec<f64> = pairs.iter().map(|(y, _)| *y).collect();
        let mut kinds: Vec<i16> = pairs.iter().map(|(_, k)| *k).collect();
        let changes = kinds.windows(2).filter(|w| w.first() != w.last()).count() as u64;
        let exponent_runs = if kinds.is_empty() { 0 } else { changes.saturating_add(1) };
        kinds.sort_unstable();
        kinds.dedup();
        let count = |of: &dyn Fn(&f64) -> bool| all.iter().filter(|v| of(v)).count() as u64;
        Features {
            values: values.len() as u64,
            ordinary: all.len() as u64,
            zeros: count(&|v| *v == 0.0),
            negative: count(&|v| *v < 0.0),
            deciles: deciles(&all),
            normalized_deciles: deciles(&normalized),
            byte_entropy: byte_entropy(values),
            coreset_size: coreset_size(&all),
            serial_correlation: serial_correlation(&all),
            normalized_serial_correlation: serial_correlation(&normalized),
            cv: cv(&all),
            normalized_cv: cv(&normalized),
            exponents: u32::try_from(kinds.len()).unwrap_or(u32::MAX),
            exponent_runs,
        }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0.0), |(s, n), v| (s + v, n + 1.0));
    if n > 0.0 { sum / n } else { 0.0 }
}

fn cv(values: &[f64]) -> f64 {
    let centre = mean(values.iter().copied());
    let variance = mean(values.iter().map(|v| (v - centre) * (v - centre)));
    let magnitude = mean(values.iter().map(|v| v.abs()));
    if magnitude > 0.0 { variance.sqrt() / magnitude } else { 0.0 }
}

fn serial_correlation(values: &[f64]) -> f64 {
    let centre = mean(values.iter().copied());
    let square = |a: f64, b: f64| (a - centre) * (b - centre);
    let all: f64 = values.iter().map(|v| square(*v, *v)).sum();
    let next: f64 = values.iter().zip(values.iter().skip(1)).map(|(a, b)| square(*a, *b)).sum();
    if all > 0.0 { next / all } else { 1.0 }
}

fn deciles(values: &[f64]) -> [f64; 11] {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    std::array::from_fn(|i| sorted.get(last.saturating_mul(i) / 10).copied().unwrap_or(f64::NAN))
}

fn byte_entropy<T: Element>(values: &[T]) -> f64 {
    let mut counts = [0u64; 256];
    let mut bytes = Vec::with_capacity(8);
    for v in values {
        bytes.clear();
        v.put_le(&mut bytes);
        for b in &bytes {
            if let Some(n) = counts.get_mut(usize::from(*b)) {
                *n = n.saturating_add(1);
            }
        }
    }
    let all = counts.iter().sum::<u64>() as f64;
    let part = |n: &u64| *n as f64 / all;
    0.0 - counts.iter().filter(|n| **n > 0).map(|n| part(n) * part(n).log2()).sum::<f64>()
}

/// Cells of the range.
const CELLS: usize = 100;

fn coreset_size(values: &[f64]) -> u32 {
    let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    let mut counts = [0u64; CELLS];
    for v in values {
        let at = (v - low) / (high - low) * CELLS as f64;
        #[allow(clippy::cast_possible_truncation, reason = "from 0 to the number of cells; a range of zero is cell 0")]
        let cell = (at as usize).min(CELLS - 1);
        if let Some(n) = counts.get_mut(cell) {
            *n = n.saturating_add(1);
        }
    }
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let wanted = 0.95 * values.len() as f64;
    let (mut held, mut cells) = (0u64, 0u32);
    for n in counts {
        if held as f64 >= wanted {
            break;
        }
        held = held.saturating_add(n);
        cells = cells.saturating_add(1);
    }
    cells.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_of_known_values() {
        let f = Features::of(&[1.0f64, 2.0, 3.0, 4.0, f64::NAN, -9.0], Some(-9.0));
        assert_eq!((f.values, f.ordinary, f.zeros, f.negative), (6, 4, 0, 0));
        assert!((f.cv - 1.25f64.sqrt() / 2.5).abs() < 1e-12);
        assert!((f.normalized_cv - f.cv).abs() < 1e-12, "one exponent: scaling changes nothing");
        assert!((f.serial_correlation - 0.25).abs() < 1e-12);
        assert_eq!((f.exponents, f.exponent_runs, f.coreset_size), (1, 1, 4));
        assert_eq!((f.deciles[0], f.deciles[10]), (1.0, 4.0));

        let f = Features::of(&[1.0f32, 10.0, 100.0, 0.0], None);
        assert_eq!((f.exponents, f.exponent_runs, f.zeros), (3, 3, 1));
        assert!(f.normalized_cv < 1e-6 && f.cv > 1.0);
    }

    #[test]
    fn degenerate_arrays_have_features() {
        for values in [vec![], vec![f32::NAN], vec![0.0; 5], vec![7.0; 5]] {
            let f = Features::of(&values, None);
            assert!(f.cv == 0.0 && f.normalized_cv == 0.0 && f.byte_entropy >= 0.0 || values.is_empty());
        }
        let all: Vec<f32> = (0..=255u8).map(|b| f32::from_le_bytes([b; 4])).collect();
        assert!((Features::of(&all, None).byte_entropy - 8.0).abs() < 1e-12);
    }
}
