//! The paper's figures for a compressed array.

use crate::normalize::apply;

/// CR_th: bytes of the input over bytes of the latents.
pub(crate) fn theoretical_ratio(input_bytes: u64, latent_bytes: u64) -> f64 {
    input_bytes as f64 / latent_bytes as f64
}

/// CR_ac: bytes of the input over those of the latents and of everything else that decoding needs, the model included.
pub(crate) fn actual_ratio(input_bytes: u64, latent_bytes: u64, other_bytes: u64) -> f64 {
    input_bytes as f64 / latent_bytes.saturating_add(other_bytes) as f64
}

/// E: mean point-wise relative error over the non-zero finite values; 0 if there are none.
pub(crate) fn mean_relative_error(original: &[f64], decoded: &[f64]) -> f64 {
    let (mut sum, mut count) = (0.0, 0u64);
    for (x, d) in original.iter().zip(decoded).filter(|(x, _)| x.is_finite() && **x != 0.0) {
        sum += ((d - x) / x).abs();
        count = count.saturating_add(1);
    }
    if count == 0 { 0.0 } else { sum / count as f64 }
}

/// CV of the normalized data: standard deviation over the magnitude of the mean, zeros included. The paper finds that
/// an autoencoder suits data of a CV below about 0.4. `None` if no value is finite or the mean is 0.
pub(crate) fn normalized_cv(values: &[f64]) -> Option<f64> {
    let normalized: Vec<f64> =
        values.iter().filter(|x| x.is_finite()).map(|x| if *x == 0.0 { 0.0 } else { apply(*x).0 }).collect();
    let count = normalized.len() as f64;
    let mean = normalized.iter().sum::<f64>() / count;
    let variance = normalized.iter().map(|y| (y - mean) * (y - mean)).sum::<f64>() / count;
    let cv = variance.sqrt() / mean.abs();
    cv.is_finite().then_some(cv)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_follow_their_definitions() {
        assert_eq!(theoretical_ratio(4096, 8), 512.0);
        assert_eq!(actual_ratio(4096, 8, 504), 8.0);
        let error = mean_relative_error(&[2.0, 0.0, -4.0, f64::NAN], &[1.0, 5.0, -5.0, 0.0]);
        assert_eq!(error, 0.375);
        assert_eq!(mean_relative_error(&[0.0], &[1.0]), 0.0);
        // 0.02 and 0.06: mean 0.04, deviation 0.02, whatever the scale of each.
        let cv = normalized_cv(&[2e7, 6e-5]).unwrap();
        assert!((cv - 0.5).abs() < 1e-12);
        assert_eq!(normalized_cv(&[]), None);
        assert_eq!(normalized_cv(&[1.0, -1.0]), None);
    }
}
