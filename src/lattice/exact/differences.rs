//! Whole numbers by their differences along up to three axes, in prefix codes with a class for how large those nearby are (SPEC 9.5.4).

use crate::codec::bits::{BitReader, BitWriter};
use crate::codec::cursor::{Cursor, put_varint, unzigzag, zigzag};
use crate::codec::prefix::{self, Images, Numbers};
use crate::codec::slots::{SLOTS, of_slot, slot};
use crate::error::FormatError;
use crate::lattice::Grid;
use crate::vector::vectorize;

/// Most classes.
const MOST_CLASSES: usize = 16;
/// Where differences are taken along rows and planes.
const BY_ROW: u8 = 4;
const BY_PLANE: u8 = 8;
/// Points that are restored between two looks at those before.
const CHUNK: usize = 1 << 12;

/// Which differences are taken (SPEC 9.5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Form {
    /// How often along the last axis: 0 to 3 times.
    order: u8,
    by_row: bool,
    /// Distance of the neighbor in the row before; 0: there are no rows.
    row: usize,
    /// Distance of the neighbor in the plane before; 0: no differences are taken along planes.
    plane: usize,
}

impl Form {
    fn write(&self, out: &mut Vec<u8>) {
        let by = |is: bool, flag: u8| if is { flag } else { 0 };
        out.push(self.order | by(self.by_row, BY_ROW) | by(self.plane > 0, BY_PLANE));
        put_varint(out, self.row as u64);
        if self.plane > 0 {
            put_varint(out, self.plane as u64);
        }
    }

    fn read_from(cursor: &mut Cursor, points: usize) -> Result<Form, FormatError> {
        let orders = cursor.u8("orders of differences")?;
        if orders > 15 {
            return Err(FormatError::Value { field: "orders of differences", found: orders.into(), expected: 15 });
        }
        let row = cursor.varint_max("distance of rows", points as u64)? as usize;
        let plane =
            if orders & BY_PLANE == 0 { 0 } else { cursor.varint_max("distance of planes", points as u64)? as usize };
        let form = Form { order: orders & 3, by_row: orders & BY_ROW != 0, row, plane };
        let lacks = |is_there: bool, distance: usize| is_there && distance == 0;
        if lacks(form.by_row, row) || lacks(orders & BY_PLANE != 0, plane) {
            return Err(FormatError::Code { what: "distances of differences" });
        }
        Ok(form)
    }

    /// Distances at which numbers are taken away (`false`) or added (`true`), but for those along the last axis.
    fn terms(&self) -> impl Iterator<Item = (usize, bool)> {
        let row = if self.by_row { self.row } else { 0 };
        let both = if row > 0 && self.plane > 0 { row.saturating_add(self.plane) } else { 0 };
        [(row, false), (self.plane, false), (both, true)].into_iter().filter(|(distance, _)| *distance > 0)
    }

    /// The distance of the second of the places whose slots say which class a point is of.
    fn beside(&self) -> usize {
        if self.row > 0 { self.row } else { 2 }
    }

    /// The differences of all numbers.
    fn differences(&self, numbers: &[u64]) -> Vec<u64> {
        let mut d = numbers.to_vec();
        for (distance, adds) in self.terms() {
            let from = numbers.iter();
            let to = d.iter_mut().skip(distance);
            if adds {
                to.zip(from).for_each(|(d, n)| *d = d.wrapping_add(*n));
            } else {
                to.zip(from).for_each(|(d, n)| *d = d.wrapping_sub(*n));
            }
        }
        for _ in 0..self.order {
            let mut last = 0;
            for d in &mut d {
                (*d, last) = (d.wrapping_sub(last), *d);
            }
        }
        d
    }

    /// How many bits the differences of a part of the numbers have, about, in quarters.
    fn sampled(&self, numbers: &[u64], starts: &[usize]) -> u64 {
        let at = |i: usize, back: usize| i.checked_sub(back).map_or(0, |i| numbers[i]);
        let d = |i: usize| {
            self.terms().fold(at(i, 0), |d, (distance, adds)| {
                let n = at(i, distance);
                if adds { d.wrapping_add(n) } else { d.wrapping_sub(n) }
            })
        };
        let mut bits = 0;
        for start in starts {
            let mut last = [0u64; 3];
            for i in *start..numbers.len().min(start + SEGMENT) {
                let mut e = d(i);
                for last in last.iter_mut().take(self.order.into()) {
                    (e, *last) = (e.wrapping_sub(*last), e);
                }
                if i >= start + 3 || *start == 0 {
                    bits += u64::from(slot(zigzag(e.cast_signed())));
                }
            }
        }
        bits
    }
}

/// Points of a segment of a sample, of which the first three have no points before them.
const SEGMENT: usize = 67;

/// The form by which a sample has the fewest bits.
fn choose(numbers: &[u64], dims: &[usize]) -> Form {
    /// Segments that are looked at, at most: one in so many points of a large grid.
    const SEGMENTS: usize = 64;
    let mut strides = Vec::new();
    let mut stride = 1;
    for n in dims.iter().rev().filter(|n| **n > 1) {
        strides.push(stride);
        stride *= n;
    }
    let row = strides.get(1).copied().unwrap_or(0);
    let planes = [0].into_iter().chain(strides.iter().skip(2).copied());
    let count = numbers.len().div_ceil(SEGMENT).min(SEGMENTS);
    // Not in step with the rows.
    let apart = numbers.len() / count.max(1);
    let starts: Vec<usize> =
        (0..count).map(|k| k * apart + (k * 37 % 64) * apart.saturating_sub(SEGMENT) / 64).collect();
    let forms = planes.flat_map(|plane| {
        [false, true]
            .into_iter()
            .filter(move |by_row| !by_row || row > 0)
            .flat_map(move |by_row| (0..=3).map(move |order| Form { order, by_row, row, plane }))
    });
    let plain = Form { order: 1, by_row: false, row, plane: 0 };
    forms.min_by_key(|f| f.sampled(numbers, &starts)).unwrap_or(plain)
}

/// The slots of differences.
fn slots(differences: &[u64]) -> Vec<u8> {
    vectorize!(_simd => differences.iter().map(|e| slot(zigzag(e.cast_signed())) as u8).collect())
}

/// Calls `f` with the activity and the place of each ordinary point, in order; `slots` are those of all points, of which those that are
/// not ordinary get the slot of the point before.
fn visit(slots: &mut [u8], beside: usize, grid: &Grid, mut f: impl FnMut(u8, u8, usize)) {
    let mut before = 0u8;
    for i in 0..slots.len() {
        let other = i.checked_sub(beside).map_or(0, |i| slots[i]);
        if grid.is_ordinary(i) {
            let slot = slots[i];
            f(activity(before, other), slot, i);
            before = slot;
        } else {
            slots[i] = before;
        }
    }
}

/// How large differences nearby are: the mean of two slots.
#[inline(always)]
fn activity(before: u8, beside: u8) -> u8 {
    u8::midpoint(before, beside)
}

/// Activities that share a code.
struct Class {
    /// The lowest of them.
    from: usize,
    counts: Vec<u32>,
    bits: f64,
}

impl Class {
    fn new(from: usize, counts: Vec<u32>) -> Self {
        /// Estimated bits that a code spends on each slot that it holds, and on itself.
        const SLOT_BITS: f64 = 4.0;
        const CODE_BITS: f64 = 60.0;
        let log = |n: f64| n * n.log2();
        let (mut total, mut bits) = (0.0, CODE_BITS);
        for n in counts.iter().filter(|n| **n > 0).map(|n| f64::from(*n)) {
            total += n;
            bits += SLOT_BITS - log(n);
        }
        bits += if total > 0.0 { log(total) } else { 0.0 };
        Class { from, counts, bits }
    }

    fn joined(&self, other: &Class) -> Class {
        let sum = self.counts.iter().zip(&other.counts).map(|(a, b)| a + b).collect();
        Class::new(self.from, sum)
    }
}

/// The lowest activity of each class but the first, from how often each slot stands at each activity: neighbors are joined as long as that saves bits or there are too many.
fn choose_classes(counts: &[[u32; SLOTS]]) -> Vec<u8> {
    let used = 1 + counts.iter().filter_map(|c| c.iter().rposition(|n| *n > 0)).max().unwrap_or(0);
    let occurs = |(_, c): &(usize, &[u32; SLOTS])| c.iter().any(|n| *n > 0);
    let mut classes: Vec<Class> =
        counts.iter().enumerate().filter(occurs).map(|(a, c)| Class::new(a, c[..used].to_vec())).collect();
    let more = |a: &Class, b: &Class| a.joined(b).bits - a.bits - b.bits;
    let mut costs: Vec<f64> = classes.windows(2).map(|w| more(&w[0], &w[1])).collect();
    while let Some(i) = (0..costs.len()).min_by(|a, b| costs[*a].total_cmp(&costs[*b])) {
        if classes.len() <= MOST_CLASSES && costs[i] >= 0.0 {
            break;
        }
        classes[i] = classes[i].joined(&classes[i + 1]);
        classes.remove(i + 1);
        costs.remove(i);
        for j in [i.checked_sub(1), Some(i)].into_iter().flatten().filter(|j| *j < costs.len()).collect::<Vec<_>>() {
            costs[j] = more(&classes[j], &classes[j + 1]);
        }
    }
    classes.iter().skip(1).map(|c| c.from as u8).collect()
}

/// The class of each activity.
fn class_of(thresholds: &[u8]) -> [u8; SLOTS] {
    std::array::from_fn(|a| thresholds.iter().filter(|t| usize::from(**t) <= a).count() as u8)
}

/// Codes numbers; those that are not ordinary repeat the one before.
pub(super) fn encode(numbers: &mut [u64], grid: &Grid, out: &mut Vec<u8>) {
    // Nothing is before the first.
    let missing = (0..numbers.len()).take_while(|i| !grid.is_ordinary(*i)).count();
    numbers[..missing].fill(0);
    write(&choose(numbers, grid.dims), numbers, grid, out);
}

fn write(form: &Form, numbers: &[u64], grid: &Grid, out: &mut Vec<u8>) {
    let differences = form.differences(numbers);
    let mut slots = slots(&differences);
    let mut counts = vec![[0u32; SLOTS]; SLOTS];
    visit(&mut slots, form.beside(), grid, |activity, slot, _| counts[usize::from(activity)][usize::from(slot)] += 1);
    let thresholds = choose_classes(&counts);
    let class_of = class_of(&thresholds);
    let mut sizes = [0usize; MOST_CLASSES];
    let mut room = 0;
    for (counts, class) in counts.iter().zip(class_of) {
        for (slot, n) in (0u32..).zip(counts).filter(|(_, n)| **n > 0) {
            sizes[usize::from(class)] += *n as usize;
            room += of_slot(slot).map_or(0, |(bits, _)| bits as usize) * *n as usize;
        }
    }
    let mut streams = sizes.map(Images::with_room);
    let mut bits = BitWriter::with_room(room);
    visit(&mut slots, form.beside(), grid, |activity, slot, i| {
        streams[usize::from(class_of[usize::from(activity)]) % MOST_CLASSES].push_image(slot.into());
        let (count, least) = of_slot(slot.into()).unwrap_or_default();
        bits.put(zigzag(differences[i].cast_signed()).wrapping_sub(least), count);
    });
    form.write(out);
    out.push(thresholds.len() as u8);
    out.extend(&thresholds);
    let streams: Vec<_> = streams[..=thresholds.len()].iter().map(prefix::encode).collect();
    prefix::write(&streams, out);
    out.extend(bits.finish());
}

/// Inverse of [`encode`]; takes all that is left of `cursor`.
pub(super) fn decode(cursor: &mut Cursor, grid: &Grid, out: &mut [u64]) -> Result<(), FormatError> {
    let form = Form::read_from(cursor, out.len())?;
    let count = cursor.u8("classes of differences")?;
    if usize::from(count) >= MOST_CLASSES {
        let expected = MOST_CLASSES as u64 - 1;
        return Err(FormatError::Value { field: "classes of differences", found: count.into(), expected });
    }
    let thresholds = cursor.take(count.into(), "thresholds of classes")?;
    if !thresholds.is_sorted() {
        return Err(FormatError::Code { what: "thresholds of classes" });
    }
    let streams = prefix::read(cursor, usize::from(count) + 1, out.len())?;
    let mut streams = streams.into_iter().map(Numbers::new);
    let mut decoding = Decoding {
        streams: std::array::from_fn(|_| streams.next().unwrap_or_else(Numbers::none)),
        class_of: class_of(thresholds),
        bits: BitReader::new(cursor.take_rest()),
    };
    decoding.restore(&form, grid, out).ok_or(FormatError::Code { what: "differences" })?;
    if !decoding.streams.iter().all(Numbers::is_used_up) {
        return Err(FormatError::Code { what: "differences" });
    }
    decoding.bits.finish("bits of differences")
}

struct Decoding<'a> {
    streams: [Numbers; MOST_CLASSES],
    class_of: [u8; SLOTS],
    bits: BitReader<'a>,
}

impl Decoding<'_> {
    /// The next difference of a point of this activity, and its slot.
    #[inline(always)]
    fn next(&mut self, activity: u8) -> Option<(u64, u8)> {
        let class = self.class_of[usize::from(activity)];
        let slot = self.streams[usize::from(class) % MOST_CLASSES].image()?;
        let (count, least) = of_slot(slot)?;
        let difference = unzigzag(least.wrapping_add(self.bits.take(count)?));
        Some((difference.cast_unsigned(), slot as u8))
    }

    /// The numbers; `None` if there are not enough differences.
    fn restore(&mut self, form: &Form, grid: &Grid, out: &mut [u64]) -> Option<()> {
        /// What is added of the three differences before, by how often they were taken.
        const BEFORE: [[u64; 3]; 4] = [[0; 3], [1, 0, 0], [2, 1u64.wrapping_neg(), 0], [3, 3u64.wrapping_neg(), 1]];
        let factors = BEFORE[usize::from(form.order) % BEFORE.len()];
        let chunk = form.terms().map(|(distance, _)| distance).fold(CHUNK, usize::min);
        let beside = form.beside();
        let mut slots = vec![0u8; out.len() + beside];
        let mut others = vec![0u64; chunk];
        let (mut number, mut before, mut last) = (0u64, 0u8, [0u64; 3]);
        for start in (0..out.len()).step_by(chunk) {
            let end = out.len().min(start + chunk);
            // What is known of the chunk before its first point.
            others.fill(0);
            for (distance, adds) in form.terms() {
                let from = start.max(distance);
                if from >= end {
                    continue;
                }
                let to = others[from - start..end - start].iter_mut().zip(&out[from - distance..end - distance]);
                if adds {
                    to.for_each(|(o, n)| *o = o.wrapping_sub(*n));
                } else {
                    to.for_each(|(o, n)| *o = o.wrapping_add(*n));
                }
            }
            for i in start..end {
                let other = others[i - start];
                if grid.is_ordinary(i) {
                    let (mut d, slot) = self.next(activity(before, slots[i]))?;
                    for (factor, last) in factors.iter().zip(last) {
                        d = d.wrapping_add(factor.wrapping_mul(last));
                    }
                    number = other.wrapping_add(d);
                    before = slot;
                }
                last = [number.wrapping_sub(other), last[0], last[1]];
                out[i] = number;
                slots[i + beside] = before;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn coded(numbers: &[u64], grid: &Grid) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(&mut numbers.to_vec(), grid, &mut bytes);
        bytes
    }

    fn decoded(bytes: &[u8], grid: &Grid) -> Result<Vec<u64>, FormatError> {
        let mut out = vec![7; grid.len()];
        decode(&mut Cursor::new(bytes), grid, &mut out).map(|()| out)
    }

    /// The example of SPEC 9.5.4.
    #[test]
    fn the_example_of_the_specification() {
        let bytes = coded(&[0, 1000, 2001, 3000, 4000, 4999], &Grid { dims: &[6], ordinary: None });
        let text: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(text.join(" "), "02 00 00 06 01 07 a8 ff df 69 15 33 ed 02 d9 00 d0");
    }

    #[test]
    fn differences_are_taken_along_the_axes_on_which_they_are_small() {
        // A sum of a function of each axis, one of which is rough, is nothing but differences along all of them.
        let rough = |i: usize| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let dims = [12, 20, 30];
        let numbers: Vec<u64> = (0..7200).map(|i| rough(i % 30) + rough(i / 30 % 20) + rough(i / 600)).collect();
        let form = choose(&numbers, &dims);
        assert_eq!(form, Form { order: 1, by_row: true, row: 30, plane: 600 });
        // What there is along one axis only, such as a parabola, needs them there alone.
        let parabola: Vec<u64> = (0..7200).map(|i| 5 * i * i + 1_000_000).collect();
        assert_eq!(choose(&parabola, &[7200]), Form { order: 3, by_row: false, row: 0, plane: 0 });
        let grid = Grid { dims: &[7200], ordinary: None };
        assert!(coded(&parabola, &grid).len() < 60);
        assert_eq!(decoded(&coded(&parabola, &grid), &grid), Ok(parabola));
    }

    #[test]
    fn what_is_nearby_tells_how_large_differences_are() {
        // Noise of 8 bits, or of 20, in long stretches.
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let numbers: Vec<u64> = (0..40_000).map(|i| next() & if i / 500 % 2 == 0 { 255 } else { 0xf_ffff }).collect();
        let len = coded(&numbers, &Grid { dims: &[40_000], ordinary: None }).len();
        assert!(len < 40_000 * (9 + 21) / 2 / 8, "{len}");
    }

    #[test]
    fn damaged_headers_are_refused() {
        let grid = Grid { dims: &[5, 8], ordinary: None };
        let numbers: Vec<u64> = (0..40).map(|i| i * i % 11 + i / 8).collect();
        let bytes = coded(&numbers, &grid);
        assert_eq!(decoded(&bytes, &grid), Ok(numbers));
        for cut in 0..bytes.len() {
            assert!(decoded(&bytes[..cut], &grid).is_err(), "{cut}");
        }
        assert!(decoded(&[&bytes[..], &[0]].concat(), &grid).is_err());
        // Unknown bits, a row that is too far, no rows nor planes where they are needed, too many classes, thresholds that descend.
        for header in [&[16, 8, 0][..], &[5, 41, 0], &[5, 0, 0], &[9, 8, 0, 0], &[1, 0, 16], &[1, 0, 2, 5, 4]] {
            let rest = &bytes[bytes.len() - 4..];
            assert!(decoded(&[header, rest].concat(), &grid).is_err(), "{header:?}");
        }
    }

    fn shapes() -> impl Strategy<Value = Vec<usize>> {
        prop::collection::vec(prop_oneof![1usize..4, 1usize..20], 1..5)
            .prop_filter("small", |d| d.iter().product::<usize>() < 4000)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_numbers_round_trip(
            dims in shapes(),
            width in 0u32..=64,
            slope in any::<u64>(),
            holes in prop::option::of(2u64..9),
            seed in any::<u64>(),
        ) {
            let n = dims.iter().product::<usize>() as u64;
            let noise = |i: u64| i.wrapping_add(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).checked_shr(64 - width).unwrap_or(0);
            let ordinary: Vec<bool> = (0..n).map(|i| holes.is_none_or(|h| noise(i * i + 1) % h != 0)).collect();
            let grid = Grid { dims: &dims, ordinary: holes.map(|_| ordinary.as_slice()) };
            let mut last = 0;
            let numbers: Vec<u64> = (0..n)
                .map(|i| {
                    last = if grid.is_ordinary(i as usize) { slope.wrapping_mul(i).wrapping_add(noise(i)) } else { last };
                    last
                })
                .collect();
            prop_assert_eq!(decoded(&coded(&numbers, &grid), &grid), Ok(numbers));
        }

        /// Every form, whatever the writer would choose.
        #[test]
        fn any_form_leads_back(
            orders in 0u8..16,
            row in 1usize..40,
            plane in 1usize..40,
            seed in any::<u64>(),
            n in 40usize..300,
        ) {
            let form = Form {
                order: orders & 3,
                by_row: orders & BY_ROW != 0,
                row,
                plane: if orders & BY_PLANE == 0 { 0 } else { plane },
            };
            let numbers: Vec<u64> = (1..=n as u64).map(|i| i.wrapping_mul(seed) >> (i % 60)).collect();
            let mut bytes = Vec::new();
            let ordinary: Vec<bool> = (0..n).map(|i| i % 5 > 0).collect();
            for grid in [Grid { dims: &[n], ordinary: None }, Grid { dims: &[n], ordinary: Some(&ordinary) }] {
                let mut numbers = numbers.clone();
                (0..n).filter(|i| !grid.is_ordinary(*i)).for_each(|i| numbers[i] = if i == 0 { 0 } else { numbers[i - 1] });
                bytes.clear();
                write(&form, &numbers, &grid, &mut bytes);
                prop_assert_eq!(decoded(&bytes, &grid), Ok(numbers));
            }
        }

        #[test]
        fn any_bytes_end(dims in shapes(), bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = decoded(&bytes, &Grid { dims: &dims, ordinary: None });
        }
    }
}
