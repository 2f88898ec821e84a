//! Any bytes as a file: every array is read, under small limits.
#![no_main]
use cae::Reader;
use cae_fuzz::{options, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(reader) = Reader::new_with(data, options()) {
        let _ = read(&reader);
    }
});
