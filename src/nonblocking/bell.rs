//! A waker that outlives the tasks it wakes.

use std::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use crate::sync::lock;

/// Wakes the task of the day, if there is one. Whoever holds its waker need not be told of another.
#[derive(Default)]
pub(super) struct Bell {
    rang: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Bell {
    /// Sees to it that the next ring wakes this task.
    pub(super) fn wakes(&self, cx: &Context<'_>) {
        let mut task = lock(&self.task);
        if task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            return;
        }
        let gone = task.replace(cx.waker().clone());
        // Dropped after the lock is gone, for it may be the last that keeps its task.
        drop(task);
        drop(gone);
    }

    pub(super) fn wakes_nobody(&self) {
        drop(self.take_task());
    }

    /// Whom it would wake, and does not any more.
    pub(super) fn take_task(&self) -> Option<Waker> {
        lock(&self.task).take()
    }

    /// As if it had rung, but that nobody wakes.
    pub(super) fn set(&self) {
        self.rang.store(true, Release);
    }

    /// Whether [`rang`](Bell::rang) would say so.
    pub(super) fn is_set(&self) -> bool {
        self.rang.load(Relaxed)
    }

    /// Whether it has rung since it was asked.
    pub(super) fn rang(&self) -> bool {
        taken(&self.rang)
    }

    pub(super) fn ring(&self) {
        self.set();
        self.take_task().inspect(Waker::wake_by_ref);
    }
}

/// Whether it is set; it is not any more. Who sees it set sees all that came before.
pub(super) fn taken(flag: &AtomicBool) -> bool {
    // A swap has the processor wait, and is mostly in vain.
    flag.load(Relaxed) && flag.swap(false, Acquire)
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }
}
