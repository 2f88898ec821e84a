//! How the kernel sees a grid: rows, in up to three outer axes (SPEC 9.4.2).

/// Most axes beside the one along a row.
pub(super) const OUTER: usize = 3;
/// Rows shorter than this are joined with their neighbors.
const SHORTEST_ROW: usize = 32;

/// Rows of equal length over outer axes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    /// Points of a row.
    pub(super) row: usize,
    /// Extents of the outer axes, slowest first; an absent axis has extent 1 and comes first.
    pub(super) outer: [usize; OUTER],
}

impl Shape {
    /// Drops axes of extent 1, joins the last axes until rows are long enough and the first ones until three are left.
    pub(super) fn new(dims: &[usize]) -> Self {
        let mut d: Vec<usize> = dims.iter().copied().filter(|n| *n > 1).collect();
        let mut row = d.pop().unwrap_or(1);
        while row < SHORTEST_ROW {
            match d.pop() {
                Some(n) => row *= n,
                None => break,
            }
        }
        while d.len() > OUTER {
            let first = d.remove(0);
            d[0] *= first;
        }
        while d.len() < OUTER {
            d.insert(0, 1);
        }
        Shape { row, outer: [d[0], d[1], d[2]] }
    }

    /// Number of rows.
    pub(super) fn rows(&self) -> usize {
        self.outer.iter().product()
    }

    /// Distance between neighbors along each outer axis, in rows.
    pub(super) fn strides(&self) -> [usize; OUTER] {
        [self.outer[1] * self.outer[2], self.outer[2], 1]
    }

    /// Moves `position` along the outer axes from a row to the next one.
    #[inline(always)]
    pub(super) fn advance(&self, position: &mut [usize; OUTER]) {
        for a in (0..OUTER).rev() {
            position[a] += 1;
            if position[a] < self.outer[a] {
                return;
            }
            position[a] = 0;
        }
    }

    /// Positions along the outer axes of row `r`.
    pub(super) fn position(&self, r: usize) -> [usize; OUTER] {
        let [_, b, c] = self.outer;
        [r / (b * c), r / c % b, r % c]
    }
}

/// Which of the latest rows are kept where.
#[derive(Debug)]
pub(super) struct Ring {
    len: usize,
}

impl Ring {
    /// Keeps `abreast` rows and those up to `back` before each along each outer axis.
    pub(super) fn new(shape: &Shape, back: usize, abreast: usize) -> Self {
        let [slices, planes, rows] = shape.outer;
        let far = if slices > 1 { back * planes * rows } else { 0 };
        let wide = if planes > 1 { back * rows } else { 0 };
        Ring { len: shape.rows().min(far + wide + back + abreast) }
    }

    /// Rows kept.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Place of row `r`.
    pub(super) fn slot(&self, r: usize) -> usize {
        r % self.len
    }

    /// Place of the row so many before one at `slot`; fewer than are kept.
    #[inline(always)]
    pub(super) fn before(&self, slot: usize, rows: usize) -> usize {
        if slot >= rows { slot - rows } else { slot + self.len - rows }
    }

    /// Place of the row after one at `slot`.
    #[inline(always)]
    pub(super) fn after(&self, slot: usize) -> usize {
        if slot + 1 < self.len { slot + 1 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_rows_are_joined_and_outer_axes_limited() {
        assert_eq!(Shape::new(&[1]), Shape { row: 1, outer: [1, 1, 1] });
        assert_eq!(Shape::new(&[7, 3, 4]), Shape { row: 84, outer: [1, 1, 1] });
        assert_eq!(Shape::new(&[100, 1, 40]), Shape { row: 40, outer: [1, 1, 100] });
        assert_eq!(Shape::new(&[2, 3, 4, 5, 64]), Shape { row: 64, outer: [6, 4, 5] });
    }
}
