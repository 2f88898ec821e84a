//! Integers by their differences from what is expected, one stream for each class of activity (SPEC 9.4.9).

use super::neighbors::{Form, Look, THRESHOLDS, Visit};
use crate::fast::classes::{MOST_CLASSES, class_of};

use crate::codec::prefix::{CALM, Numbers};
use crate::vector::vectorize;
use std::ops::Range;

/// Activities from here on have one class.
const TOP: usize = 2048;
/// Points of which all neighbors but the one before are known together.
const STEP: usize = 16;

/// Restores integers from their differences.
#[derive(Debug)]
pub(super) struct Literals {
    streams: [Numbers; MOST_CLASSES],
    class_of: Box<[u8; TOP]>,
}

impl Literals {
    /// The streams are those of the classes in order.
    pub(super) fn new(starts: u32, streams: impl Iterator<Item = Numbers>) -> Self {
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
        Literals { streams: std::array::from_fn(|_| streams.next().unwrap_or_else(Numbers::none)), class_of }
    }

    /// Restores the integers of a range of `q`; `None` if there are not enough differences.
    pub(super) fn restore(&mut self, q: &mut [u16], form: &Form, range: Range<usize>) -> Option<()> {
        vectorize!(_simd => form.visit(range, &mut Restoring { literals: self, q }))
    }

    /// Whether all differences were used.
    pub(super) fn are_used_up(&self) -> bool {
        self.streams.iter().all(Numbers::is_used_up)
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
            self.streams.iter_mut().zip(counts).for_each(|(s, n)| s.skip(n.into()));
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
                while i + CALM <= range.end && look.is_calm::<CALM>(q, i, v) && literals.streams[0].take_zeros() {
                    q[i..i + CALM].fill(v);
                    i += CALM;
                }
            }
        }
        Some(())
    }
}
