//! Snapped mode: integers of a lattice, coded without loss from their neighbors and from where they stood before (SPEC 9.4.8).

mod literals;
mod neighbors;
mod promise;
mod repeats;
mod survey;

use crate::codec::cursor::{Cursor, put_block, unzigzag};
use crate::codec::prefix::{self, Images};
use crate::error::FormatError;
use crate::fast::Sample;
use crate::fast::classes::{BUCKETS, MOST_CLASSES, choose_classes};
use crate::fast::scale::Scale;
use crate::lattice::Grid;
use crate::vector::vectorize;
use literals::{Literals, Reading, class_of};
use neighbors::{Distances, Form, Look, Visit, bucket};
use repeats::Sequence;
use std::ops::Range;
use survey::{Care, Counts, Survey, image, period};

/// Streams of sequences: slots of runs, lengths and distances.
const OF_SEQUENCES: usize = 3;
/// The largest integer.
const MOST: f64 = 65_000.0;
/// Integers are decoded one by one: they must take less than so many hundredths of what the other mode takes.
const WORTH: usize = 94;

/// Codes values between `low` and `high` so that they decode within `tolerance`; `None` if that takes `limit` bytes or not much
/// less, as far as a part of them tells.
pub(super) fn encode<T: Sample>(
    values: &[T],
    grid: &Grid,
    (low, high): (f64, f64),
    tolerance: f64,
    limit: usize,
) -> Option<Vec<u8>> {
    /// Bytes that are there in any case, about.
    const FRAME: f64 = 40.0;
    /// What a sample saves by repeats is more in the whole.
    const REPEATS: f64 = 4.0;
    /// A few integers say more or less than all.
    const DOUBT: f64 = 1.03;
    let scale = Scale::exact::<T>(low, high, tolerance);
    if !((high - low) / scale.step < MOST) || !(1.0 / scale.step).is_finite() {
        return None;
    }
    let limit = limit.saturating_mul(WORTH) / 100;
    let mut axes = distances(grid.dims);
    let mut q = vec![0; values.len()];
    let fill = |q: &mut [u16], range| fill(q, values, grid.ordinary, &scale, range);
    if !axes.is_empty() {
        // Most frames are spared the survey of all integers.
        survey::looked_at(values.len(), &axes, |range| fill(&mut q, range));
        let bits = Survey::new(&q, &axes, Care::Hasty).bits();
        let most = |saved: f64| bits / 8.0 * (1.0 - REPEATS * saved);
        let limit = limit as f64 * DOUBT;
        if most(0.0) > limit && most(promise::saved(values, grid.ordinary, &scale)) > limit {
            return None;
        }
    }
    fill(&mut q, 0..values.len());
    if axes.is_empty() {
        axes = [0].into_iter().chain(period(&q)).map(|row| (row, 0)).collect();
    }
    let survey = Survey::new(&q, &axes, Care::Thorough);
    let rest = survey.rest(&q);
    if survey.bits() * rest / 8.0 + FRAME > limit as f64 {
        return None;
    }
    let mut sequences = if rest < 0.97 { sequences(&q, &survey) } else { Vec::new() };
    if q.len() + OF_SEQUENCES * sequences.len() > most_numbers(q.len()) {
        sequences.clear();
    }
    let mut out = Vec::new();
    scale.write(&mut out);
    survey.form.write(&mut out);
    write(&q, grid.ordinary, &survey.form, &sequences, &mut out);
    if !sequences.is_empty() {
        // Repeats that save little are seldom worth their streams.
        let mut plain = Vec::new();
        scale.write(&mut plain);
        survey.form.write(&mut plain);
        write(&q, grid.ordinary, &survey.form, &[], &mut plain);
        if plain.len() < out.len() {
            out = plain;
        }
    }
    (out.len() < limit).then_some(out)
}

/// Sets those integers of a range: the lattice points of values; where they are not ordinary, that of the point before.
fn fill<T: Sample>(q: &mut [u16], values: &[T], ordinary: Option<&[bool]>, scale: &Scale, range: Range<usize>) {
    vectorize!(_simd => fill_lanes(q, values, ordinary, scale, range))
}

#[inline(always)]
fn fill_lanes<T: Sample>(q: &mut [u16], values: &[T], ordinary: Option<&[bool]>, scale: &Scale, range: Range<usize>) {
    let inverse = 1.0 / scale.step;
    let place = |v: &T| ((v.to_f64() - scale.base) * inverse).round_ties_even() as i32 as u16;
    let mut last = range.start.checked_sub(1).map_or(0, |i| q[i]);
    let pairs = q[range.clone()].iter_mut().zip(&values[range.clone()]);
    match ordinary {
        None => {
            for (q, v) in pairs {
                *q = place(v);
            }
        }
        Some(o) => {
            for ((q, v), o) in pairs.zip(&o[range]) {
                last = if *o { place(v) } else { last };
                *q = last;
            }
        }
    }
}

/// The distances at which neighbors may be; none if there is only one axis.
fn distances(dims: &[usize]) -> Vec<Distances> {
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

/// What repeats, judged by what each integer costs on its own.
fn sequences(q: &[u16], survey: &Survey) -> Vec<Sequence> {
    let prices = survey.prices();
    let mut sums = vec![0u32; q.len() + 1];
    let mut sum = 0u32;
    each(q, &survey.form, 0..q.len(), |i, bucket, difference| {
        sum = sum.wrapping_add(prices[bucket][image(difference).min(255) as usize].into());
        sums[i + 1] = sum;
    });
    repeats::find(q, &sums, survey.form.near())
}

/// Calls `f` with place, bucket and difference of the integers of a range.
#[inline(always)]
fn each(q: &[u16], form: &Form, range: Range<usize>, f: impl FnMut(usize, usize, u16)) {
    struct Each<'a, F>(&'a [u16], F);
    impl<F: FnMut(usize, usize, u16)> Visit for Each<'_, F> {
        #[inline(always)]
        fn part<const CODE: u8>(&mut self, look: Look<CODE>, range: Range<usize>) -> Option<()> {
            for i in range {
                let (expected, activity) = look.at(self.0, i);
                (self.1)(i, bucket(activity), self.0[i].wrapping_sub(expected));
            }
            Some(())
        }
    }
    form.visit(range, &mut Each(q, f));
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

/// Appends classes and streams.
fn write(q: &[u16], ordinary: Option<&[bool]>, form: &Form, sequences: &[Sequence], out: &mut Vec<u8>) {
    let mut coded: Vec<(u8, u16)> = Vec::with_capacity(q.len());
    let mut literals = |range: Range<usize>| {
        ordinary_ranges(ordinary, range, |range| {
            each(q, form, range, |_, bucket, difference| coded.push((bucket as u8, difference)));
            Some(())
        })
    };
    let mut at = 0;
    for s in sequences {
        literals(at..at + s.run as usize);
        at += (s.run + s.len) as usize;
    }
    literals(at..q.len());

    let mut counts: Box<Counts> = Box::new([[0; 256]; BUCKETS]);
    for (bucket, difference) in &coded {
        counts[usize::from(*bucket) % BUCKETS][image(*difference).min(255) as usize] += 1;
    }
    let starts = choose_classes(&counts, 1.0);
    let class_of = class_of(starts);
    let mut sizes = [0usize; MOST_CLASSES];
    for (counts, class) in counts.iter().zip(class_of) {
        sizes[usize::from(class)] += counts.iter().sum::<u32>() as usize;
    }
    let mut parts = sizes.map(Images::with_room);
    for (bucket, difference) in coded {
        parts[usize::from(class_of[usize::from(bucket) % BUCKETS]) % MOST_CLASSES].push_one(difference.cast_signed());
    }
    let [first, second, ..] = starts.to_le_bytes();
    out.extend([first, second]);
    let mut streams: Vec<_> = parts[..=starts.count_ones() as usize].iter().map(prefix::encode).collect();
    let fields: [fn(&Sequence) -> u32; OF_SEQUENCES] = [|s| s.run, |s| s.len, |s| s.distance];
    for field in fields {
        let mut images = Images::with_room(sequences.len());
        sequences.iter().for_each(|s| images.push_one(unzigzag(repeats::slot(field(s)).into()) as i16));
        streams.push(prefix::encode(&images));
    }
    let mut bits = Bits::default();
    let mut lower = Vec::new();
    for s in sequences {
        for number in fields.map(|field| field(s)) {
            let (count, least) = repeats::of_slot(repeats::slot(number)).unwrap_or_default();
            bits.put(number - least, count, &mut lower);
        }
    }
    bits.finish(&mut lower);
    put_block(out, &lower);
    prefix::write(&streams, out);
}

/// Bits on their way to whole bytes, the highest first.
#[derive(Debug, Default)]
struct Bits {
    pending: u64,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u32, bits: u32, out: &mut Vec<u8>) {
        self.pending = self.pending << bits | u64::from(value);
        self.count += bits;
        while self.count >= 8 {
            self.count -= 8;
            out.push((self.pending >> self.count) as u8);
        }
    }

    fn finish(mut self, out: &mut Vec<u8>) {
        if self.count > 0 {
            let fill = 8 - self.count;
            self.put(0, fill, out);
        }
    }

    fn take(&mut self, bits: u32, cursor: &mut Cursor<'_>) -> Result<u32, FormatError> {
        while self.count < bits {
            self.pending = self.pending << 8 | u64::from(cursor.u8("bits of sequences")?);
            self.count += 8;
        }
        self.count -= bits;
        Ok((self.pending >> self.count) as u32 & ((1u64 << bits) - 1) as u32)
    }

    /// Whether all bits that were not taken are 0.
    fn is_done(&self) -> bool {
        self.pending & ((1 << self.count) - 1) == 0
    }
}

/// Most numbers of all streams of `n` integers.
fn most_numbers(n: usize) -> usize {
    n.saturating_mul(2).saturating_add(16)
}

/// Inverts [`encode`]; takes all that is left of `cursor`.
pub(super) fn decode<T: Sample>(cursor: &mut Cursor<'_>, grid: &Grid, out: &mut [T]) -> Result<(), FormatError> {
    let n = out.len();
    let scale = Scale::read(cursor)?;
    let form = Form::read(cursor, n)?;
    let starts = u32::from(cursor.u8("class starts")?) | u32::from(cursor.u8("class starts")?) << 8;
    if starts.count_ones() as usize >= MOST_CLASSES || starts >> (BUCKETS - 1) != 0 {
        let expected = (1 << (BUCKETS - 1)) - 1;
        return Err(FormatError::Value { field: "class starts", found: starts.into(), expected });
    }
    let classes = starts.count_ones() as usize + 1;
    let lower = Cursor::new(cursor.block("bits of sequences")?);
    let streams = prefix::read(cursor, classes + OF_SEQUENCES, most_numbers(n))?;
    let mut streams = streams.into_iter().map(Reading::new);
    let mut literals = Literals::new(starts, streams.by_ref().take(classes));
    let mut fields: Vec<Reading> = streams.collect();
    let sequences = read_sequences(&mut fields, lower)?;
    let q = restore(&form, grid.ordinary, &mut literals, &sequences, n)
        .filter(|_| literals.are_used_up())
        .ok_or(FormatError::Code { what: "integers of a lattice" })?;
    for (to, q) in out.iter_mut().zip(q) {
        *to = T::from_f64(scale.value(f64::from(q)));
    }
    Ok(())
}

/// The sequences of these streams, with the lower bits of their numbers.
fn read_sequences(fields: &mut [Reading], mut lower: Cursor<'_>) -> Result<Vec<Sequence>, FormatError> {
    let wrong = || FormatError::Code { what: "sequences" };
    let count = fields.first().map_or(0, Reading::len);
    if fields.iter().any(|f| f.len() != count) {
        return Err(wrong());
    }
    let mut bits = Bits::default();
    let mut sequences = Vec::with_capacity(count);
    for _ in 0..count {
        let mut numbers = [0; OF_SEQUENCES];
        for (number, field) in numbers.iter_mut().zip(fields.iter_mut()) {
            let (count, least) = field.image().and_then(repeats::of_slot).ok_or_else(wrong)?;
            *number = least | bits.take(count, &mut lower)?;
        }
        let [run, len, distance] = numbers;
        sequences.push(Sequence { run, len, distance });
    }
    if !bits.is_done() || !fields.iter().all(Reading::is_used_up) {
        return Err(wrong());
    }
    lower.finish("bits of sequences")?;
    Ok(sequences)
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
        if end > start && !repeats::copy(&mut q, start..end, distance) {
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

    /// Terraces over all axes with noise, in which parts come again.
    fn field(dims: &[usize], rough: u64, repeats: bool, seed: u64) -> Vec<f64> {
        let n: usize = dims.iter().product();
        let mut state = seed;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let row = dims.last().copied().unwrap_or(1);
        let mut values: Vec<f64> =
            (0..n).map(|i| ((i % row) / 5 + i / row / 3 * 2) as f64 + (next() % (rough + 1)) as f64).collect();
        for _ in 0..if repeats { n / 40 } else { 0 } {
            let (from, to) = (next() as usize % n, next() as usize % n);
            let len = (next() as usize % 50).min(n - from.max(to));
            values.copy_within(from..from + len, to);
        }
        values
    }

    fn coded<T: Sample>(values: &[T], grid: &Grid, tolerance: f64) -> Vec<u8> {
        let range = crate::fast::range(values, grid.ordinary).unwrap_or((0.0, 0.0));
        encode(values, grid, range, tolerance, usize::MAX).unwrap()
    }

    fn round_trip<T: Sample + std::fmt::Debug>(values: &[T], grid: &Grid, tolerance: f64) -> usize {
        let bytes = coded(values, grid, tolerance);
        let mut out = vec![T::from_f64(1.0); values.len()];
        assert_eq!(decode(&mut Cursor::new(&bytes), grid, &mut out), Ok(()));
        for (i, (v, a)) in values.iter().zip(&out).enumerate().filter(|(i, _)| grid.is_ordinary(*i)) {
            assert!((a.to_f64() - v.to_f64()).abs() <= tolerance, "point {i}: {v:?} became {a:?}");
        }
        for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            assert!(decode(&mut Cursor::new(&bytes[..cut]), grid, &mut out).is_err());
        }
        bytes.len()
    }

    /// The example of SPEC 9.4.8.
    #[test]
    fn the_example_of_the_specification() {
        let values: Vec<f32> = [0, 1, 3, 6, 0, 1, 3, 6].map(|v| v as f32 / 2.0).to_vec();
        let grid = Grid { dims: &[8], ordinary: None };
        let mut q = vec![0; values.len()];
        fill(&mut q, &values, None, &Scale::new(0.0, 0.5), 0..values.len());
        let mut bytes = Vec::new();
        Scale::new(0.0, 0.5).write(&mut bytes);
        let form = Form::new(0, false, (0, 0));
        form.write(&mut bytes);
        write(&q, None, &form, &[Sequence { run: 4, len: 4, distance: 4 }], &mut bytes);
        let mut out = vec![0f32; 8];
        assert_eq!(decode(&mut Cursor::new(&bytes), &grid, &mut out), Ok(()));
        assert_eq!(out, values);
        let text: Vec<String> = bytes[16..].iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            text.join(" "),
            "00 00 00 00 00 00 04 01 01 01 00 00 00 00 0a f9 df df 96 b3 1e 85 dd 31 b5 01 01 01 01 1b 80 80 80"
        );
    }

    #[test]
    fn rows_that_were_lost_and_repeats_are_found() {
        let noise = field(&[20_000], 60, false, 5);
        let period: Vec<f64> = (0..20_000).map(|i| noise[i % 250] * 3.0 + noise[i] / 30.0).collect();
        let grid = Grid { dims: &[20_000], ordinary: None };
        assert!(round_trip(&period, &grid, 0.5) < 10_000);
        let twice: Vec<f64> = noise.iter().chain(&noise).copied().collect();
        let once = round_trip(&noise, &grid, 0.5);
        assert!(round_trip(&twice, &Grid { dims: &[40_000], ordinary: None }, 0.5) < once + 200);
    }

    #[test]
    fn what_repeats_little_or_nothing_is_left_to_others() {
        let smooth: Vec<f32> =
            (0..40_000).map(|i| ((i % 200) as f32 * 0.03).sin() * ((i / 200) as f32 * 0.02).cos()).collect();
        let grid = Grid { dims: &[200, 200], ordinary: None };
        assert_eq!(encode(&smooth, &grid, (-1.0, 1.0), 1e-4, 3000), None);
    }

    fn shapes() -> impl Strategy<Value = Vec<usize>> {
        prop::collection::vec(prop_oneof![1usize..5, 1usize..40], 1..6)
            .prop_filter("small", |d| d.iter().product::<usize>() < 20_000)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_integers_round_trip(
            dims in shapes(),
            rough in prop_oneof![Just(0u64), 1u64..9, 1u64..60_000],
            repeats in any::<bool>(),
            holes in prop::option::of(2u64..50),
            seed in any::<u64>(),
        ) {
            let values = field(&dims, rough, repeats, seed);
            let ordinary: Vec<bool> = (0..values.len() as u64).map(|i| holes.is_none_or(|h| i * i / 7 % h != 0)).collect();
            let grid = Grid { dims: &dims, ordinary: holes.map(|_| ordinary.as_slice()) };
            for tolerance in [0.5, 4.0] {
                round_trip(&values, &grid, tolerance);
            }
            let single: Vec<f32> = values.iter().map(|v| *v as f32).collect();
            round_trip(&single, &grid, 0.75);
        }

        #[test]
        fn damaged_bytes_end_without_a_panic(
            dims in shapes(),
            seed in any::<u64>(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let values = field(&dims, 9, true, seed);
            let grid = Grid { dims: &dims, ordinary: None };
            let mut bytes = coded(&values, &grid, 0.5);
            for (at, byte) in damage {
                let i = at.index(bytes.len());
                bytes[i] ^= byte;
            }
            let mut out = values.clone();
            let _ = decode(&mut Cursor::new(&bytes), &grid, &mut out);
        }
    }
}
