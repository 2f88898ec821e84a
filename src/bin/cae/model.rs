//! `cae model`.

use crate::args::{Model, ModelVerb};
use crate::failure::Failure;
use crate::figures::{hex, ratio};
use cae::{Limits, Reader, model};
use serde_json::json;
use std::path::{Path, PathBuf};

pub fn run(args: &Model) -> Result<(), Failure> {
    match &args.verb {
        ModelVerb::Check { file, json } => check(file, *json),
        ModelVerb::Exact(a) => crate::exact::run(a),
        ModelVerb::Extract { file, index, output, force } => extract(file, *index, output.as_deref(), *force),
    }
}

fn check(file: &Path, as_json: bool) -> Result<(), Failure> {
    let bytes = std::fs::read(file).map_err(Failure::io(file))?;
    let r = model::check(&bytes, &Limits::default()).map_err(Failure::at(file))?;
    let digest = hex(&r.digest);
    let values = r.output_shape.iter().product::<usize>().max(1);
    let per_value = ratio(r.operations, values as u64);
    let report = json!({
        "file": file,
        "sha256": digest,
        "bytes": r.bytes,
        "producer": r.producer,
        "opset": r.opset,
        "input": {"name": r.input, "shape": r.input_shape},
        "output": {"name": r.output, "shape": r.output_shape},
        "operators": r.operators,
        "nodes": r.nodes,
        "parameters": r.parameters,
        "operations_per_block": r.operations,
        "operations_per_output": per_value,
        "latent_range": r.latent_range,
        "exact": r.exact,
        "inexact": r.inexact.as_ref().map(|(node, reason)| json!({"node": node, "reason": reason})),
    });
    if as_json {
        println!("{report}");
        return Ok(());
    }
    println!("{}: will do; {} bytes, sha256 {digest}", file.display(), r.bytes);
    println!("  from {:?} of shape {:?} to {:?} of shape {:?}", r.input, r.input_shape, r.output, r.output_shape);
    println!("  {} nodes ({}), {} parameters", r.nodes, r.operators.join(", "), r.parameters);
    println!("  {} multiply-adds for a block, {per_value:.0} for each of its outputs", r.operations);
    match &r.inexact {
        None => println!("  exact: every engine gives the same bits"),
        Some((node, reason)) => println!("  not exact: at {node:?}, {reason}"),
    }
    Ok(())
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
    println!("{}: {} bytes", path.display(), bytes.len());
    Ok(())
}
