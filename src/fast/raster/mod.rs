//! Raster mode: each value is predicted by a stencil from reconstructed values before it (SPEC 9.4.3).

mod activity;
mod codes;
mod history;
mod learn;
mod masks;
mod predictor;
mod shape;
mod stencil;
mod wavefront;

use crate::codec::cursor::Cursor;
use crate::error::FormatError;
use crate::fast::Sample;
use crate::fast::scale::{ROUND, Scale};
use crate::fast::streams::MOST_MAGNITUDE;
use crate::lattice::Grid;
use crate::vector::vectorize;
use codes::{CodeReader, Coded, Codes};
use fearless_simd::{Simd, f32x8};
use history::History;
pub(super) use learn::Learned;
use masks::{Masks, WHOLE};
use predictor::{Predictor, kinds};
use shape::{OUTER, Shape};
use std::ops::Range;
use stencil::{CHUNK, Layout, MOST_TAPS, STEP, Weights};
use wavefront::{LANES, Lanes, Step, Task, transposed};

/// Codes beyond this do not suit.
const WIDEST: f32 = 32_767.0;

/// Finds the codes of rows.
struct Encoder<'a, T> {
    values: &'a [T],
    shape: &'a Shape,
    scale: &'a Scale,
    coded: Coded,
    /// Largest magnitudes of codes, lane by lane.
    widest: [f32; LANES],
}

impl<T: Sample> Encoder<'_, T> {
    /// Where the values of a step lie; past the end of the row the last one is repeated.
    #[inline(always)]
    fn targets<S: Simd>(&self, simd: S, r: usize, x: usize) -> f32x8<S> {
        let n = self.shape.row;
        let rest = self.values.get(r * n + x..(r + 1) * n).unwrap_or_default();
        match rest.first_chunk::<STEP>() {
            Some(v) => self.scale.places(simd, v),
            None => {
                let mut values = [T::default(); STEP];
                for (j, v) in values.iter_mut().enumerate() {
                    *v = rest.get(j).or(rest.last()).copied().unwrap_or_default();
                }
                self.scale.places(simd, &values)
            }
        }
    }

    /// Whether every ordinary value of row `r` is within half a step of `level`.
    #[inline(always)]
    fn is_level(&self, level: f32, r: usize, mask: Option<&[u8]>) -> bool {
        /// A little less than half a step.
        const NEAR: f32 = 0.499;
        let n = self.shape.row;
        let row = &self.values[r * n..(r + 1) * n];
        let far = |v: &T| !((self.scale.place(*v) - level).abs() <= NEAR);
        match mask {
            None => row.chunks(CHUNK).all(|c| !c.iter().fold(false, |any, v| any | far(v))),
            Some(m) => {
                let level = |(c, m): (&[T], &u8)| c.iter().enumerate().all(|(j, v)| m >> j & 1 == 0 || !far(v));
                row.chunks(STEP).zip(m).all(level)
            }
        }
    }
}

impl<T: Sample> Task for Encoder<'_, T> {
    #[inline(always)]
    fn inputs<S: Simd>(&mut self, simd: S, at: &Step<'_, S>) -> [f32x8<S>; STEP] {
        let zero = simd.splat_f32x8(0.0);
        let mut targets = [zero; LANES];
        for k in at.lanes.active() {
            targets[k] = self.targets(simd, at.lanes.row[k], at.lanes.x[k]);
        }
        let (targets, sums) = (transposed(simd, targets), transposed(simd, at.sums));
        let (a, b) = (simd.load_array_ref_f32x8(&at.lanes.one[0]), simd.load_array_ref_f32x8(&at.lanes.two[0]));
        let [mut near, mut far] = at.before;
        let mut widest = simd.load_array_f32x8(self.widest);
        let mut magnitude = zero;
        let mut codes = [zero; STEP];
        for j in 0..STEP {
            // What the decoder will find there, but for rounding.
            let open = simd.sub_f32x8(simd.sub_f32x8(targets[j], sums[j]), simd.mul_f32x8(b, far));
            let open = simd.sub_f32x8(open, simd.mul_f32x8(a, near));
            let mut code = simd.round_ties_even_f32x8(open);
            let mut value = simd.add_f32x8(targets[j], simd.sub_f32x8(code, open));
            if let Some(h) = at.holes {
                code = simd.select_f32x8(h.ordinary[j], code, zero);
                value = simd.select_f32x8(h.ordinary[j], value, near);
            }
            (far, near) = (near, value);
            codes[j] = code;
            let m = simd.abs_f32x8(code);
            // A code that is no number is as bad as a wide one.
            widest = simd.select_f32x8(simd.simd_le_f32x8(m, widest), widest, m);
            magnitude = simd.add_f32x8(magnitude, simd.min_f32x8(m, simd.splat_f32x8(MOST_MAGNITUDE)));
        }
        self.widest = simd.as_array_f32x8(widest);
        self.keep(simd, at.lanes, codes, simd.as_array_f32x8(magnitude));
        let mut u = sums;
        for j in 0..STEP {
            u[j] = simd.add_f32x8(u[j], codes[j]);
        }
        u
    }

    #[inline(always)]
    fn complete(&mut self, r: usize) {
        self.coded.complete(r);
    }
}

impl<T: Sample> Encoder<'_, T> {
    /// Keeps the codes of a step, given across the lanes, with the sums of their magnitudes.
    #[inline(always)]
    fn keep<S: Simd>(&mut self, simd: S, lanes: &Lanes<'_>, codes: [f32x8<S>; STEP], magnitudes: [f32; LANES]) {
        let round = simd.splat_f32x8(ROUND);
        // The lower halves hold the codes.
        let whole = |c: f32x8<S>| simd.reinterpret_u32_f32x8(simd.add_f32x8(c, round));
        let pair = |a: f32x8<S>, b: f32x8<S>| {
            simd.or_u32x8(simd.and_u32x8(whole(a), simd.splat_u32x8(0xffff)), simd.shl_u32x8(whole(b), 16))
        };
        let [a, b, c, d, e, f, g, h] = codes;
        let (a, b, c, d) = (pair(a, b), pair(c, d), pair(e, f), pair(g, h));
        let ((a, c), (b, d)) = (simd.interleave_u32x8(a, c), simd.interleave_u32x8(b, d));
        let ((a, b), (c, d)) = (simd.interleave_u32x8(a, b), simd.interleave_u32x8(c, d));
        let rows = [simd.as_array_u32x8(a), simd.as_array_u32x8(b), simd.as_array_u32x8(c), simd.as_array_u32x8(d)];
        let rows = rows.as_flattened().as_chunks::<4>().0;
        for k in lanes.active() {
            let [a, b, c, d] = rows[k].map(|p| [p as i16, (p >> 16) as i16]);
            let codes = [a[0], a[1], b[0], b[1], c[0], c[1], d[0], d[1]];
            self.coded.put(lanes.row[k], lanes.x[k] / STEP, codes, magnitudes[k] as u16);
        }
    }
}

/// Learns on some of the values how all are predicted.
pub(super) fn learn<T: Sample>(values: &[T], grid: &Grid, scale: &Scale) -> Learned {
    vectorize!(simd => learn::learn(simd, values, grid, scale))
}

/// Appends what codes `values` and returns where the codes begin; `None` if one is too wide.
pub(super) fn encode<T: Sample>(
    values: &[T],
    grid: &Grid,
    scale: &Scale,
    learned: &Learned,
    out: &mut Vec<u8>,
) -> Option<usize> {
    vectorize!(simd => encode_rows(simd, values, grid, scale, learned, out))
}

/// Rows from `first` on before one that may be level.
fn unlevel_rows(
    shape: &Shape,
    predictors: &[Option<Predictor>],
    history: &mut History,
    first: usize,
    rows: &mut Vec<usize>,
) -> Range<usize> {
    let mut end = first;
    let mut position = shape.position(first);
    while end < shape.rows() {
        let Some(Some(p)) = predictors.get(stencil::kind(position)) else { break };
        // Rows are seldom level: most often the one before tells.
        if position[OUTER - 1] == 0 || history.is_level(end - 1) {
            p.layout.rows(shape, end, position, rows);
            if history.level(rows).is_some() {
                break;
            }
        }
        history.unlevel(end);
        end += 1;
        shape.advance(&mut position);
    }
    first..end
}

#[inline(always)]
fn encode_rows<S: Simd, T: Sample>(
    simd: S,
    values: &[T],
    grid: &Grid,
    scale: &Scale,
    learned: &Learned,
    out: &mut Vec<u8>,
) -> Option<usize> {
    let shape = Shape::new(grid.dims);
    let mut predictors: Vec<Option<Predictor>> = (0..1 << OUTER).map(|_| None).collect();
    for (kind, weights) in &learned.weights {
        let layout = Layout::new(*kind);
        weights.write(&layout, out);
        predictors[*kind] = Some(Predictor::new(layout, weights, &shape));
    }
    let masks = grid.ordinary.map(|o| Masks::new(&shape, o));
    let masks = masks.as_ref();
    let mut history = History::new(&shape, wavefront::rows_abreast(&shape));
    let mut e = Encoder { values, shape: &shape, scale, coded: Coded::new(&shape), widest: [0.0; LANES] };
    let mut rows = Vec::new();
    let mut r = 0;
    while r < shape.rows() {
        let mut run = unlevel_rows(&shape, &predictors, &mut history, r, &mut rows);
        if run.is_empty() {
            let level = history.level(&rows)?;
            run = r..r + 1;
            history.unlevel(r);
            if !e.is_level(level, r, masks.and_then(|m| m.row(r))) {
                wavefront::run(simd, &shape, &predictors, masks, &mut history, run.clone(), &mut e)?;
            }
            if e.coded.is_zero(r) {
                history.fill(r, level);
            }
        } else {
            wavefront::run(simd, &shape, &predictors, masks, &mut history, run.clone(), &mut e)?;
        }
        if !e.widest.iter().all(|w| *w <= WIDEST) {
            return None;
        }
        r = run.end;
    }
    let start = out.len();
    codes::write(&e.coded, &shape, masks, out);
    Some(start)
}

/// Gives values for codes.
struct Decoder<'a, T> {
    reader: CodeReader,
    shape: &'a Shape,
    scale: &'a Scale,
    masks: Option<Masks>,
    /// The codes of a row that has none but 0.
    zeros: Vec<u8>,
    out: &'a mut [T],
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
    let mut predictors: Vec<Option<Predictor>> = (0..1 << OUTER).map(|_| None).collect();
    for k in kinds(&shape) {
        let layout = Layout::new(k);
        let weights = Weights::read(&layout, cursor)?;
        predictors[k] = Some(Predictor::new(layout, &weights, &shape));
    }
    let reader = CodeReader::new(cursor, &shape)?;
    let zeros = vec![0; codes::row_capacity(&shape)];
    let mut history = History::new(&shape, 1);
    let masks = grid.ordinary.map(|o| Masks::new(&shape, o));
    let mut d = Decoder { reader, shape: &shape, scale, masks, zeros, out };
    let mut rows = Vec::new();
    let mut r = 0;
    while r < shape.rows() {
        let run = unlevel_rows(&shape, &predictors, &mut history, r, &mut rows);
        let level = if run.is_empty() { history.level(&rows) } else { None };
        for r in r..run.end.max(r + 1) {
            d.row(simd, &predictors, &mut history, r, level, &mut rows)?;
        }
        r = run.end.max(r + 1);
    }
    d.reader.finish()
}

impl<T: Sample> Decoder<'_, T> {
    /// Decodes row `r`, which has the value `level` if there is one and all its codes are 0.
    #[inline(always)]
    fn row<S: Simd>(
        &mut self,
        simd: S,
        predictors: &[Option<Predictor>],
        history: &mut History,
        r: usize,
        level: Option<f32>,
        rows: &mut Vec<usize>,
    ) -> Result<(), FormatError> {
        let (shape, n) = (self.shape, self.shape.row);
        let mask = self.masks.as_ref().and_then(|m| m.row(r));
        let out = &mut self.out[r * n..(r + 1) * n];
        let codes = self.reader.row(shape, mask)?;
        if let (Codes::Zero, Some(v)) = (&codes, level) {
            history.fill(r, v);
            out.fill(T::from_f64(self.scale.value(f64::from(v))));
            return Ok(());
        }
        let position = shape.position(r);
        let Some(Some(p)) = predictors.get(stencil::kind(position)) else { return Ok(()) };
        let mut places = [0; MOST_TAPS];
        let start = p.places(shape, history, r, position, rows, &mut places);
        let row = Row { number: r, places: &places, start, mask };
        match codes {
            Codes::Zero => reconstruct(simd, history, p, &row, &self.zeros),
            Codes::Narrow(codes) => reconstruct(simd, history, p, &row, codes),
            Codes::Any(codes) => reconstruct(simd, history, p, &row, codes),
        }
        emit(self.scale, history.values(history.start(r)), out);
        Ok(())
    }
}

/// Converts values. On its own: nothing that it writes can be the scale.
#[inline(always)]
fn emit<T: Sample>(scale: &Scale, values: &[f32], out: &mut [T]) {
    let scale = scale.clone();
    for (to, v) in out.iter_mut().zip(values) {
        *to = T::from_f64(scale.value(f64::from(*v)));
    }
}

/// A number as it is read.
trait Code: Copy {
    fn number(self) -> f32;
}

impl Code for u8 {
    #[inline(always)]
    fn number(self) -> f32 {
        f32::from(self.cast_signed())
    }
}

impl Code for i32 {
    #[inline(always)]
    fn number(self) -> f32 {
        self as f32
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
    mask: Option<&'a [u8]>,
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
            *w = c.number();
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
            let ordinary = row.mask.and_then(|m| m.get(x / STEP + s)).copied().unwrap_or(WHOLE);
            let v = match ordinary {
                WHOLE => p.recurrence.step(simd, inner, one, two),
                0 => simd.splat_f32x8(one),
                _ => simd.load_array_f32x8(p.recurrence.broken(simd.as_array_f32x8(u), ordinary, one, two)),
            };
            simd.store_array_f32x8(v, to);
            [.., two, one] = simd.as_array_f32x8(v);
        }
    }
    history.unlevel(row.number);
    history.complete(start);
}
