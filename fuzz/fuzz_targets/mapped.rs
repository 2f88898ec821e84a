//! A mapped file, one that is fetched range by range, and the same bytes in memory, read by one thread and by three, agree in every
//! value and error.
#![no_main]
use cae::Reader;
use cae_fuzz::{options, read};
use libfuzzer_sys::fuzz_target;
use std::io::Write;

fuzz_target!(|data: &[u8]| {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(data).unwrap();
    let mut threads = options();
    threads.threads = 3;
    let text = |r: cae::Result<Reader>| r.and_then(|r| read(&r)).map_err(|e| e.to_string());
    let in_memory = text(Reader::new_with(data, options()));
    assert_eq!(text(Reader::open_with(file.path(), options())), in_memory);
    assert_eq!(text(Reader::from_read_at(file.reopen().unwrap(), options())), in_memory);
    assert_eq!(text(Reader::new_with(data, threads)), in_memory);
});
