//! What the library says went wrong, as the exceptions of `cae._errors`.

use cae::{Error, Place};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// An instance of the class `name`, with `details` as keyword arguments.
fn instance(py: Python<'_>, name: &str, message: &str, details: &[(&str, Bound<'_, PyAny>)]) -> PyResult<PyErr> {
    let class = py.import("cae._errors")?.getattr(name)?;
    let kwargs = PyDict::new(py);
    for (key, value) in details {
        kwargs.set_item(key, value)?;
    }
    Ok(PyErr::from_value(class.call((message,), Some(&kwargs))?))
}

/// The exception for `error`.
pub fn exception(py: Python<'_>, error: Error) -> PyErr {
    convert(py, error).unwrap_or_else(|e| e)
}

fn convert(py: Python<'_>, error: Error) -> PyResult<PyErr> {
    let message = error.to_string();
    match error {
        Error::Format { place, offset, .. } => placed(py, "FormatError", &message, place, offset),
        Error::Unsupported { place, offset, .. } => placed(py, "Unsupported", &message, place, offset),
        Error::Limit { resource, wanted, allowed } => {
            let resource = resource.to_string().into_pyobject(py)?.into_any();
            let (wanted, allowed) = (wanted.into_pyobject(py)?.into_any(), allowed.into_pyobject(py)?.into_any());
            instance(py, "LimitError", &message, &[("resource", resource), ("wanted", wanted), ("allowed", allowed)])
        }
        Error::Model(_) => instance(py, "ModelError", &message, &[]),
        Error::Argument(_) => argument(py, &message),
        // What a file object of Python's raised.
        Error::Io(e) if e.get_ref().is_some_and(|e| e.is::<PyErr>()) => Ok(e.into()),
        // OSError picks its subclass by the number.
        Error::Io(e) => Ok(match e.raw_os_error() {
            Some(errno) => PyOSError::new_err((errno, message)),
            None => PyOSError::new_err(message),
        }),
        _ => instance(py, "CaeError", &message, &[]),
    }
}

/// An exception that says where in the file.
fn placed(py: Python<'_>, name: &str, message: &str, place: Place, offset: u64) -> PyResult<PyErr> {
    let place = place.to_string().into_pyobject(py)?.into_any();
    let offset = offset.into_pyobject(py)?.into_any();
    instance(py, name, message, &[("place", place), ("offset", offset)])
}

fn argument(py: Python<'_>, message: &str) -> PyResult<PyErr> {
    instance(py, "ArgumentError", message, &[])
}

/// An `ArgumentError`.
pub fn argument_error(py: Python<'_>, message: &str) -> PyErr {
    argument(py, message).unwrap_or_else(|e| e)
}

/// Adds the path to an error of the operating system that lacks it.
pub fn with_path(py: Python<'_>, error: Error, path: &std::path::Path) -> PyErr {
    match error {
        Error::Io(ref e) if e.raw_os_error().is_some() => {
            let text = e.to_string();
            PyOSError::new_err((e.raw_os_error(), text, path.as_os_str().to_owned()))
        }
        other => exception(py, other),
    }
}
