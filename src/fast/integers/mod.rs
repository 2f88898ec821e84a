//! Whole numbers of a grid, coded without loss from their neighbors and from where they stood before (SPEC 9.4.9).

mod differences;
mod greedy;
mod literals;
mod neighbors;
mod repeats;
mod sequences;
mod survey;

use super::classes::{BUCKETS, Counts, MOST_CLASSES, choose_classes, class_of, parts};
use crate::codec::cursor::Cursor;
use crate::codec::prefix::{self, Numbers};
use crate::error::FormatError;
use differences::Differences;
use literals::Literals;
pub(super) use neighbors::Distances;
use neighbors::Form;
pub(super) use repeats::{rest, rough_price};
use sequences::Sequence;
use std::ops::Range;
use survey::period;
pub(super) use survey::{Care, Survey, looked_at};

/// How the writer looks for what repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// The first repeat that pays is taken.
    Hasty,
    /// Those by which all integers together take least, as far as they were found: ten times as slow.
    Thorough,
}

/// The distances at which neighbors may be; none if there is only one axis.
pub(super) fn distances(dims: &[usize]) -> Vec<Distances> {
    let mut strides = Vec::new();
    let mut stride = 1;
    for n in dims.iter().rev().filter(|n| **n > 1) {
        strides.push(stride);
        stride *= n;
    }
    match strides[..] {
        [_, row] => vec![(row, 0)],
        [_, row, ref planes @ ..] => planes.iter().map(|p| (row, *p)).collect(),
        _ => Vec::new(),
    }
}

/// Integers, and what a part of them says of all.
pub(super) struct Surveyed<'a> {
    q: Vec<u16>,
    /// Which of them are coded; `None`: all.
    ordinary: Option<&'a [bool]>,
    effort: Effort,
    survey: Survey,
    /// The part of their bits that is left where what stood before costs nothing.
    rest: f64,
}

impl<'a> Surveyed<'a> {
    /// For integers with neighbors at one of `distances`; those that are not ordinary hold what the one before does, and take nothing.
    pub(super) fn new(
        q: Vec<u16>,
        ordinary: Option<&'a [bool]>,
        mut distances: Vec<Distances>,
        effort: Effort,
    ) -> Self {
        if distances.is_empty() {
            distances = [0].into_iter().chain(period(&q)).map(|row| (row, 0)).collect();
        }
        let survey = Survey::new(&q, ordinary, &distances, Care::Thorough);
        let rest = survey.rest(&q, effort);
        Surveyed { q, ordinary, effort, survey, rest }
    }

    /// Bytes that all of them take, about.
    pub(super) fn bytes(&self) -> f64 {
        /// Bytes that are there in any case, about.
        const FRAME: f64 = 40.0;
        self.survey.bits() * self.rest / 8.0 + FRAME
    }

    /// Appends the integers.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        /// Where more than this is left it repeats by chance.
        const LEFT: f64 = 0.97;
        let form = &self.survey.form;
        let differences = Differences::of(&self.q, form);
        let prices = || differences.prices(&self.survey.prices(), self.ordinary);
        let mut found = match self.effort {
            Effort::Hasty => greedy::find(&self.q, &prices(), form.near()),
            Effort::Thorough if self.rest < LEFT => repeats::find(&self.q, &prices(), form.near()),
            Effort::Thorough => Vec::new(),
        };
        if self.q.len() + sequences::STREAMS * found.len() > most_numbers(self.q.len()) {
            found.clear();
        }
        form.write(out);
        let start = out.len();
        write(&differences, self.ordinary, &found, out);
        if self.effort == Effort::Thorough && !found.is_empty() {
            // Repeats that save little are seldom worth their streams.
            let mut plain = out[..start].to_vec();
            write(&differences, self.ordinary, &[], &mut plain);
            if plain.len() < out.len() {
                *out = plain;
            }
        }
    }
}

/// Calls `f` with the ranges of ordinary points of a range, in order.
#[inline(always)]
fn ordinary_ranges(
    ordinary: Option<&[bool]>,
    range: Range<usize>,
    mut f: impl FnMut(Range<usize>) -> Option<()>,
) -> Option<()> {
    let Some(o) = ordinary else { return f(range) };
    let mut at = range.start;
    for run in o[range].chunk_by(|a, b| a == b) {
        if run[0] {
            f(at..at + run.len())?;
        }
        at += run.len();
    }
    Some(())
}

/// Calls `f` with the ranges of literals, in order.
#[inline(always)]
fn literals(n: usize, ordinary: Option<&[bool]>, sequences: &[Sequence], mut f: impl FnMut(Range<usize>)) {
    let mut in_range = |range: Range<usize>| {
        ordinary_ranges(ordinary, range, |r| {
            f(r);
            Some(())
        })
    };
    let mut at = 0;
    for s in sequences {
        in_range(at..at + s.run as usize);
        at += (s.run + s.len) as usize;
    }
    in_range(at..n);
}

/// Appends classes and streams.
fn write(differences: &Differences, ordinary: Option<&[bool]>, found: &[Sequence], out: &mut Vec<u8>) {
    let n = differences.images.len();
    let mut counts: Box<Counts> = Box::new([[0; 256]; BUCKETS]);
    literals(n, ordinary, found, |range| {
        differences.each(range, |many, b, z| counts[usize::from(b) % BUCKETS][usize::from(z.min(255))] += many as u32);
    });
    let starts = choose_classes(&counts, 1.0);
    let class_of = class_of(starts);
    let mut parts = parts(&counts, &class_of);
    literals(n, ordinary, found, |range| {
        differences.each(range, |many, b, z| {
            let part = &mut parts[usize::from(class_of[usize::from(b) % BUCKETS]) % MOST_CLASSES];
            if many == 1 { part.push_image(z) } else { part.push_zeros(many) }
        });
    });
    let [first, second, ..] = starts.to_le_bytes();
    out.extend([first, second]);
    let mut streams: Vec<_> = parts[..=starts.count_ones() as usize].iter().map(prefix::encode).collect();
    sequences::write(found, out, &mut streams);
    prefix::write(&streams, out);
}

/// Most numbers of all streams of `n` integers.
fn most_numbers(n: usize) -> usize {
    n.saturating_mul(2).saturating_add(16)
}

/// Inverts [`Surveyed::write`] for `n` integers; takes all that is left of `cursor`.
pub(super) fn decode(cursor: &mut Cursor<'_>, ordinary: Option<&[bool]>, n: usize) -> Result<Vec<u16>, FormatError> {
    let form = Form::read(cursor, n)?;
    let starts = u32::from(cursor.u8("class starts")?) | u32::from(cursor.u8("class starts")?) << 8;
    if starts.count_ones() as usize >= MOST_CLASSES || starts >> (BUCKETS - 1) != 0 {
        let expected = (1 << (BUCKETS - 1)) - 1;
        return Err(FormatError::Value { field: "class starts", found: starts.into(), expected });
    }
    let classes = starts.count_ones() as usize + 1;
    let lower = cursor.block("bits of sequences")?;
    let streams = prefix::read(cursor, classes + sequences::STREAMS, most_numbers(n))?;
    let mut streams = streams.into_iter().map(Numbers::new);
    let mut literals = Literals::new(starts, streams.by_ref().take(classes));
    let mut fields: Vec<Numbers> = streams.collect();
    let found = sequences::read(&mut fields, lower)?;
    restore(&form, ordinary, &mut literals, &found, n)
        .filter(|_| literals.are_used_up())
        .ok_or(FormatError::Code { what: "integers of a grid" })
}

/// The `n` integers; `None` if literals and sequences do not give them.
fn restore(
    form: &Form,
    ordinary: Option<&[bool]>,
    literals: &mut Literals,
    sequences: &[Sequence],
    n: usize,
) -> Option<Vec<u16>> {
    let mut q = vec![0u16; n];
    let mut fill = |q: &mut [u16], range: Range<usize>| {
        let mut at = range.start;
        let end = range.end;
        ordinary_ranges(ordinary, range, |range| {
            hold(q, at..range.start);
            at = range.end;
            literals.restore(q, form, range)
        })?;
        hold(q, at..end);
        Some(())
    };
    let (mut at, mut distance) = (0usize, 1usize);
    for s in sequences {
        let start = at.checked_add(s.run as usize)?;
        let end = start.checked_add(s.len as usize).filter(|e| *e <= n)?;
        fill(&mut q, at..start)?;
        distance = if s.distance > 0 { s.distance as usize } else { distance };
        if end > start && !sequences::copy(&mut q, start..end, distance) {
            return None;
        }
        at = end;
    }
    fill(&mut q, at..n)?;
    Some(q)
}

/// Repeats the integer before a range.
fn hold(q: &mut [u16], range: Range<usize>) {
    let last = range.start.checked_sub(1).map_or(0, |i| q[i]);
    q[range].fill(last);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The example of SPEC 9.4.9.
    #[test]
    fn the_example_of_the_specification() {
        let q = [0, 1, 3, 6, 0, 1, 3, 6];
        let form = Form::new(0, false, (0, 0));
        let mut bytes = Vec::new();
        form.write(&mut bytes);
        write(&Differences::of(&q, &form), None, &[Sequence { run: 4, len: 4, distance: 4 }], &mut bytes);
        assert_eq!(decode(&mut Cursor::new(&bytes), None, 8).as_deref(), Ok(&q[..]));
        let text: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            text.join(" "),
            "00 00 00 00 00 00 04 01 01 01 00 00 00 00 0a f9 df df 96 b3 1e 85 dd 31 b5 01 01 01 01 1b 80 80 80"
        );
    }

    #[test]
    fn values_without_order_are_expected_to_be_the_most_frequent_one() {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let q: Vec<u16> = (0..40_000).map(|_| if next() % 3 == 0 { 500 } else { (next() % 900) as u16 + 50 }).collect();
        let surveyed = Surveyed::new(q.clone(), None, vec![(200, 0)], Effort::Hasty);
        assert_eq!(surveyed.survey.form, Form::of_level(500, (200, 0)));
        let mut bytes = Vec::new();
        surveyed.write(&mut bytes);
        // An even choice of 900 values is 9.8 bits, where it is one, and one of three 0.92.
        let least = 40_000.0 * (0.92 + 9.8 * 2.0 / 3.0) / 8.0;
        assert!((bytes.len() as f64) < 1.05 * least, "{} {least}", bytes.len());
        assert_eq!(decode(&mut Cursor::new(&bytes), None, q.len()).as_deref(), Ok(&q[..]));
        // Where form or row do not suit, nothing is read.
        for (at, value) in [(0, 17), (1, 1)] {
            let mut damaged = bytes.clone();
            damaged[at] = value;
            assert!(decode(&mut Cursor::new(&damaged), None, q.len()).is_err());
        }
    }

    proptest! {
        /// Every form, whatever the writer would choose.
        #[test]
        fn any_form_leads_back(
            code in 0u8..20,
            level in prop_oneof![0u16..4, any::<u16>()],
            row in 2usize..50,
            rows in 2usize..9,
            steps in prop::collection::vec(prop_oneof![Just(0u16), Just(0), 0u16..4, any::<u16>()], 1..60),
            repeat in 1usize..40,
            n in 1usize..1500,
        ) {
            let distances = (row, row * rows);
            let form = if code < 16 { Form::new(code & 7, code > 7, distances) } else { Form::of_level(level, distances) };
            let mut q: Vec<u16> = steps.iter().cycle().flat_map(|s| std::iter::repeat_n(*s, repeat)).take(n).collect();
            let mut bytes = Vec::new();
            form.write(&mut bytes);
            write(&Differences::of(&q, &form), None, &[], &mut bytes);
            // Distances beyond the grid are refused.
            let back = decode(&mut Cursor::new(&bytes), None, n);
            if row * rows <= n {
                prop_assert_eq!(back.as_deref(), Ok(&q[..]));
            } else {
                prop_assert!(back.is_err());
            }
            // With every third point of no concern.
            let ordinary: Vec<bool> = (0..n).map(|i| i % 3 > 0).collect();
            for i in (0..n).step_by(3) {
                q[i] = if i == 0 { 0 } else { q[i - 1] };
            }
            let mut bytes = Vec::new();
            form.write(&mut bytes);
            write(&Differences::of(&q, &form), Some(&ordinary), &[], &mut bytes);
            if row * rows <= n {
                prop_assert_eq!(decode(&mut Cursor::new(&bytes), Some(&ordinary), n), Ok(q));
            }
        }
    }
}
