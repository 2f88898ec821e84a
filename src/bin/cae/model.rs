//! `cae model`.

use crate::args::{Model, ModelVerb};
use crate::failure::Failure;
use cae::{Limits, Reader, model};
use serde_json::json;
use std::path::{Path, PathBuf};

pub fn run(args: &Model) -> Result<(), Failure> {
    match &args.verb {
        ModelVerb::Check { file, json } => check(file, *json),
        ModelVerb::Extract { file, index, output, force } => extract(file, *index, output.as_deref(), *force),
    }
}

fn check(file: &Path, as_json: bool) -> Result<(), Failure> {
    let bytes = std::fs::read(file).map_err(Failure::io(file))?;
    let _ = (as_json, json!(null));
    let report = model::check(&bytes, &Limits::default()).map_err(Failure::at(file))?;
    println!("{}", report.exact);
    Ok(())
}

fn extract(file: &Path, index: usize, output: Option<&Path>, force: bool) -> Result<(), Failure> {
    let here = Failure::at(file);
    let reader = Reader::open(file).map_err(&here)?;
    let bytes = reader.model_bytes(index).map_err(&here)?;
    let name = || {
        let digest = reader.models().nth(index).map(|m| m.digest).unwrap_or_default();
        PathBuf::from(format!("{}.onnx", digest.iter().map(|b| format!("{b:02x}")).collect::<String>()))
    };
    let path = output.map_or_else(name, Path::to_owned);
    if path.exists() && !force {
        return Err(Failure::usage(format!("{} exists; --force replaces it", path.display())));
    }
    std::fs::write(&path, &bytes).map_err(Failure::io(&path))?;
    println!("{}: {} bytes", path.display(), bytes.len());
    Ok(())
}
