//! Which points lie before a point in C order and near it (SPEC 9.3.2).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "coordinates lie inside extents whose product is the number of points, checked when the shape is made"
)]

/// Axes that a shape distinguishes; slower ones are merged into the slowest.
pub(super) const MAX_AXES: usize = 5;

/// Displacement on each axis, the fastest first.
pub(super) type Tap = [i8; MAX_AXES];

/// Extents of a grid as the raster kernel sees it, the fastest axis first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    /// At least one; all of at least 2 unless there is one point.
    pub(super) extents: Vec<usize>,
    /// Distance in C order of neighbors on each axis.
    pub(super) strides: Vec<usize>,
}

impl Shape {
    /// The shape of a grid: extents of 1 dropped, the slowest axes merged when there are more than `MAX_AXES`.
    pub(super) fn of_grid(dims: &[usize]) -> Self {
        let mut extents: Vec<usize> = dims.iter().rev().copied().filter(|n| *n > 1).collect();
        if extents.is_empty() {
            extents.push(1);
        }
        while extents.len() > MAX_AXES {
            let slowest = extents.pop().unwrap_or(1);
            if let Some(last) = extents.last_mut() {
                *last *= slowest;
            }
        }
        Self::from_extents(extents)
    }

    /// `len` points in rows of `inner[0]`, planes of `inner[1]` rows, and so on; the last row may be incomplete.
    pub(super) fn of_period(len: usize, inner: &[usize]) -> Self {
        let unit: usize = inner.iter().product();
        let mut extents = inner.to_vec();
        extents.push(len.div_ceil(unit.max(1)));
        Self::from_extents(extents)
    }

    fn from_extents(extents: Vec<usize>) -> Self {
        let mut strides = vec![1];
        for n in &extents[..extents.len() - 1] {
            strides.push(strides[strides.len() - 1] * n);
        }
        Shape { extents, strides }
    }

    pub(super) fn axes(&self) -> usize {
        self.extents.len()
    }
}

/// The taps of a predictor over `axes` axes, nearest first (SPEC 9.3.2).
pub(super) fn taps(axes: usize, count: usize) -> Vec<Tap> {
    let reach: i8 = if axes == 1 { 16 } else { 3 };
    let mut found: Vec<(i32, Tap)> = Vec::new();
    let mut tap: Tap = [0; MAX_AXES];
    tap[..axes].fill(-reach);
    loop {
        // Causal: the slowest axis that differs lies before.
        if tap.iter().rev().find(|c| **c != 0).is_some_and(|c| *c < 0) {
            let one: i32 = tap.iter().map(|c| i32::from(c.abs())).sum();
            let two: i32 = tap.iter().map(|c| i32::from(*c) * i32::from(*c)).sum();
            found.push((2 * one + two, tap));
        }
        let mut axis = 0;
        while axis < axes && tap[axis] == reach {
            tap[axis] = -reach;
            axis += 1;
        }
        if axis == axes {
            break;
        }
        tap[axis] += 1;
    }
    // Nearest first; among equals the one that lies latest in C order.
    found.sort_by_key(|(key, t)| (*key, std::cmp::Reverse([t[4], t[3], t[2], t[1], t[0]])));
    found.into_iter().map(|(_, t)| t).take(count).collect()
}

/// Walks over the points of a shape in C order and finds where the taps of each are.
#[derive(Debug)]
pub(super) struct Walk {
    shape: Shape,
    taps: Vec<Tap>,
    /// Distance back to each tap at the current point; 0 where there is none at all.
    pub(super) back: Vec<usize>,
    /// Distance back over the slower axes, and displacement on the fastest.
    row: Vec<(usize, isize)>,
    /// `back` away from both ends of the row.
    interior: Vec<usize>,
    /// Distance back to stand in for what lies before the first point of a row.
    before: usize,
    /// Coordinates, the fastest axis first.
    pub(super) at: [usize; MAX_AXES],
    reach: usize,
    in_interior: bool,
}

impl Walk {
    pub(super) fn new(shape: Shape, taps: Vec<Tap>) -> Self {
        let reach = taps.iter().map(|t| usize::from(t[0].unsigned_abs())).max().unwrap_or(0);
        let n = taps.len();
        let mut walk = Walk {
            shape,
            taps,
            back: vec![0; n],
            row: vec![(0, 0); n],
            interior: vec![0; n],
            before: 0,
            at: [0; MAX_AXES],
            reach,
            in_interior: false,
        };
        walk.start_row();
        walk.place();
        walk
    }

    /// Goes to the next point.
    #[inline(always)]
    pub(super) fn step(&mut self) {
        self.at[0] += 1;
        if self.at[0] == self.shape.extents[0] {
            self.at[0] = 0;
            for axis in 1..self.shape.axes() {
                self.at[axis] += 1;
                if self.at[axis] < self.shape.extents[axis] {
                    break;
                }
                self.at[axis] = 0;
            }
            self.start_row();
        }
        self.place();
    }

    fn start_row(&mut self) {
        let axes = self.shape.axes();
        self.before = (1..axes).find(|a| self.at[*a] > 0).map_or(0, |a| self.shape.strides[a]);
        for (slot, tap) in self.row.iter_mut().zip(&self.taps) {
            // Components that leave the shape are dropped; what is then not causal becomes the point before.
            let mut distance = 0isize;
            let mut slowest = 0i8;
            for (axis, c) in tap.iter().enumerate().take(axes).skip(1) {
                let to = self.at[axis].checked_add_signed(isize::from(*c));
                if *c != 0 && to.is_some_and(|to| to < self.shape.extents[axis]) {
                    slowest = *c;
                    distance -= isize::from(*c) * self.shape.strides[axis].cast_signed();
                }
            }
            let dx = isize::from(tap[0]);
            *slot = match slowest {
                1.. => (0, -1),
                0 if dx >= 0 => (0, -1),
                _ => (distance.unsigned_abs(), dx),
            };
        }
        for (interior, (distance, dx)) in self.interior.iter_mut().zip(&self.row) {
            *interior = distance.wrapping_add_signed(-dx);
        }
        self.in_interior = false;
    }

    #[inline(always)]
    fn place(&mut self) {
        let x = self.at[0];
        let width = self.shape.extents[0];
        if x >= self.reach && x + self.reach < width {
            if !self.in_interior {
                self.back.copy_from_slice(&self.interior);
                self.in_interior = true;
            }
            return;
        }
        self.in_interior = false;
        for (back, (distance, dx)) in self.back.iter_mut().zip(&self.row) {
            let to = x.saturating_add_signed(*dx).min(width - 1);
            *back = if *distance == 0 && x == 0 { self.before } else { distance + x - to };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_are_causal_and_inside() {
        for extents in [vec![7], vec![5, 4], vec![3, 2, 4], vec![2, 3, 2, 2], vec![2, 2, 3, 2, 2]] {
            let dims: Vec<usize> = extents.iter().rev().copied().collect();
            let shape = Shape::of_grid(&dims);
            let n: usize = dims.iter().product();
            let mut walk = Walk::new(shape.clone(), taps(shape.axes(), 30));
            for i in 0..n {
                for back in &walk.back {
                    assert!(*back <= i && (i == 0 || *back > 0), "{extents:?} {i} {back}");
                }
                walk.step();
            }
        }
    }

    #[test]
    fn nearest_taps_come_first() {
        let t = taps(2, 4);
        assert_eq!(t, vec![[-1, 0, 0, 0, 0], [0, -1, 0, 0, 0], [1, -1, 0, 0, 0], [-1, -1, 0, 0, 0]]);
    }
}
