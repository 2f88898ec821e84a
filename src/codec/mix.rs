//! Probabilities of the next bit, predicted in several contexts and mixed in the logistic domain (SPEC 8.2).
//!
//! Counters and tables are integers; mixing is IEEE-754 binary32 addition and multiplication in a fixed order.
//! Method: logistic mixing of context models, after Mahoney's PAQ7/lpaq (2005-2007).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "fixed-point inner loops: ranges are stated at each type and tables are indexed by clamped values"
)]

use fearless_simd::{Fallback, Simd, i32x8};
use std::sync::LazyLock;

/// Largest magnitude of a stretched probability, in 1/256 of a natural-log odds unit: ln(65535) * 256.
const STRETCH_MAX: i32 = 2839;

/// Largest magnitude of a stretched probability.
pub(crate) const STRETCH_LIMIT: f32 = STRETCH_MAX as f32 / 256.0;

/// `stretch` and `squash` tables (SPEC 8.2.1).
#[derive(Debug)]
pub(crate) struct Logistic {
    /// squash(x / 256) for x in -STRETCH_MAX..=STRETCH_MAX, 16-bit probabilities in 1..=65535.
    squash: [u16; 8192],
    /// stretch(p) for p = 16 * index + 8.
    stretch: [f32; 4096],
}

impl Logistic {
    /// The tables, which are made once.
    pub(crate) fn tables() -> &'static Logistic {
        static TABLES: LazyLock<Logistic> = LazyLock::new(Logistic::new);
        &TABLES
    }

    fn new() -> Self {
        // e^(1/256), so that t runs over e^(i/256) by IEEE multiplication alone.
        const STEP: f64 = 1.003_913_889_338_347_6;
        let mut upper = Vec::with_capacity(STRETCH_MAX as usize + 1);
        let mut t = 1.0f64;
        for _ in 0..=STRETCH_MAX {
            upper.push((65536.0 * (t / (1.0 + t)) + 0.5) as u32);
            t *= STEP;
        }
        // As long as a power of two: an index below it needs no check.
        let mut squash = [u16::MAX; 8192];
        for (x, squash) in (-STRETCH_MAX..=STRETCH_MAX).zip(squash.iter_mut()) {
            let p = upper[x.unsigned_abs() as usize].min(65535);
            *squash = (if x < 0 { 65536 - p } else { p }) as u16;
        }
        let mut stretch = [0f32; 4096];
        for (p, stretch) in (8u32..).step_by(16).zip(stretch.iter_mut()) {
            let x = squash.partition_point(|s| u32::from(*s) < p) as i32 - STRETCH_MAX;
            *stretch = x as f32 / 256.0;
        }
        Logistic { squash, stretch }
    }

    /// ln(p / (1 - p)) of a 16-bit probability.
    #[inline(always)]
    pub(crate) fn stretch(&self, p: u32) -> f32 {
        self.stretch[(p >> 4) as usize & 4095]
    }

    /// The 16-bit probability in 1..=65535 whose stretch is `x`, which must be within the limit.
    #[inline(always)]
    pub(crate) fn squash<S: Simd>(&self, simd: S, x: f32) -> u32 {
        // The sum is positive, so truncation rounds to the nearest entry.
        let i = whole(simd, x * 256.0 + (STRETCH_MAX as f32 + 0.5));
        u32::from(self.squash[i as usize % 8192])
    }
}

/// The whole part of what 32 bits hold: as a vector, it need not be looked at whether they do.
#[inline(always)]
fn whole<S: Simd>(simd: S, x: f32) -> i32 {
    simd.as_array_i32x4(simd.cvt_i32_f32x4(simd.splat_f32x4(x)))[0]
}

/// What a counter approaches where all bits are 1.
pub(crate) const CERTAIN: i32 = (1 << 22) - 1;

/// An adaptive probability: 22 bits of probability above 10 bits of count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counter(u32);

impl Counter {
    /// Even odds, never seen.
    pub(crate) const NEW: Counter = Counter(1 << 31);

    /// Probability of a 1 in 16 bits, 0..=65535.
    #[inline(always)]
    pub(crate) fn p(self) -> u32 {
        self.0 >> 16
    }

    /// Moves towards `bit` by 1 / (count + 1.5); the count stops at `limit` (at most 1023).
    #[inline(always)]
    pub(crate) fn update(&mut self, bit: bool, limit: u32) {
        let n = self.0 & 1023;
        let p = (self.0 >> 10) as i32;
        let target = if bit { CERTAIN } else { 0 };
        let delta = (i64::from(target - p) * i64::from(RECIPROCAL[n as usize])) >> 16;
        // Both fields at once: neither leaves its bits.
        self.0 = self.0.wrapping_add((delta as u32) << 10) + u32::from(n < limit);
    }
}

/// Eight counters, side by side.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counters([i32; 8]);

impl Counters {
    pub(crate) const NEW: Counters = Counters([Counter::NEW.0 as i32; 8]);

    #[inline(always)]
    pub(crate) fn set(&mut self, i: usize, counter: Counter) {
        self.0[i] = counter.0 as i32;
    }

    #[inline(always)]
    pub(crate) fn get(&self, i: usize) -> Counter {
        Counter(self.0[i] as u32)
    }

    /// As [`Counter::update`], each.
    #[inline(always)]
    pub(crate) fn update<S: Simd>(&mut self, simd: S, bit: bool, limit: i32) {
        self.approach(simd, simd.splat_i32x8(if bit { CERTAIN } else { 0 }), simd.splat_i32x8(limit));
    }

    /// The same towards targets of their own, of which each is `CERTAIN` or 0, and up to counts of their own.
    #[inline(always)]
    pub(crate) fn approach<S: Simd>(&mut self, simd: S, targets: i32x8<S>, limits: i32x8<S>) {
        let c = simd.load_array_ref_i32x8(&self.0);
        let n = simd.and_i32x8(c, simd.splat_i32x8(1023));
        // 65536 / (n + 1.5), rounded down: none is so near to a whole number that it would be rounded up before.
        let parts = simd.cvt_f32_i32x8(simd.add_i32x8(simd.add_i32x8(n, n), simd.splat_i32x8(3)));
        let rate = simd.cvt_i32_f32x8(simd.div_f32x8(simd.splat_f32x8(131_072.0), parts));
        let p = simd.and_i32x8(simd.shr_i32x8(c, 10), simd.splat_i32x8(CERTAIN));
        let off = simd.sub_i32x8(targets, p);
        // 32 bits hold the product without its last ones: what was never seen is off by half at most, all else moves by less than half.
        let upper = simd.mul_i32x8(simd.shr_i32x8(off, 6), rate);
        let lower = simd.mul_i32x8(simd.and_i32x8(off, simd.splat_i32x8(63)), rate);
        let delta = simd.shr_i32x8(simd.add_i32x8(upper, simd.shr_i32x8(lower, 6)), 10);
        let seen = simd.select_i32x8(simd.simd_lt_i32x8(n, limits), simd.splat_i32x8(1), simd.splat_i32x8(0));
        let moved = simd.add_i32x8(c, simd.shl_i32x8(delta, 10));
        simd.store_array_i32x8(simd.add_i32x8(moved, seen), &mut self.0);
    }
}

/// floor(65536 / (n + 1.5)).
static RECIPROCAL: [u32; 1024] = {
    let mut t = [0u32; 1024];
    let mut n = 0;
    while n < 1024 {
        t[n] = (131_072 / (2 * n + 3)) as u32;
        n += 1;
    }
    t
};

/// Weighs `N` stretched probabilities, `N` a multiple of 8; one weight set per mixer context.
#[derive(Debug)]
pub(crate) struct Mixer<const N: usize> {
    weights: Vec<WeightSet<N>>,
    /// Learning rate that a set approaches with use.
    rate: f32,
    /// What is added to the rate of a new set; falls off as 1 / uses.
    extra: f32,
    set: usize,
    p: u32,
}

#[derive(Debug, Clone)]
struct WeightSet<const N: usize> {
    weights: [f32; N],
    uses: u32,
}

impl<const N: usize> Mixer<N> {
    /// `sets` weight sets, each starting at `start`.
    pub(crate) fn new(sets: usize, start: &[f32; N], rate: f32, extra: f32) -> Self {
        const { assert!(N.is_multiple_of(8), "lanes of eight") };
        Mixer { weights: vec![WeightSet { weights: *start, uses: 0 }; sets], rate, extra, set: 0, p: 32768 }
    }

    /// The stretched mixture of `inputs` under weight set `set`, within the limit.
    #[inline(always)]
    pub(crate) fn mix<S: Simd>(&mut self, simd: S, inputs: &[f32; N], set: usize, logistic: &Logistic) -> f32 {
        self.set = set;
        let w = &self.weights[set].weights;
        let mut sums = simd.splat_f32x8(0.0);
        for (i, (x, w)) in inputs.as_chunks().0.iter().zip(w.as_chunks().0).enumerate() {
            let product = simd.mul_f32x8(simd.load_array_ref_f32x8(x), simd.load_array_ref_f32x8(w));
            sums = if i == 0 { product } else { simd.add_f32x8(sums, product) };
        }
        let lanes = simd.as_array_f32x8(sums);
        let sum = ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
        let x = sum.clamp(-STRETCH_LIMIT, STRETCH_LIMIT);
        self.p = logistic.squash(simd, x);
        x
    }

    /// Moves the weights used last towards those that would have predicted `bit`.
    #[inline(always)]
    pub(crate) fn update<S: Simd>(&mut self, simd: S, inputs: &[f32; N], bit: bool) {
        let err = (if bit { 65536 } else { 0 } - self.p as i32) as f32 * (1.0 / 65536.0);
        let set = &mut self.weights[self.set];
        let step = err * (self.rate + self.extra * FADE[set.uses as usize & 255]);
        set.uses = (set.uses + 1).min(255);
        let step = simd.splat_f32x8(step);
        for (x, w) in inputs.as_chunks().0.iter().zip(set.weights.as_chunks_mut().0) {
            let change = simd.mul_f32x8(simd.load_array_ref_f32x8(x), step);
            simd.store_array_f32x8(simd.add_f32x8(simd.load_array_ref_f32x8(w), change), w);
        }
    }
}

/// 16 / (16 + n), rounded to binary32, and 0 at the end: what is left of a new set's extra rate.
static FADE: [f32; 256] = {
    let mut t = [0f32; 256];
    let mut n = 0;
    while n < 255 {
        t[n] = 16.0 / (16.0 + n as f32);
        n += 1;
    }
    t
};

/// Refines a probability by what it turned out to mean in a small context: adaptive map over 33 stretched points.
#[derive(Debug)]
pub(crate) struct Refiner {
    /// 33 counters a context, at stretch -8, -7.5, .. 8.
    cells: Vec<u16>,
    /// The two cells between which the last probability lay.
    at: usize,
    weight: f32,
}

impl Refiner {
    const CELLS: usize = 33;

    pub(crate) fn new(contexts: usize, logistic: &Logistic) -> Self {
        let row: Vec<u16> =
            (0..Self::CELLS).map(|i| logistic.squash(Fallback::new(), (i as f32 - 16.0) * 0.5) as u16).collect();
        Refiner { cells: row.repeat(contexts), at: 0, weight: 0.0 }
    }

    /// The refined 16-bit probability of stretch `x` in `context`.
    #[inline(always)]
    pub(crate) fn refine<S: Simd>(&mut self, simd: S, x: f32, context: usize) -> u32 {
        let t = (x.clamp(-7.999, 7.999) + 8.0) * 2.0;
        let i = whole(simd, t) as usize;
        self.weight = t - i as f32;
        self.at = context * Self::CELLS + i;
        let (a, b) = (f32::from(self.cells[self.at]), f32::from(self.cells[self.at + 1]));
        whole(simd, a + (b - a) * self.weight) as u32
    }

    /// Moves the nearer cell by 1/64 of its distance.
    #[inline(always)]
    pub(crate) fn update(&mut self, bit: bool) {
        let i = self.at + usize::from(self.weight >= 0.5);
        let target = if bit { 65535 } else { 0 };
        let p = i32::from(self.cells[i]);
        self.cells[i] = (p + ((target - p) >> 6)) as u16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::vectorize;

    fn update_all(counters: &mut Counters, bit: bool, limit: i32) {
        vectorize!(simd => counters.update(simd, bit, limit))
    }

    #[test]
    fn counters_side_by_side_move_as_each_alone() {
        // Each with a bias of its own, so that all are met at every count and at both ends.
        for limit in [31u32, 127, 400, 1023] {
            let mut random = 1u64;
            let mut alone = [Counter::NEW; 8];
            let (mut plain, mut wide) = (Counters::NEW, Counters::NEW);
            for step in 0..20_000u32 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let bit = (random >> 40) % 1000 < u64::from(step / 2500 * 142);
                for (i, counter) in alone.iter_mut().enumerate() {
                    // Others stay behind by as many updates.
                    if (step as usize).is_multiple_of(i + 1) {
                        counter.update(bit, limit);
                    }
                }
                let before = (plain, wide);
                plain.update(Fallback::new(), bit, limit as i32);
                update_all(&mut wide, bit, limit as i32);
                for i in (0..8).filter(|i| !(step as usize).is_multiple_of(i + 1)) {
                    plain.set(i, before.0.get(i));
                    wide.set(i, before.1.get(i));
                }
                for (i, counter) in alone.iter().enumerate() {
                    assert_eq!((plain.get(i).0, wide.get(i).0), (counter.0, counter.0), "step {step}");
                }
            }
        }
    }

    #[test]
    fn squash_inverts_stretch() {
        let l = Logistic::tables();
        for p in (8..65536u32).step_by(16) {
            let q = l.squash(Fallback::new(), l.stretch(p));
            assert!(q.abs_diff(p) <= 140, "{p} {q}");
        }
        assert_eq!(l.squash(Fallback::new(), 0.0), 32768);
        assert_eq!(l.squash(Fallback::new(), -STRETCH_LIMIT), 1);
        assert_eq!(l.squash(Fallback::new(), STRETCH_LIMIT), 65535);
    }

    #[test]
    fn a_counter_learns() {
        let mut c = Counter::NEW;
        for _ in 0..2000 {
            c.update(true, 1023);
        }
        assert!(c.p() > 65400);
    }

    #[test]
    fn a_mixer_learns_which_input_to_trust() {
        let l = Logistic::tables();
        let mut m = Mixer::<8>::new(1, &[0.1; 8], 0.01, 0.0);
        for i in 0..4000u32 {
            let bit = i % 3 == 0;
            let good = if bit { 2.0 } else { -2.0 };
            let inputs = [good, 1.0, -1.0, 0.5, 0.0, 0.0, 0.0, 0.3];
            m.mix(Fallback::new(), &inputs, 0, l);
            m.update(Fallback::new(), &inputs, bit);
        }
        assert!(m.mix(Fallback::new(), &[2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], 0, l) > 3.0);
    }
}
