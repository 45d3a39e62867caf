//! Real exchanges, kept in a file and played again.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::ACCEPT_ENCODING;
use http::{HeaderMap, HeaderValue, Request, Response};
use serde_json::{Map, Value, json};

use super::play::Answer;
use super::reply::Reply;
use crate::api::Api;
use crate::body::Body;
use crate::error::{Error, ErrorKind, Mistake};
use crate::sync::lock;
use crate::transport::Failure;
use crate::url;

/// Sends for real, through another transport, and keeps what came in a JSON file.
///
/// The file is written anew after each exchange. The API's credential is
/// replaced by `***` wherever it shows; of the request only method, URL and body
/// are kept; of the response no cookie and no credential. The server is asked for
/// no coding: in a coded body nobody would see a credential, nor replace it.
pub struct Recorder<T> {
    inner: T,
    tape: Arc<Tape>,
}

struct Tape {
    api: Api,
    path: PathBuf,
    exchanges: Mutex<Vec<Value>>,
}

impl<T> Recorder<T> {
    /// Records what `inner` does for `api` in the file at `path`.
    pub fn new(api: &Api, inner: T, path: impl Into<PathBuf>) -> Recorder<T> {
        let tape = Tape { api: api.clone(), path: path.into(), exchanges: Mutex::default() };
        Recorder { inner, tape: Arc::new(tape) }
    }
}

impl<T> fmt::Debug for Recorder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("path", &self.tape.path).finish_non_exhaustive()
    }
}

impl Tape {
    fn keep(&self, request: Value, head: &Response<()>, body: &[u8]) -> Result<(), Failure> {
        let live = self.api.credentials().current();
        let clean = |text: &str| redacted(text, live.auth.canary());
        let response = json!({
            "status": head.status().as_u16(),
            "headers": fields(head.headers(), clean),
            "body": body_value(body, clean),
        });
        let mut exchanges = lock(&self.exchanges);
        exchanges.push(json!({ "request": request, "response": response }));
        let text = serde_json::to_string_pretty(&json!({ "version": 1, "exchanges": *exchanges }))
            .expect("values serialize");
        fs::write(&self.path, text + "\n").map_err(|error| {
            Failure::new(ErrorKind::Other, "the cassette cannot be written")
                .lasting()
                .caused_by(error)
        })
    }
}

/// What of a request is kept, and compared when it is played again.
fn key(request: &Request<Body>, secret: Option<&str>) -> Value {
    let clean = |text: &str| redacted(text, secret);
    json!({
        "method": request.method().as_str(),
        "url": clean(&request.uri().to_string()),
        "body": body_value(request.body().bytes().map_or(&[], |bytes| bytes), clean),
    })
}

/// The request as it goes out.
fn plainly(mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    request
}

/// The text with `***` for the secret, also where it is encoded as in a query.
fn redacted(text: &str, secret: Option<&str>) -> String {
    let Some(secret) = secret.filter(|secret| !secret.is_empty()) else { return text.to_owned() };
    let mut encoded = String::new();
    url::push_query(&mut encoded, "", secret);
    text.replace(secret, "***").replace(encoded.trim_start_matches('='), "***")
}

fn body_value(body: &[u8], clean: impl Fn(&str) -> String) -> Value {
    match std::str::from_utf8(body) {
        Ok(text) => Value::String(clean(text)),
        Err(_) => json!({ "base64": STANDARD.encode(body) }),
    }
}

/// Header fields whose values are credentials.
const SECRET: [&str; 5] = [
    "set-cookie",
    "authorization",
    "proxy-authorization",
    "www-authenticate",
    "authentication-info",
];

fn fields(headers: &HeaderMap, clean: impl Fn(&str) -> String) -> Value {
    let mut out: Map<String, Value> = Map::new();
    for (name, value) in headers {
        let secret = SECRET.contains(&name.as_str());
        let text = String::from_utf8_lossy(value.as_bytes());
        let text = if secret { "***".to_owned() } else { clean(&text) };
        let values = out.entry(name.as_str()).or_insert_with(|| json!([]));
        values.as_array_mut().expect("made as one").push(Value::String(text));
    }
    Value::Object(out)
}

/// Plays a file again that a [`Recorder`] has made.
///
/// Each request gets the first answer not yet given to one with the same method,
/// URL and body. A request without one fails with [`ErrorKind::Other`] and says
/// which.
#[derive(Clone, Debug)]
pub struct Replay(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    api: Api,
    exchanges: Mutex<Vec<Option<(Value, Reply)>>>,
}

impl Replay {
    /// Reads the file; `api` says which credential to look away from.
    ///
    /// # Errors
    /// [`ErrorKind::Request`] when it cannot be read or is no cassette.
    pub fn open(api: &Api, path: impl AsRef<Path>) -> Result<Replay, Error> {
        let no_cassette = |what| Error::from(Mistake::new("cassette", what));
        let text = fs::read_to_string(path)
            .map_err(|error| no_cassette("cannot be read").caused_by(error))?;
        let file: Value = serde_json::from_str(&text)
            .map_err(|error| no_cassette("is not JSON").caused_by(error))?;
        if file["version"] != 1 {
            return Err(no_cassette("is of another version"));
        }
        let exchanges =
            file["exchanges"].as_array().ok_or_else(|| no_cassette("has no exchanges"))?;
        let read = exchanges.iter().map(|exchange| {
            Some(Some((exchange["request"].clone(), reply(&exchange["response"])?)))
        });
        let exchanges: Option<Vec<_>> = read.collect();
        let exchanges = Mutex::new(exchanges.ok_or_else(|| no_cassette("has a broken exchange"))?);
        Ok(Replay(Arc::new(Inner { api: api.clone(), exchanges })))
    }

    /// How many exchanges have not been asked for.
    pub fn left(&self) -> usize {
        lock(&self.0.exchanges).iter().flatten().count()
    }
}

fn reply(value: &Value) -> Option<Reply> {
    let status = u16::try_from(value["status"].as_u64()?).ok()?;
    http::StatusCode::from_u16(status).ok()?;
    let mut reply = Reply::status(status).body(body(&value["body"])?);
    for (name, values) in value["headers"].as_object()? {
        for value in values.as_array()? {
            let name = http::HeaderName::try_from(name).ok()?;
            let value = http::HeaderValue::try_from(value.as_str()?).ok()?;
            reply = reply.header(name, value);
        }
    }
    Some(reply)
}

fn body(value: &Value) -> Option<Bytes> {
    match value {
        Value::String(text) => Some(text.clone().into()),
        other => Some(STANDARD.decode(other["base64"].as_str()?).ok()?.into()),
    }
}

impl Answer for Replay {
    fn answer(&self, request: &Request<Body>) -> Result<Reply, Failure> {
        let wanted = key(request, self.0.api.credentials().current().auth.canary());
        let mut exchanges = lock(&self.0.exchanges);
        let fits = |exchange: &&mut Option<(Value, Reply)>| {
            exchange.as_ref().is_some_and(|(key, _)| *key == wanted)
        };
        let found = exchanges.iter_mut().find(fits).and_then(Option::take);
        found.map(|(_, reply)| reply).ok_or_else(|| {
            let (method, path) = (request.method(), request.uri().path());
            let detail = format!("the cassette has no answer left for {method} {path}");
            Failure::new(ErrorKind::Other, detail).lasting()
        })
    }
}

#[cfg(feature = "blocking")]
mod blocking {
    use std::io::{Cursor, Read};

    use super::{Body, Failure, Recorder, Request, Response, key, plainly};
    use crate::blocking::{Reader, Transport};
    use crate::error::Phase;
    use crate::transport::Exchange;

    impl<T: Transport> Transport for Recorder<T> {
        fn send(
            &self,
            request: Request<Body>,
            exchange: &std::sync::Arc<Exchange>,
        ) -> Result<Response<Reader>, Failure> {
            let key = key(&request, self.tape.api.credentials().current().auth.canary());
            let (parts, mut reader) = self.inner.send(plainly(request), exchange)?.into_parts();
            let mut body = Vec::new();
            reader.read_to_end(&mut body).map_err(|e| Failure::from_io(e, Phase::Body))?;
            let head = Response::from_parts(parts, ());
            self.tape.keep(key, &head, &body)?;
            Ok(head.map(|()| -> Reader { Box::new(Cursor::new(body)) }))
        }
    }
}

#[cfg(feature = "async")]
mod nonblocking {
    use std::future::poll_fn;
    use std::sync::Arc;

    use super::{Body, Bytes, Failure, Recorder, Request, Response, key, plainly};
    use crate::error::Phase;
    use crate::nonblocking::{Reader, Transport};
    use crate::transport::Exchange;

    impl<T: Transport> Transport for Recorder<T> {
        async fn send(
            &self,
            request: Request<Body>,
            exchange: Arc<Exchange>,
        ) -> Result<Response<Reader>, Failure> {
            let key = key(&request, self.tape.api.credentials().current().auth.canary());
            let (parts, mut reader) =
                self.inner.send(plainly(request), exchange).await?.into_parts();
            let mut body = Vec::new();
            while let Some(piece) = poll_fn(|cx| reader.poll_piece(cx)).await {
                body.extend_from_slice(&piece.map_err(|e| Failure::from_io(e, Phase::Body))?);
            }
            let head = Response::from_parts(parts, ());
            self.tape.keep(key, &head, &body)?;
            Ok(head.map(|()| Reader::from(Bytes::from(body))))
        }
    }
}
