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

/// About the smallest error whose `size` is at most `wanted`, for values that span twice `half_range`; 0 if even lossless fits.
pub(crate) fn smallest_error_within(
    wanted: f64,
    half_range: f64,
    mut size: impl FnMut(f64) -> Result<f64>,
) -> Result<f64> {
    /// Octaves below the coarsest error at which the finest ones that may fit are looked for, in turn.
    const FINE: [f64; 2] = [30.0, 60.0];
    /// Octaves between what fits and what does not when the search ends.
    const CLOSE: f64 = 0.03;
    let lossless = size(0.0)?;
    if lossless <= wanted {
        return Ok(0.0);
    }
    let coarsest = (half_range * (1.0 + 1e-9)).min(f64::MAX);
    // Octaves below the coarsest error, and the bytes there: what fits, and what does not.
    let error = |octaves: f64| coarsest * (-octaves).exp2();
    let mut good = (0.0, if coarsest > 0.0 { size(coarsest)? } else { lossless });
    if good.1 > wanted {
        let least = good.1;
        let what = format!("even the coarsest bound leaves {least} bytes of frames, {wanted:.0} were asked for");
        return Err(ArgumentError::Bound(what).into());
    }
    let mut bad = None;
    for octaves in FINE.into_iter().filter(|octaves| error(*octaves) > 0.0) {
        let bytes = size(error(octaves))?;
        if bytes > wanted {
            bad = Some((octaves, bytes));
            break;
        }
        good = (octaves, bytes);
    }
    let Some(mut bad) = bad else { return Ok(error(good.0)) };
    for trial in 0..TRIALS {
        if bad.0 - good.0 < CLOSE || good.1 >= 0.995 * wanted {
            break;
        }
        // Sizes grow about as the octaves do, between jumps: a straight line tells where, and halving ends the search.
        let share = if trial % 3 == 2 { 0.5 } else { ((0.998 * wanted - good.1) / (bad.1 - good.1)).clamp(0.05, 0.95) };
        let octaves = good.0 + share * (bad.0 - good.0);
        let bytes = size(error(octaves))?;
        *if bytes <= wanted { &mut good } else { &mut bad } = (octaves, bytes);
    }
    Ok(error(good.0))
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
        for scale in [1.0, 1e-290, 1e290] {
            let size = |e: f64| size(e / scale);
            for wanted in [2.1e4, 4e4, 6e4, 7.9e4] {
                let e = smallest_error_within(wanted, scale, size).unwrap();
                assert!((0.97..=1.0).contains(&(size(e).unwrap() / wanted)), "{wanted} {e}");
            }
            assert!(smallest_error_within(1.0, scale, size).is_err());
        }
        // Values that do not differ leave nothing to be lost.
        assert!(smallest_error_within(1.0, 0.0, |_| Ok(8.0)).is_err());
        // A size that jumps.
        let steps = |e: f64| Ok(if e > 0.25 { 10.0 } else { 1000.0 });
        let e = smallest_error_within(500.0, 1.0, steps).unwrap();
        assert!((0.25..0.27).contains(&e), "{e}");
    }
}
