//! In which numbers networks are told sizes, and what they answer (SPEC 9.2.7, 9.2.8, 9.3.7).

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::arithmetic_side_effects,
    reason = "exponents of binary32 are small, and scales are clamped"
)]

/// Logarithms are in units of 1/128.
pub(super) const UNIT: f32 = 128.0;
/// The scale in an answer is in sixteenths of an octave, straight lines between whole ones, within this.
const SCALES: (f32, f32) = (-128.0, 96.0);
/// The shift in a learner's answer is in units, within this.
const SHIFT_MAX: f32 = 512.0;

/// What a learner expects of a point, in steps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opinion {
    /// How far the value lies above what was expected without it.
    pub(super) shift: f64,
    /// Scale of the logistic distribution around that.
    pub(super) scale: f32,
}

impl Opinion {
    /// What an answer says, a unit being `unit` steps.
    pub(super) fn of([shift, octaves]: [f32; 2], unit: f32) -> Self {
        let shift = shift.clamp(-SHIFT_MAX, SHIFT_MAX) * unit;
        Opinion { shift: f64::from(shift), scale: scale(unit, octaves * 16.0) }
    }
}

/// Quarters of an octave, of 8 units each.
#[inline(always)]
pub(super) fn log(x: f32) -> f32 {
    (((x.to_bits() >> 21) as i32 - (127 << 2)) * 8).clamp(-1023, 1023) as f32
}

/// What an answer says of the scale: whole octaves are exponents, sixteenths the upper bits of the fraction.
#[inline(always)]
pub(super) fn scale(unit: f32, sixteenths: f32) -> f32 {
    let sixteenths = sixteenths.clamp(SCALES.0, SCALES.1).floor() as i32;
    unit * f32::from_bits(((127 * 16 + sixteenths) as u32) << 19)
}
