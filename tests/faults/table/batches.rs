//! Y12: many calls of which some go wrong.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use duocall::{Endpoint, Error, ErrorKind, Request, Response, Retry, Timeouts};
use futures_lite::FutureExt;

use crate::faults::caller::{Caller, own};
use crate::faults::case::{Case, once, row};
use crate::parity::outcome::Said;
use crate::parity::scenario::Fault::Silence;
use crate::parity::scenario::{http, ok};
use crate::parity::site::Site;

const MANY: usize = 10_000;
const AT_ONCE: usize = 16;

pub fn cases() -> Vec<Case> {
    let limits = || Timeouts::default().head(Duration::from_secs(2));
    let served = || {
        once()
            .api(move |api| api.retry(Retry::none()).timeouts(limits()))
            .on("/good", ok("a"))
            .on("/bad", http(404))
            .on("/silent", Silence)
            .loose()
    };
    vec![
        row(
            "Y12 mixed",
            "of 10,000 calls every tenth fails and one hangs",
            "a result for each, in its place; no more connections than calls at once",
            served().own(own!(mixed)).expect(
                "8999 good, 1000 failed, 1 timed out, 0 out of place | at most 17 connections | 200 a",
                "",
                "",
            ),
        )
        .within(30_000),
        row(
            "Y12 panic",
            "the code of one call panics",
            "the panic is the caller's; the client is whole",
            served().own(own!(panics)).expect("a panic | 200 a", "", ""),
        )
        .unlike(
            "pool",
            "Panicked, 3 good | 200 a",
            "a worker catches the panic, and the call alone has failed",
        ),
        row(
            "Y12 stopped",
            "the caller takes five results of 10,000, and goes",
            "the rest is not begun, nor made",
            served().own(own!(stopped)).expect("5 came | no more than was in flight | 200 a", "", ""),
        ),
    ]
}

fn get(path: &str) -> Request {
    Request::get(path)
}

async fn mixed(caller: Caller, site: Arc<Site>) -> Vec<Said> {
    let path = |n: usize| match n {
        77 => "silent",
        n if n % 10 == 0 => "bad",
        _ => "good",
    };
    let items = (0..MANY).map(|n| get(path(n))).collect();
    let results = caller.gather::<Request>(items, AT_ONCE).await;
    let met = |result: &Result<Response, Error>| match result {
        Ok(_) => "good",
        Err(error) if error.kind() == ErrorKind::Status => "bad",
        Err(error) if error.is_timeout() => "silent",
        Err(_) => "something else",
    };
    let count = |what| results.iter().filter(|result| met(result) == what).count();
    let astray = results.iter().enumerate().filter(|(n, result)| met(result) != path(*n)).count();
    let text = format!(
        "{} good, {} failed, {} timed out, {astray} out of place",
        count("good"),
        count("bad"),
        count("silent")
    );
    // The one that hung was closed, and another may have been opened in its place.
    let connections = match site.connections() {
        Some(..=17) => "at most 17 connections".into(),
        many => format!("{many:?} connections"),
    };
    vec![Said::Text(text), Said::Text(connections), after(&caller).await]
}

async fn after(caller: &Caller) -> Said {
    Said::response(caller.send(get("good")).await)
}

/// A call whose `decode` may panic.
struct Decoding(bool);

impl Endpoint for Decoding {
    type Output = ();

    fn request(&self) -> Request {
        get("good")
    }

    fn decode(&self, _: Response) -> Result<(), Error> {
        assert!(!self.0, "on purpose");
        Ok(())
    }
}

async fn panics(caller: Caller, _: Arc<Site>) -> Vec<Said> {
    let items = vec![Decoding(false), Decoding(true), Decoding(false), Decoding(false)];
    let gathered = AssertUnwindSafe(caller.gather(items, 2)).catch_unwind().await;
    let text = match gathered {
        Err(_) => "a panic".to_owned(),
        Ok(results) => {
            let good = results.iter().filter(|result| result.is_ok()).count();
            let kind = results[1].as_ref().err().map(Error::kind);
            format!("{}, {good} good", kind.map_or(String::new(), |kind| format!("{kind:?}")))
        }
    };
    vec![Said::Text(text), after(&caller).await]
}

async fn stopped(caller: Caller, site: Arc<Site>) -> Vec<Said> {
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let items = (0..MANY).map(move |_| {
        count.fetch_add(1, SeqCst);
        get("good")
    });
    let came = caller.first(items, 4, 5).await;
    let (made, seen) = (made.load(SeqCst), site.requests().len());
    // Those taken, those done and not taken, those in flight.
    let most = 5 + 4 * 3;
    let few = match made.max(seen) {
        count if count <= most => "no more than was in flight".into(),
        _ => format!("{made} made, {seen} sent"),
    };
    vec![Said::Text(format!("{came} came")), Said::Text(few), after(&caller).await]
}
