//! Linear prediction from known neighbors with weights learned on the data (SPEC 9.4.3).

use super::shape::{OUTER, Ring, Shape};
use crate::codec::cursor::{Cursor, put_varint, unzigzag, zigzag};
use crate::error::FormatError;

/// Weights are multiples of two to the minus this.
const WEIGHT_BITS: u32 = 11;
/// Weight 1.
pub(super) const ONE: i32 = 1 << WEIGHT_BITS;
/// Most taps in earlier rows.
pub(super) const MOST_TAPS: usize = 15;
/// Largest magnitude of a stored weight.
const LARGEST_WEIGHT: i32 = 4 * ONE;

/// An earlier row, as the way to it from the row that is predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Way {
    /// How many rows back along each outer axis, at most as far as there are rows.
    back: [usize; OUTER],
    /// The axis along which it is one row ahead, unless that is past the end.
    ahead: Option<usize>,
}

/// A neighbor in an earlier row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tap {
    /// Index of the row's way.
    pub(super) way: usize,
    /// Points after the predicted one; two more than the distance along the row, which is -2 to 2.
    pub(super) at: usize,
}

/// Where rows of one kind take their neighbors from. The kind is the set of outer axes with an earlier row.
#[derive(Debug)]
pub(super) struct Layout {
    ways: Vec<Way>,
    pub(super) taps: Vec<Tap>,
}

impl Layout {
    /// Bit `a` of `kind` says that there is an earlier row along outer axis `a`.
    pub(super) fn new(kind: usize) -> Self {
        let axes: Vec<usize> = (0..OUTER).rev().filter(|a| kind >> a & 1 == 1).collect();
        let mut l = Layout { ways: Vec::new(), taps: Vec::new() };
        let back = |list: &[(usize, usize)]| {
            let mut b = [0; OUTER];
            list.iter().for_each(|(a, n)| b[*a] = *n);
            b
        };
        for a in &axes {
            let at: &[usize] = if axes.len() == 1 { &[2, 1, 3, 0, 4] } else { &[2, 1, 3] };
            l.add(Way { back: back(&[(*a, 1)]), ahead: None }, at);
        }
        for (k, a) in axes.iter().enumerate() {
            for b in &axes[k + 1..] {
                let at: &[usize] = if axes.len() == 2 { &[2, 1, 3] } else { &[2] };
                l.add(Way { back: back(&[(*a, 1), (*b, 1)]), ahead: None }, at);
                if axes.len() == 2 {
                    l.add(Way { back: back(&[(*b, 1)]), ahead: Some(*a) }, &[2]);
                }
            }
        }
        for a in &axes {
            l.add(Way { back: back(&[(*a, 2)]), ahead: None }, &[2]);
        }
        l
    }

    fn add(&mut self, way: Way, at: &[usize]) {
        let index = self.ways.len();
        self.ways.push(way);
        self.taps.extend(at.iter().map(|at| Tap { way: index, at: *at }));
    }

    /// Numbers of the rows that the taps of row `r` are in, in the order of the ways.
    pub(super) fn rows(&self, shape: &Shape, r: usize, rows: &mut Vec<usize>) {
        let (position, strides) = (shape.position(r), shape.strides());
        rows.clear();
        rows.extend(self.ways.iter().map(|w| {
            let mut row = r;
            for a in 0..OUTER {
                row -= w.back[a].min(position[a]) * strides[a];
            }
            match w.ahead {
                Some(a) if position[a] + 1 < shape.outer[a] => row + strides[a],
                _ => row,
            }
        }));
    }
}

/// Kind of the row at `position`.
pub(super) fn kind(position: [usize; OUTER]) -> usize {
    position.iter().enumerate().map(|(a, p)| usize::from(*p > 0) << a).sum()
}

/// The weights of one kind of row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Weights {
    /// Of the one and the two points before in the same row; the first is what makes all weights sum to 1.
    pub(super) before: [i32; 2],
    /// Of the taps in earlier rows.
    pub(super) taps: Vec<i32>,
}

impl Weights {
    pub(super) fn complete(second: i32, taps: Vec<i32>) -> Self {
        let first = ONE - second - taps.iter().sum::<i32>();
        Weights { before: [first, second], taps }
    }

    /// Previous point, plus how the nearest earlier row changes there.
    pub(super) fn default_for(layout: &Layout) -> Self {
        let mut taps = vec![0; layout.taps.len()];
        if let [here, before, ..] = &mut taps[..] {
            (*here, *before) = (ONE, -ONE);
        }
        Weights::complete(0, taps)
    }

    pub(super) fn write(&self, layout: &Layout, out: &mut Vec<u8>) {
        let learned = *self != Weights::default_for(layout);
        out.push(u8::from(learned));
        if learned {
            put_varint(out, zigzag(self.before[1].into()));
            self.taps.iter().for_each(|w| put_varint(out, zigzag((*w).into())));
        }
    }

    pub(super) fn read(layout: &Layout, cursor: &mut Cursor<'_>) -> Result<Self, FormatError> {
        match cursor.u8("learned weights")? {
            0 => return Ok(Weights::default_for(layout)),
            1 => {}
            found => return Err(FormatError::Value { field: "learned weights", found: found.into(), expected: 1 }),
        }
        let mut weight = || {
            let z = cursor.varint_max("weight", zigzag(LARGEST_WEIGHT.into()))?;
            Ok(unzigzag(z) as i32)
        };
        let second = weight()?;
        let taps = layout.taps.iter().map(|_| weight()).collect::<Result<_, _>>()?;
        Ok(Weights::complete(second, taps))
    }
}

/// Points beside a row at each end.
pub(super) const PAD: usize = 2;
/// Points that are predicted together; rows are filled up to a multiple of it.
pub(super) const BLOCK: usize = 16;

/// The latest rows of values, each with its first and last value repeated at the ends.
#[derive(Debug)]
pub(super) struct History {
    ring: Ring,
    data: Vec<f32>,
    /// The value of all points of a row that was filled.
    flat: Vec<Option<f32>>,
    row: usize,
    pitch: usize,
}

impl History {
    pub(super) fn new(shape: &Shape) -> Self {
        let ring = Ring::new(shape, 2);
        let pitch = shape.row.next_multiple_of(BLOCK) + BLOCK;
        History { data: vec![0.0; ring.len() * pitch], flat: vec![None; ring.len()], ring, row: shape.row, pitch }
    }

    /// Where row `r` starts, its padding included.
    fn start(&self, r: usize) -> usize {
        self.ring.slot(r) * self.pitch
    }

    /// First value of row `r`.
    pub(super) fn first(&self, r: usize) -> f32 {
        self.data[self.start(r)]
    }

    /// The value that all points of all `rows` have because they were filled with it; 0 without rows.
    pub(super) fn level(&self, rows: &[usize]) -> Option<f32> {
        let mut levels = rows.iter().map(|r| self.flat[self.ring.slot(*r)]);
        match levels.next() {
            None => Some(0.0),
            Some(first) => first.filter(|v| levels.all(|l| l.is_some_and(|l| l.to_bits() == v.to_bits()))),
        }
    }

    /// Gives all points of row `r` one value.
    pub(super) fn fill(&mut self, r: usize, value: f32) {
        let flat = &mut self.flat[self.ring.slot(r)];
        if flat.is_none_or(|f| f.to_bits() != value.to_bits()) {
            *flat = Some(value);
            let start = self.start(r);
            self.data[start..start + self.row + 2 * PAD].fill(value);
        }
    }

    pub(super) fn set(&mut self, r: usize, values: &[f32]) {
        let slot = self.ring.slot(r);
        self.flat[slot] = None;
        let (start, n) = (self.start(r), self.row);
        let row = &mut self.data[start..start + n + 2 * PAD];
        row[PAD..PAD + n].copy_from_slice(&values[..n]);
        let (first, last) = (row[PAD], row[PAD + n - 1]);
        row[..PAD].fill(first);
        row[PAD + n..].fill(last);
    }

    /// The weighted sum of the taps in `rows`, added one after another, for each point of a row.
    pub(super) fn sum(&self, taps: &[(Tap, f32)], rows: &[usize], out: &mut [f32]) {
        let mut starts = [(0usize, 0f32); MOST_TAPS];
        for (s, (t, w)) in starts.iter_mut().zip(taps) {
            *s = (self.start(rows[t.way]) + t.at, *w);
        }
        let starts = &starts[..taps.len().min(MOST_TAPS)];
        for (k, out) in out.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
            let mut sum = [0f32; BLOCK];
            for (start, w) in starts {
                let Some(values) = self.data[start + k * BLOCK..].first_chunk::<BLOCK>() else { return };
                for (s, v) in sum.iter_mut().zip(values) {
                    *s += w * v;
                }
            }
            *out = sum;
        }
    }
}
