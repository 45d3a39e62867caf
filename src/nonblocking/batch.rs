//! Batches in a task: many calls at once.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use futures_util::stream::FuturesUnordered;
use smol::Task;
use smol::stream::Stream as Items;

use super::Client;
use super::driver::{self, Ear};
use crate::batch::{Batch, ErrorGroup, Plan, Reorder, Slots};
use crate::endpoint::Endpoint;
use crate::engine::Bounds;
use crate::error::Error;

type Output<I> = <<I as Items>::Item as Endpoint>::Output;

impl<I> Batch<Client, I>
where
    I: Items + Send,
    I::Item: Endpoint + Send,
    Output<I>: Send,
{
    /// One result per item, in order. An error stops nothing.
    ///
    /// # Cancel safety
    /// Dropping the future drops the calls and closes their connections.
    pub async fn gather(self) -> Vec<Result<Output<I>, Error>> {
        let mut slots = Slots::new();
        let (items, mut plan) = self.planned();
        drive(&items.client, &mut plan, pin!(items.items), |index, result| {
            slots.put(index, result);
            true
        })
        .await;
        slots.into_results(&plan)
    }

    /// All outputs, in order, or the first error, which cancels the rest.
    ///
    /// # Errors
    /// The error with the index of its item, what was cancelled, and the outputs
    /// that were there by then.
    ///
    /// # Cancel safety
    /// Dropping the future drops the calls and closes their connections.
    pub async fn fail_fast(self) -> Result<Vec<Output<I>>, ErrorGroup>
    where
        Output<I>: 'static,
    {
        let mut slots = Slots::new();
        let mut failed = false;
        let (items, mut plan) = self.planned();
        let mut source = pin!(items.items);
        drive(&items.client, &mut plan, source.as_mut(), |index, result| {
            failed = result.is_err();
            slots.put(index, result);
            !failed
        })
        .await;
        if failed || plan.is_cut() {
            return Err(plan.group(slots, source.size_hint()));
        }
        Ok(slots.into_results(&plan).into_iter().flatten().collect())
    }

    /// The results with the index of their item, as they come.
    ///
    /// The calls run as tasks of smol's global executor (one thread, `smol-1`, for
    /// all of the process), so they go on while the consumer is busy: no time-out
    /// runs out because nobody asked for the next result. At most as many calls
    /// as may run at once are ahead of the consumer.
    ///
    /// # Cancel safety
    /// Dropping the stream cancels the calls and closes their connections.
    pub fn stream(self) -> Stream<I>
    where
        I::Item: 'static,
        Output<I>: 'static,
    {
        let ordered = self.settings.ordered;
        let (batch, plan) = self.planned();
        Stream {
            client: batch.client,
            items: Box::pin(batch.items),
            plan,
            tasks: FuturesUnordered::new(),
            ready: Reorder::new(ordered),
            ear: Ear::default(),
        }
    }

    fn planned(self) -> (Self, Plan) {
        let api = self.client.api();
        let plan = Plan::new(&self.settings, api, self.items.size_hint(), api.clock().now());
        (self, plan)
    }
}

/// Runs the calls in this task and hands each result to `take`, until it says no.
async fn drive<I>(
    client: &Client,
    plan: &mut Plan,
    mut items: Pin<&mut I>,
    mut take: impl FnMut(usize, Result<Output<I>, Error>) -> bool,
) where
    I: Items,
    I::Item: Endpoint,
{
    let mut calls = FuturesUnordered::new();
    let mut ear = Ear::default();
    poll_fn(|cx| {
        // The calls hear it themselves.
        if ear.hears(plan.cancel(), cx) {
            plan.stop();
        }
        loop {
            while plan.has_room() {
                match items.as_mut().poll_next(cx) {
                    Poll::Ready(Some(item)) => {
                        let (index, mistake) = plan.start();
                        calls.push(one(client.clone(), item, index, mistake, plan.bounds.clone()));
                    }
                    Poll::Ready(None) => plan.close(),
                    Poll::Pending => break,
                }
            }
            match Pin::new(&mut calls).poll_next(cx) {
                Poll::Ready(Some((index, result))) => {
                    plan.finish(Result::is_err(&result));
                    if !take(index, result) {
                        plan.stop();
                        return Poll::Ready(());
                    }
                }
                _ if plan.is_over() => return Poll::Ready(()),
                _ => return Poll::Pending,
            }
        }
    })
    .await;
}

/// One item of a batch, from its request to its output.
async fn one<E: Endpoint>(
    client: Client,
    item: E,
    index: usize,
    mistake: Option<Error>,
    bounds: Bounds,
) -> (usize, Result<E::Output, Error>) {
    let result = match mistake {
        Some(mistake) => Err(mistake),
        None => match driver::run(client.0, item.request(), bounds).await {
            Ok(response) => item.decode(response),
            Err(error) => Err(error),
        },
    };
    (index, result)
}

type Outcome<I> = (usize, Result<Output<I>, Error>);

/// Results of a batch, as they come. See [`Batch::stream`].
#[must_use = "a stream makes no call until it is polled"]
pub struct Stream<I>
where
    I: Items,
    I::Item: Endpoint,
{
    client: Client,
    items: Pin<Box<I>>,
    plan: Plan,
    tasks: FuturesUnordered<Task<Outcome<I>>>,
    ready: Reorder<Result<Output<I>, Error>>,
    ear: Ear,
}

impl<I> Items for Stream<I>
where
    I: Items,
    I::Item: Endpoint + Send + 'static,
    Output<I>: Send + 'static,
{
    type Item = Outcome<I>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Outcome<I>>> {
        let this = &mut *self;
        // The calls hear it themselves.
        if this.ear.hears(this.plan.cancel(), cx) {
            this.plan.stop();
        }
        loop {
            while this.plan.has_room() && this.ready.len() < this.plan.most() {
                match this.items.as_mut().poll_next(cx) {
                    Poll::Ready(Some(item)) => {
                        let (index, mistake) = this.plan.start();
                        let bounds = this.plan.bounds.clone();
                        let call = one(this.client.clone(), item, index, mistake, bounds);
                        this.tasks.push(smol::spawn(call));
                    }
                    Poll::Ready(None) => this.plan.close(),
                    Poll::Pending => break,
                }
            }
            if let Some(ready) = this.ready.take() {
                return Poll::Ready(Some(ready));
            }
            match Pin::new(&mut this.tasks).poll_next(cx) {
                Poll::Ready(Some((index, result))) => {
                    this.plan.finish(result.is_err());
                    this.ready.put(index, result);
                }
                _ if this.plan.is_over() => return Poll::Ready(None),
                _ => return Poll::Pending,
            }
        }
    }
}

impl<I> std::fmt::Debug for Stream<I>
where
    I: Items,
    I::Item: Endpoint,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("client", &self.client).finish_non_exhaustive()
    }
}
