//! Many calls as one piece of work: its settings, its count, its outcome.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::api::Api;
use crate::cancel::Cancel;
use crate::engine::Bounds;
use crate::error::{Error, ErrorKind, Mistake};
use crate::sync::lock;

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

    /// How long the whole batch may take, from its first call on. What is not
    /// done by then ends with `Timeout(Total)`. Defaults to none.
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
    /// is held meanwhile; a panic in it cancels the batch.
    pub fn on_progress(mut self, tell: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.settings.progress = Some(Arc::new(tell));
        self
    }

    /// Lets `cancel` stop the batch from outside. What is not done by then ends
    /// with [`ErrorKind::Cancelled`].
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

/// Counts the calls of a batch and says when there is room for another.
pub(crate) struct Plan {
    pub(crate) bounds: Bounds,
    progress: Option<OnProgress>,
    most: u64,
    count: Progress,
    exhausted: bool,
    /// No more items are wanted, whether there are any or not.
    stopped: bool,
    /// Why no call can be made at all.
    mistake: Option<Mistake>,
}

impl Plan {
    pub(crate) fn new(
        settings: &Settings,
        api: &Api,
        size: (usize, Option<usize>),
        now: Instant,
    ) -> Plan {
        let most = settings.concurrency.unwrap_or(api.concurrency());
        let mistake = if most == 0 {
            Some(Mistake::new("batch concurrency", "is zero"))
        } else if settings.deadline.is_some_and(|limit| limit.is_zero()) {
            Some(Mistake::new("batch deadline", "is zero"))
        } else {
            None
        };
        let total = size.1.filter(|upper| *upper == size.0).map(|n| n as u64);
        Plan {
            bounds: Bounds {
                until: settings.deadline.and_then(|limit| now.checked_add(limit)),
                queued: None,
                cancel: Some(settings.cancel.clone()),
                watch: Some(Arc::default()),
            },
            progress: settings.progress.clone(),
            most: most as u64,
            count: Progress { total, ..Progress::default() },
            exhausted: false,
            stopped: false,
            mistake,
        }
    }

    pub(crate) fn cancel(&self) -> &Cancel {
        self.bounds.cancel.as_ref().expect("a batch has one")
    }

    /// Whether another item is to be pulled now.
    pub(crate) fn has_room(&self) -> bool {
        !self.exhausted && !self.stopped && self.count.in_flight < self.most.max(1)
    }

    pub(crate) fn is_over(&self) -> bool {
        (self.exhausted || self.stopped) && self.count.in_flight == 0
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.count.in_flight
    }

    /// No item is left.
    pub(crate) fn close(&mut self) {
        self.exhausted = true;
    }

    /// No item is wanted any more.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
    }

    /// Stopped with items that it may not have begun.
    pub(crate) fn is_cut(&self) -> bool {
        self.stopped && !self.exhausted
    }

    pub(crate) fn most(&self) -> usize {
        self.most.max(1) as usize
    }

    /// Takes an item in; its index, or the error it gets without a call.
    pub(crate) fn start(&mut self) -> (usize, Option<Error>) {
        let index = self.count.started as usize;
        self.count.started += 1;
        self.count.in_flight += 1;
        self.tell();
        (index, self.mistake.clone().map(Error::from))
    }

    pub(crate) fn finish(&mut self, failed: bool) {
        self.count.in_flight -= 1;
        self.count.done += 1;
        self.count.failed += u64::from(failed);
        self.tell();
    }

    fn tell(&mut self) {
        let Some(tell) = &self.progress else { return };
        let watch = self.bounds.watch.as_ref().expect("a batch has one");
        let mut now = self.count;
        now.retried = watch.retried.load(Relaxed);
        now.waiting = watch.waiting.load(Relaxed);
        now.bytes = watch.bytes.load(Relaxed);
        if catch_unwind(AssertUnwindSafe(|| tell(now))).is_err() {
            self.progress = None;
            self.stop();
            self.cancel().cancel();
        }
    }

    /// The group of a batch that failed fast; `left` is what the items say they still hold.
    pub(crate) fn group<T: Send + 'static>(
        &self,
        slots: Slots<T>,
        left: (usize, Option<usize>),
    ) -> ErrorGroup {
        let mut errors = Vec::new();
        let mut results: Vec<(usize, Box<dyn Any + Send>)> = Vec::new();
        let mut cancelled = self.count.in_flight as usize;
        for (index, result) in slots.0.into_iter().enumerate() {
            match result {
                Some(Ok(output)) => results.push((index, Box::new(output))),
                Some(Err(error)) if error.kind() == ErrorKind::Cancelled && !errors.is_empty() => {
                    cancelled += 1;
                }
                Some(Err(error)) => errors.push((index, error)),
                None => {}
            }
        }
        ErrorGroup { errors, cancelled, not_started: left.1, results: Mutex::new(results) }
    }
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

    /// Every item's result, in order. What a cancelled batch has no result for is
    /// cancelled; items that it never pulled count as far as their number is known.
    pub(crate) fn into_results(mut self, plan: &Plan) -> Vec<Result<T, Error>> {
        let items = plan.count.total.unwrap_or(plan.count.started);
        self.0.resize_with(items as usize, || None);
        let lost = || Err(Error::new(ErrorKind::Cancelled, ""));
        self.0.into_iter().map(|slot| slot.unwrap_or_else(lost)).collect()
    }
}

/// Puts results that come as they end into the order of the items.
pub(crate) struct Reorder<T> {
    next: usize,
    early: std::collections::BTreeMap<usize, T>,
    ordered: bool,
}

impl<T> Reorder<T> {
    pub(crate) fn new(ordered: bool) -> Self {
        Reorder { next: 0, early: Default::default(), ordered }
    }

    pub(crate) fn len(&self) -> usize {
        self.early.len()
    }

    pub(crate) fn put(&mut self, index: usize, item: T) {
        self.early.insert(index, item);
    }

    /// The next to hand out, if it is there.
    pub(crate) fn take(&mut self) -> Option<(usize, T)> {
        if !self.ordered {
            return self.early.pop_first();
        }
        let item = self.early.remove(&self.next)?;
        self.next += 1;
        Some((self.next - 1, item))
    }
}

/// Why a batch failed: its errors by the index of their item, and what became of the rest.
///
/// `Display` is one line and up to five errors; [`source`](StdError::source) is the first.
pub struct ErrorGroup {
    errors: Vec<(usize, Error)>,
    cancelled: usize,
    not_started: Option<usize>,
    results: Mutex<Vec<(usize, Box<dyn Any + Send>)>>,
}

impl ErrorGroup {
    /// The errors with the index of their item, by index.
    pub fn errors(&self) -> &[(usize, Error)] {
        &self.errors
    }

    /// The errors, to keep.
    pub fn into_errors(self) -> Vec<(usize, Error)> {
        self.errors
    }

    /// The part whose errors match, and the rest, as Python's `except*` does.
    /// The counts and the results go with the rest, or with the match if there is no rest.
    pub fn split(
        self,
        matches: impl Fn(&Error) -> bool,
    ) -> (Option<ErrorGroup>, Option<ErrorGroup>) {
        let (hit, rest): (Vec<_>, Vec<_>) =
            self.errors.into_iter().partition(|(_, error)| matches(error));
        let whole = |errors| ErrorGroup { errors, ..self };
        if rest.is_empty() {
            return (Some(whole(hit)), None);
        }
        let part = ErrorGroup {
            errors: hit,
            cancelled: 0,
            not_started: Some(0),
            results: Mutex::default(),
        };
        (Some(part).filter(|part| !part.errors.is_empty()), Some(whole(rest)))
    }

    /// How many calls ended well.
    pub fn finished(&self) -> usize {
        lock(&self.results).len()
    }

    /// How many calls were under way and stopped.
    pub fn cancelled(&self) -> usize {
        self.cancelled
    }

    /// How many items were never begun, where the iterator could tell.
    pub fn not_started(&self) -> Option<usize> {
        self.not_started
    }

    /// Takes the outputs of the calls that ended well, with the index of their
    /// item. Those of another type than `T` stay.
    pub fn take_results<T: 'static>(&self) -> Vec<(usize, T)> {
        let mut taken = Vec::new();
        let mut results = lock(&self.results);
        for (index, output) in std::mem::take(&mut *results) {
            match output.downcast::<T>() {
                Ok(output) => taken.push((index, *output)),
                Err(other) => results.push((index, other)),
            }
        }
        taken
    }
}

const SHOWN: usize = 5;

impl fmt::Display for ErrorGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.errors.len();
        let plural = if failed == 1 { "call" } else { "calls" };
        write!(f, "{failed} {plural} failed, {} finished", self.finished())?;
        write!(f, ", {} cancelled", self.cancelled)?;
        match self.not_started {
            Some(count) => write!(f, ", {count} not started")?,
            None => write!(f, ", an unknown number not started")?,
        }
        for (index, error) in self.errors.iter().take(SHOWN) {
            write!(f, "\n  [{index}] {error}")?;
        }
        if failed > SHOWN {
            write!(f, "\n  … and {} more", failed - SHOWN)?;
        }
        Ok(())
    }
}

impl fmt::Debug for ErrorGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorGroup")
            .field("errors", &self.errors)
            .field("finished", &self.finished())
            .field("cancelled", &self.cancelled)
            .field("not_started", &self.not_started)
            .finish()
    }
}

impl StdError for ErrorGroup {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.errors.first().map(|(_, error)| error as _)
    }
}

const _: () = {
    const fn assert<T: Send + Sync + StdError>() {}
    assert::<ErrorGroup>();
};
