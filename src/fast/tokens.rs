//! Codes as byte tokens, coded by rANS in classes that the activity of known neighbors picks (SPEC 9.4.5).
//!
//! Codes come in rows. The class of a token depends on earlier rows only, so that the classes of a whole row are
//! computed at once. Where codes are small a token holds two of them.

use super::classes::{BUCKETS, THRESHOLDS, choose_classes, times_log2};
use crate::codec::cursor::{Cursor, put_block};
use crate::codec::rans::{self, FREE, MAX_LANES, Model};
use crate::error::FormatError;

/// Codes whose zigzag image is below this are single tokens of their own.
const DIRECT: u32 = 192;
/// Largest single token: an escape with 30 extra bits.
const LAST_TOKEN: u32 = DIRECT + 30;
/// Half of a paired token that says that the code is an escape.
const PAIR_ESCAPE: u8 = 15;
/// Extra bits that give the length of a paired code's other extra bits.
const LENGTH_BITS: u32 = 5;
/// Longest batch, in codes; longer rows are cut.
const BATCH: usize = 4096;
/// Codes that share a zero flag in sparse streams.
const GROUP: usize = 16;
/// Most classes that activity picks.
const MAX_ACTIVE: usize = 8;
/// Models beside those of the activity classes in sparse streams: two of batch flags, three of group flags.
const FLAG_MODELS: usize = 5;
/// Bits of the layout byte.
const SPARSE: u8 = 1;
const PAIRED: u8 = 2;

/// The magnitude of a code, for activities, from its zigzag image cut at 255.
#[inline(always)]
fn magnitude(z: u8) -> u8 {
    (z >> 1) + (z & 1)
}

/// Activity of each point of a row: 24 times the mean magnitude of known neighbors, which are those around the same
/// position in up to three earlier `rows` (each with one more magnitude at both ends); without rows, `otherwise`.
pub(super) fn activities(rows: &[&[u8]], otherwise: i16, out: &mut [i16]) {
    let weight: i16 = match rows.len() {
        0 => {
            out.fill(otherwise);
            return;
        }
        1 => 6,
        2 => 3,
        _ => 2,
    };
    let n = out.len();
    for (k, row) in rows.iter().enumerate() {
        let (a, b, c) = (&row[..n], &row[1..n + 1], &row[2..n + 2]);
        let terms = out.iter_mut().zip(a).zip(b).zip(c);
        if k == 0 {
            for (((o, a), b), c) in terms {
                *o = (i16::from(*a) + 2 * i16::from(*b) + i16::from(*c)) * weight;
            }
        } else {
            for (((o, a), b), c) in terms {
                *o += (i16::from(*a) + 2 * i16::from(*b) + i16::from(*c)) * weight;
            }
        }
    }
}

/// How many of `thresholds` the activity of each token reaches.
fn classify(activities: &[i16], paired: bool, thresholds: &[i16], out: &mut Vec<u8>) {
    if !paired {
        out.clear();
        out.resize(activities.len(), 0);
        for t in thresholds {
            for (o, a) in out.iter_mut().zip(activities) {
                *o += u8::from(a >= t);
            }
        }
        return;
    }
    out.clear();
    out.resize(activities.len().div_ceil(2), 0);
    let (pairs, last) = activities.as_chunks::<2>();
    for t in thresholds {
        for (o, [a, b]) in out.iter_mut().zip(pairs) {
            *o += u8::from(a + b >= 2 * t);
        }
    }
    if let ([a], Some(o)) = (last, out.last_mut()) {
        *o = thresholds.iter().map(|t| u8::from(a >= t)).sum();
    }
}

/// Makes the class of tokens whose codes are all known to be 0 free.
fn exempt(classes: &mut [u8], ordinary: &[bool], paired: bool) {
    if paired {
        for (c, o) in classes.iter_mut().zip(ordinary.chunks(2)) {
            *c = if o.iter().any(|o| *o) { *c } else { FREE };
        }
    } else {
        for (c, o) in classes.iter_mut().zip(ordinary) {
            *c = if *o { *c } else { FREE };
        }
    }
}

/// Class of a group's zero flag, less the first of them: 0 if nothing around it is active, 1 if little is; [`FREE`] if
/// all its codes are known to be 0.
fn group_class(activities: &[i16], classes: &[u8]) -> u8 {
    if classes.iter().fold(true, |all, c| all & (*c == FREE)) {
        return FREE;
    }
    let sum = activities.iter().fold(0i32, |s, a| s + i32::from(*a));
    u8::from(sum > 0) + u8::from(sum >= 12 * GROUP as i32)
}

/// Bits, lowest first.
#[derive(Debug, Default)]
struct BitWriter {
    bytes: Vec<u8>,
    pending: u64,
    count: u32,
}

impl BitWriter {
    /// Appends the lowest `n` bits of `value`, at most 32; the others must be 0.
    fn put(&mut self, value: u32, n: u32) {
        self.pending |= u64::from(value) << self.count;
        self.count += n;
        while self.count >= 8 {
            self.bytes.push(self.pending as u8);
            self.pending >>= 8;
            self.count -= 8;
        }
    }

    fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.bytes.push(self.pending as u8);
        }
        self.bytes
    }
}

/// Collects the codes of a frame.
#[derive(Debug, Default)]
pub(super) struct TokenWriter {
    /// Zigzag images of the codes, cut at 255.
    images: Vec<u8>,
    /// Whole images from [`DIRECT`] on.
    large: Vec<u32>,
    activities: Vec<i16>,
    rows: Vec<usize>,
    /// Which codes may differ from 0; empty if all of them.
    ordinary: Vec<bool>,
}

impl TokenWriter {
    pub(super) fn with_capacity(points: usize) -> Self {
        TokenWriter {
            images: Vec::with_capacity(points),
            activities: Vec::with_capacity(points),
            ..TokenWriter::default()
        }
    }

    /// Adds a row and gives the magnitudes of its codes; codes of points that are not `ordinary` must be 0.
    pub(super) fn row(&mut self, codes: &[i32], activities: &[i16], ordinary: Option<&[bool]>, magnitudes: &mut [u8]) {
        let start = self.images.len();
        if let Some(o) = ordinary {
            self.ordinary.resize(start, true);
            self.ordinary.extend_from_slice(o);
        }
        let mut widest = 0u32;
        self.images.extend(codes.iter().map(|c| {
            let z = (c << 1 ^ c >> 31).cast_unsigned();
            widest |= z;
            z.cast_signed().min(255) as u8
        }));
        if widest >= DIRECT {
            self.large.extend(codes.iter().map(|c| (c << 1 ^ c >> 31).cast_unsigned()).filter(|z| *z >= DIRECT));
        }
        for (m, z) in magnitudes.iter_mut().zip(&self.images[start..]) {
            *m = magnitude(*z);
        }
        self.activities.extend_from_slice(activities);
        self.rows.push(codes.len());
    }

    /// The bytes of the stream (SPEC 9.4.5).
    pub(super) fn finish(mut self, out: &mut Vec<u8>) {
        if !self.ordinary.is_empty() {
            self.ordinary.resize(self.images.len(), true);
        }
        let wide = self.images.iter().fold(0usize, |n, z| n + usize::from(*z >= PAIR_ESCAPE));
        let paired = wide * 64 < self.images.len();
        let zero = self.images.chunks_exact(GROUP).map(|g| usize::from(is_zero(g))).sum::<usize>();
        let sparse = zero * GROUP * 2 > self.images.len();

        let mut symbols = self.symbols(paired, sparse);
        let mut counts = [[0u32; 256]; BUCKETS];
        for (s, c) in symbols.symbols.iter().zip(&symbols.classes) {
            if usize::from(*c) < BUCKETS {
                counts[usize::from(*c)][usize::from(*s)] += 1;
            }
        }
        let starts = choose_classes(&counts, MAX_ACTIVE);
        let mut class_of = [FREE; 256];
        for b in 0..BUCKETS {
            class_of[b] = (starts & ((1u32 << b) - 1)).count_ones() as u8;
        }
        let active = starts.count_ones() as u8 + 1;
        for f in 0..FLAG_MODELS {
            class_of[usize::from(FLAG_BUCKET) + f] = active + f as u8;
        }
        for c in &mut symbols.classes {
            *c = class_of[usize::from(*c)];
        }
        let mut counts = vec![[0u32; 256]; usize::from(FREE) + 1];
        for (s, c) in symbols.symbols.iter().zip(&symbols.classes) {
            counts[usize::from(*c)][usize::from(*s)] += 1;
        }
        counts.truncate(usize::from(active) + if sparse { FLAG_MODELS } else { 0 });
        let models: Vec<Model> = counts.iter().map(Model::from_counts).collect();
        let bits: f64 =
            counts.iter().map(|m| times_log2(m.iter().sum()) - m.iter().map(|n| times_log2(*n)).sum::<f64>()).sum();
        // States cost four bytes each: no more of them than 1/32 of the stream.
        let lanes_log2 = ((bits / 1024.0) as u32).max(1).ilog2().min(MAX_LANES.ilog2());
        let layout = if sparse { SPARSE } else { 0 } | if paired { PAIRED } else { 0 };
        out.push(layout | (lanes_log2 as u8) << 2);
        let [low, high, ..] = starts.to_le_bytes();
        out.extend([low, high]);
        put_block(out, &rans::write_models(&models));
        put_block(out, &self.extra(paired));
        let mut encoder = rans::Encoder::new(&models, 1 << lanes_log2);
        let mut end = symbols.symbols.len();
        for n in symbols.batches.iter().rev() {
            encoder.put(&symbols.symbols[end - n..end], &symbols.classes[end - n..end]);
            end -= n;
        }
        encoder.finish(out);
    }

    /// The symbols in the order of the reader, with buckets instead of classes.
    fn symbols(&self, paired: bool, sparse: bool) -> Symbols {
        let mut s = Symbols::default();
        let mut large = self.large.iter();
        let mut before = 0u8;
        let mut start = 0;
        let mut classes = Vec::new();
        let mut tokens = Vec::new();
        for row in &self.rows {
            let mut rest = *row;
            while rest > 0 {
                let n = rest.min(BATCH);
                let range = start..start + n;
                (start, rest) = (start + n, rest - n);
                let (images, activities) = (&self.images[range.clone()], &self.activities[range.clone()]);
                classify(activities, paired, &THRESHOLDS, &mut classes);
                if let Some(o) = self.ordinary.get(range) {
                    exempt(&mut classes, o, paired);
                }
                tokens.clear();
                if paired {
                    let (pairs, last) = images.as_chunks::<2>();
                    tokens.extend(pairs.iter().map(|[a, b]| (*a).min(PAIR_ESCAPE) | (*b).min(PAIR_ESCAPE) << 4));
                    tokens.extend(last.iter().map(|a| (*a).min(PAIR_ESCAPE)));
                } else {
                    tokens.extend_from_slice(images);
                    for t in tokens.iter_mut().filter(|t| u32::from(**t) >= DIRECT) {
                        let z = large.next().copied().unwrap_or(DIRECT);
                        *t = (DIRECT + (z - (DIRECT - 1)).ilog2()) as u8;
                    }
                }
                if sparse {
                    s.sparse_batch(&tokens, &classes, activities, paired, &mut before);
                } else {
                    s.symbols.extend_from_slice(&tokens);
                    s.classes.extend_from_slice(&classes);
                    s.batches.push(tokens.len());
                }
            }
        }
        s
    }

    /// What follows the tokens' escapes.
    fn extra(&self, paired: bool) -> Vec<u8> {
        let mut bits = BitWriter::default();
        let mut large = self.large.iter();
        let least = if paired { u32::from(PAIR_ESCAPE) } else { DIRECT };
        for z in self.images.iter().map(|z| u32::from(*z)).filter(|z| *z >= least) {
            let z = if z >= DIRECT { large.next().copied().unwrap_or(z) } else { z };
            let u = z - (least - 1);
            let n = u.ilog2();
            if paired {
                bits.put(n, LENGTH_BITS);
            }
            bits.put(u ^ 1 << n, n);
        }
        bits.finish()
    }
}

fn is_zero(tokens: &[u8]) -> bool {
    tokens.iter().fold(0, |a, t| a | t) == 0
}

/// Stands for the class of the first flag until the number of classes is known.
const FLAG_BUCKET: u8 = 32;

/// Symbols in the order in which the reader meets them, cut into batches.
#[derive(Debug, Default)]
struct Symbols {
    symbols: Vec<u8>,
    classes: Vec<u8>,
    batches: Vec<usize>,
}

impl Symbols {
    /// A flag, a flag a group if the batch is not zero, and the tokens of each group that is not zero.
    fn sparse_batch(&mut self, tokens: &[u8], classes: &[u8], activities: &[i16], paired: bool, before: &mut u8) {
        let group = if paired { GROUP / 2 } else { GROUP };
        let flag = u8::from(!is_zero(tokens));
        let free = classes.iter().all(|c| *c == FREE);
        self.symbols.push(flag);
        self.classes.push(if free { FREE } else { FLAG_BUCKET + *before });
        self.batches.push(1);
        if !free {
            *before = flag;
        }
        if flag == 0 {
            return;
        }
        let start = self.symbols.len();
        for ((t, c), a) in tokens.chunks(group).zip(classes.chunks(group)).zip(activities.chunks(GROUP)) {
            let class = group_class(a, c);
            self.symbols.push(u8::from(!is_zero(t)));
            self.classes.push(if class == FREE { FREE } else { FLAG_BUCKET + 2 + class });
        }
        self.batches.push(self.symbols.len() - start);
        let start = self.symbols.len();
        for (t, c) in tokens.chunks(group).zip(classes.chunks(group)) {
            if !is_zero(t) {
                self.symbols.extend_from_slice(t);
                self.classes.extend_from_slice(c);
            }
        }
        self.batches.push(self.symbols.len() - start);
    }
}

/// Reads the rows of codes back.
#[derive(Debug)]
pub(super) struct TokenReader<'a> {
    decoder: rans::Decoder,
    sparse: bool,
    paired: bool,
    /// Lowest activity of each class after the first.
    thresholds: Vec<i16>,
    /// Flag of the batch before.
    before: u8,
    classes: Vec<u8>,
    tokens: Vec<u8>,
    /// Zigzag images of a row's codes, or more where they are escapes.
    images: Vec<u8>,
    /// Flags of a batch's groups.
    flags: Vec<u8>,
    /// Tokens and their classes of those groups of a batch that are not zero.
    packed: Vec<u8>,
    packed_classes: Vec<u8>,
    extra: &'a [u8],
    /// Bits of `extra` read.
    extra_bits: u64,
}

impl<'a> TokenReader<'a> {
    /// Takes all that is left of `cursor`.
    pub(super) fn new(cursor: &mut Cursor<'a>) -> Result<Self, FormatError> {
        let layout = cursor.u8("token layout")?;
        let lanes_log2 = u32::from(layout >> 2);
        if lanes_log2 > MAX_LANES.ilog2() {
            let expected = MAX_LANES.ilog2().into();
            return Err(FormatError::Value { field: "logarithm of lanes", found: lanes_log2.into(), expected });
        }
        let sparse = layout & SPARSE != 0;
        let starts = u32::from(cursor.u8("class starts")?) | u32::from(cursor.u8("class starts")?) << 8;
        if starts.count_ones() as usize >= MAX_ACTIVE || starts >> (BUCKETS - 1) != 0 {
            return Err(FormatError::Value { field: "class starts", found: starts.into(), expected: 0x7f });
        }
        let thresholds: Vec<i16> =
            THRESHOLDS.iter().enumerate().filter(|(b, _)| starts >> b & 1 == 1).map(|(_, t)| *t).collect();
        let count = thresholds.len() + 1 + if sparse { FLAG_MODELS } else { 0 };
        let models = rans::read_models(cursor.block("frequencies")?, count)?;
        let extra = cursor.block("extra bits")?;
        let decoder = rans::Decoder::new(&models, 1 << lanes_log2, cursor)?;
        Ok(TokenReader {
            decoder,
            sparse,
            paired: layout & PAIRED != 0,
            thresholds,
            before: 0,
            classes: Vec::new(),
            tokens: Vec::new(),
            images: Vec::new(),
            flags: Vec::new(),
            packed: Vec::new(),
            packed_classes: Vec::new(),
            extra,
            extra_bits: 0,
        })
    }

    /// Reads a row of codes and their magnitudes.
    pub(super) fn row(
        &mut self,
        activities: &[i16],
        ordinary: Option<&[bool]>,
        codes: &mut [f32],
        magnitudes: &mut [u8],
    ) -> Result<(), FormatError> {
        if activities.len() <= BATCH {
            return self.batch(activities, ordinary, codes, magnitudes);
        }
        let parts = activities.chunks(BATCH).zip(codes.chunks_mut(BATCH)).zip(magnitudes.chunks_mut(BATCH));
        for (k, ((a, c), m)) in parts.enumerate() {
            self.batch(a, ordinary.and_then(|o| o.get(k * BATCH..k * BATCH + a.len())), c, m)?;
        }
        Ok(())
    }

    fn batch(
        &mut self,
        activities: &[i16],
        ordinary: Option<&[bool]>,
        codes: &mut [f32],
        magnitudes: &mut [u8],
    ) -> Result<(), FormatError> {
        classify(activities, self.paired, &self.thresholds, &mut self.classes);
        if let Some(o) = ordinary {
            exempt(&mut self.classes, o, self.paired);
        }
        self.tokens.resize(self.classes.len(), 0);
        if !self.sparse {
            self.decoder.get(&self.classes, &mut self.tokens)?;
        } else if !self.sparse_batch(activities)? {
            codes.fill(0.0);
            magnitudes.fill(0);
            return Ok(());
        }
        self.images.resize(activities.len(), 0);
        if self.paired {
            let (pairs, last) = self.images.as_chunks_mut::<2>();
            for ([a, b], t) in pairs.iter_mut().zip(&self.tokens) {
                (*a, *b) = (t & 15, t >> 4);
            }
            if let ([a], Some(t)) = (last, self.tokens.last()) {
                *a = t & 15;
                if t >> 4 != 0 {
                    return Err(FormatError::Code { what: "second half of a row's last token" });
                }
            }
        } else {
            self.images.copy_from_slice(&self.tokens);
        }
        let least = if self.paired { u32::from(PAIR_ESCAPE) } else { DIRECT };
        let mut widest = 0;
        for ((c, m), z) in codes.iter_mut().zip(magnitudes.iter_mut()).zip(&self.images) {
            widest = widest.max(*z);
            *m = magnitude(*z);
            let z = i32::from(*z);
            *c = (z >> 1 ^ -(z & 1)) as f32;
        }
        if u32::from(widest) >= least {
            self.escapes(least, ordinary, codes, magnitudes)?;
        }
        Ok(())
    }

    /// Completes the codes that are escapes.
    #[cold]
    fn escapes(
        &mut self,
        least: u32,
        ordinary: Option<&[bool]>,
        codes: &mut [f32],
        magnitudes: &mut [u8],
    ) -> Result<(), FormatError> {
        for x in 0..codes.len() {
            let t = u32::from(self.images[x]);
            if t < least {
                continue;
            }
            if ordinary.is_some_and(|o| !o[x]) {
                return Err(FormatError::Code { what: "code of a point that is not ordinary" });
            }
            let n = if self.paired { self.bits(LENGTH_BITS)? } else { t - DIRECT };
            if n > LAST_TOKEN - DIRECT {
                return Err(FormatError::Value { field: "token", found: t.into(), expected: LAST_TOKEN.into() });
            }
            let z = (1 << n | self.bits(n)?) + (least - 1);
            codes[x] = ((z >> 1).cast_signed() ^ -((z & 1).cast_signed())) as f32;
            magnitudes[x] = magnitude(z.min(255) as u8);
        }
        Ok(())
    }

    /// Reads the tokens of a batch; false if they are all 0.
    fn sparse_batch(&mut self, activities: &[i16]) -> Result<bool, FormatError> {
        let active = self.thresholds.len() as u8 + 1;
        let group = if self.paired { GROUP / 2 } else { GROUP };
        let free = self.classes.iter().fold(true, |all, c| all & (*c == FREE));
        let mut flag = [0u8];
        self.decoder.get(&[if free { FREE } else { active + self.before }], &mut flag)?;
        if !free {
            self.before = flag[0] & 1;
        }
        if flag[0] == 0 {
            return Ok(false);
        }
        self.packed_classes.clear();
        for (a, c) in activities.chunks(GROUP).zip(self.classes.chunks(group)) {
            let class = group_class(a, c);
            self.packed_classes.push(if class == FREE { FREE } else { active + 2 + class });
        }
        self.flags.resize(self.packed_classes.len(), 0);
        self.decoder.get(&self.packed_classes, &mut self.flags)?;
        self.packed_classes.clear();
        for (c, f) in self.classes.chunks(group).zip(&self.flags) {
            if *f != 0 {
                self.packed_classes.extend_from_slice(c);
            }
        }
        self.packed.resize(self.packed_classes.len(), 0);
        self.decoder.get(&self.packed_classes, &mut self.packed)?;
        let mut rest = self.packed.as_slice();
        for (t, f) in self.tokens.chunks_mut(group).zip(&self.flags) {
            if *f != 0 {
                let (head, tail) = rest.split_at(t.len().min(rest.len()));
                t.copy_from_slice(head);
                rest = tail;
            } else {
                t.fill(0);
            }
        }
        Ok(true)
    }

    fn bits(&mut self, n: u32) -> Result<u32, FormatError> {
        let end = self.extra_bits + u64::from(n);
        let first = (self.extra_bits >> 3) as usize;
        let bytes = self.extra.get(first..end.div_ceil(8) as usize).ok_or(FormatError::Truncated {
            what: "extra bits",
            needed: end.div_ceil(8),
            available: self.extra.len() as u64,
        })?;
        let value = bytes.iter().rev().fold(0u64, |v, b| v << 8 | u64::from(*b)) >> (self.extra_bits & 7);
        self.extra_bits = end;
        Ok((value & ((1 << n) - 1)) as u32)
    }

    /// Checks that everything was read.
    pub(super) fn finish(self) -> Result<(), FormatError> {
        let read = self.extra_bits.div_ceil(8);
        if read < self.extra.len() as u64 {
            let count = self.extra.len() as u64 - read;
            return Err(FormatError::TrailingBytes { what: "extra bits", count });
        }
        if self.extra_bits & 7 > 0 && self.extra.last().is_some_and(|b| b >> (self.extra_bits & 7) != 0) {
            return Err(FormatError::Code { what: "padding of the extra bits" });
        }
        self.decoder.finish()
    }
}
