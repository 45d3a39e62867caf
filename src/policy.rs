//! Settings that are plain values: how long, how often, how fast.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::error::{Error, ErrorKind, Mistake, Phase};

/// The longest limit kept; anything above it means "as good as none", and adds to an `Instant` without overflow.
pub(crate) const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Limits of time. They are the same in every way of running.
///
/// A zero is an error when the `Api` is built; `Duration::MAX` stands for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub(crate) queue: Duration,
    pub(crate) connect: Duration,
    pub(crate) head: Duration,
    pub(crate) idle: Duration,
    pub(crate) attempt: Duration,
    pub(crate) total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            queue: LONGEST,
            connect: Duration::from_secs(5),
            head: Duration::from_secs(15),
            idle: Duration::from_secs(15),
            attempt: Duration::from_secs(30),
            total: Duration::from_secs(120),
        }
    }
}

impl Timeouts {
    /// How long a call may wait at the gate each time it asks; the first time, what
    /// it waited for a thread of a pool counts, too. Defaults to none: that wait
    /// counts against no other limit.
    #[must_use]
    pub fn queue(mut self, limit: Duration) -> Self {
        self.queue = limit.min(LONGEST);
        self
    }

    /// Resolving the name, connecting and the TLS handshake together. Defaults to 5 s.
    #[must_use]
    pub fn connect(mut self, limit: Duration) -> Self {
        self.connect = limit.min(LONGEST);
        self
    }

    /// From the last byte of the request to the end of the response's head; also the
    /// longest pause while the request is written. Defaults to 15 s.
    #[must_use]
    pub fn head(mut self, limit: Duration) -> Self {
        self.head = limit.min(LONGEST);
        self
    }

    /// The longest pause between two reads of the body. Defaults to 15 s.
    #[must_use]
    pub fn idle(mut self, limit: Duration) -> Self {
        self.idle = limit.min(LONGEST);
        self
    }

    /// One attempt, from connecting to the last byte of the body. Defaults to 30 s.
    #[must_use]
    pub fn attempt(mut self, limit: Duration) -> Self {
        self.attempt = limit.min(LONGEST);
        self
    }

    /// The whole call: its attempts and the waits between them, without the time
    /// at the gate. Defaults to 120 s.
    #[must_use]
    pub fn total(mut self, limit: Duration) -> Self {
        self.total = limit.min(LONGEST);
        self
    }

    pub(crate) fn check(&self) -> Result<(), Mistake> {
        let all = [
            ("queue", self.queue),
            ("connect", self.connect),
            ("head", self.head),
            ("idle", self.idle),
            ("attempt", self.attempt),
            ("total", self.total),
        ];
        match all.iter().find(|(_, limit)| limit.is_zero()) {
            Some((name, _)) => Err(Mistake::new(format!("time-out {name}"), "is zero")),
            None => Ok(()),
        }
    }
}

type Classifier = Arc<dyn Fn(&Error) -> bool + Send + Sync>;

/// When a failed attempt is worth another, and how long to wait before it.
///
/// Only what is safe to repeat is repeated: idempotent methods (RFC 9110
/// section 9.2.2), any request with an `Idempotency-Key`, and any request of
/// which nothing was sent. Of those, by default: no connection, a connection
/// lost, a time-out within the attempt, a truncated body, and the statuses 408,
/// 425, 429, 500, 502, 503, 504.
///
/// The wait is what the server asks for (`Retry-After` of RFC 9110 section
/// 10.2.3, then `RateLimit-Reset` and `X-RateLimit-Reset`, unless their
/// `Remaining` says that something is left), else full jitter: a random part of
/// `base * 2^n`, at most `cap`.
#[derive(Clone)]
pub struct Retry {
    pub(crate) attempts: u32,
    pub(crate) base: Duration,
    pub(crate) cap: Duration,
    pub(crate) budget: f64,
    pub(crate) seed: Option<u64>,
    pub(crate) statuses: Option<Arc<[u16]>>,
    pub(crate) classifier: Option<Classifier>,
}

const RETRIED: [u16; 7] = [408, 425, 429, 500, 502, 503, 504];

impl Default for Retry {
    fn default() -> Self {
        Retry {
            attempts: 3,
            base: Duration::from_millis(200),
            cap: Duration::from_secs(10),
            budget: 0.2,
            seed: None,
            statuses: None,
            classifier: None,
        }
    }
}

impl Retry {
    /// One attempt and no more.
    pub fn none() -> Self {
        Retry::default().attempts(1)
    }

    /// How many attempts in all; at least 1. Defaults to 3.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// The bounds of the back-off: the first wait is random below `base`, the bound
    /// doubles with each attempt up to `cap`. Defaults to 0.2 s and 10 s.
    #[must_use]
    pub fn backoff(mut self, base: Duration, cap: Duration) -> Self {
        self.base = base.min(LONGEST);
        self.cap = cap.min(LONGEST);
        self
    }

    /// The share of calls in the last ten seconds that may be repeated, over all
    /// clients of the `Api`; ten always may. Repeats the server itself has
    /// scheduled with a `Retry-After` are not counted: the gate paces them.
    /// Defaults to 0.2. Only the `Api`'s own setting counts, not a request's.
    #[must_use]
    pub fn budget(mut self, share: f64) -> Self {
        self.budget = share;
        self
    }

    /// Makes the jitter repeatable. Defaults to a random seed.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The statuses worth another attempt, instead of the default list.
    #[must_use]
    pub fn statuses(mut self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.statuses = Some(statuses.into_iter().collect());
        self
    }

    /// Decides instead of the default list which failures are worth another
    /// attempt. What is not safe to repeat is never repeated, whatever it says.
    #[must_use]
    pub fn retry_if(mut self, worth: impl Fn(&Error) -> bool + Send + Sync + 'static) -> Self {
        self.classifier = Some(Arc::new(worth));
        self
    }

    pub(crate) fn check(&self) -> Result<(), Mistake> {
        let flaw = if self.attempts == 0 {
            Some(("retry attempts", "are zero"))
        } else if !self.budget.is_finite() || self.budget < 0.0 {
            Some(("retry budget", "is not a share of zero or more"))
        } else if self.base.is_zero() || self.cap.is_zero() {
            Some(("retry back-off", "is zero"))
        } else if self.base > self.cap {
            Some(("retry back-off", "has a base above its cap"))
        } else {
            None
        };
        flaw.map_or(Ok(()), |(field, what)| Err(Mistake::new(field, what)))
    }

    /// Whether this failure is one that another attempt might not meet.
    pub(crate) fn worth(&self, error: &Error) -> bool {
        if let Some(classifier) = &self.classifier {
            return classifier(error);
        }
        match error.kind() {
            ErrorKind::Connect | ErrorKind::Closed | ErrorKind::Truncated | ErrorKind::Dns => true,
            ErrorKind::Timeout(phase) => !matches!(phase, Phase::Queue | Phase::Total),
            ErrorKind::Status => error.status().is_some_and(|status| self.lists(status)),
            _ => false,
        }
    }

    fn lists(&self, status: StatusCode) -> bool {
        let list = self.statuses.as_deref().unwrap_or(&RETRIED);
        list.contains(&status.as_u16())
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("attempts", &self.attempts)
            .field("base", &self.base)
            .field("cap", &self.cap)
            .field("budget", &self.budget)
            .field("statuses", &self.statuses.as_deref().unwrap_or(&RETRIED))
            .field("retry_if", &self.classifier.is_some())
            .finish()
    }
}

/// How many calls per unit of time an API allows.
///
/// Calls are spaced evenly (GCRA, the leaky bucket as a meter): `per_second(20)`
/// admits one every 50 ms. [`burst`](Rate::burst) lets some go at once after a
/// quiet time. In any span of time no more than `rate * span + burst` are admitted.
///
/// ```
/// use duocall::Rate;
///
/// let rate = Rate::per_hour(2500).burst(10);
/// let slow = Rate::per_second(0.5);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    count: f64,
    period: Duration,
    pub(crate) burst: u32,
}

impl Rate {
    /// So many in a second.
    pub fn per_second(count: impl Into<f64>) -> Rate {
        Rate::per(count.into(), Duration::from_secs(1))
    }

    /// So many in a minute.
    pub fn per_minute(count: impl Into<f64>) -> Rate {
        Rate::per(count.into(), Duration::from_secs(60))
    }

    /// So many in an hour.
    pub fn per_hour(count: impl Into<f64>) -> Rate {
        Rate::per(count.into(), Duration::from_secs(3600))
    }

    fn per(count: f64, period: Duration) -> Rate {
        let burst = 1;
        Rate { count, period, burst }
    }

    /// How many may go at once after a quiet time; at least 1. Defaults to 1.
    #[must_use]
    pub fn burst(mut self, burst: u32) -> Rate {
        self.burst = burst;
        self
    }

    pub(crate) fn check(&self) -> Result<(), Mistake> {
        let flaw = if !self.count.is_finite() || self.count <= 0.0 {
            "is not a number above zero"
        } else if !(1.0..=1e18).contains(&(self.period.as_nanos() as f64 / self.count)) {
            "is out of range: from one in thirty years to one in a nanosecond"
        } else if self.burst == 0 {
            "has a burst of zero"
        } else {
            return Ok(());
        };
        Err(Mistake::new("rate", flaw))
    }

    /// The time between two calls, in nanoseconds; at least one once checked.
    pub(crate) fn interval(&self) -> u64 {
        (self.period.as_nanos() as f64 / self.count) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_named() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300, 1e-300] {
            assert!(Rate::per_second(bad).check().is_err(), "{bad}");
        }
        assert!(Rate::per_second(20).check().is_ok());
        assert!(Rate::per_second(1e9).check().is_ok());
        assert!(Rate::per_second(20).burst(0).check().is_err());
        assert!(Retry::default().check().is_ok());
        assert!(Retry::default().attempts(0).check().is_err());
        for bad in [f64::NAN, f64::INFINITY, -0.1] {
            assert!(Retry::default().budget(bad).check().is_err(), "{bad}");
        }
        assert!(Retry::default().backoff(Duration::ZERO, Duration::MAX).check().is_err());
        assert!(Timeouts::default().check().is_ok());
        assert!(Timeouts::default().total(Duration::MAX).check().is_ok());
        assert!(Timeouts::default().idle(Duration::ZERO).check().is_err());
    }
}
