//! What a file proves of itself, without the original: that every engine decodes it within the bounds that its writer
//! checked.

use crate::error::Error;
use crate::frame::Judgement;
use crate::grid::Region;

/// A frame that could not be read.
#[derive(Debug)]
#[non_exhaustive]
pub struct BadFrame {
    /// Index in C order of the array's frames.
    pub frame: u64,
    /// The part of the array that it holds.
    pub region: Region,
    /// What is wrong.
    pub error: Error,
}

/// What is proved of the values of one array, whatever engine decodes them.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Certificate {
    /// Frames whose values are the same on every engine: they have the digest that the writer stored.
    pub exact: u64,
    /// Frames that a network predicts whose last bits depend on the engine.
    pub guarded: u64,
    /// Those of them that this engine decodes to the writer's very bits.
    pub same_bits: u64,
    /// Damaged frames.
    pub bad: Vec<BadFrame>,
    /// Guarded frames whose guard does not cover every conforming engine.
    pub uncovered: Vec<u64>,
    /// The least guard that a frame keeps, in the normalized domain (SPEC 6.1); none without guarded frames.
    pub kept: Option<f32>,
    /// The greatest guard that a frame needs; infinite if no bound on the model's rounding errors is known.
    pub needed: Option<f32>,
    /// The guard that each value of a block needs, at most.
    pub needed_by_output: Vec<f64>,
}

impl Certificate {
    /// Whether every value of the array is within its bound on every conforming engine, given that the writer's were.
    pub fn holds(&self) -> bool {
        self.bad.is_empty() && self.uncovered.is_empty()
    }

    /// Adds what one more frame proves.
    pub(crate) fn take(&mut self, frame: u64, judgement: Judgement) {
        let Some(guard) = judgement.guard else {
            self.exact = self.exact.saturating_add(1);
            return;
        };
        self.guarded = self.guarded.saturating_add(1);
        self.same_bits = self.same_bits.saturating_add(u64::from(judgement.same));
        let (needed, each) = guard.needed.unwrap_or((f32::INFINITY, Vec::new()));
        if guard.kept < needed {
            self.uncovered.push(frame);
        }
        self.kept = Some(self.kept.map_or(guard.kept, |k| k.min(guard.kept)));
        self.needed = Some(self.needed.map_or(needed, |n| n.max(needed)));
        if self.needed_by_output.len() < each.len() {
            self.needed_by_output.resize(each.len(), 0.0);
        }
        self.needed_by_output.iter_mut().zip(each).for_each(|(worst, e)| *worst = worst.max(e));
    }
}
