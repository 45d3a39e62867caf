//! C: connections and names.

use std::fs::File;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use duocall::transport::Failure;
use duocall::{Error, ErrorKind, Request, Response, nonblocking};

use crate::faults::case::{Case, case, limited, once, row};
use crate::parity::outcome::Said;
use crate::parity::scenario::{Own, Saying, Scenario, http, ok};
use crate::parity::site::Site;
use crate::support::Act;

const SHORT: Duration = Duration::from_millis(200);

pub fn cases() -> Vec<Case> {
    let mut cases = refused();
    cases.extend(silent());
    cases.extend(names());
    cases.extend(descriptors());
    cases
}

fn get() -> Request {
    Request::get("x")
}

fn post() -> Request {
    Request::post("x").body("b")
}

fn refused() -> Vec<Case> {
    vec![
        row(
            "C1",
            "nothing listens",
            "an error of the connection; tried again",
            case().send(get()).nobody_listens().connections(0).expect(
                "Connect/No: GET http://H/x: could not connect after 3 attempts in T s: connection refused",
                "First Connect, Retry Connect, Retry Connect",
                "",
            ),
        ),
        row(
            "C1 POST",
            "nothing listens, and the request is a POST",
            "tried again as well, for nothing of it was sent",
            case().send(post()).nobody_listens().connections(0).expect(
                "Connect/No: POST http://H/x: could not connect after 3 attempts in T s: connection refused",
                "First Connect, Retry Connect, Retry Connect",
                "",
            ),
        ),
        row(
            "C1 one of two",
            "the first address of a name refuses, the second does not",
            "the second serves, in the same attempt",
            case()
                .noting(|api, _| {
                    api.resolver(|_: &str, port: u16| -> Result<Vec<SocketAddr>, Failure> {
                        Ok(vec![([127, 0, 0, 3], port).into(), ([127, 0, 0, 1], port).into()])
                    })
                })
                .by_name()
                .send(get())
                .reply(ok("a"))
                .expect("200 a", "First 200", "GET O/x"),
        ),
    ]
}

fn silent() -> Vec<Case> {
    let head = |t: duocall::Timeouts| t.head(SHORT);
    let closed = |acts| case().send(get()).accepts(acts).reply(ok("a")).connections(2);
    vec![
        row(
            "C2",
            "the way to the server swallows what is sent",
            "a time-out of the connection, long before the system's own",
            limited(|t| t.connect(SHORT)).send(get()).nobody_accepts().connections(0).expect(
                "Timeout(Connect)/No: GET http://H/x: timed out: connecting",
                "First Timeout(Connect)",
                "",
            ),
        )
        .within(200),
        row(
            "C3 FIN",
            "a connection is accepted and closed",
            "the request is sent again",
            closed(vec![Act::Close]).expect("200 a", "First Closed, Retry 200", "GET /x"),
        ),
        row(
            "C3 RST",
            "a connection is accepted, and reset as soon as a byte comes",
            "the request is sent again",
            closed(vec![Act::Read(1), Act::Reset]).expect(
                "200 a",
                "First Closed, Retry 200",
                "GET /x",
            ),
        ),
        row(
            "C4 head",
            "a connection is accepted, and nothing ever comes",
            "a time-out of the head",
            limited(head).send(get()).accepts(vec![Act::Stall]).connections(1).expect(
                "Timeout(Head)/Yes: GET http://H/x: timed out: waiting for the response",
                "First Timeout(Head)",
                "",
            ),
        )
        .within(200),
        row(
            "C4 upload",
            "a connection is accepted, and nothing of a large body is read",
            "a time-out of sending",
            limited(head)
                .send(Request::put("x").body(vec![b'x'; 16 << 20]))
                .accepts(vec![Act::Pause(Duration::from_secs(5)), Act::Reset])
                .connections(1)
                .expect(
                    "Timeout(Send)/Maybe: PUT http://H/x: timed out: sending the request",
                    "First Timeout(Send)",
                    "",
                ),
        )
        .within(800),
        row(
            "C4 slow upload",
            "a large body is read with pauses, which together are longer than the limit of one",
            "waits, for the limit is one of pauses",
            limited(|t| t.head(SHORT * 5))
                .send(Request::put("x").body(vec![b'x'; 32 << 20]))
                .accepts(vec![
                    Act::Read(9 << 20),
                    Act::Pause(SHORT * 2),
                    Act::Read(9 << 20),
                    Act::Pause(SHORT * 2),
                    Act::Read(9 << 20),
                    Act::Pause(SHORT * 2),
                    Act::Write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()),
                    Act::Read(u64::MAX),
                ])
                .connections(1)
                .expect("200", "First 200", ""),
        )
        .within(4000),
        row(
            "C4 TLS",
            "a connection is accepted, and the handshake is never answered",
            "a time-out that names the handshake, within the limit of the connection",
            limited(|t| t.connect(SHORT))
                .https("localhost")
                .send(get())
                .accepts(vec![Act::Read(u64::MAX)])
                .connections(1)
                .expect(
                    "Timeout(Tls)/No: GET https://O/x: timed out: the TLS handshake",
                    "First Timeout(Tls)",
                    "",
                ),
        )
        .within(200),
    ]
}

type Found = Result<Vec<SocketAddr>, Failure>;

fn named(scenario: Scenario, resolver: fn(&str, u16) -> Found) -> Scenario {
    let before = scenario.setup.clone();
    Scenario {
        setup: Arc::new(move |api, notes| before(api, notes).resolver(resolver)),
        ..scenario
    }
    .by_name()
    .send(get())
    .nobody_listens()
    .connections(0)
}

fn names() -> Vec<Case> {
    vec![
        row(
            "C5 unknown",
            "the name does not exist (NXDOMAIN)",
            "an error of the name; not tried again",
            named(case(), |_, _| {
                Err(Failure::new(ErrorKind::Dns, "there is no such name").lasting())
            })
            .expect(
                "Dns/No: GET http://O/x: name not resolved: there is no such name",
                "First Dns",
                "",
            ),
        ),
        row(
            "C5 no address",
            "the name has no address",
            "an error of the name; not tried again",
            named(case(), |_, _| Ok(Vec::new())).expect(
                "Dns/No: GET http://O/x: name not resolved: the name has no address",
                "First Dns",
                "",
            ),
        ),
        row(
            "C5 SERVFAIL",
            "the resolver fails for now (SERVFAIL)",
            "an error of the name; tried again",
            named(case(), |_, _| Err(Failure::new(ErrorKind::Dns, "SERVFAIL"))).expect(
                "Dns/No: GET http://O/x: name not resolved after 3 attempts in T s: SERVFAIL",
                "First Dns, Retry Dns, Retry Dns",
                "",
            ),
        ),
        row(
            "C5 silent",
            "the resolver does not answer in time",
            "a time-out that names the lookup, within the limit of the connection",
            named(limited(|t| t.connect(SHORT)), |_, _| {
                std::thread::sleep(Duration::from_millis(600));
                Ok(Vec::new())
            })
            .expect(
                "Timeout(Resolve)/No: GET http://O/x: timed out: resolving the name",
                "First Timeout(Resolve)",
                "",
            ),
        )
        .within(200),
        row(
            "C5 invalid",
            "a name of the reserved domain `invalid`, by the system's resolver",
            "an error of the name",
            once()
                .send_made(|_| Request::absolute("http://nobody.invalid/x"))
                .nobody_listens()
                .expect(
                    "Dns/No: GET http://nobody.invalid/x: name not resolved: the name is not known",
                    "First Dns",
                    "",
                ),
        ),
    ]
}

/// As many as the process may have.
static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());
const CALLS: usize = 2_000;
/// The server, in the same process, needs some, too.
const CROWD: usize = 40;

fn descriptors() -> Vec<Case> {
    let hold = |_: &duocall::Api, _: &Site| {
        let files = std::iter::from_fn(|| File::open("/dev/null").ok());
        HELD.lock().unwrap().extend(files);
    };
    let release = |_: &duocall::Api, _: &Site| {
        let held = std::mem::take(&mut *HELD.lock().unwrap());
        assert!(held.iter().all(|file| file.metadata().is_ok()), "nobody has closed one of ours");
    };
    vec![
        row(
            "C8",
            "no descriptor is left (EMFILE)",
            "an error of the machine's; no foreign descriptor is touched; the next call is served",
            once().then(hold).send(get()).send(post()).then(release).send(get()).reply(ok("a")).expect(
                "Resource/No: GET http://H/x: out of resources: no file descriptor is left | \
                 Resource/No: POST http://H/x: out of resources: no file descriptor is left | 200 a",
                "First Resource | First Resource | First 200",
                "GET /x",
            ),
        )
        .with_descriptors(64),
        row(
            "C8 name",
            "no descriptor is left, and a name to be looked up",
            "an error of the machine's, not of the name",
            once()
                .send(get())
                .then(hold)
                .send_made(|_| Request::absolute("http://nobody.invalid/x"))
                .then(release)
                .reply(ok("a"))
                .expect(
                    "200 a | Resource/No: GET http://nobody.invalid/x: out of resources: no file \
                     descriptor is left",
                    "First 200 | First Resource",
                    "GET /x",
                ),
        )
        .with_descriptors(64),
        row(
            "C8 many",
            "2,000 calls, 40 at a time, where 64 descriptors may be open for both ends",
            "each call is served or has an error of the machine's; the next call is served",
            once()
                .api(|api| api.retry(duocall::Retry::none()).concurrency(CROWD))
                .own(MANY)
                .reply(http(204).header("connection", "close"))
                .loose()
                .expect("2000 calls | 204 or Resource | 204", "", ""),
        )
        .with_descriptors(64)
        .within(20_000),
    ]
}

const MANY: Own = Own {
    blocking: |client, _| {
        let many = client.batch(vec![get(); CALLS]).concurrency(CROWD).gather();
        counted(many, client.send(get()))
    },
    pool: |client, _| {
        let many = client.batch(vec![get(); CALLS]).concurrency(CROWD).gather();
        counted(many, client.send(get()).wait())
    },
    task: many,
};

fn many(client: nonblocking::Client, _: Arc<Site>) -> Saying {
    Box::pin(async move {
        let many = client.batch(vec![get(); CALLS]).concurrency(CROWD).gather().await;
        let after = client.send(get()).await;
        counted(many, after)
    })
}

fn counted(many: Vec<Result<Response, Error>>, after: Result<Response, Error>) -> Vec<Said> {
    let calls = Said::Text(format!("{} calls", many.len()));
    let mut errors = many.into_iter().filter_map(Result::err);
    let other = errors.find(|error: &Error| error.kind() != ErrorKind::Resource);
    let fine = other.map_or_else(|| "204 or Resource".to_owned(), |error| error.to_string());
    let fine = Said::Text(fine);
    vec![calls, fine, Said::response(after)]
}
