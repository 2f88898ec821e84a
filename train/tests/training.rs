//! Training, export and compression together.

#![allow(clippy::unwrap_used, reason = "tests")]

use cae::input::Input;
use cae::{ArrayOptions, Bound, Limits, Reader, Writer, model};
use cae_train::data::{self, Reading, Split};
use cae_train::exact;
use cae_train::init::Design;
use cae_train::loss::Loss;
use cae_train::network::Activation;
use cae_train::onnx::{Form, Precision, Side, write};
use cae_train::random::Random;
use cae_train::trainer::{Budget, Options, Outcome, train};
use ndarray::{Array2, ArrayD};
use std::path::Path;
use std::time::Duration;

fn navy() -> Input {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/raw/navy_uwnd_20x37x72.f32");
    Input::describe(&path, None, None).unwrap()
}

fn design(block_shape: &[usize], latent_len: usize) -> Design {
    Design {
        block_shape: block_shape.to_vec(),
        hidden: vec![32, 16],
        latent_len,
        activation: Activation::Sigmoid,
        latent_activation: Activation::Identity,
        output_activation: Activation::Identity,
    }
}

const OPTIONS: Options = Options {
    budget: Budget::Epochs(60),
    batch: 32,
    rate: 0.003,
    decay: 0.01,
    weight_decay: 0.01,
    loss: Loss::Mae,
    latent_bits: None,
    rounded: false,
    disturbed: true,
    seed: 7,
};

fn trained(block: &[usize], latents: usize, split: &Split, options: &Options) -> Outcome {
    let start = design(block, latents).principal(&split.train, &mut Random::new(options.seed));
    train(start, split, options, &mut |_| true)
}

#[test]
fn a_seed_gives_the_same_model_and_training_helps() {
    let split = data::read(&[navy()], &Reading::new(&[8, 8])).unwrap();
    assert_eq!((split.pass + split.held.len(), split.judge.len()), (10 * 45, 10 * 45));
    let first = trained(&[8, 8], 4, &split, &OPTIONS);
    assert_eq!(first.model, trained(&[8, 8], 4, &split, &OPTIONS).model);
    assert_ne!(first.model, trained(&[8, 8], 4, &split, &Options { seed: 8, ..OPTIONS }).model);
    let errors: Vec<_> = first.curve.iter().filter_map(|l| l.errors).collect();
    let (begin, end) = (errors.first().unwrap(), errors.last().unwrap());
    assert!(end.train < 0.98 * begin.train && end.judge < begin.judge, "{begin:?} {end:?}");
}

#[test]
fn every_loss_is_brought_down() {
    let split = data::read(&[navy()], &Reading { bound: Some(Bound::Pointwise(0.1)), ..Reading::new(&[64]) }).unwrap();
    for loss in [Loss::Mse, Loss::Mae, Loss::Log, Loss::Bound] {
        let options = Options { loss, latent_bits: Some(10), budget: Budget::Epochs(150), ..OPTIONS };
        let curve = trained(&[64], 4, &split, &options).curve;
        // The bound's loss begins after its preparation by another.
        let begin = if loss == Loss::Bound { 0.32 } else { 0.0 };
        let of = |part: f64| curve.iter().find(|l| l.spent >= part).map(|l| l.loss).unwrap();
        assert!(of(1.0) < of(begin), "{loss:?}: {} {}", of(begin), of(1.0));
    }
}

#[test]
fn stopping_keeps_the_best_so_far() {
    let split = data::read(&[navy()], &Reading::new(&[64])).unwrap();
    let start = design(&[64], 2).principal(&split.train, &mut Random::new(1));
    let options = Options { budget: Budget::Time(Duration::from_secs(600)), ..OPTIONS };
    let mut passes = 0;
    let outcome = train(start, &split, &options, &mut |_| {
        passes += 1;
        passes < 3
    });
    assert!(outcome.stopped && passes == 3);
    assert!(outcome.model.mean_relative_error(&split.train).is_finite());
}

/// The written files through `cae`'s own vetting and evaluation give what training saw, and serve the archive.
#[test]
fn written_models_do_in_the_archive_what_they_did_in_training() {
    for (block, precision, near) in
        [(vec![8, 8], Precision::F32, 2e-6), (vec![64], Precision::F16, 5e-4), (vec![4, 4, 4], Precision::I8, 1e-2)]
    {
        let split = data::read(&[navy()], &Reading::new(&block)).unwrap();
        let model = trained(&block, 4, &split, &Options { budget: Budget::Epochs(10), ..OPTIONS }).model;
        let (encoder, decoder) = model.folded();
        let form = |side, precision| Form { side, block_shape: &block, precision, metadata: &[] };
        let encoder = write(&encoder, &form(Side::Encoder, Precision::F32));
        let decoder = write(&decoder, &form(Side::Decoder, precision));

        let loaded = model::load_encoder(&encoder, &Limits::default()).unwrap();
        assert_eq!((loaded.block_shape(), loaded.latent_len()), (block.as_slice(), 4));
        let some = split.train.inputs.slice(ndarray::s![..9, ..]).to_owned();
        let mut latents = Array2::<f32>::zeros((9, 4));
        loaded.encode(some.as_slice().unwrap(), latents.as_slice_mut().unwrap()).unwrap();
        assert!((&latents - &model.encode(some.view())).iter().all(|d| d.abs() < 2e-4));
        let loaded = model::load_decoder(&decoder, &Limits::default()).unwrap();
        let mut decoded = Array2::<f32>::zeros((9, 64));
        loaded.decode(latents.as_slice().unwrap(), decoded.as_slice_mut().unwrap()).unwrap();
        let off = (&decoded - &model.decode(latents.view())).iter().fold(0.0f32, |m, d| m.max(d.abs()));
        assert!(off < near, "{precision:?}: {off}");

        let values = std::fs::read(navy().path).unwrap();
        let values: Vec<f32> = values.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        let field = ArrayD::from_shape_vec(vec![20, 37, 72], values).unwrap();
        let mut writer = Writer::new(Vec::new()).unwrap();
        let id = writer.add_model(&decoder, Some(&encoder), true).unwrap();
        let options = ArrayOptions { bound: Bound::Absolute(0.5), model: Some(id), ..ArrayOptions::default() };
        let report = writer.add_array("u", &field.view(), &options).unwrap();
        assert!(report.chosen.contains_key("autoencoder"));
        let file = writer.finish().unwrap();
        let back = Reader::new(&file).unwrap().array("u").unwrap().read::<f32>().unwrap();
        assert!(back.iter().zip(&field).all(|(a, b)| (a - b).abs() <= 0.5));
    }
}

/// An exact pair is proved so by `cae`, is about as accurate as what was trained, and small.
#[test]
fn exact_pairs_are_proved_and_keep_their_accuracy() {
    for (activation, block, latents) in [(Activation::Sigmoid, vec![64], 2), (Activation::Relu, vec![8, 8], 4)] {
        let split = data::read(&[navy()], &Reading::new(&block)).unwrap();
        let mut random = Random::new(3);
        let start = Design { activation, ..design(&block, latents) }.principal(&split.train, &mut random);
        let scale = start.input.binary();
        let start = start.rescaled(scale);
        let options = Options { rounded: true, budget: Budget::Epochs(40), ..OPTIONS };
        let model = train(start, &split, &options, &mut |_| true).model;
        assert_eq!(model.decoder.rounded(), model.decoder);
        let files = exact::files(&model, &split.train, &[]).unwrap();
        assert!(model::check(&files.decoder, &Limits::default()).unwrap().exact);
        let (float, whole) =
            (model.mean_relative_error(&split.judge), files.mean_relative_error(&split.judge).unwrap());
        assert!((whole - float).abs() < 0.01 * float, "{activation:?}: {float} {whole}");
        let (_, decoder) = model.folded();
        let form = Form { side: Side::Decoder, block_shape: &block, precision: Precision::F16, metadata: &[] };
        assert!(files.decoder.len() < write(&decoder, &form).len() + 2500, "{}", files.decoder.len());
    }
}
