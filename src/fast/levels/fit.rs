//! Learns the weights of a pass by least squares, reweighted until the few large errors hardly count.

use super::interpolate::{ONE, Weights};
use super::pyramid::{AXES, LEFT, Level, ROW};

/// Most weights of a pass that are free.
const MOST: usize = 2 * AXES - 1;
/// Samples of a pass.
const SAMPLES: usize = 256;
/// Samples from one row.
const PER_ROW: usize = 4;
const ROUNDS: usize = 4;
/// Largest distance that stands for what quantization does to a neighbor, in steps.
const NOISE: f32 = 0.25;

/// What one point has to say, less the mean of the near two along the first axis.
struct Equation {
    neighbors: [f32; MOST],
    target: f32,
}

/// Weights for a pass of `level`, whose values are `data`.
pub(super) fn fit(level: &Level, pass: usize, data: &[f32], ordinary: Option<&[bool]>) -> Weights {
    let n = 2 * pass.count_ones() as usize - 1;
    let equations = sample(level, pass, data, ordinary);
    if equations.len() < 8 * MOST {
        return Weights::cubic(pass);
    }
    let mut free = [0f64; MOST];
    for round in 0..ROUNDS {
        match solve(&equations, n, (round > 0).then_some(&free)) {
            Some(w) => free = w,
            None => return Weights::cubic(pass),
        }
    }
    let mut w = Weights::default();
    for (to, w) in w.free(pass).zip(free) {
        *to = (w * f64::from(ONE)).round() as i32;
    }
    w.complete(pass);
    if w.is_tame() { w } else { Weights::cubic(pass) }
}

/// Looks at points of the pass at hashed positions that have all their neighbors.
fn sample(level: &Level, pass: usize, data: &[f32], ordinary: Option<&[bool]>) -> Vec<Equation> {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |n: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (((seed >> 33) * n as u64) >> 31) as usize
    };
    let (strides, pitch) = (level.strides(), level.pitch());
    let part = pass >> ROW & 1;
    let mut equations = Vec::with_capacity(SAMPLES);
    // Odd positions with two even ones on each side.
    let whole = |a: usize| (level.dims[a].saturating_sub(1) / 2).saturating_sub(2);
    if (0..AXES).any(|a| pass >> a & 1 == 1 && whole(a) == 0) {
        return equations;
    }
    let along = if part == 1 { whole(ROW) } else { level.even() };
    for _ in 0..SAMPLES / PER_ROW {
        let mut r = 0;
        for a in 0..ROW {
            let i = match (level.halved[a], pass >> a & 1) {
                (false, _) => random(level.dims[a]),
                (true, 0) => 2 * random(level.dims[a].div_ceil(2)),
                _ => 2 * random(whole(a)) + 3,
            };
            r += i * strides[a];
        }
        for _ in 0..PER_ROW {
            let x = random(along) + part;
            let at = |part: usize, r: usize, x: usize| level.part(part, r) * pitch + LEFT + x;
            if ordinary.is_some_and(|o| !o[at(part, r, x)]) {
                continue;
            }
            let t = data[at(part, r, x)];
            let mut noisy = |i: usize| {
                let n = random(1 << 16) as f32 * (2.0 * NOISE / 65536.0) - NOISE;
                if ordinary.is_some_and(|o| !o[i]) { t } else { data[i] + n }
            };
            let mut reference = None;
            let mut e = Equation { neighbors: [0.0; MOST], target: 0.0 };
            let mut next = e.neighbors.iter_mut();
            for a in (0..AXES).filter(|a| pass >> a & 1 == 1) {
                let [b, c, d, f] = if a == ROW {
                    [at(0, r, x - 1), at(0, r, x), at(0, r, x + 1), at(0, r, x + 2)]
                } else {
                    let s = strides[a];
                    [at(part, r - 3 * s, x), at(part, r - s, x), at(part, r + s, x), at(part, r + 3 * s, x)]
                };
                let near = noisy(c) + noisy(d);
                let far = noisy(b) + noisy(f);
                match reference {
                    None => reference = Some(near),
                    Some(m) => {
                        if let Some(to) = next.next() {
                            *to = near - m;
                        }
                    }
                }
                if let (Some(to), Some(m)) = (next.next(), reference) {
                    *to = far - m;
                }
            }
            e.target = t - reference.unwrap_or(0.0) / 2.0;
            equations.push(e);
        }
    }
    equations
}

/// Solves the normal equations, each point trusted the less the worse `weights` predict it, or at first the more its neighbors differ.
fn solve(equations: &[Equation], n: usize, weights: Option<&[f64; MOST]>) -> Option<[f64; MOST]> {
    /// Squared errors and differences, in steps, that halve the trust.
    const ERROR: f32 = 0.3;
    const ACTIVITY: f32 = 8.0;
    let mut cells = [[0f64; MOST + 1]; MOST];
    for e in equations {
        let trust = match weights {
            Some(w) => {
                let predicted: f32 = w.iter().zip(&e.neighbors).map(|(w, d)| *w as f32 * d).sum();
                1.0 / (ERROR + (e.target - predicted) * (e.target - predicted))
            }
            None => 1.0 / (ACTIVITY + e.neighbors.iter().map(|d| d * d).sum::<f32>()),
        };
        for i in 0..n {
            let scaled = trust * e.neighbors[i];
            for j in i..n {
                cells[i][j] += f64::from(scaled * e.neighbors[j]);
            }
            cells[i][MOST] += f64::from(scaled * e.target);
        }
    }
    let trace: f64 = (0..n).map(|i| cells[i][i]).sum();
    let ridge = trace / n as f64 * 1e-6 + 1e-6;
    for i in 0..n {
        cells[i][i] += ridge;
        for j in 0..i {
            cells[i][j] = cells[j][i];
        }
    }
    for k in 0..n {
        let pivot = cells[k];
        if !(pivot[k] > 0.0) {
            return None;
        }
        for i in (0..n).filter(|i| *i != k) {
            let factor = cells[i][k] / pivot[k];
            for j in 0..=MOST {
                cells[i][j] -= factor * pivot[j];
            }
        }
    }
    let mut weights = [0f64; MOST];
    for k in 0..n {
        weights[k] = cells[k][MOST] / cells[k][k];
    }
    Some(weights)
}
