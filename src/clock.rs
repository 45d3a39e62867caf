//! Where time comes from. Policies are told the time; only drivers ask for it.

use std::fmt::Debug;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Instant, SystemTime};

use crate::cancel::Cancel;
use crate::sync::{park, unparker};

/// A source of time of its own, such as the virtual clock of the feature `mock`.
///
/// Time stands still while anybody is busy. Each call takes a seat; it is busy
/// until it says that it waits, and again from the moment somebody wakes it.
pub(crate) trait Time: Debug + Send + Sync {
    fn now(&self) -> Instant;
    fn wall(&self) -> SystemTime;
    fn sit(&self) -> u64;
    fn leave(&self, seat: u64);
    /// The seat waits for `until`, or only for its waker.
    fn wait(&self, seat: u64, until: Option<Instant>, waker: &Waker);
    fn busy(&self, seat: u64);
    /// A waker for others to hold: makes the seat busy before it wakes.
    fn waker(self: Arc<Self>, seat: u64, inner: &Waker) -> Waker;
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Clock(pub(crate) Option<Arc<dyn Time>>);

impl Clock {
    pub(crate) fn now(&self) -> Instant {
        self.0.as_ref().map_or_else(Instant::now, |time| time.now())
    }

    pub(crate) fn wall(&self) -> SystemTime {
        self.0.as_ref().map_or_else(SystemTime::now, |time| time.wall())
    }

    pub(crate) fn sit(&self) -> Seat {
        Seat(self.0.as_ref().map(|time| Arc::new(Place { id: time.sit(), time: time.clone() })))
    }
}

/// One call's place at a virtual clock; nothing at the system's. Clones are the same place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seat(Option<Arc<Place>>);

#[derive(Debug)]
struct Place {
    time: Arc<dyn Time>,
    id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.time.leave(self.id);
    }
}

impl Seat {
    pub(crate) fn now(&self) -> Instant {
        self.0.as_ref().map_or_else(Instant::now, |place| place.time.now())
    }

    pub(crate) fn is_virtual(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn waker(&self, inner: &Waker) -> Waker {
        match &self.0 {
            Some(place) => place.time.clone().waker(place.id, inner),
            None => inner.clone(),
        }
    }

    pub(crate) fn wait(&self, until: Option<Instant>, waker: &Waker) {
        if let Some(place) = &self.0 {
            place.time.wait(place.id, until, waker);
        }
    }

    pub(crate) fn busy(&self) {
        if let Some(place) = &self.0 {
            place.time.busy(place.id);
        }
    }

    /// Blocks the thread until `poll` is done. Each `Err` of it says when to ask
    /// again at the latest; its waker asks earlier, and so does a cancellation.
    pub(crate) fn block<T>(
        &self,
        cancel: Option<&Cancel>,
        mut poll: impl FnMut(Instant, &Waker) -> Result<T, Option<Instant>>,
    ) -> T {
        // Most never wait, and are spared the waker.
        if let Ok(done) = poll(self.now(), Waker::noop()) {
            return done;
        }
        let plain = unparker();
        let waker = self.waker(&plain);
        let _listening = cancel.map(|cancel| cancel.listen(&waker));
        loop {
            match poll(self.now(), &waker) {
                Ok(done) => return done,
                Err(until) => self.park(until, &plain),
            }
        }
    }

    fn park(&self, until: Option<Instant>, waker: &Waker) {
        if self.is_virtual() {
            self.wait(until, waker);
            park(None);
            self.busy();
            return;
        }
        park(until);
    }
}
