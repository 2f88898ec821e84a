//! The loop: batches in random order, AdamW, a rate that falls along half a wave.

use crate::autoencoder::Autoencoder;
use crate::data::{Blocks, Split};
use crate::loss::Loss;
use crate::network::{Gradient, Trace};
use crate::optimizer::AdamW;
use crate::random::Random;
use ndarray::{Array2, ArrayView2, Axis, Zip, s};
use std::time::{Duration, Instant};

/// How long to train.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budget {
    /// Passes over the blocks.
    Epochs(usize),
    /// Time; the result depends on the machine's speed.
    Time(Duration),
}

/// How to train.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// How long.
    pub budget: Budget,
    /// Blocks of a step.
    pub batch: usize,
    /// First size of a step.
    pub rate: f64,
    /// Last size of a step over the first.
    pub decay: f64,
    /// Part of each weight that a step takes away, over its size.
    pub weight_decay: f64,
    /// What is wanted.
    pub loss: Loss,
    /// Latents are disturbed while training as if they were stored in so many bits, if any.
    pub latent_bits: Option<u32>,
    /// Whether the decoder's weights are rounded in the second half, and in what comes of it: see [`Network::rounded`](crate::network::Network::rounded).
    pub rounded: bool,
    /// Whether blocks are disturbed by noise before the encoder sees them, and it is taught what lies between them: less
    /// is learned by heart.
    pub disturbed: bool,
    /// Of the order of blocks and of the disturbance.
    pub seed: u64,
}

/// A look at a training under way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// Passes over the blocks so far.
    pub epoch: usize,
    /// Part of the budget that is spent.
    pub spent: f64,
    /// Mean loss of the last pass.
    pub loss: f64,
    /// At points of the curve.
    pub errors: Option<Errors>,
    /// Since the start.
    pub seconds: f64,
}

/// Mean point-wise relative errors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Errors {
    /// Of the blocks learned from.
    pub train: f64,
    /// Of those judged on, with the encoder's latents.
    pub judge: f64,
    /// Of those judged on, with the best latents found.
    pub least: f64,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The state of the least loss on the blocks that were kept back; without such, on those learned from.
    pub model: Autoencoder,
    /// Looks with errors.
    pub curve: Vec<Look>,
    /// Whether it was told to stop early.
    pub stopped: bool,
}

/// Blocks that the error of what is learned from is taken of, at most, while training goes on.
const SEEN: usize = 1024;

/// Standard deviation of the noise on what the encoder sees, over that of the values, where a latent stands for 512 of
/// them or more. It averages out over those.
const NOISE: f64 = 0.3;

/// For one in so many blocks of a batch the encoder is shown one between two of them.
const BETWEEN: usize = 4;

/// Weight of those: more costs accuracy on what was learned from.
const BETWEEN_WEIGHT: f32 = 0.2;

/// Least magnitude of a normalized value.
const LEAST_VALUE: f32 = 0.01;

/// Points of the curve, about.
const LOOKS: f64 = 50.0;

/// Part of the budget over which the rate rises to its first size.
const WARM: f64 = 0.02;

/// Part of the budget in which [`Loss::Bound`] is prepared by [`Loss::Mae`]: far from the bound it says too little.
const PREPARED: f64 = 0.3;

/// Part of the budget after which weights are rounded, if they are.
const ROUNDED_FROM: f64 = 0.5;

/// Trains `model`; `watch` is called after each pass and says whether to go on.
pub fn train(mut model: Autoencoder, data: &Split, options: &Options, watch: &mut dyn FnMut(&Look) -> bool) -> Outcome {
    let start = Instant::now();
    let spread = crate::autoencoder::Scale::of(&data.train).spread;
    let mut random = Random::new(options.seed ^ 0x5eed);
    let mut state = State {
        encoder: AdamW::new(&model.encoder, options.weight_decay),
        decoder: AdamW::new(&model.decoder, options.weight_decay),
        gradients: (Gradient::zeros(&model.encoder), Gradient::zeros(&model.decoder)),
        traces: Default::default(),
        between: (Gradient::zeros(&model.encoder), Gradient::zeros(&model.decoder)),
        noise: if options.disturbed { Noise::new(&model, &mut random) } else { Noise::default() },
    };
    let mut order: Vec<usize> = (0..data.train.len()).collect();
    let pass = data.pass.clamp(1, order.len().max(1));
    let batches = pass.div_ceil(options.batch.max(1)).max(1);
    let some = data.train.some(SEEN);
    let spent = |epoch: usize, batch: usize| match options.budget {
        Budget::Epochs(n) => (epoch as f64 + batch as f64 / batches as f64) / n.max(1) as f64,
        Budget::Time(t) => start.elapsed().as_secs_f64() / t.as_secs_f64().max(1e-9),
    };
    let mut best: Option<(f64, Autoencoder)> = None;
    let mut curve = Vec::new();
    let mut looked = -1.0;
    let mut epoch = 0;
    let mut stopped = false;
    while spent(epoch, 0) < 1.0 && !stopped {
        let begin = epoch % (order.len() / pass).max(1) * pass;
        if begin == 0 {
            random.shuffle(&mut order);
        }
        let (mut sum, mut prepared) = (0.0, false);
        for (b, part) in order[begin..begin + pass].chunks(options.batch.max(1)).enumerate() {
            let done = spent(epoch, b);
            let rate = options.rate * (done / WARM).clamp(0.01, 1.0) * fall(done, options.decay);
            let early = options.loss == Loss::Bound && done < PREPARED;
            let rounded = options.rounded && done >= ROUNDED_FROM;
            prepared = early || rounded != options.rounded;
            let loss = if early { Loss::Mae } else { options.loss };
            // Steps are those of the weights as they will be, taken by the weights as they are.
            let whole = rounded.then(|| {
                let rounded = model.decoder.rounded();
                std::mem::replace(&mut model.decoder, rounded)
            });
            sum += state.slope(&model, &data.train, part, loss, spread, options.latent_bits, &mut random);
            if let Some(whole) = whole {
                model.decoder = whole;
            }
            state.encoder.step(&mut model.encoder, &state.gradients.0, rate);
            state.decoder.step(&mut model.decoder, &state.gradients.1, rate);
        }
        epoch += 1;
        let loss = sum / batches as f64;
        let done = spent(epoch, 0).min(1.0);
        let due = done - looked >= 1.0 / LOOKS || done >= 1.0;
        let seen = due.then(|| state_of(&model, options.rounded && done >= ROUNDED_FROM));
        let errors = seen.as_ref().map(|seen| Errors {
            train: seen.mean_relative_error(&some),
            judge: seen.mean_relative_error(&data.judge),
            least: seen.least_relative_error(&data.judge),
        });
        let look = Look { epoch, spent: done, loss, errors, seconds: start.elapsed().as_secs_f64() };
        if let Some(seen) = seen {
            looked = done;
            curve.push(look);
            let measure = if data.held.is_empty() { loss } else { loss_of(&seen, &data.held, options.loss, spread) };
            if !prepared && measure.is_finite() && best.as_ref().is_none_or(|(m, _)| measure <= *m) {
                best = Some((measure, seen));
            }
        }
        stopped = !watch(&look);
    }
    Outcome { model: best.map_or_else(|| state_of(&model, options.rounded), |(_, m)| m), curve, stopped }
}

/// The model as it would be kept.
fn state_of(model: &Autoencoder, rounded: bool) -> Autoencoder {
    let decoder = if rounded { model.decoder.rounded() } else { model.decoder.clone() };
    Autoencoder { decoder, ..model.clone() }
}

/// From 1 to `last` along half a wave.
fn fall(done: f64, last: f64) -> f64 {
    last + (1.0 - last) * 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos())
}

/// Random numbers that are used over and over, from another place each time.
#[derive(Default)]
struct Noise(Vec<f32>);

impl Noise {
    fn new(model: &Autoencoder, random: &mut Random) -> Self {
        let ratio = model.block_len() as f64 / model.latent_len().max(1) as f64;
        let size = NOISE * (ratio / 512.0).min(1.0).sqrt();
        Noise((0..1 << 17).map(|_| (random.normal() * size) as f32).collect())
    }

    fn disturb(&self, values: &mut Array2<f32>, random: &mut Random) {
        if !self.0.is_empty() {
            let begin = (random.uniform() * self.0.len() as f64) as usize;
            let noise = self.0[begin..].iter().chain(self.0.iter().cycle());
            values.iter_mut().zip(noise).for_each(|(v, n)| *v += n);
        }
    }
}

/// What lives from step to step.
struct State {
    encoder: AdamW,
    decoder: AdamW,
    gradients: (Gradient, Gradient),
    /// Of blocks between those that were learned from.
    between: (Gradient, Gradient),
    traces: (Trace, Trace),
    noise: Noise,
}

/// The mean loss on blocks that are not learned from.
fn loss_of(model: &Autoencoder, blocks: &Blocks, loss: Loss, spread: f32) -> f64 {
    let predicted = model.decoder.run(model.encode(blocks.inputs.view()).view());
    let tolerances = blocks.tolerances.as_ref().map(|t| t.view());
    loss.slope(predicted.view(), blocks.targets.view(), tolerances, model.output, spread).0
}

impl State {
    /// The gradients for the blocks `part`, and the mean loss there.
    #[allow(clippy::too_many_arguments, reason = "each is of the step alone")]
    fn slope(
        &mut self,
        model: &Autoencoder,
        blocks: &Blocks,
        part: &[usize],
        loss: Loss,
        spread: f32,
        latent_bits: Option<u32>,
        random: &mut Random,
    ) -> f64 {
        let mut inputs = model.scaled(blocks.inputs.select(Axis(0), part).view());
        let targets = blocks.targets.select(Axis(0), part);
        self.noise.disturb(&mut inputs, random);
        let tolerances = blocks.tolerances.as_ref().map(|t| t.select(Axis(0), part));
        let (encoding, decoding) = (&mut self.traces.0, &mut self.traces.1);
        model.encoder.forward(inputs.view(), encoding);
        let mut latents = encoding.outputs.last().cloned().unwrap_or_default();
        if let Some(bits) = latent_bits {
            let range = |z: &[f32]| z.iter().fold((f32::MAX, f32::MIN), |(l, h), z| (l.min(*z), h.max(*z)));
            let (low, high) = range(latents.as_slice().unwrap_or_default());
            let step = (high - low).max(0.0) * 0.5f32.powi(bits.cast_signed());
            latents.mapv_inplace(|z| z + step * (random.uniform() as f32 - 0.5));
        }
        model.decoder.forward(latents.view(), decoding);
        let predicted = decoding.outputs.last().map(|o| o.view()).unwrap_or_else(|| latents.view());
        let (value, slope) =
            loss.slope(predicted, targets.view(), tolerances.as_ref().map(|t| t.view()), model.output, spread);
        let below = model.decoder.backward(latents.view(), decoding, slope, &mut self.gradients.1, true);
        model.encoder.backward(inputs.view(), encoding, below, &mut self.gradients.0, false);
        if !self.noise.0.is_empty() {
            let tolerances = tolerances.as_ref().map(|t| t.view());
            self.between(model, &latents, targets.view(), tolerances, loss, spread, random);
        }
        value
    }

    /// Teaches the encoder, not the decoder, to find the latents of blocks that lie between those of a batch: what the
    /// decoder makes of mixed latents, for some of the batch.
    #[allow(clippy::too_many_arguments, reason = "each is of the step alone")]
    fn between(
        &mut self,
        model: &Autoencoder,
        latents: &Array2<f32>,
        targets: ArrayView2<'_, f32>,
        tolerances: Option<ArrayView2<'_, f32>>,
        loss: Loss,
        spread: f32,
        random: &mut Random,
    ) {
        let rows = latents.nrows() / BETWEEN;
        if rows == 0 {
            return;
        }
        let mixed = Array2::from_shape_fn((rows, latents.ncols()), |(i, j)| {
            // A little beyond either end too; blocks come in random order.
            let t = 1.4 * (i as f32 + 0.5) / rows as f32 - 0.2;
            let (a, b) = (latents[(2 * i, j)], latents[(2 * i + 1, j)]);
            a + t * (b - a)
        });
        let mut made = model.decode(mixed.view());
        let known = targets.slice(s![..rows, ..]);
        // What no normalized value is would count for too much in relative losses.
        let counts = |m: f32, y: f32| y != 0.0 && m.abs() >= LEAST_VALUE;
        Zip::from(&mut made).and(&known).for_each(|m, y| *m = if counts(*m, *y) { *m } else { 0.0 });
        let mut inputs = model.scaled(made.view());
        self.noise.disturb(&mut inputs, random);
        let (encoding, decoding) = (&mut self.traces.0, &mut self.traces.1);
        model.encoder.forward(inputs.view(), encoding);
        let latents = encoding.outputs.last().cloned().unwrap_or_default();
        model.decoder.forward(latents.view(), decoding);
        let predicted = decoding.outputs.last().map(|o| o.view()).unwrap_or_else(|| latents.view());
        let tolerances = tolerances.map(|t| t.slice_move(s![..rows, ..]));
        let (_, slope) = loss.slope(predicted, made.view(), tolerances, model.output, spread);
        let below = model.decoder.backward(latents.view(), decoding, slope, &mut self.between.1, true);
        model.encoder.backward(inputs.view(), encoding, below, &mut self.between.0, false);
        for (g, b) in self.gradients.0.layers.iter_mut().zip(&self.between.0.layers) {
            g.0.scaled_add(BETWEEN_WEIGHT, &b.0);
            g.1.scaled_add(BETWEEN_WEIGHT, &b.1);
        }
    }
}
