//! Which page is next, and which item: told pages, it decides; a driver calls.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::vec::IntoIter;

use super::Paging;
use super::plan::{Extent, Fetch, Page, Plan, Position};
use super::token::Place;
use crate::api::Api;
use crate::error::{Error, ErrorKind, Mistake};
use crate::request::Request;
use crate::response::Response;

/// Pages without an item in a row, after which a server is taken to go in circles.
const BARREN: u32 = 1000;

/// The pages of one iteration.
///
/// A driver makes the calls that [`fetch`](Pager::fetch) gives, hands their results
/// to [`received`](Pager::received) in that order, and the items of
/// [`pop`](Pager::pop) to the consumer. It drops the calls beyond
/// [`awaited`](Pager::awaited), and has come to the end when there is none of all these.
pub(crate) struct Pager<T> {
    plan: Arc<Plan>,
    /// How many calls at once where the total is known; `None` makes one when it is needed.
    width: Option<usize>,
    next: Option<Position>,
    extent: Option<Extent>,
    asked: VecDeque<Position>,
    pages: VecDeque<Ready<T>>,
    failure: Option<Error>,
    /// Where the failure was.
    stuck: Option<(Position, usize)>,
    /// Items of the next page that an earlier iteration gave.
    given: usize,
    pages_left: Option<u64>,
    barren: u32,
    /// A part was shorter than the first: it has to be the last one with items.
    short: bool,
    seen: HashSet<u64>,
    hasher: RandomState,
}

struct Ready<T> {
    at: Position,
    given: usize,
    items: IntoIter<Result<T, Error>>,
}

impl<T> Pager<T> {
    pub(crate) fn new(api: &Api, request: Request, paging: Paging, width: Option<usize>) -> Self {
        let plan = Plan::new(request, paging, api.clone());
        let mut pager = Pager {
            width,
            next: Some(plan.first()),
            extent: None,
            asked: VecDeque::new(),
            pages: VecDeque::new(),
            failure: None,
            stuck: None,
            given: 0,
            pages_left: plan.paging.max_pages,
            barren: 0,
            short: false,
            seen: HashSet::new(),
            hasher: RandomState::new(),
            plan: Arc::new(plan),
        };
        if let Err(mistake) = pager.start() {
            pager.next = None;
            pager.failure = Some(mistake.into());
        }
        pager
    }

    fn start(&mut self) -> Result<(), Mistake> {
        if let Some(mistake) = &self.plan.paging.mistake {
            return Err(mistake.clone());
        }
        if let Some(token) = &self.plan.paging.resume {
            let place = Place::from_token(&self.plan, token)?;
            (self.next, self.given, self.extent) = (Some(place.at), place.given, place.extent);
        }
        Ok(())
    }

    /// The next call to make now, if one is known and there is room for its page.
    pub(crate) fn fetch(&mut self) -> Option<Fetch<T>> {
        if self.pages.len() + self.asked.len() >= self.room() || self.pages_left == Some(0) {
            return None;
        }
        let at = self.next.take()?;
        self.next = self.extent.and_then(|extent| extent.after(&at));
        self.pages_left = self.pages_left.map(|left| left - 1);
        self.asked.push_back(at.clone());
        Some(Fetch::new(self.plan.clone(), at))
    }

    /// Whether calls go on while the consumer is busy.
    #[cfg(feature = "async")]
    pub(crate) fn runs_ahead(&self) -> bool {
        self.room() > 1
    }

    fn room(&self) -> usize {
        let ahead = 1usize.saturating_add(self.plan.paging.prefetch);
        match (self.width, self.extent) {
            (None, _) => 1,
            (Some(_), None) => ahead,
            (Some(width), Some(_)) => width.max(ahead),
        }
    }

    /// How many calls, from the earliest on, are to be waited for.
    pub(crate) fn awaited(&self) -> usize {
        self.asked.len()
    }

    /// No item is ready.
    pub(crate) fn is_dry(&self) -> bool {
        self.pages.is_empty()
    }

    /// Takes in what the earliest call came to.
    pub(crate) fn received(&mut self, result: Result<Page<T>, Error>) {
        let Some(at) = self.asked.pop_front() else { return };
        let given = std::mem::take(&mut self.given);
        let page = match result {
            Ok(page) => page,
            Err(error) => return self.fail(at, given, error),
        };
        let count = page.items.len();
        if let Err(error) = self.advance(&at, &page, count as u64) {
            return self.fail(at, given, error);
        }
        let Page { items, next, response, .. } = page;
        let mut items = items.into_iter();
        items.by_ref().take(given).for_each(drop);
        if items.len() > 0 {
            self.pages.push_back(Ready { at: at.clone(), given, items });
        }
        match next {
            _ if self.extent.is_some() => {}
            Ok(None) => {}
            Ok(Some(next)) if self.seen.insert(self.hasher.hash_one(&next)) => {
                self.next = Some(next);
            }
            Ok(Some(_)) => {
                self.fail(at, count, circle(&response, "leads to a page that was read before"));
            }
            Err(error) => self.fail(at, count, error),
        }
    }

    /// What a page tells about those after it, besides a link.
    fn advance(&mut self, at: &Position, page: &Page<T>, count: u64) -> Result<(), Error> {
        let response = &page.response;
        let asked = response.history().next().unwrap_or(response.url());
        self.seen.insert(self.hasher.hash_one(Position::Link(asked.to_owned())));
        self.barren = if count == 0 { self.barren + 1 } else { 0 };
        if self.barren > BARREN {
            return Err(circle(response, "has led through a thousand pages without an item"));
        }
        if self.extent.is_none() {
            let total = page.total;
            self.extent = total.and_then(|total| self.plan.extent(at, count, total));
            self.next = self.extent.and_then(|extent| extent.after(at));
        }
        let Some(extent) = self.extent else { return Ok(()) };
        if count == 0 {
            self.next = None;
            self.asked.clear();
        } else if self.short {
            let why = "a part before this one has fewer items than the first";
            return Err(response.failing(ErrorKind::Decode, why));
        }
        self.short = count < extent.step;
        Ok(())
    }

    fn fail(&mut self, at: Position, given: usize, error: Error) {
        self.failure = Some(error);
        self.stuck = Some((at, given));
        self.next = None;
        self.asked.clear();
    }

    /// The next item, or why there are no more.
    pub(crate) fn pop(&mut self) -> Option<Result<T, Error>> {
        let Some(page) = self.pages.front_mut() else {
            return self.failure.take().map(Err);
        };
        let item = page.items.next();
        page.given += 1;
        if page.items.len() == 0 {
            self.pages.pop_front();
        }
        item
    }

    /// Where to go on after the last item given; `None` at the end.
    pub(crate) fn token(&self) -> Option<String> {
        let (at, given) = match (self.pages.front(), &self.stuck) {
            (Some(page), _) => (&page.at, page.given),
            (None, Some((at, given))) => (at, *given),
            (None, None) => (self.asked.front().or(self.next.as_ref())?, self.given),
        };
        Some(Place { at: at.clone(), given, extent: self.extent }.to_token())
    }
}

fn circle(response: &Response, how: &'static str) -> Error {
    response.failing(ErrorKind::Redirect, format!("the link to the next page {how}"))
}
