//! The writer's side of deltas: measures what a delta may miss by, and takes the smallest form.

use super::{
    AXES_MAX, Lattice, Marks, PATCHES_ONLY, Predictor, Unit, compand, put_halves, put_lattice, put_lattice_packed,
    put_patches, residuals,
};
use crate::codec::integers::MAGNITUDE_MAX;
use crate::normalize::invert;
use half::f16;

/// Whether the marked point of this number is inside its bound with a normalized value, given as a function of the
/// prediction that never falls when that grows.
pub(crate) type Lands<'a> = dyn Fn(usize, &dyn Fn(f64) -> f64) -> bool + 'a;

/// What the marked points, in flat order, need.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// The prediction of each.
    pub(crate) predicted: &'a [f64],
    /// The normalized value of each.
    pub(crate) normalized: &'a [f64],
    /// The value of each, which a patch holds.
    pub(crate) values: &'a [f64],
    /// Judges stored deltas.
    pub(crate) lands: &'a Lands<'a>,
    /// Whether the array is of f32.
    pub(crate) single: bool,
}

/// Points whose tolerance is measured; more do not change the choice.
const SAMPLE: usize = 4096;

/// The deltas and patches of the marked points in the fewest bytes found. No bytes if nothing is marked.
pub(crate) fn encode(marks: &Marks<'_>, wanted: &Wanted<'_>) -> Vec<u8> {
    if marks.at.is_empty() {
        return Vec::new();
    }
    let mut forms: Vec<Vec<u8>> = try_halves(wanted).into_iter().collect();
    for lattice in lattices(marks, wanted) {
        let (q, patches) = quantize(lattice, marks, wanted);
        if patches.len() <= q.len() / 2 {
            forms.extend(lattice_form(lattice, &q, &patches, marks, wanted));
        }
    }
    // Patches alone win only where most points need them anyway.
    if forms.is_empty() || marks.at.len() < SAMPLE {
        let everything: Vec<(usize, f64)> = wanted.values.iter().copied().enumerate().collect();
        let mut form = vec![PATCHES_ONLY];
        put_patches(&mut form, &everything, wanted.single);
        forms.push(form);
    }
    forms.into_iter().min_by_key(Vec::len).unwrap_or_default()
}

fn try_halves(wanted: &Wanted<'_>) -> Option<Vec<u8>> {
    let mut patches = Vec::new();
    let points = wanted.normalized.iter().zip(wanted.predicted).zip(wanted.values).enumerate();
    let halves: Vec<f16> = points
        .map(|(ordinal, ((y, p), value))| {
            let half = f16::from_f64(y - p);
            if half.is_finite() && (wanted.lands)(ordinal, &|p| p + half.to_f64()) {
                half
            } else {
                patches.push((ordinal, *value));
                f16::ZERO
            }
        })
        .collect();
    // Where most points fail, patches alone are smaller.
    if patches.len() > halves.len() / 2 {
        return None;
    }
    let mut form = Vec::new();
    put_halves(&mut form, &halves);
    put_patches(&mut form, &patches, wanted.single);
    Some(form)
}

/// A marked point of the sample, and by how much its delta may miss on either side.
struct Tolerance {
    ordinal: usize,
    miss: f64,
}

fn exponent_at(marks: &Marks<'_>, ordinal: usize) -> i16 {
    marks.at.get(ordinal).and_then(|i| marks.points.exponents.get(*i)).copied().unwrap_or(0)
}

fn wanted_delta(wanted: &Wanted<'_>, ordinal: usize) -> f64 {
    match (wanted.normalized.get(ordinal), wanted.predicted.get(ordinal)) {
        (Some(y), Some(p)) => y - p,
        _ => 0.0,
    }
}

/// What one step of 1 is for this point in the normalized domain.
fn unit_at(unit: Unit, marks: &Marks<'_>, wanted: &Wanted<'_>, ordinal: usize) -> f64 {
    match unit {
        Unit::One => 1.0,
        Unit::Companded | Unit::Carried => compand::slope(wanted.normalized.get(ordinal).copied().unwrap_or(0.0)),
        Unit::Value => invert(1.0, exponent_at(marks, ordinal).saturating_neg()),
    }
}

/// Tolerances of a spread sample of the marked points; 0 where not even the wanted delta lands.
fn tolerances(marks: &Marks<'_>, wanted: &Wanted<'_>) -> Vec<Tolerance> {
    let count = marks.at.len();
    let sample = count.min(SAMPLE);
    (0..sample)
        .map(|s| {
            // The middle of each of `sample` equal parts, shifted about so as not to follow rows.
            let part = count.checked_div(sample).unwrap_or(1).max(1);
            let shift = s.wrapping_mul(2_654_435_761).checked_rem(part).unwrap_or(0);
            let ordinal = s.saturating_mul(part).saturating_add(shift).min(count.saturating_sub(1));
            let delta = wanted_delta(wanted, ordinal);
            let lands = |miss: f64| {
                (wanted.lands)(ordinal, &|p| p + delta + miss) && (wanted.lands)(ordinal, &|p| p + delta - miss)
            };
            let (mut low, mut high) = (1e-18, 4.0);
            if !lands(low) {
                return Tolerance { ordinal, miss: 0.0 };
            }
            for _ in 0..16 {
                let middle = f64::sqrt(low * high);
                if lands(middle) {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            Tolerance { ordinal, miss: low }
        })
        .collect()
}

/// The lattices that promise the fewest bytes on the sample.
fn lattices(marks: &Marks<'_>, wanted: &Wanted<'_>) -> Vec<Lattice> {
    let sample = tolerances(marks, wanted);
    let mut found: Vec<(f64, Lattice)> = Vec::new();
    for unit in [Unit::One, Unit::Companded, Unit::Value] {
        let mut misses: Vec<f64> = sample
            .iter()
            .filter(|t| t.miss > 0.0)
            .map(|t| t.miss / unit_at(unit, marks, wanted, t.ordinal))
            .filter(|m| m.is_normal())
            .collect();
        misses.sort_by(f64::total_cmp);
        // Deltas between two neighbors on the lattice miss by half a step at most.
        for percent in [0, 1, 5, 15, 40] {
            let Some(miss) = misses.get(misses.len().saturating_mul(percent) / 100) else { continue };
            let step = miss * 1.999;
            if step.is_normal() {
                let lattice = Lattice { unit, step };
                found.push((estimate(lattice, &sample, marks, wanted), lattice));
            }
        }
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found.dedup_by(|a, b| a.1 == b.1);
    let least = found.first().map_or(0.0, |f| f.0);
    // A runner-up of another unit may be coded better than the estimate says.
    found.into_iter().take(2).filter(|f| f.0 <= least * 1.03).map(|f| f.1).collect()
}

/// Bits that the sample would take, roughly: magnitudes, a sign, and a patch for each point that misses.
fn estimate(lattice: Lattice, sample: &[Tolerance], marks: &Marks<'_>, wanted: &Wanted<'_>) -> f64 {
    let patch = if wanted.single { 40.0 } else { 72.0 };
    sample
        .iter()
        .map(|t| match nearest(lattice, t.ordinal, marks, wanted) {
            Some(q) => (1.0 + q.unsigned_abs() as f64).log2() + 1.0,
            None => patch,
        })
        .sum()
}

/// The integer nearest to the wanted delta that lands inside the bound.
fn nearest(lattice: Lattice, ordinal: usize, marks: &Marks<'_>, wanted: &Wanted<'_>) -> Option<i64> {
    let exponent = exponent_at(marks, ordinal);
    let exact = match (lattice.unit, wanted.normalized.get(ordinal), wanted.predicted.get(ordinal)) {
        (Unit::Companded | Unit::Carried, Some(y), Some(p)) => {
            (compand::compress(*y) - compand::compress(*p)) / lattice.step
        }
        _ => wanted_delta(wanted, ordinal) / (unit_at(lattice.unit, marks, wanted, ordinal) * lattice.step),
    };
    // Well inside 2^53, so that predictions of integers stay inside it too.
    if exact.is_nan() || exact.abs() > (MAGNITUDE_MAX / 16) as f64 {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, reason = "below 2^53")]
    let q = exact.round() as i64;
    let other = if (q as f64) < exact { q.saturating_add(1) } else { q.saturating_sub(1) };
    [q, other].into_iter().find(|q| (wanted.lands)(ordinal, &|predicted| lattice.normalized(*q, predicted, exponent)))
}

/// The integers of all marked points, and the points that none lands for; those have 0.
fn quantize(lattice: Lattice, marks: &Marks<'_>, wanted: &Wanted<'_>) -> (Vec<i64>, Vec<(usize, f64)>) {
    let mut patches = Vec::new();
    let q = wanted
        .values
        .iter()
        .enumerate()
        .map(|(ordinal, value)| {
            nearest(lattice, ordinal, marks, wanted).unwrap_or_else(|| {
                patches.push((ordinal, *value));
                0
            })
        })
        .collect();
    (q, patches)
}

/// The shorter form of the lattice, predicted along the number of axes that gives the smallest residuals.
fn lattice_form(
    lattice: Lattice,
    q: &[i64],
    patches: &[(usize, f64)],
    marks: &Marks<'_>,
    wanted: &Wanted<'_>,
) -> Option<Vec<u8>> {
    let cost = |lattice: Lattice, axes: u8| {
        let mut bits = 0.0;
        let each = |r: i64| bits += (1.0 + 2.0 * r.unsigned_abs() as f64).log2();
        let predictor = Predictor::new(axes, lattice.decade()?, marks);
        residuals(predictor, marks, q, each).map(|()| bits)
    };
    let plain = lattice;
    let carried = (lattice.unit == Unit::Companded).then_some(Lattice { unit: Unit::Carried, ..lattice });
    let wide = marks.points.dims.iter().filter(|d| **d > 1).count();
    let (_, lattice, axes) = [Some(lattice), carried]
        .into_iter()
        .flatten()
        .flat_map(|l| (0..=AXES_MAX).map(move |a| (l, a)))
        .filter(|(_, a)| usize::from(*a) <= wide.max(1))
        .filter_map(|(l, a)| cost(l, a).map(|bits| (bits, l, a)))
        .min_by(|a, b| a.0.total_cmp(&b.0))?;
    let head = marks.at.len().min(SAMPLE);
    let start = Marks { at: marks.at.get(..head).unwrap_or_default(), ..*marks };
    let sample = q.get(..head).unwrap_or_default();
    let put = |put: Put, lattice: Lattice, axes: u8, q: &[i64], marks: &Marks<'_>| {
        let mut form = Vec::new();
        put(&mut form, lattice, axes, q, marks).map(|()| form)
    };
    let len = |form: Option<Vec<u8>>| form.map_or(usize::MAX, |f| f.len());
    let limit = len(put(put_lattice, lattice, axes, sample, &start)).saturating_mul(2);
    let mut best = put(put_lattice, lattice, axes, q, marks);
    // bzip2 finds what repeats, with prediction or without; it mostly shows at the start already.
    for (lattice, axes) in [(lattice, axes), (plain, 0)] {
        if len(put(put_lattice_packed, lattice, axes, sample, &start)) <= limit {
            let form = put(put_lattice_packed, lattice, axes, q, marks);
            best = best.into_iter().chain(form).min_by_key(Vec::len);
        }
    }
    best.map(|mut form| {
        put_patches(&mut form, patches, wanted.single);
        form
    })
}

/// Appends one form of the lattice.
type Put = fn(&mut Vec<u8>, Lattice, u8, &[i64], &Marks<'_>) -> Option<()>;
