//! What Python's arguments mean to the library.

use crate::errors::argument_error;
use cae::{Bound, DataType, GuardPolicy, Limits, Preset, ResolvedBound, Tolerance};
use pyo3::prelude::*;
use std::collections::HashMap;

/// A bound by its name on the command line.
pub fn bound(py: Python<'_>, kind: &str, value: Option<f64>) -> PyResult<Bound> {
    let of = |make: fn(f64) -> Bound| value.map(make).ok_or_else(|| argument_error(py, "the bound has no number"));
    match kind {
        "lossless" => Ok(Bound::Lossless),
        "by_point" => Ok(Bound::ByPoint),
        "abs" => of(Bound::Absolute),
        "rel" => of(Bound::Range),
        "pw" => of(Bound::Pointwise),
        "rmse" => of(Bound::Rmse),
        "psnr" => of(Bound::Psnr),
        "ratio" => of(Bound::Ratio),
        _ => Err(argument_error(py, &format!("no bound is named {kind:?}"))),
    }
}

/// Name, number, greatest absolute and greatest point-wise relative error of a bound, where it has them.
pub type BoundParts = (&'static str, Option<f64>, Option<f64>, Option<f64>);

/// The inverse of [`bound`], with what the bound came to.
pub fn parts(bound: &ResolvedBound) -> BoundParts {
    let kind = match bound.asked {
        Bound::Absolute(_) => "abs",
        Bound::Range(_) => "rel",
        Bound::Pointwise(_) => "pw",
        Bound::Rmse(_) => "rmse",
        Bound::Psnr(_) => "psnr",
        Bound::Ratio(_) => "ratio",
        Bound::ByPoint => "by_point",
        _ => "lossless",
    };
    let (abs, pw) = match bound.tolerance {
        Tolerance::Lossless => (Some(0.0), Some(0.0)),
        Tolerance::Absolute(e) => (Some(e), None),
        Tolerance::Pointwise(b) => (None, Some(b)),
    };
    (kind, bound.asked.parameter(), abs, pw)
}

/// A preset by its name on the command line.
pub fn preset(py: Python<'_>, name: &str) -> PyResult<Preset> {
    let all = [Preset::Fast, Preset::Balanced, Preset::Small];
    let found = all.into_iter().find(|p| p.name() == name);
    found.ok_or_else(|| argument_error(py, &format!("no preset is named {name:?}: fast, balanced or small")))
}

/// A policy by its name on the command line.
pub fn guard(py: Python<'_>, name: &str) -> PyResult<GuardPolicy> {
    match name {
        "refuse" => Ok(GuardPolicy::Refuse),
        "fall-back" => Ok(GuardPolicy::FallBack),
        _ => Err(argument_error(py, &format!("no guard is named {name:?}: refuse or fall-back"))),
    }
}

/// A type by its NumPy name.
pub fn data_type(py: Python<'_>, name: &str) -> PyResult<DataType> {
    match name {
        "float32" => Ok(DataType::F32),
        "float64" => Ok(DataType::F64),
        _ => Err(argument_error(py, &format!("values of type {name} cannot be stored: float32 or float64"))),
    }
}

/// NumPy's name of a type.
pub fn dtype(data_type: DataType) -> &'static str {
    match data_type {
        DataType::F64 => "float64",
        _ => "float32",
    }
}

/// The default limits with `changes` made to them.
pub fn limits(py: Python<'_>, changes: &HashMap<String, u64>) -> PyResult<Limits> {
    let mut limits = Limits::default();
    for (name, value) in changes {
        let field = match name.as_str() {
            "memory" => &mut limits.memory,
            "array_bytes" => &mut limits.array_bytes,
            "directory_bytes" => &mut limits.directory_bytes,
            "frame_values" => &mut limits.frame_values,
            "model_bytes" => &mut limits.model_bytes,
            "model_nodes" => &mut limits.model_nodes,
            "model_elements" => &mut limits.model_elements,
            "model_operations" => &mut limits.model_operations,
            _ => return Err(argument_error(py, &format!("no limit is named {name:?}"))),
        };
        *field = *value;
    }
    Ok(limits)
}
