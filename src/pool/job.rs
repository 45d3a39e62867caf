//! A call under way on a worker.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::workers::{Task, works_for};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind};
use crate::sync::{lock, park, unparker};

/// A call that a worker makes. Wait for it on a thread, or await it in a task.
///
/// Dropping it cancels the call, as [`cancel`](Job::cancel) does;
/// [`detach`](Job::detach) lets it go on.
#[must_use = "dropping a job cancels it"]
pub struct Job<T> {
    slot: Arc<Mutex<Slot<T>>>,
    cancel: Cancel,
    task: Task,
    pool: usize,
    detached: bool,
}

pub(super) struct Slot<T> {
    result: Option<Result<T, Error>>,
    waker: Option<Waker>,
    /// The worker is done with it.
    told: bool,
}

/// The worker's end.
pub(super) struct Tell<T>(Arc<Mutex<Slot<T>>>);

/// Where the result will lie, and the worker's end.
pub(super) fn slot<T>() -> (Arc<Mutex<Slot<T>>>, Tell<T>) {
    let slot = Arc::new(Mutex::new(Slot { result: None, waker: None, told: false }));
    (slot.clone(), Tell(slot))
}

impl<T> Tell<T> {
    pub(super) fn tell(self, result: Result<T, Error>) {
        let mut slot = lock(&self.0);
        slot.result = Some(result);
        slot.told = true;
        let waker = slot.waker.take();
        drop(slot);
        waker.inspect(Waker::wake_by_ref);
    }
}

impl<T> Job<T> {
    pub(super) fn new(
        slot: Arc<Mutex<Slot<T>>>,
        cancel: Cancel,
        task: Task,
        pool: usize,
    ) -> Job<T> {
        Job { slot, cancel, task, pool, detached: false }
    }

    /// Waits for the result.
    ///
    /// # Errors
    /// What the call met; [`Panicked`](crate::ErrorKind::Panicked) when the
    /// endpoint's code panicked; [`Shutdown`](crate::ErrorKind::Shutdown) when
    /// the client was dropped with the call still queued.
    ///
    /// # Blocking
    /// Blocks the thread until the worker is done.
    pub fn wait(self) -> Result<T, Error> {
        let waker = unparker();
        loop {
            if let Poll::Ready(result) = self.poll_result(&waker) {
                return result;
            }
            park(None);
        }
    }

    /// Stops the call: if it is queued, it is not made; if it is under way, its
    /// connection is shut down. The result is then
    /// [`Cancelled`](crate::ErrorKind::Cancelled). A `decode` or a refresh hook that
    /// is running is not interrupted.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Lets the call go on without anybody waiting for it.
    pub fn detach(mut self) {
        self.detached = true;
    }

    /// Whether the result is there, so that nobody would have to wait for it.
    pub fn is_done(&self) -> bool {
        lock(&self.slot).result.is_some()
    }

    fn poll_result(&self, waker: &Waker) -> Poll<Result<T, Error>> {
        if works_for(self.pool) {
            self.task.run();
        }
        let mut slot = lock(&self.slot);
        match slot.result.take() {
            Some(result) => Poll::Ready(result),
            None if slot.told => Poll::Ready(Err(Error::new(
                ErrorKind::Request,
                "the result of this job was taken before",
            ))),
            None => {
                slot.waker = Some(waker.clone());
                Poll::Pending
            }
        }
    }
}

impl<T> Future for Job<T> {
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_result(cx.waker())
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        if !self.detached && !lock(&self.slot).told {
            self.cancel.cancel();
        }
    }
}

impl<T> fmt::Debug for Job<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("done", &self.is_done()).finish_non_exhaustive()
    }
}
