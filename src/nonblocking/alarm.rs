//! One timer per call, and none set without need.
//!
//! Setting a timer of async-io wakes its reactor, which costs a system call or
//! two, and a limit of time hardly ever runs out. So a timer that is still to
//! ring is handed from call to call: it rings earlier than the call at hand
//! needs, and costs it a look every few seconds.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use smol::Timer;

use crate::clock::Seat;
use crate::sync::lock;

/// Timers that no call uses.
pub(super) struct Alarms {
    most: usize,
    spare: Mutex<Vec<Clockwork>>,
}

impl Alarms {
    pub(super) fn new(most: usize) -> Alarms {
        Alarms { most, spare: Mutex::default() }
    }
}

/// A timer with a waker of its own, that finds the task of the day.
struct Clockwork {
    timer: Timer,
    due: Instant,
    bell: Arc<Bell>,
    waker: Waker,
}

#[derive(Default)]
struct Bell {
    rang: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rang.store(true, SeqCst);
        let task = lock(&self.task).take();
        task.inspect(Waker::wake_by_ref);
    }
}

impl Clockwork {
    fn new(due: Instant) -> Clockwork {
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(bell.clone());
        let mut clockwork = Clockwork { timer: Timer::at(due), due, bell, waker };
        clockwork.wind();
        clockwork
    }

    fn set(&mut self, due: Instant) {
        self.due = due;
        self.timer.set_at(due);
        self.wind();
    }

    /// Tells the reactor of the timer; one that is due already rings at once.
    fn wind(&mut self) {
        let mut cx = Context::from_waker(&self.waker);
        if Pin::new(&mut self.timer).poll(&mut cx).is_ready() {
            self.bell.rang.store(true, SeqCst);
        }
    }

    /// Whether `until` has come; if not, sees to it that the task is woken then.
    fn rings(&mut self, until: Instant, cx: &Context<'_>) -> bool {
        let mut task = lock(&self.bell.task);
        if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
        drop(task);
        // Again after it was set: it rings without a wake-up if its time came meanwhile.
        while self.due > until || self.bell.rang.swap(false, SeqCst) {
            if Instant::now() >= until {
                self.bell.rang.store(true, SeqCst);
                return true;
            }
            self.set(until);
        }
        false
    }
}

/// The call's place at the clock, and its only timer.
pub(super) struct Alarm {
    pub(super) seat: Seat,
    alarms: Arc<Alarms>,
    clockwork: Option<Clockwork>,
}

impl Alarm {
    pub(super) fn new(alarms: &Arc<Alarms>, seat: Seat) -> Alarm {
        Alarm { seat, alarms: alarms.clone(), clockwork: None }
    }

    pub(super) fn now(&self) -> Instant {
        self.seat.now()
    }

    /// Waits until `poll` is done. Each `Err` of it says when to ask again at the latest.
    pub(super) async fn wait<T>(
        &mut self,
        mut poll: impl FnMut(Instant, &mut Context<'_>) -> Result<T, Option<Instant>>,
    ) -> T {
        poll_fn(|cx| self.poll(cx, &mut poll)).await
    }

    /// One poll of [`wait`](Alarm::wait).
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(Instant, &mut Context<'_>) -> Result<T, Option<Instant>>,
    ) -> Poll<T> {
        self.seat.busy();
        loop {
            let asked = if self.seat.is_virtual() {
                let waker = self.seat.waker(cx.waker());
                poll(self.now(), &mut Context::from_waker(&waker))
            } else {
                poll(self.now(), cx)
            };
            match asked {
                Ok(done) => return Poll::Ready(done),
                Err(until) if self.rings(until, cx) => {}
                Err(_) => return Poll::Pending,
            }
        }
    }

    fn rings(&mut self, until: Option<Instant>, cx: &Context<'_>) -> bool {
        if self.seat.is_virtual() {
            let rings = until.is_some_and(|at| at <= self.now());
            if !rings {
                self.seat.wait(until, cx.waker());
            }
            return rings;
        }
        let Some(until) = until else { return false };
        let alarms = &self.alarms;
        let spare = || lock(&alarms.spare).pop().unwrap_or_else(|| Clockwork::new(until));
        self.clockwork.get_or_insert_with(spare).rings(until, cx)
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(clockwork) = self.clockwork.take() {
            *lock(&clockwork.bell.task) = None;
            let mut spare = lock(&self.alarms.spare);
            if spare.len() < self.alarms.most {
                spare.push(clockwork);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;

    #[test]
    fn a_wait_that_is_over_while_it_is_set_ends() {
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let alarms = Arc::new(Alarms::new(4));
            for n in 0..20_000 {
                let mut alarm = Alarm::new(&alarms, Clock::default().sit());
                // Far first, so that the timer has to be set anew for the second.
                let start = alarm.now();
                let soon = start + Duration::from_nanos(n % 2_000);
                let mut far = Some(start + Duration::from_secs(60));
                smol::block_on(alarm.wait(|now, cx| match far.take() {
                    Some(far) => {
                        cx.waker().wake_by_ref();
                        Err(Some(far))
                    }
                    None if now >= soon => Ok(()),
                    None => Err(Some(soon)),
                }));
            }
            tell.send(()).unwrap();
        });
        told.recv_timeout(Duration::from_secs(30)).expect("no wait hangs");
    }
}
