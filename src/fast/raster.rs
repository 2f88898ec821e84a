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
use std::hint::select_unpredictable;

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

    /// Adds to the sums of the first `K` lanes what comes from the same row, and the codes. With `MASKED`, a point that
    /// is not ordinary repeats the one before.
    fn reconstruct<const K: usize, const MASKED: bool>(&mut self, masks: [&[bool]; ABREAST]) {
        let n = self.codes[0].len();
        let mut values = self.values.iter_mut();
        let values: [&mut [f32]; K] = std::array::from_fn(|_| values.next().map_or(&mut [][..], |v| &mut v[..n]));
        let codes: [&[f32]; K] = std::array::from_fn(|k| &self.codes[k][..n]);
        let masks: [&[bool]; K] = std::array::from_fn(|k| if MASKED { &masks[k][..n] } else { masks[k] });
        let mut one: [f32; K] = std::array::from_fn(|k| self.start[k]);
        let mut two = one;
        for x in 0..n {
            for k in 0..K {
                let [a, b] = self.before[k];
                let prediction = (values[k][x] + b * two[k]) + a * one[k];
                let value = prediction + codes[k][x];
                let value = if MASKED { select_unpredictable(masks[k][x], value, one[k]) } else { value };
                (two[k], one[k]) = (one[k], value);
                values[k][x] = value;
            }
        }
    }

    /// Quantizes what the prediction leaves of `targets`, with the same values as [`Lanes::reconstruct`]; returns the
    /// largest code.
    fn quantize<const K: usize, const MASKED: bool>(
        &mut self,
        targets: &[Vec<f32>; ABREAST],
        masks: [&[bool]; ABREAST],
    ) -> f32 {
        let n = self.codes[0].len();
        let mut values = self.values.iter_mut();
        let values: [&mut [f32]; K] = std::array::from_fn(|_| values.next().map_or(&mut [][..], |v| &mut v[..n]));
        let mut codes = self.codes.iter_mut();
        let codes: [&mut [f32]; K] = std::array::from_fn(|_| codes.next().map_or(&mut [][..], |v| &mut v[..n]));
        let targets: [&[f32]; K] = std::array::from_fn(|k| &targets[k][..n]);
        let masks: [&[bool]; K] = std::array::from_fn(|k| if MASKED { &masks[k][..n] } else { masks[k] });
        let mut one: [f32; K] = std::array::from_fn(|k| self.start[k]);
        let mut two = one;
        let mut widest = [0f32; K];
        for x in 0..n {
            for k in 0..K {
                let [a, b] = self.before[k];
                let prediction = (values[k][x] + b * two[k]) + a * one[k];
                let code = (targets[k][x] - prediction) + ROUND - ROUND;
                let (code, value) = match MASKED && !masks[k][x] {
                    true => (0.0, one[k]),
                    false => (code, prediction + code),
                };
                (two[k], one[k]) = (one[k], value);
                values[k][x] = value;
                codes[k][x] = code;
                widest[k] = if code.abs() > widest[k] { code.abs() } else { widest[k] };
            }
        }
        widest.into_iter().fold(0.0, f32::max)
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
}

impl<'a> Walk<'a> {
    fn new(shape: Shape, ordinary: Option<&'a [bool]>, predictors: Vec<Option<Predictor>>) -> Self {
        Walk {
            ordinary,
            predictors,
            history: History::new(&shape),
            rows: Vec::new(),
            lanes: Lanes::new(shape.row),
            shape,
        }
    }

    /// Which points of row `r` are ordinary, unless all are.
    fn mask(&self, r: usize) -> Option<&'a [bool]> {
        let n = self.shape.row;
        self.ordinary.and_then(|o| o.get(r * n..(r + 1) * n)).filter(|o| !o.iter().fold(true, |all, o| all & o))
    }

    /// Which points of the rows of a group are ordinary, if it is `masked`.
    fn masks(&self, group: &[usize], masked: bool) -> [&'a [bool]; ABREAST] {
        let n = self.shape.row;
        let rows = self.ordinary.filter(|_| masked);
        std::array::from_fn(|k| match (rows, group.get(k)) {
            (Some(o), Some(r)) => &o[r * n..(r + 1) * n],
            _ => &[],
        })
    }

    /// Prepares lane `k` for row `r`; gives the level of its taps, which becomes that of the row if all its codes are 0.
    fn sum(&mut self, k: usize, r: usize, zero: bool) -> Option<f32> {
        let Some(Some(p)) = self.predictors.get(stencil::kind(self.shape.position(r))) else { return None };
        p.layout.rows(&self.shape, r, &mut self.rows);
        let level = self.history.level(&self.rows);
        if zero && level.is_some() {
            return level;
        }
        self.history.sum(&p.taps, &self.rows, &mut self.lanes.values[k]);
        self.lanes.before[k] = p.before;
        self.lanes.start[k] = self.rows.first().map_or(0.0, |r| self.history.first(*r));
        level
    }

    /// Keeps what lane `k` holds, or the `level` if there is one, as row `r`, and gives its values.
    fn keep<T: Sample>(&mut self, k: usize, r: usize, level: Option<f32>, scale: &Scale, out: &mut [T]) {
        let n = self.shape.row;
        if let Some(v) = level {
            self.history.fill(r, v);
            out[r * n..(r + 1) * n].fill(T::from_f64(scale.value(f64::from(v))));
            return;
        }
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
        let mut levels = [None; ABREAST];
        for (k, r) in group.iter().enumerate() {
            levels[k] = walk.sum(k, *r, false);
            masked |= walk.mask(*r).is_some();
            for (t, v) in targets[k].iter_mut().zip(&values[r * n..(r + 1) * n]) {
                *t = scale.place(v.to_f64());
            }
        }
        let masks = walk.masks(&group, masked);
        let lanes = &mut walk.lanes;
        let widest = match (group.len(), masked) {
            (0, _) => 0.0,
            (1, false) => lanes.quantize::<1, false>(&targets, masks),
            (2, false) => lanes.quantize::<2, false>(&targets, masks),
            (3, false) => lanes.quantize::<3, false>(&targets, masks),
            (_, false) => lanes.quantize::<4, false>(&targets, masks),
            (1, true) => lanes.quantize::<1, true>(&targets, masks),
            (2, true) => lanes.quantize::<2, true>(&targets, masks),
            (3, true) => lanes.quantize::<3, true>(&targets, masks),
            (_, true) => lanes.quantize::<4, true>(&targets, masks),
        };
        if !(widest <= WIDEST) {
            return None;
        }
        for (k, r) in group.iter().enumerate() {
            let codes = walk.lanes.codes[k].iter();
            writer.row(codes.map(|c| (c + ROUND).to_bits().cast_signed() - ROUND.to_bits().cast_signed()));
            let level = levels[k].filter(|_| walk.lanes.codes[k].iter().fold(true, |all, c| all & (*c == 0.0)));
            walk.keep(k, *r, level, scale, recon);
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
        let mut levels = [None; ABREAST];
        for (k, r) in group.iter().enumerate() {
            let mask = walk.mask(*r);
            let zero = reader.row(&shape, *r, mask, &mut walk.lanes.codes[k])?;
            levels[k] = walk.sum(k, *r, zero).filter(|_| zero);
            masked |= mask.is_some();
        }
        if levels[..group.len()].iter().all(Option::is_some) {
            for (r, level) in group.iter().zip(levels) {
                walk.keep(0, *r, level, scale, out);
            }
            continue;
        }
        let masks = walk.masks(&group, masked);
        let lanes = &mut walk.lanes;
        match (group.len(), masked) {
            (0, _) => {}
            (1, false) => lanes.reconstruct::<1, false>(masks),
            (2, false) => lanes.reconstruct::<2, false>(masks),
            (3, false) => lanes.reconstruct::<3, false>(masks),
            (_, false) => lanes.reconstruct::<4, false>(masks),
            (1, true) => lanes.reconstruct::<1, true>(masks),
            (2, true) => lanes.reconstruct::<2, true>(masks),
            (3, true) => lanes.reconstruct::<3, true>(masks),
            (_, true) => lanes.reconstruct::<4, true>(masks),
        }
        for (k, r) in group.iter().enumerate() {
            walk.keep(k, *r, levels[k], scale, out);
        }
    }
    reader.finish()
}
