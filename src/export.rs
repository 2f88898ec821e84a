//! Writing a decoded array somewhere, in parts that fit memory.

use crate::array::Array;
use crate::certify::BadFrame;
use crate::element::Element;
use crate::error::Result;
use crate::grid::{Indices, Region, for_each_shared_run};
use std::io::{Seek, SeekFrom, Write};
use std::ops::Range;

/// Values that a part may hold: 64 or 128 MiB, beside what decoding its frames takes.
const PART_VALUES: usize = 1 << 24;

/// What to do with a damaged frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// End with its error.
    Fail,
    /// Fill it with NaN, list it and go on.
    Salvage,
}

impl Array<'_> {
    /// Writes `region` to `out` as little-endian values in C order, from where `out` stands, a few frames at a time.
    /// Returns the damaged frames.
    ///
    /// # Errors
    /// As [`Array::read_region`], and [`Error::Io`](crate::Error::Io).
    pub fn write_values<T: Element>(
        &self,
        region: &Region,
        damage: Damage,
        out: &mut (impl Write + Seek),
        progress: &dyn Fn(u64),
    ) -> Result<Vec<BadFrame>> {
        let origin = out.stream_position()?;
        let size = size_of::<T>() as u64;
        self.for_each_part::<T>(region, PART_VALUES, damage, progress, |part, bytes| {
            let mut result = Ok(());
            for_each_shared_run(region, part, |to, from, n| {
                let byte = |i: usize| i.saturating_mul(size_of::<T>());
                let run = bytes.get(byte(from)..byte(from.saturating_add(n))).unwrap_or_default();
                if result.is_ok() {
                    let at = origin.saturating_add((to as u64).saturating_mul(size));
                    result = out.seek(SeekFrom::Start(at)).and_then(|_| out.write_all(run));
                }
            });
            Ok(result?)
        })
    }

    /// Like [`Array::write_values`], front to back: for pipes. Holds a slab of whole frames along the first dimension.
    ///
    /// # Errors
    /// As [`Array::write_values`].
    pub fn stream_values<T: Element>(
        &self,
        region: &Region,
        damage: Damage,
        out: &mut impl Write,
        progress: &dyn Fn(u64),
    ) -> Result<Vec<BadFrame>> {
        self.for_each_part::<T>(region, usize::MAX, damage, progress, |_, bytes| Ok(out.write_all(bytes)?))
    }

    /// Calls `part` with boxes of whole frames that tile `region`, of at most about `most` values, and their bytes.
    fn for_each_part<T: Element>(
        &self,
        region: &Region,
        most: usize,
        damage: Damage,
        progress: &dyn Fn(u64),
        mut part: impl FnMut(&Region, &[u8]) -> Result<()>,
    ) -> Result<Vec<BadFrame>> {
        let mut bad = Vec::new();
        let mut done = 0u64;
        for piece in pieces(region, self.frame_shape(), most) {
            let mut values = self.allocate::<T>(&piece)?;
            match damage {
                Damage::Fail => self.read_into(&piece, &mut values)?,
                Damage::Salvage => {
                    bad.extend(self.salvage_into(&piece, &mut values)?);
                    self.may_list(bad.len())?;
                }
            }
            part(&piece, &T::le_bytes(&values))?;
            done = done.saturating_add(piece.len() as u64);
            progress(done);
        }
        bad.dedup_by_key(|b| b.frame);
        Ok(bad)
    }
}

/// Boxes that tile `region` in C order, cut at frame borders: rows of frames along the last dimensions as long as
/// they hold at most `most` values, whole slabs of the first dimension if that is no bound.
fn pieces(region: &Region, frame_shape: &[usize], most: usize) -> impl Iterator<Item = Region> + use<> {
    // How many values along each dimension a piece has at most, from the last dimension to the first.
    let mut size = 1usize;
    let mut steps: Vec<usize> = Vec::new();
    let outer_frames = |d: usize| frame_shape.iter().take(d).fold(1usize, |n, f| n.saturating_mul(*f));
    for (d, (extent, frame)) in region.extent.iter().zip(frame_shape).enumerate().rev() {
        let room = most.checked_div(size.saturating_mul(outer_frames(d))).unwrap_or(1);
        let step = if d == 0 && most == usize::MAX {
            *frame
        } else {
            room.saturating_sub(room.checked_rem(*frame).unwrap_or(0)).max(*frame)
        };
        steps.push(step);
        size = size.saturating_mul(step.min(*extent));
    }
    steps.reverse();
    // Cuts lie at multiples of the step, which are borders of frames.
    let ranges: Vec<_> = region.ranges().zip(steps).map(|(r, step)| (r, (step as u64).max(1))).collect();
    let number = |at: u64, step: u64| at.checked_div(step).unwrap_or(0);
    let numbers = |(r, step): &(Range<u64>, u64)| {
        if r.is_empty() {
            0..0
        } else {
            number(r.start, *step)..number(r.end.saturating_sub(1), *step).saturating_add(1)
        }
    };
    let all = ranges.iter().map(numbers).collect();
    let piece = move |index: Vec<u64>| {
        let mut piece = Region { start: Vec::new(), extent: Vec::new() };
        for (i, (r, step)) in index.iter().zip(&ranges) {
            let at = i.saturating_mul(*step);
            let (start, end) = (at.max(r.start), at.saturating_add(*step).min(r.end));
            piece.start.push(start);
            piece.extent.push(usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX));
        }
        piece
    };
    Indices::new(all).map(piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_tile_a_region_at_frame_borders() {
        let region = Region { start: vec![1, 0, 5], extent: vec![9, 20, 30] };
        for most in [1, 100, 1000, 100_000, usize::MAX] {
            let list: Vec<_> = pieces(&region, &[4, 8, 8], most).collect();
            assert_eq!(list.iter().map(Region::len).sum::<usize>(), region.len(), "{most}");
            assert!(list.iter().all(|p| p.len() <= most.max(4 * 8 * 8)), "{most}");
        }
        let slabs = pieces(&region, &[4, 8, 8], usize::MAX);
        assert_eq!(slabs.map(|p| p.extent).collect::<Vec<_>>(), [[3, 20, 30], [4, 20, 30], [2, 20, 30]]);
    }
}
