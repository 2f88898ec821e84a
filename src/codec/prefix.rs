//! Prefix codes over runs of zeros and what ends them, many symbols a table look-up (SPEC 8.4).
//!
//! One stream holds small whole numbers, mostly zeros, that share one code. It is decoded at once and without any
//! context, so that nothing but the look-ups is between the bits and the numbers.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::needless_range_loop,
    reason = "tables have fixed sizes and indices are masked; sums stay far below the width of their type"
)]

use super::arithmetic;
use super::cursor::{Cursor, put_varint, unzigzag};
use super::mix::Counter;
use crate::error::FormatError;

/// Longest code in bits.
const LONGEST: u32 = 11;
/// Stands in a decoded stream for a number that is in the list of wide ones.
pub(crate) const WIDE: i8 = i8::MIN;
/// Largest image of a number.
pub(crate) const LARGEST_IMAGE: u32 = u16::MAX as u32;
/// Numbers after the decoded ones that are there to be read, and are 0.
pub(crate) const PADDING: usize = 16;

/// Most bits of a symbol that say how many zeros come first.
const MOST_RUN_BITS: u32 = 6;
/// Most doublings of a run of zeros alone.
const MOST_DOUBLINGS: u32 = 12;
/// Form of a stream of zeros only.
const ZEROS: u8 = 7;
/// Bit of the form that says that there are four lanes.
const FOUR_LANES: u8 = 8;
const LANES: usize = 4;

/// How one stream is coded: its form (SPEC 8.4.1) and the length of each symbol's code, 0 where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Code {
    form: u8,
    lengths: [u8; 256],
}

impl Code {
    fn run_bits(&self) -> u32 {
        u32::from(self.form & 7)
    }

    fn lanes(&self) -> usize {
        match self.form {
            ZEROS => 0,
            f if f & FOUR_LANES != 0 => LANES,
            _ => 1,
        }
    }

    /// Codes in the order of length, then symbol: for each symbol its code, the highest bits first.
    fn codes(&self) -> [u16; 256] {
        let mut codes = [0u16; 256];
        let mut next = 0u16;
        for length in 1..=LONGEST {
            next <<= 1;
            for (c, l) in codes.iter_mut().zip(&self.lengths) {
                if u32::from(*l) == length {
                    *c = next;
                    next += 1;
                }
            }
        }
        codes
    }
}

/// The escape's level, which is the last one.
fn escape(run_bits: u32) -> u32 {
    (256 >> run_bits) - 1
}

// ---------------------------------------------------------------------------------------------------------- writing

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
fn lengths(counts: &[u32; 256]) -> [u8; 256] {
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

// ---------------------------------------------------------------------------------------------- lengths of the codes

/// Limit of the counters' adaptation.
const COUNTER_LIMIT: u32 = 60;

/// Counters of the binary tree over a length, by the lengths before it.
struct LengthContexts(Vec<[Counter; 16]>);

impl LengthContexts {
    fn new() -> Self {
        LengthContexts(vec![[Counter::NEW; 16]; 12])
    }

    /// Counters after the lengths `one` and `two` before.
    fn tree(&mut self, one: u32, two: u32) -> &mut [Counter; 16] {
        &mut self.0[((one + two + 1) >> 1) as usize]
    }
}

/// What a length is thought to follow where there is none before.
const FIRST_LENGTH: u32 = 6;

fn write_lengths<'a>(tables: impl Iterator<Item = &'a [u8; 256]>) -> Vec<u8> {
    let mut contexts = LengthContexts::new();
    let mut e = arithmetic::Encoder::new();
    let mut any = false;
    for lengths in tables {
        any = true;
        let last = lengths.iter().rposition(|l| *l > 0).unwrap_or(0);
        for shift in (0..8).rev() {
            e.bit(last >> shift & 1 == 1, 1 << 15);
        }
        let (mut one, mut two) = (FIRST_LENGTH, FIRST_LENGTH);
        for l in &lengths[..=last] {
            let tree = contexts.tree(one, two);
            let mut node = 1;
            for shift in (0..4).rev() {
                let bit = l >> shift & 1 == 1;
                e.bit(bit, tree[node].p().max(1));
                tree[node].update(bit, COUNTER_LIMIT);
                node = node * 2 + usize::from(bit);
            }
            (one, two) = (u32::from(*l), one);
        }
    }
    if any { e.finish() } else { Vec::new() }
}

fn read_lengths(bytes: &[u8], codes: &mut [Code]) -> Result<(), FormatError> {
    let mut contexts = LengthContexts::new();
    let mut d = arithmetic::Decoder::new(bytes);
    let mut any = false;
    for code in codes.iter_mut().filter(|c| c.form != ZEROS) {
        any = true;
        let mut last = 0usize;
        for _ in 0..8 {
            last = last << 1 | usize::from(d.bit(1 << 15));
        }
        let (mut one, mut two) = (FIRST_LENGTH, FIRST_LENGTH);
        let mut used = 0u32;
        for l in &mut code.lengths[..=last] {
            let tree = contexts.tree(one, two);
            let mut node = 1;
            for _ in 0..4 {
                let bit = d.bit(tree[node].p().max(1));
                tree[node].update(bit, COUNTER_LIMIT);
                node = node * 2 + usize::from(bit);
            }
            let length = node as u32 - 16;
            if length > LONGEST {
                return Err(FormatError::Code { what: "length of a prefix code" });
            }
            *l = length as u8;
            used += if length > 0 { 1 << (LONGEST - length) } else { 0 };
            (one, two) = (length, one);
        }
        if used != 1 << LONGEST {
            return Err(FormatError::Code { what: "prefix code" });
        }
        let run_bits = code.run_bits();
        if let Some(l) = code.lengths.get(MOST_DOUBLINGS as usize + 1..1 << run_bits)
            && l.iter().any(|l| *l > 0)
        {
            return Err(FormatError::Code { what: "run of zeros" });
        }
    }
    if any {
        return d.finish("lengths of prefix codes");
    }
    if bytes.is_empty() {
        Ok(())
    } else {
        Err(FormatError::TrailingBytes { what: "prefix codes", count: bytes.len() as u64 })
    }
}

// ---------------------------------------------------------------------------------------------------------- reading

/// A decoded stream, read from front to back.
#[derive(Debug)]
pub(crate) struct Stream {
    /// The numbers as bytes in two's complement, [`WIDE`] for those that are in the list, and [`PADDING`] zeros.
    pub(crate) numbers: Vec<u8>,
    /// Numbers that do not fit, in order.
    pub(crate) wide: Vec<i32>,
}

/// Reads `count` streams that hold at most `most` numbers together (SPEC 8.4.4); they end where `cursor` does.
pub(crate) fn read(cursor: &mut Cursor<'_>, count: usize, most: usize) -> Result<Vec<Stream>, FormatError> {
    let mut counts = Vec::with_capacity(count);
    let mut left = most;
    for _ in 0..count {
        let n = cursor.varint_max("numbers of a stream", left as u64)? as usize;
        left -= n;
        counts.push(n);
    }
    let mut codes = Vec::with_capacity(count);
    for n in &counts {
        let form = if *n > 0 { cursor.u8("form of a stream")? } else { ZEROS };
        if form != ZEROS && (form & 7 > MOST_RUN_BITS as u8 || form & !(7 | FOUR_LANES) != 0) {
            return Err(FormatError::Value { field: "form of a stream", found: form.into(), expected: 14 });
        }
        codes.push(Code { form, lengths: [0; 256] });
    }
    read_lengths(cursor.block("prefix codes")?, &mut codes)?;
    let mut sizes = Vec::with_capacity(count * LANES);
    for _ in 0..codes.iter().map(Code::lanes).sum() {
        sizes.push(cursor.varint_max("bytes of a lane", cursor.remaining() as u64)? as usize);
    }
    let mut sizes = sizes.iter();
    let mut table = Table::new();
    let mut streams = Vec::with_capacity(count);
    for (n, code) in counts.iter().zip(&codes) {
        let mut stream = Stream { numbers: vec![0; n + PADDING], wide: Vec::new() };
        if code.lanes() > 0 {
            table.fill(code);
            let part = n.div_ceil(code.lanes());
            let mut lanes = Vec::with_capacity(LANES);
            for out in stream.numbers[..*n].chunks_mut(part) {
                let size = sizes.next().copied().unwrap_or(0);
                lanes.push(Lane { bytes: cursor.take(size, "lane")?, at: 0, out, place: 0, wide: Vec::new() });
            }
            if lanes.len() != code.lanes() {
                return Err(FormatError::Code { what: "lanes of a short stream" });
            }
            if let [a, b, c, d] = &mut lanes[..] {
                while a.is_roomy() & b.is_roomy() & c.is_roomy() & d.is_roomy() {
                    let last = [a.advance(&table), b.advance(&table), c.advance(&table), d.advance(&table)];
                    if last.iter().any(|e| e.advance() == 0) {
                        for (lane, e) in [&mut *a, b, c, d].into_iter().zip(last) {
                            if e.advance() == 0 {
                                lane.single(&table)?;
                            }
                        }
                    }
                }
            }
            for mut lane in lanes {
                lane.rest(&table)?;
                stream.wide.extend(lane.wide);
            }
        }
        streams.push(stream);
    }
    Ok(streams)
}

/// What the next bits mean: up to four numbers after zeros, as many whole codes as fit. If it advances by nothing, the next code is not of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry(u64);

impl Entry {
    const NONE: Entry = Entry(0);

    /// Zeros before the numbers.
    #[inline(always)]
    fn skip(self) -> usize {
        (self.0 >> 32 & 0xff) as usize
    }
    /// Zeros and numbers, and zeros after them.
    #[inline(always)]
    fn advance(self) -> usize {
        (self.0 >> 40 & 0xff) as usize
    }
    #[inline(always)]
    fn bits(self) -> u32 {
        (self.0 >> 56) as u32
    }

    #[inline(always)]
    /// With one more code, for `run` zeros and then, if `number` is given, that; `None` if it does not fit.
    fn with(self, bits: u32, run: u32, number: Option<i8>) -> Option<Entry> {
        let (mut skip, advance) = (self.skip(), self.advance() + run as usize + usize::from(number.is_some()));
        if advance > MOST_ADVANCE {
            return None;
        }
        let mut numbers = self.0 as u32;
        if let Some(v) = number {
            let at = advance - 1;
            if numbers == 0 {
                skip = at;
            }
            if at - skip > 3 {
                return None;
            }
            numbers |= u32::from(v.cast_unsigned()) << (8 * (at - skip));
        }
        let bits = u64::from(self.bits() + bits);
        Some(Entry(u64::from(numbers) | (skip as u64) << 32 | (advance as u64) << 40 | bits << 56))
    }
}

/// Most numbers of an entry.
const MOST_ADVANCE: usize = 64;

/// All meanings of the next [`LONGEST`] bits.
struct Table {
    entries: Box<[Entry; 1 << LONGEST]>,
    /// Only the next code: symbol, and length times 256.
    single: Box<[u16; 1 << LONGEST]>,
    run_bits: u32,
}

/// A code: symbol, length, and what it adds to an entry.
#[derive(Clone, Copy)]
struct Piece {
    symbol: u8,
    length: u32,
    run: u32,
    number: Option<i8>,
    /// Not of the kind that entries hold.
    alone: bool,
}

impl Table {
    fn new() -> Self {
        Table { entries: Box::new([Entry::NONE; 1 << LONGEST]), single: Box::new([0; 1 << LONGEST]), run_bits: 0 }
    }

    fn fill(&mut self, code: &Code) {
        let run_bits = code.run_bits();
        self.run_bits = run_bits;
        let mut pieces = Vec::with_capacity(256);
        for length in 1..=LONGEST {
            for symbol in (0..=255u8).filter(|s| u32::from(code.lengths[usize::from(*s)]) == length) {
                let (r, level) = (u32::from(symbol) & ((1 << run_bits) - 1), u32::from(symbol) >> run_bits);
                let (run, number) = match level {
                    0 => (1 << (run_bits + r).min(31), None),
                    _ => (r, Some(unzigzag(level.into()) as i8)),
                };
                let alone = level == escape(run_bits) || run as usize > MOST_ADVANCE;
                pieces.push(Piece { symbol, length, run, number, alone });
            }
        }
        let mut at = 0;
        for p in &pieces {
            let end = at + (1 << (LONGEST - p.length));
            self.single[at..end].fill(u16::from(p.symbol) | (p.length as u16) << 8);
            at = end;
        }
        extend(&mut self.entries[..], &pieces, Entry::NONE, LONGEST);
    }
}

/// Fills `entries`, the meanings of the next `left` bits after those of `before`. Goes no deeper than there are bits.
fn extend(entries: &mut [Entry], pieces: &[Piece], before: Entry, left: u32) {
    let mut rest = entries;
    for p in pieces {
        if p.length > left {
            break;
        }
        let (mine, others) = std::mem::take(&mut rest).split_at_mut(1 << (left - p.length));
        rest = others;
        match before.with(p.length, p.run, p.number).filter(|_| !p.alone) {
            Some(e) if left > p.length => extend(mine, pieces, e, left - p.length),
            Some(e) => mine.fill(e),
            None => mine.fill(before),
        }
    }
    rest.fill(before);
}

/// One of the parts of a stream that are coded on their own.
struct Lane<'a> {
    bytes: &'a [u8],
    /// Bits read.
    at: usize,
    out: &'a mut [u8],
    /// Numbers decoded.
    place: usize,
    wide: Vec<i32>,
}

impl Lane<'_> {
    /// Whether four entries may be taken without looking at the ends.
    #[inline(always)]
    fn is_roomy(&self) -> bool {
        self.place + 4 * (MOST_ADVANCE + 1) <= self.out.len() && (self.at >> 3) + 8 <= self.bytes.len()
    }

    /// The next 57 bits at least, highest first; zeros past the end.
    #[inline(always)]
    fn peek(&self) -> u64 {
        let rest = self.bytes.get(self.at >> 3..).unwrap_or_default();
        let word = match rest.first_chunk::<8>() {
            Some(w) => u64::from_le_bytes(*w),
            None => rest.iter().rev().fold(0, |w, b| w << 8 | u64::from(*b)),
        };
        word.swap_bytes() << (self.at & 7)
    }

    /// Takes one entry.
    #[inline(always)]
    fn take(&mut self, e: Entry) {
        let start = self.place + e.skip();
        if let Some(to) = self.out.get_mut(start..start + 4).and_then(<[u8]>::first_chunk_mut) {
            *to = (e.0 as u32).to_le_bytes();
        }
        self.place += e.advance();
    }

    /// Takes four entries and gives the last.
    #[inline(always)]
    fn advance(&mut self, table: &Table) -> Entry {
        let mut word = self.peek();
        let mut last = Entry::NONE;
        let mut bits = 0;
        for _ in 0..4 {
            last = table.entries[(word >> (64 - LONGEST)) as usize];
            word <<= last.bits() & 63;
            bits += last.bits();
            self.take(last);
        }
        self.at += bits as usize;
        last
    }

    /// Takes one code, of whichever kind.
    fn single(&mut self, table: &Table) -> Result<(), FormatError> {
        let word = self.peek();
        let found = table.single[(word >> (64 - LONGEST)) as usize];
        let (symbol, length) = (u32::from(found & 0xff), u32::from(found >> 8));
        self.at += length as usize;
        let k = table.run_bits;
        let (r, level) = (symbol & ((1 << k) - 1), symbol >> k);
        if level == 0 {
            self.place = (self.place + (1 << (k + r).min(31))).min(self.out.len());
            return Ok(());
        }
        self.place += r as usize;
        let Some(to) = self.out.get_mut(self.place) else {
            return Err(FormatError::Code { what: "numbers of a lane" });
        };
        self.place += 1;
        if level < escape(k) {
            *to = unzigzag(level.into()) as u8;
            return Ok(());
        }
        let rest = word << length;
        let e = (rest >> 60) as u32;
        let u = (rest << 4 >> 48) as u32 >> (16 - e);
        let image = escape(k) + (1 << e) - 1 + u;
        if image > LARGEST_IMAGE {
            return Err(FormatError::Code { what: "escape" });
        }
        self.at += 4 + e as usize;
        let number = unzigzag(image.into()) as i32;
        let narrow = i8::try_from(number).unwrap_or(WIDE);
        *to = narrow.cast_unsigned();
        if narrow == WIDE {
            self.wide.push(number);
        }
        Ok(())
    }

    /// Decodes what is left, to the end of the numbers and of the bytes.
    fn rest(&mut self, table: &Table) -> Result<(), FormatError> {
        while self.is_roomy() {
            if self.advance(table).advance() == 0 {
                self.single(table)?;
            }
        }
        while self.place + MOST_ADVANCE + 4 <= self.out.len() {
            let e = table.entries[(self.peek() >> (64 - LONGEST)) as usize];
            self.at += e.bits() as usize;
            self.take(e);
            if e.advance() == 0 {
                self.single(table)?;
            }
        }
        while self.place < self.out.len() {
            self.single(table)?;
        }
        let (read, used) = (self.at.div_ceil(8), self.at & 7);
        if read > self.bytes.len() {
            let available = self.bytes.len() as u64;
            return Err(FormatError::Truncated { what: "lane", needed: read as u64, available });
        }
        if read < self.bytes.len() {
            return Err(FormatError::TrailingBytes { what: "lane", count: (self.bytes.len() - read) as u64 });
        }
        if used > 0 && self.bytes.last().is_some_and(|b| b << used != 0) {
            return Err(FormatError::Code { what: "end of a lane" });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(streams: &[Vec<i16>]) -> usize {
        let coded: Vec<Coded> = streams.iter().map(|s| encode(s)).collect();
        let mut bytes = Vec::new();
        write(&coded, &mut bytes);
        let all = streams.iter().map(Vec::len).sum();
        let mut cursor = Cursor::new(&bytes);
        let back = read(&mut cursor, streams.len(), all).unwrap();
        assert_eq!(cursor.remaining(), 0);
        for (s, b) in streams.iter().zip(back) {
            let mut wide = b.wide.iter();
            let got: Vec<i32> = b.numbers[..s.len()]
                .iter()
                .map(|n| n.cast_signed())
                .map(|n| if n == WIDE { *wide.next().unwrap() } else { i32::from(n) })
                .collect();
            assert_eq!(got, s.iter().map(|n| i32::from(*n)).collect::<Vec<_>>());
            assert!(wide.next().is_none() && b.numbers[s.len()..].iter().all(|n| *n == 0));
        }
        bytes.len()
    }

    #[test]
    fn lone_symbols_and_extremes_come_back() {
        assert_eq!(round_trip(&[vec![0; 100_000]]), 5);
        round_trip(&[vec![1; 5000], vec![], vec![i16::MIN, i16::MAX], vec![-1], vec![0, 0, 7]]);
        let mut rare = vec![0i16; 1 << 19];
        (rare[70_000], rare[300_000], rare[300_001]) = (3, -300, 1);
        assert!(round_trip(&[rare]) < 100);
        round_trip(&[(i16::MIN..=i16::MAX).collect()]);
    }

    #[test]
    fn codes_are_complete_even_where_the_longest_are_cut() {
        let mut counts = [0u32; 256];
        let (mut a, mut b) = (1u32, 1u32);
        for c in counts.iter_mut().take(40) {
            *c = a;
            (a, b) = (b, a.saturating_add(b));
        }
        for counts in [counts, [1; 256], std::array::from_fn(|i| u32::from(i == 9))] {
            let sum: u32 = lengths(&counts).iter().filter(|l| **l > 0).map(|l| 1 << (LONGEST - u32::from(*l))).sum();
            assert_eq!(sum, 1 << LONGEST);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn numbers_round_trip(
            streams in prop::collection::vec((0usize..20_000, 0u32..16, 0u32..10, any::<u64>()), 1..5),
        ) {
            let streams: Vec<Vec<i16>> = streams
                .iter()
                .map(|(n, wide, sparse, seed)| {
                    let mut state = *seed;
                    (0..*n)
                        .map(|_| {
                            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                            let zero = (state >> 20) & ((1 << sparse) - 1) != 0;
                            if zero { 0 } else { ((state >> 40) as i16) >> (15 - (wide & (state >> 60) as u32)) }
                        })
                        .collect()
                })
                .collect();
            round_trip(&streams);
        }

        #[test]
        fn arbitrary_bytes_end_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&mut Cursor::new(&bytes), 2, 5000);
        }

        #[test]
        fn damaged_bytes_end_without_a_panic(
            seed in any::<u64>(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let numbers: Vec<i16> = (0..5000u64).map(|i| (((i * i) ^ seed) % 19) as i16 / 6).collect();
            let mut bytes = Vec::new();
            write(&[encode(&numbers)], &mut bytes);
            for (at, byte) in damage {
                let i = at.index(bytes.len());
                bytes[i] ^= byte;
            }
            let _ = read(&mut Cursor::new(&bytes), 1, 5000);
        }
    }
}
