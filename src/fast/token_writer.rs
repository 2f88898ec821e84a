//! Writes codes as tokens (SPEC 9.4.5).

use super::activity::{Activity, classify, exempt, group_class};
use super::classes::{BUCKETS, Class, THRESHOLDS, choose_classes, times_log2};
use super::shape::{Shape, Wavefront};
use super::tokens::{
    BATCH, DIRECT, FLAG_MODELS, GROUP, LENGTH_BITS, MAX_ACTIVE, PAIR_ESCAPE, PAIRED, Packing, SPARSE, magnitude,
};
use crate::codec::cursor::put_block;
use crate::codec::rans::{self, FREE, MAX_LANES, Model};

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

/// Collects the codes of a frame, row by row in the order of the wavefront.
#[derive(Debug)]
pub(super) struct TokenWriter {
    /// Zigzag images of the codes, cut at 255.
    images: Vec<u8>,
    /// Whole images from [`DIRECT`] on.
    large: Vec<u32>,
}

impl TokenWriter {
    pub(super) fn with_capacity(points: usize) -> Self {
        TokenWriter { images: Vec::with_capacity(points), large: Vec::new() }
    }

    /// Adds a row; codes of points that are not ordinary must be 0.
    pub(super) fn row(&mut self, codes: impl Iterator<Item = i32> + Clone) {
        let mut widest = 0u32;
        self.images.extend(codes.clone().map(|c| {
            let z = (c << 1 ^ c >> 31).cast_unsigned();
            widest |= z;
            z.cast_signed().min(255) as u8
        }));
        if widest >= DIRECT {
            self.large.extend(codes.map(|c| (c << 1 ^ c >> 31).cast_unsigned()).filter(|z| *z >= DIRECT));
        }
    }

    /// Appends the bytes of the stream.
    pub(super) fn finish(self, shape: &Shape, ordinary: Option<&[bool]>, out: &mut Vec<u8>) {
        let wide: usize = self.images.chunks(BATCH).map(|c| c.iter().filter(|z| **z >= PAIR_ESCAPE).count()).sum();
        let packing = if wide * 64 < self.images.len() { Packing::Paired } else { Packing::Single };
        let extra = self.extra(packing);
        let (mut symbols, sparse) = self.symbols(shape, ordinary, packing);
        let mut counts = [[0u32; 256]; 64];
        for (s, c) in symbols.symbols.iter().zip(&symbols.classes) {
            counts[usize::from(*c & 63)][usize::from(*s)] += 1;
        }
        let starts = choose_classes(&counts[..BUCKETS], MAX_ACTIVE);
        let active = starts.count_ones() as u8 + 1;
        let mut class_of = [FREE; 64];
        let mut merged = vec![[0u32; 256]; usize::from(active) + if sparse { FLAG_MODELS } else { 0 }];
        for b in 0..BUCKETS {
            class_of[b] = (starts & ((1u32 << b) - 1)).count_ones() as u8;
        }
        for f in 0..FLAG_MODELS {
            class_of[usize::from(FLAG_BUCKET) + f] = active + f as u8;
        }
        for (c, counts) in class_of.iter().zip(&counts) {
            if let Some(m) = merged.get_mut(usize::from(*c)) {
                m.iter_mut().zip(counts).for_each(|(m, n)| *m += n);
            }
        }
        for c in &mut symbols.classes {
            *c = class_of[usize::from(*c & 63)];
        }
        let models: Vec<Model> = merged.iter().map(Model::from_counts).collect();
        let bits: f64 =
            merged.iter().map(|m| times_log2(m.iter().sum()) - m.iter().map(|n| times_log2(*n)).sum::<f64>()).sum();
        // States cost four bytes each: no more of them than 1/32 of the stream.
        let lanes_log2 = ((bits / 1024.0) as u32).max(1).ilog2().min(MAX_LANES.ilog2());
        let layout = if sparse { SPARSE } else { 0 } | if packing == Packing::Paired { PAIRED } else { 0 };
        out.push(layout | (lanes_log2 as u8) << 2);
        let [low, high, ..] = starts.to_le_bytes();
        out.extend([low, high]);
        put_block(out, &rans::write_models(&models));
        put_block(out, &extra);
        let mut encoder = rans::Encoder::new(&models, 1 << lanes_log2);
        let mut end = symbols.symbols.len();
        for n in symbols.batches.iter().rev() {
            encoder.put(&symbols.symbols[end - n..end], &symbols.classes[end - n..end]);
            end -= n;
        }
        encoder.finish(out);
    }

    /// All symbols in the order of the reader, with buckets instead of classes, and whether they make a sparse stream.
    fn symbols(self, shape: &Shape, ordinary: Option<&[bool]>, packing: Packing) -> (Symbols, bool) {
        let n = packing.tokens(shape.row);
        let mut tokens = vec![0u8; n * shape.rows()];
        let mut buckets = vec![0u8; n * shape.rows()];
        let mut activities = vec![0i16; n * shape.rows()];
        let mut large = self.large.iter();
        let mut activity = Activity::new(shape, packing);
        let mut front = Wavefront::new(shape);
        let mut group = Vec::new();
        let rows = tokens.chunks_exact_mut(n).zip(buckets.chunks_exact_mut(n)).zip(activities.chunks_exact_mut(n));
        let mut rows = rows.zip(self.images.chunks_exact(shape.row));
        while front.next(&mut group) {
            for r in &group {
                let Some((((tokens, buckets), activities), images)) = rows.next() else { continue };
                activity.look(shape, *r);
                activities.copy_from_slice(&activity.row);
                classify(activities, &THRESHOLDS, buckets);
                if let Some(o) = ordinary {
                    exempt(buckets, &o[r * shape.row..(r + 1) * shape.row], packing);
                }
                let magnitudes = activity.magnitudes(*r);
                match packing {
                    Packing::Single => {
                        for ((t, m), z) in tokens.iter_mut().zip(magnitudes).zip(images) {
                            *t = *z;
                            *m = magnitude(*z);
                        }
                        for t in tokens.iter_mut().filter(|t| u32::from(**t) >= DIRECT) {
                            let z = large.next().copied().unwrap_or(DIRECT);
                            *t = (DIRECT + (z - (DIRECT - 1)).ilog2()) as u8;
                        }
                    }
                    Packing::Paired => {
                        let (pairs, last) = images.as_chunks::<2>();
                        for ((t, m), [a, b]) in tokens.iter_mut().zip(magnitudes.iter_mut()).zip(pairs) {
                            *t = (*a).min(PAIR_ESCAPE) | (*b).min(PAIR_ESCAPE) << 4;
                            *m = magnitude(*a).saturating_add(magnitude(*b));
                        }
                        if let ([a], [.., t], [.., m]) = (last, tokens, magnitudes) {
                            *t = (*a).min(PAIR_ESCAPE);
                            *m = magnitude(*a);
                        }
                    }
                }
            }
        }
        let zero: usize = tokens.chunks_exact(GROUP).map(|g| usize::from(is_zero(g))).sum();
        let sparse = zero * GROUP * 2 > tokens.len();
        let mut s = Symbols::default();
        if sparse {
            let mut before = 0;
            for ((t, c), a) in tokens.chunks_exact(n).zip(buckets.chunks_exact(n)).zip(activities.chunks_exact(n)) {
                for ((t, c), a) in t.chunks(BATCH).zip(c.chunks(BATCH)).zip(a.chunks(BATCH)) {
                    s.sparse_batch(t, c, a, &mut before);
                }
            }
        } else {
            for _ in 0..shape.rows() {
                s.batches.extend(std::iter::repeat_n(BATCH, n / BATCH));
                s.batches.extend((n % BATCH > 0).then_some(n % BATCH));
            }
            (s.symbols, s.classes) = (tokens, buckets);
        }
        (s, sparse)
    }

    /// What completes the escapes.
    fn extra(&self, packing: Packing) -> Vec<u8> {
        let mut bits = BitWriter::default();
        let mut large = self.large.iter();
        let least = packing.least_escape();
        for images in self.images.chunks(64) {
            if images.iter().fold(0, |m, z| u32::from(*z).max(m)) < least {
                continue;
            }
            for z in images.iter().map(|z| u32::from(*z)).filter(|z| *z >= least) {
                let z = if z >= DIRECT { large.next().copied().unwrap_or(z) } else { z };
                let u = z - (least - 1);
                let n = u.ilog2();
                if packing == Packing::Paired {
                    bits.put(n, LENGTH_BITS);
                }
                bits.put(u ^ 1 << n, n);
            }
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
    classes: Vec<Class>,
    batches: Vec<usize>,
}

impl Symbols {
    /// A flag, a flag a group if the batch is not zero, and the tokens of each group that is not zero.
    fn sparse_batch(&mut self, tokens: &[u8], classes: &[Class], activities: &[i16], before: &mut u8) {
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
        for ((t, c), a) in tokens.chunks(GROUP).zip(classes.chunks(GROUP)).zip(activities.chunks(GROUP)) {
            let class = group_class(a, c);
            self.symbols.push(u8::from(!is_zero(t)));
            self.classes.push(if class == FREE { FREE } else { FLAG_BUCKET + 2 + class });
        }
        self.batches.push(self.symbols.len() - start);
        let start = self.symbols.len();
        for (t, c) in tokens.chunks(GROUP).zip(classes.chunks(GROUP)) {
            if !is_zero(t) {
                self.symbols.extend_from_slice(t);
                self.classes.extend_from_slice(c);
            }
        }
        self.batches.push(self.symbols.len() - start);
    }
}
