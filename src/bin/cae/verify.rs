//! `cae verify`.

#![allow(
    clippy::indexing_slicing,
    reason = "serde_json: a missing key reads as null, and the objects written to are our own"
)]

use crate::args::{Reading, Verify};
use crate::decompress::{list, open};
use crate::failure::{self, Failure};
use crate::figures::{self, count, count_are, frames_are};
use crate::input::{self, Input};
use cae::{Array, Bound, DataType, Element, Error, ErrorStats, FormatError, Reader};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::PathBuf;

pub fn run(args: &Verify) -> Result<(), Failure> {
    let reader = open(&args.file, &args.reading)?;
    let bad_models = bad_models(args)?;
    let mut arrays = serde_json::Map::new();
    let (mut frames, mut bad_frames, mut missed) = (0u64, Vec::new(), Vec::new());
    let mut digest = Some(crc32fast::Hasher::new());
    for array in reader.arrays() {
        let (bad, array_digest) = match array.verify() {
            Ok((bad, digest)) => (bad, Some(digest)),
            // Nothing is known of its frames.
            Err(_) if array.model().is_some_and(|m| bad_models.contains(&m)) => (Vec::new(), None),
            Err(e) => return Err(Failure::at(&args.file)(e)),
        };
        frames = frames.saturating_add(array.frame_count());
        digest = digest.zip(array_digest).map(|(mut all, digest)| {
            all.update(&digest.to_le_bytes());
            all
        });
        for b in &bad {
            failure::warn(&format!("{}: {}", args.file.display(), b.error));
        }
        let report = json!({
            "frames": array.frame_count(),
            "bad_frames": list(&bad),
            "digest": array_digest.map(|d| format!("{d:08x}")),
        });
        bad_frames.extend(list(&bad));
        arrays.insert(array.name().to_owned(), report);
    }
    let mut report = json!({
        "frames": frames,
        "bad_frames": bad_frames,
        "bad_models": bad_models,
        "digest": digest.map(|d| format!("{:08x}", d.finalize())),
    });
    let sound = bad_frames.is_empty() && bad_models.is_empty();
    let mut compared = Vec::new();
    if sound {
        for (input, array) in pairs(args, &reader)? {
            let stats = match input.data_type {
                DataType::F32 => compare::<f32>(&array, &input, args)?,
                _ => compare::<f64>(&array, &input, args)?,
            };
            if !stats.met {
                missed.push(format!(
                    "the bound of `{}` is not met, {}",
                    array.name(),
                    what_is_missed(array.bound(), &stats.errors)
                ));
            }
            compared.push((array, stats));
        }
        let reports: Vec<Value> = compared.iter().map(|(array, c)| against(args, array, c)).collect();
        match reports.as_slice() {
            [] => {}
            [only] => report["against"] = only.clone(),
            several => report["against"] = json!(several),
        }
    }
    let ok = sound && missed.is_empty();
    report["ok"] = json!(ok);
    report["arrays"] = Value::Object(arrays);
    if args.json {
        say!("{report}");
    } else if ok {
        let digest = report["digest"].as_str().unwrap_or("");
        say!("{}: ok, {}, digest {digest}", args.file.display(), count(frames, "frame"));
        compared.iter().for_each(|(array, c)| tell(args, array, c));
    }
    if !sound {
        let mut damaged = Vec::new();
        if !bad_models.is_empty() {
            damaged.push(format!("{} damaged", count_are(bad_models.len() as u64, "model")));
        }
        if !bad_frames.is_empty() {
            damaged.push(format!("{} damaged", frames_are(bad_frames.len() as u64, frames)));
        }
        return Err(Failure::bad(format!("{}: {}", args.file.display(), damaged.join(", "))));
    }
    if !missed.is_empty() {
        return Err(Failure::bad(format!("{}: {}", args.file.display(), missed.join("; "))));
    }
    Ok(())
}

/// Which of the models in the file do not have their digests, wherever else they are.
fn bad_models(args: &Verify) -> Result<Vec<usize>, Failure> {
    let own = Reading { model_dir: Vec::new(), ..args.reading.clone() };
    let reader = open(&args.file, &own)?;
    let mut bad = Vec::new();
    for (index, _) in reader.models().enumerate().filter(|(_, m)| m.len > 0) {
        match reader.model_bytes(index) {
            Ok(_) => {}
            Err(e @ Error::Format { kind: FormatError::ModelDigest, .. }) => {
                failure::warn(&format!("{}: {e}", args.file.display()));
                bad.push(index);
            }
            Err(e) => return Err(Failure::at(&args.file)(e)),
        }
    }
    Ok(bad)
}

/// What is compared with what: file by file where each has the name of another array, else all files as a stack with the array of its
/// name or the only one.
fn pairs<'r>(args: &Verify, reader: &'r Reader<'r>) -> Result<Vec<(Input, Array<'r>)>, Failure> {
    let describe = |path: &PathBuf| input::describe(path, &args.raw);
    let mut inputs = args.against.iter().map(describe).collect::<Result<Vec<_>, _>>()?;
    if inputs.is_empty() {
        return Ok(Vec::new());
    }
    let named: HashSet<&str> = inputs.iter().map(|i| i.name.as_str()).collect();
    let arrays: Vec<_> = inputs.iter().map_while(|i| reader.array(&i.name).ok()).collect();
    if named.len() == inputs.len() && arrays.len() == inputs.len() {
        return Ok(inputs.into_iter().zip(arrays).collect());
    }
    let input = if let [_] = inputs.as_slice() { inputs.remove(0) } else { input::stack(inputs)? };
    let array = counterpart(args, reader, &input)?;
    Ok(vec![(input, array)])
}

/// Of which bounds the errors are a part.
fn compared_with(args: &Verify, bound: Bound) -> &'static str {
    match bound {
        _ if args.bounds.is_some() => "the bound of each point",
        Bound::ByPoint => "the largest bound",
        _ => "the bound",
    }
}

fn against(args: &Verify, array: &Array, c: &Comparison) -> Value {
    json!({
        "array": array.name(),
        "bound_met": c.met,
        "compared_with": compared_with(args, array.bound()),
        "max_error": c.errors.max_error,
        "max_error_over_bound": c.errors.max_error_over_bound,
        "mean_pw_error": c.errors.mean_pointwise_error(),
        "rmse": c.errors.rmse(),
        "psnr": c.errors.psnr(),
    })
}

fn tell(args: &Verify, array: &Array, c: &Comparison) {
    let (largest, mean) = (c.errors.max_error, c.errors.mean_pointwise_error());
    let largest = if figures::is_unknown(array.tolerance()) && args.bounds.is_none() {
        format!("{largest:e}, the bound is unknown")
    } else {
        format!("{} of {}", figures::short(c.errors.max_error_over_bound), compared_with(args, array.bound()))
    };
    say!("{}: largest error {largest}, mean error relative to each value {}", array.name(), figures::short(mean));
}

/// Why a bound is not met.
fn what_is_missed(bound: Bound, errors: &ErrorStats) -> String {
    let over = errors.max_error_over_bound;
    match bound {
        _ if over > 1.0 => format!("the largest error is {} of it", figures::short(over)),
        Bound::Rmse(most) if errors.rmse() > most => format!("the root mean square error is {}", errors.rmse()),
        Bound::Psnr(least) if errors.psnr() < least => format!("the signal-to-noise ratio is {} dB", errors.psnr()),
        _ => "a value that stands for missing or is not finite did not come back bit for bit".to_owned(),
    }
}

/// The array that the original became: the one of its name, or the only one.
fn counterpart<'r>(args: &Verify, reader: &'r Reader<'r>, input: &Input) -> Result<Array<'r>, Failure> {
    let only = if reader.arrays().len() == 1 { reader.arrays().next() } else { None };
    reader.array(&input.name).ok().or(only).ok_or_else(|| {
        let file = args.file.display();
        Failure::usage(format!("{file}: none of its {} arrays is named `{}`", reader.arrays().len(), input.name))
    })
}

struct Comparison {
    errors: ErrorStats,
    met: bool,
}

fn compare<T: Element>(array: &Array, input: &Input, args: &Verify) -> Result<Comparison, Failure> {
    let here = Failure::at(&input.path);
    let source = input.open::<T>().map_err(&here)?;
    let wrong = |it: String, other: String| {
        let (original, file) = (input.path.display(), args.file.display());
        Failure::usage(format!("{original}: {it}, array `{}` of {file} has {other}", array.name()))
    };
    let (a, b) = (source.shape(), array.shape());
    if a != b {
        return Err(wrong(format!("shape {a:?}"), format!("{b:?}")));
    }
    let (a, b) = (T::DATA_TYPE.name(), array.data_type().name());
    if a != b {
        return Err(wrong(format!("values of type {a}"), b.to_owned()));
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
        Some(bounds) => {
            array.compare_by_point(source.as_ref(), input::open_bounds(bounds, &args.raw, input)?.as_ref(), fill)
        }
    }
    .map_err(here)?;
    Ok(Comparison { errors, met })
}
