//! How a correction is coded: in mixed decisions, or plainly where it is expected to be large (SPEC 9.2.6, 9.2.7).

use super::super::pass::AXES;
use super::super::quantizer::CODE_MAX;
use crate::codec::arithmetic::BitCoder;
use crate::codec::mix::{Counter, Counters, Logistic, Mixer};
use fearless_simd::Simd;

/// Contexts of a mixed decision, beside the constant input.
const CONTEXTS: usize = 7;

/// Rows of counters of each context.
const ROWS: [usize; CONTEXTS] = [20 * 64, 5 * 5 * 3 * 5, 21 * 21, 21 * 21, 21 * 21 * 3, 81 * 3, 1024];

/// Rows of a context more where a network is asked: the scale that it expects, in each kind of pass.
const OPINIONS: usize = AXES * 4 * SCALE_BINS as usize;
const SCALE_BINS: u32 = 40;
/// Quarters of an octave below a scale of 2^-6 are one bin.
const SCALE_LEAST: u32 = (127 - 6) << 2;

/// Room for all of them: an index below a power of two needs no check.
const TABLE: usize = {
    let (mut sum, mut n) = (OPINIONS, 0);
    while n < CONTEXTS {
        sum += ROWS[n];
        n += 1;
    }
    sum.next_power_of_two()
};

/// Nodes of a row: zero flag, sign, and whether the magnitude is longer than 1, 2, .. bits.
const NODES: usize = 8;

/// Bins of half an octave that sums of magnitudes around fall into: from which on decisions are not mixed, and all.
const LOUD: u32 = 8;
const LOUD_BINS: usize = 36;
/// What codes could add up to at most.
const LOUDEST: f32 = 2e5;
/// Weight sets of a mixed decision.
const SETS: usize = LOUD as usize / 2;
/// The same less this is twice the number of bits that is expected.
const LOUD_BIAS: u32 = 5;
/// Bins of the sums on both sides, and of those before, that plain decisions distinguish.
const PLACE_BINS: u32 = 24;

/// Count limits: what is around changes from place to place.
pub(super) const LIMIT: u32 = 127;
const PLAIN_LIMIT: u32 = 31;

/// What is around a point, for contexts.
pub(super) struct Near {
    /// Codes of the neighbors left and right along the axis, then of those decoded before along the last three axes.
    pub(super) codes: [i32; 5],
    /// Where the first four lie to the prediction, in steps, in 21 bins.
    pub(super) toward: [usize; 4],
    /// Eighths of the prediction's place on the lattice.
    pub(super) place: i32,
    /// How far off a network expects to be, in steps; `None` where none is asked.
    pub(super) scale: Option<f32>,
}

/// Codes corrections, and learns on the way.
pub(super) struct Corrections {
    logistic: &'static Logistic,
    rows: Box<[[Counter; NODES]; TABLE]>,
    mixer: Mixer<8>,
    /// Whether loud numbers have more than so many bits, by the sum of magnitudes around and by its parts; row 0 of the
    /// first is for the lengths of others.
    lengths: Vec<[Counter; 32]>,
    places: Vec<[Counter; 32]>,
    signs: [Counter; 27],
    /// First bits below the leading one, by length.
    tops: [[Counter; 3]; 32],
}

impl Corrections {
    /// `asked`: whether there is a network.
    pub(super) fn new(asked: bool) -> Self {
        let mut start = [0.3f32; 8];
        if !asked {
            start[CONTEXTS] = 0.0;
        }
        Corrections {
            logistic: Logistic::tables(),
            rows: table(),
            mixer: Mixer::new(NODES * SETS, &start, 0.003, 0.02),
            lengths: vec![[Counter::NEW; 32]; LOUD_BINS],
            places: vec![[Counter::NEW; 32]; (PLACE_BINS * PLACE_BINS) as usize],
            signs: [Counter::NEW; 27],
            tops: [[Counter::NEW; 3]; 32],
        }
    }

    /// Codes the correction of one point, in a pass of a kind.
    #[inline(always)]
    pub(super) fn code<S: Simd, C: BitCoder>(
        &mut self,
        simd: S,
        coder: &mut C,
        kind: usize,
        near: &Near,
        k: i32,
    ) -> i32 {
        let Near { codes, toward: [tl, tr, tw, tn], place: level, scale } = *near;
        let [l, r, w, n, u] = codes.map(i32::unsigned_abs);
        let sides = l + r;
        let before = 2 * (w + n) + u;
        let total = sides + before;
        // About seven times the magnitude that is expected.
        let loud = octave_bin(scale.map_or(total, |s| (s * 10.0).min(LOUDEST) as u32));
        let sign = |k: i32| (k.signum() + 1) as usize;
        let signs = (sign(codes[0]) * 3 + sign(codes[1])) * 3 + sign(codes[2]);
        if loud >= LOUD {
            let part = |m: u32| octave_bin(m).min(PLACE_BINS - 1);
            let place = part(sides) * PLACE_BINS + part(before);
            return self.plainly(coder, k, loud, place as usize, signs);
        }
        let cap = |m: u32, c: u32| m.min(c) as usize;
        let places = [
            // A network may expect little where much was corrected around.
            kind * 64 + (octave_bin(sides).min(7) * 8 + octave_bin(before).min(7)) as usize,
            ((cap(w, 4) * 5 + cap(n, 4)) * 3 + cap(u, 2)) * 5 + cap(sides, 4),
            tl * 21 + tr,
            tw * 21 + tn,
            (tl * 21 + tw) * 3 + cap(sides, 2),
            (signs * 3 + sign(codes[3])) * 3 + cap(before, 2),
            (level.cast_unsigned().wrapping_mul(0x9E37_79B1) >> 22) as usize,
        ];
        let mut rows = [0usize; CONTEXTS + 1];
        let mut first = 0;
        for (row, (place, size)) in rows.iter_mut().zip(places.iter().zip(&ROWS)) {
            *row = first + place;
            first += size;
        }
        let set = loud as usize / 2;
        match scale {
            None => self.mixed(simd, coder, k, set, rows.first_chunk::<CONTEXTS>().unwrap_or(&[0; CONTEXTS])),
            Some(scale) => {
                let bin = (scale.to_bits() >> 21).saturating_sub(SCALE_LEAST).min(SCALE_BINS - 1);
                rows[CONTEXTS] = first + kind * SCALE_BINS as usize + bin as usize;
                self.mixed(simd, coder, k, set, &rows)
            }
        }
    }

    /// Codes a number in mixed decisions, in as many contexts as there are rows.
    #[inline(always)]
    fn mixed<S: Simd, C: BitCoder, const N: usize>(
        &mut self,
        simd: S,
        coder: &mut C,
        k: i32,
        set: usize,
        rows: &[usize; N],
    ) -> i32 {
        if self.decide(simd, coder, k == 0, 0, set, rows) {
            return 0;
        }
        let negative = self.decide(simd, coder, k < 0, 1, set, rows);
        let m = k.unsigned_abs();
        let mut length = 0;
        while length < 30 {
            let longer = m >> (length + 1) != 0;
            let longer = if length < 6 {
                self.decide(simd, coder, longer, 2 + length as usize, set, rows)
            } else {
                plain(coder, longer, &mut self.lengths[0][length as usize])
            };
            if !longer {
                break;
            }
            length += 1;
        }
        self.finish(coder, m, length, negative)
    }

    /// One mixed decision.
    #[inline(always)]
    fn decide<S: Simd, C: BitCoder, const N: usize>(
        &mut self,
        simd: S,
        coder: &mut C,
        bit: bool,
        node: usize,
        set: usize,
        rows: &[usize; N],
    ) -> bool {
        let node = node % NODES;
        let mut counters = Counters::NEW;
        let mut inputs = [0.25f32; 8];
        for (i, (input, row)) in inputs.iter_mut().zip(rows).enumerate() {
            let counter = self.rows[*row % TABLE][node];
            counters.set(i, counter);
            *input = self.logistic.stretch(counter.p());
        }
        let x = self.mixer.mix(simd, &inputs, node * SETS + set, self.logistic);
        let bit = coder.code(bit, self.logistic.squash(simd, x));
        counters.update(simd, bit, LIMIT as i32);
        for (i, row) in rows.iter().enumerate() {
            self.rows[*row % TABLE][node] = counters.get(i);
        }
        self.mixer.update(simd, &inputs, bit);
        bit
    }

    /// A number that is expected to be large: how many bits it has is sought up or down from how many are expected.
    #[inline(always)]
    fn plainly<C: BitCoder>(&mut self, coder: &mut C, k: i32, loud: u32, place: usize, signs: usize) -> i32 {
        let m = k.unsigned_abs();
        let mut bits = (loud - LOUD_BIAS) / 2;
        if self.exceeds(coder, m, bits, loud, place) {
            bits += 1;
            while bits < 31 && self.exceeds(coder, m, bits, loud, place) {
                bits += 1;
            }
        } else {
            while bits > 0 && !self.exceeds(coder, m, bits - 1, loud, place) {
                bits -= 1;
            }
        }
        if bits == 0 {
            return 0;
        }
        let negative = plain(coder, k < 0, &mut self.signs[signs]);
        self.finish(coder, m, bits - 1, negative)
    }

    /// Whether `m` has more than `bits` bits.
    #[inline(always)]
    fn exceeds<C: BitCoder>(&mut self, coder: &mut C, m: u32, bits: u32, loud: u32, place: usize) -> bool {
        let (a, b) = (&mut self.lengths[loud as usize][bits as usize], &mut self.places[place][bits as usize]);
        let p = (a.p() + b.p()) >> 1;
        let bit = coder.code(m >> bits != 0, p.clamp(32, 65504));
        a.update(bit, PLAIN_LIMIT);
        b.update(bit, PLAIN_LIMIT);
        bit
    }

    /// The bits below the leading one, of which there are `length`.
    #[inline(always)]
    fn finish<C: BitCoder>(&mut self, coder: &mut C, m: u32, length: u32, negative: bool) -> i32 {
        let mut found = 1u32;
        for bit in (0..length).rev() {
            let one = m >> bit & 1 == 1;
            let one = match length - 1 - bit {
                0 => plain(coder, one, &mut self.tops[length as usize][0]),
                1 => plain(coder, one, &mut self.tops[length as usize][1 + (found & 1) as usize]),
                _ => coder.code(one, 1 << 15),
            };
            found = 2 * found + u32::from(one);
        }
        let k = found.min(CODE_MAX.unsigned_abs()).cast_signed();
        if negative { -k } else { k }
    }
}

/// Rows of new counters, made where they stay: they are too many for the stacks of some threads.
fn table() -> Box<[[Counter; NODES]; TABLE]> {
    let rows = vec![[Counter::NEW; NODES]; TABLE].into_boxed_slice();
    rows.try_into().unwrap_or_else(|_| Box::new([[Counter::NEW; NODES]; TABLE]))
}

/// A decision of one counter.
#[inline(always)]
fn plain<C: BitCoder>(coder: &mut C, bit: bool, counter: &mut Counter) -> bool {
    let bit = coder.code(bit, counter.p().clamp(32, 65504));
    counter.update(bit, PLAIN_LIMIT);
    bit
}

/// 0, 1, 2, 3, then two bins to the octave; of numbers below 2^31. Without a branch: none could be foreseen.
#[inline(always)]
fn octave_bin(m: u32) -> u32 {
    let top = (m | 1).ilog2();
    2 * top + ((2 * m) >> top & 1) + u32::from(m == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_octave_has_two_bins_from_two_on() {
        let bins: Vec<u32> = (0..17).map(octave_bin).collect();
        assert_eq!(bins, [0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7, 8]);
        assert_eq!([(1 << 20) - 1, 1 << 20, 3 << 19, (1 << 31) - 1].map(octave_bin), [39, 40, 41, 61]);
    }
}
