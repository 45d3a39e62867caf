//! Admission: so many at once, so many per unit of time, first come, first served.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::cancel::Cancel;
use crate::clock::Seat;
use crate::error::{Error, ErrorKind, Mistake};
use crate::policy::Rate;
use crate::sync::lock;

/// A gate of another making, for instance one that many machines share.
///
/// The engine asks it before each request and tells it what came of it. Each
/// way of running waits in its own colour.
pub trait Gate: fmt::Debug + Send + Sync + 'static {
    /// Waits for admission on this thread, no longer than `ask.until`, and no
    /// longer than until [`ask.is_cancelled`](Ask::is_cancelled):
    /// [`ask.block`](Ask::block) waits so.
    ///
    /// # Errors
    /// [`ErrorKind::Gate`] when the gate cannot be asked, `Timeout(Queue)` past
    /// `until`, [`ErrorKind::Cancelled`] when the caller has had enough.
    fn admit(&self, ask: &Ask) -> Result<Permit, Error>;

    /// Waits for admission in a task. Dropping the future gives the place up.
    ///
    /// # Errors
    /// As [`admit`](Gate::admit).
    fn admit_async<'a>(
        &'a self,
        ask: &'a Ask,
    ) -> Pin<Box<dyn Future<Output = Result<Permit, Error>> + Send + 'a>>;

    /// The server said to stay away for `wait`: nobody is admitted before that.
    fn close(&self, wait: Duration);

    /// The server served a request that this gate admitted. Does nothing unless the gate counts.
    fn served(&self) {}

    /// Whether a failed call may be repeated, where the gate keeps the budget;
    /// `share` is that of [`Retry::budget`](crate::Retry::budget). Asked once for
    /// each repeat, and must not block. `None`, the default, leaves it to the `Api`'s own count.
    fn may_retry(&self, share: f64) -> Option<bool> {
        let _ = share;
        None
    }

    /// Whether the gate's settings are good; asked when the `Api` is built. They are unless it says otherwise.
    ///
    /// # Errors
    /// What is wrong with them; it becomes the error of [`ApiBuilder::build`](crate::ApiBuilder::build).
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    /// The most units one request may ask for, if there is a limit.
    fn largest(&self) -> Option<u32> {
        None
    }
}

/// What a request asks of a [`Gate`].
#[derive(Clone, Debug)]
pub struct Ask {
    /// Units of the rate.
    pub cost: u32,
    /// When to give up.
    pub until: Instant,
    cancel: Option<Cancel>,
}

impl Ask {
    /// An ask that nobody cancels.
    pub fn new(cost: u32, until: Instant) -> Ask {
        let cancel = None;
        Ask { cost, until, cancel }
    }

    /// Whether the call, its job or its batch was cancelled. Always false in an
    /// async call: there the future is dropped.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.as_ref().is_some_and(Cancel::is_cancelled)
    }

    /// Waits until `poll` is done. Its `Err` says when to ask again at the latest;
    /// its waker asks earlier.
    ///
    /// # Blocking
    /// Blocks the thread for as long as `poll` is not done, whatever `until` says.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`], as soon as the call is cancelled.
    pub fn block<T>(
        &self,
        mut poll: impl FnMut(&Waker) -> Result<T, Option<Instant>>,
    ) -> Result<T, Error> {
        Seat::default().block(self.cancel.as_ref(), |_, waker| {
            if self.is_cancelled() {
                return Ok(Err(Error::new(ErrorKind::Cancelled, "")));
            }
            poll(waker).map(Ok)
        })
    }
}

/// Admission for one request. Dropping it makes room for the next.
pub struct Permit(Held);

enum Held {
    Local { gate: Arc<LocalGate>, wave: u64, served: bool },
    Other { _guard: Box<dyn Send>, gate: Option<Arc<dyn Gate>> },
}

impl Permit {
    /// A permit that ends when `guard` drops.
    pub fn new(guard: impl Send + 'static) -> Permit {
        let (_guard, gate) = (Box::new(guard), None);
        Permit(Held::Other { _guard, gate })
    }

    fn local(gate: &Arc<LocalGate>, wave: u64) -> Permit {
        Permit(Held::Local { gate: gate.clone(), wave, served: false })
    }

    /// The server answered with a rejection and said how long to stay away.
    pub(crate) fn rejected(&self, now: Instant, wait: Duration) {
        match &self.0 {
            Held::Local { gate, wave, .. } => gate.close(*wave, now, wait),
            Held::Other { gate: Some(gate), .. } => gate.close(wait),
            Held::Other { .. } => {}
        }
    }

    /// The server served the request. Our own gate counts that when it gets the place back.
    pub(crate) fn served(&mut self) {
        match &mut self.0 {
            Held::Local { served, .. } => *served = true,
            Held::Other { gate: Some(gate), .. } => gate.served(),
            Held::Other { .. } => {}
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Held::Local { gate, served, .. } = &self.0 {
            gate.release(*served);
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

/// The gate of an `Api`.
#[derive(Clone, Debug)]
pub(crate) enum Gates {
    Local(Arc<LocalGate>),
    Other(Arc<dyn Gate>),
}

impl Gates {
    pub(crate) fn check(&self, cost: u32) -> Result<(), Mistake> {
        let largest = match self {
            Gates::Local(gate) => gate.rate.map(|rate| rate.burst),
            Gates::Other(gate) => gate.largest(),
        };
        match largest {
            Some(burst) if cost > burst => {
                Err(Mistake::new("cost", "is above the burst of the rate"))
            }
            _ => Ok(()),
        }
    }

    /// `None` where the `Api` itself counts.
    pub(crate) fn may_retry(&self, share: f64) -> Option<bool> {
        match self {
            Gates::Local(_) => None,
            Gates::Other(gate) => gate.may_retry(share),
        }
    }

    /// A place that is free, with nobody in line for it.
    pub(crate) fn at_once(&self, cost: u32, now: Instant) -> Option<Permit> {
        let Gates::Local(gate) = self else { return None };
        let mut state = lock(&gate.state);
        if !state.queue.is_empty() {
            return None;
        }
        let wave = gate.admit(&mut state, cost, now).ok()?;
        Some(Permit::local(gate, wave))
    }

    pub(crate) fn ask(&self, cost: u32, until: Instant, cancel: Option<Cancel>) -> Admit {
        let ask = Ask { cost, until, cancel };
        match self {
            Gates::Local(gate) => Admit::Local(Ticket::new(gate.clone(), ask)),
            Gates::Other(gate) => Admit::Other(gate.clone(), ask),
        }
    }
}

/// Admission asked for; the driver waits for it in its own colour.
pub(crate) enum Admit {
    Local(Ticket),
    Other(Arc<dyn Gate>, Ask),
}

/// Ties a foreign permit to its gate, for what the server will say.
pub(crate) fn tied(gate: Arc<dyn Gate>, mut permit: Permit) -> Permit {
    if let Held::Other { gate: slot, .. } = &mut permit.0 {
        *slot = Some(gate);
    }
    permit
}

/// A place in the queue of the local gate. Dropping it gives the place up.
pub(crate) struct Ticket {
    gate: Arc<LocalGate>,
    ask: Ask,
    number: Option<u64>,
}

impl Ticket {
    fn new(gate: Arc<LocalGate>, ask: Ask) -> Ticket {
        let number = None;
        Ticket { gate, ask, number }
    }

    /// Asks for admission. `Err` says when to ask again at the latest; `waker` is
    /// woken when it is worth asking earlier.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        waker: &Waker,
    ) -> Result<Result<Permit, Error>, Option<Instant>> {
        let mut state = lock(&self.gate.state);
        let first = state.queue.keys().next().copied();
        let at_front = first.is_none() || first == self.number;
        let wait = if at_front {
            match self.gate.admit(&mut state, self.ask.cost, now) {
                Ok(wave) => {
                    let next = self.number.take().map(|number| state.leave(number));
                    drop(state);
                    next.flatten().inspect(Waker::wake_by_ref);
                    return Ok(Ok(Permit::local(&self.gate, wave)));
                }
                Err(wait) => wait,
            }
        } else {
            None
        };
        if now >= self.ask.until {
            use crate::error::Phase::Queue;
            return Ok(Err(Error::new(ErrorKind::Timeout(Queue), "")));
        }
        let number = *self.number.get_or_insert_with(|| {
            state.next += 1;
            state.next
        });
        state.queue.insert(number, waker.clone());
        let until = self.ask.until;
        Err(Some(wait.map_or(until, |at| at.min(until))))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let next = lock(&self.gate.state).leave(number);
            next.inspect(Waker::wake_by_ref);
        }
    }
}

/// After a rejection, calls served per unit of the limit before it grows again;
/// or so much time.
const CAUTION: usize = 10;
const RECOVERY: Duration = Duration::from_secs(5);

/// Concurrency and rate within one process.
///
/// A rejection that names a wait closes the gate for everybody. Each rejection
/// also takes one from the limit that was in flight, so that what reopens is
/// what the server took; then the limit grows slowly back to the setting.
pub(crate) struct LocalGate {
    most: usize,
    rate: Option<Rate>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Waiters by arrival. Only the first may be admitted.
    queue: BTreeMap<u64, Waker>,
    next: u64,
    in_flight: usize,
    limit: usize,
    /// Counts how often the gate was closed.
    wave: u64,
    served: usize,
    changed: Option<Instant>,
    closed_until: Option<Instant>,
    /// GCRA's theoretical arrival time of the next call.
    due: Option<Instant>,
}

impl State {
    /// Takes a waiter out; the one who is first now has to look, if it was first.
    fn leave(&mut self, number: u64) -> Option<Waker> {
        let was_first = self.queue.keys().next() == Some(&number);
        self.queue.remove(&number);
        if was_first { self.front() } else { None }
    }

    fn front(&self) -> Option<Waker> {
        self.queue.values().next().cloned()
    }
}

impl LocalGate {
    pub(crate) fn new(most: usize, rate: Option<Rate>) -> LocalGate {
        let state = State { limit: most, ..State::default() };
        let state = Mutex::new(state);
        LocalGate { most, rate, state }
    }

    /// Admits the first in line, or says when that may be possible.
    fn admit(&self, state: &mut State, cost: u32, now: Instant) -> Result<u64, Option<Instant>> {
        if let Some(at) = state.closed_until.filter(|at| *at > now) {
            return Err(Some(at));
        }
        self.recover(state, now);
        if state.in_flight >= state.limit {
            // The limit may grow with time alone.
            return Err(state.changed.map(|at| at + RECOVERY));
        }
        if let Some(rate) = self.rate {
            let interval = Duration::from_nanos(rate.interval());
            let due = state.due.map_or(now, |due| due.max(now)) + interval * cost;
            let earliest = due.checked_sub(interval * rate.burst).unwrap_or(now);
            if now < earliest {
                return Err(Some(earliest));
            }
            state.due = Some(due);
        }
        state.in_flight += 1;
        Ok(state.wave)
    }

    fn recover(&self, state: &mut State, now: Instant) {
        let rested = state.changed.is_some_and(|at| now >= at + RECOVERY);
        if rested || state.served >= CAUTION.saturating_mul(state.limit) {
            let step = if rested { 1 + state.limit / 4 } else { 1 };
            state.limit = state.limit.saturating_add(step).min(self.most);
            state.served = 0;
            state.changed = (state.limit < self.most).then_some(now);
        }
    }

    fn close(&self, wave: u64, now: Instant, wait: Duration) {
        let mut state = lock(&self.state);
        if wave == state.wave {
            state.wave += 1;
            state.limit = state.limit.min(state.in_flight);
        }
        state.limit = state.limit.saturating_sub(1).max(1);
        state.served = 0;
        let until = now.checked_add(wait);
        state.closed_until = state.closed_until.max(until);
        state.changed = state.closed_until;
    }

    /// Whoever is next lets the limit grow, if enough were served.
    fn release(&self, served: bool) {
        let mut state = lock(&self.state);
        state.in_flight -= 1;
        state.served += usize::from(served && state.limit < self.most);
        let next = state.front();
        drop(state);
        next.inspect(Waker::wake_by_ref);
    }
}

impl fmt::Debug for LocalGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.state);
        f.debug_struct("Gate")
            .field("concurrency", &self.most)
            .field("rate", &self.rate)
            .field("in_flight", &state.in_flight)
            .field("waiting", &state.queue.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod laws;

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(most: usize, rate: Option<Rate>) -> Gates {
        Gates::Local(Arc::new(LocalGate::new(most, rate)))
    }

    fn ticket(gate: &Gates, cost: u32, until: Instant) -> Ticket {
        match gate.ask(cost, until, None) {
            Admit::Local(ticket) => ticket,
            Admit::Other(..) => unreachable!("made local"),
        }
    }

    fn far(now: Instant) -> Instant {
        now + Duration::from_secs(1000)
    }

    fn admitted(ticket: &mut Ticket, now: Instant) -> Option<Permit> {
        ticket.poll(now, Waker::noop()).ok().map(|result| result.expect("not expired"))
    }

    #[test]
    fn first_come_first_served_and_a_dropped_place_is_passed_on() {
        let now = Instant::now();
        let gate = gate(1, None);
        let held = admitted(&mut ticket(&gate, 1, far(now)), now).expect("free");
        let mut two = ticket(&gate, 1, far(now));
        let mut three = ticket(&gate, 1, far(now));
        let mut four = ticket(&gate, 1, far(now));
        for waiting in [&mut two, &mut three, &mut four] {
            assert!(admitted(waiting, now).is_none());
        }
        drop(held);
        assert!(admitted(&mut three, now).is_none(), "two is first");
        drop(two);
        let held = admitted(&mut three, now).expect("first now");
        assert!(admitted(&mut four, now).is_none());
        drop(held);
        assert!(admitted(&mut four, now).is_some());
    }

    #[test]
    fn a_rate_spaces_and_a_burst_lets_some_through() {
        let start = Instant::now();
        let gate = gate(100, Some(Rate::per_second(10).burst(3)));
        let mut now = start;
        let mut times = Vec::new();
        for _ in 0..6 {
            let mut ticket = ticket(&gate, 1, far(start));
            loop {
                match ticket.poll(now, Waker::noop()) {
                    Ok(permit) => break drop(permit.expect("not expired")),
                    Err(Some(at)) => now = at,
                    Err(None) => panic!("nobody holds a permit"),
                }
            }
            times.push((now - start).as_millis());
        }
        assert_eq!(times, [0, 0, 0, 100, 200, 300]);
    }

    #[test]
    fn cost_is_bounded_by_the_burst() {
        let gate = gate(1, Some(Rate::per_second(1).burst(5)));
        assert!(gate.check(5).is_ok());
        assert!(gate.check(6).is_err());
    }

    #[test]
    fn an_expired_wait_is_an_error_and_leaves_no_place_taken() {
        let now = Instant::now();
        let gate = gate(1, None);
        let held = admitted(&mut ticket(&gate, 1, far(now)), now);
        let mut late = ticket(&gate, 1, now + Duration::from_secs(1));
        assert!(admitted(&mut late, now).is_none());
        let result = late.poll(now + Duration::from_secs(1), Waker::noop());
        assert!(matches!(result, Ok(Err(_))));
        drop((held, late));
        assert!(admitted(&mut ticket(&gate, 1, far(now)), now).is_some());
    }

    #[test]
    fn a_rejection_closes_for_all_and_reopens_to_what_the_server_took() {
        let now = Instant::now();
        let gate = gate(32, None);
        let mut wave: Vec<Permit> =
            (0..32).map(|_| admitted(&mut ticket(&gate, 1, far(now)), now).unwrap()).collect();
        let (taken, refused) = wave.split_at_mut(5);
        for permit in refused {
            permit.rejected(now, Duration::from_secs(1));
        }
        taken.iter_mut().for_each(Permit::served);
        drop(wave);
        let mut early = ticket(&gate, 1, far(now));
        assert_eq!(early.poll(now, Waker::noop()).err(), Some(Some(now + Duration::from_secs(1))));
        drop(early);
        let later = now + Duration::from_secs(1);
        let mut held = Vec::new();
        while let Some(permit) = admitted(&mut ticket(&gate, 1, far(later)), later) {
            held.push(permit);
        }
        assert_eq!(held.len(), 5);
    }

    #[test]
    fn the_limit_grows_back() {
        let start = Instant::now();
        let gate = gate(8, None);
        let one = admitted(&mut ticket(&gate, 1, far(start)), start).unwrap();
        one.rejected(start, Duration::from_secs(1));
        drop(one);
        let mut now = start + Duration::from_secs(1);
        for _ in 0..40 {
            admitted(&mut ticket(&gate, 1, far(now)), now).unwrap().served();
            now += Duration::from_secs(1);
        }
        let mut held = Vec::new();
        while let Some(permit) = admitted(&mut ticket(&gate, 1, far(now)), now) {
            held.push(permit);
        }
        assert_eq!(held.len(), 8);
    }
}
