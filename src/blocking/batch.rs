//! Batches on the calling thread: one call after another.

use super::Client;
use crate::batch::{Batch, ErrorGroup, Plan, Slots};
use crate::endpoint::Endpoint;
use crate::error::Error;

impl<I> Batch<Client, I>
where
    I: Iterator,
    I::Item: Endpoint,
{
    /// One result per item, in order. An error stops nothing.
    ///
    /// # Blocking
    /// Blocks until all calls are done.
    pub fn gather(self) -> Vec<Result<Output<I>, Error>> {
        let mut slots = Slots::new();
        let mut stream = self.stream();
        stream.by_ref().for_each(|(index, result)| slots.put(index, result));
        slots.into_results(&stream.plan)
    }

    /// All outputs, in order, or the first error; nothing is called after it.
    ///
    /// # Errors
    /// The error with the index of its item, and the outputs before it.
    ///
    /// # Blocking
    /// Blocks until all calls are done, or one has failed.
    pub fn fail_fast(self) -> Result<Vec<Output<I>>, ErrorGroup>
    where
        Output<I>: Send + 'static,
    {
        let mut slots = Slots::new();
        let mut failed = false;
        let mut stream = self.stream();
        while !failed {
            let Some((index, result)) = stream.next() else { break };
            failed = result.is_err();
            slots.put(index, result);
        }
        if failed || stream.plan.is_cut() {
            return Err(stream.plan.group(slots, stream.items.size_hint()));
        }
        Ok(slots.into_results(&stream.plan).into_iter().flatten().collect())
    }

    /// The results with the index of their item. The next call is made when the
    /// next result is asked for.
    pub fn stream(self) -> Stream<I> {
        let Batch { client, items, settings } = self;
        let now = client.api().clock().now();
        let plan = Plan::new(&settings, client.api(), items.size_hint(), now);
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
        if self.plan.cancel().is_cancelled() {
            self.plan.stop();
        }
        if !self.plan.has_room() {
            return None;
        }
        let Some(item) = self.items.next() else {
            self.plan.close();
            return None;
        };
        let (index, mistake) = self.plan.start();
        let result = match mistake {
            Some(mistake) => Err(mistake),
            None => {
                let sent = self.client.run(item.request(), self.plan.bounds.clone());
                sent.and_then(|response| item.decode(response))
            }
        };
        self.plan.finish(result.is_err());
        Some((index, result))
    }
}

impl<I> std::fmt::Debug for Stream<I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("client", &self.client).finish_non_exhaustive()
    }
}
