//! Reading whole files of any content, under limits.

use cae::{DataType, Element, Error, Limits, ReadOptions, Reader};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::Duration;

/// Limits for files that nobody vouches for.
pub fn small_limits() -> Limits {
    let mut limits = Limits::default();
    limits.memory = 8 << 20;
    limits.array_bytes = 1 << 20;
    limits.directory_bytes = 8 << 10;
    limits.frame_values = 1 << 16;
    limits.model_bytes = 64 << 10;
    limits.model_nodes = 64;
    limits.model_elements = 1 << 16;
    limits.model_operations = 1 << 18;
    limits
}

pub fn small() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.limits = small_limits();
    options.threads = 1;
    options
}

/// Reads all that `bytes` hold in every way there is.
pub fn read_all(bytes: &[u8], options: ReadOptions) -> Result<(), Error> {
    read_everything(&Reader::new_with(bytes, options)?)
}

pub fn read_everything(reader: &Reader) -> Result<(), Error> {
    for i in 0..reader.models().len() {
        reader.model_bytes(i)?;
    }
    for array in reader.arrays() {
        if let Some(bad) = array.breakdown()?.bad.into_iter().next() {
            return Err(bad.error);
        }
        match array.data_type() {
            DataType::F64 => drop(array.read::<f64>()?),
            _ => drop(array.read::<f32>()?),
        }
        let (bad, _) = array.verify()?;
        if let Some(bad) = bad.into_iter().next() {
            return Err(bad.error);
        }
    }
    Ok(())
}

/// The bits of all values of the array `name`.
pub fn bits_of<T: Element>(bytes: &[u8], name: &str) -> Result<Vec<u64>, Error> {
    let reader = Reader::new_with(bytes, small())?;
    let values = reader.array(name)?.read::<T>()?;
    Ok(values.iter().map(|v| v.to_bits64()).collect())
}

/// What `job` returns, if it ends at all. The time is far beyond what any job takes, also on a machine that does much else.
pub fn in_time<R: Send + 'static>(what: &str, job: impl FnOnce() -> R + Send + 'static) -> R {
    let limit = Duration::from_secs(600);
    let (send, receive) = channel();
    let thread = std::thread::spawn(move || {
        let _ = send.send(job());
    });
    match receive.recv_timeout(limit) {
        Ok(r) => r,
        Err(_) if thread.is_finished() => panic!("{what}: panicked"),
        Err(_) => panic!("{what}: not done after {limit:?}"),
    }
}

/// The variant of an error and of what it carries, such as `Format(Truncated)`.
pub fn variant(e: &Error) -> String {
    let head = |text: String| text.split([' ', '(', '{']).next().unwrap_or_default().to_owned();
    let inner = match e {
        Error::Format { kind, .. } => head(format!("{kind:?}")),
        Error::Unsupported { kind, .. } => head(format!("{kind:?}")),
        Error::Limit { resource, .. } => head(format!("{resource:?}")),
        Error::Model(m) => head(format!("{m:?}")),
        Error::Argument(a) => head(format!("{a:?}")),
        Error::Io(_) => return "Io".into(),
        other => return head(format!("{other:?}")),
    };
    format!("{}({inner})", head(format!("{e:?}")))
}

pub fn testdata(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(folder)
}

/// The files of a folder of testdata that end in `.cae`, by name.
pub fn cae_files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let Ok(list) = std::fs::read_dir(testdata(folder)) else { return Vec::new() };
    let mut files: Vec<(String, Vec<u8>)> = list
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "cae"))
        .map(|p| (p.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&p).unwrap()))
        .collect();
    files.sort();
    files
}
