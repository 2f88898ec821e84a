//! Threads over frames: jobs run on any thread, their results are taken in order on the caller's.

use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};

/// How many threads to use; at least one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Threads(NonZeroUsize);

impl Threads {
    /// `wanted` threads, or one a processor if that is 0.
    pub(crate) fn new(wanted: usize) -> Threads {
        let all = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Threads(NonZeroUsize::new(wanted).unwrap_or_else(all))
    }

    /// No more than `most`, but at least one.
    pub(crate) fn at_most(self, most: u64) -> Threads {
        let most = usize::try_from(most).ok().and_then(NonZeroUsize::new).unwrap_or(NonZeroUsize::MIN);
        Threads(self.0.min(most))
    }

    /// The number.
    pub(crate) fn get(self) -> usize {
        self.0.get()
    }
}

/// Why taking results ends early.
pub(crate) enum Stop {
    /// With this error.
    With(Error),
    /// Without one: the taker has kept what it needs.
    Quietly,
}

impl From<Error> for Stop {
    fn from(e: Error) -> Self {
        Stop::With(e)
    }
}

/// Runs `job` for each item and hands the results to `take` in the order of the items.
///
/// At most twice as many results wait as there are threads, so memory stays bounded however many items there are. A panic of
/// a job is the caller's.
pub(crate) fn for_each_in_order<I: Copy + Send, R: Send>(
    threads: Threads,
    items: impl IntoIterator<Item = I, IntoIter: Send>,
    job: impl Fn(I) -> R + Sync,
    take: impl FnMut(I, R) -> std::result::Result<(), Stop>,
) -> Result<()> {
    for_each_by_workers(threads, items, || &job, take)
}

/// The same with a job for each thread, which may keep something from one item to the next.
pub(crate) fn for_each_by_workers<I: Copy + Send, R: Send, J: FnMut(I) -> R>(
    threads: Threads,
    items: impl IntoIterator<Item = I, IntoIter: Send>,
    worker: impl Fn() -> J + Sync,
    mut take: impl FnMut(I, R) -> std::result::Result<(), Stop>,
) -> Result<()> {
    let items = items.into_iter();
    let threads = threads.get().min(items.size_hint().1.unwrap_or(usize::MAX));
    if threads <= 1 {
        return alone(items, worker(), take);
    }
    let stopped = AtomicBool::new(false);
    let items = Mutex::new(items.enumerate());
    // Tickets bound how far the fastest thread may run ahead of the results that were taken.
    let (give_ticket, ticket) = sync_channel::<()>(threads.saturating_mul(2));
    let ticket = Mutex::new(ticket);
    let (send, receive) = sync_channel::<(usize, I, std::thread::Result<R>)>(threads);
    std::thread::scope(|scope| {
        let mut started = 0usize;
        for _ in 0..threads {
            let send = send.clone();
            let (items, stopped, ticket, worker) = (&items, &stopped, &ticket, &worker);
            let work = move || {
                let mut job = worker();
                loop {
                    let allowed = ticket.lock().is_ok_and(|t| t.recv().is_ok());
                    if !allowed || stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    let next = items.lock().ok().and_then(|mut items| items.next());
                    let Some((index, item)) = next else { return };
                    // Whoever waits for this result would wait forever if the thread ended without one.
                    let done = catch_unwind(AssertUnwindSafe(|| job(item)));
                    let panicked = done.is_err();
                    if send.send((index, item, done)).is_err() || panicked {
                        return;
                    }
                }
            };
            // Those that the system lets start do the work of all.
            if std::thread::Builder::new().spawn_scoped(scope, work).is_err() {
                break;
            }
            started = started.saturating_add(1);
        }
        drop(send);
        if started == 0 {
            let mut items = items.lock().unwrap_or_else(PoisonError::into_inner);
            return alone(items.by_ref().map(|(_, item)| item), worker(), take);
        }
        for _ in 0..threads.saturating_mul(2) {
            let _ = give_ticket.send(());
        }
        let mut waiting = BTreeMap::new();
        let mut due = 0usize;
        let mut result = Ok(());
        'results: for (index, item, done) in receive.iter() {
            waiting.insert(index, (item, done));
            while let Some((item, done)) = waiting.remove(&due) {
                // The other threads end as what they wait for is dropped.
                let done = done.unwrap_or_else(|panic| {
                    stopped.store(true, Ordering::Relaxed);
                    resume_unwind(panic)
                });
                result = take(item, done);
                if result.is_err() {
                    break 'results;
                }
                due = due.saturating_add(1);
                let _ = give_ticket.try_send(());
            }
        }
        stopped.store(true, Ordering::Relaxed);
        // Threads that wait for a ticket or a place in the channel end when the other side is gone.
        drop(give_ticket);
        drop(receive);
        finish(result)
    })
}

/// Without other threads.
fn alone<I: Copy, R>(
    mut items: impl Iterator<Item = I>,
    mut job: impl FnMut(I) -> R,
    mut take: impl FnMut(I, R) -> std::result::Result<(), Stop>,
) -> Result<()> {
    finish(items.try_for_each(|item| take(item, job(item))))
}

fn finish(stop: std::result::Result<(), Stop>) -> Result<()> {
    match stop {
        Ok(()) | Err(Stop::Quietly) => Ok(()),
        Err(Stop::With(e)) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_a_stop_ends_the_threads() {
        let mut seen = Vec::new();
        let ok = for_each_in_order(
            Threads::new(4),
            0..1000u32,
            |i| i * 2,
            |_, r| {
                seen.push(r);
                Ok(())
            },
        );
        assert!(ok.is_ok());
        assert_eq!(seen, (0..1000).map(|i| i * 2).collect::<Vec<_>>());
        let mut taken = 0;
        let stopped = for_each_in_order(
            Threads::new(3),
            0..u64::MAX,
            |i| i,
            |i, _| {
                taken += 1;
                if i == 10 { Err(Stop::Quietly) } else { Ok(()) }
            },
        );
        assert!(stopped.is_ok());
        assert_eq!(taken, 11);
    }

    #[test]
    #[allow(clippy::panic, reason = "the panic of a job is what is tested")]
    fn a_panic_of_a_job_is_the_callers_and_ends_the_threads() {
        for threads in [1, 2, 7] {
            let mut taken = 0;
            let job = |i: u32| if i == 5 { panic!("job {i}") } else { i };
            let all = || {
                for_each_in_order(Threads::new(threads), 0..1000, job, |_, _| {
                    taken += 1;
                    Ok(())
                })
            };
            let payload = catch_unwind(AssertUnwindSafe(all)).expect_err("a panic");
            assert_eq!(payload.downcast_ref::<String>().map(String::as_str), Some("job 5"));
            assert_eq!(taken, 5);
        }
    }
}
