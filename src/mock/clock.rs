//! A clock that jumps from one wait to the next.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant, SystemTime};

use crate::clock::{Clock, Time};
use crate::sync::lock;

/// Time that passes only when every call of the API waits, and then at once.
///
/// Give it to the API by [`ApiBuilder::clock`](crate::ApiBuilder::clock) and use
/// a [`Mock`](super::Mock) as the transport; with real sockets time would stand
/// still for ever. Policies, gates, back-off and time-outs follow it.
///
/// ```
/// use std::time::Duration;
/// use duocall::blocking::Client;
/// use duocall::mock::{Mock, Reply, VirtualClock};
/// use duocall::{Api, Request};
///
/// # fn main() -> Result<(), duocall::Error> {
/// let clock = VirtualClock::new();
/// let api = Api::builder("http://api.example.com/").clock(&clock).build()?;
/// let mock = Mock::new();
/// mock.on("GET", "flows.json")
///     .reply(Reply::status(429).header("retry-after", "30"))
///     .reply(Reply::json(&["a"]));
/// Client::with_transport(api, mock).send(Request::get("flows.json"))?;
/// assert_eq!(clock.elapsed(), Duration::from_secs(30));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct VirtualClock(Arc<Inner>);

struct Inner {
    start: Instant,
    state: Mutex<State>,
}

struct State {
    elapsed: Duration,
    /// What the wall clock showed at zero.
    wall: SystemTime,
    seats: BTreeMap<u64, Waiting>,
    next: u64,
}

/// A call at the clock: busy, or waiting for a time, a wake-up, or both.
enum Waiting {
    Busy,
    /// Busy, and woken since it looked: it has to look again before it waits.
    Nudged,
    For(Option<Instant>, Waker),
}

impl VirtualClock {
    /// A clock at zero.
    pub fn new() -> VirtualClock {
        let (start, wall) = (Instant::now(), SystemTime::now());
        let state = State { elapsed: Duration::ZERO, wall, seats: BTreeMap::new(), next: 0 };
        VirtualClock(Arc::new(Inner { start, state: Mutex::new(state) }))
    }

    /// How much time has passed on it.
    pub fn elapsed(&self) -> Duration {
        lock(&self.0.state).elapsed
    }

    /// Lets time pass while no call waits.
    pub fn advance(&self, time: Duration) {
        lock(&self.0.state).elapsed += time;
        self.0.settle();
    }

    /// Sets the wall clock, and nothing else, as when a machine's clock is corrected:
    /// only dates of servers are compared with it, waits and limits are not.
    pub fn set_wall(&self, to: SystemTime) {
        let mut state = lock(&self.0.state);
        state.wall = to.checked_sub(state.elapsed).unwrap_or(SystemTime::UNIX_EPOCH);
    }

    pub(crate) fn clock(&self) -> Clock {
        Clock(Some(self.0.clone()))
    }
}

impl Default for VirtualClock {
    fn default() -> Self {
        VirtualClock::new()
    }
}

impl fmt::Debug for VirtualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VirtualClock").field(&self.elapsed()).finish()
    }
}

impl Inner {
    /// If everybody waits, goes on to the first time anybody waits for.
    fn settle(&self) {
        let mut state = lock(&self.state);
        let mut first = None;
        for seat in state.seats.values() {
            match seat {
                Waiting::Busy | Waiting::Nudged => return,
                Waiting::For(Some(at), _) => {
                    first = Some(first.map_or(*at, |f: Instant| f.min(*at)))
                }
                Waiting::For(None, _) => {}
            }
        }
        let Some(first) = first else { return };
        state.elapsed = state.elapsed.max(first.saturating_duration_since(self.start));
        let now = self.start + state.elapsed;
        let mut due = Vec::new();
        for seat in state.seats.values_mut() {
            if matches!(seat, Waiting::For(Some(at), _) if *at <= now) {
                if let Waiting::For(_, waker) = std::mem::replace(seat, Waiting::Busy) {
                    due.push(waker);
                }
            }
        }
        drop(state);
        due.into_iter().for_each(Waker::wake);
    }

    fn change(&self, seat: u64, to: impl FnOnce(&Waiting) -> Waiting) {
        if let Some(place) = lock(&self.state).seats.get_mut(&seat) {
            *place = to(place);
        }
    }
}

impl Time for Inner {
    fn now(&self) -> Instant {
        self.start + lock(&self.state).elapsed
    }

    fn wall(&self) -> SystemTime {
        let state = lock(&self.state);
        state.wall + state.elapsed
    }

    fn sit(&self) -> u64 {
        let mut state = lock(&self.state);
        let seat = state.next;
        state.next += 1;
        state.seats.insert(seat, Waiting::Busy);
        seat
    }

    fn leave(&self, seat: u64) {
        lock(&self.state).seats.remove(&seat);
        self.settle();
    }

    fn wait(&self, seat: u64, until: Option<Instant>, waker: &Waker) {
        self.change(seat, |now| match now {
            Waiting::Nudged => Waiting::Busy,
            _ => Waiting::For(until, waker.clone()),
        });
        self.settle();
    }

    fn busy(&self, seat: u64) {
        self.change(seat, |_| Waiting::Busy);
    }

    fn waker(self: Arc<Self>, seat: u64, inner: &Waker) -> Waker {
        Waker::from(Arc::new(Nudge { time: self, seat, inner: inner.clone() }))
    }
}

/// Makes a seat busy before it wakes: between the two, time must not pass.
struct Nudge {
    time: Arc<Inner>,
    seat: u64,
    inner: Waker,
}

impl Wake for Nudge {
    fn wake(self: Arc<Self>) {
        self.time.change(self.seat, |now| match now {
            Waiting::For(..) => Waiting::Busy,
            _ => Waiting::Nudged,
        });
        self.inner.wake_by_ref();
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VirtualClock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_does_not_pass_for_one_who_was_woken_while_busy() {
        let clock = VirtualClock::new();
        let time = clock.0.clone();
        let seat = time.sit();
        let far = Some(time.now() + Duration::from_secs(60));
        let waker = time.clone().waker(seat, Waker::noop());
        // It has looked, and is about to wait, when what it looked at changes.
        waker.wake_by_ref();
        time.wait(seat, far, Waker::noop());
        assert_eq!(clock.elapsed(), Duration::ZERO);
        // It has looked again, and nothing happened since.
        time.busy(seat);
        time.wait(seat, far, Waker::noop());
        assert_eq!(clock.elapsed(), Duration::from_secs(60));
    }
}
