//! The numbers of a stream, one after another.

use super::{PADDING, Stream, WIDE};
use crate::codec::cursor::zigzag;

/// Numbers that are looked at together where nothing changes.
pub(crate) const CALM: usize = 32;

/// The numbers of a stream, as far as they were read.
#[derive(Debug)]
pub(crate) struct Numbers {
    stream: Stream,
    at: usize,
    wide: usize,
    /// The numbers before this place that were not read are 0.
    zeros: usize,
}

impl Numbers {
    pub(crate) fn new(stream: Stream) -> Self {
        Numbers { stream, at: 0, wide: 0, zeros: 0 }
    }

    /// Of a stream that holds none.
    pub(crate) fn none() -> Self {
        Numbers::new(Stream { numbers: vec![0; PADDING], wide: Vec::new() })
    }

    /// Numbers of the stream.
    pub(crate) fn len(&self) -> usize {
        self.stream.numbers.len() - PADDING
    }

    /// The next number; what follows the last one is 0, and is found by [`Numbers::is_used_up`].
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Option<i32> {
        let number = self.stream.numbers.get(self.at)?.cast_signed();
        self.at += 1;
        if number == WIDE {
            self.wide += 1;
            return self.stream.wide.get(self.wide - 1).copied();
        }
        Some(number.into())
    }

    /// The image of the next number.
    pub(crate) fn image(&mut self) -> Option<u32> {
        self.next().map(|n| zigzag(n.into()) as u32)
    }

    /// Whether the next `n` numbers, fewer than 2^10, are there and 0.
    #[inline(always)]
    pub(crate) fn has_zeros(&mut self, n: usize) -> bool {
        if self.at >= self.zeros {
            self.look_ahead();
        }
        self.at + n <= self.zeros
    }

    /// Takes the next `n` numbers, which are 0.
    #[inline(always)]
    pub(crate) fn skip(&mut self, n: usize) {
        self.at += n;
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
    pub(crate) fn take_zeros(&mut self) -> bool {
        let numbers = self.stream.numbers.get(self.at..).and_then(<[u8]>::first_chunk::<CALM>);
        let zero = numbers.is_some_and(|n| n.iter().fold(0, |all, n| all | n) == 0);
        self.at += if zero { CALM } else { 0 };
        zero
    }

    /// Whether all numbers were read, and none more.
    pub(crate) fn is_used_up(&self) -> bool {
        self.at == self.len() && self.wide == self.stream.wide.len()
    }
}
