//! Levels of a grid: each halves some axes of the one before (SPEC 9.4.6).

/// Axes: three outer ones and the one along a row, slowest first.
pub(in crate::fast) const AXES: usize = 4;
/// The axis along a row.
pub(in crate::fast) const ROW: usize = AXES - 1;
/// Codes that share a class, and points that are predicted together.
pub(in crate::fast) const STEP: usize = 8;
/// Values before the first of a row and after its last.
pub(in crate::fast) const LEFT: usize = 1;
const RIGHT: usize = 7;

/// The grid as the mode sees it: axes of extent 1 dropped, the first ones joined until four are left.
pub(in crate::fast) fn axes(dims: &[usize]) -> [usize; AXES] {
    let mut d: Vec<usize> = dims.iter().copied().filter(|n| *n > 1).collect();
    while d.len() > AXES {
        let first = d.remove(0);
        d[0] *= first;
    }
    while d.len() < AXES {
        d.insert(0, 1);
    }
    [d[0], d[1], d[2], d[3]]
}

/// One level: a grid, and which of its points the next coarser one has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::fast) struct Level {
    pub(in crate::fast) dims: [usize; AXES],
    /// The axes along which the coarser level has the even points only.
    pub(in crate::fast) halved: [bool; AXES],
}

/// The levels from the finest on, until one point is left.
pub(in crate::fast) fn levels(dims: [usize; AXES], starts: [u8; AXES]) -> Vec<Level> {
    let mut levels = Vec::new();
    let mut dims = dims;
    while dims != [1; AXES] {
        let number = levels.len();
        let long: [bool; AXES] = std::array::from_fn(|a| dims[a] > 1);
        let due: [bool; AXES] = std::array::from_fn(|a| long[a] && usize::from(starts[a]) <= number);
        let halved = if due.contains(&true) { due } else { long };
        levels.push(Level { dims, halved });
        for a in 0..AXES {
            if halved[a] {
                dims[a] = dims[a].div_ceil(2);
            }
        }
    }
    levels
}

impl Level {
    /// The one point that all levels lead to.
    pub(in crate::fast) const TOP: Level = Level { dims: [1; AXES], halved: [false; AXES] };

    /// Rows, those of the coarser level among them.
    pub(in crate::fast) fn rows(&self) -> usize {
        self.dims[..ROW].iter().product()
    }

    /// Points of a row at even positions, or all where rows are not halved.
    pub(in crate::fast) fn even(&self) -> usize {
        if self.halved[ROW] { self.dims[ROW].div_ceil(2) } else { self.dims[ROW] }
    }

    /// Points of a row at odd positions.
    pub(in crate::fast) fn odd(&self) -> usize {
        self.dims[ROW] - self.even()
    }

    /// Parts of a row: points at even positions and, where there are any, at odd ones.
    pub(in crate::fast) fn parts(&self) -> usize {
        1 + usize::from(self.halved[ROW])
    }

    /// Room for a part of a row.
    pub(in crate::fast) fn pitch(&self) -> usize {
        self.even().next_multiple_of(STEP) + LEFT + RIGHT
    }

    /// Blocks of a part of a row, and one without codes at each end.
    pub(in crate::fast) fn block_pitch(&self) -> usize {
        self.even().div_ceil(STEP) + 2
    }

    /// Distance between neighbors along each outer axis, in rows.
    pub(in crate::fast) fn strides(&self) -> [usize; ROW] {
        [self.dims[1] * self.dims[2], self.dims[2], 1]
    }

    /// Whether a row at position `p` along axis 2 has all the rows along that axis that its pass may ask for.
    #[inline(always)]
    pub(in crate::fast) fn is_inside(&self, pass: usize, p: usize) -> bool {
        let n = self.dims[2];
        if pass >> 2 & 1 == 1 { p >= 3 && p + 3 < n } else { p >= 2 }
    }

    /// Number of part `part` of row `r`.
    pub(in crate::fast) fn part(&self, part: usize, r: usize) -> usize {
        part * self.rows() + r
    }

    /// The row here of each row of the coarser level, in order.
    pub(in crate::fast) fn kept(&self) -> impl Iterator<Item = usize> + use<> {
        self.positions(0).map({
            let strides = self.strides();
            move |p| (0..ROW).map(|a| p[a] * strides[a]).sum()
        })
    }

    /// Positions of the rows that have odd positions along the axes of `pass` and even ones along the others that are halved.
    pub(in crate::fast) fn positions(&self, pass: usize) -> impl Iterator<Item = [usize; ROW]> + use<> {
        let of = |a: usize| {
            let first = pass >> a & 1;
            (first..self.dims[a]).step_by(1 + usize::from(self.halved[a]))
        };
        let (slow, middle, fast) = (of(0), of(1), of(2));
        slow.flat_map(move |i| {
            let fast = fast.clone();
            middle.clone().flat_map(move |j| fast.clone().map(move |k| [i, j, k]))
        })
    }

    /// The passes: sets of axes, bit `a` for axis `a`, along which their points have odd positions; smaller sets first.
    pub(in crate::fast) fn passes(&self) -> Vec<usize> {
        let all: usize = (0..AXES).map(|a| usize::from(self.halved[a]) << a).sum();
        let mut passes: Vec<usize> = (1..1 << AXES).filter(|p| p & !all == 0).collect();
        passes.sort_by_key(|p| (p.count_ones(), *p));
        passes
    }
}
