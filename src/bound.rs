//! What may be lost: the bound that was asked for, and what it means at each point (SPEC 4.3).

use crate::element::Element;
use crate::error::{ArgumentError, Result};

/// The error that the user accepts.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Bound {
    /// Every value comes back bit for bit.
    Lossless,
    /// |x - y| <= the bound at every point.
    Absolute(f64),
    /// |x - y| <= the bound times (max - min) of the array's ordinary values.
    Range(f64),
    /// |x - y| <= the bound times |x| at every point; zeros come back bit for bit.
    Pointwise(f64),
    /// The root of the mean squared error is at most this; the writer finds the absolute bound that gives it.
    Rmse(f64),
    /// The peak signal-to-noise ratio, the peak being max - min, is at least this many dB.
    Psnr(f64),
    /// The frames take at most the input's bytes divided by this, with the smallest absolute bound that fits.
    Ratio(f64),
    /// |x - y| <= the bound that [`ArrayOptions::bounds`](crate::ArrayOptions::bounds) gives for the point.
    ByPoint,
}

impl Bound {
    /// Fails unless the bound is a positive finite number.
    ///
    /// # Errors
    /// [`ArgumentError::Bound`].
    pub fn validate(self) -> Result<Self> {
        match self.parameter() {
            Some(e) if !(e.is_finite() && e > 0.0) => {
                Err(ArgumentError::Bound(format!("the bound is {e}, a positive finite number is needed")).into())
            }
            _ => Ok(self),
        }
    }

    /// The number that was asked for, if the bound has one.
    pub fn parameter(self) -> Option<f64> {
        match self {
            Bound::Lossless | Bound::ByPoint => None,
            Bound::Absolute(v)
            | Bound::Range(v)
            | Bound::Pointwise(v)
            | Bound::Rmse(v)
            | Bound::Psnr(v)
            | Bound::Ratio(v) => Some(v),
        }
    }
}

/// A bound as it holds at each point of one array: resolved, so that a frame needs nothing else.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    /// Bit for bit.
    Lossless,
    /// |x - y| <= e.
    Absolute(f64),
    /// |x - y| <= b |x|, zeros bit for bit.
    Pointwise(f64),
}

impl Tolerance {
    /// Whether `y` may stand for the ordinary value `x`. The comparison is made in f64 as written here.
    #[inline(always)]
    pub(crate) fn allows<T: Element>(self, x: T, y: T) -> bool {
        match self {
            Tolerance::Lossless => x.to_bits64() == y.to_bits64(),
            Tolerance::Absolute(e) => (x.to_f64() - y.to_f64()).abs() <= e,
            Tolerance::Pointwise(b) => {
                let (x, y) = (x.to_f64(), y.to_f64());
                let (error, most) = pointwise(x, y, b);
                if x == 0.0 { x.to_bits() == y.to_bits() } else { error <= most }
            }
        }
    }
}

/// |x - y| and b |x|, both times the same power of two where the product is not a normal number: rounded to few digits or beyond all
/// numbers it would allow what the bound does not.
#[inline(always)]
pub(crate) fn pointwise(x: f64, y: f64, b: f64) -> (f64, f64) {
    let most = b * x.abs();
    if !y.is_finite() {
        return (f64::INFINITY, most.min(f64::MAX));
    }
    if (f64::MIN_POSITIVE..=f64::MAX).contains(&most) {
        return ((x - y).abs(), most);
    }
    // 2^600 and 2^-200.
    let scale = f64::from_bits(if x.abs() < 1.0 { 1623 << 52 } else { 823 << 52 });
    ((x * scale - y * scale).abs(), (b * (x.abs() * scale)).min(f64::MAX))
}

/// What was asked and what it came to: both travel in the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ResolvedBound {
    /// As the user gave it.
    pub asked: Bound,
    /// As it holds at each point.
    pub tolerance: Tolerance,
}

impl ResolvedBound {
    /// Resolves `asked`, whose meaning as an absolute error is `e` where it has one.
    ///
    /// Where `e` is no positive number, because the values have no range or no error fits, the array is kept lossless.
    pub(crate) fn new(asked: Bound, e: f64) -> Self {
        let tolerance = match asked {
            Bound::Lossless => Tolerance::Lossless,
            Bound::Pointwise(b) => Tolerance::Pointwise(b),
            _ if e > 0.0 && e.is_finite() => Tolerance::Absolute(e),
            _ => Tolerance::Lossless,
        };
        ResolvedBound { asked, tolerance }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_bounds_hold_at_both_ends_of_the_numbers() {
        let least = f64::from_bits(1);
        let allows = |b: f64, x: f64, y: f64| Tolerance::Pointwise(b).allows(x, y);
        // 0.3 and 1.5 of the least number are no numbers: rounded they are 0 and 2 of it.
        assert!(!allows(1.5, least, 3.0 * least) && allows(1.5, least, 2.0 * least));
        assert!(!allows(0.15, 10.0 * least, 12.0 * least) && allows(0.15, 10.0 * least, 11.0 * least));
        assert!(allows(0.3, least, least) && !allows(0.3, least, 0.0));
        // Beyond the largest number.
        assert!(allows(1.5, f64::MAX, 0.0) && !allows(1.5, f64::MAX, f64::INFINITY));
        assert!(allows(2.0, f64::MAX, -f64::MAX) && !allows(1.5, f64::MAX, -f64::MAX));
        assert!(
            !allows(f64::MAX, 2.0, f64::INFINITY) && !allows(f64::MAX, 2.0, f64::NAN) && allows(f64::MAX, 2.0, 1e300)
        );
        assert!(allows(1e-3, 1.0, 1.001 - 1e-15) && !allows(1e-3, 1.0, 1.001_000_1));
    }
}
