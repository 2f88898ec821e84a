//! The paper's pipeline (SPEC 7): values are normalized, a network decodes blocks of them from latents, and points
//! that miss the bound get a delta.

mod blocks;
mod choose;
#[cfg(feature = "internals")]
pub(crate) mod internals;
mod refine;
#[cfg(test)]
mod tests;

use blocks::Blocks;
use choose::Wish;

use crate::codec::bitmap::{self, Points};
use crate::codec::cursor::Cursor;
use crate::codec::deltas::{self, Marks, Wanted};
use crate::codec::exponents::{self, HOLE, MINUS_ZERO, ZERO, is_exponent};
use crate::codec::latents;
use crate::error::{ArgumentError, Error, FormatError, ModelError, Place, Result};
use crate::lattice::Grid;
use crate::model::{Decoder, Encoder};
use crate::normalize;

/// Type of the array, to which decoded values are rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precision {
    F32,
    F64,
}

impl Precision {
    /// `v` rounded to the type.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "rounding to f32 is what is wanted")]
    fn round(self, v: f64) -> f64 {
        match self {
            Precision::F32 => f64::from(v as f32),
            Precision::F64 => v,
        }
    }
}

/// What is to be compressed.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    /// One value for each point of `grid`; those of ordinary points are finite.
    pub(crate) values: &'a [f64],
    pub(crate) grid: &'a Grid<'a>,
    pub(crate) precision: Precision,
    /// Whether the point of this index may take this value, already rounded to `precision`. The original value must
    /// be allowed, and what is allowed must be an interval around it.
    pub(crate) ok: &'a dyn Fn(usize, f64) -> bool,
}

/// What the writer may choose.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// How latents are stored; `None` chooses what seems to give the fewest bytes. Latents that are all integers are
    /// always stored exactly.
    pub(crate) latents: Option<latents::Precision>,
    /// By how much, in the normalized domain, another engine's predictions may differ from this one's, where that is not
    /// proved of the decoder; without it, such a decoder does not suit.
    pub(crate) unproved: Option<f32>,
    pub(crate) policy: GuardPolicy,
}

/// What a writer does where the distance that it keeps from the bound, for engines that round otherwise than its own,
/// exceeds the bound at one point in sixteen or more, or where none is known for the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum GuardPolicy {
    /// Ends with [`ArgumentError::Bound`].
    #[default]
    Refuse,
    /// Codes the frame without the model.
    FallBack,
}

/// What a frame was coded to.
#[derive(Debug, Clone)]
pub(crate) struct Coded {
    pub(crate) sections: Sections<Vec<u8>>,
    /// By how much predictions may differ from those of this engine, in the normalized domain, with every point inside
    /// its bound; none where predictions are the same on every engine.
    pub(crate) guard: Option<Guard>,
}

/// The distance from the bound that is kept for other engines.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Guard {
    /// As the frame stores it (SPEC 6.1).
    pub(crate) distance: f32,
    /// Points with a prediction, and those of them for which it exceeds the bound: they are stored one by one.
    pub(crate) points: u64,
    pub(crate) eaten: u64,
}

impl Guard {
    /// Whether so many points are stored one by one that the model is of little use.
    pub(crate) fn eats_the_bound(&self) -> bool {
        self.eaten > self.points / 16
    }
}

/// The sections of a frame (SPEC 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sections<T> {
    /// Exponent runs (SPEC 7.2).
    pub(crate) exponents: T,
    /// Latents (SPEC 7.3), or the constant prediction.
    pub(crate) latents: T,
    /// Which points carry a delta (SPEC 7.4).
    pub(crate) bitmap: T,
    /// Deltas and patches (SPEC 7.5).
    pub(crate) deltas: T,
}

impl Sections<Vec<u8>> {
    /// The sections, borrowed.
    pub(crate) fn as_slices(&self) -> Sections<&[u8]> {
        Sections { exponents: &self.exponents, latents: &self.latents, bitmap: &self.bitmap, deltas: &self.deltas }
    }

    /// Bytes of all sections.
    pub(crate) fn len(&self) -> usize {
        [&self.exponents, &self.latents, &self.bitmap, &self.deltas]
            .iter()
            .fold(0, |sum, s| sum.saturating_add(s.len()))
    }
}

/// Compresses `target`. Without a decoder the prediction is a constant; a decoder needs its encoder. `None` where nothing
/// is known of how far engines may differ on the decoder.
///
/// # Errors
/// An ordinary value is not finite, lengths disagree, or the models do not fit the frame or fail.
pub(crate) fn encode(
    target: &Target<'_>,
    encoder: Option<&dyn Encoder>,
    decoder: Option<&dyn Decoder>,
    options: &Options,
) -> Result<Option<Coded>> {
    let mut frame = Frame::new(target)?;
    let mut sections = Sections { exponents: exponents::encode(&frame.exponents, target.grid), ..Sections::default() };
    let floating = decoder.is_some_and(|d| !d.is_exact());
    if !frame.exponents.iter().any(|e| is_exponent(*e)) {
        let nothing = Guard { distance: 0.0, points: 0, eaten: 0 };
        return Ok(Some(Coded { sections, guard: floating.then_some(nothing) }));
    }
    let (latents, predicted, phases) = match (encoder, decoder) {
        (_, None) => {
            let constant = frame.mean();
            (constant.to_le_bytes().to_vec(), vec![constant; target.values.len()], Vec::new())
        }
        (Some(encoder), Some(decoder)) => {
            let blocks = Blocks::new(target.grid.dims, decoder.block_shape())?;
            if encoder.block_shape() != decoder.block_shape() || encoder.latent_len() != decoder.latent_len() {
                return Err(mismatch("the encoder's blocks or latents are not the decoder's"));
            }
            let latents = encode_blocks(encoder, &blocks, &frame.filled(target.grid))?;
            if decoder.is_exact() && !suits_exact(decoder, &latents) {
                return Err(mismatch(
                    "the encoder's latents are not integers in the range that the exact decoder declares",
                ));
            }
            let known = |latents: &[f32]| guard(decoder, latents).map(|g| g.0).or(options.unproved);
            let phases = blocks.phases(target.values.len());
            let mut best: Option<refine::Stored> = None;
            for wish in [None, Some(Wish::Small), Some(Wish::Smooth)] {
                let chosen = wish.map(|w| choose::improve(&frame, &blocks, decoder, &latents, w)).transpose()?;
                let latents = chosen.as_ref().unwrap_or(&latents);
                let Some(near) = known(latents) else { continue };
                frame.guard = f64::from(near);
                let stored = refine::store(&frame, &blocks, &phases, decoder, latents, options)?;
                if best.as_ref().is_none_or(|b| stored.cost < b.cost) {
                    best = Some(stored);
                }
            }
            let Some(refine::Stored { bytes, latents, .. }) = best else { return Ok(None) };
            // The latents that are stored may lie a little outside the range of the encoder's.
            let Some(near) = known(&latents) else { return Ok(None) };
            frame.guard = f64::from(near);
            let mut predicted = vec![0.0; target.values.len()];
            predict(decoder, &blocks, &latents, &mut predicted)?;
            (bytes, predicted, phases)
        }
        (None, Some(_)) => {
            return Err(ArgumentError::Other("writing with a decoder needs its encoder".to_owned()).into());
        }
    };
    sections.latents = latents;
    (sections.bitmap, sections.deltas) = frame.correct(target.grid.dims, &phases, &predicted);
    Ok(Some(Coded { sections, guard: floating.then(|| frame.kept()) }))
}

/// Writes the values of all ordinary points to `out`; the others are left as they are.
///
/// # Errors
/// The sections break SPEC 7, or the model does not fit the frame or fails.
pub(crate) fn decode(
    sections: &Sections<&[u8]>,
    grid: &Grid<'_>,
    precision: Precision,
    decoder: Option<&dyn Decoder>,
    out: &mut [f64],
) -> Result<()> {
    let points = grid.len();
    if out.len() != points {
        return Err(ArgumentError::Shape(format!("{} values for a frame of {points}", out.len())).into());
    }
    let exponents = exponents::decode(sections.exponents, grid).map_err(damaged)?;
    let mut predicted = vec![0.0f32; points];
    let mut phases = Vec::new();
    if !exponents.iter().any(|e| is_exponent(*e)) {
        Cursor::new(sections.latents).finish("latents").map_err(damaged)?;
    } else if let Some(decoder) = decoder {
        let blocks = Blocks::new(grid.dims, decoder.block_shape())?;
        let latents = read_latents(sections.latents, &blocks, decoder)?;
        phases = blocks.phases(points);
        predict(decoder, &blocks, &latents, &mut predicted)?;
    } else {
        let constant = constant(sections.latents).map_err(damaged)?;
        predicted.fill(constant);
    }
    let points = Points { dims: grid.dims, exponents: &exponents, phases: &phases };
    let marked = bitmap::decode(sections.bitmap, &points).map_err(damaged)?;
    let at: Vec<usize> = marked.iter().enumerate().filter(|(_, m)| **m).map(|(i, _)| i).collect();
    let deltas = deltas::decode(sections.deltas, &Marks { points, at: &at }, precision == Precision::F32);
    let deltas = deltas.map_err(damaged)?;
    for ((value, exponent), predicted) in out.iter_mut().zip(&exponents).zip(&predicted) {
        match *exponent {
            HOLE => {}
            ZERO => *value = 0.0,
            MINUS_ZERO => *value = -0.0,
            k => *value = precision.round(normalize::invert(f64::from(*predicted), k)),
        }
    }
    for (ordinal, i) in at.iter().enumerate() {
        if let (Some(value), Some(p), Some(k)) = (out.get_mut(*i), predicted.get(*i), exponents.get(*i)) {
            *value = precision.round(deltas.corrected(ordinal, f64::from(*p), *k));
        }
    }
    for (ordinal, patch) in &deltas.patches {
        if let Some(value) = at.get(*ordinal).and_then(|i| out.get_mut(*i)) {
            *value = *patch;
        }
    }
    Ok(())
}

/// By how much another engine's predictions may differ from this one's for these latents: not at all for an exact
/// decoder, twice the proved distance from the real result for another; `None` where nothing is proved. Also for each
/// value of a block.
fn guard(decoder: &dyn Decoder, latents: &[f32]) -> Option<(f32, Vec<f64>)> {
    let mut ranges = vec![(f32::INFINITY, f32::NEG_INFINITY); decoder.latent_len()];
    for block in latents.chunks(decoder.latent_len().max(1)) {
        for ((low, high), z) in ranges.iter_mut().zip(block) {
            (*low, *high) = (low.min(*z), high.max(*z));
        }
    }
    let each: Vec<f64> = decoder.error_bounds(&ranges)?.into_iter().map(|e| 2.0 * e).collect();
    let worst = each.iter().copied().fold(0.0, f64::max);
    if worst == 0.0 {
        return Some((0.0, each));
    }
    // Another machine's mathematics library must not find more when it looks again.
    #[allow(clippy::cast_possible_truncation, reason = "rounded up on purpose")]
    let guard = (worst * 1.000_001) as f32;
    guard.is_finite().then_some((guard.next_up(), each))
}

/// The latents that an encoder gives values of extents `dims`, all of them finite.
pub(crate) fn latents_of(encoder: &dyn Encoder, values: &[f64], dims: &[usize]) -> Result<Vec<f32>> {
    let grid = Grid { dims, ordinary: None };
    let target = Target { values, grid: &grid, precision: Precision::F64, ok: &|_, _| true };
    let blocks = Blocks::new(dims, encoder.block_shape())?;
    encode_blocks(encoder, &blocks, &Frame::new(&target)?.filled(&grid))
}

/// The guard that covers every conforming engine for the latents of a frame, in all and for each value of a block;
/// `None` where nothing is proved.
///
/// # Errors
/// The section is damaged, or the model does not fit the frame.
pub(crate) fn needed(section: &[u8], dims: &[usize], decoder: &dyn Decoder) -> Result<Option<(f32, Vec<f64>)>> {
    if section.is_empty() {
        return Ok(Some((0.0, vec![0.0; decoder.block_len()])));
    }
    let blocks = Blocks::new(dims, decoder.block_shape())?;
    // The writer added a part in a million.
    let least = |(guard, each): (f32, Vec<f64>)| (guard * (1.0 - 1e-6), each);
    Ok(guard(decoder, &read_latents(section, &blocks, decoder)?).map(least))
}

/// Whether an exact decoder is exact for these latents: integers in its declared range.
fn suits_exact(decoder: &dyn Decoder, latents: &[f32]) -> bool {
    let Some((low, high)) = decoder.latent_range() else { return true };
    latents.iter().all(|z| z.fract() == 0.0 && *z >= low as f32 && *z <= high as f32)
}

/// The latents of all blocks.
fn read_latents(bytes: &[u8], blocks: &Blocks, decoder: &dyn Decoder) -> Result<Vec<f32>> {
    let len = decoder.latent_len();
    let latents = latents::decode(bytes, latent_count(blocks, len)?, len).map_err(damaged)?;
    if decoder.is_exact() && !suits_exact(decoder, &latents) {
        return Err(damaged(FormatError::Code { what: "latents of an exact model" }));
    }
    Ok(latents)
}

/// The constant prediction of a frame without a network (SPEC 7.3.3).
fn constant(bytes: &[u8]) -> std::result::Result<f32, FormatError> {
    // Any other length is that of a model's latents.
    let bytes = <[u8; 4]>::try_from(bytes).map_err(|_| FormatError::NoModel)?;
    let constant = f32::from_le_bytes(bytes);
    if constant.is_finite() { Ok(constant) } else { Err(FormatError::Code { what: "constant prediction" }) }
}

fn damaged(kind: FormatError) -> Error {
    Error::Format { place: Place::LoneFrame, offset: 0, kind }
}

fn mismatch(what: &str) -> Error {
    ModelError::Mismatch { what: what.to_owned() }.into()
}

/// Number of latents of all blocks, which is bounded by the points of the frame (SPEC 7.3.1): a file could ask for any room otherwise.
fn latent_count(blocks: &Blocks, len: usize) -> Result<usize> {
    let most = blocks.points().saturating_mul(8).saturating_add(1 << 16);
    match blocks.count.checked_mul(len) {
        Some(count) if len > 0 && count <= most => Ok(count),
        _ => Err(mismatch("the number of latents of a block is not usable")),
    }
}

/// Points that a network works on at a time.
const BATCH_POINTS: usize = 1 << 18;

/// Blocks that make up a batch, of `count` blocks of `len` points.
fn batch(len: usize, count: usize) -> usize {
    BATCH_POINTS.checked_div(len).unwrap_or(1).clamp(1, count.max(1))
}

/// Predictions of all points (SPEC 7.6); what is not finite becomes 0.
fn predict(decoder: &dyn Decoder, blocks: &Blocks, latents: &[f32], predicted: &mut [f32]) -> Result<()> {
    let size = batch(blocks.len, blocks.count);
    let mut decoded = vec![0.0; size.saturating_mul(blocks.len)];
    for (nth, some) in latents.chunks(size.saturating_mul(decoder.latent_len()).max(1)).enumerate() {
        let first = nth.saturating_mul(size);
        let count = size.min(blocks.count.saturating_sub(first));
        let decoded = decoded.get_mut(..count.saturating_mul(blocks.len)).unwrap_or_default();
        decoder.decode(some, decoded)?;
        for (b, values) in decoded.chunks(blocks.len).enumerate() {
            blocks.visit(first.saturating_add(b), |local, at, real| {
                if let (true, Some(v), Some(slot)) = (real, values.get(local), predicted.get_mut(at)) {
                    *slot = if v.is_finite() { *v } else { 0.0 };
                }
            });
        }
    }
    Ok(())
}

/// Latents of all blocks; what is not finite becomes 0.
fn encode_blocks(encoder: &dyn Encoder, blocks: &Blocks, normalized: &[f32]) -> Result<Vec<f32>> {
    let size = batch(blocks.len, blocks.count);
    let len = encoder.latent_len();
    let mut latents = vec![0.0; latent_count(blocks, len)?];
    let mut gathered = vec![0.0f32; size.saturating_mul(blocks.len)];
    for (nth, some) in latents.chunks_mut(size.saturating_mul(len)).enumerate() {
        let first = nth.saturating_mul(size);
        let count = size.min(blocks.count.saturating_sub(first));
        let gathered = gathered.get_mut(..count.saturating_mul(blocks.len)).unwrap_or_default();
        for (b, values) in gathered.chunks_mut(blocks.len).enumerate() {
            blocks.visit(first.saturating_add(b), |local, at, _| {
                if let (Some(slot), Some(y)) = (values.get_mut(local), normalized.get(at)) {
                    *slot = *y;
                }
            });
        }
        encoder.encode(gathered, some)?;
    }
    for z in latents.iter_mut().filter(|z| !z.is_finite()) {
        *z = 0.0;
    }
    Ok(latents)
}

/// A frame, normalized.
struct Frame<'a> {
    values: &'a [f64],
    precision: Precision,
    ok: &'a dyn Fn(usize, f64) -> bool,
    guard: f64,
    /// Exponent, marker or hole of each point.
    exponents: Vec<i16>,
    /// Normalized values; 0 for points without an exponent.
    normalized: Vec<f64>,
}

impl<'a> Frame<'a> {
    fn new(target: &Target<'a>) -> Result<Self> {
        let points = target.grid.len();
        let found = target.values.len();
        if found != points {
            return Err(ArgumentError::Shape(format!("{found} values for a frame of {points}")).into());
        }
        let mut exponents = Vec::with_capacity(points);
        let mut normalized = Vec::with_capacity(points);
        for (i, x) in target.values.iter().enumerate() {
            let (y, k) = match *x {
                _ if !target.grid.is_ordinary(i) => (0.0, HOLE),
                x if !x.is_finite() => {
                    return Err(ArgumentError::Other(format!("ordinary value {i} is {x}")).into());
                }
                0.0 if x.is_sign_negative() => (0.0, MINUS_ZERO),
                0.0 => (0.0, ZERO),
                x => normalize::apply(x),
            };
            exponents.push(k);
            normalized.push(y);
        }
        Ok(Frame {
            values: target.values,
            precision: target.precision,
            ok: target.ok,
            guard: 0.0,
            exponents,
            normalized,
        })
    }

    /// What the encoder sees: points that are not ordinary are filled from the one before them, or after them at the
    /// start.
    #[allow(clippy::cast_possible_truncation, reason = "networks work in f32")]
    fn filled(&self, grid: &Grid<'_>) -> Vec<f32> {
        let ordinary = self.normalized.iter().enumerate().filter(|(i, _)| grid.is_ordinary(*i));
        let mut last = ordinary.map(|(_, y)| *y as f32).next().unwrap_or(0.0);
        let fill = |(i, y): (usize, &f64)| {
            if grid.is_ordinary(i) {
                last = *y as f32;
            }
            last
        };
        self.normalized.iter().enumerate().map(fill).collect()
    }

    /// Mean of the normalized values of points with an exponent.
    #[allow(clippy::cast_possible_truncation, reason = "a prediction is an f32")]
    fn mean(&self) -> f32 {
        let (mut sum, mut count) = (0.0, 0u64);
        for (y, _) in self.normalized.iter().zip(&self.exponents).filter(|(_, e)| is_exponent(**e)) {
            sum += y;
            count = count.saturating_add(1);
        }
        if count == 0 { 0.0 } else { (sum / count as f64) as f32 }
    }

    /// Whether point `i` is inside its bound, for all predictions within the guard of `predicted`, with the normalized
    /// value that `corrected` makes of the prediction; that never falls when the prediction grows.
    fn lands(&self, i: usize, predicted: f64, corrected: &dyn Fn(f64) -> f64) -> bool {
        let Some(exponent) = self.exponents.get(i) else { return false };
        let inside = |p: f64| {
            let v = self.precision.round(normalize::invert(corrected(p), *exponent));
            v.is_finite() && (self.ok)(i, v)
        };
        inside(predicted) && (self.guard == 0.0 || inside(predicted - self.guard) && inside(predicted + self.guard))
    }

    /// The guard, and how many points it leaves no room: not even a prediction that is right would do.
    #[allow(clippy::cast_possible_truncation, reason = "a guard is made as f32")]
    fn kept(&self) -> Guard {
        let mut guard = Guard { distance: self.guard as f32, points: 0, eaten: 0 };
        for (i, y) in self.normalized.iter().enumerate() {
            if self.exponents.get(i).is_some_and(|e| is_exponent(*e)) {
                guard.points = guard.points.saturating_add(1);
                guard.eaten = guard.eaten.saturating_add(u64::from(!self.lands(i, *y, &|p| p)));
            }
        }
        guard
    }

    /// Bitmap and deltas for these predictions.
    fn correct(&self, dims: &[usize], phases: &[u16], predicted: &[f32]) -> (Vec<u8>, Vec<u8>) {
        let missed = self.missed(predicted);
        let count = missed.iter().filter(|m| **m).count();
        let total = self.exponents.iter().filter(|e| is_exponent(**e)).count();
        // Where many points miss, it may be cheaper to tell by the deltas alone which do not.
        let dense = || self.correct_marked(dims, phases, predicted, &vec![true; missed.len()]);
        if count >= total.saturating_sub(total / 16) {
            return dense();
        }
        let sparse = self.correct_marked(dims, phases, predicted, &missed);
        if count < total / 4 {
            return sparse;
        }
        let dense = dense();
        let len = |s: &(Vec<u8>, Vec<u8>)| s.0.len().saturating_add(s.1.len());
        if len(&dense) < len(&sparse) { dense } else { sparse }
    }

    /// Bitmap and deltas where these points are marked; those without an exponent do not count.
    fn correct_marked(&self, dims: &[usize], phases: &[u16], predicted: &[f32], marked: &[bool]) -> (Vec<u8>, Vec<u8>) {
        let points = Points { dims, exponents: &self.exponents, phases };
        let marks = marked.iter().zip(&self.exponents).enumerate();
        let at: Vec<usize> = marks.filter(|(_, (m, e))| **m && is_exponent(**e)).map(|(i, _)| i).collect();
        let pick = |all: &[f64]| at.iter().filter_map(|i| all.get(*i).copied()).collect::<Vec<f64>>();
        let predicted: Vec<f64> = at.iter().filter_map(|i| predicted.get(*i).copied().map(f64::from)).collect();
        let lands = |ordinal: usize, corrected: &dyn Fn(f64) -> f64| match (at.get(ordinal), predicted.get(ordinal)) {
            (Some(i), Some(p)) => self.lands(*i, *p, corrected),
            _ => false,
        };
        let wanted = Wanted {
            predicted: &predicted,
            normalized: &pick(&self.normalized),
            values: &pick(self.values),
            lands: &lands,
            single: self.precision == Precision::F32,
        };
        (bitmap::encode(marked, &points), deltas::encode(&Marks { points, at: &at }, &wanted))
    }

    /// Which points with an exponent the prediction alone does not bring inside their bound.
    fn missed(&self, predicted: &[f32]) -> Vec<bool> {
        let points = self.exponents.iter().zip(predicted).enumerate();
        points.map(|(i, (e, p))| is_exponent(*e) && !self.lands(i, f64::from(*p), &|p| p)).collect()
    }
}
