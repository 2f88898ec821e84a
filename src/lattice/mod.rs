//! Lattice correction (SPEC 9): what a closed loop predicts from points already decoded is corrected by a whole
//! number of steps, and that number is coded in context.

mod blocks;
mod causal;
mod copies;
mod decision;
pub(crate) mod exact;
mod learner;
mod matches;
pub(crate) mod multilevel;
mod opinion;
pub(crate) mod raster;
pub(crate) mod residual;

/// The points of one frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grid<'a> {
    /// Extent of each dimension, C order (the last varies fastest); 1 to 8 of them, each at least 1.
    pub(crate) dims: &'a [usize],
    /// Which points hold ordinary values; `None` if all do. The others are never predicted from and cost nothing.
    pub(crate) ordinary: Option<&'a [bool]>,
}

impl Grid<'_> {
    /// Number of points, ordinary or not.
    pub(crate) fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// Whether point `i` holds an ordinary value.
    #[inline(always)]
    pub(crate) fn is_ordinary(&self, i: usize) -> bool {
        self.ordinary.is_none_or(|o| o.get(i).copied().unwrap_or(false))
    }
}
