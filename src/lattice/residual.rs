//! Codes a signed number of steps bit by bit, each bit predicted in many contexts (SPEC 8.2.4).
//!
//! A number is a zero flag, a sign, the bit length of its magnitude in unary, and the bits below the leading one. Each of
//! these decisions is a node; a context and a node choose a pair of counters.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "inner loop of every value: rows and sets are taken modulo or checked when the coder is made"
)]

use crate::codec::arithmetic::BitCoder;
use crate::codec::mix::{Counter, Logistic, Mixer, Refiner};

/// Largest bit length minus one of a magnitude; the caller keeps magnitudes at or below 2^30.
const CLASS_MAX: u32 = 30;

/// Kinds of node, each with weights of its own (SPEC 8.2.4).
const KINDS: usize = 16;

/// How many contexts, the first ones, have a say in light decisions.
const LIGHT: usize = 4;
const LIGHT_INPUTS: usize = 16;

/// The length of a number is decided lightly where the first expert is surer than this.
const CERTAIN: f32 = 0.03;

/// Count limits of the slow and the fast counter of a slot.
const SLOW_LIMIT: u32 = 400;
const FAST_LIMIT: u32 = 16;

/// A logistic distribution that one predictor expects the number to follow.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Expert {
    /// Its center, in steps.
    pub(crate) center: f32,
    /// The inverse of its scale, in steps; positive.
    pub(crate) inverse_scale: f32,
}

/// What is known before a number is coded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given<const CONTEXTS: usize, const SELECTORS: usize, const EXPERTS: usize> {
    /// Any 32-bit hashes.
    pub(crate) contexts: [u32; CONTEXTS],
    /// Which weight set of each selector; below the count the coder was made with.
    pub(crate) selectors: [usize; SELECTORS],
    pub(crate) experts: [Expert; EXPERTS],
    /// Context of the final refinement, below the count the coder was made with.
    pub(crate) refinement: usize,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    slow: Counter,
    fast: Counter,
}

/// Eight slots, one cache line.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Row([Slot; 8]);

/// Adaptive state of one stream of numbers. `INPUTS` is a multiple of 8 and at least
/// `2 * CONTEXTS + EXPERTS + 1`; `OUTPUTS` is a multiple of 8 and at least `SELECTORS + 1`.
#[derive(Debug)]
pub(crate) struct ResidualCoder<
    const CONTEXTS: usize,
    const SELECTORS: usize,
    const EXPERTS: usize,
    const INPUTS: usize,
    const OUTPUTS: usize,
> {
    logistic: Logistic,
    tails: Tails,
    /// `CONTEXTS` tables of `1 << row_bits` rows, one after another.
    rows: Vec<Row>,
    row_bits: u32,
    mixers: [Mixer<INPUTS>; SELECTORS],
    last: Mixer<OUTPUTS>,
    /// Mixes the few inputs of light decisions.
    light: Mixer<LIGHT_INPUTS>,
    refiners: [Refiner; 2],
    inputs: [f32; INPUTS],
}

impl<const CONTEXTS: usize, const SELECTORS: usize, const EXPERTS: usize, const INPUTS: usize, const OUTPUTS: usize>
    ResidualCoder<CONTEXTS, SELECTORS, EXPERTS, INPUTS, OUTPUTS>
{
    /// `selector_counts`: how many weight sets each selector chooses among.
    pub(crate) fn new(row_bits: u32, selector_counts: [usize; SELECTORS], refinements: usize) -> Self {
        const { assert!(2 * CONTEXTS + EXPERTS < INPUTS && SELECTORS < OUTPUTS, "room for a constant input") };
        const { assert!(2 * LIGHT + EXPERTS < LIGHT_INPUTS, "room for a constant input") };
        let logistic = Logistic::new();
        let mut start = [0f32; INPUTS];
        start[..2 * CONTEXTS].fill(0.6 / CONTEXTS as f32);
        start[2 * CONTEXTS..2 * CONTEXTS + EXPERTS].fill(0.25 / EXPERTS as f32);
        let mut light_start = [0f32; LIGHT_INPUTS];
        light_start[..2 * LIGHT].fill(0.3 / LIGHT as f32);
        light_start[2 * LIGHT..2 * LIGHT + EXPERTS].fill(0.4 / EXPERTS as f32);
        let mut last_start = [0f32; OUTPUTS];
        last_start[..SELECTORS].fill(1.0 / SELECTORS as f32);
        let slot = Slot { slow: Counter::NEW, fast: Counter::NEW };
        ResidualCoder {
            rows: vec![Row([slot; 8]); CONTEXTS << row_bits],
            row_bits,
            mixers: selector_counts.map(|n| Mixer::new(n * KINDS, &start, 0.002, 0.02)),
            last: Mixer::new(KINDS, &last_start, 0.0015, 0.01),
            refiners: [Refiner::new(refinements * KINDS, &logistic), Refiner::new(1024, &logistic)],
            light: Mixer::new(KINDS, &light_start, 0.002, 0.02),
            inputs: [0.0; INPUTS],
            tails: Tails::new(),
            logistic,
        }
    }

    /// Codes `k`, or decodes and returns it. `|k|` is at most 2^30.
    pub(crate) fn code<C: BitCoder>(
        &mut self,
        coder: &mut C,
        k: i32,
        given: &Given<CONTEXTS, SELECTORS, EXPERTS>,
    ) -> i32 {
        let mut rows = self.rows_of(given, 0);
        let below = given.experts.map(|e| self.tails.below(e, -0.5));
        let above = given.experts.map(|e| self.tails.above(e, 0.5));

        let p: [f32; EXPERTS] = std::array::from_fn(|e| 1.0 - below[e] - above[e]);
        if self.decide(coder, k == 0, 0, 0, &rows, given, &p) {
            return 0;
        }
        let p: [f32; EXPERTS] = std::array::from_fn(|e| below[e] / (below[e] + above[e]));
        let negative = self.decide(coder, k < 0, 1, 1, &rows, given, &p);

        // From here on only the magnitude matters: experts are mirrored for a negative number.
        let mut experts = given.experts;
        let mut tail = above;
        if negative {
            experts.iter_mut().for_each(|e| e.center = -e.center);
            tail = below;
        }
        let m = k.unsigned_abs();
        let mut class = 0;
        while class < CLASS_MAX {
            let edge = (2u32 << class) as f32 - 0.5;
            let next: [f32; EXPERTS] = std::array::from_fn(|e| self.tails.above(experts[e], edge));
            let p: [f32; EXPERTS] = std::array::from_fn(|e| next[e] / tail[e]);
            let (node, kind) = if class < 6 { (2 + class, 2 + class) } else { ((class - 6).min(7), 8) };
            if class == 6 {
                rows = self.rows_of(given, 64);
            }
            let longer = m >> (class + 1) != 0;
            let one = if (CERTAIN..=1.0 - CERTAIN).contains(&p[0]) {
                self.decide(coder, longer, node as usize, kind as usize, &rows, given, &p)
            } else {
                self.decide_lightly(coder, longer, node as usize, kind as usize, &rows, &p)
            };
            if !one {
                // `next` is now the tail above the class.
                let low = tail;
                return self.mantissa(coder, m, class, given, &experts, low, next, negative);
            }
            tail = next;
            class += 1;
        }
        let zero = [0.0; EXPERTS];
        self.mantissa(coder, m, class, given, &experts, tail, zero, negative)
    }

    /// The bits of `m` below its leading one, which is bit `class`; `low` and `high` are the experts' tails at
    /// both ends of the interval that is left.
    #[allow(clippy::too_many_arguments, reason = "the state of a decision tree, passed on once")]
    #[inline(always)]
    fn mantissa<C: BitCoder>(
        &mut self,
        coder: &mut C,
        m: u32,
        class: u32,
        given: &Given<CONTEXTS, SELECTORS, EXPERTS>,
        experts: &[Expert; EXPERTS],
        mut low: [f32; EXPERTS],
        mut high: [f32; EXPERTS],
        negative: bool,
    ) -> i32 {
        let mut found = 1u32;
        if class > 0 {
            let rows = self.rows_of(given, class);
            for bit in (0..class).rev() {
                let depth = class - 1 - bit;
                let (node, kind) = match depth {
                    0 => (0, 9),
                    1 => (1 + (found & 1), 10),
                    2 => (3 + (found & 3), 11),
                    _ => (7, 12),
                };
                let edge = ((2 * found + 1) << bit) as f32 - 0.5;
                let middle: [f32; EXPERTS] = std::array::from_fn(|e| self.tails.above(experts[e], edge));
                let p: [f32; EXPERTS] = std::array::from_fn(|e| (middle[e] - high[e]) / (low[e] - high[e]));
                let one = self.decide_lightly(coder, m >> bit & 1 == 1, node as usize, kind, &rows, &p);
                found = 2 * found + u32::from(one);
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

    /// A decision that little depends on: only the first contexts and the experts are asked.
    #[allow(clippy::too_many_arguments, reason = "all of them change with every decision")]
    #[inline(always)]
    fn decide_lightly<C: BitCoder>(
        &mut self,
        coder: &mut C,
        bit: bool,
        node: usize,
        kind: usize,
        rows: &[usize; CONTEXTS],
        expected: &[f32; EXPERTS],
    ) -> bool {
        let mut inputs = [0f32; LIGHT_INPUTS];
        for (i, row) in rows.iter().take(LIGHT).enumerate() {
            let slot = &self.rows[*row].0[node];
            inputs[2 * i] = self.logistic.stretch(slot.slow.p());
            inputs[2 * i + 1] = self.logistic.stretch(slot.fast.p());
        }
        for (e, p) in expected.iter().enumerate() {
            inputs[2 * LIGHT + e] = self.stretch_expected(*p);
        }
        inputs[2 * LIGHT + EXPERTS] = 0.25;
        let x = self.light.mix(&inputs, kind, &self.logistic);
        let p = self.logistic.squash(x);
        let bit = coder.code(bit, p.clamp(1, 65535));
        for row in rows.iter().take(LIGHT) {
            let slot = &mut self.rows[*row].0[node];
            slot.slow.update(bit, SLOW_LIMIT);
            slot.fast.update(bit, FAST_LIMIT);
        }
        self.light.update(&inputs, bit);
        bit
    }

    /// A ratio of vanishing tails may be NaN, which the cast takes to zero.
    #[inline(always)]
    fn stretch_expected(&self, p: f32) -> f32 {
        self.logistic.stretch(((p * 65536.0) as u32).clamp(64, 65535 - 64))
    }

    /// Index of each context's row for the nodes of `part`.
    #[inline(always)]
    fn rows_of(&self, given: &Given<CONTEXTS, SELECTORS, EXPERTS>, part: u32) -> [usize; CONTEXTS] {
        std::array::from_fn(|i| {
            let h = given.contexts[i].wrapping_add(part.wrapping_mul(0x9E37_79B1)).wrapping_mul(0x85EB_CA6B);
            (i << self.row_bits) | ((h ^ (h >> 15)).wrapping_mul(0x2C1B_3C6D) >> (32 - self.row_bits)) as usize
        })
    }

    /// One decision at slot `node` of `rows`; `expected` holds the experts' probabilities of a 1.
    #[allow(clippy::too_many_arguments, reason = "all of them change with every decision")]
    #[inline(always)]
    fn decide<C: BitCoder>(
        &mut self,
        coder: &mut C,
        bit: bool,
        node: usize,
        kind: usize,
        rows: &[usize; CONTEXTS],
        given: &Given<CONTEXTS, SELECTORS, EXPERTS>,
        expected: &[f32; EXPERTS],
    ) -> bool {
        for (i, row) in rows.iter().enumerate() {
            let slot = &self.rows[*row].0[node];
            self.inputs[2 * i] = self.logistic.stretch(slot.slow.p());
            self.inputs[2 * i + 1] = self.logistic.stretch(slot.fast.p());
        }
        for (e, p) in expected.iter().enumerate() {
            self.inputs[2 * CONTEXTS + e] = self.stretch_expected(*p);
        }
        self.inputs[2 * CONTEXTS + EXPERTS] = 0.25;

        let mut outputs = [0f32; OUTPUTS];
        for (s, mixer) in self.mixers.iter_mut().enumerate() {
            outputs[s] = mixer.mix(&self.inputs, given.selectors[s] * KINDS + kind, &self.logistic);
        }
        outputs[SELECTORS] = 0.25;
        let x = self.last.mix(&outputs, kind, &self.logistic);
        let p = self.logistic.squash(x);
        let a = self.refiners[0].refine(x, given.refinement * KINDS + kind);
        let b = self.refiners[1].refine(x, (rows[0] * 8 + node) & 1023);
        let p = ((2 * p + a + b) >> 2).clamp(1, 65535);

        let bit = coder.code(bit, p);

        for row in rows {
            let slot = &mut self.rows[*row].0[node];
            slot.slow.update(bit, SLOW_LIMIT);
            slot.fast.update(bit, FAST_LIMIT);
        }
        for mixer in &mut self.mixers {
            mixer.update(&self.inputs, bit);
        }
        self.last.update(&outputs, bit);
        for refiner in &mut self.refiners {
            refiner.update(bit);
        }
        bit
    }
}

/// Tails of the standard logistic distribution (SPEC 8.2.1).
#[derive(Debug)]
pub(super) struct Tails {
    /// 1 / (1 + e^((i + 0.5) / 64)).
    table: Vec<f32>,
}

impl Tails {
    const LEN: usize = 1280;

    pub(super) fn new() -> Self {
        // e^(1/64) and e^(1/128), as in the stretch tables.
        const STEP: f64 = 1.015_747_708_586_685_8;
        let mut t = 1.007_843_097_206_448;
        let table = (0..Self::LEN)
            .map(|_| {
                let p = (1.0 / (1.0 + t)) as f32;
                t *= STEP;
                p
            })
            .collect();
        Tails { table }
    }

    /// 1 / (1 + e^z).
    #[inline(always)]
    fn upper(&self, z: f32) -> f32 {
        let p = self.table[((z.abs() * 64.0) as usize).min(Self::LEN - 1)];
        if z < 0.0 { 1.0 - p } else { p }
    }

    /// What `e` gives to numbers above `x`.
    #[inline(always)]
    pub(super) fn above(&self, e: Expert, x: f32) -> f32 {
        self.upper((x - e.center) * e.inverse_scale)
    }

    /// What `e` gives to numbers below `x`.
    #[inline(always)]
    pub(super) fn below(&self, e: Expert, x: f32) -> f32 {
        self.upper((e.center - x) * e.inverse_scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::arithmetic::{Decoder, Encoder};

    type Coder = ResidualCoder<3, 2, 1, 8, 8>;

    fn given(previous: i32, i: u32) -> Given<3, 2, 1> {
        Given {
            contexts: [previous.cast_unsigned(), i & 7, 0],
            selectors: [0, (i & 3) as usize],
            experts: [Expert { center: 0.1, inverse_scale: 0.7 }],
            refinement: (i & 1) as usize,
        }
    }

    #[test]
    fn numbers_round_trip() {
        let numbers: Vec<i32> = (0..4000i32)
            .map(|i| match i % 97 {
                0 => 1 << 30,
                1 => -(1 << 30),
                2 => i * 1000,
                r => (r % 5) - 2,
            })
            .collect();
        let mut encoder = Encoder::new();
        let mut model = Coder::new(8, [1, 4], 2);
        let mut previous = 0;
        for (i, k) in (0u32..).zip(&numbers) {
            model.code(&mut encoder, *k, &given(previous, i));
            previous = *k;
        }
        let bytes = encoder.finish();
        let mut decoder = Decoder::new(&bytes);
        let mut model = Coder::new(8, [1, 4], 2);
        let mut previous = 0;
        for (i, k) in (0u32..).zip(&numbers) {
            let found = model.code(&mut decoder, 0, &given(previous, i));
            assert_eq!(found, *k);
            previous = found;
        }
        assert_eq!(decoder.finish("numbers"), Ok(()));
    }
}
