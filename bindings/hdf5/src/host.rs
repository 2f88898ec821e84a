//! The HDF5 library that called.
//!
//! A process can hold several, each with its own identifiers and allocator: h5py's wheel brings one, netCDF another. Linking the
//! plugin with any of them would be wrong in the others' hands, and global symbol lookup does not see a library that was loaded
//! privately, as Python's are. So the plugin looks at the address that its callback returns to, asks the dynamic linker which file that
//! is, and takes the functions from there.

use crate::files::Files;
use crate::symbols::{Hid, Symbols, symbol};
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::sync::{LazyLock, Mutex, PoisonError};

type Push = unsafe extern "C" fn(Hid, *const c_char, *const c_char, c_uint, Hid, Hid, Hid, *const c_char, ...) -> c_int;
type GetFilter =
    unsafe extern "C" fn(Hid, c_int, *mut c_uint, *mut usize, *mut c_uint, usize, *mut c_char, *mut c_uint) -> c_int;
type GetFilterAt =
    unsafe extern "C" fn(Hid, c_uint, *mut c_uint, *mut usize, *mut c_uint, usize, *mut c_char, *mut c_uint) -> c_int;

/// Functions of one HDF5 library.
pub struct Hdf5 {
    allocate: Option<unsafe extern "C" fn(usize, bool) -> *mut c_void>,
    free: Option<unsafe extern "C" fn(*mut c_void) -> c_int>,
    errors: Option<Errors>,
    properties: Option<Properties>,
    files: Option<Files>,
    version: (c_uint, c_uint, c_uint),
}

/// What takes part in HDF5's error stack.
struct Errors {
    push: Push,
    class: *const Hid,
    major: *const Hid,
    minor: *const Hid,
}

/// What `set_local` asks about a dataset.
struct Properties {
    equal: unsafe extern "C" fn(Hid, Hid) -> c_int,
    floats: [*const Hid; 4],
    get_filter: GetFilter,
    get_filter_at: GetFilterAt,
    modify_filter: unsafe extern "C" fn(Hid, c_int, c_uint, usize, *const c_uint) -> c_int,
    get_chunk: unsafe extern "C" fn(Hid, c_int, *mut u64) -> c_int,
    fill_defined: unsafe extern "C" fn(Hid, *mut c_int) -> c_int,
    fill_time: unsafe extern "C" fn(Hid, *mut c_int) -> c_int,
    fill_value: unsafe extern "C" fn(Hid, Hid, *mut c_void) -> c_int,
}

// SAFETY: addresses of functions and of variables that HDF5 sets when it starts, before it can call a filter.
unsafe impl Send for Hdf5 {}
// SAFETY: as above.
unsafe impl Sync for Hdf5 {}

/// The library whose code called the plugin.
pub fn caller() -> Option<&'static Hdf5> {
    static KNOWN: LazyLock<Mutex<HashMap<usize, &'static Hdf5>>> = LazyLock::new(Mutex::default);
    let image = calling_image()?;
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    Some(*known.entry(image.base).or_insert_with(|| Box::leak(Box::new(Hdf5::of(&image)))))
}

/// A file that the dynamic linker has mapped.
struct Image {
    base: usize,
    file: CString,
}

fn image_of(address: *const c_void) -> Option<Image> {
    let mut info = libc::Dl_info {
        dli_fname: std::ptr::null(),
        dli_fbase: std::ptr::null_mut(),
        dli_sname: std::ptr::null(),
        dli_saddr: std::ptr::null_mut(),
    };
    // SAFETY: any address may be asked about, and `info` has room for the answer.
    let found = unsafe { libc::dladdr(address, &raw mut info) };
    if found == 0 || info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: the linker's text, which lives as long as the image, whose code is running.
    let file = unsafe { CStr::from_ptr(info.dli_fname) }.to_owned();
    Some(Image { base: info.dli_fbase.addr(), file })
}

/// The first image up the stack that is not this plugin.
fn calling_image() -> Option<Image> {
    struct Search {
        own: usize,
        found: Option<Image>,
    }
    type Step = extern "C" fn(*mut c_void, *mut c_void) -> c_int;
    unsafe extern "C" {
        /// Part of every platform's unwinder, which the standard library links.
        fn _Unwind_Backtrace(step: Step, search: *mut c_void) -> c_int;
        fn _Unwind_GetIP(context: *mut c_void) -> usize;
    }
    extern "C" fn step(context: *mut c_void, search: *mut c_void) -> c_int {
        const GO_ON: c_int = 0;
        const STOP: c_int = 4;
        // SAFETY: the unwinder gives the context of a frame for this call.
        let address = unsafe { _Unwind_GetIP(context) };
        // SAFETY: the address that `calling_image` passed, of a value that outlives the walk and that nothing else uses.
        let search = unsafe { &mut *search.cast::<Search>() };
        match image_of(std::ptr::without_provenance(address)) {
            Some(image) if image.base == search.own => GO_ON,
            image => {
                search.found = image;
                STOP
            }
        }
    }
    let own = image_of(calling_image as *const c_void)?.base;
    let mut search = Search { own, found: None };
    // SAFETY: `step` has the type that the unwinder calls, and `search` lives until the walk ends.
    unsafe { _Unwind_Backtrace(step, (&raw mut search).cast()) };
    search.found
}

impl Hdf5 {
    fn of(image: &Image) -> Hdf5 {
        let s = Symbols::of(&image.file);
        let mut version = (0, 0, 0);
        let get_version: Option<unsafe extern "C" fn(*mut c_uint, *mut c_uint, *mut c_uint) -> c_int> =
            symbol!(s, c"H5get_libversion");
        if let Some(get) = get_version {
            // SAFETY: room for three numbers.
            unsafe { get(&raw mut version.0, &raw mut version.1, &raw mut version.2) };
        }
        let modern = version >= (1, 10, 0);
        Hdf5 {
            allocate: symbol!(s, c"H5allocate_memory"),
            free: symbol!(s, c"H5free_memory"),
            errors: modern.then(|| Errors::of(&s)).flatten(),
            properties: modern.then(|| Properties::of(&s)).flatten(),
            files: modern.then(|| Files::of(&s)).flatten(),
            version,
        }
    }

    /// Puts an error on HDF5's stack, where its tools and h5py find it.
    pub fn push_error(&self, function: &CStr, message: &str) {
        let Some(e) = &self.errors else { return };
        let message = CString::new(message.replace('\0', " ")).unwrap_or_default();
        // SAFETY: HDF5 set the variable before it called.
        let class = unsafe { *e.class };
        // SAFETY: as above.
        let major = unsafe { *e.major };
        // SAFETY: as above.
        let minor = unsafe { *e.minor };
        let (file, format) = (c"cae-hdf5".as_ptr(), c"%s".as_ptr());
        // SAFETY: the default stack, texts that HDF5 copies, and one text for the one conversion.
        unsafe { (e.push)(0, file, function.as_ptr(), 0, class, major, minor, format, message.as_ptr()) };
    }

    /// Whether what a filter puts on the error stack while it codes a chunk is lost: newer libraries put the stack back as it was.
    pub fn forgets_errors_of_filters(&self) -> bool {
        self.errors.is_none() || self.version >= (1, 14, 5)
    }

    /// The bytes of the model of this name, if an open file has them.
    pub fn model(&self, name: &str) -> Option<Vec<u8>> {
        self.files.as_ref()?.model(name)
    }

    /// Memory that HDF5 can free, all zero.
    pub fn allocate(&self, len: usize) -> Result<Buffer<'_>, String> {
        let at = match (self.allocate, self.free) {
            // SAFETY: any length may be asked for.
            (Some(allocate), Some(_)) => unsafe { allocate(len, true) },
            // A program that holds HDF5 and hides its symbols; there both functions are those of C.
            // SAFETY: as above.
            _ => unsafe { libc::calloc(len, 1) },
        };
        if at.is_null() { Err(format!("no memory for {len} bytes")) } else { Ok(Buffer { hdf5: self, at, len }) }
    }

    /// Frees memory of this library.
    ///
    /// # Safety
    /// `at` came from this library's allocator and is not used afterwards.
    pub unsafe fn free(&self, at: *mut c_void) {
        match (self.allocate, self.free) {
            (Some(_), Some(free)) => {
                // SAFETY: the caller's promise.
                unsafe { free(at) };
            }
            // SAFETY: the caller's promise; see `allocate`.
            _ => unsafe { libc::free(at) },
        }
    }

    fn properties(&self) -> Result<&Properties, String> {
        let (a, b, c) = self.version;
        let wanted = "1.10 or later with its functions visible is needed to create datasets";
        self.properties.as_ref().ok_or_else(|| format!("HDF5 {a}.{b}.{c}: {wanted}"))
    }

    /// Which of `F32LE`, `F32BE`, `F64LE` and `F64BE` a datatype is.
    pub fn float_type(&self, datatype: Hid) -> Result<Option<usize>, String> {
        let p = self.properties()?;
        Ok(p.floats.iter().position(|float| {
            // SAFETY: HDF5 set the variable before it called.
            let float = unsafe { **float };
            // SAFETY: two identifiers of this library.
            unsafe { (p.equal)(datatype, float) > 0 }
        }))
    }

    /// The words that were given for filter `id`.
    pub fn filter_words(&self, dcpl: Hid, id: c_int) -> Result<Vec<u32>, String> {
        let p = self.properties()?;
        let (mut flags, mut words, mut config) = (0, [0u32; 64], 0);
        let mut n = words.len();
        // SAFETY: `n` says how many words there is room for; no name is asked for.
        let status = unsafe {
            (p.get_filter)(
                dcpl,
                id,
                &raw mut flags,
                &raw mut n,
                words.as_mut_ptr(),
                0,
                std::ptr::null_mut(),
                &raw mut config,
            )
        };
        let given = words.get(..n).ok_or_else(|| format!("{n} parameters, at most {} are possible", words.len()))?;
        if status < 0 { Err("HDF5 does not say what the filter's parameters are".into()) } else { Ok(given.to_vec()) }
    }

    /// The filter that sees the values first.
    pub fn first_filter(&self, dcpl: Hid) -> Result<c_int, String> {
        let p = self.properties()?;
        let (mut flags, mut n, mut config) = (0, 0, 0);
        let (none, no_name) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: `n` says that there is room for no words; no name is asked for.
        let id = unsafe { (p.get_filter_at)(dcpl, 0, &raw mut flags, &raw mut n, none, 0, no_name, &raw mut config) };
        if id < 0 { Err("HDF5 does not say which filters there are".into()) } else { Ok(id) }
    }

    /// Replaces the words of filter `id`, which becomes mandatory: what it refuses must not be stored some other way in silence.
    pub fn set_filter_words(&self, dcpl: Hid, id: c_int, words: &[u32]) -> Result<(), String> {
        const MANDATORY: c_uint = 0;
        let p = self.properties()?;
        // SAFETY: the number of words goes with them.
        let status = unsafe { (p.modify_filter)(dcpl, id, MANDATORY, words.len(), words.as_ptr()) };
        if status < 0 { Err("HDF5 does not take the filter's parameters".into()) } else { Ok(()) }
    }

    /// The extents of a chunk.
    pub fn chunk(&self, dcpl: Hid) -> Result<Vec<u64>, String> {
        const RANK: usize = 32;
        let p = self.properties()?;
        let mut extents = [0u64; RANK];
        // SAFETY: room for as many extents as HDF5 knows.
        let n = unsafe { (p.get_chunk)(dcpl, 32, extents.as_mut_ptr()) };
        let n = usize::try_from(n).map_err(|_| "the dataset has no chunks")?;
        extents.get(..n).map(<[u64]>::to_vec).ok_or_else(|| format!("a chunk of {n} dimensions"))
    }

    /// The bytes of the fill value that the dataset's creator gave, in the dataset's type, and whether HDF5 writes it where no values
    /// are.
    pub fn fill(&self, dcpl: Hid, datatype: Hid) -> Result<Option<([u8; 8], bool)>, String> {
        const GIVEN: c_int = 2;
        const NEVER: c_int = 1;
        let p = self.properties()?;
        let (mut defined, mut time, mut value) = (0, 0, [0u8; 8]);
        // SAFETY: room for the answer.
        if unsafe { (p.fill_defined)(dcpl, &raw mut defined) } < 0 {
            return Err("HDF5 does not say what the fill value is".into());
        }
        if defined != GIVEN {
            return Ok(None);
        }
        // SAFETY: room for the answer.
        let timed = unsafe { (p.fill_time)(dcpl, &raw mut time) };
        // SAFETY: the type is of 4 or 8 bytes, as was checked before, so that the value has room.
        let valued = unsafe { (p.fill_value)(dcpl, datatype, value.as_mut_ptr().cast()) };
        if timed < 0 || valued < 0 {
            return Err("HDF5 does not say what the fill value is".into());
        }
        Ok(Some((value, time != NEVER)))
    }
}

impl Errors {
    fn of(s: &Symbols) -> Option<Errors> {
        Some(Errors {
            push: symbol!(s, c"H5Epush2")?,
            class: symbol!(s, c"H5E_ERR_CLS_g")?,
            major: symbol!(s, c"H5E_PLINE_g")?,
            minor: symbol!(s, c"H5E_CANTFILTER_g")?,
        })
    }
}

impl Properties {
    fn of(s: &Symbols) -> Option<Properties> {
        Some(Properties {
            equal: symbol!(s, c"H5Tequal")?,
            floats: [
                symbol!(s, c"H5T_IEEE_F32LE_g")?,
                symbol!(s, c"H5T_IEEE_F32BE_g")?,
                symbol!(s, c"H5T_IEEE_F64LE_g")?,
                symbol!(s, c"H5T_IEEE_F64BE_g")?,
            ],
            get_filter: symbol!(s, c"H5Pget_filter_by_id2")?,
            get_filter_at: symbol!(s, c"H5Pget_filter2")?,
            modify_filter: symbol!(s, c"H5Pmodify_filter")?,
            get_chunk: symbol!(s, c"H5Pget_chunk")?,
            fill_defined: symbol!(s, c"H5Pfill_value_defined")?,
            fill_time: symbol!(s, c"H5Pget_fill_time")?,
            fill_value: symbol!(s, c"H5Pget_fill_value")?,
        })
    }
}

/// Memory of an HDF5 library.
pub struct Buffer<'a> {
    hdf5: &'a Hdf5,
    at: *mut c_void,
    len: usize,
}

impl Buffer<'_> {
    /// All of it.
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: `allocate` asked for this many bytes, all zero, and nobody else has the address.
        unsafe { std::slice::from_raw_parts_mut(self.at.cast(), self.len) }
    }

    /// Gives it to HDF5: address and length.
    pub fn release(self) -> (*mut c_void, usize) {
        let given = (self.at, self.len);
        std::mem::forget(self);
        given
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        // SAFETY: the library's own memory, which was not released.
        unsafe { self.hdf5.free(self.at) };
    }
}
