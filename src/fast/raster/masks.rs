//! Which points of rows are ordinary, a step of eight in a byte.

use super::shape::Shape;
use super::stencil::STEP;
use crate::fast::eight::gather;
use crate::vector::vectorize;

/// A step all of whose points are ordinary.
pub(super) const WHOLE: u8 = u8::MAX;

/// The steps of all rows. Past the end of a row its last point is repeated.
#[derive(Debug)]
pub(super) struct Masks {
    steps: usize,
    bytes: Vec<u8>,
}

impl Masks {
    pub(super) fn new(shape: &Shape, ordinary: &[bool]) -> Self {
        vectorize!(_simd => Masks::pack(shape, ordinary))
    }

    #[inline(always)]
    fn pack(shape: &Shape, ordinary: &[bool]) -> Self {
        let steps = shape.row.div_ceil(STEP);
        let mut bytes = vec![0; steps * shape.rows()];
        for (to, row) in bytes.chunks_exact_mut(steps).zip(ordinary.chunks_exact(shape.row)) {
            let (whole, rest) = row.as_chunks::<STEP>();
            for (to, points) in to.iter_mut().zip(whole) {
                *to = gather(points.map(u8::from), 0);
            }
            if let ([.., to], [.., last]) = (to, rest) {
                *to = (0..STEP).map(|j| u8::from(*rest.get(j).unwrap_or(last)) << j).sum();
            }
        }
        Masks { steps, bytes }
    }

    /// The steps of row `r`, unless all its points are ordinary.
    #[inline(always)]
    pub(super) fn row(&self, r: usize) -> Option<&[u8]> {
        let row = self.bytes.get(r * self.steps..(r + 1) * self.steps)?;
        (row.iter().fold(WHOLE, |all, s| all & s) != WHOLE).then_some(row)
    }
}
