//! The one error type, and what it can tell.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use http::{Method, StatusCode};
use serde::de::DeserializeOwned;

use crate::response::Response;
use crate::tls::TlsFault;
use crate::trace::{Attempt, Cause, Trace};

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// What kind of failure an [`Error`] is.
///
/// The list grows; match with a `_` arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller's request or setting is wrong; nothing was sent.
    Request,
    /// The name of the host could not be resolved.
    Dns,
    /// No connection could be made.
    Connect,
    /// The TLS handshake failed, or the peer is not who it should be.
    Tls,
    /// A limit of time ran out; the phase says which.
    Timeout(Phase),
    /// The server's bytes are not HTTP.
    Protocol,
    /// The head of the response is larger than 64 KiB, or has more than 100 fields.
    HeadTooLarge,
    /// A redirect, or a link to a next page, that must not be followed; or one too many.
    Redirect,
    /// The connection was closed before the response began.
    Closed,
    /// The body ended early.
    Truncated,
    /// The body is larger than `max_body` allows.
    BodyTooLarge,
    /// The body is not what it should be: a broken coding, not UTF-8, not the JSON asked for.
    Decode,
    /// The final status is outside 2xx and was not accepted.
    Status,
    /// The API's `reject` rule called a response with a good status a failure.
    Rejected,
    /// A credential could not be made: a secret is missing, or the refresh hook failed.
    Auth,
    /// The caller cancelled the call, its batch or its job.
    Cancelled,
    /// The machine ran out of something: file descriptors, memory, threads.
    Resource,
    /// Code of the caller panicked inside a worker, or a reader of a body did.
    Panicked,
    /// The client was shut down with the call still queued.
    Shutdown,
    /// The gate could not be asked for admission.
    Gate,
    /// The body of the request could not be sent: its reader failed, gave fewer
    /// or more bytes than it said, or was sent before.
    Body,
    /// Something else in the transport.
    Other,
}

/// A phase of a call, as limits of time name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Waiting at the gate for admission.
    Queue,
    /// Resolving the host's name.
    Resolve,
    /// Opening the TCP connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// Writing the request.
    Send,
    /// Waiting for the head of the response.
    Head,
    /// Waiting for the next bytes of the body.
    Body,
    /// One attempt as a whole.
    Attempt,
    /// The call as a whole, or the deadline of its batch.
    Total,
}

impl Phase {
    pub(crate) const ALL: [Phase; 9] = [
        Phase::Queue,
        Phase::Resolve,
        Phase::Connect,
        Phase::Tls,
        Phase::Send,
        Phase::Head,
        Phase::Body,
        Phase::Attempt,
        Phase::Total,
    ];
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Queue => "waiting at the gate",
            Phase::Resolve => "resolving the name",
            Phase::Connect => "connecting",
            Phase::Tls => "the TLS handshake",
            Phase::Send => "sending the request",
            Phase::Head => "waiting for the response",
            Phase::Body => "reading the body",
            Phase::Attempt => "the attempt",
            Phase::Total => "the call",
        })
    }
}

/// What is known of the request's way to the server when a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sent {
    /// Not one byte of it left.
    No,
    /// It, or a part of it, may have arrived.
    Maybe,
    /// It left whole, and the connection was still good; or the server answered.
    Yes,
}

/// Why a call failed, with the evidence.
///
/// One pointer wide. `Display` is one line without secrets: query values and
/// userinfo of the URL never show. The cause, where there is one, is
/// [`source`](StdError::source).
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    sent: Sent,
    request: Option<(Method, String)>,
    detail: Cow<'static, str>,
    response: Option<Response>,
    retry_after: Option<Duration>,
    /// Why there was no other attempt, where that is not plain.
    note: Option<&'static str>,
    attempts: Trace,
    took: Duration,
    tls: Option<TlsFault>,
    source: Option<BoxError>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Error(Box::new(Inner {
            kind,
            sent: Sent::No,
            request: None,
            detail: detail.into(),
            response: None,
            retry_after: None,
            note: None,
            attempts: Trace::default(),
            took: Duration::ZERO,
            tls: None,
            source: None,
        }))
    }

    pub(crate) fn caused_by(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    pub(crate) fn sent_as(mut self, sent: Sent) -> Self {
        self.0.sent = sent;
        self
    }

    pub(crate) fn with_tls(mut self, fault: Option<TlsFault>) -> Self {
        self.0.tls = fault;
        self
    }

    /// Says which request it was; `url` is redacted already.
    pub(crate) fn of(mut self, method: &Method, url: String) -> Self {
        self.0.request = Some((method.clone(), url));
        self
    }

    pub(crate) fn of_response(mut self, response: Response) -> Self {
        self.0.sent = Sent::Yes;
        self.0.request = Some((response.method().clone(), response.redacted_url()));
        self.0.response = Some(response);
        self
    }

    pub(crate) fn after(mut self, attempts: Trace, took: Duration) -> Self {
        self.0.attempts = attempts;
        self.0.took = took;
        self
    }

    pub(crate) fn retry_later(mut self, wait: Option<Duration>) -> Self {
        self.0.retry_after = wait;
        self
    }

    pub(crate) fn noted(mut self, note: &'static str) -> Self {
        self.0.note = Some(note);
        self
    }

    /// An error of the caller's own making, from a `decode` or a hook.
    ///
    /// ```
    /// use duocall::{Error, ErrorKind};
    ///
    /// let error = Error::custom(ErrorKind::Rejected, "the flow is archived");
    /// assert_eq!(error.kind(), ErrorKind::Rejected);
    /// ```
    pub fn custom(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Error::new(kind, detail.into())
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The status of the response, if there was one.
    pub fn status(&self) -> Option<StatusCode> {
        self.0.response.as_ref().map(Response::status)
    }

    /// The response that was judged a failure, with its headers and up to 8 KiB of its body.
    pub fn response(&self) -> Option<&Response> {
        self.0.response.as_ref()
    }

    /// The body of the failed response read as the API's own error type, from JSON.
    ///
    /// `None` where there is no response, or its body is something else.
    pub fn api<T: DeserializeOwned>(&self) -> Option<T> {
        self.response()?.json().ok()
    }

    /// What the status or the rejection means for this API.
    ///
    /// From [`ApiBuilder::meaning`](crate::ApiBuilder::meaning) or
    /// [`reject`](crate::ApiBuilder::reject), else what the registry of
    /// status codes says (RFC 9110 section 15).
    pub fn meaning(&self) -> Option<&str> {
        match self.0.kind {
            ErrorKind::Status | ErrorKind::Rejected if !self.0.detail.is_empty() => {
                Some(&self.0.detail)
            }
            _ => None,
        }
    }

    /// How long the server asked to wait before the next try, if it did.
    ///
    /// `Duration::MAX` stands for a number too large to hold.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Every request that went out for this call, in order, and what it met.
    pub fn attempts(&self) -> &[Attempt] {
        self.0.attempts.as_slice()
    }

    /// The phase whose limit ran out, for a time-out.
    pub fn phase(&self) -> Option<Phase> {
        match self.0.kind {
            ErrorKind::Timeout(phase) => Some(phase),
            _ => None,
        }
    }

    /// What was wrong with TLS, for an error of kind [`Tls`](ErrorKind::Tls).
    pub fn tls(&self) -> Option<TlsFault> {
        self.0.tls
    }

    /// What is known of the last request's way to the server.
    pub fn sent(&self) -> Sent {
        self.0.sent
    }

    /// Whether a limit of time ran out.
    pub fn is_timeout(&self) -> bool {
        self.phase().is_some()
    }

    /// Whether no connection came about: its name, its TCP connection or its TLS handshake failed.
    pub fn is_connect(&self) -> bool {
        use ErrorKind::{Connect, Dns, Timeout, Tls};
        matches!(
            self.0.kind,
            Dns | Connect | Tls | Timeout(Phase::Resolve | Phase::Connect | Phase::Tls)
        )
    }

    /// Whether a final status outside 2xx is the failure.
    pub fn is_status(&self) -> bool {
        self.0.kind == ErrorKind::Status
    }

    fn headline(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0.kind {
            ErrorKind::Status | ErrorKind::Rejected => {
                let rejected = self.0.kind == ErrorKind::Rejected;
                return match self.status() {
                    Some(status) if rejected => write!(f, "{} rejected", named(status)),
                    Some(status) => f.write_str(&named(status)),
                    None => f.write_str("rejected"),
                };
            }
            ErrorKind::Timeout(phase) => return write!(f, "timed out: {phase}"),
            ErrorKind::Request => "invalid request",
            ErrorKind::Dns => "name not resolved",
            ErrorKind::Connect => "could not connect",
            ErrorKind::Tls => "TLS failed",
            ErrorKind::Protocol => "broken response",
            ErrorKind::HeadTooLarge => "response head above 64 KiB or 100 fields",
            ErrorKind::Redirect => "redirect not followed",
            ErrorKind::Closed => "no response",
            ErrorKind::Truncated => "body truncated",
            ErrorKind::BodyTooLarge => "body too large",
            ErrorKind::Decode => "body not readable",
            ErrorKind::Auth => "no credential",
            ErrorKind::Cancelled => "cancelled",
            ErrorKind::Resource => "out of resources",
            ErrorKind::Panicked => "panicked",
            ErrorKind::Shutdown => "not called, for the client was dropped",
            ErrorKind::Gate => "gate failed",
            ErrorKind::Body => "body not sent",
            ErrorKind::Other => "transport failed",
        };
        f.write_str(text)
    }
}

/// `404 Not Found`, or just the number where the registry has no name for it.
fn named(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((method, url)) = &self.0.request {
            write!(f, "{method} {url}: ")?;
        }
        self.headline(f)?;
        let tries = self.attempts().iter().filter(|a| a.is_try()).count();
        if tries > 1 {
            let took = self.0.took.as_secs_f64();
            write!(f, " after {tries} attempts in {took:.1} s")?;
        }
        if !self.0.detail.is_empty() {
            write!(f, ": {}", self.0.detail)?;
        }
        if let Some(note) = self.0.note {
            write!(f, " ({note})")?;
        }
        if let Some(wait) = self.0.retry_after {
            write!(f, " (the server asks to wait {} s)", wait.as_secs())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Error");
        out.field("kind", &self.0.kind)
            .field("message", &self.to_string())
            .field("sent", &self.0.sent)
            .field("attempts", &self.attempts());
        if let Some(response) = &self.0.response {
            out.field("response", response);
        }
        if let Some(source) = &self.0.source {
            out.field("source", source);
        }
        out.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|e| e as _)
    }
}

/// A mistake in a setting or a request: the field, and what is wrong with it, never its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    field: Cow<'static, str>,
    what: &'static str,
}

impl Mistake {
    pub(crate) fn new(field: impl Into<Cow<'static, str>>, what: &'static str) -> Self {
        let field = field.into();
        Mistake { field, what }
    }
}

impl From<Mistake> for Error {
    fn from(mistake: Mistake) -> Error {
        let Mistake { field, what } = mistake;
        Error::new(ErrorKind::Request, format!("{field} {what}"))
    }
}

impl Attempt {
    /// Counts against the number of attempts: not a redirect, not a free resend, not a replay with a new credential.
    pub(crate) fn is_try(&self) -> bool {
        matches!(self.cause(), Cause::First | Cause::Retry)
    }
}

const _: () = {
    const fn assert<T: Send + Sync + StdError>() {}
    assert::<Error>();
    assert!(size_of::<Error>() == size_of::<usize>());
};
