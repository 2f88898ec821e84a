//! What a lattice kernel sees instead of the values themselves (SPEC 6.4).

use super::table;
use crate::element::Element;
use crate::vector::vectorize;

/// Map from values to the numbers that a kernel codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Domain {
    /// The values.
    Linear,
    /// log2 of the magnitudes: an absolute tolerance here is a relative one there.
    Log,
    /// The positions of the values in the order of all values of their type: lossless at a tolerance below one half.
    Ordered,
    /// Places in a table of values.
    Table,
}

impl Domain {
    /// [`Domain::value`] of every ordinary point; the others keep what `out` holds.
    pub(crate) fn values<T: Element>(
        self,
        numbers: &[f64],
        ordinary: Option<&[bool]>,
        negative: Option<&[bool]>,
        table: &[T],
        out: &mut [T],
    ) {
        let is_negative = |i: usize| negative.is_some_and(|n| n.get(i).copied().unwrap_or(false));
        // A loop for each domain, for vectors.
        vectorize!(_simd => match self {
            Domain::Linear => put(numbers, ordinary, out, |_, r| Domain::Linear.value(r, false, table)),
            Domain::Log if negative.is_none() => put(numbers, ordinary, out, |_, r| Domain::Log.value(r, false, table)),
            Domain::Log => put(numbers, ordinary, out, |i, r| Domain::Log.value(r, is_negative(i), table)),
            Domain::Ordered => put(numbers, ordinary, out, |_, r| Domain::Ordered.value(r, false, table)),
            Domain::Table => put(numbers, ordinary, out, |_, r| Domain::Table.value(r, false, table)),
        });
    }

    /// The value that a decoded number stands for; `negative` only matters in [`Domain::Log`], `table` in [`Domain::Table`].
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "saturating, as SPEC 6.4 says; from_ordered takes any i64")]
    pub(crate) fn value<T: Element>(self, r: f64, negative: bool, table: &[T]) -> T {
        match self {
            Domain::Linear => T::from_f64(r),
            Domain::Log => {
                let m = exp2(r);
                T::from_f64(if negative { -m } else { m })
            }
            Domain::Ordered => T::from_ordered(r.round_ties_even() as i64),
            Domain::Table => table::value(table, r),
        }
    }
}

#[inline(always)]
fn put<T: Element>(numbers: &[f64], ordinary: Option<&[bool]>, out: &mut [T], value: impl Fn(usize, f64) -> T) {
    let all = out.iter_mut().zip(numbers).enumerate();
    match ordinary {
        None => all.for_each(|(i, (o, r))| *o = value(i, *r)),
        Some(ordinary) => all.zip(ordinary).filter(|(_, o)| **o).for_each(|((i, (o, r)), _)| *o = value(i, *r)),
    }
}

/// Coefficients of 2^f on [-1/2, 1/2]: ln(2)^n / n! from n = 13 down to 0 (SPEC 6.4).
const EXP2: [f64; 14] = [
    1.3691488853904128e-12,
    2.5678435993488206e-11,
    4.4455382718708116e-10,
    7.054911620801123e-09,
    1.01780860092397e-07,
    1.321548679014431e-06,
    1.5252733804059841e-05,
    0.0001540353039338161,
    0.0013333558146428443,
    0.009618129107628477,
    0.05550410866482158,
    0.24022650695910072,
    std::f64::consts::LN_2,
    1.0,
];

/// 2^x by IEEE basic operations in a fixed order, within 1e-15 relative; 0 below the subnormals, infinity above.
#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "n is clamped to +-1100 before it is narrowed")]
pub(crate) fn exp2(x: f64) -> f64 {
    let x = if x.is_nan() { 0.0 } else { x.clamp(-1100.0, 1100.0) };
    let n = x.round_ties_even();
    let f = x - n;
    let m = EXP2.iter().fold(0.0, |acc, c| acc * f + c);
    let n = n as i64;
    // Two exact powers of two, so that subnormal results are rounded once.
    let half = n.div_euclid(2);
    m * power_of_two(half) * power_of_two(n.saturating_sub(half))
}

/// 2^n for -1022 <= n <= 1023.
fn power_of_two(n: i64) -> f64 {
    f64::from_bits(n.saturating_add(1023).clamp(1, 2046).cast_unsigned() << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp2_is_close_to_the_truth_everywhere() {
        for i in -10_740..=10_239 {
            let x = f64::from(i) / 10.0;
            let (a, b) = (exp2(x), x.exp2());
            assert!((a - b).abs() <= 2e-15 * b + 5e-324, "{x}: {a} {b}");
        }
        assert_eq!(exp2(0.0), 1.0);
        assert_eq!(exp2(-5000.0), 0.0);
        assert_eq!(exp2(5000.0), f64::INFINITY);
    }
}
