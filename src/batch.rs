//! Many calls as one piece of work: its settings, its count, its outcome.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::api::Api;
use crate::cancel::Cancel;
use crate::clock::Clock;
use crate::engine::{Bounds, Entry};
use crate::error::{Error, ErrorKind, Mistake, Phase};
use crate::group::ErrorGroup;
use crate::timeline::Timeline;

/// How far a batch has come; what [`Batch::on_progress`] is called with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Calls begun.
    pub started: u64,
    /// Calls that have ended, well or not.
    pub done: u64,
    /// Calls that have ended in an error.
    pub failed: u64,
    /// Attempts beyond the first of a call.
    pub retried: u64,
    /// Calls begun and not ended.
    pub in_flight: u64,
    /// Of those, the ones that wait at the gate.
    pub waiting: u64,
    /// Bytes of the bodies received, after decoding.
    pub bytes: u64,
    /// How many calls there will be, where the items say so.
    pub total: Option<u64>,
}

/// What the engine counts while the calls of a batch are on their way.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) waiting: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) bytes: AtomicU64,
}

type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

/// Many calls, made by the client that [`batch`](crate::blocking::Client::batch) was called on.
///
/// The items come from an iterator and are pulled only when there is room, so
/// their number takes no memory. Settings first, then one of `gather`,
/// `fail_fast` and `stream`.
#[must_use = "a batch does nothing until it is gathered or streamed"]
pub struct Batch<C, I> {
    pub(crate) client: C,
    pub(crate) items: I,
    pub(crate) settings: Settings,
}

#[derive(Clone, Default)]
pub(crate) struct Settings {
    concurrency: Option<usize>,
    deadline: Option<Duration>,
    pub(crate) ordered: bool,
    progress: Option<OnProgress>,
    timeline: Option<Timeline>,
    cancel: Cancel,
}

impl<C, I> Batch<C, I> {
    pub(crate) fn new(client: C, items: I) -> Self {
        let settings = Settings::default();
        Batch { client, items, settings }
    }

    /// How many calls at once, at least 1; the API's own limit still holds.
    /// Defaults to the API's. The blocking client makes one at a time.
    pub fn concurrency(mut self, most: usize) -> Self {
        self.settings.concurrency = Some(most);
        self
    }

    /// How long the whole batch may take, from when it is gathered or streamed. What is not
    /// done by then ends with `Timeout(Total)`; a stream ends after the calls
    /// under way. Defaults to none.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.settings.deadline = Some(limit);
        self
    }

    /// Lets a stream give its results in the order of the items, at the price of
    /// waiting for the slow ones. Defaults to the order in which calls end.
    pub fn ordered(mut self) -> Self {
        self.settings.ordered = true;
        self
    }

    /// Is told how far the batch has come whenever a call begins or ends. No lock
    /// is held meanwhile. A panic in it goes no further: it cancels the batch,
    /// and it is not told anything more.
    pub fn on_progress(mut self, tell: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.settings.progress = Some(Arc::new(tell));
        self
    }

    /// Keeps a record of what each call does, and when. Defaults to none, which
    /// costs nothing.
    pub fn timeline(mut self, timeline: &Timeline) -> Self {
        self.settings.timeline = Some(timeline.clone());
        self
    }

    /// Lets `cancel` stop the batch from outside. What is not done by then ends
    /// with [`ErrorKind::Cancelled`]; a stream ends after the calls under way.
    pub fn cancel(self, cancel: &Cancel) -> Self {
        self.settings.cancel.follow(cancel);
        self
    }
}

impl<C: fmt::Debug, I> fmt::Debug for Batch<C, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("client", &self.client).finish_non_exhaustive()
    }
}

/// Which error is a batch's last.
#[derive(Clone)]
pub(crate) struct Rule {
    until: Option<Instant>,
    clock: Clock,
    /// An error cancels the rest.
    fails_fast: bool,
}

impl Rule {
    /// Whether no other call is to begin after this one.
    pub(crate) fn ends<T>(&self, result: &Result<T, Error>) -> bool {
        result.as_ref().is_err_and(|error| self.fails_fast || self.is_late(error))
    }

    /// The next would meet the same, and there may be no end of them.
    fn is_late(&self, error: &Error) -> bool {
        let late = || self.until.is_some_and(|until| self.clock.now() >= until);
        error.kind() == ErrorKind::Timeout(Phase::Total) && late()
    }
}

/// Counts the calls of a batch and says when there is room for another.
pub(crate) struct Plan {
    bounds: Bounds,
    rule: Rule,
    progress: Option<OnProgress>,
    timeline: Option<Timeline>,
    most: u64,
    /// Items taken in. More than have started where the next are held ready.
    pulled: u64,
    /// Of those, the ones that nobody comes to any more.
    lost: u64,
    count: Progress,
    /// No item is pulled any more: there is none, or none is wanted.
    closed: bool,
    /// Every item was pulled.
    exhausted: bool,
    /// The deadline ended it.
    late: bool,
    /// The item whose error came first.
    first: Option<usize>,
    /// Why no call can be made at all.
    mistake: Option<Mistake>,
}

impl Plan {
    pub(crate) fn new(settings: &Settings, api: &Api, size: (usize, Option<usize>)) -> Plan {
        let most = settings.concurrency.unwrap_or(api.concurrency());
        let mistake = if most == 0 {
            Some(Mistake::new("batch concurrency", "is zero"))
        } else if settings.deadline.is_some_and(|limit| limit.is_zero()) {
            Some(Mistake::new("batch deadline", "is zero"))
        } else {
            None
        };
        let clock = api.clock().clone();
        let now = clock.now();
        if let Some(timeline) = &settings.timeline {
            timeline.start(now);
        }
        let until = settings.deadline.and_then(|limit| now.checked_add(limit));
        Plan {
            bounds: Bounds {
                until,
                queued: None,
                cancel: Some(settings.cancel.clone()),
                watch: Some(Arc::default()),
                timeline: None,
            },
            rule: Rule { until, clock, fails_fast: false },
            progress: settings.progress.clone(),
            timeline: settings.timeline.clone(),
            most: most.max(1) as u64,
            pulled: 0,
            lost: 0,
            count: Progress { total: exactly(size).map(|n| n as u64), ..Progress::default() },
            closed: false,
            exhausted: false,
            late: false,
            first: None,
            mistake,
        }
    }

    pub(crate) fn cancel(&self) -> &Cancel {
        self.bounds.cancel.as_ref().expect("a batch has one")
    }

    /// Whether another item is to be pulled now.
    pub(crate) fn has_room(&mut self) -> bool {
        self.has_room_within(self.most())
    }

    /// The same, if so many may be on their way, those included that are only held ready.
    pub(crate) fn has_room_within(&mut self, limit: usize) -> bool {
        self.closed |= self.cancel().is_cancelled();
        !self.closed && self.open() < limit as u64
    }

    /// Items taken in that have no result yet.
    fn open(&self) -> u64 {
        self.pulled - self.count.done - self.lost
    }

    pub(crate) fn is_over(&self) -> bool {
        self.closed && self.open() == 0
    }

    /// Why no call begins any more, if there are items that it keeps from that.
    pub(crate) fn stopped(&self) -> Option<ErrorKind> {
        let stopped = self.late || self.cancel().is_cancelled();
        stopped.then(|| self.reason())
    }

    fn reason(&self) -> ErrorKind {
        if self.late { ErrorKind::Timeout(Phase::Total) } else { ErrorKind::Cancelled }
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.count.in_flight
    }

    /// No item is left.
    pub(crate) fn exhaust(&mut self) {
        self.closed = true;
        self.exhausted = true;
    }

    /// What else a worker has to know.
    pub(crate) fn rule(&self) -> Rule {
        self.rule.clone()
    }

    /// The first error is to cancel the rest.
    pub(crate) fn fail_fast(&mut self) {
        self.rule.fails_fast = true;
    }

    pub(crate) fn most(&self) -> usize {
        self.most as usize
    }

    /// No more at once than so many.
    pub(crate) fn at_most(&mut self, most: usize) {
        self.most = self.most.min(most as u64);
    }

    /// What the calls are bound by.
    pub(crate) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Takes an item in: its index, and what its call is bound by, or the error
    /// it gets without a call.
    pub(crate) fn start(&mut self) -> (usize, Result<Bounds, Error>) {
        let (index, timeline) = self.take_in();
        (index, timeline.map(|timeline| Bounds { timeline, ..self.bounds.clone() }))
    }

    /// The same, but of the bounds only what is the call's own.
    pub(crate) fn take_in(&mut self) -> (usize, Result<Option<Entry>, Error>) {
        let index = self.pulled as usize;
        self.pulled += 1;
        self.begin();
        let entry = match &self.mistake {
            Some(mistake) => Err(mistake.clone().into()),
            None => Ok(self.timeline.clone().map(|timeline| (timeline, index))),
        };
        (index, entry)
    }

    /// Counts those as started for which there is a place.
    fn begin(&mut self) {
        while self.count.started < self.pulled && self.count.in_flight < self.most {
            self.count.started += 1;
            self.count.in_flight += 1;
            self.tell();
        }
    }

    /// So many items, the last of those taken in, are not going to be called. Says how many of them
    /// count as started: these need a result.
    pub(crate) fn lose(&mut self, items: usize) -> usize {
        let begun = self.pulled - items as u64;
        let started = self.count.started.saturating_sub(begun);
        self.lost += items as u64 - started;
        started as usize
    }

    pub(crate) fn finish<T>(&mut self, index: usize, result: &Result<T, Error>) {
        if self.count.in_flight == 0 {
            // Begun in a place whose last result we have not seen.
            self.count.started += 1;
            self.count.in_flight += 1;
        }
        self.count.in_flight -= 1;
        self.count.done += 1;
        if let Err(error) = result {
            self.count.failed += 1;
            if self.first.is_none() && !self.cancel().is_cancelled() {
                self.first = Some(index);
            }
            if self.rule.is_late(error) {
                self.late = true;
                self.closed = true;
            }
            if self.rule.fails_fast {
                self.closed = true;
                self.cancel().cancel();
            }
        }
        self.tell();
        if self.stopped().is_none() {
            self.begin();
        }
    }

    /// What was under way is no more, and nothing begins.
    pub(crate) fn abandon(&mut self) {
        self.closed = true;
        if self.count.in_flight > 0 {
            self.count.done += self.count.in_flight;
            self.count.failed += self.count.in_flight;
            self.count.in_flight = 0;
            self.tell();
        }
    }

    fn tell(&mut self) {
        let Some(tell) = &self.progress else { return };
        let watch = self.bounds.watch.as_ref().expect("a batch has one");
        let mut now = self.count;
        now.retried = watch.retried.load(Relaxed);
        // The counters move while we read them.
        now.waiting = watch.waiting.load(Relaxed).min(now.in_flight);
        now.bytes = watch.bytes.load(Relaxed);
        if catch_unwind(AssertUnwindSafe(|| tell(now))).is_err() {
            self.progress = None;
            self.closed = true;
            self.cancel().cancel();
        }
    }

    /// What `gather` gives: every item's result, in order. Items that were never
    /// pulled count as far as their number is known.
    pub(crate) fn results<T>(&self, slots: Slots<T>) -> Vec<Result<T, Error>> {
        let total = self.count.total.filter(|_| !self.exhausted).unwrap_or(self.pulled);
        let items = total.clamp(self.pulled, self.pulled.saturating_add(MOST_LOST));
        let kind = self.reason();
        let mut results = slots.0;
        results.resize_with(items as usize, || None);
        let lost = || Err(Error::new(kind, ""));
        results.into_iter().map(|slot| slot.unwrap_or_else(lost)).collect()
    }

    /// What `fail_fast` gives; `left` is what the items say they still hold.
    pub(crate) fn all<T: Send + 'static>(
        &self,
        slots: Slots<T>,
        left: (usize, Option<usize>),
    ) -> Result<Vec<T>, ErrorGroup> {
        if self.exhausted && self.count.failed + self.lost == 0 {
            return Ok(slots.0.into_iter().flatten().flatten().collect());
        }
        let left = if self.exhausted { Some(0) } else { exactly(left) };
        let mut errors = Vec::new();
        let mut results: Vec<(usize, Box<dyn Any + Send>)> = Vec::new();
        for (index, slot) in slots.0.into_iter().enumerate() {
            match slot {
                Some(Ok(output)) => results.push((index, Box::new(output))),
                // Those that were stopped because of another are only counted.
                Some(Err(error))
                    if error.kind() != ErrorKind::Cancelled || self.first == Some(index) =>
                {
                    errors.push((index, error));
                }
                _ => {}
            }
        }
        Err(ErrorGroup {
            finished: results.len(),
            cancelled: self.count.started as usize - results.len() - errors.len(),
            not_started: left.map(|left| left + self.lost as usize),
            errors,
            results: results.into(),
        })
    }
}

/// Errors made for items that a stopped batch never pulled. An iterator may claim
/// to hold more than fits into memory.
const MOST_LOST: u64 = 1 << 20;

fn exactly(size: (usize, Option<usize>)) -> Option<usize> {
    size.1.filter(|upper| *upper == size.0)
}

/// Results by index, in whatever order they come.
pub(crate) struct Slots<T>(Vec<Option<Result<T, Error>>>);

impl<T> Slots<T> {
    pub(crate) fn new() -> Self {
        Slots(Vec::new())
    }

    pub(crate) fn put(&mut self, index: usize, result: Result<T, Error>) {
        if self.0.len() <= index {
            self.0.resize_with(index + 1, || None);
        }
        self.0[index] = Some(result);
    }
}

/// Puts results that come as they end into the order of the items, or keeps that of their coming.
pub(crate) struct Reorder<T> {
    /// The place of the first that is left; each has its own.
    next: usize,
    places: VecDeque<Option<(usize, T)>>,
    here: usize,
    ordered: bool,
}

/// Nothing is pinned in it.
impl<T> Unpin for Reorder<T> {}

impl<T> Reorder<T> {
    pub(crate) fn new(ordered: bool) -> Self {
        Reorder { next: 0, places: VecDeque::new(), here: 0, ordered }
    }

    pub(crate) fn len(&self) -> usize {
        self.here
    }

    pub(crate) fn put(&mut self, index: usize, item: T) {
        self.here += 1;
        let place = if self.ordered { index - self.next } else { self.places.len() };
        if place < self.places.len() {
            self.places[place] = Some((index, item));
        } else {
            self.places.resize_with(place, || None);
            self.places.push_back(Some((index, item)));
        }
    }

    /// The next to hand out, if it is there.
    pub(crate) fn take(&mut self) -> Option<(usize, T)> {
        self.places.front()?.as_ref()?;
        self.next += 1;
        self.here -= 1;
        self.places.pop_front().flatten()
    }
}
