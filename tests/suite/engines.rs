//! The same file on other engines: tract with every set of kernels, an old processor, a plain evaluator, and an engine
//! that errs as far as SPEC 5.5 lets it. Exact models give the same bits on all of them, others stay within the bound.

use crate::fields::{Random, smooth};
use crate::forge::{self, onnx};
use crate::open::testdata;
use cae::model::Decoder;
use cae::{ArrayOptions, Bound, Element, GuardPolicy, ReadOptions, Reader, Writer};
use ndarray::ArrayD;
use std::sync::Arc;

/// A layer: weights of [inputs][outputs], biases, and the function after it.
#[derive(Clone)]
struct Layer {
    weights: Vec<Vec<f32>>,
    biases: Vec<f32>,
    function: &'static str,
}

impl Layer {
    fn random(
        random: &mut Random,
        inputs: usize,
        outputs: usize,
        scale: f64,
        bias: f64,
        function: &'static str,
    ) -> Layer {
        let mut row = |n: usize| (0..n).map(|_| (scale * (2.0 * random.unit() - 1.0)) as f32).collect::<Vec<_>>();
        let weights = (0..inputs).map(|_| row(outputs)).collect();
        let biases = row(outputs).iter().map(|b| b * 0.1 + bias as f32).collect();
        Layer { weights, biases, function }
    }
}

fn to_onnx(layers: &[Layer]) -> Vec<u8> {
    let parts: Vec<onnx::Dense> =
        layers.iter().map(|l| onnx::Dense { weights: &l.weights, biases: &l.biases, function: l.function }).collect();
    onnx::perceptron(&parts)
}

/// How an engine errs.
#[derive(Debug, Clone, Copy)]
enum Errs {
    /// Sums from the last term to the first, functions too large by all that is granted.
    Up,
    /// Sums from the smallest product to the largest, functions too small.
    Down,
    /// Sums in random order, functions off at random.
    Randomly(u64),
}

/// An engine of SPEC 5.5, written from it: binary32, one rounding an operation, as wrong as it may be.
struct Drifting {
    layers: Vec<Layer>,
    errs: Errs,
}

impl Drifting {
    fn layer(&self, layer: &Layer, x: &[f32], random: &mut Random) -> Vec<f32> {
        (0..layer.biases.len())
            .map(|o| {
                let mut terms: Vec<f32> = x.iter().zip(&layer.weights).map(|(x, w)| x * w[o]).collect();
                terms.push(layer.biases[o]);
                match self.errs {
                    Errs::Up => terms.reverse(),
                    Errs::Down => terms.sort_by(|a, b| a.abs().total_cmp(&b.abs())),
                    Errs::Randomly(_) => {
                        for i in (1..terms.len()).rev() {
                            terms.swap(i, random.below(i + 1));
                        }
                    }
                }
                let sum = terms.into_iter().fold(0.0f32, |s, t| s + t);
                let v = f64::from(sum);
                let real = match layer.function {
                    "Sigmoid" => 1.0 / (1.0 + (-v).exp()),
                    "Tanh" => v.tanh(),
                    _ => return sum,
                };
                let granted = 1e-6 * real.abs().max(1.0);
                let share = match self.errs {
                    Errs::Up => 0.95,
                    Errs::Down => -0.95,
                    Errs::Randomly(_) => 1.9 * random.unit() - 0.95,
                };
                (real + share * granted) as f32
            })
            .collect()
    }
}

impl Decoder for Drifting {
    fn latent_len(&self) -> usize {
        self.layers[0].weights.len()
    }
    fn block_shape(&self) -> &[usize] {
        &[128]
    }
    fn decode(&self, latents: &[f32], out: &mut [f32]) -> cae::Result<()> {
        let seed = if let Errs::Randomly(seed) = self.errs { seed } else { 0 };
        let mut random = Random(seed);
        for (latent, block) in latents.chunks(self.latent_len()).zip(out.chunks_mut(128)) {
            let mut x = latent.to_vec();
            for layer in &self.layers {
                x = self.layer(layer, &x, &mut random);
            }
            block.copy_from_slice(&x);
        }
        Ok(())
    }
}

const MANNERS: [Errs; 4] = [Errs::Up, Errs::Down, Errs::Randomly(1), Errs::Randomly(77)];

fn decoder_layers() -> Vec<Layer> {
    let mut random = Random(3);
    vec![
        Layer::random(&mut random, 8, 64, 0.3, 0.0, "Tanh"),
        Layer::random(&mut random, 64, 64, 0.2, 0.0, "Sigmoid"),
        Layer::random(&mut random, 64, 128, 0.1, -3.0, "Sigmoid"),
    ]
}

fn encoder_layers() -> Vec<Layer> {
    vec![Layer::random(&mut Random(4), 128, 8, 1.0, 0.0, "Tanh")]
}

/// Values between 0.01 and 0.1, where a decoder's errors are those of the values.
fn values() -> ArrayD<f32> {
    smooth::<f32>(&[40, 300], 12).mapv(|v| 0.055 + v * 0.002)
}

const BOUND: f64 = 4e-5;

/// A file that a float network predicts, and its guard.
fn guarded() -> (Vec<u8>, f32) {
    let mut w = Writer::new(Vec::new()).unwrap();
    let model = Some(w.add_model(&to_onnx(&decoder_layers()), Some(&to_onnx(&encoder_layers())), true).unwrap());
    let options = ArrayOptions { bound: Bound::Absolute(BOUND), model, ..ArrayOptions::default() };
    let report = w.add_array("field", &values().view(), &options).unwrap();
    assert_eq!((report.fell_back, report.eaten), (0, 0));
    (w.finish().unwrap(), report.guard.unwrap())
}

/// With an engine of the caller's own for every model of the file.
fn with_engine(bytes: &[u8], engine: impl Fn(&[u8]) -> Arc<dyn Decoder>) -> Reader<'_> {
    let mut options = ReadOptions::default();
    let plain = Reader::new(bytes).unwrap();
    for i in 0..plain.models().len() {
        let model = plain.model_bytes(i).unwrap();
        options.decoders.insert(cae::model::digest(&model), engine(&model));
    }
    Reader::new_with(bytes, options).unwrap()
}

fn worst<'a>(found: impl IntoIterator<Item = &'a f32>, expected: impl IntoIterator<Item = &'a f32>) -> f64 {
    let apart = found.into_iter().zip(expected).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs());
    apart.fold(0.0, f64::max)
}

#[test]
fn an_engine_that_errs_as_far_as_it_may_stays_within_the_bound() {
    let (bytes, guard) = guarded();
    let here = Reader::new(&bytes).unwrap().array("field").unwrap().read::<f32>().unwrap();
    let mut furthest = 0.0f64;
    for errs in MANNERS {
        let reader = with_engine(&bytes, |_| Arc::new(Drifting { layers: decoder_layers(), errs }));
        let found = reader.array("field").unwrap().read::<f32>().unwrap();
        assert!(worst(&found, &values()) <= BOUND, "{errs:?}");
        furthest = furthest.max(worst(&found, &here));
    }
    // The engine does drift, by a good part of what the guard allows and never by more.
    let rounding = 1e-8;
    assert!(furthest > 1e-7 && furthest <= f64::from(guard) + rounding, "{furthest:e} of {guard:e}");
}

#[test]
fn the_certificate_holds_for_the_guard_that_is_kept_and_no_smaller_one() {
    let (bytes, guard) = guarded();
    let certificate = Reader::new(&bytes).unwrap().array("field").unwrap().certify().unwrap();
    assert!(certificate.holds() && certificate.kept == Some(guard), "{certificate:?}");
    assert_eq!((certificate.exact, certificate.guarded, certificate.same_bits), (0, 1, 1));
    assert_eq!(certificate.needed_by_output.len(), 128);
    for share in [0.99, 0.25, 0.0] {
        let changed = with_guard(&bytes, guard, guard * share);
        let certificate = Reader::new(&changed).unwrap().array("field").unwrap().certify().unwrap();
        assert_eq!(certificate.uncovered, [0], "{share}");
        assert!(!certificate.holds());
    }
}

/// The file of one frame with another guard in it.
fn with_guard(bytes: &[u8], old: f32, new: f32) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let wanted = [&[5, 16][..], &old.to_le_bytes()].concat();
    let at = out.windows(6).position(|w| w == wanted).unwrap();
    out[at + 2..at + 6].copy_from_slice(&new.to_le_bytes());
    let end = out.len();
    let directory = u32::from_le_bytes(out[end - 8..end - 4].try_into().unwrap()) as usize;
    forge::reseal_frame(&mut out[at - 8..end - 8 - directory]);
    out
}

/// With no guard, the same engine breaks the bound: the test above could fail.
#[cfg(feature = "internals")]
#[test]
fn without_a_guard_the_same_engine_is_caught() {
    use cae::internals::{decode_sparse, encode_sparse};
    let limits = cae::Limits::default();
    let encoder = cae::model::load_encoder(&to_onnx(&encoder_layers()), &limits).unwrap();
    // Says nothing of its errors, so no guard is kept.
    let silent = Drifting { layers: decoder_layers(), errs: Errs::Randomly(5) };
    let values: Vec<f64> = values().iter().map(|v| f64::from(*v)).collect();
    let models = Some((&*encoder, &silent as &dyn Decoder));
    let [a, b, c, d] = encode_sparse(&values, &[40, 300], true, BOUND, false, models).unwrap();
    let mut broken = 0;
    for errs in MANNERS {
        let mut out = vec![0.0; values.len()];
        let engine = Drifting { layers: decoder_layers(), errs };
        decode_sparse([&a, &b, &c, &d], &[40, 300], true, Some(&engine), &mut out).unwrap();
        broken += values.iter().zip(&out).filter(|(x, y)| (*x - *y).abs() > BOUND).count();
    }
    assert!(broken > 0, "no value left its bound");
}

#[test]
fn where_the_guard_eats_the_bound_the_writer_refuses_or_falls_back() {
    for (bound, guard) in [(Bound::Absolute(1e-9), GuardPolicy::Refuse), (Bound::Absolute(1e-9), GuardPolicy::FallBack)]
    {
        let mut w = Writer::new(Vec::new()).unwrap();
        let model = Some(w.add_model(&to_onnx(&decoder_layers()), Some(&to_onnx(&encoder_layers())), true).unwrap());
        let options = ArrayOptions { bound, model, guard, ..ArrayOptions::default() };
        let result = w.add_array("field", &values().view(), &options);
        match guard {
            GuardPolicy::Refuse => assert!(result.unwrap_err().to_string().contains("exceeds the bound")),
            _ => {
                let report = result.unwrap();
                assert_eq!((report.fell_back, report.guard), (1, None));
                let bytes = w.finish().unwrap();
                let reader = Reader::new(&bytes).unwrap();
                let found = reader.array("field").unwrap().read::<f32>().unwrap();
                assert!(worst(&found, &values()) <= 1e-9);
                assert!(reader.array("field").unwrap().certify().unwrap().exact == 1);
            }
        }
    }
}

/// The goldens that networks predict, with the values that they were made from.
fn predicted_goldens() -> Vec<(String, Vec<u8>, ArrayD<f32>)> {
    crate::golden::update::goldens_if_asked();
    let (major, minor) = cae::VERSION;
    crate::golden::PREDICTED
        .iter()
        .map(|(pair, shape)| {
            let name = format!("{major}.{minor}_model_{pair}.cae");
            let bytes = std::fs::read(testdata("golden").join(&name)).unwrap();
            (name, bytes, crate::golden::predicted_values(shape))
        })
        .collect()
}

fn allowed(bound: Bound, x: f32) -> f64 {
    match bound {
        Bound::Pointwise(b) => b * f64::from(x).abs(),
        Bound::Absolute(e) => e,
        other => panic!("{other:?}"),
    }
}

#[cfg(feature = "internals")]
#[test]
fn a_plain_evaluator_decodes_goldens_alike() {
    for (name, bytes, original) in predicted_goldens() {
        let plain = |model: &[u8]| cae::internals::plain_decoder(model, &cae::Limits::default()).unwrap().into();
        let (here, there) = (Reader::new(&bytes).unwrap(), with_engine(&bytes, plain));
        for array in here.arrays() {
            let a = array.read::<f32>().unwrap();
            let b = there.array(array.name()).unwrap().read::<f32>().unwrap();
            if name.contains("exact") {
                assert_eq!(a, b, "{name} {}", array.name());
            }
            for decoded in [&a, &b] {
                for (x, y) in original.iter().zip(decoded) {
                    let apart = (f64::from(*x) - f64::from(*y)).abs();
                    assert!(apart <= allowed(array.bound(), *x), "{name} {}", array.name());
                }
            }
        }
    }
}

/// Other sets of kernels and other processors, by running the command line on them.
#[cfg(feature = "cli")]
mod processes {
    use super::*;
    use serde_json::Value;
    use std::path::Path;
    use std::process::Command;

    /// What tract may use of a processor, from nothing to all that is there.
    const KERNELS: [(&str, &str); 4] = [
        ("generic", "-avx,-avx2,-fma,-f16c,-avx512f,-avx512vnni,-avx512fp16,-avxvnni,-amx-int8,-amx-bf16"),
        ("avx", "-avx2,-fma,-f16c,-avx512f,-avx512vnni,-avx512fp16,-avxvnni,-amx-int8,-amx-bf16"),
        ("fma", "-avx512f,-avx512vnni,-avx512fp16,-avxvnni,-amx-int8,-amx-bf16"),
        ("all", ""),
    ];

    /// Processors that qemu emulates: without AVX, and without SSE 4 as well.
    const PROCESSORS: [&str; 2] = ["Nehalem", "core2duo"];

    /// Checks all goldens that networks predict with the program that `command` starts.
    fn check(what: &str, command: impl Fn() -> Command) {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes, original) in predicted_goldens() {
            let file = folder.path().join(&name);
            std::fs::write(&file, &bytes).unwrap();
            let certificate = json(what, command().arg("certify").arg(&file).arg("--json"));
            assert_eq!(certificate["ok"], true, "{what}: {name}: {certificate}");
            let reader = Reader::new(&bytes).unwrap();
            for (index, array) in reader.arrays().enumerate() {
                let raw = folder.path().join("out.f32");
                let index = index.to_string();
                let mut run = command();
                run.arg("decompress").arg(&file).args(["--array", &index, "--force", "--json", "-o"]).arg(&raw);
                json(what, &mut run);
                let found = floats(&raw);
                for (x, y) in original.iter().zip(&found) {
                    let apart = (f64::from(*x) - f64::from(*y)).abs();
                    assert!(apart <= allowed(array.bound(), *x), "{what}: {name} {}", array.name());
                }
                if name.contains("exact") {
                    let here: Vec<f32> = array.read::<f32>().unwrap().into_iter().collect();
                    assert_eq!(here, found, "{what}: {name} {}", array.name());
                }
            }
        }
    }

    fn json(what: &str, command: &mut Command) -> Value {
        let out = command.output().unwrap();
        assert!(out.status.success(), "{what}: {command:?}: {}", String::from_utf8_lossy(&out.stderr));
        serde_json::from_slice(&out.stdout).unwrap()
    }

    fn floats(path: &Path) -> Vec<f32> {
        std::fs::read(path).unwrap().chunks_exact(4).filter_map(f32::get_le).collect()
    }

    #[test]
    fn goldens_decode_alike_with_every_set_of_kernels() {
        for (what, set) in KERNELS {
            check(what, || {
                let mut command = Command::new(env!("CARGO_BIN_EXE_cae"));
                if cfg!(target_arch = "x86_64") && !set.is_empty() {
                    command.env("TRACT_CPU_ISA", set);
                }
                command
            });
        }
    }

    /// Needs qemu-user; where that is missing the test only says so, unless `CAE_QEMU=1` demands it.
    #[test]
    fn goldens_decode_alike_on_emulated_old_processors() {
        let there = Command::new("qemu-x86_64").arg("--version").output().is_ok_and(|o| o.status.success());
        if !cfg!(target_arch = "x86_64") || !there {
            assert!(std::env::var_os("CAE_QEMU").is_none(), "qemu-x86_64 is missing: install qemu-user");
            eprintln!("skipped: no qemu-x86_64 (qemu-user), so no old processor was tried");
            return;
        }
        for cpu in PROCESSORS {
            check(cpu, || {
                let mut command = Command::new("qemu-x86_64");
                command.args(["-cpu", cpu, env!("CARGO_BIN_EXE_cae")]);
                command
            });
        }
    }
}
