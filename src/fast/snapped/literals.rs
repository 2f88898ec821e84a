//! Integers by their differences from what is expected, one stream for each class of activity (SPEC 9.4.8).

use super::neighbors::{Form, Look, THRESHOLDS, Visit};
use crate::codec::cursor::zigzag;
use crate::codec::prefix::{PADDING, Stream, WIDE};
use crate::fast::classes::{BUCKETS, MOST_CLASSES};
use std::ops::Range;

/// Activities from here on have one class.
const TOP: usize = 2048;
/// Points that are looked at together where nothing changes.
const CALM: usize = 32;

/// The numbers of a stream, as far as they were read.
#[derive(Debug)]
pub(super) struct Reading {
    stream: Stream,
    at: usize,
    wide: usize,
}

impl Reading {
    pub(super) fn new(stream: Stream) -> Self {
        Reading { stream, at: 0, wide: 0 }
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

impl Visit for Restoring<'_> {
    #[inline(always)]
    fn part<const CODE: u8>(&mut self, look: Look<CODE>, range: Range<usize>) -> Option<()> {
        let Literals { streams, class_of } = &mut *self.literals;
        let q = &mut *self.q;
        let mut i = range.start;
        while i < range.end {
            let (expected, activity) = look.at(q, i);
            let class = class_of[(activity as usize).min(TOP - 1)];
            let difference = streams[usize::from(class) % MOST_CLASSES].next()?;
            let v = expected.wrapping_add(difference as u16);
            *q.get_mut(i)? = v;
            i += 1;
            if activity == 0 && difference == 0 {
                // The point before this one is among the neighbors of the next.
                while i + CALM <= range.end
                    && (CODE != 16 || q.get(i.wrapping_sub(2)) == Some(&v))
                    && look.is_calm::<CALM>(q, i, v)
                    && streams[0].take_zeros()
                {
                    q[i..i + CALM].fill(v);
                    i += CALM;
                }
            }
        }
        Some(())
    }
}
