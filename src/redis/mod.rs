//! One gate for a fleet: rate, concurrency and retry budget shared through Redis.
//!
//! ```no_run
//! use std::time::Duration;
//! use duocall::redis::{Fallback, RedisGate};
//! use duocall::{Api, Rate};
//!
//! # fn main() -> Result<(), duocall::Error> {
//! let gate = RedisGate::new("redis://127.0.0.1/", "rapidpro:token-7")?
//!     .rate(Rate::per_second(20).burst(5))
//!     .concurrency(16)
//!     .fallback(Fallback::local(1.0 / 10.0)); // ten workers
//! let api = Api::builder("https://app.rapidpro.io/api/v2/").gate(gate).build()?;
//! # drop(api); Ok(()) }
//! ```
//!
//! Every `Api` with a gate of the same key is bound by it, in whichever process, on whichever machine,
//! called in whichever way. Give all of them the same settings. It needs Redis 6 or later, or Valkey;
//! one server, not a cluster.
//!
//! # What is shared
//! - **The rate**: the same GCRA as in one process, on Redis's own clock. A worker reserves units for
//!   those of its calls that wait and those that its pace makes likely, at most as many as the rate
//!   gives in 50 ms and at most 100 (but always enough for the first call). It asks for more when what
//!   it has ends within 25 ms. A unit may be used late, by an interval and half a burst of them (at
//!   least 5 ms, at most 50 ms); then it lapses, and what it stood for is lost. That half of the burst
//!   pays for it, the other half may go at once. So in any second no more than `rate + burst` are
//!   admitted; where the interval is below 5 ms and the burst is small, what the rate gives in 5 ms
//!   may come on top. Units that nobody needs any more go back, if nobody reserved after them. Allow
//!   for a burst of some intervals: with a burst of 1 every late moment is lost.
//! - **Concurrency**: slots that a worker holds by a lease and uses for call after call. What it has no
//!   use for goes back within 100 ms; where others lack slots it is left with its fair share. A worker
//!   renews its lease while it holds slots; if it dies they are free when the lease ends.
//! - **Rejections**: a 429 or 503 with a wait closes the gate for every worker (those subscribed hear it
//!   at once, the others with their next exchange) and takes back the concurrency, which grows again
//!   slowly, as in one process. It reopens without a burst.
//! - **The retry budget** of [`Retry::budget`](crate::Retry::budget): repeats and calls of all workers
//!   are counted together. A worker knows the others' as of its last exchange, and keeps to its part of
//!   the rest.
//!
//! # What it costs
//! Each admission takes at most one round trip, and shares it with others: a worker exchanges word
//! with Redis when calls lack units or slots, every 50 ms while calls come and go, and to renew its
//! lease. Where the concurrency is used up by others it asks again every 50 ms for all who wait. Two
//! threads and two connections per gate, from its first call on. It goes by real time, also where the
//! `Api` has a virtual clock.
//!
//! # When Redis is away
//! What [`Fallback`] says. A call waits for word from Redis no longer than twice the
//! [`timeout`](RedisGate::timeout). The gate tries to reach Redis again by itself, at most a second
//! apart, and goes on as before; what Redis has forgotten in between it is told again, and no burst
//! is given then. A worker that was cut off for longer than its lease may meanwhile exceed the
//! concurrency by what it has in flight.

mod link;
mod state;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ::redis::Client;

use crate::engine::gate::{Ask, Gate, Permit};
use crate::error::{Error, ErrorKind, Mistake};
use crate::policy::Rate;
use crate::sync::lock;
use link::Shared;
use state::Settings;

/// What calls do while Redis cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fallback(Option<f64>);

impl Fallback {
    /// They fail at once with [`ErrorKind::Gate`]. This is the default.
    pub fn refuse() -> Fallback {
        Fallback(None)
    }

    /// They go on within this share of the rate and of the concurrency (one call
    /// at least), without a burst. `1.0 / workers` keeps the fleet within the
    /// limit; above 0, at most 1.
    pub fn local(share: f64) -> Fallback {
        Fallback(Some(share))
    }

    fn share(self) -> Option<f64> {
        self.0
    }
}

/// A gate that every worker with the same key shares. See the [module](self).
///
/// It is started by its first call. Dropping the last `Api` that has it gives
/// back what it holds.
///
/// # Blocking
/// That drop waits for Redis, at most twice the [`timeout`](RedisGate::timeout).
pub struct RedisGate {
    client: Client,
    key: String,
    settings: Settings,
    running: Mutex<Option<Running>>,
}

struct Running {
    shared: Arc<Shared>,
    asking: Option<JoinHandle<()>>,
}

impl RedisGate {
    /// A gate on the Redis at `url` (`redis://user:password@host:port/database`),
    /// known there by `key`. No I/O happens before the first call.
    ///
    /// # Errors
    /// [`ErrorKind::Request`] when the URL cannot be read, or the key is empty.
    pub fn new(url: impl AsRef<str>, key: impl Into<String>) -> Result<RedisGate, Error> {
        let key = key.into();
        if key.is_empty() {
            return Err(Mistake::new("key of the gate", "is empty").into());
        }
        // The reason may quote the URL, and with it a password.
        let wrong = |_| Mistake::new("URL of Redis", "cannot be used");
        let client = Client::open(url.as_ref()).map_err(wrong)?;
        let settings = Settings {
            rate: None,
            most: 32,
            lease: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            fallback: Fallback::refuse(),
        };
        // Together they are in one slot of a cluster, should it ever come to that.
        let key = format!("duocall:{{{key}}}");
        Ok(RedisGate { client, key, settings, running: Mutex::default() })
    }

    /// How many calls per unit of time, of all workers together. Defaults to no limit.
    #[must_use]
    pub fn rate(mut self, rate: Rate) -> RedisGate {
        self.settings.rate = Some(rate);
        self
    }

    /// How many calls at once, of all workers together; at least 1. Defaults to 32.
    #[must_use]
    pub fn concurrency(mut self, most: usize) -> RedisGate {
        self.settings.most = most;
        self
    }

    /// How long after a worker's last sign of life its slots are free again; from
    /// 100 ms to a day. It gives a sign three times in that time. Defaults to 10 s.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> RedisGate {
        self.settings.lease = lease;
        self
    }

    /// The longest wait for a connection to Redis, and for an answer; from 1 ms to
    /// a minute. Defaults to 1 s.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> RedisGate {
        self.settings.timeout = limit;
        self
    }

    /// What calls do while Redis cannot be asked. Defaults to [`Fallback::refuse`].
    #[must_use]
    pub fn fallback(mut self, fallback: Fallback) -> RedisGate {
        self.settings.fallback = fallback;
        self
    }

    /// What the threads and the calls share; starts the threads the first time.
    fn shared(&self) -> Result<Arc<Shared>, Error> {
        let mut running = lock(&self.running);
        if let Some(running) = &*running {
            return Ok(running.shared.clone());
        }
        let shared = Arc::new(Shared::new(self.settings.clone()));
        let started = link::start(&shared, &self.client, self.key.clone());
        let asking = Some(started.map_err(|error| {
            Error::new(ErrorKind::Resource, "no thread for the gate").caused_by(error)
        })?);
        *running = Some(Running { shared: shared.clone(), asking });
        Ok(shared)
    }

    /// The shared part, if there was a call yet.
    fn started(&self) -> Option<Arc<Shared>> {
        lock(&self.running).as_ref().map(|running| running.shared.clone())
    }

    fn ticket(&self) -> Result<Ticket, Error> {
        Ok(Ticket { shared: self.shared()?, number: None })
    }
}

impl Gate for RedisGate {
    fn admit(&self, ask: &Ask) -> Result<Permit, Error> {
        let mut ticket = self.ticket()?;
        ask.block(|waker| ticket.poll(ask, waker))?
    }

    #[cfg(feature = "async")]
    fn admit_async<'a>(
        &'a self,
        ask: &'a Ask,
    ) -> Pin<Box<dyn Future<Output = Result<Permit, Error>> + Send + 'a>> {
        use std::task::Poll;

        Box::pin(async move {
            let mut ticket = self.ticket()?;
            let mut timer = None::<(Instant, smol::Timer)>;
            std::future::poll_fn(|cx| {
                loop {
                    let at = match ticket.poll(ask, cx.waker()) {
                        Ok(result) => return Poll::Ready(result),
                        Err(at) => at.unwrap_or(ask.until),
                    };
                    if timer.as_ref().is_none_or(|(set, _)| *set != at) {
                        timer = Some((at, smol::Timer::at(at)));
                    }
                    let Some((_, ringing)) = &mut timer else { return Poll::Pending };
                    if Pin::new(ringing).poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    timer = None;
                }
            })
            .await
        })
    }

    /// Fails: there is no async client in this build.
    #[cfg(not(feature = "async"))]
    fn admit_async<'a>(
        &'a self,
        _: &'a Ask,
    ) -> Pin<Box<dyn Future<Output = Result<Permit, Error>> + Send + 'a>> {
        let error = Error::new(ErrorKind::Gate, "needs the feature async");
        Box::pin(std::future::ready(Err(error)))
    }

    fn close(&self, wait: Duration) {
        if let Some(shared) = self.started() {
            shared.with(|state, now| state.rejected(now, wait));
        }
    }

    fn served(&self) {
        if let Some(shared) = self.started() {
            lock(&shared.state).served();
        }
    }

    fn may_retry(&self, share: f64) -> Option<bool> {
        self.started()?.with(|state, _| state.may_retry(share))
    }

    fn largest(&self) -> Option<u32> {
        self.settings.rate.map(|rate| rate.burst)
    }

    fn check(&self) -> Result<(), Error> {
        let Settings { rate, most, lease, timeout, fallback } = &self.settings;
        let between = |value: &Duration, least, most| {
            (Duration::from_millis(least)..=Duration::from_secs(most)).contains(value)
        };
        if let Some(rate) = rate {
            rate.check()?;
        }
        let flaw = if *most == 0 {
            Mistake::new("concurrency of the gate", "is zero")
        } else if !between(lease, 100, 24 * 3600) {
            Mistake::new("lease of the gate", "is not between 100 ms and a day")
        } else if !between(timeout, 1, 60) {
            Mistake::new("time-out of the gate", "is not between 1 ms and a minute")
        } else if fallback.share().is_some_and(|share| !(share > 0.0 && share <= 1.0)) {
            Mistake::new("local share of the gate", "is not above 0 and at most 1")
        } else {
            return Ok(());
        };
        Err(flaw.into())
    }
}

impl Drop for RedisGate {
    fn drop(&mut self) {
        if let Some(mut running) = lock(&self.running).take() {
            running.shared.stop();
            // A waker run by that thread may drop the last `Api`; it does not join itself.
            let me = thread::current().id();
            if let Some(asking) = running.asking.take().filter(|other| other.thread().id() != me) {
                // It ends by its time-outs, and has nothing to say if it panicked.
                drop(asking.join());
            }
        }
    }
}

impl fmt::Debug for RedisGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("RedisGate");
        out.field("key", &self.key)
            .field("rate", &self.settings.rate)
            .field("concurrency", &self.settings.most)
            .field("fallback", &self.settings.fallback);
        if let Some(shared) = self.started() {
            let (in_flight, waiting, reached) = lock(&shared.state).counts();
            out.field("in_flight", &in_flight)
                .field("waiting", &waiting)
                .field("reached", &reached);
        }
        out.finish_non_exhaustive()
    }
}

/// A place in this worker's queue. Dropping it gives the place up.
struct Ticket {
    shared: Arc<Shared>,
    number: Option<u64>,
}

impl Ticket {
    fn poll(&mut self, ask: &Ask, waker: &Waker) -> Result<Result<Permit, Error>, Option<Instant>> {
        let (settings, number) = (&self.shared.settings, &mut self.number);
        let (polled, next) = self.shared.with(|state, now| {
            let polled = state.poll(settings, number, ask, now, waker);
            // Whoever is first now has to look.
            let next = matches!(polled, Ok(Ok(()))).then(|| state.front()).flatten();
            (polled, next)
        });
        next.inspect(Waker::wake_by_ref);
        polled.map(|result| result.map(|()| Permit::new(Place(self.shared.clone()))))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let next = self.shared.with(|state, _| {
                state.leave(number);
                state.front()
            });
            next.inspect(Waker::wake_by_ref);
        }
    }
}

/// One call in flight.
struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        let next = self.0.with(|state, _| {
            state.release();
            state.front()
        });
        next.inspect(Waker::wake_by_ref);
    }
}

const _: () = {
    const fn assert<T: Send + Sync>() {}
    assert::<RedisGate>();
};
