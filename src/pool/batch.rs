//! Batches on worker threads.

use std::mem;
use std::sync::Arc;
use std::task::Waker;

use super::Client;
use super::lane::Lane;
use super::runner::{self, Call, Runner};
use super::workers::works_for;
use crate::batch::{Batch, Plan, Reorder, Slots};
use crate::cancel::Subscription;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::group::ErrorGroup;

type Outcome<I> = runner::Outcome<<I as Iterator>::Item>;
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
        stream.runner.rule = stream.plan.rule();
        stream.by_ref().for_each(|(index, result)| slots.put(index, result));
        stream.plan.all(slots, stream.items.size_hint())
    }

    /// The results with the index of their item, as they come. The workers go on
    /// while the consumer is busy; at most twice as many calls as may run at once
    /// are ahead of it: under way, done, or held ready for the next free place.
    ///
    /// Dropping the iterator cancels what is under way and waits for it to end,
    /// as [`fail_fast`](Batch::fail_fast) does.
    pub fn stream(self) -> Stream<I> {
        let Batch { client, items, settings } = self;
        let mut plan = Plan::new(&settings, client.api(), items.size_hint());
        plan.at_most(client.workers.most());
        let lane = Arc::new(Lane::new(plan.most(), plan.cancel().clone()));
        let listening = plan.cancel().listen(&Waker::from(lane.clone()));
        let runner = Runner {
            lane,
            client: client.client.clone(),
            bounds: plan.bounds().clone(),
            rule: plan.rule(),
            waits: client.api().clock().now(),
        };
        let ready = Reorder::new(settings.ordered);
        Stream {
            client,
            items,
            plan,
            runner,
            inbox: Vec::new(),
            burst: false,
            ready,
            _listening: listening,
        }
    }
}

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
    /// What the workers' runners are made after; it helps them where it must.
    runner: Runner<I::Item>,
    /// Results on their way from there; kept for its memory.
    inbox: Vec<Outcome<I>>,
    /// Several came at once, since the last wait began.
    burst: bool,
    ready: Reorder<Result<Output<I>, Error>>,
    /// A cancellation ends the wait for calls that no worker has come to.
    _listening: Subscription,
}

impl<I> Iterator for Stream<I>
where
    I: Iterator,
    I::Item: Endpoint + Send + 'static,
    Output<I>: Send + 'static,
{
    type Item = Outcome<I>;

    fn next(&mut self) -> Option<Outcome<I>> {
        let most = self.plan.most();
        let mut looked = false;
        loop {
            if self.give_up() {
                continue;
            }
            let ahead = (2 * most).saturating_sub(self.ready.len());
            if self.plan.has_room_within(most.min(ahead)) {
                self.pull();
            } else if let Some(ready) = self.ready.take() {
                return Some(ready);
            } else if self.plan.is_over() {
                return None;
            } else if !mem::take(&mut looked) && self.collect() {
                continue;
            } else if self.plan.has_room_within(ahead) {
                // No result waits for the items, which may take their time.
                self.pull();
                looked = true;
            } else if !self.help() {
                self.wait();
            }
        }
    }
}

impl<I> Stream<I>
where
    I: Iterator,
    I::Item: Endpoint + Send + 'static,
    Output<I>: Send + 'static,
{
    fn pull(&mut self) {
        let Some(item) = self.items.next() else { return self.plan.exhaust() };
        let (index, timeline) = self.plan.take_in();
        match timeline {
            Err(mistake) => self.finish(index, Err(mistake)),
            Ok(timeline) => {
                let now = self.client.api().clock().now();
                let call = Call { index, item, timeline, waits: now };
                let mut came = mem::take(&mut self.inbox);
                if self.runner.lane.put(call, &mut came) {
                    self.client.workers.engage(Box::new(self.runner.another(now)));
                }
                self.take_in(came);
            }
        }
    }

    fn finish(&mut self, index: usize, result: Result<Output<I>, Error>) {
        self.plan.finish(index, &result);
        self.ready.put(index, result);
    }

    /// Takes in all results that are there.
    fn collect(&mut self) -> bool {
        let mut came = mem::take(&mut self.inbox);
        self.runner.lane.collect(&mut came);
        self.take_in(came)
    }

    fn take_in(&mut self, mut came: Vec<Outcome<I>>) -> bool {
        let some = !came.is_empty();
        self.burst |= came.len() > 1;
        came.drain(..).for_each(|(index, result)| self.finish(index, result));
        self.inbox = came;
        some
    }

    fn wait(&mut self) {
        let burst = mem::take(&mut self.burst);
        self.runner.lane.wait(if burst { self.plan.most().div_ceil(2) } else { 1 });
        self.collect();
    }

    /// Takes calls back that are not to begin any more.
    fn give_up(&mut self) -> bool {
        let Some(kind) = self.plan.stopped() else { return false };
        let mut calls = self.runner.lane.clear();
        let some = !calls.is_empty();
        let started = self.plan.lose(calls.len());
        for call in calls.drain(..started) {
            self.finish(call.index, Err(Error::new(kind, "")));
        }
        some
    }

    /// Makes a call here and now, for a worker that waits for its own pool.
    fn help(&mut self) -> bool {
        if !works_for(self.client.workers.id()) {
            return false;
        }
        let Some(call) = self.runner.lane.take() else { return false };
        let outcome = self.runner.make(call, None);
        self.runner.lane.give(outcome);
        true
    }
}

impl<I> Drop for Stream<I>
where
    I: Iterator,
    I::Item: Endpoint,
{
    fn drop(&mut self) {
        self.plan.cancel().cancel();
        let lane = &self.runner.lane;
        let calls = lane.clear();
        lane.settle();
        // A runner that still waits for a thread holds the lane for longer.
        lane.collect(&mut self.inbox);
        drop(calls);
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
