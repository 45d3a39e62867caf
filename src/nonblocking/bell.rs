//! A waker that outlives the tasks it wakes.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Relaxed, Release},
};
use std::task::{Context, Wake, Waker};

use atomic_waker::AtomicWaker;

use crate::sync::model::step;

/// Wakes the task of the day, if there is one. Whoever holds its waker need not be told of another.
#[derive(Default)]
pub(super) struct Bell {
    rang: AtomicBool,
    task: AtomicWaker,
    /// There may be a task.
    awaited: AtomicBool,
}

impl Bell {
    /// Sees to it that the next ring wakes this task.
    pub(super) fn wakes(&self, cx: &Context<'_>) {
        step();
        self.task.register(cx.waker());
        self.awaited.store(true, Relaxed);
    }

    pub(super) fn wakes_nobody(&self) {
        if self.awaited.load(Relaxed) {
            drop(self.take_task());
        }
    }

    /// Whom it would wake, and does not any more.
    pub(super) fn take_task(&self) -> Option<Waker> {
        step();
        self.awaited.store(false, Relaxed);
        self.task.take()
    }

    /// As if it had rung, but that nobody wakes.
    pub(super) fn set(&self) {
        step();
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
        self.wake();
    }

    /// Wakes without a ring.
    pub(super) fn wake(&self) {
        if let Some(task) = self.take_task() {
            task.wake();
        }
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
