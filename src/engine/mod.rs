//! One call as a step machine: it decides, a driver does.
//!
//! Nothing here reads a clock, opens a socket or starts a thread. A driver
//! takes a [`Step`], does it in its own colour, and says what came of it:
//!
//! ```text
//! begin -> Refresh -> refreshed -.
//!       -> Acquire -> admitted --+-> Send -> received -> Done
//!       ^                                  |
//!       '------- woken <- Sleep <----------'
//! ```
//!
//! `Acquire` is left out where there is a place at once.

pub(crate) mod budget;
pub(crate) mod chunks;
pub(crate) mod coding;
pub(crate) mod cookies;
mod course;
pub(crate) mod credentials;
mod errand;
pub(crate) mod gate;
pub(crate) mod inbox;
mod judge;
mod opened;
pub(crate) mod outgoing;
#[cfg(test)]
mod races;
pub(crate) mod redirect;
pub(crate) mod wait;

use std::mem::{replace, take};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use http::header::{ACCEPT_ENCODING, HeaderMap};

use crate::api::Api;
use crate::batch::Watch;
use crate::body::Body;
use crate::cancel::Cancel;
use crate::clock::Seat;
use crate::error::{Error, ErrorKind, Mistake, Phase, Sent};
use crate::request::Request;
use crate::response::{Inner, Response};
use crate::sync::lock;
use crate::timeline::{Record, Timeline};
use crate::trace::{Attempt, Cause};
use crate::trace_log::Spans;
use crate::transport::{Exchange, Failure};
use crate::url::Url;

pub(crate) use course::{Course, Hop};
use credentials::{Refresh, Standing};
pub(crate) use errand::{Errand, Mail};
use gate::{Admit, Permit};
use inbox::{Inbox, Wanted};
pub(crate) use opened::{Opened, io_error};
pub(crate) use outgoing::Outgoing;

/// Bytes kept of the body of a response that was judged a failure.
pub(crate) const EVIDENCE: usize = 8 << 10;

const BEGUN: &str = "set when the call began";

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What a driver has to do next.
pub(crate) enum Step {
    /// Wait for a newer credential, or make it; then `refreshed`. Boxed, for most calls find a good one.
    Refresh(Box<Refresh>),
    /// Wait for admission; then `admitted`. Boxed, for most calls find a place at once.
    Acquire(Box<Admit>),
    /// Do the `errand`, and take the body that comes into an `inbox`; then `received`.
    Send(Arc<Exchange>),
    /// Wait until then; then `woken`.
    Sleep(Instant),
    Done(Result<Response, Error>),
}

/// What a call is bound by besides its own settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bounds {
    /// The deadline of the batch it belongs to.
    pub(crate) until: Option<Instant>,
    /// Since when it has waited for a worker, which is waiting as at the gate.
    pub(crate) queued: Option<Instant>,
    pub(crate) cancel: Option<Cancel>,
    pub(crate) watch: Option<Arc<Watch>>,
    pub(crate) timeline: Option<Entry>,
}

/// Where to record a call, and as which.
pub(crate) type Entry = (Timeline, usize);

/// A call that waits at the gate, for the batch to see.
struct Waiting(Arc<Watch>);

impl Waiting {
    fn new(watch: &Arc<Watch>) -> Waiting {
        watch.waiting.fetch_add(1, Relaxed);
        Waiting(watch.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

/// What it is made of stays where it is: moves are copies, and a future would hold it twice.
pub(crate) struct Call<'a> {
    api: &'a Api,
    request: &'a mut Request,
    bounds: &'a mut Bounds,
    /// Handed on to the transport, which may have to wait; never asked here.
    seat: Seat,
    /// Set when the call begins, until it is the response's.
    course: Option<Course>,
    mail: Mail,
    random: fastrand::Rng,
    /// When the call began, moved on by the time it spent at the gate.
    started: Instant,
    began: Instant,
    /// When the step at hand began.
    since: Instant,
    tries: u32,
    cause: Cause,
    waited: Duration,
    waiting: Option<Waiting>,
    permit: Option<Permit>,
    replayed: bool,
    resent: bool,
    /// The server knows no announcements (RFC 9110 section 15.5.18).
    plain: bool,
    /// How far the last request came.
    sent: Sent,
    record: Option<Box<Record>>,
    spans: Spans,
}

impl<'a> Call<'a> {
    pub(crate) fn new(
        api: &'a Api,
        request: &'a mut Request,
        bounds: &'a mut Bounds,
        seat: Seat,
        now: Instant,
    ) -> Call<'a> {
        let queued = bounds.queued.unwrap_or(now);
        let record = bounds
            .timeline
            .take()
            .map(|(timeline, index)| Box::new(Record::new(timeline, index, api.clock(), queued)));
        Call {
            api,
            request,
            bounds,
            course: None,
            mail: Mail::Out(Outgoing::default()),
            random: fastrand::Rng::with_seed(0),
            started: now,
            began: now,
            since: now,
            tries: 1,
            cause: Cause::First,
            waited: Duration::ZERO,
            waiting: None,
            permit: None,
            replayed: false,
            resent: false,
            plain: false,
            sent: Sent::No,
            record,
            spans: Spans::none(),
            seat,
        }
    }

    /// What may stop the call from outside.
    pub(crate) fn cancel(&self) -> Option<Cancel> {
        self.bounds.cancel.clone()
    }

    pub(crate) fn begin(&mut self) -> Step {
        let now = self.began;
        let prepared = self.prepare();
        if self.bounds.until.is_some_and(|at| now >= at) {
            // Before any other error, for by this one a batch sees that its time is over.
            return self.out_of_time(now);
        }
        if let Err(mistake) = prepared {
            return self.fail(mistake.into(), now);
        }
        let call = lock(&self.api.shared().budget).count_call(now);
        self.random = self.api.random(call, self.request.retry.as_deref());
        self.admission(now)
    }

    /// Checks what can be checked before anything is sent.
    fn prepare(&mut self) -> Result<(), Mistake> {
        if let Some(mistake) = self.request.mistake.take() {
            return Err(mistake);
        }
        self.api.gates().check(self.request.cost)?;
        if self.api.keys() && !self.request.is_idempotent() {
            let request = replace(self.request, Request::get(""));
            *self.request = request.idempotency_key(self.api.fresh_key());
        }
        let Request { method, target, absolute, query, .. } = &*self.request;
        let url = if *absolute { Url::parse(target)? } else { self.api.base().join(target)? };
        let (method, trusted, at_home, carries) = (method.clone(), !absolute, true, true);
        let hop = Hop { method, url, trusted, at_home, carries };
        let hop = &mut self.course.insert(Course::new(hop)).hop;
        if !query.is_empty() {
            hop.url.append_query(query)?;
        }
        self.spans.begin(&hop.method, &hop.url);
        Ok(())
    }

    /// A good credential first, then a place.
    fn admission(&mut self, now: Instant) -> Step {
        self.admission_with(false, now)
    }

    /// A credential just made is used, however short it lasts.
    fn admission_with(&mut self, renewed: bool, now: Instant) -> Step {
        self.since = now;
        // Ahead of a refresh, which is no wait for a thread or a place.
        let limit = self.bounds.queued.take().unwrap_or(now) + self.api.timeouts().queue;
        if now >= limit {
            return self.fail(Error::new(ErrorKind::Timeout(Phase::Queue), ""), now);
        }
        let course = self.course.as_mut().expect(BEGUN);
        if course.hop.trusted {
            match self.api.credentials().standing(renewed, now) {
                Ok(Standing::Good(live)) => course.live = Some(live),
                Ok(Standing::Stale(generation)) => return self.refresh(generation),
                Err(mistake) => return self.fail(mistake.into(), now),
            }
        }
        if self.bounds.cancel.as_ref().is_some_and(Cancel::is_cancelled) {
            return self.cancelled(now);
        }
        if let Some(permit) = self.api.gates().at_once(self.request.cost, now) {
            return self.placed(permit, now);
        }
        self.waiting = self.bounds.watch.as_ref().map(Waiting::new);
        let until = self.bounds.until.map_or(limit, |at| at.min(limit));
        let cancel = self.bounds.cancel.clone();
        Step::Acquire(Box::new(self.api.gates().ask(self.request.cost, until, cancel)))
    }

    /// The wait for a credential newer than this one; unlike that at the gate it is the call's own time.
    fn refresh(&self, generation: u64) -> Step {
        Step::Refresh(Box::new(self.api.credentials().refresh(generation, self.end())))
    }

    pub(crate) fn refreshed(&mut self, result: Result<(), Error>, now: Instant) -> Step {
        match result {
            Ok(()) => self.admission_with(true, now),
            Err(error) if self.can_do_without(&error, now) => self.admission_with(true, now),
            Err(error) => self.fail(error, now),
        }
    }

    /// Whether the hook failed ahead of the credential's end, and no 401 was the reason to run it.
    fn can_do_without(&self, error: &Error, now: Instant) -> bool {
        let ahead = error.kind() == ErrorKind::Auth && self.cause != Cause::Refresh;
        ahead && self.api.credentials().holds(now)
    }

    pub(crate) fn admitted(&mut self, result: Result<Permit, Error>, now: Instant) -> Step {
        self.waiting = None;
        self.started += now.saturating_duration_since(self.since);
        match result {
            Ok(permit) => self.placed(permit, now),
            Err(_) if self.bounds.until.is_some_and(|at| now >= at) => self.out_of_time(now),
            Err(error) => self.fail(error, now),
        }
    }

    fn placed(&mut self, permit: Permit, now: Instant) -> Step {
        self.permit = Some(permit);
        self.note(|record| record.admitted(now));
        self.send(now)
    }

    fn out_of_time(&mut self, now: Instant) -> Step {
        self.fail(Error::new(ErrorKind::Timeout(Phase::Total), ""), now)
    }

    /// When the call must be over: its own limit, or its batch's deadline.
    fn end(&self) -> Instant {
        let end = self.started + self.request.timeout.unwrap_or(self.api.timeouts().total);
        self.bounds.until.map_or(end, |at| at.min(end))
    }

    fn send(&mut self, now: Instant) -> Step {
        self.since = now;
        let end = self.end();
        if now >= end {
            return self.out_of_time(now);
        }
        let course = self.course.as_mut().expect(BEGUN);
        let hop = &course.hop;
        let mut auth = None;
        if hop.trusted {
            // Asked again: it may have been rotated while the call waited.
            let live = self.api.credentials().newer(course.live.take());
            let live = course.live.insert(live);
            if let Err(mistake) = live.auth.check() {
                return self.fail(mistake.into(), now);
            }
            if live.auth.is_hook() {
                // A hook was set meanwhile. Its place is another's while it runs.
                self.permit = None;
                let generation = live.generation;
                return self.refresh(generation);
            }
            auth = Some(&live.auth);
        }
        let place = self.mail.renew();
        let built = outgoing::build(place, self.api, self.request, hop, auth, !self.plain);
        if let Err(mistake) = built {
            return self.fail(mistake.into(), now);
        }
        self.spans.sends(&hop.method, &hop.url, course.trace.as_slice().len());
        let cause = self.cause;
        self.note(|record| record.sent(cause, now));
        let (seat, cancel) = (self.seat.clone(), self.bounds.cancel.clone());
        Step::Send(Arc::new(Exchange::new(seat, now, *self.api.timeouts(), end, cancel)))
    }

    /// For the transport to do; one for each `Step::Send`.
    pub(crate) fn errand(&mut self) -> Errand<'_> {
        self.mail.to(&self.course.as_ref().expect(BEGUN).hop.url)
    }

    /// Where the body goes, now that the head is there.
    pub(crate) fn inbox(&mut self, exchange: &Exchange) -> Result<Inbox, Failure> {
        exchange.enter(Phase::Body);
        self.note(|record| record.head(exchange.now()));
        let method = &self.course.as_ref().expect(BEGUN).hop.method;
        let head = self.mail.head();
        let (request, status) = (&*self.request, head.status);
        let most = request.max_body.unwrap_or(self.api.max_body());
        let wanted = if request.redirects != Some(0) && redirect::is_redirect(head) {
            Wanted::None
        } else if status.is_success() || request.accepted.contains(&status.as_u16()) {
            if request.opens { Wanted::Pieces(most) } else { Wanted::Whole(most) }
        } else {
            Wanted::Some(EVIDENCE)
        };
        // It goes along on every hop.
        let asked = |headers| HeaderMap::get(headers, ACCEPT_ENCODING);
        let asked = || asked(&request.headers).or_else(|| asked(self.api.headers()));
        Inbox::new(head, method, wanted, asked)
    }

    pub(crate) fn received(
        &mut self,
        exchange: &Exchange,
        result: Result<Bytes, Failure>,
        now: Instant,
    ) -> Step {
        let attempt = Attempt {
            cause: self.cause,
            outcome: match &result {
                Ok(_) => Ok(self.mail.head().status),
                Err(failure) => Err(failure.kind),
            },
            waited: take(&mut self.waited),
            took: now.saturating_duration_since(self.since),
            reused: exchange.reused(),
            withheld: exchange.withheld() && exchange.phase() == Phase::Body,
        };
        let bytes = result.as_ref().map_or(0, |body| body.len() as u64);
        self.note(|record| record.received(&attempt, bytes, now));
        self.spans.met(&attempt);
        self.course.as_mut().expect(BEGUN).trace.push(attempt);
        match result {
            Ok(body) => {
                self.sent = Sent::Yes;
                self.answered(body, now)
            }
            Err(failure) => self.failed(exchange, failure, now),
        }
    }

    fn failed(&mut self, exchange: &Exchange, mut failure: Failure, now: Instant) -> Step {
        self.sent = *failure.sent.get_or_insert_with(|| exchange.sent());
        if exchange.is_cancelled() {
            // What a connection says that was hung up tells nothing.
            return self.cancelled(now);
        }
        let died = matches!(failure.kind, ErrorKind::Closed | ErrorKind::Truncated);
        let stale = died && exchange.reused() && exchange.untouched();
        let harmless = self.request.is_idempotent() || failure.sent == Some(Sent::No);
        if (stale && harmless || failure.unprocessed) && !self.resent && !self.spent() {
            self.resent = true;
            self.cause = Cause::Resend;
            return self.send(now);
        }
        let lasting = failure.lasting;
        let error = self.named(failure.into_error());
        if lasting { self.end_with(Err(error), now) } else { self.retry(error, now) }
    }

    fn answered(&mut self, body: Bytes, now: Instant) -> Step {
        let course = self.course.as_mut().expect(BEGUN);
        let head = self.mail.head();
        let status = head.status;
        if let Some(jar) = self.api.jar() {
            jar.take(&course.hop.url, &head.headers, self.api.clock().wall());
        }
        match redirect::next(self.api, &course.hop, self.request, head, &course.history) {
            Ok(None) => {}
            Ok(Some(next)) => {
                self.permit = None;
                self.cause = Cause::Redirect;
                self.resent = false;
                let last = replace(&mut course.hop, next);
                course.history.push(last.url);
                return self.admission(now);
            }
            Err(error) => return self.fail(error, now),
        }
        self.watch(|watch| &watch.bytes, body.len() as u64);
        if status == StatusCode::EXPECTATION_FAILED && self.announces() && !self.spent() {
            self.plain = true;
            self.cause = Cause::Unexpected;
            return self.send(now);
        }
        let denied = status == StatusCode::UNAUTHORIZED && self.hop().trusted;
        let generation = self.course().live.as_ref().map_or(0, |live| live.generation);
        if denied && !self.replayed && !self.spent() && self.api.credentials().curable(generation) {
            self.permit = None;
            self.replayed = true;
            self.cause = Cause::Refresh;
            return self.refresh(generation);
        }
        let headers = &mut self.mail.head().headers;
        if let Some(permit) = &mut self.permit {
            if matches!(status.as_u16(), 429 | 503) {
                // Another server speaks for itself. And what nobody can wait for closes nothing: the
                // calls fail by themselves.
                let base = self.api.base();
                let ours = self.course.as_ref().expect(BEGUN).hop.url.same_origin(base);
                let wait = asked_wait(self.api, headers).filter(|wait| ours && *wait < DAY);
                wait.inspect(|wait| permit.rejected(now, *wait));
            } else {
                permit.served();
            }
        }
        let mut course = self.course.take().expect(BEGUN);
        course.live.get_or_insert_with(|| self.api.credentials().current());
        let inner = Inner { course, status, headers: take(headers), body };
        match judge::judge(self.api, self.request, Response::new(inner)) {
            Ok(response) => self.end_with(Ok(response), now),
            Err(error) => {
                // What went into the response serves the next attempt.
                let asked = error.response().and_then(|response| {
                    self.course = Some(response.course().clone());
                    asked_wait(self.api, response.headers())
                });
                self.retry(error.retry_later(asked), now)
            }
        }
    }

    /// Tries again, if that is safe, worth it, allowed and in time.
    fn retry(&mut self, error: Error, now: Instant) -> Step {
        self.permit = None;
        let policy = self.request.retry.as_deref().unwrap_or(self.api.retry());
        let safe = self.request.is_idempotent() || error.sent() == Sent::No;
        if self.tries >= policy.attempts || !safe || !policy.worth(&error) {
            return self.end_with(Err(error), now);
        }
        if self.spent() {
            let error = error.noted("not tried again: the body can be sent once");
            return self.end_with(Err(error), now);
        }
        // A server that asks for no wait at all still gets a breath.
        let asked = error.retry_after().filter(|wait| !wait.is_zero());
        let wait = match asked {
            Some(wait) => wait,
            None => {
                let bound =
                    policy.base.saturating_mul(1 << (self.tries - 1).min(20)).min(policy.cap);
                bound.mul_f64(self.random.f64())
            }
        };
        let left = self.end().saturating_duration_since(now);
        if wait >= left {
            return self.end_with(Err(error), now);
        }
        if asked.is_none() && !self.affordable(now) {
            return self.end_with(Err(error), now);
        }
        self.watch(|watch| &watch.retried, 1);
        self.tries += 1;
        self.cause = Cause::Retry;
        self.resent = false;
        self.since = now;
        self.spans.waits(wait);
        Step::Sleep(now + wait)
    }

    /// Takes one repeat from the budget: the gate's if it keeps one, else the `Api`'s.
    fn affordable(&self, now: Instant) -> bool {
        let share = self.api.retry().budget;
        let shared = self.api.gates().may_retry(share);
        shared.unwrap_or_else(|| lock(&self.api.shared().budget).take(share, now))
    }

    pub(crate) fn woken(&mut self, now: Instant) -> Step {
        self.waited = now.saturating_duration_since(self.since);
        self.admission(now)
    }

    /// The caller has cancelled the call.
    pub(crate) fn cancelled(&mut self, now: Instant) -> Step {
        self.fail(Error::new(ErrorKind::Cancelled, ""), now)
    }

    fn fail(&mut self, error: Error, now: Instant) -> Step {
        let error = self.named(error).sent_as(self.sent);
        self.end_with(Err(error), now)
    }

    /// The last request had an expectation, which the server may have refused.
    fn announces(&self) -> bool {
        !self.plain && outgoing::announces(self.api, self.request, self.hop())
    }

    /// The body is a reader that was begun, and goes along with this hop.
    fn spent(&self) -> bool {
        self.hop().carries && self.request.body.as_ref().is_some_and(Body::is_spent)
    }

    /// The place at the gate, for a body that is still to be read.
    pub(crate) fn into_permit(self) -> Option<Permit> {
        self.permit
    }

    fn end_with(&mut self, result: Result<Response, Error>, now: Instant) -> Step {
        self.waiting = None;
        if result.is_err() || !self.request.opens {
            // Before the seat: a virtual clock would let those at the gate wait in vain.
            self.permit = None;
        }
        let outcome = || result.as_ref().map(Response::status);
        self.note(|record| record.ended(outcome().map_err(Error::kind), now));
        self.spans.end(outcome());
        Step::Done(result.map_err(|error| {
            let took = now.saturating_duration_since(self.began);
            let course = self.course.take();
            error.after(course.map(|course| course.trace).unwrap_or_default(), took)
        }))
    }

    fn named(&self, error: Error) -> Error {
        match &self.course {
            Some(Course { hop, .. }) => error.of(&hop.method, hop.url.redacted()),
            None => error,
        }
    }

    /// Records for the batch, if it wants that.
    fn note(&mut self, note: impl FnOnce(&mut Record)) {
        if let Some(record) = &mut self.record {
            note(record);
        }
    }

    /// Counts for the batch, if there is one.
    fn watch(&self, which: impl Fn(&Watch) -> &AtomicU64, add: u64) {
        if let Some(watch) = &self.bounds.watch {
            which(watch).fetch_add(add, Relaxed);
        }
    }

    fn course(&self) -> &Course {
        self.course.as_ref().expect(BEGUN)
    }

    fn hop(&self) -> &Hop {
        &self.course().hop
    }
}

/// How long the server asks to wait.
fn asked_wait(api: &Api, headers: &HeaderMap) -> Option<Duration> {
    wait::asked(headers, || api.clock().wall())
}
