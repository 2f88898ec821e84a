//! Models kept in HDF5 files: HDF5 does not tell a filter which file it serves, so all files that the calling library has open are asked.
//! A model's bytes have the digest that names them, whichever file they came from.

use crate::symbols::{Hid, Symbols, symbol};
use cae::Limits;
use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};

/// The group that holds models: datasets of bytes, each named by its digest in 64 hexadecimal digits.
const GROUP: &CStr = c"/cae_models";

/// What finding a model takes.
pub struct Files {
    open_objects: unsafe extern "C" fn(Hid, c_uint, usize, *mut Hid) -> isize,
    exists: unsafe extern "C" fn(Hid, *const c_char, Hid) -> c_int,
    open: unsafe extern "C" fn(Hid, *const c_char, Hid) -> Hid,
    close: unsafe extern "C" fn(Hid) -> c_int,
    space: unsafe extern "C" fn(Hid) -> Hid,
    close_space: unsafe extern "C" fn(Hid) -> c_int,
    points: unsafe extern "C" fn(Hid) -> i64,
    read: unsafe extern "C" fn(Hid, Hid, Hid, Hid, Hid, *mut c_void) -> c_int,
    byte: *const Hid,
}

thread_local! {
    /// Whether this thread is reading a model. A hostile file could have that need a model in turn, without end.
    static READING: Cell<bool> = const { Cell::new(false) };
}

impl Files {
    pub fn of(s: &Symbols) -> Option<Files> {
        Some(Files {
            open_objects: symbol!(s, c"H5Fget_obj_ids")?,
            exists: symbol!(s, c"H5Lexists")?,
            open: symbol!(s, c"H5Dopen2")?,
            close: symbol!(s, c"H5Dclose")?,
            space: symbol!(s, c"H5Dget_space")?,
            close_space: symbol!(s, c"H5Sclose")?,
            points: symbol!(s, c"H5Sget_simple_extent_npoints")?,
            read: symbol!(s, c"H5Dread")?,
            byte: symbol!(s, c"H5T_NATIVE_UCHAR_g")?,
        })
    }

    /// The bytes of the first dataset of this name in the group for models of an open file.
    pub fn model(&self, name: &str) -> Option<Vec<u8>> {
        const ALL: Hid = 0x1f;
        // Files, datasets and groups: a file that was closed stays open while something in it is.
        const PLACES: c_uint = 1 | 2 | 4;
        if READING.replace(true) {
            return None;
        }
        let path = CString::new([GROUP.to_bytes(), b"/", name.as_bytes()].concat()).ok()?;
        let mut places = [0 as Hid; 1024];
        // SAFETY: room for as many identifiers as is said.
        let n = unsafe { (self.open_objects)(ALL, PLACES, places.len(), places.as_mut_ptr()) };
        let places = places.get(..usize::try_from(n).unwrap_or(0)).unwrap_or_default();
        let found = places.iter().find_map(|place| self.bytes(*place, &path));
        READING.set(false);
        found
    }

    fn bytes(&self, place: Hid, path: &CStr) -> Option<Vec<u8>> {
        // SAFETY: an identifier that HDF5 gave, and a text.
        let group = unsafe { (self.exists)(place, GROUP.as_ptr(), 0) };
        // SAFETY: as above; the group exists, without which asking would be an error.
        if group <= 0 || unsafe { (self.exists)(place, path.as_ptr(), 0) } <= 0 {
            return None;
        }
        // SAFETY: as above.
        let dataset = unsafe { (self.open)(place, path.as_ptr(), 0) };
        if dataset < 0 {
            return None;
        }
        let bytes = self.contents(dataset);
        // SAFETY: opened here, and not closed before.
        unsafe { (self.close)(dataset) };
        bytes
    }

    fn contents(&self, dataset: Hid) -> Option<Vec<u8>> {
        // SAFETY: an open dataset.
        let space = unsafe { (self.space)(dataset) };
        // SAFETY: HDF5 refuses an identifier that is none.
        let points = unsafe { (self.points)(space) };
        // SAFETY: as above.
        unsafe { (self.close_space)(space) };
        let len = u64::try_from(points).ok().filter(|n| *n <= Limits::default().model_bytes)?;
        let mut bytes = vec![0u8; usize::try_from(len).ok()?];
        // SAFETY: HDF5 set the variable before it called.
        let byte = unsafe { *self.byte };
        // SAFETY: room for one byte a point, which is what HDF5 converts each to.
        let status = unsafe { (self.read)(dataset, byte, 0, 0, 0, bytes.as_mut_ptr().cast()) };
        (status >= 0).then_some(bytes)
    }
}
