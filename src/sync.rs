//! Locks that a panic elsewhere does not poison, and a thread as a waker.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

/// Every critical section here leaves its data whole, also when a panic unwinds through it.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    model::step();
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for the thread's waker, until that time at most.
pub(crate) fn park(until: Option<Instant>) {
    if model::park() {
        return;
    }
    match until {
        Some(at) => thread::park_timeout(at.saturating_duration_since(Instant::now())),
        None => thread::park(),
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// A waker that unparks the current thread.
pub(crate) fn unparker() -> Waker {
    model::waker().unwrap_or_else(|| Waker::from(Arc::new(Unpark(thread::current()))))
}

#[cfg(test)]
pub(crate) mod model;

/// Outside of model tests threads run as they like.
#[cfg(not(test))]
pub(crate) mod model {
    pub(crate) fn step() {}

    pub(super) fn park() -> bool {
        false
    }

    pub(super) fn waker() -> Option<std::task::Waker> {
        None
    }
}
