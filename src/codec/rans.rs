//! Interleaved rANS with static models chosen per symbol by a class (SPEC 8.4).
//!
//! Up to 32 independent 32-bit states share one stream of 16-bit words, so that a decoder without vector
//! instructions still has 32 chains to overlap. Symbols come in batches; the symbol at position `p` of its batch
//! belongs to state `p mod lanes`. The decoder reads words in the order of the symbols; the encoder runs backwards.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::needless_range_loop,
    reason = "tables have fixed sizes and indices are masked; sums stay far below the width of their type"
)]

use crate::codec::arithmetic;
use crate::codec::cursor::Cursor;
use crate::codec::mix::Counter;
use crate::error::FormatError;
use std::hint::select_unpredictable;

/// Frequencies of one model sum to two to this power.
pub(crate) const PROB_BITS: u32 = 11;
/// Sum of the frequencies of one model.
pub(crate) const TOTAL: u32 = 1 << PROB_BITS;
/// Most states of one stream.
pub(crate) const MAX_LANES: usize = 32;
/// Most classes of one stream, the free one included.
pub(crate) const MAX_CLASSES: usize = 16;
/// The class of symbols that are known to be 0: they cost nothing and leave the state as it is.
pub(crate) const FREE: u8 = 15;

/// States are at least this between symbols, and below 2^32.
const LOWEST: u32 = 1 << 16;

/// How often each symbol of one class occurs, scaled to sum to [`TOTAL`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Model {
    freq: [u16; 256],
}

impl Model {
    /// Symbol 0 only.
    pub(crate) fn certain() -> Self {
        let mut freq = [0; 256];
        freq[0] = TOTAL as u16;
        Model { freq }
    }

    /// Scales counts so that every symbol that occurs keeps a frequency of at least 1; without any count, symbol 0
    /// is certain.
    pub(crate) fn from_counts(counts: &[u32; 256]) -> Self {
        let sum: u64 = counts.iter().map(|c| u64::from(*c)).sum();
        if sum == 0 {
            return Model::certain();
        }
        let mut freq = [0u16; 256];
        let mut used = 0;
        for (f, c) in freq.iter_mut().zip(counts) {
            if *c > 0 {
                *f = (((u64::from(*c) << PROB_BITS) + sum / 2) / sum).clamp(1, u64::from(TOTAL)) as u16;
                used += u32::from(*f);
            }
        }
        // What rounding left over or overdrew goes to the largest frequencies, where it costs least.
        while used != TOTAL {
            let (mut largest, mut at) = (0, 0);
            for (i, f) in freq.iter().enumerate() {
                if *f > largest {
                    (largest, at) = (*f, i);
                }
            }
            if used < TOTAL {
                freq[at] += (TOTAL - used) as u16;
                used = TOTAL;
            } else {
                let cut = (used - TOTAL).min(u32::from(largest).div_ceil(8)).min(u32::from(largest) - 1);
                freq[at] -= cut as u16;
                used -= cut;
            }
        }
        Model { freq }
    }
}

/// Codes the frequencies of models with adaptive bits (SPEC 8.4.2).
struct FrequencyContexts {
    /// Counters of the binary tree over the bit length, by the lengths around it.
    length: Vec<[Counter; 16]>,
}

impl FrequencyContexts {
    fn new() -> Self {
        FrequencyContexts { length: vec![[Counter::NEW; 16]; 13] }
    }

    /// The context of a bit length after the lengths `one` and `two` before it.
    fn context(one: u32, two: u32) -> usize {
        (((one + two + 1) >> 1) as usize).min(12)
    }
}

/// Limit of the counters' adaptation.
const COUNTER_LIMIT: u32 = 60;

/// The coded form of `models` (SPEC 8.4.2).
pub(crate) fn write_models(models: &[Model]) -> Vec<u8> {
    let mut contexts = FrequencyContexts::new();
    let mut e = arithmetic::Encoder::new();
    for m in models {
        let last = m.freq.iter().rposition(|f| *f > 0).unwrap_or(0);
        for shift in (0..8).rev() {
            e.bit(last >> shift & 1 == 1, 1 << 15);
        }
        let (mut one, mut two) = (PROB_BITS, PROB_BITS);
        for f in &m.freq[..=last] {
            let length = u16::BITS - f.leading_zeros();
            let tree = &mut contexts.length[FrequencyContexts::context(one, two)];
            let mut node = 1;
            for shift in (0..4).rev() {
                let bit = length >> shift & 1 == 1;
                e.bit(bit, tree[node].p().max(1));
                tree[node].update(bit, COUNTER_LIMIT);
                node = node * 2 + usize::from(bit);
            }
            for shift in (0..length.saturating_sub(1)).rev() {
                e.bit(f >> shift & 1 == 1, 1 << 15);
            }
            (one, two) = (length, one);
        }
    }
    e.finish()
}

/// Reads `count` models that fill `bytes` exactly.
pub(crate) fn read_models(bytes: &[u8], count: usize) -> Result<Vec<Model>, FormatError> {
    let mut contexts = FrequencyContexts::new();
    let mut d = arithmetic::Decoder::new(bytes);
    let mut models = Vec::with_capacity(count);
    for _ in 0..count {
        let mut last = 0usize;
        for _ in 0..8 {
            last = last << 1 | usize::from(d.bit(1 << 15));
        }
        let mut freq = [0u16; 256];
        let mut sum = 0u32;
        let (mut one, mut two) = (PROB_BITS, PROB_BITS);
        for f in &mut freq[..=last] {
            let tree = &mut contexts.length[FrequencyContexts::context(one, two)];
            let mut node = 1;
            for _ in 0..4 {
                let bit = d.bit(tree[node].p().max(1));
                tree[node].update(bit, COUNTER_LIMIT);
                node = node * 2 + usize::from(bit);
            }
            let length = node as u32 - 16;
            if length > PROB_BITS + 1 {
                return Err(FormatError::Code { what: "frequency" });
            }
            if length > 0 {
                *f = 1;
                for _ in 1..length {
                    *f = *f << 1 | u16::from(d.bit(1 << 15));
                }
            }
            sum += u32::from(*f);
            (one, two) = (length, one);
        }
        if sum != TOTAL {
            return Err(FormatError::Count { what: "frequencies", found: sum.into(), expected: TOTAL.into() });
        }
        models.push(Model { freq });
    }
    d.finish("frequencies")?;
    Ok(models)
}

/// What coding one symbol of one class needs: `x -> x + bias + floor(x / freq) * (TOTAL - freq)`.
#[derive(Debug, Clone, Copy, Default)]
struct Step {
    /// 2^64 / freq rounded up, or 2^64 - 1 for a frequency of 1, whose quotient then is one too small.
    reciprocal: u64,
    bias: u32,
    freq: u32,
}

/// Codes batches of symbols, the last batch first.
#[derive(Debug)]
pub(crate) struct Encoder {
    steps: Box<[[Step; 256]; MAX_CLASSES]>,
    states: [u32; MAX_LANES],
    /// Number of states in use, less one.
    lane_mask: usize,
    /// Words in the order in which they were produced.
    words: Vec<u16>,
}

impl Encoder {
    /// `models` are those of classes 0, 1, ..; `lanes` is a power of two up to [`MAX_LANES`].
    pub(crate) fn new(models: &[Model], lanes: usize) -> Self {
        let mut steps = Box::new([[Step::default(); 256]; MAX_CLASSES]);
        let free = Model::certain();
        for (class, table) in steps.iter_mut().enumerate() {
            let model = models.get(class).unwrap_or(&free);
            let mut start = 0;
            for (s, f) in table.iter_mut().zip(&model.freq) {
                let freq = u32::from(*f);
                *s = match freq {
                    0 => Step::default(),
                    1 => Step { reciprocal: u64::MAX, bias: start + TOTAL - 1, freq },
                    _ => Step { reciprocal: u64::MAX / u64::from(freq) + 1, bias: start, freq },
                };
                start += freq;
            }
        }
        Encoder { steps, states: [LOWEST; MAX_LANES], lane_mask: lanes - 1, words: Vec::new() }
    }

    /// Codes one batch; `classes` says the class of each symbol, [`FREE`] where it is known to be 0.
    pub(crate) fn put(&mut self, symbols: &[u8], classes: &[u8]) {
        debug_assert_eq!(symbols.len(), classes.len());
        let (symbols, last_symbols) = symbols.as_chunks::<MAX_LANES>();
        let (classes, last_classes) = classes.as_chunks::<MAX_LANES>();
        let mut fresh = [0u16; MAX_LANES];
        let mut n = 0usize;
        for (p, (s, c)) in last_symbols.iter().zip(last_classes).enumerate().rev() {
            self.step(p & self.lane_mask, *s, *c, &mut fresh, &mut n);
        }
        self.words.extend_from_slice(&fresh[..n]);
        for (symbols, classes) in symbols.iter().zip(classes).rev() {
            let mut n = 0usize;
            if self.lane_mask == MAX_LANES - 1 {
                for lane in (0..MAX_LANES).rev() {
                    self.step(lane, symbols[lane], classes[lane], &mut fresh, &mut n);
                }
            } else {
                for p in (0..MAX_LANES).rev() {
                    self.step(p & self.lane_mask, symbols[p], classes[p], &mut fresh, &mut n);
                }
            }
            self.words.extend_from_slice(&fresh[..n.min(MAX_LANES)]);
        }
    }

    /// Codes one symbol; a word that this makes goes to `fresh`.
    #[inline(always)]
    fn step(&mut self, lane: usize, symbol: u8, class: u8, fresh: &mut [u16; MAX_LANES], n: &mut usize) {
        let step = &self.steps[usize::from(class) & (MAX_CLASSES - 1)][usize::from(symbol)];
        let state = &mut self.states[lane & (MAX_LANES - 1)];
        let full = *state >> (32 - PROB_BITS) >= step.freq;
        fresh[*n & (MAX_LANES - 1)] = *state as u16;
        *n += usize::from(full);
        let x = select_unpredictable(full, *state >> 16, *state);
        let quotient = ((u128::from(x) * u128::from(step.reciprocal)) >> 64) as u32;
        *state = x.wrapping_add(step.bias).wrapping_add(quotient.wrapping_mul(TOTAL - step.freq));
    }

    /// Appends the states and the words (SPEC 8.4.3).
    pub(crate) fn finish(self, out: &mut Vec<u8>) {
        out.reserve(4 * (self.lane_mask + 1) + 2 * self.words.len());
        for x in &self.states[..=self.lane_mask] {
            out.extend_from_slice(&x.to_le_bytes());
        }
        out.extend(self.words.iter().rev().flat_map(|w| w.to_le_bytes()));
    }
}

/// Reads batches back.
#[derive(Debug)]
pub(crate) struct Decoder {
    /// One entry a class and slot: symbol, 8 bits; frequency, 12 bits; slot less the symbol's first slot, 12 bits.
    table: Box<[u32; MAX_CLASSES * TOTAL as usize]>,
    states: [u32; MAX_LANES],
    lane_mask: usize,
    /// The words, and [`MAX_LANES`] zeros that let whole blocks be read at the end.
    words: Vec<u16>,
    /// Index of the next word.
    next: usize,
}

impl Decoder {
    /// Takes all that is left of `cursor`.
    pub(crate) fn new(models: &[Model], lanes: usize, cursor: &mut Cursor<'_>) -> Result<Self, FormatError> {
        let mut table: Box<[u32; MAX_CLASSES * TOTAL as usize]> = vec![0; MAX_CLASSES * TOTAL as usize]
            .try_into()
            .unwrap_or_else(|_| Box::new([0; MAX_CLASSES * TOTAL as usize]));
        let free = Model::certain();
        for (class, slots) in table.chunks_exact_mut(TOTAL as usize).enumerate() {
            if class >= models.len() && class != usize::from(FREE) {
                continue;
            }
            let mut rest = slots;
            for (symbol, f) in models.get(class).unwrap_or(&free).freq.iter().enumerate() {
                let (mine, others) = rest.split_at_mut(usize::from(*f).min(rest.len()));
                let entry = symbol as u32 | u32::from(*f) << 8;
                for (offset, slot) in mine.iter_mut().enumerate() {
                    *slot = entry | (offset as u32) << 20;
                }
                rest = others;
            }
        }
        let mut states = [LOWEST; MAX_LANES];
        for x in &mut states[..lanes] {
            *x = cursor.u32("rANS state")?;
            if *x < LOWEST {
                return Err(FormatError::Code { what: "rANS state" });
            }
        }
        let bytes = cursor.take_rest();
        if bytes.len() % 2 == 1 {
            return Err(FormatError::TrailingBytes { what: "rANS words", count: 1 });
        }
        let mut words = Vec::with_capacity(bytes.len() / 2 + MAX_LANES);
        words.extend(bytes.as_chunks::<2>().0.iter().map(|w| u16::from_le_bytes(*w)));
        words.resize(words.len() + MAX_LANES, 0);
        Ok(Decoder { table, states, lane_mask: lanes - 1, words, next: 0 })
    }

    /// Reads one batch.
    pub(crate) fn get(&mut self, classes: &[u8], symbols: &mut [u8]) -> Result<(), FormatError> {
        debug_assert_eq!(symbols.len(), classes.len());
        let (full_classes, last_classes) = classes.as_chunks::<MAX_LANES>();
        let (full_symbols, last_symbols) = symbols.as_chunks_mut::<MAX_LANES>();
        let mut next = self.next;
        for (c, s) in full_classes.iter().zip(full_symbols) {
            let words = self.words.get(next..).and_then(<[u16]>::first_chunk).ok_or_else(|| self.exhausted())?;
            next += if self.lane_mask == MAX_LANES - 1 {
                block(&self.table, &mut self.states, words, c, s)
            } else {
                part(&self.table, &mut self.states, self.lane_mask, words, c, s)
            };
        }
        if !last_classes.is_empty() {
            let words = self.words.get(next..).and_then(<[u16]>::first_chunk).ok_or_else(|| self.exhausted())?;
            next += part(&self.table, &mut self.states, self.lane_mask, words, last_classes, last_symbols);
        }
        self.next = next;
        Ok(())
    }

    fn exhausted(&self) -> FormatError {
        let available = (self.words.len() - MAX_LANES) as u64 * 2;
        FormatError::Truncated { what: "rANS words", needed: available + 2, available }
    }

    /// Checks that every word was read and that every state is back where the encoder started.
    pub(crate) fn finish(self) -> Result<(), FormatError> {
        let there = self.words.len() - MAX_LANES;
        if self.next < there {
            return Err(FormatError::TrailingBytes { what: "rANS words", count: (there - self.next) as u64 * 2 });
        }
        if self.next > there {
            return Err(self.exhausted());
        }
        if self.states.iter().any(|x| *x != LOWEST) {
            return Err(FormatError::Code { what: "final rANS state" });
        }
        Ok(())
    }
}

/// One symbol: its entry of the table, the new state and whether that took a word.
#[inline(always)]
fn advance(table: &[u32; MAX_CLASSES * TOTAL as usize], x: u32, class: u8, word: u16) -> (u8, u32, bool) {
    let entry = table[(usize::from(class) & (MAX_CLASSES - 1)) << PROB_BITS | x as usize & (TOTAL as usize - 1)];
    let y = (entry >> 8 & 0xfff).wrapping_mul(x >> PROB_BITS).wrapping_add(entry >> 20);
    let refill = y < LOWEST;
    (entry as u8, select_unpredictable(refill, y << 16 | u32::from(word), y), refill)
}

/// A whole block of one symbol a state; returns how many words it took.
#[inline(always)]
fn block(
    table: &[u32; MAX_CLASSES * TOTAL as usize],
    states: &mut [u32; MAX_LANES],
    words: &[u16; MAX_LANES],
    classes: &[u8; MAX_LANES],
    symbols: &mut [u8; MAX_LANES],
) -> usize {
    let mut n = 0;
    for lane in 0..MAX_LANES {
        let (symbol, x, refill) = advance(table, states[lane], classes[lane], words[n & (MAX_LANES - 1)]);
        symbols[lane] = symbol;
        states[lane] = x;
        n += usize::from(refill);
    }
    n
}

/// Up to [`MAX_LANES`] symbols over any number of states.
fn part(
    table: &[u32; MAX_CLASSES * TOTAL as usize],
    states: &mut [u32; MAX_LANES],
    lane_mask: usize,
    words: &[u16; MAX_LANES],
    classes: &[u8],
    symbols: &mut [u8],
) -> usize {
    let mut n = 0;
    for (p, (c, s)) in classes.iter().zip(symbols).enumerate() {
        let lane = p & lane_mask & (MAX_LANES - 1);
        let (symbol, x, refill) = advance(table, states[lane], *c, words[n & (MAX_LANES - 1)]);
        *s = symbol;
        states[lane] = x;
        n += usize::from(refill);
    }
    n
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(models: &[Model], lanes: usize, batches: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
        let mut e = Encoder::new(models, lanes);
        batches.iter().rev().for_each(|(s, c)| e.put(s, c));
        let mut out = Vec::new();
        e.finish(&mut out);
        out
    }

    #[test]
    fn frequencies_sum_to_the_total_and_keep_rare_symbols() {
        let mut counts = [1u32; 256];
        counts[7] = u32::MAX;
        let m = Model::from_counts(&counts);
        assert_eq!(m.freq.iter().map(|f| u32::from(*f)).sum::<u32>(), TOTAL);
        assert!(m.freq.iter().all(|f| *f > 0));
        assert_eq!(Model::from_counts(&[0; 256]), Model::certain());
        let even = Model::from_counts(&[3; 256]);
        assert!(even.freq.iter().all(|f| u32::from(*f) == TOTAL / 256));
    }

    #[test]
    fn certain_symbols_cost_only_the_states() {
        let batches = vec![(vec![0u8; 1000], vec![0u8; 1000]), (vec![0; 77], vec![FREE; 77])];
        assert_eq!(encoded(&[Model::certain()], 4, &batches).len(), 16);
    }

    #[test]
    fn rejects_frequencies_with_another_sum() {
        let bytes = write_models(&[Model::certain()]);
        assert_eq!(read_models(&bytes, 1), Ok(vec![Model::certain()]));
        assert!(read_models(&[], 1).is_err());
    }

    proptest! {
        #[test]
        fn batches_round_trip(
            batches in prop::collection::vec(prop::collection::vec((0u8..40, 0u8..4), 0..100), 0..20),
            lanes_log2 in 0u32..6,
        ) {
            let batches: Vec<(Vec<u8>, Vec<u8>)> = batches.iter().map(|b| b.iter().copied().unzip()).collect();
            let mut counts = vec![[0u32; 256]; 4];
            for (s, c) in batches.iter().flat_map(|(s, c)| s.iter().zip(c)) {
                counts[usize::from(*c)][usize::from(*s)] += 1;
            }
            let models: Vec<Model> = counts.iter().map(Model::from_counts).collect();
            prop_assert_eq!(&read_models(&write_models(&models), 4).unwrap(), &models);
            let bytes = encoded(&models, 1 << lanes_log2, &batches);
            let mut d = Decoder::new(&models, 1 << lanes_log2, &mut Cursor::new(&bytes)).unwrap();
            for (s, c) in &batches {
                let mut got = vec![0; s.len()];
                d.get(c, &mut got).unwrap();
                prop_assert_eq!(&got, s);
            }
            prop_assert_eq!(d.finish(), Ok(()));
        }

        #[test]
        fn arbitrary_bytes_end_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            classes in prop::collection::vec(0u8..16, 0..300),
        ) {
            if let Ok(models) = read_models(&bytes, 2) {
                prop_assert_eq!(models.len(), 2);
            }
            let models = [Model::from_counts(&[1; 256]), Model::certain()];
            if let Ok(mut d) = Decoder::new(&models, 8, &mut Cursor::new(&bytes)) {
                let mut got = vec![0; classes.len()];
                let result = d.get(&classes, &mut got).and_then(|()| d.finish());
                prop_assert!(result.is_err() || bytes.len() >= 32);
            }
        }
    }
}
