//! Deltas (SPEC 7.5): what is added to the prediction of each marked point, and the exact values of points that no
//! stored delta brings inside the bound.

use super::arithmetic::{BitCoder, Decoder, Encoder};
use super::bitmap::Points;
use super::bzip;
use super::cursor::{Cursor, put_block, put_varint, unzigzag, zigzag};
use super::exponents::is_exponent;
use super::integers::{Integers, MAGNITUDE_MAX, bit_length};
use super::latents::{from_planes, to_planes};
use super::neighbors::{Neighbors, Place};
use crate::error::FormatError;
use crate::normalize::invert;
use half::f16;

mod choice;
mod compand;
pub(crate) use choice::{Wanted, encode};

const WHAT: &str = "deltas";
const PATCHES_ONLY: u8 = 0;
const HALF: u8 = 1;
const HALF_PLANES: u8 = 2;
const LATTICE: u8 = 3;
const LATTICE_BZIP2: u8 = 4;

/// The corrections of a frame.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Deltas {
    pub(crate) kind: Kind,
    /// Number of the marked point, in flat order, and the value it has; ascending.
    pub(crate) patches: Vec<(usize, f64)>,
}

/// What is stored for each marked point.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// Nothing: every marked point is patched.
    None,
    /// The delta in half precision.
    Half(Vec<f16>),
    /// A whole number of steps.
    Lattice(Lattice, Vec<i64>),
}

/// What a step of the lattice is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Lattice {
    pub(crate) unit: Unit,
    /// Positive and finite.
    pub(crate) step: f64,
}

/// What a step of a lattice is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// 1 in the normalized domain.
    One = 0,
    /// 1 on the companded scale: suits point-wise bounds.
    Companded = 1,
    /// 1 in the domain of the values: suits absolute bounds.
    Value = 2,
    /// As `Companded`; integers are predicted across exponents as if a decade were a whole number of steps.
    Carried = 3,
}

impl Lattice {
    /// The normalized value that `q` stands for. It never falls when `predicted` grows, up to rounding.
    #[inline(always)]
    #[allow(clippy::cast_precision_loss, reason = "|q| <= 2^53")]
    pub(crate) fn normalized(self, q: i64, predicted: f64, exponent: i16) -> f64 {
        let d = q as f64 * self.step;
        match self.unit {
            Unit::One => predicted + d,
            Unit::Companded | Unit::Carried => compand::expand(compand::compress(predicted) + d),
            Unit::Value => predicted + invert(d, exponent.saturating_neg()),
        }
    }

    /// Steps of a decade, for prediction; `None` if there are too many.
    fn decade(self) -> Option<i64> {
        if self.unit != Unit::Carried {
            return Some(0);
        }
        let steps = (compand::DECADE / self.step + 0.5).floor();
        #[allow(clippy::cast_possible_truncation, reason = "at most 2^40")]
        (steps <= DECADE_MAX).then_some(steps as i64)
    }
}

/// Most steps of a decade, so that those of all exponents stay far inside an i64.
const DECADE_MAX: f64 = (1u64 << 40) as f64;

impl Deltas {
    /// The value of marked point number `ordinal`, before rounding to the type of the array, unless it is patched.
    #[inline(always)]
    pub(crate) fn corrected(&self, ordinal: usize, predicted: f64, exponent: i16) -> f64 {
        let normalized = match &self.kind {
            Kind::None => predicted,
            Kind::Half(h) => predicted + h.get(ordinal).map_or(0.0, |h| h.to_f64()),
            Kind::Lattice(l, q) => l.normalized(q.get(ordinal).copied().unwrap_or(0), predicted, exponent),
        };
        invert(normalized, exponent)
    }
}

/// The marked points of a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Marks<'a> {
    pub(crate) points: Points<'a>,
    /// Flat positions, ascending.
    pub(crate) at: &'a [usize],
}

/// How many axes a lattice's integers are predicted along.
const AXES_MAX: u8 = 3;

/// Appends the integers to `out`, predicted along 0 to 3 axes: coded in context.
fn put_lattice(out: &mut Vec<u8>, lattice: Lattice, axes: u8, q: &[i64], marks: &Marks<'_>) -> Option<()> {
    put_lattice_head(out, LATTICE, lattice, axes);
    let mut io = Encoder::new();
    let predictor = Predictor::new(axes, lattice.decade()?, marks);
    let coded = code(&mut io, predictor, marks, |ordinal| q.get(ordinal).copied().unwrap_or(0))?;
    put_block(out, &io.finish());
    // The model cuts differences of more than 2^53.
    (coded == q).then_some(())
}

/// Appends the integers to `out` as varints in bzip2.
fn put_lattice_packed(out: &mut Vec<u8>, lattice: Lattice, axes: u8, q: &[i64], marks: &Marks<'_>) -> Option<()> {
    put_lattice_head(out, LATTICE_BZIP2, lattice, axes);
    let mut raw = Vec::new();
    residuals(Predictor::new(axes, lattice.decade()?, marks), marks, q, |r| put_varint(&mut raw, zigzag(r)))?;
    put_varint(out, raw.len() as u64);
    put_block(out, &bzip::encode(&raw)?);
    Some(())
}

fn put_lattice_head(out: &mut Vec<u8>, form: u8, lattice: Lattice, axes: u8) {
    out.extend([form, lattice.unit as u8, axes]);
    out.extend(lattice.step.to_le_bytes());
}

/// Appends half-precision deltas in the shorter of two forms.
fn put_halves(out: &mut Vec<u8>, halves: &[f16]) {
    let raw: Vec<u8> = halves.iter().flat_map(|h| h.to_le_bytes()).collect();
    match bzip::encode(&to_planes(&raw, 2)) {
        Some(packed) if packed.len().saturating_add(4) < raw.len() => {
            out.push(HALF_PLANES);
            put_block(out, &packed);
        }
        _ => {
            out.push(HALF);
            out.extend(raw);
        }
    }
}

/// Appends the patches; values take 4 bytes if the array is of f32.
fn put_patches(out: &mut Vec<u8>, patches: &[(usize, f64)], single: bool) {
    put_varint(out, patches.len() as u64);
    if patches.is_empty() {
        return;
    }
    let mut raw = Vec::new();
    let mut next = 0usize;
    for (ordinal, _) in patches {
        put_varint(&mut raw, ordinal.saturating_sub(next) as u64);
        next = ordinal.saturating_add(1);
    }
    let width = value_width(single);
    #[allow(clippy::cast_possible_truncation, reason = "values of f32 arrays are f32")]
    let values: Vec<u8> = if single {
        patches.iter().flat_map(|(_, v)| (*v as f32).to_le_bytes()).collect()
    } else {
        patches.iter().flat_map(|(_, v)| v.to_le_bytes()).collect()
    };
    raw.extend(to_planes(&values, width));
    match bzip::encode(&raw) {
        Some(packed) if packed.len().saturating_add(4) < raw.len() => {
            out.push(1);
            put_varint(out, raw.len() as u64);
            out.extend(packed);
        }
        _ => {
            out.push(0);
            out.extend(raw);
        }
    }
}

fn value_width(single: bool) -> usize {
    if single { 4 } else { 8 }
}

/// The corrections of the marked points from what [`encode`] made.
pub(crate) fn decode(bytes: &[u8], marks: &Marks<'_>, single: bool) -> Result<Deltas, FormatError> {
    let mut cursor = Cursor::new(bytes);
    let count = marks.at.len();
    if count == 0 {
        return cursor.finish(WHAT).map(|()| Deltas { kind: Kind::None, patches: Vec::new() });
    }
    let width = count.saturating_mul(2);
    let kind = match cursor.u8("form of deltas")? {
        PATCHES_ONLY => Kind::None,
        HALF => Kind::Half(halves(cursor.take(width, WHAT)?)?),
        HALF_PLANES => {
            let planes = bzip::decode(cursor.block(WHAT)?, width, WHAT)?;
            Kind::Half(halves(&from_planes(&planes, 2))?)
        }
        LATTICE => lattice(&mut cursor, marks, false)?,
        LATTICE_BZIP2 => lattice(&mut cursor, marks, true)?,
        found => {
            let expected = u64::from(LATTICE_BZIP2);
            return Err(FormatError::Value { field: "form of deltas", found: u64::from(found), expected });
        }
    };
    let patches = read_patches(cursor, count, single)?;
    if kind == Kind::None && patches.len() != count {
        let (found, expected) = (patches.len() as u64, count as u64);
        return Err(FormatError::Count { what: "patches", found, expected });
    }
    Ok(Deltas { kind, patches })
}

fn halves(bytes: &[u8]) -> Result<Vec<f16>, FormatError> {
    let halves: Vec<f16> = bytes.as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b)).collect();
    if halves.iter().all(|h| h.is_finite()) { Ok(halves) } else { Err(FormatError::Code { what: WHAT }) }
}

fn lattice(cursor: &mut Cursor<'_>, marks: &Marks<'_>, packed: bool) -> Result<Kind, FormatError> {
    let damaged = FormatError::Code { what: WHAT };
    let unit = match cursor.u8("unit of deltas")? {
        0 => Unit::One,
        1 => Unit::Companded,
        2 => Unit::Value,
        3 => Unit::Carried,
        found => return Err(FormatError::Value { field: "unit of deltas", found: u64::from(found), expected: 3 }),
    };
    let axes = cursor.u8("axes of deltas")?;
    if axes > AXES_MAX {
        let (found, expected) = (u64::from(axes), u64::from(AXES_MAX));
        return Err(FormatError::Value { field: "axes of deltas", found, expected });
    }
    let step = cursor.f64("step of deltas")?;
    if !(step.is_finite() && step > 0.0) {
        return Err(FormatError::number("step of deltas", step, "a positive finite number"));
    }
    let lattice = Lattice { unit, step };
    let decade = lattice.decade().ok_or(FormatError::Code { what: "step of deltas" })?;
    let predictor = Predictor::new(axes, decade, marks);
    let q = if packed {
        // A residual of two integers of 2^53 takes at most 9 bytes.
        let most = (marks.at.len() as u64).saturating_mul(9);
        let len = usize::try_from(cursor.varint_max("bytes of deltas", most)?).map_err(|_| damaged.clone())?;
        let raw = bzip::decode(cursor.block(WHAT)?, len, WHAT)?;
        unpack(&raw, predictor, marks)?
    } else {
        let mut io = Decoder::new(cursor.block(WHAT)?);
        let q = code(&mut io, predictor, marks, |_| 0).ok_or(damaged)?;
        io.finish(WHAT)?;
        q
    };
    Ok(Kind::Lattice(lattice, q))
}

fn unpack(raw: &[u8], mut predictor: Predictor, marks: &Marks<'_>) -> Result<Vec<i64>, FormatError> {
    let damaged = FormatError::Code { what: WHAT };
    let mut raw = Cursor::new(raw);
    let mut q = Vec::with_capacity(marks.at.len());
    for i in marks.at {
        let residual = unzigzag(raw.varint(WHAT)?);
        let found = residual.checked_add(predictor.of(*i)).filter(|q| q.unsigned_abs() <= MAGNITUDE_MAX);
        let found = found.ok_or(damaged.clone())?;
        q.push(found);
        predictor.set(*i, found);
    }
    raw.finish(WHAT)?;
    Ok(q)
}

fn read_patches(mut cursor: Cursor<'_>, count: usize, single: bool) -> Result<Vec<(usize, f64)>, FormatError> {
    let what = "patches";
    let damaged = FormatError::Code { what };
    let patched = cursor.varint_max("number of patches", count as u64)?;
    let patched = usize::try_from(patched).map_err(|_| damaged.clone())?;
    if patched == 0 {
        cursor.finish(WHAT)?;
        return Ok(Vec::new());
    }
    let width = value_width(single);
    let unpacked;
    let raw = match cursor.u8("packing of patches")? {
        0 => cursor.take_rest(),
        1 => {
            // A gap takes at most 10 bytes.
            let most = (patched as u64).saturating_mul(10_u64.saturating_add(width as u64));
            let len = usize::try_from(cursor.varint_max("bytes of patches", most)?).map_err(|_| damaged.clone())?;
            unpacked = bzip::decode(cursor.take_rest(), len, what)?;
            unpacked.as_slice()
        }
        found => {
            return Err(FormatError::Value { field: "packing of patches", found: u64::from(found), expected: 1 });
        }
    };
    let mut raw = Cursor::new(raw);
    // Each gap takes a byte at least, so a false count costs nothing.
    let mut ordinals = Vec::with_capacity(patched.min(raw.remaining()));
    let mut next = 0u64;
    for _ in 0..patched {
        let ordinal = raw.varint("gap of patches")?.checked_add(next).filter(|o| *o < count as u64);
        let ordinal = ordinal.ok_or(damaged.clone())?;
        next = ordinal.saturating_add(1);
        ordinals.push(usize::try_from(ordinal).map_err(|_| damaged.clone())?);
    }
    let values = from_planes(raw.take(patched.saturating_mul(width), what)?, width);
    raw.finish(what)?;
    Ok(if single {
        let values = values.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b)));
        ordinals.into_iter().zip(values).collect()
    } else {
        let values = values.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b));
        ordinals.into_iter().zip(values).collect()
    })
}

/// Lorenzo prediction over the last `axes` wide axes. Each point stands at `decade` times its exponent plus its
/// integer; points without a delta have the integer 0, and points without an exponent that of the point before.
#[derive(Debug, Clone)]
struct Predictor {
    axes: u8,
    around: Neighbors,
    /// What each point stands at with the integer 0; empty if that is 0.
    bases: Vec<i64>,
    /// What each point stands at.
    levels: Vec<i64>,
}

impl Predictor {
    fn new(axes: u8, decade: i64, marks: &Marks<'_>) -> Self {
        let around = Neighbors::new(marks.points.dims);
        if decade == 0 {
            return Predictor { axes, around, bases: Vec::new(), levels: vec![0; marks.points.exponents.len()] };
        }
        let mut last = 0i64;
        let mut base = |e: &i16| {
            if is_exponent(*e) {
                last = decade.saturating_mul(i64::from(*e));
            }
            last
        };
        let bases: Vec<i64> = marks.points.exponents.iter().map(&mut base).collect();
        Predictor { axes, around, levels: bases.clone(), bases }
    }

    #[inline(always)]
    fn base(&self, i: usize) -> i64 {
        self.bases.get(i).copied().unwrap_or(0)
    }

    /// What the integer of point `i` is expected to be.
    #[inline(always)]
    #[allow(clippy::arithmetic_side_effects, reason = "eight terms of at most 2^53 + 330 * 2^40")]
    fn of(&self, i: usize) -> i64 {
        let at = |p| self.around.at(&self.levels, i, p, 0);
        match self.axes {
            0 => 0,
            1 => at(Place::West) - self.base(i),
            2 => at(Place::West) + at(Place::North) - at(Place::NorthWest) - self.base(i),
            _ => {
                at(Place::West) + at(Place::North) + at(Place::Below)
                    - at(Place::NorthWest)
                    - at(Place::BelowWest)
                    - at(Place::BelowNorth)
                    + at(Place::BelowNorthWest)
                    - self.base(i)
            }
        }
    }

    /// Notes the integer of point `i`.
    #[inline(always)]
    fn set(&mut self, i: usize, q: i64) {
        let level = q.saturating_add(self.base(i));
        if let Some(slot) = self.levels.get_mut(i) {
            *slot = level;
        }
    }
}

/// Calls `each` with the residual of every integer. `None` if one is beyond what can be coded.
fn residuals(mut predictor: Predictor, marks: &Marks<'_>, q: &[i64], mut each: impl FnMut(i64)) -> Option<()> {
    for (i, q) in marks.at.iter().zip(q) {
        let residual = q.checked_sub(predictor.of(*i))?;
        if residual.unsigned_abs() > MAGNITUDE_MAX {
            return None;
        }
        each(residual);
        predictor.set(*i, *q);
    }
    Some(())
}

/// Codes the integers of all marked points and returns them. `None` if one is beyond 2^53.
fn code<B: BitCoder>(
    io: &mut B,
    mut predictor: Predictor,
    marks: &Marks<'_>,
    given: impl Fn(usize) -> i64,
) -> Option<Vec<i64>> {
    use Place::{Below, North, West};
    let mut left = vec![0i64; marks.points.exponents.len()];
    let mut model = Integers::new([CLASSES * SIGNS, PAIR * PAIR, PHASES]);
    let mut q = Vec::with_capacity(marks.at.len());
    let mut last = [0u64; 2];
    for (ordinal, i) in marks.at.iter().enumerate() {
        let [w, n, b] = [West, North, Below].map(|p| predictor.around.at(&left, *i, p, 0));
        let size = w.unsigned_abs().saturating_add(n.unsigned_abs()).saturating_add(b.unsigned_abs());
        let sign = sign_class(w).saturating_mul(3).saturating_add(sign_class(n));
        let contexts = [
            bit_length(size, CLASSES - 1).saturating_mul(SIGNS).saturating_add(sign),
            bit_length(last[0], PAIR - 1).saturating_mul(PAIR).saturating_add(bit_length(last[1], PAIR - 1)),
            marks.points.phase(*i) & (PHASES - 1),
        ];
        let predicted = predictor.of(*i);
        let residual = model.code(io, given(ordinal).checked_sub(predicted)?, contexts)?;
        let found = residual.checked_add(predicted).filter(|q| q.unsigned_abs() <= MAGNITUDE_MAX)?;
        last = [residual.unsigned_abs(), last[0]];
        *left.get_mut(*i)? = residual;
        predictor.set(*i, found);
        q.push(found);
    }
    Some(q)
}

/// Classes of the summed magnitude of three neighbors.
const CLASSES: usize = 24;
/// Classes of each of the last two magnitudes.
const PAIR: usize = 12;
/// Positions in a block that are told apart; a power of two.
const PHASES: usize = 256;
/// Signs of two neighbors.
const SIGNS: usize = 9;

#[inline(always)]
fn sign_class(v: i64) -> usize {
    match v.signum() {
        0 => 0,
        1 => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests;
