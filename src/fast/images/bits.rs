//! A bit for each point of a grid, eight of them coded at once (SPEC 8.5).

use crate::codec::cursor::Cursor;
use crate::codec::prefix::{self, Numbers};
use crate::error::FormatError;
use crate::fast::classes::{self, BUCKETS, Counts, choose_classes, class_of, parts};
use crate::fast::eight::{gather, ones, spread};

/// Points of a byte and of a word.
const BYTE: usize = 8;
const WORD: usize = 64;
/// Rows and planes are at least this far apart: all neighbors of a byte are in bytes before it, ...
pub(super) const NEAREST: usize = BYTE + 1;
/// ... and those of a word in words before it.
const NEAREST_OF_WORDS: usize = WORD + BYTE;
/// Most classes: one for each number of neighbors that differ.
const MOST_CLASSES: usize = BYTE + 1;
/// Zeros around the bits.
const PAD: usize = 16;

/// Bits of a grid, those around them being 0.
pub(super) struct Bits {
    bytes: Vec<u8>,
    points: usize,
}

impl Bits {
    pub(super) fn zeros(points: usize) -> Self {
        Bits { bytes: vec![0; PAD + points.div_ceil(BYTE) + PAD], points }
    }

    /// Bit `number` of each of `classes`.
    pub(super) fn of(classes: &[u8], number: u32) -> Self {
        let mut bits = Bits::zeros(classes.len());
        let (whole, last) = classes.as_chunks::<BYTE>();
        for (to, c) in bits.bytes[PAD..].iter_mut().zip(whole) {
            *to = gather(*c, number);
        }
        let mut rest = [0; BYTE];
        rest[..last.len()].copy_from_slice(last);
        bits.bytes[PAD + whole.len()] = gather(rest, number);
        bits
    }

    /// Adds them to `classes` as bit `number`.
    pub(super) fn add_to(&self, classes: &mut [u8], number: u32) {
        let (whole, last) = classes.as_chunks_mut::<BYTE>();
        let bytes = &self.bytes[PAD..];
        for (c, b) in whole.iter_mut().zip(bytes) {
            *c = (u64::from_le_bytes(*c) | spread(*b) << number).to_le_bytes();
        }
        for (c, s) in last.iter_mut().zip(spread(bytes[whole.len()]).to_le_bytes()) {
            *c |= s << number;
        }
    }

    /// The bits of the 64 points from `at` on, less `back`, which is at most `at` + 8 * [`PAD`].
    #[inline(always)]
    fn word(&self, at: usize, back: usize) -> u64 {
        let first = PAD * BYTE + at - back;
        let Some([word @ .., last]) = self.bytes[first / BYTE..].first_chunk::<{ WORD / BYTE + 1 }>() else { return 0 };
        let shift = first % BYTE;
        u64::from_le_bytes(*word) >> shift | (u64::from(*last) << 1) << (WORD - 1 - shift)
    }

    /// The points before `at`.
    #[inline(always)]
    fn byte_before(&self, at: usize, bytes: usize) -> u8 {
        self.bytes[PAD + at / BYTE - bytes]
    }

    /// Bytes of the grid.
    fn len(&self) -> usize {
        self.points.div_ceil(BYTE)
    }
}

/// How far before a point its neighbors in the row and in the plane before are; 0 where there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Distances {
    pub(super) row: usize,
    pub(super) plane: usize,
}

/// What is expected of points, and where their neighbors differ.
#[derive(Clone, Copy)]
struct Look<W> {
    expected: W,
    differ: W,
}

impl Distances {
    /// Whether points from `at` on have neighbors in the plane before.
    #[inline(always)]
    fn has_plane(&self, at: usize) -> bool {
        self.plane > 0 && at >= self.plane
    }

    /// What is before the 64 points from `at` on, which are that far into the grid.
    #[inline(always)]
    fn word(&self, bits: &Bits, at: usize) -> Look<u64> {
        let n = bits.word(at, self.row);
        if self.has_plane(at) {
            let u = bits.word(at, self.plane);
            return Look { expected: u, differ: u ^ n };
        }
        let (nw, ne) = (bits.word(at, self.row + 1), bits.word(at, self.row - 1));
        Look { expected: n, differ: (n ^ nw) | (n ^ ne) }
    }

    /// What is before the 8 points from `at` on.
    #[inline(always)]
    fn byte(&self, bits: &Bits, at: usize) -> Look<u8> {
        if self.row > 0 && at >= self.row {
            let Look { expected, differ } = self.word(bits, at);
            return Look { expected: expected as u8, differ: differ as u8 };
        }
        let (before, first) = (bits.byte_before(at, 1), bits.byte_before(at, 2) >> 7);
        Look { expected: if before >> 7 == 1 { u8::MAX } else { 0 }, differ: before ^ (before << 1 | first) }
    }

    /// Whether 64 points from `at` on are in the grid and have neighbors of one kind, not only those in their own row.
    #[inline(always)]
    fn suit_a_word(&self, points: usize, at: usize) -> bool {
        let beside = self.plane == 0 || at >= self.plane || at + WORD <= self.plane;
        self.row > 0 && at >= self.row && at + WORD <= points && beside
    }

    /// Whether what is expected of such points is in words before them.
    #[inline(always)]
    fn expects_known(&self, at: usize) -> bool {
        (if self.has_plane(at) { self.plane } else { self.row }) >= NEAREST_OF_WORDS
    }

    /// Calls `f` with how many bytes there are of one number of neighbors that differ and one image, and these two.
    #[inline(always)]
    fn each(&self, bits: &Bits, mut f: impl FnMut(usize, u8, u8)) {
        let mut at = 0;
        while at < bits.points {
            if self.suit_a_word(bits.points, at) {
                let look = self.word(bits, at);
                let images = bits.word(at, 0) ^ look.expected;
                if images | look.differ == 0 {
                    f(BYTE, 0, 0);
                } else {
                    for (differ, image) in ones(look.differ).into_iter().zip(images.to_le_bytes()) {
                        f(1, differ, image);
                    }
                }
                at += WORD;
            } else {
                let look = self.byte(bits, at);
                // Points past the last one are expected to be 0, too.
                f(1, look.differ.count_ones() as u8, bits.word(at, 0) as u8 ^ look.expected);
                at += BYTE;
            }
        }
    }

    /// How often each image has each number of neighbors that differ.
    pub(super) fn counts(&self, bits: &Bits) -> Box<Counts> {
        let mut counts: Box<Counts> = Box::new([[0; 256]; BUCKETS]);
        self.each(bits, |many, differ, image| counts[usize::from(differ) % BUCKETS][usize::from(image)] += many as u32);
        counts
    }
}

/// Bits that images take, about.
fn price(counts: &Counts) -> f64 {
    /// What each image of a class takes in its code.
    const SYMBOL_BITS: f64 = 5.0;
    let of_class = |counts: &[u32; 256]| {
        let all = f64::from(counts.iter().sum::<u32>());
        counts
            .iter()
            .filter(|n| **n > 0)
            .map(|n| SYMBOL_BITS + f64::from(*n) * (all / f64::from(*n)).log2())
            .sum::<f64>()
    };
    counts.iter().map(of_class).sum()
}

/// Those of some distances by which `bits` take least, with what is found by them.
pub(super) fn choose(bits: &Bits, among: impl Iterator<Item = Distances>) -> Option<(Distances, Box<Counts>)> {
    let counted = among.map(|d| (d, d.counts(bits)));
    let priced = counted.map(|(d, counts)| (price(&counts), d, counts));
    priced.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, d, counts)| (d, counts))
}

/// The distance at which the bits are most alike, if it is one that stands out.
pub(super) fn period(bits: &Bits) -> Option<usize> {
    const WINDOWS: usize = 16;
    let longest = (bits.points / 4).min(1 << 13);
    if longest < WORD {
        return None;
    }
    let mut scores = vec![0; longest + 1];
    for k in 0..WINDOWS {
        let at = longest + (bits.points - WORD - longest) * k / (WINDOWS - 1);
        let here = bits.word(at, 0);
        for (d, score) in scores.iter_mut().enumerate() {
            *score += (here ^ bits.word(at, d)).count_ones();
        }
    }
    let stands_out = |d: &usize| scores[*d] <= scores[*d - 1] && scores[*d] < scores[*d + 1];
    (NEAREST..longest).filter(stands_out).min_by_key(|d| scores[*d])
}

/// Appends `bits`, of which `counts` were found.
pub(super) fn encode(bits: &Bits, distances: Distances, counts: &Counts, out: &mut Vec<u8>) {
    let starts = choose_classes(counts, 1.0);
    let class_of = class_of(starts);
    let mut parts = parts(counts, &class_of);
    distances.each(bits, |many, differ, image| {
        let part = &mut parts[usize::from(class_of[usize::from(differ) % BUCKETS]) % classes::MOST_CLASSES];
        if image == 0 { part.push_zeros(many) } else { part.push_image(image.into()) }
    });
    out.push(starts as u8);
    let streams: Vec<_> = parts[..=starts.count_ones() as usize].iter().map(prefix::encode).collect();
    prefix::write(&streams, out);
}

/// Inverts [`encode`].
pub(super) fn decode(cursor: &mut Cursor<'_>, distances: Distances, points: usize) -> Result<Bits, FormatError> {
    let starts = u32::from(cursor.u8("class starts")?);
    let class_of = class_of(starts);
    let mut bits = Bits::zeros(points);
    let streams = prefix::read(cursor, starts.count_ones() as usize + 1, bits.len())?;
    let mut streams = streams.into_iter().map(Numbers::new);
    let mut streams: [Numbers; MOST_CLASSES] = std::array::from_fn(|_| streams.next().unwrap_or_else(Numbers::none));
    let mut at = 0;
    while at < points {
        let to = PAD + at / BYTE;
        let is_word = distances.suit_a_word(points, at);
        if is_word && distances.expects_known(at) {
            // In rows so short that neighbors are among these points, as if all were as the plane before has them.
            let all = distances.word(&bits, at).expected.to_le_bytes();
            bits.bytes[to..to + BYTE].copy_from_slice(&all);
            let look = distances.word(&bits, at);
            at += WORD;
            if look.differ == 0 && streams[0].has_zeros(BYTE) {
                streams[0].skip(BYTE);
                continue;
            }
            if distances.row >= NEAREST_OF_WORDS {
                for (to, differ) in bits.bytes[to..].iter_mut().zip(ones(look.differ)) {
                    *to ^= image(&mut streams, class_of[usize::from(differ)])?;
                }
                continue;
            }
            bits.bytes[to..to + BYTE].fill(0);
            at -= WORD;
        }
        for _ in 0..if is_word { WORD / BYTE } else { 1 } {
            let look = distances.byte(&bits, at);
            let class = class_of[look.differ.count_ones() as usize];
            bits.bytes[PAD + at / BYTE] = look.expected ^ image(&mut streams, class)?;
            at += BYTE;
        }
    }
    let last = bits.bytes[PAD + bits.len() - 1];
    let is_padded = points.is_multiple_of(BYTE) || last >> (points % BYTE) == 0;
    if !is_padded || !streams.iter().all(Numbers::is_used_up) {
        return Err(FormatError::Code { what: "bits of classes" });
    }
    Ok(bits)
}

/// The image of the next number of a class; one that no byte has is an error.
#[inline(always)]
fn image(streams: &mut [Numbers; MOST_CLASSES], class: u8) -> Result<u8, FormatError> {
    let image = streams[usize::from(class) % MOST_CLASSES].image();
    image.and_then(|z| u8::try_from(z).ok()).ok_or(FormatError::Code { what: "bits of classes" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// Whatever the writer would choose, short distances and planes nearer than rows included.
        #[test]
        fn any_distances_lead_back(
            row in prop_oneof![Just(0usize), 9usize..20, 9usize..100],
            plane in prop_oneof![Just(0usize), 9usize..20, 9usize..200],
            period in prop_oneof![9usize..20, 1usize..100],
            flips in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
            pattern in any::<u128>(),
            points in 1usize..1000,
        ) {
            let distances = Distances { row, plane: if row > 0 { plane } else { 0 } };
            let mut points: Vec<u8> = (0..points).map(|i| (pattern >> (i % period) & 1) as u8).collect();
            for flip in flips {
                let i = flip.index(points.len());
                points[i] ^= 1;
            }
            let mut bytes = Vec::new();
            let bits = Bits::of(&points, 0);
            encode(&bits, distances, &distances.counts(&bits), &mut bytes);
            let mut cursor = Cursor::new(&bytes);
            let mut back = vec![0; points.len()];
            decode(&mut cursor, distances, points.len()).unwrap().add_to(&mut back, 0);
            prop_assert_eq!((back, cursor.remaining()), (points, 0));
        }
    }
}
