//! Probabilities of the next bit, predicted in several contexts and mixed in the logistic domain (SPEC 8.2).
//!
//! All arithmetic is integer. Method: logistic mixing of context models, after Mahoney's PAQ7/lpaq (2005-2007).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "fixed-point inner loops: ranges are stated at each type and tables are indexed by clamped values"
)]

/// Largest magnitude of a stretched probability, in 1/256 of a natural-log odds unit: ln(65535) * 256.
pub(crate) const STRETCH_MAX: i32 = 2839;

/// `stretch` and `squash` tables (SPEC 8.2.1), made once.
#[derive(Debug)]
pub(crate) struct Logistic {
    /// squash(x) for x in -STRETCH_MAX..=STRETCH_MAX, 16-bit probabilities in 1..=65535.
    squash: Vec<u16>,
    /// stretch(p) for p = 16 * index + 8.
    stretch: Vec<i16>,
}

impl Logistic {
    pub(crate) fn new() -> Self {
        // e^(1/256), so that t runs over e^(i/256) by IEEE multiplication alone.
        const STEP: f64 = 1.003_913_889_338_347_6;
        let mut upper = Vec::with_capacity(STRETCH_MAX as usize + 1);
        let mut t = 1.0f64;
        for _ in 0..=STRETCH_MAX {
            upper.push((65536.0 * (t / (1.0 + t)) + 0.5) as u32);
            t *= STEP;
        }
        let squash: Vec<u16> = (-STRETCH_MAX..=STRETCH_MAX)
            .map(|x| {
                let p = upper[x.unsigned_abs() as usize].min(65535);
                (if x < 0 { 65536 - p } else { p }) as u16
            })
            .collect();
        let stretch = (0..4096u32)
            .map(|i| {
                let p = 16 * i + 8;
                (squash.partition_point(|s| u32::from(*s) < p) as i32 - STRETCH_MAX) as i16
            })
            .collect();
        Logistic { squash, stretch }
    }

    /// ln(p / (1 - p)) in units of 1/256, for a 16-bit probability.
    #[inline(always)]
    pub(crate) fn stretch(&self, p: u32) -> i32 {
        i32::from(self.stretch[(p >> 4) as usize & 4095])
    }

    /// The 16-bit probability in 1..=65535 whose stretch is `x`.
    #[inline(always)]
    pub(crate) fn squash(&self, x: i32) -> u32 {
        u32::from(self.squash[(x.clamp(-STRETCH_MAX, STRETCH_MAX) + STRETCH_MAX) as usize])
    }
}

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

    /// How often it was updated, at most its limit.
    #[inline(always)]
    pub(crate) fn count(self) -> u32 {
        self.0 & 1023
    }

    /// Moves towards `bit` by 1 / (count + 1.5); the count stops at `limit` (at most 1023).
    #[inline(always)]
    pub(crate) fn update(&mut self, bit: bool, limit: u32) {
        let n = self.0 & 1023;
        let p = (self.0 >> 10) as i32;
        let target = if bit { (1 << 22) - 1 } else { 0 };
        let delta = (i64::from(target - p) * i64::from(RECIPROCAL[n as usize])) >> 16;
        let p = (p + delta as i32) as u32;
        self.0 = (p << 10) | if n < limit { n + 1 } else { n };
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

/// Weighs `N` stretched probabilities; one weight set per mixer context.
#[derive(Debug)]
pub(crate) struct Mixer<const N: usize> {
    /// Weights in 1/65536.
    weights: Vec<[i32; N]>,
    /// How fast weights move.
    rate: i32,
    inputs: [i32; N],
    set: usize,
    p: u32,
}

impl<const N: usize> Mixer<N> {
    /// `sets` weight sets, each weight starting at `start / 65536`; `rate` is the learning rate (typical 2..=14).
    pub(crate) fn new(sets: usize, start: i32, rate: i32) -> Self {
        Mixer { weights: vec![[start; N]; sets], rate, inputs: [0; N], set: 0, p: 32768 }
    }

    /// The stretched mixture of `inputs` (each within +-STRETCH_MAX) under weight set `set`.
    #[inline(always)]
    pub(crate) fn mix(&mut self, inputs: &[i32; N], set: usize, logistic: &Logistic) -> i32 {
        self.inputs = *inputs;
        self.set = set;
        let w = &self.weights[set];
        let mut sum = 0i64;
        for i in 0..N {
            sum += i64::from(inputs[i]) * i64::from(w[i]);
        }
        let x = ((sum >> 16).clamp(-i64::from(STRETCH_MAX), i64::from(STRETCH_MAX))) as i32;
        self.p = logistic.squash(x);
        x
    }

    /// Moves the weights used last towards those that would have predicted `bit`.
    #[inline(always)]
    pub(crate) fn update(&mut self, bit: bool) {
        let err = (if bit { 65535 } else { 0 } - self.p as i32) * self.rate;
        let w = &mut self.weights[self.set];
        for i in 0..N {
            w[i] += (self.inputs[i] * (err >> 4) + (1 << 13)) >> 14;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squash_inverts_stretch() {
        let l = Logistic::new();
        for p in (8..65536u32).step_by(16) {
            let q = l.squash(l.stretch(p));
            assert!(q.abs_diff(p) <= 140, "{p} {q}");
        }
        assert_eq!(l.squash(0), 32768);
        assert_eq!(l.squash(i32::MIN), 1);
        assert_eq!(l.squash(i32::MAX), 65535);
    }

    #[test]
    fn a_counter_learns() {
        let mut c = Counter::NEW;
        for _ in 0..2000 {
            c.update(true, 1023);
        }
        assert!(c.p() > 65400);
    }
}
