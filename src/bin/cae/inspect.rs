//! `cae inspect`.

#![allow(
    clippy::indexing_slicing,
    reason = "serde_json: a missing key reads as null, and the objects written to are our own"
)]

use crate::args::Inspect;
use crate::decompress::{list, open_with};
use crate::failure::Failure;
use crate::figures::{abs_bound, bound_in_words, bound_of, count, hex, ratio, sections, times};
use cae::{Array, ReadOptions, Reader};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

pub fn run(args: &Inspect) -> Result<(), Failure> {
    let reader = open_with(&args.file, ReadOptions::default())?;
    let named = |f: Failure| Failure { message: format!("{}: {}", args.file.display(), f.message), ..f };
    let mut report = describe(&reader).map_err(named)?;
    // Another package of the same build may ask for objects that keep the order of their making.
    report.sort_all_objects();
    if args.json {
        say!("{report}");
        return sound(&args.file, &report);
    }
    say!("{}: {} bytes, format {}", args.file.display(), reader.file_len(), report["version"].as_str().unwrap_or(""));
    for m in report["models"].as_array().into_iter().flatten() {
        say!("model {}: {} bytes", m["sha256"].as_str().unwrap_or(""), m["bytes"]);
    }
    for (a, array) in report["arrays"].as_array().into_iter().flatten().zip(reader.arrays()) {
        let dims = match array.dim_names() {
            [] => String::new(),
            names => format!(" ({})", names.join(",")),
        };
        say!(
            "array {}: {} {}{dims}, {} of {}, bound {}, {} bytes in {}{}",
            array.name(),
            a["dtype"].as_str().unwrap_or(""),
            a["shape"],
            count(array.frame_count(), "frame"),
            a["frame_shape"],
            bound_in_words(array.bound(), array.tolerance()),
            a["input_bytes"],
            a["stored_bytes"],
            times(a["ratio"].as_f64().unwrap_or(0.0)),
        );
        say!("  methods {}", a["methods"]);
        for (section, n) in a["sections"].as_object().into_iter().flatten() {
            say!("  {section:14} {n:>12}");
        }
        if let Some(cr) = a["cr_th"].as_f64() {
            say!("  CR_th {cr:.2}, CR_ac {:.2}", a["cr_ac"].as_f64().unwrap_or(0.0));
        }
        if !a["attributes"].is_null() {
            say!("  attributes {}", a["attributes"]);
        }
        for bad in a["bad_frames"].as_array().into_iter().flatten() {
            say!("  {}", bad["error"].as_str().unwrap_or(""));
        }
    }
    sound(&args.file, &report)
}

/// Fails if frames could not be shown.
fn sound(file: &Path, report: &Value) -> Result<(), Failure> {
    let arrays = report["arrays"].as_array().into_iter().flatten();
    match arrays.map(|a| a["bad_frames"].as_array().map_or(0, Vec::len)).sum() {
        0 => Ok(()),
        n => Err(Failure::bad(format!("{}: {}", file.display(), count(n as u64, "damaged frame")))),
    }
}

fn describe(reader: &Reader) -> Result<Value, Failure> {
    let models: Vec<Value> =
        reader.models().map(|m| json!({"sha256": hex(&m.digest), "bytes": m.len, "embedded": m.len > 0})).collect();
    let arrays = reader.arrays().map(|a| array(reader, &a)).collect::<Result<Vec<_>, _>>()?;
    let (major, minor) = cae::VERSION;
    Ok(json!({
        "file_bytes": reader.file_len(),
        "version": format!("{major}.{minor}"),
        "models": models,
        "arrays": arrays,
        "sections": sections(reader)?,
    }))
}

fn array(reader: &Reader, a: &Array) -> Result<Value, Failure> {
    let breakdown = a.breakdown().map_err(|e| Failure::bad(e.to_string()))?;
    let (mode, bound) = bound_of(a.bound());
    let input_bytes = a.values().saturating_mul(a.data_type().size() as u64);
    let sections: BTreeMap<&str, u64> = breakdown.sections.iter().map(|(s, n)| (s.name(), *n)).collect();
    // The paper's ratios: input over latents, and over all that decoding needs.
    let latents = sections.get("latents").copied().filter(|n| *n > 0);
    let model = a.model().and_then(|m| reader.models().nth(m)).map_or(0, |m| m.len);
    let needed = a.stored_bytes().saturating_add(model);
    Ok(json!({
        "name": a.name(),
        "dtype": a.data_type().name(),
        "shape": a.shape(),
        "dims": a.dim_names(),
        "bound_mode": mode,
        "bound": bound,
        "abs_bound": abs_bound(a.tolerance()),
        "frames": a.frame_count(),
        "frame_shape": a.frame_shape(),
        "model": a.model(),
        "input_bytes": input_bytes,
        "stored_bytes": a.stored_bytes(),
        "ratio": ratio(input_bytes, a.stored_bytes()),
        "methods": breakdown.methods,
        "bad_frames": list(&breakdown.bad),
        "sections": sections,
        "cr_th": latents.map(|n| ratio(input_bytes, n)),
        "cr_ac": latents.map(|_| ratio(input_bytes, needed)),
        "attributes": serde_json::from_str::<Value>(a.attributes()).unwrap_or(Value::Null),
    }))
}
