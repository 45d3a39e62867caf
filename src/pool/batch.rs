//! Batches on worker threads.

use std::sync::mpsc;

use super::Client;
use crate::batch::{Batch, ErrorGroup, Plan, Reorder, Slots};
use crate::endpoint::Endpoint;
use crate::error::Error;

type Output<I> = <<I as Iterator>::Item as Endpoint>::Output;

impl<I> Batch<Client, I>
where
    I: Iterator,
    I::Item: Endpoint + Send + 'static,
    Output<I>: Send + 'static,
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

    /// All outputs, in order, or the first error, which cancels the rest: queued
    /// calls are not made, sockets in use are shut down.
    ///
    /// # Errors
    /// The error with the index of its item, what was cancelled, and the outputs
    /// that were there by then.
    ///
    /// # Blocking
    /// Blocks until all calls are done or stopped. A `decode` that is running is
    /// waited for.
    pub fn fail_fast(self) -> Result<Vec<Output<I>>, ErrorGroup> {
        let mut slots = Slots::new();
        let mut failed = false;
        let mut stream = self.stream();
        while let Some((index, result)) = stream.next() {
            let error = result.is_err();
            slots.put(index, result);
            if error && !failed {
                failed = true;
                stream.plan.stop();
                stream.plan.cancel().cancel();
            }
        }
        if failed || stream.plan.is_cut() {
            return Err(stream.plan.group(slots, stream.items.size_hint()));
        }
        Ok(slots.into_results(&stream.plan).into_iter().flatten().collect())
    }

    /// The results with the index of their item, as they come. The workers go on
    /// while the consumer is busy; at most as many calls as may run at once are
    /// ahead of it.
    ///
    /// Dropping the iterator cancels what is under way and waits for it to end.
    pub fn stream(self) -> Stream<I> {
        let Batch { client, items, settings } = self;
        let now = client.api().clock().now();
        let plan = Plan::new(&settings, client.api(), items.size_hint(), now);
        let (tell, told) = mpsc::channel();
        let ready = Reorder::new(settings.ordered);
        Stream { client, items, plan, tell, told, ready }
    }
}

type Outcome<I> = (usize, Result<Output<I>, Error>);

/// Results of a batch, as the workers have them. See [`Batch::stream`].
#[must_use = "a stream makes no call until it is asked for a result"]
pub struct Stream<I>
where
    I: Iterator,
    I::Item: Endpoint,
{
    client: Client,
    items: I,
    plan: Plan,
    tell: mpsc::Sender<Outcome<I>>,
    told: mpsc::Receiver<Outcome<I>>,
    ready: Reorder<Result<Output<I>, Error>>,
}

impl<I> Iterator for Stream<I>
where
    I: Iterator,
    I::Item: Endpoint + Send + 'static,
    Output<I>: Send + 'static,
{
    type Item = Outcome<I>;

    fn next(&mut self) -> Option<Outcome<I>> {
        loop {
            if self.plan.cancel().is_cancelled() {
                self.plan.stop();
            }
            while self.plan.has_room() && self.ready.len() < self.plan.most() {
                match self.items.next() {
                    Some(item) => self.start(item),
                    None => self.plan.close(),
                }
            }
            if let Some(ready) = self.ready.take() {
                return Some(ready);
            }
            if self.plan.is_over() {
                return None;
            }
            // A worker answers every task it was given, and we hold a sender.
            let (index, result) = self.told.recv().expect("somebody is told");
            self.plan.finish(result.is_err());
            self.ready.put(index, result);
        }
    }
}

impl<I> Stream<I>
where
    I: Iterator,
    I::Item: Endpoint + Send + 'static,
    Output<I>: Send + 'static,
{
    fn start(&mut self, item: I::Item) {
        let (index, mistake) = self.plan.start();
        let tell = self.tell.clone();
        // Nobody may listen any more; the stream is then gone.
        let tell = move |result| drop(tell.send((index, result)));
        match mistake {
            Some(mistake) => tell(Err(mistake)),
            None => self.client.submit(item, self.plan.bounds.clone(), tell),
        }
    }
}

impl<I> Drop for Stream<I>
where
    I: Iterator,
    I::Item: Endpoint,
{
    fn drop(&mut self) {
        self.plan.cancel().cancel();
        for _ in 0..self.plan.in_flight() {
            drop(self.told.recv());
        }
    }
}

impl<I> std::fmt::Debug for Stream<I>
where
    I: Iterator,
    I::Item: Endpoint,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("client", &self.client).finish_non_exhaustive()
    }
}
