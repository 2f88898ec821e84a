//! Learns the weights of stencils by least squares, reweighted until the few large errors hardly count.

use super::predictor::kinds;
use super::shape::{OUTER, Shape};
use super::stencil::{Layout, MOST_TAPS, ONE, PAD, Weights};
use crate::fast::Sample;
use crate::fast::scale::Scale;
use crate::lattice::Grid;
use fearless_simd::Simd;

/// Most weights to learn at once.
const MOST: usize = MOST_TAPS + 1;
const HALF: usize = MOST / 2;
/// Kinds of rows with fewer points take the default weights.
const FEWEST_POINTS: usize = 512;
/// Points per sample; of few points more are looked at.
const SPACING: usize = 64;
const CLOSEST: usize = 16;
const ENOUGH: usize = 256;
/// Bounds on the samples of one kind.
const SAMPLES: (usize, usize) = (64, 768);
/// Samples from one row.
const PER_ROW: usize = 8;
/// Rounds of reweighting, and how many of them look at a quarter of the samples only.
const ROUNDS: usize = 3;
const ROUGH_ROUNDS: usize = 2;
/// Variance of what quantization does to a neighbor, in steps squared: in a closed loop much less than the 1/12 of open rounding.
const NOISE: f32 = 0.25 / 12.0;

/// What one point has to say: its neighbors and itself, less the point before, in steps.
struct Equation {
    neighbors: [f32; MOST],
    target: f32,
    /// Mean square of the neighbors.
    activity: f32,
}

/// What was learned on values of a frame.
pub(in crate::fast) struct Learned {
    /// The weights of each kind of row.
    pub(super) weights: Vec<(usize, Weights)>,
    /// Bits that a point takes, mostly within a quarter; `None` if there are too few to tell.
    pub(in crate::fast) bits: Option<f32>,
}

/// Learns the weights for all kinds of rows.
#[inline(always)]
pub(super) fn learn<S: Simd, T: Sample>(simd: S, values: &[T], grid: &Grid, scale: &Scale) -> Learned {
    let shape = Shape::new(grid.dims);
    let mut learned = Learned { weights: Vec::new(), bits: None };
    let (mut bits, mut points) = (0.0, 0.0);
    for kind in kinds(&shape) {
        let layout = Layout::new(kind);
        let population = population(&shape, kind);
        let n = layout.taps.len() + 1;
        let mut weights = Weights::default_for(&layout);
        if population >= FEWEST_POINTS && n <= MOST {
            let equations = sample(kind, &layout, &shape, values, scale, grid.ordinary, population);
            weights = fit(simd, &equations, n).filter(Weights::is_tame).unwrap_or(weights);
            // Points that are not ordinary take nothing.
            let ordinary = equations.len() as f32 / count(population).next_multiple_of(PER_ROW) as f32;
            bits += each(&equations, &weights) * ordinary * population as f32;
            points += population as f32;
        }
        learned.weights.push((kind, weights));
    }
    learned.bits = (points > 0.0).then_some(bits / points);
    learned
}

/// Bits that a point takes, by how well weights predict some of them.
fn each(equations: &[Equation], weights: &Weights) -> f32 {
    /// Squared errors, in steps, that take half a bit more than none.
    const QUIET: f32 = 0.02;
    /// As measured: what takes many bits is known better by its context than this tells, what takes few is so worse.
    const FACTOR: f32 = 0.78;
    const POWER: f32 = 0.8;
    let mut numbers = [0f32; MOST];
    let stored = [weights.before[1]].into_iter().chain(weights.taps.iter().copied());
    numbers.iter_mut().zip(stored).for_each(|(to, w)| *to = w as f32 / ONE as f32);
    let bits = |e: &Equation| {
        let predicted: f32 = numbers.iter().zip(&e.neighbors).map(|(w, d)| w * d).sum();
        (1.0 + (e.target - predicted) * (e.target - predicted) / QUIET).log2()
    };
    let all: f32 = equations.iter().map(bits).sum();
    FACTOR * (all / equations.len().max(1) as f32).powf(POWER)
}

/// Points of all rows of `kind`, about.
fn population(shape: &Shape, kind: usize) -> usize {
    let along = |a: usize| if kind >> a & 1 == 1 { shape.outer[a] - 1 } else { 1 };
    (0..OUTER).map(along).product::<usize>() * shape.row
}

/// Points that are looked at of so many.
fn count(population: usize) -> usize {
    (population / SPACING).max((population / CLOSEST).min(ENOUGH)).clamp(SAMPLES.0, SAMPLES.1)
}

/// Weights of the `n` neighbors by which the equations are solved best; `None` if they say too little or too much.
#[inline(always)]
fn fit<S: Simd>(simd: S, equations: &[Equation], n: usize) -> Option<Weights> {
    let mut weights = [0f32; MOST];
    for round in 0..ROUNDS {
        let used = if round < ROUGH_ROUNDS { equations.len().div_ceil(4).max(SAMPLES.0) } else { equations.len() };
        let used = &equations[..used.min(equations.len())];
        let mut system = normal(simd, used, n, (round > 0).then_some(&weights));
        weights = solve(&mut system, round + 1 == ROUNDS)?;
    }
    let whole = |w: f32| (f64::from(w) * f64::from(ONE) + 0.5).floor() as i32;
    Some(Weights::complete(whole(weights[0]), weights[1..n].iter().map(|w| whole(*w)).collect()))
}

/// Looks at points of rows of `kind`, at hashed positions: a stride could fall in step with the data.
#[inline(always)]
fn sample<T: Sample>(
    kind: usize,
    layout: &Layout,
    shape: &Shape,
    values: &[T],
    scale: &Scale,
    ordinary: Option<&[bool]>,
    population: usize,
) -> Vec<Equation> {
    let count = count(population);
    let mut equations = Vec::with_capacity(count + PER_ROW);
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |n: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (((seed >> 33) * n as u64) >> 31) as usize
    };
    let (strides, n) = (shape.strides(), shape.row);
    let mut rows = Vec::new();
    for _ in 0..count.div_ceil(PER_ROW) {
        let mut r = 0;
        for a in (0..OUTER).filter(|a| kind >> a & 1 == 1) {
            r += (1 + random(shape.outer[a] - 1)) * strides[a];
        }
        layout.rows(shape, r, shape.position(r), &mut rows);
        for _ in 0..PER_ROW {
            let x = random(n);
            let place = |r: usize, x: usize| {
                let i = r * n + x.clamp(PAD, n + PAD - 1) - PAD;
                if ordinary.is_some_and(|o| !o[i]) { None } else { Some(scale.place(values[i])) }
            };
            let Some(here) = place(r, x + 2) else { continue };
            let before = place(r, x + 1).unwrap_or(here);
            let mut neighbors = [0f32; MOST];
            neighbors[0] = place(r, x).unwrap_or(before) - before;
            let mut activity = 0.0;
            for (d, t) in neighbors[1..].iter_mut().zip(&layout.taps) {
                *d = place(rows[t.way], x + t.at).unwrap_or(before) - before;
                activity += *d * *d;
            }
            activity /= (layout.taps.len() + 1) as f32;
            equations.push(Equation { neighbors, target: here - before, activity });
        }
    }
    equations
}

/// The normal equations, each point trusted the less the worse `weights` predict it, or at first the more its neighbors differ.
#[inline(always)]
fn normal<S: Simd>(simd: S, equations: &[Equation], n: usize, weights: Option<&[f32; MOST]>) -> System {
    /// Squared errors and differences, in steps, that halve the trust.
    const ERROR: f32 = 0.3;
    const ACTIVITY: f32 = 8.0;
    let mut matrix = [[[0f32; HALF]; 2]; MOST];
    let mut right = [0f32; MOST];
    let (mut total, mut squares) = (0.0, 0.0);
    for e in equations {
        let trust = match weights {
            Some(w) => {
                let predicted: f32 = w.iter().zip(&e.neighbors).map(|(w, d)| w * d).sum();
                1.0 / (ERROR + (e.target - predicted) * (e.target - predicted))
            }
            None => 1.0 / (ACTIVITY + e.activity),
        };
        total += trust;
        // The matrix is symmetric: of its upper half whole vectors are added up.
        let [near, far] = e.neighbors.as_chunks::<HALF>().0 else { continue };
        let (near, far) = (simd.load_array_ref_f32x8(near), simd.load_array_ref_f32x8(far));
        for i in 0..n {
            let scaled = simd.splat_f32x8(trust * e.neighbors[i]);
            let [low, high] = &mut matrix[i];
            if i < HALF {
                let sum = simd.add_f32x8(simd.load_array_ref_f32x8(low), simd.mul_f32x8(scaled, near));
                simd.store_array_f32x8(sum, low);
            }
            let sum = simd.add_f32x8(simd.load_array_ref_f32x8(high), simd.mul_f32x8(scaled, far));
            simd.store_array_f32x8(sum, high);
        }
        let scaled = trust * e.target;
        squares += scaled * e.target;
        for (r, d) in right.iter_mut().zip(&e.neighbors) {
            *r += scaled * d;
        }
    }
    // All differences share the noise of the point before; each has that of its own neighbor too.
    let noise = NOISE * total;
    let mut cells = [[0f64; MOST + 1]; MOST + 1];
    for i in 0..n {
        for j in 0..n {
            cells[i][j] = f64::from(matrix[i.min(j)].as_flattened()[i.max(j)] + noise)
                + if i == j { f64::from(noise) } else { 0.0 };
        }
        cells[i][n] = f64::from(right[i] + noise);
        cells[n][i] = cells[i][n];
    }
    cells[n][n] = f64::from(squares + noise);
    System { cells, n }
}

/// A symmetric system with its right side as one more column, in which variables are solved for one after another
/// (the sweep operator).
struct System {
    cells: [[f64; MOST + 1]; MOST + 1],
    n: usize,
}

impl System {
    /// Solves for variable `k`; false if the system is singular.
    fn sweep(&mut self, k: usize) -> bool {
        self.pivot(k, 1.0)
    }

    /// Leaves variable `k` out again.
    fn unsweep(&mut self, k: usize) -> bool {
        self.pivot(k, -1.0)
    }

    fn pivot(&mut self, k: usize, sign: f64) -> bool {
        let d = self.cells[k][k];
        if !(d * sign > 0.0) {
            return false;
        }
        let row = self.cells[k];
        for i in (0..=self.n).filter(|i| *i != k) {
            let factor = self.cells[i][k] / d;
            for j in 0..=self.n {
                self.cells[i][j] -= factor * row[j];
            }
            self.cells[i][k] = factor * sign;
        }
        for j in 0..=self.n {
            self.cells[k][j] = row[j] / d * sign;
        }
        self.cells[k][k] = -1.0 / d;
        true
    }
}

/// Weights that solve the normal equations; with `prune`, those that matter least are left out. `None` if a weight would
/// be out of range.
fn solve(system: &mut System, prune: bool) -> Option<[f32; MOST]> {
    /// Taps in earlier rows that are kept at most: each costs time in every point.
    const MOST_KEPT: usize = 8;
    /// Taps whose loss raises the squared error by less than this part are left out anyway.
    const WORTH: f64 = 0.001;
    let n = system.n;
    let trace: f64 = (0..n).map(|i| system.cells[i][i]).sum();
    let ridge = trace / n as f64 * 1e-6 + 1e-6;
    for i in 0..n {
        system.cells[i][i] += ridge;
    }
    for i in 0..n {
        if !system.sweep(i) {
            return None;
        }
    }
    let mut kept: Vec<usize> = (1..n).collect();
    while prune && kept.len() > 1 {
        let rise = |k: usize| system.cells[k][n] * system.cells[k][n] / -system.cells[k][k];
        let mut least = 0;
        for (i, k) in kept.iter().enumerate() {
            if rise(*k) < rise(kept[least]) {
                least = i;
            }
        }
        let k = kept[least];
        if kept.len() <= MOST_KEPT && rise(k) > WORTH * system.cells[n][n] {
            break;
        }
        if !system.unsweep(k) {
            return None;
        }
        kept.swap_remove(least);
    }
    let mut weights = [0f32; MOST];
    weights[0] = system.cells[0][n] as f32;
    for k in kept {
        weights[k] = system.cells[k][n] as f32;
    }
    weights.iter().all(|w| w.abs() < 3.9).then_some(weights)
}
