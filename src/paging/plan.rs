//! What is fixed about an iteration: how a page is asked for, and how it is read.

use std::fmt::Display;
use std::marker::PhantomData;
use std::sync::Arc;

use http::header::LINK;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Counts, Paging, Scheme, link};
use crate::api::Api;
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind};
use crate::request::Request;
use crate::response::Response;
use crate::url::{Url, UrlError};

/// Where a page is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Position {
    /// What the request says as it is.
    First,
    /// The number of the page, or of the items before it.
    Number(u64),
    Cursor(String),
    /// A full URL that may be followed.
    Link(String),
}

#[derive(Debug)]
pub(crate) struct Plan {
    pub(super) request: Request,
    pub(super) paging: Paging,
    api: Api,
}

/// One page as it was read.
pub(crate) struct Page<T> {
    pub(super) items: Vec<Result<T, Error>>,
    pub(super) next: Result<Option<Position>, Error>,
    pub(super) total: Option<u64>,
    pub(super) response: Response,
}

/// The pages of a list whose length is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Extent {
    pub(super) last: u64,
    pub(super) step: u64,
}

impl Extent {
    pub(super) fn after(self, at: &Position) -> Option<Position> {
        let Position::Number(at) = at else { return None };
        let next = at.checked_add(self.step).filter(|next| *next <= self.last);
        next.map(Position::Number)
    }
}

impl Plan {
    pub(super) fn new(request: Request, paging: Paging, api: Api) -> Plan {
        Plan { request, paging, api }
    }

    pub(super) fn first(&self) -> Position {
        match self.paging.scheme {
            Scheme::Page { first, .. } => Position::Number(first),
            Scheme::Offset { .. } => Position::Number(0),
            _ => Position::First,
        }
    }

    fn request(&self, at: &Position) -> Request {
        let mut request = self.request.clone();
        match (&self.paging.scheme, at) {
            (Scheme::Page { param, .. }, Position::Number(page)) => placed(request, param, page),
            (Scheme::Offset { param, limit_param, size }, Position::Number(offset)) => {
                placed(placed(request, param, offset), limit_param, size)
            }
            (Scheme::Cursor { param, .. }, Position::Cursor(cursor)) => {
                placed(request, param, cursor)
            }
            (_, Position::Link(url)) => {
                request.target = self.target(url);
                request.query.clear();
                request
            }
            _ => request,
        }
    }

    /// A link as the target of a request that is like the first one: relative to
    /// the base, which is what lets the credential go along.
    fn target(&self, url: &str) -> String {
        if self.request.absolute {
            return url.to_owned();
        }
        let rest = url.strip_prefix(self.api.base_url()).unwrap_or(url);
        format!("./{rest}")
    }

    /// Whether a link may be followed.
    pub(super) fn check(&self, url: &Url) -> Result<(), UrlError> {
        if !self.request.absolute {
            return url.check_within(self.api.base());
        }
        let home = Url::parse(&self.request.target)?;
        if url.same_origin(&home) { Ok(()) } else { Err(UrlError::LeavesOrigin) }
    }

    fn read<T: DeserializeOwned>(
        &self,
        at: &Position,
        response: Response,
    ) -> Result<Page<T>, Error> {
        let status = response.status();
        if !status.is_success() || matches!(status.as_u16(), 204 | 205) {
            return Ok(Page { items: Vec::new(), next: Ok(None), total: None, response });
        }
        let mut body: Value = response.json()?;
        let total = self.total(&body, &response)?;
        let linked = self.linked(&body, &response);
        let pointer = &self.paging.items;
        let items = match body.pointer_mut(pointer).map(Value::take) {
            Some(Value::Array(items)) => items,
            found => return Err(unlike(&response, pointer, found.as_ref(), "an array of items")),
        };
        let count = items.len() as u64;
        let typed = |(index, item)| {
            let wrong = |error: serde_json::Error| {
                let what = response.without_secret(error.to_string());
                response.failing(ErrorKind::Decode, format!("{pointer}/{index}: {what}"))
            };
            serde_json::from_value(item).map_err(wrong)
        };
        let items = items.into_iter().enumerate().map(typed).collect();
        let next = match (&self.paging.scheme, at) {
            (Scheme::Page { .. }, Position::Number(at)) => Ok(following(*at, count.min(1))),
            (Scheme::Offset { .. }, Position::Number(at)) => Ok(following(*at, count)),
            _ => linked,
        };
        Ok(Page { items, next, total, response })
    }

    fn total(&self, body: &Value, response: &Response) -> Result<Option<u64>, Error> {
        let Some(total) = &self.paging.total else { return Ok(None) };
        let found = body.pointer(&total.pointer);
        match found.and_then(Value::as_u64) {
            Some(count) => Ok(Some(count)),
            None => Err(unlike(response, &total.pointer, found, "a number of items or pages")),
        }
    }

    /// What the page itself says of the next one.
    fn linked(&self, body: &Value, response: &Response) -> Result<Option<Position>, Error> {
        match &self.paging.scheme {
            Scheme::NextUrl { next } => match body.pointer(next) {
                None | Some(Value::Null) => Ok(None),
                Some(Value::String(link)) if link.is_empty() => Ok(None),
                Some(Value::String(link)) => self.followed(link, response).map(Some),
                found => Err(unlike(response, next, found, "a URL")),
            },
            Scheme::Cursor { cursor, .. } => match body.pointer(cursor) {
                None | Some(Value::Null | Value::Bool(false)) => Ok(None),
                Some(Value::String(text)) if text.is_empty() => Ok(None),
                Some(Value::String(text)) => Ok(Some(Position::Cursor(text.clone()))),
                Some(Value::Number(number)) => Ok(Some(Position::Cursor(number.to_string()))),
                found => Err(unlike(response, cursor, found, "a cursor")),
            },
            Scheme::LinkHeader => {
                for value in response.headers().get_all(LINK) {
                    let Ok(text) = std::str::from_utf8(value.as_bytes()) else {
                        return Err(response.failing(ErrorKind::Decode, "a Link is not UTF-8"));
                    };
                    if let Some(link) = link::next(text) {
                        return self.followed(link, response).map(Some);
                    }
                }
                Ok(None)
            }
            Scheme::Page { .. } | Scheme::Offset { .. } => Ok(None),
        }
    }

    fn followed(&self, link: &str, response: &Response) -> Result<Position, Error> {
        let url = response.place().resolve(link);
        let checked = url.and_then(|url| self.check(&url).map(|()| url));
        match checked {
            Ok(mut url) => {
                // The server may echo it; it is added when the page is asked for.
                self.api.secret_param().inspect(|name| url.remove_query(name));
                Ok(Position::Link(url.as_str().to_owned()))
            }
            Err(error) => {
                let why = format!("the link to the next page {}", error.as_str());
                Err(response.failing(ErrorKind::Redirect, why))
            }
        }
    }

    /// The pages there are, by the first of them: its number of items, and what it says of the total.
    pub(super) fn extent(&self, at: &Position, count: u64, total: u64) -> Option<Extent> {
        if *at != self.first() || count == 0 {
            return None;
        }
        let pages = match self.paging.total.as_ref()?.counts {
            Counts::Pages => total,
            Counts::Items => total.div_ceil(count),
        };
        let more = pages.saturating_sub(1);
        match self.paging.scheme {
            Scheme::Page { first, .. } => {
                Some(Extent { last: first.saturating_add(more), step: 1 })
            }
            Scheme::Offset { .. } => Some(Extent { last: more.saturating_mul(count), step: count }),
            _ => None,
        }
    }
}

/// A parameter in the target, if that has a place for it; else in the query.
fn placed(request: Request, param: &str, value: impl Display) -> Request {
    if request.target.contains(&format!("{{{param}}}")) {
        request.param(param, value)
    } else {
        request.query(param, value)
    }
}

/// The position after a page with something on it.
fn following(at: u64, step: u64) -> Option<Position> {
    at.checked_add(step).filter(|next| *next > at).map(Position::Number)
}

fn unlike(response: &Response, pointer: &str, found: Option<&Value>, wanted: &str) -> Error {
    let place = if pointer.is_empty() { "the body" } else { pointer };
    let what = match found {
        Some(_) => format!("{place} is not {wanted}"),
        None => format!("there is nothing at {place}"),
    };
    response.failing(ErrorKind::Decode, what)
}

/// The call for one page.
pub(crate) struct Fetch<T> {
    plan: Arc<Plan>,
    at: Position,
    items: PhantomData<fn() -> T>,
}

impl<T> Fetch<T> {
    pub(super) fn new(plan: Arc<Plan>, at: Position) -> Self {
        Fetch { plan, at, items: PhantomData }
    }
}

impl<T: DeserializeOwned> Endpoint for Fetch<T> {
    type Output = Page<T>;

    fn request(&self) -> Request {
        self.plan.request(&self.at)
    }

    fn decode(&self, response: Response) -> Result<Page<T>, Error> {
        self.plan.read(&self.at, response)
    }
}
