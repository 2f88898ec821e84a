//! Adaptive binary coding of bits and signed integers in contexts (SPEC 7.7).
//!
//! The models follow only the bits that a [`BitCoder`] returns, so one code path serves both directions.

use super::arithmetic::BitCoder;
use super::mix::{Counter, Logistic, Mixer};
use fearless_simd::Fallback;

/// Largest magnitude that [`Integers`] codes: every such integer is an f64.
pub(crate) const MAGNITUDE_MAX: u64 = 1 << 53;

/// Models of binary decisions (`nodes` of them), each predicted from three contexts and from none (SPEC 7.7.2).
#[derive(Debug)]
pub(crate) struct Decisions {
    logistic: &'static Logistic,
    nodes: usize,
    /// For each context, `nodes` pairs of counters per value; the last table has one value.
    counters: [Vec<[Counter; 2]>; 4],
    mixer: Mixer<8>,
}

/// Counts at which the counters of a pair stop slowing down.
const LIMITS: [u32; 2] = [30, 1023];

/// What each counter weighs at first: a little more than an eighth, since predictions are mostly too timid.
const WEIGHT: f32 = 0.15;

impl Decisions {
    /// `sizes` is how many values each context has.
    pub(crate) fn new(nodes: usize, sizes: [usize; 3]) -> Self {
        let table = |size: usize| vec![[Counter::NEW; 2]; size.saturating_mul(nodes)];
        let [a, b, c] = sizes.map(table);
        Decisions {
            logistic: Logistic::tables(),
            nodes,
            counters: [a, b, c, table(1)],
            mixer: Mixer::new(nodes, &[WEIGHT; 8], 0.002, 0.02),
        }
    }

    /// Codes the decision `node`, below `nodes`, in contexts below the sizes given to [`Decisions::new`].
    #[inline]
    #[allow(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "inner loop; callers keep contexts and nodes below the sizes of the tables"
    )]
    pub(crate) fn code<B: BitCoder>(&mut self, io: &mut B, bit: bool, node: usize, contexts: [usize; 3]) -> bool {
        let at =
            [contexts[0] * self.nodes + node, contexts[1] * self.nodes + node, contexts[2] * self.nodes + node, node];
        let mut inputs = [0.0; 8];
        for ((pair, table), at) in inputs.chunks_exact_mut(2).zip(&self.counters).zip(&at) {
            let [fast, slow] = table[*at];
            pair[0] = self.logistic.stretch(fast.p());
            pair[1] = self.logistic.stretch(slow.p());
        }
        let mixed = self.mixer.mix(Fallback::new(), &inputs, node, self.logistic);
        let bit = io.code(bit, self.logistic.squash(Fallback::new(), mixed));
        self.mixer.update(Fallback::new(), &inputs, bit);
        for (table, at) in self.counters.iter_mut().zip(&at) {
            for (counter, limit) in table[*at].iter_mut().zip(LIMITS) {
                counter.update(bit, limit);
            }
        }
        bit
    }
}

/// Signed integers of magnitude at most 2^53 (SPEC 7.7.3).
#[derive(Debug)]
pub(crate) struct Integers {
    decisions: Decisions,
}

const ZERO: usize = 0;
const SIGN: usize = 1;
/// Node `LENGTH + n`: whether the magnitude has more than `n + 1` bits.
const LENGTH: usize = 2;
/// Most bits of a magnitude.
const LENGTH_MAX: usize = 54;
/// Node `TOP + 3 * (length - 2) + ..`: the first two bits below the leading one.
const TOP: usize = LENGTH + LENGTH_MAX - 1;
const NODES: usize = TOP + 3 * (LENGTH_MAX - 1);

impl Integers {
    pub(crate) fn new(sizes: [usize; 3]) -> Self {
        Integers { decisions: Decisions::new(NODES, sizes) }
    }

    /// Codes `value`, returns it; a decoder passes anything. `None` if the magnitude read exceeds 2^53.
    #[inline]
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "lengths are in 1..=54, so shifts and node numbers stay in range"
    )]
    pub(crate) fn code<B: BitCoder>(&mut self, io: &mut B, value: i64, contexts: [usize; 3]) -> Option<i64> {
        let d = &mut self.decisions;
        let wanted = value.unsigned_abs();
        if d.code(io, wanted == 0, ZERO, contexts) {
            return Some(0);
        }
        let negative = d.code(io, value < 0, SIGN, contexts);
        let wanted_len = (u64::BITS - wanted.leading_zeros()) as usize;
        let mut len = 1;
        while len < LENGTH_MAX && d.code(io, wanted_len > len, LENGTH + len - 1, contexts) {
            len += 1;
        }
        let mut magnitude = 1u64;
        let mut node = 0;
        for at in (0..len - 1).rev() {
            let bit = (wanted >> at) & 1 == 1;
            let bit = if node < 3 {
                let bit = d.code(io, bit, TOP + 3 * (len - 2) + node, contexts);
                node = 2 * node + 1 + usize::from(bit);
                bit
            } else {
                io.code(bit, 1 << 15)
            };
            magnitude = 2 * magnitude + u64::from(bit);
        }
        let signed = magnitude.cast_signed();
        (magnitude <= MAGNITUDE_MAX).then_some(if negative { -signed } else { signed })
    }
}

/// Number of bits of `v`, at most `max`: the usual context of a magnitude.
#[inline(always)]
pub(crate) fn bit_length(v: u64, max: usize) -> usize {
    (u64::BITS.saturating_sub(v.leading_zeros()) as usize).min(max)
}

#[cfg(test)]
mod tests {
    use super::super::arithmetic;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn integers_round_trip(values in prop::collection::vec(
            prop_oneof![-3i64..4, -5000i64..5000, -(1i64 << 53)..=1 << 53, Just(1 << 53), Just(-(1 << 53))], 0..300))
        {
            let mut e = arithmetic::Encoder::new();
            let mut m = Integers::new([4, 4, 4]);
            for (i, v) in values.iter().enumerate() {
                prop_assert_eq!(m.code(&mut e, *v, [i & 3, 0, 3]), Some(*v));
            }
            let bytes = e.finish();
            let mut d = arithmetic::Decoder::new(&bytes);
            let mut m = Integers::new([4, 4, 4]);
            for (i, v) in values.iter().enumerate() {
                prop_assert_eq!(m.code(&mut d, 0, [i & 3, 0, 3]), Some(*v));
            }
            prop_assert!(d.finish("integers").is_ok());
        }

        #[test]
        fn random_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut d = arithmetic::Decoder::new(&bytes);
            let mut m = Integers::new([1, 1, 1]);
            for _ in 0..200 {
                if m.code(&mut d, 0, [0; 3]).is_none() {
                    break;
                }
            }
        }
    }
}
