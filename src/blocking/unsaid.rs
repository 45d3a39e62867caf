//! What ureq is not told of a request. It has no need to know where one goes and
//! with what, and logs targets and, byte for byte, heads: a credential may be in either.

use http::header::{CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderValue, Uri};

use crate::body::Body;
use crate::proxy::Proxy;

/// Room for the head of most requests.
const ROOM: usize = 512;
/// A body up to this many bytes goes with its head, in one write.
const SMALL: usize = 8 << 10;

/// What our connection puts in the place of ureq's stand-in.
#[derive(Default)]
pub(super) struct Unsaid {
    /// Where the request goes.
    pub(super) uri: Uri,
    /// Its head, as it goes on the wire.
    pub(super) head: Vec<u8>,
    /// The body, a small one, is behind it.
    pub(super) whole: bool,
    /// Its body waits for the server's word.
    pub(super) announced: bool,
}

impl Unsaid {
    /// Keeps all back but the method and how the body is framed.
    pub(super) fn new(
        parts: &mut Parts,
        body: &Body,
        proxy: Option<&Proxy>,
        stand_in: &Uri,
    ) -> Unsaid {
        if let Some(proxy) = proxy {
            proxy.sign(&mut parts.headers);
        }
        frame(&mut parts.headers, body);
        let mut head = head(parts, proxy.is_some());
        let framing =
            |name: &HeaderName| [CONTENT_LENGTH, TRANSFER_ENCODING, EXPECT].contains(name);
        let told = parts.headers.iter().filter(|(name, _)| framing(name));
        let told: Vec<_> = told.map(|(name, value)| (name.clone(), value.clone())).collect();
        let announced = told.iter().any(|(name, _)| name == EXPECT);
        parts.headers.clear();
        parts.headers.insert(HOST, HeaderValue::from_static("-"));
        parts.headers.extend(told);
        let small = body.bytes().filter(|it| (1..=SMALL).contains(&it.len()) && !announced);
        if let Some(bytes) = small {
            head.extend_from_slice(bytes);
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let uri = std::mem::replace(&mut parts.uri, stand_in.clone());
        Unsaid { uri, head, whole: small.is_some(), announced }
    }
}

/// Says how long the body is, or that it comes in chunks.
fn frame(headers: &mut HeaderMap, body: &Body) {
    let framed = |headers: &HeaderMap| {
        headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING)
    };
    if body.is_empty() || framed(headers) {
        return;
    }
    match body.length() {
        Some(length) => headers.insert(CONTENT_LENGTH, length.into()),
        None => headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked")),
    };
}

/// The request line and the fields. A proxy that forwards wants the whole URL.
fn head(parts: &Parts, forwarded: bool) -> Vec<u8> {
    let uri = &parts.uri;
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let mut head = Vec::with_capacity(ROOM);
    let mut put = |part: &[u8]| head.extend_from_slice(part);
    put(parts.method.as_str().as_bytes());
    put(b" ");
    if forwarded {
        put(b"http://");
        put(host.as_bytes());
    }
    put(target.as_bytes());
    put(b" HTTP/1.1\r\nhost: ");
    put(host.as_bytes());
    for (name, value) in &parts.headers {
        put(b"\r\n");
        put(name.as_str().as_bytes());
        put(b": ");
        put(value.as_bytes());
    }
    put(b"\r\n\r\n");
    head
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    /// What goes on the wire, and the fields that ureq is told.
    fn split(method: &str, body: &Body, forwarded: bool) -> (String, Vec<String>) {
        let request = Request::builder().method(method).uri("http://a:8080/b?key=1");
        let (mut parts, ()) = request.header("x-key", "secret").body(()).unwrap().into_parts();
        let proxy = Proxy::new("http://p:1");
        let proxy = Some(&proxy).filter(|_| forwarded);
        let unsaid = Unsaid::new(&mut parts, body, proxy, &Uri::from_static("http://-/"));
        assert_eq!(parts.uri, "http://-/");
        let told = parts.headers.iter().map(|(name, value)| format!("{name}: {value:?}"));
        (String::from_utf8(unsaid.head).unwrap(), told.collect())
    }

    #[test]
    fn ureq_is_told_how_a_body_is_framed_and_no_more() {
        let host = "host: \"-\"".to_owned();
        let head = "GET /b?key=1 HTTP/1.1\r\nhost: a:8080\r\nx-key: secret\r\n\r\n".to_owned();
        assert_eq!(split("GET", &Body::empty(), false), (head, vec![host.clone()]));
        let chunked = Body::reader(&b"c"[..]);
        let head = "PUT http://a:8080/b?key=1 HTTP/1.1\r\nhost: a:8080\r\nx-key: secret\r\n\
            transfer-encoding: chunked\r\n\r\n";
        let told = vec![host.clone(), "transfer-encoding: \"chunked\"".to_owned()];
        assert_eq!(split("PUT", &chunked, true), (head.to_owned(), told));
        let head = "POST /b?key=1 HTTP/1.1\r\nhost: a:8080\r\nx-key: secret\r\n\
            content-length: 2\r\n\r\n";
        let told = vec![host, "content-length: \"0\"".to_owned()];
        assert_eq!(split("POST", &Body::from("ab"), false), (head.to_owned() + "ab", told));
    }
}
