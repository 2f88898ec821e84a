//! Integers by their differences from what is expected, one stream for each class of activity (SPEC 9.4.9).

use super::neighbors::{Form, Look, THRESHOLDS, Visit};
use crate::codec::cursor::zigzag;
use crate::codec::prefix::{PADDING, Stream, WIDE};
use crate::fast::classes::{BUCKETS, MOST_CLASSES};
use std::ops::Range;

/// Activities from here on have one class.
const TOP: usize = 2048;
/// Points that are looked at together where nothing changes.
const CALM: usize = 32;
/// Points of which all neighbors but the one before are known together.
const STEP: usize = 16;

/// The numbers of a stream, as far as they were read.
#[derive(Debug)]
pub(super) struct Reading {
    stream: Stream,
    at: usize,
    wide: usize,
    /// The numbers before this place that were not read are 0.
    zeros: usize,
}

impl Reading {
    pub(super) fn new(stream: Stream) -> Self {
        Reading { stream, at: 0, wide: 0, zeros: 0 }
    }

    /// Numbers of the stream.
    pub(super) fn len(&self) -> usize {
        self.stream.numbers.len() - PADDING
    }

    /// The next number; what follows the last one is 0, and is found by [`Reading::is_used_up`].
    #[inline(always)]
    fn next(&mut self) -> Option<i32> {
        let number = self.stream.numbers.get(self.at)?.cast_signed();
        self.at += 1;
        if number == WIDE {
            self.wide += 1;
            return self.stream.wide.get(self.wide - 1).copied();
        }
        Some(number.into())
    }

    /// The image of the next number.
    pub(super) fn image(&mut self) -> Option<u32> {
        self.next().map(|n| zigzag(n.into()) as u32)
    }

    /// Whether the next `n` numbers are there and 0.
    #[inline(always)]
    fn has_zeros(&mut self, n: usize) -> bool {
        if self.at >= self.zeros {
            self.look_ahead();
        }
        self.at + n <= self.zeros
    }

    /// Finds how many zeros come next, of those that are not far ahead.
    fn look_ahead(&mut self) {
        const FAR: usize = 1 << 10;
        let numbers = &self.stream.numbers[self.at.min(self.len())..self.len()];
        let mut zeros = 0;
        for chunk in numbers[..numbers.len().min(FAR)].chunks(CALM) {
            if chunk.iter().fold(0, |all, n| all | n) != 0 {
                zeros += chunk.iter().take_while(|n| **n == 0).count();
                break;
            }
            zeros += chunk.len();
        }
        self.zeros = self.at + zeros;
    }

    /// Takes the next [`CALM`] numbers if they are 0.
    #[inline(always)]
    fn take_zeros(&mut self) -> bool {
        let numbers = self.stream.numbers.get(self.at..).and_then(<[u8]>::first_chunk::<CALM>);
        let zero = numbers.is_some_and(|n| n.iter().fold(0, |all, n| all | n) == 0);
        self.at += if zero { CALM } else { 0 };
        zero
    }

    /// Whether all numbers were read, and none more.
    pub(super) fn is_used_up(&self) -> bool {
        self.at == self.len() && self.wide == self.stream.wide.len()
    }
}

/// Restores integers from their differences.
#[derive(Debug)]
pub(super) struct Literals {
    streams: [Reading; MOST_CLASSES],
    class_of: Box<[u8; TOP]>,
}

/// The class of each bucket, given that bit `b` of `starts` says that one starts with bucket `b + 1`.
pub(super) fn class_of(starts: u32) -> [u8; BUCKETS] {
    std::array::from_fn(|b| (starts & ((1u32 << b) - 1)).count_ones() as u8)
}

impl Literals {
    /// The streams are those of the classes in order.
    pub(super) fn new(starts: u32, streams: impl Iterator<Item = Reading>) -> Self {
        let of_bucket = class_of(starts);
        let mut class_of = Box::new([0; TOP]);
        let mut bucket = 0;
        for (t, c) in class_of.iter_mut().enumerate() {
            while THRESHOLDS.get(bucket).is_some_and(|at| t >= usize::from(*at)) {
                bucket += 1;
            }
            *c = of_bucket[bucket];
        }
        let mut streams = streams.fuse();
        let none = || Reading::new(Stream { numbers: vec![0; PADDING], wide: Vec::new() });
        Literals { streams: std::array::from_fn(|_| streams.next().unwrap_or_else(none)), class_of }
    }

    /// Restores the integers of a range of `q`; `None` if there are not enough differences.
    pub(super) fn restore(&mut self, q: &mut [u16], form: &Form, range: Range<usize>) -> Option<()> {
        form.visit(range, &mut Restoring { literals: self, q })
    }

    /// Whether all differences were used.
    pub(super) fn are_used_up(&self) -> bool {
        self.streams.iter().all(Reading::is_used_up)
    }
}

struct Restoring<'a> {
    literals: &'a mut Literals,
    q: &'a mut [u16],
}

impl Literals {
    /// The next difference of a point of this activity.
    #[inline(always)]
    fn next(&mut self, activity: u16) -> Option<u16> {
        let class = self.class_of[usize::from(activity).min(TOP - 1)];
        self.streams[usize::from(class) % MOST_CLASSES].next().map(|d| d as u16)
    }

    /// Takes the differences of points of these activities if all of them are 0.
    #[inline(always)]
    fn take_zeros(&mut self, activities: &[u16; STEP]) -> bool {
        // How many points each class has: a byte each.
        let mut counts = STEP as u64;
        if activities.iter().fold(0, |all, a| all | a) != 0 {
            counts = 0;
            for a in activities {
                counts += 1 << (8 * self.class_of[usize::from(*a).min(TOP - 1)]);
            }
        }
        let counts = counts.to_le_bytes();
        let there = self.streams.iter_mut().zip(counts).all(|(s, n)| n == 0 || s.has_zeros(n.into()));
        if there {
            self.streams.iter_mut().zip(counts).for_each(|(s, n)| s.at += usize::from(n));
        }
        there
    }
}

impl Visit for Restoring<'_> {
    #[inline(always)]
    fn part<const CODE: u8>(&mut self, look: Look<CODE>, range: Range<usize>) -> Option<()> {
        let (literals, q) = (&mut *self.literals, &mut *self.q);
        let mut i = range.start;
        // Whether the points before were as expected: then those that follow often are.
        let mut is_quiet = true;
        while i < range.end {
            let mut is_calm = true;
            let known = if i + STEP <= range.end { look.known::<STEP>(q, i) } else { None };
            if let Some((known, first, out)) = known {
                if is_quiet {
                    let mut w = first;
                    for j in 0..STEP {
                        w = known.expected(w, j);
                        out[j] = w;
                    }
                    let mut before = [first; STEP];
                    before[1..].copy_from_slice(&out[..STEP - 1]);
                    let mut activities = [0; STEP];
                    for j in 0..STEP {
                        activities[j] = known.activity(before[j], j);
                    }
                    is_quiet = literals.take_zeros(&activities);
                    is_calm = is_quiet && activities.iter().fold(0, |all, a| all | a) == 0;
                }
                if !is_quiet {
                    let (mut w, mut all) = (first, 0);
                    is_calm = true;
                    for j in 0..STEP {
                        let (expected, activity) = (known.expected(w, j), known.activity(w, j));
                        let difference = literals.next(activity)?;
                        w = expected.wrapping_add(difference);
                        out[j] = w;
                        all |= difference;
                        is_calm &= activity | difference == 0;
                    }
                    is_quiet = all == 0;
                }
                i += STEP;
            } else {
                let (expected, activity) = look.at(q, i);
                let difference = literals.next(activity)?;
                *q.get_mut(i)? = expected.wrapping_add(difference);
                is_calm = activity | difference == 0;
                i += 1;
            }
            if is_calm {
                // The point before this one is among the neighbors of the next.
                let v = q[i - 1];
                while i + CALM <= range.end
                    && (CODE != 16 || q.get(i.wrapping_sub(2)) == Some(&v))
                    && look.is_calm::<CALM>(q, i, v)
                    && literals.streams[0].take_zeros()
                {
                    q[i..i + CALM].fill(v);
                    i += CALM;
                }
            }
        }
        Some(())
    }
}
