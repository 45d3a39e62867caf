//! A waker that outlives the tasks it wakes.

use std::ptr;
use std::sync::atomic::{
    AtomicBool, AtomicPtr,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, Mutex};
use std::task::{Context, RawWakerVTable, Wake, Waker};

use crate::sync::lock;

/// Wakes the task of the day, if there is one. Whoever holds its waker need not be told of another.
#[derive(Default)]
pub(super) struct Bell {
    rang: AtomicBool,
    task: Mutex<Option<Waker>>,
    known: Known,
}

impl Bell {
    /// Sees to it that the next ring wakes this task.
    pub(super) fn wakes(&self, cx: &Context<'_>) {
        // A ring that takes the task at this moment wakes it.
        if self.known.is(cx.waker()) {
            return;
        }
        let mut task = lock(&self.task);
        let gone = task.replace(cx.waker().clone());
        self.known.set(cx.waker());
        // Dropped after the lock is gone, for it may be the last that keeps its task.
        drop(task);
        drop(gone);
    }

    pub(super) fn wakes_nobody(&self) {
        if !self.known.is_nobody() {
            drop(self.take_task());
        }
    }

    /// Whom it would wake, and does not any more.
    pub(super) fn take_task(&self) -> Option<Waker> {
        let mut task = lock(&self.task);
        self.known.forget();
        task.take()
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
        self.wake();
    }

    /// Wakes without a ring.
    pub(super) fn wake(&self) {
        if let Some(task) = self.take_task() {
            task.wake();
        }
    }
}

/// Whom a bell wakes, to be asked without its lock by those who tell it. While the bell keeps the
/// waker no other has its address.
#[derive(Default)]
struct Known {
    data: AtomicPtr<()>,
    /// None for nobody.
    table: AtomicPtr<RawWakerVTable>,
}

impl Known {
    fn is(&self, waker: &Waker) -> bool {
        ptr::eq(self.table.load(Relaxed), waker.vtable())
            && ptr::eq(self.data.load(Relaxed), waker.data())
    }

    fn is_nobody(&self) -> bool {
        self.table.load(Relaxed).is_null()
    }

    fn set(&self, waker: &Waker) {
        self.data.store(waker.data().cast_mut(), Relaxed);
        self.table.store(ptr::from_ref(waker.vtable()).cast_mut(), Relaxed);
    }

    fn forget(&self) {
        self.table.store(ptr::null_mut(), Relaxed);
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
