//! Learns the weights of stencils by least squares, reweighted until the few large errors hardly count.

use super::Sample;
use super::scale::Scale;
use super::shape::{OUTER, Shape};
use super::stencil::{Layout, MOST_TAPS, ONE, PAD, Weights};

/// Most weights to learn at once.
const MOST: usize = MOST_TAPS + 1;
/// Kinds of rows with fewer points take the default weights.
const FEWEST_POINTS: usize = 256;
/// Points per sample.
const SPACING: usize = 48;
/// Bounds on the samples of one kind.
const SAMPLES: (usize, usize) = (192, 3072);
/// Samples from one row.
const PER_ROW: usize = 4;
/// Rounds of reweighting, and how many of them look at a quarter of the samples only.
const ROUNDS: usize = 5;
const ROUGH_ROUNDS: usize = 3;
/// Variance of what quantization does to a neighbor, in steps squared: in a closed loop much less than the 1/12 of open rounding.
const NOISE: f32 = 0.1 / 12.0;

/// What one point has to say: its neighbors and itself, less the point before, in steps.
struct Equation {
    neighbors: [f32; MOST],
    target: f32,
    /// Mean square of the neighbors.
    activity: f32,
}

/// Weights for rows of `kind`.
pub(super) fn learn<T: Sample>(
    kind: usize,
    layout: &Layout,
    shape: &Shape,
    values: &[T],
    scale: &Scale,
    ordinary: Option<&[bool]>,
) -> Weights {
    let along = |a: usize| if kind >> a & 1 == 1 { shape.outer[a] - 1 } else { 1 };
    let population = (0..OUTER).map(along).product::<usize>() * shape.row;
    let n = layout.taps.len() + 1;
    if population < FEWEST_POINTS || n > MOST {
        return Weights::default_for(layout);
    }
    let equations = sample(kind, layout, shape, values, scale, ordinary, population);
    let mut weights = [0f32; MOST];
    for round in 0..ROUNDS {
        let used = if round < ROUGH_ROUNDS { equations.len().div_ceil(4).max(SAMPLES.0) } else { equations.len() };
        let used = &equations[..used.min(equations.len())];
        let (mut matrix, mut right) = normal(used, n, (round > 0).then_some(&weights));
        if solve(&mut matrix, &mut right, n).is_none() {
            return Weights::default_for(layout);
        }
        for (w, r) in weights.iter_mut().zip(right) {
            *w = r as f32;
        }
    }
    let whole = |w: f32| (f64::from(w) * f64::from(ONE) + 0.5).floor() as i32;
    Weights::complete(whole(weights[0]), weights[1..n].iter().map(|w| whole(*w)).collect())
}

/// Looks at points of rows of `kind`, at hashed positions: a stride could fall in step with the data.
fn sample<T: Sample>(
    kind: usize,
    layout: &Layout,
    shape: &Shape,
    values: &[T],
    scale: &Scale,
    ordinary: Option<&[bool]>,
    population: usize,
) -> Vec<Equation> {
    let count = (population / SPACING).clamp(SAMPLES.0, SAMPLES.1);
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
        layout.rows(shape, r, &mut rows);
        for _ in 0..PER_ROW {
            let x = random(n);
            let place = |r: usize, x: usize| {
                let i = r * n + x.clamp(PAD, n + PAD - 1) - PAD;
                if ordinary.is_some_and(|o| !o[i]) { None } else { Some(scale.place(values[i].to_f64())) }
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
fn normal(equations: &[Equation], n: usize, weights: Option<&[f32; MOST]>) -> ([[f64; MOST]; MOST], [f64; MOST]) {
    /// Squared errors and differences, in steps, that halve the trust.
    const ERROR: f32 = 0.3;
    const ACTIVITY: f32 = 8.0;
    let mut matrix = [[0f32; MOST]; MOST];
    let mut right = [0f32; MOST];
    let mut total = 0.0;
    for e in equations {
        let trust = match weights {
            Some(w) => {
                let predicted: f32 = w.iter().zip(&e.neighbors).map(|(w, d)| w * d).sum();
                1.0 / (ERROR + (e.target - predicted) * (e.target - predicted))
            }
            None => 1.0 / (ACTIVITY + e.activity),
        };
        total += trust;
        for (d, row) in e.neighbors[..n].iter().zip(&mut matrix) {
            let scaled = trust * d;
            for (m, d) in row.iter_mut().zip(&e.neighbors) {
                *m += scaled * d;
            }
        }
        let scaled = trust * e.target;
        for (r, d) in right.iter_mut().zip(&e.neighbors) {
            *r += scaled * d;
        }
    }
    // All differences share the noise of the point before; each has that of its own neighbor too.
    let noise = NOISE * total;
    let matrix = std::array::from_fn(|i| {
        std::array::from_fn(|j| f64::from(matrix[i][j] + noise) + if i == j { f64::from(noise) } else { 0.0 })
    });
    (matrix, right.map(|r| f64::from(r + noise)))
}

/// Solves the first `n` equations of a symmetric positive system in place by Cholesky's method; `None` if a weight would
/// be out of range.
fn solve(matrix: &mut [[f64; MOST]; MOST], right: &mut [f64; MOST], n: usize) -> Option<()> {
    let trace: f64 = (0..n).map(|i| matrix[i][i]).sum();
    let ridge = trace / n as f64 * 1e-4 + 1e-6;
    for i in 0..n {
        matrix[i][i] += ridge;
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| matrix[i][k] * matrix[j][k]).sum();
            let rest = matrix[i][j] - dot;
            if i == j {
                if !(rest > 0.0) {
                    return None;
                }
                matrix[i][i] = rest.sqrt();
            } else {
                matrix[i][j] = rest / matrix[j][j];
            }
        }
    }
    for i in 0..n {
        let dot: f64 = (0..i).map(|k| matrix[i][k] * right[k]).sum();
        right[i] = (right[i] - dot) / matrix[i][i];
    }
    for i in (0..n).rev() {
        let dot: f64 = (i + 1..n).map(|k| matrix[k][i] * right[k]).sum();
        right[i] = (right[i] - dot) / matrix[i][i];
    }
    right[n..].fill(0.0);
    right[..n].iter().all(|w| w.abs() < 3.9).then_some(())
}
