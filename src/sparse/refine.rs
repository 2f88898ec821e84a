//! How precisely latents are stored: coarser ones are smaller but leave more to correct.

use super::{Blocks, Frame, Options};
use crate::codec::latents::{self, Precision, Step};
use crate::error::Result;
use crate::model::Decoder;

/// Points on which precisions are compared.
const SAMPLE_POINTS: usize = 1 << 13;

/// Bits tried for latents, coarse to fine; neighbors of the best follow.
const BITS: [u32; 4] = [4, 7, 10, 14];

/// Latents as they are stored.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// The section.
    pub(super) bytes: Vec<u8>,
    /// What it decodes to.
    pub(super) latents: Vec<f32>,
    /// About the bytes of latents, bitmap and deltas together.
    pub(super) cost: f64,
}

/// The latents in the precision that seems best.
pub(super) fn store(
    frame: &Frame<'_>,
    blocks: &Blocks,
    phases: &[u16],
    decoder: &dyn Decoder,
    given: &[f32],
    options: &Options,
) -> Result<Stored> {
    let len = decoder.latent_len();
    let integers = given.iter().all(|z| z.fract() == 0.0 && z.abs() <= 16_777_216.0);
    let trial = Trial::new(frame, blocks, phases, decoder, given);
    let (cost, precision) = match &options.latents {
        _ if integers => trial.choose_whole()?,
        Some(precision) => trial.with_cost(precision.clone())?,
        None => trial.choose()?,
    };
    let (bytes, back) = latents::encode(given, len, &precision);
    if back.iter().all(|z| z.is_finite()) {
        Ok(Stored { bytes, latents: back, cost })
    } else {
        let (bytes, latents) = latents::encode(given, len, &Precision::F32);
        Ok(Stored { bytes, latents, cost: trial.with_cost(Precision::F32)?.0 })
    }
}

/// Some of the blocks, one after another, as a frame of their own.
struct Trial<'a> {
    decoder: &'a dyn Decoder,
    given: &'a [f32],
    frame: &'a Frame<'a>,
    phases: Vec<u16>,
    block_len: usize,
    /// Every so many blocks is one of these.
    stride: usize,
    /// Position of each point in block order, and in the frame.
    real: Vec<usize>,
    at: Vec<usize>,
}

impl<'a> Trial<'a> {
    fn new(frame: &'a Frame<'a>, blocks: &Blocks, phases: &[u16], decoder: &'a dyn Decoder, given: &'a [f32]) -> Self {
        let sampled = SAMPLE_POINTS.checked_div(blocks.len).unwrap_or(1).clamp(1, blocks.count.max(1));
        let stride = blocks.count.div_ceil(sampled).max(1);
        let (mut real, mut at) = (Vec::new(), Vec::new());
        for (nth, block) in (0..blocks.count).step_by(stride).enumerate() {
            let first = nth.saturating_mul(blocks.len);
            blocks.visit(block, |local, i, is_real| {
                if is_real {
                    real.push(first.saturating_add(local));
                    at.push(i);
                }
            });
        }
        let phases = at.iter().filter_map(|i| phases.get(*i).copied()).collect();
        Trial { decoder, given, frame, phases, block_len: blocks.len, stride, real, at }
    }

    /// About the bytes with latents in this precision.
    fn cost(&self, precision: &Precision) -> Result<f64> {
        let len = self.decoder.latent_len();
        let (bytes, back) = latents::encode(self.given, len, precision);
        if !back.iter().all(|z| z.is_finite()) {
            return Ok(f64::INFINITY);
        }
        let pick = |all: &[f64]| self.at.iter().filter_map(|i| all.get(*i).copied()).collect::<Vec<f64>>();
        let values = pick(self.frame.values);
        let ok = |j: usize, v: f64| self.at.get(j).is_some_and(|i| (self.frame.ok)(*i, v));
        let part = Frame {
            values: &values,
            precision: self.frame.precision,
            ok: &ok,
            guard: self.frame.guard,
            exponents: self.at.iter().filter_map(|i| self.frame.exponents.get(*i).copied()).collect(),
            normalized: pick(&self.frame.normalized),
        };
        let some: Vec<f32> = back.chunks(len).step_by(self.stride).flatten().copied().collect();
        let count = some.len().checked_div(len).unwrap_or(0);
        let mut decoded = vec![0.0f32; count.saturating_mul(self.block_len)];
        self.decoder.decode(&some, &mut decoded)?;
        let predicted: Vec<f32> =
            self.real.iter().filter_map(|r| decoded.get(*r)).map(|v| if v.is_finite() { *v } else { 0.0 }).collect();
        let missed = part.missed(&predicted);
        let (bitmap, deltas) = part.correct_marked(&[self.at.len()], &self.phases, &predicted, &missed);
        let scale = self.frame.values.len() as f64 / self.at.len().max(1) as f64;
        Ok(bytes.len() as f64 + scale * bitmap.len().saturating_add(deltas.len()) as f64)
    }

    fn with_cost(&self, precision: Precision) -> Result<(f64, Precision)> {
        Ok((self.cost(&precision)?, precision))
    }

    /// The precision that gives the fewest bytes.
    fn choose(&self) -> Result<(f64, Precision)> {
        let best = self.with_cost(Precision::F16)?;
        let best = lesser(best, self.with_cost(Precision::F32)?);
        self.choose_steps(best, steps)
    }

    /// The same for latents that have to stay whole numbers between those that occur.
    fn choose_whole(&self) -> Result<(f64, Precision)> {
        let best = self.with_cost(Precision::Steps(vec![Step::INTEGER]))?;
        self.choose_steps(best, whole_steps)
    }

    /// `best`, or steps that take fewer bytes.
    fn choose_steps(
        &self,
        mut best: (f64, Precision),
        steps: fn(&[f32], usize, u32, bool) -> Precision,
    ) -> Result<(f64, Precision)> {
        let (given, len) = (self.given, self.decoder.latent_len());
        let mut offer = |precision: Precision| -> Result<bool> {
            let cost = self.cost(&precision)?;
            let better = cost < best.0;
            if better {
                best = (cost, precision);
            }
            Ok(better)
        };
        let mut bits = 0;
        for b in BITS {
            if offer(steps(given, len, b, false))? {
                bits = b;
            }
        }
        if bits > 0 {
            for b in [bits.saturating_sub(1), bits.saturating_add(1)] {
                if offer(steps(given, len, b, false))? {
                    bits = b;
                }
            }
            if len > 1 {
                offer(steps(given, len, bits, true))?;
            }
        }
        Ok(best)
    }
}

fn lesser(a: (f64, Precision), b: (f64, Precision)) -> (f64, Precision) {
    if b.0 < a.0 { b } else { a }
}

/// Steps that divide the range of the latents, or of each latent of a block, into `2^bits - 1`.
fn steps(given: &[f32], len: usize, bits: u32, each: bool) -> Precision {
    let intervals = 2f64.powi(bits.cast_signed()) - 1.0;
    each_or_all(len, each, |first, stride| {
        let (low, high) = range(given, first, stride);
        #[allow(clippy::cast_possible_truncation, reason = "steps are f32")]
        let step = ((f64::from(high) - f64::from(low)) / intervals) as f32;
        Step { offset: low, step: if step.is_normal() { step } else { 1.0 } }
    })
}

/// Whole steps that divide the range of whole latents into at most `2^bits - 1`.
fn whole_steps(given: &[f32], len: usize, bits: u32, each: bool) -> Precision {
    let intervals = 2f64.powi(bits.cast_signed()) - 1.0;
    each_or_all(len, each, |first, stride| {
        let (low, high) = range(given, first, stride);
        let wide = f64::from(high) - f64::from(low);
        // Odd, so that no latent lies between two steps, of which one may be beyond the range.
        let step = (2.0 * (wide / intervals / 2.0).ceil() - 1.0).max(1.0);
        let over = wide - step * (wide / step).floor();
        #[allow(clippy::cast_possible_truncation, reason = "whole numbers of at most 24 bits")]
        Step { offset: (f64::from(low) + (over / 2.0).floor()) as f32, step: step as f32 }
    })
}

/// Least and greatest of every so many latents.
fn range(given: &[f32], first: usize, stride: usize) -> (f32, f32) {
    let all = given.iter().skip(first).step_by(stride);
    all.fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), z| (l.min(*z), h.max(*z)))
}

/// Steps for each latent of a block, or the same for all.
fn each_or_all(len: usize, each: bool, step: impl Fn(usize, usize) -> Step) -> Precision {
    Precision::Steps(if each { (0..len).map(|j| step(j, len)).collect() } else { vec![step(0, 1)] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_latents_stay_whole_and_within_their_range() {
        for (low, high) in [(-2047_i32, 2047_i32), (-5, 6), (0, 1), (7, 7), (-100, 901), (-16_777_216, 16_777_216)] {
            let step = ((high - low) / 1000).max(1);
            let given: Vec<f32> =
                (low..=high).step_by(step.unsigned_abs() as usize).chain([high]).map(|z| z as f32).collect();
            for bits in 1..=15 {
                let precision = whole_steps(&given, 1, bits, false);
                let Precision::Steps(steps) = &precision else { panic!("no steps") };
                let fits = f64::from(high - low) <= f64::from(steps[0].step) * (2f64.powi(bits as i32) - 1.0) * 2.0;
                assert!(fits, "{low} {high} {bits}: {steps:?}");
                let (_, back) = latents::encode(&given, 1, &precision);
                for (z, b) in given.iter().zip(back) {
                    assert!(b.fract() == 0.0 && b >= low as f32 && b <= high as f32, "{z} -> {b} of {low}..{high}");
                    assert!((z - b).abs() <= steps[0].step / 2.0, "{z} -> {b}, {steps:?}");
                }
            }
        }
    }
}
