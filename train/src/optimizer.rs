//! AdamW: adaptive steps, and decay of weights apart from them.

use crate::network::{Gradient, Network};

const FIRST: f32 = 0.9;
const SECOND: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// Means of gradients and of their squares, for one network.
#[derive(Debug, Clone)]
pub struct AdamW {
    first: Gradient,
    second: Gradient,
    steps: i32,
    weight_decay: f32,
}

impl AdamW {
    /// For `network`; each step takes `rate * weight_decay` of every weight away.
    pub fn new(network: &Network, weight_decay: f64) -> Self {
        let zero = Gradient::zeros(network);
        AdamW { first: zero.clone(), second: zero, steps: 0, weight_decay: weight_decay as f32 }
    }

    /// One step against `gradient`.
    pub fn step(&mut self, network: &mut Network, gradient: &Gradient, rate: f64) {
        self.steps = self.steps.saturating_add(1);
        let rate = rate as f32;
        let (one, two) = (1.0 - FIRST.powi(self.steps), 1.0 - SECOND.powi(self.steps));
        let keep = 1.0 - rate * self.weight_decay;
        let update = |p: &mut f32, g: f32, m: &mut f32, v: &mut f32, keep: f32| {
            *m += (1.0 - FIRST) * (g - *m);
            *v += (1.0 - SECOND) * (g * g - *v);
            *p = *p * keep - rate * (*m / one) / ((*v / two).sqrt() + EPSILON);
        };
        let moments = self.first.layers.iter_mut().zip(&mut self.second.layers);
        for ((layer, g), (m, v)) in network.layers.iter_mut().zip(&gradient.layers).zip(moments) {
            let weights = layer.weights.iter_mut().zip(&g.0).zip(m.0.iter_mut().zip(&mut v.0));
            weights.for_each(|((p, g), (m, v))| update(p, *g, m, v, keep));
            let bias = layer.bias.iter_mut().zip(&g.1).zip(m.1.iter_mut().zip(&mut v.1));
            bias.for_each(|((p, g), (m, v))| update(p, *g, m, v, 1.0));
        }
    }
}
