//! What went out for a call, request by request.

use std::time::Duration;

use http::StatusCode;

use crate::error::ErrorKind;

/// Why a request went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The call's first.
    First,
    /// The one before failed in a way worth another try.
    Retry,
    /// A reused connection had died before a byte of the response, or the server
    /// said that it had not processed the request; sent again at no charge.
    Resend,
    /// The server pointed elsewhere.
    Redirect,
    /// The credential was refreshed.
    Refresh,
    /// The server knows no `Expect: 100-continue` (417); sent again without it, at no charge.
    Unexpected,
}

/// One request of a call, and what it met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub(crate) cause: Cause,
    pub(crate) outcome: Result<StatusCode, ErrorKind>,
    pub(crate) waited: Duration,
    pub(crate) took: Duration,
    pub(crate) reused: bool,
    pub(crate) withheld: bool,
}

/// The attempts of a call. Mostly there is one, which is spared the allocation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    only: Option<Attempt>,
    /// All, if there are several.
    all: Vec<Attempt>,
}

impl Trace {
    pub(crate) fn push(&mut self, attempt: Attempt) {
        if self.as_slice().is_empty() {
            self.only = Some(attempt);
        } else {
            self.all.extend(self.only.take());
            self.all.push(attempt);
        }
    }

    pub(crate) fn as_slice(&self) -> &[Attempt] {
        if self.all.is_empty() { self.only.as_slice() } else { &self.all }
    }
}

impl Attempt {
    /// Why it was sent.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// The status it met, if a whole response came.
    pub fn status(&self) -> Option<StatusCode> {
        self.outcome.ok()
    }

    /// The kind of error it met, if none came.
    pub fn error(&self) -> Option<ErrorKind> {
        self.outcome.err()
    }

    /// How long the call backed off before it, without the time at the gate.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// How long it took, from the search for a connection to the last byte of the body.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Whether it went over a connection that had served before.
    pub fn reused(&self) -> bool {
        self.reused
    }

    /// Whether its body was announced and never sent, for the response came before the server asked
    /// for it; see [`ApiBuilder::expect_above`](crate::ApiBuilder::expect_above). A reader that was
    /// not begun can be sent again.
    pub fn withheld(&self) -> bool {
        self.withheld
    }
}
