//! Linear prediction from known neighbors with weights learned on the data (SPEC 9.4.3).

use super::shape::{OUTER, Shape};
use crate::codec::cursor::{Cursor, put_varint, unzigzag, zigzag};
use crate::error::FormatError;
use fearless_simd::{Simd, f32x4, f32x8};

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
    /// Whether any way leads along an axis.
    uses: [bool; OUTER],
    pub(super) taps: Vec<Tap>,
}

impl Layout {
    /// Bit `a` of `kind` says that there is an earlier row along outer axis `a`.
    pub(super) fn new(kind: usize) -> Self {
        let axes: Vec<usize> = (0..OUTER).rev().filter(|a| kind >> a & 1 == 1).collect();
        let mut l = Layout { ways: Vec::new(), uses: [0, 1, 2].map(|a| kind >> a & 1 == 1), taps: Vec::new() };
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
    pub(super) fn rows(&self, shape: &Shape, r: usize, position: [usize; OUTER], rows: &mut Vec<usize>) {
        let strides = shape.strides();
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

    /// Whether no way from a row at `position` is cut short.
    #[inline(always)]
    pub(super) fn is_inside(&self, shape: &Shape, position: [usize; OUTER]) -> bool {
        let mut inside = true;
        for a in 0..OUTER {
            let whole = position[a] >= 2 && position[a] + 1 < shape.outer[a];
            inside &= whole | !self.uses[a];
        }
        inside
    }

    /// How many rows before a row that is inside the one of each way is.
    pub(super) fn distances(&self, shape: &Shape) -> Vec<usize> {
        let strides = shape.strides();
        let back = |w: &Way| (0..OUTER).map(|a| w.back[a] * strides[a]).sum::<usize>();
        // A way forward along an axis leads less far than back along the one before it.
        self.ways.iter().map(|w| back(w).saturating_sub(w.ahead.map_or(0, |a| strides[a]))).collect()
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
    #[inline(always)]
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

    /// Weights of the one and the two points before, as numbers.
    pub(super) fn before(&self) -> [f32; 2] {
        self.before.map(|w| w as f32 * (1.0 / ONE as f32))
    }

    /// Whether rounding errors stay small through a step.
    pub(super) fn is_tame(&self) -> bool {
        /// Straight lines go on with weights 9 and -8.
        const MOST: f32 = 12.0;
        let r = Recurrence::new(self.before());
        r.one.iter().chain(&r.two).all(|w| w.abs() <= MOST)
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
/// Points whose taps are added up together.
pub(super) const CHUNK: usize = 4 * STEP;
/// Points of a row that follow from each other in one step.
pub(super) const STEP: usize = 8;

/// How the points of a step follow from what the taps and codes give and from the two points before the step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recurrence {
    /// Weight of the point before the step in each of its points.
    one: [f32; STEP],
    /// Weight of the point before that one.
    two: [f32; STEP],
}

impl Recurrence {
    pub(super) fn new([a, b]: [f32; 2]) -> Self {
        let (mut one, mut two) = ([a; STEP], [b; STEP]);
        for j in 1..STEP {
            one[j] = a * one[j - 1] + two[j - 1];
            two[j] = b * one[j - 1];
        }
        Recurrence { one, two }
    }

    /// Weights of the point one and two before.
    pub(super) fn before(&self) -> [f32; 2] {
        [self.one[0], self.two[0]]
    }

    /// Weights of the points one and two before the step in point `j` of it.
    pub(super) fn weights(&self, j: usize) -> (f32, f32) {
        (self.one[j], self.two[j])
    }

    /// What the points of a step are but for the points before it.
    #[inline(always)]
    pub(super) fn inner<S: Simd>(&self, simd: S, u: f32x8<S>) -> f32x8<S> {
        let zero = simd.splat_f32x8(0.0);
        let mut w = u;
        w = simd
            .add_f32x8(w, simd.mul_f32x8(simd.splat_f32x8(self.one[0]), simd.slide_within_blocks_f32x8::<3>(zero, u)));
        w = simd
            .add_f32x8(w, simd.mul_f32x8(simd.splat_f32x8(self.one[1]), simd.slide_within_blocks_f32x8::<2>(zero, u)));
        w = simd
            .add_f32x8(w, simd.mul_f32x8(simd.splat_f32x8(self.one[2]), simd.slide_within_blocks_f32x8::<1>(zero, u)));
        let (first, second) = simd.split_f32x8(w);
        let second = self.half(simd, second, first);
        simd.combine_f32x4(first, second)
    }

    /// Adds to the second half of a step what follows from the first.
    #[inline(always)]
    fn half<S: Simd>(&self, simd: S, half: f32x4<S>, before: f32x4<S>) -> f32x4<S> {
        let [.., two, one] = simd.as_array_f32x4(before);
        let (ones, _) = simd.split_f32x8(simd.load_array_f32x8(self.one));
        let (twos, _) = simd.split_f32x8(simd.load_array_f32x8(self.two));
        let w = simd.add_f32x4(half, simd.mul_f32x4(twos, simd.splat_f32x4(two)));
        simd.add_f32x4(w, simd.mul_f32x4(ones, simd.splat_f32x4(one)))
    }

    /// The points of a step.
    #[inline(always)]
    pub(super) fn step<S: Simd>(&self, simd: S, inner: f32x8<S>, one: f32, two: f32) -> f32x8<S> {
        let w = simd.mul_f32x8(simd.load_array_f32x8(self.two), simd.splat_f32x8(two));
        let w = simd.add_f32x8(inner, w);
        simd.add_f32x8(w, simd.mul_f32x8(simd.load_array_f32x8(self.one), simd.splat_f32x8(one)))
    }

    /// The points of a step some of which are not ordinary: these repeat the one before.
    pub(super) fn broken(&self, u: [f32; STEP], ordinary: u8, mut one: f32, mut two: f32) -> [f32; STEP] {
        let [a, b] = self.before();
        std::array::from_fn(|j| {
            let value = if ordinary >> j & 1 == 1 { (u[j] + b * two) + a * one } else { one };
            (two, one) = (one, value);
            value
        })
    }
}
