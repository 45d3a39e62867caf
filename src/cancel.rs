//! Stopping work from outside.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Wake, Waker};

use crate::sync::lock;

/// Stops batches and their streams from outside: from another thread, from a Ctrl-C handler.
///
/// Given by [`Batch::cancel`](crate::Batch::cancel). A single call of the blocking client is stopped
/// as a batch of one; a future is dropped, and a [`pool::Job`](crate::pool::Job) has its own `cancel`.
/// Clones stop the same work. What is stopped ends with
/// [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled): waits end, sockets in
/// use are shut down, nothing new starts.
#[derive(Clone, Default)]
pub struct Cancel(Arc<Inner>);

#[derive(Default)]
struct Inner {
    done: AtomicBool,
    listeners: Mutex<Listeners>,
    /// Keeps a child listening to its parent for as long as it lives.
    parents: Mutex<Vec<Subscription>>,
}

#[derive(Default)]
struct Listeners {
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl Cancel {
    /// A handle that nothing listens to yet.
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// Stops what this handle was given to. Does nothing the second time.
    pub fn cancel(&self) {
        if self.0.done.swap(true, Ordering::SeqCst) {
            return;
        }
        let wakers = std::mem::take(&mut lock(&self.0.listeners).wakers);
        // Outside the lock: a waker may run code that listens or stops listening.
        wakers.into_values().for_each(Waker::wake);
    }

    /// Whether [`cancel`](Cancel::cancel) was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.done.load(Ordering::SeqCst)
    }

    /// Is cancelled with `parent` from now on, and can be without it.
    pub(crate) fn follow(&self, parent: &Cancel) {
        let waker = Waker::from(Arc::new(Child(Arc::downgrade(&self.0))));
        let subscription = parent.listen(&waker);
        lock(&self.0.parents).push(subscription);
    }

    /// Wakes `waker` on cancellation, at once if that has been; until the subscription drops.
    pub(crate) fn listen(&self, waker: &Waker) -> Subscription {
        let mut listeners = lock(&self.0.listeners);
        let id = listeners.next;
        listeners.next += 1;
        if self.is_cancelled() {
            drop(listeners);
            waker.wake_by_ref();
        } else {
            listeners.wakers.insert(id, waker.clone());
        }
        Subscription(Arc::downgrade(&self.0), id)
    }
}

pub(crate) struct Subscription(Weak<Inner>, u64);

impl Subscription {
    #[cfg(feature = "blocking")]
    pub(crate) fn is_to(&self, cancel: &Cancel) -> bool {
        std::ptr::eq(self.0.as_ptr(), Arc::as_ptr(&cancel.0))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            lock(&inner.listeners).wakers.remove(&self.1);
        }
    }
}

struct Child(Weak<Inner>);

impl Wake for Child {
    fn wake(self: Arc<Self>) {
        if let Some(inner) = self.0.upgrade() {
            Cancel(inner).cancel();
        }
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancel").field(&self.is_cancelled()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_follows_and_does_not_lead() {
        let parent = Cancel::new();
        let child = || {
            let child = Cancel::new();
            child.follow(&parent);
            child
        };
        let (one, two) = (child(), child());
        one.cancel();
        assert!(!parent.is_cancelled() && !two.is_cancelled());
        parent.cancel();
        assert!(two.is_cancelled());
        assert!(child().is_cancelled());
    }

    #[test]
    fn dropped_children_leave_nothing_behind() {
        let parent = Cancel::new();
        Cancel::new().follow(&parent);
        assert!(lock(&parent.0.listeners).wakers.is_empty());
    }
}
