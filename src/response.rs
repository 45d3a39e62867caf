//! A whole response.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Method, StatusCode};
use serde::de::DeserializeOwned;

use crate::engine::Course;
#[cfg(test)]
use crate::engine::Hop;
use crate::error::{Error, ErrorKind};
use crate::request::Fields;
use crate::trace::{Attempt, Trace};
use crate::url::Url;

/// A response with its body read, decoded and within the API's limit.
///
/// Clones share everything.
#[derive(Clone)]
pub struct Response(Arc<Inner>);

#[derive(Clone)]
pub(crate) struct Inner {
    /// How it came to be, and what went out, to keep it out of messages that quote the body.
    pub(crate) course: Course,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Response {
    pub(crate) fn new(inner: Inner) -> Response {
        Response(Arc::new(inner))
    }

    /// A response out of thin air, for tests of what reads one.
    #[cfg(test)]
    pub(crate) fn made(
        url: &str,
        status: u16,
        headers: &[(&'static str, &str)],
        body: impl Into<Bytes>,
    ) -> Response {
        let header = |(name, value): &(&'static str, &str)| {
            (http::HeaderName::from_static(name), http::HeaderValue::from_str(value).unwrap())
        };
        let (method, url) = (Method::GET, Url::parse(url).unwrap());
        let hop = Hop { method, url, trusted: true, at_home: true, carries: true };
        Response::new(Inner {
            course: Course::new(hop),
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers.iter().map(header).collect(),
            body: body.into(),
        })
    }

    /// The same response with at most `most` bytes of its body.
    pub(crate) fn shortened(self, most: usize) -> Response {
        let mut inner = Arc::unwrap_or_clone(self.0);
        inner.body.truncate(most);
        Response(Arc::new(inner))
    }

    /// The method of the last request.
    pub fn method(&self) -> &Method {
        &self.0.course.hop.method
    }

    /// The status code.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The header fields. Those of a coding that was undone (`Content-Encoding`,
    /// and the `Content-Length` before it) are gone.
    pub fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    /// The value of the first field of that name, if it is visible ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.headers.get(name)?.to_str().ok()
    }

    /// The URL that answered, after redirects, with its query.
    pub fn url(&self) -> &str {
        self.place().as_str()
    }

    pub(crate) fn place(&self) -> &Url {
        &self.0.course.hop.url
    }

    pub(crate) fn course(&self) -> &Course {
        &self.0.course
    }

    pub(crate) fn redacted_url(&self) -> String {
        self.place().redacted()
    }

    /// The URLs that redirected here, first to last.
    pub fn history(&self) -> impl Iterator<Item = &str> {
        self.0.course.history.iter().map(Url::as_str)
    }

    /// Every request that went out for this call, in order, and what it met.
    pub fn attempts(&self) -> &[Attempt] {
        self.0.course.trace.as_slice()
    }

    pub(crate) fn trace(&self) -> Trace {
        self.0.course.trace.clone()
    }

    /// The body, exactly.
    pub fn bytes(&self) -> &[u8] {
        &self.0.body
    }

    /// The body, to keep without a copy.
    pub fn into_bytes(self) -> Bytes {
        self.0.body.clone()
    }

    /// The body as text: UTF-8, without a byte order mark.
    ///
    /// # Errors
    /// [`ErrorKind::Decode`] when it is not UTF-8. [`text_lossy`](Response::text_lossy) has no errors.
    pub fn text(&self) -> Result<String, Error> {
        match std::str::from_utf8(self.unmarked()) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => {
                let detail = format!("not UTF-8 at byte {}", error.valid_up_to());
                Err(self.unreadable(detail).caused_by(error))
            }
        }
    }

    /// The body as text, with U+FFFD for what is not UTF-8.
    pub fn text_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.unmarked())
    }

    /// Whether the body has this text in it.
    pub fn text_contains(&self, text: &str) -> bool {
        let body = self.bytes();
        text.is_empty() || body.windows(text.len()).any(|part| part == text.as_bytes())
    }

    /// The body read from JSON (RFC 8259), a UTF-8 byte order mark let by.
    ///
    /// # Errors
    /// [`ErrorKind::Decode`] when it is not JSON or not of that shape, with line and column, which count
    /// from one, and the offset in bytes, which counts from zero.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(self.unmarked()).map_err(|error| {
            // The message may quote the body, and the body the credential; the error itself is not kept.
            let text = self.without_secret(error.to_string());
            let (at, length) = (self.offset(&error), self.bytes().len());
            self.unreadable(format!("{text}, byte {at} of {length}{}", self.labelled()))
        })
    }

    /// Where in the body an error is that has a line and a column.
    fn offset(&self, error: &serde_json::Error) -> usize {
        let marked = self.bytes().len() - self.unmarked().len();
        let lines = self.unmarked().split_inclusive(|byte| *byte == b'\n');
        let before: usize = lines.take(error.line().saturating_sub(1)).map(<[u8]>::len).sum();
        marked + before + error.column().saturating_sub(1)
    }

    fn labelled(&self) -> String {
        match self.header("content-type") {
            Some(label) if label.len() <= 80 => format!(" of {label}"),
            _ => String::new(),
        }
    }

    fn unmarked(&self) -> &[u8] {
        let body = self.bytes();
        body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body)
    }

    /// A text that may quote the body, without the credential that the body may quote.
    pub(crate) fn without_secret(&self, text: String) -> String {
        match self.0.course.live.as_ref().and_then(|live| live.auth.canary()) {
            Some(canary) => text.replace(canary, "***"),
            None => text,
        }
    }

    fn unreadable(&self, detail: String) -> Error {
        self.failing(ErrorKind::Decode, detail)
    }

    /// An error about this response.
    pub(crate) fn failing(&self, kind: ErrorKind, detail: impl Into<Cow<'static, str>>) -> Error {
        let kept = self.clone().shortened(crate::engine::EVIDENCE);
        Error::new(kind, detail).of_response(kept).after(self.trace(), std::time::Duration::ZERO)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("method", self.method())
            .field("url", &self.redacted_url())
            .field("status", &self.status().as_u16())
            .field("headers", &Fields(self.headers()))
            .field("body", &format_args!("{} bytes", self.bytes().len()))
            .finish_non_exhaustive()
    }
}
