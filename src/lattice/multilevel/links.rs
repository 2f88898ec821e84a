//! Neighbors of the points of a pass, as offsets that are checked once per line.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    reason = "coordinates stay below the number of points; axes index arrays of AXES, neighbors the caller's own list"
)]

use super::pass::{AXES, Pass, Shape};

/// A neighbor as an offset, with the range of inner coordinates in which it is inside the grid.
#[derive(Debug, Clone, Copy)]
struct Link {
    delta: [i8; AXES],
    offset: isize,
    low: usize,
    high: usize,
    /// Whether the outer coordinates of the line allow it.
    open: bool,
}

/// The neighbors of one pass.
#[derive(Debug)]
pub(crate) struct Links {
    all: Vec<Link>,
    /// Inner coordinates in which those that the line allows are inside the grid.
    low: usize,
    high: usize,
    /// Whether the line allows all.
    inside: bool,
}

impl Links {
    pub(crate) fn new(deltas: impl Iterator<Item = [i8; AXES]>, pass: &Pass, shape: &Shape) -> Self {
        let inner = AXES - 1;
        let extent = shape.extents[inner];
        let all = deltas
            .map(|delta| {
                let offset =
                    (0..AXES).map(|a| isize::from(delta[a]) * (pass.unit[a] * shape.strides[a]) as isize).sum();
                let reach = isize::from(delta[inner]) * pass.unit[inner] as isize;
                let high = extent.saturating_sub(1 + reach.max(0) as usize);
                // An empty range has its low end above all.
                let low = if reach.unsigned_abs() >= extent { usize::MAX } else { (-reach).max(0) as usize };
                Link { delta, offset, low, high, open: false }
            })
            .collect();
        Links { all, low: 0, high: 0, inside: false }
    }

    /// Prepares for a line with outer coordinates `at`.
    pub(crate) fn enter(&mut self, at: &[usize; AXES], pass: &Pass, shape: &Shape) {
        self.inside = true;
        (self.low, self.high) = (0, usize::MAX);
        for l in &mut self.all {
            l.open = (0..AXES - 1)
                .all(|a| at[a].wrapping_add_signed(isize::from(l.delta[a]) * pass.unit[a] as isize) < shape.extents[a]);
            self.inside &= l.open;
            if l.open {
                self.low = self.low.max(l.low);
                self.high = self.high.min(l.high);
            }
        }
    }

    /// Whether the neighbors of the point with inner coordinate `x` that the line allows are inside the grid.
    #[inline(always)]
    pub(crate) fn reaches(&self, x: usize) -> bool {
        x >= self.low && x <= self.high
    }

    /// Offsets of the first neighbors that the line allows; `None` for the others.
    pub(crate) fn open<const N: usize>(&self) -> [Option<isize>; N] {
        std::array::from_fn(|n| self.all.get(n).filter(|l| l.open).map(|l| l.offset))
    }

    /// Whether all neighbors of the point with inner coordinate `x` are inside the grid.
    #[inline(always)]
    pub(crate) fn surrounds(&self, x: usize) -> bool {
        self.inside && self.reaches(x)
    }

    /// Index of neighbor `n` of the point `i` with inner coordinate `x`.
    #[inline(always)]
    pub(crate) fn index(&self, n: usize, i: usize, x: usize) -> Option<usize> {
        let l = &self.all[n];
        let ok = self.surrounds(x) || (l.open && x >= l.low && x <= l.high);
        ok.then(|| i.wrapping_add_signed(l.offset))
    }

    /// [`Self::index`] of all neighbors in order.
    #[inline(always)]
    pub(crate) fn indexes(&self, i: usize, x: usize) -> impl Iterator<Item = Option<usize>> {
        let all = self.surrounds(x);
        self.all.iter().map(move |l| {
            let ok = all || (l.open && x >= l.low && x <= l.high);
            ok.then(|| i.wrapping_add_signed(l.offset))
        })
    }

    /// Offsets of the first neighbors.
    pub(crate) fn offsets<const N: usize>(&self) -> [isize; N] {
        std::array::from_fn(|n| self.all.get(n).map_or(0, |l| l.offset))
    }
}
