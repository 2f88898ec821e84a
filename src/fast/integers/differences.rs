//! How integers differ from what is expected of them, all at once. On the writer's side only.

use super::neighbors::{Form, Look, THRESHOLDS, Visit, bucket};
use super::survey::Prices;
use crate::fast::classes::{BUCKETS, Counts};
use crate::vector::vectorize;
use std::ops::Range;

/// Points that are looked at together.
const LANES: usize = 32;

/// Of a range of integers: the bucket of each one's activity, and the image of its difference.
#[derive(Debug, Default)]
pub(super) struct Differences {
    pub(super) buckets: Vec<u8>,
    pub(super) images: Vec<u16>,
}

impl Differences {
    /// Those of all integers.
    pub(super) fn of(q: &[u16], form: &Form) -> Self {
        let mut all = Differences::default();
        all.fill(q, form, 0..q.len());
        all
    }

    /// Replaces them by those of a range.
    pub(super) fn fill(&mut self, q: &[u16], form: &Form, range: Range<usize>) {
        self.buckets.clear();
        self.images.clear();
        self.buckets.reserve(range.len());
        self.images.reserve(range.len());
        vectorize!(_simd => _ = form.visit(range, &mut Filling { q, to: self }));
    }

    /// Adds them to `counts`.
    pub(super) fn count(&self, counts: &mut Counts) {
        for (b, z) in self.buckets.iter().zip(&self.images) {
            counts[usize::from(*b) % BUCKETS][usize::from((*z).min(255))] += 1;
        }
    }

    /// What all of them cost.
    pub(super) fn price(&self, prices: &Prices) -> u32 {
        let price = |(b, z): (&u8, &u16)| u32::from(prices[usize::from(*b) % BUCKETS][usize::from((*z).min(255))]);
        self.buckets.iter().zip(&self.images).map(price).sum()
    }

    /// Sums of what they cost: of the first `i` at place `i`. Those that are not ordinary cost nothing.
    pub(super) fn prices(&self, prices: &Prices, ordinary: Option<&[bool]>) -> Vec<u32> {
        let mut sums = Vec::with_capacity(self.images.len() + 1);
        sums.push(0);
        let mut sum = 0u32;
        for (i, (b, z)) in self.buckets.iter().zip(&self.images).enumerate() {
            if ordinary.is_none_or(|o| o[i]) {
                sum = sum.wrapping_add(prices[usize::from(*b) % BUCKETS][usize::from((*z).min(255))].into());
            }
            sums.push(sum);
        }
        sums
    }

    /// Whether the [`LANES`] places from `i` on are there, in bucket 0 and as expected.
    #[inline(always)]
    fn are_zero(&self, i: usize) -> bool {
        let buckets = self.buckets.get(i..).and_then(<[u8]>::first_chunk::<LANES>);
        let images = self.images.get(i..).and_then(<[u16]>::first_chunk::<LANES>);
        buckets.is_some_and(|b| b.iter().fold(0, |all, b| all | b) == 0)
            && images.is_some_and(|z| z.iter().fold(0, |all, z| all | z) == 0)
    }

    /// Goes through a range: calls `f` with how many places there are of one bucket and image, and these two.
    #[inline(always)]
    pub(super) fn each(&self, range: Range<usize>, mut f: impl FnMut(usize, u8, u16)) {
        let mut i = range.start;
        while i < range.end {
            let end = range.end.min(i + LANES);
            if end - i == LANES && self.are_zero(i) {
                f(LANES, 0, 0);
            } else {
                for (b, z) in self.buckets[i..end].iter().zip(&self.images[i..end]) {
                    f(1, *b, *z);
                }
            }
            i = end;
        }
    }
}

/// Bits that the differences of a range have, roughly.
pub(super) fn bits(q: &[u16], form: &Form, range: Range<usize>) -> u64 {
    vectorize!(_simd => {
        let mut sizing = Sizing { q, bits: 0 };
        form.visit(range, &mut sizing);
        2 * u64::from(sizing.bits)
    })
}

struct Sizing<'a> {
    q: &'a [u16],
    bits: u32,
}

impl Visit for Sizing<'_> {
    #[inline(always)]
    fn part<const CODE: u8>(&mut self, look: Look<CODE>, range: Range<usize>) -> Option<()> {
        // The exponent of a single is how many bits a whole number has.
        let size = |z: u16| (f32::from(z).to_bits() >> 23).saturating_sub(126);
        let q = self.q;
        let mut i = range.start;
        while i < range.end {
            let here = q.get(i..range.end).and_then(<[u16]>::first_chunk::<LANES>);
            if let Some((here, (expected, _))) = here.zip(look.of_many::<LANES>(q, i)) {
                let mut sizes = [0u32; LANES];
                for j in 0..LANES {
                    sizes[j] = size(image(here[j].wrapping_sub(expected[j])));
                }
                self.bits += sizes.iter().sum::<u32>();
                i += LANES;
            } else {
                self.bits += size(image(q[i].wrapping_sub(look.at(q, i).0)));
                i += 1;
            }
        }
        Some(())
    }
}

struct Filling<'a> {
    q: &'a [u16],
    to: &'a mut Differences,
}

/// The image of a difference.
#[inline(always)]
fn image(difference: u16) -> u16 {
    difference << 1 ^ (difference.cast_signed() >> 15).cast_unsigned()
}

impl Visit for Filling<'_> {
    #[inline(always)]
    fn part<const CODE: u8>(&mut self, look: Look<CODE>, range: Range<usize>) -> Option<()> {
        let q = self.q;
        let mut i = range.start;
        while i < range.end {
            let here = q.get(i..range.end).and_then(<[u16]>::first_chunk::<LANES>);
            if let Some((here, (expected, activities))) = here.zip(look.of_many::<LANES>(q, i)) {
                let (mut images, mut buckets) = ([0; LANES], [0u16; LANES]);
                for j in 0..LANES {
                    images[j] = image(here[j].wrapping_sub(expected[j]));
                }
                for t in THRESHOLDS {
                    for j in 0..LANES {
                        buckets[j] += u16::from(activities[j] >= t);
                    }
                }
                self.to.images.extend_from_slice(&images);
                self.to.buckets.extend_from_slice(&buckets.map(|b| b as u8));
                i += LANES;
            } else {
                let (expected, activity) = look.at(q, i);
                self.to.images.push(image(q[i].wrapping_sub(expected)));
                self.to.buckets.push(bucket(activity) as u8);
                i += 1;
            }
        }
        Some(())
    }
}
