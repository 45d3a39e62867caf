//! Pages fetched in a task.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use serde::de::DeserializeOwned;
use smol::stream::Stream;

use super::Client;
use crate::error::Error;
use crate::paging::Paging;
use crate::paging::pager::Pager;
use crate::paging::plan::Page;
use crate::request::Request;

type Call<T> = Pin<Box<dyn Future<Output = Result<Page<T>, Error>> + Send>>;

/// The items of a list that comes in pages. Made by [`Client::pages`].
///
/// A page is fetched in the task that asks for its first item. With
/// [`prefetch`](Paging::prefetch) or a [`total`](Paging::total) the calls run as
/// tasks of smol's global executor (one thread, `smol-1`, for all of the process),
/// as those of a batch's stream do, so they go on while the consumer is busy; what
/// comes next is looked after whenever an item is asked for.
///
/// # Cancel safety
/// No item is lost when a future of the next one is dropped. Dropping the stream
/// cancels what is under way.
#[must_use = "no page is fetched before an item is asked for"]
pub struct Pages<T> {
    client: Client,
    pager: Pager<T>,
    calls: VecDeque<Call<T>>,
}

/// Nothing in it is pinned: the calls are boxed, and the items move.
impl<T> Unpin for Pages<T> {}

impl<T> Pages<T> {
    pub(super) fn new(client: &Client, request: Request, paging: Paging) -> Self {
        let width = client.api().concurrency();
        let pager = Pager::new(client.api(), request, paging, Some(width));
        Pages { client: client.clone(), pager, calls: VecDeque::new() }
    }

    /// Where to go on after the last item given, for [`Paging::resume`]; `None` at
    /// the end of the list. After an error it is the page that failed. It may hold
    /// the link to a page, and what the server put into that.
    pub fn token(&self) -> Option<String> {
        self.pager.token()
    }
}

impl<T: DeserializeOwned + Send + 'static> Pages<T> {
    fn fill(&mut self) {
        while let Some(fetch) = self.pager.fetch() {
            let call = self.client.call(fetch);
            self.calls.push_back(match self.pager.runs_ahead() {
                true => Box::pin(smol::spawn(call)),
                false => Box::pin(call),
            });
        }
    }
}

impl<T: DeserializeOwned + Send + 'static> Stream for Pages<T> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            this.fill();
            let Some(call) = this.calls.front_mut() else { return Poll::Ready(this.pager.pop()) };
            match call.as_mut().poll(cx) {
                Poll::Ready(result) => {
                    this.calls.pop_front();
                    this.pager.received(result);
                    this.calls.truncate(this.pager.awaited());
                }
                Poll::Pending if this.pager.is_dry() => return Poll::Pending,
                Poll::Pending => return Poll::Ready(this.pager.pop()),
            }
        }
    }
}

impl<T> fmt::Debug for Pages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("client", &self.client).finish_non_exhaustive()
    }
}

const _: () = {
    const fn assert<T: Send>() {}
    assert::<Pages<()>>();
};
