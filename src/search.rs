//! Absolute bounds that give a wanted quality or size, found by coding the array with several.

use crate::error::{ArgumentError, Result};

/// Trials before the best so far is taken.
const TRIALS: u32 = 8;

/// About the largest error whose measured `rmse` is at most `wanted`.
pub(crate) fn largest_error_with(wanted: f64, mut rmse: impl FnMut(f64) -> Result<f64>) -> Result<f64> {
    if wanted <= 0.0 || !wanted.is_finite() {
        return Ok(0.0);
    }
    // Errors spread evenly over [-e, e] have a root mean square of e / sqrt(3); sparse ones a smaller one.
    let mut e = wanted * 3f64.sqrt();
    let (mut good, mut bad) = (0.0, f64::INFINITY);
    for _ in 0..TRIALS {
        let got = rmse(e)?;
        if got <= wanted {
            good = e;
            if got >= 0.98 * wanted {
                break;
            }
        } else {
            bad = e;
        }
        let step = if got > 0.0 { (0.995 * wanted / got).clamp(0.25, 4.0) } else { 4.0 };
        e *= step;
        if e <= good || e >= bad {
            if bad == f64::INFINITY {
                break;
            }
            e = if good > 0.0 { (good * bad).sqrt() } else { bad / 4.0 };
        }
        // The error of constant data no longer grows with the bound.
        if e > 1e6 * wanted {
            break;
        }
    }
    Ok(good)
}

/// About the smallest error whose `size` is at most `wanted`, for values that span `range`; 0 if even lossless fits.
pub(crate) fn smallest_error_within(wanted: f64, range: f64, mut size: impl FnMut(f64) -> Result<f64>) -> Result<f64> {
    if size(0.0)? <= wanted || range <= 0.0 {
        return Ok(0.0);
    }
    let coarsest = range / 2.0 * (1.0 + 1e-9);
    let mut good = coarsest;
    let least = size(coarsest)?;
    if least > wanted {
        let what = format!("even the coarsest bound leaves {least} bytes of frames, {wanted:.0} were asked for");
        return Err(ArgumentError::Bound(what).into());
    }
    // Sizes fall steadily, about as the logarithm of the error rises: bisection in the logarithm.
    let mut bad = range * 0.5f64.powi(30);
    for _ in 0..TRIALS.saturating_mul(2) {
        let e = (good * bad).sqrt();
        if size(e)? <= wanted {
            good = e;
        } else {
            bad = e;
        }
        if good < 1.02 * bad {
            break;
        }
    }
    Ok(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_end_just_inside_what_was_asked() {
        let e = largest_error_with(1.0, |e| Ok(e / (3f64.sqrt() + 0.5 * e))).unwrap();
        let got = e / (3f64.sqrt() + 0.5 * e);
        assert!((0.95..=1.0).contains(&got), "{got}");
        let e = largest_error_with(1.0, |e| Ok(e * e)).unwrap();
        assert!((0.9..=1.0).contains(&e), "{e}");
        // Nothing is ever lost: any bound will do.
        assert!(largest_error_with(1.0, |_| Ok(0.0)).unwrap() > 1.0);
        let size = |e: f64| Ok(if e == 0.0 { 1e6 } else { 1e3 * (20.0 - e.log2()).max(0.1) });
        let e = smallest_error_within(4e4, 1.0, size).unwrap();
        assert!((0.97..=1.0).contains(&(size(e).unwrap() / 4e4)));
        assert!(smallest_error_within(1.0, 1.0, size).is_err());
    }
}
