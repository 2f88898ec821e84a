//! Whether anything repeats, by a small part of the values. On the writer's side only.

use super::fill;
use crate::fast::Sample;
use crate::fast::integers::{self, Effort};
use crate::fast::scale::Scale;

/// One in so many points is looked at, in segments.
const PART: usize = 16;
const SEGMENT: usize = 512;

/// The part of the price of a sample that is saved where what stood before in it costs nothing.
pub(super) fn saved<T: Sample>(values: &[T], ordinary: Option<&[bool]>, scale: &Scale, effort: Effort) -> f64 {
    let count = (values.len() / PART / SEGMENT).max(1);
    let apart = values.len() / count;
    let mut sample = vec![0; count * SEGMENT];
    for (k, q) in sample.chunks_exact_mut(SEGMENT).enumerate() {
        // Not in step with the rows.
        let start = k * apart + (k * 37 % 64) * apart.saturating_sub(SEGMENT) / 64;
        let end = values.len().min(start + SEGMENT);
        fill(q, &values[start..end], ordinary.map(|o| &o[start..end]), scale, 0..end - start);
    }
    1.0 - integers::rest(&sample, effort, |range| integers::rough_price(&sample, range))
}
