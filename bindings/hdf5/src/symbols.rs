//! Functions and variables of a library that is loaded already, by name.

use std::ffi::{CStr, c_void};

/// HDF5's identifiers, from 1.10 on.
pub type Hid = i64;

/// The address of a symbol of one library, and of those it depends on.
pub struct Symbols(*mut c_void);

impl Symbols {
    /// Those of the library that was loaded from `file`.
    pub fn of(file: &CStr) -> Symbols {
        // SAFETY: a text of the linker's; the flags only look for what is loaded.
        let mut handle = unsafe { libc::dlopen(file.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
        if handle.is_null() {
            // A program that HDF5 is linked into.
            // SAFETY: NULL stands for the program.
            handle = unsafe { libc::dlopen(std::ptr::null(), libc::RTLD_LAZY) };
        }
        Symbols(handle)
    }

    /// The address of `name`, if the library has it.
    ///
    /// # Safety
    /// `T` is a pointer or an `extern "C" fn` of just the type that the symbol has in every HDF5 from 1.10 on.
    pub unsafe fn get<T: Copy>(&self, name: &CStr) -> Option<T> {
        const { assert!(size_of::<T>() == size_of::<*mut c_void>()) };
        if self.0.is_null() {
            return None;
        }
        // SAFETY: a handle that `dlopen` gave, and a text.
        let address = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        // SAFETY: not NULL, of the size of an address, and of the type that the caller promises.
        (!address.is_null()).then(|| unsafe { std::mem::transmute_copy(&address) })
    }
}

/// A symbol whose type is that of the place it goes to; those places are typed as HDF5's headers have them.
macro_rules! symbol {
    ($symbols:expr, $name:literal) => {
        // SAFETY: see the macro.
        unsafe { $symbols.get($name) }
    };
}
pub(crate) use symbol;
