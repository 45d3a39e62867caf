//! Our transport, as surf wants one.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use ::http_client::Config;
use ::surf::http::headers::{HeaderName as SurfName, HeaderValue as SurfValue};
use ::surf::http::{Body as SurfBody, Error as SurfError, Request, Response, Version};
use ::surf::utils::async_trait;
use ::surf::{StatusCode as SurfStatus, Url};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri, response};

use super::body::{Alarm, Incoming};
use super::hosts::Hosts;
use super::under::Ride;
use super::{RawHead, known};
use crate::api::Api;
use crate::body::Body;
use crate::clock::Seat;
use crate::error::{ErrorKind, Sent};
use crate::nonblocking::{Own, Transport};
use crate::policy::LONGEST;
use crate::transport::{Exchange, Failure};

/// The transport of [`nonblocking::Client`](crate::nonblocking::Client), for a `surf::Client`.
///
/// It runs on any executor. A call that is dropped closes its connection; a body that ends before
/// its `Content-Length`, or without its last chunk, is an error. Redirects, statuses and codings are
/// left to those above. An error holds a [`Failure`]: `error.downcast_ref::<Failure>()` finds it.
///
/// A user name or a password in the URL is not sent.
///
/// `surf::Config` keeps its time-out and its other HTTP settings from a transport that is given to it:
/// set them here, by [`for_api`](HttpClient::for_api), or by `set_config` of the trait. There, `timeout`
/// is the time to the head of the response, the wait for a place and the connection included;
/// `max_connections_per_host` counts calls whose bodies are not yet read, and zero stands for no limit;
/// `http_keep_alive` does what it says; `tcp_no_delay` is always on. It takes effect with the next call.
pub struct HttpClient {
    transport: Own,
    hosts: Hosts,
    api: Api,
    config: Config,
}

impl HttpClient {
    /// With every default of an [`Api`], at most 50 connections to a host, and 60 s to the head of
    /// a response.
    #[expect(clippy::missing_panics_doc, reason = "it is a good URL")]
    pub fn new() -> HttpClient {
        let api = Api::new("http://localhost/").expect("a plain URL");
        HttpClient::with(&api, Config::new())
    }

    /// With the TLS configuration and the limits of time and concurrency of an [`Api`]. Its base
    /// URL, its credential and its gate play no part here.
    pub fn for_api(api: &Api) -> HttpClient {
        let config = Config::new().set_timeout(Some(api.timeouts().attempt));
        HttpClient::with(api, config.set_max_connections_per_host(api.concurrency()))
    }

    fn with(api: &Api, config: Config) -> HttpClient {
        HttpClient {
            transport: Own::new(api),
            hosts: Hosts::default(),
            api: api.clone(),
            config: config.set_tcp_no_delay(true),
        }
    }

    async fn run(&self, mut request: Request) -> Result<Response, Failure> {
        let ride = request.ext_mut().remove::<Ride>();
        let mut raw = http::Request::new(Body::empty());
        *raw.method_mut() = method(&request, ride.as_ref())?;
        *raw.uri_mut() = uri(request.url())?;
        *raw.headers_mut() = self.fields(&request)?;
        let body = outgoing(request.take_body());
        let expected = [Method::POST, Method::PUT, Method::PATCH].contains(raw.method());
        if let Some(length) = body.length().filter(|length| expected || *length > 0) {
            raw.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        }
        *raw.body_mut() = body;
        if let Some(ride) = ride {
            // Somebody above keeps the limits of time, and counts the attempts.
            let (head, body) = self.exchange(raw, &ride.claim()).await?;
            return Ok(converted(head, body).await);
        }
        let timeouts = self.api.timeouts().attempt(Duration::MAX);
        let now = Instant::now();
        let exchange = Exchange::new(Seat::default(), now, timeouts, now + LONGEST, None);
        let exchange = Arc::new(exchange);
        let end = self.config.timeout.map(|limit| now + limit.min(LONGEST));
        let sending = self.exchange(raw, &exchange);
        let (head, body) = limited(sending, &exchange, end).await?;
        Ok(converted(head, body.within(exchange.clone())).await)
    }

    async fn exchange(
        &self,
        request: http::Request<Body>,
        exchange: &Arc<Exchange>,
    ) -> Result<(response::Parts, Incoming), Failure> {
        let most = self.config.max_connections_per_host;
        let place = self.hosts.enter(request.uri(), most).await;
        let response = self.transport.send(request, exchange.clone()).await?;
        let (head, reader) = response.into_parts();
        Ok((head, Incoming::new(reader, place)))
    }

    fn fields(&self, request: &Request) -> Result<HeaderMap, Failure> {
        let mut fields = HeaderMap::new();
        for (name, values) in request {
            for value in values {
                let name = HeaderName::try_from(name.as_str());
                let value = HeaderValue::try_from(value.as_str());
                let (Ok(name), Ok(value)) = (name, value) else {
                    return Err(mistake("a header is not valid"));
                };
                fields.append(name, value);
            }
        }
        // The body is framed below, by what it is.
        fields.remove(header::CONTENT_LENGTH);
        fields.remove(header::TRANSFER_ENCODING);
        if !self.config.http_keep_alive {
            fields.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(fields)
    }
}

impl Default for HttpClient {
    fn default() -> Self {
        HttpClient::new()
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("surf::HttpClient").field("config", &self.config).finish_non_exhaustive()
    }
}

#[async_trait]
impl ::http_client::HttpClient for HttpClient {
    async fn send(&self, request: Request) -> Result<Response, SurfError> {
        self.run(request).await.map_err(|failure| {
            let status = match failure.kind {
                ErrorKind::Timeout(_) => SurfStatus::GatewayTimeout,
                ErrorKind::Request => SurfStatus::BadRequest,
                _ => SurfStatus::BadGateway,
            };
            SurfError::new(status, failure)
        })
    }

    fn set_config(&mut self, config: Config) -> Result<(), SurfError> {
        if config.max_connections_per_host != self.config.max_connections_per_host {
            // A host's places were as many as it had before.
            self.hosts = Hosts::default();
        }
        self.config = config.set_tcp_no_delay(true);
        Ok(())
    }

    fn config(&self) -> &Config {
        &self.config
    }
}

fn mistake(what: &'static str) -> Failure {
    Failure::new(ErrorKind::Request, what).sent(Sent::No).lasting()
}

/// What surf's types have no name for comes along with the call.
fn method(request: &Request, ride: Option<&Ride>) -> Result<Method, Failure> {
    match (request.method(), ride) {
        (Ride::UNNAMED, Some(ride)) => Ok(ride.method.clone()),
        (Ride::UNNAMED, None) => Err(mistake("the method is not one of surf's")),
        (method, _) => Ok(method.as_ref().parse().expect("surf's methods are tokens")),
    }
}

/// Without user name, password and fragment.
fn uri(url: &Url) -> Result<Uri, Failure> {
    let (Some(host), "http" | "https") = (url.host_str(), url.scheme()) else {
        return Err(mistake("the URL is not one of http or https"));
    };
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    let query = url.query().map_or(String::new(), |query| format!("?{query}"));
    let text = format!("{}://{host}{port}{}{query}", url.scheme(), url.path());
    Uri::try_from(text).map_err(|_| mistake("the URL is not valid"))
}

fn outgoing(body: SurfBody) -> Body {
    match body.len() {
        Some(0) => Body::empty(),
        Some(length) => Body::sized_async_reader(body, length as u64),
        None => Body::async_reader(body),
    }
}

/// Keeps the limits of time until the head is there.
async fn limited<T>(
    sending: impl Future<Output = Result<T, Failure>>,
    exchange: &Exchange,
    end: Option<Instant>,
) -> Result<T, Failure> {
    let mut sending = pin!(sending);
    let mut alarm = Alarm::default();
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(result) = sending.as_mut().poll(cx) {
                return Poll::Ready(result);
            }
            let Some(until) =
                exchange.look().ok().filter(|_| end.is_none_or(|end| Instant::now() < end))
            else {
                let kind = ErrorKind::Timeout(exchange.phase());
                return Poll::Ready(Err(Failure::new(kind, "").sent(exchange.sent())));
            };
            if !alarm.passed(end.map_or(until, |end| end.min(until)), cx) {
                return Poll::Pending;
            }
        }
    })
    .await
}

async fn converted(head: response::Parts, mut body: Incoming) -> Response {
    // What is there already is taken: an empty body lets its connection go at once.
    poll_fn(|cx| {
        body.look(cx);
        Poll::Ready(())
    })
    .await;
    let length = head.headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let mut response = Response::new(known(head.status));
    response.set_version(Some(match head.version {
        http::Version::HTTP_10 => Version::Http1_0,
        http::Version::HTTP_2 => Version::Http2_0,
        _ => Version::Http1_1,
    }));
    response.set_body(if body.is_empty() {
        SurfBody::empty()
    } else {
        SurfBody::from_reader(body, length)
    });
    // One that nobody has sent.
    response.remove_header(header::CONTENT_TYPE.as_str());
    for (name, value) in &head.headers {
        let name = SurfName::from_bytes(name.as_str().into());
        if let (Ok(name), Ok(value)) = (name, SurfValue::from_bytes(value.as_bytes().into())) {
            response.append_header(name, value);
        }
    }
    response.ext_mut().insert(RawHead { status: head.status, headers: head.headers });
    response
}

const _: () = {
    const fn assert<T: Send + Sync + Unpin>() {}
    assert::<HttpClient>();
};
