//! Pages fetched by the workers.

use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;

use serde::de::DeserializeOwned;

use super::{Client, Job};
use crate::error::Error;
use crate::paging::Paging;
use crate::paging::pager::Pager;
use crate::paging::plan::Page;
use crate::request::Request;

/// The items of a list that comes in pages. Made by [`Client::pages`].
///
/// The workers fetch the pages and read them. With [`prefetch`](Paging::prefetch)
/// they do so while the consumer is busy: what comes next is looked after whenever
/// an item is asked for. Dropping the iterator cancels what is under way.
#[must_use = "no page is fetched before an item is asked for"]
pub struct Pages<T> {
    client: Client,
    pager: Pager<T>,
    jobs: VecDeque<Job<Page<T>>>,
}

impl<T> Pages<T> {
    pub(super) fn new(client: &Client, request: Request, paging: Paging) -> Self {
        let width = client.api().concurrency();
        let pager = Pager::new(client.api(), request, paging, Some(width));
        Pages { client: client.clone(), pager, jobs: VecDeque::new() }
    }

    /// Where to go on after the last item given, for [`Paging::resume`]; `None` at
    /// the end of the list. After an error it is the page that failed. It may hold
    /// the link to a page, and what the server put into that.
    pub fn token(&self) -> Option<String> {
        self.pager.token()
    }
}

impl<T: DeserializeOwned + Send + 'static> Iterator for Pages<T> {
    type Item = Result<T, Error>;

    /// # Blocking
    /// Blocks while the next page is not there.
    fn next(&mut self) -> Option<Result<T, Error>> {
        loop {
            while let Some(fetch) = self.pager.fetch() {
                self.jobs.push_back(self.client.call(fetch));
            }
            let wanted = |job: &Job<_>| self.pager.is_dry() || job.is_done();
            if !self.jobs.front().is_some_and(wanted) {
                return self.pager.pop();
            }
            let Some(job) = self.jobs.pop_front() else { continue };
            self.pager.received(job.wait());
            self.jobs.truncate(self.pager.awaited());
        }
    }
}

impl<T: DeserializeOwned + Send + 'static> FusedIterator for Pages<T> {}

impl<T> fmt::Debug for Pages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("client", &self.client).finish_non_exhaustive()
    }
}

const _: () = {
    const fn assert<T: Send>() {}
    assert::<Pages<()>>();
};
