//! What passes between the engine and a transport, and how to write one of your own.
//!
//! A transport is anything that implements `Transport` of `blocking` or of `nonblocking`; a closure of
//! the right shape does. It moves one request and its response and decides nothing: no redirect, no
//! decoding, no retry, no cookie, no environment variable, no status that is an error. The request
//! comes with all its headers (`Content-Length` among them, where the length is known) and an absolute
//! URL; the transport adds `Host`, and frames a body without a length in chunks.
//!
//! What it owes besides is told to the [`Exchange`] and in a [`Failure`]:
//!
//! - **Phases.** [`enter`](Exchange::enter) begins one, and its limit of time: `Resolve`, `Connect` and
//!   `Tls` for a new connection, `Send` with the first byte of the request, `Head` when the last is
//!   gone. `Body` is entered by the engine. One that cannot tell enters `Head` at the start.
//! - **Limits of time.** An async transport keeps none: it is dropped when the time has come. A blocking
//!   one must not wait for longer than [`remaining`](Exchange::remaining), in `send` and in each read,
//!   and gives [`timed_out`](Exchange::timed_out) if it did.
//! - **Cancellation.** A dropped future is cancelled. A blocking transport is told by
//!   [`on_cancel`](Exchange::on_cancel), and should stop waiting then.
//! - **Bytes.** [`wrote`](Exchange::wrote) and [`received`](Exchange::received) count them, those of the
//!   heads included. From that follows [`Sent`], and from `Sent` whether a request that is not
//!   idempotent may be sent again. One that cannot count says `wrote(1)` before it begins and
//!   `received(1)` with the head, and [`Failure::sent`] where it knows better.
//! - **Reuse.** [`set_reused`](Exchange::set_reused) says that the connection has served before: if it
//!   dies before a byte of the response, the request is sent again at no charge. In doubt, never.
//! - **Announced bodies.** A request with the field `Expect: 100-continue` wants its body held back until
//!   the server says 100, or for [`patience`](Exchange::patience); a final response that comes before
//!   that is the response, and the body stays here: [`withhold`](Exchange::withhold). One that cannot
//!   wait sends it at once, which is allowed (RFC 9110 section 10.1.1).
//! - **Completeness.** A body that ends early is an error of kind [`Truncated`](ErrorKind::Truncated). A
//!   connection serves again only after a body that was read to its proven end; not after a dropped
//!   call, and not after a dropped body.
//! - **Silence.** What a failure says and causes shows in errors and logs: no URL with its query, no header.
//!
//! The package `examples/reqwest_transport` puts reqwest under both clients, with all of this.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::cancel::{Cancel, Subscription};
use crate::clock::Seat;
use crate::error::{BoxError, Error, ErrorKind, Phase, Sent};
use crate::policy::Timeouts;
use crate::tls::TlsFault;

/// The most that a server is given to say 100.
const PATIENCE: Duration = Duration::from_secs(1);

/// As much of a head as is taken. The engine checks; a transport need not buffer more.
pub(crate) const MAX_HEAD: usize = 64 << 10;
/// hyper's own limit: it has room for so many without an allocation.
pub(crate) const MAX_FIELDS: usize = 100;

/// Why an exchange failed, as a transport tells it.
#[derive(Debug)]
pub struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) detail: Cow<'static, str>,
    pub(crate) sent: Option<Sent>,
    pub(crate) lasting: bool,
    pub(crate) unprocessed: bool,
    pub(crate) tls: Option<TlsFault>,
    pub(crate) source: Option<BoxError>,
}

impl Failure {
    /// A failure of that kind; `detail` is a few words without secrets.
    pub fn new(kind: ErrorKind, detail: impl Into<Cow<'static, str>>) -> Failure {
        let detail = detail.into();
        Failure {
            kind,
            detail,
            sent: None,
            lasting: false,
            unprocessed: false,
            tls: None,
            source: None,
        }
    }

    /// A failure of TLS, which another attempt would meet again.
    pub fn tls(fault: TlsFault, detail: impl Into<Cow<'static, str>>) -> Failure {
        let mut failure = Failure::new(ErrorKind::Tls, detail).lasting();
        failure.tls = Some(fault);
        failure
    }

    /// The error behind it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<BoxError>) -> Failure {
        self.source = Some(source.into());
        self
    }

    /// What is known of the request's way, where the transport knows better than
    /// the exchange's record of phases and bytes.
    #[must_use]
    pub fn sent(mut self, sent: Sent) -> Failure {
        self.sent = Some(sent);
        self
    }

    /// Says that another attempt would meet the same.
    #[must_use]
    pub fn lasting(mut self) -> Failure {
        self.lasting = true;
        self
    }

    /// Says that the server has promised not to have acted on the request (as HTTP/2 can: RFC 9113
    /// section 8.7). It is sent once more at no charge, whatever its method; the transport must not
    /// use the same connection for it.
    #[must_use]
    pub fn unprocessed(mut self) -> Failure {
        self.unprocessed = true;
        self.sent(Sent::No)
    }

    /// The same, for another call that met it. Of the cause only the words go along.
    #[cfg(feature = "http2")]
    pub(crate) fn again(&self) -> Failure {
        let source = self.source.as_ref().map(|source| source.to_string().into());
        Failure { source, detail: self.detail.clone(), ..*self }
    }

    /// An I/O error in the light of the phase it happened in.
    #[expect(clippy::missing_panics_doc, reason = "it was checked to be a Failure")]
    pub fn from_io(error: io::Error, phase: Phase) -> Failure {
        if error.get_ref().is_some_and(|inner| inner.is::<Failure>()) {
            let inner = error.into_inner().and_then(|inner| inner.downcast().ok());
            return *inner.expect("checked to be a Failure");
        }
        Failure::of_io(&error, phase).caused_by(error)
    }

    /// The same without the error itself.
    pub(crate) fn of_io(error: &io::Error, phase: Phase) -> Failure {
        if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<Failure>()) {
            return Failure::new(inner.kind, inner.detail.clone());
        }
        if let Some(failure) = crate::tls::recognise(error, phase) {
            return failure;
        }
        let kind = match (error.kind(), phase) {
            _ if is_exhaustion(error) => ErrorKind::Resource,
            (io::ErrorKind::OutOfMemory, _) => ErrorKind::Resource,
            (io::ErrorKind::TimedOut, phase) => ErrorKind::Timeout(phase),
            (_, Phase::Resolve) => ErrorKind::Dns,
            (_, Phase::Connect) => ErrorKind::Connect,
            (_, Phase::Tls) => ErrorKind::Closed,
            // hyper calls a broken chunk invalid input.
            (io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput, _) => ErrorKind::Protocol,
            (_, Phase::Body) => ErrorKind::Truncated,
            _ => ErrorKind::Closed,
        };
        match (kind, error.kind()) {
            (ErrorKind::Protocol, _) => Failure::new(kind, "not valid HTTP/1.1"),
            // The standard library's word for it is "uncategorized".
            (ErrorKind::Resource, _) if is_exhaustion(error) => {
                Failure::new(kind, "no file descriptor is left")
            }
            (_, io::ErrorKind::UnexpectedEof) => Failure::new(kind, "the connection was closed"),
            // Which of the two comes is a matter of chance.
            (_, io::ErrorKind::BrokenPipe) => Failure::new(kind, "connection reset"),
            (_, other) => Failure::new(kind, other.to_string()),
        }
    }

    pub(crate) fn into_error(self) -> Error {
        let sent = self.sent.unwrap_or(Sent::Maybe);
        let error = Error::new(self.kind, self.detail).sent_as(sent).with_tls(self.tls);
        match self.source {
            Some(source) => error.caused_by(source),
            None => error,
        }
    }
}

/// EMFILE and ENFILE have no `io::ErrorKind` of their own.
fn is_exhaustion(error: &io::Error) -> bool {
    cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.detail)
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> io::Error {
        io::Error::other(failure)
    }
}

/// One request on its way: its limits of time, and the record of how far it came.
///
/// The engine makes it, the transport fills it. A transport calls
/// [`enter`](Exchange::enter) as it goes, so that a time-out names its phase.
#[derive(Debug)]
pub struct Exchange {
    seat: Seat,
    /// All other times are nanoseconds since then.
    started: Instant,
    timeouts: Timeouts,
    attempt_end: u64,
    total_end: u64,
    /// The attempt has no limit of its own any more: its body is read at leisure.
    open: AtomicBool,
    phase: AtomicU8,
    /// How long the phase may take.
    limit: AtomicU64,
    /// When the phase must be over; [`UNASKED`] until somebody wants to know.
    due: AtomicU64,
    /// Nothing has waited yet: it is still the time of the start.
    fresh: AtomicBool,
    wake_at: AtomicU64,
    written: AtomicU64,
    read: AtomicU64,
    reused: AtomicBool,
    withheld: AtomicBool,
    cancel: Option<Cancel>,
}

impl Exchange {
    pub(crate) fn new(
        seat: Seat,
        now: Instant,
        timeouts: Timeouts,
        total_end: Instant,
        cancel: Option<Cancel>,
    ) -> Exchange {
        Exchange {
            seat,
            started: now,
            attempt_end: nanos(timeouts.attempt),
            total_end: nanos(total_end.saturating_duration_since(now)),
            open: AtomicBool::new(false),
            phase: AtomicU8::new(Phase::Resolve as u8),
            limit: AtomicU64::new(nanos(timeouts.connect)),
            due: AtomicU64::new(nanos(timeouts.connect)),
            fresh: AtomicBool::new(true),
            wake_at: AtomicU64::new(u64::MAX),
            written: AtomicU64::new(0),
            read: AtomicU64::new(0),
            reused: AtomicBool::new(false),
            withheld: AtomicBool::new(false),
            cancel,
            timeouts,
        }
    }

    /// Marks the beginning of a phase, and of its limit, which counts from when it is first asked
    /// about: before anything waits. `Resolve`, `Connect` and `Tls` share the limit of the first of
    /// them; `Body` begins anew with each read.
    pub fn enter(&self, phase: Phase) {
        let before = self.phase();
        self.phase.store(phase as u8, Relaxed);
        let limit = match phase {
            Phase::Connect | Phase::Tls if before <= Phase::Tls => return,
            Phase::Send | Phase::Head => self.timeouts.head,
            Phase::Body => self.timeouts.idle,
            _ => self.timeouts.connect,
        };
        self.limit(limit);
    }

    /// The phase it is in.
    pub fn phase(&self) -> Phase {
        Phase::ALL[usize::from(self.phase.load(Relaxed))]
    }

    /// When the phase must be over.
    pub fn deadline(&self) -> Instant {
        self.at(self.over(self.elapsed()))
    }

    /// That of the phase, or of the attempt or the call, whichever comes first.
    fn over(&self, now: u64) -> u64 {
        self.due(now).min(self.end().0)
    }

    /// When the limit of the phase runs out. Most phases pass at once, are never asked about, and
    /// are spared the clock.
    fn due(&self, now: u64) -> u64 {
        let due = self.due.load(Relaxed);
        if due != UNASKED {
            return due;
        }
        let due = now.saturating_add(self.limit.load(Relaxed));
        self.due.store(due, Relaxed);
        due
    }

    /// For a driver that finds nothing ready: when to look again if nothing else wakes it.
    ///
    /// # Errors
    /// The time-out, if the phase is over.
    pub(crate) fn look(&self) -> Result<Instant, Failure> {
        let now = if self.fresh.load(Relaxed) { 0 } else { self.elapsed() };
        self.fresh.store(false, Relaxed);
        let due = self.over(now);
        if now >= due {
            return Err(self.timed_out());
        }
        Ok(self.at(due.min(self.wake_at.load(Relaxed))))
    }

    /// What is left of the phase.
    ///
    /// # Errors
    /// The time-out, if nothing is, or the cancellation.
    pub fn remaining(&self) -> Result<Duration, Failure> {
        if self.is_cancelled() {
            return Err(Failure::new(ErrorKind::Cancelled, ""));
        }
        let now = self.elapsed();
        match self.over(now).saturating_sub(now) {
            0 => Err(self.timed_out()),
            left => Ok(Duration::from_nanos(left)),
        }
    }

    /// The limits of the phases, for a transport that keeps them itself.
    pub fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// What is left of the attempt.
    pub fn left(&self) -> Duration {
        self.at(self.end().0).saturating_duration_since(self.now())
    }

    /// The failure to give when the limit of the phase has run out.
    pub fn timed_out(&self) -> Failure {
        let (end, end_phase) = self.end();
        let by_end = self.due(self.elapsed()) >= end;
        let phase = if by_end { end_phase } else { self.phase() };
        Failure::new(ErrorKind::Timeout(phase), "").sent(match self.sent() {
            Sent::Maybe if self.phase() >= Phase::Head => Sent::Yes,
            sent => sent,
        })
    }

    /// The end of the attempt or of the call, whichever comes first.
    fn end(&self) -> (u64, Phase) {
        if self.attempt_end < self.total_end && !self.open.load(Relaxed) {
            (self.attempt_end, Phase::Attempt)
        } else {
            (self.total_end, Phase::Total)
        }
    }

    /// Lifts the limit of the attempt, for a body that the caller reads.
    pub(crate) fn open(&self) {
        self.open.store(true, Relaxed);
        self.fresh.store(false, Relaxed);
    }

    /// Whether the caller has cancelled the call.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.as_ref().is_some_and(Cancel::is_cancelled)
    }

    /// Wakes `waker` when the caller cancels the call, until the guard drops.
    pub fn on_cancel(&self, waker: &Waker) -> Option<impl Drop + Send + use<>> {
        self.cancel.as_ref().map(|cancel| -> Subscription { cancel.listen(waker) })
    }

    /// Counts bytes of the request handed to the system.
    pub fn wrote(&self, bytes: usize) {
        add(&self.written, bytes);
    }

    /// Counts bytes of the response.
    pub fn received(&self, bytes: usize) {
        add(&self.read, bytes);
    }

    #[cfg(feature = "async")]
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Says that the connection has served before.
    pub fn set_reused(&self, reused: bool) {
        self.reused.store(reused, Relaxed);
    }

    /// Whether the connection has served before.
    pub fn reused(&self) -> bool {
        self.reused.load(Relaxed)
    }

    /// How long the body of a request with `Expect: 100-continue` waits for the server's word: a
    /// second, or half the limit for the head if that is shorter.
    pub fn patience(&self) -> Duration {
        PATIENCE.min(self.timeouts.head / 2)
    }

    /// Says that the body stayed here, for the response came before the server asked for it.
    pub fn withhold(&self) {
        self.withheld.store(true, Relaxed);
    }

    pub(crate) fn withheld(&self) -> bool {
        self.withheld.load(Relaxed)
    }

    /// Makes the patience the limit of the phase.
    #[cfg(feature = "blocking")]
    pub(crate) fn be_patient(&self) {
        self.limit(self.patience());
    }

    /// Forgets what was assumed of the way, before it began.
    #[cfg(feature = "surf")]
    pub(crate) fn restart(&self) {
        self.written.store(0, Relaxed);
        self.enter(Phase::Resolve);
    }

    pub(crate) fn untouched(&self) -> bool {
        self.read.load(Relaxed) == 0
    }

    pub(crate) fn seat(&self) -> &Seat {
        &self.seat
    }

    pub(crate) fn cancel(&self) -> Option<&Cancel> {
        self.cancel.as_ref()
    }

    /// Asks the async driver to poll the transport again at that time.
    pub(crate) fn wake_at(&self, at: Instant) {
        self.wake_at.store(nanos(at.saturating_duration_since(self.started)), Relaxed);
    }

    /// Takes that back.
    pub(crate) fn let_sleep(&self) {
        self.wake_at.store(u64::MAX, Relaxed);
    }

    /// How far the request came. What a server says while it is still on its way,
    /// as `100 Continue`, does not make it whole.
    pub fn sent(&self) -> Sent {
        if self.read.load(Relaxed) > 0 && self.phase() > Phase::Send {
            Sent::Yes
        } else if self.written.load(Relaxed) > 0 {
            Sent::Maybe
        } else {
            Sent::No
        }
    }

    /// When it began, by its clock: a moment ago for who finds it a connection.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    pub(crate) fn now(&self) -> Instant {
        self.seat.now()
    }

    fn elapsed(&self) -> u64 {
        nanos(self.now().saturating_duration_since(self.started))
    }

    /// Gives the phase so much time from now on.
    fn limit(&self, limit: Duration) {
        self.limit.store(nanos(limit), Relaxed);
        self.due.store(UNASKED, Relaxed);
    }

    fn at(&self, nanos: u64) -> Instant {
        self.started + Duration::from_nanos(nanos)
    }
}

/// Adds to what one task counts. Where several do, some bytes may be lost, but never the fact that
/// there were any, which is all that is asked of several.
fn add(count: &AtomicU64, bytes: usize) {
    if bytes > 0 {
        count.store(count.load(Relaxed) + bytes as u64, Relaxed);
    }
}

/// No time that comes: nanoseconds last for 584 years.
const UNASKED: u64 = u64::MAX;

fn nanos(time: Duration) -> u64 {
    time.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(total: u64) -> Exchange {
        let now = Instant::now();
        let end = now + Duration::from_secs(total);
        Exchange::new(Seat::default(), now, Timeouts::default(), end, None)
    }

    #[test]
    fn connecting_has_one_limit_in_three_phases() {
        let exchange = exchange(100);
        let due = exchange.deadline();
        exchange.enter(Phase::Connect);
        exchange.enter(Phase::Tls);
        assert_eq!(exchange.deadline(), due);
        exchange.enter(Phase::Head);
        assert!(exchange.deadline() > due);
    }

    #[test]
    fn a_limit_counts_from_the_first_question_and_no_other() {
        let exchange = exchange(100);
        exchange.enter(Phase::Head);
        let asked = Instant::now();
        let due = exchange.deadline();
        assert!(
            due >= asked + exchange.timeouts().head
                && due <= Instant::now() + exchange.timeouts().head
        );
        assert_eq!(exchange.look().expect("it has just begun"), due);
        assert_eq!(exchange.deadline(), due);
    }

    #[test]
    fn the_first_wait_counts_from_the_start_but_not_a_readers() {
        let started = Instant::now() - Duration::from_secs(10);
        let (limits, end) = (Timeouts::default(), started + Duration::from_secs(1000));
        let exchange = || Exchange::new(Seat::default(), started, limits, end, None);
        let [first, second, opened] = [exchange(), exchange(), exchange()];
        second.look().expect("the first look");
        opened.open();
        let due = |exchange: &Exchange| {
            exchange.enter(Phase::Body);
            exchange.look().expect("it has just begun")
        };
        assert_eq!(due(&first), started + limits.idle);
        assert!(due(&second) >= started + limits.idle + Duration::from_secs(10));
        assert!(due(&opened) >= started + limits.idle + Duration::from_secs(10));
    }

    #[test]
    fn the_end_of_the_call_bounds_every_phase() {
        let exchange = exchange(1);
        assert_eq!(exchange.timed_out().kind, ErrorKind::Timeout(Phase::Total));
        exchange.enter(Phase::Head);
        assert_eq!(exchange.deadline(), exchange.at(exchange.end().0));
    }

    #[test]
    fn what_was_sent_follows_the_bytes() {
        let exchange = exchange(100);
        assert_eq!(exchange.sent(), Sent::No);
        exchange.wrote(1);
        assert_eq!(exchange.sent(), Sent::Maybe);
        exchange.enter(Phase::Head);
        assert_eq!(exchange.timed_out().sent, Some(Sent::Yes));
        exchange.received(1);
        assert_eq!(exchange.sent(), Sent::Yes);
    }
}
