//! Looks at a part of the integers: which neighbors tell most, and how many bits the rest takes. On the writer's side only.

use super::differences::{self, Differences};
use super::neighbors::{ALIKE, Distances, FIRST_OF_PLANES, Form, PREDICTORS};
use super::repeats;
use super::sequences::BIT;
use super::{Effort, ordinary_ranges};
use crate::fast::classes::{BUCKETS, Counts};
use crate::vector::vectorize;
use std::ops::Range;

/// What each difference costs in each bucket, by images, in parts of a bit.
pub(super) type Prices = [[u8; 256]; BUCKETS];

/// Bits that a difference with an image of 255 and more takes beside its symbol.
const LARGE: f64 = 10.5;

/// What a part of the integers says.
pub(in crate::fast) struct Survey {
    pub(super) form: Form,
    counts: Box<Counts>,
    /// Integers that each of those looked at stands for.
    scale: f64,
}

/// How much a survey looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fast) enum Care {
    /// Enough to tell that the integers will take far too much.
    Hasty,
    /// About one integer in thirty-two, but enough of a small array and of a large one.
    Thorough,
}

/// The ranges looked at.
fn segments(n: usize, care: Care) -> impl Iterator<Item = Range<usize>> + Clone {
    const LENGTH: usize = 64;
    let count = (n / 32).clamp(1 << 11, 1 << 13) / LENGTH;
    let apart = (n / count).max(LENGTH);
    // Not in step with the rows.
    let start = move |k: usize| k * apart + (k * 37 % 64) * apart.saturating_sub(LENGTH) / 64;
    let step = if care == Care::Hasty { 4 } else { 1 };
    (0..count).step_by(step).map(move |k| start(k)..n.min(start(k) + LENGTH)).filter(|r| r.start < r.end)
}

/// Calls `look` with the ranges of the integers that a hasty survey needs of `n`, with neighbors at these distances.
pub(in crate::fast) fn looked_at(n: usize, distances: &[Distances], mut look: impl FnMut(Range<usize>)) {
    for range in segments(n, Care::Hasty) {
        let mut before = |d: usize| {
            if d < range.end {
                // Neighbors are up to two points farther back, and one ahead.
                look(range.start.saturating_sub(d + 2)..range.end + 1 - d.max(1));
            }
        };
        before(0);
        for (k, (row, plane)) in distances.iter().enumerate() {
            if k == 0 {
                before(*row);
            }
            if *plane > 0 {
                before(*plane);
                before(plane + row);
            }
        }
    }
}

impl Survey {
    /// Of the integers `q`, whose neighbors are at one of these distances; those that are not ordinary take nothing.
    pub(in crate::fast) fn new(q: &[u16], ordinary: Option<&[bool]>, distances: &[Distances], care: Care) -> Self {
        let segments = segments(q.len(), care);
        let looked: usize = segments.clone().map(|r| r.len()).sum();
        let scale = q.len() as f64 / looked.max(1) as f64;
        let mut ranges = Vec::new();
        for segment in segments {
            _ = ordinary_ranges(ordinary, segment, |r| {
                ranges.push(r);
                Some(())
            });
        }
        let size = |form: &Form| ranges.iter().map(|r| differences::bits(q, form, r.clone())).sum::<u64>();
        let forms = distances.iter().enumerate().flat_map(|(k, d)| {
            let predictors = match d {
                (0, _) => 0..1,
                (_, 0) => 0..FIRST_OF_PLANES,
                // Those without planes were looked at.
                _ if k > 0 => FIRST_OF_PLANES..PREDICTORS,
                _ => 0..PREDICTORS,
            };
            predictors.map(move |p| (p, *d))
        });
        let (predictor, at) = forms.min_by_key(|(p, d)| size(&Form::new(*p, false, *d))).unwrap_or((0, (0, 0)));
        let mut some = Differences::default();
        let mut with = |form: Form| {
            let mut counts = Box::new([[0; 256]; BUCKETS]);
            for range in &ranges {
                some.fill(q, &form, range.clone());
                some.count(&mut counts);
            }
            Survey { form, counts, scale }
        };
        let mut best = with(Form::new(predictor, false, at));
        let mut consider = |form: Form| {
            let other = with(form);
            if other.bits() < best.bits() {
                best = other;
            }
        };
        if at.1 > 0 {
            consider(Form::new(predictor, true, at));
        }
        // Where one neighbor tells more than several, none may tell anything.
        if ALIKE.contains(&predictor) {
            consider(Form::of_level(most_frequent(q, &ranges), at));
        }
        best
    }

    /// Bits that all differences take, about.
    pub(in crate::fast) fn bits(&self) -> f64 {
        /// Bits by which the entropy of a sample is too small for each symbol in it.
        const FEW: f64 = 0.72;
        let mut bits = 0.0;
        for counts in self.counts.iter() {
            let all: u32 = counts.iter().sum();
            let used = counts.iter().filter(|n| **n > 0);
            // A part of the differences looks more alike than all of them.
            bits += FEW * used.clone().count() as f64;
            bits += used.map(|n| f64::from(*n) * (f64::from(all) / f64::from(*n)).log2()).sum::<f64>();
            bits += LARGE * f64::from(counts[255]);
        }
        bits * self.scale
    }

    /// The price of each difference in each bucket, in parts of a bit.
    pub(super) fn prices(&self) -> Box<Prices> {
        let mut prices: Box<Prices> = Box::new([[0; 256]; BUCKETS]);
        for (prices, counts) in prices.iter_mut().zip(self.counts.iter()) {
            let all = f64::from(counts.iter().sum::<u32>()) + 2.0;
            for (z, (price, n)) in prices.iter_mut().zip(counts).enumerate() {
                // Those that were not seen are as likely together as one that was seen once.
                let n = if *n > 0 { f64::from(*n) + 0.5 } else { 1.0 / (2.0 + (z as f64).min(64.0)) };
                let large = if z == 255 { LARGE } else { 0.0 };
                *price = (((all / n).log2() + large) * f64::from(BIT)).min(255.0) as u8;
            }
        }
        prices
    }

    /// The part of the bits that is left where what stood before costs nothing.
    pub(super) fn rest(&self, q: &[u16], effort: Effort) -> f64 {
        if effort == Effort::Hasty {
            return repeats::rest(q, effort, |range| repeats::rough_price(q, range));
        }
        let prices = self.prices();
        let mut some = Differences::default();
        repeats::rest(q, effort, |range| {
            some.fill(q, &self.form, range);
            some.price(&prices)
        })
    }
}

/// The integer that most of those in the ranges are.
fn most_frequent(q: &[u16], ranges: &[Range<usize>]) -> u16 {
    let mut counts = vec![0u16; 1 << 16];
    let mut most = (0, 0);
    for v in ranges.iter().flat_map(|r| &q[r.clone()]) {
        let count = &mut counts[usize::from(*v)];
        *count += 1;
        most = most.max((*count, *v));
    }
    most.1
}

/// The distance at which the integers of one axis are most alike, if it is one that stands out: a row that was lost when an array
/// was made one axis.
pub(in crate::fast) fn period(q: &[u16]) -> Option<usize> {
    const WINDOWS: usize = 16;
    /// Integers of each window that are compared at every distance, ...
    const FEW: usize = 16;
    /// ... and at so many of the best of them.
    const LENGTH: usize = 64;
    const BEST: usize = 64;
    const SHORTEST: usize = 4;
    let longest = (q.len() / 4).min(1 << 13);
    if q.len() < 4 * LENGTH {
        return None;
    }
    let last = q.len() - LENGTH;
    let windows = (0..WINDOWS).map(|k| longest.min(last) + (last - longest.min(last)) * k / (WINDOWS - 1));
    let mut scores = vec![0; longest + 1];
    windows.clone().for_each(|at| compare::<FEW>(q, at, 0, &mut scores));
    let stands_out = |before: u32, here: u32, after: u32| here <= before && here < after;
    let mut best: Vec<usize> =
        (SHORTEST..longest).filter(|d| stands_out(scores[d - 1], scores[*d], scores[d + 1])).collect();
    best.sort_by_key(|d| scores[*d]);
    best.truncate(BEST);
    let closer = best.into_iter().filter_map(|d| {
        let mut near = [0; 3];
        windows.clone().for_each(|at| compare::<LENGTH>(q, at, d - 1, &mut near));
        stands_out(near[0], near[1], near[2]).then_some((near[1], d))
    });
    closer.min().map(|(_, d)| d)
}

/// Adds to each score how much `N` integers from `at` on differ from those before them, at distance `nearest` for the first score, one
/// more for each that follows.
fn compare<const N: usize>(q: &[u16], at: usize, nearest: usize, scores: &mut [u32]) {
    /// Differences beyond this say no more.
    const MOST: u16 = 64;
    let Some(here) = q.get(at..).and_then(<[u16]>::first_chunk::<N>) else { return };
    vectorize!(_simd => {
        for (d, score) in (nearest..).zip(scores) {
            if let Some(there) = at.checked_sub(d).and_then(|s| q[s..].first_chunk::<N>()) {
                let apart = |(a, b): (&u16, &u16)| a.abs_diff(*b).min(MOST);
                *score += u32::from(here.iter().zip(there).map(apart).sum::<u16>());
            }
        }
    });
}
