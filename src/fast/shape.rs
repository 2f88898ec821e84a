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

    /// Positions along the outer axes of row `r`.
    pub(super) fn position(&self, r: usize) -> [usize; OUTER] {
        let [_, b, c] = self.outer;
        [r / (b * c), r / c % b, r % c]
    }
}

/// Most rows that are predicted side by side.
pub(super) const ABREAST: usize = 4;

/// Rows in the order in which they are coded, in groups whose rows do not need each other: along the last two outer axes, four
/// planes advance together, each two rows behind the one before.
#[derive(Debug)]
pub(super) struct Wavefront {
    shape: Shape,
    /// First plane of the group of planes.
    plane: usize,
    /// Row of that plane.
    front: usize,
}

impl Wavefront {
    pub(super) fn new(shape: &Shape) -> Self {
        Wavefront { shape: shape.clone(), plane: 0, front: 0 }
    }

    /// Fills in the next group of rows; false at the end.
    pub(super) fn next(&mut self, group: &mut Vec<usize>) -> bool {
        let [slices, planes, rows] = self.shape.outer;
        if self.plane >= slices * planes {
            return false;
        }
        let abreast = ABREAST.min(planes - self.plane % planes);
        group.clear();
        for k in 0..abreast {
            match self.front.checked_sub(2 * k) {
                Some(row) if row < rows => group.push((self.plane + k) * rows + row),
                _ => {}
            }
        }
        self.front += 1;
        if self.front >= rows + 2 * (abreast - 1) {
            (self.plane, self.front) = (self.plane + abreast, 0);
        }
        true
    }
}

/// Which of the latest rows are kept where.
#[derive(Debug)]
pub(super) struct Ring {
    len: usize,
}

impl Ring {
    /// Keeps the rows that the wavefront needs: those up to `back` before a row along each outer axis.
    pub(super) fn new(shape: &Shape, back: usize) -> Self {
        let [slices, planes, rows] = shape.outer;
        let far = if slices > 1 { back * planes * rows } else { 0 };
        let wide = if planes > 1 { (back + ABREAST) * rows } else { 0 };
        Ring { len: shape.rows().min(far + wide + back + 1) }
    }

    /// Rows kept.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Place of row `r`.
    pub(super) fn slot(&self, r: usize) -> usize {
        r % self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wavefront_visits_every_row_once() {
        for outer in [[1, 1, 1], [1, 1, 9], [2, 3, 1], [1, 9, 2], [2, 5, 7], [1, 4, 4]] {
            let shape = Shape { row: 40, outer };
            let mut front = Wavefront::new(&shape);
            let (mut seen, mut group) = (vec![false; shape.rows()], Vec::new());
            while front.next(&mut group) {
                for r in &group {
                    assert!(!std::mem::replace(&mut seen[*r], true));
                }
            }
            assert!(seen.iter().all(|s| *s));
        }
    }

    #[test]
    fn short_rows_are_joined_and_outer_axes_limited() {
        assert_eq!(Shape::new(&[1]), Shape { row: 1, outer: [1, 1, 1] });
        assert_eq!(Shape::new(&[7, 3, 4]), Shape { row: 84, outer: [1, 1, 1] });
        assert_eq!(Shape::new(&[100, 1, 40]), Shape { row: 40, outer: [1, 1, 100] });
        assert_eq!(Shape::new(&[2, 3, 4, 5, 64]), Shape { row: 64, outer: [6, 4, 5] });
    }
}
