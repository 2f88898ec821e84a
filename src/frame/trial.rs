//! What candidates share of a frame, and one way to code it: a trial, which is not a frame yet.

use super::class::{self, Class, ClassMap, classify};
use super::decode::{negative_points, precision};
use super::domain::Domain;
use super::table::{self, Table};
use super::{Method, Payload, patch};
use crate::bound::Tolerance;
use crate::element::{DataType, Element};
use crate::error::{ArgumentError, Result};
use crate::fast::{self, Effort};
use crate::lattice::multilevel::{self, Asked, Profile};
use crate::lattice::{Grid, exact, raster};
use crate::model::{Decoder, Encoder, Predictor};
use crate::sparse;
use crate::stats::{self, ErrorStats};
use std::sync::OnceLock;

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

/// The method of a candidate, with its options.
#[derive(Debug, Clone)]
pub(crate) enum Kernel {
    Multilevel(multilevel::Options),
    /// Multilevel, balanced, with the network in the loop.
    Network,
    /// Multilevel, small, with a network that learns on the way.
    Learner,
    Raster(raster::Options),
    Fast(Effort),
    Exact(exact::Coding),
    Sparse(sparse::Options),
}

/// A payload before it is part of a frame.
pub(super) struct Trial<T> {
    pub(super) method: Method,
    pub(super) domain: Domain,
    pub(super) table: Option<Vec<u8>>,
    pub(super) payload: Owned,
    pub(super) patches: Vec<u8>,
    pub(super) values: Vec<T>,
    pub(super) guard: Option<sparse::Guard>,
    /// The errors of the values, if all were found to be within the bound without patches.
    pub(super) errors: Option<ErrorStats>,
    /// Whether the values are what the reader's code made of what is stored.
    pub(super) read_back: bool,
}

pub(super) enum Owned {
    One(Vec<u8>),
    Sparse(sparse::Sections<Vec<u8>>),
}

impl Owned {
    pub(super) fn borrow(&self) -> Payload<'_> {
        match self {
            Owned::One(b) => Payload::One(b),
            Owned::Sparse(s) => {
                Payload::Sparse { exponents: &s.exponents, latents: &s.latents, bitmap: &s.bitmap, deltas: &s.deltas }
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Owned::One(b) => b.len(),
            // Three of the sections carry a length.
            Owned::Sparse(s) => s.len().saturating_add(6),
        }
    }
}

/// What is common to the candidates that share a class map.
pub(super) struct Prepared<'a, T> {
    pub(super) values: &'a [T],
    pub(super) dims: &'a [usize],
    pub(super) tolerance: Tolerance,
    pub(super) map: Option<ClassMap<T>>,
    pub(super) classes: Option<Vec<u8>>,
    pub(super) ordinary: Option<Vec<bool>>,
    /// Points of this very value stand for none: they do not count in errors.
    pub(super) fill: Option<T>,
    /// Least and largest ordinary value.
    pub(super) range: Option<(f64, f64)>,
    /// What the small profile chose for the values themselves, with a learner or without.
    small: OnceLock<Option<multilevel::Choice>>,
}

impl<'a, T: Element> Prepared<'a, T> {
    pub(super) fn new(block: Block<'a, T>, hole: Option<T>, effort: Effort) -> Self {
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
        Prepared { values, dims, tolerance, map, classes, ordinary, fill, range, small: OnceLock::new() }
    }

    pub(super) fn is_ordinary(&self, i: usize) -> bool {
        self.grid().is_ordinary(i)
    }

    pub(super) fn grid(&self) -> Grid<'_> {
        Grid { dims: self.dims, ordinary: self.ordinary.as_deref() }
    }

    fn ordinary_values(&self) -> impl Iterator<Item = T> + Clone {
        self.values.iter().enumerate().filter(|(i, _)| self.is_ordinary(*i)).map(|(_, v)| *v)
    }

    /// The values that ordinary points have, if they are few.
    pub(super) fn table(&self, effort: Effort) -> Option<Table<T>> {
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
        Table::new(self.values, &self.grid(), self.range?, self.tolerance, effort)
    }

    /// All ordinary values as one, if a single value is within the bound of each.
    pub(super) fn constant(&self) -> Option<Trial<T>> {
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
        Some(self.finish(Method::Constant, Domain::Linear, Owned::One(bytes), vec![c; self.values.len()]))
    }

    pub(super) fn raw(&self) -> Trial<T> {
        let mut bytes = Vec::new();
        self.ordinary_values().for_each(|v| v.put_le(&mut bytes));
        self.finish(Method::Raw, Domain::Linear, Owned::One(bytes), self.values.to_vec())
    }

    fn value(&self, i: usize) -> T {
        self.values.get(i).copied().unwrap_or_default()
    }

    /// Runs one kernel, on places in a table if one is given; `None` if it does not suit.
    pub(super) fn trial(&self, kernel: &Kernel, table: Option<&Table<T>>, models: &Models) -> Result<Option<Trial<T>>> {
        Ok(match kernel {
            Kernel::Multilevel(o) => self.multilevel(Method::Multilevel, table, o, Asked::Nobody),
            Kernel::Network => models.in_loop().and_then(|network| {
                let o = multilevel::Options { profile: Profile::Balanced };
                self.multilevel(Method::Network, table, &o, Asked::Trained(network))
            }),
            Kernel::Learner => {
                let o = multilevel::Options { profile: Profile::Small };
                self.multilevel(Method::Learner, table, &o, Asked::Learner)
            }
            Kernel::Raster(o) => {
                self.lattice(Method::Raster, table, |v, t, r| raster::encode(v, &self.grid(), t, o, r))
            }
            Kernel::Fast(effort) => self.fast(table, *effort),
            Kernel::Exact(coding) => Some(self.exact(*coding)),
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
        self.lattice(method, table, |v, t, r| {
            let grid = self.grid();
            let choose = || multilevel::choose(v, &grid, t, options, asked);
            let shared = table.is_none() && options.profile == Profile::Small;
            let own;
            let choice = if shared {
                self.small.get_or_init(choose)
            } else {
                own = choose();
                &own
            };
            multilevel::encode(v, &grid, t, choice.as_ref()?, asked, r)
        })
    }

    /// What the reader's code makes of it is checked here.
    fn fast(&self, table: Option<&Table<T>>, effort: Effort) -> Option<Trial<T>> {
        let mut trial = if let (None, Tolerance::Absolute(e)) = (table, self.tolerance) {
            let range = self.range.unwrap_or_default();
            let codes = fast::encode(self.values, &self.grid(), range, self.linear_tolerance(e), effort)?;
            let mut values = vec![T::default(); self.values.len()];
            fast::decode(&codes, &self.grid(), &mut values).ok()?;
            self.finish(Method::Fast, Domain::Linear, Owned::One(codes), values)
        } else {
            self.lattice(Method::Fast, table, |v, t, r| {
                let range = fast::range(v, self.ordinary.as_deref()).unwrap_or_default();
                let codes = fast::encode(v, &self.grid(), range, t, effort)?;
                fast::decode(&codes, &self.grid(), r).ok()?;
                Some(codes)
            })?
        };
        trial.read_back = self.classes_read_back();
        Some(trial)
    }

    /// The errors of values, those that are not ordinary being as they were, if all are within the bound, as far as can be told soon.
    fn errors(&self, values: &[T]) -> Option<ErrorStats> {
        let mut stats = ErrorStats::new(self.tolerance);
        if !stats.add_bounded(self.values, self.range?, values, self.ordinary.as_deref()) {
            return None;
        }
        let counts = |m: &ClassMap<T>| {
            m.table.iter().any(|c| match c {
                Class::Literal(v) => stats::counts(*v, self.fill),
                Class::Listed => true,
                Class::Ordinary | Class::Negative => false,
            })
        };
        if self.map.as_ref().is_some_and(counts) {
            let others = self.values.iter().zip(self.ordinary.iter().flatten()).filter(|(_, ordinary)| !**ordinary);
            for (x, _) in others.filter(|(x, _)| stats::counts(**x, self.fill)) {
                stats.add(x.to_f64(), x.to_f64());
            }
        }
        Some(stats)
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

    pub(super) fn exact(&self, coding: exact::Coding) -> Trial<T> {
        let q: Vec<u64> = self.values.iter().map(|v| v.to_image()).collect();
        let codes = exact::encode(&q, &self.grid(), coding);
        self.finish(Method::Exact, Domain::Ordered, Owned::One(codes), self.values.to_vec())
    }

    /// A kernel that codes f64 numbers of a domain: (numbers, tolerance, reconstruction) -> bytes.
    pub(super) fn lattice(
        &self,
        method: Method,
        table: Option<&Table<T>>,
        kernel: impl FnOnce(&[f64], f64, &mut [f64]) -> Option<Vec<u8>>,
    ) -> Option<Trial<T>> {
        let (domain, tolerance, mut numbers): (Domain, f64, Vec<f64>) = match (table, self.tolerance) {
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
        for (number, ordinary) in numbers.iter_mut().zip(self.ordinary.iter().flatten()) {
            *number = if *ordinary { *number } else { 0.0 };
        }
        let mut recon = vec![0.0; self.values.len()];
        let codes = kernel(&numbers, tolerance, &mut recon)?;
        let places = table.map_or(&[][..], Table::values);
        let negative = self.map.as_ref().and_then(negative_points);
        let mut values = self.values.to_vec();
        domain.values(&recon, self.ordinary.as_deref(), negative.as_deref(), places, &mut values);
        let table = table.map(|t| t.bytes.clone());
        Some(Trial { table, ..self.finish(method, domain, Owned::One(codes), values) })
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
        let values = recon.iter().map(|v| T::from_f64(*v)).collect();
        Ok(Some(Trial { guard, ..self.finish(Method::Sparse, Domain::Linear, Owned::Sparse(sections), values) }))
    }

    /// Completes a trial: what the method gives at ordinary points, patched where that misses the bound.
    fn finish(&self, method: Method, domain: Domain, payload: Owned, mut values: Vec<T>) -> Trial<T> {
        for ((y, x), ordinary) in values.iter_mut().zip(self.values).zip(self.ordinary.iter().flatten()) {
            *y = if *ordinary { *y } else { *x };
        }
        let errors = self.errors(&values);
        let mut patches = Vec::new();
        if errors.is_none() {
            for (i, (y, x)) in values.iter_mut().zip(self.values).enumerate() {
                if self.is_ordinary(i) && !self.tolerance.allows(*x, *y) {
                    patches.push((i, *x));
                    *y = *x;
                }
            }
        }
        let mut bytes = Vec::new();
        patch::write_to(&patches, &mut bytes);
        let (table, guard, read_back) = (None, None, false);
        Trial { method, domain, table, payload, patches: bytes, values, guard, errors, read_back }
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
