//! Codes of the levels mode to and from streams, one for each class (SPEC 9.4.7).

use super::pyramid::{Level, ROW, STEP};
use crate::codec::cursor::Cursor;
use crate::codec::prefix::{self, Images, PADDING, WIDE};
use crate::error::FormatError;
use crate::fast::classes::{BUCKETS, Classifier, MOST_CLASSES, choose_classes, class_of};
use crate::fast::streams::{self, Reading, magnitudes, sum};

/// The codes of a block.
pub(super) type Block = [i16; STEP];

/// Marks blocks that are not coded.
const NONE: u8 = u8::MAX;

/// Where the magnitudes are that tell how active the blocks of a part of a row are: the block before the first one of each.
pub(super) fn sources(level: &Level, pass: usize, position: [usize; ROW], out: &mut Vec<usize>) {
    out.clear();
    let (strides, pitch) = (level.strides(), level.block_pitch());
    let r: usize = (0..ROW).map(|a| position[a] * strides[a]).sum();
    let part = pass >> ROW & 1;
    for a in 0..ROW {
        let back = 1 + usize::from(level.halved[a]);
        if position[a] >= back {
            out.push(level.part(part, r - back * strides[a]) * pitch);
        }
        if pass >> a & 1 == 1 {
            out.push(level.part(part, r - strides[a]) * pitch);
            if position[a] + 1 < level.dims[a] {
                out.push(level.part(part, r + strides[a]) * pitch);
            }
        }
    }
    if part == 1 {
        out.push(level.part(0, r) * pitch);
    }
}

/// How active the blocks of a part of a row are.
#[inline(always)]
pub(super) fn activities(magnitudes: &[u16], sources: &[usize], sums: &mut [u16], out: &mut [u16]) {
    sums.fill(0);
    let n = sums.len();
    for s in sources {
        if let Some(m) = magnitudes.get(*s..s + n) {
            sums.iter_mut().zip(m).for_each(|(to, m)| *to += m);
        }
    }
    let factor = if sources.is_empty() { 0 } else { (6 * 256 / sources.len()) as u32 };
    for (o, s) in out.iter_mut().zip(sums.windows(3)) {
        let total = u32::from(s[0]) + 2 * u32::from(s[1]) + u32::from(s[2]);
        *o = (total * factor / 256) as u16;
    }
}

/// Whether block `b` of a part of a row has a point that is ordinary.
#[inline(always)]
pub(super) fn is_coded(ordinary: Option<&[bool]>, b: usize) -> bool {
    ordinary.is_none_or(|o| o.iter().skip(b * STEP).take(STEP).any(|o| *o))
}

/// The codes found so far.
#[derive(Debug)]
pub(super) struct Codes {
    classifier: Classifier,
    codes: Vec<Block>,
    /// Magnitude, bucket and points of each block.
    about: Vec<(u16, u8, u8)>,
    buckets: Vec<u8>,
}

impl Codes {
    pub(super) fn with_room(blocks: usize) -> Self {
        Codes {
            classifier: Classifier::new((1 << (BUCKETS - 1)) - 1),
            codes: Vec::with_capacity(blocks),
            about: Vec::with_capacity(blocks),
            buckets: Vec::new(),
        }
    }

    /// Says how active the blocks to come are.
    #[inline(always)]
    pub(super) fn begin(&mut self, activities: &[u16]) {
        self.buckets.resize(activities.len(), 0);
        self.classifier.classes(activities, &mut self.buckets);
    }

    /// Adds block `b` of those, with `n` points.
    #[inline(always)]
    pub(super) fn push(&mut self, b: usize, codes: Block, magnitude: u16, n: usize, coded: bool) {
        self.codes.push(codes);
        let bucket = if coded { self.buckets[b] } else { NONE };
        self.about.push((magnitude, bucket, n as u8));
    }

    /// Which classes suit, by the codes of a part of the blocks.
    fn starts(&self) -> u32 {
        /// Blocks that are counted, about.
        const COUNTED: usize = 1 << 13;
        let most = (2 * self.codes.len() / COUNTED).max(1) as u64;
        let mut counts = [[0u32; 256]; BUCKETS];
        let (mut i, mut counted) = (0, 0u32);
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        while let (Some((m, bucket, n)), Some(codes)) = (self.about.get(i), self.codes.get(i)) {
            if let Some(counts) = counts.get_mut(usize::from(*bucket)) {
                if *m == 0 {
                    counts[0] += u32::from(*n);
                } else {
                    let codes = codes.iter().take(usize::from(*n));
                    codes.for_each(|c| counts[usize::from((c << 1 ^ c >> 15).cast_unsigned().min(255))] += 1);
                }
            }
            counted += 1;
            // Uneven steps, since a period of the data could fall in step with them.
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            i += 1 + (((seed >> 32) * most) >> 32) as usize;
        }
        choose_classes(&counts, self.codes.len() as f64 / f64::from(counted.max(1)))
    }

    /// Appends the streams.
    #[inline(always)]
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let starts = self.starts();
        let class_of = class_of(starts);
        let mut sizes = [0usize; MOST_CLASSES];
        let classes = self.about.iter().filter_map(|(_, b, _)| class_of.get(usize::from(*b)));
        classes.for_each(|c| sizes[usize::from(*c)] += STEP);
        let mut parts = sizes.map(Images::with_room);
        for (codes, (m, bucket, n)) in self.codes.iter().zip(&self.about) {
            if let Some(c) = class_of.get(usize::from(*bucket)) {
                parts[usize::from(*c) % MOST_CLASSES].push(codes, usize::from(*n), *m < 127);
            }
        }
        let [low, high, ..] = starts.to_le_bytes();
        out.extend([low, high]);
        let streams: Vec<_> = parts[..=starts.count_ones() as usize].iter().map(prefix::encode).collect();
        prefix::write(&streams, out);
    }
}

/// Reads codes.
#[derive(Debug)]
pub(super) struct Reader {
    streams: Vec<Reading>,
    classifier: Classifier,
    classes: Vec<u8>,
}

impl Reader {
    /// Takes all that is left of `cursor`.
    pub(super) fn new(cursor: &mut Cursor<'_>, most: usize) -> Result<Self, FormatError> {
        let (streams, classifier) = streams::read(cursor, most)?;
        Ok(Reader { streams, classifier, classes: Vec::new() })
    }

    /// Reads the codes of a part of a row of `n` points, given how active its blocks are; sets their magnitudes.
    #[inline(always)]
    pub(super) fn row(
        &mut self,
        n: usize,
        activities: &[u16],
        ordinary: Option<&[bool]>,
        codes: &mut [[f32; STEP]],
        all: &mut [u16],
    ) -> Result<(), FormatError> {
        self.classes.resize(activities.len(), 0);
        self.classifier.classes(activities, &mut self.classes);
        let mut left = n;
        for (b, ((to, m), class)) in codes.iter_mut().zip(all).zip(&self.classes).enumerate() {
            let here = left.min(STEP);
            left -= here;
            if !is_coded(ordinary, b) {
                (*to, *m) = ([0.0; STEP], 0);
                continue;
            }
            let missing = FormatError::Code { what: "codes of a class" };
            let Some(reading) = self.streams.get_mut(usize::from(*class)) else { return Err(missing) };
            let Some(mut block) = reading.block(here) else { return Err(missing) };
            if here < STEP {
                block[here..].fill(0);
            }
            let magnitudes = magnitudes(u64::from_le_bytes(block));
            *m = sum(magnitudes);
            *to = block.map(|c| f32::from(c.cast_signed()));
            if magnitudes & (u64::MAX / 255) << 7 != 0 {
                for (to, _) in to.iter_mut().zip(block).filter(|(_, c)| c.cast_signed() == WIDE) {
                    *to = reading.wide().ok_or(FormatError::Code { what: "wide codes of a class" })? as f32;
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

const _: () = assert!(PADDING >= STEP);
