//! The table's replies as a mock gives them: no bytes, no connections, no time.

use std::time::Duration;

use duocall::mock::{self, Mock, VirtualClock};
use duocall::{ErrorKind, Phase};

use super::scenario::{Fault, Http, Reply, Scenario};
use super::site::{Place, Script, filled};
use crate::support::Seen;

pub fn place(scenario: &Scenario) -> Place {
    let (script, refuse) = (Script::new(&scenario.routes, scenario.denied), scenario.refuse);
    let mock = Mock::answering(move |seen| {
        if refuse {
            return mock::Reply::fail(ErrorKind::Connect);
        }
        match script.next(seen.uri().path(), seen.header("authorization")) {
            Reply::Http(http) => whole(&http, seen),
            Reply::Part(http, _, Fault::Silence) => whole(&http, seen).body_delay(Duration::MAX),
            Reply::Part(http, bytes, _) => whole(&http, seen).cut_after(bytes),
            Reply::Fault(Fault::Silence) => mock::Reply::stall(Phase::Head),
            Reply::Fault(_) => mock::Reply::fail(ErrorKind::Closed),
            Reply::Raw(_) => unreachable!("such scenarios are left out"),
        }
    });
    Place::Mock(mock, VirtualClock::new())
}

fn whole(http: &Http, seen: &mock::Seen) -> mock::Reply {
    let port = seen.uri().port_u16().unwrap_or_default().to_string();
    let body = if seen.method() == "HEAD" { Vec::new() } else { http.body.clone() };
    let reply = mock::Reply::status(http.status).body(body).delay(http.delay);
    http.headers
        .iter()
        .fold(reply, |reply, (name, value)| reply.header(*name, filled(value, &port)))
}

pub fn seen(seen: &mock::Seen) -> Seen {
    let uri = seen.uri();
    let host = uri.authority().map_or(String::new(), ToString::to_string);
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let headers = seen.headers().iter().map(|(name, v)| (name.to_string(), text(v.as_bytes())));
    Seen {
        connection: 0,
        on_connection: 0,
        index: 0,
        method: seen.method().to_string(),
        target: uri.path_and_query().map_or(String::new(), ToString::to_string),
        headers: [("host".to_owned(), host)].into_iter().chain(headers).collect(),
        body: seen.body().to_vec(),
    }
}

/// What a transport adds to an error about its own doings.
const DETAILS: [&str; 5] = [
    ": the connection was closed",
    ": connection reset",
    ": connection refused",
    ": as the mock was told",
    ": the server reset the stream: INTERNAL_ERROR",
];

/// A text of the table without what only connections can tell.
pub fn plain(text: &str) -> String {
    let text = text.replace('~', "");
    DETAILS.iter().fold(text, |text, detail| text.replace(detail, ""))
}
