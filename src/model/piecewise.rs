//! A function of one value as a chain of straight pieces between whole numbers: what exact arithmetic can do.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "indices are those of knots just made")]

/// Most pieces; a function that needs more is approximated less well.
const PIECES_MAX: usize = 64;

/// Whole numbers at which pieces meet, first and last included, and the value at each.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pieces {
    pub(super) knots: Vec<i32>,
    pub(super) values: Vec<f64>,
}

impl Pieces {
    /// Pieces within `tolerance` of `f` at the whole numbers from `low` to `high`, unless that takes too many.
    pub(super) fn fit(f: &dyn Fn(i32) -> f64, low: i32, high: i32, mut tolerance: f64) -> Pieces {
        loop {
            let pieces = Self::greedy(f, low, high, tolerance);
            if pieces.knots.len() <= PIECES_MAX + 1 {
                return pieces;
            }
            tolerance *= 2.0;
        }
    }

    /// Each piece as long as its middle line stays within the tolerance.
    fn greedy(f: &dyn Fn(i32) -> f64, low: i32, high: i32, tolerance: f64) -> Pieces {
        let mut knots = vec![low];
        // What half the bulge of each piece adds to the function at its ends.
        let mut bulges = Vec::new();
        while let Some(&start) = knots.last()
            && start < high
        {
            let (mut good, mut bad) = (start + 1, high + 1);
            let mut bulge = 0.0;
            let mut end = high;
            loop {
                match chord(f, start, end) {
                    (least, most) if (most - least) / 2.0 <= tolerance || end == start + 1 => {
                        (good, bulge) = (end, f64::midpoint(least, most));
                    }
                    _ => bad = end,
                }
                if bad - good <= 1 {
                    break;
                }
                end = good + (bad - good) / 2;
            }
            knots.push(good);
            bulges.push(bulge);
        }
        let values = (0..knots.len()).map(|i| {
            let before = if i > 0 { bulges.get(i - 1) } else { bulges.first() };
            let after = bulges.get(i).or(bulges.last());
            f(knots[i]) + f64::midpoint(before.copied().unwrap_or(0.0), after.copied().unwrap_or(0.0))
        });
        Pieces { values: values.collect(), knots }
    }
}

/// Least and greatest of the function less its chord, zero included: looked at in up to 64 places.
fn chord(f: &dyn Fn(i32) -> f64, start: i32, end: i32) -> (f64, f64) {
    let (first, last) = (f(start), f(end));
    let slope = (last - first) / f64::from(end - start);
    let step = ((end - start) / 64).max(1);
    let (mut least, mut most) = (0.0_f64, 0.0_f64);
    let mut at = start;
    while at < end {
        let over = f(at) - (first + slope * f64::from(at - start));
        (least, most) = (least.min(over), most.max(over));
        at += step;
    }
    (least, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(p: &Pieces, x: i32) -> f64 {
        let i = p.knots.iter().rposition(|k| *k <= x).unwrap().min(p.knots.len() - 2);
        let (a, b) = (p.knots[i], p.knots[i + 1]);
        p.values[i] + (p.values[i + 1] - p.values[i]) * f64::from(x - a) / f64::from(b - a)
    }

    #[test]
    fn pieces_follow_a_function_within_the_tolerance() {
        let sigmoid = |n: i32| 1.0 / (1.0 + (-f64::from(n) / 256.0).exp());
        for tolerance in [1e-2, 1e-3, 3e-4] {
            let p = Pieces::fit(&sigmoid, -2048, 2047, tolerance);
            let worst = (-2048..2048).map(|n| (at(&p, n) - sigmoid(n)).abs()).fold(0.0, f64::max);
            // Where the bulge turns, the ends of two pieces pull at each other.
            assert!(worst <= 2.0 * tolerance, "{tolerance}: {worst}, {} pieces", p.knots.len() - 1);
            assert!(p.knots.len() < 40, "{}", p.knots.len());
        }
    }

    #[test]
    fn straight_functions_take_as_many_pieces_as_they_have() {
        let leaky = |n: i32| if n < 0 { f64::from(n) * 0.1 } else { f64::from(n) };
        let p = Pieces::fit(&leaky, -1000, 1000, 1e-9);
        assert_eq!(p, Pieces { knots: vec![-1000, 0, 1000], values: vec![-100.0, 0.0, 1000.0] });
        assert_eq!(Pieces::fit(&leaky, 5, 5, 1e-9).knots, [5]);
    }
}
