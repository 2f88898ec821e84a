//! The writer's choice among ways to code a frame, by measuring them.

use crate::bound::{Bound, Tolerance};
use crate::element::DataType;
use crate::frame::{Candidate, Kernel};
use crate::grid::{FrameGrid, Region};
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

/// Label of the paper's pipeline in reports.
pub(crate) const PAPER: &str = "autoencoder";

/// Parts of the array that are coded in every way before the choice is made.
const SAMPLES: u64 = 3;

/// The part of an array's values that `Balanced` may spend on its choice: the slowest kernel takes some thirty times as
/// long as the others.
const SAMPLED_PART: u64 = 96;

/// Values of a sample that tell anything of a small array, and of a large one.
const SAMPLE_VALUES: std::ops::RangeInclusive<u64> = 1 << 13..=1 << 14;

/// Values of a frame, about, of an array of so many. Larger frames cost less at their borders; smaller ones give threads
/// and regions more, and take less memory.
pub(crate) fn frame_values(preset: Preset, bound: Bound, values: u64) -> u64 {
    match preset {
        // A frame keeps the tightest of its bounds: small ones follow the regions of a bound.
        _ if bound == Bound::ByPoint => 1 << 15,
        Preset::Small if values < 1 << 23 => 1 << 21,
        Preset::Small => 1 << 20,
        Preset::Fast | Preset::Balanced => 1 << 19,
    }
}

/// The ways to code the frames of one array.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) candidates: Vec<Candidate>,
    /// What each gave on the sample frames, in bytes.
    pub(crate) tried: Vec<(&'static str, u64)>,
    preset: Preset,
    /// How many ways are tried on every frame once the samples were judged.
    keep: usize,
}

impl Plan {
    /// All that may win.
    pub(crate) fn new(preset: Preset, tolerance: Tolerance, data_type: DataType, model: Option<GuardPolicy>) -> Plan {
        let of = |label, kernel, hole| Candidate { label, kernel, hole };
        // A model that was given is used: whether it pays is the user's question, and the report answers it.
        let candidates = if let Some(policy) = model {
            let options = sparse::Options { policy, ..Default::default() };
            vec![of(PAPER, Kernel::Sparse(options), false)]
        } else if tolerance == Tolerance::Lossless {
            let mut ways = vec![of("exact", Kernel::Exact, false)];
            // The positions of f64 values are too many for the other kernels.
            if data_type == DataType::F32 && preset != Preset::Fast {
                ways.extend(candidates(preset).into_iter().filter(|c| !c.hole && !matches!(c.kernel, Kernel::Fast)));
            }
            ways
        } else {
            candidates(preset)
        };
        let keep = if preset == Preset::Small { 2 } else { 1 };
        Plan { candidates, tried: Vec::new(), preset, keep }
    }

    /// The regions to judge by: none if all ways are to be tried on every frame.
    pub(crate) fn samples(&self, grid: &FrameGrid) -> Vec<Region> {
        let count = grid.frame_count();
        if count == 0 || self.candidates.len() <= self.keep {
            return Vec::new();
        }
        // Spread over the array, away from its ends.
        let at = |i: u64| count.saturating_mul(i.saturating_mul(2).saturating_add(1)) / (2 * SAMPLES);
        let spread: std::collections::BTreeSet<u64> = (0..SAMPLES).map(at).collect();
        let frames = spread.iter().map(|f| grid.frame(*f));
        match self.preset {
            Preset::Small if count <= SAMPLES.saturating_add(1) => Vec::new(),
            Preset::Small => frames.collect(),
            _ => {
                let least = (grid.values() / 16).clamp(*SAMPLE_VALUES.start(), *SAMPLE_VALUES.end());
                let part = (grid.values() / SAMPLED_PART).max(least);
                let each = part.checked_div(spread.len() as u64).unwrap_or(part);
                frames.map(|f| f.center(each)).collect()
            }
        }
    }

    /// Keeps the best by what the samples gave.
    pub(crate) fn narrow(&mut self) {
        if self.tried.is_empty() {
            return;
        }
        let size = |c: &Candidate| {
            let n = self.tried.iter().find(|(l, _)| *l == c.label).map_or(u64::MAX, |(_, n)| *n);
            // `Balanced` takes a slow way only where it gains a quarter.
            let slow = self.preset == Preset::Balanced && matches!(c.kernel, Kernel::Raster(_));
            if slow { n.saturating_add(n / 3) } else { n }
        };
        let mut ways: Vec<(u64, Candidate)> = self.candidates.iter().map(|c| (size(c), c.clone())).collect();
        ways.sort_by_key(|(n, _)| *n);
        self.candidates = ways.into_iter().map(|(_, c)| c).collect();
        self.candidates.truncate(self.keep);
    }
}

/// Adds figures by label; a label that was not tried every time drops out.
pub(crate) fn sum(a: &[(&'static str, u64)], b: &[(&'static str, u64)]) -> Vec<(&'static str, u64)> {
    if a.is_empty() {
        return b.to_vec();
    }
    let other = |label: &str| b.iter().find(|(l, _)| *l == label).map(|(_, n)| *n);
    a.iter().filter_map(|(l, n)| Some((*l, n.saturating_add(other(l)?)))).collect()
}

/// The ways that may win without a model.
fn candidates(preset: Preset) -> Vec<Candidate> {
    let of = |label, kernel| Candidate { label, kernel, hole: false };
    let holed = |label, kernel| Candidate { label, kernel, hole: true };
    let multilevel = |profile| Kernel::Multilevel(multilevel::Options { profile });
    let raster = |snapped| Kernel::Raster(raster::Options { snapped, inner: Vec::new() });
    match preset {
        Preset::Fast => vec![of("fast", Kernel::Fast)],
        Preset::Balanced => vec![
            of("multilevel", multilevel(Profile::Balanced)),
            of("fast", Kernel::Fast),
            // Slow, but far smaller where data repeat or take few values.
            of("raster snapped", raster(true)),
        ],
        Preset::Small => vec![
            of("multilevel", multilevel(Profile::Small)),
            of("raster", raster(false)),
            of("raster snapped", raster(true)),
            holed("multilevel with holes", multilevel(Profile::Small)),
            holed("raster with holes", raster(false)),
        ],
    }
}
