//! The raster kernel: points in C order, each expected from those before it (SPEC 9.3).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "lattice arithmetic in floating point; whole numbers are checked against 2^53 first"
)]

mod learning;
mod least_squares;
mod means;
mod model;
mod native;
mod plan;
mod recent;
mod symbol;

use crate::codec::arithmetic::Decoder;
use crate::codec::cursor::{Cursor, put_varint, unzigzag, zigzag};
use crate::error::FormatError;
use crate::lattice::Grid;
use crate::lattice::causal::{MAX_AXES, Shape};
use crate::lattice::copies::{self, MAX_MAPS, Map};
use model::{MEMORIES, Plan, run};
use plan::Choice;
pub(crate) use plan::Options;

/// Flag: values are whole numbers of steps.
const SNAPPED: u8 = 1;
/// Flag: the step is stored in eight bytes, not four.
const WIDE_STEP: u8 = 2;
/// Flag: an origin is stored; otherwise it is 0.
const ORIGIN: u8 = 4;
/// Flag: extents of rows, planes and so on are stored.
const INNER: u8 = 8;
/// Flag: lattice points lie a stored number of sixteenths of a step above the multiples of the step.
const PHASE: u8 = 16;
/// Flag: maps to earlier points are stored.
const COPIES: u8 = 32;
/// Flag: numbers are coded as they are.
const ABSOLUTE: u8 = 64;
/// How much wider than usual steps must be for a lattice of the data's own to be worth its bytes.
const WORTH: f64 = 1.02;
/// Whole numbers beyond this are not told apart by binary64.
const INDEX_MAX: f64 = 9.0e15;

/// Codes the ordinary points of `values` to within `tolerance`; `recon` receives what a reader will find.
/// `None` if the values do not suit.
pub(crate) fn encode(
    values: &[f64],
    grid: &Grid,
    tolerance: f64,
    options: &Options,
    recon: &mut [f64],
) -> Option<Vec<u8>> {
    // Four bytes of step, rounded down, and a little room for the rounding of the reconstruction.
    let step = f64::from_bits((2.0 * tolerance * (1.0 - 1.0e-9)).to_bits() & !0xffff_ffff);
    if !(step > f64::MIN_POSITIVE && step < f64::MAX) {
        return None;
    }
    let kept: Vec<f64>;
    let filled = match grid.ordinary {
        None => values,
        Some(_) => {
            kept = fill(values, grid);
            &kept
        }
    };
    let within = |i: usize, r: f64, x: f64| !grid.is_ordinary(i) || (r - x).abs() <= tolerance;
    let holds = |recon: &[f64]| recon.iter().zip(values).enumerate().all(|(i, (r, x))| within(i, *r, *x));
    let native = if options.snapped || options.either { native_lattice(filled, tolerance) } else { None };
    let regular = |snapped| {
        let phase = if snapped { plan::phase(filled, step) } else { 0 };
        Lattice { step, origin: 0.0, phase }
    };
    let code = |snapped: bool, recon: &mut [f64]| {
        let options = Options { snapped, ..options.clone() };
        if let Some(lattice) = native.filter(|_| snapped)
            && let Some(out) = write(filled, grid, lattice, &options, recon)
            && holds(recon)
        {
            return Some(out);
        }
        let out = write(filled, grid, regular(snapped), &options, recon)?;
        holds(recon).then_some(out)
    };
    if !options.either {
        return code(options.snapped, recon);
    }
    let Some((_, free)) = wanted(filled, regular(false)) else { return code(true, recon) };
    if copies::find(&free, grid.ordinary, &shape_of(grid, &[])).is_empty() {
        let bytes = |wanted: &[f64], snapped| plan::on_a_part(wanted, grid, snapped);
        let whole = wanted(filled, native.unwrap_or_else(|| regular(true)));
        return code(whole.is_some_and(|(_, whole)| bytes(&whole, true) < bytes(&free, false)), recon);
    }
    // What is mirrored does not show on a part.
    let mut other = vec![0.0; recon.len()];
    let (free, snapped) = (code(false, &mut other), code(true, recon));
    let len = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(usize::MAX, Vec::len);
    if len(&free) > len(&snapped) {
        return snapped;
    }
    recon.copy_from_slice(&other);
    free
}

/// Every so many points of the lattice that the values lie on, if that is coarser than the tolerance allows otherwise.
fn native_lattice(values: &[f64], tolerance: f64) -> Option<Lattice> {
    let native = native::find(values)?;
    let count = ((2.0 * (tolerance - native.noise)) / native.spacing).floor() + 1.0;
    let step = count * native.spacing;
    let origin = native.origin + (count - 1.0) * 0.5 * native.spacing;
    (count >= 1.0 && step > 2.0 * tolerance * WORTH).then_some(Lattice { step, origin, phase: 0 })
}

/// Codes the ordinary points of `values`, all whole numbers below 2^53 in magnitude, without loss.
pub(super) fn encode_whole(values: &[f64], grid: &Grid) -> Option<Vec<u8>> {
    let options = Options { snapped: true, ..Options::default() };
    let mut recon = vec![0.0; values.len()];
    let out = write(values, grid, Lattice { step: 1.0, origin: 0.0, phase: 0 }, &options, &mut recon)?;
    recon.iter().zip(values).enumerate().all(|(i, (r, x))| r == x || !grid.is_ordinary(i)).then_some(out)
}

/// Where the points of the lattice lie.
#[derive(Debug, Clone, Copy)]
struct Lattice {
    /// Distance between them.
    step: f64,
    /// One of them, but for the phase.
    origin: f64,
    /// How far they lie above multiples of the step, in sixteenths of a step.
    phase: u8,
}

impl Lattice {
    /// How far its points lie above multiples of the step, in steps.
    fn shift(self) -> f64 {
        f64::from(self.phase) / 16.0
    }
}

/// The lattice point next to the first value, and where all lie in steps from there; `None` if they do not suit.
fn wanted(values: &[f64], lattice: Lattice) -> Option<(f64, Vec<f64>)> {
    let place = |x: f64| (x - lattice.origin) / lattice.step - lattice.shift();
    let base = place(values.first().copied().unwrap_or(0.0)).round_ties_even();
    if base.is_nan() || base.abs() >= INDEX_MAX {
        return None;
    }
    Some((base, values.iter().map(|x| place(*x) - base).collect()))
}

fn write(values: &[f64], grid: &Grid, lattice: Lattice, options: &Options, recon: &mut [f64]) -> Option<Vec<u8>> {
    let Lattice { step, origin, phase } = lattice;
    let (mut base, mut wanted) = wanted(values, lattice)?;
    if options.copies_only && copies::find(&wanted, grid.ordinary, &shape_of(grid, &options.inner)).is_empty() {
        return None;
    }
    let Choice { inner, absolute, memory, whole } = plan::choose(&wanted, grid, options);
    if absolute {
        // The most frequent number is coded as 0.
        let mode = plan::mode(&wanted);
        base += mode;
        wanted.iter_mut().for_each(|w| *w -= mode);
    }
    let shape = shape_of(grid, &inner);
    let maps = copies::find(&wanted, grid.ordinary, &shape);
    let mut plan = Plan { shape, snapped: options.snapped, absolute, memory, maps };

    let coded = match whole.filter(|_| plan.maps.is_empty()) {
        Some(whole) => whole,
        None => plan::code(&mut plan, grid.ordinary, &wanted)?,
    };
    recon.copy_from_slice(&coded.found);

    let bytes = step.to_le_bytes();
    let wide = bytes[..4] != [0; 4];
    let flags = if options.snapped { SNAPPED } else { 0 }
        | if inner.is_empty() { 0 } else { INNER }
        | if phase == 0 { 0 } else { PHASE }
        | if plan.maps.is_empty() { 0 } else { COPIES }
        | if absolute { ABSOLUTE } else { 0 }
        | if wide { WIDE_STEP } else { 0 }
        | if origin == 0.0 { 0 } else { ORIGIN };
    let mut out = vec![flags, plan.memory];
    out.extend(if wide { &bytes[..] } else { &bytes[4..] });
    if origin != 0.0 {
        out.extend(origin.to_le_bytes());
    }
    if phase != 0 {
        out.push(phase);
    }
    put_varint(&mut out, zigzag(base as i64));
    if !inner.is_empty() {
        out.push(inner.len() as u8);
        inner.iter().for_each(|n| put_varint(&mut out, *n as u64));
    }
    if !plan.maps.is_empty() {
        out.push(plan.maps.len() as u8);
        plan.maps.iter().for_each(|m| m.write_to(&mut out));
    }
    out.extend(coded.bytes);
    finish(recon, origin, base + lattice.shift(), step);
    Some(out)
}

/// `values` with those that are not ordinary replaced by the last ordinary one.
fn fill(values: &[f64], grid: &Grid) -> Vec<f64> {
    let first = values.iter().enumerate().find(|(i, _)| grid.is_ordinary(*i)).map_or(0.0, |(_, x)| *x);
    let mut last = first;
    let keep = |(i, x): (usize, &f64)| {
        if grid.is_ordinary(i) {
            last = *x;
        }
        last
    };
    values.iter().enumerate().map(keep).collect()
}

/// Inverse of [`encode`]; `out` must have the number of points of `grid`.
pub(crate) fn decode(bytes: &[u8], grid: &Grid, out: &mut [f64]) -> Result<(), FormatError> {
    let mut cursor = Cursor::new(bytes);
    let flags = cursor.u8("raster flags")?;
    let known = SNAPPED | WIDE_STEP | ORIGIN | INNER | PHASE | COPIES | ABSOLUTE;
    if flags & !known != 0 {
        return Err(FormatError::Value { field: "raster flags", found: flags.into(), expected: known.into() });
    }
    let memory = cursor.u8("raster memory")?;
    if memory >= MEMORIES {
        return Err(FormatError::Value {
            field: "raster memory",
            found: memory.into(),
            expected: u64::from(MEMORIES) - 1,
        });
    }
    let step = if flags & WIDE_STEP != 0 {
        cursor.f64("raster step")?
    } else {
        f64::from_bits(u64::from(cursor.u32("raster step")?) << 32)
    };
    let origin = if flags & ORIGIN != 0 { cursor.f64("raster origin")? } else { 0.0 };
    if !(step > 0.0 && step.is_finite()) {
        return Err(FormatError::number("raster step", step, "a positive finite number"));
    }
    if !origin.is_finite() {
        return Err(FormatError::number("raster origin", origin, "a finite number"));
    }
    let phase = if flags & PHASE != 0 { cursor.u8("raster phase")? } else { 0 };
    if phase > 15 || (phase == 0) != (flags & PHASE == 0) {
        return Err(FormatError::Value { field: "raster phase", found: phase.into(), expected: 15 });
    }
    let base = unzigzag(cursor.varint("raster base")?) as f64 + f64::from(phase) / 16.0;
    let mut inner = Vec::new();
    if flags & INNER != 0 {
        let count = cursor.u8("raster row axes")?;
        if count == 0 || usize::from(count) >= MAX_AXES {
            let expected = MAX_AXES as u64 - 1;
            return Err(FormatError::Value { field: "raster row axes", found: count.into(), expected });
        }
        let mut unit = 1u64;
        for _ in 0..count {
            let extent = cursor.varint_max("raster row extent", out.len() as u64)?;
            unit = unit.saturating_mul(extent);
            if extent < 2 || unit > out.len() as u64 {
                let expected = out.len() as u64;
                return Err(FormatError::Value { field: "raster row extent", found: extent, expected });
            }
            inner.push(extent as usize);
        }
    }
    let shape = shape_of(grid, &inner);
    let mut maps = Vec::new();
    if flags & COPIES != 0 {
        let count = cursor.u8("copy count")?;
        if count == 0 || usize::from(count) > MAX_MAPS {
            return Err(FormatError::Value { field: "copy count", found: count.into(), expected: MAX_MAPS as u64 });
        }
        for _ in 0..count {
            maps.push(Map::read_from(&mut cursor, shape.axes())?);
        }
    }
    let absolute = flags & ABSOLUTE != 0;
    if absolute && flags & SNAPPED == 0 {
        return Err(FormatError::Value { field: "raster flags", found: flags.into(), expected: known.into() });
    }
    let plan = Plan { shape, snapped: flags & SNAPPED != 0, absolute, memory, maps };
    let mut coder = Decoder::new(cursor.take_rest());
    run(&mut coder, &plan, grid.ordinary, None, None, out).map_err(|_| FormatError::Code { what: "raster points" })?;
    finish(out, origin, base, step);
    coder.finish("raster points")
}

fn shape_of(grid: &Grid, inner: &[usize]) -> Shape {
    if inner.is_empty() { Shape::of_grid(grid.dims) } else { Shape::of_period(grid.len(), inner) }
}

/// Whole numbers of steps to values.
fn finish(v: &mut [f64], origin: f64, base: f64, step: f64) {
    for x in v {
        *x = origin + (base + *x) * step;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(values: &[f64], grid: &Grid, tolerance: f64, options: &Options) -> Option<usize> {
        let mut recon = vec![0.0; values.len()];
        let bytes = encode(values, grid, tolerance, options, &mut recon)?;
        let mut out = vec![7.0; values.len()];
        assert_eq!(decode(&bytes, grid, &mut out), Ok(()));
        for i in 0..values.len() {
            if grid.is_ordinary(i) {
                assert_eq!(out[i].to_bits(), recon[i].to_bits(), "{i}");
                assert!((out[i] - values[i]).abs() <= tolerance, "{i}");
            }
        }
        Some(bytes.len())
    }

    #[test]
    fn smooth_and_repeated_fields_cost_little() {
        let f = |i: usize| ((i % 40) as f64 * 0.2).sin() * ((i / 40) as f64 * 0.1).cos();
        let values: Vec<f64> = (0..1600).map(f).collect();
        for snapped in [false, true] {
            let options = Options { snapped, ..Options::default() };
            let plane = Grid { dims: &[40, 40], ordinary: None };
            assert!(round_trip(&values, &plane, 1e-3, &options).is_some_and(|n| n < 700));
            let line = Grid { dims: &[1600], ordinary: None };
            assert!(round_trip(&values, &line, 1e-3, &options).is_some_and(|n| n < 700));
        }
    }

    #[test]
    fn few_values_without_order_are_told_apart() {
        let levels = [3.0, 120.0, 8.0, 13.0];
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            levels[(state >> 30) as usize]
        };
        let values: Vec<f64> = (0..3000).map(|_| next()).collect();
        let options = Options { snapped: true, ..Options::default() };
        let grid = Grid { dims: &[3000], ordinary: None };
        let n = round_trip(&values, &grid, 0.5, &options);
        assert!(n.is_some_and(|n| n < 1000), "{n:?}");
    }

    #[test]
    fn rows_of_few_values_each_are_coded_by_places() {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 16)
        };
        let mut values = Vec::new();
        for _ in 0..60 {
            let unit = (next() / 8.0).floor();
            values.extend((0..80).map(|_| unit * (next() / 4096.0 - 13.0).floor().max(0.0)));
        }
        let grid = Grid { dims: &[60, 80], ordinary: None };
        let options = Options { snapped: true, ..Options::default() };
        let mut recon = vec![0.0; values.len()];
        let bytes = encode(&values, &grid, 0.5, &options, &mut recon).unwrap();
        assert!(bytes[1] & model::PLACES != 0);
        assert!(round_trip(&values, &grid, 0.5, &options).is_some_and(|n| n < 1200));
    }

    #[test]
    fn a_rule_that_is_not_linear_is_learned() {
        let mut v = 0.3f64;
        let values: Vec<f64> = std::iter::repeat_with(|| {
            v = 1.0 - 1.9 * v.abs();
            v
        })
        .take(6000)
        .collect();
        // As numbers without any order they would take 5000 and 10000 bytes.
        for (snapped, dims, tolerance, most) in [(false, &[6000][..], 0.01, 3000), (true, &[100, 60], 1e-4, 9500)] {
            let grid = Grid { dims, ordinary: None };
            let options = Options { snapped, ..Options::default() };
            let mut recon = vec![0.0; values.len()];
            let bytes = encode(&values, &grid, tolerance, &options, &mut recon).unwrap();
            assert!(bytes[1] & model::LEARNER != 0, "{snapped}");
            let n = round_trip(&values, &grid, tolerance, &options).unwrap();
            assert!(n < most, "{n} {snapped}");
        }
    }

    #[test]
    fn empty_and_single_points_round_trip() {
        for dims in [&[0usize][..], &[1], &[1, 1, 1]] {
            let grid = Grid { dims, ordinary: None };
            let values = vec![3.7; grid.len()];
            assert!(round_trip(&values, &grid, 0.1, &Options::default()).is_some_and(|n| n < 10));
        }
    }

    #[test]
    fn values_too_large_for_the_tolerance_do_not_suit() {
        let grid = Grid { dims: &[2], ordinary: None };
        assert_eq!(round_trip(&[0.0, 1e30], &grid, 1e-3, &Options::default()), None);
        assert_eq!(round_trip(&[1e30, 0.0], &grid, 1e-3, &Options::default()), None);
    }

    #[test]
    fn damaged_streams_end() {
        // A mirrored line of few values: rows, copies and a phase are all in the header.
        let f = |i: usize| ((i % 37) * (i % 37) % 11) as f64 * 0.37 + (i / 37).min(26 - i / 37) as f64;
        let values: Vec<f64> = (0..37 * 27).map(f).collect();
        let grid = Grid { dims: &[27, 37], ordinary: None };
        for snapped in [false, true] {
            let options = Options { snapped, ..Options::default() };
            let mut recon = vec![0.0; values.len()];
            let bytes = encode(&values, &grid, 0.04, &options, &mut recon).unwrap();
            let mut out = vec![0.0; values.len()];
            for at in 0..bytes.len().min(20) {
                let _ = decode(&bytes[..at], &grid, &mut out);
                for change in [1, 0x50] {
                    let mut damaged = bytes.clone();
                    damaged[at] ^= change;
                    let _ = decode(&damaged, &grid, &mut out);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_values_round_trip(
            dims in prop::collection::vec(1usize..5, 1..7),
            seed in prop::collection::vec(-1000.0f64..1000.0, 1..30),
            tolerance in 0.001f64..100.0,
            snapped in any::<bool>(),
            mask in prop::collection::vec(any::<bool>(), 1..9),
        ) {
            let n: usize = dims.iter().product();
            let values: Vec<f64> = seed.iter().cycle().take(n).copied().collect();
            let ordinary: Vec<bool> = mask.iter().cycle().take(n).copied().collect();
            let options = Options { snapped, ..Options::default() };
            for ordinary in [None, Some(ordinary.as_slice())] {
                let grid = Grid { dims: &dims, ordinary };
                prop_assert!(round_trip(&values, &grid, tolerance, &options).is_some());
            }
        }

        #[test]
        fn any_bytes_end(
            dims in prop::collection::vec(1usize..5, 1..7),
            flags in any::<u8>(),
            bytes in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let n: usize = dims.iter().product();
            let mut out = vec![0.0; n];
            let mut stream = vec![flags];
            stream.extend(&bytes);
            let _ = decode(&stream, &Grid { dims: &dims, ordinary: None }, &mut out);
            let mut stream = vec![flags & 1, flags >> 3, 0, 0, 0xf0, 0x3f, 0];
            stream.extend(&bytes);
            let _ = decode(&stream, &Grid { dims: &dims, ordinary: None }, &mut out);
        }
    }
}
