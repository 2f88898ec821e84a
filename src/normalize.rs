//! Decimal normalization (SPEC 7.1): a non-zero finite `x` is `y * 10^k` with `0.01 <= |y| < 0.1`.

/// Largest magnitude of a decimal exponent in a file; [`apply`] gives -322..=310.
pub(crate) const EXPONENT_MAX: i16 = 330;

/// Least magnitude of a normalized value.
pub(crate) const LEAST: f64 = 0.01;

/// Every magnitude of a normalized value is below this.
pub(crate) const END: f64 = 0.1;

/// `(y, k)` with `x = y * 10^k` up to rounding and `0.01 <= |y| < 0.1`; `x` must be finite and not zero.
pub(crate) fn apply(x: f64) -> (f64, i16) {
    let mut k = estimate(x);
    let mut y = invert(x, k.saturating_neg());
    if y.abs() < LEAST {
        k = k.saturating_sub(1);
        y = invert(x, k.saturating_neg());
    }
    if y.abs() >= END {
        k = k.saturating_add(1);
        y = invert(x, k.saturating_neg());
        // A value that rounds to 0.1 at one exponent may round to just below 0.01 at the next.
        if y.abs() < LEAST {
            y = LEAST.copysign(x);
        }
    }
    (y, k)
}

/// `v * 10^k` in the order of operations of SPEC 7.1; defined for every `v` and `-330 <= k <= 330`.
#[inline]
pub(crate) fn invert(v: f64, k: i16) -> f64 {
    let m = usize::from(k.unsigned_abs());
    match (k >= 0, m.checked_sub(SPLIT)) {
        (true, None | Some(0)) => v * power(m),
        (true, Some(over)) => (v * power(over)) * power(SPLIT),
        (false, None | Some(0)) => v / power(m),
        (false, Some(over)) => (v / power(over)) / power(SPLIT),
    }
}

/// Larger powers are applied in two steps, since 10^310 is no f64.
const SPLIT: usize = 300;

#[inline]
fn power(m: usize) -> f64 {
    // Callers keep m <= 300; the exponents of a file are checked when they are read.
    POWERS.get(m).copied().unwrap_or(f64::INFINITY)
}

/// The exponent of [`apply`] or one beside it, from the binary exponent of `x`.
fn estimate(x: f64) -> i16 {
    let bits = x.to_bits() & (u64::MAX >> 1);
    let biased = bits >> 52;
    let exponent = match biased {
        0 => (-1011_i64).saturating_sub_unsigned(u64::from(bits.leading_zeros())),
        e => e.cast_signed().saturating_sub(1023),
    };
    // floor(exponent * log10(2)) + 2; 1233 / 4096 is log10(2) closely enough over the exponents of f64.
    let k = (exponent.saturating_mul(1233) >> 12).saturating_add(2);
    i16::try_from(k).unwrap_or(0)
}

/// The f64 nearest to 10^index.
#[rustfmt::skip]
static POWERS: [f64; 301] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
    1e20, 1e21, 1e22, 1e23, 1e24, 1e25, 1e26, 1e27, 1e28, 1e29, 1e30, 1e31, 1e32, 1e33, 1e34, 1e35, 1e36, 1e37, 1e38,
    1e39, 1e40, 1e41, 1e42, 1e43, 1e44, 1e45, 1e46, 1e47, 1e48, 1e49, 1e50, 1e51, 1e52, 1e53, 1e54, 1e55, 1e56, 1e57,
    1e58, 1e59, 1e60, 1e61, 1e62, 1e63, 1e64, 1e65, 1e66, 1e67, 1e68, 1e69, 1e70, 1e71, 1e72, 1e73, 1e74, 1e75, 1e76,
    1e77, 1e78, 1e79, 1e80, 1e81, 1e82, 1e83, 1e84, 1e85, 1e86, 1e87, 1e88, 1e89, 1e90, 1e91, 1e92, 1e93, 1e94, 1e95,
    1e96, 1e97, 1e98, 1e99, 1e100, 1e101, 1e102, 1e103, 1e104, 1e105, 1e106, 1e107, 1e108, 1e109, 1e110, 1e111,
    1e112, 1e113, 1e114, 1e115, 1e116, 1e117, 1e118, 1e119, 1e120, 1e121, 1e122, 1e123, 1e124, 1e125, 1e126, 1e127,
    1e128, 1e129, 1e130, 1e131, 1e132, 1e133, 1e134, 1e135, 1e136, 1e137, 1e138, 1e139, 1e140, 1e141, 1e142, 1e143,
    1e144, 1e145, 1e146, 1e147, 1e148, 1e149, 1e150, 1e151, 1e152, 1e153, 1e154, 1e155, 1e156, 1e157, 1e158, 1e159,
    1e160, 1e161, 1e162, 1e163, 1e164, 1e165, 1e166, 1e167, 1e168, 1e169, 1e170, 1e171, 1e172, 1e173, 1e174, 1e175,
    1e176, 1e177, 1e178, 1e179, 1e180, 1e181, 1e182, 1e183, 1e184, 1e185, 1e186, 1e187, 1e188, 1e189, 1e190, 1e191,
    1e192, 1e193, 1e194, 1e195, 1e196, 1e197, 1e198, 1e199, 1e200, 1e201, 1e202, 1e203, 1e204, 1e205, 1e206, 1e207,
    1e208, 1e209, 1e210, 1e211, 1e212, 1e213, 1e214, 1e215, 1e216, 1e217, 1e218, 1e219, 1e220, 1e221, 1e222, 1e223,
    1e224, 1e225, 1e226, 1e227, 1e228, 1e229, 1e230, 1e231, 1e232, 1e233, 1e234, 1e235, 1e236, 1e237, 1e238, 1e239,
    1e240, 1e241, 1e242, 1e243, 1e244, 1e245, 1e246, 1e247, 1e248, 1e249, 1e250, 1e251, 1e252, 1e253, 1e254, 1e255,
    1e256, 1e257, 1e258, 1e259, 1e260, 1e261, 1e262, 1e263, 1e264, 1e265, 1e266, 1e267, 1e268, 1e269, 1e270, 1e271,
    1e272, 1e273, 1e274, 1e275, 1e276, 1e277, 1e278, 1e279, 1e280, 1e281, 1e282, 1e283, 1e284, 1e285, 1e286, 1e287,
    1e288, 1e289, 1e290, 1e291, 1e292, 1e293, 1e294, 1e295, 1e296, 1e297, 1e298, 1e299, 1e300,
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Distance in units of the last place.
    fn ulps(a: f64, b: f64) -> u64 {
        assert_eq!(a.is_sign_negative(), b.is_sign_negative());
        a.to_bits().abs_diff(b.to_bits())
    }

    fn check(x: f64) {
        let (y, k) = apply(x);
        assert!((LEAST..END).contains(&y.abs()), "{x:e} gives {y:e}");
        assert!((-322..=310).contains(&k));
        assert!(ulps(invert(y, k), x) <= 3, "{x:e} comes back as {:e}", invert(y, k));
    }

    #[test]
    fn the_extremes_come_back() {
        for x in [f64::MAX, f64::MIN_POSITIVE, 5e-324, 1e-323, 4.9e-322, f64::MIN_POSITIVE * 0.999, 1.0, 3e-310] {
            check(x);
            check(-x);
        }
        assert_eq!(apply(f64::MAX).1, 310);
        assert_eq!(apply(5e-324).1, -322);
        assert_eq!(apply(-12.5), (-0.0125, 3));
    }

    #[test]
    fn the_neighbors_of_every_power_of_ten_come_back() {
        for e in -323..=308 {
            let x: f64 = format!("1e{e}").parse().unwrap();
            for bits in x.to_bits().saturating_sub(4)..=x.to_bits() + 4 {
                let x = f64::from_bits(bits);
                if x != 0.0 && x.is_finite() {
                    check(x);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn every_f64_comes_back_within_3_ulps(bits: u64) {
            let x = f64::from_bits(bits);
            if x.is_finite() && x != 0.0 {
                check(x);
            }
        }

        #[test]
        fn every_f32_comes_back_exactly(bits: u32) {
            let x = f32::from_bits(bits);
            if x.is_finite() && x != 0.0 {
                let (y, k) = apply(f64::from(x));
                prop_assert!((LEAST..END).contains(&y.abs()));
                #[allow(clippy::cast_possible_truncation, reason = "rounding to f32 is what is tested")]
                let back = invert(y, k) as f32;
                prop_assert_eq!(back.to_bits(), x.to_bits());
            }
        }
    }
}
