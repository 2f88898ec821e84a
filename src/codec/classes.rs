//! Images of small classes, such as which points of an array hold ordinary values (SPEC 8.3).
//!
//! Rows that repeat one of the rows before them cost one well predicted bit, and so do groups of points within
//! the others; what is left is coded point by point from mixed contexts of the neighbors already coded.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "inner loops over rows whose lengths are validated once, and tables indexed by masked hashes"
)]

use super::arithmetic::{BitCoder, Decoder, Encoder};
use super::cursor::{Cursor, put_varint};
use super::mix::{Counter, Logistic, Mixer};
use super::period::periods;
use crate::error::FormatError;
use fearless_simd::Fallback;

/// Header bit: rows that repeat no other are cut into groups of `GROUP` points with a flag each.
const GROUPED: u8 = 0x20;
/// Header bit: anything coded follows; otherwise the byte is the class of all points.
const CODED: u8 = 0x10;
/// Header bit: the image is read as rows of a stored length, the last of which may be incomplete.
const ROW_LENGTH: u8 = 0x40;
/// Points that one group flag covers.
const GROUP: usize = 16;
/// Points beyond either end of a row that contexts may look at.
const PAD: usize = 4;
/// Contexts of a point.
const CONTEXTS: usize = 8;
/// log2 of the counters of one context.
const TABLE_BITS: u32 = 16;
/// Rows that contexts look at: this one, two above it, three of the plane before, two of the volume before that,
/// and one of each kind further out.
const ROWS: usize = 9;
const CURRENT: usize = 0;
const ABOVE: usize = 1;
const ABOVE2: usize = 2;
const PLANE: usize = 3;
const PLANE_ABOVE: usize = 4;
const PLANE_BELOW: usize = 5;
const VOLUME: usize = 6;
const VOLUME_BELOW: usize = 7;
const OUTER: usize = 8;

/// Codes `classes`, each below `alphabet` (2 to 16), of the shape `dims` in C order.
pub(crate) fn encode(classes: &[u8], alphabet: u8, dims: &[usize]) -> Vec<u8> {
    let first = classes.first().copied().unwrap_or(0);
    if classes.iter().all(|c| *c == first) {
        return if first == 0 { Vec::new() } else { vec![first] };
    }
    let mut image = classes.to_vec();
    let plain = extents_of(dims);
    let mut best = Vec::new();
    let mut attempt = |flags: u8, extents: &[usize]| {
        let mut coder = Encoder::new();
        Model::new(alphabet).code_image(&mut coder, &mut image, extents, flags & GROUPED != 0);
        let mut bytes = vec![flags];
        if flags & ROW_LENGTH != 0 {
            put_varint(&mut bytes, extents[0] as u64);
        }
        bytes.extend(coder.finish());
        if best.is_empty() || bytes.len() < best.len() {
            best = bytes;
        }
    };
    attempt(CODED | GROUPED, &plain);
    if classes.len() <= 1 << 20 {
        attempt(CODED, &plain);
    }
    if plain.len() == 1 {
        let levels: Vec<f64> = classes.iter().map(|c| f64::from(*c)).collect();
        for row in periods(&levels) {
            attempt(CODED | GROUPED | ROW_LENGTH, &[row, classes.len().div_ceil(row)]);
        }
    }
    best
}

/// Extents from the fastest axis on, those of 1 dropped.
fn extents_of(dims: &[usize]) -> Vec<usize> {
    dims.iter().rev().copied().filter(|n| *n > 1).collect()
}

/// Inverse of [`encode`]; `out` must have the number of points of `dims`.
pub(crate) fn decode(bytes: &[u8], alphabet: u8, dims: &[usize], out: &mut [u8]) -> Result<(), FormatError> {
    const WHAT: &str = "class image";
    let mut cursor = Cursor::new(bytes);
    if cursor.remaining() == 0 {
        out.fill(0);
        return Ok(());
    }
    let flags = cursor.u8(WHAT)?;
    if flags & CODED == 0 {
        if flags == 0 || flags >= alphabet {
            let expected = u64::from(alphabet.saturating_sub(1));
            return Err(FormatError::Value { field: "class of all points", found: u64::from(flags), expected });
        }
        out.fill(flags);
        return cursor.finish(WHAT);
    }
    if flags & !(CODED | GROUPED | ROW_LENGTH) != 0 {
        let expected = u64::from(CODED | GROUPED | ROW_LENGTH);
        return Err(FormatError::Value { field: "class image flags", found: u64::from(flags), expected });
    }
    let mut extents = extents_of(dims);
    if flags & ROW_LENGTH != 0 {
        let row = cursor.varint_max("class row length", out.len() as u64)?;
        if row < 2 {
            return Err(FormatError::Value { field: "class row length", found: row, expected: out.len() as u64 });
        }
        extents = vec![row as usize, out.len().div_ceil(row as usize)];
    }
    let mut coder = Decoder::new(cursor.take_rest());
    let mut model = Model::new(alphabet);
    model.code_image(&mut coder, out, &extents, flags & GROUPED != 0);
    if model.overflow {
        return Err(FormatError::Code { what: WHAT });
    }
    coder.finish(WHAT)
}

/// Adaptive state of one image.
struct Model {
    logistic: &'static Logistic,
    alphabet: u8,
    /// Bits of one class.
    bits: u32,
    tables: Vec<Counter>,
    mixer: Mixer<CONTEXTS>,
    row_flags: Vec<Counter>,
    group_flags: Vec<Counter>,
    group_mixer: Mixer<8>,
    rows: Vec<Vec<u8>>,
    /// A class outside the alphabet was read.
    overflow: bool,
}

impl Model {
    fn new(alphabet: u8) -> Self {
        let bits = u8::BITS - alphabet.saturating_sub(1).leading_zeros();
        Model {
            logistic: Logistic::tables(),
            alphabet,
            bits: bits.max(1),
            tables: vec![Counter::NEW; CONTEXTS << TABLE_BITS],
            mixer: Mixer::new(256, &[0.3; CONTEXTS], 0.002, 0.02),
            row_flags: vec![Counter::NEW; 8 * 16],
            group_flags: vec![Counter::NEW; 3 * 1024],
            group_mixer: Mixer::new(4, &[0.4, 0.4, 0.4, 0.0, 0.0, 0.0, 0.0, 0.0], 0.002, 0.02),
            rows: Vec::new(),
            overflow: false,
        }
    }

    /// Codes all points of `image`, which holds them already if `coder` writes.
    fn code_image<C: BitCoder>(&mut self, coder: &mut C, image: &mut [u8], extents: &[usize], grouped: bool) {
        let width = extents.first().copied().unwrap_or(1);
        self.rows = vec![vec![0; width + 2 * PAD]; ROWS];
        let mut strides = vec![1usize];
        for n in extents {
            strides.push(strides[strides.len() - 1] * n);
        }
        let outer = extents.len().saturating_sub(1);
        // Coordinate on each axis but the fastest.
        let mut at = vec![0usize; outer];
        // The last four outcomes of the row flag of each axis.
        let mut history = [0usize; 8];
        for row in 0..image.len().div_ceil(width) {
            let start = row * width;
            // Only the last row of a stored length may be incomplete.
            let here = width.min(image.len() - start);
            if !self.code_row_flags(coder, image, start, here, &strides, &at, &mut history) {
                self.load_rows(image, start, width, extents, &strides, &at);
                let reference = at.iter().rposition(|c| *c > 0).map(|a| start - strides[a + 1]);
                self.code_row(coder, image, start, here, reference, grouped);
            }
            for (c, n) in at.iter_mut().zip(&extents[1.min(extents.len())..]) {
                *c += 1;
                if *c < *n {
                    break;
                }
                *c = 0;
            }
        }
    }

    /// Codes which row before this one it repeats, if any, the slowest axis first; copies that row.
    #[allow(clippy::too_many_arguments, reason = "position in the image, in the terms of the caller's loop")]
    fn code_row_flags<C: BitCoder>(
        &mut self,
        coder: &mut C,
        image: &mut [u8],
        start: usize,
        width: usize,
        strides: &[usize],
        at: &[usize],
        history: &mut [usize; 8],
    ) -> bool {
        let mut refused: Option<usize> = None;
        for axis in (0..at.len().min(8)).rev() {
            if at[axis] == 0 {
                continue;
            }
            let from = start - strides[axis + 1];
            // A row equal to one that was just refused would be refused again.
            if refused.is_some_and(|r| image[r..r + width] == image[from..from + width]) {
                continue;
            }
            let equal = image[start..start + width] == image[from..from + width];
            let counter = &mut self.row_flags[axis * 16 + history[axis]];
            let equal = coder.code(equal, counter.p().max(1));
            counter.update(equal, 1023);
            history[axis] = (history[axis] * 2 + usize::from(equal)) & 15;
            if equal {
                image.copy_within(from..from + width, start);
                return true;
            }
            refused = Some(from);
        }
        false
    }

    /// Copies the rows that contexts look at, ends repeated outwards.
    fn load_rows(
        &mut self,
        image: &[u8],
        start: usize,
        width: usize,
        extents: &[usize],
        strides: &[usize],
        at: &[usize],
    ) {
        let coordinate = |axis: usize| at.get(axis).copied().unwrap_or(0);
        let back =
            |axis: usize, n: usize| (coordinate(axis) >= n).then(|| n * strides.get(axis + 1).copied().unwrap_or(0));
        let below = extents.get(1).is_some_and(|n| coordinate(0) + 1 < *n);
        let y = strides.get(1).copied().unwrap_or(0);
        let above = back(0, 1).map(|d| start - d);
        let plane = back(1, 1).map(|d| start - d);
        let volume = back(2, 1).map(|d| start - d);
        let outer = (3..at.len()).rev().find_map(|a| back(a, 1)).map(|d| start - d);
        let mut sources = [None; ROWS];
        sources[ABOVE] = above;
        sources[ABOVE2] = back(0, 2).map(|d| start - d).or(above);
        sources[PLANE] = plane;
        sources[PLANE_ABOVE] = plane.map(|p| if above.is_some() { p - y } else { p });
        sources[PLANE_BELOW] = plane.map(|p| if below { p + y } else { p });
        sources[VOLUME] = volume;
        sources[VOLUME_BELOW] = volume.map(|p| if below { p + y } else { p });
        sources[OUTER] = outer;
        for (row, source) in self.rows.iter_mut().zip(sources) {
            match source {
                Some(s) => {
                    row[PAD..PAD + width].copy_from_slice(&image[s..s + width]);
                    let (first, last) = (row[PAD], row[PAD + width - 1]);
                    row[..PAD].fill(first);
                    row[PAD + width..].fill(last);
                }
                None => row.fill(0),
            }
        }
        // What lies before the first point of this row is taken to be as above it.
        let before = self.rows[ABOVE][0];
        self.rows[CURRENT].fill(before);
    }

    fn code_row<C: BitCoder>(
        &mut self,
        coder: &mut C,
        image: &mut [u8],
        start: usize,
        width: usize,
        reference: Option<usize>,
        grouped: bool,
    ) {
        let mut history = 0usize;
        let mut x = 0;
        while x < width {
            let end = if grouped { (x + GROUP).min(width) } else { width };
            if grouped {
                let here = start + x..start + end;
                let last = self.rows[CURRENT][PAD + x - 1];
                let equal = match reference {
                    Some(r) => image[here.clone()] == image[r + x..r + end],
                    None => image[here.clone()].iter().all(|c| *c == last),
                };
                let equal =
                    self.code_group_flag(coder, equal, reference.map(|r| &image[r + x..r + end]), x, end, history);
                history = (history * 2 + usize::from(equal)) & 7;
                if equal {
                    match reference {
                        Some(r) => image.copy_within(r + x..r + end, start + x),
                        None => image[here.clone()].fill(last),
                    }
                    self.rows[CURRENT][PAD + x..PAD + end].copy_from_slice(&image[here]);
                    x = end;
                    continue;
                }
            }
            for i in x..end {
                let class = self.code_point(coder, image[start + i], PAD + i);
                image[start + i] = class;
                self.rows[CURRENT][PAD + i] = class;
            }
            x = end;
        }
    }

    /// Codes whether points `x..end` of the row are as in `reference` (or as the point before them if there is none).
    fn code_group_flag<C: BitCoder>(
        &mut self,
        coder: &mut C,
        equal: bool,
        reference: Option<&[u8]>,
        x: usize,
        end: usize,
        history: usize,
    ) -> bool {
        let here = PAD + x..PAD + end;
        let uniform = |row: &[u8], class: u8| row.iter().all(|c| *c == class);
        let last = self.rows[CURRENT][PAD + x - 1];
        let above = &self.rows[ABOVE];
        let plane = &self.rows[PLANE];
        let expected = reference.unwrap_or(&above[here.clone()]);
        let facts = usize::from(uniform(expected, last))
            | usize::from(uniform(&above[PAD + x - 1..PAD + end + 1], last)) << 1
            | usize::from(&above[here.clone()] == expected) << 2
            | usize::from(uniform(&plane[PAD + x - 1..PAD + end + 1], last)) << 3
            | usize::from(&self.rows[VOLUME][here.clone()] == expected) << 4
            | usize::from(plane[PAD + x - 1] == last) << 5
            | usize::from(self.rows[PLANE_BELOW][here.clone()] == plane[here]) << 6;
        let contexts =
            [facts | history << 7, 1024 + (facts & 31) + (history << 5), 2048 + (facts & 7) + (history << 3)];
        let mut inputs = [0f32; 8];
        for (input, c) in inputs.iter_mut().zip(contexts) {
            *input = self.logistic.stretch(self.group_flags[c].p());
        }
        let x = self.group_mixer.mix(Fallback::new(), &inputs, history & 3, self.logistic);
        let bit = coder.code(equal, self.logistic.squash(Fallback::new(), x));
        self.group_mixer.update(Fallback::new(), &inputs, bit);
        for c in contexts {
            self.group_flags[c].update(bit, 255);
        }
        bit
    }

    /// Codes one class, `at` being its place in the padded row.
    fn code_point<C: BitCoder>(&mut self, coder: &mut C, class: u8, at: usize) -> u8 {
        let r = |row: usize, dx: usize| u64::from(self.rows[row][at + dx - PAD]);
        // Neighbors as they lie: `c` is four to the left of this point, and so on.
        let (w, ww, www) = (r(CURRENT, 3), r(CURRENT, 2), r(CURRENT, 1));
        let (nw, n, ne, nee, nww) = (r(ABOVE, 3), r(ABOVE, 4), r(ABOVE, 5), r(ABOVE, 6), r(ABOVE, 2));
        let (nn, nne) = (r(ABOVE2, 4), r(ABOVE2, 5));
        let (p, pw, pe) = (r(PLANE, 4), r(PLANE, 3), r(PLANE, 5));
        let (pn, ps) = (r(PLANE_ABOVE, 4), r(PLANE_BELOW, 4));
        let (q, qe, qs) = (r(VOLUME, 4), r(VOLUME, 5), r(VOLUME_BELOW, 4));
        let (o, p3, q3, n3) = (r(OUTER, 4), r(PLANE, 6), r(VOLUME, 6), r(ABOVE, 7));
        let sets: [&[u64]; CONTEXTS] = [
            &[w, n, nw, ne],
            &[w, ww, www, n, nw, ne, nee, nn, nww],
            &[p, pe, pw, pn, ps, w, n],
            &[q, p, w, n, o, qe, qs],
            &[p, q, o, w, n, ne],
            &[w, ww, n, nw, ne, nn, p, pe, ps, q],
            &[w, ww, n, ne, nee, n3, nne, p, p3, q3],
            &[w, p, q],
        ];
        let mut hashes = [0u64; CONTEXTS];
        for (hash, set) in hashes.iter_mut().zip(sets) {
            *hash = set.iter().fold(0, |h, v| h << 4 | v).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        let agree = usize::from(w == n)
            | usize::from(w == p) << 1
            | usize::from(n == ne) << 2
            | usize::from(p == q) << 3
            | usize::from(w == ww) << 4;
        let mut node = 1usize;
        for shift in (0..self.bits).rev() {
            let mut slots = [0usize; CONTEXTS];
            let mut inputs = [0f32; CONTEXTS];
            for i in 0..CONTEXTS {
                let spread = (hashes[i] ^ node as u64).wrapping_mul(0xd6e8_feb8_6659_fd93);
                slots[i] = (i << TABLE_BITS) + (spread >> (64 - TABLE_BITS)) as usize;
                inputs[i] = self.logistic.stretch(self.tables[slots[i]].p());
            }
            let x = self.mixer.mix(Fallback::new(), &inputs, agree + 32 * (node & 7), self.logistic);
            let bit = coder.code(class >> shift & 1 == 1, self.logistic.squash(Fallback::new(), x));
            self.mixer.update(Fallback::new(), &inputs, bit);
            for s in slots {
                self.tables[s].update(bit, 255);
            }
            node = node * 2 + usize::from(bit);
        }
        let class = (node - (1 << self.bits)) as u8;
        self.overflow |= class >= self.alphabet;
        class
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(classes: &[u8], alphabet: u8, dims: &[usize]) -> usize {
        let bytes = encode(classes, alphabet, dims);
        let mut out = vec![9; classes.len()];
        assert_eq!(decode(&bytes, alphabet, dims, &mut out), Ok(()));
        assert_eq!(out, classes);
        bytes.len()
    }

    #[test]
    fn constant_images_cost_next_to_nothing() {
        assert_eq!(round_trip(&[0; 600], 2, &[20, 30]), 0);
        assert_eq!(round_trip(&[3; 600], 4, &[20, 30]), 1);
        assert_eq!(round_trip(&[], 2, &[0]), 0);
    }

    #[test]
    fn a_repeated_plane_costs_next_to_nothing() {
        let plane: Vec<u8> = (0..64usize * 64).map(|i| u8::from((i % 64).pow(2) + (i / 64).pow(2) < 1800)).collect();
        let one = round_trip(&plane, 2, &[64, 64]);
        let many = round_trip(&plane.repeat(50), 2, &[50, 64, 64]);
        assert!(one < 80 && many < one + 16, "{one} {many}");
    }

    #[test]
    fn hidden_rows_are_found() {
        let f = |i: usize| u8::from((i % 61).abs_diff(30).pow(2) + (i / 61).abs_diff(40).pow(2) < 800);
        let line: Vec<u8> = (0..61 * 80 - 7).map(f).collect();
        let n = round_trip(&line, 2, &[line.len()]);
        assert!(n < 90, "{n}");
    }

    #[test]
    fn refuses_a_class_outside_the_alphabet_and_trailing_bytes() {
        let mut out = [0; 4];
        assert!(matches!(decode(&[5], 4, &[4], &mut out), Err(FormatError::Value { .. })));
        assert!(matches!(decode(&[1, 0], 4, &[4], &mut out), Err(FormatError::TrailingBytes { .. })));
        assert!(matches!(decode(&[0x80], 4, &[4], &mut out), Err(FormatError::Value { .. })));
    }

    proptest! {
        #[test]
        fn any_image_round_trips(
            dims in prop::collection::vec(1usize..7, 1..6),
            alphabet in 2u8..=16,
            noise in prop::collection::vec(any::<u8>(), 1..40),
        ) {
            let n: usize = dims.iter().product();
            let classes: Vec<u8> = noise.iter().cycle().take(n).map(|v| v % alphabet).collect();
            round_trip(&classes, alphabet, &dims);
        }

        #[test]
        fn any_bytes_end(dims in prop::collection::vec(1usize..7, 1..6), bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let n: usize = dims.iter().product();
            let mut out = vec![0; n];
            let _ = decode(&bytes, 3, &dims, &mut out);
        }
    }
}
