//! A worker's part in a batch.

use std::sync::Arc;
use std::time::Instant;

use super::lane::Lane;
use super::made;
use super::workers::{Turns, caught};
use crate::batch::Rule;
use crate::blocking;
use crate::endpoint::Endpoint;
use crate::engine::{Bounds, Entry};
use crate::error::{Error, ErrorKind};

/// A call of a batch that has not begun.
pub(super) struct Call<E> {
    pub(super) index: usize,
    pub(super) item: E,
    pub(super) timeline: Option<Entry>,
    /// Since when.
    pub(super) waits: Instant,
}

pub(super) type Outcome<E> = (usize, Result<<E as Endpoint>::Output, Error>);

/// Makes the calls of a batch, one after another.
pub(super) struct Runner<E: Endpoint> {
    pub(super) lane: Arc<Lane<Call<E>, Outcome<E>>>,
    pub(super) client: blocking::Client,
    pub(super) bounds: Bounds,
    pub(super) rule: Rule,
    /// Since when it waits for a thread.
    pub(super) waits: Instant,
}

impl<E: Endpoint + Send + 'static> Runner<E> {
    /// Another, that waits from now on.
    pub(super) fn another(&self, now: Instant) -> Runner<E> {
        let (lane, client) = (self.lane.clone(), self.client.clone());
        Runner { lane, client, bounds: self.bounds.clone(), rule: self.rule.clone(), waits: now }
    }

    /// `waited` is since when there has been a place for the call, but no thread.
    pub(super) fn make(&mut self, call: Call<E>, waited: Option<Instant>) -> Outcome<E> {
        let Call { index, item, timeline, waits } = call;
        let Runner { client, bounds, .. } = self;
        bounds.timeline = timeline;
        bounds.queued = waited.map(|since| since.max(waits));
        let result = caught(|| made(item)(client, bounds));
        if self.rule.ends(&result) {
            // The consumer may be busy, or asleep.
            self.lane.close();
        }
        (index, result)
    }
}

impl<E> Turns for Runner<E>
where
    E: Endpoint + Send + 'static,
    E::Output: Send + 'static,
{
    fn run(&mut self, waiting: &dyn Fn() -> usize) -> bool {
        let mut waited = Some(self.waits);
        let lane = self.lane.clone();
        let again = lane.run(waiting, |call| self.make(call, waited.take()));
        if again {
            self.waits = self.client.api().clock().now();
        }
        again
    }

    fn refuse(&mut self, kind: ErrorKind) {
        self.lane.refuse(|call| (call.index, Err(Error::new(kind, ""))));
    }
}
