//! Lists that come in pages: how an API numbers or links them, as a value.

mod link;
pub(crate) mod pager;
pub(crate) mod plan;
mod token;

use crate::error::Mistake;

/// How an API splits a list into pages.
///
/// A value like any other setting: `client.pages::<T>(request, paging)` of each
/// client gives the items, one after another.
///
/// ```no_run
/// use duocall::blocking::Client;
/// use duocall::{Api, Paging, Request};
/// # #[derive(serde::Deserialize)] struct Flow { uuid: String }
///
/// # fn main() -> Result<(), duocall::Error> {
/// let client = Client::new(Api::new("https://api.example.com/v2/")?);
/// for flow in client.pages::<Flow>(Request::get("flows.json"), Paging::next_url("/next", "/results")) {
///     let flow: Flow = flow?;
///     println!("{}", flow.uuid);
/// }
/// # Ok(()) }
/// ```
///
/// The rules, the same in every way of running:
///
/// - Items come in the order of the pages. An item that is not a `T` is an `Err`
///   of kind [`Decode`](crate::ErrorKind::Decode) that says which one; the items
///   after it follow.
/// - A page that cannot be had or read is one `Err`, after the items before it;
///   then the iteration is over. Nothing is left out silently.
/// - A response of status 204, or of one outside 2xx that the request
///   [`accept`](crate::Request::accept)s, is a page without items or a next one.
/// - A link to the next page is resolved against the page's own URL and keeps the
///   request's method, headers and body. The credential goes along, so the link
///   must stay under the API's base; one that leaves it is refused with kind
///   [`Redirect`](crate::ErrorKind::Redirect). (For a
///   [`Request::absolute`](crate::Request::absolute), which never has the
///   credential, it must stay at that origin.)
/// - A next page that was read before is a loop, and a thousand pages without an
///   item in a row are no list: kind [`Redirect`](crate::ErrorKind::Redirect), too.
#[derive(Clone, Debug)]
#[must_use = "a paging does nothing until a client's `pages` gets it"]
pub struct Paging {
    pub(crate) scheme: Scheme,
    pub(crate) items: String,
    pub(crate) prefetch: usize,
    pub(crate) max_pages: Option<u64>,
    pub(crate) total: Option<Total>,
    pub(crate) resume: Option<String>,
    pub(crate) mistake: Option<Mistake>,
}

/// Where the next page is.
#[derive(Clone, Debug)]
pub(crate) enum Scheme {
    NextUrl { next: String },
    Page { param: String, first: u64 },
    Offset { param: String, limit_param: String, size: u64 },
    Cursor { param: String, cursor: String },
    LinkHeader,
}

/// How long the list is, by what a page says.
#[derive(Clone, Debug)]
pub(crate) struct Total {
    pub(crate) pointer: String,
    pub(crate) counts: Counts,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Counts {
    Items,
    Pages,
}

impl Paging {
    /// The body holds the URL of the next page at `next`, and the items at `items`:
    /// two JSON pointers (RFC 6901), as in `/next` and `/results`. The list ends
    /// where that URL is missing, `null` or empty.
    pub fn next_url(next: impl Into<String>, items: impl Into<String>) -> Paging {
        let next = next.into();
        Paging::new(Scheme::NextUrl { next: next.clone() })
            .pointing("pointer to the next URL", &next)
            .items(items)
    }

    /// Numbered pages: `param=first`, `param=first+1` and so on in the query, or
    /// in the place of `{param}` in the target. The list ends with the first empty
    /// page, which an API that ignores `param` never gives: see
    /// [`max_pages`](Paging::max_pages).
    ///
    /// ```
    /// use duocall::{Paging, Request};
    ///
    /// let query = (Request::get("species"), Paging::page("page", 1));
    /// let path = (Request::get("species/page/{page}"), Paging::page("page", 0));
    /// ```
    pub fn page(param: impl Into<String>, first: u64) -> Paging {
        Paging::new(Scheme::Page { param: param.into(), first })
    }

    /// Parts of at most `size` items: `param` counts the items before the part,
    /// `limit_param` asks for the size. The list ends with the first empty part;
    /// one that is shorter than asked for is no end, and nothing is left out after it.
    pub fn offset(param: impl Into<String>, limit_param: impl Into<String>, size: u64) -> Paging {
        let (param, limit_param) = (param.into(), limit_param.into());
        let mut paging = Paging::new(Scheme::Offset { param, limit_param, size });
        if size == 0 {
            paging.keep(Mistake::new("size of a page", "is zero"));
        }
        paging
    }

    /// The body holds at the JSON pointer `cursor` the text or number that goes
    /// into `param` of the next request. The list ends where it is missing, `null`,
    /// `false` or empty.
    pub fn cursor(param: impl Into<String>, cursor: impl Into<String>) -> Paging {
        let (param, cursor) = (param.into(), cursor.into());
        Paging::new(Scheme::Cursor { param, cursor: cursor.clone() })
            .pointing("pointer to the cursor", &cursor)
    }

    /// The response's `Link` field has the URL of the next page, with `rel="next"` (RFC 8288).
    pub fn link_header() -> Paging {
        Paging::new(Scheme::LinkHeader)
    }

    fn new(scheme: Scheme) -> Paging {
        Paging {
            scheme,
            items: String::new(),
            prefetch: 0,
            max_pages: None,
            total: None,
            resume: None,
            mistake: None,
        }
    }

    /// Where in the body the array of items is, as a JSON pointer. Defaults to
    /// the whole body; [`next_url`](Paging::next_url) takes it with the link.
    pub fn items(mut self, pointer: impl Into<String>) -> Paging {
        self.items = pointer.into();
        let pointer = self.items.clone();
        self.pointing("pointer to the items", &pointer)
    }

    /// How many pages the pool and async clients may have ready, or on their way,
    /// beyond the one that is being consumed. The blocking client fetches a page
    /// when its first item is asked for. Defaults to 0.
    pub fn prefetch(mut self, pages: usize) -> Paging {
        self.prefetch = pages;
        self
    }

    /// Ends after so many pages, at least 1, without an error; the token then says
    /// where the rest begins. Defaults to no limit.
    pub fn max_pages(mut self, most: u64) -> Paging {
        if most == 0 {
            self.keep(Mistake::new("number of pages", "is zero"));
        }
        self.max_pages = Some(most);
        self
    }

    /// The body holds at this JSON pointer how many items there are in all.
    ///
    /// After the first page the pool and async clients then fetch the others side
    /// by side, as many at once as the API's concurrency allows, and the list
    /// needs no empty page to end. For [`page`](Paging::page), where the first page
    /// tells the size of the others, and [`offset`](Paging::offset), where a part
    /// that is shorter than the first, and not the last, is an error of kind
    /// [`Decode`](crate::ErrorKind::Decode). Defaults to not known.
    pub fn total(self, pointer: impl Into<String>) -> Paging {
        self.counted(pointer.into(), Counts::Items)
    }

    /// As [`total`](Paging::total), where the number is that of the pages. Defaults to not known.
    pub fn total_pages(self, pointer: impl Into<String>) -> Paging {
        self.counted(pointer.into(), Counts::Pages)
    }

    /// Begins where another iteration stopped: at the item after the last one it
    /// gave, see `token()` of the clients' `Pages`. The request and the paging must
    /// be the same as then. Defaults to the beginning.
    pub fn resume(mut self, token: impl Into<String>) -> Paging {
        self.resume = Some(token.into());
        self
    }

    fn counted(mut self, pointer: String, counts: Counts) -> Paging {
        if !matches!(self.scheme, Scheme::Page { .. } | Scheme::Offset { .. }) {
            self.keep(Mistake::new("total", "is of use with numbered pages and offsets only"));
        }
        self.total = Some(Total { pointer: pointer.clone(), counts });
        self.pointing("pointer to the total", &pointer)
    }

    fn pointing(mut self, field: &'static str, pointer: &str) -> Paging {
        if !(pointer.is_empty() || pointer.starts_with('/')) {
            self.keep(Mistake::new(field, "does not begin with a slash (RFC 6901)"));
        }
        self
    }

    fn keep(&mut self, mistake: Mistake) {
        self.mistake.get_or_insert(mistake);
    }
}
