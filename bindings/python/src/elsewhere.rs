//! File objects of Python as files that are fetched range by range.

use cae::ReadAt;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use std::io;
use std::sync::{Mutex, PoisonError};

/// An object with `seek` and `read`. Its position is one for all: requests take turns.
pub struct FileObject {
    object: Py<PyAny>,
    turn: Mutex<()>,
}

impl FileObject {
    pub fn new(object: Py<PyAny>) -> Self {
        FileObject { object, turn: Mutex::new(()) }
    }

    /// Does something with the object. Whoever waits for a turn must not hold the interpreter, which the one before needs.
    fn in_turn<R>(&self, action: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<R>) -> io::Result<R> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Python::attach(|py| action(self.object.bind(py)))?)
    }
}

impl ReadAt for FileObject {
    fn file_len(&self) -> io::Result<u64> {
        self.in_turn(|object| {
            // Not all file objects return where they are.
            object.call_method1("seek", (0, 2))?;
            object.call_method0("tell")?.extract()
        })
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let (wanted, mut left) = (into.len(), into);
        self.in_turn(|object| {
            object.call_method1("seek", (offset,))?;
            while !left.is_empty() {
                let piece: PyBackedBytes = object.call_method1("read", (left.len(),))?.extract()?;
                if piece.is_empty() || piece.len() > left.len() {
                    let got = wanted.saturating_sub(left.len());
                    let what = format!(
                        "the file object gave {got} of {wanted} bytes from byte {offset} on, then {}",
                        piece.len()
                    );
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what).into());
                }
                let (now, later) = left.split_at_mut(piece.len());
                now.copy_from_slice(&piece);
                left = later;
            }
            Ok(())
        })
    }
}
