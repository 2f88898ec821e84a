//! Raster mode: values are rounded to the lattice first, then each is predicted by a stencil from lattice values before
//! it (SPEC 9.4.3).

use super::Sample;
use super::scale::Scale;
use super::shape::{OUTER, Shape};
use super::stencil::{self, Layout, ONE, PAD, Padded, WEIGHT_BITS, Weights};
use super::tokens::{TokenReader, TokenWriter, activities, magnitudes, mean_activity};
use crate::codec::cursor::Cursor;
use crate::error::FormatError;
use crate::lattice::Grid;

/// Lattice values beyond this magnitude would overflow the sums of the prediction.
pub(super) const LARGEST: f64 = 131_072.0;

/// One kind of row and how it is predicted.
struct Predictor {
    layout: Layout,
    weights: Weights,
    /// The taps with a weight other than 0.
    active: Vec<(usize, usize, f32)>,
}

impl Predictor {
    fn new(layout: Layout, weights: Weights) -> Self {
        let taps = layout.taps.iter().zip(&weights.taps);
        let active = taps.filter(|(_, w)| **w != 0).map(|(t, w)| (t.way, t.at, *w as f32)).collect();
        Predictor { layout, weights, active }
    }

    /// Sums the part of the prediction that comes from earlier rows, scaled by `ONE` and with a half for rounding.
    fn sum(&self, data: &Padded, rows: &[usize], out: &mut [f32]) {
        let n = out.len();
        let row = |k: &(usize, usize, f32)| &data.row(rows[k.0])[k.1..k.1 + n];
        out.fill((ONE / 2) as f32);
        let (fours, rest) = self.active.as_chunks::<4>();
        for [a, b, c, d] in fours {
            let rows = row(a).iter().zip(row(b)).zip(row(c)).zip(row(d));
            for (o, (((p, q), r), s)) in out.iter_mut().zip(rows) {
                *o = *o + a.2 * p + b.2 * q + c.2 * r + d.2 * s;
            }
        }
        for a in rest {
            for (o, p) in out.iter_mut().zip(row(a)) {
                *o += a.2 * p;
            }
        }
    }
}

/// Kinds of rows that `shape` has: bit `a` says that there is an earlier row along outer axis `a`.
fn kinds(shape: &Shape) -> impl Iterator<Item = usize> {
    let all = stencil::kind(shape.outer.map(|n| n - 1));
    (0..1 << OUTER).filter(move |k| k & !all == 0)
}

/// Magnitudes of the codes of all rows, with one zero at both ends of each.
struct Magnitudes {
    data: Vec<u8>,
    pitch: usize,
}

impl Magnitudes {
    fn new(shape: &Shape) -> Self {
        let pitch = shape.row + 2;
        Magnitudes { data: vec![0; pitch * shape.rows()], pitch }
    }

    fn row(&self, r: usize) -> &[u8] {
        &self.data[r * self.pitch..(r + 1) * self.pitch]
    }

    fn set(&mut self, r: usize, tokens: &[u8]) -> &[u8] {
        let row = &mut self.data[r * self.pitch + 1..][..self.pitch - 2];
        magnitudes(tokens, row);
        row
    }

    /// Activities of row `r` at `position`, from the row before along each outer axis.
    fn activities(&self, shape: &Shape, r: usize, position: [usize; OUTER], otherwise: i16, out: &mut [i16]) {
        let strides = shape.strides();
        let mut rows: [&[u8]; OUTER] = [&[]; OUTER];
        let mut n = 0;
        for a in (0..OUTER).rev() {
            if position[a] > 0 {
                rows[n] = self.row(r - strides[a]);
                n += 1;
            }
        }
        activities(&rows[..n], otherwise, out);
    }
}

/// Activity that the first row starts from.
const FIRST_ACTIVITY: i16 = 24;

pub(super) fn encode<T: Sample>(
    values: &[T],
    grid: &Grid,
    scale: &Scale,
    recon: &mut [T],
    out: &mut Vec<u8>,
) -> Option<()> {
    let shape = Shape::new(grid.dims);
    let mut data = Padded::new(&shape);
    let n = shape.row;
    for (r, row) in values.chunks_exact(n).enumerate() {
        data.set(r, row.iter().map(|v| scale.quantize(v.to_f64())));
    }
    let predictors: Vec<Option<Predictor>> = {
        let mut p: Vec<Option<Predictor>> = (0..1 << OUTER).map(|_| None).collect();
        for k in kinds(&shape) {
            let layout = Layout::new(k);
            let weights = stencil::learn(k, &layout, &shape, &data, grid.ordinary);
            weights.write(&layout, out);
            p[k] = Some(Predictor::new(layout, weights));
        }
        p
    };
    let mut writer = TokenWriter::with_capacity(values.len());
    let mut all_magnitudes = Magnitudes::new(&shape);
    let mut sums = vec![0f32; n];
    let mut lattice = vec![0i32; n + PAD];
    let mut codes = vec![0i32; n];
    let mut activity = vec![0i16; n];
    let mut rows = Vec::new();
    let mut otherwise = FIRST_ACTIVITY;
    for r in 0..shape.rows() {
        let position = shape.position(r);
        let Some(p) = &predictors[stencil::kind(position)] else { return None };
        p.layout.rows(&shape, r, &mut rows);
        p.sum(&data, &rows, &mut sums);
        let start = rows.first().map_or(0, |r| data.row(*r)[PAD] as i32);
        lattice[..PAD].fill(start);
        for (l, v) in lattice[PAD..].iter_mut().zip(&data.row(r)[PAD..]) {
            *l = *v as i32;
        }
        let [one, two] = p.weights.before;
        let mask = grid.ordinary.map(|o| &o[r * n..(r + 1) * n]).filter(|o| o.iter().any(|o| !o));
        if let Some(mask) = mask {
            for x in 0..n {
                if mask[x] {
                    let sum = (sums[x] as i32).wrapping_add(one * lattice[x + 1]).wrapping_add(two * lattice[x]);
                    codes[x] = lattice[x + 2] - (sum >> WEIGHT_BITS);
                } else {
                    lattice[x + 2] = lattice[x + 1];
                    codes[x] = 0;
                }
            }
            data.set(r, lattice[PAD..].iter().map(|l| *l as f32));
        } else {
            let points = lattice.iter().zip(&lattice[1..]).zip(&lattice[2..]).zip(&sums);
            for (c, (((w, v), x), s)) in codes.iter_mut().zip(points) {
                *c = x.wrapping_sub(
                    (*s as i32).wrapping_add(v.wrapping_mul(one)).wrapping_add(w.wrapping_mul(two)) >> WEIGHT_BITS,
                );
            }
        }
        all_magnitudes.activities(&shape, r, position, otherwise, &mut activity);
        let tokens = writer.row(&codes, &activity, mask)?;
        let row = all_magnitudes.set(r, tokens);
        if r + 1 < shape.rows() && stencil::kind(shape.position(r + 1)) == 0 {
            otherwise = mean_activity(row);
        }
        for (to, l) in recon[r * n..(r + 1) * n].iter_mut().zip(&lattice[PAD..]) {
            *to = T::from_f64(scale.value(f64::from(*l)));
        }
    }
    writer.finish(out);
    Some(())
}

pub(super) fn decode<T: Sample>(
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
        predictors[k] = Some(Predictor::new(layout, weights));
    }
    let mut reader = TokenReader::new(cursor)?;
    let mut data = Padded::new(&shape);
    let mut all_magnitudes = Magnitudes::new(&shape);
    let mut sums = vec![0f32; n];
    let mut tokens = vec![0u8; n];
    let mut codes = vec![0i32; n];
    let mut activity = vec![0i16; n];
    let mut rows = Vec::new();
    for (r, to) in out.chunks_exact_mut(n).enumerate() {
        let position = shape.position(r);
        let Some(p) = &predictors[stencil::kind(position)] else {
            return Err(FormatError::Code { what: "kind of row" });
        };
        let mask = grid.ordinary.map(|o| &o[r * n..(r + 1) * n]).filter(|o| o.iter().any(|o| !o));
        all_magnitudes.activities(&shape, r, position, FIRST_ACTIVITY, &mut activity);
        reader.row(&activity, mask, &mut tokens, &mut codes)?;
        all_magnitudes.set(r, &tokens);
        p.layout.rows(&shape, r, &mut rows);
        p.sum(&data, &rows, &mut sums);
        let start = rows.first().map_or(0, |r| data.row(*r)[PAD] as i32);
        let [one, two] = p.weights.before;
        let (mut v, mut w) = (start, start);
        for (x, (c, s)) in codes.iter_mut().zip(&sums).enumerate() {
            let next = if mask.is_some_and(|m| !m[x]) {
                v
            } else {
                let sum = (*s as i32).wrapping_add(w.wrapping_mul(two)).wrapping_add(v.wrapping_mul(one));
                c.wrapping_add(sum >> WEIGHT_BITS)
            };
            (*c, w, v) = (next, v, next);
        }
        data.set(r, codes.iter().map(|l| *l as f32));
        for (to, l) in to.iter_mut().zip(&codes) {
            *to = T::from_f64(scale.value(f64::from(*l)));
        }
    }
    reader.finish()
}
