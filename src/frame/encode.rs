//! Values to bytes: each candidate is coded, the smallest kept, and decoded again by the reader's code (SPEC 6).

use super::decode::decode;
use super::trial::{Block, Kernel, Models, Prepared, Trial};
use super::{Method, Parts, Payload, digest, kernel_dims};
use crate::bound::Tolerance;
use crate::element::Element;
use crate::error::{ArgumentError, Fault, Result};
use crate::fast::Effort;
use crate::lattice::exact::Coding;
use crate::lattice::multilevel::{self, Profile};
use crate::model::Predictor;
use crate::parallel::{self, Threads};
use crate::sparse;
use crate::stats::{self, ErrorStats};

/// One way to code the ordinary values of a frame.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    /// The name in reports.
    pub(crate) label: &'static str,
    pub(crate) kernel: Kernel,
    pub(crate) view: View,
}

impl Candidate {
    /// Whether it is the way that a learner improves on.
    pub(crate) fn is_small(&self) -> bool {
        matches!(self.kernel, Kernel::Multilevel(multilevel::Options { profile: Profile::Small }))
            && self.view == View::Plain
    }

    fn is_learner(&self) -> bool {
        matches!(self.kernel, Kernel::Learner)
    }
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
    pub(crate) method: Method,
    /// The distance from the bound that is kept for other engines, where a network predicts.
    pub(crate) guard: Option<sparse::Guard>,
}

/// What a learner must gain on the way that it improves on, and what it may: one in so many bytes.
const MUST_GAIN: u64 = 64;
pub(crate) const MAY_GAIN: u64 = 6;

/// Codes a block in the way of the candidate that gives the fewest bytes.
pub(crate) fn encode<T: Element>(
    block: &Block<T>,
    candidates: &[Candidate],
    models: &Models,
    threads: Threads,
) -> Result<Encoded> {
    race(block, candidates, models, threads, |race| finish(race, models))
}

/// What each candidate would take, in bytes.
pub(crate) fn sizes<T: Element>(
    block: &Block<T>,
    candidates: &[Candidate],
    models: &Models,
    threads: Threads,
) -> Result<Vec<(&'static str, u64)>> {
    race(block, candidates, models, threads, |race| Ok(race.tried))
}

/// Tries the candidates, and does something with what they gave.
fn race<T: Element, R>(
    block: &Block<T>,
    candidates: &[Candidate],
    models: &Models,
    threads: Threads,
    then: impl FnOnce(Race<T>) -> Result<R>,
) -> Result<R> {
    let block = Block { dims: kernel_dims(block.dims), ..*block };
    let values = block.values;
    // Who is in haste about the values is so about which of them are missing.
    let is_hasty = |c: &Candidate| matches!(c.kernel, Kernel::Fast(Effort::Hasty) | Kernel::Exact(Coding::Differences));
    let effort = if candidates.iter().all(is_hasty) { Effort::Hasty } else { Effort::Thorough };
    let plain = Prepared::new(block, None, effort);
    let seen = |view| candidates.iter().any(|c| c.view == view);
    let hole = if seen(View::Hole) { frequent_value(values, plain.ordinary.as_deref()) } else { None };
    let holed = hole.map(|h| Prepared::new(block, Some(h), effort));
    let table = if seen(View::Table) { plain.table(effort) } else { None };

    let mut race = Race { tried: Vec::new(), improved_on: None, best: None };
    match plain.constant() {
        Some(trial) => {
            race.enter("constant", &plain, trial);
        }
        None => {
            // Where a table holds the values of an absolute bound, places in it take fewer bytes almost always.
            let table_alone =
                table.is_some() && effort == Effort::Hasty && matches!(block.tolerance, Tolerance::Absolute(_));
            let prepared = |c: &Candidate| match c.view {
                View::Plain if table_alone => None,
                View::Plain => Some((&plain, None)),
                View::Hole => holed.as_ref().map(|p| (p, None)),
                View::Table => table.as_ref().map(|t| (&plain, Some(t))),
            };
            let trial = |c: &Candidate| prepared(c).map_or(Ok(None), |(p, t)| p.trial(&c.kernel, t, models));
            // A learner comes last: what it improves on, if that is tried, says whether it may win.
            let waits = candidates.iter().any(Candidate::is_small);
            let (later, now): (Vec<_>, Vec<_>) = candidates.iter().partition(|c| waits && c.is_learner());
            for ways in [now, later] {
                let ways: Vec<_> = ways.into_iter().filter(|c| !c.is_learner() || race.may_learn()).collect();
                parallel::for_each_in_order(threads, ways, trial, |c, trial| {
                    if let (Some((p, _)), Some(trial)) = (prepared(c), trial?) {
                        let size = race.enter(c.label, p, trial);
                        race.improved_on = race.improved_on.or(Some(size).filter(|_| c.is_small()));
                    }
                    Ok(())
                })?;
            }
            // Verbatim values bound the size of every frame. Where nothing suits that well, or nothing in haste much better, coding without
            // loss may.
            let raw = (values.len() as u64).saturating_mul(T::DATA_TYPE.size() as u64);
            let is_above = |race: &Race<T>, limit: u64| race.best.as_ref().is_none_or(|b| b.size > limit);
            let tried = |coding| candidates.iter().any(|c| matches!(c.kernel, Kernel::Exact(k) if k == coding));
            let nothing_suits = is_above(&race, raw);
            if effort == Effort::Hasty && is_above(&race, raw / 2) && !tried(Coding::Differences) {
                race.enter("differences", &plain, plain.exact(Coding::Differences));
            }
            if nothing_suits && block.tolerance != Tolerance::Lossless {
                let balanced = Kernel::Multilevel(multilevel::Options { profile: Profile::Balanced });
                if let Some(trial) = plain.trial(&balanced, None, models)? {
                    race.enter("multilevel", &plain, trial);
                }
            }
            // That takes many times as long.
            if effort == Effort::Thorough && is_above(&race, raw) && !tried(Coding::Contexts) {
                race.enter("exact", &plain, plain.exact(Coding::Contexts));
            }
            if is_above(&race, raw) {
                race.enter("raw", &plain, plain.raw());
            }
        }
    }
    then(race)
}

/// The frame of the smallest trial, read back.
fn finish<T: Element>(race: Race<T>, models: &Models) -> Result<Encoded> {
    let Race { tried, best: Some(Entry { label: chosen, prepared, trial, .. }), .. } = race else {
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
    let (method, guard, mut back) = (trial.method, trial.guard, trial.values);
    let stats = match trial.errors.filter(|_| trial.read_back) {
        Some(stats) => {
            still_there(&bytes, &parts)?;
            stats
        }
        None => verify(&bytes, prepared, models, &mut back)?,
    };
    Ok(Encoded { bytes, stats, tried, chosen, method, guard })
}

/// The smallest trial so far.
struct Race<'p, 'v, T> {
    tried: Vec<(&'static str, u64)>,
    /// Bytes of the way that a learner improves on, if it was tried.
    improved_on: Option<u64>,
    best: Option<Entry<'p, 'v, T>>,
}

struct Entry<'p, 'v, T> {
    size: u64,
    label: &'static str,
    prepared: &'p Prepared<'v, T>,
    trial: Trial<T>,
}

impl<'p, 'v, T> Race<'p, 'v, T> {
    /// Whether a learner may win, as far as is known.
    fn may_learn(&self) -> bool {
        let both = self.improved_on.zip(self.best.as_ref());
        both.is_none_or(|(n, b)| n <= b.size.saturating_add(b.size / MAY_GAIN))
    }

    /// Bytes that the trial takes.
    fn enter(&mut self, label: &'static str, prepared: &'p Prepared<'v, T>, trial: Trial<T>) -> u64 {
        let size = frame_len(prepared, &trial);
        self.tried.push((label, size));
        // A learner comes last, and takes half as long again to decode; as long as the raster kernel.
        let must_gain = |b: &Entry<T>| trial.method == Method::Learner && b.trial.method != Method::Raster;
        let more = |b: &Entry<T>| if must_gain(b) { size / MUST_GAIN } else { 0 };
        if self.best.as_ref().is_none_or(|b| size.saturating_add(more(b)) < b.size) {
            self.best = Some(Entry { size, label, prepared, trial });
        }
        size
    }
}

/// Checks that the reader finds in a frame what was put there, where its values are known to be within the bound.
fn still_there(bytes: &[u8], parts: &Parts) -> Result<()> {
    let same = |found: &Parts| {
        let Payload::One(payload) = &parts.payload else { return false };
        matches!(found.payload, Payload::One(p) if p == *payload)
            && (found.method, found.domain, found.digest) == (parts.method, parts.domain, parts.digest)
            && found.guard.is_none()
            && (found.classes, found.patches, found.table) == (parts.classes, parts.patches, parts.table)
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
        Fault::Unsupported(kind) => failed(format!("is not read: {kind}")).into(),
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
        if stats::counts(*x, p.fill) {
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
