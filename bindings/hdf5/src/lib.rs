//! An HDF5 filter that stores each chunk of a dataset as one frame of `cae` (SPEC.md 6.7).
//!
//! `docs/hdf5.md` says what the words of `cd_values` mean and how to use it. Layers: [`words`] (the parameters),
//! [`chunk`] (bytes of a chunk to and from a frame), [`models`] (networks by digest), [`host`] and [`files`] (the HDF5
//! library that called, and the files that it has open), and here the three callbacks.

#[cfg(not(unix))]
compile_error!("the plugin finds the HDF5 library that loaded it by dladdr, which this platform does not have");

mod chunk;
mod dataset;
mod files;
mod host;
mod models;
mod symbols;
mod words;

use host::Hdf5;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use symbols::Hid;

/// Number of the filter, from the range that HDF5 leaves to tests, until one is registered.
const FILTER_ID: c_int = 458;
/// Flag of a call that decodes.
const REVERSE: c_uint = 0x0100;

/// HDF5's description of a filter, `H5Z_class2_t`.
#[repr(C)]
pub struct FilterClass {
    version: c_int,
    id: c_int,
    encoder_present: c_uint,
    decoder_present: c_uint,
    name: *const c_char,
    can_apply: unsafe extern "C" fn(Hid, Hid, Hid) -> c_int,
    set_local: unsafe extern "C" fn(Hid, Hid, Hid) -> c_int,
    filter: unsafe extern "C" fn(c_uint, usize, *const c_uint, usize, *mut usize, *mut *mut c_void) -> usize,
}

// SAFETY: the only pointer is to a constant text.
unsafe impl Sync for FilterClass {}

/// Name of the callback that codes, in errors.
const FILTER: &CStr = c"filter";
const NAME: &CStr = c"cae: error-bounded floating-point arrays";

static CLASS: FilterClass = FilterClass {
    version: 1,
    id: FILTER_ID,
    encoder_present: 1,
    decoder_present: 1,
    name: NAME.as_ptr(),
    can_apply,
    set_local,
    filter,
};

/// Says that this plugin is a filter.
#[unsafe(no_mangle)]
pub extern "C" fn H5PLget_plugin_type() -> c_int {
    0
}

/// The filter.
#[unsafe(no_mangle)]
pub extern "C" fn H5PLget_plugin_info() -> *const c_void {
    (&raw const CLASS).cast()
}

/// Runs a callback's body; what goes wrong, panics too, ends on HDF5's error stack.
fn guarded<T>(what: &CStr, failed: T, body: impl FnOnce(&Hdf5) -> Result<T, String>) -> T {
    let run = || {
        let hdf5 = host::caller()?;
        let message = match catch_unwind(AssertUnwindSafe(|| body(hdf5))) {
            Ok(Ok(value)) => return Some(value),
            Ok(Err(message)) => message,
            Err(_) => "a defect of cae, please report it: panic".to_owned(),
        };
        hdf5.push_error(what, &format!("cae: {message}"));
        if what == FILTER && hdf5.forgets_errors_of_filters() {
            // The only other way to say why. A failure to do so changes nothing.
            let _ = writeln!(std::io::stderr(), "cae: {message}");
        }
        None
    };
    catch_unwind(AssertUnwindSafe(run)).ok().flatten().unwrap_or(failed)
}

/// Whether the dataset's type is one that the filter takes.
unsafe extern "C" fn can_apply(_dcpl: Hid, datatype: Hid, _space: Hid) -> c_int {
    guarded(c"can_apply", -1, |hdf5| match dataset::type_of(hdf5, datatype) {
        Ok(_) => Ok(1),
        Err(message) => {
            hdf5.push_error(c"can_apply", &format!("cae: {message}"));
            Ok(0)
        }
    })
}

/// Puts what decoding a chunk needs behind the user's words.
unsafe extern "C" fn set_local(dcpl: Hid, datatype: Hid, _space: Hid) -> c_int {
    guarded(c"set_local", -1, |hdf5| {
        let given = hdf5.filter_words(dcpl, FILTER_ID)?;
        let words = dataset::describe(hdf5, &given, dcpl, datatype)?;
        hdf5.set_filter_words(dcpl, FILTER_ID, &words)?;
        Ok(0)
    })
}

/// Codes or decodes one chunk; 0 means failure.
unsafe extern "C" fn filter(
    flags: c_uint,
    word_count: usize,
    words: *const c_uint,
    len: usize,
    buffer_len: *mut usize,
    buffer: *mut *mut c_void,
) -> usize {
    guarded(FILTER, 0, |hdf5| {
        if buffer.is_null() || buffer_len.is_null() {
            return Err("HDF5 gave no buffer".into());
        }
        // SAFETY: HDF5 promises a pointer to the buffer's address.
        let old = unsafe { *buffer };
        if old.is_null() || (words.is_null() && word_count > 0) {
            return Err("HDF5 gave no buffer or no parameters".into());
        }
        let words = match word_count {
            0 => &[],
            // SAFETY: HDF5 promises that many parameters, which live as long as this call.
            n => unsafe { std::slice::from_raw_parts(words, n) },
        };
        let parameters = words::Parameters::parse(words)?;
        // SAFETY: HDF5 promises that the buffer holds `len` bytes, which nobody else uses during this call.
        let input = unsafe { std::slice::from_raw_parts(old.cast::<u8>(), len) };
        let new = if flags & REVERSE != 0 {
            let mut out = hdf5.allocate(parameters.local()?.bytes()?)?;
            chunk::decode(&parameters, &|name| hdf5.model(name), input, out.bytes())?;
            out
        } else {
            let coded = chunk::encode(&parameters, &|name| hdf5.model(name), input)?;
            let mut out = hdf5.allocate(coded.len())?;
            out.bytes().copy_from_slice(&coded);
            out
        };
        let (at, new_len) = new.release();
        // SAFETY: the buffer came from the same allocator, and HDF5 leaves it to the filter to replace it.
        unsafe { hdf5.free(old) };
        // SAFETY: not NULL, and HDF5 promises room for both outputs.
        unsafe { *buffer = at };
        // SAFETY: as above.
        unsafe { *buffer_len = new_len };
        Ok(new_len)
    })
}
