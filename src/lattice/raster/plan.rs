//! What the writer of a raster stream chooses: where the lattice lies and how long rows are.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "samples are cut to the length of the data"
)]

use super::model::{FLAT_SKIPPED, FORGETFUL, LEARNER, Leeway, PLACES, Pace, Plan, UNSOUGHT, run};
use crate::codec::arithmetic::Encoder;
use crate::codec::period::{periods, row_periods};
use crate::lattice::Grid;
use crate::lattice::causal::Shape;

/// What the writer is asked to do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// Values are rounded to a lattice first, and the whole numbers are then coded without loss.
    pub(crate) snapped: bool,
    /// Whether they are is left to what a part of them takes either way.
    pub(crate) either: bool,
    /// Extents of rows, planes and so on to read the grid as, the fastest first; empty for the grid's own.
    pub(crate) inner: Vec<usize>,
    /// Values that do not repeat elsewhere, turned or mirrored, do not suit.
    pub(crate) copies_only: bool,
    /// How to learn is assumed, not tried out: for samples.
    pub(crate) hasty: bool,
}

/// By how much a shape may be behind another on the way: what repeats after long begins without a gain.
const SHAPES: Leeway = Leeway { part: 8, bytes: 32 };
/// The same for ways of learning, which part early and seldom meet again, ...
const MEMORY: Leeway = Leeway { part: 64, bytes: 32 };
/// ... and on samples, where only what gains much is of account.
const HASTY: Leeway = Leeway { part: 64, bytes: 4 };
/// The same for a learner, which has all to learn at first.
const LEARNING: Leeway = Leeway { part: 8, bytes: 256 };
/// Points that each shape is tried on, at least.
const TRIAL: usize = 1 << 16;
/// Distinct values that count as few.
const FEW: usize = 512;

/// Sixteenths of a step by which to shift the lattice so that neighbors fall together most often.
pub(super) fn phase(values: &[f64], step: f64) -> u8 {
    let changes = |phase: u8| {
        let shift = f64::from(phase) / 16.0;
        let mut last = f64::NAN;
        let mut count = 0usize;
        for v in values {
            let q = (v / step - shift + 0.5).floor();
            count += usize::from(q != last);
            last = q;
        }
        count
    };
    let plain = changes(0);
    // Where neighbors seldom fall together the position is of no account.
    if plain > values.len() / 3 {
        return 0;
    }
    let best = (1..16u8).map(|p| (changes(p), p)).min().unwrap_or((plain, 0));
    if best.0 + best.0 / 32 + 8 < plain { best.1 } else { 0 }
}

/// What the plan decides on trials.
#[derive(Debug, Clone, Default)]
pub(super) struct Choice {
    /// Extents of rows and planes to read a grid of one axis as; empty if as it is.
    pub(super) inner: Vec<usize>,
    /// Whether numbers are coded as they are.
    pub(super) absolute: bool,
    /// How predictors learn.
    pub(super) memory: u8,
    /// What that gave, if it was tried on all points as they are.
    pub(super) whole: Option<Coded>,
}

/// The numbers of a stream, coded, and what a reader will find.
#[derive(Debug, Clone)]
pub(super) struct Coded {
    pub(super) bytes: Vec<u8>,
    pub(super) found: Vec<f64>,
}

/// Tries ways to code `wanted` on a part of it.
pub(super) fn choose(wanted: &[f64], grid: &Grid, options: &Options) -> Choice {
    let mut choice = Choice { inner: options.inner.clone(), absolute: false, memory: 0, whole: None };
    let n = wanted.len();
    if n < 256 {
        return choice;
    }
    let one_axis = Shape::of_grid(grid.dims).axes() == 1;
    if one_axis && choice.inner.is_empty() {
        let candidates = candidates(wanted);
        let unit = candidates.iter().map(|c| c.iter().product::<usize>()).max().unwrap_or(1);
        let mut trial = Trial::new(wanted, grid, options, TRIAL.max(4 * unit), SHAPES);
        let costs: Vec<usize> = candidates.iter().map(|c| trial.cost(c, false, 3)).collect();
        let best = (0..candidates.len()).min_by_key(|i| costs[*i]).unwrap_or(0);
        choice.inner = candidates[best].clone();
    }
    let unit = choice.inner.iter().product::<usize>().max(1);
    // Where an axis is all there is, what repeats shows on much of it or not at all.
    let part = if one_axis { (n / 8).clamp(TRIAL / 2, 4 * TRIAL) } else { part_of(n) };
    let mut trial = Trial::new(wanted, grid, options, part.max(4 * unit), if options.hasty { HASTY } else { MEMORY });
    // Few values that follow no smooth rule are better told apart than predicted.
    let few = options.snapped && (few_values(wanted) || repeated(wanted));
    if options.hasty {
        choice.memory = FORGETFUL | FLAT_SKIPPED;
        if !few {
            return choice;
        }
    }
    let mut cost = trial.cost(&choice.inner, false, choice.memory);
    for bit in [FORGETFUL, FLAT_SKIPPED, UNSOUGHT].into_iter().filter(|_| !options.hasty) {
        // A stretch of a single axis hides repeats that lie farther apart.
        if bit == UNSOUGHT && one_axis {
            continue;
        }
        let with = trial.cost(&choice.inner, false, choice.memory | bit);
        if with < cost {
            cost = with;
            choice.memory |= bit;
        }
    }
    if few {
        let memory = choice.memory;
        for (absolute, places) in [(true, 0), (false, PLACES), (true, PLACES)] {
            // Both pay where one of them does; places alone tip the scales of no sample.
            let promising = choice.absolute || choice.memory != memory;
            if places != 0 && !promising && (absolute || options.hasty) {
                continue;
            }
            let with = trial.cost(&choice.inner, absolute, memory | places);
            if with < cost {
                cost = with;
                (choice.absolute, choice.memory) = (absolute, memory | places);
            }
        }
    }
    if !options.hasty && !choice.absolute && choice.memory & PLACES == 0 && trial.learns(&choice.inner, choice.memory) {
        choice.memory |= LEARNER;
    }
    choice.whole = trial.best.filter(|_| trial.wanted.len() == n && !choice.absolute);
    choice
}

/// Bytes that a part of `wanted` takes, learning as is assumed at first.
pub(super) fn on_a_part(wanted: &[f64], grid: &Grid, snapped: bool) -> usize {
    let options = Options { snapped, ..Options::default() };
    Trial::new(wanted, grid, &options, part_of(wanted.len()), MEMORY).cost(&[], false, 0)
}

/// Points that ways of learning are tried on, of several axes.
fn part_of(points: usize) -> usize {
    (points / 8).clamp((points / 4).clamp(TRIAL / 8, TRIAL / 2), 4 * TRIAL)
}

/// Codes all of `wanted`. Copies, which a part does not show, are blurred by a learner: where there are any, the plan keeps it only if it
/// gives fewer bytes here, too.
pub(super) fn code(plan: &mut Plan, ordinary: Option<&[bool]>, wanted: &[f64]) -> Option<Coded> {
    let mut pace = Pace::new(SHAPES);
    let mut coded = |plan: &Plan| {
        let mut coder = Encoder::new();
        let mut found = vec![0.0; wanted.len()];
        let done = run(&mut coder, plan, ordinary, Some(wanted), Some(&mut pace), &mut found);
        pace.done(true);
        done.ok().map(|()| Coded { bytes: coder.finish(), found })
    };
    let with = coded(plan);
    if plan.maps.is_empty() || plan.memory & LEARNER == 0 {
        return with;
    }
    plan.memory &= !LEARNER;
    let without = coded(plan);
    let bytes = |c: &Option<Coded>| c.as_ref().map_or(usize::MAX, |c| c.bytes.len());
    if bytes(&without) <= bytes(&with) {
        return without;
    }
    plan.memory |= LEARNER;
    with
}

/// Rows and planes that `wanted` may have lost.
fn candidates(wanted: &[f64]) -> Vec<Vec<usize>> {
    let mut found: Vec<Vec<usize>> = vec![Vec::new(), vec![8], vec![8, 8]];
    let rows = periods(wanted);
    for row in &rows {
        found.push(vec![*row]);
        let planes = rows.iter().filter(|p| **p > *row && p.is_multiple_of(*row));
        found.extend(planes.map(|p| vec![*row, p / row]));
    }
    if let Some(row) = rows.iter().min() {
        found.extend(row_periods(wanted, *row).into_iter().map(|planes| vec![*row, planes]));
    }
    found.sort();
    found.dedup();
    found
}

/// Whether rounded values are few.
fn few_values(wanted: &[f64]) -> bool {
    let mut seen = std::collections::HashSet::new();
    let step = wanted.len().div_ceil(TRIAL).max(1);
    wanted.iter().step_by(step).all(|v| {
        seen.insert((v + 0.5).floor() as i64);
        seen.len() <= FEW
    })
}

/// Whether a stretch of rounded values holds each of them many times.
fn repeated(wanted: &[f64]) -> bool {
    let len = wanted.len().min(TRIAL);
    let stretch = wanted.iter().skip((wanted.len() - len) / 2).take(len);
    let seen: std::collections::HashSet<i64> = stretch.map(|v| (v + 0.5).floor() as i64).collect();
    seen.len() < len / 8
}

/// A stretch of the data to try things on.
struct Trial<'a> {
    wanted: &'a [f64],
    ordinary: Option<&'a [bool]>,
    /// Dims of the stretch if it is read as it is.
    dims: Vec<usize>,
    snapped: bool,
    /// Points of the data, of which the stretch is a part.
    points: usize,
    /// How the best way so far took its bytes, ...
    pace: Pace,
    /// ... how many in all, ...
    least: usize,
    /// ... and what it gave.
    best: Option<Coded>,
}

impl<'a> Trial<'a> {
    /// At least `wide` points from the middle, whole planes of a grid of more than one axis.
    fn new(wanted: &'a [f64], grid: &Grid<'a>, options: &Options, wide: usize, leeway: Leeway) -> Self {
        let n = wanted.len();
        let mut dims: Vec<usize> = grid.dims.iter().copied().filter(|d| *d > 1).collect();
        let plane = dims.iter().skip(1).product::<usize>().max(1);
        let wide = wide.min(n);
        let (start, len) = if dims.len() > 1 {
            let planes = wide.div_ceil(plane).min(dims[0]);
            let start = (dims[0] - planes) / 2 * plane;
            dims[0] = planes;
            (start, planes * plane)
        } else {
            dims = vec![wide];
            // Blocks start at multiples of powers of two.
            ((n - wide) / 2 / 4096 * 4096, wide)
        };
        let ordinary = grid.ordinary.map(|o| &o[start..start + len]);
        Trial {
            wanted: &wanted[start..start + len],
            ordinary,
            dims,
            snapped: options.snapped,
            points: n,
            pace: Pace::new(leeway),
            least: usize::MAX,
            best: None,
        }
    }

    /// Whether a learner pays: on a part, by its second half, since what was learned on the first serves all that is left.
    fn learns(&mut self, inner: &[usize], memory: u8) -> bool {
        let is_whole = self.wanted.len() == self.points;
        let first_half = |t: &Self| if is_whole { 0 } else { t.pace.half() };
        let without = self.least.saturating_sub(first_half(self));
        let before = (self.best.take(), std::mem::replace(&mut self.least, usize::MAX), self.pace.clone());
        self.pace.leeway = LEARNING;
        let with = self.cost(inner, false, memory | LEARNER);
        let pays = with != usize::MAX && with.saturating_sub(first_half(self)) < without;
        if !pays {
            (self.best, self.least, self.pace) = before;
        }
        pays
    }

    /// Bytes of the stretch, if they may be the fewest.
    fn cost(&mut self, inner: &[usize], absolute: bool, memory: u8) -> usize {
        let shape =
            if inner.is_empty() { Shape::of_grid(&self.dims) } else { Shape::of_period(self.wanted.len(), inner) };
        let plan = Plan { shape, snapped: self.snapped, absolute, memory, maps: Vec::new() };
        let mut coder = Encoder::new();
        let mut found = vec![0.0; self.wanted.len()];
        let coded = run(&mut coder, &plan, self.ordinary, Some(self.wanted), Some(&mut self.pace), &mut found).is_ok();
        let bytes = coder.finish();
        let cost = if coded { bytes.len() + 2 * inner.len() } else { usize::MAX };
        self.pace.done(cost < self.least);
        if cost < self.least {
            self.least = cost;
            self.best = Some(Coded { bytes, found });
        }
        cost
    }
}

/// The most frequent whole number in `wanted`.
pub(super) fn mode(wanted: &[f64]) -> f64 {
    let mut counts = std::collections::HashMap::new();
    for v in wanted {
        *counts.entry((v + 0.5).floor() as i64).or_insert(0usize) += 1;
    }
    counts.into_iter().max_by_key(|(v, count)| (*count, *v)).map_or(0.0, |(v, _)| v as f64)
}
