//! `cae verify`.

#![allow(
    clippy::indexing_slicing,
    reason = "serde_json: a missing key reads as null, and the objects written to are our own"
)]

use crate::args::Verify;
use crate::decompress::{list, open};
use crate::failure::Failure;
use crate::input::{self, Input};
use cae::{Array, Bound, DataType, Element, ErrorStats, Reader};
use serde_json::{Value, json};
use std::path::PathBuf;

pub fn run(args: &Verify) -> Result<(), Failure> {
    let reader = open(&args.file, &args.reading)?;
    let mut arrays = serde_json::Map::new();
    let (mut frames, mut bad_frames, mut missed) = (0u64, Vec::new(), None);
    let mut digest = crc32fast::Hasher::new();
    for array in reader.arrays() {
        let (bad, array_digest) = array.verify().map_err(Failure::at(&args.file))?;
        frames = frames.saturating_add(array.frame_count());
        digest.update(&array_digest.to_le_bytes());
        for b in &bad {
            eprintln!("cae: {}: {}", args.file.display(), b.error);
        }
        let report = json!({
            "frames": array.frame_count(),
            "bad_frames": list(&bad),
            "digest": format!("{array_digest:08x}"),
        });
        bad_frames.extend(list(&bad));
        arrays.insert(array.name().to_owned(), report);
    }
    let mut report = json!({
        "frames": frames,
        "bad_frames": bad_frames,
        "digest": format!("{:08x}", digest.finalize()),
    });
    if !args.against.is_empty() && bad_frames.is_empty() {
        let input = original(args)?;
        let array = counterpart(&reader, &input)?;
        let stats = match input.data_type {
            DataType::F32 => compare::<f32>(&array, &input, args)?,
            _ => compare::<f64>(&array, &input, args)?,
        };
        let compared_with = match array.bound() {
            _ if args.bounds.is_some() => "the bound of each point",
            Bound::ByPoint => "the largest bound",
            _ => "the bound",
        };
        missed = (!stats.met).then(|| what_is_missed(array.bound(), &stats.errors));
        report["against"] = json!({
            "array": array.name(),
            "bound_met": stats.met,
            "compared_with": compared_with,
            "max_error": stats.errors.max_error,
            "max_error_over_bound": stats.errors.max_error_over_bound,
            "mean_pw_error": stats.errors.mean_pointwise_error(),
            "rmse": stats.errors.rmse(),
            "psnr": stats.errors.psnr(),
        });
    }
    let ok = bad_frames.is_empty() && missed.is_none();
    report["ok"] = json!(ok);
    report["arrays"] = Value::Object(arrays);
    if args.json {
        say!("{report}");
    } else if ok {
        say!("{}: ok, {frames} frames, digest {}", args.file.display(), report["digest"].as_str().unwrap_or(""));
        if let Some(over) = report["against"]["max_error_over_bound"].as_f64() {
            let bound = report["against"]["compared_with"].as_str().unwrap_or_default();
            say!("largest error {over:.4} of {bound}, mean point-wise {}", report["against"]["mean_pw_error"]);
        }
    }
    if !bad_frames.is_empty() {
        return Err(Failure::bad(format!(
            "{}: {} of {frames} frames are damaged",
            args.file.display(),
            bad_frames.len()
        )));
    }
    match missed {
        Some(what) => Err(Failure::bad(format!("{}: the bound is not met, {what}", args.file.display()))),
        None => Ok(()),
    }
}

/// What the file is compared with.
fn original(args: &Verify) -> Result<Input, Failure> {
    let describe = |path: &PathBuf| input::describe(path, &args.raw);
    let mut inputs = args.against.iter().map(describe).collect::<Result<Vec<_>, _>>()?;
    match inputs.len() {
        1 => Ok(inputs.remove(0)),
        _ => input::stack(inputs),
    }
}

/// Why a bound is not met.
fn what_is_missed(bound: Bound, errors: &ErrorStats) -> String {
    let over = errors.max_error_over_bound;
    match bound {
        _ if over > 1.0 => format!("the largest error is {over} of it"),
        Bound::Rmse(most) if errors.rmse() > most => format!("the root mean square error is {}", errors.rmse()),
        Bound::Psnr(least) if errors.psnr() < least => format!("the signal-to-noise ratio is {} dB", errors.psnr()),
        _ => "a value that stands for missing or is not finite did not come back bit for bit".to_owned(),
    }
}

/// The array that the original became: the one of its name, or the only one.
fn counterpart<'r>(reader: &'r Reader<'r>, input: &Input) -> Result<Array<'r>, Failure> {
    let only = if reader.arrays().len() == 1 { reader.arrays().next() } else { None };
    reader
        .array(&input.name)
        .ok()
        .or(only)
        .ok_or_else(|| Failure::usage(format!("no array in the file is named `{}`", input.name)))
}

struct Comparison {
    errors: ErrorStats,
    met: bool,
}

fn compare<T: Element>(array: &Array, input: &Input, args: &Verify) -> Result<Comparison, Failure> {
    let here = Failure::at(&input.path);
    let source = input.open::<T>().map_err(&here)?;
    if source.shape() != array.shape() {
        let (a, b) = (source.shape(), array.shape());
        return Err(Failure::usage(format!("{}: shape {a:?}, the array has {b:?}", input.path.display())));
    }
    if T::DATA_TYPE != array.data_type() {
        let held = if array.data_type() == DataType::F64 { "f64" } else { "f32" };
        return Err(Failure::usage(format!("{}: the array holds {held}", input.path.display())));
    }
    // As `cae compress --fill` says it.
    let attributes: Value = serde_json::from_str(array.attributes()).unwrap_or_default();
    let fill = match &attributes["_FillValue"] {
        Value::String(text) => text.parse().ok(),
        number => number.as_f64(),
    };
    let fill = fill.map(T::from_f64);
    let (errors, met) = match &args.bounds {
        None => array.compare(source.as_ref(), fill),
        Some(bounds) => array.compare_by_point(source.as_ref(), input::open_bounds(bounds, &args.raw)?.as_ref(), fill),
    }
    .map_err(here)?;
    Ok(Comparison { errors, met })
}
