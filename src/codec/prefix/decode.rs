//! Codes to numbers.

use super::lengths::read_lengths;
use super::{
    Code, FOUR_LANES, LANES, LARGEST_IMAGE, LONGEST, MOST_RUN_BITS, PADDING, WIDE, ZEROS, escape, levels_tell,
};
use crate::codec::cursor::{Cursor, unzigzag};
use crate::error::FormatError;

/// A decoded stream, read from front to back.
#[derive(Debug)]
pub(crate) struct Stream {
    /// The numbers as bytes in two's complement, [`WIDE`] for those that are in the list, and [`PADDING`] zeros.
    pub(crate) numbers: Vec<u8>,
    /// Numbers that do not fit, in order.
    pub(crate) wide: Vec<i32>,
}

/// Reads `count` streams that hold at most `most` numbers together (SPEC 8.4.1); they end where `cursor` does.
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
            // The table of many codes at once takes longer to fill than a short stream to read.
            table.fill(code, *n >= MANY);
            let part = n.div_ceil(code.lanes());
            let mut lanes = Vec::with_capacity(LANES);
            for out in stream.numbers[..*n].chunks_mut(part) {
                let size = sizes.next().copied().unwrap_or(0);
                lanes.push(Lane { bytes: cursor.take(size, "lane")?, at: 0, out, place: 0, wide: Vec::new() });
            }
            if lanes.len() != code.lanes() {
                return Err(FormatError::Code { what: "lanes of a short stream" });
            }
            if let [a, b, c, d] = &mut lanes[..]
                && !table.has_entries
            {
                while a.is_roomy() & b.is_roomy() & c.is_roomy() & d.is_roomy() {
                    for lane in [&mut *a, &mut *b, &mut *c, &mut *d] {
                        lane.single(&table)?;
                    }
                }
            } else if let [a, b, c, d] = &mut lanes[..] {
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
        (self.0 >> 32 & 0x3f) as usize
    }
    /// Zeros and numbers, and zeros after them.
    #[inline(always)]
    fn advance(self) -> usize {
        (self.0 >> 40 & 0x3f) as usize
    }
    #[inline(always)]
    fn bits(self) -> u32 {
        (self.0 >> 56) as u32
    }

    /// With one more code, for `run` zeros and then, if `number` is given, that; `None` if it does not fit.
    #[inline(always)]
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

/// Numbers of a stream that is worth a table of entries.
const MANY: usize = 1 << 13;
/// Most numbers of an entry: they are counted in six bits.
const MOST_ADVANCE: usize = 63;
/// Room for four entries.
const ROOM: usize = 4 * (MOST_ADVANCE + 1) + 4;

/// All meanings of the next [`LONGEST`] bits.
struct Table {
    entries: Box<[Entry; 1 << LONGEST]>,
    /// Only the next code: symbol, and length times 256.
    single: Box<[u16; 1 << LONGEST]>,
    run_bits: u32,
    has_entries: bool,
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
        Table {
            entries: Box::new([Entry::NONE; 1 << LONGEST]),
            single: Box::new([0; 1 << LONGEST]),
            run_bits: 0,
            has_entries: false,
        }
    }

    /// Fills the table for a code; without `entries` codes are taken one by one.
    fn fill(&mut self, code: &Code, entries: bool) {
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
                let alone = level >= escape(run_bits) || run as usize > MOST_ADVANCE;
                pieces.push(Piece { symbol, length, run, number, alone });
            }
        }
        let mut at = 0;
        for p in &pieces {
            let end = at + (1 << (LONGEST - p.length));
            self.single[at..end].fill(u16::from(p.symbol) | (p.length as u16) << 8);
            at = end;
        }
        self.has_entries = entries;
        if entries {
            extend(&mut self.entries[..], &pieces, Entry::NONE, LONGEST);
        }
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
        self.place + ROOM <= self.out.len() && (self.at >> 3) + 8 <= self.bytes.len()
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
        let (mut bits, mut place) = (0, 0);
        let Some(out) = self.out.get_mut(self.place..).and_then(<[u8]>::first_chunk_mut::<ROOM>) else { return last };
        for _ in 0..4 {
            last = table.entries[(word >> (64 - LONGEST)) as usize];
            word <<= last.bits() & 63;
            bits += last.bits();
            let start = place + last.skip();
            out[start..start + 4].copy_from_slice(&(last.0 as u32).to_le_bytes());
            place += last.advance();
        }
        self.place += place;
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
        let (e, told) = if levels_tell(k) { (level - escape(k), 0) } else { ((rest >> 60) as u32, 4) };
        let u = (rest << told >> 48) as u32 >> (16 - e);
        let image = escape(k) + (1 << e) - 1 + u;
        if image > LARGEST_IMAGE {
            return Err(FormatError::Code { what: "escape" });
        }
        self.at += (told + e) as usize;
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
        while table.has_entries && self.is_roomy() {
            if self.advance(table).advance() == 0 {
                self.single(table)?;
            }
        }
        while table.has_entries && self.place + MOST_ADVANCE + 4 <= self.out.len() {
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
