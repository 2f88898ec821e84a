//! Codes a signed number of steps from contexts, expected distributions and outright guesses (SPEC 9.3.6).
//!
//! The decisions are much those of [`crate::lattice::residual`]; what is added are the guesses: numbers that the writer and the
//! reader can point at, each with a record of how far it could be trusted lately.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "inner loop of every value: table indexes are hashes cut to the size of the table"
)]

use crate::codec::arithmetic::BitCoder;
use crate::codec::mix::{CERTAIN, Counter, Counters};
use crate::lattice::decision::{Decisions, Expert, Node, Start};
use crate::lattice::matches::RECORDS;
use fearless_simd::Simd;

/// Contexts of each number.
pub(super) const CONTEXTS: usize = 8;
/// Distributions of each number.
pub(super) const EXPERTS: usize = 3;
/// Guesses of each number.
pub(super) const GUESSES: usize = 12;
/// Weight sets of each selector.
pub(super) const SELECTORS: [usize; 3] = [64, 24, 64];
/// Magnitudes are below `1 << CLASSES`.
pub(super) const CLASSES: u32 = 53;

const INPUTS: usize = 32;
const BIAS: usize = 2 * CONTEXTS + EXPERTS + GUESSES;
/// Counters of guesses: an index below a power of two needs no check.
const SLOTS: usize = (GUESSES * RECORDS * 4 * 4 * 2).next_power_of_two();
const FAST_LIMIT: u32 = 24;
const GUESS_LIMIT: i32 = 255;
/// Expected classes from which the search starts at the expected class.
const FAR: u32 = 7;
/// Bits below the leading one that are always predicted; those below them only where a guess still stands.
const MODELED: u32 = 3;
/// Stretched probability beyond which it is not refined.
const SURE: f32 = 7.0;

/// What is known before a number is coded.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) contexts: [u32; CONTEXTS],
    pub(super) selectors: [usize; 3],
    pub(super) experts: [Expert; EXPERTS],
    pub(super) guesses: Guesses,
    /// Class at which the search for that of a large number starts, below `CLASSES`.
    pub(super) start: u32,
}

/// Numbers that may well be the one to be coded. Sets of guesses have a bit for each.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    numbers: [i64; GUESSES],
    /// How far each could be trusted lately, below `RECORDS`.
    records: [u8; GUESSES],
    made: u32,
}

impl Guesses {
    pub(super) fn make(&mut self, g: usize, number: i64, record: usize) {
        self.numbers[g] = number;
        self.records[g] = record as u8;
        self.made |= 1 << g;
    }

    /// Guess `g`, or 0 if there is none.
    pub(super) fn number(&self, g: usize) -> i64 {
        self.numbers[g]
    }

    /// Those that were made and are `number`.
    #[inline(always)]
    pub(super) fn right(&self, number: i64) -> u32 {
        self.ones(|g| g == number) & self.made
    }

    pub(super) fn mirror(&mut self) {
        self.numbers.iter_mut().for_each(|g| *g = -*g);
    }

    #[inline(always)]
    fn ones(&self, is_one: impl Fn(i64) -> bool) -> u32 {
        self.numbers.iter().zip(0..).fold(0, |ones, (guess, g)| ones | u32::from(is_one(*guess)) << g)
    }
}

/// One decision about a number: where it stands and what a number says to it.
#[derive(Clone, Copy)]
struct Decision {
    node: usize,
    kind: usize,
    /// What kind of decision it is for the guesses' counters: 0 zero, 1 sign, 2 class, 3 lower bits.
    stage: u32,
}

/// Adaptive state of one stream of numbers.
#[derive(Debug)]
pub(super) struct SymbolCoder {
    decisions: Decisions<CONTEXTS, 3, INPUTS, 8>,
    guess_counters: Box<[Counter; SLOTS]>,
    /// Guesses that agree with all decisions of this number so far.
    alive: u32,
}

impl SymbolCoder {
    pub(super) fn new(row_bits: u32) -> Self {
        let mut weights = [0f32; INPUTS];
        weights[..2 * CONTEXTS].fill(0.5 / CONTEXTS as f32);
        weights[2 * CONTEXTS..2 * CONTEXTS + EXPERTS].fill(0.1);
        weights[2 * CONTEXTS + EXPERTS..BIAS].fill(0.15);
        SymbolCoder {
            decisions: Decisions::new(Start {
                row_bits,
                fast_limit: FAST_LIMIT,
                weights,
                selector_counts: SELECTORS,
                last_rate: 0.002,
                refinements: SELECTORS[1],
            }),
            guess_counters: Box::new([Counter::NEW; SLOTS]),
            alive: 0,
        }
    }

    /// Codes `k`, or decodes and returns it; `|k| < 2^53`.
    #[inline(always)]
    pub(super) fn code<S: Simd, C: BitCoder>(&mut self, simd: S, coder: &mut C, k: i64, given: &Given) -> i64 {
        self.alive = given.guesses.made;
        let mut rows = self.decisions.rows_of(&given.contexts, 0);
        let below = given.experts.map(|e| self.decisions.tails.below(e, -0.5));
        let above = given.experts.map(|e| self.decisions.tails.above(e, 0.5));

        let p: [f32; EXPERTS] = std::array::from_fn(|e| 1.0 - below[e] - above[e]);
        let at = Decision { node: 0, kind: 0, stage: 0 };
        if self.decide(simd, coder, k == 0, at, &rows, given, &p, given.guesses.ones(|g| g == 0)) {
            return 0;
        }
        let p: [f32; EXPERTS] = std::array::from_fn(|e| below[e] / (below[e] + above[e]));
        let at = Decision { node: 1, kind: 1, stage: 1 };
        let negative = self.decide(simd, coder, k < 0, at, &rows, given, &p, given.guesses.ones(|g| g < 0));

        let mut experts = given.experts;
        let mut tail = above;
        if negative {
            experts.iter_mut().for_each(|e| e.center = -e.center);
            tail = below;
        }
        let m = k.unsigned_abs();
        let mut class = 0;
        let (mut low, mut high) = (tail, [0.0; EXPERTS]);
        if given.start < FAR {
            while class < CLASSES - 1 {
                let edge = (2u64 << class) as f32 - 0.5;
                let next: [f32; EXPERTS] = std::array::from_fn(|e| self.decisions.tails.above(experts[e], edge));
                let p: [f32; EXPERTS] = std::array::from_fn(|e| next[e] / low[e]);
                let (node, kind) = if class < 6 { (2 + class, 2 + class) } else { ((class - 6).min(7), 8) };
                if class == 6 {
                    rows = self.decisions.rows_of(&given.contexts, 64);
                }
                let at = Decision { node: node as usize, kind: kind as usize, stage: 2 };
                let shift = class + 1;
                let ones = given.guesses.ones(|g| g.unsigned_abs() >> shift != 0);
                if !self.decide(simd, coder, m >> shift != 0, at, &rows, given, &p, ones) {
                    high = next;
                    break;
                }
                low = next;
                class += 1;
            }
        } else {
            // Up or down from the class that is expected until it is between two neighbors.
            rows = self.decisions.rows_of(&given.contexts, 64 + given.start);
            let mut end = CLASSES;
            let mut at_least = given.start;
            let mut taken = 0;
            while end - class > 1 {
                let edge = (1u64 << at_least) as f32 - 0.5;
                let middle: [f32; EXPERTS] = std::array::from_fn(|e| self.decisions.tails.above(experts[e], edge));
                let p: [f32; EXPERTS] = std::array::from_fn(|e| (middle[e] - high[e]) / (low[e] - high[e]));
                let upward = at_least >= given.start;
                let node = if upward { at_least - given.start } else { 3 + given.start - at_least };
                let at = Decision { node: node.min(if upward { 3 } else { 7 }) as usize, kind: 13 + taken, stage: 2 };
                taken = (taken + 1).min(2);
                let shift = at_least;
                let ones = given.guesses.ones(|g| g.unsigned_abs() >> shift != 0);
                if self.decide(simd, coder, m >> shift != 0, at, &rows, given, &p, ones) {
                    (class, low) = (at_least, middle);
                    at_least += 1;
                } else {
                    (end, high) = (at_least, middle);
                    at_least -= 1;
                }
            }
        }
        let mut found = 1u64;
        if class > 0 {
            let rows = self.decisions.rows_of(&given.contexts, class);
            for bit in (0..class).rev() {
                let depth = class - 1 - bit;
                let (node, kind) = match depth {
                    0 => (0, 9),
                    1 => (1 + (found & 1), 10),
                    2 => (3 + (found & 3), 11),
                    _ => (7, 12),
                };
                if depth >= MODELED && self.alive == 0 {
                    found = 2 * found + u64::from(coder.code(m >> bit & 1 == 1, 1 << 15));
                    continue;
                }
                let edge = ((2 * found + 1) << bit) as f32 - 0.5;
                let middle: [f32; EXPERTS] = std::array::from_fn(|e| self.decisions.tails.above(experts[e], edge));
                let p: [f32; EXPERTS] = std::array::from_fn(|e| (middle[e] - high[e]) / (low[e] - high[e]));
                let at = Decision { node: node as usize, kind, stage: 3 };
                let ones = given.guesses.ones(|g| g.unsigned_abs() >> bit & 1 == 1);
                let one = self.decide(simd, coder, m >> bit & 1 == 1, at, &rows, given, &p, ones);
                found = 2 * found + u64::from(one);
                if one {
                    low = middle;
                } else {
                    high = middle;
                }
            }
        }
        let k = found.cast_signed();
        if negative { -k } else { k }
    }

    /// One decision; `expected` holds the experts' probabilities of a 1, `ones` has a bit for each guess that makes it one.
    /// Called from many places: a copy in each would take the compiler minutes.
    #[allow(clippy::too_many_arguments, reason = "all of them change with every decision")]
    #[inline(never)]
    fn decide<S: Simd, C: BitCoder>(
        &mut self,
        simd: S,
        coder: &mut C,
        bit: bool,
        at: Decision,
        rows: &[usize; CONTEXTS],
        given: &Given,
        expected: &[f32; EXPERTS],
        ones: u32,
    ) -> bool {
        simd.vectorize(
            #[inline(always)]
            || {
                let mut inputs = [0f32; INPUTS];
                self.decisions.ask(rows, at.node, expected, &mut inputs);
                inputs[BIAS] = 0.25;

                // A guess that was contradicted says nothing more.
                let ones = ones & self.alive;
                let zeros = self.alive & !ones;
                // Alone, in company of one more of the same opinion, of two, or of three and more.
                let company = |same: u32| same.count_ones().saturating_sub(1).min(3);
                let [zero, one] = [company(zeros), company(ones)].map(|company| (company * 4 + at.stage) * 2);
                let mut slots = [0usize; GUESSES];
                let mut counters = [Counters::NEW; GUESSES.div_ceil(8)];
                for (g, slot) in slots.iter_mut().enumerate() {
                    let is_one = ones >> g & 1 == 1;
                    let record = g as u32 * RECORDS as u32 + u32::from(given.guesses.records[g]);
                    *slot = (record * 32 + if is_one { one + 1 } else { zero }) as usize;
                    let counter = self.guess_counters[*slot % SLOTS];
                    counters[g / 8].set(g % 8, counter);
                    let trust = self.decisions.logistic.stretch(counter.p());
                    let opinion = if is_one { trust } else { -trust };
                    inputs[2 * CONTEXTS + EXPERTS + g] = if self.alive >> g & 1 == 1 { opinion } else { 0.0 };
                }

                let x = self.decisions.mix(simd, &inputs, &given.selectors, at.kind);
                let refined =
                    self.decisions.refine(simd, x, given.selectors[1], rows, Node { slot: at.node, kind: at.kind });
                // Refinements do not tell near certainty from certainty, which is what long repeats need.
                let p = if x.abs() >= SURE { self.decisions.logistic.squash(simd, x) } else { refined };

                let bit = coder.code(bit, p);

                self.decisions.learn(simd, &inputs, rows, at.node, bit);
                // Each counts how often it was right.
                let right = if bit { ones } else { !ones };
                for (eight, counters) in counters.iter_mut().enumerate() {
                    let targets =
                        [0, 1, 2, 3, 4, 5, 6, 7].map(|g| (right >> (8 * eight + g) & 1).cast_signed() * CERTAIN);
                    let limits = simd.splat_i32x8(GUESS_LIMIT);
                    counters.approach(simd, simd.load_array_i32x8(targets), limits);
                }
                let mut left = self.alive;
                while left != 0 {
                    let g = left.trailing_zeros() as usize;
                    left &= left - 1;
                    self.guess_counters[slots[g] % SLOTS] = counters[g / 8].get(g % 8);
                }
                self.alive = if bit { ones } else { zeros };
                bit
            },
        )
    }
}
