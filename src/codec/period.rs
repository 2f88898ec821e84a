//! Finds the length of rows in data that lost its shape, on the writer's side only.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "indexes stay inside buffers whose lengths are fixed when they are made"
)]

/// Points that are looked at.
const SAMPLE: usize = 1 << 18;
/// Peaks of the correlation that are looked at more closely.
const PEAKS: usize = 200;

/// Distances at which `values` look most like themselves: the best two, and the best two that divide their number.
pub(crate) fn periods(values: &[f64]) -> Vec<usize> {
    let total = values.len();
    let values = &values[..total.min(SAMPLE)];
    let n = values.len();
    if n < 64 {
        return Vec::new();
    }
    let correlation = autocorrelation(values);
    let mut peaks: Vec<usize> =
        (2..n / 3).filter(|l| correlation[*l] > correlation[l - 1] && correlation[*l] >= correlation[l + 1]).collect();
    // Fewer pairs are far apart than near.
    let level = |l: usize| correlation[l] * n as f64 / (n - l) as f64;
    peaks.sort_by(|a, b| level(*b).total_cmp(&level(*a)));
    peaks.truncate(PEAKS);
    best(peaks.into_iter().map(|l| (difference(values, l), l)).collect(), |l| total.is_multiple_of(l))
}

/// Numbers of rows of length `row` after which `values` look like themselves more than a row before or after: the best
/// two, and the best two that divide the number of rows.
pub(crate) fn row_periods(values: &[f64], row: usize) -> Vec<usize> {
    let rows = values.len() / row.max(1);
    let values = &values[..values.len().min(SAMPLE)];
    let most = (values.len() / 3 / row.max(1)).min(512);
    let scores: Vec<f64> = (0..=most).map(|m| if m == 0 { 0.0 } else { difference(values, m * row) }).collect();
    let found = (2..most)
        .filter(|m| scores[*m] < scores[m - 1] && scores[*m] <= scores[m + 1])
        .map(|m| (scores[m] / scores[m - 1].min(scores[m + 1]), m))
        .collect();
    best(found, |m| rows.is_multiple_of(m))
}

/// The two lengths of the lowest score, and the two lowest of those that `fit`.
fn best(mut scored: Vec<(f64, usize)>, fit: impl Fn(usize) -> bool) -> Vec<usize> {
    scored.sort_by(|a, b| a.0.total_cmp(&b.0));
    let lengths: Vec<usize> = scored.into_iter().map(|(_, l)| l).collect();
    let mut found: Vec<usize> = lengths.iter().copied().take(2).collect();
    found.extend(lengths.iter().copied().skip(2).filter(|l| fit(*l)).take(2));
    found
}

/// Mean magnitude of the difference at distance `l`, roots taken so that jumps do not outweigh the rest.
fn difference(values: &[f64], l: usize) -> f64 {
    let sum: f64 = values[l..].iter().zip(values).map(|(a, b)| (a - b).abs().sqrt()).sum();
    sum / (values.len() - l) as f64
}

/// Products of `values` less their mean with themselves shifted by 0, 1, ...
fn autocorrelation(values: &[f64]) -> Vec<f64> {
    let n = values.len();
    let mean = values.iter().sum::<f64>() / n as f64;
    let size = (2 * n).next_power_of_two();
    let mut wave: Vec<(f64, f64)> = values.iter().map(|v| (v - mean, 0.0)).collect();
    wave.resize(size, (0.0, 0.0));
    transform(&mut wave);
    wave.iter_mut().for_each(|w| *w = (w.0 * w.0 + w.1 * w.1, 0.0));
    transform(&mut wave);
    wave.truncate(n);
    wave.into_iter().map(|w| w.0).collect()
}

/// Discrete Fourier transform of a power of two of complex numbers, in place.
fn transform(wave: &mut [(f64, f64)]) {
    let n = wave.len();
    let bits = n.trailing_zeros();
    for i in 0..n {
        let j = i.reverse_bits() >> (usize::BITS - bits);
        if i < j {
            wave.swap(i, j);
        }
    }
    let mut half = 1;
    while half < n {
        let turns: Vec<(f64, f64)> = (0..half)
            .map(|k| (-std::f64::consts::PI * k as f64 / half as f64).sin_cos())
            .map(|(s, c)| (c, s))
            .collect();
        for chunk in wave.chunks_exact_mut(2 * half) {
            let (left, right) = chunk.split_at_mut(half);
            for ((a, b), (c, s)) in left.iter_mut().zip(right).zip(&turns) {
                let t = (b.0 * c - b.1 * s, b.0 * s + b.1 * c);
                *b = (a.0 - t.0, a.1 - t.1);
                *a = (a.0 + t.0, a.1 + t.1);
            }
        }
        half *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_rows_and_planes() {
        let f = |i: usize| {
            let (x, y, z) = (i % 37, i / 37 % 11, i / 407);
            (x * x) as f64 * 0.3 + (y * y * 7) as f64 + z as f64
        };
        let values: Vec<f64> = (0..407 * 15).map(f).collect();
        let found = periods(&values);
        assert!(found.contains(&37) || found.contains(&407), "{found:?}");
        assert_eq!(row_periods(&values, 37).first(), Some(&11));
    }
}
