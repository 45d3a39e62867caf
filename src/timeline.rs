//! When each call of a batch waited, sent and received.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::StatusCode;
use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::clock::Clock;
use crate::error::ErrorKind;
use crate::sync::lock;
use crate::trace::{self, Cause};

/// Keeps what the calls of a batch did, and when. Given to
/// [`Batch::timeline`](crate::Batch::timeline); clones share the record.
///
/// A call is recorded when it ends, also when it ends because its batch was
/// dropped. All times are counted from the moment the batch began (the first
/// one, if several share a timeline).
///
/// ```no_run
/// use duocall::blocking::Client;
/// use duocall::{Api, Request, Timeline};
///
/// # fn main() -> Result<(), duocall::Error> {
/// let client = Client::new(Api::new("https://api.example.com/v2/")?);
/// let timeline = Timeline::new();
/// let pages = (1..=20).map(|page| Request::get("flows.json").query("page", page));
/// let results = client.batch(pages).timeline(&timeline).gather();
/// println!("{}", timeline.summary());
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct Timeline(Arc<Mutex<Log>>);

#[derive(Default)]
struct Log {
    start: Option<Instant>,
    calls: Vec<Call>,
}

/// One call of a batch. `Serialize` gives its times in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// The index of its item.
    pub index: usize,
    /// When it began to wait for its place.
    pub queued: Duration,
    /// When the gate first admitted it, if it did.
    pub admitted: Option<Duration>,
    /// The requests that went out for it, in order.
    pub attempts: Vec<Attempt>,
    /// When it was over.
    pub ended: Duration,
    /// The status of its response, or the kind of its error. What a `decode` makes
    /// of the response is not in it.
    pub outcome: Result<StatusCode, ErrorKind>,
}

/// One request of a call. `Serialize` gives its times in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// Why it was sent.
    pub cause: Cause,
    /// When it began: with a connection to be made or to be reused.
    pub start: Duration,
    /// When the head of the response was there, if it came.
    pub head: Option<Duration>,
    /// When it was over.
    pub end: Duration,
    /// The status of the response, or the kind of the failure.
    pub outcome: Result<StatusCode, ErrorKind>,
    /// Bytes of the response's body, after decoding.
    pub bytes: u64,
    /// Whether it went over a connection that had served before.
    pub reused: bool,
}

/// The whole of a timeline in a few numbers. `Serialize` gives its times in seconds.
///
/// The time of a call is that from its admission to its end; the wait for its
/// place is not in it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// Calls recorded.
    pub calls: usize,
    /// Calls without a response that was judged a success.
    pub failed: usize,
    /// Requests that went out.
    pub attempts: usize,
    /// From the first call's beginning to the last one's end.
    pub wall: Duration,
    /// The time of half of the calls is no longer than this.
    pub p50: Duration,
    /// The time of 95 % of the calls is no longer than this.
    pub p95: Duration,
    /// The time of 99 % of the calls is no longer than this.
    pub p99: Duration,
    /// How many requests were under way on average.
    pub parallelism: f64,
    /// How many times longer the calls would have taken one by one.
    pub speed_up: f64,
}

impl Timeline {
    /// An empty one.
    pub fn new() -> Timeline {
        Timeline::default()
    }

    /// The calls recorded so far, by index.
    pub fn calls(&self) -> Vec<Call> {
        let mut calls = lock(&self.0).calls.clone();
        calls.sort_by_key(|call| call.index);
        calls
    }

    /// What the calls recorded so far come to.
    pub fn summary(&self) -> Summary {
        Summary::of(&lock(&self.0).calls)
    }

    /// Writes a line of names and a line for each request, by index; a call for
    /// which nothing went out has one line. Times are seconds.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_csv(&self, mut out: impl Write) -> io::Result<()> {
        writeln!(
            out,
            "index,queued,admitted,ended,attempt,cause,start,head,end,status,error,bytes,reused"
        )?;
        for call in self.calls() {
            let queued = Seconds(Some(call.queued));
            let (admitted, ended) = (Seconds(call.admitted), Seconds(Some(call.ended)));
            let of_call = format!("{},{queued},{admitted},{ended}", call.index);
            if call.attempts.is_empty() {
                let Outcome(status, error) = Outcome::of(call.outcome);
                writeln!(out, "{of_call},,,,,,{status},{error},,")?;
            }
            for (n, attempt) in (1..).zip(&call.attempts) {
                let cause = name(attempt.cause);
                let start = Seconds(Some(attempt.start));
                let (head, end) = (Seconds(attempt.head), Seconds(Some(attempt.end)));
                let Outcome(status, error) = Outcome::of(attempt.outcome);
                let (bytes, reused) = (attempt.bytes, attempt.reused);
                writeln!(
                    out,
                    "{of_call},{n},{cause},{start},{head},{end},{status},{error},{bytes},{reused}"
                )?;
            }
        }
        Ok(())
    }

    /// The moment from which its times count: `now`, if there is none yet.
    pub(crate) fn start(&self, now: Instant) -> Instant {
        *lock(&self.0).start.get_or_insert(now)
    }
}

impl fmt::Debug for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = lock(&self.0).calls.len();
        f.debug_struct("Timeline").field("calls", &calls).finish_non_exhaustive()
    }
}

impl Call {
    /// From its admission to its end; nothing, if it never was admitted.
    pub fn time(&self) -> Duration {
        self.admitted.map_or(Duration::ZERO, |admitted| self.ended.saturating_sub(admitted))
    }
}

impl Attempt {
    /// From its start to its end.
    pub fn time(&self) -> Duration {
        self.end.saturating_sub(self.start)
    }
}

impl Summary {
    fn of(calls: &[Call]) -> Summary {
        let begun = calls.iter().map(|call| call.queued).min().unwrap_or_default();
        let ended = calls.iter().map(|call| call.ended).max().unwrap_or_default();
        let wall = ended.saturating_sub(begun);
        let mut times: Vec<Duration> = calls.iter().map(Call::time).collect();
        times.sort_unstable();
        // The nearest rank: a time that a call really took.
        let percentile = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100);
            times.get(rank.saturating_sub(1)).copied().unwrap_or_default()
        };
        let attempts = || calls.iter().flat_map(|call| &call.attempts);
        let busy: Duration = attempts().map(Attempt::time).sum();
        let alone: Duration = times.iter().sum();
        let share = |time: Duration| {
            if wall.is_zero() { 0.0 } else { time.as_secs_f64() / wall.as_secs_f64() }
        };
        Summary {
            calls: calls.len(),
            failed: calls.iter().filter(|call| call.outcome.is_err()).count(),
            attempts: attempts().count(),
            wall,
            p50: percentile(50),
            p95: percentile(95),
            p99: percentile(99),
            parallelism: share(busy),
            speed_up: share(alone),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        write!(
            f,
            "{} calls in {:.3} s, {} failed, {} requests; a call took {:.1} ms (p50), {:.1} ms (p95), \
             {:.1} ms (p99); {:.1} at once on average, {:.1} times as fast as one by one",
            self.calls,
            self.wall.as_secs_f64(),
            self.failed,
            self.attempts,
            ms(self.p50),
            ms(self.p95),
            ms(self.p99),
            self.parallelism,
            self.speed_up,
        )
    }
}

fn name(cause: Cause) -> &'static str {
    match cause {
        Cause::First => "first",
        Cause::Retry => "retry",
        Cause::Resend => "resend",
        Cause::Redirect => "redirect",
        Cause::Refresh => "refresh",
        Cause::Unexpected => "unexpected",
    }
}

/// A status and the name of an error, one of them empty.
struct Outcome(String, String);

impl Outcome {
    fn of(outcome: Result<StatusCode, ErrorKind>) -> Outcome {
        match outcome {
            Ok(status) => Outcome(status.as_u16().to_string(), String::new()),
            Err(kind) => Outcome(String::new(), format!("{kind:?}")),
        }
    }
}

/// With microseconds; nothing for none.
struct Seconds(Option<Duration>);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(time) => write!(f, "{:.6}", time.as_secs_f64()),
            None => Ok(()),
        }
    }
}

impl Serialize for Call {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Call", 7)?;
        out.serialize_field("index", &self.index)?;
        out.serialize_field("queued", &self.queued.as_secs_f64())?;
        out.serialize_field("admitted", &self.admitted.map(|time| time.as_secs_f64()))?;
        out.serialize_field("ended", &self.ended.as_secs_f64())?;
        out.serialize_field("status", &self.outcome.ok().map(|status| status.as_u16()))?;
        out.serialize_field("error", &self.outcome.err().map(|kind| format!("{kind:?}")))?;
        out.serialize_field("attempts", &self.attempts)?;
        out.end()
    }
}

impl Serialize for Attempt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Attempt", 8)?;
        out.serialize_field("cause", name(self.cause))?;
        out.serialize_field("start", &self.start.as_secs_f64())?;
        out.serialize_field("head", &self.head.map(|time| time.as_secs_f64()))?;
        out.serialize_field("end", &self.end.as_secs_f64())?;
        out.serialize_field("status", &self.outcome.ok().map(|status| status.as_u16()))?;
        out.serialize_field("error", &self.outcome.err().map(|kind| format!("{kind:?}")))?;
        out.serialize_field("bytes", &self.bytes)?;
        out.serialize_field("reused", &self.reused)?;
        out.end()
    }
}

impl Serialize for Summary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Summary", 9)?;
        out.serialize_field("calls", &self.calls)?;
        out.serialize_field("failed", &self.failed)?;
        out.serialize_field("attempts", &self.attempts)?;
        out.serialize_field("wall", &self.wall.as_secs_f64())?;
        out.serialize_field("p50", &self.p50.as_secs_f64())?;
        out.serialize_field("p95", &self.p95.as_secs_f64())?;
        out.serialize_field("p99", &self.p99.as_secs_f64())?;
        out.serialize_field("parallelism", &self.parallelism)?;
        out.serialize_field("speed_up", &self.speed_up)?;
        out.end()
    }
}

/// A call on its way; the engine fills it. It goes to its timeline when it drops.
pub(crate) struct Record {
    timeline: Timeline,
    start: Instant,
    clock: Clock,
    call: Call,
    /// The request that is out.
    sent: Option<(Cause, Duration)>,
    /// When the head of its response was there.
    head: Option<Duration>,
    over: bool,
}

impl Record {
    pub(crate) fn new(timeline: Timeline, index: usize, clock: &Clock, now: Instant) -> Record {
        let start = timeline.start(now);
        let at = now.saturating_duration_since(start);
        let call = Call {
            index,
            queued: at,
            admitted: None,
            attempts: Vec::new(),
            ended: at,
            outcome: Err(ErrorKind::Cancelled),
        };
        Record { timeline, start, clock: clock.clone(), call, sent: None, head: None, over: false }
    }

    fn at(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }

    pub(crate) fn admitted(&mut self, now: Instant) {
        let at = self.at(now);
        self.call.admitted.get_or_insert(at);
    }

    pub(crate) fn sent(&mut self, cause: Cause, now: Instant) {
        self.sent = Some((cause, self.at(now)));
        self.head = None;
    }

    pub(crate) fn head(&mut self, now: Instant) {
        self.head = Some(self.at(now));
    }

    pub(crate) fn received(&mut self, attempt: &trace::Attempt, bytes: u64, now: Instant) {
        let head = self.head.take();
        let end = self.at(now);
        let (cause, start) = self.sent.take().unwrap_or((attempt.cause, end));
        let (outcome, reused) = (attempt.outcome, attempt.reused);
        self.call.attempts.push(Attempt { cause, start, head, end, outcome, bytes, reused });
    }

    pub(crate) fn ended(&mut self, outcome: Result<StatusCode, ErrorKind>, now: Instant) {
        self.call.outcome = outcome;
        self.call.ended = self.at(now);
        self.over = true;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.over {
            let end = self.at(self.clock.now());
            self.call.ended = end;
            if let Some((cause, start)) = self.sent.take() {
                let outcome = Err(ErrorKind::Cancelled);
                let (head, bytes, reused) = (self.head, 0, false);
                let attempt = Attempt { cause, start, head, end, outcome, bytes, reused };
                self.call.attempts.push(attempt);
            }
        }
        let attempts = std::mem::take(&mut self.call.attempts);
        let call = Call { attempts, ..self.call };
        lock(&self.timeline.0).calls.push(call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn timeline() -> Timeline {
        let timeline = Timeline::new();
        let start = Instant::now();
        // The first three overlap; the last comes after them.
        for (index, from, to) in [(2, 0, 100), (0, 0, 50), (1, 50, 100), (3, 100, 200)] {
            let clock = Clock::default();
            let mut record = Record::new(timeline.clone(), index, &clock, start);
            record.admitted(start + ms(from));
            record.sent(Cause::First, start + ms(from));
            let (cause, outcome) = (Cause::First, Ok(StatusCode::OK));
            let (waited, took) = (Duration::ZERO, ms(to - from));
            let attempt = trace::Attempt {
                cause,
                outcome,
                waited,
                took,
                reused: index == 3,
                withheld: false,
            };
            record.head(start + ms(to - 10));
            record.received(&attempt, 7, start + ms(to));
            record.ended(outcome, start + ms(to));
        }
        timeline
    }

    #[test]
    fn a_summary_counts_what_overlaps() {
        let summary = timeline().summary();
        assert_eq!((summary.calls, summary.failed, summary.attempts), (4, 0, 4));
        assert_eq!(summary.wall, ms(200));
        assert_eq!((summary.p50, summary.p95, summary.p99), (ms(50), ms(100), ms(100)));
        assert!((summary.parallelism - 1.5).abs() < 1e-9, "{summary:?}");
        assert!((summary.speed_up - 1.5).abs() < 1e-9, "{summary:?}");
        assert_eq!(Timeline::new().summary(), Summary::default());
    }

    #[test]
    fn lines_and_json_have_seconds() {
        let timeline = timeline();
        let mut csv = Vec::new();
        timeline.write_csv(&mut csv).unwrap();
        let csv = String::from_utf8(csv).unwrap();
        let lines: Vec<&str> = csv.lines().collect();
        let columns = |line: &str| line.split(',').count();
        assert!(lines.iter().all(|line| columns(line) == columns(lines[0])), "{csv}");
        let last = "3,0.000000,0.100000,0.200000,1,first,0.100000,0.190000,0.200000,200,,7,true";
        assert_eq!(lines[4], last);
        let json = serde_json::to_value(timeline.calls()).unwrap();
        assert_eq!(json[3]["attempts"][0]["head"], 0.19);
        assert_eq!(json[3]["status"], 200);
        assert_eq!(serde_json::to_value(timeline.summary()).unwrap()["wall"], 0.2);
    }

    #[test]
    fn what_is_dropped_was_cancelled() {
        let timeline = Timeline::new();
        let now = Instant::now();
        let mut record = Record::new(timeline.clone(), 5, &Clock::default(), now);
        record.admitted(now);
        record.sent(Cause::First, now);
        record.head(now);
        drop(record);
        drop(Record::new(timeline.clone(), 6, &Clock::default(), now));
        let calls = timeline.calls();
        assert_eq!(calls[0].attempts[0].outcome, Err(ErrorKind::Cancelled));
        assert_eq!(calls[0].attempts[0].head, Some(Duration::ZERO));
        assert_eq!((calls[1].admitted, calls[1].attempts.len()), (None, 0));
        let mut csv = Vec::new();
        timeline.write_csv(&mut csv).unwrap();
        let csv = String::from_utf8(csv).unwrap();
        assert!(csv.lines().all(|line| line.split(',').count() == 13), "{csv}");
    }
}
