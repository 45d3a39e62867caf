//! A request as it goes to the transport.

use http::Method;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::Hop;
use super::coding;
use super::redirect;
use crate::api::Api;
use crate::auth::{Auth, Kind};
use crate::body::Body;
use crate::error::{ErrorKind, Mistake, Sent};
use crate::request::Request;
use crate::transport::Failure;
use crate::url::{self, Url};

/// A request until it is sent.
#[derive(Default)]
pub(crate) struct Outgoing {
    parts: Option<Parts>,
    /// In the place of the hop's, where a credential is in it. Boxed, for every call has room for it.
    url: Option<Box<Url>>,
}

struct Parts {
    method: Method,
    headers: HeaderMap,
    body: Body,
}

const SENT: &str = "a request is sent once";

impl Outgoing {
    /// A request that others have made, and its URL.
    pub(crate) fn foreign(request: http::Request<Body>) -> Result<(Outgoing, Url), Failure> {
        let (head, body) = request.into_parts();
        let relative = || Failure::new(ErrorKind::Request, "its URL is not one of http or https");
        let url = Url::of(head.uri).ok_or_else(|| relative().sent(Sent::No).lasting())?;
        let parts = Some(Parts { method: head.method, headers: head.headers, body });
        Ok((Outgoing { parts, url: None }, url))
    }

    /// The request with its whole URL or just the target, and the body as it is wanted.
    pub(super) fn take<B>(
        &mut self,
        url: &Url,
        whole: bool,
        load: impl FnOnce(Body) -> B,
    ) -> http::Request<B> {
        let Parts { method, headers, body } = self.parts.take().expect(SENT);
        let url = self.url.as_deref().unwrap_or(url);
        let mut request = http::Request::new(load(body));
        *request.method_mut() = method;
        *request.uri_mut() = if whole { url.to_uri() } else { url.to_target() };
        *request.headers_mut() = headers;
        request
    }
}

/// Puts the request into its place.
pub(super) fn build(
    place: &mut Outgoing,
    api: &Api,
    request: &Request,
    hop: &Hop,
    auth: Option<&Auth>,
    may_announce: bool,
) -> Result<(), Mistake> {
    let body = request.body.clone().filter(|_| hop.carries).unwrap_or_default();
    let length = body.length();
    let has_body = !body.is_empty();
    // Room for a credential, a length and Host; a clone of the API's would have none.
    let headers = HeaderMap::with_capacity(api.headers().len() + request.headers.len() + 3);
    let parts = Parts { method: hop.method.clone(), headers, body };
    let headers = &mut place.parts.insert(parts).headers;
    place.url = None;
    redirect::pass_on(hop.trusted, api.headers(), headers);
    redirect::pass_on(hop.at_home, &request.headers, headers);
    if !hop.carries {
        redirect::strip_content(headers);
    }
    match auth.map(|auth| &auth.kind) {
        Some(Kind::Header(name, value)) => drop(headers.insert(name, value.clone())),
        Some(Kind::Query(name, secret)) => {
            let url = place.url.insert(Box::new(hop.url.clone()));
            // A redirect or a link may bring the parameter back, and would bring two the next time.
            url.remove_query(name);
            let mut pair = String::new();
            url::push_query(&mut pair, name, secret.expose());
            url.append_query(&pair)?;
        }
        _ => {}
    }
    if let Some(jar) = api.jar().filter(|_| !headers.contains_key(header::COOKIE)) {
        let cookies = jar.give(&hop.url, api.clock().wall());
        headers.extend(cookies.map(|cookies| (header::COOKIE, cookies)));
    }
    let expects_body = [Method::POST, Method::PUT, Method::PATCH].contains(&hop.method);
    if expects_body || has_body {
        // A body of unknown length goes in chunks; the transports see to that.
        if let Some(length) = length {
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
    }
    if may_announce && announces(api, request, hop) {
        headers.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
    }
    Ok(())
}

/// Whether the body is large enough to ask before it is sent (RFC 9110 section 10.1.1), or may be.
pub(super) fn announces(api: &Api, request: &Request, hop: &Hop) -> bool {
    let above = request.expect_above.unwrap_or(api.expect_above());
    let body = request.body.as_ref().filter(|body| hop.carries && !body.is_empty());
    let large = |body: &Body| body.length().is_none_or(|length| length > above);
    above < u64::MAX && body.is_some_and(large)
}

/// Adds to the headers of an API what every request has.
pub(crate) fn complete(headers: &mut HeaderMap) {
    let mut default = |name: HeaderName, value: Option<HeaderValue>| {
        if let (false, Some(value)) = (headers.contains_key(&name), value) {
            headers.insert(name, value);
        }
    };
    let agent = HeaderValue::from_static(concat!("duocall/", env!("CARGO_PKG_VERSION")));
    default(header::USER_AGENT, Some(agent));
    default(header::ACCEPT, Some(HeaderValue::from_static("*/*")));
    default(header::ACCEPT_ENCODING, coding::offer());
}
