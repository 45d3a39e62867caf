//! Batches on worker threads.

use std::collections::VecDeque;
use std::sync::mpsc;

use super::workers::{Task, works_for};
use super::{Client, made};
use crate::batch::{Batch, Plan, Reorder, Slots};
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::group::ErrorGroup;

type Output<I> = <<I as Iterator>::Item as Endpoint>::Output;

impl<I> Batch<Client, I>
where
    I: Iterator,
    I::Item: Endpoint + Send + 'static,
    Output<I>: Send + 'static,
{
    /// One result per item, in order. An error stops nothing. What a batch that
    /// was cancelled or late did not come to ends with that error.
    ///
    /// # Blocking
    /// Blocks until all calls are done.
    ///
    /// # Panics
    /// As the items do. A panic of the endpoint's code is an error of its call.
    pub fn gather(self) -> Vec<Result<Output<I>, Error>> {
        let mut slots = Slots::new();
        let mut stream = self.stream();
        stream.by_ref().for_each(|(index, result)| slots.put(index, result));
        stream.plan.results(slots)
    }

    /// All outputs, in order, or the first error, which cancels the rest: queued
    /// calls are not made, sockets in use are shut down.
    ///
    /// # Errors
    /// The error with the index of its item, what was cancelled, and the outputs
    /// that were there by then.
    ///
    /// # Blocking
    /// Blocks until all calls are done or stopped, which takes no longer than a
    /// `decode` or a refresh hook that is running.
    ///
    /// # Panics
    /// As the items do. A panic of the endpoint's code is an error of its call.
    pub fn fail_fast(self) -> Result<Vec<Output<I>>, ErrorGroup> {
        let mut slots = Slots::new();
        let mut stream = self.stream();
        stream.plan.fail_fast();
        stream.by_ref().for_each(|(index, result)| slots.put(index, result));
        stream.plan.all(slots, stream.items.size_hint())
    }

    /// The results with the index of their item, as they come. The workers go on
    /// while the consumer is busy; at most twice as many calls as may run at once
    /// are ahead of it.
    ///
    /// Dropping the iterator cancels what is under way and waits for it to end,
    /// as [`fail_fast`](Batch::fail_fast) does.
    pub fn stream(self) -> Stream<I> {
        let Batch { client, items, settings } = self;
        let mut plan = Plan::new(&settings, client.api(), items.size_hint());
        plan.at_most(client.workers.most());
        let (tell, told) = mpsc::channel();
        let ready = Reorder::new(settings.ordered);
        Stream { client, items, plan, tell, told, ready, own: VecDeque::new() }
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
    /// What a worker of the same pool has queued, and makes itself if need be.
    own: VecDeque<Task>,
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
            while self.plan.has_room() && self.ready.len() < self.plan.most() {
                match self.items.next() {
                    Some(item) => self.start(item),
                    None => self.plan.exhaust(),
                }
            }
            if let Some(ready) = self.ready.take() {
                return Some(ready);
            }
            if self.plan.is_over() {
                return None;
            }
            let (index, result) = self.wait();
            self.plan.finish(index, &result);
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
        let (index, bounds) = self.plan.start();
        let tell = self.tell.clone();
        // Nobody may listen any more; the stream is then gone.
        let tell = move |result| drop(tell.send((index, result)));
        match bounds {
            Err(mistake) => tell(Err(mistake)),
            Ok(bounds) => {
                let task = self.client.submit(made(item), bounds, tell);
                if works_for(self.client.workers.id()) {
                    while self.own.front().is_some_and(Task::is_taken) {
                        self.own.pop_front();
                    }
                    self.own.push_back(task);
                }
            }
        }
    }

    fn wait(&mut self) -> Outcome<I> {
        while let Some(task) = self.own.pop_front() {
            if let Ok(told) = self.told.try_recv() {
                self.own.push_front(task);
                return told;
            }
            task.run();
        }
        // A worker answers every task it was given, and we hold a sender.
        self.told.recv().expect("somebody is told")
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
