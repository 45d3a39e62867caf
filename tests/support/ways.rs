//! One request in every way of running.

use duocall::{Api, Error, Request, Response, blocking, nonblocking, pool};

type Said = Result<Response, Error>;

type Way = (&'static str, fn(Api, Request) -> Said);

/// The ways of running, by name.
pub const WAYS: [Way; 5] = [
    ("blocking", |api, request| blocking::Client::new(api).send(request)),
    ("pool", |api, request| pool::Client::new(api).send(request).wait()),
    ("async on smol", |api, request| {
        smol::block_on(async { nonblocking::Client::new(api).send(request).await })
    }),
    ("async on tokio", |api, request| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
        let send = async { nonblocking::Client::new(api).send(request).await };
        runtime.expect("a runtime").block_on(send)
    }),
    ("async on tokio, one thread", |api, request| {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let send = async { nonblocking::Client::new(api).send(request).await };
        runtime.expect("a runtime").block_on(send)
    }),
];

/// Sends in every way, each with an API of its own; the errors must read the same.
pub fn in_every_way(api: impl Fn() -> Api, request: Request, check: impl Fn(&str, Said)) {
    let mut first: Option<String> = None;
    for (way, send) in WAYS {
        let said = send(api(), request.clone());
        let text = match &said {
            Ok(response) => format!("{} {:?}", response.status(), response.text()),
            Err(error) => masked(&error.to_string()),
        };
        check(way, said);
        let first = first.get_or_insert_with(|| text.clone());
        assert_eq!(*first, text, "{way} differs from the first");
    }
}

/// Without the seconds that it took.
fn masked(text: &str) -> String {
    let Some((before, rest)) = text.split_once(" attempts in ") else { return text.to_owned() };
    let after = rest.split_once(" s").map_or("", |(_, after)| after);
    format!("{before} attempts in T s{after}")
}
