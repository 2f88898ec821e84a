//! Lone frames (SPEC 6.7).

use crate::asked::{self, BoundParts};
use crate::errors::exception;
use crate::model::Model;
use crate::values::{NewArray, Values};
use cae::{CodedFrame, DataType, Element, FrameOptions};
use pyo3::buffer::Element as BufferElement;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::collections::HashMap;

/// Codes one frame: its bytes, its bound, the largest error as a multiple of the bound, and whether it needs the decoder.
#[pyfunction]
#[pyo3(signature = (values, dtype, shape, kind, value, preset, fill, model, threads))]
#[allow(clippy::too_many_arguments, reason = "keyword arguments of Python")]
pub fn compress_frame<'py>(
    py: Python<'py>,
    values: &Bound<'py, PyAny>,
    dtype: &str,
    shape: Vec<usize>,
    kind: &str,
    value: Option<f64>,
    preset: &str,
    fill: Option<f64>,
    model: Option<&Bound<'py, Model>>,
    threads: usize,
) -> PyResult<(Bound<'py, PyBytes>, BoundParts, f64, bool)> {
    let model = model.map(Bound::get);
    let options = FrameOptions {
        bound: asked::bound(py, kind, value)?,
        preset: asked::preset(py, preset)?,
        fill,
        decoder: model.map(|m| m.decoder.as_ref()),
        encoder: model.and_then(|m| m.encoder.as_deref()),
        threads,
        ..FrameOptions::default()
    };
    let coded = match asked::data_type(py, dtype)? {
        DataType::F64 => compress::<f64>(values, &shape, &options)?,
        _ => compress::<f32>(values, &shape, &options)?,
    };
    let over = coded.stats.max_error_over_bound;
    Ok((PyBytes::new(py, &coded.bytes), asked::parts(&coded.bound), over, coded.needs_decoder))
}

fn compress<T: Element + BufferElement>(
    values: &Bound<'_, PyAny>,
    shape: &[usize],
    options: &FrameOptions,
) -> PyResult<CodedFrame> {
    let py = values.py();
    let values = Values::<T>::get(values)?;
    py.detach(|| cae::compress_frame(values.as_slice(), shape, options)).map_err(|e| exception(py, e))
}

/// Decodes one frame into a new array.
#[pyfunction]
#[pyo3(signature = (data, dtype, shape, model, limits))]
pub fn decompress_frame<'py>(
    py: Python<'py>,
    data: &Bound<'py, PyAny>,
    dtype: &str,
    shape: Vec<usize>,
    model: Option<&Bound<'py, Model>>,
    limits: HashMap<String, u64>,
) -> PyResult<Bound<'py, PyAny>> {
    let data = Values::<u8>::get(data)?;
    let model = model.map(Bound::get);
    let limits = asked::limits(py, &limits)?;
    let name = asked::dtype(asked::data_type(py, dtype)?);
    match asked::data_type(py, dtype)? {
        DataType::F64 => decompress::<f64>(py, &data, name, &shape, model, &limits),
        _ => decompress::<f32>(py, &data, name, &shape, model, &limits),
    }
}

fn decompress<'py, T: Element + BufferElement>(
    py: Python<'py>,
    data: &Values<u8>,
    dtype: &str,
    shape: &[usize],
    model: Option<&Model>,
    limits: &cae::Limits,
) -> PyResult<Bound<'py, PyAny>> {
    // The shape comes from the container, which may be hostile: it must pass the limits before memory is taken.
    let values = shape.iter().try_fold(1u64, |n, e| n.checked_mul(*e as u64)).unwrap_or(u64::MAX);
    if values > limits.frame_values {
        let (wanted, allowed) = (values, limits.frame_values);
        let error = cae::Error::Limit { resource: cae::Resource::FrameValues, wanted, allowed };
        return Err(exception(py, error));
    }
    let mut array = NewArray::<T>::zeros(py, shape, dtype)?;
    let decoder = model.map(|m| m.decoder.as_ref());
    let out = array.as_mut_slice();
    py.detach(|| cae::decompress_frame(data.as_slice(), shape, decoder, limits, out)).map_err(|e| exception(py, e))?;
    array.into_array()
}
