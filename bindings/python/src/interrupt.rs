//! Long work on a thread of its own, while the calling thread listens to Python: for Ctrl-C, and to tell of progress.

use pyo3::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often Python is listened to. A person notices a tenth of a second; the interpreter does not.
const EVERY: Duration = Duration::from_millis(100);

/// What the working thread and the listening one know of each other.
#[derive(Default)]
pub struct Watch {
    stop: AtomicBool,
    done: AtomicU64,
    total: AtomicU64,
    raised: Mutex<Option<PyErr>>,
}

impl Watch {
    /// Tells of values done, and in all.
    pub fn advance(&self, done: u64, total: u64) {
        self.total.store(total, Ordering::Relaxed);
        self.done.store(done, Ordering::Release);
    }

    /// Ends the work with an exception, the first one counting.
    pub fn raise(&self, error: PyErr) {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.stop.store(true, Ordering::Release);
    }

    /// Fails if the work is to end: sources of values ask this.
    pub fn check(&self) -> cae::Result<()> {
        if self.stop.load(Ordering::Acquire) {
            return Err(std::io::Error::new(std::io::ErrorKind::Interrupted, "stopped by the caller").into());
        }
        Ok(())
    }

    fn listen(&self, py: Python<'_>, progress: Option<&Py<PyAny>>, told: &mut u64) -> PyResult<()> {
        py.check_signals()?;
        let done = self.done.load(Ordering::Acquire);
        if let Some(progress) = progress.filter(|_| done > *told) {
            *told = done;
            progress.call1(py, (done, self.total.load(Ordering::Relaxed)))?;
        }
        Ok(())
    }
}

/// Runs `work` to its end; the error is what Python raised meanwhile.
pub fn listening<R: Send>(
    py: Python<'_>,
    progress: Option<&Py<PyAny>>,
    watch: &Watch,
    work: impl FnOnce() -> R + Send,
) -> PyResult<R> {
    let mut told = 0;
    let result = py.detach(|| {
        std::thread::scope(|scope| {
            let (give, take) = sync_channel(1);
            scope.spawn(move || {
                let _ = give.send(work());
            });
            loop {
                match take.recv_timeout(EVERY) {
                    Ok(result) => return Some(result),
                    // The thread ended without a result: it panicked, and the scope passes that on.
                    Err(RecvTimeoutError::Disconnected) => return None,
                    Err(RecvTimeoutError::Timeout) => Python::attach(|py| {
                        if let Err(e) = watch.listen(py, progress, &mut told) {
                            watch.raise(e);
                        }
                    }),
                }
            }
        })
    });
    if watch.check().is_ok()
        && let Err(e) = watch.listen(py, progress, &mut told)
    {
        watch.raise(e);
    }
    if let Some(error) = watch.raised.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(error);
    }
    result.ok_or_else(|| pyo3::exceptions::PyRuntimeError::new_err("the working thread ended without a result"))
}
