//! Raster mode: each value is predicted by a stencil from reconstructed values before it (SPEC 9.4.3).

use super::Sample;
use super::codes::{self, CodeReader, Codes};
use super::learn::learn;
use super::scale::Scale;
use super::shape::{OUTER, Shape};
use super::stencil::{self, CHUNK, History, Layout, MOST_TAPS, ONE, ROUND, Recurrence, STEP, Tap, Weights};
use super::vector::vectorize;
use crate::codec::cursor::Cursor;
use crate::error::FormatError;
use crate::lattice::Grid;
use fearless_simd::{Simd, f32x4, f32x8};

/// One kind of row and how it is predicted.
struct Predictor {
    layout: Layout,
    recurrence: Recurrence,
    /// The taps whose weight is not 0.
    taps: Vec<(Tap, f32)>,
    /// How many rows before a row that is inside the one of each way is.
    distances: Vec<usize>,
}

impl Predictor {
    fn new(layout: Layout, weights: &Weights, shape: &Shape) -> Self {
        let scaled = |w: i32| w as f32 * (1.0 / ONE as f32);
        let taps = layout.taps.iter().zip(&weights.taps);
        let taps = taps.filter(|(_, w)| **w != 0).map(|(t, w)| (*t, scaled(*w))).collect();
        let distances = layout.distances(shape);
        Predictor { layout, recurrence: Recurrence::new(weights.before()), taps, distances }
    }

    /// Where the taps of row `r` are, and what stands before its first point.
    #[inline(always)]
    fn places(
        &self,
        shape: &Shape,
        history: &History,
        r: usize,
        position: [usize; OUTER],
        rows: &mut Vec<usize>,
        places: &mut [usize; MOST_TAPS],
    ) -> f32 {
        if let Some(first) = self.distances.first()
            && self.layout.is_inside(shape, position)
        {
            let slot = history.slot(r);
            history.places_inside(&self.taps, &self.distances, slot, places);
            return history.first_before(slot, *first);
        }
        self.layout.rows(shape, r, position, rows);
        history.places(&self.taps, rows, places);
        rows.first().map_or(0.0, |r| history.first(*r))
    }
}

/// Kinds of rows that `shape` has: bit `a` says that there is an earlier row along outer axis `a`.
fn kinds(shape: &Shape) -> impl Iterator<Item = usize> {
    let all = stencil::kind(shape.outer.map(|n| n - 1));
    (0..1 << OUTER).filter(move |k| k & !all == 0)
}

/// Which points of row `r` are ordinary, unless all are.
fn mask(ordinary: Option<&[bool]>, n: usize, r: usize) -> Option<&[bool]> {
    ordinary.and_then(|o| o.get(r * n..(r + 1) * n)).filter(|o| !o.iter().fold(true, |all, o| all & o))
}

fn is_whole(mask: &[bool], x: usize) -> bool {
    mask.iter().skip(x).take(STEP).all(|o| *o)
}

/// Rows that the encoder predicts side by side: each waits for the one before only near where it is.
const ABREAST: usize = 4;
/// How many steps a row is behind the one before it.
const LAG: usize = 2;
/// Codes beyond this do not suit.
const WIDEST: f32 = 32_767.0;

/// What the encoder works on.
struct Encoder<'a, T> {
    values: &'a [T],
    shape: &'a Shape,
    scale: &'a Scale,
    ordinary: Option<&'a [bool]>,
    history: History,
    codes: Vec<i16>,
    /// Whether no code is too wide.
    suits: bool,
}

impl<T: Sample> Encoder<'_, T> {
    /// Quantizes row `r` alone, which may be level.
    #[inline(always)]
    fn row<S: Simd>(&mut self, simd: S, p: &Predictor, r: usize, rows: &mut Vec<usize>) {
        let n = self.shape.row;
        p.layout.rows(self.shape, r, self.shape.position(r), rows);
        let level = self.history.level(rows);
        self.rows::<S, 1>(simd, p, r, rows);
        if let Some(v) = level
            && self.codes[r * n..(r + 1) * n].iter().fold(0, |all, c| all | c) == 0
        {
            self.history.fill(r, v);
        }
    }

    /// Quantizes `K` rows, at most [`ABREAST`], of one kind from row `first` on, none of them level.
    #[inline(always)]
    fn rows<S: Simd, const K: usize>(&mut self, simd: S, p: &Predictor, first: usize, rows: &mut Vec<usize>) {
        let n = self.shape.row;
        let steps = n.div_ceil(STEP);
        let [a, b] = p.recurrence.before();
        let (a4, b4, round) = (simd.splat_f32x4(a), simd.splat_f32x4(b), simd.splat_f32x4(ROUND));
        let mut places = [[0usize; MOST_TAPS]; K];
        let mut one = [0f32; ABREAST];
        let masks: [Option<&[bool]>; K] = std::array::from_fn(|k| mask(self.ordinary, n, first + k));
        for k in 0..K {
            let r = first + k;
            // The row before is known here only for the first.
            one[k] = p.places(self.shape, &self.history, r, self.shape.position(r), rows, &mut places[k]);
        }
        let mut two = one;
        let zero = simd.splat_f32x8(0.0);
        let mut widest = zero;
        for t in 0..steps + LAG * (K - 1) {
            let mut sums = [zero; ABREAST];
            let mut targets = [zero; ABREAST];
            let active: [bool; K] = std::array::from_fn(|k| t >= LAG * k && t - LAG * k < steps);
            for k in (0..K).filter(|k| active[*k]) {
                let x = (t - LAG * k) * STEP;
                if x == 0 && k > 0 {
                    // Its first points are there now, but not yet the copies beside them.
                    self.history.begin(first + k - 1);
                    one[k] = self.history.first(first + k - 1);
                    two[k] = one[k];
                }
                sums[k] = self.history.sum_step(simd, &p.taps, &places[k], x);
                let start = (first + k) * n + x;
                let rest = self.values.get(start..(first + k + 1) * n).unwrap_or_default();
                targets[k] = simd.load_array_f32x8(match rest.first_chunk::<STEP>() {
                    Some(v) => v.map(|v| self.scale.place(v.to_f64())),
                    None => std::array::from_fn(|j| rest.get(j).map_or(0.0, |v| self.scale.place(v.to_f64()))),
                });
            }
            let (sums_across, targets_across) = (across(simd, sums), across(simd, targets));
            let mut codes_across = [simd.splat_f32x4(0.0); STEP];
            let (mut near, mut far) = (simd.load_array_f32x4(one), simd.load_array_f32x4(two));
            for j in 0..STEP {
                let prediction = simd.add_f32x4(sums_across[j], simd.mul_f32x4(b4, far));
                let prediction = simd.add_f32x4(prediction, simd.mul_f32x4(a4, near));
                let code = simd.sub_f32x4(targets_across[j], prediction);
                let code = simd.sub_f32x4(simd.add_f32x4(code, round), round);
                (far, near) = (near, simd.add_f32x4(prediction, code));
                codes_across[j] = code;
            }
            let codes = along(simd, codes_across);
            for k in (0..K).filter(|k| active[*k]) {
                let x = (t - LAG * k) * STEP;
                let mut code = codes[k];
                let v = match masks[k].filter(|m| !is_whole(m, x)) {
                    None => {
                        let inner = p.recurrence.inner(simd, simd.add_f32x8(sums[k], code));
                        p.recurrence.step(simd, inner, one[k], two[k])
                    }
                    Some(m) => {
                        // One after another, since points that are not ordinary repeat the one before.
                        let (sums, targets) = (simd.as_array_f32x8(sums[k]), simd.as_array_f32x8(targets[k]));
                        let (mut near, mut far) = (one[k], two[k]);
                        let mut broken = [0f32; STEP];
                        for j in 0..STEP {
                            let prediction = (sums[j] + b * far) + a * near;
                            let here = m.get(x + j).is_none_or(|o| *o);
                            broken[j] = if here { (targets[j] - prediction) + ROUND - ROUND } else { 0.0 };
                            (far, near) = (near, if here { prediction + broken[j] } else { near });
                        }
                        code = simd.load_array_f32x8(broken);
                        let u = std::array::from_fn(|j| sums[j] + broken[j]);
                        simd.load_array_f32x8(p.recurrence.broken(u, &m[x..], one[k], two[k]))
                    }
                };
                [.., two[k], one[k]] = simd.as_array_f32x8(v);
                let start = self.history.start(first + k);
                if let Some(to) = self.history.place::<STEP>(start, x) {
                    simd.store_array_f32x8(v, to);
                }
                let here = STEP.min(n - x);
                // A code that is no number is as bad as a wide one.
                let magnitude = simd.abs_f32x8(code);
                widest = simd.select_f32x8(simd.simd_le_f32x8(magnitude, widest), widest, magnitude);
                let whole = simd.as_array_f32x8(simd.add_f32x8(code, simd.splat_f32x8(ROUND)));
                let at = (first + k) * n + x;
                if let Some(to) = self.codes.get_mut(at..at + here) {
                    match to.first_chunk_mut::<STEP>() {
                        Some(to) => *to = whole.map(from_rounded),
                        None => to.iter_mut().zip(whole).for_each(|(to, c)| *to = from_rounded(c)),
                    }
                }
                if x + STEP >= n {
                    self.history.complete(first + k);
                }
            }
        }
        self.suits &= simd.as_array_f32x8(widest).iter().all(|w| *w <= WIDEST);
    }
}

/// The whole number that was added to [`ROUND`], if its magnitude is small.
#[inline(always)]
fn from_rounded(c: f32) -> i16 {
    c.to_bits() as i16
}

/// From a step of each row to each point of all rows.
#[inline(always)]
fn across<S: Simd>(simd: S, rows: [f32x8<S>; ABREAST]) -> [f32x4<S>; STEP] {
    let [ae, bf, cg, dh] = rows;
    let ((a, e), (b, f)) = (simd.split_f32x8(ae), simd.split_f32x8(bf));
    let ((c, g), (d, h)) = (simd.split_f32x8(cg), simd.split_f32x8(dh));
    let [a, b, c, d] = transposed(simd, [a, b, c, d]);
    let [e, f, g, h] = transposed(simd, [e, f, g, h]);
    [a, b, c, d, e, f, g, h]
}

/// Inverts [`across`].
#[inline(always)]
fn along<S: Simd>(simd: S, [a, b, c, d, e, f, g, h]: [f32x4<S>; STEP]) -> [f32x8<S>; ABREAST] {
    let [a, b, c, d] = transposed(simd, [a, b, c, d]);
    let [e, f, g, h] = transposed(simd, [e, f, g, h]);
    [simd.combine_f32x4(a, e), simd.combine_f32x4(b, f), simd.combine_f32x4(c, g), simd.combine_f32x4(d, h)]
}

#[inline(always)]
fn transposed<S: Simd>(simd: S, [a, b, c, d]: [f32x4<S>; 4]) -> [f32x4<S>; 4] {
    let (ac, bd) = (simd.zip_low_f32x4(a, c), simd.zip_low_f32x4(b, d));
    let (ac_high, bd_high) = (simd.zip_high_f32x4(a, c), simd.zip_high_f32x4(b, d));
    [
        simd.zip_low_f32x4(ac, bd),
        simd.zip_high_f32x4(ac, bd),
        simd.zip_low_f32x4(ac_high, bd_high),
        simd.zip_high_f32x4(ac_high, bd_high),
    ]
}

pub(super) fn encode<T: Sample>(
    values: &[T],
    grid: &Grid,
    scale: &Scale,
    recon: &mut [T],
    out: &mut Vec<u8>,
) -> Option<()> {
    vectorize!(simd => encode_rows(simd, values, grid, scale, recon, out))
}

#[inline(always)]
fn encode_rows<S: Simd, T: Sample>(
    simd: S,
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
        predictors[k] = Some(Predictor::new(layout, &weights, &shape));
    }
    let mut e = Encoder {
        values,
        shape: &shape,
        scale,
        ordinary: grid.ordinary,
        history: History::new(&shape, ABREAST),
        codes: vec![0; values.len()],
        suits: true,
    };
    let mut rows = Vec::new();
    let mut r = 0;
    while r < shape.rows() {
        let i2 = shape.position(r)[2];
        let Some(Some(p)) = predictors.get(stencil::kind(shape.position(r))) else { return None };
        p.layout.rows(&shape, r, shape.position(r), &mut rows);
        let abreast = if i2 == 0 || e.history.level(&rows).is_some() { 1 } else { ABREAST.min(shape.outer[2] - i2) };
        match abreast {
            4 => e.rows::<S, 4>(simd, p, r, &mut rows),
            3 => e.rows::<S, 3>(simd, p, r, &mut rows),
            2 => e.rows::<S, 2>(simd, p, r, &mut rows),
            _ => e.row(simd, p, r, &mut rows),
        }
        for r in r..r + abreast {
            for (to, v) in recon[r * n..(r + 1) * n].iter_mut().zip(e.history.values(r)) {
                *to = T::from_f64(scale.value(f64::from(*v)));
            }
        }
        if !e.suits {
            return None;
        }
        r += abreast;
    }
    codes::write(&e.codes, &shape, grid.ordinary, out);
    Some(())
}

pub(super) fn decode<T: Sample>(
    cursor: &mut Cursor<'_>,
    grid: &Grid,
    scale: &Scale,
    out: &mut [T],
) -> Result<(), FormatError> {
    vectorize!(simd => decode_rows(simd, cursor, grid, scale, out))
}

#[inline(always)]
fn decode_rows<S: Simd, T: Sample>(
    simd: S,
    cursor: &mut Cursor<'_>,
    grid: &Grid,
    scale: &Scale,
    out: &mut [T],
) -> Result<(), FormatError> {
    let shape = Shape::new(grid.dims);
    let n = shape.row;
    let mut predictors: Vec<Option<Predictor>> = (0..1 << OUTER).map(|_| None).collect();
    for k in kinds(&shape) {
        let layout = Layout::new(k);
        let weights = Weights::read(&layout, cursor)?;
        predictors[k] = Some(Predictor::new(layout, &weights, &shape));
    }
    let mut reader = CodeReader::new(cursor, &shape)?;
    let mut history = History::new(&shape, 1);
    let mut rows = Vec::new();
    let mut places = [0; MOST_TAPS];
    let zeros = vec![0u8; codes::row_capacity(&shape)];
    let mut position = [0; OUTER];
    for (r, out) in out.chunks_exact_mut(n).enumerate() {
        let mask = mask(grid.ordinary, n, r);
        let codes = reader.row(&shape, mask)?;
        let Some(Some(p)) = predictors.get(stencil::kind(position)) else { continue };
        if let Codes::Zero = codes {
            p.layout.rows(&shape, r, position, &mut rows);
            if let Some(v) = history.level(&rows) {
                history.fill(r, v);
                out.fill(T::from_f64(scale.value(f64::from(v))));
                shape.advance(&mut position);
                continue;
            }
        }
        let start = p.places(&shape, &history, r, position, &mut rows, &mut places);
        let row = Row { number: r, places: &places, start, mask };
        match codes {
            Codes::Zero => reconstruct(simd, &mut history, p, &row, &zeros),
            Codes::Narrow(codes) => reconstruct(simd, &mut history, p, &row, codes),
            Codes::Any(codes) => reconstruct(simd, &mut history, p, &row, codes),
        }
        for (to, v) in out.iter_mut().zip(history.values(r)) {
            *to = T::from_f64(scale.value(f64::from(*v)));
        }
        shape.advance(&mut position);
    }
    reader.finish()
}

/// A number as it is read.
trait Code: Copy {
    fn number(self) -> i32;
}

impl Code for u8 {
    #[inline(always)]
    fn number(self) -> i32 {
        self.cast_signed().into()
    }
}

impl Code for i32 {
    #[inline(always)]
    fn number(self) -> i32 {
        self
    }
}

/// A row to be decoded.
struct Row<'a> {
    number: usize,
    /// Where the taps of its first point are.
    places: &'a [usize; MOST_TAPS],
    /// What stands before its first point.
    start: f32,
    /// Which points are ordinary, unless all are.
    mask: Option<&'a [bool]>,
}

/// The values of a row from its codes.
#[inline(always)]
fn reconstruct<S: Simd, C: Code>(simd: S, history: &mut History, p: &Predictor, row: &Row, codes: &[C]) {
    let (mut one, mut two) = (row.start, row.start);
    let start = history.start(row.number);
    for (c, codes) in codes.as_chunks::<CHUNK>().0.iter().enumerate() {
        let x = c * CHUNK;
        let mut u = history.sum_chunk(simd, &p.taps, row.places, x);
        let mut whole = [0f32; CHUNK];
        for (w, c) in whole.iter_mut().zip(codes) {
            *w = c.number() as f32;
        }
        for (u, c) in u.iter_mut().zip(whole.as_chunks::<STEP>().0) {
            *u = simd.add_f32x8(*u, simd.load_array_ref_f32x8(c));
        }
        let mut inner = u;
        for i in &mut inner {
            *i = p.recurrence.inner(simd, *i);
        }
        let Some(to) = history.place::<CHUNK>(start, x) else { return };
        for (s, (to, (u, inner))) in to.as_chunks_mut::<STEP>().0.iter_mut().zip(u.into_iter().zip(inner)).enumerate() {
            let broken = row.mask.filter(|m| !is_whole(m, x + s * STEP));
            let v = match broken {
                None => p.recurrence.step(simd, inner, one, two),
                Some(m) => {
                    let rest = m.get(x + s * STEP..).unwrap_or_default();
                    simd.load_array_f32x8(p.recurrence.broken(simd.as_array_f32x8(u), rest, one, two))
                }
            };
            simd.store_array_f32x8(v, to);
            [.., two, one] = simd.as_array_f32x8(v);
        }
    }
    history.complete(row.number);
}
