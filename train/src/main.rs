//! The command `cae train`. JSON goes to stdout, messages to stderr; exit status 0 good, 1 bad file, 2 usage.

mod args;
mod in_loop;

use args::{Args, Init, Kind, PrecisionName};
use cae::input::Input;
use cae_train::data::{self, Blocks, Reading, Scaling, Share, Split};
use cae_train::init::Design;
use cae_train::loss::Loss;
use cae_train::onnx::{self, Form, Side};
use cae_train::random::Random;
use cae_train::trainer::{self, Budget, Look, Options, Outcome};
use cae_train::{Autoencoder, Error, autoencoder, exact};
use clap::Parser;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Steps that are taken if nothing is said of epochs or seconds.
const STEPS: usize = 20_000;

/// Weights times blocks of a step times steps that are taken then at most: half a minute of a core, more or less.
const WORK: usize = 100_000_000_000;

/// But no fewer steps than these.
const STEPS_MIN: usize = 1_000;

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err((message, status)) => {
            eprintln!("cae train: {message}");
            ExitCode::from(status)
        }
    }
}

/// A message and an exit status.
type Failure = (String, u8);

fn at(path: &Path) -> impl Fn(Error) -> Failure {
    move |e| {
        let usage = matches!(e, Error::Asked(_) | Error::Cae(cae::Error::Argument(_)));
        (format!("{}: {e}", path.display()), if usage { 2 } else { 1 })
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    let usage = |what: &str| (what.to_owned(), 2);
    for path in [&args.output.0, &args.output.1] {
        if path.exists() && !args.force {
            return Err(usage(&format!("{} exists; --force replaces it", path.display())));
        }
    }
    let alone = args.output.0.as_os_str().is_empty();
    if args.kind == Kind::Predictor {
        return if alone { in_loop::run(args) } else { Err(usage("--kind predictor writes one file")) };
    }
    if alone {
        return Err(usage("two files are needed: -o ENC.onnx,DEC.onnx"));
    }
    let loss: Loss = args.loss.into();
    if loss == Loss::Bound && args.bound().is_none() {
        return Err(usage("--loss bound needs --pw, --rel or --abs"));
    }
    let begin = Instant::now();
    let known = args.from.as_ref().map(load).transpose()?;
    let design = args.design().map_err(|e| (e, 2))?;
    let block_shape = known.as_ref().map_or(design.block_shape.clone(), |(_, _, block)| block.clone());
    let split = read(args, &block_shape)?;
    let model = match known {
        Some((encoder, decoder, block)) => {
            Autoencoder::unfolded(block, encoder, decoder, autoencoder::Scale::of(&split.train))
        }
        None => start(args, &design, &split.train),
    };
    let model = if args.exact { rescaled(model) } else { model };
    let options = Options {
        budget: budget(args, split.pass, &model),
        batch: args.batch.max(1),
        rate: args.lr,
        decay: args.decay,
        weight_decay: args.weight_decay,
        loss,
        latent_bits: match args.latent_bits {
            None if loss == Loss::Bound => Some(10),
            None | Some(0) => None,
            bits => bits,
        },
        rounded: args.exact && matches!(args.weights, None | Some(PrecisionName::I8)),
        disturbed: !args.plain,
        seed: args.seed,
    };
    let outcome = watched(model, &split, &options)?;
    let written = write(args, &outcome.model, &split)?;
    let report = report(args, &split, &outcome, &written, begin.elapsed().as_secs_f64());
    if args.json {
        println!("{report}");
    } else {
        tell(args, &outcome, &report);
    }
    Ok(())
}

fn read(args: &Args, block_shape: &[usize]) -> Result<Split, Failure> {
    let describe = |path: &PathBuf| {
        let shape = args.shape.as_ref().map(|s| s.0.as_slice());
        Input::describe(path, shape, args.dtype.map(Into::into)).map_err(|e| at(path)(e.into()))
    };
    let describe_all = |paths: &[PathBuf]| paths.iter().map(describe).collect::<Result<Vec<_>, _>>();
    let first = args.input.first().map(PathBuf::as_path).unwrap_or(Path::new(""));
    let share = args.steps.unwrap_or(if args.judge.is_empty() { Share::Half } else { Share::All });
    let inputs = describe_all(&args.input)?;
    let scaling = if args.linear { Scaling::Linear } else { Scaling::Normalized };
    let cuts = args.plain.then_some(1);
    let bound = args.bound();
    let reading =
        Reading { scaling, fill: args.fill, bound, share, cuts, hold: !args.plain, ..Reading::new(block_shape) };
    let mut split = data::read(&inputs, &reading).map_err(at(first))?;
    if let Some(judge) = args.judge.first() {
        let all = describe_all(&args.judge)?;
        let whole = Reading { share: Share::All, cuts: Some(1), hold: false, ..reading };
        split.judge = data::read(&all, &whole).map_err(at(judge))?.train;
    }
    Ok(split)
}

fn load((encoder, decoder): &(PathBuf, PathBuf)) -> Result<Pair, Failure> {
    let read = |path: &Path, side| {
        let bytes = std::fs::read(path).map_err(|e| at(path)(e.into()))?;
        onnx::read(&bytes, side).map_err(at(path))
    };
    let (e, block) = read(encoder, Side::Encoder)?;
    let (d, decoded) = read(decoder, Side::Decoder)?;
    if e.outputs() != d.inputs() || block.iter().product::<usize>() != decoded.iter().product::<usize>() {
        return Err((format!("{} and {} do not fit together", encoder.display(), decoder.display()), 2));
    }
    Ok((e, d, block))
}

/// Encoder, decoder and block shape.
type Pair = (cae_train::network::Network, cae_train::network::Network, Vec<usize>);

fn start(args: &Args, design: &Design, train: &Blocks) -> Autoencoder {
    let mut random = Random::new(args.seed);
    match args.init {
        Init::Pca => design.principal(train, &mut random),
        Init::Random => design.random(&mut random),
    }
}

fn budget(args: &Args, blocks: usize, model: &Autoencoder) -> Budget {
    let layers = model.encoder.layers.iter().chain(&model.decoder.layers);
    let weights = layers.map(|l| l.weights.len()).sum::<usize>().max(1);
    let steps = (WORK / weights / args.batch.max(1)).clamp(STEPS_MIN, STEPS);
    let batches = blocks.div_ceil(args.batch.max(1)).max(1);
    match (args.epochs, args.seconds) {
        (Some(n), _) => Budget::Epochs(n),
        (_, Some(s)) => Budget::Time(Duration::try_from_secs_f64(s).unwrap_or_default()),
        _ => Budget::Epochs(steps.div_ceil(batches).max(10)),
    }
}

/// A flag that Ctrl-C sets, and a progress bar of 1000 parts.
fn watch() -> Result<(Arc<AtomicBool>, ProgressBar), Failure> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed)).map_err(|e| (e.to_string(), 1))?;
    let bar = ProgressBar::new(1000);
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    if let Ok(style) = ProgressStyle::with_template("[{bar:40}] {percent}% {eta} left, {msg}") {
        bar.set_style(style);
    }
    Ok((interrupted, bar))
}

/// Trains under a progress bar; Ctrl-C ends it with the best so far.
fn watched(model: Autoencoder, split: &Split, options: &Options) -> Result<Outcome, Failure> {
    let (interrupted, bar) = watch()?;
    let mut errors = (f64::NAN, f64::NAN);
    let outcome = trainer::train(model, split, options, &mut |look: &Look| {
        errors = look.errors.map_or(errors, |e| (e.train, e.least));
        bar.set_position((look.spent * 1000.0) as u64);
        bar.set_message(format!("loss {:.3e}, error {:.3e} / {:.3e}", look.loss, errors.0, errors.1));
        !interrupted.load(Ordering::Relaxed)
    });
    bar.finish_and_clear();
    Ok(outcome)
}

/// The same model with a scale that leaves whole weights whole.
fn rescaled(model: Autoencoder) -> Autoencoder {
    let scale = model.input.binary();
    model.rescaled(scale)
}

/// What became of the files.
struct Written {
    encoder: usize,
    decoder: usize,
    /// Error of the exact pair on the blocks judged on, if it is exact.
    exact_error: Option<f64>,
}

fn write(args: &Args, model: &Autoencoder, split: &Split) -> Result<Written, Failure> {
    let shape: Vec<String> = model.block_shape.iter().map(usize::to_string).collect();
    let metadata = [("cae.kind", "block".to_owned()), ("cae.block", shape.join("x"))];
    let (files, exact_error) = if args.exact {
        let files = exact::files(model, &split.train, &metadata).map_err(at(&args.output.1))?;
        let error = files.mean_relative_error(&split.judge).map_err(at(&args.output.1))?;
        (files, (!split.judge.is_empty()).then_some(error))
    } else {
        let (encoder, decoder) = model.folded();
        let form = |side, precision| Form { side, block_shape: &model.block_shape, precision, metadata: &metadata };
        let precision = args.weights.map_or(onnx::Precision::F16, Into::into);
        let encoder = onnx::write(&encoder, &form(Side::Encoder, onnx::Precision::F32));
        (exact::Files { encoder, decoder: onnx::write(&decoder, &form(Side::Decoder, precision)) }, None)
    };
    for (path, bytes) in [(&args.output.0, &files.encoder), (&args.output.1, &files.decoder)] {
        std::fs::write(path, bytes).map_err(|e| at(path)(e.into()))?;
    }
    Ok(Written { encoder: files.encoder.len(), decoder: files.decoder.len(), exact_error })
}

fn report(args: &Args, split: &Split, outcome: &Outcome, written: &Written, seconds: f64) -> Value {
    let model = &outcome.model;
    let widths: Vec<usize> = model.encoder.layers.iter().chain(&model.decoder.layers).map(|l| l.bias.len()).collect();
    let look = |l: &Look| {
        let judged = l.errors.filter(|_| !split.judge.is_empty());
        json!({"epoch": l.epoch, "seconds": l.seconds, "loss": l.loss, "train_error": l.errors.map(|e| e.train),
               "judge_error": judged.map(|e| e.judge), "judge_error_least": judged.map(|e| e.least)})
    };
    let judged = (!split.judge.is_empty()).then(|| model.mean_relative_error(&split.judge));
    json!({
        "encoder": {"file": args.output.0, "bytes": written.encoder},
        "decoder": {"file": args.output.1, "bytes": written.decoder},
        "block_shape": model.block_shape,
        "layers": std::iter::once(model.block_len()).chain(widths).collect::<Vec<_>>(),
        "latents": model.latent_len(),
        "theoretical_ratio": model.block_len() as f64 / model.latent_len() as f64,
        "train_blocks": split.pass,
        "cut_blocks": split.train.len() - split.pass,
        "held_blocks": split.held.len(),
        "judge_blocks": split.judge.len(),
        "train_error": model.mean_relative_error(&split.train),
        "judge_error": judged,
        "judge_error_least": judged.map(|_| model.least_relative_error(&split.judge)),
        "exact": args.exact,
        "exact_judge_error": written.exact_error,
        "seconds": seconds,
        "stopped": outcome.stopped,
        "seed": args.seed,
        "curve": outcome.curve.iter().map(look).collect::<Vec<_>>(),
    })
}

fn tell(args: &Args, outcome: &Outcome, report: &Value) {
    let model = &outcome.model;
    let percent = |key: &str| report.get(key).and_then(Value::as_f64).map(|e| format!("{:.3} %", 100.0 * e));
    let count = |key: &str| report.get(key).and_then(Value::as_u64).unwrap_or(0);
    println!(
        "{} and {}: blocks of {:?}, {} latents a block",
        args.output.0.display(),
        args.output.1.display(),
        model.block_shape,
        model.latent_len()
    );
    let of = |key: &str, blocks: &str| match percent(key) {
        Some(error) => format!("{error} on {} blocks", count(blocks)),
        None => "none".to_owned(),
    };
    println!(
        "  mean point-wise relative error: {} learned from, {} judged on",
        of("train_error", "train_blocks"),
        of("judge_error", "judge_blocks")
    );
    if let Some(least) = percent("judge_error_least") {
        println!("  with the best latents, which archives look for: {least} judged on");
    }
    if let Some(exact) = percent("exact_judge_error") {
        println!("  the exact pair, with the encoder's latents: {exact} judged on");
    }
    let seconds = report.get("seconds").and_then(Value::as_f64).unwrap_or(0.0);
    println!(
        "  {} epochs, {seconds:.1} s{}",
        outcome.curve.last().map_or(0, |l| l.epoch),
        if outcome.stopped { ", stopped early" } else { "" }
    );
    println!("  use: cae compress INPUT -o OUT.cae --model {},{}", args.output.0.display(), args.output.1.display());
}
