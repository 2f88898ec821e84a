//! Threads over frames: jobs run on any thread, their results are taken in order on the caller's.

use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;

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
/// At most twice as many results wait as there are threads, so memory stays bounded however large the list is.
pub(crate) fn for_each_in_order<I: Sync, R: Send>(
    threads: Threads,
    items: &[I],
    job: impl Fn(&I) -> R + Sync,
    take: impl FnMut(&I, R) -> std::result::Result<(), Stop>,
) -> Result<()> {
    for_each_by_workers(threads, items, || &job, take)
}

/// The same with a job for each thread, which may keep something from one item to the next.
pub(crate) fn for_each_by_workers<I: Sync, R: Send, J: FnMut(&I) -> R>(
    threads: Threads,
    items: &[I],
    worker: impl Fn() -> J + Sync,
    mut take: impl FnMut(&I, R) -> std::result::Result<(), Stop>,
) -> Result<()> {
    let finish = |stop: std::result::Result<(), Stop>| match stop {
        Ok(()) | Err(Stop::Quietly) => Ok(()),
        Err(Stop::With(e)) => Err(e),
    };
    let threads = threads.get().min(items.len());
    if threads <= 1 {
        let mut job = worker();
        return finish(items.iter().try_for_each(|item| take(item, job(item))));
    }
    let next = AtomicUsize::new(0);
    let stopped = AtomicBool::new(false);
    // Tickets bound how far the fastest thread may run ahead of the results that were taken.
    let (give_ticket, ticket) = sync_channel::<()>(threads.saturating_mul(2));
    let ticket = std::sync::Mutex::new(ticket);
    let (send, receive) = sync_channel::<(usize, R)>(threads);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let send = send.clone();
            let (next, stopped, ticket, worker) = (&next, &stopped, &ticket, &worker);
            scope.spawn(move || {
                let mut job = worker();
                loop {
                    let allowed = ticket.lock().is_ok_and(|t| t.recv().is_ok());
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if !allowed || stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    let Some(item) = items.get(index) else { return };
                    if send.send((index, job(item))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        for _ in 0..threads.saturating_mul(2) {
            let _ = give_ticket.send(());
        }
        let mut waiting = BTreeMap::new();
        let mut due = 0usize;
        let mut result = Ok(());
        for (index, value) in receive.iter() {
            waiting.insert(index, value);
            while let Some(value) = waiting.remove(&due) {
                let Some(item) = items.get(due) else { break };
                result = take(item, value);
                if result.is_err() {
                    break;
                }
                due = due.saturating_add(1);
                let _ = give_ticket.try_send(());
            }
            if result.is_err() || due == items.len() {
                break;
            }
        }
        stopped.store(true, Ordering::Relaxed);
        // Threads that wait for a ticket or a place in the channel end when the other side is gone.
        drop(give_ticket);
        drop(receive);
        finish(result)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_a_stop_ends_the_threads() {
        let items: Vec<u32> = (0..1000).collect();
        let mut seen = Vec::new();
        let ok = for_each_in_order(
            Threads::new(4),
            &items,
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
            &items,
            |i| *i,
            |i, _| {
                taken += 1;
                if *i == 10 { Err(Stop::Quietly) } else { Ok(()) }
            },
        );
        assert!(stopped.is_ok());
        assert_eq!(taken, 11);
    }
}
