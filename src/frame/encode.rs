//! Values to bytes: each candidate is coded, the smallest kept, and decoded again by the reader's code (SPEC 6).

use super::class::{self, Class, ClassMap, classify};
use super::decode::{decode, precision};
use super::domain::Domain;
use super::table::{self, Table};
use super::{Method, Parts, Payload, digest, kernel_dims, patch};
use crate::bound::Tolerance;
use crate::element::{DataType, Element};
use crate::error::{ArgumentError, Fault, Result};
use crate::fast::{self, Effort};
use crate::lattice::multilevel::{self, Asked};
use crate::lattice::{Grid, exact, raster};
use crate::model::{Decoder, Encoder, Predictor};
use crate::parallel::{self, Threads};
use crate::sparse;
use crate::stats::ErrorStats;

/// One way to code the ordinary values of a frame.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    /// The name in reports.
    pub(crate) label: &'static str,
    pub(crate) kernel: Kernel,
    pub(crate) view: View,
}

/// What a kernel is given of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// The ordinary values.
    Plain,
    /// Those but the most frequent one, if it is frequent, which is a class of its own.
    Hole,
    /// The places of the values in a table, if they are few.
    Table,
}

/// The method of a candidate, with its options.
#[derive(Debug, Clone)]
pub(crate) enum Kernel {
    Multilevel(multilevel::Options),
    /// Multilevel, small, with the network in the loop.
    Network,
    /// Multilevel, small, with a network that learns on the way.
    Learner,
    Raster(raster::Options),
    Fast(Effort),
    Exact,
    Sparse(sparse::Options),
}

/// The autoencoder, or the network in the loop, that a frame may use.
#[derive(Clone, Copy, Default)]
pub(crate) struct Models<'a> {
    pub(crate) encoder: Option<&'a dyn Encoder>,
    pub(crate) decoder: Option<&'a dyn Decoder>,
}

impl<'a> Models<'a> {
    pub(crate) fn in_loop(&self) -> Option<&'a Predictor> {
        self.decoder?.in_loop().map(|n| n.0)
    }
}

/// What a network in the loop would be asked at the points of a block, and what would be right; `None` if no lattice suits.
pub(crate) fn samples<T: Element>(block: &Block<T>, network: Option<&Predictor>) -> Option<multilevel::Samples> {
    let prepared = Prepared::new(Block { dims: kernel_dims(block.dims), ..*block }, None, Effort::Thorough);
    let mut samples = None;
    prepared.lattice(Method::Network, None, |v, t, _| {
        samples = multilevel::samples(v, &prepared.grid(), t, network);
        None
    });
    samples
}

/// A coded frame.
#[derive(Debug, Clone)]
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) stats: ErrorStats,
    /// Every candidate that suited, with the bytes its frame would have, in the order tried.
    pub(crate) tried: Vec<(&'static str, u64)>,
    /// The label of the one kept.
    pub(crate) chosen: &'static str,
    /// The distance from the bound that is kept for other engines, where a network predicts.
    pub(crate) guard: Option<sparse::Guard>,
}

/// A payload before it is part of a frame.
struct Trial<T> {
    method: Method,
    domain: Domain,
    table: Option<Vec<u8>>,
    payload: Owned,
    patches: Vec<u8>,
    values: Vec<T>,
    guard: Option<sparse::Guard>,
    /// The errors of the values, if they are what the reader's code made of the payload, all within the bound.
    checked: Option<ErrorStats>,
}

enum Owned {
    One(Vec<u8>),
    Sparse(sparse::Sections<Vec<u8>>),
}

impl Owned {
    fn borrow(&self) -> Payload<'_> {
        match self {
            Owned::One(b) => Payload::One(b),
            Owned::Sparse(s) => {
                Payload::Sparse { exponents: &s.exponents, latents: &s.latents, bitmap: &s.bitmap, deltas: &s.deltas }
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Owned::One(b) => b.len(),
            // Three of the sections carry a length.
            Owned::Sparse(s) => s.len().saturating_add(6),
        }
    }
}

/// What is common to the candidates that share a class map.
struct Prepared<'a, T> {
    values: &'a [T],
    dims: &'a [usize],
    tolerance: Tolerance,
    map: Option<ClassMap<T>>,
    classes: Option<Vec<u8>>,
    ordinary: Option<Vec<bool>>,
    /// Least and largest ordinary value.
    range: Option<(f64, f64)>,
}

/// What a learner must gain: one in so many bytes.
const LEARNED: u64 = 64;

/// What is to be coded: a block of an array.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a, T> {
    pub(crate) values: &'a [T],
    pub(crate) dims: &'a [usize],
    pub(crate) tolerance: Tolerance,
    /// Points of this very value come back bit for bit, as those do that are not finite.
    pub(crate) fill: Option<T>,
    /// Further points that come back bit for bit.
    pub(crate) kept: Option<&'a [bool]>,
}

/// Codes a block in the way of the candidate that gives the fewest bytes.
pub(crate) fn encode<T: Element>(
    block: &Block<T>,
    candidates: &[Candidate],
    models: &Models,
    threads: Threads,
) -> Result<Encoded> {
    let block = Block { dims: kernel_dims(block.dims), ..*block };
    let values = block.values;
    // Who is in haste about the values is so about which of them are missing.
    let is_hasty = |c: &Candidate| matches!(c.kernel, Kernel::Fast(Effort::Hasty));
    let effort = if candidates.iter().all(is_hasty) { Effort::Hasty } else { Effort::Thorough };
    let plain = Prepared::new(block, None, effort);
    let seen = |view| candidates.iter().any(|c| c.view == view);
    let hole = if seen(View::Hole) { frequent_value(values, plain.ordinary.as_deref()) } else { None };
    let holed = hole.map(|h| Prepared::new(block, Some(h), effort));
    let table = if seen(View::Table) { plain.table() } else { None };

    let mut race = Race { tried: Vec::new(), best: None };
    match plain.constant() {
        Some(trial) => race.enter("constant", &plain, trial),
        None => {
            let prepared = |c: &Candidate| match c.view {
                View::Plain => Some((&plain, None)),
                View::Hole => holed.as_ref().map(|p| (p, None)),
                View::Table => table.as_ref().map(|t| (&plain, Some(t))),
            };
            let trial = |c: &Candidate| prepared(c).map_or(Ok(None), |(p, t)| p.trial(&c.kernel, t, models));
            parallel::for_each_in_order(threads, candidates, trial, |c, trial| {
                if let (Some((p, _)), Some(trial)) = (prepared(c), trial?) {
                    race.enter(c.label, p, trial);
                }
                Ok(())
            })?;
            // Verbatim values bound the size of every frame. Where nothing suits that well, coding without loss may.
            let raw = (values.len() as u64).saturating_mul(T::DATA_TYPE.size() as u64);
            if race.best.as_ref().is_none_or(|b| b.size > raw) {
                let balanced = Kernel::Multilevel(multilevel::Options { profile: multilevel::Profile::Balanced });
                if let Some(trial) = plain.trial(&balanced, None, models)? {
                    race.enter("multilevel", &plain, trial);
                }
                race.enter("exact", &plain, plain.exact());
                race.enter("raw", &plain, plain.raw());
            }
        }
    }
    let Race { tried, best: Some(Entry { label: chosen, prepared, trial, .. }) } = race else {
        return Err(ArgumentError::Other("no way to code a frame suits it".into()).into());
    };
    let parts = Parts {
        method: trial.method,
        domain: trial.domain,
        digest: digest(&trial.values),
        guard: trial.guard.map(|g| g.distance),
        table: trial.table.as_deref(),
        classes: prepared.classes.as_deref(),
        patches: Some(trial.patches.as_slice()).filter(|p| !p.is_empty()),
        payload: trial.payload.borrow(),
    };
    let mut bytes = Vec::new();
    parts.write_to(&mut bytes);
    let (guard, mut back) = (trial.guard, trial.values);
    let stats = match trial.checked {
        Some(stats) => {
            still_there(&bytes, &parts)?;
            stats
        }
        None => verify(&bytes, prepared, models, &mut back)?,
    };
    Ok(Encoded { bytes, stats, tried, chosen, guard })
}

/// The smallest trial so far.
struct Race<'p, 'v, T> {
    tried: Vec<(&'static str, u64)>,
    best: Option<Entry<'p, 'v, T>>,
}

struct Entry<'p, 'v, T> {
    size: u64,
    label: &'static str,
    prepared: &'p Prepared<'v, T>,
    trial: Trial<T>,
}

impl<'p, 'v, T> Race<'p, 'v, T> {
    fn enter(&mut self, label: &'static str, prepared: &'p Prepared<'v, T>, trial: Trial<T>) {
        let size = frame_len(prepared, &trial);
        self.tried.push((label, size));
        // A learner comes last, and takes half as long again to decode.
        let least = if trial.method == Method::Learner { size.saturating_add(size / LEARNED) } else { size };
        if self.best.as_ref().is_none_or(|b| least < b.size) {
            self.best = Some(Entry { size, label, prepared, trial });
        }
    }
}

/// Checks that the reader finds in a frame what was put there, where its values are known to be within the bound.
fn still_there(bytes: &[u8], parts: &Parts) -> Result<()> {
    let same = |found: &Parts| {
        let Payload::One(payload) = &parts.payload else { return false };
        matches!(found.payload, Payload::One(p) if p == *payload)
            && (found.method, found.domain, found.digest) == (parts.method, parts.domain, parts.digest)
            && found.guard.is_none()
            && (found.classes, found.patches) == (parts.classes, parts.patches)
    };
    match Parts::read_from(bytes) {
        Ok(found) if same(&found) => Ok(()),
        _ => Err(ArgumentError::Bound("the frame just written does not read back; nothing was stored".into()).into()),
    }
}

/// Decodes the frame with the reader's code and checks every point against its bound.
fn verify<T: Element>(bytes: &[u8], p: &Prepared<T>, models: &Models, back: &mut [T]) -> Result<ErrorStats> {
    // What was there is not what is found.
    back.fill(T::default());
    let failed = |what: String| ArgumentError::Bound(format!("the frame just written {what}; nothing was stored"));
    decode(bytes, p.dims, models.decoder, back).map_err(|fault| match fault {
        Fault::Format(kind) => failed(format!("does not decode: {kind}")).into(),
        Fault::Other(e) => e,
    })?;
    let mut stats = ErrorStats::new(p.tolerance);
    if p.map.is_none() && stats.add_bounded(p.values, p.range.unwrap_or_default(), back, None) {
        return Ok(stats);
    }
    for (i, (x, y)) in p.values.iter().zip(back).enumerate() {
        let good = if p.is_ordinary(i) { p.tolerance.allows(*x, *y) } else { x.to_bits64() == y.to_bits64() };
        if !good {
            return Err(failed(format!("misses the bound at value {i}: {x:?} became {y:?}")).into());
        }
        if x.to_f64().is_finite() {
            stats.add(x.to_f64(), y.to_f64());
        }
    }
    Ok(stats)
}

/// Bytes of the frame that a trial would make.
fn frame_len<T>(p: &Prepared<T>, t: &Trial<T>) -> u64 {
    let blocks = [t.table.as_ref(), p.classes.as_ref(), Some(&t.patches)].map(|b| b.map_or(0, Vec::len));
    let framing = blocks.iter().filter(|n| **n > 0).count().saturating_mul(2);
    let n = blocks.iter().fold(t.payload.len(), |n, b| n.saturating_add(*b));
    n.saturating_add(framing).saturating_add(super::PREFIX_LEN) as u64
}

/// The value of more than one ordinary point in sixteen, if there is one: a fill value that nobody declared.
fn frequent_value<T: Element>(values: &[T], ordinary: Option<&[bool]>) -> Option<T> {
    let grid = |i: usize| ordinary.is_none_or(|o| o.get(i).copied().unwrap_or(false));
    // A value that frequent is among the most frequent of any thousand points spread over the frame.
    let mut counts: std::collections::HashMap<u64, u32> = std::collections::HashMap::new();
    let step = values.len().div_ceil(4096).max(1);
    let mut position = 0usize;
    while let Some(v) = values.get(position) {
        if grid(position) {
            let n = counts.entry(v.to_bits64()).or_default();
            *n = n.saturating_add(1);
        }
        // Uneven steps, so that no period of the data hides the value.
        position = position.saturating_add(step).saturating_add(position % 3);
    }
    let (bits, _) = counts.into_iter().max_by_key(|(bits, n)| (*n, *bits))?;
    let (mut same, mut all) = (0usize, 0usize);
    for (_, v) in values.iter().enumerate().filter(|(i, _)| grid(*i)) {
        all = all.saturating_add(1);
        same = same.saturating_add(usize::from(v.to_bits64() == bits));
    }
    (same.saturating_mul(16) > all && same < all).then(|| T::from_bits64(bits))
}

impl<'a, T: Element> Prepared<'a, T> {
    fn new(block: Block<'a, T>, hole: Option<T>, effort: Effort) -> Self {
        let Block { values, dims, tolerance, fill, kept } = block;
        let pointwise = matches!(tolerance, Tolerance::Pointwise(_));
        let plain = !pointwise && fill.is_none() && hole.is_none() && kept.is_none();
        let range = if plain { fast::finite_range(values) } else { None };
        let (mut map, mut mask) = (None, None);
        if range.is_none() {
            let mut ordinary = class::ordinary(values, [fill, hole]);
            if pointwise || kept.is_some() {
                let is_kept = |i: usize| kept.is_some_and(|k| k.get(i).copied().unwrap_or(false));
                for (i, (o, v)) in ordinary.iter_mut().zip(values).enumerate() {
                    *o &= !(is_kept(i) || (pointwise && v.to_f64() == 0.0));
                }
            }
            map = classify(values, &ordinary, pointwise);
            mask = Some(ordinary);
        }
        let ordinary = mask.filter(|_| map.is_some());
        let classes = map.as_ref().map(|m| {
            let mut out = Vec::new();
            m.write_to(dims, effort, &mut out);
            out
        });
        let range = range.or_else(|| fast::range(values, ordinary.as_deref()));
        Prepared { values, dims, tolerance, map, classes, ordinary, range }
    }

    fn is_ordinary(&self, i: usize) -> bool {
        self.grid().is_ordinary(i)
    }

    fn grid(&self) -> Grid<'_> {
        Grid { dims: self.dims, ordinary: self.ordinary.as_deref() }
    }

    fn ordinary_values(&self) -> impl Iterator<Item = T> + Clone {
        self.values.iter().enumerate().filter(|(i, _)| self.is_ordinary(*i)).map(|(_, v)| *v)
    }

    /// The values that ordinary points have, if they are few.
    fn table(&self) -> Option<Table<T>> {
        /// One in so many points shows of most frames that they take far too many values, ...
        const PART: usize = 64;
        /// ... but so many of a small frame and of a large one.
        const LOOKED_AT: (usize, usize) = (512, 4096);
        let looked_at = (self.values.len() / PART).clamp(LOOKED_AT.0, LOOKED_AT.1);
        let step = self.values.len().checked_div(looked_at).unwrap_or(0).max(1);
        let at = self.values.iter().enumerate().step_by(step).filter(|(i, _)| self.is_ordinary(*i));
        let mut seen: Vec<T> = at.map(|(_, v)| *v).collect();
        seen.sort_unstable_by_key(|v| v.to_ordered());
        let looked = seen.len();
        seen.dedup_by_key(|v| v.to_bits64());
        let recur = looked < LOOKED_AT.0 || seen.len() <= looked.saturating_mul(15) / 16;
        if !recur || !table::may_pay(&seen, self.range?, self.tolerance) {
            return None;
        }
        Table::new(self.values, &self.grid(), self.range?, self.tolerance)
    }

    /// A negative ordinary value that has a class of its own.
    fn is_negative(&self, i: usize) -> bool {
        let class = |m: &ClassMap<T>| m.table.get(usize::from(*m.image.get(i)?)).copied();
        self.map.as_ref().and_then(class).is_some_and(|c| matches!(c, Class::Negative))
    }

    /// All ordinary values as one, if a single value is within the bound of each.
    fn constant(&self) -> Option<Trial<T>> {
        let (lo, hi) = self.range.unwrap_or_default();
        let middle = match self.tolerance {
            Tolerance::Lossless => return self.constant_value(self.ordinary_values().next().unwrap_or_default()),
            Tolerance::Absolute(e) if hi / 2.0 - lo / 2.0 > e * 1.01 => return None,
            Tolerance::Absolute(_) => lo / 2.0 + hi / 2.0,
            // Where the relative distances to both ends are equal: 2 lo hi / (lo + hi).
            Tolerance::Pointwise(_) => lo / (lo / 2.0 + hi / 2.0) * hi,
        };
        self.constant_value(T::from_f64(if self.range.is_some() { middle } else { 0.0 }))
    }

    fn constant_value(&self, c: T) -> Option<Trial<T>> {
        if !self.ordinary_values().all(|x| self.tolerance.allows(x, c)) {
            return None;
        }
        let mut bytes = Vec::new();
        c.put_le(&mut bytes);
        Some(self.finish(Method::Constant, Domain::Linear, Owned::One(bytes), |_| c))
    }

    fn raw(&self) -> Trial<T> {
        let mut bytes = Vec::new();
        self.ordinary_values().for_each(|v| v.put_le(&mut bytes));
        self.finish(Method::Raw, Domain::Linear, Owned::One(bytes), |i| self.value(i))
    }

    fn value(&self, i: usize) -> T {
        self.values.get(i).copied().unwrap_or_default()
    }

    /// Runs one kernel, on places in a table if one is given; `None` if it does not suit.
    fn trial(&self, kernel: &Kernel, table: Option<&Table<T>>, models: &Models) -> Result<Option<Trial<T>>> {
        Ok(match kernel {
            Kernel::Multilevel(o) => self.multilevel(Method::Multilevel, table, o, Asked::Nobody),
            Kernel::Network => models.in_loop().and_then(|network| {
                let o = multilevel::Options { profile: multilevel::Profile::Small };
                self.multilevel(Method::Network, table, &o, Asked::Trained(network))
            }),
            Kernel::Learner => {
                let o = multilevel::Options { profile: multilevel::Profile::Small };
                self.multilevel(Method::Learner, table, &o, Asked::Learner)
            }
            Kernel::Raster(o) => {
                self.lattice(Method::Raster, table, |v, t, r| raster::encode(v, &self.grid(), t, o, r))
            }
            Kernel::Fast(effort) => self.fast(table, *effort),
            Kernel::Exact => Some(self.exact()),
            Kernel::Sparse(o) => self.sparse(o, models)?,
        })
    }

    /// The tolerance for a kernel that decodes to f64, less what rounding to the array's type may add.
    fn linear_tolerance(&self, e: f64) -> f64 {
        let largest = self.range.map_or(0.0, |(lo, hi)| lo.abs().max(hi.abs()));
        let half_ulp = largest * if T::DATA_TYPE == DataType::F32 { 0.5f64.powi(24) } else { 0.5f64.powi(52) };
        // Near the resolution of the type most points land well: the few that do not are patched.
        (e - half_ulp).max(e / 2.0)
    }

    fn multilevel(
        &self,
        method: Method,
        table: Option<&Table<T>>,
        options: &multilevel::Options,
        asked: Asked,
    ) -> Option<Trial<T>> {
        self.lattice(method, table, |v, t, r| multilevel::encode(v, &self.grid(), t, options, asked, r))
    }

    fn fast(&self, table: Option<&Table<T>>, effort: Effort) -> Option<Trial<T>> {
        let (None, Tolerance::Absolute(e)) = (table, self.tolerance) else {
            return self.lattice(Method::Fast, table, |v, t, r| {
                let range = fast::range(v, self.ordinary.as_deref()).unwrap_or_default();
                let codes = fast::encode(v, &self.grid(), range, t, effort)?;
                fast::decode(&codes, &self.grid(), r).ok()?;
                Some(codes)
            });
        };
        let range = self.range.unwrap_or_default();
        let codes = fast::encode(self.values, &self.grid(), range, self.linear_tolerance(e), effort)?;
        let mut values = vec![T::default(); self.values.len()];
        fast::decode(&codes, &self.grid(), &mut values).ok()?;
        self.place_others(&mut values);
        let mut stats = ErrorStats::new(self.tolerance);
        if stats.add_bounded(self.values, range, &values, self.ordinary.as_deref()) && self.classes_read_back() {
            let (method, domain, payload) = (Method::Fast, Domain::Linear, Owned::One(codes));
            let (patches, checked) = (Vec::new(), Some(stats));
            return Some(Trial { method, domain, table: None, payload, patches, values, guard: None, checked });
        }
        let at = |i: usize| values.get(i).copied().unwrap_or_default();
        Some(self.finish(Method::Fast, Domain::Linear, Owned::One(codes), at))
    }

    /// Sets those that are not ordinary.
    fn place_others(&self, values: &mut [T]) {
        if let Some(ordinary) = &self.ordinary {
            for ((to, v), o) in values.iter_mut().zip(self.values).zip(ordinary) {
                *to = if *o { *to } else { *v };
            }
        }
    }

    /// Whether the reader finds the classes that were written.
    fn classes_read_back(&self) -> bool {
        let (Some(map), Some(bytes)) = (&self.map, &self.classes) else { return true };
        let same = |found: ClassMap<T>| {
            let bits = |v: &[T]| v.iter().map(|v| v.to_bits64()).collect::<Vec<_>>();
            // By bits: what is no number equals nothing.
            let alike = |(a, b): (&Class<T>, &Class<T>)| match (a, b) {
                (Class::Literal(a), Class::Literal(b)) => a.to_bits64() == b.to_bits64(),
                _ => a == b,
            };
            found.image == map.image
                && found.table.len() == map.table.len()
                && found.table.iter().zip(&map.table).all(alike)
                && bits(&found.listed) == bits(&map.listed)
        };
        ClassMap::read_from(bytes, self.dims, self.values.len()).is_ok_and(same)
    }

    fn exact(&self) -> Trial<T> {
        let q: Vec<u64> = self.values.iter().map(|v| v.to_image()).collect();
        let codes = exact::encode(&q, &self.grid());
        self.finish(Method::Exact, Domain::Ordered, Owned::One(codes), |i| self.value(i))
    }

    /// A kernel that codes f64 numbers of a domain: (numbers, tolerance, reconstruction) -> bytes.
    fn lattice(
        &self,
        method: Method,
        table: Option<&Table<T>>,
        kernel: impl FnOnce(&[f64], f64, &mut [f64]) -> Option<Vec<u8>>,
    ) -> Option<Trial<T>> {
        let n = self.values.len();
        let (domain, tolerance, numbers): (Domain, f64, Vec<f64>) = match (table, self.tolerance) {
            (Some(table), _) => (Domain::Table, 0.4999, self.values.iter().map(|v| table.place(*v)).collect()),
            (None, Tolerance::Absolute(e)) => {
                (Domain::Linear, self.linear_tolerance(e), self.values.iter().map(|v| v.to_f64()).collect())
            }
            (None, Tolerance::Pointwise(b)) => {
                let (shift, tolerance) = log_tolerance(b, T::DATA_TYPE)?;
                let log = |v: &T| v.to_f64().abs().log2() + shift;
                (Domain::Log, tolerance, self.values.iter().map(log).collect())
            }
            // Beyond 2^53 the positions are not exact in f64.
            (None, Tolerance::Lossless) if T::DATA_TYPE == DataType::F64 => return None,
            #[allow(clippy::cast_precision_loss, reason = "positions of f32 values fit 32 bits")]
            (None, Tolerance::Lossless) => {
                (Domain::Ordered, 0.4999, self.values.iter().map(|v| v.to_ordered() as f64).collect())
            }
        };
        let numbers: Vec<f64> =
            numbers.iter().enumerate().map(|(i, v)| if self.is_ordinary(i) { *v } else { 0.0 }).collect();
        let mut recon = vec![0.0; n];
        let codes = kernel(&numbers, tolerance, &mut recon)?;
        let places = table.map_or(&[][..], Table::values);
        let value = |i: usize| domain.value(recon.get(i).copied().unwrap_or_default(), self.is_negative(i), places);
        let table = table.map(|t| t.bytes.clone());
        Some(Trial { table, ..self.finish(method, domain, Owned::One(codes), value) })
    }

    /// `None` if the model is of no use under this bound, and the writer is to do without it then.
    fn sparse(&self, options: &sparse::Options, models: &Models) -> Result<Option<Trial<T>>> {
        let values: Vec<f64> = self.values.iter().map(|v| v.to_f64()).collect();
        let grid = self.grid();
        let ok = |i: usize, candidate: f64| self.tolerance.allows(self.value(i), T::from_f64(candidate));
        let target = sparse::Target { values: &values, grid: &grid, precision: precision::<T>(), ok: &ok };
        let coded = sparse::encode(&target, models.encoder, models.decoder, options)?;
        let unfit = match &coded {
            None => Some("no bound on the rounding errors of other engines is proved for this model".to_owned()),
            Some(sparse::Coded { guard: Some(g), .. }) if g.eats_the_bound() => Some(format!(
                "the model's guard of {:.1e}, kept for engines that round otherwise than this one, exceeds the bound at {} of {} points",
                g.distance, g.eaten, g.points
            )),
            Some(_) => None,
        };
        if let (Some(reason), sparse::GuardPolicy::Refuse) = (&unfit, options.policy) {
            let what =
                format!("{reason}; fall back to coding without the model, widen the bound or use an exact model");
            return Err(ArgumentError::Bound(what).into());
        }
        let Some(sparse::Coded { sections, guard }) = coded.filter(|_| unfit.is_none()) else { return Ok(None) };
        let mut recon = vec![0.0; values.len()];
        sparse::decode(&sections.as_slices(), &grid, precision::<T>(), models.decoder, &mut recon)?;
        let value = |i: usize| T::from_f64(recon.get(i).copied().unwrap_or_default());
        Ok(Some(Trial { guard, ..self.finish(Method::Sparse, Domain::Linear, Owned::Sparse(sections), value) }))
    }

    /// Completes a trial: what the method gives at ordinary points, patched where that misses the bound.
    fn finish(&self, method: Method, domain: Domain, payload: Owned, value: impl Fn(usize) -> T) -> Trial<T> {
        let mut patches = Vec::new();
        let values = self
            .values
            .iter()
            .enumerate()
            .map(|(i, x)| {
                if !self.is_ordinary(i) {
                    return *x;
                }
                let y = value(i);
                if self.tolerance.allows(*x, y) {
                    return y;
                }
                patches.push((i, *x));
                *x
            })
            .collect();
        let mut bytes = Vec::new();
        patch::write_to(&patches, &mut bytes);
        Trial { method, domain, table: None, payload, patches: bytes, values, guard: None, checked: None }
    }
}

/// Shift and tolerance of log2|x| that keep |x - y| <= b |x|, given that y is rounded to the array's type.
///
/// y / x may run from 1 - b to 1 + b, which is not symmetric in the logarithm: the shift moves the target to the middle.
fn log_tolerance(b: f64, data_type: DataType) -> Option<(f64, f64)> {
    let above = b.ln_1p() / std::f64::consts::LN_2;
    let below = if b < 0.75 { (-b).ln_1p() / std::f64::consts::LN_2 } else { -above };
    // 1.5 half ulps in the logarithm for the rounding of y, and for that of the logarithm of a large exponent.
    let rounding = if data_type == DataType::F32 { 1.5 * 0.5f64.powi(24) } else { 0.0 } + 4096.0 * 0.5f64.powi(53);
    let tolerance = (above - below) / 2.0 - rounding;
    (tolerance > rounding).then_some(((above + below) / 2.0, tolerance))
}
