//! The table's replies as a server of HTTP/2 gives them: a fault ends the stream, not the connection.

use std::future::pending;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::Reason;

use super::scenario::{Fault, Http, Reply, Scenario};
use super::site::{Place, Script, filled};
use crate::support::Seen;
use crate::support::h2::{Good, Incoming, send};

pub fn place(scenario: &Scenario) -> (Place, u16) {
    let script = Arc::new(Script::new(&scenario.routes, scenario.denied));
    let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let ours = seen.clone();
    let server = Good::new(move |mut incoming| {
        let (script, seen) = (script.clone(), ours.clone());
        async move {
            let request = shown(&mut incoming).await;
            seen.lock().unwrap().push(request.clone());
            answer(incoming, script.next(path(&request), request.header("authorization"))).await;
        }
    });
    let port = server.addr().port();
    (Place::Http2 { _server: server, seen }, port)
}

fn path(request: &Seen) -> &str {
    request.target.split('?').next().unwrap_or_default()
}

async fn shown(incoming: &mut Incoming) -> Seen {
    let body = incoming.read().await;
    let uri = &incoming.head.uri;
    let host = uri.authority().map_or(String::new(), ToString::to_string);
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let headers = incoming.head.headers.iter();
    let headers = headers.map(|(name, value)| (name.to_string(), text(value.as_bytes())));
    Seen {
        connection: 0,
        on_connection: 0,
        index: 0,
        method: incoming.head.method.to_string(),
        target: uri.path_and_query().map_or(String::new(), ToString::to_string),
        headers: [("host".to_owned(), host)].into_iter().chain(headers).collect(),
        body,
    }
}

async fn answer(mut incoming: Incoming, reply: Reply) {
    let (http, part, fault) = match reply {
        Reply::Http(http) => (http, None, None),
        Reply::Part(http, bytes, fault) => (http, Some(bytes), Some(fault)),
        Reply::Fault(fault) => {
            return fail(fault, |reason| incoming.respond.send_reset(reason)).await;
        }
        Reply::Raw(_) => unreachable!("such scenarios are left out"),
    };
    tokio::time::sleep(http.delay).await;
    let head = head(&http, &incoming);
    let bodiless = incoming.head.method == "HEAD" || matches!(http.status, 204 | 304);
    // Whoever has reset the stream misses nothing.
    let Ok(mut stream) = incoming.respond.send_response(head, bodiless) else { return };
    if bodiless {
        return;
    }
    let mut body = Bytes::from(http.body);
    body.truncate(part.unwrap_or(usize::MAX));
    let _ = send(&mut stream, body, fault.is_none()).await;
    if let Some(fault) = fault {
        // What was sent before shall not be lost to the reset.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        fail(fault, |reason| stream.send_reset(reason)).await;
    }
}

async fn fail(fault: Fault, reset: impl FnOnce(Reason)) {
    match fault {
        Fault::Close | Fault::Reset => reset(Reason::INTERNAL_ERROR),
        Fault::Silence => pending().await,
    }
}

fn head(http: &Http, incoming: &Incoming) -> http::Response<()> {
    let port = incoming.head.uri.port_u16().unwrap_or_default().to_string();
    let mut head = http::Response::builder().status(http.status);
    for (name, value) in &http.headers {
        head = head.header(*name, filled(value, &port));
    }
    let framed = http.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    if !framed && !matches!(http.status, 204 | 304) {
        // As the server of HTTP/1.1 in the table does.
        let length = if incoming.head.method == "HEAD" { 0 } else { http.body.len() };
        head = head.header("content-length", length);
    }
    head.body(()).expect("a head that the table can write")
}
