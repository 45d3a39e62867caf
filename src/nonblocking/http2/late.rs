//! Wake-ups that wait until the driver has moved what there is to move.
//!
//! h2 wakes a call for each frame, with its lock held. The call runs in another thread: woken at
//! once, it would wait for that lock, take one frame, and fall asleep, sixty-four times for a MiB.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

thread_local! {
    /// Who is to be woken by the driver that runs on this thread, if one does.
    static HELD: RefCell<Option<Vec<Arc<Late>>>> = const { RefCell::new(None) };
}

/// A call's task.
struct Late(Waker);

impl Wake for Late {
    fn wake(self: Arc<Self>) {
        // A thread at its end drives nothing.
        let held = HELD.try_with(|held| match &mut *held.borrow_mut() {
            Some(held) => {
                held.push(self.clone());
                true
            }
            None => false,
        });
        if held != Ok(true) {
            self.0.wake_by_ref();
        }
    }
}

/// Does this, and only then wakes the calls that it has news for.
pub(super) fn together<T>(drive: impl FnOnce() -> T) -> T {
    let _ring = Ring;
    HELD.set(Some(Vec::new()));
    drive()
}

/// Wakes them, also where the drive panics.
struct Ring;

impl Drop for Ring {
    fn drop(&mut self) {
        for late in HELD.take().into_iter().flatten() {
            // One that panics must not keep the others asleep.
            catch_unwind(AssertUnwindSafe(|| late.0.wake_by_ref())).unwrap_or_default();
        }
    }
}

/// What a call gives to h2 instead of its task's waker.
pub(super) struct Ear {
    task: Waker,
    late: Waker,
}

impl Ear {
    pub(super) fn new() -> Ear {
        Ear { task: Waker::noop().clone(), late: Waker::noop().clone() }
    }

    /// What h2 is polled with on behalf of this task.
    pub(super) fn of(&mut self, cx: &Context<'_>) -> Context<'_> {
        if !self.task.will_wake(cx.waker()) {
            self.task.clone_from(cx.waker());
            self.late = Waker::from(Arc::new(Late(self.task.clone())));
        }
        Context::from_waker(&self.late)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    struct Panics;

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("on purpose");
        }
    }

    fn late(task: Waker) -> Waker {
        Ear::new().of(&Context::from_waker(&task)).waker().clone()
    }

    #[test]
    fn who_is_woken_in_a_drive_is_woken_after_it() {
        let count = Arc::new(Count::default());
        let woken = || count.0.load(SeqCst);
        let waker = late(count.clone().into());
        let elsewhere = waker.clone();
        together(|| {
            waker.wake_by_ref();
            assert_eq!(woken(), 0);
            // Whoever drives nothing waits for nobody.
            std::thread::spawn(move || elsewhere.wake()).join().unwrap();
            assert_eq!(woken(), 1);
        });
        assert_eq!(woken(), 2);
        waker.wake();
        assert_eq!(woken(), 3);
    }

    #[test]
    fn panics_keep_nobody_asleep() {
        let count = Arc::new(Count::default());
        let (bad, good) = (late(Arc::new(Panics).into()), late(count.clone().into()));
        let drive = || {
            bad.wake_by_ref();
            good.wake_by_ref();
            panic!("on purpose");
        };
        assert!(catch_unwind(AssertUnwindSafe(|| together(drive))).is_err());
        assert_eq!(count.0.load(SeqCst), 1);
    }

    #[test]
    fn a_task_is_followed_to_its_next_waker() {
        let (first, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let mut ear = Ear::new();
        for count in [&first, &second, &second] {
            let task = Waker::from(count.clone());
            ear.of(&Context::from_waker(&task)).waker().wake_by_ref();
        }
        assert_eq!((first.0.load(SeqCst), second.0.load(SeqCst)), (1, 2));
    }
}
