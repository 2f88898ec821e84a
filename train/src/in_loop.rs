//! `cae train --kind predictor`.

use crate::args::Args;
use crate::{Failure, at, watch};
use cae::input::Input;
use cae::{Bound, DataType, Element, FrameOptions, Region, Samples};
use cae_train::data::Share;
use cae_train::predictor::{self, Options, Outcome};
use cae_train::{Error, onnx};
use serde_json::json;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Values of a slab that is looked at as a frame of its own.
const SLAB_VALUES: usize = 1 << 21;
/// Slabs of an array that are looked at, spread evenly.
const SLABS: usize = 4;

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
    let mut parts = Vec::new();
    for path in &args.input {
        let shape = args.shape.as_ref().map(|s| s.0.as_slice());
        let input = Input::describe(path, shape, args.dtype.map(Into::into)).map_err(|e| at(path)(e.into()))?;
        let found = match input.data_type {
            DataType::F32 => samples::<f32>(&input, args),
            _ => samples::<f64>(&input, args),
        };
        parts.extend(found.map_err(at(path))?);
    }
    let points: usize = parts.iter().map(|p| p.misses.len()).sum();
    if points < 1000 {
        return Err((format!("{points} points are too few to learn from"), 1));
    }
    let default = Options::default();
    let options = Options {
        hidden: args.hidden.clone().unwrap_or(default.hidden),
        time: args.seconds.map(|s| Duration::try_from_secs_f64(s).unwrap_or_default()),
        steps: if args.seconds.is_some() { usize::MAX } else { default.steps },
        rate: args.lr,
        seed: args.seed,
        ..default
    };
    let (interrupted, bar) = watch()?;
    let outcome = predictor::train(&parts, &options, |share, bits| {
        bar.set_position((share * 1000.0) as u64);
        bar.set_message(format!("{bits:.3} bits a value"));
        !interrupted.load(Ordering::Relaxed)
    });
    bar.finish_and_clear();
    let bytes = onnx::write_predictor(&outcome.network);
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
    println!("  use: cae compress INPUT -o OUT.cae --preset small --model {path}");
}

/// What the network is asked at the points of an array, slab by slab along the first axis.
fn samples<T: Element>(input: &Input, args: &Args) -> Result<Vec<Samples>, Error> {
    let extent: Vec<usize> = input.shape().iter().map(|n| usize::try_from(*n).unwrap_or(usize::MAX)).collect();
    let source = input.open::<T>()?;
    let whole = Region { start: vec![0; extent.len()], extent: extent.clone() };
    let mut values = vec![T::default(); whole.len()];
    source.read(&whole, &mut values)?;
    let bound = match args.bound() {
        // A slab's own range is another.
        Some(Bound::Range(part)) => {
            let known = values.iter().map(|v| v.to_f64()).filter(|v| v.is_finite() && Some(*v) != args.fill);
            let (low, high) = known.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
            Bound::Absolute(part * (high - low))
        }
        other => other.unwrap_or(Bound::Lossless),
    };
    let options = FrameOptions { bound, fill: args.fill, ..FrameOptions::default() };
    let rows = extent.first().copied().unwrap_or(1).max(1);
    let row: usize = extent.iter().skip(1).product::<usize>().max(1);
    let kept = match args.steps.unwrap_or(Share::All) {
        Share::All => rows,
        Share::Half => rows.div_ceil(2),
        Share::Steps(n) => n.min(rows),
        Share::Part(part) => ((part * rows as f64).round() as usize).clamp(1, rows),
    };
    let height = (SLAB_VALUES / row).clamp(1, kept);
    let slabs = kept.div_ceil(height).min(SLABS);
    let mut parts = Vec::new();
    for slab in 0..slabs {
        let first = if slabs == 1 { 0 } else { slab * (kept - height) / (slabs - 1) };
        let mut shape = extent.clone();
        if let Some(n) = shape.first_mut() {
            *n = height;
        }
        let part = values.get(first * row..(first + height) * row).unwrap_or_default();
        parts.push(cae::predictor_samples(part, &shape, &options)?);
    }
    Ok(parts)
}
