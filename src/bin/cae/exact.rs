//! `cae model exact`.

use crate::args::Exact;
use crate::failure::Failure;
use crate::{figures, input, interrupt};
use cae::convert::{ExactModel, ExactOptions, calibrate, to_exact};
use cae::{ArrayOptions, Bound, DataType, Element, Limits, Region, Writer, model};
use ndarray::{ArrayD, IxDyn};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Values of the calibration data that are looked at.
const SAMPLE_VALUES: u64 = 1 << 20;
/// Bits of latents tried first; neighbors of the best follow.
const LATENT_BITS: [u32; 3] = [5, 7, 10];

/// The models as they are given.
struct Pair {
    encoder: Option<Vec<u8>>,
    decoder: Vec<u8>,
}

/// Bytes of the compressed calibration data; none where there are only latents.
struct Sizes {
    frames: u64,
    model: u64,
}

impl Sizes {
    fn total(&self) -> u64 {
        self.frames.saturating_add(self.model)
    }
}

/// A conversion, and what it gave.
struct Trial {
    options: ExactOptions,
    made: ExactModel,
    sizes: Sizes,
}

struct Tried {
    trials: Vec<Trial>,
    /// With the float model, where there are data.
    float: Option<Sizes>,
    /// The float encoder's.
    latents: Vec<f32>,
}

impl Tried {
    fn best(&self) -> Option<&Trial> {
        self.trials.iter().min_by_key(|t| t.sizes.total())
    }
}

pub fn run(args: &Exact) -> Result<(), Failure> {
    let (inputs, outputs) = (paths(&args.input), paths(&args.output));
    if inputs.len() != outputs.len() || inputs.len() > 2 {
        return Err(Failure::usage("give DECODER OUT, or ENCODER,DECODER ENCODER_OUT,DECODER_OUT"));
    }
    outputs.iter().try_for_each(|path| input::not_taken(path, args.force))?;
    let mut read = inputs.iter().map(|p| std::fs::read(p).map_err(Failure::io(p))).collect::<Result<Vec<_>, _>>()?;
    let decoder = read.pop().unwrap_or_default();
    let pair = Pair { encoder: read.pop(), decoder };
    let data = input::describe(&args.calibrate, &args.raw)?;
    let tried = match data.data_type {
        DataType::F64 => convert(args, &pair, &sample::<f64>(&data)?)?,
        _ => convert(args, &pair, &sample::<f32>(&data)?)?,
    };
    let best = tried.best().ok_or_else(|| Failure::bad("nothing could be converted"))?;
    let error = output_error(&pair, best, &tried.latents).map_err(|e| Failure::bad(e.to_string()))?;
    let mut bytes: Vec<&[u8]> = best.made.encoder.as_deref().into_iter().collect();
    bytes.push(&best.made.decoder);
    for (path, bytes) in outputs.iter().zip(bytes) {
        let mut file = interrupt::create(path)?;
        file.write_all(bytes).map_err(Failure::io(path))?;
        input::not_taken(path, args.force)?;
        file.commit().map_err(Failure::io(path))?;
    }
    let report = model::check(&best.made.decoder, &Limits::default()).map_err(Failure::at(Path::new(&args.output)))?;
    if !report.exact {
        return Err(Failure::bad(format!("{}: the proof does not hold: {:?}", args.output, report.inexact)));
    }
    tell(args, &tried, best, &error);
    Ok(())
}

fn tell(args: &Exact, tried: &Tried, best: &Trial, error: &OutputError) {
    let float = tried.float.as_ref().map(Sizes::total);
    let change = float.map(|f| figures::ratio(best.sizes.total(), f) - 1.0);
    let sizes = |s: &Sizes| json!({"frames": s.frames, "model": s.model, "total": s.total()});
    let all = tried.trials.iter().map(|t| {
        json!({"latent_bits": t.options.latent_bits, "weight_bits": t.options.weight_bits, "bytes": sizes(&t.sizes)})
    });
    if args.json {
        let report = json!({
            "exact": true,
            "latent_bits": best.options.latent_bits,
            "weight_bits": best.options.weight_bits,
            "float_bytes": tried.float.as_ref().map(sizes),
            "exact_bytes": sizes(&best.sizes),
            "change": change,
            "output_error": {"rms": error.rms, "max": error.max, "range": error.range},
            "tried": all.collect::<Vec<_>>(),
        });
        say!("{report}");
        return;
    }
    say!(
        "{}: exact, proved; latents of {} bits, weights of {}; model {} bytes",
        args.output,
        best.options.latent_bits,
        best.options.weight_bits,
        best.sizes.model
    );
    say!(
        "values differ from the float model's by {:.1e} (root mean square), {:.1e} at most, of a range of {:.1e}",
        error.rms,
        error.max,
        error.range
    );
    if let (Some(float), Some(change)) = (&tried.float, change) {
        say!(
            "calibration data: {} bytes with the exact model, {} with the float one ({:+.2} %); of which the model {} and {}",
            best.sizes.total(),
            float.total(),
            100.0 * change,
            best.sizes.model,
            float.model
        );
    }
}

fn paths(text: &str) -> Vec<PathBuf> {
    text.split(',').map(PathBuf::from).collect()
}

/// As many of the first rows as are worth looking at.
fn sample<T: Element>(data: &input::Input) -> Result<ArrayD<T>, Failure> {
    let source = data.open::<T>().map_err(Failure::at(&data.path))?;
    let shape = source.shape();
    let row: u64 = shape.iter().skip(1).product::<u64>().max(1);
    let rows = SAMPLE_VALUES.checked_div(row).unwrap_or(1).max(1);
    let extent = shape.iter().enumerate().map(|(d, n)| if d == 0 { (*n).min(rows) } else { *n });
    let extent: Vec<usize> = extent.map(|n| usize::try_from(n).unwrap_or(usize::MAX)).collect();
    let region = Region { start: vec![0; extent.len()], extent };
    let mut values = vec![T::default(); region.len()];
    source.read(&region, &mut values).map_err(Failure::at(&data.path))?;
    ArrayD::from_shape_vec(IxDyn(&region.extent), values).map_err(|e| Failure::bad(e.to_string()))
}

fn convert<T: Element>(args: &Exact, pair: &Pair, data: &ArrayD<T>) -> Result<Tried, Failure> {
    let here = Failure::at(&args.calibrate);
    let limits = Limits::default();
    // Where a value is missing, the one before it stands in, as when the writer shows data to an encoder.
    let mut last = 0.0;
    let filled = data.iter().map(|v| {
        last = Some(v.to_f64()).filter(|v| v.is_finite()).unwrap_or(last);
        last
    });
    let values: Vec<f64> = filled.collect();
    let bound = args.bound.asked().unwrap_or(Bound::Pointwise(0.01));
    let sizes = |encoder: Option<&Vec<u8>>, decoder: &[u8]| -> Result<Sizes, Failure> {
        let frames = encoder.map_or(Ok(0), |e| compressed(data, e, decoder, bound))?;
        Ok(Sizes { frames, model: decoder.len() as u64 })
    };
    let mut tried = Tried { trials: Vec::new(), float: None, latents: Vec::new() };
    if let Some(encoder) = &pair.encoder {
        tried.latents = calibrate(encoder, &values, data.shape(), &limits).map_err(&here)?;
        tried.float = Some(sizes(Some(encoder), &pair.decoder)?);
    } else {
        #[allow(clippy::cast_possible_truncation, reason = "networks work in f32")]
        tried.latents.extend(values.iter().map(|v| *v as f32));
    }
    let trial = |tried: &mut Tried, latent_bits: u32, weight_bits: u32| -> Result<(), Failure> {
        let options = ExactOptions::with_bits(latent_bits, weight_bits);
        let made = to_exact(&pair.decoder, pair.encoder.as_deref(), &tried.latents, options, &limits);
        let made = made.map_err(Failure::at(Path::new(&args.input)))?;
        let sizes = sizes(made.encoder.as_ref(), &made.decoder)?;
        tried.trials.push(Trial { options, made, sizes });
        Ok(())
    };
    let default = ExactOptions::default();
    let weight_bits = args.weight_bits.unwrap_or(default.weight_bits);
    let first = match args.latent_bits {
        Some(bits) => vec![bits],
        None if pair.encoder.is_some() => LATENT_BITS.to_vec(),
        None => vec![default.latent_bits],
    };
    for bits in &first {
        trial(&mut tried, *bits, weight_bits)?;
    }
    let best = |tried: &Tried| tried.best().map_or(default.latent_bits, |t| t.options.latent_bits);
    // On to the better side of the best until it stays.
    while first.len() > 1 {
        let bits = best(&tried);
        let near = [bits.saturating_sub(1).max(2), bits.saturating_add(1).min(16)];
        let known = |b: &u32| tried.trials.iter().any(|t| t.options.latent_bits == *b);
        let Some(next) = near.into_iter().find(|b| !known(b)) else { break };
        trial(&mut tried, next, weight_bits)?;
    }
    if args.weight_bits.is_none() && pair.encoder.is_some() {
        let bits = best(&tried);
        trial(&mut tried, bits, 8)?;
    }
    Ok(tried)
}

/// Bytes of the frames with this autoencoder.
fn compressed<T: Element>(data: &ArrayD<T>, encoder: &[u8], decoder: &[u8], bound: Bound) -> Result<u64, Failure> {
    let wrong = |e: cae::Error| Failure::bad(format!("compressing the calibration data: {e}"));
    let mut writer = Writer::new(Vec::new()).map_err(wrong)?;
    let model = Some(writer.add_model(decoder, Some(encoder), false).map_err(wrong)?);
    let options = ArrayOptions { bound, model, ..ArrayOptions::default() };
    Ok(writer.add_array("calibration", &data.view(), &options).map_err(wrong)?.stored_bytes)
}

/// Distance of the exact decoder's values from the float one's: root mean square, greatest, and range of the float's.
struct OutputError {
    rms: f64,
    max: f64,
    range: f64,
}

fn output_error(pair: &Pair, best: &Trial, latents: &[f32]) -> cae::Result<OutputError> {
    let limits = Limits::default();
    let float = model::load_decoder(&pair.decoder, &limits)?;
    let exact = model::load_decoder(&best.made.decoder, &limits)?;
    let count = latents.len().checked_div(float.latent_len()).unwrap_or(0);
    let mut a = vec![0.0f32; count.saturating_mul(float.block_len())];
    let mut b = a.clone();
    float.decode(latents, &mut a)?;
    exact.decode(&best.made.whole_latents(latents), &mut b)?;
    let (mut sum, mut max) = (0.0, 0.0f64);
    for d in a.iter().zip(&b).map(|(x, y)| f64::from((x - y).abs())) {
        sum += d * d;
        max = max.max(d);
    }
    let (low, high) = a.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    #[allow(clippy::cast_precision_loss, reason = "a mean for people")]
    Ok(OutputError { rms: (sum / a.len().max(1) as f64).sqrt(), max, range: f64::from(high - low) })
}
