//! One decision about a number, predicted in many contexts and by expected distributions (SPEC 8.2.4).
//!
//! A decision is a node of the number's binary tree; a context and a node choose a pair of counters.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "inner loop of every value: rows and sets are taken modulo or checked when the state is made"
)]

use crate::codec::mix::{CERTAIN, Counter, Counters, Logistic, Mixer, Refiner};
use fearless_simd::Simd;
use std::sync::LazyLock;

/// Kinds of decision, each with weights of its own.
pub(super) const KINDS: usize = 16;

/// Count limit of the slow counter of a slot.
const SLOW_LIMIT: u32 = 400;

/// A logistic distribution that one predictor expects the number to follow.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Expert {
    /// Its center, in steps.
    pub(crate) center: f32,
    /// The inverse of its scale, in steps; positive.
    pub(crate) inverse_scale: f32,
}

/// What one context knows of one node.
#[derive(Debug, Clone, Copy)]
struct Slot {
    slow: Counter,
    fast: Counter,
}

/// Eight slots, one cache line.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Row([Slot; 8]);

/// Which decision is to be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    /// Which slot of each row.
    pub(super) slot: usize,
    /// Which weights, below [`KINDS`].
    pub(super) kind: usize,
}

/// What a stream of numbers starts from.
pub(super) struct Start<const SELECTORS: usize, const INPUTS: usize> {
    /// Each context has `1 << row_bits` rows.
    pub(super) row_bits: u32,
    /// Count limit of the fast counter of a slot.
    pub(super) fast_limit: u32,
    /// First weights of the inputs.
    pub(super) weights: [f32; INPUTS],
    /// How many weight sets each selector chooses among.
    pub(super) selector_counts: [usize; SELECTORS],
    /// Learning rate of the mixer of the selected mixtures.
    pub(super) last_rate: f32,
    /// Contexts of the first refinement.
    pub(super) refinements: usize,
}

/// Adaptive state behind the decisions of one stream. `INPUTS` and `OUTPUTS` are multiples of 8; of the inputs, the first
/// `2 * CONTEXTS` are the counters', the next the experts', and the rest the owner's, the last used one 0.25; `OUTPUTS`
/// exceeds `SELECTORS`.
#[derive(Debug)]
pub(super) struct Decisions<const CONTEXTS: usize, const SELECTORS: usize, const INPUTS: usize, const OUTPUTS: usize> {
    pub(super) logistic: &'static Logistic,
    pub(super) tails: &'static Tails,
    outputs: [f32; OUTPUTS],
    /// `CONTEXTS` tables of `1 << row_bits` rows, one after another.
    rows: Vec<Row>,
    row_bits: u32,
    fast_limit: u32,
    mixers: [Mixer<INPUTS>; SELECTORS],
    last: Mixer<OUTPUTS>,
    refiners: [Refiner; 2],
}

impl<const CONTEXTS: usize, const SELECTORS: usize, const INPUTS: usize, const OUTPUTS: usize>
    Decisions<CONTEXTS, SELECTORS, INPUTS, OUTPUTS>
{
    pub(super) fn new(start: Start<SELECTORS, INPUTS>) -> Self {
        const { assert!(2 * CONTEXTS < INPUTS && SELECTORS < OUTPUTS, "room for a constant input") };
        let logistic = Logistic::tables();
        let mut last = [0f32; OUTPUTS];
        last[..SELECTORS].fill(1.0 / SELECTORS as f32);
        let mut outputs = [0f32; OUTPUTS];
        outputs[SELECTORS] = 0.25;
        let slot = Slot { slow: Counter::NEW, fast: Counter::NEW };
        Decisions {
            rows: vec![Row([slot; 8]); CONTEXTS << start.row_bits],
            row_bits: start.row_bits,
            fast_limit: start.fast_limit,
            mixers: start.selector_counts.map(|n| Mixer::new(n * KINDS, &start.weights, 0.002, 0.02)),
            last: Mixer::new(KINDS, &last, start.last_rate, 0.01),
            refiners: [Refiner::new(start.refinements * KINDS, logistic), Refiner::new(1024, logistic)],
            outputs,
            tails: Tails::tables(),
            logistic,
        }
    }

    /// Index of each context's row for the nodes of `part`.
    #[inline(always)]
    pub(super) fn rows_of(&self, contexts: &[u32; CONTEXTS], part: u32) -> [usize; CONTEXTS] {
        std::array::from_fn(|i| {
            let h = contexts[i].wrapping_add(part.wrapping_mul(0x9E37_79B1)).wrapping_mul(0x85EB_CA6B);
            (i << self.row_bits) | ((h ^ (h >> 15)).wrapping_mul(0x2C1B_3C6D) >> (32 - self.row_bits)) as usize
        })
    }

    /// What the counters of slot `slot` of `rows` say, slow and fast by turns, and then the experts' probabilities of a 1.
    #[inline(always)]
    pub(super) fn ask<const N: usize>(&self, rows: &[usize], slot: usize, expected: &[f32], inputs: &mut [f32; N]) {
        for (i, row) in rows.iter().enumerate() {
            let slot = &self.rows[*row].0[slot];
            inputs[2 * i] = self.logistic.stretch(slot.slow.p());
            inputs[2 * i + 1] = self.logistic.stretch(slot.fast.p());
        }
        for (e, p) in expected.iter().enumerate() {
            // A ratio of vanishing tails may be NaN, which the cast takes to zero.
            let p = ((p * 65536.0) as i32).clamp(64, 65535 - 64);
            inputs[2 * rows.len() + e] = self.logistic.stretch(p.cast_unsigned());
        }
    }

    /// The stretched probability of a 1 by all inputs, under the weight set of each selector.
    #[inline(always)]
    pub(super) fn mix<S: Simd>(
        &mut self,
        simd: S,
        inputs: &[f32; INPUTS],
        selectors: &[usize; SELECTORS],
        kind: usize,
    ) -> f32 {
        for (s, mixer) in self.mixers.iter_mut().enumerate() {
            self.outputs[s] = mixer.mix(simd, inputs, selectors[s] * KINDS + kind, self.logistic);
        }
        self.last.mix(simd, &self.outputs, kind, self.logistic)
    }

    /// The 16-bit probability that stretch `x` has turned out to mean, in `context` and for the first row's slot.
    #[inline(always)]
    pub(super) fn refine<S: Simd>(
        &mut self,
        simd: S,
        x: f32,
        context: usize,
        rows: &[usize; CONTEXTS],
        node: Node,
    ) -> u32 {
        let a = self.refiners[0].refine(simd, x, context * KINDS + node.kind);
        let b = self.refiners[1].refine(simd, x, (rows[0] * 8 + node.slot) & 1023);
        ((2 * self.logistic.squash(simd, x) + a + b) >> 2).clamp(1, 65535)
    }

    /// Moves the counters of slot `slot` of `rows` towards `bit`.
    #[inline(always)]
    pub(super) fn recount<S: Simd>(&mut self, simd: S, rows: &[usize], slot: usize, bit: bool) {
        let [slow, fast] = [SLOW_LIMIT, self.fast_limit].map(u32::cast_signed);
        let limits = simd.load_array_i32x8([slow, fast, slow, fast, slow, fast, slow, fast]);
        let target = simd.splat_i32x8(if bit { CERTAIN } else { 0 });
        for rows in rows.chunks(4) {
            let mut counters = Counters::NEW;
            for (i, row) in rows.iter().enumerate() {
                let slot = &self.rows[*row].0[slot];
                counters.set(2 * i, slot.slow);
                counters.set(2 * i + 1, slot.fast);
            }
            counters.approach(simd, target, limits);
            for (i, row) in rows.iter().enumerate() {
                self.rows[*row].0[slot] = Slot { slow: counters.get(2 * i), fast: counters.get(2 * i + 1) };
            }
        }
    }

    /// Learns what the decision was that was mixed and refined last.
    #[inline(always)]
    pub(super) fn learn<S: Simd>(
        &mut self,
        simd: S,
        inputs: &[f32; INPUTS],
        rows: &[usize; CONTEXTS],
        slot: usize,
        bit: bool,
    ) {
        self.recount(simd, rows, slot, bit);
        for mixer in &mut self.mixers {
            mixer.update(simd, inputs, bit);
        }
        self.last.update(simd, &self.outputs, bit);
        for refiner in &mut self.refiners {
            refiner.update(bit);
        }
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

    /// The table, which is made once.
    fn tables() -> &'static Tails {
        static TABLES: LazyLock<Tails> = LazyLock::new(Tails::new);
        &TABLES
    }

    fn new() -> Self {
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
        let p = self.table[((z.abs() * 64.0) as i32 as usize).min(Self::LEN - 1)];
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
