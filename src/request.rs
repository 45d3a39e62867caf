//! A request as a value: built without I/O, cloned, sent as often as wanted.

use std::fmt;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use serde::Serialize;

use crate::body::Body;
use crate::endpoint::Json;
use crate::error::Mistake;
use crate::multipart::Multipart;
use crate::policy::{LONGEST, Retry};
use crate::url;

/// What to ask of an API.
///
/// The target is relative to the API's base. A mistake in any part (a header
/// that no header can be, a body that does not serialize) is kept, the first
/// one wins, and is the error of the call; it names the field and not the value.
///
/// ```
/// use duocall::Request;
///
/// let list = Request::get("flows.json").query("limit", 50).query_opt("after", None::<&str>);
/// let one = Request::get("flows/{uuid}.json").param("uuid", "2313/0293");
/// let create = Request::post("flows.json").json(&["a", "b"]).idempotency_key("order-17");
/// ```
#[derive(Clone)]
#[must_use = "a request does nothing until a client sends it"]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) absolute: bool,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Body>,
    pub(crate) timeout: Option<Duration>,
    /// Boxed: it is large, and rare.
    pub(crate) retry: Option<Box<Retry>>,
    pub(crate) redirects: Option<u32>,
    pub(crate) accepted: Vec<u16>,
    pub(crate) cost: u32,
    pub(crate) max_body: Option<usize>,
    pub(crate) expect_above: Option<u64>,
    /// The body of the response is handed over as it comes.
    pub(crate) opens: bool,
    pub(crate) mistake: Option<Mistake>,
}

impl Request {
    /// A request of any method. `CONNECT` is refused.
    pub fn new(method: Method, target: impl Into<String>) -> Request {
        let mistake = (method == Method::CONNECT)
            .then(|| Mistake::new("method CONNECT", "opens a tunnel and is not a call"));
        Request {
            method,
            target: target.into(),
            absolute: false,
            query: String::new(),
            headers: HeaderMap::new(),
            body: None,
            timeout: None,
            retry: None,
            redirects: None,
            accepted: Vec::new(),
            cost: 1,
            max_body: None,
            expect_above: None,
            opens: false,
            mistake,
        }
    }

    /// GET (RFC 9110 section 9.3.1).
    pub fn get(target: impl Into<String>) -> Request {
        Request::new(Method::GET, target)
    }

    /// HEAD (RFC 9110 section 9.3.2).
    pub fn head(target: impl Into<String>) -> Request {
        Request::new(Method::HEAD, target)
    }

    /// POST (RFC 9110 section 9.3.3).
    pub fn post(target: impl Into<String>) -> Request {
        Request::new(Method::POST, target)
    }

    /// PUT (RFC 9110 section 9.3.4).
    pub fn put(target: impl Into<String>) -> Request {
        Request::new(Method::PUT, target)
    }

    /// PATCH (RFC 5789).
    pub fn patch(target: impl Into<String>) -> Request {
        Request::new(Method::PATCH, target)
    }

    /// DELETE (RFC 9110 section 9.3.5).
    pub fn delete(target: impl Into<String>) -> Request {
        Request::new(Method::DELETE, target)
    }

    /// OPTIONS (RFC 9110 section 9.3.7).
    pub fn options(target: impl Into<String>) -> Request {
        Request::new(Method::OPTIONS, target)
    }

    /// A GET of a full URL, which need not be under the API's base. No credential goes
    /// along, and of the API's headers only `accept*`, `user-agent` and `content-type`.
    pub fn absolute(url: impl Into<String>) -> Request {
        let mut request = Request::get(url);
        request.absolute = true;
        request
    }

    /// Another method for this request.
    pub fn method(mut self, method: Method) -> Request {
        let new = Request::new(method, String::new());
        self.mistake = self.mistake.or(new.mistake);
        self.method = new.method;
        self
    }

    /// Puts `value`, percent-encoded as one path segment, where the target has `{name}`. A
    /// place that is given no value is a mistake, as is a value without a place.
    pub fn param(mut self, name: &str, value: impl fmt::Display) -> Request {
        let slot = format!("{{{name}}}");
        let field = || format!("path parameter {name}");
        match url::encode_segment(&value.to_string()) {
            _ if !self.target.contains(&slot) => {
                self.keep(Mistake::new(field(), "has no place in the target"));
            }
            Ok(segment) => self.target = self.target.replace(&slot, &segment),
            Err(_) => self.keep(Mistake::new(field(), "is empty or a dot segment")),
        }
        self
    }

    /// Adds `name=value` to the query, form-encoded.
    pub fn query(mut self, name: &str, value: impl fmt::Display) -> Request {
        url::push_query(&mut self.query, name, &value.to_string());
        self
    }

    /// Adds `name=value` to the query if there is a value.
    pub fn query_opt(self, name: &str, value: Option<impl fmt::Display>) -> Request {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// Sets a header, in place of the API's own of that name; but the API's credential
    /// takes the place of what a request has under its name.
    ///
    /// `Host`, `Content-Length`, `Transfer-Encoding` and the fields of a
    /// connection belong to the transport and are refused.
    pub fn header<N, V>(mut self, name: N, value: V) -> Request
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        match checked_header(name, value) {
            Ok((name, value)) => drop(self.headers.insert(name, value)),
            Err(mistake) => self.keep(mistake),
        }
        self
    }

    /// Sends `value` as JSON (RFC 8259), with `Content-Type: application/json` unless set.
    pub fn json(mut self, value: &(impl Serialize + ?Sized)) -> Request {
        match serde_json::to_vec(value) {
            Ok(bytes) => self.typed(bytes, "application/json"),
            Err(_) => {
                self.keep(Mistake::new("JSON body", "cannot be serialized"));
                self
            }
        }
    }

    /// Sends `pairs` as `application/x-www-form-urlencoded`: a struct, a map, or pairs.
    pub fn form(mut self, pairs: &(impl Serialize + ?Sized)) -> Request {
        match serde_urlencoded::to_string(pairs) {
            Ok(text) => self.typed(text.into_bytes(), "application/x-www-form-urlencoded"),
            Err(_) => {
                self.keep(Mistake::new("form body", "cannot be serialized"));
                self
            }
        }
    }

    /// Sends a form with files, as `multipart/form-data` (RFC 7578).
    pub fn multipart(self, form: Multipart) -> Request {
        let content_type = form.content_type();
        self.header(header::CONTENT_TYPE, content_type).body(form.into_body())
    }

    /// Sends these bytes; set a `content-type` with [`header`](Request::header).
    pub fn body(mut self, body: impl Into<Body>) -> Request {
        self.body = Some(body.into());
        self
    }

    /// The limit of the whole call, without the time at the gate, instead of the API's `total`.
    pub fn timeout(mut self, total: Duration) -> Request {
        if total.is_zero() {
            self.keep(Mistake::new("time-out total", "is zero"));
        }
        self.timeout = Some(total.min(LONGEST));
        self
    }

    /// Marks the request as safe to repeat, whatever its method: the server is
    /// to act once on one key. The same key goes out with every attempt; one that is
    /// empty is a mistake.
    pub fn idempotency_key(self, key: impl TryInto<HeaderValue>) -> Request {
        self.header(IDEMPOTENCY_KEY, key)
    }

    /// Takes a response with this status for a success.
    pub fn accept(mut self, status: u16) -> Request {
        match StatusCode::from_u16(status) {
            Ok(_) => self.accepted.push(status),
            Err(_) => self.keep(Mistake::new("accepted status", "is not a status code")),
        }
        self
    }

    /// How many redirects to follow; with 0 a redirect is a status like others, so
    /// [`accept`](Request::accept) it to get it as a response. Defaults to 10.
    pub fn redirects(mut self, most: u32) -> Request {
        self.redirects = Some(most);
        self
    }

    /// Another retry policy than the API's.
    pub fn retry(mut self, retry: Retry) -> Request {
        if let Err(mistake) = retry.check() {
            self.keep(mistake);
        }
        self.retry = Some(Box::new(retry));
        self
    }

    /// How many units of the API's rate the call takes; at most the rate's
    /// burst. Defaults to 1.
    pub fn cost(mut self, units: u32) -> Request {
        if units == 0 {
            self.keep(Mistake::new("cost", "is zero"));
        }
        self.cost = units;
        self
    }

    /// The largest body taken, in bytes after decoding, instead of the API's.
    pub fn max_body(mut self, bytes: usize) -> Request {
        if bytes == 0 {
            self.keep(Mistake::new("max_body", "is zero"));
        }
        self.max_body = Some(bytes);
        self
    }

    /// Announces a body above so many bytes before it is sent, instead of the API's
    /// [`expect_above`](crate::ApiBuilder::expect_above); `u64::MAX` announces none.
    pub fn expect_above(mut self, bytes: u64) -> Request {
        self.expect_above = Some(bytes);
        self
    }

    /// This request as an endpoint whose output is read from JSON.
    ///
    /// ```
    /// use duocall::{Endpoint, Request};
    ///
    /// fn names(page: u32) -> impl Endpoint<Output = Vec<String>> {
    ///     Request::get("names.json").query("page", page).into_json()
    /// }
    /// ```
    pub fn into_json<T>(self) -> Json<T> {
        Json::new(self)
    }

    fn typed(mut self, bytes: Vec<u8>, content_type: &'static str) -> Request {
        let value = HeaderValue::from_static(content_type);
        self.headers.entry(header::CONTENT_TYPE).or_insert(value);
        self.body = Some(bytes.into());
        self
    }

    pub(crate) fn keep(&mut self, mistake: Mistake) {
        self.mistake.get_or_insert(mistake);
    }

    /// Safe to send twice: the method says so (RFC 9110 section 9.2.2) or a key does.
    pub(crate) fn is_idempotent(&self) -> bool {
        const IDEMPOTENT: [Method; 6] = [
            Method::GET,
            Method::HEAD,
            Method::PUT,
            Method::DELETE,
            Method::OPTIONS,
            Method::TRACE,
        ];
        IDEMPOTENT.contains(&self.method) || self.headers.contains_key(IDEMPOTENCY_KEY)
    }
}

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Fields that frame messages or speak of one connection; a caller who sets
/// them could smuggle a second request (RFC 9112 section 11.2).
const RESERVED: [&str; 10] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "expect",
];

pub(crate) fn checked_header<N, V>(name: N, value: V) -> Result<(HeaderName, HeaderValue), Mistake>
where
    N: TryInto<HeaderName>,
    V: TryInto<HeaderValue>,
{
    let Ok(name) = name.try_into() else {
        return Err(Mistake::new("header", "has a name that is not a token"));
    };
    check_ours(&name)?;
    match value.try_into() {
        // It would make a POST look safe to repeat.
        Ok(value) if value.is_empty() && name == IDEMPOTENCY_KEY => {
            Err(Mistake::new(format!("header {name}"), "is empty"))
        }
        Ok(value) if !has_control(&value) => Ok((name, value)),
        _ => {
            let field = format!("value of header {name}");
            Err(Mistake::new(field, "has a character that no header may hold"))
        }
    }
}

/// Whether the caller may set this field.
pub(crate) fn check_ours(name: &HeaderName) -> Result<(), Mistake> {
    match RESERVED.contains(&name.as_str()) {
        true => Err(Mistake::new(format!("header {name}"), "is set by the transport only")),
        false => Ok(()),
    }
}

/// A `HeaderValue` made from a `String` lets tabs by; nothing else below a space.
fn has_control(value: &HeaderValue) -> bool {
    value.as_bytes().iter().any(|&b| b < 0x20 && b != b'\t' || b == 0x7f)
}

/// Header names, and the values of those that are surely no secret.
pub(crate) struct Fields<'a>(pub(crate) &'a HeaderMap);

impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PLAIN: [HeaderName; 8] = [
            header::ACCEPT,
            header::CONTENT_ENCODING,
            header::CONTENT_LENGTH,
            header::CONTENT_TYPE,
            header::DATE,
            header::RETRY_AFTER,
            header::SERVER,
            header::USER_AGENT,
        ];
        let shown = self.0.iter().map(|(name, value)| {
            let plain = PLAIN.contains(name);
            let value = if plain { value.to_str().unwrap_or("***") } else { "***" };
            (name.as_str(), value)
        });
        f.debug_map().entries(shown).finish()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = self.target.split(['?', '#']).next().unwrap_or_default();
        // What stands before an `@` may be a password.
        let target = target.rsplit('@').next().unwrap_or_default();
        let names: Vec<_> = form_urlencoded::parse(self.query.as_bytes()).map(|(n, _)| n).collect();
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("target", &target)
            .field("query", &names)
            .field("headers", &Fields(&self.headers))
            .field("body", &self.body)
            .field("mistake", &self.mistake)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn mistake(request: Request) -> String {
        Error::from(request.mistake.expect("a mistake")).to_string()
    }

    #[test]
    fn a_mistake_names_the_field_and_not_the_value() {
        let cases = [
            (Request::get("x").header("bad name", "hide"), "header"),
            (Request::get("x").header("x-a", "hide\r\nX: y"), "x-a"),
            (Request::get("x").header("x-a", "hide\u{7f}"), "x-a"),
            (Request::get("x").header("Host", "hide"), "host"),
            (Request::get("x").header("content-length", "1"), "content-length"),
            (Request::get("x").header("transfer-encoding", "hide"), "transfer-encoding"),
            (Request::get("x").accept(99), "status"),
            (Request::get("x").cost(0), "cost"),
            (Request::get("x").timeout(Duration::ZERO), "total"),
            (Request::get("x").retry(Retry::default().attempts(0)), "attempts"),
            (Request::get("x/{id}").param("id", ".."), "id"),
            (Request::get("x").param("id", "hide"), "id"),
            (Request::new(Method::CONNECT, "x"), "CONNECT"),
        ];
        for (request, field) in cases {
            let shown = format!("{request:?}");
            let text = mistake(request);
            assert!(text.contains(field), "{text}");
            assert!(!text.contains("hide") && !shown.contains("hide"), "{text} {shown}");
        }
    }

    #[test]
    fn parts_are_encoded() {
        let request = Request::get("a/{id}").param("id", "x/y z").query("q", "a b&c");
        assert_eq!(request.target, "a/x%2Fy%20z");
        assert_eq!(request.query, "q=a+b%26c");
        let form = Request::post("a").form(&[("k", "a b")]);
        assert_eq!(form.body.unwrap().bytes().unwrap(), "k=a+b".as_bytes());
    }

    #[test]
    fn debug_hides_query_values_and_userinfo() {
        let request = Request::absolute("https://user:hide@h/x?key=hide").query("k", "hide");
        let shown = format!("{request:?}");
        assert!(!shown.contains("hide"), "{shown}");
    }

    #[test]
    fn a_key_makes_a_post_safe_to_repeat() {
        assert!(!Request::post("x").is_idempotent());
        assert!(!Request::patch("x").is_idempotent());
        assert!(Request::post("x").idempotency_key("k").is_idempotent());
        assert!(Request::delete("x").is_idempotent());
        let keyless = Request::post("x").idempotency_key("");
        assert!(!keyless.is_idempotent() && keyless.mistake.is_some());
    }
}
