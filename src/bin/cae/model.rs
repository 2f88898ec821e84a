//! `cae model`.

use crate::args::{Extract, Model, ModelVerb};
use crate::decompress::open_with;
use crate::failure::Failure;
use crate::figures::{hex, ratio};
use crate::{input, interrupt};
use cae::model::{self, ModelReport};
use cae::{Limits, ReadOptions};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};

pub fn run(args: &Model) -> Result<(), Failure> {
    match &args.verb {
        ModelVerb::Check { files, json } => check(files, *json),
        ModelVerb::Exact(a) => crate::exact::run(a),
        ModelVerb::Extract(a) => extract(a),
    }
}

/// A file, and what became of the model in it.
type Checked<'a> = (&'a Path, cae::Result<ModelReport>);

/// One file, or an encoder and its decoder in either order.
fn check(files: &[PathBuf], as_json: bool) -> Result<(), Failure> {
    let mut checked = files.iter().map(|f| read(f)).collect::<Result<Vec<_>, _>>()?;
    let is = |c: &Checked, what: &str| c.1.as_ref().is_ok_and(|r| role(r) == what);
    if let [first, second] = checked.as_mut_slice()
        && is(first, "decoder")
        && is(second, "encoder")
    {
        std::mem::swap(first, second);
    }
    let misfit = match checked.as_slice() {
        [(_, Ok(encoder)), (_, Ok(decoder))] => misfit(encoder, decoder),
        _ => None,
    };
    match checked.as_slice() {
        [one] if as_json => say!("{}", report(one)),
        [encoder, decoder] if as_json => {
            say!("{}", json!({"encoder": report(encoder), "decoder": report(decoder), "misfit": misfit}));
        }
        all => all.iter().for_each(tell),
    }
    if let Some((file, Err(why))) = checked.iter().find(|c| c.1.is_err()) {
        return Err(Failure::bad(format!("{}: will not do: {why}", file.display())));
    }
    if let Some(what) = misfit {
        return Err(Failure::bad(format!("the two do not fit together: {what}")));
    }
    if let [(encoder, _), (decoder, _)] = checked.as_slice()
        && !as_json
    {
        say!("they fit together: cae compress --model {},{}", encoder.display(), decoder.display());
    }
    Ok(())
}

fn read(file: &Path) -> Result<Checked<'_>, Failure> {
    let bytes = std::fs::read(file).map_err(Failure::io(file))?;
    Ok((file, model::check(&bytes, &Limits::default())))
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

fn report((file, checked): &Checked) -> Value {
    let r = match checked {
        Ok(r) => r,
        Err(why) => return json!({"file": file.display().to_string(), "will_do": false, "why": why.to_string()}),
    };
    json!({
        "file": file.display().to_string(),
        "will_do": true,
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

fn tell((file, checked): &Checked) {
    let Ok(r) = checked else { return };
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

fn extract(args: &Extract) -> Result<(), Failure> {
    let reader = open_with(&args.file, ReadOptions::default())?;
    let bytes = reader.model_bytes(args.index).map_err(Failure::at(&args.file))?;
    let digest = reader.models().nth(args.index).map(|m| hex(&m.digest)).unwrap_or_default();
    let path = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{digest}.onnx")));
    if path.as_os_str() == "-" {
        return Err(Failure::usage("a model goes to a file, not to stdout"));
    }
    input::not_replaced(&args.file, &path)?;
    input::not_taken(&path, args.force)?;
    let mut file = interrupt::create(&path)?;
    file.write_all(&bytes).map_err(Failure::io(&path))?;
    file.commit().map_err(Failure::io(&path))?;
    if args.json {
        say!("{}", json!({"output": path.display().to_string(), "bytes": bytes.len(), "sha256": digest}));
    } else {
        say!("{}: {} bytes", path.display(), bytes.len());
    }
    Ok(())
}
