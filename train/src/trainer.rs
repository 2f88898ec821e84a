//! The loop: batches in random order, AdamW, a rate that falls along half a wave.

use crate::autoencoder::Autoencoder;
use crate::data::{Blocks, Split};
use crate::loss::Loss;
use crate::network::{Gradient, Trace};
use crate::optimizer::AdamW;
use crate::random::Random;
use ndarray::Axis;
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
    /// For [`Loss::Mae`], the state that was best on the blocks judged on, with the best latents found; else, or without
    /// such blocks, that of the least loss.
    pub model: Autoencoder,
    /// Looks with errors.
    pub curve: Vec<Look>,
    /// Whether it was told to stop early.
    pub stopped: bool,
}

/// Points of the curve, about.
const LOOKS: f64 = 50.0;

/// Part of the budget over which the rate rises to its first size.
const WARM: f64 = 0.02;

/// Part of the budget in which [`Loss::Bound`] is prepared by [`Loss::Mae`]: far from the bound it says too little.
const PREPARED: f64 = 0.3;

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
    };
    let mut order: Vec<usize> = (0..data.train.len()).collect();
    let batches = order.len().div_ceil(options.batch.max(1)).max(1);
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
        random.shuffle(&mut order);
        let (mut sum, mut prepared) = (0.0, false);
        for (b, part) in order.chunks(options.batch.max(1)).enumerate() {
            let done = spent(epoch, b);
            let rate = options.rate * (done / WARM).clamp(0.01, 1.0) * fall(done, options.decay);
            prepared = options.loss == Loss::Bound && done < PREPARED;
            let loss = if prepared { Loss::Mae } else { options.loss };
            sum += state.step(&mut model, &data.train, part, loss, spread, rate, options.latent_bits, &mut random);
        }
        epoch += 1;
        let loss = sum / batches as f64;
        let done = spent(epoch, 0).min(1.0);
        let due = done - looked >= 1.0 / LOOKS || done >= 1.0;
        let errors = due.then(|| Errors {
            train: model.mean_relative_error(&data.train),
            judge: model.mean_relative_error(&data.judge),
            least: model.least_relative_error(&data.judge),
        });
        let look = Look { epoch, spent: done, loss, errors, seconds: start.elapsed().as_secs_f64() };
        if due {
            looked = done;
            curve.push(look);
            // The relative error is no measure of what the other losses want.
            let measure = match errors.filter(|_| options.loss == Loss::Mae && !data.judge.is_empty()) {
                Some(e) => e.least,
                None => loss,
            };
            if !prepared && measure.is_finite() && best.as_ref().is_none_or(|(m, _)| measure <= *m) {
                best = Some((measure, model.clone()));
            }
        }
        stopped = !watch(&look);
    }
    Outcome { model: best.map_or(model, |(_, m)| m), curve, stopped }
}

/// From 1 to `last` along half a wave.
fn fall(done: f64, last: f64) -> f64 {
    last + (1.0 - last) * 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos())
}

/// What lives from step to step.
struct State {
    encoder: AdamW,
    decoder: AdamW,
    gradients: (Gradient, Gradient),
    traces: (Trace, Trace),
}

impl State {
    /// One step on the blocks `part`; the mean loss before it.
    #[allow(clippy::too_many_arguments, reason = "each is of the step alone")]
    fn step(
        &mut self,
        model: &mut Autoencoder,
        blocks: &Blocks,
        part: &[usize],
        loss: Loss,
        spread: f32,
        rate: f64,
        latent_bits: Option<u32>,
        random: &mut Random,
    ) -> f64 {
        let inputs = model.scaled(blocks.inputs.select(Axis(0), part).view());
        let targets = blocks.targets.select(Axis(0), part);
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
        self.encoder.step(&mut model.encoder, &self.gradients.0, rate);
        self.decoder.step(&mut model.decoder, &self.gradients.1, rate);
        value
    }
}
