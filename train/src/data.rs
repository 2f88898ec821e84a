//! Arrays as networks see them: normalized blocks (SPEC 7.1, 7.3.1), some to learn from and some to be judged on.

use crate::{Result, asked};
use cae::input::Input;
use cae::internals::{NormalizedBlocks, denormalize, normalized_blocks};
use cae::{Bound, DataType, Element, Region};
use ndarray::{Array2, ArrayViewD, s};

/// Blocks, one a row.
#[derive(Debug, Clone, Default)]
pub struct Blocks {
    /// What an encoder is shown.
    pub inputs: Array2<f32>,
    /// What its decoder should give; 0 where nothing is predicted.
    pub targets: Array2<f32>,
    /// How far from the target the bound lets a prediction be, where a bound was given.
    pub tolerances: Option<Array2<f32>>,
}

/// Which blocks are learned from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Share {
    /// Those of the first half of the steps along the first axis.
    Half,
    /// Those of so many steps, spread evenly.
    Steps(usize),
    /// Those of this part of the steps, spread evenly, at least one.
    Part(f64),
    /// All of them.
    All,
}

impl std::str::FromStr for Share {
    type Err = String;

    /// `half`, `all`, `10` or `1%`.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || format!("`{text}` is no number of steps; it looks like 10, 1%, half or all");
        match text {
            "half" => Ok(Share::Half),
            "all" => Ok(Share::All),
            _ => match text.strip_suffix('%') {
                Some(percent) => {
                    let part = percent.parse::<f64>().map_err(|_| wrong())? / 100.0;
                    if part > 0.0 && part <= 1.0 { Ok(Share::Part(part)) } else { Err(wrong()) }
                }
                None => text.parse().ok().filter(|n| *n > 0).map(Share::Steps).ok_or_else(wrong),
            },
        }
    }
}

/// What to learn from, and what to be judged on.
#[derive(Debug, Clone, Default)]
pub struct Split {
    /// To learn from: blocks as the archive lays them, and the same values cut at other places.
    pub train: Blocks,
    /// How many of those are as the archive lays them: a pass over the data takes as many.
    pub pass: usize,
    /// Kept back from what is learned from, to choose the state that is kept; empty where blocks are few.
    pub held: Blocks,
    /// To be judged on; empty if all blocks are learned from.
    pub judge: Blocks,
}

/// What becomes of values before a network sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scaling {
    /// Each has its own power of ten (SPEC 7.1): what archives need.
    Normalized,
    /// All of an array have one factor: the paper's comparison, of no use to archives.
    Linear,
}

/// How arrays are read.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// Extents of a block.
    pub block_shape: &'a [usize],
    /// What stands for missing values, as NaN and infinities do.
    pub fill: Option<f64>,
    /// What tolerances are wanted for, if any.
    pub bound: Option<Bound>,
    /// What is learned from.
    pub share: Share,
    /// Of values.
    pub scaling: Scaling,
    /// In how many ways an array is cut into blocks to learn from; `None` for as many as make some thousand blocks.
    pub cuts: Option<usize>,
    /// Whether to keep some blocks back.
    pub hold: bool,
}

impl<'a> Reading<'a> {
    /// Normalized values, the first half learned from, all else by default.
    pub fn new(block_shape: &'a [usize]) -> Self {
        Reading {
            block_shape,
            fill: None,
            bound: None,
            share: Share::Half,
            scaling: Scaling::Normalized,
            cuts: None,
            hold: true,
        }
    }
}

/// Blocks to learn from that cutting at other places makes, about.
const CUT_BLOCKS: usize = 4096;

/// Values that all cuts of an array may hold.
const CUT_VALUES: usize = 1 << 23;

/// One step in so many is kept back.
const HELD: usize = 8;

/// In at most so many stretches.
const STRETCHES: usize = 4;

/// Fractions that multiples of are spread evenly over [0, 1), one for each axis.
const SPREAD: [f64; 4] = [0.618_033_988_749_895, 0.414_213_562_373_095, 0.732_050_807_568_877, 0.236_067_977_499_79];

/// Least number of blocks of which some are kept back.
const HELD_MIN: usize = 32;

/// Reads arrays as blocks.
///
/// # Errors
/// An array cannot be read, or has fewer axes than the blocks.
pub fn read(inputs: &[Input], reading: &Reading<'_>) -> Result<Split> {
    let mut split = Split::default();
    for input in inputs {
        let mut values = match input.data_type {
            DataType::F32 => values::<f32>(input)?,
            _ => values::<f64>(input)?,
        };
        for v in values.iter_mut().filter(|v| Some(**v) == reading.fill) {
            *v = f64::NAN;
        }
        let dims: Vec<usize> = input.shape().iter().map(|n| usize::try_from(*n).unwrap_or(usize::MAX)).collect();
        split.append(&values, &dims, reading)?;
    }
    if split.train.is_empty() {
        return asked("the arrays hold nothing to learn from: every value is zero or missing");
    }
    Ok(split)
}

/// What becomes of the blocks that begin at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    Learn,
    Hold,
    Judge,
}

impl Split {
    /// Appends the blocks of one array.
    fn append(&mut self, values: &[f64], dims: &[usize], reading: &Reading<'_>) -> Result<()> {
        let whole = Cut::new(values, dims, reading, 0)?;
        let uses = uses(&whole.blocks.steps, reading);
        let before = self.train.len();
        self.train.append(&whole, |b| uses[b] == Use::Learn);
        let learned = self.train.len() - before;
        self.pass += learned;
        self.held.append(&whole, |b| uses[b] == Use::Hold);
        self.judge.append(&whole, |b| uses[b] == Use::Judge);
        // Each cut goes over the whole array, however little of it is learned from.
        let all = CUT_BLOCKS.div_ceil(learned.max(1)).min(CUT_VALUES / values.len().max(1));
        let cuts = reading.cuts.unwrap_or(all).min(reading.block_shape.iter().product());
        if cuts < 2 {
            return Ok(());
        }
        // A step of blocks of several uses is nothing to learn from.
        let mut steps = vec![Use::Learn; dims.first().copied().unwrap_or(1)];
        for (b, wanted) in uses.iter().enumerate() {
            whole.span(b).for_each(|s| steps[s] = steps[s].max(*wanted));
        }
        for k in 1..cuts {
            let cut = Cut::new(values, dims, reading, k)?;
            self.train.append(&cut, |b| cut.span(b).all(|s| steps[s] == Use::Learn));
        }
        Ok(())
    }
}

/// What becomes of each block, given the steps at which they begin.
fn uses(steps: &[usize], reading: &Reading<'_>) -> Vec<Use> {
    let chosen = chosen(steps, reading.share);
    let mut known: Vec<usize> = steps.iter().zip(&chosen).filter(|(_, c)| **c).map(|(s, _)| *s).collect();
    let many = reading.hold && known.len() >= HELD_MIN;
    known.sort_unstable();
    known.dedup();
    // Stretches rather than every eighth step: neighbors of what is learned from would say little.
    let segment = known.len() / (known.len() / HELD).clamp(1, STRETCHES);
    let middle = segment / 2..segment / 2 + (segment + HELD / 4) / HELD;
    let held = |step: &usize| middle.contains(&(known.partition_point(|s| s < step) % segment.max(1)));
    let one = |(step, chosen): (&usize, &bool)| match chosen {
        false => Use::Judge,
        true if many && held(step) => Use::Hold,
        true => Use::Learn,
    };
    steps.iter().zip(&chosen).map(one).collect()
}

/// The blocks of an array from which some values are left out at the beginning of each axis of the blocks.
struct Cut {
    blocks: NormalizedBlocks,
    tolerances: Option<Vec<f32>>,
    /// Values that were left out before the first block.
    left_out: usize,
    /// Values of a step.
    row: usize,
    /// Along the first axis, if blocks have an extent there; else they run over the flattened array.
    height: Option<usize>,
    /// Number of steps.
    count: usize,
}

impl Cut {
    /// The cut of number `k`; that of number 0 leaves nothing out.
    fn new(values: &[f64], dims: &[usize], reading: &Reading<'_>, k: usize) -> Result<Self> {
        let shape = reading.block_shape;
        // Offsets that fill the block evenly, however many there are.
        let offset =
            |axis: usize, extent: usize| ((k as f64 * SPREAD[axis % SPREAD.len()]).fract() * extent as f64) as usize;
        let row = dims.iter().skip(1).product::<usize>().max(1);
        let (cut, extents, left_out) = if k == 0 {
            (values.to_vec(), dims.to_vec(), 0)
        } else if shape.len() == 1 {
            let out = offset(0, shape[0]).min(values.len().saturating_sub(1));
            (values[out..].to_vec(), vec![values.len() - out], out)
        } else {
            let leading = dims.len().saturating_sub(shape.len());
            let out: Vec<usize> = (0..dims.len())
                .map(|a| {
                    if a < leading { 0 } else { offset(a - leading, shape[a - leading]).min(dims[a].saturating_sub(1)) }
                })
                .collect();
            let view = ArrayViewD::from_shape(dims, values).map_err(|e| crate::Error::Asked(e.to_string()))?;
            let part = view.slice_each_axis(|a| (out[a.axis.index()]..).into());
            (part.iter().copied().collect(), part.shape().to_vec(), out[0])
        };
        let mut blocks = normalized_blocks(&cut, &extents, shape)?;
        if reading.scaling == Scaling::Linear {
            scale_linearly(&mut blocks);
        }
        let tolerances = reading.bound.map(|b| tolerances(b, values, &blocks)).transpose()?;
        let height = (shape.len() > 1).then(|| if shape.len() == dims.len() { shape[0] } else { 1 });
        Ok(Cut { blocks, tolerances, left_out, row, height, count: dims.first().copied().unwrap_or(1) })
    }

    /// Steps that a block lies in.
    fn span(&self, block: usize) -> std::ops::Range<usize> {
        let first = self.blocks.steps[block];
        let steps = match self.height {
            Some(height) => first + self.left_out..first + self.left_out + height,
            None => {
                let at = block * self.blocks.len + self.left_out;
                at / self.row..(at + self.blocks.len - 1) / self.row + 1
            }
        };
        steps.start.min(self.count)..steps.end.min(self.count)
    }
}

fn values<T: Element>(input: &Input) -> Result<Vec<f64>> {
    let source = input.open::<T>()?;
    let extent: Vec<usize> = source.shape().iter().map(|n| usize::try_from(*n).unwrap_or(usize::MAX)).collect();
    let region = Region { start: vec![0; extent.len()], extent };
    let mut values = vec![T::default(); region.len()];
    source.read(&region, &mut values)?;
    Ok(values.into_iter().map(Element::to_f64).collect())
}

/// Undoes the normalization and divides by ten times the greatest magnitude: relative errors stay what they are.
fn scale_linearly(blocks: &mut NormalizedBlocks) {
    let whole = |(y, k): (&f32, &i16)| denormalize(f64::from(*y), *k);
    let largest = blocks.targets.iter().zip(&blocks.exponents).map(whole).fold(0.0f64, |m, v| m.max(v.abs()));
    let points = blocks.inputs.iter_mut().zip(&mut blocks.targets).zip(&blocks.exponents);
    for ((input, target), k) in points.filter(|((_, y), _)| **y != 0.0) {
        let scaled = whole((target, k)) / largest / 10.0;
        // What underflows would count as zero.
        *target = (scaled as f32).abs().max(f32::MIN_POSITIVE).copysign(scaled as f32);
        *input = *target;
    }
}

/// Whether each block is learned from, given the steps at which blocks begin.
fn chosen(steps: &[usize], share: Share) -> Vec<bool> {
    let mut distinct = steps.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let count = distinct.len();
    let spread = |wanted: usize| {
        let wanted = wanted.clamp(1, count.max(1));
        let picked: Vec<usize> = (0..wanted).map(|i| distinct[(2 * i + 1) * count / (2 * wanted)]).collect();
        steps.iter().map(|s| picked.binary_search(s).is_ok()).collect()
    };
    match share {
        _ if count == 0 => Vec::new(),
        Share::All => vec![true; steps.len()],
        Share::Half => {
            let end = distinct[(count - 1) / 2];
            steps.iter().map(|s| *s <= end).collect()
        }
        Share::Steps(n) => spread(n),
        Share::Part(part) => spread((part * count as f64).round() as usize),
    }
}

/// What the bound allows at each point of the blocks, in the normalized domain.
fn tolerances(bound: Bound, values: &[f64], blocks: &NormalizedBlocks) -> Result<Vec<f32>> {
    let absolute = |e: f64| blocks.exponents.iter().map(|k| denormalize(e, -k) as f32).collect();
    Ok(match bound {
        Bound::Pointwise(b) => blocks.targets.iter().map(|y| (b * f64::from(y.abs())) as f32).collect(),
        Bound::Absolute(e) => absolute(e),
        Bound::Range(r) => {
            let finite = values.iter().filter(|v| v.is_finite());
            let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
            absolute(r * (high - low).max(0.0))
        }
        _ => return asked("a loss can know a point-wise, absolute or range-relative bound"),
    })
}

impl Blocks {
    /// Number of blocks.
    pub fn len(&self) -> usize {
        self.inputs.nrows()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends the wanted blocks that predict anything.
    fn append(&mut self, cut: &Cut, wanted: impl Fn(usize) -> bool) {
        let len = cut.blocks.len.max(1);
        let kept: Vec<bool> = cut
            .blocks
            .targets
            .chunks_exact(len)
            .enumerate()
            .map(|(b, targets)| targets.iter().any(|y| *y != 0.0) && wanted(b))
            .collect();
        let rows = |all: &[f32], into: &mut Array2<f32>| {
            let mut flat = std::mem::take(into).into_raw_vec_and_offset().0;
            for (row, _) in all.chunks_exact(len).zip(&kept).filter(|(_, k)| **k) {
                flat.extend_from_slice(row);
            }
            *into = Array2::from_shape_vec((flat.len() / len, len), flat).unwrap_or_default();
        };
        rows(&cut.blocks.inputs, &mut self.inputs);
        rows(&cut.blocks.targets, &mut self.targets);
        if let Some(all) = &cut.tolerances {
            rows(all, self.tolerances.get_or_insert_default());
        }
    }

    /// At most so many of the blocks, spread evenly.
    pub fn some(&self, most: usize) -> Blocks {
        let step = self.len().div_ceil(most.max(1)).max(1);
        let part = |all: &Array2<f32>| all.slice(s![..;step, ..]).to_owned();
        Blocks {
            inputs: part(&self.inputs),
            targets: part(&self.targets),
            tolerances: self.tolerances.as_ref().map(part),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn steps_are_shared_as_asked() {
        let steps = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4];
        let of = |share| chosen(&steps, share).iter().filter(|c| **c).count();
        assert_eq!(of(Share::All), 10);
        assert_eq!(of(Share::Half), 6);
        assert_eq!(of(Share::Steps(2)), 4);
        assert_eq!(of(Share::Part(0.01)), 2);
        assert!(chosen(&steps, Share::Steps(1))[4]);
        assert_eq!("1%".parse(), Ok(Share::Part(0.01)));
        assert!("0%".parse::<Share>().is_err() && "-1".parse::<Share>().is_err());
    }

    #[test]
    fn some_stretches_are_kept_back() {
        let reading = Reading { share: Share::All, ..Reading::new(&[1]) };
        let held = |n: usize, each: usize| -> Vec<usize> {
            let steps: Vec<usize> = (0..n * each).map(|b| b / each).collect();
            let uses = uses(&steps, &reading);
            (0..n).filter(|s| uses[s * each] == Use::Hold).collect()
        };
        assert_eq!(held(31, 1), [0; 0]);
        assert_eq!((held(5, 10), held(7, 10)), (vec![], vec![3]));
        assert_eq!(held(8, 10), [4]);
        assert_eq!(held(20, 10), [5, 15]);
        assert_eq!(held(63, 1), [7, 8, 22, 23, 37, 38, 52, 53]);
        assert_eq!(held(640, 1).len(), 80);
    }

    /// What is learned from in another cut is nothing that is kept back or judged on.
    #[test]
    fn other_cuts_stay_within_what_is_learned_from() {
        let values: Vec<f64> = (0..64 * 6 * 10).map(|i| 0.01 + i as f64 * 1e-5).collect();
        for (dims, shape) in [
            (vec![3840], vec![16]),
            (vec![64, 60], vec![16]),
            (vec![64, 60], vec![4, 5]),
            (vec![64, 6, 10], vec![3, 4]),
            (vec![64, 6, 10], vec![2, 2, 3]),
        ] {
            let mut split = Split::default();
            split.append(&values, &dims, &Reading { cuts: Some(9), ..Reading::new(&shape) }).unwrap();
            assert!(split.train.len() > 2 * split.pass && !split.held.is_empty(), "{dims:?} {shape:?}");
            let of = |b: &Blocks| b.targets.iter().filter(|y| **y != 0.0).map(|y| y.to_bits()).collect::<BTreeSet<_>>();
            let (train, held, judge) = (of(&split.train), of(&split.held), of(&split.judge));
            assert!(
                train.is_disjoint(&held) && train.is_disjoint(&judge) && held.is_disjoint(&judge),
                "{dims:?} {shape:?}"
            );
            assert!(train.len() > 1200 && judge.len() > 1500, "{dims:?} {shape:?} {} {}", train.len(), judge.len());
        }
    }

    #[test]
    fn linear_scaling_keeps_proportions() {
        let mut blocks = normalized_blocks(&[2.5, -40.0, 0.0, 0.1], &[4], &[4]).unwrap();
        scale_linearly(&mut blocks);
        assert!(blocks.targets.iter().zip([0.00625, -0.1, 0.0, 0.00025]).all(|(a, b)| (a - b).abs() < 1e-7));
    }

    #[test]
    fn tolerances_are_the_bound_in_the_normalized_domain() {
        let values = [2.5, -30.0, 0.0, f64::NAN];
        let blocks = normalized_blocks(&values, &[4], &[4]).unwrap();
        assert_eq!(blocks.targets, [0.025, -0.03, 0.0, 0.0]);
        assert_eq!(blocks.inputs, [0.025, -0.03, 0.0, 0.0]);
        let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs());
        assert!(close(&tolerances(Bound::Absolute(1.0), &values, &blocks).unwrap()[..2], &[0.01, 0.001]));
        assert!(close(&tolerances(Bound::Range(0.1), &values, &blocks).unwrap()[..2], &[0.0325, 0.00325]));
        assert!(close(&tolerances(Bound::Pointwise(0.1), &values, &blocks).unwrap()[..2], &[0.0025, 0.003]));
    }
}
