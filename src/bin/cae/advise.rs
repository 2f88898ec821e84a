//! `cae advise`: what an array is like, what each way of compressing gives on a part of it, and what to do.

use crate::args::{Advise, PointBound, PresetName};
use crate::compress::add_model;
use crate::failure::Failure;
use crate::figures::ratio;
use crate::input::{self, Input};
use cae::{ArrayOptions, Bound, DataType, Element, Features, Region, Source, Writer};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

/// Values that are described, at most: of larger arrays, those about the middle.
const DESCRIBED: usize = 1 << 25;

/// Values that are compressed, at most.
const TRIED: usize = 1 << 18;

/// What one way of compressing gave on the part of the array.
struct Way {
    name: String,
    bytes: u64,
    /// Bytes of the model, which do not grow with the array.
    model_bytes: u64,
    seconds: f64,
}

/// What was found out about one array.
struct Advice {
    features: Features,
    /// Of the whole array.
    values: u64,
    ways: Vec<Way>,
    tried_values: u64,
    value_bytes: u64,
    words: Vec<String>,
}

pub fn run(args: &Advise) -> Result<(), Failure> {
    let bound = args.bound.asked().unwrap_or(Bound::Range(1e-3));
    bound.validate().map_err(|e| Failure::usage(e.to_string()))?;
    let mut reports = Vec::new();
    for path in &args.input {
        let input = input::describe(path, &args.raw)?;
        input::check_fill(args.fill, &input)?;
        let advice = match input.data_type {
            DataType::F32 => advise::<f32>(args, &input, bound)?,
            _ => advise::<f64>(args, &input, bound)?,
        };
        if args.json {
            reports.push(report(&input, &args.bound, &advice));
        } else {
            tell(&input, &advice);
        }
    }
    if args.json {
        say!("{}", json!({ "arrays": reports }));
    }
    Ok(())
}

fn advise<T: Element>(args: &Advise, input: &Input, bound: Bound) -> Result<Advice, Failure> {
    let here = Failure::at(&input.path);
    let source = input.open::<T>().map_err(&here)?;
    let shape = source.shape();
    let extent: Vec<usize> = shape.iter().map(|n| usize::try_from(*n).unwrap_or(usize::MAX)).collect();
    let whole = Region { start: vec![0; extent.len()], extent };
    let described = middle(&whole, DESCRIBED);
    let mut values = vec![T::default(); described.len()];
    source.read(&described, &mut values).map_err(&here)?;
    let features = Features::of(&values, args.fill);
    // The bound of the whole array, not that of its part.
    let bound = match bound {
        Bound::Range(r) => {
            let [low, .., high] = features.deciles;
            if high > low { Bound::Absolute(r * (high - low)) } else { Bound::Lossless }
        }
        other => other,
    };
    let part = Part { source: source.as_ref(), region: middle(&whole, TRIED) };
    let options = |preset: PresetName| ArrayOptions {
        bound,
        preset: preset.into(),
        fill: args.fill,
        threads: 1,
        ..ArrayOptions::default()
    };
    let mut ways = Vec::new();
    for (name, preset) in [("fast", PresetName::Fast), ("balanced", PresetName::Balanced), ("small", PresetName::Small)]
    {
        ways.push(way(name, &part, &options(preset), None)?);
    }
    let lossless = ArrayOptions { bound: Bound::Lossless, ..options(PresetName::Balanced) };
    ways.push(way("lossless", &part, &lossless, None)?);
    if let Some(model) = &args.model {
        ways.push(way("autoencoder", &part, &options(PresetName::Balanced), Some(model))?);
    }
    let value_bytes = T::DATA_TYPE.size() as u64;
    let tried_values = part.region.len() as u64;
    let all = shape.iter().fold(1u64, |n, e| n.saturating_mul(*e));
    let words = words(&features, &ways, (all, tried_values));
    Ok(Advice { features, values: all, ways, tried_values, value_bytes, words })
}

fn way<T: Element>(
    name: &str,
    part: &Part<'_, T>,
    options: &ArrayOptions,
    model: Option<&str>,
) -> Result<Way, Failure> {
    let wrong = |e: cae::Error| Failure::bad(format!("{name}: {e}"));
    let mut writer = Writer::new(std::io::sink()).map_err(wrong)?;
    let empty = writer.written();
    let model = model.map(|paths| add_model(&mut writer, paths, true, Path::new(paths))).transpose()?;
    let model_bytes = writer.written().saturating_sub(empty);
    let begin = Instant::now();
    let report = writer.add_source("part", part, &ArrayOptions { model, ..options.clone() }).map_err(wrong)?;
    Ok(Way { name: name.to_owned(), bytes: report.stored_bytes, model_bytes, seconds: begin.elapsed().as_secs_f64() })
}

/// A box of at most `most` values about the middle of `whole`, its longest axes cut first.
fn middle(whole: &Region, most: usize) -> Region {
    let mut extent = whole.extent.clone();
    while extent.iter().fold(1usize, |n, e| n.saturating_mul(*e)) > most {
        let longest = extent.iter_mut().max();
        if let Some(e) = longest {
            *e = e.div_ceil(2);
        }
    }
    let start = whole.extent.iter().zip(&extent).map(|(all, e)| (all.saturating_sub(*e) / 2) as u64).collect();
    Region { start, extent }
}

/// A box of a source, as a source.
struct Part<'a, T> {
    source: &'a dyn Source<T>,
    region: Region,
}

impl<T: Element> Source<T> for Part<'_, T> {
    fn shape(&self) -> Vec<u64> {
        self.region.extent.iter().map(|e| *e as u64).collect()
    }

    fn read(&self, region: &Region, out: &mut [T]) -> cae::Result<()> {
        let start = region.start.iter().zip(&self.region.start).map(|(a, b)| a.saturating_add(*b)).collect();
        self.source.read(&Region { start, extent: region.extent.clone() }, out)
    }
}

impl Way {
    /// Bytes for the whole array, about.
    fn total(&self, values: u64, tried: u64) -> f64 {
        self.bytes as f64 * values as f64 / tried.max(1) as f64 + self.model_bytes as f64
    }
}

/// The recommendation, a sentence each.
fn words(f: &Features, ways: &[Way], (all, tried): (u64, u64)) -> Vec<String> {
    let [low, .., high] = f.deciles;
    if !(low < high) {
        return vec!["Nothing varies here: every way keeps it in a few bytes.".to_owned()];
    }
    let mut words = Vec::new();
    let total = |name: &str| ways.iter().find(|w| w.name == name).map_or(f64::INFINITY, |w| w.total(all, tried));
    let (fast, balanced, small, lossless) = (total("fast"), total("balanced"), total("small"), total("lossless"));
    words.push(if lossless <= 1.1 * small {
        "--lossless: keeping every bit takes hardly more than the bound.".to_owned()
    } else if small < 0.95 * balanced {
        let gain = 100.0 * (1.0 - small / balanced);
        format!("--preset small for archives, {gain:.0} % smaller than balanced; --preset balanced where time matters.")
    } else if fast < 1.05 * balanced {
        "--preset fast: more effort gains less than 5 %.".to_owned()
    } else {
        "--preset balanced: small gains less than 5 % over it.".to_owned()
    });
    let suits = f.normalized_cv < Features::CV_RULE;
    let rule = format!(
        "The paper's rule: the CV after normalization is {:.2}, {} 0.4, so an autoencoder {} these data.",
        f.normalized_cv,
        if suits { "below" } else { "not below" },
        if suits { "suits" } else { "does not suit" },
    );
    words.push(rule);
    let model = ways.iter().find(|w| w.name == "autoencoder");
    words.push(match model {
        Some(w) => {
            let with = w.total(all, tried);
            let best = small.min(balanced).min(fast);
            let alone = with - w.model_bytes as f64;
            if with < best {
                format!("The given model pays: {:.0} bytes with the model's own, {best:.0} without one.", with)
            } else if alone < best {
                let arrays = (w.model_bytes as f64 / (best - alone)).ceil();
                format!("The given model pays once {arrays:.0} arrays like this one share it in a file.")
            } else {
                format!("The given model does not pay: {alone:.0} bytes beside the model's own, {best:.0} without one.")
            }
        }
        None => {
            "Whether an autoencoder pays is measured by training one: `cae train`, then --model ENC.onnx,DEC.onnx here."
                .to_owned()
        }
    });
    words
}

fn report(input: &Input, bound: &PointBound, a: &Advice) -> Value {
    let f = &a.features;
    let ways = a.ways.iter().map(|w| {
        let bytes = w.total(a.values, a.tried_values);
        json!({
            "way": w.name,
            "tried_bytes": w.bytes,
            "model_bytes": w.model_bytes,
            "estimated_bytes": bytes,
            "estimated_ratio": a.values.saturating_mul(a.value_bytes) as f64 / bytes.max(1.0),
            "megabytes_per_second": speed(w, a),
        })
    });
    json!({
        "file": input.path.display().to_string(),
        "bound": bound.asked().map(crate::figures::bound_of).unwrap_or(("rel", Some(1e-3))),
        "values": a.values,
        "described_values": f.values,
        "ordinary": f.ordinary,
        "zeros": f.zeros,
        "negative": f.negative,
        "deciles": f.deciles,
        "normalized_deciles": f.normalized_deciles,
        "byte_entropy": f.byte_entropy,
        "coreset_size": f.coreset_size,
        "serial_correlation": f.serial_correlation,
        "normalized_serial_correlation": f.normalized_serial_correlation,
        "cv": f.cv,
        "normalized_cv": f.normalized_cv,
        "cv_rule": f.normalized_cv < Features::CV_RULE,
        "exponents": f.exponents,
        "exponent_runs": f.exponent_runs,
        "tried_values": a.tried_values,
        "ways": ways.collect::<Vec<_>>(),
        "advice": a.words,
    })
}

fn speed(w: &Way, a: &Advice) -> f64 {
    a.tried_values.saturating_mul(a.value_bytes) as f64 / 1e6 / w.seconds.max(1e-9)
}

fn tell(input: &Input, a: &Advice) {
    let f = &a.features;
    say!(
        "{}: {} values, {} ordinary, {} zero, {} negative",
        input.path.display(),
        f.values,
        f.ordinary,
        f.zeros,
        f.negative
    );
    let list = |d: &[f64; 11]| d.iter().map(|v| format!("{v:.3e}")).collect::<Vec<_>>().join(" ");
    say!("  deciles              {}", list(&f.deciles));
    say!("  normalized           {}", list(&f.normalized_deciles));
    say!("  byte entropy         {:.2} of 8 bits", f.byte_entropy);
    say!("  coreset              {} of 100 cells of the range hold 95 %", f.coreset_size);
    say!("  serial correlation   {:.4}, {:.4} normalized", f.serial_correlation, f.normalized_serial_correlation);
    say!("  CV                   {:.3}, {:.3} normalized", f.cv, f.normalized_cv);
    say!("  decimal exponents    {} in {} runs", f.exponents, f.exponent_runs);
    say!("  measured on {} values, one thread:", a.tried_values);
    for w in &a.ways {
        let bytes = w.total(a.values, a.tried_values);
        let times = ratio(a.values.saturating_mul(a.value_bytes), 1) / bytes.max(1.0);
        say!("    {:<12} about {bytes:>12.0} bytes, {times:>8.1} times smaller, {:>8.2} MB/s", w.name, speed(w, a));
    }
    for sentence in &a.words {
        say!("  {sentence}");
    }
}
