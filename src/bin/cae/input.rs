//! Arrays that the command line is given.

use crate::args::Raw;
use crate::failure::Failure;
pub use cae::input::Input;
use cae::{DataType, Source};
use std::path::Path;

/// Finds out what `path` holds; `raw` is what the user said of raw files.
pub fn describe(path: &Path, raw: &Raw) -> Result<Input, Failure> {
    describe_as(path, raw, raw.dtype.map(Into::into))
}

/// The same for values of a known type.
pub fn describe_as(path: &Path, raw: &Raw, data_type: Option<DataType>) -> Result<Input, Failure> {
    Input::describe(path, raw.shape.as_ref().map(|s| s.0.as_slice()), data_type).map_err(Failure::at(path))
}

/// Several arrays as one.
pub fn stack(parts: Vec<Input>) -> Result<Input, Failure> {
    Input::stack(parts).map_err(|e| Failure::usage(e.to_string()))
}

/// Opens bounds of points, binary64 whatever the values are.
pub fn open_bounds(path: &Path, raw: &Raw) -> Result<Box<dyn Source<f64>>, Failure> {
    describe_as(path, raw, Some(DataType::F64))?.open::<f64>().map_err(Failure::at(path))
}

/// Refuses to write over a file that is read.
pub fn not_replaced(read: &Path, written: &Path) -> Result<(), Failure> {
    match (read.canonicalize(), written.canonicalize()) {
        (Ok(a), Ok(b)) if a == b => {
            Err(Failure::usage(format!("{} is read: it cannot be written at once", written.display())))
        }
        _ => Ok(()),
    }
}
