//! `cae model`.

use crate::args::{Model, ModelVerb};
use crate::failure::Failure;
use crate::figures::{hex, ratio};
use cae::model::{self, ModelReport};
use cae::{Limits, Reader};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

pub fn run(args: &Model) -> Result<(), Failure> {
    match &args.verb {
        ModelVerb::Check { files, json } => check(files, *json),
        ModelVerb::Exact(a) => crate::exact::run(a),
        ModelVerb::Extract { file, index, output, force } => extract(file, *index, output.as_deref(), *force),
    }
}

/// One file, or an encoder and its decoder.
fn check(files: &[PathBuf], as_json: bool) -> Result<(), Failure> {
    let reports = files.iter().map(|f| read(f)).collect::<Result<Vec<_>, Failure>>()?;
    match reports.as_slice() {
        [one] if as_json => say!("{}", report(one)),
        [one] => tell(one),
        [encoder, decoder] => {
            let misfit = misfit(&encoder.1, &decoder.1);
            if as_json {
                say!("{}", json!({"encoder": report(encoder), "decoder": report(decoder), "misfit": misfit}));
            } else {
                tell(encoder);
                tell(decoder);
            }
            if let Some(what) = misfit {
                return Err(Failure::bad(format!("the two do not fit together: {what}")));
            }
            if !as_json {
                say!("they fit together: cae compress --model {},{}", encoder.0.display(), decoder.0.display());
            }
        }
        _ => return Err(Failure::usage("one file, or an encoder and its decoder")),
    }
    Ok(())
}

fn read(file: &Path) -> Result<(&Path, ModelReport), Failure> {
    let bytes = std::fs::read(file).map_err(Failure::io(file))?;
    let wont = |e| Failure::bad(format!("{}: will not do: {e}", file.display()));
    Ok((file, model::check(&bytes, &Limits::default()).map_err(wont)?))
}

/// Why the latents or blocks of one are not those of the other.
fn misfit(encoder: &ModelReport, decoder: &ModelReport) -> Option<String> {
    let count = |shape: &[usize]| shape.iter().product::<usize>();
    let (gives, takes) = (count(&encoder.output_shape), count(&decoder.input_shape));
    if gives != takes {
        return Some(format!("the encoder gives {gives} latents, the decoder takes {takes}"));
    }
    // Frameworks put an axis of length 1 at either end.
    let long = |shape: &[usize]| shape.iter().copied().filter(|d| *d != 1).collect::<Vec<_>>();
    let (sees, makes) = (&encoder.input_shape, &decoder.output_shape);
    (long(sees) != long(makes)).then(|| format!("the encoder sees blocks of {sees:?}, the decoder makes {makes:?}"))
}

/// What a model looks like: the side with more values is the block.
fn role(r: &ModelReport) -> &'static str {
    if r.predictor {
        return "network in the loop";
    }
    let count = |shape: &[usize]| shape.iter().product::<usize>();
    match count(&r.input_shape).cmp(&count(&r.output_shape)) {
        std::cmp::Ordering::Less => "decoder",
        std::cmp::Ordering::Greater => "encoder",
        std::cmp::Ordering::Equal => "encoder or decoder",
    }
}

/// Values of a block: the longer side. A network in the loop is run for each value.
fn block_values(r: &ModelReport) -> u64 {
    if r.predictor {
        return 1;
    }
    let count = |shape: &[usize]| shape.iter().product::<usize>() as u64;
    count(&r.input_shape).max(count(&r.output_shape)).max(1)
}

fn report((file, r): &(&Path, ModelReport)) -> Value {
    json!({
        "file": file,
        "role": role(r),
        "sha256": hex(&r.digest),
        "bytes": r.bytes,
        "producer": r.producer,
        "opset": r.opset,
        "input": {"name": r.input, "shape": r.input_shape},
        "output": {"name": r.output, "shape": r.output_shape},
        "operators": r.operators,
        "nodes": r.nodes,
        "parameters": r.parameters,
        "operations_per_block": r.operations,
        "operations_per_value": ratio(r.operations, block_values(r)),
        "latent_range": r.latent_range,
        "predictor": r.predictor,
        "exact": r.exact,
        "inexact": r.inexact.as_ref().map(|(node, reason)| json!({"node": node, "reason": reason})),
    })
}

fn tell((file, r): &(&Path, ModelReport)) {
    say!("{}: will do as {}; {} bytes, sha256 {}", file.display(), role(r), r.bytes, hex(&r.digest));
    say!("  from {:?} of shape {:?} to {:?} of shape {:?}", r.input, r.input_shape, r.output, r.output_shape);
    say!("  {} nodes ({}), {} parameters", r.nodes, r.operators.join(", "), r.parameters);
    let per_value = ratio(r.operations, block_values(r));
    say!("  {} multiply-adds for a block, {per_value:.0} for each of its values", r.operations);
    match &r.inexact {
        None => say!("  exact: every engine gives the same bits"),
        Some((node, reason)) if node.is_empty() => say!("  not exact: {reason}"),
        Some((node, reason)) => say!("  not exact: at node {node}, {reason}"),
    }
    if r.inexact.is_some() && role(r) != "encoder" {
        say!("  usable all the same: archives keep a distance from the bound for other engines' rounding");
    }
}

fn extract(file: &Path, index: usize, output: Option<&Path>, force: bool) -> Result<(), Failure> {
    let here = Failure::at(file);
    let reader = Reader::open(file).map_err(&here)?;
    let bytes = reader.model_bytes(index).map_err(&here)?;
    let name = || {
        let digest = reader.models().nth(index).map(|m| m.digest).unwrap_or_default();
        PathBuf::from(format!("{}.onnx", hex(&digest)))
    };
    let path = output.map_or_else(name, Path::to_owned);
    if path.exists() && !force {
        return Err(Failure::usage(format!("{} exists; --force replaces it", path.display())));
    }
    std::fs::write(&path, &bytes).map_err(Failure::io(&path))?;
    say!("{}: {} bytes", path.display(), bytes.len());
    Ok(())
}
