//! Finds the lattice that data came on: packed integers, counts, printed digits. On the writer's side only.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "floating point, and windows of a sorted sample"
)]

/// Values that are looked at.
const SAMPLE: usize = 1 << 15;
/// Spacings below so many rounding errors are not told from noise.
const CLEAR: f64 = 8.0;

/// `origin + n * spacing` for whole numbers `n`, but for rounding errors of at most `noise`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Native {
    pub(super) origin: f64,
    pub(super) spacing: f64,
    pub(super) noise: f64,
}

/// The lattice that all of `values` lie on, if there is one.
pub(super) fn find(values: &[f64]) -> Option<Native> {
    let largest = values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let narrow = values.iter().all(|v| f64::from(*v as f32) == *v);
    let noise = largest * if narrow { 1.0 / f64::from(1 << 24) } else { 1.0 / (1u64 << 52) as f64 };
    let every = values.len().div_ceil(SAMPLE).max(1);
    let mut sorted: Vec<f64> = values.iter().step_by(every).copied().collect();
    sorted.sort_by(f64::total_cmp);
    sorted.dedup_by(|a, b| (*a - *b).abs() <= 2.0 * noise);
    if sorted.len() < 16 {
        return None;
    }
    let mut gaps: Vec<f64> = sorted.windows(2).map(|w| w[1] - w[0]).collect();
    gaps.sort_by(f64::total_cmp);
    // The spacing grows more certain with every gap; one that does not fit leaves a smaller common measure.
    let mut spacing = gaps[0];
    let mut sums = (0.0, 0.0);
    for gap in &gaps {
        loop {
            // Written so that what overflowed is refused, too.
            if !(spacing >= CLEAR * noise && spacing < f64::INFINITY) {
                return None;
            }
            let n = (gap / spacing).round();
            let rest = (gap - n * spacing).abs();
            if rest <= 4.0 * noise * n.max(1.0) && rest < 0.25 * spacing {
                sums = (sums.0 + gap * n, sums.1 + n * n);
                spacing = sums.0 / sums.1;
                break;
            }
            spacing = rest;
            sums = (0.0, 0.0);
        }
    }
    let origin = sorted[0];
    let mut n = 0.0;
    for w in sorted.windows(2) {
        n += ((w[1] - w[0]) / spacing).round();
        if n >= 16.0 {
            spacing = (w[1] - origin) / n;
        }
    }
    let off = |v: &f64| {
        let n = ((v - origin) / spacing).round();
        (v - origin - n * spacing).abs()
    };
    values.iter().all(|v| off(v) <= 4.0 * noise).then_some(Native { origin, spacing, noise: 4.0 * noise })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_packed_integers_and_refuses_noise() {
        let packed: Vec<f64> =
            (0..5000u32).map(|i| f64::from((f64::from(i * i % 7919) * 0.0123 + 250.0) as f32)).collect();
        let native = find(&packed);
        assert!(native.is_some_and(|n| (n.spacing - 0.0123).abs() < 1e-7), "{native:?}");
        let smooth: Vec<f64> = (0..5000).map(|i| (f64::from(i) * 0.01).sin()).collect();
        assert_eq!(find(&smooth), None);
    }
}
