//! Reading a file.

use crate::boundary::{
    Callers, Failure, Status, call, check, check_optional, given, optional, put, slice, slice_mut, text,
};
use crate::frame::unknown;
use crate::value::{Bound, Bytes, Limits, Type, data_type};
use cae::{Array, DataType, Element, Region};
use std::ffi::{CString, c_char, c_int, c_void};

/// Most dimensions that an array of a file can have.
pub const MAX_DIMS: usize = 8;

/// An open file. Freed with cae_close.
pub struct Reader {
    reader: cae::Reader<'static>,
    texts: Vec<Texts>,
}

const fn shared_by_threads<T: Send + Sync>() {}
const _: () = shared_by_threads::<Reader>();

/// The texts of one array as C wants them.
struct Texts {
    name: CString,
    attributes: CString,
    dim_names: Vec<CString>,
}

/// How a file is read. Zeros are the defaults.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct ReadOptions {
    /// What the file may cost; NULL for the defaults.
    pub limits: *const Limits,
    /// Threads over frames; 0 for one a processor.
    pub threads: usize,
    /// Folders that hold models kept outside of files, each named by its digest: 64 hex digits and ".onnx".
    pub model_folders: *const *const c_char,
    /// How many folders.
    pub model_folder_count: usize,
}

/// One array of a file. The texts live as long as the reader.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct ArrayInfo {
    /// The name, unique in the file.
    pub name: *const c_char,
    /// Text of a JSON object, or empty.
    pub attributes: *const c_char,
    /// Type of the values, a cae_type.
    pub r#type: u32,
    /// Number of dimensions; 0 for a scalar.
    pub ndim: usize,
    /// The extent of each dimension; 0 beyond `ndim`.
    pub shape: [u64; MAX_DIMS],
    /// The extent of a frame in each dimension; 0 beyond `ndim`. Regions made of whole frames read fastest.
    pub frame_shape: [u64; MAX_DIMS],
    /// The name of each dimension; NULL beyond `ndim`, and everywhere if the dimensions have no names.
    pub dim_names: [*const c_char; MAX_DIMS],
    /// Number of values.
    pub values: u64,
    /// Number of frames.
    pub frames: u64,
    /// Bytes of the frames.
    pub stored_bytes: u64,
    /// The bound as the writer was asked for it.
    pub bound: Bound,
    /// The bound as it holds at each point: lossless, absolute or point-wise.
    pub tolerance: Bound,
    /// Index of the model that its frames need; -1 if they need none.
    pub model: i64,
}

/// Opens the file at `path`; `options` may be NULL. Where the platform can, the file is mapped: it must not be truncated
/// or changed while it is open, which could end the process. cae_open_memory has no such hazard. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cae_open(
    path: *const c_char,
    options: *const ReadOptions,
    reader: *mut *mut Reader,
) -> Status {
    call(|| {
        // SAFETY: the caller promises room for a handle, or NULL.
        unsafe { put(reader, std::ptr::null_mut(), "reader") }?;
        // SAFETY: the caller promises text, or NULL.
        let path = unsafe { text(path, "path") }?;
        // SAFETY: the caller promises options there, or NULL.
        let options = unsafe { read_options(options) }?;
        let opened = Reader::new(cae::Reader::open_with(path, options)?)?;
        // SAFETY: as for the first write.
        unsafe { put(reader, Box::into_raw(Box::new(opened)), "reader") }
    })
}

/// Opens a file that is in memory: `len` bytes at `bytes`, which must stay there unchanged until cae_close. `options` may be
/// NULL. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cae_open_memory(
    bytes: *const u8,
    len: usize,
    options: *const ReadOptions,
    reader: *mut *mut Reader,
) -> Status {
    call(|| {
        // SAFETY: the caller promises room for a handle, or NULL.
        unsafe { put(reader, std::ptr::null_mut(), "reader") }?;
        // SAFETY: the caller promises that the bytes outlive the handle, so that no lifetime needs to be kept here.
        let bytes: &'static [u8] = unsafe { slice(bytes, len, "bytes") }?;
        // SAFETY: the caller promises options there, or NULL.
        let options = unsafe { read_options(options) }?;
        let opened = Reader::new(cae::Reader::new_with(bytes, options)?)?;
        // SAFETY: as for the first write.
        unsafe { put(reader, Box::into_raw(Box::new(opened)), "reader") }
    })
}

/// Fetches the bytes of a file from `offset` on, `len` of them, all of which lie within it, to `out`. Called from several threads at
/// one time unless the file is read with one. Returns 0, or a number that the error message repeats.
pub type ReadAt = Option<unsafe extern "C" fn(offset: u64, out: *mut u8, len: usize, user: *mut c_void) -> c_int>;

/// Opens a file of `file_bytes` bytes that is neither mapped nor in memory: `read_at` fetches what is needed of it, with `user`, which
/// is yours and stays valid until cae_close. Opening takes two or three calls, reading one for each frame. `options` may be NULL.
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cae_open_read_at(
    read_at: ReadAt,
    user: *mut c_void,
    file_bytes: u64,
    options: *const ReadOptions,
    reader: *mut *mut Reader,
) -> Status {
    call(|| {
        // SAFETY: the caller promises room for a handle, or NULL.
        unsafe { put(reader, std::ptr::null_mut(), "reader") }?;
        let function = read_at.ok_or_else(|| Failure::argument("read_at is NULL"))?;
        // SAFETY: the caller promises options there, or NULL.
        let options = unsafe { read_options(options) }?;
        let source = Elsewhere { function, user: Callers(user), file_bytes };
        let opened = Reader::new(cae::Reader::from_read_at(source, options)?)?;
        // SAFETY: as for the first write.
        unsafe { put(reader, Box::into_raw(Box::new(opened)), "reader") }
    })
}

/// Frees a reader; NULL is allowed. Threads: one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cae_close(reader: *mut Reader) {
    call(|| {
        if !reader.is_null() {
            // SAFETY: the caller promises a handle that this library made and that was not freed before.
            drop(unsafe { Box::from_raw(reader) });
        }
        Ok(())
    });
}

/// The number of arrays in the file; 0 for NULL. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cae_array_count(reader: *const Reader) -> usize {
    // SAFETY: the caller promises a live handle, or NULL.
    unsafe { given(reader, "reader") }.map_or(0, |r| r.texts.len())
}

/// Writes the index of the array named `name` to `index`. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cae_find_array(reader: *const Reader, name: *const c_char, index: *mut usize) -> Status {
    call(|| {
        // SAFETY: the caller promises a live handle, or NULL.
        let reader = unsafe { given(reader, "reader") }?;
        // SAFETY: the caller promises text, or NULL.
        let name = unsafe { text(name, "name") }?;
        let found = reader.reader.arrays().position(|a| a.name() == name);
        let missing = || Failure::from(cae::Error::from(cae::ArgumentError::NoSuchArray(name.to_owned())));
        // SAFETY: the caller promises room for the index, or NULL.
        unsafe { put(index, found.ok_or_else(missing)?, "index") }
    })
}

/// Writes what is known of array `index`, counted from 0 in the order of the file, to `info`. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cae_describe_array(reader: *const Reader, index: usize, info: *mut ArrayInfo) -> Status {
    call(|| {
        // SAFETY: the caller promises a live handle, or NULL.
        let reader = unsafe { given(reader, "reader") }?;
        let array = reader.array(index)?;
        let texts = reader.texts.get(index).ok_or_else(|| Failure::internal("an array without texts"))?;
        let kind = match array.data_type() {
            DataType::F32 => Type::F32,
            DataType::F64 => Type::F64,
            other => return Err(unknown(other)),
        };
        let value = ArrayInfo {
            name: texts.name.as_ptr(),
            attributes: texts.attributes.as_ptr(),
            r#type: kind as u32,
            ndim: array.shape().len(),
            shape: first_of(array.shape().iter().copied(), 0),
            frame_shape: first_of(array.frame_shape().iter().map(|n| *n as u64), 0),
            dim_names: first_of(texts.dim_names.iter().map(|n| n.as_ptr()), std::ptr::null()),
            values: array.values(),
            frames: array.frame_count(),
            stored_bytes: array.stored_bytes(),
            bound: Bound::asked(array.bound())?,
            tolerance: Bound::resolved(array.tolerance()),
            model: array.model().and_then(|m| i64::try_from(m).ok()).unwrap_or(-1),
        };
        // SAFETY: the caller promises room for the struct, or NULL.
        unsafe { put(info, value, "info") }
    })
}

/// Reads array `index` into `out`, which has room for `out_values` values of `type`: just those of the array. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cae_read(
    reader: *const Reader,
    index: usize,
    r#type: u32,
    out: *mut c_void,
    out_values: usize,
) -> Status {
    call(|| {
        // SAFETY: the caller promises a live handle, or NULL.
        let array = unsafe { given(reader, "reader") }?.array(index)?;
        let ranges: Vec<_> = array.shape().iter().map(|n| 0..*n).collect();
        let region = Region::from_ranges(&ranges)?;
        // SAFETY: the caller promises room for that many values of that type.
        unsafe { read_as(array, &region, r#type, out, out_values, None) }
    })
}

/// Reads a box of array `index`, `extent[d]` values from index `start[d]` on in each of the `ndim` dimensions of the array, into
/// `out`, which has room for `out_values` values of `type`: just those of the box. Only frames that hold some of them are
/// decoded. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cae_read_region(
    reader: *const Reader,
    index: usize,
    ndim: usize,
    start: *const u64,
    extent: *const u64,
    r#type: u32,
    out: *mut c_void,
    out_values: usize,
) -> Status {
    call(|| {
        // SAFETY: the caller promises a live handle, or NULL.
        let array = unsafe { given(reader, "reader") }?.array(index)?;
        // SAFETY: the caller promises that many starts and extents.
        let region = unsafe { region(ndim, start, extent) }?;
        // SAFETY: the caller promises room for that many values of that type.
        unsafe { read_as(array, &region, r#type, out, out_values, None) }
    })
}

/// cae_read_region, but what a damaged frame held becomes NaN, and `damaged` receives the number of such frames. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cae_salvage_region(
    reader: *const Reader,
    index: usize,
    ndim: usize,
    start: *const u64,
    extent: *const u64,
    r#type: u32,
    out: *mut c_void,
    out_values: usize,
    damaged: *mut u64,
) -> Status {
    call(|| {
        // SAFETY: the caller promises a live handle, or NULL.
        let array = unsafe { given(reader, "reader") }?.array(index)?;
        // SAFETY: the caller promises that many starts and extents.
        let region = unsafe { region(ndim, start, extent) }?;
        let mut bad = 0u64;
        check(damaged, "damaged")?;
        // SAFETY: the caller promises room for that many values of that type.
        unsafe { read_as(array, &region, r#type, out, out_values, Some(&mut bad)) }?;
        // SAFETY: the caller promises room for the count, or NULL.
        unsafe { put(damaged, bad, "damaged") }
    })
}

/// Decodes every frame of array `index` and compares it with its checksum and digest. `damaged` receives the number of frames that
/// are damaged, `digest`, if not NULL, the digest of the array. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cae_verify(
    reader: *const Reader,
    index: usize,
    damaged: *mut u64,
    digest: *mut u32,
) -> Status {
    call(|| {
        check(damaged, "damaged")?;
        check_optional(digest, "digest")?;
        // SAFETY: the caller promises a live handle, or NULL.
        let (bad, crc) = unsafe { given(reader, "reader") }?.array(index)?.verify()?;
        if !digest.is_null() {
            // SAFETY: not NULL; the caller promises room for the digest.
            unsafe { put(digest, crc, "digest") }?;
        }
        // SAFETY: the caller promises room for the count, or NULL.
        unsafe { put(damaged, bad.len() as u64, "damaged") }
    })
}

/// The ONNX bytes of the file's model `index`, from the file or a model folder; freed with cae_free_bytes. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cae_model_bytes(reader: *const Reader, index: usize, bytes: *mut Bytes) -> Status {
    call(|| {
        // SAFETY: the caller promises room for the struct, or NULL.
        unsafe { put(bytes, Bytes::NONE, "bytes") }?;
        // SAFETY: the caller promises a live handle, or NULL.
        let reader = unsafe { given(reader, "reader") }?;
        let onnx = reader.reader.model_bytes(index)?.into_owned();
        // SAFETY: as for the first write.
        unsafe { put(bytes, Bytes::new(onnx), "bytes") }
    })
}

/// A file behind a function of the caller's.
struct Elsewhere {
    function: unsafe extern "C" fn(u64, *mut u8, usize, *mut c_void) -> c_int,
    user: Callers,
    file_bytes: u64,
}

impl cae::ReadAt for Elsewhere {
    fn file_len(&self) -> std::io::Result<u64> {
        Ok(self.file_bytes)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> std::io::Result<()> {
        // SAFETY: the caller promises a function that fills as many bytes; `into` has room for just these.
        let code = unsafe { (self.function)(offset, into.as_mut_ptr(), into.len(), self.user.0) };
        if code == 0 { Ok(()) } else { Err(std::io::Error::other(format!("read_at returned {code}"))) }
    }
}

impl Reader {
    fn new(reader: cae::Reader<'static>) -> Result<Reader, Failure> {
        let c_text = |s: &str| CString::new(s).map_err(|_| Failure::internal("a text of the file holds NUL"));
        let texts = |a: Array| {
            let dim_names = a.dim_names().iter().map(|n| c_text(n)).collect::<Result<_, _>>()?;
            Ok(Texts { name: c_text(a.name())?, attributes: c_text(a.attributes())?, dim_names })
        };
        let texts = reader.arrays().map(texts).collect::<Result<_, Failure>>()?;
        Ok(Reader { reader, texts })
    }

    fn array(&self, index: usize) -> Result<Array<'_>, Failure> {
        let count = self.texts.len();
        let missing = || Failure::argument(format!("no array {index} in the file, it has {count}"));
        self.reader.arrays().nth(index).ok_or_else(missing)
    }
}

fn first_of<T: Copy>(items: impl Iterator<Item = T>, rest: T) -> [T; MAX_DIMS] {
    let mut all = [rest; MAX_DIMS];
    for (a, item) in all.iter_mut().zip(items) {
        *a = item;
    }
    all
}

/// # Safety
/// `options` is NULL or points to options whose pointers are NULL or valid.
unsafe fn read_options(options: *const ReadOptions) -> Result<cae::ReadOptions, Failure> {
    let mut asked = cae::ReadOptions::default();
    // SAFETY: the caller's promise.
    let Some(options) = unsafe { optional(options, "options") }? else { return Ok(asked) };
    asked.threads = options.threads;
    // SAFETY: the caller's promise.
    if let Some(limits) = unsafe { optional(options.limits, "options.limits") }? {
        asked.limits = limits.to_library();
    }
    // SAFETY: the caller's promise.
    for folder in unsafe { slice(options.model_folders, options.model_folder_count, "options.model_folders") }? {
        // SAFETY: the caller's promise.
        asked.model_dirs.push(unsafe { text(*folder, "a model folder") }?.into());
    }
    Ok(asked)
}

/// # Safety
/// Each pointer is NULL, misaligned or points to `ndim` numbers.
unsafe fn region(ndim: usize, start: *const u64, extent: *const u64) -> Result<Region, Failure> {
    // SAFETY: the caller's promise.
    let start = unsafe { slice(start, ndim, "start") }?;
    // SAFETY: the caller's promise.
    let extent = unsafe { slice(extent, ndim, "extent") }?;
    let large = |_| Failure::argument("an extent is larger than memory");
    let extent = extent.iter().map(|n| usize::try_from(*n)).collect::<Result<_, _>>().map_err(large)?;
    Ok(Region { start: start.to_vec(), extent })
}

/// # Safety
/// `out` is NULL, misaligned or points to room for `len` values of the type.
unsafe fn read_as(
    array: Array,
    region: &Region,
    kind: u32,
    out: *mut c_void,
    len: usize,
    damaged: Option<&mut u64>,
) -> Result<(), Failure> {
    match data_type(kind)? {
        // SAFETY: the caller's promise.
        DataType::F32 => read_into(array, region, unsafe { slice_mut(out.cast::<f32>(), len, "out") }?, damaged),
        // SAFETY: the caller's promise.
        DataType::F64 => read_into(array, region, unsafe { slice_mut(out.cast::<f64>(), len, "out") }?, damaged),
        other => Err(unknown(other)),
    }
}

fn read_into<T: Element>(
    array: Array,
    region: &Region,
    out: &mut [T],
    damaged: Option<&mut u64>,
) -> Result<(), Failure> {
    match damaged {
        None => array.read_into(region, out)?,
        Some(count) => *count = array.salvage_into(region, out)?.len() as u64,
    }
    Ok(())
}
