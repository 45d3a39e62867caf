//! Batches on the calling thread: one call after another.

use super::Client;
use crate::batch::{Batch, Plan, Slots};
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::group::ErrorGroup;

impl<I> Batch<Client, I>
where
    I: Iterator,
    I::Item: Endpoint,
{
    /// One result per item, in order. An error stops nothing. What a batch that
    /// was cancelled or late did not come to ends with that error.
    ///
    /// # Blocking
    /// Blocks until all calls are done.
    ///
    /// # Panics
    /// As the items and the endpoint's code do.
    pub fn gather(self) -> Vec<Result<Output<I>, Error>> {
        let mut slots = Slots::new();
        let mut stream = self.stream();
        stream.by_ref().for_each(|(index, result)| slots.put(index, result));
        stream.plan.results(slots)
    }

    /// All outputs, in order, or the first error; nothing is called after it.
    ///
    /// # Errors
    /// The error with the index of its item, and the outputs before it.
    ///
    /// # Blocking
    /// Blocks until all calls are done, or one has failed.
    ///
    /// # Panics
    /// As the items and the endpoint's code do.
    pub fn fail_fast(self) -> Result<Vec<Output<I>>, ErrorGroup>
    where
        Output<I>: Send + 'static,
    {
        let mut slots = Slots::new();
        let mut stream = self.stream();
        stream.plan.fail_fast();
        stream.by_ref().for_each(|(index, result)| slots.put(index, result));
        stream.plan.all(slots, stream.items.size_hint())
    }

    /// The results with the index of their item. The next call is made when the
    /// next result is asked for.
    pub fn stream(self) -> Stream<I> {
        let Batch { client, items, settings } = self;
        let plan = Plan::new(&settings, client.api(), items.size_hint());
        Stream { client, items, plan }
    }
}

type Output<I> = <<I as Iterator>::Item as Endpoint>::Output;

/// Results of a batch, made as they are asked for. See [`Batch::stream`].
#[must_use = "a stream makes no call until it is asked for a result"]
pub struct Stream<I> {
    client: Client,
    items: I,
    plan: Plan,
}

impl<I> Iterator for Stream<I>
where
    I: Iterator,
    I::Item: Endpoint,
{
    type Item = (usize, Result<Output<I>, Error>);

    fn next(&mut self) -> Option<Self::Item> {
        if !self.plan.has_room() {
            return None;
        }
        let Some(item) = self.items.next() else {
            self.plan.exhaust();
            return None;
        };
        let (index, bounds) = self.plan.start();
        let sent = bounds.and_then(|mut bounds| self.client.run(item.request(), &mut bounds));
        let result = sent.and_then(|response| item.decode(response));
        self.plan.finish(index, &result);
        Some((index, result))
    }
}

impl<I> std::fmt::Debug for Stream<I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("client", &self.client).finish_non_exhaustive()
    }
}
