//! Arrays as networks see them: normalized blocks (SPEC 7.1, 7.3.1), some to learn from and some to be judged on.

use crate::{Result, asked};
use cae::input::Input;
use cae::internals::{NormalizedBlocks, denormalize, normalized_blocks};
use cae::{Bound, DataType, Element, Region};
use ndarray::Array2;

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
    /// To learn from.
    pub train: Blocks,
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

/// Reads arrays as blocks of `shape`; `fill` stands for missing values, as NaN and infinities do.
///
/// # Errors
/// An array cannot be read, or has fewer axes than the blocks.
pub fn read(inputs: &[Input], shape: &[usize], fill: Option<f64>, bound: Option<Bound>, share: Share) -> Result<Split> {
    read_as(Scaling::Normalized, inputs, shape, fill, bound, share)
}

/// [`read`] with a choice of scaling.
///
/// # Errors
/// As [`read`].
pub fn read_as(
    scaling: Scaling,
    inputs: &[Input],
    shape: &[usize],
    fill: Option<f64>,
    bound: Option<Bound>,
    share: Share,
) -> Result<Split> {
    let mut split = Split::default();
    for input in inputs {
        let mut values = match input.data_type {
            DataType::F32 => values::<f32>(input)?,
            _ => values::<f64>(input)?,
        };
        for v in values.iter_mut().filter(|v| Some(**v) == fill) {
            *v = f64::NAN;
        }
        let dims: Vec<usize> = input.shape().iter().map(|n| usize::try_from(*n).unwrap_or(usize::MAX)).collect();
        let mut blocks = normalized_blocks(&values, &dims, shape)?;
        if scaling == Scaling::Linear {
            scale_linearly(&mut blocks);
        }
        let tolerances = bound.map(|b| tolerances(b, &values, &blocks)).transpose()?;
        let chosen = chosen(&blocks.steps, share);
        for (part, wanted) in [(&mut split.train, true), (&mut split.judge, false)] {
            part.append(&blocks, tolerances.as_deref(), |b| chosen[b] == wanted)?;
        }
    }
    if split.train.is_empty() {
        return asked("the arrays hold nothing to learn from: every value is zero or missing");
    }
    Ok(split)
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
    fn append(
        &mut self,
        blocks: &NormalizedBlocks,
        tolerances: Option<&[f32]>,
        wanted: impl Fn(usize) -> bool,
    ) -> Result<()> {
        let len = blocks.len.max(1);
        let rows = |all: &[f32], into: &mut Array2<f32>| {
            let mut flat = std::mem::take(into).into_raw_vec_and_offset().0;
            for (b, row) in all.chunks_exact(len).enumerate() {
                let targets = &blocks.targets[b * len..(b + 1) * len];
                if wanted(b) && targets.iter().any(|y| *y != 0.0) {
                    flat.extend_from_slice(row);
                }
            }
            *into = Array2::from_shape_vec((flat.len() / len, len), flat).unwrap_or_default();
        };
        rows(&blocks.inputs, &mut self.inputs);
        rows(&blocks.targets, &mut self.targets);
        if let Some(all) = tolerances {
            rows(all, self.tolerances.get_or_insert_default());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
