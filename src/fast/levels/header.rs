//! What the bytes of the levels mode say before the codes (SPEC 9.4.6).

use super::interpolate::{ONE, Weights};
use super::pyramid::{AXES, Level};
use crate::codec::cursor::{Cursor, put_varint, unzigzag, zigzag};
use crate::error::FormatError;

/// Parts of a step that ratios of steps count.
const WHOLE: u8 = 64;
/// Largest magnitude of a weight.
const LARGEST_WEIGHT: i32 = 2 * ONE;

/// The weights of the passes of a level.
pub(super) type Passes = [Weights; 1 << AXES];

/// How the levels are coded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// The level at which each axis is first halved, at most 15.
    pub(super) starts: [u8; AXES],
    /// Step of a level in 64ths of that of the next finer one.
    pub(super) ratio: u8,
    /// Least step in 64ths of that of the finest level.
    pub(super) least: u8,
    /// Weights of the finest levels; coarser ones take the last of them.
    pub(super) weights: Vec<Passes>,
}

impl Header {
    /// Steps of the finest level, the next one and so on, in those of the scale, up to that of the last point.
    pub(super) fn steps(&self, levels: usize) -> Vec<f32> {
        let part = |n: u8| f32::from(n) / f32::from(WHOLE);
        let mut step = 1.0f32;
        let mut steps = vec![step];
        for _ in 0..levels {
            step = (step * part(self.ratio)).max(part(self.least));
            steps.push(step);
        }
        steps
    }

    /// Weights of a pass of level `level`.
    pub(super) fn weights(&self, level: usize, pass: usize) -> Weights {
        let passes = self.weights.get(level).or(self.weights.last());
        let stored = passes.and_then(|p| p.get(pass)).copied();
        // Weights of a pass add up to 1: where all are 0, the level lacks it.
        stored.filter(|w| *w != Weights::default()).unwrap_or_else(|| Weights::cubic(pass))
    }

    pub(super) fn write(&self, levels: &[Level], out: &mut Vec<u8>) {
        let [a, b, c, d] = self.starts;
        out.extend([a | b << 4, c | d << 4, self.ratio, self.least, self.weights.len() as u8]);
        for (level, passes) in levels.iter().zip(&self.weights) {
            for pass in level.passes() {
                let mut w = passes[pass];
                w.free(pass).for_each(|w| put_varint(out, zigzag((*w).into())));
            }
        }
    }

    /// Inverts [`Header::write`]; `levels` gives those of an array whose axes are first halved so.
    pub(super) fn read(
        cursor: &mut Cursor<'_>,
        levels: impl FnOnce([u8; AXES]) -> Vec<Level>,
    ) -> Result<(Self, Vec<Level>), FormatError> {
        let (slow, fast) = (cursor.u8("from of axes")?, cursor.u8("from of axes")?);
        let starts = [slow & 15, slow >> 4, fast & 15, fast >> 4];
        let mut part = |field| match cursor.u8(field)? {
            n @ 1..=WHOLE => Ok(n),
            n => Err(FormatError::Value { field, found: n.into(), expected: WHOLE.into() }),
        };
        let (ratio, least) = (part("ratio of steps")?, part("least step")?);
        let levels = levels(starts);
        let count = cursor.u8("levels with weights")?;
        if usize::from(count) > levels.len() {
            let expected = levels.len() as u64;
            return Err(FormatError::Value { field: "levels with weights", found: count.into(), expected });
        }
        let mut weights = Vec::new();
        for level in &levels[..count.into()] {
            let mut passes = [Weights::default(); 1 << AXES];
            for pass in level.passes() {
                for w in passes[pass].free(pass) {
                    *w = unzigzag(cursor.varint_max("weight", zigzag(LARGEST_WEIGHT.into()))?) as i32;
                }
                passes[pass].complete(pass);
            }
            weights.push(passes);
        }
        Ok((Header { starts, ratio, least, weights }, levels))
    }
}
