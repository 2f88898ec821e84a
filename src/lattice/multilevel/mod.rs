//! Multilevel kernel (SPEC 9.2): points are refined level by level, each predicted from known ones on both sides.

mod pass;
mod small;

use crate::codec::arithmetic::{Decoder, Encoder};
use crate::codec::cursor::{Cursor, put_varint, unzigzag, zigzag};
use crate::error::FormatError;
use crate::lattice::Grid;
use crate::lattice::quantizer::Quantizer;
use pass::{AXES, LEAD_MAX, Plan, Shape};
use small::Setup;

/// What the writer is after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// The fewest bytes; about a million values a second.
    Small,
    /// Few bytes at ten times that speed.
    Balanced,
}

/// How to encode.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) profile: Profile,
}

const FLAG_SNAPPED: u8 = 1;
const FLAG_JOINT: u8 = 2;
/// The step is stored in 8 bytes instead of its upper 4.
const FLAG_LONG_STEP: u8 = 4;
/// Nothing follows the origin, which is the value of every point.
const FLAG_FLAT: u8 = 8;
/// Leads and distances of the axes follow.
const FLAG_AXES: u8 = 16;
/// Level factors: two bits.
const FACTORS_SHIFT: u8 = 5;

/// Step sizes of levels 1, 2, 3 and 4 up, as factors of the finest.
const FACTORS: [[f64; 4]; 4] =
    [[1.0, 1.0, 1.0, 1.0], [1.0, 0.8, 0.64, 0.5], [1.0, 0.75, 0.5, 0.375], [1.0, 0.625, 0.375, 0.25]];

#[derive(Debug, Clone, Copy)]
struct Header {
    snapped: bool,
    factors: usize,
    step: f64,
    /// Whole number of steps from zero to the prediction of the first point.
    origin: i64,
    plan: Plan,
}

/// Bound on the origin, so that it is exact in a binary64.
const ORIGIN_MAX: u64 = 1 << 52;

impl Header {
    fn write_to(&self, out: &mut Vec<u8>, shape: &Shape, flat: bool) {
        let bits = self.step.to_bits();
        let long = bits & 0xffff_ffff != 0;
        let axes = !flat && (self.plan.leads != [0; AXES] || self.plan.distances != [0; AXES]);
        let mut flags = u8::try_from(self.factors & 3).unwrap_or(0) << FACTORS_SHIFT;
        for (set, flag) in [
            (self.snapped, FLAG_SNAPPED),
            (self.plan.joint, FLAG_JOINT),
            (long, FLAG_LONG_STEP),
            (flat, FLAG_FLAT),
            (axes, FLAG_AXES),
        ] {
            flags |= if set { flag } else { 0 };
        }
        out.push(flags);
        let [b0, b1, b2, b3, b4, b5, b6, b7] = bits.to_le_bytes();
        if long {
            out.extend([b0, b1, b2, b3]);
        }
        out.extend([b4, b5, b6, b7]);
        put_varint(out, zigzag(self.origin));
        if axes {
            for a in shape.real_axes() {
                if let (Some(lead), Some(distance)) = (self.plan.leads.get(a), self.plan.distances.get(a)) {
                    out.push(lead | distance << 4);
                }
            }
        }
    }

    fn read_from(c: &mut Cursor, shape: &Shape) -> Result<(Self, bool), FormatError> {
        let flags = c.u8("multilevel flags")?;
        if flags & 0x80 != 0 {
            return Err(FormatError::Value { field: "multilevel flags", found: flags.into(), expected: 0x7f });
        }
        let is = |flag: u8| flags & flag != 0;
        let step = if is(FLAG_LONG_STEP) {
            c.f64("multilevel step")?
        } else {
            f64::from_bits(u64::from(c.u32("multilevel step")?) << 32)
        };
        if !(step > 0.0 && step < f64::INFINITY) {
            return Err(FormatError::Value { field: "multilevel step", found: step.to_bits(), expected: 1 });
        }
        let origin = unzigzag(c.varint("multilevel origin")?);
        if origin.unsigned_abs() > ORIGIN_MAX {
            return Err(FormatError::Value {
                field: "multilevel origin",
                found: origin.unsigned_abs(),
                expected: ORIGIN_MAX,
            });
        }
        let mut plan = Plan { joint: is(FLAG_JOINT), leads: [0; AXES], distances: [0; AXES] };
        if is(FLAG_AXES) {
            for a in shape.real_axes() {
                let byte = c.u8("multilevel axis")?;
                if let (Some(lead), Some(distance)) = (plan.leads.get_mut(a), plan.distances.get_mut(a)) {
                    (*lead, *distance) = (byte & LEAD_MAX, byte >> 4);
                }
            }
        }
        let factors = usize::from(flags >> FACTORS_SHIFT & 3);
        Ok((Header { snapped: is(FLAG_SNAPPED), factors, step, origin, plan }, is(FLAG_FLAT)))
    }

    fn setup(&self, tolerance: f64) -> Setup {
        #[allow(clippy::cast_precision_loss, reason = "the origin is below 2^53")]
        let origin = self.origin as f64 * self.step;
        Setup {
            plan: self.plan,
            quantizer: Quantizer::new(self.step, self.snapped),
            origin,
            factors: FACTORS.get(self.factors).copied().unwrap_or([1.0; 4]),
            step: self.step,
            tolerance,
        }
    }
}

/// Encodes the ordinary points of `values`; `recon` receives what [`decode`] will give, within `tolerance`.
/// `None` if the values do not suit: corrections too large, or the tolerance below their precision.
pub(crate) fn encode(
    values: &[f64],
    grid: &Grid,
    tolerance: f64,
    _options: &Options,
    recon: &mut [f64],
) -> Option<Vec<u8>> {
    let shape = Shape::new(grid.dims);
    let step = f64::from_bits((2.0 * tolerance).to_bits() & !0xffff_ffff);
    if !(step > 0.0 && step < f64::INFINITY) {
        return None;
    }
    let first = values.iter().enumerate().find(|(i, _)| grid.is_ordinary(*i)).map_or(0.0, |(_, v)| *v);
    #[allow(clippy::cast_possible_truncation, reason = "checked against the largest origin")]
    let origin = (first / step).round_ties_even() as i64;
    if origin.unsigned_abs() > ORIGIN_MAX {
        return None;
    }
    let flat = Header { snapped: false, factors: 0, step, origin, plan: Plan::default() };
    let constant = flat.setup(tolerance).origin;
    if values.iter().enumerate().all(|(i, v)| !grid.is_ordinary(i) || (v - constant).abs() <= tolerance) {
        recon.fill(constant);
        let mut out = Vec::new();
        flat.write_to(&mut out, &shape, true);
        return Some(out);
    }
    let plan = Plan { joint: false, leads: [0; AXES], distances: [0; AXES] };
    let header = Header { snapped: false, factors: 0, step, origin, plan };
    let mut coder = Encoder::new();
    small::run(&mut coder, Some(values), grid, &header.setup(tolerance), recon).ok()?;
    let mut out = Vec::new();
    header.write_to(&mut out, &shape, false);
    out.extend(coder.finish());
    Some(out)
}

/// Decodes what [`encode`] made for the same grid.
///
/// # Errors
/// If the bytes are not what some encoder could have made, as far as that is seen.
pub(crate) fn decode(bytes: &[u8], grid: &Grid, out: &mut [f64]) -> Result<(), FormatError> {
    let shape = Shape::new(grid.dims);
    let mut c = Cursor::new(bytes);
    let (header, flat) = Header::read_from(&mut c, &shape)?;
    if flat {
        out.fill(header.setup(0.0).origin);
        return c.finish("multilevel header");
    }
    let mut coder = Decoder::new(c.take_rest());
    small::run(&mut coder, None, grid, &header.setup(0.0), out)?;
    coder.finish("multilevel payload")
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small test data")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(values: &[f64], dims: &[usize], ordinary: Option<&[bool]>, tolerance: f64) -> Option<Vec<u8>> {
        let grid = Grid { dims, ordinary };
        let mut recon = vec![0.0; values.len()];
        let bytes = encode(values, &grid, tolerance, &Options { profile: Profile::Small }, &mut recon)?;
        let mut out = vec![0.0; values.len()];
        decode(&bytes, &grid, &mut out).unwrap();
        for i in 0..values.len() {
            if grid.is_ordinary(i) {
                assert_eq!(out[i].to_bits(), recon[i].to_bits());
                assert!((values[i] - out[i]).abs() <= tolerance);
            }
        }
        Some(bytes)
    }

    #[test]
    fn a_constant_costs_a_few_bytes() {
        let bytes = round_trip(&[273.15; 10000], &[10, 10, 100], None, 0.01).unwrap();
        assert!(bytes.len() <= 8, "{}", bytes.len());
    }

    #[test]
    fn a_smooth_field_is_small() {
        let values: Vec<f64> = (0..40_000i32).map(|i| f64::from(i % 200).sqrt() + f64::from(i / 200) * 0.02).collect();
        let bytes = round_trip(&values, &[200, 200], None, 0.01).unwrap();
        assert!(bytes.len() < 600, "{}", bytes.len());
    }

    #[test]
    fn an_empty_frame_and_a_frame_without_ordinary_points() {
        assert!(round_trip(&[], &[0], None, 1.0).is_some());
        assert!(round_trip(&[1.0, 2.0], &[2], Some(&[false, false]), 1.0).is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn anything_round_trips(
            dims in prop::collection::vec(1usize..7, 1..7),
            seed in prop::collection::vec((-1e3f64..1e3, any::<bool>()), 1..64),
            tolerance in 1e-4f64..1e2,
            masked in any::<bool>(),
        ) {
            let n: usize = dims.iter().product();
            let values: Vec<f64> = (0..n).map(|i| seed[i % seed.len()].0 * (i / seed.len() + 1) as f64).collect();
            let ordinary: Vec<bool> = (0..n).map(|i| seed[(i * 7) % seed.len()].1).collect();
            round_trip(&values, &dims, masked.then_some(&ordinary[..]), tolerance).unwrap();
        }

        #[test]
        fn damage_never_panics(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
            dims in prop::collection::vec(1usize..9, 1..5),
        ) {
            let mut out = vec![0.0; dims.iter().product()];
            let _ = decode(&bytes, &Grid { dims: &dims, ordinary: None }, &mut out);
        }
    }
}
