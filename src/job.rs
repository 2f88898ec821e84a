//! One array on its way into frames: what its bound means, which frames and ways of coding suit it, and each frame coded.

use crate::bound::{Bound, ResolvedBound, Tolerance};
use crate::element::Element;
use crate::error::{Error, Result};
use crate::fast;
use crate::frame::{self, Block, Encoded, Models};
use crate::grid::{Cut, FrameGrid, Region, frame_shape, run_shape};
use crate::model::Decoder;
use crate::parallel::{self, Threads};
use crate::plan::{self, Plan, Preset, Role};
use crate::search;
use crate::source::Source;
use crate::sparse::GuardPolicy;
use crate::stats::ErrorStats;

/// Whether most values of an array are where others stand, too: three in four, runs of one value apart.
pub(crate) fn recurs<T: Element>(source: &dyn Source<T>, fill: Option<T>, threads: Threads) -> Result<bool> {
    let shape = source.shape();
    let parts = FrameGrid::new(shape.clone(), &frame_shape(&shape, 1 << 16, Cut::Cubes))?;
    let mut seen = Vec::new();
    parallel::for_each_in_order(
        threads,
        0..parts.frame_count(),
        |f| {
            let part = parts.frame(f);
            let mut values = vec![T::default(); part.len()];
            source.read(&part, &mut values)?;
            Ok::<_, Error>(plan::representatives(&values, fill, 64))
        },
        |_, found| {
            seen.extend(found?);
            Ok(())
        },
    )?;
    let (all, again) = plan::recurring(seen);
    Ok(again.saturating_mul(4) > all.saturating_mul(3))
}

/// One array on its way into frames.
pub(crate) struct Job<'a, T: Element> {
    pub(crate) source: &'a dyn Source<T>,
    pub(crate) grid: &'a FrameGrid,
    pub(crate) threads: Threads,
    pub(crate) fill: Option<T>,
    pub(crate) bounds: Option<&'a dyn Source<f64>>,
    pub(crate) models: Models<'a>,
}

impl<T: Element> Job<'_, T> {
    /// The values of a region, which are put into `room` if the source does not lend them.
    fn values<'b>(&'b self, region: &Region, room: &'b mut Vec<T>) -> Result<&'b [T]> {
        if let Some(values) = self.source.lend(region).filter(|values| values.len() == region.len()) {
            return Ok(values);
        }
        room.resize(region.len(), T::default());
        self.source.read(region, room)?;
        Ok(room)
    }

    /// What `asked` means for this array.
    pub(crate) fn resolve(&self, asked: Bound, preset: Preset) -> Result<ResolvedBound> {
        let trial = |e: f64| {
            let tolerance = ResolvedBound::new(asked, e).tolerance;
            // A bound that is only tried refuses nothing.
            let plan = self.plan(tolerance, preset, GuardPolicy::FallBack)?;
            self.trial(tolerance, &plan)
        };
        let e = match asked {
            Bound::Lossless | Bound::Pointwise(_) => 0.0,
            Bound::Absolute(e) => e,
            Bound::ByPoint => self.largest_bound()?,
            Bound::Range(r) => (2.0 * r * self.half_range()?).min(f64::MAX),
            Bound::Rmse(m) => search::largest_error_with(m, |e| Ok(trial(e)?.1.rmse()))?,
            Bound::Psnr(p) => {
                // 10^(-p/20) by the platform's library: the writer's choice, checked by measuring.
                let m = (self.half_range()? / 10f64.powf(p / 20.0) * 2.0).min(f64::MAX);
                search::largest_error_with(m, |e| Ok(trial(e)?.1.rmse()))?
            }
            Bound::Ratio(q) => {
                let input = self.grid.values().saturating_mul(T::DATA_TYPE.size() as u64);
                search::smallest_error_within(input as f64 / q, self.half_range()?, |e| Ok(trial(e)?.0 as f64))?
            }
        };
        Ok(ResolvedBound::new(asked, e))
    }

    /// Bytes and errors that the frames would have.
    fn trial(&self, tolerance: Tolerance, plan: &Plan) -> Result<(u64, ErrorStats)> {
        let (mut bytes, mut stats) = (0u64, ErrorStats::new(tolerance));
        parallel::for_each_by_workers(
            self.threads,
            0..self.grid.frame_count(),
            || self.encoder(tolerance, plan),
            |_, encoded| {
                let encoded = encoded?;
                bytes = bytes.saturating_add(encoded.bytes.len() as u64);
                stats.merge(&encoded.stats);
                Ok(())
            },
        )?;
        Ok((bytes, stats))
    }

    /// Half of max - min of the ordinary values, which is finite; 0 if there are none.
    fn half_range(&self) -> Result<f64> {
        /// Values that are looked at together, at most.
        const PART: u64 = 1 << 18;
        let shape = self.grid.shape();
        let pieces = FrameGrid::new(shape.to_vec(), &run_shape(shape, PART))?;
        // An array in memory lends its pieces; other sources are read by frames, as they will be.
        let lends = pieces.frame_count() > 0 && self.source.lend(&pieces.frame(0)).is_some();
        let parts = if lends { &pieces } else { self.grid };
        let fill = self.fill;
        let (mut lo, mut hi) = (f64::INFINITY, f64::NEG_INFINITY);
        parallel::for_each_by_workers(
            self.threads,
            0..parts.frame_count(),
            || {
                let mut room = Vec::new();
                move |f: u64| {
                    let values = self.values(&parts.frame(f), &mut room)?;
                    let plain = if fill.is_none() { fast::finite_range(values) } else { None };
                    let range = || fast::range(values, Some(&frame::ordinary(values, [fill, None])));
                    Ok::<_, Error>(plain.or_else(range).unwrap_or((f64::INFINITY, f64::NEG_INFINITY)))
                }
            },
            |_, result| {
                let (a, b) = result?;
                (lo, hi) = (lo.min(a), hi.max(b));
                Ok(())
            },
        )?;
        Ok(if lo <= hi { hi / 2.0 - lo / 2.0 } else { 0.0 })
    }

    /// Frames of one column each, if the last dimension is short and parts of the array take fewer bytes so: components of vectors, and
    /// columns of tables, have little to say of each other.
    pub(crate) fn columns(&self, bound: &ResolvedBound, preset: Preset, target: u64) -> Result<Option<FrameGrid>> {
        /// Columns, at most.
        const MOST: u64 = 32;
        /// Values of each, at least.
        const LEAST: u64 = 1 << 12;
        /// Values of the part that is looked at, at most, and how much of the array that may be.
        const PART: u64 = 1 << 16;
        const SHARE: u64 = 8;
        /// Bytes of a frame of `fast` that do not grow with it, about.
        const FIXED: u64 = 128;
        let shape = self.grid.shape();
        let Some((count, rest)) = shape.split_last() else { return Ok(None) };
        let each = rest.iter().fold(1u64, |n, e| n.saturating_mul(*e));
        // Other bounds are of the array as it is cut.
        let applies = matches!(bound.asked, Bound::Absolute(_) | Bound::Range(_) | Bound::Pointwise(_))
            && bound.tolerance != Tolerance::Lossless
            && self.models.decoder.is_none();
        if !applies || !(2..=MOST).contains(count) || each < LEAST {
            return Ok(None);
        }
        let frames = frame_shape(rest, target, plan::cut(preset));
        let grid = FrameGrid::new(shape.to_vec(), &[frames.as_slice(), &[1]].concat())?;
        let rows = FrameGrid::new(rest.to_vec(), &frames)?;
        let part = PART.min(self.grid.values() / SHARE).checked_div(*count).unwrap_or(0);
        let rows = rows.frame(rows.frame_count() / 2);
        // What stands side by side tells the slowest kernels more than others. What a frame takes beside its values, and until it has
        // learned, is not what it takes in the long run: about the same each time, or, where that is much, what a part takes that another
        // one holds.
        let (judge, most, parts, fixed) = match preset {
            Preset::Small => (Preset::Small, 95, vec![part / 2, part], 0),
            _ => (Preset::Fast, 97, vec![part], FIXED),
        };
        let plan = Plan::new(judge, bound.tolerance, T::DATA_TYPE, None).hasty();
        let mut room = Vec::new();
        let mut bytes = |rows: &Region, column: u64, columns: usize| {
            let start = [rows.start.as_slice(), &[column]].concat();
            let region = Region { start, extent: [rows.extent.as_slice(), &[columns]].concat() };
            Ok::<_, Error>(self.encode(&region, bound.tolerance, &plan, &mut room)?.bytes.len() as u64)
        };
        let (mut together, mut apart) = (fixed, fixed.saturating_mul(*count));
        let (mut part_together, mut part_apart) = (0, 0);
        let all = usize::try_from(*count).unwrap_or(usize::MAX);
        for values in parts {
            let rows = rows.middle(values);
            part_together = bytes(&rows, 0, all)?;
            together = part_together.saturating_sub(together);
            part_apart =
                (0..*count).try_fold(0u64, |sum, c| Ok::<_, Error>(sum.saturating_add(bytes(&rows, c, 1)?)))?;
            apart = part_apart.saturating_sub(apart);
        }
        if preset == Preset::Small {
            // Of the whole: the part, and what its last half took for every half of the rest. Small files are mostly what frames take at once.
            let parts = each.checked_div(part).unwrap_or(1);
            let rest = parts.saturating_sub(1).saturating_mul(2);
            together = part_together.saturating_add(together.saturating_mul(rest));
            apart = part_apart.saturating_add(apart.saturating_mul(rest));
        }
        Ok((apart.saturating_mul(100) < together.saturating_mul(most)).then_some(grid))
    }

    /// Chooses among the preset's candidates, on a few frames if there are many.
    pub(crate) fn plan(&self, tolerance: Tolerance, preset: Preset, guard: GuardPolicy) -> Result<Plan> {
        let role = |d: &dyn Decoder| if d.is_predictor() { Role::InLoop } else { Role::Blocks(guard) };
        let mut plan = Plan::new(preset, tolerance, T::DATA_TYPE, self.models.decoder.map(role));
        let mut tried = Vec::new();
        let samples = plan.samples(self.grid);
        let samples = plan.cut(samples, |regions| {
            let (mut all, mut again, mut room) = (0usize, 0usize, Vec::new());
            for region in regions {
                let (n, m) = plan::recurring(plan::representatives(self.values(region, &mut room)?, self.fill, 1));
                (all, again) = (all.saturating_add(n), again.saturating_add(m));
            }
            Ok(again.saturating_mul(20) > all)
        })?;
        parallel::for_each_in_order(
            self.threads,
            samples.iter(),
            |region| {
                self.with_block(region, tolerance, &mut Vec::new(), |block, threads| {
                    T::sizes(block, &plan.candidates, &self.models, threads)
                })
            },
            |_, sizes| {
                tried = plan::sum(&tried, &sizes?);
                Ok(())
            },
        )?;
        plan.tried = tried;
        plan.narrow(self.grid);
        Ok(plan)
    }

    /// What codes one frame after another, and keeps room for the values of one.
    pub(crate) fn encoder<'b>(
        &'b self,
        tolerance: Tolerance,
        plan: &'b Plan,
    ) -> impl FnMut(u64) -> Result<Encoded> + 'b {
        let mut room = Vec::new();
        move |f| self.encode(&self.grid.frame(f), tolerance, plan, &mut room)
    }

    pub(crate) fn encode(
        &self,
        region: &Region,
        tolerance: Tolerance,
        plan: &Plan,
        room: &mut Vec<T>,
    ) -> Result<Encoded> {
        self.with_block(region, tolerance, room, |block, threads| {
            if block.kept.is_some_and(|kept| kept.iter().all(|k| *k)) {
                // As classes every one would be stored as it is.
                let block = Block { tolerance: Tolerance::Lossless, kept: None, ..*block };
                return T::encode_frame(&block, &[plan.of_kept()], &self.models, threads);
            }
            T::encode_frame(block, &plan.candidates, &self.models, threads)
        })
    }

    /// Does something with a region as a block to be coded.
    fn with_block<R>(
        &self,
        region: &Region,
        tolerance: Tolerance,
        room: &mut Vec<T>,
        then: impl FnOnce(&Block<T>, Threads) -> Result<R>,
    ) -> Result<R> {
        let values = self.values(region, room)?;
        let bounds = self.bounds_of(region)?;
        let kept: Option<Vec<bool>> = bounds.as_ref().map(|b| b.iter().map(|e| !is_bound(*e)).collect());
        let tightest = bounds.iter().flatten().copied().filter(|e| is_bound(*e)).fold(f64::INFINITY, f64::min);
        let block = Block {
            values,
            dims: &region.extent,
            tolerance: if tightest.is_finite() { Tolerance::Absolute(tightest) } else { tolerance },
            fill: self.fill,
            kept: kept.as_deref(),
        };
        // Where frames are fewer than threads, the candidates are what can run side by side.
        let spare = self.grid.frame_count() < self.threads.get() as u64;
        let threads = if spare { self.threads } else { Threads::new(1) };
        then(&block, threads)
    }

    /// The bounds of the points of `region`, if each has its own.
    fn bounds_of(&self, region: &Region) -> Result<Option<Vec<f64>>> {
        let Some(source) = self.bounds else { return Ok(None) };
        let mut bounds = vec![0.0; region.len()];
        source.read(region, &mut bounds)?;
        Ok(Some(bounds))
    }

    /// The largest bound of any point; 0 if none has one.
    fn largest_bound(&self) -> Result<f64> {
        let mut largest = 0.0f64;
        for f in 0..self.grid.frame_count() {
            let bounds = self.bounds_of(&self.grid.frame(f))?;
            largest = bounds.iter().flatten().copied().filter(|e| is_bound(*e)).fold(largest, f64::max);
        }
        Ok(largest)
    }
}

/// Whether a number bounds an error: positive and finite.
pub(crate) fn is_bound(e: f64) -> bool {
    e > 0.0 && e.is_finite()
}
