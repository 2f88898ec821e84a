//! Numbers to symbols (SPEC 8.4.2), eight at a time.

use super::{LANES, MOST_DOUBLINGS, MOST_RUN_BITS, escape, levels_tell};
use fearless_simd::Simd;
use std::ops::Range;
use std::sync::OnceLock;

/// Numbers to be coded, as their images.
#[derive(Debug, Default)]
pub(crate) struct Images {
    /// Each image, or [`SATURATED`] if it is that or more; and [`SLACK`] zeros.
    bytes: Vec<u8>,
    len: usize,
    /// The images that are saturated, in order.
    wide: Vec<u16>,
}

const SATURATED: u16 = 255;
/// Bytes after the images that may be read.
const SLACK: usize = 16;
/// Images that become symbols together.
const BLOCK: usize = 8;

impl Images {
    /// With room for `most` numbers, which the caller must not exceed.
    pub(crate) fn with_room(most: usize) -> Self {
        Images { bytes: vec![0; most + SLACK], len: 0, wide: Vec::new() }
    }

    /// For tests, benchmarks and fuzz targets, which have all numbers at hand.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn of(numbers: &[i16]) -> Self {
        let mut images = Images::with_room(numbers.len());
        let (blocks, last) = numbers.as_chunks();
        blocks.iter().for_each(|b| images.push(b, BLOCK, false));
        let mut rest = [0; BLOCK];
        rest[..last.len()].copy_from_slice(last);
        images.push(&rest, last.len(), false);
        images
    }

    /// Appends the first `n` of the numbers, all of them less than 127 in magnitude if they are `small`; the others must be 0.
    #[inline(always)]
    pub(crate) fn push(&mut self, numbers: &[i16; BLOCK], n: usize, small: bool) {
        if let Some(to) = self.bytes.get_mut(self.len..).and_then(<[u8]>::first_chunk_mut::<BLOCK>) {
            *to = numbers.map(|n| image(n).min(SATURATED) as u8);
        }
        if !small {
            self.wide.extend(numbers.iter().map(|n| image(*n)).filter(|z| *z >= SATURATED));
        }
        self.len += n;
    }

    /// Appends the number with this image.
    #[inline(always)]
    pub(crate) fn push_image(&mut self, image: u16) {
        if let Some(to) = self.bytes.get_mut(self.len) {
            *to = image.min(SATURATED) as u8;
        }
        if image >= SATURATED {
            self.wide.push(image);
        }
        self.len += 1;
    }

    /// Appends `n` zeros.
    #[inline(always)]
    pub(crate) fn push_zeros(&mut self, n: usize) {
        self.len += n;
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

#[inline(always)]
fn image(n: i16) -> u16 {
    (n << 1 ^ n >> 15).cast_unsigned()
}

/// Images of a word.
const WORD: usize = 64;

/// A part of the images that is coded on its own.
pub(super) struct Lane<'a> {
    images: &'a Images,
    range: Range<usize>,
    /// Which are not 0: a bit for each.
    words: Vec<u64>,
}

impl<'a> Lane<'a> {
    #[inline(always)]
    pub(super) fn new<S: Simd>(simd: S, images: &'a Images, range: Range<usize>) -> Self {
        let zero = simd.splat_u8x32(0);
        let (whole, last) = images.bytes[range.clone()].as_chunks::<WORD>();
        let mut rest = [0; WORD];
        rest[..last.len()].copy_from_slice(last);
        let mut words = vec![0; whole.len() + 1];
        // Plain loops: what is called in closures of iterators is not compiled for vectors.
        for (to, bytes) in words.iter_mut().zip(whole.iter().chain([&rest])) {
            let (halves, _) = bytes.as_chunks::<32>();
            let mut zeros = 0;
            for (i, half) in halves.iter().enumerate() {
                let half = simd.simd_eq_u8x32(simd.load_array_ref_u8x32(half), zero);
                zeros |= simd.to_bitmask_mask8x32(half) << (32 * i);
            }
            *to = !zeros;
        }
        Lane { images, range, words }
    }

    pub(super) fn is_zero(&self) -> bool {
        self.words.iter().all(|w| *w == 0)
    }

    /// Words of the lane.
    pub(super) fn words(&self) -> usize {
        self.words.len()
    }

    /// The images other than 0 from word `from` on with the zeros before each, as long as `take` says so; how many zeros are
    /// before the first is not known, and that is left out, unless the word is the first one. If all words are gone through, the
    /// zeros at the end come before an image of 0. Gives the word after the last.
    pub(super) fn runs(&self, from: usize, mut take: impl FnMut(u32, u32) -> bool) -> usize {
        let mut next = if from == 0 { Some(0) } else { None };
        for (w, word) in self.words.iter().enumerate().skip(from) {
            let mut left = *word;
            while left != 0 {
                let i = w * WORD + left.trailing_zeros() as usize;
                left &= left - 1;
                let image = self.images.bytes[self.range.start + i];
                if next.is_some_and(|n| !take((i - n) as u32, image.into())) {
                    return w + 1;
                }
                next = Some(i + 1);
            }
        }
        if let Some(n) = next.filter(|n| from == 0 && *n < self.range.len()) {
            take((self.range.len() - n) as u32, 0);
        }
        self.words.len()
    }
}

/// The symbols of eight numbers, by which of them are not 0, but for the zeros before the first of those.
#[derive(Debug, Clone, Copy)]
struct Template {
    /// Where the image of each symbol is; that of a run alone is a 0.
    sources: [u8; 16],
    /// The lower bits of the symbols.
    runs: u64,
    count: u8,
    /// Zeros before the first number that is not one, and after the last.
    first: u8,
    last: u8,
}

impl Template {
    fn new(run_bits: u32, mask: u8) -> Self {
        let mut t = Template { sources: [0; 16], runs: 0, count: 0, first: 0, last: BLOCK as u8 };
        let mut next = None;
        for i in (0..BLOCK as u8).filter(|i| mask >> i & 1 == 1) {
            let mut symbols = Vec::new();
            let run = match next {
                None => {
                    t.first = i;
                    0
                }
                Some(n) => zeros(u32::from(i - n), run_bits, |s| symbols.push((n, s))),
            };
            symbols.push((i, run as u8));
            for (source, run) in symbols {
                t.sources[usize::from(t.count)] = source;
                t.runs |= u64::from(run) << (8 * t.count);
                t.count += 1;
            }
            next = Some(i + 1);
            t.last = BLOCK as u8 - 1 - i;
        }
        t
    }
}

fn templates(run_bits: u32) -> &'static [Template; 256] {
    static ALL: [OnceLock<Box<[Template; 256]>>; MOST_RUN_BITS as usize + 1] =
        [const { OnceLock::new() }; MOST_RUN_BITS as usize + 1];
    ALL[run_bits as usize].get_or_init(|| Box::new(std::array::from_fn(|m| Template::new(run_bits, m as u8))))
}

/// Gives the symbols of runs alone for `run` zeros; returns how many zeros are left, fewer than a run.
#[inline(always)]
pub(super) fn zeros(run: u32, run_bits: u32, mut symbol: impl FnMut(u8)) -> u32 {
    repeated_zeros(run, run_bits, |s, times| (0..times).for_each(|_| symbol(s)))
}

/// [`zeros`], with how often each of the symbols comes one after another.
#[inline(always)]
pub(super) fn repeated_zeros(mut run: u32, run_bits: u32, mut symbols: impl FnMut(u8, u32)) -> u32 {
    while run >> run_bits != 0 {
        let doublings = (run >> run_bits).ilog2().min(MOST_DOUBLINGS).min((1 << run_bits) - 1);
        // Only the longest comes more than once.
        symbols(doublings as u8, run >> (run_bits + doublings));
        run &= (1 << (run_bits + doublings)) - 1;
    }
    run
}

/// The symbols of lanes.
pub(super) struct Symbols {
    pub(super) symbols: Vec<u8>,
    pub(super) len: usize,
    /// Where each lane ends.
    pub(super) ends: Vec<usize>,
    /// Images of escapes less that of the first such level's own, in order, from 1 on.
    pub(super) excesses: Vec<u32>,
}

impl Symbols {
    /// Those of all `lanes`.
    #[inline(always)]
    pub(super) fn new<S: Simd>(simd: S, run_bits: u32, images: &Images, lanes: &[Lane]) -> Self {
        // No symbol stands for less than one number.
        let symbols = vec![0; images.len() + BLOCK];
        let mut s = Symbols { symbols, len: 0, ends: Vec::with_capacity(LANES), excesses: Vec::new() };
        let mut wide = images.wide.iter();
        for lane in lanes {
            s.add(simd, run_bits, lane, &mut wide);
        }
        s
    }

    #[inline(always)]
    fn add<'a, S: Simd>(&mut self, simd: S, run_bits: u32, lane: &Lane, wide: &mut impl Iterator<Item = &'a u16>) {
        let escape = escape(run_bits) as u8;
        let templates = templates(run_bits);
        let most = simd.splat_u8x16(escape);
        let images = &lane.images.bytes;
        let mut at = self.len;
        let mut run = 0u32;
        for (w, word) in lane.words.iter().enumerate() {
            if *word == 0 {
                run += WORD as u32;
                continue;
            }
            let start = lane.range.start + w * WORD;
            let first = at;
            let mut largest = simd.splat_u8x16(0);
            for (b, mask) in word.to_le_bytes().into_iter().enumerate() {
                if mask == 0 {
                    run += BLOCK as u32;
                    continue;
                }
                let t = &templates[usize::from(mask)];
                run += u32::from(t.first);
                if run >> run_bits != 0 {
                    run = zeros(run, run_bits, |s| {
                        self.symbols[at] = s;
                        at += 1;
                    });
                }
                let Some(z) = images.get(start + b * BLOCK..).and_then(<[u8]>::first_chunk::<16>) else { break };
                let z = simd.load_array_ref_u8x16(z);
                largest = simd.max_u8x16(largest, z);
                let z = simd.min_u8x16(z, most);
                let z = simd.swizzle_dyn_within_blocks_u8x16(z, simd.load_array_ref_u8x16(&t.sources));
                let [z @ .., _, _, _, _, _, _, _, _] = simd.as_array_u8x16(z);
                let symbols = u64::from_le_bytes(z) << run_bits | t.runs | u64::from(run);
                if let Some(to) = self.symbols.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<BLOCK>) {
                    *to = symbols.to_le_bytes();
                }
                at += usize::from(t.count);
                run = t.last.into();
            }
            if simd.to_bitmask_mask8x16(simd.simd_ge_u8x16(largest, most)) != 0 {
                let end = lane.range.end.min(start + WORD);
                // All of them have the first level so far.
                let mut symbols = self.symbols[first..at].iter_mut().filter(|s| **s >> run_bits >= escape);
                for z in images[start..end].iter().filter(|z| **z >= escape) {
                    let z = if u16::from(*z) < SATURATED { Some(u16::from(*z)) } else { wide.next().copied() };
                    let excess = u32::from(z.unwrap_or(SATURATED) - u16::from(escape)) + 1;
                    self.excesses.push(excess);
                    if levels_tell(run_bits)
                        && let Some(symbol) = symbols.next()
                    {
                        *symbol += (excess.ilog2() as u8) << run_bits;
                    }
                }
            }
        }
        // The last word has zeros past the end.
        run -= (lane.words.len() * WORD - lane.range.len()) as u32;
        if zeros(run, run_bits, |s| {
            self.symbols[at] = s;
            at += 1;
        }) > 0
        {
            self.symbols[at] = 0;
            at += 1;
        }
        self.len = at;
        self.ends.push(at);
    }
}
