//! Finds step and offset of values that were unpacked from whole numbers: `offset + step * n`, rounded to binary32.
//!
//! On the writer's side only. Rounding leaves little room for the two: each value says between which bounds `offset + step * n` must lie,
//! which cuts a polygon of pairs, and of what is left the middle is taken.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    clippy::indexing_slicing,
    clippy::neg_cmp_op_on_partial_ord,
    reason = "what is found is checked at every value; a NaN fails the negated comparison"
)]

/// Values of a sample.
const SAMPLE: usize = 1 << 12;
/// Most steps between the least and the largest value: those of 16 bits, and some room.
const MOST: f64 = 70_000.0;
/// The step is one of so many parts of the least difference.
const PARTS: u32 = 16;
/// How often all values are looked at, at most.
const ROUNDS: usize = 8;

/// Offset and step by which `value(i)`, finite binary32 numbers, are `offset + step * n`; `None` if there is no such pair, or none is
/// found.
pub(super) fn find(count: usize, value: impl Fn(usize) -> f32) -> Option<(f64, f64)> {
    let apart = (count / SAMPLE).max(1);
    let mut sample: Vec<f32> = (0..count).step_by(apart).map(&value).collect();
    sample.sort_unstable_by(f32::total_cmp);
    sample.dedup();
    let [first, .., last] = sample[..] else { return None };
    let (low, high) = (f64::from(first), f64::from(last));
    let ulp = f64::from(last.abs().max(first.abs())) * f64::from(f32::EPSILON);
    let differences: Vec<f64> = sample.windows(2).map(|w| f64::from(w[1]) - f64::from(w[0])).collect();
    let least = differences.iter().copied().fold(f64::INFINITY, f64::min);
    // Of values without steps some lie much closer together.
    if !(high - low < MOST * least && ulp * 8.0 < least) {
        return None;
    }
    let step = (1..=PARTS).map(|k| least / f64::from(k)).find(|step| suits(&differences, *step, ulp))?;
    let (offset, step) = fit(&sample, low, step)?;
    let mut pairs = Pairs::around(offset, step, (high - low) / step, ulp * 64.0);
    for _ in 0..ROUNDS {
        let mut is_done = true;
        for v in (0..count).map(&value) {
            let (offset, step) = pairs.middle;
            let n = ((f64::from(v) - offset) / step).round_ties_even();
            if (offset + step * n) as f32 != v {
                is_done = false;
                pairs.cut(v, n)?;
            }
        }
        if is_done {
            return Some(pairs.middle);
        }
    }
    None
}

/// Whether differences are multiples of a step that is known within an ulp of the values, as far as rounding lets them be.
fn suits(differences: &[f64], step: f64, ulp: f64) -> bool {
    // Farther apart a step that is nearly right is off by too much.
    let near = (step / ulp / 10.0).min(64.0) * step;
    let off = |d: &f64| (d / step - (d / step).round()).abs() * step;
    differences.iter().filter(|d| **d < near).all(|d| off(d) <= ulp * (1.0 + d / step))
}

/// Offset and step that are nearest to sorted values, from the least of them on to more and more.
fn fit(sample: &[f32], low: f64, step: f64) -> Option<(f64, f64)> {
    let (mut offset, mut step) = (low, step);
    let mut reach = 16.0;
    loop {
        let known = sample.iter().map(|v| f64::from(*v)).take_while(|v| v - low <= reach * step);
        let (mut sum, mut sums) = ([0.0; 3], [0.0; 2]);
        for v in known {
            let n = ((v - offset) / step).round_ties_even();
            let d = v - low;
            sum = [sum[0] + 1.0, sum[1] + n, sum[2] + n * n];
            sums = [sums[0] + d, sums[1] + d * n];
        }
        let determinant = sum[0] * sum[2] - sum[1] * sum[1];
        if determinant > 0.0 {
            step = (sum[0] * sums[1] - sum[1] * sums[0]) / determinant;
            offset = low + (sums[0] - step * sum[1]) / sum[0];
        }
        if !(step > 0.0 && step.is_finite() && offset.is_finite()) {
            return None;
        }
        if reach > MOST * 2.0 {
            return Some((offset, step));
        }
        reach *= 2.0;
    }
}

/// Pairs of offset and step that are possible: a convex polygon around a first pair. Its corners are what is added to the offset, and to
/// the largest multiple of the step.
struct Pairs {
    offset: f64,
    step: f64,
    most: f64,
    corners: Vec<(f64, f64)>,
    /// Offset and step in the middle.
    middle: (f64, f64),
}

impl Pairs {
    fn around(offset: f64, step: f64, most: f64, room: f64) -> Self {
        let corners = vec![(-room, -room), (room, -room), (room, room), (-room, room)];
        Pairs { offset, step, most, corners, middle: (offset, step) }
    }

    /// Cuts away the pairs that do not give `v` at `n`; `None` if nothing is left.
    fn cut(&mut self, v: f32, n: f64) -> Option<()> {
        let (exact, part) = (f64::from(v), n / self.most);
        let at = self.offset + self.step * n;
        let half = |other: f32| (f64::from(other) - exact) / 2.0;
        // p + part * t lies between these.
        let (low, high) = (exact + half(v.next_down()) - at, exact + half(v.next_up()) - at);
        self.keep(|(p, t)| p + part * t - low);
        self.keep(|(p, t)| high - p - part * t);
        let count = self.corners.len() as f64;
        let (p, t) = self.corners.iter().fold((0.0, 0.0), |(p, t), c| (p + c.0, t + c.1));
        self.middle = (self.offset + p / count, self.step + t / count / self.most);
        (!self.corners.is_empty()).then_some(())
    }

    /// Keeps what is not below 0.
    fn keep(&mut self, height: impl Fn((f64, f64)) -> f64) {
        let mut kept = Vec::with_capacity(self.corners.len() + 1);
        for (i, a) in self.corners.iter().enumerate() {
            let b = self.corners[(i + 1) % self.corners.len()];
            let (over, other) = (height(*a), height(b));
            if over >= 0.0 {
                kept.push(*a);
            }
            if (over >= 0.0) != (other >= 0.0) {
                let share = over / (over - other);
                kept.push((a.0 + (b.0 - a.0) * share, a.1 + (b.1 - a.1) * share));
            }
        }
        self.corners = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(offset: f64, step: f64, every: u64) -> Vec<f32> {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        (0..200_000).map(|_| (offset + step * (next() % 65_000 / every * every) as f64) as f32).collect()
    }

    #[test]
    fn what_was_unpacked_is_found_and_gives_every_value() {
        for (offset, step) in [(10_303.25, 1.725_027_467_5), (-54.321, 0.001_234_567), (0.0, 1e-12), (250.0, 0.01)] {
            let values = packed(offset, step, 1);
            let (offset, step) = find(values.len(), |i| values[i]).unwrap();
            for v in values {
                let n = ((f64::from(v) - offset) / step).round_ties_even();
                assert_eq!((offset + step * n) as f32, v);
            }
        }
        // The least difference that occurs may be several steps.
        let values: Vec<f32> =
            packed(-24.5, 0.0015, 4).into_iter().chain(packed(-24.5 + 0.0015 * 10.0, 0.0015, 4)).collect();
        assert!(find(values.len(), |i| values[i]).is_some());
    }

    #[test]
    fn other_values_have_no_step() {
        let smooth: Vec<f32> = (0..200_000).map(|i| (i as f32 * 0.001).sin()).collect();
        assert_eq!(find(smooth.len(), |i| smooth[i]), None);
        let nearly: Vec<f32> =
            packed(3.0, 0.01, 1).into_iter().enumerate().map(|(i, v)| if i == 777 { v.next_up() } else { v }).collect();
        let found = find(nearly.len(), |i| nearly[i]);
        assert!(found.is_none_or(|(o, s)| {
            nearly.iter().all(|v| (o + s * ((f64::from(*v) - o) / s).round_ties_even()) as f32 == *v)
        }));
        for few in [&[][..], &[1.0], &[1.0, 1.0], &[1.0, 2.0], &[f32::MAX, -f32::MAX], &[0.0, f32::MIN_POSITIVE / 4.0]]
        {
            let _ = find(few.len(), |i| few[i]);
        }
    }
}
