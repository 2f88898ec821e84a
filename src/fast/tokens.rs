//! Codes as byte tokens, coded by rANS in classes that the activity of known neighbors picks (SPEC 9.4.5).
//!
//! Tokens come in rows. The class of a token depends on earlier rows only, so that the classes of a whole row are
//! computed at once.

use crate::codec::cursor::{Cursor, put_block};
use crate::codec::rans::{self, FREE, MAX_LANES, Model};
use crate::error::FormatError;

/// Codes whose zigzag image is below this are tokens of their own.
const DIRECT: u32 = 192;
/// Largest token: an escape with 30 extra bits.
const LAST_TOKEN: u32 = DIRECT + 30;
/// Longest batch; longer rows are cut.
const BATCH: usize = 4096;
/// Tokens that share a zero flag in sparse streams.
const GROUP: usize = 16;
/// Most classes that activity picks.
const MAX_ACTIVE: usize = 8;
/// Marks the bucket of a token that is known to be 0.
const KNOWN: u8 = 128;
/// Lowest activity of buckets 1, 2, ..; a class is a run of buckets.
const THRESHOLDS: [i16; 15] = [1, 3, 6, 9, 12, 18, 24, 32, 44, 60, 84, 120, 170, 240, 480];
/// Models beside those of the activity classes in sparse streams: two of row flags, three of group flags.
const FLAG_MODELS: usize = 5;

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

/// Magnitudes of tokens, and 24 times their mean.
pub(super) fn magnitudes(tokens: &[u8], out: &mut [u8]) {
    for (m, t) in out.iter_mut().zip(tokens) {
        *m = (t >> 1) + (t & 1);
    }
}

/// 24 times the mean of a row's magnitudes.
pub(super) fn mean_activity(magnitudes: &[u8]) -> i16 {
    let sum: u64 = magnitudes.iter().map(|m| u64::from(*m)).sum();
    i16::try_from(24 * sum / magnitudes.len().max(1) as u64).unwrap_or(i16::MAX)
}

/// How many of `thresholds` each activity reaches.
fn classify(activities: &[i16], thresholds: &[i16], out: &mut [u8]) {
    match thresholds {
        [] => out.fill(0),
        [first, rest @ ..] => {
            for (o, a) in out.iter_mut().zip(activities) {
                *o = u8::from(a >= first);
            }
            for t in rest {
                for (o, a) in out.iter_mut().zip(activities) {
                    *o += u8::from(a >= t);
                }
            }
        }
    }
}

/// Class of a group's zero flag, less the first of them: 0 if nothing around it is active, 1 if little is; [`FREE`] if
/// all its points are known to be 0.
fn group_class(activities: &[i16], known: impl Iterator<Item = bool>) -> u8 {
    if known.fold(true, |all, k| all & k) {
        return FREE;
    }
    let sum = activities.iter().fold(0i32, |s, a| s + i32::from(*a));
    u8::from(sum > 0) + u8::from(sum >= 12 * GROUP as i32)
}

/// Collects the tokens of a frame.
#[derive(Debug, Default)]
pub(super) struct TokenWriter {
    tokens: Vec<u8>,
    /// Bucket of each token's activity, or [`KNOWN`] and more where the token is known to be 0.
    buckets: Vec<u8>,
    /// Class of each group's zero flag, less the first of them; [`FREE`] if all of the group is known to be 0.
    group_classes: Vec<u8>,
    /// Length of each batch.
    batches: Vec<u32>,
    /// Bits of escapes, lowest first.
    extra: Vec<u8>,
    extra_bits: u64,
    pending: u64,
}

impl TokenWriter {
    pub(super) fn with_capacity(points: usize) -> Self {
        TokenWriter {
            tokens: Vec::with_capacity(points),
            buckets: Vec::with_capacity(points),
            ..TokenWriter::default()
        }
    }

    /// Adds a row; codes of points that are not `ordinary` must be 0. Returns its tokens, or `None` if a code is too large.
    pub(super) fn row(&mut self, codes: &[i32], activities: &[i16], ordinary: Option<&[bool]>) -> Option<&[u8]> {
        let start = self.tokens.len();
        let mut widest = 0u32;
        self.tokens.extend(codes.iter().map(|c| {
            let z = (c << 1 ^ c >> 31).cast_unsigned();
            widest = widest.max(z);
            z.min(255) as u8
        }));
        if widest >= DIRECT {
            for (t, c) in self.tokens[start..].iter_mut().zip(codes) {
                let z = (c << 1 ^ c >> 31).cast_unsigned();
                if z >= DIRECT {
                    let u = z - (DIRECT - 1);
                    let bits = u.ilog2();
                    if DIRECT + bits > LAST_TOKEN {
                        return None;
                    }
                    *t = (DIRECT + bits) as u8;
                    self.pending |= u64::from(u ^ 1 << bits) << (self.extra_bits & 7);
                    self.extra_bits += u64::from(bits);
                    while self.extra.len() as u64 * 8 + 8 <= self.extra_bits {
                        self.extra.push(self.pending as u8);
                        self.pending >>= 8;
                    }
                }
            }
        }
        self.buckets.resize(start + codes.len(), 0);
        classify(activities, &THRESHOLDS, &mut self.buckets[start..]);
        if let Some(o) = ordinary {
            for (b, o) in self.buckets[start..].iter_mut().zip(o) {
                *b |= u8::from(!*o) * KNOWN;
            }
        }
        for batch in self.buckets[start..].chunks(BATCH) {
            self.batches.push(batch.len() as u32);
        }
        let groups = activities.chunks(GROUP).zip(self.buckets[start..].chunks(GROUP));
        self.group_classes.extend(groups.map(|(a, b)| group_class(a, b.iter().map(|b| *b >= KNOWN))));
        Some(&self.tokens[start..])
    }
}

/// `counts` joined into at most [`MAX_ACTIVE`] runs of buckets so that the estimated size is least: bit `b` of the
/// result says that a class starts at bucket `b + 1`.
fn choose_classes(counts: &[[u32; 256]; 16]) -> u16 {
    /// Estimated bits that a model spends on each symbol that it holds, and on itself.
    const SYMBOL_BITS: f64 = 5.0;
    const MODEL_BITS: f64 = 12.0;
    const N: usize = 16;
    let used = 1 + counts.iter().flat_map(|c| c.iter().rposition(|n| *n > 0)).max().unwrap_or(0);
    // cost[b][a]: buckets a..=b as one class.
    let mut cost = [[0f64; N]; N];
    for a in 0..N {
        let mut sum = [0u32; 256];
        let mut total = 0u32;
        for b in a..N {
            let (mut bits, mut kinds) = (0.0, 0u32);
            for (s, n) in sum[..used].iter_mut().zip(&counts[b][..used]) {
                *s += n;
                total += n;
                bits -= times_log2(*s);
                kinds += u32::from(*s > 0);
            }
            cost[b][a] = bits + times_log2(total) + f64::from(kinds) * SYMBOL_BITS + MODEL_BITS;
        }
    }
    // best[k][b]: least cost of buckets 0..=b in k + 1 classes, and where the last of them starts.
    let mut best = [[(f64::INFINITY, 0usize); N]; MAX_ACTIVE];
    for b in 0..N {
        best[0][b] = (cost[b][0], 0);
    }
    for k in 1..MAX_ACTIVE {
        for b in k..N {
            for a in k..=b {
                let c = best[k - 1][a - 1].0 + cost[b][a];
                if c < best[k][b].0 {
                    best[k][b] = (c, a);
                }
            }
        }
    }
    let mut k = 0;
    for i in 1..MAX_ACTIVE {
        if best[i][N - 1].0 < best[k][N - 1].0 {
            k = i;
        }
    }
    let (mut mask, mut b) = (0u16, N - 1);
    while k > 0 {
        let a = best[k][b].1;
        mask |= 1 << (a - 1);
        (k, b) = (k - 1, a - 1);
    }
    mask
}

/// n log2 n, approximately.
fn times_log2(n: u32) -> f64 {
    if n < 2 {
        return 0.0;
    }
    let exponent = n.ilog2();
    let m = f64::from(n) / f64::from(1u32 << exponent) - 1.0;
    // log2(1 + m) on [0, 1) within 0.0003.
    let log = m * (1.4387 - m * (0.6778 - m * (0.3218 - m * 0.0828)));
    f64::from(n) * (f64::from(exponent) + log)
}

/// Symbols in the order in which the reader meets them, cut into batches.
#[derive(Debug, Default)]
struct Symbols {
    symbols: Vec<u8>,
    classes: Vec<u8>,
    batches: Vec<u32>,
}

impl Symbols {
    fn push(&mut self, symbol: u8, class: u8) {
        self.symbols.push(symbol);
        self.classes.push(class);
    }

    /// Ends the batch that started at symbol `start`.
    fn end(&mut self, start: usize) {
        self.batches.push((self.symbols.len() - start) as u32);
    }
}

impl TokenWriter {
    /// The bytes of the stream (SPEC 9.4.5).
    pub(super) fn finish(mut self, out: &mut Vec<u8>) {
        if self.extra_bits & 7 > 0 {
            self.extra.push(self.pending as u8);
        }
        let zero: usize = self.tokens.chunks(GROUP).map(|g| usize::from(g.iter().fold(0, |a, t| a | t) == 0)).sum();
        let sparse = zero * GROUP * 2 > self.tokens.len();
        let mut counts = [[0u32; 256]; 16];
        for (t, b) in self.tokens.chunks(GROUP).zip(self.buckets.chunks(GROUP)) {
            // In sparse streams this drops groups by other borders than the flags do: near enough to choose classes.
            if sparse && t.iter().fold(0, |a, t| a | t) == 0 {
                continue;
            }
            for (t, b) in t.iter().zip(b) {
                if *b < KNOWN {
                    counts[usize::from(*b & 15)][usize::from(*t)] += 1;
                }
            }
        }
        let starts = choose_classes(&counts);
        let active = starts.count_ones() as u8 + 1;
        let mut class_of = [FREE; 256];
        for b in 0..16u32 {
            class_of[b as usize] = (starts & ((1 << b) - 1) as u16).count_ones() as u8;
        }
        for b in &mut self.buckets {
            *b = class_of[usize::from(*b)];
        }
        let symbols = if sparse {
            self.with_flags(active)
        } else {
            Symbols { symbols: self.tokens, classes: self.buckets, batches: self.batches }
        };
        let models = models(&symbols, usize::from(active) + if sparse { FLAG_MODELS } else { 0 });

        let mut bits = 0.0;
        for m in &models.1 {
            bits += times_log2(m.iter().sum()) - m.iter().map(|n| times_log2(*n)).sum::<f64>();
        }
        // States cost four bytes each: no more of them than 1/32 of the stream.
        let lanes_log2 = ((bits / 1024.0) as u32).max(1).ilog2().min(MAX_LANES.ilog2());
        out.push(u8::from(sparse) | (lanes_log2 as u8) << 1);
        out.extend(starts.to_le_bytes());
        put_block(out, &rans::write_models(&models.0));
        put_block(out, &self.extra);
        let mut encoder = rans::Encoder::new(&models.0, 1 << lanes_log2);
        let mut end = symbols.symbols.len();
        for n in symbols.batches.iter().rev() {
            let start = end - *n as usize;
            encoder.put(&symbols.symbols[start..end], &symbols.classes[start..end]);
            end = start;
        }
        encoder.finish(out);
    }

    /// The symbols of a sparse stream: a flag a batch, a flag a group of each batch that is not zero, and the tokens of
    /// each group that is not zero.
    fn with_flags(&self, active: u8) -> Symbols {
        let mut s = Symbols::default();
        let mut before = 0u8;
        let (mut start, mut first_group) = (0, 0);
        for n in &self.batches {
            let end = start + *n as usize;
            let (tokens, classes) = (&self.tokens[start..end], &self.buckets[start..end]);
            let groups = tokens.len().div_ceil(GROUP);
            let group_classes = &self.group_classes[first_group..first_group + groups];
            let flag = u8::from(tokens.iter().fold(0, |a, t| a | t) != 0);
            let free = group_classes.iter().all(|c| *c == FREE);
            s.push(flag, if free { FREE } else { active + before });
            s.end(s.symbols.len() - 1);
            if !free {
                before = flag;
            }
            if flag == 1 {
                let flags = s.symbols.len();
                for (t, c) in tokens.chunks(GROUP).zip(group_classes) {
                    let class = if *c == FREE { FREE } else { active + 2 + c };
                    s.push(u8::from(t.iter().fold(0, |a, t| a | t) != 0), class);
                }
                s.end(flags);
                let body = s.symbols.len();
                for (t, c) in tokens.chunks(GROUP).zip(classes.chunks(GROUP)) {
                    if t.iter().fold(0, |a, t| a | t) != 0 {
                        s.symbols.extend_from_slice(t);
                        s.classes.extend_from_slice(c);
                    }
                }
                s.end(body);
            }
            (start, first_group) = (end, first_group + groups);
        }
        s
    }
}

/// The models of `count` classes and the counts that they were made from.
fn models(symbols: &Symbols, count: usize) -> (Vec<Model>, Vec<[u32; 256]>) {
    let mut counts = vec![[0u32; 256]; 16];
    for (s, c) in symbols.symbols.iter().zip(&symbols.classes) {
        counts[usize::from(*c & 15)][usize::from(*s)] += 1;
    }
    counts.truncate(count);
    (counts.iter().map(Model::from_counts).collect(), counts)
}

/// Reads the rows of tokens back.
#[derive(Debug)]
pub(super) struct TokenReader<'a> {
    decoder: rans::Decoder,
    sparse: bool,
    /// Lowest activity of each class after the first.
    thresholds: Vec<i16>,
    /// Flag of the batch before.
    before: u8,
    classes: Vec<u8>,
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
        let lanes_log2 = u32::from(layout >> 1);
        if lanes_log2 > MAX_LANES.ilog2() {
            return Err(FormatError::Value {
                field: "lanes",
                found: lanes_log2.into(),
                expected: MAX_LANES.ilog2().into(),
            });
        }
        let sparse = layout & 1 == 1;
        let starts = u16::from(cursor.u8("class starts")?) | u16::from(cursor.u8("class starts")?) << 8;
        if starts.count_ones() as usize >= MAX_ACTIVE || starts >> 15 != 0 {
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
            thresholds,
            before: 0,
            classes: Vec::new(),
            flags: Vec::new(),
            packed: Vec::new(),
            packed_classes: Vec::new(),
            extra,
            extra_bits: 0,
        })
    }

    /// Reads the tokens and the codes of a row. Returns false if they are all 0.
    pub(super) fn row(
        &mut self,
        activities: &[i16],
        ordinary: Option<&[bool]>,
        tokens: &mut [u8],
        codes: &mut [i32],
    ) -> Result<bool, FormatError> {
        self.classes.resize(activities.len(), 0);
        classify(activities, &self.thresholds, &mut self.classes);
        if let Some(o) = ordinary {
            for (c, o) in self.classes.iter_mut().zip(o) {
                *c = if *o { *c } else { FREE };
            }
        }
        let mut any = !self.sparse;
        if self.sparse {
            let classes = std::mem::take(&mut self.classes);
            for ((t, c), a) in tokens.chunks_mut(BATCH).zip(classes.chunks(BATCH)).zip(activities.chunks(BATCH)) {
                any |= self.sparse_batch(t, c, a)?;
            }
            self.classes = classes;
        } else {
            for (t, c) in tokens.chunks_mut(BATCH).zip(self.classes.chunks(BATCH)) {
                self.decoder.get(c, t)?;
            }
        }
        if any {
            self.codes(tokens, codes)?;
        } else {
            codes.fill(0);
        }
        Ok(any)
    }

    fn sparse_batch(&mut self, tokens: &mut [u8], classes: &[u8], activities: &[i16]) -> Result<bool, FormatError> {
        let active = self.thresholds.len() as u8 + 1;
        tokens.fill(0);
        let free = classes.iter().fold(true, |all, c| all & (*c == FREE));
        let mut flag = [0u8];
        self.decoder.get(&[if free { FREE } else { active + self.before }], &mut flag)?;
        if !free {
            self.before = flag[0] & 1;
        }
        if flag[0] == 0 {
            return Ok(false);
        }
        self.packed_classes.clear();
        for (a, c) in activities.chunks(GROUP).zip(classes.chunks(GROUP)) {
            let class = group_class(a, c.iter().map(|c| *c == FREE));
            self.packed_classes.push(if class == FREE { FREE } else { active + 2 + class });
        }
        self.flags.resize(self.packed_classes.len(), 0);
        self.decoder.get(&self.packed_classes, &mut self.flags)?;
        self.packed_classes.clear();
        for (c, f) in classes.chunks(GROUP).zip(&self.flags) {
            if *f != 0 {
                self.packed_classes.extend_from_slice(c);
            }
        }
        self.packed.resize(self.packed_classes.len(), 0);
        self.decoder.get(&self.packed_classes, &mut self.packed)?;
        let mut rest = self.packed.as_slice();
        for (t, f) in tokens.chunks_mut(GROUP).zip(&self.flags) {
            if *f != 0 {
                let (head, tail) = rest.split_at(t.len().min(rest.len()));
                t.copy_from_slice(head);
                rest = tail;
            }
        }
        Ok(true)
    }

    fn codes(&mut self, tokens: &[u8], codes: &mut [i32]) -> Result<(), FormatError> {
        let mut widest = 0;
        for (c, t) in codes.iter_mut().zip(tokens) {
            widest = widest.max(*t);
            let z = i32::from(*t);
            *c = z >> 1 ^ -(z & 1);
        }
        if u32::from(widest) < DIRECT {
            return Ok(());
        }
        if u32::from(widest) > LAST_TOKEN {
            return Err(FormatError::Value { field: "token", found: widest.into(), expected: LAST_TOKEN.into() });
        }
        for (c, t) in codes.iter_mut().zip(tokens) {
            if u32::from(*t) >= DIRECT {
                let bits = u32::from(*t) - DIRECT;
                let z = (1 << bits | self.bits(bits)?) + (DIRECT - 1);
                *c = (z >> 1).cast_signed() ^ -((z & 1).cast_signed());
            }
        }
        Ok(())
    }

    fn bits(&mut self, n: u32) -> Result<u32, FormatError> {
        let available = self.extra.len() as u64;
        let end = self.extra_bits + u64::from(n);
        let first = (self.extra_bits >> 3) as usize;
        let bytes = self.extra.get(first..end.div_ceil(8) as usize).ok_or(FormatError::Truncated {
            what: "extra bits",
            needed: end.div_ceil(8),
            available,
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
