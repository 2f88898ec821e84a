//! Perceptrons: layers of products, sums and functions of one value, and their gradients.

use crate::random::Random;
use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView2, Axis, Zip};

/// Function after the sums of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x.
    Identity,
    /// 1 / (1 + e^-x).
    Sigmoid,
    /// tanh x.
    Tanh,
    /// max(x, 0).
    Relu,
    /// x, or 0.01 x below 0.
    LeakyRelu,
    /// x, or e^x - 1 below 0.
    Elu,
}

impl Activation {
    /// Every one that a user may name.
    pub const ALL: [Activation; 6] = [
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Relu,
        Activation::LeakyRelu,
        Activation::Elu,
        Activation::Identity,
    ];

    /// The name of ONNX's operator.
    pub fn operator(self) -> &'static str {
        match self {
            Activation::Identity => "Identity",
            Activation::Sigmoid => "Sigmoid",
            Activation::Tanh => "Tanh",
            Activation::Relu => "Relu",
            Activation::LeakyRelu => "LeakyRelu",
            Activation::Elu => "Elu",
        }
    }

    fn apply(self, values: &mut Array2<f32>) {
        match self {
            Activation::Identity => {}
            Activation::Sigmoid => values.mapv_inplace(|x| 1.0 / (1.0 + (-x).exp())),
            Activation::Tanh => values.mapv_inplace(f32::tanh),
            Activation::Relu => values.mapv_inplace(|x| x.max(0.0)),
            Activation::LeakyRelu => values.mapv_inplace(|x| if x < 0.0 { 0.01 * x } else { x }),
            Activation::Elu => values.mapv_inplace(|x| if x < 0.0 { x.exp_m1() } else { x }),
        }
    }

    /// The derivative, given the function's value.
    fn slope(self, y: f32) -> f32 {
        match self {
            Activation::Identity => 1.0,
            Activation::Sigmoid => y * (1.0 - y),
            Activation::Tanh => 1.0 - y * y,
            Activation::Relu => f32::from(y > 0.0),
            Activation::LeakyRelu => {
                if y < 0.0 {
                    0.01
                } else {
                    1.0
                }
            }
            Activation::Elu => {
                if y < 0.0 {
                    y + 1.0
                } else {
                    1.0
                }
            }
        }
    }
}

/// One layer: `activation(x weights + bias)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Of shape [inputs, outputs].
    pub weights: Array2<f32>,
    /// One value an output.
    pub bias: Array1<f32>,
    /// What follows.
    pub activation: Activation,
}

impl Layer {
    /// Weights of variance 2 / (inputs + outputs), no bias.
    pub fn random(inputs: usize, outputs: usize, activation: Activation, random: &mut Random) -> Self {
        let scale = (2.0 / (inputs + outputs) as f64).sqrt();
        Layer {
            weights: Array2::from_shape_simple_fn((inputs, outputs), || (scale * random.normal()) as f32),
            bias: Array1::zeros(outputs),
            activation,
        }
    }
}

/// Layers, each taking what the one before gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// First to last, at least one.
    pub layers: Vec<Layer>,
}

/// The greatest magnitude of a weight of 8 bits, in its unit.
const CODE_MAX: f32 = 127.0;

/// Matrices of fewer weights are not worth rounding.
const ROUNDED_MIN: usize = 1024;

/// What every layer gave for a batch, kept for the gradient.
#[derive(Debug, Default)]
pub struct Trace {
    /// Outputs of the layers, a row for each item of the batch.
    pub outputs: Vec<Array2<f32>>,
}

/// Gradient of a network's weights and biases, in its shapes.
#[derive(Debug, Clone)]
pub struct Gradient {
    /// Weights and bias of each layer.
    pub layers: Vec<(Array2<f32>, Array1<f32>)>,
}

impl Gradient {
    /// Nothing, in the shapes of `network`.
    pub fn zeros(network: &Network) -> Self {
        let zero = |l: &Layer| (Array2::zeros(l.weights.dim()), Array1::zeros(l.bias.dim()));
        Gradient { layers: network.layers.iter().map(zero).collect() }
    }
}

impl Network {
    /// Number of values that the first layer takes.
    pub fn inputs(&self) -> usize {
        self.layers.first().map_or(0, |l| l.weights.nrows())
    }

    /// Number of values that the last layer gives.
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, |l| l.weights.ncols())
    }

    /// Runs a batch, an item a row.
    pub fn forward(&self, input: ArrayView2<'_, f32>, trace: &mut Trace) {
        trace.outputs.truncate(0);
        for layer in &self.layers {
            let from = trace.outputs.last().map_or(input, |o| o.view());
            let mut to = Array2::zeros((from.nrows(), layer.weights.ncols()));
            to.assign(&layer.bias);
            general_mat_mul(1.0, &from, &layer.weights, 1.0, &mut to);
            layer.activation.apply(&mut to);
            trace.outputs.push(to);
        }
    }

    /// The network with the weights of its large matrices in 8 bits: whole multiples of a power of two, one for each
    /// output.
    pub fn rounded(&self) -> Network {
        let mut rounded = self.clone();
        for layer in rounded.layers.iter_mut().filter(|l| l.weights.len() >= ROUNDED_MIN) {
            for mut column in layer.weights.columns_mut() {
                let largest = column.iter().fold(f32::MIN_POSITIVE, |m, w| m.max(w.abs()));
                let unit = (CODE_MAX / largest).log2().floor().min(100.0).exp2();
                column.mapv_inplace(|w| (w * unit).round() / unit);
            }
        }
        rounded
    }

    /// What a batch gives.
    pub fn run(&self, input: ArrayView2<'_, f32>) -> Array2<f32> {
        let mut trace = Trace::default();
        self.forward(input, &mut trace);
        trace.outputs.pop().unwrap_or_default()
    }

    /// Writes the gradient for a batch that was run; `slope` is that of the loss by the outputs, and becomes that by
    /// the inputs where `through` is set.
    pub fn backward(
        &self,
        input: ArrayView2<'_, f32>,
        trace: &Trace,
        mut slope: Array2<f32>,
        gradient: &mut Gradient,
        through: bool,
    ) -> Array2<f32> {
        for (i, layer) in self.layers.iter().enumerate().rev() {
            if layer.activation != Activation::Identity {
                Zip::from(&mut slope).and(&trace.outputs[i]).for_each(|s, y| *s *= layer.activation.slope(*y));
            }
            let from = if i == 0 { input } else { trace.outputs[i - 1].view() };
            let (weights, bias) = &mut gradient.layers[i];
            general_mat_mul(1.0, &from.t(), &slope, 0.0, weights);
            bias.assign(&slope.sum_axis(Axis(0)));
            if i > 0 || through {
                let mut below = Array2::zeros((slope.nrows(), layer.weights.nrows()));
                general_mat_mul(1.0, &slope, &layer.weights.t(), 0.0, &mut below);
                slope = below;
            }
        }
        slope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sum of squared outputs.
    fn loss(network: &Network, x: &Array2<f32>) -> f64 {
        network.run(x.view()).iter().map(|v| f64::from(*v) * f64::from(*v)).sum()
    }

    #[test]
    fn rounded_weights_are_multiples_of_powers_of_two() {
        let mut random = Random::new(8);
        let layer = Layer::random(40, 30, Activation::Tanh, &mut random);
        let small = Layer::random(30, 3, Activation::Identity, &mut random);
        let network = Network { layers: vec![layer, small] };
        let rounded = network.rounded();
        assert_eq!(rounded.layers[1], network.layers[1]);
        for (a, b) in network.layers[0].weights.columns().into_iter().zip(rounded.layers[0].weights.columns()) {
            let largest = a.iter().fold(0.0f32, |m, w| m.max(w.abs()));
            let unit = (127.0 / largest).log2().floor().exp2();
            assert!(b.iter().all(|w| (w * unit).fract() == 0.0 && (w * unit).abs() <= 127.0));
            assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() <= largest / 126.0));
        }
    }

    #[test]
    fn gradients_are_the_slopes_of_the_loss() {
        let mut random = Random::new(3);
        for activation in Activation::ALL {
            let mut layer = |a, b, f| {
                let mut l = Layer::random(a, b, f, &mut random);
                l.bias.mapv_inplace(|_| (0.3 * random.normal()) as f32);
                l
            };
            let mut network = Network {
                layers: vec![layer(5, 4, activation), layer(4, 3, activation), layer(3, 2, Activation::Identity)],
            };
            let x = Array2::from_shape_simple_fn((7, 5), || random.normal() as f32);
            let mut trace = Trace::default();
            network.forward(x.view(), &mut trace);
            let slope = trace.outputs[2].mapv(|y| 2.0 * y);
            let mut gradient = Gradient::zeros(&network);
            let below = network.backward(x.view(), &trace, slope, &mut gradient, true);
            let h = 2e-3f32;
            for layer in 0..3 {
                for at in [(0, 0), (2, 1)] {
                    let mut moved = |by: f32| {
                        network.layers[layer].weights[at] += by;
                        let l = loss(&network, &x);
                        network.layers[layer].weights[at] -= by;
                        l
                    };
                    let slope = (moved(h) - moved(-h)) / (2.0 * f64::from(h));
                    let found = f64::from(gradient.layers[layer].0[at]);
                    assert!(
                        (slope - found).abs() < 0.03 * slope.abs().max(1.0),
                        "{activation:?} {layer} {slope} {found}"
                    );
                }
            }
            let mut moved = x.clone();
            moved[(3, 2)] += h;
            let up = loss(&network, &moved);
            moved[(3, 2)] -= 2.0 * h;
            let slope = (up - loss(&network, &moved)) / (2.0 * f64::from(h));
            let found = f64::from(below[(3, 2)]);
            assert!((slope - found).abs() < 0.03 * slope.abs().max(1.0), "{activation:?} {slope} {found}");
        }
    }
}
