//! Arrays that the command line is given.

use crate::args::{Dtype, Shape};
use crate::failure::Failure;
pub use cae::input::Input;
use std::path::Path;

/// Finds out what `path` holds; `shape` and `dtype` are what the user said of raw files.
pub fn describe(path: &Path, shape: Option<&Shape>, dtype: Option<Dtype>) -> Result<Input, Failure> {
    Input::describe(path, shape.map(|s| s.0.as_slice()), dtype.map(Into::into)).map_err(Failure::at(path))
}
