//! An open file.

use crate::asked::{self, BoundParts};
use crate::elsewhere::FileObject;
use crate::errors::{argument_error, exception, with_path};
use crate::model::{Model, hex};
use crate::values::NewArray;
use cae::{Array, DataType, Element, ReadOptions, Reader, Region, ResolvedBound, Resource};
use pyo3::buffer::Element as BufferElement;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

/// Values that are decoded between two looks for a signal.
const SIGNAL_VALUES: u64 = 1 << 25;

/// What the directory says of one array.
#[pyclass(frozen, get_all, module = "cae._native")]
pub struct ArrayInfo {
    name: String,
    dtype: &'static str,
    shape: Vec<u64>,
    dims: Vec<String>,
    attributes: String,
    bound: BoundParts,
    frame_shape: Vec<usize>,
    frames: u64,
    stored_bytes: u64,
    model: Option<usize>,
}

/// A damaged frame: its index, the start and extent of what it held, and what is wrong.
type Damage = (u64, Vec<u64>, Vec<usize>, String);

/// An open file; arrays are known by their index.
#[pyclass(frozen, module = "cae._native")]
pub struct File {
    reader: RwLock<Option<Arc<Reader<'static>>>>,
    array_bytes: u64,
}

#[pymethods]
impl File {
    /// Maps the file at `path`, or reads it into memory.
    #[staticmethod]
    #[pyo3(signature = (path, mmap, limits, threads, model_dirs, models))]
    fn open(
        py: Python<'_>,
        path: PathBuf,
        mmap: bool,
        limits: HashMap<String, u64>,
        threads: usize,
        model_dirs: Vec<PathBuf>,
        models: Vec<Bound<'_, Model>>,
    ) -> PyResult<Self> {
        let options = read_options(py, &limits, threads, model_dirs, &models)?;
        let array_bytes = options.limits.array_bytes;
        let reader = py.detach(|| {
            if mmap { Reader::open_with(&path, options) } else { Reader::from_owner(std::fs::read(&path)?, options) }
        });
        let reader = reader.map_err(|e| with_path(py, e, &path))?;
        Ok(File { reader: RwLock::new(Some(Arc::new(reader))), array_bytes })
    }

    /// Reads the bytes of a whole file, without a copy.
    #[staticmethod]
    #[pyo3(signature = (data, limits, threads, model_dirs, models))]
    fn from_bytes(
        py: Python<'_>,
        data: PyBackedBytes,
        limits: HashMap<String, u64>,
        threads: usize,
        model_dirs: Vec<PathBuf>,
        models: Vec<Bound<'_, Model>>,
    ) -> PyResult<Self> {
        let options = read_options(py, &limits, threads, model_dirs, &models)?;
        let array_bytes = options.limits.array_bytes;
        let reader = Reader::from_owner(data, options).map_err(|e| exception(py, e))?;
        Ok(File { reader: RwLock::new(Some(Arc::new(reader))), array_bytes })
    }

    /// Reads through a file object, as far as it is asked for.
    #[staticmethod]
    #[pyo3(signature = (source, limits, threads, model_dirs, models))]
    fn from_object(
        py: Python<'_>,
        source: Py<PyAny>,
        limits: HashMap<String, u64>,
        threads: usize,
        model_dirs: Vec<PathBuf>,
        models: Vec<Bound<'_, Model>>,
    ) -> PyResult<Self> {
        let options = read_options(py, &limits, threads, model_dirs, &models)?;
        let array_bytes = options.limits.array_bytes;
        let reader = py.detach(|| Reader::from_read_at(FileObject::new(source), options));
        let reader = reader.map_err(|e| exception(py, e))?;
        Ok(File { reader: RwLock::new(Some(Arc::new(reader))), array_bytes })
    }

    /// Lets go of the file; calls that run go on.
    fn close(&self) {
        self.reader.write().unwrap_or_else(PoisonError::into_inner).take();
    }

    #[getter]
    fn closed(&self) -> bool {
        self.reader.read().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    #[getter]
    fn file_len(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.reader(py)?.file_len())
    }

    /// The arrays in the order of the file.
    fn arrays(&self, py: Python<'_>) -> PyResult<Vec<ArrayInfo>> {
        Ok(self.reader(py)?.arrays().map(|a| info(&a)).collect())
    }

    /// Digest and stored length of each model.
    fn models(&self, py: Python<'_>) -> PyResult<Vec<(String, u64)>> {
        Ok(self.reader(py)?.models().map(|m| (hex(&m.digest), m.len)).collect())
    }

    /// The ONNX bytes of a model.
    fn model_bytes<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyBytes>> {
        let reader = self.reader(py)?;
        let bytes = py.detach(|| reader.model_bytes(index)).map_err(|e| exception(py, e))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Decodes a box of an array.
    fn read<'py>(
        &self,
        py: Python<'py>,
        index: usize,
        start: Vec<u64>,
        extent: Vec<usize>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let reader = self.reader(py)?;
        let region = Region { start, extent };
        match array(py, &reader, index)?.data_type() {
            DataType::F64 => self.read_as::<f64>(py, &reader, index, &region),
            _ => self.read_as::<f32>(py, &reader, index, &region),
        }
    }

    /// Decodes every frame of an array: the damaged ones, and a digest of the values.
    fn verify(&self, py: Python<'_>, index: usize) -> PyResult<(Vec<Damage>, u32)> {
        let reader = self.reader(py)?;
        let array = array(py, &reader, index)?;
        let (bad, digest) = py.detach(|| array.verify()).map_err(|e| exception(py, e))?;
        let bad = bad.into_iter().map(|b| (b.frame, b.region.start, b.region.extent, b.error.to_string()));
        Ok((bad.collect(), digest))
    }
}

impl File {
    /// What reads it, unless it is closed.
    pub fn reader(&self, py: Python<'_>) -> PyResult<Arc<Reader<'static>>> {
        let reader = self.reader.read().unwrap_or_else(PoisonError::into_inner).clone();
        reader.ok_or_else(|| argument_error(py, "the file is closed"))
    }

    fn read_as<'py, T: Element + BufferElement>(
        &self,
        py: Python<'py>,
        reader: &Reader<'static>,
        index: usize,
        region: &Region,
    ) -> PyResult<Bound<'py, PyAny>> {
        let array = array(py, reader, index)?;
        let wanted = (region.len() as u64).saturating_mul(size_of::<T>() as u64);
        if wanted > self.array_bytes {
            let (resource, allowed) = (Resource::ArrayBytes, self.array_bytes);
            return Err(exception(py, cae::Error::Limit { resource, wanted, allowed }));
        }
        let mut new = NewArray::<T>::zeros(py, &region.extent, asked::dtype(array.data_type()))?;
        let mut out = new.as_mut_slice();
        for part in parts(region, array.frame_shape()) {
            let (now, later) = out.split_at_mut(part.len().min(out.len()));
            py.detach(|| array.read_into(&part, now)).map_err(|e| exception(py, e))?;
            py.check_signals()?;
            out = later;
        }
        new.into_array()
    }
}

/// `region` cut along its first dimension, between frames, so that each part takes a moment.
fn parts(region: &Region, frame_shape: &[usize]) -> Vec<Region> {
    let (Some(rows), Some(first), Some(frame)) =
        (region.extent.first(), region.start.first(), frame_shape.first().filter(|f| **f > 0))
    else {
        return vec![region.clone()];
    };
    let frame = *frame as u64;
    let row = (region.len() as u64).checked_div(*rows as u64).unwrap_or(0).max(1);
    let layer = row.saturating_mul(frame);
    let layers = SIGNAL_VALUES.checked_div(layer).unwrap_or(0).max(1);
    let step = layers.saturating_mul(frame);
    let end = first.saturating_add(*rows as u64);
    let mut parts = Vec::new();
    let mut from = *first;
    loop {
        // The next multiple of a frame's extent that is at least `step` further down.
        let below = from.checked_div(frame).unwrap_or(0).saturating_mul(frame);
        let to = below.saturating_add(step).min(end);
        let mut part = region.clone();
        if let (Some(s), Some(e)) = (part.start.first_mut(), part.extent.first_mut()) {
            *s = from;
            *e = usize::try_from(to.saturating_sub(from)).unwrap_or(0);
        }
        parts.push(part);
        from = to;
        if from >= end {
            return parts;
        }
    }
}

fn read_options(
    py: Python<'_>,
    limits: &HashMap<String, u64>,
    threads: usize,
    model_dirs: Vec<PathBuf>,
    models: &[Bound<'_, Model>],
) -> PyResult<ReadOptions> {
    let mut options = ReadOptions::default();
    options.limits = asked::limits(py, limits)?;
    options.threads = threads;
    options.model_dirs = model_dirs;
    options.decoders = models.iter().map(Bound::get).map(|m| (m.digest, Arc::clone(&m.decoder))).collect();
    Ok(options)
}

/// The array of this index.
pub fn array<'r>(py: Python<'_>, reader: &'r Reader<'static>, index: usize) -> PyResult<Array<'r>> {
    reader.arrays().nth(index).ok_or_else(|| argument_error(py, "no array has this index"))
}

fn info(array: &Array<'_>) -> ArrayInfo {
    ArrayInfo {
        name: array.name().to_owned(),
        dtype: asked::dtype(array.data_type()),
        shape: array.shape().to_vec(),
        dims: array.dim_names().to_vec(),
        attributes: array.attributes().to_owned(),
        bound: asked::parts(&ResolvedBound { asked: array.bound(), tolerance: array.tolerance() }),
        frame_shape: array.frame_shape().to_vec(),
        frames: array.frame_count(),
        stored_bytes: array.stored_bytes(),
        model: array.model(),
    }
}
