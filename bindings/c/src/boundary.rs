//! What every call crosses: errors become codes and a message, panics stop, pointers are checked.

use cae::Error;
use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Why a call failed: one code for each party that can do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub enum Status {
    /// It did not fail.
    Ok = 0,
    /// The bytes break the specification; no reader will do better.
    Format = 1,
    /// Valid, but needs a newer reader, a model that is not there, or something this build lacks.
    Unsupported = 2,
    /// Valid, but over the limits that the caller set.
    Limit = 3,
    /// A model was refused or failed to run.
    Model = 4,
    /// An argument is wrong; the file is not to blame.
    Argument = 5,
    /// Reading or writing failed.
    Io = 6,
    /// A defect of this library. A handle that the call was given must only be freed.
    Internal = 7,
}

thread_local! {
    static MESSAGE: RefCell<CString> = RefCell::new(CString::default());
}

/// A failure on its way to the caller.
pub(crate) struct Failure {
    status: Status,
    message: String,
}

impl Failure {
    pub(crate) fn argument(message: impl Into<String>) -> Failure {
        Failure { status: Status::Argument, message: message.into() }
    }

    pub(crate) fn internal(message: impl Into<String>) -> Failure {
        Failure { status: Status::Internal, message: message.into() }
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Failure {
        let status = match &e {
            Error::Format { .. } => Status::Format,
            Error::Unsupported { .. } => Status::Unsupported,
            Error::Limit { .. } => Status::Limit,
            Error::Model(_) => Status::Model,
            Error::Argument(_) => Status::Argument,
            Error::Io(_) => Status::Io,
            _ => Status::Internal,
        };
        Failure { status, message: e.to_string() }
    }
}

/// Runs the body of a function, with its panics stopped, and keeps the message of its failure for this thread.
pub(crate) fn call(body: impl FnOnce() -> Result<(), Failure>) -> Status {
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return Status::Ok,
        Ok(Err(failure)) => failure,
        Err(panic) => Failure::internal(panic_message(&*panic)),
    };
    let message = CString::new(failure.message.replace('\0', "\u{fffd}")).unwrap_or_default();
    // Where the thread is ending and its storage is gone, the code alone must do.
    let _ = MESSAGE.try_with(|m| m.try_borrow_mut().map(|mut m| *m = message));
    failure.status
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a defect of cae, please report it: {}", text.unwrap_or("panic"))
}

/// What made the last call of this thread that failed fail; empty if none has. Valid until the next call of this
/// thread that fails. Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn cae_error_message() -> *const c_char {
    MESSAGE.try_with(|m| m.try_borrow().map_or(c"".as_ptr(), |m| m.as_ptr())).unwrap_or(c"".as_ptr())
}

/// The name of a status, such as "format"; "unknown" for other numbers. Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn cae_status_name(status: u32) -> *const c_char {
    let names = [c"ok", c"format", c"unsupported", c"limit", c"model", c"argument", c"io", c"internal"];
    usize::try_from(status).ok().and_then(|s| names.get(s)).unwrap_or(&c"unknown").as_ptr()
}

/// The version of this library, such as "0.1.0". Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn cae_version() -> *const c_char {
    const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(v) => v,
        Err(_) => c"",
    };
    VERSION.as_ptr()
}

/// The version of the format that this library writes, and the newest that it reads. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cae_format_version(major: *mut u8, minor: *mut u8) -> Status {
    call(|| {
        // SAFETY: the caller promises that a pointer that is not NULL points to a byte.
        let major = unsafe { place(major, "major") }?;
        // SAFETY: as above.
        let minor = unsafe { place(minor, "minor") }?;
        (*major, *minor) = cae::VERSION;
        Ok(())
    })
}

/// Fails for NULL, and for what is not aligned.
pub(crate) fn check<T>(p: *const T, name: &str) -> Result<(), Failure> {
    if p.is_null() {
        return Err(Failure::argument(format!("{name} is NULL")));
    }
    if !p.is_aligned() {
        return Err(Failure::argument(format!("{name} is not aligned to {} bytes", align_of::<T>())));
    }
    Ok(())
}

/// The same where NULL will do.
pub(crate) fn check_optional<T>(p: *const T, name: &str) -> Result<(), Failure> {
    if p.is_null() { Ok(()) } else { check(p, name) }
}

fn check_many<T>(p: *const T, len: usize, name: &str) -> Result<(), Failure> {
    check(p, name)?;
    match len.checked_mul(size_of::<T>()) {
        Some(bytes) if isize::try_from(bytes).is_ok() => Ok(()),
        _ => Err(Failure::argument(format!("{name}: {len} are more than memory can hold"))),
    }
}

/// What `p` points to.
///
/// # Safety
/// `p` is NULL, misaligned, or points to a `T` that nobody writes to during `'a`.
pub(crate) unsafe fn given<'a, T>(p: *const T, name: &str) -> Result<&'a T, Failure> {
    check(p, name)?;
    // SAFETY: not NULL and aligned; the rest is the caller's promise.
    Ok(unsafe { &*p })
}

/// [`given`], for what may be left out.
///
/// # Safety
/// As [`given`].
pub(crate) unsafe fn optional<'a, T>(p: *const T, name: &str) -> Result<Option<&'a T>, Failure> {
    if p.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise is the same.
    unsafe { given(p, name) }.map(Some)
}

/// Where an output goes.
///
/// # Safety
/// `p` is NULL, misaligned, or points to an initialized `T` that nobody else uses during `'a`.
pub(crate) unsafe fn place<'a, T>(p: *mut T, name: &str) -> Result<&'a mut T, Failure> {
    check(p, name)?;
    // SAFETY: not NULL and aligned; the rest is the caller's promise.
    Ok(unsafe { &mut *p })
}

/// Writes an output, of which nothing is read before.
///
/// # Safety
/// `p` is NULL, misaligned, or points to room for a `T` that nobody else uses.
pub(crate) unsafe fn put<T: Copy>(p: *mut T, value: T, name: &str) -> Result<(), Failure> {
    check(p, name)?;
    // SAFETY: not NULL and aligned; the rest is the caller's promise. `T` is `Copy`, so that nothing is left undropped.
    unsafe { p.write(value) };
    Ok(())
}

/// `len` values at `p`; NULL will do for none.
///
/// # Safety
/// `p` is NULL, misaligned, or points to `len` values that nobody writes to during `'a`.
pub(crate) unsafe fn slice<'a, T>(p: *const T, len: usize, name: &str) -> Result<&'a [T], Failure> {
    if len == 0 {
        return Ok(&[]);
    }
    check_many(p, len, name)?;
    // SAFETY: not NULL, aligned, not longer than any object can be; the rest is the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(p, len) })
}

/// Room for `len` numbers at `p`; NULL will do for none.
///
/// # Safety
/// `p` is NULL, misaligned, or points to room for `len` numbers, of a type for which all bits are legal, that nobody else
/// uses during `'a`. What they hold is opaque to this library's compiler, as it comes from another language.
pub(crate) unsafe fn slice_mut<'a, T>(p: *mut T, len: usize, name: &str) -> Result<&'a mut [T], Failure> {
    if len == 0 {
        return Ok(&mut []);
    }
    check_many(p, len, name)?;
    // SAFETY: not NULL, aligned, not longer than any object can be; the rest is the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts_mut(p, len) })
}

/// The text at `p`.
///
/// # Safety
/// `p` is NULL or points to bytes that end with NUL and that nobody writes to during `'a`.
pub(crate) unsafe fn text<'a>(p: *const c_char, name: &str) -> Result<&'a str, Failure> {
    check(p, name)?;
    // SAFETY: not NULL; the rest is the caller's promise.
    let text = unsafe { CStr::from_ptr(p) };
    text.to_str().map_err(|_| Failure::argument(format!("{name} is not UTF-8")))
}

/// A pointer of the caller's, which this library only hands back.
#[derive(Clone, Copy)]
pub(crate) struct Callers(pub(crate) *mut c_void);

// SAFETY: the pointer is never followed here; the header says on which threads its owner gets it.
unsafe impl Sync for Callers {}
// SAFETY: as above.
unsafe impl Send for Callers {}

impl Callers {
    /// The whole of it, so that a closure holds this type and not the pointer alone.
    pub(crate) fn get(&self) -> Callers {
        *self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_status_and_a_message() {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let status = call(|| panic!("so it goes"));
        std::panic::set_hook(hook);
        assert_eq!(status, Status::Internal);
        // SAFETY: the message is text that lives until this thread's next failure.
        let message = unsafe { CStr::from_ptr(cae_error_message()) };
        assert!(message.to_str().unwrap().ends_with("so it goes"));
    }

    #[test]
    fn a_message_with_nul_is_kept() {
        assert_eq!(call(|| Err(Failure::argument("a\0b"))), Status::Argument);
        // SAFETY: as above.
        let message = unsafe { CStr::from_ptr(cae_error_message()) };
        assert_eq!(message.to_str().unwrap(), "a\u{fffd}b");
    }
}
