//! Spans and events, collected by a subscriber.

#![cfg(feature = "tracing")]

mod support;

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use duocall::{Api, Auth, Request, Retry, blocking, nonblocking};
use support::{Act, Server, ok, reply};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// One line for each span and event; a span's fields are those it had in the end.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Line>>>);

#[derive(Debug, Default)]
struct Line {
    name: String,
    parent: Option<u64>,
    fields: BTreeMap<&'static str, String>,
    closed: bool,
}

struct Fields<'a>(&'a mut BTreeMap<&'static str, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

impl Collector {
    fn lines(&self) -> std::sync::MutexGuard<'_, Vec<Line>> {
        self.0.lock().unwrap()
    }

    /// Ids of spans are their places, from 1 on.
    fn add(&self, name: &str, parent: Option<u64>) -> u64 {
        let mut lines = self.lines();
        lines.push(Line { name: name.to_owned(), parent, ..Line::default() });
        lines.len() as u64
    }

    fn shown(&self) -> Vec<String> {
        let shown = |line: &Line| {
            let mut text = format!("{}<{}", line.name, line.parent.unwrap_or_default());
            for name in [
                "http.request.method",
                "http.request.resend_count",
                "http.response.status_code",
                "error.type",
                "otel.kind",
            ] {
                let value = line.fields.get(name);
                let _ = value.map(|value| write!(text, " {value}"));
            }
            text
        };
        self.lines().iter().filter(|line| line.name != "event").map(shown).collect()
    }
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "duocall"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.add(span.metadata().name(), span.parent().map(Id::into_u64));
        span.record(&mut Fields(&mut self.lines()[id as usize - 1].fields));
        Id::from_u64(id)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        values.record(&mut Fields(&mut self.lines()[id.into_u64() as usize - 1].fields));
    }

    fn event(&self, event: &Event<'_>) {
        let id = self.add("event", event.parent().map(Id::into_u64));
        event.record(&mut Fields(&mut self.lines()[id as usize - 1].fields));
    }

    fn try_close(&self, id: Id) -> bool {
        self.lines()[id.into_u64() as usize - 1].closed = true;
        true
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {
        panic!("no span of ours is entered");
    }
    fn exit(&self, _: &Id) {}
}

fn api(server: &Server) -> Api {
    let retry = Retry::default().backoff(Duration::from_millis(1), Duration::from_millis(2));
    Api::builder(server.url())
        .auth(Auth::query("key", "canary-auth"))
        .header("x-secret", "canary-header")
        .retry(retry)
        .build()
        .unwrap()
}

const WANTED: [&str; 4] = [
    "call<0 GET 200",
    "request<1 GET 503 503 client",
    "request<1 GET 1 302 client",
    "request<1 GET 2 200 client",
];

fn script() -> Server {
    let moved = reply(302, &[("location", "/y?key=canary-location")], "");
    Server::script(vec![reply(503, &[], "canary-body"), moved, ok("done")])
}

fn request() -> Request {
    Request::get("x").query("q", "canary-query")
}

#[test]
fn a_call_is_a_span_and_so_is_each_of_its_requests() {
    let server = script();
    let client = blocking::Client::new(api(&server));
    let seen = Collector::default();
    tracing::subscriber::with_default(seen.clone(), || client.send(request())).unwrap();
    assert_eq!(seen.shown(), WANTED);
    let lines = seen.lines();
    let (port, base) = (server.addr().port().to_string(), server.url());
    assert_eq!(lines[0].fields["url.full"], format!("{base}x?q=***"));
    assert_eq!(lines[0].fields["server.address"], "127.0.0.1");
    assert_eq!(lines[0].fields["server.port"], port);
    let events: Vec<_> = lines.iter().filter(|line| line.name == "event").collect();
    let said: Vec<_> = events.iter().map(|line| line.fields["message"].as_str()).collect();
    assert_eq!(said, ["request over", "waits to try again", "request over", "request over"]);
    assert!(lines.iter().all(|line| line.closed || line.name == "event"));
    assert!(!format!("{lines:?}").contains("canary"), "{lines:?}");
}

#[test]
fn async_calls_tell_the_same() {
    let server = script();
    let client = nonblocking::Client::new(api(&server));
    let seen = Collector::default();
    let sending = || smol::block_on(client.send(request()));
    tracing::subscriber::with_default(seen.clone(), sending).unwrap();
    assert_eq!(seen.shown(), WANTED);
    assert!(!format!("{:?}", seen.lines()).contains("canary"));
}

#[test]
fn failures_have_a_type_and_dropped_calls_an_end() {
    let server =
        Server::script(vec![reply(404, &[], "canary"), vec![Act::Close], vec![Act::Stall]]);
    let client = nonblocking::Client::new(api(&server));
    let seen = Collector::default();
    tracing::subscriber::with_default(seen.clone(), || {
        smol::block_on(async {
            client.send(Request::get("x")).await.unwrap_err();
            client.send(Request::post("x")).await.unwrap_err();
            let mut dropped = Box::pin(client.send(Request::get("x")));
            while !server.wait_requests(3, Duration::from_millis(1)) {
                assert!(smol::future::poll_once(&mut dropped).await.is_none());
            }
        });
    });
    assert_eq!(
        seen.shown(),
        [
            "call<0 GET 404 404",
            "request<1 GET 404 404 client",
            "call<0 POST Closed",
            "request<4 POST Closed client",
            "call<0 GET",
            "request<7 GET client",
        ]
    );
    let lines = seen.lines();
    assert!(lines.iter().all(|line| line.closed || line.name == "event"));
    assert!(!format!("{lines:?}").contains("canary"));
}
