//! `cae certify`.

use crate::args::Certify;
use crate::decompress::{list, open};
use crate::failure::{self, Failure};
use crate::figures::{count, count_are, hex};
use cae::{Certificate, Limits, Reader, model};
use serde_json::{Map, Value, json};

pub fn run(args: &Certify) -> Result<(), Failure> {
    let here = Failure::at(&args.file);
    let reader = open(&args.file, &args.reading)?;
    let limits = if args.reading.no_limits { Limits::none() } else { Limits::default() };
    let models = (0..reader.models().len()).map(|i| model_report(&reader, i, &limits)).collect::<cae::Result<Vec<_>>>();
    let models = models.map_err(&here)?;
    let mut arrays = Map::new();
    let mut failed = Vec::new();
    for array in reader.arrays() {
        let c = array.certify().map_err(&here)?;
        for b in &c.bad {
            failure::warn(&format!("{}: {}", args.file.display(), b.error));
        }
        if !c.holds() {
            failed.push(array.name());
        }
        if !args.json {
            tell(array.name(), &c);
        }
        arrays.insert(array.name().to_owned(), report(array.model(), &c));
    }
    if args.json {
        say!("{}", json!({"ok": failed.is_empty(), "models": models, "arrays": arrays}));
    } else {
        for m in &models {
            let text = |key: &str| m.get(key).and_then(Value::as_str).unwrap_or_default();
            say!("model {}: {}", text("sha256"), text("verdict"));
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::bad(format!("{}: not proved of {}", args.file.display(), failed.join(", "))))
}

fn model_report(reader: &Reader, index: usize, limits: &Limits) -> cae::Result<Value> {
    let r = model::check(&reader.model_bytes(index)?, limits)?;
    let verdict = match (&r.inexact, r.latent_range) {
        (None, Some((low, high))) => format!("exact, proved for integer latents from {low} to {high}"),
        (Some((node, why)), _) if node.is_empty() => format!("not exact: {why}"),
        (Some((node, why)), _) => format!("not exact: at `{node}`, {why}"),
        (None, None) => "exact".to_owned(),
    };
    Ok(json!({"sha256": hex(&r.digest), "exact": r.exact, "latent_range": r.latent_range, "verdict": verdict}))
}

/// JSON has no infinity: null stands for a bound that is not known.
fn report(model: Option<usize>, c: &Certificate) -> Value {
    json!({
        "ok": c.holds(),
        "model": model,
        "frames": {
            "exact": c.exact,
            "guarded": c.guarded,
            "same_bits": c.same_bits,
            "bad": list(&c.bad),
            "uncovered": c.uncovered,
        },
        "guard": {"kept": c.kept, "needed": c.needed.filter(|n| n.is_finite()), "needed_by_output": c.needed_by_output},
    })
}

fn tell(name: &str, c: &Certificate) {
    let verdict = if c.holds() { "proved" } else { "NOT PROVED" };
    say!("{name}: {verdict}; {} the same bits on every engine", count_are(c.exact, "frame"));
    if let (Some(kept), Some(needed)) = (c.kept, c.needed) {
        say!(
            "  a guard of {kept:.2e} at least is kept in {}, {needed:.2e} is needed; {} the writer's bits here",
            count(c.guarded, "frame"),
            if c.same_bits == 1 { "1 has".to_owned() } else { format!("{} have", c.same_bits) }
        );
    }
    if !c.uncovered.is_empty() {
        let uncovered = count_are(c.uncovered.len() as u64, "frame");
        say!("  {uncovered} not covered, first frame {:?}", c.uncovered.first());
    }
    if !c.bad.is_empty() {
        say!("  {} damaged", count_are(c.bad.len() as u64, "frame"));
    }
}
