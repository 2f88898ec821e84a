//! Networks in the loop (SPEC 5.8): trained on what the multilevel kernel meets, for the fewest bits.
//!
//! The network is told what is around a point and answers how far the value lies from the stencil's prediction, and how
//! sure that is. The loss is the length of the code: minus log2 of what the logistic distribution so described gives
//! to the interval of one step around the value.

use crate::network::{Activation, Gradient, Layer, Network, Trace};
use crate::optimizer::AdamW;
use crate::random::Random;
use cae::Samples;
use cae::model::PREDICTOR_INPUTS;
use ndarray::{Array1, Array2, ArrayView2, Zip};
use std::time::{Duration, Instant};

/// Inputs are in units of 1/128, hidden values and answers in units of 1/64.
const INPUT_UNIT: f32 = 1.0 / 128.0;
/// Part of the training after which weights are rounded as they will be stored.
const ROUNDED_FROM: f64 = 0.5;
/// Least and greatest logarithm of a scale, in octaves.
const SCALES: (f32, f32) = (-8.0, 6.0);
/// One sample in so many is for judging only.
const JUDGED: usize = 16;
/// How weights decay: small runs are learned by heart otherwise, and a network meets other points than it was trained on.
const DECAY: f64 = 0.03;
/// Bound on what one sample may say about the shift or the scale.
const SLOPE_MAX: f32 = 4.0;

/// How to train.
#[derive(Debug, Clone)]
pub struct Options {
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Steps to take, unless the time is over before.
    pub steps: usize,
    /// Time to take.
    pub time: Option<Duration>,
    /// Points of a step.
    pub batch: usize,
    /// First learning rate; it falls along half a cosine.
    pub rate: f64,
    /// Of all that is random.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options { hidden: vec![32, 16], steps: 90_000, time: None, batch: 256, rate: 3e-3, seed: 0 }
    }
}

/// What training gave.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Weights are multiples of powers of two, as they are stored.
    pub network: Network,
    /// Steps that were taken.
    pub steps: usize,
    /// Bits a point of the judged ones without a network: a logistic distribution as wide as the usual miss.
    pub bits_without: f64,
    /// Bits a point of the judged ones with it.
    pub bits_with: f64,
}

/// The points of several arrays.
struct Points<'a> {
    parts: &'a [Samples],
    /// Number of points of the parts so far.
    ends: Vec<usize>,
}

impl<'a> Points<'a> {
    fn new(parts: &'a [Samples]) -> Self {
        let ends = parts.iter().scan(0, |n, p| {
            *n += p.misses.len();
            Some(*n)
        });
        Points { parts, ends: ends.collect() }
    }

    fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Inputs, usual miss and miss of point `i`.
    fn get(&self, i: usize) -> (&'a [i16], f32, f32) {
        let part = self.ends.partition_point(|end| *end <= i);
        let at = i - if part == 0 { 0 } else { self.ends[part - 1] };
        let p = &self.parts[part];
        (&p.inputs[at * PREDICTOR_INPUTS..(at + 1) * PREDICTOR_INPUTS], p.usual[at], p.misses[at])
    }
}

/// Trains a network on the points of arrays, or goes on with one, which has its own widths; the same for a seed, as long as no time is
/// set. `look` gets the share that is done and the recent bits a point, and says whether to go on.
pub fn train(
    parts: &[Samples],
    options: &Options,
    from: Option<&Network>,
    mut look: impl FnMut(f64, f64) -> bool,
) -> Outcome {
    let points = Points::new(parts);
    let mut random = Random::new(options.seed);
    let mut network = from.cloned().unwrap_or_else(|| start(&options.hidden, &mut random));
    let mut optimizer = AdamW::new(&network, DECAY);
    let mut gradient = Gradient::zeros(&network);
    let mut trace = Trace::default();
    let begin = Instant::now();
    let (mut taken, mut recent) = (0, 0.0);
    let judged = points.len() / JUDGED;
    let batch = options.batch.max(1).min(points.len().max(1));
    let mut x = Array2::zeros((batch, PREDICTOR_INPUTS));
    let mut truth = vec![(0.0, 0.0); batch];
    while taken < options.steps && points.len() > 0 {
        let passed = options.time.map_or(0.0, |t| begin.elapsed().as_secs_f64() / t.as_secs_f64().max(1e-3));
        let share = passed.max(taken as f64 / options.steps as f64);
        if share >= 1.0 {
            break;
        }
        for (mut row, truth) in x.outer_iter_mut().zip(&mut truth) {
            // One point in `JUDGED` is passed over.
            let i = (random.uniform() * (points.len() - judged) as f64) as usize;
            let (inputs, usual, miss) = points.get((i + i / (JUDGED - 1)).min(points.len() - 1));
            row.iter_mut().zip(inputs).for_each(|(x, v)| *x = f32::from(*v) * INPUT_UNIT);
            *truth = (usual, miss);
        }
        let stored = if share >= ROUNDED_FROM { rounded(&network) } else { network.clone() };
        stored.forward(x.view(), &mut trace);
        let Some(answers) = trace.outputs.last() else { break };
        let mut slope = Array2::zeros(answers.dim());
        let mut bits = 0.0;
        Zip::from(slope.rows_mut()).and(answers.rows()).and(&Array1::from_vec(truth.clone())).for_each(
            |mut s, a, (usual, miss)| {
                let cost = cost([a[0], a[1]], *usual, *miss);
                bits += f64::from(cost.bits);
                s[0] = cost.by_shift.clamp(-SLOPE_MAX, SLOPE_MAX) / batch as f32;
                s[1] = cost.by_octave.clamp(-SLOPE_MAX, SLOPE_MAX) / batch as f32;
            },
        );
        stored.backward(x.view(), &trace, slope, &mut gradient, false);
        let rate = options.rate * (0.005 + 0.995 * 0.5 * (1.0 + (std::f64::consts::PI * share).cos()));
        optimizer.step(&mut network, &gradient, rate);
        taken += 1;
        recent += (bits / batch as f64 - recent) * (1.0 / taken.min(500) as f64);
        if !look(share, recent) {
            break;
        }
    }
    let network = rounded(&network);
    let judge = |answer: &dyn Fn(ArrayView2<'_, f32>) -> [f32; 2]| {
        let (mut sum, mut count) = (0.0, 0usize);
        for i in (JUDGED - 1..points.len()).step_by(JUDGED * (1 + points.len() / 4_000_000)) {
            let (inputs, usual, miss) = points.get(i);
            let row =
                Array1::from_iter(inputs.iter().map(|v| f32::from(*v) * INPUT_UNIT)).insert_axis(ndarray::Axis(0));
            sum += f64::from(cost(answer(row.view()), usual, miss).bits);
            count += 1;
        }
        sum / count.max(1) as f64
    };
    let bits_with = judge(&|x| {
        let y = network.run(x);
        [y[[0, 0]], y[[0, 1]]]
    });
    let bits_without = judge(&|_| [0.0, -0.5]);
    Outcome { network, steps: taken, bits_without, bits_with }
}

/// Random weights; the first answers are near "nothing to add".
fn start(hidden: &[usize], random: &mut Random) -> Network {
    let widths: Vec<usize> = [PREDICTOR_INPUTS].iter().chain(hidden).chain(&[2]).copied().collect();
    let last = hidden.len();
    let layer = |(i, w): (usize, &[usize])| {
        let mut layer =
            Layer::random(w[0], w[1], if i == last { Activation::Identity } else { Activation::Relu }, random);
        if i == last {
            layer.weights.mapv_inplace(|w| 0.2 * w);
            layer.bias[1] = -0.5;
        }
        layer
    };
    Network { layers: widths.windows(2).enumerate().map(layer).collect() }
}

/// The exponent `k` for which weights are whole multiples of 2^-k, of at most 127.
pub fn exponent(layer: &Layer) -> i32 {
    let largest = layer.weights.iter().fold(1e-3f32, |m, w| m.max(w.abs()));
    (127.0 / largest).log2().floor() as i32
}

/// The network with its weights as they are stored.
fn rounded(network: &Network) -> Network {
    let mut rounded = network.clone();
    for layer in &mut rounded.layers {
        let unit = (exponent(layer) as f32).exp2();
        layer.weights.mapv_inplace(|w| (w * unit).round() / unit);
    }
    rounded
}

/// What an answer costs.
struct Cost {
    bits: f32,
    /// Slope by the shift, in nats for each usual miss.
    by_shift: f32,
    /// Slope by the logarithm of the scale, in nats for each octave.
    by_octave: f32,
}

/// The code length of a value that misses the stencil's prediction by `miss` steps, given an answer.
///
/// A code is counted from the prediction, so the interval is one step wide around a whole number of steps from it. As
/// that says nothing about which way to move the prediction, the slope by the shift is that of the interval around the value.
fn cost([shift, octaves]: [f32; 2], usual: f32, miss: f32) -> Cost {
    let bounded = octaves.clamp(SCALES.0, SCALES.1);
    let whole = bounded.floor();
    let part = bounded - whole;
    let scale = usual * whole.exp2() * (1.0 + part);
    let off = miss.clamp(-1e5, 1e5) - shift * usual;
    let (_, by_off, _) = logistic(off, scale);
    let (nats, _, by_log) = logistic(off.round(), scale);
    let within = f32::from(bounded == octaves);
    Cost { bits: nats * std::f32::consts::LOG2_E, by_shift: -by_off * usual, by_octave: within * by_log / (1.0 + part) }
}

/// Nats of the interval of width 1 around `off`, and its slopes by `off` and by the logarithm of the scale.
fn logistic(off: f32, scale: f32) -> (f32, f32, f32) {
    // On the lower side, where differences of the distribution function keep their precision.
    let far = -off.abs();
    let (upper, lower) = ((far + 0.5) / scale, (far - 0.5) / scale);
    let below = |z: f32| 1.0 / (1.0 + (-z).exp());
    let (a, b) = (below(upper), below(lower));
    let p = a - b;
    if p < 1e-9 {
        let distance = (-far - 0.5) / scale;
        return (distance + 1.0, off.signum() / scale, -distance);
    }
    let (da, db) = (a * (1.0 - a), b * (1.0 - b));
    (-p.ln(), -(da - db) / (scale * p) * -off.signum(), (upper * da - lower * db) / p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_those_of_the_code_length() {
        for off in [-7.3f32, -0.4, 0.2, 1.9, 30.0] {
            for scale in [0.3f32, 1.0, 4.0] {
                let (_, by_off, by_log) = logistic(off, scale);
                let d = 1e-2;
                let by = (logistic(off + d, scale).0 - logistic(off - d, scale).0) / (2.0 * d);
                assert!((by - by_off).abs() < 0.02 * (1.0 + by.abs()), "{off} {scale} {by} {by_off}");
                let by = (logistic(off, scale * d.exp()).0 - logistic(off, scale * (-d).exp()).0) / (2.0 * d);
                assert!((by - by_log).abs() < 0.02 * (1.0 + by.abs()), "{off} {scale} {by} {by_log}");
            }
        }
    }

    /// The miss is the last error, doubled, give or take.
    fn samples() -> Samples {
        let mut random = Random::new(5);
        let mut samples = Samples::default();
        for _ in 0..6000 {
            let error = random.uniform() as f32 * 6.0 - 3.0;
            let mut inputs = [0i16; PREDICTOR_INPUTS];
            inputs[33] = (error * 128.0) as i16;
            samples.inputs.extend(inputs);
            samples.usual.push(4.0);
            samples.misses.push(error * 8.0 + random.normal() as f32);
        }
        samples
    }

    #[test]
    fn what_is_to_be_learned_is_learned_and_the_same_for_a_seed() {
        let parts = [samples()];
        let options = Options { hidden: vec![8], steps: 1500, ..Options::default() };
        let a = train(&parts, &options, None, |_, _| true);
        assert!(a.bits_with < a.bits_without - 1.0, "{} {}", a.bits_with, a.bits_without);
        assert_eq!(train(&parts, &options, None, |_, _| true).network, a.network);
        // One step from there, not from the beginning.
        let b = train(&parts, &Options { steps: 1, ..options }, Some(&a.network), |_, _| true);
        assert!(b.bits_with < b.bits_without - 1.0, "{} {}", b.bits_with, b.bits_without);
    }
}
