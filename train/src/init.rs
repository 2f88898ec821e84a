//! Where training starts: from principal components, or from nothing as the paper does.

use crate::autoencoder::{Autoencoder, Scale};
use crate::data::Blocks;
use crate::network::{Activation, Layer, Network};
use crate::random::Random;
use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView1, Axis, s};

/// The layers of an autoencoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Design {
    /// Extents of a block.
    pub block_shape: Vec<usize>,
    /// Widths of the encoder's hidden layers; the decoder has them in reverse.
    pub hidden: Vec<usize>,
    /// Latents of a block.
    pub latent_len: usize,
    /// Of the hidden layers.
    pub activation: Activation,
    /// Of the latents.
    pub latent_activation: Activation,
    /// Of the decoder's last layer.
    pub output_activation: Activation,
}

/// Blocks that principal components and the first fit are taken from, at most.
const SAMPLE: usize = 4096;

/// Rounds of subspace iteration.
const ROUNDS: usize = 8;

/// Standard deviation that first activations have: small enough to pass through nearly straight.
const GENTLE: f32 = 0.5;

/// Standard deviation that the decoder's first activations have: large enough to bend.
const BENT: f32 = 2.0;

impl Design {
    /// Widths from block to latents.
    fn widths(&self) -> Vec<usize> {
        let block = self.block_shape.iter().product();
        [block].into_iter().chain(self.hidden.iter().copied()).chain([self.latent_len]).collect()
    }

    /// The activation of the layer that ends at position `at` of `count` hidden layers.
    fn activation(&self, at: usize, last: Activation) -> Activation {
        if at == self.hidden.len() { last } else { self.activation }
    }

    fn scales(&self, data: &Blocks) -> (Scale, Scale) {
        let scale = Scale::of(data);
        let linear = self.output_activation == Activation::Identity;
        (scale, if linear { scale } else { Scale::NONE })
    }

    /// Random weights and values as they are: the paper's way.
    pub fn random(&self, random: &mut Random) -> Autoencoder {
        let widths = self.widths();
        let chain = |widths: &[usize], last: Activation, random: &mut Random| {
            let layer = |(i, w): (usize, &[usize])| Layer::random(w[0], w[1], self.activation(i, last), random);
            Network { layers: widths.windows(2).enumerate().map(layer).collect() }
        };
        let reversed: Vec<usize> = widths.iter().rev().copied().collect();
        Autoencoder {
            block_shape: self.block_shape.clone(),
            encoder: chain(&widths, self.latent_activation, random),
            decoder: chain(&reversed, self.output_activation, random),
            input: Scale::NONE,
            output: Scale::NONE,
        }
    }

    /// An encoder that gives about the principal components, and a decoder whose last layer fits the blocks best.
    pub fn principal(&self, data: &Blocks, random: &mut Random) -> Autoencoder {
        let (input, output) = self.scales(data);
        let step = data.len().div_ceil(SAMPLE).max(1);
        let sample = data.inputs.slice(s![..;step, ..]).mapv(|y| (y - input.mean) / input.spread);
        let wanted = self.hidden.iter().copied().max().unwrap_or(0).max(self.latent_len);
        let (mean, directions, spreads) = principal_components(&sample, wanted, random);
        let encoder = self.encoder(&mean, &directions, &spreads, random);
        let latents = encoder.run(sample.view());
        let mut decoder = self.decoder(&latents, random);
        let mut hidden = latents;
        let last = decoder.layers.pop();
        if !decoder.layers.is_empty() {
            hidden = decoder.run(hidden.view());
        }
        if let Some(mut layer) = last {
            let bent = layer.activation == Activation::Sigmoid;
            let targets = data.targets.slice(s![..;step, ..]);
            // A bent last layer starts at its middle slope, which is all that matters for a start.
            let wanted = targets.mapv(|y| match (y == 0.0, bent) {
                (true, false) => 0.0,
                (true, true) => (input.mean / (1.0 - input.mean)).ln(),
                (false, false) => (y - output.mean) / output.spread,
                (false, true) => {
                    let y = y.clamp(1e-3, 0.999);
                    (y / (1.0 - y)).ln()
                }
            });
            fit(&hidden, &wanted, &mut layer);
            decoder.layers.push(layer);
        }
        Autoencoder { block_shape: self.block_shape.clone(), encoder, decoder, input, output }
    }

    /// Passes the leading principal components from layer to layer, where activations are nearly straight.
    fn encoder(&self, mean: &Array1<f32>, directions: &Array2<f32>, spreads: &[f32], random: &mut Random) -> Network {
        let widths = self.widths();
        let known = directions.nrows();
        let mut layers = Vec::new();
        // What carries component j in the layer below: its value is offset + slope * component / spread.
        let (mut offset, mut slope) = (0.0f32, 1.0f32);
        for (i, w) in widths.windows(2).enumerate() {
            let activation = self.activation(i, self.latent_activation);
            let mut layer = Layer::random(w[0], w[1], activation, random);
            layer.weights *= if i == 0 { 0.3 } else { 0.1 };
            let (at, value, rise) = gentle(activation);
            let is_latent = i == self.hidden.len();
            let gain = if is_latent && activation == Activation::Identity { 1.0 } else { GENTLE };
            for j in 0..w[1].min(known).min(if i == 0 { known } else { w[0] }) {
                let mut column = layer.weights.column_mut(j);
                if i == 0 {
                    let spread = spreads[j].max(0.02 * spreads[0]).max(1e-6);
                    column.assign(&directions.row(j));
                    column.mapv_inplace(|v| v * gain / spread);
                    layer.bias[j] = at - column.dot(mean);
                } else {
                    column.mapv_inplace(|v| 0.05 * v);
                    column[j] = gain / slope;
                    layer.bias[j] = at - column.sum() * offset;
                }
            }
            (offset, slope) = (value, rise * gain);
            layers.push(layer);
        }
        Network { layers }
    }

    /// Random bends spread over the latents that occur.
    fn decoder(&self, latents: &Array2<f32>, random: &mut Random) -> Network {
        let widths: Vec<usize> = self.widths().into_iter().rev().collect();
        let mut layers = Vec::new();
        let mut below = latents.clone();
        for (i, w) in widths.windows(2).enumerate() {
            let mut layer = Layer::random(w[0], w[1], self.activation(i, self.output_activation), random);
            if i < self.hidden.len() {
                let sums = below.dot(&layer.weights);
                for (j, sums) in sums.columns().into_iter().enumerate() {
                    let (mean, spread) = moments(sums);
                    let gain = BENT / spread.max(1e-6);
                    layer.weights.column_mut(j).mapv_inplace(|v| v * gain);
                    layer.bias[j] = -mean * gain + (random.uniform() as f32 - 0.5) * 3.0 * BENT;
                }
                below = Network { layers: vec![layer.clone()] }.run(below.view());
            }
            layers.push(layer);
        }
        Network { layers }
    }
}

/// Where an activation is nearly straight: input, value and slope there.
fn gentle(activation: Activation) -> (f32, f32, f32) {
    match activation {
        Activation::Sigmoid => (0.0, 0.5, 0.25),
        Activation::Tanh | Activation::Identity => (0.0, 0.0, 1.0),
        Activation::Relu | Activation::LeakyRelu | Activation::Elu => (1.5, 1.5, 1.0),
    }
}

fn moments(values: ArrayView1<'_, f32>) -> (f32, f32) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
    let variance = values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n;
    (mean as f32, variance.sqrt() as f32)
}

/// Mean, leading principal directions as rows, and standard deviations along them.
fn principal_components(x: &Array2<f32>, wanted: usize, random: &mut Random) -> (Array1<f32>, Array2<f32>, Vec<f32>) {
    let mean = x.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(x.ncols()));
    let centred = x - &mean;
    let count = wanted.min(x.ncols()).min(x.nrows().max(1));
    let mut basis = Array2::from_shape_simple_fn((x.ncols(), count), || random.normal() as f32);
    let mut spreads = vec![0.0; count];
    for _ in 0..ROUNDS {
        orthonormalize(&mut basis);
        let projected = centred.dot(&basis);
        general_mat_mul(1.0, &centred.t(), &projected, 0.0, &mut basis);
        // Columns of greater variance first: their norm is about the variance.
        let mut order: Vec<(f32, usize)> =
            projected.columns().into_iter().enumerate().map(|(j, c)| (moments(c).1, j)).collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0));
        spreads = order.iter().map(|(s, _)| *s).collect();
        basis = basis.select(Axis(1), &order.iter().map(|(_, j)| *j).collect::<Vec<_>>());
    }
    orthonormalize(&mut basis);
    (mean, basis.reversed_axes(), spreads)
}

/// Gram and Schmidt, twice for good measure; columns that vanish become 0.
fn orthonormalize(basis: &mut Array2<f32>) {
    for j in 0..basis.ncols() {
        let (done, mut rest) = basis.view_mut().split_at(Axis(1), j);
        let mut column = rest.column_mut(0);
        for _ in 0..2 {
            for d in done.columns() {
                let along = d.dot(&column);
                column.scaled_add(-along, &d);
            }
        }
        let norm = column.dot(&column).sqrt();
        column.mapv_inplace(|v| if norm > 1e-12 { v / norm } else { 0.0 });
    }
}

/// Least squares for a layer without its activation: `hidden weights + bias = wanted`.
pub(crate) fn fit(hidden: &Array2<f32>, wanted: &Array2<f32>, layer: &mut Layer) {
    let n = hidden.nrows().max(1) as f64;
    let k = hidden.ncols();
    let (h_mean, w_mean) = (column_means(hidden), column_means(wanted));
    let h = hidden.mapv(f64::from) - &h_mean;
    let mut gram = h.t().dot(&h) / n;
    let ridge = 1e-4 * gram.diag().sum() / k.max(1) as f64 + 1e-9;
    gram.diag_mut().mapv_inplace(|v| v + ridge);
    let right = h.t().dot(&(wanted.mapv(f64::from) - &w_mean)) / n;
    let weights = solve(gram, right);
    let bias = &w_mean - &h_mean.dot(&weights);
    layer.weights = weights.mapv(|v| v as f32);
    layer.bias = bias.mapv(|v| v as f32);
}

fn column_means(x: &Array2<f32>) -> Array1<f64> {
    x.mapv(f64::from).mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(x.ncols()))
}

/// Solves `a x = b` for symmetric positive definite `a`, by Cholesky.
fn solve(mut a: Array2<f64>, mut b: Array2<f64>) -> Array2<f64> {
    let n = a.nrows();
    for j in 0..n {
        let d = (a[(j, j)] - a.slice(s![j, ..j]).dot(&a.slice(s![j, ..j]))).max(1e-30).sqrt();
        a[(j, j)] = d;
        for i in j + 1..n {
            a[(i, j)] = (a[(i, j)] - a.slice(s![i, ..j]).dot(&a.slice(s![j, ..j]))) / d;
        }
    }
    for upward in [false, true] {
        for step in 0..n {
            let i = if upward { n - 1 - step } else { step };
            let others = if upward { i + 1..n } else { 0..i };
            for j in others {
                let factor = if upward { a[(j, i)] } else { a[(i, j)] };
                let (mut row, other) = b.multi_slice_mut((s![i, ..], s![j, ..]));
                row.scaled_add(-factor, &other);
            }
            let d = a[(i, i)];
            b.row_mut(i).mapv_inplace(|v| v / d);
        }
    }
    b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_are_solved() {
        let mut random = Random::new(9);
        let m = Array2::from_shape_simple_fn((9, 6), || random.normal());
        let a = m.t().dot(&m);
        let x = Array2::from_shape_simple_fn((6, 4), || random.normal());
        let found = solve(a.clone(), a.dot(&x));
        assert!((found - x).iter().all(|d| d.abs() < 1e-8));
    }

    #[test]
    fn principal_components_span_what_varies() {
        let mut random = Random::new(4);
        let truth = Array2::from_shape_simple_fn((3, 20), || random.normal() as f32);
        let weights = Array2::from_shape_simple_fn((200, 3), || random.normal() as f32);
        let x = weights.dot(&truth) + 5.0;
        let (mean, directions, spreads) = principal_components(&x, 5, &mut random);
        let centred = &x - &mean;
        let back = centred.dot(&directions.slice(s![..3, ..]).t()).dot(&directions.slice(s![..3, ..]));
        assert!((&back - &centred).iter().all(|d| d.abs() < 1e-2));
        assert!(spreads[0] >= spreads[1] && spreads[3] < 1e-2 * spreads[0]);
    }

    #[test]
    fn a_start_from_principal_components_is_near_already() {
        let mut random = Random::new(5);
        let t = Array1::linspace(0.0f32, 6.2, 64);
        let inputs =
            Array2::from_shape_fn((300, 64), |(i, j)| 0.05 + 0.03 * (i as f32 / 300.0 * 3.0).sin() * t[j].sin());
        let data = Blocks { targets: inputs.clone(), inputs, tolerances: None };
        for activation in Activation::ALL {
            let design = Design {
                block_shape: vec![64],
                hidden: vec![16, 8],
                latent_len: 1,
                activation,
                latent_activation: Activation::Identity,
                output_activation: Activation::Identity,
            };
            let error = design.principal(&data, &mut random).mean_relative_error(&data);
            assert!(error < 0.05, "{activation:?}: {error}");
        }
    }
}
