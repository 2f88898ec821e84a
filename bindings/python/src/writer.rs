//! A file being written, to a path or to memory.

use crate::asked::{self, BoundParts};
use crate::errors::{argument_error, exception, with_path};
use crate::file::{File, array};
use crate::interrupt::{Watch, listening};
use crate::model::Model;
use crate::values::Values;
use cae::{
    ArrayOptions, ArrayReport, AtomicFile, DataType, Element, Error, ModelId, Region, Result as CaeResult, Source,
    Writer as CaeWriter,
};
use ndarray::ArrayViewD;
use pyo3::buffer::Element as BufferElement;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// What became of one array.
#[pyclass(frozen, get_all, module = "cae._native")]
pub struct Report {
    input_bytes: u64,
    stored_bytes: u64,
    bound: BoundParts,
    max_error: f64,
    max_error_over_bound: f64,
    rmse: f64,
    psnr: f64,
    chosen: Vec<(String, u64)>,
    guard: Option<f32>,
    fell_back: u64,
}

enum Target {
    File(CaeWriter<AtomicFile>),
    Memory(CaeWriter<Vec<u8>>),
}

struct Open {
    target: Target,
    models: Vec<ModelId>,
}

/// A file being written. Once a call failed for any reason but its arguments, or ended, nothing more can be done with it.
#[pyclass(frozen, module = "cae._native")]
pub struct Writer {
    open: Mutex<Option<Open>>,
}

/// What is asked for one array, as Python gives it.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Asked {
    dtype: String,
    shape: Vec<u64>,
    kind: String,
    value: Option<f64>,
    preset: String,
    fill: Option<f64>,
    dims: Vec<String>,
    attributes: String,
    frame_shape: Option<Vec<u64>>,
    model: Option<usize>,
    guard: String,
    threads: usize,
}

#[pymethods]
impl Writer {
    /// Starts a file that appears at `path` when it is complete.
    #[staticmethod]
    fn create(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let writer = CaeWriter::create(&path).map_err(|e| with_path(py, e, &path))?;
        Ok(Writer::of(Target::File(writer)))
    }

    /// Starts a file in memory.
    #[staticmethod]
    fn in_memory(py: Python<'_>) -> PyResult<Self> {
        Ok(Writer::of(Target::Memory(CaeWriter::new(Vec::new()).map_err(|e| exception(py, e))?)))
    }

    /// Adds a model; its index.
    fn add_model(&self, py: Python<'_>, model: &Bound<'_, Model>, embed: bool) -> PyResult<usize> {
        let model = model.get();
        self.with(py, |open| {
            let (decoder, encoder) = (model.decoder_bytes.as_slice(), model.encoder_bytes.as_deref());
            let id = py.detach(|| match &mut open.target {
                Target::File(w) => w.add_model(decoder, encoder, embed),
                Target::Memory(w) => w.add_model(decoder, encoder, embed),
            });
            open.models.push(id.map_err(Failed::Library)?);
            Ok(open.models.len().saturating_sub(1))
        })
    }

    /// Codes an array. `values` is a C-contiguous array, or a function of the start and extent of a box that gives one.
    /// `bounds` is the same of a bound for each point.
    #[pyo3(signature = (name, values, asked, bounds, progress))]
    fn add(
        &self,
        py: Python<'_>,
        name: &str,
        values: &Bound<'_, PyAny>,
        asked: Asked,
        bounds: Option<&Bound<'_, PyAny>>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Report> {
        match asked::data_type(py, &asked.dtype)? {
            DataType::F64 => self.add_as::<f64>(name, values, &asked, bounds, progress.as_ref()),
            _ => self.add_as::<f32>(name, values, &asked, bounds, progress.as_ref()),
        }
    }

    /// Adds a model that another file names, unless it is there.
    fn copy_model(&self, py: Python<'_>, file: &Bound<'_, File>, index: usize) -> PyResult<()> {
        let reader = file.get().reader(py)?;
        self.with(py, |open| {
            let copied = py.detach(|| match &mut open.target {
                Target::File(w) => w.copy_model(&reader, index),
                Target::Memory(w) => w.copy_model(&reader, index),
            });
            copied.map_err(Failed::Library)
        })
    }

    /// Adds an array of another file as it is stored there.
    fn copy_array(&self, py: Python<'_>, name: &str, file: &Bound<'_, File>, index: usize) -> PyResult<()> {
        let reader = file.get().reader(py)?;
        let array = array(py, &reader, index)?;
        self.with(py, |open| {
            let copied = py.detach(|| match &mut open.target {
                Target::File(w) => w.copy_array(name, &array),
                Target::Memory(w) => w.copy_array(name, &array),
            });
            copied.map_err(Failed::Library)
        })
    }

    /// Completes the file: its length, and its bytes if it was written to memory.
    fn finish<'py>(&self, py: Python<'py>) -> PyResult<(u64, Option<Bound<'py, PyBytes>>)> {
        let open = self.lock().take();
        let open = open.ok_or_else(|| argument_error(py, "the writer is closed"))?;
        match open.target {
            Target::File(w) => Ok((py.detach(|| w.commit()).map_err(|e| exception(py, e))?, None)),
            Target::Memory(w) => {
                let bytes = w.finish().map_err(|e| exception(py, e))?;
                Ok((bytes.len() as u64, Some(PyBytes::new(py, &bytes))))
            }
        }
    }

    /// Throws away what was written.
    fn abandon(&self) {
        self.lock().take();
    }
}

/// Why a call failed.
enum Failed {
    Library(Error),
    Python(PyErr),
}

impl Writer {
    fn of(target: Target) -> Self {
        Writer { open: Mutex::new(Some(Open { target, models: Vec::new() })) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `call` on the writer, which is out of reach of other threads meanwhile and stays so unless the call succeeded or
    /// had wrong arguments.
    fn with<R>(&self, py: Python<'_>, call: impl FnOnce(&mut Open) -> Result<R, Failed>) -> PyResult<R> {
        let open = self.lock().take();
        let mut open = open.ok_or_else(|| argument_error(py, "the writer is closed, failed or in use"))?;
        let result = call(&mut open);
        if matches!(result, Ok(_) | Err(Failed::Library(Error::Argument(_)))) {
            *self.lock() = Some(open);
        }
        result.map_err(|failed| match failed {
            Failed::Library(error) => exception(py, error),
            Failed::Python(error) => error,
        })
    }

    fn add_as<T: Element + BufferElement>(
        &self,
        name: &str,
        values: &Bound<'_, PyAny>,
        asked: &Asked,
        bounds: Option<&Bound<'_, PyAny>>,
        progress: Option<&Py<PyAny>>,
    ) -> PyResult<Report> {
        let py = values.py();
        let watch = Watch::default();
        let source = Given::<T>::of(values, &asked.shape, &watch)?;
        let bounds = bounds.map(|b| Given::<f64>::of(b, &asked.shape, &watch)).transpose()?;
        let advance = |done, total| watch.advance(done, total);
        let mut options = ArrayOptions {
            bound: asked::bound(py, &asked.kind, asked.value)?,
            bounds: bounds.as_ref().map(|b| b as &dyn Source<f64>),
            preset: asked::preset(py, &asked.preset)?,
            fill: asked.fill,
            dim_names: asked.dims.clone(),
            attributes: asked.attributes.clone(),
            frame_shape: asked.frame_shape.clone(),
            model: None,
            threads: asked.threads,
            guard: asked::guard(py, &asked.guard)?,
            progress: Some(&advance),
        };
        self.with(py, |open| {
            if let Some(index) = asked.model {
                let missing = || Failed::Library(cae::ArgumentError::Other("no model has this index".into()).into());
                options.model = Some(*open.models.get(index).ok_or_else(missing)?);
            }
            let added = listening(py, progress, &watch, || match &mut open.target {
                Target::File(w) => add(w, name, &source, &options),
                Target::Memory(w) => add(w, name, &source, &options),
            });
            let report = added.map_err(Failed::Python)?.map_err(Failed::Library)?;
            Ok(report_of(&report))
        })
    }
}

fn add<W: Write, T: Element>(
    writer: &mut CaeWriter<W>,
    name: &str,
    source: &dyn Source<T>,
    options: &ArrayOptions,
) -> CaeResult<ArrayReport> {
    writer.add_source(name, source, options)
}

fn report_of(report: &ArrayReport) -> Report {
    Report {
        input_bytes: report.input_bytes,
        stored_bytes: report.stored_bytes,
        bound: asked::parts(&report.bound),
        max_error: report.stats.max_error,
        max_error_over_bound: report.stats.max_error_over_bound,
        rmse: report.stats.rmse(),
        psnr: report.stats.psnr(),
        chosen: report.chosen.iter().map(|(way, n)| ((*way).to_owned(), *n)).collect(),
        guard: report.guard,
        fell_back: report.fell_back,
    }
}

/// Where the values are.
enum Kept<T: BufferElement> {
    Memory(Values<T>),
    /// A function of start and extent.
    Function(Py<PyAny>),
}

/// An array that Python gave, in memory or box by box.
struct Given<'a, T: BufferElement> {
    kept: Kept<T>,
    shape: &'a [u64],
    watch: &'a Watch,
}

impl<'a, T: Element + BufferElement> Given<'a, T> {
    fn of(values: &Bound<'_, PyAny>, shape: &'a [u64], watch: &'a Watch) -> PyResult<Self> {
        let py = values.py();
        if values.is_callable() {
            return Ok(Given { kept: Kept::Function(values.clone().unbind()), shape, watch });
        }
        let memory = Values::<T>::get(values)?;
        let needed = shape.iter().try_fold(1u64, |n, e| n.checked_mul(*e));
        if needed != Some(memory.as_slice().len() as u64) {
            return Err(argument_error(py, "the values do not fill the shape"));
        }
        Ok(Given { kept: Kept::Memory(memory), shape, watch })
    }

    /// Asks the function for a box.
    fn call(&self, py: Python<'_>, function: &Py<PyAny>, region: &Region, out: &mut [T]) -> PyResult<()> {
        let part = function.call1(py, (region.start.clone(), region.extent.clone()))?;
        let part = Values::<T>::get(part.bind(py))?;
        if part.as_slice().len() != out.len() {
            return Err(argument_error(py, "the source gave another number of values than it was asked for"));
        }
        out.copy_from_slice(part.as_slice());
        Ok(())
    }
}

impl<T: Element + BufferElement> Source<T> for Given<'_, T> {
    fn shape(&self) -> Vec<u64> {
        self.shape.to_vec()
    }

    fn read(&self, region: &Region, out: &mut [T]) -> CaeResult<()> {
        self.watch.check()?;
        match &self.kept {
            Kept::Memory(values) => {
                let fits = |_| cae::ArgumentError::Shape("the array is too large for this machine".into());
                let shape = self.shape.iter().map(|n| usize::try_from(*n)).collect::<Result<Vec<_>, _>>();
                let view = ArrayViewD::from_shape(shape.map_err(fits)?, values.as_slice());
                let view = view.map_err(|e| cae::ArgumentError::Shape(e.to_string()))?;
                view.read(region, out)
            }
            Kept::Function(function) => Python::attach(|py| {
                self.call(py, function, region, out).or_else(|error| {
                    self.watch.raise(error);
                    self.watch.check()
                })
            }),
        }
    }
}
