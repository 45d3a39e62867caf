//! Batches in a task: many calls at once.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use futures_util::stream::FuturesUnordered;
use smol::Task;
use smol::stream::Stream as Items;

use super::Client;
use super::driver::{self, Ear};
use crate::batch::{Batch, Plan, Reorder, Slots};
use crate::endpoint::Endpoint;
use crate::engine::Bounds;
use crate::error::Error;
use crate::group::ErrorGroup;

type Output<I> = <<I as Items>::Item as Endpoint>::Output;

impl<I> Batch<Client, I>
where
    I: Items + Send,
    I::Item: Endpoint + Send,
    Output<I>: Send,
{
    /// One result per item, in order. An error stops nothing. What a batch that
    /// was cancelled or late did not come to ends with that error.
    ///
    /// # Cancel safety
    /// Dropping the future drops the calls and closes their connections.
    ///
    /// # Panics
    /// As the items and the endpoint's code do; the other calls are dropped.
    // Not an `async fn`: that it is `Send` must be told, or rustc looks inside for it where the
    // future is spawned, and stumbles over the lifetimes of borrowed items.
    #[expect(clippy::manual_async_fn, reason = "says that it is Send")]
    pub fn gather(self) -> impl Future<Output = Vec<Result<Output<I>, Error>>> + Send {
        async move {
            let mut slots = Slots::new();
            let (items, mut plan) = self.planned();
            drive(&items.client, &mut plan, pin!(items.items), |index, result| {
                slots.put(index, result);
            })
            .await;
            plan.results(slots)
        }
    }

    /// All outputs, in order, or the first error, which cancels the rest.
    ///
    /// # Errors
    /// The error with the index of its item, what was cancelled, and the outputs
    /// that were there by then.
    ///
    /// # Cancel safety
    /// Dropping the future drops the calls and closes their connections.
    ///
    /// # Panics
    /// As the items and the endpoint's code do; the other calls are dropped.
    #[expect(clippy::manual_async_fn, reason = "says that it is Send")]
    pub fn fail_fast(self) -> impl Future<Output = Result<Vec<Output<I>>, ErrorGroup>> + Send
    where
        Output<I>: 'static,
    {
        async move {
            let mut slots = Slots::new();
            let (items, mut plan) = self.planned();
            plan.fail_fast();
            let mut source = pin!(items.items);
            drive(&items.client, &mut plan, source.as_mut(), |index, result| {
                slots.put(index, result);
            })
            .await;
            plan.all(slots, source.size_hint())
        }
    }

    /// The results with the index of their item, as they come.
    ///
    /// The calls run as tasks of smol's global executor (one thread, `smol-1`, for
    /// all of the process), so they go on while the consumer is busy: no time-out
    /// runs out because nobody asked for the next result. At most twice as many
    /// calls as may run at once are ahead of the consumer.
    ///
    /// # Cancel safety
    /// Dropping the stream cancels the calls and closes their connections.
    ///
    /// # Panics
    /// As the items and the endpoint's code do, in the task that polls the stream.
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
        let plan = Plan::new(&self.settings, self.client.api(), self.items.size_hint());
        (self, plan)
    }
}

/// Results taken in before other tasks get their turn: calls that never wait would
/// keep the thread to themselves.
const TURN: usize = 64;

/// Runs the calls in this task and hands each result to `take`.
async fn drive<I>(
    client: &Client,
    plan: &mut Plan,
    mut items: Pin<&mut I>,
    mut take: impl FnMut(usize, Result<Output<I>, Error>),
) where
    I: Items,
    I::Item: Endpoint,
{
    let mut calls = FuturesUnordered::new();
    let mut ear = Ear::default();
    poll_fn(|cx| {
        // The calls hear a cancellation themselves; the plan must not start more.
        ear.hears(plan.cancel(), cx);
        for _ in 0..TURN {
            while plan.has_room() {
                match items.as_mut().poll_next(cx) {
                    Poll::Ready(Some(item)) => {
                        let (index, bounds) = plan.start();
                        calls.push(numbered(index, one(client.clone(), item, bounds)));
                    }
                    Poll::Ready(None) => plan.exhaust(),
                    Poll::Pending => break,
                }
            }
            match Pin::new(&mut calls).poll_next(cx) {
                Poll::Ready(Some((index, result))) => {
                    plan.finish(index, &result);
                    take(index, result);
                }
                _ if plan.is_over() => return Poll::Ready(()),
                _ => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    // This closes their connections.
    drop(calls);
    plan.abandon();
}

async fn numbered<F: Future>(index: usize, call: F) -> (usize, F::Output) {
    (index, call.await)
}

/// One item of a batch, from its request to its output.
async fn one<E: Endpoint>(
    client: Client,
    item: E,
    bounds: Result<Bounds, Error>,
) -> Result<E::Output, Error> {
    let response = driver::run(client.0, item.request(), bounds?, Ok).await?;
    item.decode(response)
}

/// A call under way as a task of its own.
struct Numbered<T> {
    index: usize,
    task: Task<T>,
}

impl<T> Future for Numbered<T> {
    type Output = (usize, T);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<(usize, T)> {
        let index = self.index;
        Pin::new(&mut self.task).poll(cx).map(|result| (index, result))
    }
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
    tasks: FuturesUnordered<Numbered<Result<Output<I>, Error>>>,
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
        // The calls hear a cancellation themselves; the plan must not start more.
        this.ear.hears(this.plan.cancel(), cx);
        loop {
            while this.plan.has_room() && this.ready.len() < this.plan.most() {
                match this.items.as_mut().poll_next(cx) {
                    Poll::Ready(Some(item)) => {
                        let (index, bounds) = this.plan.start();
                        let task = smol::spawn(one(this.client.clone(), item, bounds));
                        this.tasks.push(Numbered { index, task });
                    }
                    Poll::Ready(None) => this.plan.exhaust(),
                    Poll::Pending => break,
                }
            }
            if let Some(ready) = this.ready.take() {
                return Poll::Ready(Some(ready));
            }
            match Pin::new(&mut this.tasks).poll_next(cx) {
                Poll::Ready(Some((index, result))) => {
                    this.plan.finish(index, &result);
                    this.ready.put(index, result);
                    continue;
                }
                // A call panicked, somebody has caught that, and polls again.
                Poll::Ready(None) if this.plan.in_flight() > 0 => this.plan.abandon(),
                _ => {}
            }
            return if this.plan.is_over() { Poll::Ready(None) } else { Poll::Pending };
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
