//! `cae train --kind predictor`.

use crate::args::Args;
use crate::{Failure, at, watch};
use cae::input::Input;
use cae::model::{Decoder, load_decoder};
use cae::{Bound, DataType, Element, FrameOptions, Limits, Region, Samples};
use cae_train::data::Share;
use cae_train::predictor::{self, Options, Outcome};
use cae_train::{Error, onnx};
use serde_json::json;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Frames of an array that are looked at, spread evenly.
const FRAMES: usize = 24;
/// Shares of the training. What a network is told depends on what it said before, so each round goes on with the network of
/// the one before, on what that met and what those before it met; the first on what is met without one. Points that are met several
/// times, each time a little otherwise, are less learned by heart (Ross et al. 2011, as data aggregation).
const ROUNDS: [f64; 6] = [0.12, 0.12, 0.12, 0.12, 0.12, 0.4];
/// Points that are learned from together, about, beside those of the last round: a hundred bytes each.
const KEPT: usize = 1 << 23;

pub fn run(args: &Args) -> Result<(), Failure> {
    let begin = Instant::now();
    if args.bound().is_none() {
        return Err((
            "--kind predictor needs --rel, --abs or --pw: what is around a value depends on the bound".into(),
            2,
        ));
    }
    if args.from.is_some() || args.epochs.is_some() || !args.judge.is_empty() {
        return Err(("--kind predictor takes no --from, --epochs or --judge".into(), 2));
    }
    let default = Options::default();
    let mut options =
        Options { hidden: args.hidden.clone().unwrap_or(default.hidden), rate: args.lr, seed: args.seed, ..default };
    let all_steps = options.steps;
    let (interrupted, bar) = watch()?;
    let mut before: Option<(Outcome, Vec<u8>)> = None;
    let (mut points, mut share_done) = (0, 0.0);
    let (mut parts, mut of_rounds): (Vec<Samples>, Vec<usize>) = (Vec::new(), Vec::new());
    for share in ROUNDS {
        let decoder = match &before {
            Some((_, bytes)) => Some(load_decoder(bytes, &Limits::default()).map_err(|e| (e.to_string(), 1))?),
            None => None,
        };
        let earlier = parts.len();
        for path in &args.input {
            let shape = args.shape.as_ref().map(|s| s.0.as_slice());
            let input = Input::describe(path, shape, args.dtype.map(Into::into)).map_err(|e| at(path)(e.into()))?;
            let found = match input.data_type {
                DataType::F32 => samples::<f32>(&input, args, decoder.as_deref()),
                _ => samples::<f64>(&input, args, decoder.as_deref()),
            };
            parts.extend(found.map_err(at(path))?);
        }
        of_rounds.push(parts.len() - earlier);
        let count = |parts: &[Samples]| parts.iter().map(|p| p.misses.len()).sum::<usize>();
        points = count(&parts[earlier..]);
        while of_rounds.len() > 1 && count(&parts) > points + KEPT {
            parts.drain(..of_rounds.remove(0));
        }
        if points < 1000 {
            return Err((format!("{points} points are too few to learn from"), 1));
        }
        match args.seconds {
            Some(s) => {
                let until = s * (share_done + share) - begin.elapsed().as_secs_f64();
                options.time = Some(Duration::try_from_secs_f64(until).unwrap_or_default());
                options.steps = usize::MAX;
            }
            None => options.steps = (all_steps as f64 * share) as usize,
        }
        let from = before.as_ref().map(|(outcome, _)| &outcome.network);
        let outcome = predictor::train(&parts, &options, from, |part, bits| {
            bar.set_position(((share_done + share * part) * 1000.0) as u64);
            bar.set_message(format!("{bits:.3} bits a value"));
            !interrupted.load(Ordering::Relaxed)
        });
        share_done += share;
        options.seed = options.seed.wrapping_add(1);
        let bytes = onnx::write_predictor(&outcome.network);
        before = Some((outcome, bytes));
        if interrupted.load(Ordering::Relaxed) {
            break;
        }
    }
    bar.finish_and_clear();
    let Some((outcome, bytes)) = before else { return Ok(()) };
    let path = &args.output.1;
    std::fs::write(path, &bytes).map_err(|e| at(path)(e.into()))?;
    tell(args, &outcome, points, bytes.len(), begin.elapsed().as_secs_f64());
    Ok(())
}

fn tell(args: &Args, outcome: &Outcome, points: usize, bytes: usize, seconds: f64) {
    let path = args.output.1.display();
    if args.json {
        let report = json!({
            "predictor": {"file": args.output.1, "bytes": bytes},
            "points": points,
            "steps": outcome.steps,
            "bits_without": outcome.bits_without,
            "bits_with": outcome.bits_with,
            "seconds": seconds,
            "seed": args.seed,
        });
        println!("{report}");
        return;
    }
    println!("{path}: {bytes} bytes, learned from {points} points in {} steps, {seconds:.1} s", outcome.steps);
    println!(
        "  one distribution for each point: {:.3} bits a value with the network, {:.3} with the stencil alone",
        outcome.bits_with, outcome.bits_without
    );
    println!("  use: cae compress INPUT -o OUT.cae --model {path}");
}

/// What the network is asked at the points of an array, cut as a writer cuts it.
fn samples<T: Element>(input: &Input, args: &Args, decoder: Option<&dyn Decoder>) -> Result<Vec<Samples>, Error> {
    let source = input.open::<T>()?;
    let bound = match args.bound() {
        // A frame's own range is another.
        Some(Bound::Range(part)) => {
            let extent: Vec<usize> = input.shape().iter().map(|n| usize::try_from(*n).unwrap_or(usize::MAX)).collect();
            let whole = Region { start: vec![0; extent.len()], extent };
            let mut values = vec![T::default(); whole.len()];
            source.read(&whole, &mut values)?;
            let known = values.iter().map(|v| v.to_f64()).filter(|v| v.is_finite() && Some(*v) != args.fill);
            let (low, high) = known.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
            Bound::Absolute(part * (high - low))
        }
        other => other.unwrap_or(Bound::Lossless),
    };
    let options = FrameOptions { bound, fill: args.fill, decoder, ..FrameOptions::default() };
    let mut shape = input.shape().to_vec();
    if let Some(rows) = shape.first_mut() {
        *rows = match args.steps.unwrap_or(Share::All) {
            Share::All => *rows,
            Share::Half => rows.div_ceil(2),
            Share::Steps(n) => (*rows).min(n as u64),
            Share::Part(part) => ((part * *rows as f64).round() as u64).clamp(1, (*rows).max(1)),
        };
    }
    let frames = cae::internals::frames(&shape)?;
    let looked_at = frames.len().min(FRAMES);
    let mut parts = Vec::new();
    for n in 0..looked_at {
        let frame = &frames[n * frames.len() / looked_at];
        let mut values = vec![T::default(); frame.len()];
        source.read(frame, &mut values)?;
        parts.push(cae::predictor_samples(&values, &frame.extent, &options)?);
    }
    Ok(parts)
}
