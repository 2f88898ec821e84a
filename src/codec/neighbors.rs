//! Where the neighbors of a point lie in the flat order of a frame (SPEC 7.7.1).

/// Distances, in flat C order, to the neighbors one row and one plane back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Neighbors {
    /// Distance to the point one row back; `None` if fewer than two extents exceed 1.
    row: Option<usize>,
    /// Distance to the point one plane back; `None` if fewer than three extents exceed 1.
    plane: Option<usize>,
}

impl Neighbors {
    /// For a frame of extents `dims`; extents of 1 do not count.
    pub(crate) fn new(dims: &[usize]) -> Self {
        let mut wide = dims.iter().rev().filter(|d| **d > 1);
        let (x, y, z) = (wide.next(), wide.next(), wide.next());
        let row = y.and(x).copied();
        let plane = z.and(row).and_then(|r| y.and_then(|y| r.checked_mul(*y)));
        Neighbors { row, plane }
    }

    /// What `values` holds at the neighbor of `i`, or `none` where there is no such point.
    #[inline(always)]
    pub(crate) fn at<T: Copy>(self, values: &[T], i: usize, place: Place, none: T) -> T {
        let j = match place {
            Place::West => i.checked_sub(1),
            Place::WestWest => i.checked_sub(2),
            Place::North => self.row.and_then(|r| i.checked_sub(r)),
            Place::NorthEast => self.row.and_then(|r| i.checked_sub(r.saturating_sub(1))),
            Place::NorthWest => self.row.and_then(|r| i.checked_sub(r.saturating_add(1))),
            Place::Below => self.plane.and_then(|p| i.checked_sub(p)),
            Place::BelowWest => self.plane.and_then(|p| i.checked_sub(p.saturating_add(1))),
            Place::BelowNorth => self.plane.zip(self.row).and_then(|(p, r)| i.checked_sub(p.saturating_add(r))),
            Place::BelowNorthWest => {
                self.plane.zip(self.row).and_then(|(p, r)| i.checked_sub(p.saturating_add(r).saturating_add(1)))
            }
        };
        j.and_then(|j| values.get(j).copied()).unwrap_or(none)
    }
}

/// A neighbor that comes earlier in flat order. Rows wrap: the west neighbor of a row's first point is the last
/// point of the row before.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    West,
    WestWest,
    North,
    NorthEast,
    NorthWest,
    Below,
    BelowWest,
    BelowNorth,
    BelowNorthWest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_of_one_do_not_count() {
        assert_eq!(Neighbors::new(&[1, 7, 1]), Neighbors { row: None, plane: None });
        assert_eq!(Neighbors::new(&[5, 1, 7]), Neighbors { row: Some(7), plane: None });
        assert_eq!(Neighbors::new(&[4, 5, 1, 7]), Neighbors { row: Some(7), plane: Some(35) });
    }

    #[test]
    fn points_before_the_first_are_absent() {
        let n = Neighbors::new(&[2, 3]);
        let v = [10, 11, 12, 13, 14, 15];
        assert_eq!(n.at(&v, 0, Place::West, -1), -1);
        assert_eq!(n.at(&v, 3, Place::West, -1), 12);
        assert_eq!(n.at(&v, 3, Place::North, -1), 10);
        assert_eq!(n.at(&v, 3, Place::NorthEast, -1), 11);
        assert_eq!(n.at(&v, 3, Place::NorthWest, -1), -1);
        assert_eq!(n.at(&v, 5, Place::Below, -1), -1);
    }
}
