//! What a mock answers.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use http::{Response, StatusCode};
use serde::Serialize;

use crate::error::{ErrorKind, Phase};
use crate::transport::Failure;

/// A scripted answer: a response, or how it fails to come.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) delay: Duration,
    pub(super) body_delay: Duration,
    pub(super) cut: Option<usize>,
    pub(super) fault: Option<Fault>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Fails(ErrorKind),
    Stalls(Phase),
}

impl Reply {
    /// An empty response with this status.
    ///
    /// # Panics
    /// When it is not a status code: below 100 or above 999.
    pub fn status(status: u16) -> Reply {
        Reply {
            status: StatusCode::from_u16(status).expect("a status code of three digits"),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            delay: Duration::ZERO,
            body_delay: Duration::ZERO,
            cut: None,
            fault: None,
        }
    }

    /// 200 with this body, as JSON.
    ///
    /// # Panics
    /// When the value cannot be serialized.
    pub fn json(value: &(impl Serialize + ?Sized)) -> Reply {
        let body = serde_json::to_vec(value).expect("a value that serializes");
        Reply::status(200).body(body).header(CONTENT_TYPE, "application/json")
    }

    /// 200 with this body.
    pub fn text(body: impl Into<String>) -> Reply {
        Reply::status(200).body(body.into()).header(CONTENT_TYPE, "text/plain; charset=utf-8")
    }

    /// No response, but a failure of this kind: `Dns`, `Connect` and `Tls` before
    /// anything was sent, the others after it.
    pub fn fail(kind: ErrorKind) -> Reply {
        Reply { fault: Some(Fault::Fails(kind)), ..Reply::status(200) }
    }

    /// No response: the exchange hangs in this phase until a limit runs out.
    pub fn stall(phase: Phase) -> Reply {
        Reply { fault: Some(Fault::Stalls(phase)), ..Reply::status(200) }
    }

    /// The body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Reply {
        self.body = body.into();
        self
    }

    /// Adds a header field.
    ///
    /// # Panics
    /// When no header can be like that.
    #[must_use]
    pub fn header<N, V>(mut self, name: N, value: V) -> Reply
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        let name = name.try_into().ok().expect("a header name");
        let value = value.try_into().ok().expect("a header value");
        self.headers.append(name, value);
        self
    }

    /// Waits before the head.
    #[must_use]
    pub fn delay(mut self, wait: Duration) -> Reply {
        self.delay = wait;
        self
    }

    /// Waits between the head and the body.
    #[must_use]
    pub fn body_delay(mut self, wait: Duration) -> Reply {
        self.body_delay = wait;
        self
    }

    /// Ends the connection after so many bytes of the body.
    #[must_use]
    pub fn cut_after(mut self, bytes: usize) -> Reply {
        self.cut = Some(bytes);
        self
    }

    pub(super) fn head(&self) -> Response<()> {
        let mut head = Response::new(());
        *head.status_mut() = self.status;
        *head.headers_mut() = self.headers.clone();
        // A body in chunks has no length; one of both would be broken.
        if !self.headers.contains_key(TRANSFER_ENCODING) {
            head.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| self.body.len().into());
        }
        head
    }

    /// The pieces of the body, each with the wait before it.
    pub(super) fn pieces(&self) -> Vec<(Duration, Result<Bytes, Failure>)> {
        let whole = self.cut.is_none_or(|at| at >= self.body.len());
        let end = self.cut.unwrap_or(usize::MAX).min(self.body.len());
        let mut pieces = Vec::new();
        if end > 0 || !self.body_delay.is_zero() {
            pieces.push((self.body_delay, Ok(self.body.slice(..end))));
        }
        if !whole {
            let cut = Failure::new(ErrorKind::Truncated, "the connection was closed");
            pieces.push((Duration::ZERO, Err(cut)));
        }
        pieces
    }
}
