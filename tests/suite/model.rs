//! The models of `testdata/models`, through the public API.

use cae::model::{Decoder, check, digest, load_decoder, load_encoder};
use cae::{ArrayOptions, Bound, Error, Limits, ModelError, Reader, Writer};
use ndarray::{ArrayD, IxDyn};

fn read(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/testdata/models/{name}.onnx", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Signals of the family that the models were made for: harmonics around 0.055.
fn signals(count: usize, len: usize) -> Vec<f32> {
    (0..count * len)
        .map(|i| {
            let (row, t) = ((i / len) as f64, std::f64::consts::TAU * (i % len) as f64 / len as f64);
            let waves: f64 = (1..=3)
                .map(|k| {
                    (0.3 + 0.7 * (row * 0.37 + k as f64).sin().abs()) / 3.0 * (k as f64 * t + row * k as f64).sin()
                })
                .sum();
            (0.055 + 0.04 * waves) as f32
        })
        .collect()
}

fn images(count: usize) -> Vec<f32> {
    (0..count * 256)
        .map(|i| {
            let (n, r, c) = ((i / 256) as f64, (i / 16 % 16) as f64, (i % 16) as f64);
            let wave = |v: f64| (std::f64::consts::PI * (v + 0.5) / 16.0).cos();
            (0.055 + 0.008 * (n.sin() * wave(r) + n.cos() * wave(c) + (2.0 * n).sin() * wave(r) * wave(c))) as f32
        })
        .collect()
}

/// Mean point-wise relative error of blocks that went through encoder and decoder.
fn reconstruction_error(pair: &str, blocks: &[f32], shape: &[usize]) -> (f64, Box<dyn Decoder>) {
    let encoder = load_encoder(&read(&format!("{pair}-encoder")), &Limits::default()).unwrap();
    let decoder = load_decoder(&read(&format!("{pair}-decoder")), &Limits::default()).unwrap();
    assert_eq!((encoder.block_shape(), encoder.latent_len()), (shape, 8));
    assert_eq!((decoder.block_shape(), decoder.latent_len()), (shape, 8));
    let mut latents = vec![0.0; blocks.len() / encoder.block_len() * 8];
    encoder.encode(blocks, &mut latents).unwrap();
    let mut out = vec![0.0; blocks.len()];
    decoder.decode(&latents, &mut out).unwrap();
    let sum: f64 = blocks.iter().zip(&out).map(|(x, y)| f64::from((x - y).abs() / x)).sum();
    (sum / blocks.len() as f64, decoder)
}

#[test]
fn every_pair_reconstructs_smooth_data() {
    for (pair, blocks, shape) in [
        ("sigmoid512", signals(40, 512), &[512][..]),
        ("exact512", signals(40, 512), &[512]),
        ("keras64", signals(40, 64), &[8, 8]),
        ("conv16", images(40), &[16, 16]),
    ] {
        let (error, decoder) = reconstruction_error(pair, &blocks, shape);
        assert!(error < 0.05, "{pair}: mean relative error {error}");
        assert_eq!(decoder.is_exact(), pair == "exact512", "{pair}");
    }
}

/// Digest of the values of `exact512` for fixed latents: the same on every machine and engine.
#[test]
fn an_exact_decoder_gives_the_recorded_bits() {
    let decoder = load_decoder(&read("exact512-decoder"), &Limits::default()).unwrap();
    let latents: Vec<f32> = (0..8 * 300_i16).map(|i| f32::from(i % 255 * 31 % 255 - 127)).collect();
    let mut out = vec![0.0; 512 * 300];
    decoder.decode(&latents, &mut out).unwrap();
    let bytes: Vec<u8> = out.iter().flat_map(|v: &f32| v.to_le_bytes()).collect();
    let digits: String = digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(digits, "4a8ceefcfe44f34e28847e73c11f4c2b4e4f2cee3e34c18549ac1846e3d0ba8c");
}

/// A batch computes each block as if it were alone.
#[test]
fn blocks_do_not_depend_on_their_batch() {
    for (name, len) in [("sigmoid512-decoder", 8), ("conv16-decoder", 8), ("keras64-decoder", 8)] {
        let decoder = load_decoder(&read(name), &Limits::default()).unwrap();
        let latents: Vec<f32> = (0..len * 70).map(|i| (i as f32 * 0.7).sin() * 0.5).collect();
        let mut together = vec![0.0; decoder.block_len() * 70];
        decoder.decode(&latents, &mut together).unwrap();
        for (latent, block) in latents.chunks(len).zip(together.chunks(decoder.block_len())) {
            let mut alone = vec![0.0; decoder.block_len()];
            decoder.decode(latent, &mut alone).unwrap();
            assert_eq!(alone, block, "{name}");
        }
    }
}

#[test]
fn the_report_says_what_a_model_is() {
    let report = check(&read("exact512-decoder"), &Limits::default()).unwrap();
    assert!(report.exact && report.inexact.is_none());
    assert_eq!((report.latent_range, report.nodes, report.opset), (Some((-127, 127)), 7, 17));
    assert_eq!((report.input_shape, report.output_shape), (vec![8], vec![512]));
    assert_eq!(report.parameters, 8 * 16 + 16 * 512 + 512 + 2);
    let report = check(&read("sigmoid512-decoder"), &Limits::default()).unwrap();
    assert_eq!(report.inexact.unwrap().1, "it declares no cae.latent_range");
    assert_eq!(report.operators, ["DequantizeLinear", "Gemm", "Sigmoid"]);
    assert_eq!(report.parameters, 8 * 64 + 64 + 64 * 512 + 512);
}

#[test]
fn a_decoder_is_stored_once_and_takes_any_encoder_that_fits() {
    let mut w = Writer::new(Vec::new()).unwrap();
    let (decoder, encoder) = (read("exact512-decoder"), read("exact512-encoder"));
    let without = w.add_model(&decoder, None, true).unwrap();
    let with = w.add_model(&decoder, Some(&encoder), true).unwrap();
    assert_ne!(without, with);
    assert_eq!(w.add_model(&decoder, Some(&encoder), false).unwrap(), with);
    let mismatch = |w: &mut Writer<Vec<u8>>, decoder: &[u8], encoder: &[u8]| {
        matches!(w.add_model(decoder, Some(encoder), true), Err(Error::Model(ModelError::Mismatch { .. })))
    };
    assert!(mismatch(&mut w, &encoder, &decoder), "exchanged");
    assert!(mismatch(&mut w, &decoder, &read("conv16-encoder")));
    // Bytes that were left out cannot follow.
    w.add_model(&read("sigmoid512-decoder"), None, false).unwrap();
    assert!(matches!(w.add_model(&read("sigmoid512-decoder"), None, true), Err(Error::Argument(_))));
    let values = ArrayD::from_shape_vec(IxDyn(&[40, 512]), signals(40, 512)).unwrap();
    let options = ArrayOptions { bound: Bound::Absolute(1e-3), model: Some(with), ..ArrayOptions::default() };
    w.add_array("a", &values.view(), &options).unwrap();
    let file = w.finish().unwrap();
    let reader = Reader::new(&file).unwrap();
    assert_eq!(reader.models().map(|m| m.len).collect::<Vec<_>>(), [decoder.len() as u64, 0]);
    assert!(reader.array("a").unwrap().model().is_none_or(|m| m == 0));
    assert!(reader.array("a").unwrap().compare(&values.view(), None).unwrap().1);
}

#[test]
fn refuses_other_bytes_lengths_and_limits() {
    let bytes = read("sigmoid512-decoder");
    assert!(matches!(check(b"not a model", &Limits::default()), Err(Error::Model(ModelError::Malformed { .. }))));
    let mut small = Limits::default();
    small.model_bytes = 1000;
    assert!(matches!(check(&bytes, &small), Err(Error::Limit { wanted, .. }) if wanted == bytes.len() as u64));
    let decoder = load_decoder(&bytes, &Limits::default()).unwrap();
    for (latents, values) in [(8, 511), (7, 512), (16, 512), (0, 512)] {
        let result = decoder.decode(&vec![0.0; latents], &mut vec![0.0; values]);
        assert!(matches!(result, Err(Error::Model(ModelError::Mismatch { .. }))), "{latents} {values}");
    }
    decoder.decode(&[], &mut []).unwrap();
}

#[test]
fn a_network_in_the_loop_says_what_it_is() {
    let bytes = read("predictor");
    let report = check(&bytes, &Limits::default()).unwrap();
    assert!(report.predictor && report.exact, "{report:?}");
    assert_eq!((report.input_shape, report.output_shape), (vec![46], vec![2]));
    assert!(load_decoder(&bytes, &Limits::default()).unwrap().is_predictor());
    assert!(!load_decoder(&read("exact512-decoder"), &Limits::default()).unwrap().is_predictor());
    // What it needs to be one is in its metadata.
    let renamed = |from: &[u8], to: &[u8]| {
        let at = bytes.windows(from.len()).position(|w| w == from).unwrap();
        [&bytes[..at], to, &bytes[at + from.len()..]].concat()
    };
    for (from, to) in [(&b"-1023,1023"[..], &b"-1022,1022"[..]), (b"cae.latent_range", b"cae.patent_range")] {
        assert!(matches!(load_decoder(&renamed(from, to), &Limits::default()), Err(Error::Model(_))), "{to:?}");
    }
}
