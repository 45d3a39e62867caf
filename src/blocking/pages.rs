//! Pages on the calling thread: each is fetched when its first item is asked for.

use std::fmt;
use std::iter::FusedIterator;

use serde::de::DeserializeOwned;

use super::Client;
use crate::error::Error;
use crate::paging::Paging;
use crate::paging::pager::Pager;
use crate::request::Request;

/// The items of a list that comes in pages. Made by [`Client::pages`].
#[must_use = "no page is fetched before an item is asked for"]
pub struct Pages<T> {
    client: Client,
    pager: Pager<T>,
}

impl<T> Pages<T> {
    pub(super) fn new(client: &Client, request: Request, paging: Paging) -> Self {
        let pager = Pager::new(client.api(), request, paging, None);
        Pages { client: client.clone(), pager }
    }

    /// Where to go on after the last item given, for [`Paging::resume`]; `None` at
    /// the end of the list. After an error it is the page that failed. It may hold
    /// the link to a page, and what the server put into that.
    pub fn token(&self) -> Option<String> {
        self.pager.token()
    }
}

impl<T: DeserializeOwned> Iterator for Pages<T> {
    type Item = Result<T, Error>;

    /// # Blocking
    /// Blocks while a page is fetched; the items of one come without waiting.
    fn next(&mut self) -> Option<Result<T, Error>> {
        loop {
            if !self.pager.is_dry() {
                return self.pager.pop();
            }
            let Some(fetch) = self.pager.fetch() else { return self.pager.pop() };
            self.pager.received(self.client.call(fetch));
        }
    }
}

impl<T: DeserializeOwned> FusedIterator for Pages<T> {}

impl<T> fmt::Debug for Pages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("client", &self.client).finish_non_exhaustive()
    }
}

const _: () = {
    const fn assert<T: Send>() {}
    assert::<Pages<()>>();
};
