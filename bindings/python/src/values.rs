//! NumPy's memory as slices: the only unsafe code of the crate.

use crate::errors::argument_error;
use pyo3::buffer::{Element, PyBuffer};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// The memory of a C-contiguous array, held for as long as this lives.
pub struct Values<T: Element> {
    buffer: PyBuffer<T>,
}

impl<T: Element> Values<T> {
    /// Takes hold of `array`.
    pub fn get(array: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = array.py();
        let buffer = PyBuffer::get(array).map_err(|e| argument_error(py, &format!("values: {e}")))?;
        // PyO3 0.30 takes `>` for native on little-endian machines; a format without a byte order is beyond doubt.
        if matches!(buffer.format().to_bytes().first(), Some(b'<' | b'>' | b'!')) {
            return Err(argument_error(py, "values are not in native byte order"));
        }
        if !buffer.is_c_contiguous() {
            return Err(argument_error(py, "values are not contiguous in C order"));
        }
        Ok(Values { buffer })
    }

    /// The values.
    #[allow(unsafe_code, reason = "the memory is Python's")]
    pub fn as_slice(&self) -> &[T] {
        match self.buffer.as_slice_ptr() {
            // SAFETY: the buffer is C-contiguous, aligned, of this many elements of the right type, and pinned by the
            // exporter while `self` holds it; every bit pattern is a `T`. As with any NumPy extension, a caller that
            // writes to an array while another thread hands it to a function races with that function: it may see old or
            // new values, of which the library makes one copy a frame, and checks that one.
            Some(p) if self.buffer.item_count() > 0 => unsafe { p.as_ref() },
            _ => &[],
        }
    }
}

/// A new array, which nobody else can see before [`NewArray::into_array`].
pub struct NewArray<'py, T: Element> {
    array: Bound<'py, PyAny>,
    buffer: PyBuffer<T>,
    scalar: bool,
}

impl<'py, T: Element> NewArray<'py, T> {
    /// `numpy.zeros(shape, dtype)`.
    pub fn zeros(py: Python<'py>, shape: &[usize], dtype: &str) -> PyResult<Self> {
        let kwargs = PyDict::new(py);
        kwargs.set_item("dtype", dtype)?;
        // `zeros` asks the system for zeroed pages; they are touched first by the decoder's threads.
        // A buffer without dimensions tells no shape.
        let scalar = shape.is_empty();
        let shape = PyTuple::new(py, if scalar { &[1] } else { shape })?;
        let array = py.import("numpy")?.call_method("zeros", (shape,), Some(&kwargs))?;
        let buffer = PyBuffer::get(&array)?;
        Ok(NewArray { array, buffer, scalar })
    }

    /// The values, to be written.
    #[allow(unsafe_code, reason = "the memory is Python's")]
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        match self.buffer.as_slice_ptr() {
            // SAFETY: as in `Values::as_slice`; the array was made by `zeros`, is writable and initialised, and only `self`
            // knows it.
            Some(mut p) if self.buffer.item_count() > 0 => unsafe { p.as_mut() },
            _ => &mut [],
        }
    }

    /// The array.
    pub fn into_array(self) -> PyResult<Bound<'py, PyAny>> {
        if self.scalar {
            self.array.call_method1("reshape", (PyTuple::empty(self.array.py()),))
        } else {
            Ok(self.array)
        }
    }
}
