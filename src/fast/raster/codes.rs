//! Codes of a frame to and from streams, one for each class (SPEC 9.4.4).

use super::activity::{Activity, first_row};
use super::masks::Masks;
use super::shape::Shape;
use super::stencil::CHUNK;
use crate::codec::cursor::Cursor;
use crate::codec::prefix::{self, Images, WIDE};
use crate::error::FormatError;
use crate::fast::classes::{BUCKETS, Classifier, MOST_CLASSES, choose_classes, class_of};
use crate::fast::eight::LOWEST;
use crate::fast::streams::{self, BLOCK, MOST_MAGNITUDE, Reading};

/// Room for the codes of a row and of a chunk past its end.
pub(super) fn row_capacity(shape: &Shape) -> usize {
    shape.row.next_multiple_of(CHUNK)
}

/// The codes of all rows, in blocks. Those of points that are not ordinary are 0.
#[derive(Debug)]
pub(super) struct Coded {
    row: usize,
    /// Blocks of a row; the last one has zeros after the end of the row.
    blocks: usize,
    codes: Vec<[i16; BLOCK]>,
    magnitudes: Vec<u16>,
}

impl Coded {
    pub(super) fn new(shape: &Shape) -> Self {
        let blocks = shape.row.div_ceil(BLOCK);
        let all = blocks * shape.rows();
        Coded { row: shape.row, blocks, codes: vec![[0; BLOCK]; all], magnitudes: vec![0; all] }
    }

    /// Sets block `b` of row `r`, whose magnitude is `m`.
    #[inline(always)]
    pub(super) fn put(&mut self, r: usize, b: usize, codes: [i16; BLOCK], m: u16) {
        let i = r * self.blocks + b;
        if let (Some(c), Some(to)) = (self.codes.get_mut(i), self.magnitudes.get_mut(i)) {
            (*c, *to) = (codes, m);
        }
    }

    /// Clears what was set past the end of row `r`.
    #[inline(always)]
    pub(super) fn complete(&mut self, r: usize) {
        let (here, i) = (self.row % BLOCK, (r + 1) * self.blocks - 1);
        if here > 0 {
            self.codes[i][here..].fill(0);
            self.magnitudes[i] = self.codes[i].iter().map(|c| c.unsigned_abs().min(MOST_MAGNITUDE as u16)).sum();
        }
    }

    /// Whether all codes of row `r` are 0.
    pub(super) fn is_zero(&self, r: usize) -> bool {
        self.magnitudes[r * self.blocks..(r + 1) * self.blocks].iter().fold(0, |all, m| all | m) == 0
    }

    /// The bucket of each block; [`NONE`] for those that are not coded.
    #[inline(always)]
    fn buckets(&self, shape: &Shape, masks: Option<&Masks>) -> Vec<u8> {
        let all = Classifier::new((1 << (BUCKETS - 1)) - 1);
        let mut activity = Activity::new(shape);
        let mut buckets = vec![0u8; self.magnitudes.len()];
        let rows = self.magnitudes.chunks_exact(self.blocks).zip(buckets.chunks_exact_mut(self.blocks));
        for (r, (magnitudes, buckets)) in rows.enumerate() {
            match activity.look(shape) {
                Some((_, true)) => {}
                Some((activities, false)) => all.classes(activities, buckets),
                None => {
                    let (mut one, mut two) = (0, 0);
                    for (bucket, m) in buckets.iter_mut().zip(magnitudes) {
                        *bucket = all.class(first_row(one, two));
                        (two, one) = (one, *m);
                    }
                }
            }
            if let Some(mask) = masks.and_then(|m| m.row(r)) {
                buckets.iter_mut().zip(mask).for_each(|(b, step)| *b = if *step == 0 { NONE } else { *b });
            }
            activity.magnitudes().copy_from_slice(magnitudes);
            activity.advance(shape, magnitudes.iter().fold(0, |all, m| all | m) == 0);
        }
        buckets
    }

    /// Which classes suit, by the codes of a part of the blocks.
    fn starts(&self, buckets: &[u8]) -> u32 {
        /// Blocks that are counted, about.
        const COUNTED: usize = 1 << 12;
        let most = (2 * buckets.len() / COUNTED).max(1) as u64;
        let mut counts = [[0u32; 256]; BUCKETS];
        let (mut i, mut counted) = (0, 0u32);
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        while let (Some(bucket), Some(codes)) = (buckets.get(i), self.codes.get(i)) {
            if let Some(counts) = counts.get_mut(usize::from(*bucket)) {
                if self.magnitudes[i] == 0 {
                    counts[0] += BLOCK as u32;
                } else {
                    codes.iter().for_each(|c| counts[usize::from((c << 1 ^ c >> 15).cast_unsigned().min(255))] += 1);
                }
            }
            counted += 1;
            // Uneven steps, since a period of the data could fall in step with them.
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            i += 1 + (((seed >> 32) * most) >> 32) as usize;
        }
        choose_classes(&counts, buckets.len() as f64 / f64::from(counted.max(1)))
    }
}

/// Marks blocks that are not coded.
const NONE: u8 = u8::MAX;

/// Appends the streams.
#[inline(always)]
pub(super) fn write(coded: &Coded, shape: &Shape, masks: Option<&Masks>, out: &mut Vec<u8>) {
    let buckets = coded.buckets(shape, masks);
    let starts = coded.starts(&buckets);
    let class_of = class_of(starts);
    let mut sizes = [0usize; MOST_CLASSES];
    buckets.iter().filter_map(|b| class_of.get(usize::from(*b))).for_each(|c| sizes[usize::from(*c)] += BLOCK);
    let mut parts = sizes.map(Images::with_room);
    let last = coded.row - (coded.blocks - 1) * BLOCK;
    let rows = coded.codes.chunks_exact(coded.blocks).zip(coded.magnitudes.chunks_exact(coded.blocks));
    for ((codes, magnitudes), buckets) in rows.zip(buckets.chunks_exact(coded.blocks)) {
        for (b, ((codes, m), bucket)) in codes.iter().zip(magnitudes).zip(buckets).enumerate() {
            if let Some(c) = class_of.get(usize::from(*bucket)) {
                let n = if b + 1 < coded.blocks { BLOCK } else { last };
                parts[usize::from(*c) % MOST_CLASSES].push(codes, n, *m < 127);
            }
        }
    }
    let [low, high, ..] = starts.to_le_bytes();
    out.extend([low, high]);
    let streams: Vec<_> = parts[..=starts.count_ones() as usize].iter().map(prefix::encode).collect();
    prefix::write(&streams, out);
}

/// The codes of a row, in whole chunks.
pub(super) enum Codes<'a> {
    Zero,
    /// Each in two's complement.
    Narrow(&'a [u8]),
    /// Where some are wide.
    Any(&'a [i32]),
}

/// Reads rows of codes.
#[derive(Debug)]
pub(super) struct CodeReader {
    streams: Vec<Reading>,
    classifier: Classifier,
    activity: Activity,
    classes: Vec<u8>,
    /// Codes of the row at hand, and zeros up to [`row_capacity`].
    narrow: Vec<[u8; BLOCK]>,
    any: Vec<i32>,
}

impl CodeReader {
    /// Takes all that is left of `cursor`.
    pub(super) fn new(cursor: &mut Cursor<'_>, shape: &Shape) -> Result<Self, FormatError> {
        let (streams, classifier) = streams::read(cursor, shape.row * shape.rows())?;
        Ok(CodeReader {
            streams,
            classifier,
            activity: Activity::new(shape),
            classes: vec![0; shape.row.div_ceil(BLOCK)],
            narrow: vec![[0; BLOCK]; row_capacity(shape) / BLOCK],
            any: vec![0; row_capacity(shape)],
        })
    }

    /// Reads the codes of the next row; `mask` is given where not all points are ordinary.
    #[inline(always)]
    pub(super) fn row(&mut self, shape: &Shape, mask: Option<&[u8]>) -> Result<Codes<'_>, FormatError> {
        let n = shape.row;
        let mut first = false;
        match self.activity.look(shape) {
            None => first = true,
            Some((_, true)) if mask.is_none() && self.streams.first_mut().is_some_and(|r| r.zeros(n)) => {
                self.activity.advance(shape, true);
                return Ok(Codes::Zero);
            }
            Some((activities, _)) => self.classifier.classes(activities, &mut self.classes),
        };
        match mask {
            _ if first => self.first_blocks(n, mask)?,
            Some(mask) => self.masked_blocks(n, mask)?,
            None => self.blocks(n)?,
        }
        let blocks = &self.narrow;
        let mut total = 0u64;
        for (b, m) in blocks.iter().zip(self.activity.magnitudes()) {
            let magnitudes = streams::magnitudes(u64::from_le_bytes(*b));
            *m = streams::sum(magnitudes);
            total |= magnitudes;
        }
        self.activity.advance(shape, total == 0);
        if total == 0 {
            return Ok(Codes::Zero);
        }
        if total & LOWEST << 7 == 0 {
            return Ok(Codes::Narrow(self.narrow.as_flattened()));
        }
        self.widen()?;
        Ok(Codes::Any(&self.any))
    }

    /// Takes the blocks of a row, all of whose classes are known.
    #[inline(always)]
    fn blocks(&mut self, n: usize) -> Result<(), FormatError> {
        let (whole, last) = (n / BLOCK, n % BLOCK);
        for (j, (to, class)) in self.narrow.iter_mut().zip(&self.classes).enumerate() {
            let here = if j < whole { BLOCK } else { last };
            let taken = self.streams.get_mut(usize::from(*class)).and_then(|r| r.block(here));
            *to = taken.ok_or(FormatError::Code { what: "codes of a class" })?;
        }
        self.cut(n);
        Ok(())
    }

    /// Clears what is past the end of a row.
    fn cut(&mut self, n: usize) {
        if !n.is_multiple_of(BLOCK)
            && let Some(to) = self.narrow.get_mut(n / BLOCK)
        {
            to[n % BLOCK..].fill(0);
        }
    }

    /// Takes the blocks of a row that has points which are not ordinary; those without others are not coded.
    #[inline(always)]
    fn masked_blocks(&mut self, n: usize, mask: &[u8]) -> Result<(), FormatError> {
        let mut last = n;
        for ((to, class), step) in self.narrow.iter_mut().zip(&self.classes).zip(mask) {
            *to = [0; BLOCK];
            if *step != 0 {
                let taken = self.streams.get_mut(usize::from(*class)).and_then(|r| r.block(last.min(BLOCK)));
                *to = taken.ok_or(FormatError::Code { what: "codes of a class" })?;
            }
            last = last.saturating_sub(BLOCK);
        }
        self.cut(n);
        Ok(())
    }

    /// Takes the blocks of the first row.
    #[cold]
    fn first_blocks(&mut self, n: usize, mask: Option<&[u8]>) -> Result<(), FormatError> {
        let (mut one, mut two) = (0, 0);
        for j in 0..self.classes.len() {
            self.classes[j] = self.classifier.class(first_row(one, two));
            let here = BLOCK.min(n - j * BLOCK);
            let block = match mask.is_none_or(|m| m[j] != 0) {
                true => self.streams.get_mut(usize::from(self.classes[j])).and_then(|r| r.block(here)),
                false => Some([0; BLOCK]),
            };
            self.narrow[j] = block.ok_or(FormatError::Code { what: "codes of a class" })?;
            if here < BLOCK {
                self.cut(n);
            }
            (two, one) = (one, streams::sum(streams::magnitudes(u64::from_le_bytes(self.narrow[j]))));
        }
        Ok(())
    }

    /// Replaces those codes of a row that are wide.
    #[cold]
    fn widen(&mut self) -> Result<(), FormatError> {
        let any = self.any.as_chunks_mut::<BLOCK>().0;
        for (j, (any, narrow)) in any.iter_mut().zip(&self.narrow).enumerate() {
            for (to, c) in any.iter_mut().zip(narrow) {
                *to = c.cast_signed().into();
                if c.cast_signed() == WIDE {
                    // Blocks that are not coded hold none.
                    let reading = self.classes.get(j).and_then(|c| self.streams.get_mut(usize::from(*c)));
                    *to = reading.and_then(Reading::wide).ok_or(FormatError::Code { what: "wide codes of a class" })?;
                }
            }
        }
        Ok(())
    }

    /// Checks that everything was read.
    pub(super) fn finish(self) -> Result<(), FormatError> {
        streams::finish(&self.streams)
    }
}
