//! One timer per call, and none set without need.
//!
//! Setting a timer of async-io wakes its reactor, which costs a system call or
//! two, and a limit of time hardly ever runs out. So a timer that is still to
//! ring is handed from call to call: it rings earlier than the call at hand
//! needs, and costs it a look every few seconds.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use smol::Timer;

use super::bell::Bell;
use crate::clock::Seat;

/// How many timers a thread keeps that no call uses.
const SPARE: usize = 256;

thread_local! {
    #[expect(clippy::vec_box, reason = "they go from hand to hand")]
    static SPARES: RefCell<Vec<Box<Clockwork>>> = const { RefCell::new(Vec::new()) };
}

/// A timer with a waker of its own, that finds the task of the day. Boxed: a call has room for one
/// all its time, and so has the place of the spare ones.
struct Clockwork {
    timer: Timer,
    due: Instant,
    bell: Arc<Bell>,
    waker: Waker,
}

impl Clockwork {
    /// One of this thread's, which no call uses, or a new one.
    fn spare(due: Instant) -> Box<Clockwork> {
        let spare = SPARES.try_with(|spares| spares.borrow_mut().pop());
        spare.ok().flatten().unwrap_or_else(|| Clockwork::new(due))
    }

    fn new(due: Instant) -> Box<Clockwork> {
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(bell.clone());
        let mut clockwork = Box::new(Clockwork { timer: Timer::at(due), due, bell, waker });
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
            self.bell.set();
        }
    }

    /// Whether `until` has come; if not, sees to it that the task is woken then.
    fn rings(&mut self, until: Instant, cx: &Context<'_>) -> bool {
        self.bell.wakes(cx);
        // Again after `set`: the time may have come while the timer was set.
        while self.due > until || self.bell.rang() {
            if Instant::now() >= until {
                self.bell.set();
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
    clockwork: Option<Box<Clockwork>>,
}

impl Alarm {
    pub(super) fn new(seat: Seat) -> Alarm {
        Alarm { seat, clockwork: None }
    }

    pub(super) fn now(&self) -> Instant {
        self.seat.now()
    }

    /// Waits until `poll` is done. Each `Err` of it says when to ask again at the latest.
    pub(super) fn wait<T>(
        &mut self,
        mut poll: impl FnMut(&Seat, &mut Context<'_>) -> Result<T, Option<Instant>>,
    ) -> impl Future<Output = T> {
        poll_fn(move |cx| self.poll(cx, &mut poll))
    }

    /// One poll of [`wait`](Alarm::wait).
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&Seat, &mut Context<'_>) -> Result<T, Option<Instant>>,
    ) -> Poll<T> {
        self.seat.busy();
        loop {
            let asked = if self.seat.is_virtual() {
                let waker = self.seat.waker(cx.waker());
                poll(&self.seat, &mut Context::from_waker(&waker))
            } else {
                poll(&self.seat, cx)
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
        self.clockwork.get_or_insert_with(|| Clockwork::spare(until)).rings(until, cx)
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let Some(clockwork) = self.clockwork.take() else { return };
        clockwork.bell.wakes_nobody();
        // A thread at its end keeps none.
        let _ = SPARES.try_with(|spares| {
            let mut spares = spares.borrow_mut();
            if spares.len() < SPARE {
                spares.push(clockwork);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::unparker;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn a_time_that_comes_while_the_timer_is_set_is_not_missed() {
        let waker = unparker();
        let cx = Context::from_waker(&waker);
        let mut clockwork = Clockwork::new(Instant::now() + Duration::from_secs(60));
        for nanos in (0..40_000).step_by(20) {
            let until = Instant::now() + Duration::from_nanos(nanos);
            while !clockwork.rings(until, &cx) {
                thread::park_timeout(Duration::from_secs(5));
                assert!(until.elapsed() < Duration::from_secs(4), "nobody woke the task");
            }
        }
    }
}
