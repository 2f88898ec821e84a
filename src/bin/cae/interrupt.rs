//! Files that are not complete, which go where a signal ends the program.

use crate::failure::Failure;
use cae::AtomicFile;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once, PoisonError};

/// As shells have it of a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// The file being written.
static UNFINISHED: Mutex<Option<PathBuf>> = Mutex::new(None);
static HANDLED: Once = Once::new();

/// [`AtomicFile::create`], of a file that does not outlive a signal.
pub fn create(path: &Path) -> Result<AtomicFile, Failure> {
    // Who is told to ignore signals, as by nohup, goes on ignoring them: no handler then.
    HANDLED.call_once(|| drop(ctrlc::try_set_handler(end)));
    // A signal from here on waits until it is known what there is to remove.
    let mut unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
    let file = AtomicFile::create(path).map_err(Failure::io(path))?;
    *unfinished = Some(file.temporary().to_owned());
    Ok(file)
}

/// Ends the program.
fn end() {
    let unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = unfinished.as_ref() {
        // It has its name by now, or nothing useful can be done.
        let _ = std::fs::remove_file(path);
    }
    std::process::exit(INTERRUPTED);
}
