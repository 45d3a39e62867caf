//! A request as it goes to the transport.

use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response};

use super::EVIDENCE;
use super::Hop;
use super::coding;
use super::inbox::{Inbox, Wanted};
use super::redirect;
use crate::api::Api;
use crate::auth::{Auth, Kind};
use crate::body::Body;
use crate::error::Mistake;
use crate::request::Request;
use crate::transport::{Exchange, Failure};
use crate::url;

pub(crate) struct Outgoing {
    pub(crate) request: http::Request<Body>,
    pub(crate) exchange: Arc<Exchange>,
    method: Method,
    follows: bool,
    accepted: Vec<u16>,
    /// The `Accept-Encoding` that went out: what was asked for is undone.
    asked: Option<HeaderValue>,
    max_body: usize,
    opens: bool,
}

impl Outgoing {
    /// Where the body goes, now that the head is there.
    pub(crate) fn inbox(&self, head: Response<()>) -> Result<Inbox, Failure> {
        let status = head.status();
        let wanted = if self.follows && redirect::is_redirect(&head) {
            Wanted::None
        } else if status.is_success() || self.accepted.contains(&status.as_u16()) {
            if self.opens { Wanted::Pieces(self.max_body) } else { Wanted::Whole(self.max_body) }
        } else {
            Wanted::Some(EVIDENCE)
        };
        Inbox::new(head, &self.method, wanted, self.asked.as_ref())
    }

    /// The request, for the transport. There is one try for each `Outgoing`.
    pub(crate) fn take_request(&mut self) -> http::Request<Body> {
        std::mem::take(&mut self.request)
    }
}

pub(super) fn build(
    api: &Api,
    request: &Request,
    hop: &Hop,
    auth: Option<Auth>,
    may_announce: bool,
    exchange: Exchange,
) -> Result<Outgoing, Mistake> {
    let mut url = hop.url.clone();
    // Room for what is added below, and for Host.
    let most = api.headers().len() + request.headers.len() + 6;
    let mut headers = HeaderMap::with_capacity(most);
    redirect::pass_on(hop.trusted, api.headers(), &mut headers);
    redirect::pass_on(hop.at_home, &request.headers, &mut headers);
    if !hop.carries {
        redirect::strip_content(&mut headers);
    }
    match auth.map(|auth| auth.kind) {
        Some(Kind::Header(name, value)) => drop(headers.insert(name, value)),
        Some(Kind::Query(name, secret)) => {
            // A redirect or a link may bring the parameter back, and would bring two the next time.
            url.remove_query(&name);
            let mut pair = String::new();
            url::push_query(&mut pair, &name, secret.expose());
            url.append_query(&pair).map_err(|e| Mistake::new("URL", e.as_str()))?;
        }
        _ => {}
    }
    if let Some(jar) = api.jar().filter(|_| !headers.contains_key(header::COOKIE)) {
        let cookies = jar.give(&hop.url, api.clock().wall());
        headers.extend(cookies.map(|cookies| (header::COOKIE, cookies)));
    }
    let body = request.body.clone().filter(|_| hop.carries).unwrap_or_default();
    complete(&mut headers, &hop.method, &body);
    if may_announce && announces(api, request, hop) {
        headers.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
    }
    let asked = headers.get(header::ACCEPT_ENCODING).cloned();
    let mut out = http::Request::new(body);
    *out.method_mut() = hop.method.clone();
    *out.uri_mut() = url.to_uri();
    *out.headers_mut() = headers;
    Ok(Outgoing {
        request: out,
        exchange: Arc::new(exchange),
        method: hop.method.clone(),
        follows: request.redirects != Some(0),
        accepted: request.accepted.clone(),
        asked,
        max_body: request.max_body.unwrap_or(api.max_body()),
        opens: request.opens,
    })
}

/// Whether the body is large enough to ask before it is sent (RFC 9110 section 10.1.1), or may be.
pub(super) fn announces(api: &Api, request: &Request, hop: &Hop) -> bool {
    let above = request.expect_above.unwrap_or(api.expect_above());
    let body = request.body.as_ref().filter(|body| hop.carries && !body.is_empty());
    let large = |body: &Body| body.length().is_none_or(|length| length > above);
    above < u64::MAX && body.is_some_and(large)
}

/// Adds what every request has.
fn complete(headers: &mut HeaderMap, method: &Method, body: &Body) {
    let mut default = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    default(header::USER_AGENT, concat!("duocall/", env!("CARGO_PKG_VERSION")));
    default(header::ACCEPT, "*/*");
    if let Some(codings) = coding::offer() {
        headers.entry(header::ACCEPT_ENCODING).or_insert(codings);
    }
    let expects_body = [Method::POST, Method::PUT, Method::PATCH].contains(method);
    if expects_body || !body.is_empty() {
        // A body of unknown length goes in chunks; the transports see to that.
        if let Some(length) = body.length() {
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
    }
}
