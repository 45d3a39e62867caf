//! A waker that outlives the tasks it wakes.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
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
        if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
    }

    pub(super) fn wakes_nobody(&self) {
        // Dropped after the lock is gone, for it may be the last that keeps its task.
        let _gone = lock(&self.task).take();
    }

    /// As if it had rung.
    pub(super) fn set(&self) {
        self.rang.store(true, SeqCst);
    }

    /// Whether it has rung since it was asked.
    pub(super) fn rang(&self) -> bool {
        self.rang.swap(false, SeqCst)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.set();
        let task = lock(&self.task).take();
        task.inspect(Waker::wake_by_ref);
    }
}
