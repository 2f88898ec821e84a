//! Writes codes as tokens (SPEC 9.4.5).

use super::activity::{Activity, classify, exempt, group_class};
use super::classes::{BUCKETS, Class, THRESHOLDS, choose_classes, times_log2};
use super::shape::{Shape, Wavefront};
use super::tokens::{
    BATCH, BitWriter, ESCAPE, FLAG_MODELS, GROUP, MAX_ACTIVE, SHIFT_THRESHOLDS, SPARSE, activity, tokens,
};
use crate::codec::cursor::put_block;
use crate::codec::rans::{self, FREE, MAX_LANES, Model};

/// Collects the codes of a frame, row by row in the order of the wavefront.
#[derive(Debug)]
pub(super) struct TokenWriter {
    /// Zigzag images of the codes, cut at the largest.
    images: Vec<u16>,
    /// Whole images that were cut.
    large: Vec<u32>,
}

impl TokenWriter {
    pub(super) fn with_capacity(points: usize) -> Self {
        TokenWriter { images: Vec::with_capacity(points), large: Vec::new() }
    }

    /// Adds a row; codes of points that are not ordinary must be 0.
    pub(super) fn row(&mut self, codes: impl Iterator<Item = i32> + Clone) {
        let image = |c: i32| (c << 1 ^ c >> 31).cast_unsigned();
        let mut widest = 0u32;
        self.images.extend(codes.clone().map(|c| {
            let z = image(c);
            widest |= z;
            z.min(u16::MAX.into()) as u16
        }));
        if widest >= u16::MAX.into() {
            self.large.extend(codes.map(image).filter(|z| *z >= u16::MAX.into()));
        }
    }

    /// Appends the bytes of the stream.
    pub(super) fn finish(self, shape: &Shape, ordinary: Option<&[bool]>, out: &mut Vec<u8>) {
        let zero: usize = self.images.chunks_exact(2 * GROUP).map(|g| usize::from(is_zero(g))).sum();
        let sparse = zero * GROUP * 4 > self.images.len();
        let (mut symbols, bits) = self.symbols(shape, ordinary, sparse);
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
        let size: f64 =
            merged.iter().map(|m| times_log2(m.iter().sum()) - m.iter().map(|n| times_log2(*n)).sum::<f64>()).sum();
        // States cost four bytes each: no more of them than 1/32 of the stream.
        let lanes_log2 = ((size / 1024.0) as u32).max(1).ilog2().min(MAX_LANES.ilog2());
        out.push(if sparse { SPARSE } else { 0 } | (lanes_log2 as u8) << 1);
        let [low, high, ..] = starts.to_le_bytes();
        out.extend([low, high]);
        put_block(out, &rans::write_models(&models));
        put_block(out, &bits.finish());
        let mut encoder = rans::Encoder::new(&models, 1 << lanes_log2);
        let mut end = symbols.symbols.len();
        for n in symbols.batches.iter().rev() {
            encoder.put(&symbols.symbols[end - n..end], &symbols.classes[end - n..end]);
            end -= n;
        }
        encoder.finish(out);
    }

    /// All symbols in the order of the reader, with buckets instead of classes, and the bits that complete them.
    fn symbols(self, shape: &Shape, ordinary: Option<&[bool]>, sparse: bool) -> (Symbols, BitWriter) {
        let n = tokens(shape.row);
        let mut symbols = Symbols::default();
        let mut bits = BitWriter::default();
        let mut large = self.large.iter();
        let mut neighbors = Activity::new(shape);
        let mut front = Wavefront::new(shape);
        let mut group = Vec::new();
        let mut rows = self.images.chunks_exact(shape.row);
        let mut row = vec![0u8; n];
        let mut buckets = vec![0u8; n];
        let mut shifts = vec![0u8; n];
        let mut before = 0;
        if !sparse {
            symbols.symbols.reserve(n * shape.rows());
            symbols.classes.reserve(n * shape.rows());
        }
        while front.next(&mut group) {
            for r in &group {
                let Some(images) = rows.next() else { continue };
                neighbors.look(shape, *r);
                classify(&neighbors.row, &THRESHOLDS, &mut buckets);
                if let Some(o) = ordinary {
                    exempt(&mut buckets, &o[r * shape.row..(r + 1) * shape.row]);
                }
                let mut escapes = 0u16;
                let magnitudes = neighbors.magnitudes(*r);
                let (pairs, last) = images.as_chunks::<2>();
                for ((t, m), [a, b]) in row.iter_mut().zip(magnitudes.iter_mut()).zip(pairs) {
                    *t = (*a).min(15) as u8 | ((*b).min(15) << 4) as u8;
                    *m = activity(u32::from(*a), u32::from(*b));
                    escapes = escapes.max(a | b);
                }
                if let ([a], [.., t], [.., m]) = (last, &mut row[..], magnitudes) {
                    *t = (*a).min(15) as u8;
                    *m = activity(u32::from(*a), 0);
                    escapes = escapes.max(*a);
                }
                let shifted = !sparse && neighbors.row.iter().fold(0, |m, a| m.max(*a)) >= SHIFT_THRESHOLDS[0];
                if shifted || u32::from(escapes) >= ESCAPE {
                    if shifted {
                        classify(&neighbors.row, &SHIFT_THRESHOLDS, &mut shifts);
                    } else {
                        shifts.fill(0);
                    }
                    for (((t, images), s), b) in row.iter_mut().zip(images.chunks(2)).zip(&shifts).zip(&buckets) {
                        if *b == FREE || *s == 0 && u32::from(*t & 15) < ESCAPE && u32::from(*t >> 4) < ESCAPE {
                            continue;
                        }
                        *t = 0;
                        for half in 0..2 {
                            let z = images.get(half).copied().unwrap_or(0);
                            let z = if z == u16::MAX { large.next().copied().unwrap_or(0) } else { z.into() };
                            let (high, shift) = (z >> s, u32::from(*s));
                            *t |= (high.min(ESCAPE) as u8) << (4 * half);
                            if high >= ESCAPE {
                                bits.put_excess(high - ESCAPE);
                            }
                            bits.put(z & ((1 << shift) - 1), shift);
                        }
                    }
                }
                for ((t, c), a) in row.chunks(BATCH).zip(buckets.chunks(BATCH)).zip(neighbors.row.chunks(BATCH)) {
                    if sparse {
                        symbols.sparse_batch(t, c, a, &mut before);
                    } else {
                        symbols.symbols.extend_from_slice(t);
                        symbols.classes.extend_from_slice(c);
                        symbols.batches.push(t.len());
                    }
                }
            }
        }
        (symbols, bits)
    }
}

fn is_zero<T: Copy + Default + PartialEq + std::ops::BitOr<Output = T>>(numbers: &[T]) -> bool {
    numbers.iter().fold(T::default(), |a, t| a | *t) == T::default()
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
