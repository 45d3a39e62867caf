//! Spans and events for the crate `tracing`, or nothing without the feature: the only place that knows.
//!
//! The engine tells what it does; names and fields follow the OpenTelemetry conventions for HTTP
//! clients. No span is ever entered, so none is held across an await.

#[cfg(feature = "tracing")]
pub(crate) use on::Spans;

#[cfg(not(feature = "tracing"))]
pub(crate) use off::Spans;

#[cfg(feature = "tracing")]
mod on {
    use std::time::Duration;

    use http::{Method, StatusCode};
    use tracing::field::Empty;
    use tracing::{Level, Span, event, span};

    use crate::error::{Error, ErrorKind};
    use crate::trace::Attempt;
    use crate::url::Url;

    /// A call's span, and that of the request at hand.
    pub(crate) struct Spans {
        call: Span,
        request: Span,
    }

    impl Spans {
        pub(crate) fn none() -> Spans {
            Spans { call: Span::none(), request: Span::none() }
        }

        /// A call begins, in the span that its caller is in.
        pub(crate) fn begin(&mut self, method: &Method, url: &Url) {
            self.call = span!(
                target: "duocall",
                Level::INFO,
                "call",
                otel.name = method.as_str(),
                http.request.method = method.as_str(),
                url.full = url.redacted().as_str(),
                server.address = url.to_uri().host().unwrap_or_default(),
                server.port = port(url),
                http.response.status_code = Empty,
                error.type = Empty,
                otel.status_code = Empty,
            );
        }

        /// A request goes out; `before` have gone out for the call.
        pub(crate) fn sends(&mut self, method: &Method, url: &Url, before: usize) {
            self.request = span!(
                target: "duocall",
                parent: &self.call,
                Level::INFO,
                "request",
                otel.name = method.as_str(),
                otel.kind = "client",
                http.request.method = method.as_str(),
                url.full = url.redacted().as_str(),
                server.address = url.to_uri().host().unwrap_or_default(),
                server.port = port(url),
                http.request.resend_count = Empty,
                http.response.status_code = Empty,
                error.type = Empty,
                otel.status_code = Empty,
            );
            if before > 0 {
                self.request.record("http.request.resend_count", before);
            }
        }

        /// What the request met.
        pub(crate) fn met(&mut self, attempt: &Attempt) {
            let request = std::mem::replace(&mut self.request, Span::none());
            let error = attempt.outcome.err();
            finish(&request, attempt.status(), error);
            event!(
                target: "duocall",
                parent: &request,
                Level::DEBUG,
                http.response.status_code = attempt.status().map(|status| status.as_u16()),
                error.type = error.map(|kind| format!("{kind:?}")),
                took = ?attempt.took,
                reused = attempt.reused,
                "request over"
            );
        }

        /// The call backs off.
        pub(crate) fn waits(&self, wait: Duration) {
            event!(target: "duocall", parent: &self.call, Level::DEBUG, ?wait, "waits to try again");
        }

        pub(crate) fn end(&mut self, outcome: Result<StatusCode, &Error>) {
            let call = std::mem::replace(&mut self.call, Span::none());
            match outcome {
                Ok(status) => finish(&call, Some(status), None),
                Err(error) if error.is_status() => finish(&call, error.status(), None),
                Err(error) => finish(&call, error.status(), Some(error.kind())),
            }
        }
    }

    fn finish(span: &Span, status: Option<StatusCode>, error: Option<ErrorKind>) {
        if span.is_disabled() {
            return;
        }
        if let Some(status) = status {
            span.record("http.response.status_code", status.as_u16());
        }
        let failed = status.filter(|status| status.as_u16() >= 400);
        let error = match (error, failed) {
            (Some(kind), _) => format!("{kind:?}"),
            (None, Some(status)) => status.as_str().to_owned(),
            (None, None) => return,
        };
        span.record("error.type", error.as_str());
        span.record("otel.status_code", "ERROR");
    }

    fn port(url: &Url) -> u16 {
        url.to_uri().port_u16().unwrap_or(if url.is_https() { 443 } else { 80 })
    }
}

#[cfg(not(feature = "tracing"))]
mod off {
    use std::time::Duration;

    use http::{Method, StatusCode};

    use crate::error::Error;
    use crate::trace::Attempt;
    use crate::url::Url;

    pub(crate) struct Spans;

    impl Spans {
        pub(crate) fn none() -> Spans {
            Spans
        }

        pub(crate) fn begin(&mut self, _: &Method, _: &Url) {}

        pub(crate) fn sends(&mut self, _: &Method, _: &Url, _: usize) {}

        pub(crate) fn met(&mut self, _: &Attempt) {}

        pub(crate) fn waits(&self, _: Duration) {}

        pub(crate) fn end(&mut self, _: Result<StatusCode, &Error>) {}
    }
}
