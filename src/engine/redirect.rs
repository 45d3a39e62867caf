//! Redirects (RFC 9110 section 15.4), followed in the core and nowhere else.

use http::header::{self, HeaderMap, HeaderName, LOCATION};
use http::response::Parts;
use http::{Method, StatusCode};

use super::Hop;
use crate::api::Api;
use crate::body::Body;
use crate::error::{Error, ErrorKind};
use crate::request::Request;
use crate::url::Url;

const MOST: u32 = 10;

pub(super) fn is_redirect(head: &Parts) -> bool {
    location(head.status, &head.headers).is_some()
}

/// Where a response points, if it is a redirect: one of the five statuses, and
/// one `Location`.
fn location(status: StatusCode, headers: &HeaderMap) -> Option<&[u8]> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let mut values = headers.get_all(LOCATION).iter();
    let first = values.next()?;
    values.all(|other| other == first).then_some(first.as_bytes())
}

/// The next hop, or `None` where the response is the final one.
pub(super) fn next(
    api: &Api,
    hop: &Hop,
    request: &Request,
    head: &Parts,
    history: &[Url],
) -> Result<Option<Hop>, Error> {
    let most = request.redirects.unwrap_or(MOST);
    let Some(location) = location(head.status, &head.headers).filter(|_| most > 0) else {
        return Ok(None);
    };
    let refuse = |why: String| Err(Error::new(ErrorKind::Redirect, why));
    let Ok(text) = std::str::from_utf8(location) else {
        return refuse("the Location is not UTF-8".into());
    };
    let url = match hop.url.resolve(text) {
        Ok(url) => url,
        Err(error) => return refuse(format!("the Location {}", error.as_str())),
    };
    if hop.url.is_https() && !url.is_https() {
        return refuse("from https to http".into());
    }
    if history.len() >= most as usize {
        return refuse(format!("more than {most} in a row"));
    }
    let same_origin = hop.url.same_origin(&url);
    let (method, carries) = rewritten(&hop.method, head.status, hop.carries);
    let has_body = carries && request.body.is_some();
    if carries && request.body.as_ref().is_some_and(Body::is_spent) {
        return refuse("the body can be sent once".into());
    }
    let plain = method == Method::GET || method == Method::HEAD;
    if !same_origin && (has_body || !plain) {
        return refuse(format!("a {method} would go to another origin"));
    }
    Ok(Some(Hop {
        // Once lost, never back: a later hop into the base is the other side's doing.
        trusted: hop.trusted && url.within(api.base()),
        at_home: hop.at_home && same_origin && (request.absolute || url.within(api.base())),
        method,
        carries,
        url,
    }))
}

/// 303 asks for the answer with GET; 301 and 302 of a POST have come to mean the
/// same. Everything else keeps its method and body.
fn rewritten(method: &Method, status: StatusCode, carries: bool) -> (Method, bool) {
    match status.as_u16() {
        303 if *method == Method::HEAD => (Method::HEAD, false),
        303 => (Method::GET, false),
        301 | 302 if *method == Method::POST => (Method::GET, false),
        _ => (method.clone(), carries),
    }
}

/// Adds all of the fields for a place that may know them; else those that tell it nothing. A
/// name that is there already is replaced.
pub(crate) fn pass_on(all: bool, fields: &HeaderMap, to: &mut HeaderMap) {
    let harmless = |name: &HeaderName| {
        [header::USER_AGENT, header::CONTENT_TYPE].contains(name)
            || name.as_str().starts_with("accept")
    };
    let mut last = None;
    for (name, value) in fields {
        if !all && !harmless(name) {
            continue;
        }
        // The values of a name come one after another.
        if last == Some(name) {
            to.append(name, value.clone());
        } else {
            to.insert(name, value.clone());
        }
        last = Some(name);
    }
}

/// Takes away what speaks of a body that does not go along.
pub(super) fn strip_content(headers: &mut HeaderMap) {
    let speaks = |name: &HeaderName| name.as_str().starts_with("content-");
    let names: Vec<HeaderName> = headers.keys().filter(|name| speaks(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}
