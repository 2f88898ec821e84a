//! The writer's choice among ways to code a frame, by measuring them.

use crate::bound::{Bound, Tolerance};
use crate::element::{DataType, Element};
use crate::error::Result;
use crate::fast::Effort;
use crate::frame::{Candidate, Kernel, MAY_GAIN, View};
use crate::grid::{Cut, FrameGrid, Region};
use crate::lattice::exact::Coding;
use crate::lattice::multilevel::{self, Profile};
use crate::lattice::raster;
use crate::sparse::{self, GuardPolicy};

/// How hard a writer looks for the smallest file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Preset {
    /// The fast kernel alone: for data on the move.
    Fast,
    /// One kernel with context coding: a tenth of the time of `Small` for most of its gain.
    #[default]
    Balanced,
    /// Every kernel with all its contexts: for archives.
    Small,
}

impl Preset {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Preset::Fast => "fast",
            Preset::Balanced => "balanced",
            Preset::Small => "small",
        }
    }
}

/// Label of the raster kernel on ordinary values in reports.
const RASTER: &str = "raster";

/// What a model at hand is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// To predict blocks from latents, and what to do where its guard leaves nothing of the bound.
    Blocks(GuardPolicy),
    /// To predict values from decoded neighbors.
    InLoop,
}

/// Parts of the array that are coded in every way before the choice is made.
const SAMPLES: u64 = 3;
/// By so many bytes ways differ on all samples by chance.
const CHANCE: u64 = 64;

/// What a preset spends on its choice and how it judges.
struct Judgement {
    /// One in so many of the values is sampled, ...
    part: u64,
    /// ... but at least so many of a small array and of a large one: fewer tell nothing.
    values: std::ops::RangeInclusive<u64>,
    /// Arrays up to so many values are tried in every way in full.
    whole: u64,
    /// A slow way, which decodes several times slower, must gain one in so many bytes.
    slow: u64,
    /// Samples in which no value recurs are cut to one value in so many: the raster kernel then seldom gains.
    thin: Option<u64>,
    /// How many ways are tried on every frame after the samples, ...
    keep: usize,
    /// ... if they were within one in so many bytes of the best.
    close: u64,
}

impl Preset {
    fn judgement(self) -> Judgement {
        match self {
            // Both ways on every frame: few have a table, and then it saves much.
            Preset::Fast => {
                Judgement { part: 96, values: 1 << 13..=1 << 14, whole: 0, slow: 1, thin: None, keep: 2, close: 1 }
            }
            // The slowest kernel takes some thirty times as long as the others.
            Preset::Balanced => {
                Judgement { part: 96, values: 1 << 13..=1 << 14, whole: 0, slow: 3, thin: Some(4), keep: 1, close: 1 }
            }
            Preset::Small => Judgement {
                part: 16,
                values: 1 << 15..=1 << 17,
                whole: 1 << 16,
                slow: 64,
                thin: None,
                keep: 2,
                close: 24,
            },
        }
    }
}

/// Values of a frame, about, of an array of so many. Larger frames cost less at their borders; smaller ones give threads
/// and regions more, and take less memory. `recurs` says whether values recur in the array.
pub(crate) fn frame_values(
    preset: Preset,
    bound: Bound,
    values: u64,
    recurs: impl FnOnce() -> Result<bool>,
) -> Result<u64> {
    // As one frame or two they would leave threads without work.
    let few = (1 << 18..1 << 21).contains(&values);
    Ok(match preset {
        // A frame keeps the tightest of its bounds: small ones follow the regions of a bound.
        _ if bound == Bound::ByPoint => 1 << 15,
        Preset::Small if values < 1 << 23 => 1 << 21,
        Preset::Small => 1 << 20,
        Preset::Fast if few => 1 << 18,
        // What repeats is found within a frame.
        Preset::Balanced if few && !recurs()? => 1 << 18,
        Preset::Fast | Preset::Balanced => 1 << 19,
    })
}

/// How frames are cut: the fast way gains by whole rows, and copies none of a slab.
pub(crate) fn cut(preset: Preset) -> Cut {
    if preset == Preset::Fast { Cut::Slabs } else { Cut::Cubes }
}

/// The ways to code the frames of one array.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) candidates: Vec<Candidate>,
    /// What each gave on the sample frames, in bytes.
    pub(crate) tried: Vec<(&'static str, u64)>,
    preset: Preset,
    /// Whether the samples were cut: what is small must then be smaller by more.
    thinned: bool,
}

impl Plan {
    /// All that may win.
    pub(crate) fn new(preset: Preset, tolerance: Tolerance, data_type: DataType, model: Option<Role>) -> Plan {
        let of = |label, kernel| Candidate { label, kernel, view: View::Plain };
        // A model that was given is used: whether it pays is the user's question, and the report answers it.
        let candidates = if let Some(Role::Blocks(policy)) = model {
            let options = sparse::Options { policy, ..Default::default() };
            vec![of("autoencoder", Kernel::Sparse(options))]
        } else if tolerance == Tolerance::Lossless {
            let mut ways = vec![exact(Coding::Differences)];
            if preset != Preset::Fast {
                ways.push(exact(Coding::Contexts));
            }
            if preset == Preset::Balanced {
                let kernel = Kernel::Fast(Effort::Thorough);
                ways.push(Candidate { label: "fast with table", kernel, view: View::Table });
            }
            // The positions of f64 values are too many for the other kernels, but for places in a table.
            let suits = |c: &Candidate| match c.view {
                View::Plain => data_type == DataType::F32 && !matches!(c.kernel, Kernel::Fast(_)),
                View::Hole => false,
                View::Table => true,
            };
            ways.extend(candidates(preset).into_iter().filter(suits));
            ways
        } else {
            // A network is one way more, which has to win.
            let network = (model == Some(Role::InLoop)).then(|| of("network", Kernel::Network));
            network.into_iter().chain(candidates(preset)).collect()
        };
        Plan { candidates, tried: Vec::new(), preset, thinned: false }
    }

    /// The way of a frame in which all values must be as they were, though others of its array need not.
    pub(crate) fn of_kept(&self) -> Candidate {
        exact(if self.preset == Preset::Small { Coding::Contexts } else { Coding::Differences })
    }

    /// The same ways without what takes them long to choose.
    pub(crate) fn hasty(mut self) -> Plan {
        self.candidates.iter_mut().for_each(|c| raster_options(c, |o| o.hasty = true));
        self
    }

    /// The regions to judge by: none if all ways are to be tried on every frame.
    pub(crate) fn samples(&self, grid: &FrameGrid) -> Vec<Region> {
        let count = grid.frame_count();
        let judgement = self.preset.judgement();
        if count == 0 || self.candidates.len() <= judgement.keep || grid.values() <= judgement.whole {
            return Vec::new();
        }
        // Spread over the array, away from its ends.
        let at = |i: u64| count.saturating_mul(i.saturating_mul(2).saturating_add(1)) / (2 * SAMPLES);
        let spread: std::collections::BTreeSet<u64> = (0..SAMPLES).map(at).collect();
        let least = (grid.values() / 16).clamp(*judgement.values.start(), *judgement.values.end());
        let part = grid.values().checked_div(judgement.part).unwrap_or(0).max(least);
        let each = part.checked_div(spread.len() as u64).unwrap_or(part);
        spread.iter().map(|f| grid.frame(*f).center(each)).collect()
    }

    /// The samples, cut if that is enough to judge by: if `recurs` says that values do not recur in them.
    pub(crate) fn cut(
        &mut self,
        samples: Vec<Region>,
        recurs: impl FnOnce(&[Region]) -> Result<bool>,
    ) -> Result<Vec<Region>> {
        // Rows that were lost when an array was made one axis recur farther apart than their values.
        let several_axes = samples.iter().any(|s| s.extent.iter().filter(|e| **e > 1).count() > 1);
        let applies = several_axes && self.candidates.iter().any(is_raster);
        let Some(thin) = self.preset.judgement().thin.filter(|_| applies) else { return Ok(samples) };
        if samples.is_empty() || recurs(&samples)? {
            return Ok(samples);
        }
        self.thinned = true;
        Ok(samples.iter().map(|s| s.center((s.len() as u64).checked_div(thin).unwrap_or(0))).collect())
    }

    /// Keeps the best by what the samples gave of the frames of `grid`.
    pub(crate) fn narrow(&mut self, grid: &FrameGrid) {
        let small = self.candidates.iter().find(|c| c.is_small());
        let learner = small.map(|c| Candidate { label: "learner", kernel: Kernel::Learner, ..c.clone() });
        if self.tried.is_empty() {
            self.candidates.extend(learner);
            return;
        }
        let judgement = self.preset.judgement();
        let more = |n: u64, part: u64| n.saturating_add(n.checked_div(part).unwrap_or(0));
        let bytes = |c: &Candidate| self.tried.iter().find(|(l, _)| *l == c.label).map_or(u64::MAX, |(_, n)| *n);
        let plain = self.candidates.iter().filter(|c| c.view == View::Plain && !is_slow(c)).map(bytes).min();
        // On few values the raster kernel looks better than it is on all.
        let slow = if self.thinned { judgement.slow.saturating_sub(1) } else { judgement.slow };
        let size = |c: &Candidate| match bytes(c) {
            // Its gain is judged against what it would replace without tables: what repeats has few values, too.
            n if is_slow(c) && plain.is_none_or(|p| more(n, slow) > p) => more(n, slow),
            n => n,
        };
        // A network in the loop is tried beside what would be tried without it.
        let (networks, others): (Vec<_>, Vec<_>) =
            self.candidates.drain(..).partition(|c| matches!(c.kernel, Kernel::Network));
        // What repeats rarely shows on a sample, and the fast way takes next to no time: it is tried beside them, too. So is what
        // is quick among the ways of the small preset where frames are lines: columns of a table have little in common.
        let lines = grid.frame_shape().iter().filter(|e| **e > 1).count() <= 1;
        let is_beside = |c: &Candidate| {
            self.preset != Preset::Fast && is_fast(c) || self.preset == Preset::Small && lines && is_quick(c)
        };
        let (besides, others): (Vec<_>, Vec<_>) = others.into_iter().partition(is_beside);
        // Of values that must be as they were, most bits are noise, and no other way gains much.
        let fast = besides.iter().filter(|c| is_differences(c)).map(bytes).min();
        let must_be_below = fast.filter(|_| self.preset == Preset::Balanced).unwrap_or(u64::MAX);
        let mut ways: Vec<(u64, Candidate)> = others.into_iter().map(|c| (size(&c), c)).collect();
        ways.sort_by_key(|(n, _)| *n);
        let least = ways.first().map_or(u64::MAX, |(n, _)| *n);
        let near = |part: u64| more(least, part).saturating_add(CHANCE);
        let limit = near(judgement.close);
        // At the end of a sample a learner has learned little: it is judged by the way that it improves on.
        let promising = ways.iter().any(|(n, c)| c.is_small() && *n <= near(MAY_GAIN));
        let kept = ways.iter().take(judgement.keep).take_while(|(n, _)| *n <= limit.min(must_be_below)).count();
        let (kept, left) = ways.split_at(kept);
        self.candidates = kept.iter().map(|(_, c)| c.clone()).collect();
        // Of two ways of the raster kernel a part of each frame says which is better, where it has neighbors along several axes.
        if let [best, other] = &mut self.candidates[..]
            && !lines
            && [&best, &other].iter().all(|c| is_raster(c) && c.view == View::Plain)
        {
            *best = Candidate { label: RASTER, ..best.clone() };
            raster_options(best, |o| o.either = true);
            self.candidates.truncate(1);
        }
        // What suits a table on samples may have too many values for one on a whole frame.
        if !kept.is_empty() && kept.iter().all(|(_, c)| c.view == View::Table) {
            self.candidates.extend(left.iter().map(|(_, c)| c).find(|c| c.view == View::Plain).cloned());
        }
        self.candidates.iter_mut().for_each(|c| raster_options(c, |o| o.hasty = false));
        // A sample hides what repeats across the whole: symmetric halves, equal planes.
        if self.preset == Preset::Small && !self.candidates.iter().any(is_raster) {
            let mut copying = left.iter().map(|(_, c)| c).find(|c| is_raster(c)).cloned();
            copying.iter_mut().for_each(|c| raster_options(c, |o| o.copies_only = true));
            self.candidates.extend(copying);
        }
        self.candidates.extend(learner.filter(|_| promising));
        self.candidates.extend(besides);
        self.candidates.splice(..0, networks);
    }
}

/// Whether it is the multilevel kernel at its quickest.
fn is_quick(c: &Candidate) -> bool {
    matches!(c.kernel, Kernel::Multilevel(multilevel::Options { profile: Profile::Balanced })) && c.view == View::Plain
}

/// Whether it takes next to no time.
fn is_fast(c: &Candidate) -> bool {
    matches!(c.kernel, Kernel::Fast(_)) || is_differences(c)
}

fn is_differences(c: &Candidate) -> bool {
    matches!(c.kernel, Kernel::Exact(Coding::Differences))
}

fn raster_options(c: &mut Candidate, set: fn(&mut raster::Options)) {
    if let Kernel::Raster(options) = &mut c.kernel {
        set(options);
    }
}

/// Whether it takes many times as long as the others.
fn is_slow(c: &Candidate) -> bool {
    is_raster(c) || matches!(c.kernel, Kernel::Exact(Coding::Contexts))
}

fn is_raster(c: &Candidate) -> bool {
    matches!(c.kernel, Kernel::Raster(_))
}

/// The ordinary values that stand for all, a run of one value once: of several values one in `part`, chosen by what they
/// are, so that equal ones are chosen together.
pub(crate) fn representatives<T: Element>(values: &[T], fill: Option<T>, part: u64) -> Vec<u64> {
    let ordinary = |v: &u64| T::from_bits64(*v).to_f64().is_finite() && Some(*v) != fill.map(T::to_bits64);
    // Fibonacci hashing: the upper bits of a product by 2^64 over the golden ratio.
    let chosen = |v: &u64| (v.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32).is_multiple_of(part);
    let mut bits: Vec<u64> = Vec::new();
    let mut before = None;
    for v in values.iter().map(|v| v.to_bits64()) {
        if before != Some(v) && chosen(&v) && ordinary(&v) {
            bits.push(v);
        }
        before = Some(v);
    }
    bits
}

/// How many of them there are, and how many of those were there before.
pub(crate) fn recurring(mut representatives: Vec<u64>) -> (usize, usize) {
    let all = representatives.len();
    representatives.sort_unstable();
    representatives.dedup();
    (all, all.saturating_sub(representatives.len()))
}

/// Adds figures by label; a label that was not tried every time drops out.
pub(crate) fn sum(a: &[(&'static str, u64)], b: &[(&'static str, u64)]) -> Vec<(&'static str, u64)> {
    if a.is_empty() {
        return b.to_vec();
    }
    let other = |label: &str| b.iter().find(|(l, _)| *l == label).map(|(_, n)| *n);
    a.iter().filter_map(|(l, n)| Some((*l, n.saturating_add(other(l)?)))).collect()
}

/// A way of values that must be as they were.
fn exact(coding: Coding) -> Candidate {
    let label = match coding {
        Coding::Contexts => "exact",
        Coding::Differences => "differences",
    };
    Candidate { label, kernel: Kernel::Exact(coding), view: View::Plain }
}

/// The ways that may win without a model.
fn candidates(preset: Preset) -> Vec<Candidate> {
    let of = |label, kernel| Candidate { label, kernel, view: View::Plain };
    let holed = |label, kernel| Candidate { label, kernel, view: View::Hole };
    let tabled = |label, kernel| Candidate { label, kernel, view: View::Table };
    let multilevel = |profile| Kernel::Multilevel(multilevel::Options { profile });
    let hasty = preset == Preset::Balanced;
    let raster = |snapped| Kernel::Raster(raster::Options { snapped, hasty, ..raster::Options::default() });
    match preset {
        Preset::Fast => {
            vec![of("fast", Kernel::Fast(Effort::Hasty)), tabled("fast with table", Kernel::Fast(Effort::Hasty))]
        }
        Preset::Balanced => vec![
            of("multilevel", multilevel(Profile::Balanced)),
            of("fast", Kernel::Fast(Effort::Thorough)),
            holed("multilevel with holes", multilevel(Profile::Balanced)),
            tabled("multilevel with table", multilevel(Profile::Balanced)),
            // Slow, but far smaller where data repeat or take few values.
            of("raster snapped", raster(true)),
        ],
        Preset::Small => vec![
            of("multilevel", multilevel(Profile::Small)),
            of("multilevel balanced", multilevel(Profile::Balanced)),
            of(RASTER, raster(false)),
            of("raster snapped", raster(true)),
            holed("multilevel with holes", multilevel(Profile::Small)),
            holed("raster with holes", raster(false)),
            tabled("multilevel with table", multilevel(Profile::Small)),
            tabled("raster with table", raster(true)),
            of("fast", Kernel::Fast(Effort::Thorough)),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_chosen_together() {
        let distinct: Vec<f32> = (0..20_000u16).map(|i| f32::from(i).sqrt()).collect();
        let (all, again) = recurring(representatives(&distinct, None, 16));
        assert!((1000..1600).contains(&all) && again == 0, "{all} {again}");
        // Far apart, in another order, and in runs.
        let mirrored: Vec<f32> = distinct.iter().chain(distinct.iter().rev()).flat_map(|v| [*v; 3]).collect();
        let (n, again) = recurring(representatives(&mirrored, None, 16));
        // The two in the middle are one run.
        assert!((n == 2 * all && again == all) || (n == 2 * all - 1 && again == all - 1), "{n} {again}");
        let few = [f32::NAN, 1.0, 7.0, 1.0];
        assert_eq!(recurring(representatives(&few, Some(7.0), 1)), (2, 1));
    }

    #[test]
    fn only_where_values_recur_an_array_of_a_few_frames_keeps_large_ones() {
        let bound = Bound::Absolute(1.0);
        let values = |n, recurs| frame_values(Preset::Balanced, bound, n, || Ok(recurs)).unwrap();
        assert_eq!((values(1_000_000, false), values(1_000_000, true)), (1 << 18, 1 << 19));
        assert_eq!((values(1 << 24, false), values(1 << 24, true)), (1 << 19, 1 << 19));
        let unasked = || panic!("values are not looked at where nothing depends on it");
        assert_eq!(frame_values(Preset::Fast, bound, 1_000_000, unasked).unwrap(), 1 << 18);
        assert_eq!(frame_values(Preset::Small, bound, 1_000_000, unasked).unwrap(), 1 << 21);
    }
}
