//! Adaptive binary coding of bits and signed integers in contexts (SPEC 7.7).
//!
//! The same code writes and reads: a [`Binary`] returns the bit that was coded, and the models follow only those.

use super::arithmetic;
use super::mix::{Counter, Logistic, Mixer};

/// Something that codes one bit: an encoder returns `bit`, a decoder ignores it and returns the bit read.
pub(crate) trait Binary {
    /// `p1` in 1..=65535 is the probability of a 1, times 65536.
    fn code(&mut self, bit: bool, p1: u32) -> bool;
}

impl Binary for arithmetic::Encoder {
    #[inline(always)]
    fn code(&mut self, bit: bool, p1: u32) -> bool {
        self.bit(bit, p1);
        bit
    }
}

impl Binary for arithmetic::Decoder<'_> {
    #[inline(always)]
    fn code(&mut self, _: bool, p1: u32) -> bool {
        self.bit(p1)
    }
}

/// Largest magnitude that [`Integers`] codes: every such integer is an f64.
pub(crate) const MAGNITUDE_MAX: u64 = 1 << 53;

/// Models of binary decisions (`nodes` of them), each predicted from three contexts and from none (SPEC 7.7.2).
#[derive(Debug)]
pub(crate) struct Decisions {
    logistic: Logistic,
    nodes: usize,
    /// For each context, `nodes` counters per value; the last table has one value.
    counters: [Vec<Counter>; 4],
    mixer: Mixer<4>,
}

/// Counters stop slowing down here; those without context may be slower.
const LIMITS: [u32; 4] = [255, 255, 255, 1023];

impl Decisions {
    /// `sizes` is how many values each context has.
    pub(crate) fn new(nodes: usize, sizes: [usize; 3]) -> Self {
        let [a, b, c] = sizes.map(|s| vec![Counter::NEW; s.saturating_mul(nodes)]);
        Decisions {
            logistic: Logistic::new(),
            nodes,
            counters: [a, b, c, vec![Counter::NEW; nodes]],
            // A quarter of 65536 each, a little more to start confident.
            mixer: Mixer::new(nodes, 20_000, 4),
        }
    }

    /// Codes the decision `node`, below `nodes`, in contexts below the sizes given to [`Decisions::new`].
    #[inline]
    #[allow(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "inner loop; callers keep contexts and nodes below the sizes of the tables"
    )]
    pub(crate) fn code<B: Binary>(&mut self, io: &mut B, bit: bool, node: usize, contexts: [usize; 3]) -> bool {
        let at =
            [contexts[0] * self.nodes + node, contexts[1] * self.nodes + node, contexts[2] * self.nodes + node, node];
        let mut inputs = [0i32; 4];
        for t in 0..4 {
            inputs[t] = self.logistic.stretch(self.counters[t][at[t]].p());
        }
        let mixed = self.mixer.mix(&inputs, node, &self.logistic);
        let bit = io.code(bit, self.logistic.squash(mixed));
        self.mixer.update(bit);
        for t in 0..4 {
            self.counters[t][at[t]].update(bit, LIMITS[t]);
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
    pub(crate) fn code<B: Binary>(&mut self, io: &mut B, value: i64, contexts: [usize; 3]) -> Option<i64> {
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
