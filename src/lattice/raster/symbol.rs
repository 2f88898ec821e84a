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
use crate::codec::mix::Counter;
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
const FAST_LIMIT: u32 = 24;
const GUESS_LIMIT: u32 = 255;
/// Expected classes from which the search starts at the expected class.
const FAR: u32 = 7;
/// Bits below the leading one that are always predicted; those below them only where a guess still stands.
const MODELED: u32 = 3;
/// Stretched probability beyond which it is not refined.
const CERTAIN: f32 = 7.0;

/// What is known before a number is coded.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) contexts: [u32; CONTEXTS],
    pub(super) selectors: [usize; 3],
    pub(super) experts: [Expert; EXPERTS],
    pub(super) guesses: [i64; GUESSES],
    /// Class at which the search for that of a large number starts, below `CLASSES`.
    pub(super) start: u32,
    /// Record of each guess, below `RECORDS`; `None` if there is no guess.
    pub(super) records: [Option<usize>; GUESSES],
}

impl Given {
    /// A bit for each guess, set if it is such a one.
    #[inline(always)]
    fn ones(&self, is_one: impl Fn(i64) -> bool) -> u32 {
        self.guesses.iter().zip(0..).fold(0, |ones, (guess, g)| ones | u32::from(is_one(*guess)) << g)
    }
}

/// One decision about a number: where it stands and what a number says to it.
#[derive(Clone, Copy)]
struct Decision {
    node: usize,
    kind: usize,
    /// What kind of decision it is for the guesses' counters: 0 zero, 1 sign, 2 class, 3 lower bits.
    stage: usize,
}

/// Adaptive state of one stream of numbers.
#[derive(Debug)]
pub(super) struct SymbolCoder {
    decisions: Decisions<CONTEXTS, 3, INPUTS, 8>,
    guess_counters: Vec<Counter>,
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
            guess_counters: vec![Counter::NEW; GUESSES * RECORDS * 4 * 4 * 2],
            alive: 0,
        }
    }

    /// Codes `k`, or decodes and returns it; `|k| < 2^53`.
    #[inline(always)]
    pub(super) fn code<S: Simd, C: BitCoder>(&mut self, simd: S, coder: &mut C, k: i64, given: &Given) -> i64 {
        self.alive = 0;
        for (i, r) in given.records.iter().enumerate() {
            self.alive |= u32::from(r.is_some()) << i;
        }
        let mut rows = self.decisions.rows_of(&given.contexts, 0);
        let below = given.experts.map(|e| self.decisions.tails.below(e, -0.5));
        let above = given.experts.map(|e| self.decisions.tails.above(e, 0.5));

        let p: [f32; EXPERTS] = std::array::from_fn(|e| 1.0 - below[e] - above[e]);
        let at = Decision { node: 0, kind: 0, stage: 0 };
        if self.decide(simd, coder, k == 0, at, &rows, given, &p, given.ones(|g| g == 0)) {
            return 0;
        }
        let p: [f32; EXPERTS] = std::array::from_fn(|e| below[e] / (below[e] + above[e]));
        let at = Decision { node: 1, kind: 1, stage: 1 };
        let negative = self.decide(simd, coder, k < 0, at, &rows, given, &p, given.ones(|g| g < 0));

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
                let ones = given.ones(|g| g.unsigned_abs() >> shift != 0);
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
                let ones = given.ones(|g| g.unsigned_abs() >> shift != 0);
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
                let ones = given.ones(|g| g.unsigned_abs() >> bit & 1 == 1);
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
                let mut slots = [0usize; GUESSES];
                let mut left = self.alive;
                while left != 0 {
                    let g = left.trailing_zeros() as usize;
                    left &= left - 1;
                    let one = ones >> g & 1;
                    let company = if one == 1 { ones } else { zeros }.count_ones() - 1;
                    let record = given.records[g].unwrap_or(0);
                    let slot =
                        (((g * RECORDS + record) * 4 + company.min(3) as usize) * 4 + at.stage) * 2 + one as usize;
                    let trust = self.decisions.logistic.stretch(self.guess_counters[slot].p());
                    slots[g] = slot;
                    inputs[2 * CONTEXTS + EXPERTS + g] = if one == 1 { trust } else { -trust };
                }

                let x = self.decisions.mix(simd, &inputs, &given.selectors, at.kind);
                let refined = self.decisions.refine(x, given.selectors[1], rows, Node { slot: at.node, kind: at.kind });
                // Refinements do not tell near certainty from certainty, which is what long repeats need.
                let p = if x.abs() >= CERTAIN { self.decisions.logistic.squash(x) } else { refined };

                let bit = coder.code(bit, p);

                self.decisions.learn(simd, &inputs, rows, at.node, bit);
                let mut left = self.alive;
                while left != 0 {
                    let g = left.trailing_zeros() as usize;
                    left &= left - 1;
                    self.guess_counters[slots[g]].update((ones >> g & 1 == 1) == bit, GUESS_LIMIT);
                }
                self.alive = if bit { ones } else { zeros };
                bit
            },
        )
    }
}
