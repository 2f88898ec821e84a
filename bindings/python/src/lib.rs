//! The compiled part of the Python package `cae`: files, writers and frames on NumPy's memory. Names, indexing and defaults
//! are Python's part (`python/cae`), which calls nothing here with arguments that it has not made plain.

mod asked;
mod elsewhere;
mod errors;
mod file;
mod frames;
mod interrupt;
mod model;
mod values;
mod writer;

use pyo3::prelude::*;

#[pymodule]
#[pyo3(gil_used = false)]
mod _native {
    use super::*;
    #[pymodule_export]
    use crate::file::{ArrayInfo, File};
    #[pymodule_export]
    use crate::frames::{compress_frame, decompress_frame};
    #[pymodule_export]
    use crate::model::Model;
    #[pymodule_export]
    use crate::writer::{Report, Writer};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("format_version", cae::VERSION)?;
        module.add("has_tract", cfg!(feature = "tract"))
    }
}
