//! Codes a signed number of steps bit by bit, each bit predicted in many contexts (SPEC 8.2.4).
//!
//! A number is a zero flag, a sign, the bit length of its magnitude in unary, and the bits below the leading one. Each of
//! these is a decision.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "inner loop of every value: rows and sets are taken modulo or checked when the coder is made"
)]

use crate::codec::arithmetic::BitCoder;
use crate::codec::mix::Mixer;
use crate::lattice::decision::{Decisions, Expert, KINDS, Node, Start};
use fearless_simd::Simd;

/// Largest bit length minus one of a magnitude; the caller keeps magnitudes at or below 2^30.
const CLASS_MAX: u32 = 30;

/// How many contexts, the first ones, have a say in light decisions.
const LIGHT: usize = 4;
const LIGHT_INPUTS: usize = 16;

/// The length of a number is decided lightly where the first expert is surer than this.
const CERTAIN: f32 = 0.03;

/// Count limit of the fast counter of a slot.
const FAST_LIMIT: u32 = 16;

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
    decisions: Decisions<CONTEXTS, SELECTORS, INPUTS, OUTPUTS>,
    /// Mixes the few inputs of light decisions.
    light: Mixer<LIGHT_INPUTS>,
}

impl<const CONTEXTS: usize, const SELECTORS: usize, const EXPERTS: usize, const INPUTS: usize, const OUTPUTS: usize>
    ResidualCoder<CONTEXTS, SELECTORS, EXPERTS, INPUTS, OUTPUTS>
{
    /// `selector_counts`: how many weight sets each selector chooses among.
    pub(crate) fn new(row_bits: u32, selector_counts: [usize; SELECTORS], refinements: usize) -> Self {
        const { assert!(2 * CONTEXTS + EXPERTS < INPUTS, "room for a constant input") };
        const { assert!(2 * LIGHT + EXPERTS < LIGHT_INPUTS, "room for a constant input") };
        let mut weights = [0f32; INPUTS];
        weights[..2 * CONTEXTS].fill(0.6 / CONTEXTS as f32);
        weights[2 * CONTEXTS..2 * CONTEXTS + EXPERTS].fill(0.25 / EXPERTS as f32);
        let mut light = [0f32; LIGHT_INPUTS];
        light[..2 * LIGHT].fill(0.3 / LIGHT as f32);
        light[2 * LIGHT..2 * LIGHT + EXPERTS].fill(0.4 / EXPERTS as f32);
        let start =
            Start { row_bits, fast_limit: FAST_LIMIT, weights, selector_counts, last_rate: 0.0015, refinements };
        ResidualCoder { decisions: Decisions::new(start), light: Mixer::new(KINDS, &light, 0.002, 0.02) }
    }

    /// Codes `k`, or decodes and returns it. `|k|` is at most 2^30.
    #[inline(always)]
    pub(crate) fn code<S: Simd, C: BitCoder>(
        &mut self,
        simd: S,
        coder: &mut C,
        k: i32,
        given: &Given<CONTEXTS, SELECTORS, EXPERTS>,
    ) -> i32 {
        let mut rows = self.decisions.rows_of(&given.contexts, 0);
        let below = given.experts.map(|e| self.decisions.tails.below(e, -0.5));
        let above = given.experts.map(|e| self.decisions.tails.above(e, 0.5));

        let p: [f32; EXPERTS] = std::array::from_fn(|e| 1.0 - below[e] - above[e]);
        if self.decide(simd, coder, k == 0, 0, 0, &rows, given, &p) {
            return 0;
        }
        let p: [f32; EXPERTS] = std::array::from_fn(|e| below[e] / (below[e] + above[e]));
        let negative = self.decide(simd, coder, k < 0, 1, 1, &rows, given, &p);

        // From here on only the magnitude matters: experts are mirrored for a negative number.
        let mut experts = given.experts;
        let (mut low, mut high) = (above, [0.0; EXPERTS]);
        if negative {
            experts.iter_mut().for_each(|e| e.center = -e.center);
            low = below;
        }
        let m = k.unsigned_abs();
        let mut class = 0;
        while class < CLASS_MAX {
            let edge = (2u32 << class) as f32 - 0.5;
            let next: [f32; EXPERTS] = std::array::from_fn(|e| self.decisions.tails.above(experts[e], edge));
            let p: [f32; EXPERTS] = std::array::from_fn(|e| next[e] / low[e]);
            let (node, kind) = if class < 6 { (2 + class, 2 + class) } else { ((class - 6).min(7), 8) };
            if class == 6 {
                rows = self.decisions.rows_of(&given.contexts, 64);
            }
            let longer = m >> (class + 1) != 0;
            let one = if (CERTAIN..=1.0 - CERTAIN).contains(&p[0]) {
                self.decide(simd, coder, longer, node as usize, kind as usize, &rows, given, &p)
            } else {
                self.decide_lightly(simd, coder, longer, node as usize, kind as usize, &rows, &p)
            };
            if !one {
                high = next;
                break;
            }
            low = next;
            class += 1;
        }
        self.mantissa(simd, coder, m, class, given, &experts, low, high, negative)
    }

    /// The bits of `m` below its leading one, which is bit `class`; `low` and `high` are the experts' tails at
    /// both ends of the interval that is left.
    #[allow(clippy::too_many_arguments, reason = "the state of a decision tree, passed on once")]
    #[inline(always)]
    fn mantissa<S: Simd, C: BitCoder>(
        &mut self,
        simd: S,
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
            let rows = self.decisions.rows_of(&given.contexts, class);
            for bit in (0..class).rev() {
                let depth = class - 1 - bit;
                let (node, kind) = match depth {
                    0 => (0, 9),
                    1 => (1 + (found & 1), 10),
                    2 => (3 + (found & 3), 11),
                    _ => (7, 12),
                };
                let edge = ((2 * found + 1) << bit) as f32 - 0.5;
                let middle: [f32; EXPERTS] = std::array::from_fn(|e| self.decisions.tails.above(experts[e], edge));
                let p: [f32; EXPERTS] = std::array::from_fn(|e| (middle[e] - high[e]) / (low[e] - high[e]));
                let one = self.decide_lightly(simd, coder, m >> bit & 1 == 1, node as usize, kind, &rows, &p);
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
    fn decide_lightly<S: Simd, C: BitCoder>(
        &mut self,
        simd: S,
        coder: &mut C,
        bit: bool,
        node: usize,
        kind: usize,
        rows: &[usize; CONTEXTS],
        expected: &[f32; EXPERTS],
    ) -> bool {
        let rows = rows.get(..LIGHT).unwrap_or(rows);
        let mut inputs = [0f32; LIGHT_INPUTS];
        self.decisions.ask(rows, node, expected, &mut inputs);
        inputs[2 * rows.len() + EXPERTS] = 0.25;
        let logistic = self.decisions.logistic;
        let p = logistic.squash(simd, self.light.mix(simd, &inputs, kind, logistic));
        let bit = coder.code(bit, p.clamp(1, 65535));
        self.decisions.recount(simd, rows, node, bit);
        self.light.update(simd, &inputs, bit);
        bit
    }

    /// One decision at slot `node` of `rows`; `expected` holds the experts' probabilities of a 1. Not inlined: it is long, and
    /// called from several places.
    #[allow(clippy::too_many_arguments, reason = "all of them change with every decision")]
    #[inline(never)]
    fn decide<S: Simd, C: BitCoder>(
        &mut self,
        simd: S,
        coder: &mut C,
        bit: bool,
        node: usize,
        kind: usize,
        rows: &[usize; CONTEXTS],
        given: &Given<CONTEXTS, SELECTORS, EXPERTS>,
        expected: &[f32; EXPERTS],
    ) -> bool {
        simd.vectorize(
            #[inline(always)]
            || {
                let mut inputs = [0f32; INPUTS];
                self.decisions.ask(rows, node, expected, &mut inputs);
                inputs[2 * CONTEXTS + EXPERTS] = 0.25;
                let x = self.decisions.mix(simd, &inputs, &given.selectors, kind);
                let p = self.decisions.refine(simd, x, given.refinement, rows, Node { slot: node, kind });
                let bit = coder.code(bit, p);
                self.decisions.learn(simd, &inputs, rows, node, bit);
                bit
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::arithmetic::{Decoder, Encoder};
    use fearless_simd::Fallback;

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
            model.code(Fallback::new(), &mut encoder, *k, &given(previous, i));
            previous = *k;
        }
        let bytes = encoder.finish();
        let mut decoder = Decoder::new(&bytes);
        let mut model = Coder::new(8, [1, 4], 2);
        let mut previous = 0;
        for (i, k) in (0u32..).zip(&numbers) {
            let found = model.code(Fallback::new(), &mut decoder, 0, &given(previous, i));
            assert_eq!(found, *k);
            previous = found;
        }
        assert_eq!(decoder.finish("numbers"), Ok(()));
    }
}
