//! Any surf client, as a transport of ours.

use std::io;
use std::sync::Arc;

use ::surf::http::{Error as SurfError, Method as SurfMethod, Response as SurfResponse};
use ::surf::{Body as SurfBody, Request as SurfRequest, Url};
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use smol::io::{AsyncReadExt, BufReader};
use smol::stream::{self, Stream};

use super::body::Still;
use super::{RawHead, known};
use crate::api::Api;
use crate::body::{Body, PIECE};
use crate::error::{ErrorKind, Phase, Sent};
use crate::nonblocking::{Reader, Transport};
use crate::transport::{Exchange, Failure};

/// What goes with a request through surf, in its extensions, for our transport at the other end.
pub(super) struct Ride {
    pub(super) method: Method,
    exchange: Arc<Exchange>,
}

impl Ride {
    /// Stands for a method that surf has no name for. No server acts on it: it is reserved for the
    /// preface of HTTP/2 (RFC 9113 section 11.6).
    pub(super) const UNNAMED: SurfMethod = SurfMethod::Pri;

    /// As long as our transport has not said that it is there, the request may be on its way
    /// without anybody counting.
    fn new(method: Method, exchange: Arc<Exchange>) -> Ride {
        exchange.enter(Phase::Head);
        exchange.wrote(1);
        Ride { method, exchange }
    }

    /// Our transport is there, and keeps the record. (A middleware's second try has no ride.)
    pub(super) fn claim(self) -> Arc<Exchange> {
        self.exchange.restart();
        self.exchange
    }
}

pub(crate) struct Under {
    api: Api,
    client: ::surf::Client,
}

impl Under {
    pub(crate) fn new(api: &Api, client: ::surf::Client) -> Under {
        Under { api: api.clone(), client }
    }
}

impl Transport for Under {
    async fn send(
        &self,
        request: Request<Body>,
        exchange: Arc<Exchange>,
    ) -> Result<Response<Reader>, Failure> {
        self.api.takes_http1()?;
        let method = request.method().clone();
        let request = converted(request, &exchange)?;
        let sent = self.client.send(request).await;
        let response: SurfResponse = sent.map_err(|error| failure(error, &exchange))?.into();
        if exchange.untouched() {
            // Not our transport: it tells nothing of bytes, but here is a head.
            exchange.received(1);
        }
        Ok(answer(response, &method))
    }
}

fn converted(request: Request<Body>, exchange: &Arc<Exchange>) -> Result<SurfRequest, Failure> {
    let refuse = |what| Failure::new(ErrorKind::Request, what).sent(Sent::No).lasting();
    let (head, body) = request.into_parts();
    let url = head.uri.to_string();
    let parsed = Url::parse(&url).ok().filter(|parsed| parsed.as_str() == url);
    let parsed = parsed.ok_or_else(|| refuse("the URL would be another one for surf"))?;
    let named = head.method.as_str().parse().ok();
    let named = named.filter(|named: &SurfMethod| named.as_ref() == head.method.as_str());
    let mut out = SurfRequest::new(named.unwrap_or(Ride::UNNAMED), parsed);
    if let Some(bytes) = body.bytes() {
        out.set_body(SurfBody::from_bytes(bytes.to_vec()));
    } else {
        let length = body.length().and_then(|length| usize::try_from(length).ok());
        // More than surf asks for at once: only so is a reader seen that gives more than it said.
        let reader = Still::new(body.into_async_reader());
        let reader = BufReader::with_capacity(PIECE + 1, reader);
        out.set_body(SurfBody::from_reader(reader, length));
    }
    // surf names a type of its own for every body.
    out.remove_header(header::CONTENT_TYPE.as_str());
    // How a body is framed is the business of surf's transports.
    let framing = |name: &HeaderName| *name == header::CONTENT_LENGTH;
    for (name, value) in head.headers.iter().filter(|(name, _)| !framing(name)) {
        let value = value.to_str().ok().filter(|text| text.is_ascii());
        let value = value.ok_or_else(|| refuse("surf sends no header that is not ASCII"))?;
        out.append_header(name.as_str(), value);
    }
    out.set_ext(Ride::new(head.method, exchange.clone()));
    Ok(out)
}

fn answer(mut response: SurfResponse, method: &Method) -> Response<Reader> {
    let raw = response.ext_mut().remove::<RawHead>();
    let status = status(&response, raw.as_ref());
    let headers = headers(&response, raw.as_ref());
    let bodiless = *method == Method::HEAD || matches!(status.as_u16(), 204 | 304);
    let reader = if bodiless {
        Reader::from(Bytes::new())
    } else {
        Reader::from_stream(pieces(response.take_body()))
    };
    let mut out = Response::new(reader);
    *out.status_mut() = status;
    *out.headers_mut() = headers;
    out
}

/// As it came, unless middleware has put another in its place.
fn status(response: &SurfResponse, raw: Option<&RawHead>) -> StatusCode {
    match raw {
        Some(raw) if known(raw.status) == response.status() => raw.status,
        _ => StatusCode::from_u16(response.status().into()).expect("surf's codes are valid"),
    }
}

/// The same for each field.
fn headers(response: &SurfResponse, raw: Option<&RawHead>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let untouched = |name: &HeaderName, raw: &RawHead| {
        let raw = raw.headers.get_all(name).iter().map(HeaderValue::as_bytes);
        let told = response.header(name.as_str()).into_iter().flatten();
        raw.filter(|value| value.is_ascii()).eq(told.map(|value| value.as_str().as_bytes()))
    };
    if let Some(raw) = raw {
        for name in raw.headers.keys().filter(|name| untouched(name, raw)) {
            for value in raw.headers.get_all(name) {
                headers.append(name, value.clone());
            }
        }
    }
    let mut others = HeaderMap::new();
    for (name, values) in response {
        let Ok(name) = HeaderName::try_from(name.as_str()) else { continue };
        for value in values.iter().filter_map(|value| HeaderValue::try_from(value.as_str()).ok()) {
            if !headers.contains_key(&name) {
                others.append(name.clone(), value);
            }
        }
    }
    headers.extend(others);
    headers
}

/// Reads to the very end, behind the last byte, for there a connection is let go. surf's own
/// transports call a body complete that ended before its length.
fn pieces(body: SurfBody) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let left = body.len();
    stream::unfold(Some((body.into_reader(), left)), |state| async move {
        let (mut reader, left) = state?;
        let mut buffer = vec![0; 16 << 10];
        match reader.read(&mut buffer).await {
            Ok(0) if left.is_some_and(|left| left > 0) => {
                let short = Failure::new(ErrorKind::Truncated, "the connection was closed");
                Some((Err(short.into()), None))
            }
            Ok(0) => None,
            Ok(_) if left == Some(0) => None,
            Ok(read) => {
                buffer.truncate(left.map_or(read, |left| left.min(read)));
                let left = left.map(|left| left - buffer.len());
                Some((Ok(buffer.into()), Some((reader, left))))
            }
            Err(error) => Some((Err(error), None)),
        }
    })
}

/// Ours comes back as it went in.
fn failure(error: SurfError, exchange: &Exchange) -> Failure {
    let error = match error.downcast::<Failure>() {
        Ok(failure) => return failure,
        Err(error) => error,
    };
    match error.downcast::<io::Error>() {
        Ok(error) => Failure::from_io(error, exchange.phase()),
        Err(error) => Failure::new(ErrorKind::Other, "in surf").caused_by(error.to_string()),
    }
}
