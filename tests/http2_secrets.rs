//! What the crate h2 tells a subscriber has no secret in it. A binary of its own: the subscriber is everybody's.
#![cfg(all(feature = "http2", feature = "tracing"))]

mod support;

use std::fmt::{Debug, Write as _};
use std::sync::Mutex;

use duocall::nonblocking::Client;
use duocall::{Api, Auth, Http2, Request, Retry};
use h2::Reason;
use support::h2::{Frames, Good, HEADERS};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const CANARY: &str = "s3cr3t-CANARY";
/// The same as it looks in Basic, `user:s3cr3t-CANARY`.
const BASIC: &str = "dXNlcjpzM2NyM3QtQ0FOQVJZ";

struct Ears;

static HEARD: Mutex<String> = Mutex::new(String::new());

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = writeln!(self.0, "{field}: {value:?}");
    }
}

impl Subscriber for Ears {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut Fields(&mut HEARD.lock().unwrap()));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Fields(&mut HEARD.lock().unwrap()));
    }

    fn event(&self, event: &Event<'_>) {
        let mut heard = HEARD.lock().unwrap();
        let _ = writeln!(heard, "{}", event.metadata().target());
        event.record(&mut Fields(&mut heard));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn h2_keeps_the_secrets_of_its_calls() {
    tracing::subscriber::set_global_default(Ears).expect("the only one");
    let good = Good::new(|incoming| async move { incoming.answer(200, CANARY).await });
    // Quotes the request where it says why it goes.
    let rude = Frames::new(|_, wire| {
        wire.settings(&[])?;
        wire.next(HEADERS)?;
        let reason = u32::from(Reason::ENHANCE_YOUR_CALM).to_be_bytes();
        let payload = [&[0; 4], &reason[..], CANARY.as_bytes()].concat();
        wire.write(support::h2::GOAWAY, 0, 0, &payload)?;
        wire.drain()
    });
    let shown = called(&good.url());
    let heard = HEARD.lock().unwrap().clone();
    assert!(heard.contains("h2::"), "h2 has said nothing");
    // What a server says in a GOAWAY h2 tells as it is; we do not.
    for text in [shown, heard, called(&rude.url())] {
        let hits = text.lines().find(|line| line.contains(CANARY) || line.contains(BASIC));
        assert_eq!(hits, None);
    }
}

/// All that a program would print of some calls.
fn called(url: &str) -> String {
    let mut shown = String::new();
    for auth in [Auth::bearer(CANARY), Auth::query("key", CANARY), Auth::basic("user", CANARY)] {
        let api = Api::builder(url).auth(auth).http2(Http2::prior_knowledge());
        let client = Client::new(api.retry(Retry::none()).build().unwrap());
        let said = smol::block_on(client.send(Request::post("x").body(CANARY)));
        let _ = writeln!(shown, "{client:?} {said:?}");
        if let Err(error) = said {
            let source = std::error::Error::source(&error);
            let _ = writeln!(shown, "{error} {error:#?} {source:?}");
        }
    }
    shown
}
