//! Numbers to codes.

use super::lengths::write_lengths;
use super::symbols::{Images, Lane, Symbols, repeated_zeros};
use super::{Code, FOUR_LANES, LANES, LONGEST, MOST_RUN_BITS, ZEROS, escape, levels_tell};
use crate::codec::cursor::put_varint;
use crate::vector::vectorize;
use fearless_simd::Simd;

/// A stream to be written.
#[derive(Debug)]
pub(crate) struct Coded {
    count: usize,
    code: Code,
    /// The lanes, one after another, and where each ends.
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// Codes numbers.
pub(crate) fn encode(images: &Images) -> Coded {
    vectorize!(simd => encode_stream(simd, images))
}

#[inline(always)]
fn encode_stream<S: Simd>(simd: S, images: &Images) -> Coded {
    /// From so many symbols on there are four lanes: they cost some six bytes more than one.
    const ENOUGH: usize = 1 << 11;
    let count = images.len();
    let mut lanes = Vec::with_capacity(LANES);
    let part = count.div_ceil(LANES).max(1);
    for start in (0..count).step_by(part) {
        lanes.push(Lane::new(simd, images, start..count.min(start + part)));
    }
    if lanes.iter().all(Lane::is_zero) {
        let code = Code { form: ZEROS, lengths: [0; 256] };
        return Coded { count, code, bytes: Vec::new(), ends: Vec::new() };
    }
    let run_bits = choose_run_bits(&lanes, count);
    let mut symbols = Symbols::new(simd, run_bits, images, &lanes);
    let mut form = run_bits as u8 | FOUR_LANES;
    if symbols.len < ENOUGH || lanes.len() < LANES {
        form = run_bits as u8;
        symbols = Symbols::new(simd, run_bits, images, &[Lane::new(simd, images, 0..count)]);
    }
    let counts = symbols.counts();
    let code = Code { form, lengths: lengths(&counts) };
    let (bytes, ends) = symbols.write(&code, &counts);
    Coded { count, code, bytes, ends }
}

impl Symbols {
    /// How often each symbol occurs.
    fn counts(&self) -> [u32; 256] {
        // Several tables, so that equal symbols need not wait for each other.
        let mut counts = [[0u32; 256]; 4];
        let (fours, last) = self.symbols[..self.len].as_chunks::<4>();
        for four in fours {
            for (s, counts) in four.iter().zip(&mut counts) {
                counts[usize::from(*s)] += 1;
            }
        }
        last.iter().for_each(|s| counts[0][usize::from(*s)] += 1);
        std::array::from_fn(|s| counts.iter().map(|c| c[s]).sum())
    }

    /// The lanes in `code`, and where each ends.
    #[inline(always)]
    fn write(&self, code: &Code, counts: &[u32; 256]) -> (Vec<u8>, Vec<usize>) {
        /// Marks escapes in the table.
        const ESCAPE: u32 = 1 << 31;
        let run_bits = code.run_bits();
        let escape = escape(run_bits) as u8;
        let codes = code.codes();
        // Bits that say how many bits of an excess follow.
        let told = if levels_tell(run_bits) { 0 } else { 4 };
        let mut bits = self.excesses.iter().map(|e| told as usize + e.ilog2() as usize).sum::<usize>();
        // Code in the lower half, length in the next byte.
        let table: [u32; 256] = std::array::from_fn(|s| {
            bits += counts[s] as usize * usize::from(code.lengths[s]);
            let mark = if s as u8 >> run_bits >= escape { ESCAPE } else { 0 };
            u32::from(codes[s]) | u32::from(code.lengths[s]) << 16 | mark
        });
        let mut wide = self.excesses.iter();
        let mut w = BitWriter::with_room(bits + 8 * LANES);
        let mut ends = Vec::with_capacity(LANES);
        let mut start = 0;
        for end in &self.ends {
            let (fours, last) = self.symbols[start..*end].as_chunks::<4>();
            for [a, b, c, d] in fours {
                let [a, b, c, d] = [a, b, c, d].map(|s| table[usize::from(*s)]);
                if (a | b | c | d) & ESCAPE == 0 {
                    for e in [a, b, c, d] {
                        w.put(e & 0xffff, e >> 16);
                    }
                    w.flush();
                } else {
                    for e in [a, b, c, d] {
                        w.symbol(e & !ESCAPE, e & ESCAPE != 0, told, &mut wide);
                    }
                }
            }
            for s in last {
                let e = table[usize::from(*s)];
                w.symbol(e & !ESCAPE, e & ESCAPE != 0, told, &mut wide);
            }
            start = *end;
            ends.push(w.end());
        }
        (w.finish(), ends)
    }
}

/// How many bits of a symbol are best spent on the zeros before a number, by sizes of a part of the `count` numbers.
fn choose_run_bits(lanes: &[Lane], count: usize) -> u32 {
    /// One in so many of the numbers other than 0 is looked at, about, in groups.
    const PART: usize = 64;
    const GROUP: usize = 32;
    /// Bounds on how many.
    const LOOKED_AT: (usize, usize) = (256, 512);
    let groups = (count / PART).clamp(LOOKED_AT.0, LOOKED_AT.1) / (GROUP * lanes.len());
    let mut runs = Vec::with_capacity(LOOKED_AT.1 + GROUP * LANES);
    for lane in lanes {
        let mut from = 0;
        for g in 0..groups.max(1) {
            let limit = runs.len() + GROUP;
            from = lane.runs(from.max(g * lane.words() / groups.max(1)), |run, z| {
                runs.push((run, z));
                runs.len() < limit
            });
        }
    }
    let size = |k: u32| {
        let mut counts = [0u32; 256];
        let escape = escape(k);
        let mut bits = 0;
        for (run, z) in &runs {
            let run = repeated_zeros(*run, k, |s, times| counts[usize::from(s)] += times);
            let mut level = *z;
            if level >= escape {
                let e = (level - escape + 1).ilog2();
                level = escape + if levels_tell(k) { e } else { 0 };
                bits += if levels_tell(k) { e } else { 4 + e };
            }
            // Zeros that nothing follows have a symbol of their own.
            let symbol = if level > 0 { run | level << k } else { 0 };
            counts[symbol as usize] += u32::from(level > 0 || run > 0);
        }
        let all = f64::from(counts.iter().sum::<u32>());
        let used = counts.iter().filter(|n| **n > 0);
        // No code is shorter than one bit.
        used.map(|n| f64::from(*n) * log2(all / f64::from(*n)).max(1.0)).sum::<f64>() + f64::from(bits)
    };
    let mut best = (size(0), 0);
    for k in 1..=MOST_RUN_BITS {
        let size = size(k);
        if size < best.0 {
            best = (size, k);
        } else if k > best.1 + 1 {
            break;
        }
    }
    best.1
}

/// log2, nearly; 0 for what is not positive.
fn log2(x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let bits = x.to_bits();
    let exponent = (bits >> 52) as i32 - 1023;
    let m = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52) - 1.0;
    // log2(1 + m) on [0, 1) within 0.001.
    f64::from(exponent) + m * (1.4387 - m * (0.6778 - m * (0.3218 - m * 0.0828)))
}

/// Lengths of a prefix code for these counts, none above [`LONGEST`], complete; two symbols have one even if only one occurs.
pub(super) fn lengths(counts: &[u32; 256]) -> [u8; 256] {
    let mut lengths = [0u8; 256];
    let mut order: Vec<u8> = (0..=255).filter(|s| counts[usize::from(*s)] > 0).collect();
    if order.len() < 2 {
        let other = order.first().map_or(1, |s| u8::from(*s == 0));
        order.push(other);
        order.truncate(2);
        order.iter().for_each(|s| lengths[usize::from(*s)] = 1);
        return lengths;
    }
    order.sort_by_key(|s| (counts[usize::from(*s)], *s));
    // Leaves in increasing order, then inner nodes as they are made: both lists stay sorted.
    let n = order.len();
    let mut weight: Vec<u64> = order.iter().map(|s| u64::from(counts[usize::from(*s)])).collect();
    let mut parent = vec![0usize; 2 * n - 1];
    let (mut leaf, mut inner) = (0, n);
    for made in n..2 * n - 1 {
        let mut sum = 0;
        for _ in 0..2 {
            let take =
                if leaf < n && (inner >= made || weight[leaf] <= weight[inner]) { &mut leaf } else { &mut inner };
            sum += weight[*take];
            parent[*take] = made;
            *take += 1;
        }
        weight.push(sum);
    }
    let mut depth = vec![0u32; 2 * n - 1];
    for i in (0..2 * n - 2).rev() {
        depth[i] = depth[parent[i]] + 1;
    }
    // What cutting the longest overdraws is taken from the rarest of the others, and what is left goes to the most frequent.
    let mut depth: Vec<u32> = depth[..n].iter().map(|d| (*d).min(LONGEST)).collect();
    let mut used: u32 = depth.iter().map(|d| 1 << (LONGEST - d)).sum();
    const ALL: u32 = 1 << LONGEST;
    while used > ALL {
        for d in &mut depth {
            if used > ALL && *d < LONGEST {
                used -= 1 << (LONGEST - *d - 1);
                *d += 1;
            }
        }
    }
    while used < ALL {
        for d in depth.iter_mut().rev() {
            if *d > 1 && 1 << (LONGEST - *d) <= ALL - used {
                used += 1 << (LONGEST - *d);
                *d -= 1;
            }
        }
    }
    for (s, d) in order.iter().zip(depth) {
        lengths[usize::from(*s)] = d as u8;
    }
    lengths
}

/// Bits, highest first.
#[derive(Debug)]
struct BitWriter {
    /// Whole bytes so far, and room for those to come.
    bytes: Vec<u8>,
    /// How many bytes are whole.
    whole: usize,
    /// Bits that are not in whole bytes, at the top.
    pending: u64,
    count: u32,
}

impl BitWriter {
    /// With room for so many bits.
    fn with_room(bits: usize) -> Self {
        BitWriter { bytes: vec![0; bits / 8 + 16], whole: 0, pending: 0, count: 0 }
    }

    /// Adds the lowest `n` bits of `value`; the others must be 0. At most 56 bits come between two calls of [`BitWriter::flush`].
    #[inline(always)]
    fn put(&mut self, value: u32, n: u32) {
        self.count += n;
        self.pending |= u64::from(value) << (64 - self.count);
    }

    /// Adds a code, given with its length times 2^16; if it is that of an escape, with the next of the `wide` excesses, whose bits
    /// are counted in `told` bits.
    #[inline(always)]
    fn symbol<'a>(&mut self, entry: u32, is_escape: bool, told: u32, wide: &mut impl Iterator<Item = &'a u32>) {
        self.put(entry & 0xffff, entry >> 16);
        self.flush();
        if is_escape && let Some(excess) = wide.next() {
            let bits = excess.ilog2();
            let count = if told > 0 { bits << bits } else { 0 };
            // Without any bits there is no place for them either.
            if told + bits > 0 {
                self.put(count | excess ^ 1 << bits, told + bits);
                self.flush();
            }
        }
    }

    #[inline(always)]
    fn flush(&mut self) {
        if let Some(to) = self.bytes.get_mut(self.whole..).and_then(<[u8]>::first_chunk_mut) {
            *to = self.pending.swap_bytes().to_le_bytes();
        }
        self.whole += (self.count >> 3) as usize;
        self.pending <<= self.count & 56;
        self.count &= 7;
    }

    /// Fills the last byte and says where it ends.
    fn end(&mut self) -> usize {
        self.flush();
        self.whole += usize::from(self.count > 0);
        (self.pending, self.count) = (0, 0);
        self.whole
    }

    fn finish(mut self) -> Vec<u8> {
        self.bytes.truncate(self.whole);
        self.bytes
    }
}

/// Appends streams (SPEC 8.4.1).
pub(crate) fn write(streams: &[Coded], out: &mut Vec<u8>) {
    for s in streams {
        put_varint(out, s.count as u64);
    }
    let there = || streams.iter().filter(|s| s.count > 0);
    out.extend(there().map(|s| s.code.form));
    let tables = write_lengths(there().filter(|s| s.code.form != ZEROS).map(|s| &s.code.lengths));
    put_varint(out, tables.len() as u64);
    out.extend(tables);
    for s in there() {
        let starts = [0].into_iter().chain(s.ends.iter().copied());
        starts.zip(&s.ends).for_each(|(start, end)| put_varint(out, (end - start) as u64));
    }
    for s in there() {
        out.extend_from_slice(&s.bytes);
    }
}
