//! `cae compress`.

#![allow(
    clippy::indexing_slicing,
    reason = "serde_json: a missing key reads as null, and the objects written to are our own"
)]

use crate::args::{Compress, GuardName, PresetName};
use crate::failure::{self, Failure};
use crate::figures::{self, count, count_are, ratio, times};
use crate::input::{self, Input};
use crate::interrupt;
use crate::progress;
use crate::watched::Watched;
use cae::{ArrayOptions, ArrayReport, Bound, DataType, Element, GuardPolicy, Limits, Preset, Reader, Writer};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

pub fn run(args: &Compress) -> Result<(), Failure> {
    let begin = Instant::now();
    let bound = bound_of(args);
    bound.validate().map_err(|e| Failure::usage(e.to_string()))?;
    input::not_taken(&args.output, args.force)?;
    if args.output.as_os_str() == "-" {
        return Err(Failure::usage(
            "an archive is written to a file, which gets its name when it is complete; -o needs one",
        ));
    }
    let models = args.model.split(',').map(Path::new);
    for read in args.input.iter().chain(&args.bounds).map(PathBuf::as_path).chain(models) {
        input::not_replaced(read, &args.output)?;
    }
    if args.name.is_some() && args.input.len() > 1 && !args.stack {
        return Err(Failure::usage("--name needs a single input, or --stack"));
    }
    let asked = Some(args.model.as_str()).filter(|m| !matches!(*m, "none" | "auto"));
    if args.external_model && asked.is_none() {
        return Err(Failure::usage("--external-model needs a --model"));
    }
    check_attributes(args, asked.is_some())?;
    check_dims(&args.dims)?;
    let describe = |p: &PathBuf| input::describe(p, &args.raw);
    let mut inputs = args.input.iter().map(describe).collect::<Result<Vec<_>, _>>()?;
    if args.stack {
        inputs = vec![input::stack(inputs)?];
    }
    for input in &inputs {
        input::check_fill(args.fill, input)?;
        if let Some(path) = &args.bounds {
            input::open_bounds(path, &args.raw, input)?;
        }
    }

    // What was written here may be written again.
    let mut may_replace = args.force;
    let mut pack = |model| {
        let packed = pack(args, &inputs, model, may_replace)?;
        may_replace = true;
        Ok::<_, Failure>(packed)
    };
    let mut packed = pack(asked)?;
    let mut left_out = false;
    // A network in the loop that does not save its own bytes stays out; so much more decides what samples cannot.
    if let Some(len) = asked.map(|m| predictor_len(m, args)).transpose()?.flatten()
        && saved_by_network(&packed.reports) < len.saturating_add(len / 4)
    {
        let without = pack(None)?;
        left_out = without.bytes <= packed.bytes;
        packed = if left_out { without } else { pack(asked)? };
    }
    let Packed { reports, bytes, notes } = packed;
    let mut report = summarize(args, &reports, bytes, begin.elapsed().as_secs_f64())?;
    if left_out {
        report["model_left_out"] = json!(true);
    }
    notes.iter().for_each(|note| failure::warn(&format!("note: {note}")));
    if args.json {
        say!("{report}");
    } else {
        tell(args, &reports, &report);
        if left_out {
            say!("  the model was left out: it saves less than its own bytes");
        }
    }
    Ok(())
}

/// What was written.
struct Packed {
    /// What became of each array.
    reports: Vec<(String, ArrayReport)>,
    /// The file's length.
    bytes: u64,
    /// What the user may not have meant.
    notes: Vec<String>,
}

/// Writes the file.
fn pack(args: &Compress, inputs: &[Input], model: Option<&str>, may_replace: bool) -> Result<Packed, Failure> {
    let here = Failure::at(&args.output);
    let mut writer = Writer::new(interrupt::create(&args.output)?).map_err(&here)?;
    let model = model.map(|paths| add_model(&mut writer, paths, !args.external_model, &args.output)).transpose()?;
    let mut reports = Vec::new();
    let mut notes = Vec::new();
    if let Some((a, b)) = input::out_of_order(&args.input).filter(|_| args.stack) {
        let (a, b) = (a.display(), b.display());
        notes.push(format!(
            "steps are stacked as they are given, which is not the order of their names: {a} before {b}"
        ));
    }
    for input in inputs {
        let name = args.name.clone().unwrap_or_else(|| input.name.clone());
        let bar = progress::bar(&name, 0);
        let show = |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        };
        let bounds = args.bounds.as_ref().map(|p| input::open_bounds(p, &args.raw, input)).transpose()?;
        let options = ArrayOptions {
            bound: bound_of(args),
            bounds: bounds.as_deref(),
            preset: args.preset.into(),
            fill: args.fill,
            dim_names: args.dims.clone(),
            attributes: String::new(),
            frame_shape: args.frame.as_ref().map(|f| f.0.clone()),
            model,
            guard: args.guard.into(),
            threads: args.threads,
            progress: Some(&show),
        };
        let (report, seen) = match input.data_type {
            DataType::F32 => add::<f32>(&mut writer, &name, args, input, &options)?,
            _ => add::<f64>(&mut writer, &name, args, input, &options)?,
        };
        bar.finish_and_clear();
        notes.extend(note_on_fill(args, &name, input, &report, &seen));
        let mut attributes = attributes_of(&args.attr)?;
        if let Some(fill) = args.fill {
            attributes.insert("_FillValue".into(), number(fill));
        }
        if args.provenance {
            attributes.insert("provenance".into(), provenance(input)?);
        }
        if args.provenance || model.is_some() {
            attributes.insert("errors".into(), errors(&report));
        }
        if !attributes.is_empty() {
            writer.set_attributes(&name, Value::Object(attributes).to_string()).map_err(&here)?;
        }
        reports.push((name, report));
    }
    input::not_taken(&args.output, may_replace)?;
    Ok(Packed { reports, bytes: writer.commit().map_err(&here)?, notes })
}

/// Where a value that stands for missing seems to be taken for one that was measured, or is not there.
fn note_on_fill(args: &Compress, name: &str, input: &Input, report: &ArrayReport, seen: &Seen) -> Option<String> {
    if let Some(fill) = args.fill {
        return (!seen.has_fill).then(|| format!("{name}: no value is {fill:e}, which --fill says"));
    }
    let apart = seen.apart.filter(|_| matches!(report.bound.asked, Bound::Range(_) | Bound::Psnr(_)))?;
    let apart = match input.data_type {
        DataType::F32 => format!("{:?}", f32::from_f64(apart)),
        _ => format!("{apart:?}"),
    };
    Some(format!(
        "{name}: the value {apart}, far from all others, sets the range that the bound is relative to; --fill {apart} says that it stands \
         for missing"
    ))
}

/// Bytes in the file of a model that is a network in the loop.
fn predictor_len(paths: &str, args: &Compress) -> Result<Option<u64>, Failure> {
    let path = Path::new(paths);
    if paths.contains(',') {
        return Ok(None);
    }
    let bytes = std::fs::read(path).map_err(Failure::io(path))?;
    let report = cae::model::check(&bytes, &Limits::default()).map_err(Failure::at(path))?;
    let len = if args.external_model { 0 } else { report.bytes };
    Ok(report.predictor.then_some(len))
}

/// Bytes that the network saved against the next best way: known where an array has one frame, judged by the frames on
/// which all ways were tried where it has more.
fn saved_by_network(reports: &[(String, ArrayReport)]) -> u64 {
    const NETWORK: &str = "network";
    let saved = |r: &ArrayReport| {
        let tried = |network: bool| r.tried.iter().filter(|(l, _)| (*l == NETWORK) == network).map(|(_, n)| *n).min();
        let (Some(with), Some(without)) = (tried(true), tried(false)) else { return 0 };
        let rate = u128::from(without.saturating_sub(with)).saturating_mul(r.stored_bytes.into());
        u64::try_from(rate.checked_div(with.into()).unwrap_or(0)).unwrap_or(0)
    };
    reports.iter().filter(|(_, r)| r.chosen.contains_key(NETWORK)).map(|(_, r)| saved(r)).fold(0, u64::saturating_add)
}

fn bound_of(args: &Compress) -> Bound {
    let kinds = [
        args.bound.asked(),
        args.rmse.map(Bound::Rmse),
        args.psnr.map(Bound::Psnr),
        args.ratio.map(Bound::Ratio),
        args.bounds.as_ref().map(|_| Bound::ByPoint),
    ];
    kinds.into_iter().flatten().next().unwrap_or(Bound::Lossless)
}

/// A number in JSON; what JSON has no number for, as Zarr writes it.
fn number(v: f64) -> Value {
    match v {
        _ if v.is_nan() => json!("NaN"),
        f64::INFINITY => json!("Infinity"),
        f64::NEG_INFINITY => json!("-Infinity"),
        _ => json!(v),
    }
}

/// Refuses names of dimensions that cannot tell them apart.
fn check_dims(names: &[String]) -> Result<(), Failure> {
    for (i, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(Failure::usage("--dims: a name is empty"));
        }
        if names.iter().take(i).any(|earlier| earlier == name) {
            return Err(Failure::usage(format!("--dims: two dimensions are named `{name}`")));
        }
    }
    Ok(())
}

/// Refuses attributes that would not be in the file as they are given.
fn check_attributes(args: &Compress, has_model: bool) -> Result<(), Failure> {
    let given = attributes_of(&args.attr)?;
    if given.contains_key("") {
        return Err(Failure::usage("--attr: a key is empty"));
    }
    if given.len() < args.attr.len() {
        return Err(Failure::usage("--attr: a key is given twice"));
    }
    let replaced = [
        ("_FillValue", args.fill.is_some(), "--fill"),
        ("provenance", args.provenance, "--provenance"),
        ("errors", args.provenance, "--provenance"),
        ("errors", has_model, "--model"),
    ];
    match replaced.into_iter().find(|(key, is_set, _)| *is_set && given.contains_key(*key)) {
        Some((key, _, by)) => Err(Failure::usage(format!("--attr: `{key}` is what {by} sets"))),
        None => Ok(()),
    }
}

fn attributes_of(pairs: &[String]) -> Result<Map<String, Value>, Failure> {
    let split = |pair: &String| {
        let (key, value) = pair.split_once('=').ok_or_else(|| Failure::usage(format!("`{pair}` is no K=V")))?;
        Ok((key.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| json!(value))))
    };
    pairs.iter().map(split).collect()
}

/// `ENCODER,DECODER`, or a network in the loop alone, for the file `output`.
pub fn add_model<W: Write>(
    writer: &mut Writer<W>,
    paths: &str,
    embed: bool,
    output: &Path,
) -> Result<cae::ModelId, Failure> {
    let (encoder, decoder) = match paths.split_once(',') {
        Some((encoder, decoder)) => (Some(Path::new(encoder)), Path::new(decoder)),
        None => (None, Path::new(paths)),
    };
    let read = |path: &Path| std::fs::read(path).map_err(Failure::io(path));
    let encoder = encoder.map(read).transpose()?;
    writer.add_model(&read(decoder)?, encoder.as_deref(), embed).map_err(|e| match e {
        cae::Error::Io(e) => Failure::io(output)(e),
        e => Failure::bad(format!("{paths}: {e}")),
    })
}

/// What was seen of an array's values.
struct Seen {
    has_fill: bool,
    /// See [`Watched::apart`].
    apart: Option<f64>,
}

/// What became of the array, and what was seen of it.
fn add<T: Element>(
    writer: &mut Writer<cae::AtomicFile>,
    name: &str,
    args: &Compress,
    input: &Input,
    options: &ArrayOptions,
) -> Result<(ArrayReport, Seen), Failure> {
    let source = input.open::<T>().map_err(Failure::at(&input.path))?;
    let source = Watched::new(source, args.fill.map(T::from_f64));
    let report = writer.add_source(name, &source, options).map_err(|e| match e {
        // What could be read cannot be written.
        cae::Error::Io(e) if !source.failed() => Failure::io(&args.output)(e),
        e => Failure::at(&input.path)(e),
    })?;
    Ok((report, Seen { has_fill: source.has_fill(), apart: source.apart() }))
}

fn provenance(input: &Input) -> Result<Value, Failure> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    let files = input.files();
    for path in &files {
        let mut file = std::fs::File::open(path).map_err(Failure::io(path))?;
        loop {
            match file.read(&mut buffer).map_err(Failure::io(path))? {
                0 => break,
                n => hash.update(buffer.get(..n).unwrap_or_default()),
            }
        }
    }
    let digest = figures::hex(&hash.finalize());
    let command: Vec<String> = std::env::args().skip(1).collect();
    let names: Vec<_> = files.iter().map(|p| p.file_name().map(|n| n.to_string_lossy().into_owned())).collect();
    Ok(json!({
        "source": if let [only] = names.as_slice() { json!(only) } else { json!(names) },
        "source_sha256": digest,
        "command": format!("cae {}", command.join(" ")),
        "version": env!("CARGO_PKG_VERSION"),
    }))
}

fn errors(r: &ArrayReport) -> Value {
    json!({
        "max_error": r.stats.max_error,
        "max_error_over_bound": r.stats.max_error_over_bound,
        "mean_pw_error": r.stats.mean_pointwise_error(),
        "rmse": r.stats.rmse(),
    })
}

fn one(r: &ArrayReport) -> Value {
    let (mode, bound) = figures::bound_of(r.bound.asked);
    json!({
        "input_bytes": r.input_bytes,
        "stored_bytes": r.stored_bytes,
        "bound_mode": mode,
        "bound": bound,
        "abs_bound": figures::abs_bound(r.bound.tolerance),
        "max_error": r.stats.max_error,
        "max_error_over_bound": r.stats.max_error_over_bound,
        "mean_pw_error": r.stats.mean_pointwise_error(),
        "rmse": r.stats.rmse(),
        "psnr": r.stats.psnr(),
        "guard": r.guard,
        "guard_eaten": r.eaten,
        "guard_fell_back": r.fell_back,
        "plan": {
            "chosen": r.chosen,
            "tried": r.tried.iter().map(|(label, n)| json!({"name": label, "bytes": n})).collect::<Vec<_>>(),
        },
    })
}

/// The whole report: figures of all arrays together, and of each.
fn summarize(
    args: &Compress,
    reports: &[(String, ArrayReport)],
    output_bytes: u64,
    seconds: f64,
) -> Result<Value, Failure> {
    let input_bytes: u64 = reports.iter().map(|(_, r)| r.input_bytes).sum();
    let sections = figures::sections(&Reader::open(&args.output).map_err(Failure::at(&args.output))?)?;
    let model = sections.get("model").copied().unwrap_or(0);
    let all: BTreeMap<&str, Value> = reports.iter().map(|(name, r)| (name.as_str(), one(r))).collect();
    // A single array's figures stand at the top as well.
    let mut report = match reports {
        [(_, only)] => one(only),
        several => json!({
            "max_error_over_bound": several.iter().map(|(_, r)| r.stats.max_error_over_bound).fold(0.0, f64::max),
            "max_error": several.iter().map(|(_, r)| r.stats.max_error).fold(0.0, f64::max),
        }),
    };
    let more = json!({
        "input_bytes": input_bytes,
        "output_bytes": output_bytes,
        "ratio": ratio(input_bytes, output_bytes),
        "ratio_without_model": ratio(input_bytes, output_bytes.saturating_sub(model)),
        "sections": sections,
        "seconds": seconds,
        "threads": if args.threads == 0 { std::thread::available_parallelism().map_or(1, usize::from) } else { args.threads },
        "preset": Preset::from(args.preset).name(),
        "arrays": all,
    });
    if let (Value::Object(report), Value::Object(more)) = (&mut report, more) {
        report.extend(more);
    }
    Ok(report)
}

impl From<GuardName> for GuardPolicy {
    fn from(name: GuardName) -> GuardPolicy {
        match name {
            GuardName::Refuse => GuardPolicy::Refuse,
            GuardName::FallBack => GuardPolicy::FallBack,
        }
    }
}

impl From<PresetName> for Preset {
    fn from(name: PresetName) -> Preset {
        match name {
            PresetName::Fast => Preset::Fast,
            PresetName::Balanced => Preset::Balanced,
            PresetName::Small => Preset::Small,
        }
    }
}

/// What it saved and what it lost, for people.
fn tell(args: &Compress, reports: &[(String, ArrayReport)], report: &Value) {
    for (name, r) in reports {
        let (mode, bound) = figures::bound_of(r.bound.asked);
        let bound = bound.map_or(mode.to_owned(), |b| format!("{mode} {b:e}"));
        let way = r.chosen.keys().copied().collect::<Vec<_>>().join(", ");
        say!(
            "{name}: {} bytes in {} ({way}); bound {bound}, largest error {:.3} of it, psnr {:.1} dB",
            r.input_bytes,
            r.stored_bytes,
            r.stats.max_error_over_bound,
            r.stats.psnr(),
        );
        if let Some(guard) = r.guard {
            say!(
                "{name}: a guard of {guard:.1e} of the normalized values is kept for other engines; it exceeds the bound at {}",
                count(r.eaten, "point")
            );
        }
        if r.fell_back > 0 {
            say!("{name}: {} coded without the model", count_are(r.fell_back, "frame"));
        }
    }
    say!(
        "{}: {} bytes{}, every value checked, {:.2} s",
        args.output.display(),
        report["output_bytes"],
        times(report["ratio"].as_f64().unwrap_or(0.0)),
        report["seconds"].as_f64().unwrap_or(0.0),
    );
}
