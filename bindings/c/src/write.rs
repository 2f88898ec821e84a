//! Writing a file.

use crate::boundary::{Callers, Failure, Status, call, check_optional, given, optional, place, put, slice, text};
use crate::frame::unknown;
use crate::value::{Bound, Bytes, Report, data_type, guard_policy, preset};
use cae::{ArrayReport, AtomicFile, DataType, Element, ModelId, Region, Source};
use ndarray::ArrayViewD;
use std::ffi::{c_char, c_int, c_void};

/// A file being written. Freed with cae_commit, cae_finish_memory or cae_abandon.
pub struct Writer {
    to: Destination,
    models: Vec<ModelId>,
}

enum Destination {
    File(cae::Writer<AtomicFile>),
    Memory(cae::Writer<Vec<u8>>),
}

const fn passed_between_threads<T: Send>() {}
const _: () = passed_between_threads::<Writer>();

/// Called with the numbers of values done and in all, and the caller's pointer, on the thread that made the call.
pub type Progress = Option<unsafe extern "C" fn(done: u64, total: u64, user: *mut c_void)>;

/// Fetches the box of `extent[d]` values from `start[d]` on, in each of `ndim` dimensions, into `out`, in C order. Called from
/// several threads at one time unless the array is coded with one. Returns 0, or a number that the error message repeats.
pub type Fetch = Option<
    unsafe extern "C" fn(
        ndim: usize,
        start: *const u64,
        extent: *const usize,
        out: *mut c_void,
        user: *mut c_void,
    ) -> c_int,
>;

/// What is asked for one array. Zeros are the defaults.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct ArrayOptions {
    /// The error that is accepted. Default: lossless.
    pub bound: Bound,
    /// For a bound by point: the bound of every point, as many as the array has values. Points whose bound is no positive number
    /// come back bit for bit. NULL for other kinds.
    pub point_bounds: *const f64,
    /// A cae_preset. Default: balanced.
    pub preset: u32,
    /// A value that stands for "missing": it comes back bit for bit and disturbs no neighbor. NULL for none.
    pub fill: *const f64,
    /// One name a dimension; NULL for none.
    pub dim_names: *const *const c_char,
    /// Text of a JSON object; NULL for none.
    pub attributes: *const c_char,
    /// Extent of a frame in each dimension; NULL to leave the choice to the preset.
    pub frame_shape: *const u64,
    /// The model that codes it, as cae_add_model numbered it; 0 for none.
    pub model: u32,
    /// Threads over frames; 0 for one a processor.
    pub threads: usize,
    /// Called as frames are done; NULL for no calls.
    pub progress: Progress,
    /// Passed to `progress`.
    pub progress_user: *mut c_void,
    /// Codes frames without the model where its rounding errors on other machines might break the bound, instead of failing.
    pub fall_back: bool,
}

/// Starts a file that will replace whatever is at `path` when cae_commit succeeds. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cae_create(path: *const c_char, writer: *mut *mut Writer) -> Status {
    call(|| {
        // SAFETY: the caller promises room for a handle, or NULL.
        unsafe { put(writer, std::ptr::null_mut(), "writer") }?;
        // SAFETY: the caller promises text, or NULL.
        let path = unsafe { text(path, "path") }?;
        let started = Writer { to: Destination::File(cae::Writer::create(path)?), models: Vec::new() };
        // SAFETY: as for the first write.
        unsafe { put(writer, Box::into_raw(Box::new(started)), "writer") }
    })
}

/// Starts a file in memory, which cae_finish_memory gives out. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cae_create_memory(writer: *mut *mut Writer) -> Status {
    call(|| {
        // SAFETY: the caller promises room for a handle, or NULL.
        unsafe { put(writer, std::ptr::null_mut(), "writer") }?;
        let started = Writer { to: Destination::Memory(cae::Writer::new(Vec::new())?), models: Vec::new() };
        // SAFETY: as for the first write.
        unsafe { put(writer, Box::into_raw(Box::new(started)), "writer") }
    })
}

/// Adds a decoder, and the encoder that makes its latents if it has one (else NULL and 0), from the bytes of ONNX files; models come
/// before arrays. With `embed` false
/// only the digest is stored, and readers must be given the file. `model` receives the number for cae_array_options. Threads:
/// one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cae_add_model(
    writer: *mut Writer,
    decoder: *const u8,
    decoder_bytes: usize,
    encoder: *const u8,
    encoder_bytes: usize,
    embed: bool,
    model: *mut u32,
) -> Status {
    call(|| {
        // SAFETY: the caller promises a live handle that no other call uses, or NULL.
        let writer = unsafe { place(writer, "writer") }?;
        // SAFETY: the caller promises that many bytes.
        let decoder = unsafe { slice(decoder, decoder_bytes, "decoder") }?;
        // SAFETY: as above.
        let encoder = unsafe { slice(encoder, encoder_bytes, "encoder") }?;
        // SAFETY: the caller promises room for the number, or NULL.
        unsafe { put(model, 0, "model") }?;
        let encoder = Some(encoder).filter(|e| !e.is_empty());
        let id = match &mut writer.to {
            Destination::File(w) => w.add_model(decoder, encoder, embed)?,
            Destination::Memory(w) => w.add_model(decoder, encoder, embed)?,
        };
        let known = writer.models.iter().position(|m| *m == id);
        let index = known.unwrap_or(writer.models.len());
        if known.is_none() {
            writer.models.push(id);
        }
        let number = u32::try_from(index.saturating_add(1)).map_err(|_| Failure::argument("too many models"))?;
        // SAFETY: as for the first write.
        unsafe { put(model, number, "model") }
    })
}

/// Codes an array that is in memory. Every value is decoded with the reader's code and compared with its bound before it is
/// written. `options` and `report` may be NULL. After a failure that is not of an argument the writer must only be freed.
/// Threads: one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cae_add_array(
    writer: *mut Writer,
    name: *const c_char,
    values: *const c_void,
    r#type: u32,
    shape: *const u64,
    ndim: usize,
    options: *const ArrayOptions,
    report: *mut Report,
) -> Status {
    call(|| {
        // SAFETY: the caller promises a live handle that no other call uses, or NULL.
        let writer = unsafe { place(writer, "writer") }?;
        // SAFETY: the caller promises text, or NULL.
        let name = unsafe { text(name, "name") }?;
        // SAFETY: the caller promises that many extents.
        let shape = unsafe { slice(shape, ndim, "shape") }?;
        check_optional(report, "report")?;
        // SAFETY: the caller promises options there whose pointers are as described, or NULL.
        let options = unsafe { optional(options, "options") }?;
        let added = match data_type(r#type)? {
            DataType::F32 => {
                // SAFETY: the caller promises values of this type and shape.
                let view = unsafe { view::<f32>(values.cast(), shape, "values") }?;
                // SAFETY: as for the options.
                unsafe { writer.add(name, &view, options) }
            }
            DataType::F64 => {
                // SAFETY: as above.
                let view = unsafe { view::<f64>(values.cast(), shape, "values") }?;
                // SAFETY: as for the options.
                unsafe { writer.add(name, &view, options) }
            }
            other => return Err(unknown(other)),
        };
        // SAFETY: the caller promises room for the struct, or NULL.
        unsafe { put_report(report, &added?) }
    })
}

/// cae_add_array for an array that need not fit memory: `fetch` is called for the values of each frame, with `user`. Threads: one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cae_add_source(
    writer: *mut Writer,
    name: *const c_char,
    fetch: Fetch,
    user: *mut c_void,
    r#type: u32,
    shape: *const u64,
    ndim: usize,
    options: *const ArrayOptions,
    report: *mut Report,
) -> Status {
    call(|| {
        // SAFETY: the caller promises a live handle that no other call uses, or NULL.
        let writer = unsafe { place(writer, "writer") }?;
        // SAFETY: the caller promises text, or NULL.
        let name = unsafe { text(name, "name") }?;
        // SAFETY: the caller promises that many extents.
        let shape = unsafe { slice(shape, ndim, "shape") }?;
        check_optional(report, "report")?;
        // SAFETY: the caller promises options there whose pointers are as described, or NULL.
        let options = unsafe { optional(options, "options") }?;
        let fetch = fetch.ok_or_else(|| Failure::argument("fetch is NULL"))?;
        let source = Fetched { shape: shape.to_vec(), fetch, user: Callers(user) };
        let added = match data_type(r#type)? {
            // SAFETY: as for the options.
            DataType::F32 => unsafe { writer.add::<f32>(name, &source, options) },
            // SAFETY: as above.
            DataType::F64 => unsafe { writer.add::<f64>(name, &source, options) },
            other => return Err(unknown(other)),
        };
        // SAFETY: the caller promises room for the struct, or NULL.
        unsafe { put_report(report, &added?) }
    })
}

/// Replaces the attributes of an array added before: for what is known only then. Threads: one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cae_set_attributes(
    writer: *mut Writer,
    name: *const c_char,
    attributes: *const c_char,
) -> Status {
    call(|| {
        // SAFETY: the caller promises a live handle that no other call uses, or NULL.
        let writer = unsafe { place(writer, "writer") }?;
        // SAFETY: the caller promises text, or NULL.
        let name = unsafe { text(name, "name") }?;
        // SAFETY: as above.
        let attributes = unsafe { text(attributes, "attributes") }?.to_owned();
        match &mut writer.to {
            Destination::File(w) => w.set_attributes(name, attributes)?,
            Destination::Memory(w) => w.set_attributes(name, attributes)?,
        }
        Ok(())
    })
}

/// Completes the file, reads it back, gives it its name and frees the writer, whether that succeeds or not; no file is left
/// behind by a failure. `bytes`, if not NULL, receives the length of the file. A writer of cae_create_memory is refused before
/// anything is done, and not freed. Threads: one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cae_commit(writer: *mut Writer, bytes: *mut u64) -> Status {
    call(|| {
        // SAFETY: the caller promises a live handle that no other call uses, or NULL.
        if let Destination::Memory(_) = unsafe { given(writer, "writer") }?.to {
            return Err(Failure::argument("the writer writes to memory: cae_finish_memory completes it"));
        }
        if !bytes.is_null() {
            // SAFETY: not NULL; the caller promises room for the number.
            unsafe { put(bytes, 0, "bytes") }?;
        }
        // SAFETY: a handle of this library, by the caller's promise, and not freed before.
        let writer = unsafe { Box::from_raw(writer) };
        if let Destination::File(w) = writer.to {
            let len = w.commit()?;
            if !bytes.is_null() {
                // SAFETY: as for the first write.
                unsafe { put(bytes, len, "bytes") }?;
            }
        }
        Ok(())
    })
}

/// Completes a file in memory and frees the writer, whether that succeeds or not. `bytes` receives the file, freed with
/// cae_free_bytes. NULL and a writer of cae_create are refused before anything is done, and not freed. Threads: one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cae_finish_memory(writer: *mut Writer, bytes: *mut Bytes) -> Status {
    call(|| {
        // SAFETY: the caller promises room for the struct, or NULL.
        unsafe { put(bytes, Bytes::NONE, "bytes") }?;
        // SAFETY: the caller promises a live handle that no other call uses, or NULL.
        if let Destination::File(_) = unsafe { given(writer, "writer") }?.to {
            return Err(Failure::argument("the writer writes to a file: cae_commit completes it"));
        }
        // SAFETY: a handle of this library, by the caller's promise, and not freed before.
        let writer = unsafe { Box::from_raw(writer) };
        if let Destination::Memory(w) = writer.to {
            // SAFETY: as for the first write.
            unsafe { put(bytes, Bytes::new(w.finish()?), "bytes") }?;
        }
        Ok(())
    })
}

/// Frees a writer without completing its file, of which nothing is left; NULL is allowed. Threads: one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cae_abandon(writer: *mut Writer) {
    call(|| {
        if !writer.is_null() {
            // SAFETY: the caller promises a handle that this library made and that was not freed before.
            drop(unsafe { Box::from_raw(writer) });
        }
        Ok(())
    });
}

impl Writer {
    /// # Safety
    /// The pointers in `options` are NULL or as described there.
    unsafe fn add<T: Element>(
        &mut self,
        name: &str,
        source: &dyn Source<T>,
        options: Option<&ArrayOptions>,
    ) -> Result<ArrayReport, Failure> {
        let shape = source.shape();
        let bounds;
        let call_progress;
        let mut asked = cae::ArrayOptions::default();
        if let Some(o) = options {
            asked.bound = o.bound.to_library()?;
            asked.preset = preset(o.preset)?;
            asked.threads = o.threads;
            asked.guard = guard_policy(o.fall_back);
            // SAFETY: the caller's promise.
            asked.fill = unsafe { optional(o.fill, "options.fill") }?.copied();
            if !o.point_bounds.is_null() {
                // SAFETY: the caller's promise: as many as the array has values.
                bounds = unsafe { view::<f64>(o.point_bounds, &shape, "options.point_bounds") }?;
                asked.bounds = Some(&bounds);
            }
            if !o.dim_names.is_null() {
                // SAFETY: the caller's promise: one a dimension.
                for n in unsafe { slice(o.dim_names, shape.len(), "options.dim_names") }? {
                    // SAFETY: the caller's promise.
                    asked.dim_names.push(unsafe { text(*n, "a dimension's name") }?.to_owned());
                }
            }
            if !o.attributes.is_null() {
                // SAFETY: the caller's promise.
                asked.attributes = unsafe { text(o.attributes, "options.attributes") }?.to_owned();
            }
            if !o.frame_shape.is_null() {
                // SAFETY: the caller's promise: one a dimension.
                asked.frame_shape = Some(unsafe { slice(o.frame_shape, shape.len(), "options.frame_shape") }?.to_vec());
            }
            if o.model > 0 {
                let index = usize::try_from(o.model).ok().and_then(|m| m.checked_sub(1));
                let id = index.and_then(|i| self.models.get(i)).copied();
                let missing = || Failure::argument(format!("no model {} was added to this file", o.model));
                asked.model = Some(id.ok_or_else(missing)?);
            }
            if let Some(function) = o.progress {
                let user = Callers(o.progress_user);
                call_progress = move |done, total| {
                    let Callers(user) = user.get();
                    // SAFETY: the caller promises a function that may be called with its pointer.
                    unsafe { function(done, total, user) }
                };
                asked.progress = Some(&call_progress);
            }
        }
        Ok(match &mut self.to {
            Destination::File(w) => w.add_source(name, source, &asked)?,
            Destination::Memory(w) => w.add_source(name, source, &asked)?,
        })
    }
}

/// An array behind a function of the caller's.
struct Fetched {
    shape: Vec<u64>,
    fetch: unsafe extern "C" fn(usize, *const u64, *const usize, *mut c_void, *mut c_void) -> c_int,
    user: Callers,
}

impl<T: Element> Source<T> for Fetched {
    fn shape(&self) -> Vec<u64> {
        self.shape.clone()
    }

    fn read(&self, region: &Region, out: &mut [T]) -> cae::Result<()> {
        let (start, extent) = (region.start.as_ptr(), region.extent.as_ptr());
        // SAFETY: the caller promises a function that fills the box; `out` has room for just its values.
        let code = unsafe { (self.fetch)(region.start.len(), start, extent, out.as_mut_ptr().cast(), self.user.0) };
        if code == 0 { Ok(()) } else { Err(std::io::Error::other(format!("fetch returned {code}")).into()) }
    }
}

/// # Safety
/// `values` is NULL, misaligned or points to as many values as the shape has, which nobody writes to during `'a`.
unsafe fn view<'a, T: Element>(values: *const T, shape: &[u64], name: &str) -> Result<ArrayViewD<'a, T>, Failure> {
    let large = || Failure::argument("the shape has more values than memory can hold");
    let extents = shape.iter().map(|n| usize::try_from(*n)).collect::<Result<Vec<_>, _>>().map_err(|_| large())?;
    let n = extents.iter().try_fold(1usize, |n, e| n.checked_mul(*e)).ok_or_else(large)?;
    // SAFETY: the caller's promise.
    let values = unsafe { slice(values, n, name) }?;
    ArrayViewD::from_shape(extents, values).map_err(|e| Failure::argument(format!("shape {shape:?}: {e}")))
}

/// # Safety
/// `report` is NULL or points to room for the struct.
unsafe fn put_report(report: *mut Report, added: &ArrayReport) -> Result<(), Failure> {
    if report.is_null() {
        return Ok(());
    }
    let needs_model = ["autoencoder", "network"].iter().any(|way| added.chosen.contains_key(way));
    let value = Report::new(added.input_bytes, added.stored_bytes, &added.bound, &added.stats, needs_model);
    // SAFETY: not NULL; the rest is the caller's promise.
    unsafe { put(report, value, "report") }
}
