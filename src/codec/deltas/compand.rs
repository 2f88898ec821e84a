//! A scale on which equal steps are nearly equal ratios (SPEC 7.5.1), from exactly rounded operations alone.

/// Where segments start: every step in a segment is the same part of this, so within 0.01..0.1 a step is the same
/// part of a value up to a factor of 1.28.
const BREAKS: [f64; 10] = [0.01, 0.0125, 0.016, 0.02, 0.025, 0.032, 0.04, 0.05, 0.064, 0.08];

/// The positions of the breaks on the scale.
#[allow(clippy::indexing_slicing, reason = "evaluated when compiled")]
const STARTS: [f64; 10] = {
    let mut starts = [1.0; 10];
    let mut j = 1;
    while j < 10 {
        starts[j] = starts[j - 1] + (BREAKS[j] - BREAKS[j - 1]) / BREAKS[j - 1];
        j += 1;
    }
    starts
};

/// Length of a decade, from 0.01 to 0.1, on the scale.
pub(super) const DECADE: f64 = STARTS[9] + (0.1 - BREAKS[9]) / BREAKS[9] - STARTS[0];

/// Break and start of the last segment whose `keys` entry is at most `at`; `None` before the first.
#[inline(always)]
fn segment(keys: &[f64; 10], at: f64) -> Option<(f64, f64)> {
    BREAKS.iter().zip(&STARTS).zip(keys).take_while(|(_, key)| **key <= at).last().map(|((b, s), _)| (*b, *s))
}

/// The position of `y` on the scale.
pub(super) fn compress(y: f64) -> f64 {
    let a = y.abs();
    let c = match segment(&BREAKS, a) {
        Some((b, start)) => start + (a - b) / b,
        None => a / 0.01,
    };
    c.copysign(y)
}

/// What lies at `c` on the scale.
pub(super) fn expand(c: f64) -> f64 {
    let a = c.abs();
    let y = match segment(&STARTS, a) {
        Some((b, start)) => b + (a - start) * b,
        None => a * 0.01,
    };
    y.copysign(c)
}

/// By how much `y` grows for each 1 of the scale.
pub(super) fn slope(y: f64) -> f64 {
    segment(&BREAKS, y.abs()).map_or(0.01, |(b, _)| b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expand_inverts_compress_and_both_ascend() {
        let mut last = f64::NEG_INFINITY;
        for i in -3000..3000 {
            let y = f64::from(i) * 5e-5;
            let c = compress(y);
            assert!((expand(c) - y).abs() <= 1e-15, "{y}");
            assert!(c > last);
            last = c;
        }
        assert!((compress(0.1) - compress(0.01) - DECADE).abs() < 1e-12);
        assert!(expand(compress(1e30)) > 0.9e30);
        assert!(compress(f64::MAX).is_infinite());
    }
}
