//! What was lost: errors of decoded values against the originals.

use crate::bound::{Tolerance, pointwise};
use crate::element::{DataType, Element};
use crate::vector::vectorize;
use fearless_simd::{Simd, f64x4};

/// Whether errors of a value count: it is finite, and not the one that stands for none.
pub(crate) fn counts<T: Element>(x: T, fill: Option<T>) -> bool {
    x.to_f64().is_finite() && fill.is_none_or(|f| f.to_bits64() != x.to_bits64())
}

/// The factor that brings errors near one, as far as it is known beforehand.
fn unit(tolerance: Tolerance) -> f64 {
    match tolerance {
        Tolerance::Absolute(bound) => (1.0 / bound).clamp(1e-300, 1e300),
        Tolerance::Lossless | Tolerance::Pointwise(_) => 1.0,
    }
}

/// Errors in units of the largest that are taken as they are.
const NEAR_ONE: std::ops::RangeInclusive<f64> = 1e-100..=1e100;

/// Sums over the finite values of a frame or an array, but for those that stand for none; [`ErrorStats::merge`] joins those of its parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ErrorStats {
    tolerance: Tolerance,
    /// Finite values seen.
    pub count: u64,
    /// Smallest and largest finite value.
    pub range: (f64, f64),
    /// Largest |x - y|.
    pub max_error: f64,
    /// Largest error as a multiple of the bound at its point; 0 for lossless.
    pub max_error_over_bound: f64,
    /// The factor that brings errors near one, so that their squares neither vanish nor overflow.
    unit: f64,
    /// Of errors times `unit`.
    sum_squares: f64,
    sum_relative: f64,
    nonzero: u64,
}

impl ErrorStats {
    pub(crate) fn new(tolerance: Tolerance) -> Self {
        ErrorStats {
            tolerance,
            count: 0,
            range: (f64::INFINITY, f64::NEG_INFINITY),
            max_error: 0.0,
            max_error_over_bound: 0.0,
            unit: unit(tolerance),
            sum_squares: 0.0,
            sum_relative: 0.0,
            nonzero: 0,
        }
    }

    /// Takes in finite originals between `low` and `high` and what they became: all of them if every one is within its bound. Only points
    /// that are `ordinary` count. Not for what is to keep every bit, nor for zeros at a relative bound.
    pub(crate) fn add_bounded<T: Element>(
        &mut self,
        originals: &[T],
        (low, high): (f64, f64),
        values: &[T],
        ordinary: Option<&[bool]>,
    ) -> bool {
        let mut part = ErrorStats::new(self.tolerance);
        if !part.add_errors(originals, values, ordinary) {
            return false;
        }
        if part.is_strained() {
            part = ErrorStats::new(self.tolerance);
            let all = originals.iter().zip(values).enumerate();
            for (_, (x, y)) in all.filter(|(i, _)| ordinary.is_none_or(|o| o.get(*i).copied().unwrap_or(false))) {
                part.add(x.to_f64(), y.to_f64());
            }
        }
        part.range = (low, high);
        self.merge(&part);
        true
    }

    /// Whether errors are so far from what was expected of them that sums have lost them.
    fn is_strained(&self) -> bool {
        let fits = |e: f64| e == 0.0 || NEAR_ONE.contains(&(e * self.unit));
        !(fits(self.max_error) && self.sum_squares.is_finite() && self.sum_relative.is_finite())
    }

    /// Takes errors in another unit.
    fn rescale(&mut self, unit: f64) {
        let ratio = unit / self.unit;
        self.sum_squares = ratio * (ratio * self.sum_squares);
        self.unit = unit;
    }

    fn add_errors<T: Element>(&mut self, originals: &[T], values: &[T], ordinary: Option<&[bool]>) -> bool {
        match self.tolerance {
            Tolerance::Lossless => false,
            Tolerance::Absolute(e) => {
                vectorize!(simd => self.add_lanes::<_, T, false>(simd, e, originals, values, ordinary))
            }
            Tolerance::Pointwise(e) => {
                vectorize!(simd => self.add_lanes::<_, T, true>(simd, e, originals, values, ordinary))
            }
        }
    }

    #[allow(
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::indexing_slicing,
        reason = "lanes of fixed number; a frame has fewer points than 2^64; single precision is meant"
    )]
    #[inline(always)]
    fn add_lanes<S: Simd, T: Element, const RELATIVE: bool>(
        &mut self,
        simd: S,
        tolerance: f64,
        originals: &[T],
        values: &[T],
        ordinary: Option<&[bool]>,
    ) -> bool {
        let n = originals.len();
        if values.len() != n || ordinary.is_some_and(|o| o.len() != n) {
            return false;
        }
        let mut sums = Sums::<S, RELATIVE>::new(simd, self.unit, tolerance);
        let (xs, last_xs) = originals.as_chunks::<LANES>();
        let (ys, last_ys) = values.as_chunks::<LANES>();
        // Zeros that became zeros add nothing.
        let (mut x, mut y) = ([T::default(); LANES], [T::default(); LANES]);
        x[..last_xs.len()].copy_from_slice(last_xs);
        y[..last_ys.len()].copy_from_slice(last_ys);
        let mut count = n;
        match ordinary {
            None => {
                for (x, y) in xs.iter().zip(ys) {
                    sums.add(simd, x, y);
                }
                sums.add(simd, &x, &y);
            }
            Some(ordinary) => {
                let (os, last_os) = ordinary.as_chunks::<LANES>();
                let mut last = [false; LANES];
                last[..last_os.len()].copy_from_slice(last_os);
                let chunks = xs.iter().zip(ys).zip(os).chain([((&x, &y), &last)]);
                for ((x, y), o) in chunks {
                    match o {
                        [true, true, true, true] => sums.add(simd, x, y),
                        [false, false, false, false] => {}
                        _ => {
                            let kept = |v: &[T; LANES]| std::array::from_fn(|i| if o[i] { v[i] } else { T::default() });
                            sums.add(simd, &kept(x), &kept(y));
                        }
                    }
                }
                count = ordinary.iter().map(|o| usize::from(*o)).sum();
            }
        }
        let [largest, squares, ratio, relative, nonzero, outside] =
            [sums.largest, sums.squares, sums.ratio, sums.relative, sums.nonzero, sums.outside]
                .map(|s| simd.as_array_f64x4(s));
        let nonzero = nonzero.iter().sum::<f64>() as u64;
        if outside != [0.0; LANES] || (RELATIVE && nonzero < count as u64) {
            return false;
        }
        for lane in 0..LANES {
            self.max_error = self.max_error.max(largest[lane]);
            self.sum_squares += squares[lane];
            self.sum_relative += relative[lane];
            let over = if RELATIVE { ratio[lane] } else { largest[lane] } / tolerance;
            // Every one is within its bound: what goes beyond is due to rounding here.
            self.max_error_over_bound = self.max_error_over_bound.max(over.min(1.0));
        }
        self.count = self.count.saturating_add(count as u64);
        self.nonzero = self.nonzero.saturating_add(nonzero);
        true
    }

    /// Takes in the finite original `x` and what it became.
    #[inline]
    pub(crate) fn add(&mut self, x: f64, y: f64) {
        let e = (x - y).abs();
        // What became no number at all is off by more than any.
        let e = if e.is_nan() { f64::INFINITY } else { e };
        self.count = self.count.saturating_add(1);
        self.range = (self.range.0.min(x), self.range.1.max(x));
        if e > self.max_error && !NEAR_ONE.contains(&(e * self.unit)) {
            self.rescale((1.0 / e).clamp(1e-300, 1e300));
        }
        let scaled = e * self.unit;
        self.sum_squares += scaled * scaled;
        if x != 0.0 {
            self.nonzero = self.nonzero.saturating_add(1);
            self.sum_relative += e / x.abs();
        }
        if e > 0.0 {
            let (error, bound) = match self.tolerance {
                Tolerance::Lossless => (e, 0.0),
                Tolerance::Absolute(a) => (e, a),
                Tolerance::Pointwise(b) => pointwise(x, y, b),
            };
            self.max_error = self.max_error.max(e);
            self.max_error_over_bound = self.max_error_over_bound.max(error / bound);
        }
    }

    /// Joins the figures of another part of the same array.
    pub fn merge(&mut self, other: &ErrorStats) {
        self.count = self.count.saturating_add(other.count);
        self.range = (self.range.0.min(other.range.0), self.range.1.max(other.range.1));
        // Parts whose bounds differ have units of their own: that of the larger errors serves both.
        let mut other = *other;
        if self.unit != other.unit {
            if other.max_error > self.max_error {
                self.rescale(other.unit);
            } else {
                other.rescale(self.unit);
            }
        }
        self.sum_squares += other.sum_squares;
        self.max_error = self.max_error.max(other.max_error);
        self.max_error_over_bound = self.max_error_over_bound.max(other.max_error_over_bound);
        self.sum_relative += other.sum_relative;
        self.nonzero = self.nonzero.saturating_add(other.nonzero);
    }

    /// Mean of |x - y| / |x| over non-zero values: the paper's E.
    #[allow(clippy::cast_precision_loss, reason = "a mean needs no more")]
    pub fn mean_pointwise_error(&self) -> f64 {
        if self.nonzero == 0 { 0.0 } else { self.sum_relative / self.nonzero as f64 }
    }

    /// Root of the mean squared error.
    #[allow(clippy::cast_precision_loss, reason = "a mean needs no more")]
    pub fn rmse(&self) -> f64 {
        if self.count == 0 { 0.0 } else { (self.sum_squares / self.count as f64).sqrt() / self.unit }
    }

    /// Peak signal-to-noise ratio in dB, the peak being max - min; infinite where nothing was lost.
    pub fn psnr(&self) -> f64 {
        let rmse = self.rmse();
        if rmse == 0.0 {
            return f64::INFINITY;
        }
        // By halves, whose difference does not overflow.
        20.0 * (2.0 * ((self.range.1 / 2.0 - self.range.0 / 2.0) / rmse)).log10()
    }
}

/// Values that are looked at together.
const LANES: usize = 4;

/// Sums of [`ErrorStats`] lane by lane. As vectors by hand: what has a division and a condition is not vectorized otherwise.
struct Sums<S: Simd, const RELATIVE: bool> {
    unit: f64x4<S>,
    tolerance: f64x4<S>,
    largest: f64x4<S>,
    squares: f64x4<S>,
    /// The largest error as a multiple of its value, where bounds are relative.
    ratio: f64x4<S>,
    relative: f64x4<S>,
    nonzero: f64x4<S>,
    /// How many are not within their bounds.
    outside: f64x4<S>,
}

impl<S: Simd, const RELATIVE: bool> Sums<S, RELATIVE> {
    #[inline(always)]
    fn new(simd: S, unit: f64, tolerance: f64) -> Self {
        let zero = simd.splat_f64x4(0.0);
        let [unit, tolerance] = [unit, tolerance].map(|v| simd.splat_f64x4(v));
        let (largest, squares, ratio, relative, nonzero, outside) = (zero, zero, zero, zero, zero, zero);
        Sums { unit, tolerance, largest, squares, ratio, relative, nonzero, outside }
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::indexing_slicing,
        reason = "single precision is meant; arrays of LANES"
    )]
    #[inline(always)]
    fn add<T: Element>(&mut self, simd: S, originals: &[T; LANES], values: &[T; LANES]) {
        let zero = simd.splat_f64x4(0.0);
        let (mut x, mut y) = ([0f64; LANES], [0f64; LANES]);
        for lane in 0..LANES {
            x[lane] = originals[lane].to_f64();
            y[lane] = values[lane].to_f64();
        }
        let (x, y) = (simd.load_array_f64x4(x), simd.load_array_f64x4(y));
        let e = simd.abs_f64x4(simd.sub_f64x4(x, y));
        let x = simd.abs_f64x4(x);
        self.largest = simd.max_f64x4(self.largest, e);
        let scaled = simd.mul_f64x4(e, self.unit);
        self.squares = simd.add_f64x4(self.squares, simd.mul_f64x4(scaled, scaled));
        let ratio = match T::DATA_TYPE {
            // A mean needs no more, and single precision divides in a fraction of the time.
            DataType::F32 => {
                let (e, x) = (simd.as_array_f64x4(e), simd.as_array_f64x4(x));
                let (mut narrow_e, mut narrow_x) = ([0f32; LANES], [0f32; LANES]);
                for lane in 0..LANES {
                    narrow_e[lane] = e[lane] as f32;
                    narrow_x[lane] = x[lane] as f32;
                }
                let ratio = simd.div_f32x4(simd.load_array_f32x4(narrow_e), simd.load_array_f32x4(narrow_x));
                let ratio = simd.as_array_f32x4(ratio);
                let mut wide = [0f64; LANES];
                for lane in 0..LANES {
                    wide[lane] = ratio[lane].into();
                }
                simd.load_array_f64x4(wide)
            }
            DataType::F64 => simd.div_f64x4(e, x),
        };
        let one = simd.splat_f64x4(1.0);
        let is_zero = simd.simd_eq_f64x4(x, zero);
        let ratio = simd.select_f64x4(is_zero, zero, ratio);
        if RELATIVE {
            self.ratio = simd.max_f64x4(self.ratio, ratio);
        }
        self.relative = simd.add_f64x4(self.relative, ratio);
        self.nonzero = simd.add_f64x4(self.nonzero, simd.select_f64x4(is_zero, zero, one));
        // What is no number is not within.
        let bound = if RELATIVE {
            // Where the product is not a normal number, others look.
            let bound = simd.mul_f64x4(x, self.tolerance);
            let [least, most] = [f64::MIN_POSITIVE, f64::MAX].map(|v| simd.splat_f64x4(v));
            let bound = simd.select_f64x4(simd.simd_ge_f64x4(bound, least), bound, zero);
            simd.select_f64x4(simd.simd_le_f64x4(bound, most), bound, zero)
        } else {
            self.tolerance
        };
        let is_within = simd.simd_le_f64x4(e, bound);
        self.outside = simd.add_f64x4(self.outside, simd.select_f64x4(is_within, zero, one));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_at_once_is_as_one_by_one() {
        let originals: Vec<f64> = (0..103).map(|i| f64::from(i % 17) - 5.0).collect();
        let values: Vec<f64> = originals.iter().enumerate().map(|(i, v)| v + (i % 5) as f64 * 0.1).collect();
        let ordinary: Vec<bool> = (0..103).map(|i| i % 3 > 0).collect();
        for mask in [None, Some(ordinary.as_slice())] {
            let is_ordinary = |i: usize| mask.is_none_or(|m| m[i]);
            let (mut at_once, mut one_by_one) =
                (ErrorStats::new(Tolerance::Absolute(0.5)), ErrorStats::new(Tolerance::Absolute(0.5)));
            // What is not ordinary may be anything.
            let with_holes: Vec<f64> =
                values.iter().enumerate().map(|(i, v)| if is_ordinary(i) { *v } else { f64::NAN }).collect();
            for i in (0..103).filter(|i| is_ordinary(*i)) {
                one_by_one.add(originals[i], values[i]);
            }
            assert!(at_once.add_bounded(&originals, (-5.0, 11.0), &with_holes, mask));
            assert_eq!(
                (at_once.count, at_once.range, at_once.nonzero),
                (one_by_one.count, one_by_one.range, one_by_one.nonzero)
            );
            assert_eq!(at_once.max_error, one_by_one.max_error);
            assert!((at_once.rmse() - one_by_one.rmse()).abs() < 1e-12 && at_once.psnr().is_finite());
            assert!((at_once.mean_pointwise_error() - one_by_one.mean_pointwise_error()).abs() < 1e-12);
            let mut tight = ErrorStats::new(Tolerance::Absolute(0.3));
            assert!(!tight.add_bounded(&originals, (-5.0, 11.0), &with_holes, mask));
            let mut broken = values.clone();
            broken[40] = f64::NAN;
            assert!(!ErrorStats::new(Tolerance::Absolute(9.0)).add_bounded(&originals, (-5.0, 11.0), &broken, mask));
        }
    }

    #[test]
    fn relative_errors_are_bounded_point_by_point() {
        let originals: Vec<f64> = (1..104).map(|i| f64::from(i * i) * if i % 2 == 0 { -0.1 } else { 0.1 }).collect();
        let values: Vec<f64> = originals.iter().enumerate().map(|(i, v)| v * (1.0 + (i % 5) as f64 * 0.01)).collect();
        let mut one_by_one = ErrorStats::new(Tolerance::Pointwise(0.05));
        originals.iter().zip(&values).for_each(|(x, y)| one_by_one.add(*x, *y));
        let mut at_once = ErrorStats::new(Tolerance::Pointwise(0.05));
        assert!(at_once.add_bounded(&originals, one_by_one.range, &values, None));
        assert_eq!((at_once.count, at_once.nonzero), (103, 103));
        assert_eq!(at_once.max_error, one_by_one.max_error);
        assert!((at_once.max_error_over_bound - one_by_one.max_error_over_bound).abs() < 1e-12);
        assert!(!ErrorStats::new(Tolerance::Pointwise(0.039)).add_bounded(&originals, one_by_one.range, &values, None));
        // A zero keeps its sign, which is not looked at here.
        let zeros = [1.0, -0.0];
        assert!(!ErrorStats::new(Tolerance::Pointwise(0.05)).add_bounded(&zeros, (0.0, 1.0), &[1.0, 0.0], None));
    }

    #[test]
    fn errors_far_from_their_bounds_are_not_lost() {
        let check = |tolerance: Tolerance, originals: &[f64], values: &[f64], rmse: f64, relative: f64| {
            let range = originals.iter().fold((f64::MAX, f64::MIN), |(lo, hi), v| (lo.min(*v), hi.max(*v)));
            let (mut at_once, mut one_by_one) = (ErrorStats::new(tolerance), ErrorStats::new(tolerance));
            assert!(at_once.add_bounded(originals, range, values, None));
            originals.iter().zip(values).for_each(|(x, y)| one_by_one.add(*x, *y));
            for stats in [at_once, one_by_one] {
                assert!((stats.rmse() / rmse - 1.0).abs() < 1e-9, "{} {rmse}", stats.rmse());
                assert!((stats.mean_pointwise_error() / relative - 1.0).abs() < 1e-6);
                assert!(stats.psnr().is_finite());
            }
        };
        check(Tolerance::Absolute(1e300), &[1.0, 2.0, 6.0], &[4.0, 2.0, 6.0], 3f64.sqrt(), 1.0);
        check(Tolerance::Pointwise(0.1), &[1e300, 2e300], &[1e300, 1.9e300], 1e299 / 2f64.sqrt(), 0.025);
        check(Tolerance::Pointwise(0.1), &[1e-300, 2e-300], &[1e-300, 1.9e-300], 1e-301 / 2f64.sqrt(), 0.025);
        // Beyond single precision.
        let (x, y) = ([1e-44f32, 1e30], [1e-3f32, 1e30]);
        let mut stats = ErrorStats::new(Tolerance::Absolute(1.0));
        assert!(stats.add_bounded(&x, (0.0, 1e30), &y, None) && stats.mean_pointwise_error().is_finite());
    }

    #[test]
    fn parts_of_other_bounds_are_joined_in_their_units() {
        let (mut coarse, mut fine) =
            (ErrorStats::new(Tolerance::Absolute(1e-200)), ErrorStats::new(Tolerance::Absolute(1e-203)));
        coarse.add(2e-200, 1.2e-200);
        fine.add(1e-200, 1.0006e-200);
        coarse.merge(&fine);
        let expected = ((0.8f64.powi(2) + 0.0006f64.powi(2)) / 2.0).sqrt();
        assert!((coarse.rmse() / 1e-200 - expected).abs() < 1e-9, "{}", coarse.rmse());
    }
}
