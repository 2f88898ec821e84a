//! Mapping a file into memory: the one place with `unsafe`.

use std::fs::File;

/// Maps `file` for reading.
///
/// # Errors
/// Whatever the operating system says; an empty file cannot be mapped on some systems.
#[allow(
    unsafe_code,
    reason = "mapping a file is unsafe by nature; the contract is passed on to the caller of Reader::open"
)]
pub(crate) fn map(file: &File) -> std::io::Result<memmap2::Mmap> {
    // SAFETY: the map is read-only and private to this process, but nothing stops another process from changing or
    // truncating the file under it, which may change bytes already checked or end this process with a bus error.
    // `Reader::open` documents this; `Reader::new` on bytes in memory is the alternative.
    unsafe { memmap2::Mmap::map(file) }
}
