//! Better latents than the encoder's: a writer may store any, and what counts is what they decode to.

use super::{Blocks, Frame, batch, is_exponent};
use crate::error::Result;
use crate::model::Decoder;
use crate::normalize;

/// Latents tried for each block where a block has one.
const GRID: u16 = 128;

/// Latents of a block up to which each is moved on its own.
const MOVED: usize = 16;

/// Parts of the range of a latent by which it is moved, one after another.
const MOVES: [f32; 5] = [0.12, 0.06, 0.03, 0.015, 0.008];

/// What to ask of the errors of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// That they are small: for bounds that most points then keep without a correction.
    Small,
    /// That they differ little from point to point: for bounds at which nearly all points are corrected, each in the
    /// light of the one before.
    Smooth,
}

/// The latents `given` by an encoder, or others in their range whose blocks have errors more as wished.
pub(super) fn improve(
    frame: &Frame<'_>,
    blocks: &Blocks,
    decoder: &dyn Decoder,
    given: &[f32],
    wish: Wish,
) -> Result<Vec<f32>> {
    let len = decoder.latent_len();
    let integers = given.iter().all(|z| z.fract() == 0.0);
    let goal = Goal::new(frame, blocks, wish);
    let mut best = Best { latents: given.to_vec(), costs: Vec::new() };
    best.costs = goal.costs(decoder, given)?;
    let settle = |z: f32| if integers { z.round() } else { z };
    if len == 1 {
        let (low, high) = range(given.iter());
        let at = |i: u16| settle(low + (high - low) * f32::from(i) / f32::from(GRID.saturating_sub(1)));
        let grid: Vec<f32> = (0..GRID).map(at).collect();
        let mut decoded = vec![0.0; grid.len().saturating_mul(goal.len)];
        decoder.decode(&grid, &mut decoded)?;
        for block in 0..blocks.count {
            for (z, values) in grid.iter().zip(decoded.chunks_exact(goal.len)) {
                best.offer(block, &[*z], goal.cost(block, values));
            }
        }
    } else if len <= MOVED {
        for part in MOVES {
            for j in 0..len {
                let (low, high) = range(given.iter().skip(j).step_by(len));
                for step in [part * (high - low), -part * (high - low)] {
                    let mut moved = best.latents.clone();
                    for z in moved.iter_mut().skip(j).step_by(len) {
                        *z = settle(*z + step).clamp(low, high);
                    }
                    let costs = goal.costs(decoder, &moved)?;
                    for (block, (z, cost)) in moved.chunks_exact(len).zip(costs).enumerate() {
                        best.offer(block, z, cost);
                    }
                }
            }
        }
    }
    Ok(best.latents)
}

fn range<'z>(latents: impl Iterator<Item = &'z f32>) -> (f32, f32) {
    latents.fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), z| (l.min(*z), h.max(*z)))
}

/// The latents found so far and what they cost.
struct Best {
    latents: Vec<f32>,
    costs: Vec<f32>,
}

impl Best {
    fn offer(&mut self, block: usize, latents: &[f32], cost: f32) {
        let at = block.saturating_mul(latents.len());
        let held = self.latents.get_mut(at..at.saturating_add(latents.len()));
        if let (Some(known), Some(held)) = (self.costs.get_mut(block), held)
            && cost < *known
        {
            *known = cost;
            held.copy_from_slice(latents);
        }
    }
}

/// What blocks should decode to, and how much it matters.
struct Goal {
    wish: Wish,
    /// Points of a block.
    len: usize,
    /// Normalized values, block after block.
    values: Vec<f32>,
    /// One over what the bound allows at the point; 0 where nothing is predicted.
    weights: Vec<f32>,
}

impl Goal {
    #[allow(clippy::cast_possible_truncation, reason = "networks work in f32")]
    fn new(frame: &Frame<'_>, blocks: &Blocks, wish: Wish) -> Self {
        let points = blocks.count.saturating_mul(blocks.len);
        let mut goal = Goal { wish, len: blocks.len.max(1), values: Vec::new(), weights: Vec::new() };
        goal.values.reserve_exact(points);
        goal.weights.reserve_exact(points);
        for block in 0..blocks.count {
            blocks.visit(block, |_, at, real| {
                let exponent = frame.exponents.get(at).copied().filter(|e| real && is_exponent(*e));
                let value = frame.normalized.get(at).copied().unwrap_or(0.0);
                let weight = exponent.map_or(0.0, |k| 1.0 / normalize::invert(frame.allowed(at), k.saturating_neg()));
                goal.values.push(value as f32);
                // A bound below the type's resolution would drown all other points.
                goal.weights.push((weight as f32).min(1e8));
            });
        }
        goal
    }

    /// About the bits that correcting the block takes, by a function that is fast and grows ever slower.
    fn cost(&self, block: usize, decoded: &[f32]) -> f32 {
        let first = block.saturating_mul(self.len);
        let part = first..first.saturating_add(self.len);
        let (Some(values), Some(weights)) = (self.values.get(part.clone()), self.weights.get(part)) else { return 0.0 };
        let sum = match self.wish {
            Wish::Small => {
                // Eight sums, so that the compiler takes eight points at a time.
                let mut sums = [0.0f32; 8];
                for ((p, y), w) in decoded.chunks(8).zip(values.chunks(8)).zip(weights.chunks(8)) {
                    for (((sum, p), y), w) in sums.iter_mut().zip(p).zip(y).zip(w) {
                        *sum += ((p - y).abs() * w).sqrt();
                    }
                }
                sums.iter().sum::<f32>()
            }
            Wish::Smooth => {
                let mut last = 0.0;
                let each = |((p, y), w): ((&f32, &f32), &f32)| {
                    let error = if *w > 0.0 { (p - y) * w } else { last };
                    let step = (error - last).abs();
                    last = error;
                    step.sqrt()
                };
                decoded.iter().zip(values).zip(weights).map(each).sum()
            }
        };
        if sum.is_finite() { sum } else { f32::INFINITY }
    }

    /// Costs of all blocks with these latents.
    fn costs(&self, decoder: &dyn Decoder, latents: &[f32]) -> Result<Vec<f32>> {
        let each = decoder.latent_len().max(1);
        let count = latents.len().checked_div(each).unwrap_or(0);
        let size = batch(self.len, count);
        let mut costs = Vec::with_capacity(count);
        let mut decoded = vec![0.0; size.saturating_mul(self.len)];
        for some in latents.chunks(size.saturating_mul(each)) {
            let count = some.len().checked_div(each).unwrap_or(0);
            let decoded = decoded.get_mut(..count.saturating_mul(self.len)).unwrap_or_default();
            decoder.decode(some, decoded)?;
            for values in decoded.chunks_exact(self.len) {
                costs.push(self.cost(costs.len(), values));
            }
        }
        Ok(costs)
    }
}

impl Frame<'_> {
    /// About the distance from the value of a point that its bound allows, within a factor of 1.5.
    fn allowed(&self, at: usize) -> f64 {
        let x = self.values.get(at).copied().unwrap_or(0.0);
        let inside = |d: f64| {
            let (up, down) = (self.precision.round(x + d), self.precision.round(x - d));
            up.is_finite() && down.is_finite() && (self.ok)(at, up) && (self.ok)(at, down)
        };
        let mut d = x.abs() * 0.01;
        if inside(d) {
            for _ in 0..WIDER {
                if !inside(d * 2.0) {
                    break;
                }
                d *= 2.0;
            }
        } else {
            for _ in 0..NARROWER {
                d /= 2.0;
                if inside(d) {
                    break;
                }
            }
        }
        if inside(d * 1.4) { d * 1.4 } else { d }
    }
}

/// Halvings and doublings of a hundredth of a value in which its bound is found: 10^-11 to 10^10 of the value.
const WIDER: u32 = 40;
const NARROWER: u32 = 30;
