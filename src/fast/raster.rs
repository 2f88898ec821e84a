//! Raster mode: each value is predicted by a stencil from reconstructed values before it (SPEC 9.4.3).

use super::Sample;
use super::learn::learn;
use super::scale::Scale;
use super::shape::{ABREAST, OUTER, Shape, Wavefront};
use super::stencil::{self, BLOCK, History, Layout, ONE, Tap, Weights};
use super::token_reader::TokenReader;
use super::token_writer::TokenWriter;
use crate::codec::cursor::Cursor;
use crate::error::FormatError;
use crate::lattice::Grid;

/// One kind of row and how it is predicted.
struct Predictor {
    layout: Layout,
    /// Weights of the one and the two points before.
    before: [f32; 2],
    /// The taps whose weight is not 0.
    taps: Vec<(Tap, f32)>,
}

impl Predictor {
    fn new(layout: Layout, weights: &Weights) -> Self {
        let scaled = |w: i32| w as f32 * (1.0 / ONE as f32);
        let taps = layout.taps.iter().zip(&weights.taps);
        let taps = taps.filter(|(_, w)| **w != 0).map(|(t, w)| (*t, scaled(*w))).collect();
        Predictor { layout, before: weights.before.map(scaled), taps }
    }
}

/// Kinds of rows that `shape` has: bit `a` says that there is an earlier row along outer axis `a`.
fn kinds(shape: &Shape) -> impl Iterator<Item = usize> {
    let all = stencil::kind(shape.outer.map(|n| n - 1));
    (0..1 << OUTER).filter(move |k| k & !all == 0)
}

/// What the rows of a group are worked on in: sums on the way in, reconstructed values on the way out.
struct Lanes {
    values: [Vec<f32>; ABREAST],
    /// Differences to the prediction, in steps.
    codes: [Vec<f32>; ABREAST],
    before: [[f32; 2]; ABREAST],
    /// What stands before the first value of a row.
    start: [f32; ABREAST],
}

impl Lanes {
    fn new(n: usize) -> Self {
        Lanes {
            values: std::array::from_fn(|_| vec![0.0; n.next_multiple_of(BLOCK)]),
            codes: std::array::from_fn(|_| vec![0.0; n]),
            before: [[0.0; 2]; ABREAST],
            start: [0.0; ABREAST],
        }
    }

    /// Adds to the sums of the first `K` lanes what comes from the same row, and the codes.
    fn reconstruct<const K: usize>(&mut self) {
        let n = self.codes[0].len();
        let mut values = self.values.iter_mut();
        let values: [&mut [f32]; K] = std::array::from_fn(|_| values.next().map_or(&mut [][..], |v| &mut v[..n]));
        let codes: [&[f32]; K] = std::array::from_fn(|k| &self.codes[k][..n]);
        let mut one: [f32; K] = std::array::from_fn(|k| self.start[k]);
        let mut two = one;
        for x in 0..n {
            for k in 0..K {
                let [a, b] = self.before[k];
                let prediction = (values[k][x] + b * two[k]) + a * one[k];
                (two[k], one[k]) = (one[k], prediction + codes[k][x]);
                values[k][x] = one[k];
            }
        }
    }

    /// Quantizes what the prediction leaves of `targets`; returns the largest such difference.
    fn quantize<const K: usize>(&mut self, targets: &[Vec<f32>; ABREAST]) -> f32 {
        let n = self.codes[0].len();
        let mut values = self.values.iter_mut();
        let values: [&mut [f32]; K] = std::array::from_fn(|_| values.next().map_or(&mut [][..], |v| &mut v[..n]));
        let mut codes = self.codes.iter_mut();
        let codes: [&mut [f32]; K] = std::array::from_fn(|_| codes.next().map_or(&mut [][..], |v| &mut v[..n]));
        let targets: [&[f32]; K] = std::array::from_fn(|k| &targets[k][..n]);
        let mut one: [f32; K] = std::array::from_fn(|k| self.start[k]);
        let mut two = one;
        let mut widest = [0f32; K];
        for x in 0..n {
            for k in 0..K {
                let [a, b] = self.before[k];
                let prediction = (values[k][x] + b * two[k]) + a * one[k];
                let code = (targets[k][x] - prediction) + ROUND - ROUND;
                (two[k], one[k]) = (one[k], prediction + code);
                values[k][x] = one[k];
                codes[k][x] = code;
                widest[k] = if code.abs() > widest[k] { code.abs() } else { widest[k] };
            }
        }
        widest.into_iter().fold(0.0, f32::max)
    }

    /// As [`Lanes::reconstruct`] for one lane of which some points repeat the one before.
    fn reconstruct_masked(&mut self, k: usize, ordinary: &[bool]) {
        let [a, b] = self.before[k];
        let (mut one, mut two) = (self.start[k], self.start[k]);
        for ((v, c), o) in self.values[k].iter_mut().zip(&self.codes[k]).zip(ordinary) {
            let prediction = (*v + b * two) + a * one;
            (two, one) = (one, if *o { prediction + c } else { one });
            *v = one;
        }
    }

    /// As [`Lanes::quantize`] for one lane of which some points repeat the one before.
    fn quantize_masked(&mut self, k: usize, targets: &[f32], ordinary: &[bool]) -> f32 {
        let [a, b] = self.before[k];
        let (mut one, mut two, mut widest) = (self.start[k], self.start[k], 0f32);
        for (((v, c), t), o) in self.values[k].iter_mut().zip(&mut self.codes[k]).zip(targets).zip(ordinary) {
            let prediction = (*v + b * two) + a * one;
            *c = if *o { (t - prediction) + ROUND - ROUND } else { 0.0 };
            (two, one) = (one, if *o { prediction + *c } else { one });
            *v = one;
            widest = if c.abs() > widest { c.abs() } else { widest };
        }
        widest
    }
}

/// Adding and subtracting this rounds to the nearest whole number, ties to even, numbers up to [`WIDEST`].
const ROUND: f32 = 12_582_912.0;
/// Codes beyond this do not suit.
const WIDEST: f32 = 32_767.0;

/// What both directions walk through the rows with.
struct Walk<'a> {
    shape: Shape,
    ordinary: Option<&'a [bool]>,
    predictors: Vec<Option<Predictor>>,
    history: History,
    /// Rows that hold the taps of the row at hand.
    rows: Vec<usize>,
    lanes: Lanes,
    /// What [`Walk::mask`] gives for a row without exceptions when another row of its group has some.
    all: Vec<bool>,
}

impl<'a> Walk<'a> {
    fn new(shape: Shape, ordinary: Option<&'a [bool]>, predictors: Vec<Option<Predictor>>) -> Self {
        Walk {
            ordinary,
            predictors,
            history: History::new(&shape),
            rows: Vec::new(),
            lanes: Lanes::new(shape.row),
            all: vec![true; shape.row],
            shape,
        }
    }

    /// Which points of row `r` are ordinary, unless all are.
    fn mask(&self, r: usize) -> Option<&'a [bool]> {
        let n = self.shape.row;
        self.ordinary.and_then(|o| o.get(r * n..(r + 1) * n)).filter(|o| !o.iter().fold(true, |all, o| all & o))
    }

    /// Prepares lane `k` for row `r`.
    fn sum(&mut self, k: usize, r: usize) {
        let Some(Some(p)) = self.predictors.get(stencil::kind(self.shape.position(r))) else { return };
        p.layout.rows(&self.shape, r, &mut self.rows);
        self.history.sum(&p.taps, &self.rows, &mut self.lanes.values[k]);
        self.lanes.before[k] = p.before;
        self.lanes.start[k] = self.rows.first().map_or(0.0, |r| self.history.first(*r));
    }

    /// Keeps what lane `k` holds as row `r`, and gives its values.
    fn keep<T: Sample>(&mut self, k: usize, r: usize, scale: &Scale, out: &mut [T]) {
        let n = self.shape.row;
        self.history.set(r, &self.lanes.values[k]);
        for (to, v) in out[r * n..(r + 1) * n].iter_mut().zip(&self.lanes.values[k]) {
            *to = T::from_f64(scale.value(f64::from(*v)));
        }
    }
}

pub(super) fn encode<T: Sample>(
    values: &[T],
    grid: &Grid,
    scale: &Scale,
    recon: &mut [T],
    out: &mut Vec<u8>,
) -> Option<()> {
    let shape = Shape::new(grid.dims);
    let n = shape.row;
    let mut predictors: Vec<Option<Predictor>> = (0..1 << OUTER).map(|_| None).collect();
    for k in kinds(&shape) {
        let layout = Layout::new(k);
        let weights = learn(k, &layout, &shape, values, scale, grid.ordinary);
        weights.write(&layout, out);
        predictors[k] = Some(Predictor::new(layout, &weights));
    }
    let mut writer = TokenWriter::with_capacity(values.len());
    let mut walk = Walk::new(shape.clone(), grid.ordinary, predictors);
    let mut targets: [Vec<f32>; ABREAST] = std::array::from_fn(|_| vec![0.0; n]);
    let mut front = Wavefront::new(&shape);
    let mut group = Vec::new();
    while front.next(&mut group) {
        let mut masked = false;
        for (k, r) in group.iter().enumerate() {
            walk.sum(k, *r);
            masked |= walk.mask(*r).is_some();
            for (t, v) in targets[k].iter_mut().zip(&values[r * n..(r + 1) * n]) {
                *t = scale.place(v.to_f64());
            }
        }
        let mut widest = 0f32;
        if masked {
            for (k, r) in group.iter().enumerate() {
                let mask = walk.mask(*r).unwrap_or(&walk.all);
                widest = widest.max(walk.lanes.quantize_masked(k, &targets[k], mask));
            }
        } else {
            widest = match group.len() {
                0 => 0.0,
                1 => walk.lanes.quantize::<1>(&targets),
                2 => walk.lanes.quantize::<2>(&targets),
                3 => walk.lanes.quantize::<3>(&targets),
                _ => walk.lanes.quantize::<4>(&targets),
            };
        }
        if !(widest <= WIDEST) {
            return None;
        }
        for (k, r) in group.iter().enumerate() {
            writer.row(
                walk.lanes.codes[k].iter().map(|c| (c + ROUND).to_bits().cast_signed() - ROUND.to_bits().cast_signed()),
            );
            walk.keep(k, *r, scale, recon);
        }
    }
    writer.finish(&shape, grid.ordinary, out);
    Some(())
}

pub(super) fn decode<T: Sample>(
    cursor: &mut Cursor<'_>,
    grid: &Grid,
    scale: &Scale,
    out: &mut [T],
) -> Result<(), FormatError> {
    let shape = Shape::new(grid.dims);
    let mut predictors: Vec<Option<Predictor>> = (0..1 << OUTER).map(|_| None).collect();
    for k in kinds(&shape) {
        let layout = Layout::new(k);
        let weights = Weights::read(&layout, cursor)?;
        predictors[k] = Some(Predictor::new(layout, &weights));
    }
    let mut reader = TokenReader::new(cursor, &shape)?;
    let mut walk = Walk::new(shape.clone(), grid.ordinary, predictors);
    let mut front = Wavefront::new(&shape);
    let mut group = Vec::new();
    while front.next(&mut group) {
        let mut masked = false;
        for (k, r) in group.iter().enumerate() {
            let mask = walk.mask(*r);
            reader.row(&shape, *r, mask, &mut walk.lanes.codes[k])?;
            walk.sum(k, *r);
            masked |= mask.is_some();
        }
        if masked {
            for (k, r) in group.iter().enumerate() {
                let mask = walk.mask(*r).unwrap_or(&walk.all);
                walk.lanes.reconstruct_masked(k, mask);
            }
        } else {
            match group.len() {
                0 => {}
                1 => walk.lanes.reconstruct::<1>(),
                2 => walk.lanes.reconstruct::<2>(),
                3 => walk.lanes.reconstruct::<3>(),
                _ => walk.lanes.reconstruct::<4>(),
            }
        }
        for (k, r) in group.iter().enumerate() {
            walk.keep(k, *r, scale, out);
        }
    }
    reader.finish()
}
