//! Writes codes as tokens (SPEC 9.4.5).

use super::activity::{Activity, classify, exempt, group_class};
use super::classes::{BUCKETS, Class, THRESHOLDS, choose_classes, times_log2};
use super::shape::{Shape, Wavefront};
use super::tokens::{BitWriter, FLAG_MODELS, GROUP, MAX_ACTIVE, PAIRED, Packing, SPARSE, magnitude, pair_magnitude};
use crate::codec::cursor::put_block;
use crate::codec::rans::{self, FREE, MAX_LANES, Model};

/// Collects the codes of a frame, row by row in the order of the wavefront.
#[derive(Debug)]
pub(super) struct TokenWriter {
    /// Zigzag images of the codes.
    images: Vec<u16>,
}

impl TokenWriter {
    pub(super) fn with_capacity(points: usize) -> Self {
        TokenWriter { images: Vec::with_capacity(points) }
    }

    /// Adds a row; codes of points that are not ordinary must be 0.
    pub(super) fn row(&mut self, codes: impl Iterator<Item = i32>) {
        self.images.extend(codes.map(|c| (c << 1 ^ c >> 31) as u16));
    }

    /// Appends the bytes of the stream.
    pub(super) fn finish(self, shape: &Shape, ordinary: Option<&[bool]>, out: &mut Vec<u8>) {
        let zero: usize = self.images.chunks_exact(2 * GROUP).map(|g| usize::from(is_zero(g))).sum();
        let sparse = zero * GROUP * 4 > self.images.len();
        let wide: usize = self.images.chunks(1 << 15).map(count_wide).sum();
        let packing = if wide * 24 < self.images.len() { Packing::Paired } else { Packing::Single };
        let (mut symbols, excess) = self.symbols(shape, ordinary, packing, sparse);
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
        let layout = if sparse { SPARSE } else { 0 } | if packing == Packing::Paired { PAIRED } else { 0 };
        out.push(layout | (lanes_log2 as u8) << 2);
        let [low, high, ..] = starts.to_le_bytes();
        out.extend([low, high]);
        put_block(out, &rans::write_models(&models));
        put_block(out, &excess.finish());
        let mut encoder = rans::Encoder::new(&models, 1 << lanes_log2);
        let mut end = symbols.symbols.len();
        for n in symbols.batches.iter().rev() {
            encoder.put(&symbols.symbols[end - n..end], &symbols.classes[end - n..end]);
            end -= n;
        }
        encoder.finish(out);
    }

    /// All symbols in the order of the reader, with buckets instead of classes, and what the escapes exceed.
    fn symbols(self, shape: &Shape, ordinary: Option<&[bool]>, packing: Packing, sparse: bool) -> (Symbols, BitWriter) {
        let n = packing.tokens(shape.row);
        let mut symbols = Symbols::default();
        let mut excess = BitWriter::default();
        let mut neighbors = Activity::new(shape, packing);
        let mut front = Wavefront::new(shape);
        let mut group = Vec::new();
        let mut rows = self.images.chunks_exact(shape.row);
        let mut tokens = vec![0u8; n];
        let mut buckets = vec![[0u8; GROUP]; n.div_ceil(GROUP)];
        let mut before = 0;
        let escape = packing.escape();
        if !sparse {
            symbols.symbols.reserve(n * shape.rows());
            symbols.classes.reserve(n * shape.rows());
        }
        while front.next(&mut group) {
            for r in &group {
                let Some(images) = rows.next() else { continue };
                neighbors.look(shape, *r);
                classify(&neighbors.row, &THRESHOLDS, &mut buckets);
                let buckets = &mut buckets.as_flattened_mut()[..n];
                if let Some(o) = ordinary {
                    exempt(buckets, &o[r * shape.row..(r + 1) * shape.row], packing);
                }
                let magnitudes = &mut neighbors.magnitudes(*r).as_flattened_mut()[..n];
                match packing {
                    Packing::Single => {
                        for ((t, m), z) in tokens.iter_mut().zip(magnitudes).zip(images) {
                            *t = (*z).min(255) as u8;
                            *m = magnitude(*z).min(255) as u8;
                        }
                    }
                    Packing::Paired => {
                        let (pairs, last) = images.as_chunks::<2>();
                        for ((t, m), [a, b]) in tokens.iter_mut().zip(magnitudes.iter_mut()).zip(pairs) {
                            *t = ((*a).min(escape) | (*b).min(escape) << 4) as u8;
                            *m = pair_magnitude(*a, *b);
                        }
                        if let ([a], [.., t], [.., m]) = (last, &mut tokens[..], magnitudes) {
                            *t = (*a).min(escape) as u8;
                            *m = pair_magnitude(*a, 0);
                        }
                    }
                }
                if images.iter().fold(0, |m, z| (*z).max(m)) >= escape {
                    for (x, z) in images.iter().enumerate().filter(|(_, z)| **z >= escape) {
                        if packing == Packing::Paired {
                            excess.put_excess(u32::from(z - escape));
                        } else {
                            let u = u32::from(z - escape + 1);
                            tokens[x] = (u32::from(escape) + u.ilog2()) as u8;
                            excess.put(u ^ 1 << u.ilog2(), u.ilog2());
                        }
                    }
                }
                if sparse {
                    symbols.sparse_row(&tokens, buckets, &neighbors.row, &mut before);
                } else {
                    symbols.symbols.extend_from_slice(&tokens);
                    symbols.classes.extend_from_slice(buckets);
                    symbols.batches.push(n);
                }
            }
        }
        (symbols, excess)
    }
}

/// How many images do not fit half a token.
fn count_wide(images: &[u16]) -> usize {
    usize::from(images.iter().fold(0u16, |n, z| n + u16::from(*z >= Packing::Paired.escape())))
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
    /// A flag, a flag a group if the row is not zero, and the tokens of each group that is not zero.
    fn sparse_row(&mut self, tokens: &[u8], classes: &[Class], activities: &[[i16; GROUP]], before: &mut u8) {
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
        for ((t, c), a) in tokens.chunks(GROUP).zip(classes.chunks(GROUP)).zip(activities) {
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
