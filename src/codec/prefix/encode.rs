//! Numbers to codes.

use super::lengths::write_lengths;
use super::{Code, FOUR_LANES, LANES, LONGEST, MOST_DOUBLINGS, MOST_RUN_BITS, ZEROS, escape};
use crate::codec::cursor::put_varint;

/// A stream to be written.
#[derive(Debug)]
pub(crate) struct Coded {
    count: usize,
    code: Code,
    lanes: Vec<Vec<u8>>,
}

/// Codes numbers between -32768 and 32767.
pub(crate) fn encode(numbers: &[i16]) -> Coded {
    if numbers.iter().fold(0, |all, n| all | n) == 0 {
        return Coded { count: numbers.len(), code: Code { form: ZEROS, lengths: [0; 256] }, lanes: Vec::new() };
    }
    let part = numbers.len().div_ceil(LANES);
    let lanes: Vec<Runs> = numbers.chunks(part).map(Runs::of).collect();
    let run_bits = choose_run_bits(&lanes);
    /// From so many symbols on there are four lanes: they cost some six bytes more than one.
    const ENOUGH: usize = 1 << 11;
    let mut symbols = Vec::with_capacity(numbers.len() / 2 + 64);
    let mut ends = Vec::with_capacity(LANES);
    for lane in &lanes {
        lane.symbolize(run_bits, &mut symbols);
        ends.push(symbols.len());
    }
    let (lanes, runs) = if symbols.len() >= ENOUGH && ends.len() == LANES {
        (LANES, lanes)
    } else {
        symbols.clear();
        let whole = Runs::of(numbers);
        whole.symbolize(run_bits, &mut symbols);
        ends = vec![symbols.len()];
        (1, vec![whole])
    };
    let mut counts = [0u32; 256];
    for s in &symbols {
        counts[usize::from(*s)] += 1;
    }
    let form = run_bits as u8 | if lanes == LANES { FOUR_LANES } else { 0 };
    let code = Code { form, lengths: lengths(&counts) };
    let codes = code.codes();
    let table: Vec<(u16, u8)> = codes.iter().copied().zip(code.lengths).collect();
    let escape = escape(run_bits) as u8;
    let wide = runs.iter().flat_map(|r| &r.list).filter(|(_, z)| *z >= u16::from(escape));
    let mut wide = wide.map(|(_, z)| u32::from(*z) - u32::from(escape) + 1);
    let mut start = 0;
    let lanes = ends
        .iter()
        .map(|end| {
            let symbols = &symbols[start..*end];
            let escapes = symbols.iter().filter(|s| **s >> run_bits == escape).count();
            let mut w = BitWriter::with_room(symbols.len() * LONGEST as usize + escapes * 20);
            let (fours, last) = symbols.as_chunks::<4>();
            for four in fours {
                four.iter().for_each(|s| w.symbol(&table, *s, *s >> run_bits == escape, &mut wide));
                w.flush();
            }
            last.iter().for_each(|s| w.symbol(&table, *s, *s >> run_bits == escape, &mut wide));
            start = *end;
            w.finish()
        })
        .collect();
    Coded { count: numbers.len(), code, lanes }
}

fn image(n: i16) -> u32 {
    u32::from((n << 1 ^ n >> 15).cast_unsigned())
}

/// The numbers of a lane other than 0.
struct Runs {
    /// Zeros before each, and its image.
    list: Vec<(u32, u16)>,
    /// Zeros after the last.
    rest: u32,
}

impl Runs {
    fn of(numbers: &[i16]) -> Self {
        let mut list = vec![(0u32, 0u16); numbers.len() + 1];
        let (mut at, mut run) = (0, 0);
        for n in numbers {
            // Without a branch, since nobody can tell which numbers are 0.
            if let Some(to) = list.get_mut(at) {
                *to = (run, image(*n) as u16);
            }
            at += usize::from(*n != 0);
            run = if *n == 0 { run + 1 } else { 0 };
        }
        list.truncate(at);
        Runs { list, rest: run }
    }

    /// Appends the symbols (SPEC 8.4.2).
    fn symbolize(&self, run_bits: u32, symbols: &mut Vec<u8>) {
        let escape = escape(run_bits);
        for (run, z) in &self.list {
            let run = zeros(*run, run_bits, |s| symbols.push(s));
            symbols.push((run | u32::from(*z).min(escape) << run_bits) as u8);
        }
        if zeros(self.rest, run_bits, |s| symbols.push(s)) > 0 {
            symbols.push(0);
        }
    }
}

/// Gives the symbols of runs alone for `run` zeros; returns how many zeros are left, fewer than a run.
#[inline(always)]
fn zeros(mut run: u32, run_bits: u32, mut symbol: impl FnMut(u8)) -> u32 {
    while run >> run_bits != 0 {
        let doublings = (run >> run_bits).ilog2().min(MOST_DOUBLINGS).min((1 << run_bits) - 1);
        symbol(doublings as u8);
        run -= 1 << (run_bits + doublings);
    }
    run
}

/// How many bits of a symbol are best spent on the zeros before a number, by sizes of a part of the lanes.
fn choose_run_bits(lanes: &[Runs]) -> u32 {
    /// Numbers of each lane that are looked at, about, in groups.
    const LOOKED_AT: usize = 256;
    const GROUP: usize = 32;
    let size = |k: u32| {
        let mut counts = [0u32; 256];
        let escape = escape(k);
        let mut bits = 0;
        for lane in lanes {
            let every = lane.list.len().div_ceil(LOOKED_AT).max(1);
            for (run, z) in lane.list.chunks(GROUP).step_by(every).flatten() {
                let (run, z) = (zeros(*run, k, |s| counts[usize::from(s)] += 1), u32::from(*z));
                counts[(run | z.min(escape) << k) as usize] += 1;
                bits += if z < escape { 0 } else { 4 + (z - escape + 1).ilog2() };
            }
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

    /// Adds a symbol; if it is an escape, with the excess of the next of the `wide` images over its own.
    #[inline(always)]
    fn symbol(&mut self, table: &[(u16, u8)], symbol: u8, is_escape: bool, wide: &mut impl Iterator<Item = u32>) {
        let (code, length) = table[usize::from(symbol)];
        self.put(code.into(), length.into());
        if is_escape && let Some(excess) = wide.next() {
            self.flush();
            self.put(excess.ilog2(), 4);
            self.put(excess ^ 1 << excess.ilog2(), excess.ilog2());
            self.flush();
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

    fn finish(mut self) -> Vec<u8> {
        self.flush();
        self.bytes.truncate(self.whole + usize::from(self.count > 0));
        self.bytes
    }
}

/// Appends streams (SPEC 8.4.4).
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
        s.lanes.iter().for_each(|l| put_varint(out, l.len() as u64));
    }
    for s in there() {
        s.lanes.iter().for_each(|l| out.extend_from_slice(l));
    }
}
