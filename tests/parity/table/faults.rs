//! What the network and a broken server do.

use std::time::Duration;

use duocall::{Request, Retry, Timeouts};

use crate::parity::scenario::Fault::{Close, Reset, Silence};
use crate::parity::scenario::{Reply, Scenario, case, http, ok, raw, raw_close};
use crate::support::Act;

pub fn rows() -> Vec<Scenario> {
    let mut rows = connections();
    rows.extend(stale());
    rows.extend(bodies());
    rows.extend(timeouts());
    rows.extend(heads());
    rows
}

/// One attempt, so that the fault itself is seen.
fn once(name: &'static str) -> Scenario {
    case(name).api(|api| api.retry(Retry::none()))
}

fn get() -> Request {
    Request::get("x")
}

fn connections() -> Vec<Scenario> {
    vec![
        case("nobody listens").send(get()).nobody_listens().connections(0).expect(
            "Connect/No: GET http://H/x: could not connect after 3 attempts in T s: connection refused",
            "First Connect, Retry Connect, Retry Connect",
            "",
        ),
        case("nobody listens, and a post is safe to repeat")
            .send(Request::post("x").body("b"))
            .nobody_listens()
            .connections(0)
            .expect(
                "Connect/No: POST http://H/x: could not connect after 3 attempts in T s: connection refused",
                "First Connect, Retry Connect, Retry Connect",
                "",
            ),
        once("closed before the response").send(get()).reply(Close).expect(
            "Closed/Maybe: GET http://H/x: no response: the connection was closed",
            "First Closed",
            "GET /x",
        ),
        once("reset before the response").send(get()).reply(Reset).expect(
            "Closed/Maybe: GET http://H/x: no response: connection reset",
            "First Closed",
            "GET /x",
        ),
        once("closed in the middle of the head").send(get()).reply(raw_close("HTTP/1.1 200 O")).expect(
            "Closed/Yes: GET http://H/x: no response: the connection was closed",
            "First Closed",
            "GET /x",
        ),
        case("accepted and closed")
            .send(get())
            .accepts(vec![Act::Close])
            .reply(ok("a"))
            .connections(2)
            .expect("200 a", "First Closed, Retry 200", "GET /x"),
        case("a post of which a part was read is not sent again")
            .send(Request::post("x").body(vec![b'x'; 8 << 20]))
            .accepts(vec![Act::Read(100_000), Act::Reset])
            .reply(ok("never"))
            .connections(1)
            .expect(
                "Closed/Maybe: POST http://H/x: no response: connection reset",
                "First Closed",
                "",
            ),
        case("closed, and then well").send(get()).reply(Close).reply(ok("a")).expect(
            "200 a",
            "First Closed, Retry 200",
            "GET /x | GET /x",
        ),
        case("a post is not sent again").send(Request::post("x").body("b")).reply(Close).expect(
            "Closed/Maybe: POST http://H/x: no response: the connection was closed",
            "First Closed",
            "POST /x b",
        ),
        case("a post with a key is")
            .send(Request::post("x").body("b").idempotency_key("k1"))
            .reply(Reset)
            .reply(ok("a"))
            .show(&["idempotency-key"])
            .expect(
                "200 a",
                "First Closed, Retry 200",
                "POST /x {idempotency-key: k1} b | POST /x {idempotency-key: k1} b",
            ),
    ]
}

fn stale() -> Vec<Scenario> {
    let served_and_closed = || Reply::Raw(vec![crate::support::ok("a").remove(0), Act::Close]);
    vec![
        case("an idle connection that the server closed is not used")
            .send(get())
            .then(|_, site| site.settle())
            .send(Request::post("y"))
            .reply(served_and_closed())
            .reply(ok("b"))
            .expect("200 a | 200 b", "First 200 | First 200", "GET /x | POST /y"),
        case("a reused connection that dies is replaced, free of charge")
            .api(|api| api.retry(Retry::none()))
            .send(get())
            .send(get())
            .reply(ok("a"))
            .reply(Close)
            .reply(ok("b"))
            .only_bytes()
            .expect(
                "200 a | 200 b",
                "First 200 | First Closed~, Resend 200",
                "GET /x | GET /x~ | GET /x",
            ),
        case("a reused connection that is reset is replaced as well")
            .api(|api| api.retry(Retry::none()))
            .send(get())
            .send(Request::put("x").body("b"))
            .reply(ok("a"))
            .reply(Reset)
            .reply(ok("b"))
            .only_bytes()
            .expect(
                "200 a | 200 b",
                "First 200 | First Closed~, Resend 200",
                "GET /x | PUT /x~ b | PUT /x b",
            ),
        case("a post on a connection that dies is not sent again")
            .send(get())
            .send(Request::post("x").body("b"))
            .reply(ok("a"))
            .reply(Close)
            .only_bytes()
            .expect(
                "200 a | Closed/Maybe: POST http://H/x: no response: the connection was closed",
                "First 200 | First Closed~",
                "GET /x | POST /x~ b",
            ),
        once("a resend is free once")
            .send(get())
            .send(get())
            .reply(ok("a"))
            .reply(Close)
            .only_bytes()
            .expect(
                "200 a | Closed/Maybe: GET http://H/x: no response: the connection was closed",
                "First 200 | First Closed~, Resend Closed",
                "GET /x | GET /x~ | GET /x",
            ),
    ]
}

fn bodies() -> Vec<Scenario> {
    let ten = || ok("0123456789");
    let cut = |name, reply: Reply, how| {
        let error = format!("Truncated/Yes: GET http://H/x: body truncated: {how}");
        once(name).send(get()).reply(reply).expect(error, "First Truncated", "GET /x")
    };
    let chunks = |chunks| {
        raw_close(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"))
    };
    let (closed, reset) = ("the connection was closed", "connection reset");
    let pause = Act::Pause(Duration::from_millis(30));
    let start = Act::Write(b"HTTP/1.1 200 OK\r\n\r\nab".to_vec());
    vec![
        cut("closed in the middle of the body", ten().cut(4, Close), closed),
        cut("reset in the middle of the body", ten().cut(4, Reset), reset),
        case("a truncated body is retried")
            .send(get())
            .reply(ten().cut(4, Close))
            .reply(ten())
            .expect("200 0123456789", "First Truncated, Retry 200", "GET /x | GET /x"),
        cut("closed in the middle of a chunk", chunks("5\r\nab"), closed),
        cut("closed before the last chunk", chunks("2\r\nab\r\n"), closed),
        cut("a reset is not the end of a body", Reply::Raw(vec![start, pause, Act::Reset]), reset),
        once("garbage for a chunk").send(get()).reply(chunks("zz\r\nab\r\n")).expect(
            "Protocol/Yes: GET http://H/x: broken response: not valid HTTP/1.1",
            "First Protocol",
            "GET /x",
        ),
        once("a chunk larger than any")
            .send(get())
            .reply(chunks("FFFFFFFFFFFFFFFFF\r\nab"))
            .expect(
                "Protocol/Yes: GET http://H/x: broken response: not valid HTTP/1.1",
                "First Protocol",
                "GET /x",
            ),
    ]
}

const SHORT: Duration = Duration::from_millis(150);

fn limited(name: &'static str, set: fn(Timeouts) -> Timeouts) -> Scenario {
    case(name).api(move |api| api.retry(Retry::none()).timeouts(set(Timeouts::default())))
}

fn drip(bytes: &str, rest: &str) -> Reply {
    let every = Duration::from_millis(20);
    let drip = Act::Drip { bytes: rest.as_bytes().to_vec(), every };
    Reply::Raw(vec![Act::Write(bytes.as_bytes().to_vec()), drip, Act::Stall])
}

fn timeouts() -> Vec<Scenario> {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    let slow = &"ab".repeat(100);
    vec![
        limited("no head", |t| t.head(SHORT)).send(get()).reply(Silence).expect(
            "Timeout(Head)/Yes: GET http://H/x: timed out: waiting for the response",
            "First Timeout(Head)",
            "GET /x",
        ),
        case("no head is retried")
            .api(|api| api.timeouts(Timeouts::default().head(SHORT)))
            .send(get())
            .reply(Silence)
            .reply(ok("a"))
            .expect("200 a", "First Timeout(Head), Retry 200", "GET /x | GET /x"),
        case("no head for a post is not")
            .api(|api| api.timeouts(Timeouts::default().head(SHORT)))
            .send(Request::post("x").body("b"))
            .reply(Silence)
            .expect(
                "Timeout(Head)/Yes: POST http://H/x: timed out: waiting for the response",
                "First Timeout(Head)",
                "POST /x b",
            ),
        limited("a head in drips", |t| t.head(SHORT))
            .send(get())
            .reply(drip("HTTP/1.1 200 OK\r\nX: ", slow))
            .expect(
                "Timeout(Head)/Yes: GET http://H/x: timed out: waiting for the response",
                "First Timeout(Head)",
                "GET /x",
            ),
        limited("a body that stops", |t| t.idle(SHORT))
            .send(get())
            .reply(ok("0123456789").cut(4, Silence))
            .expect(
                "Timeout(Body)/Yes: GET http://H/x: timed out: reading the body",
                "First Timeout(Body)",
                "GET /x",
            ),
        limited("a body in drips", |t| t.idle(Duration::from_secs(5)).attempt(SHORT * 2))
            .send(get())
            .reply(drip(head, slow))
            .expect(
                "Timeout(Attempt)/Yes: GET http://H/x: timed out: the attempt",
                "First Timeout(Attempt)",
                "GET /x",
            ),
        limited("a call that takes too long", |t| t.total(SHORT))
            .send(get())
            .reply(Silence)
            .expect(
                "Timeout(Total)/Yes: GET http://H/x: timed out: the call",
                "First Timeout(Total)",
                "GET /x",
            ),
        case("a request's own limit").send(get().timeout(SHORT)).reply(Silence).expect(
            "Timeout(Total)/Yes: GET http://H/x: timed out: the call",
            "First Timeout(Total)",
            "GET /x",
        ),
        limited("pauses within the limits", |t| t.head(SHORT * 10).idle(SHORT * 10))
            .send(get())
            .reply(ok("a").after(60))
            .expect("200 a", "First 200", "GET /x"),
        limited("limits for ever", |t| {
            let ever = Duration::MAX;
            t.queue(ever).connect(ever).head(ever).idle(ever).attempt(ever).total(ever)
        })
        .send(get().timeout(Duration::MAX))
        .reply(ok("a"))
        .expect("200 a", "First 200", "GET /x"),
    ]
}

fn heads() -> Vec<Scenario> {
    let protocol = |name, head: &str| {
        once(name).send(get()).reply(raw_close(head)).expect(
            "Protocol/Yes: GET http://H/x: broken response: not valid HTTP/1.1",
            "First Protocol",
            "GET /x",
        )
    };
    let large = |name, head: String| {
        once(name).send(get()).reply(raw_close(head)).expect(
            "HeadTooLarge/Yes: GET http://H/x: response head above 64 KiB or 100 fields",
            "First HeadTooLarge",
            "GET /x",
        )
    };
    let fields = |count: usize| -> String {
        let fields: String = (0..count).map(|n| format!("X-{n}: a\r\n")).collect();
        format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 1\r\n\r\na")
    };
    let long = "a".repeat(80_000);
    vec![
        protocol("no http at all", "SSH-2.0-OpenSSH_9.9\r\n\r\n"),
        protocol("a status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"),
        protocol("a status in letters", "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n"),
        protocol("another version", "HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n"),
        protocol("a field without a colon", "HTTP/1.1 200 OK\r\nabc\r\nContent-Length: 0\r\n\r\n"),
        protocol("a NUL in a field", "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n"),
        protocol(
            "two lengths that differ",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        ),
        protocol("a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nab"),
        protocol("a length with a sign", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab"),
        protocol(
            "a length beyond 64 bits",
            "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\nab",
        ),
        once("equal lengths are one")
            .send(get())
            .reply(raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab"))
            .expect("200 ab", "First 200", "GET /x"),
        once("no reason phrase")
            .send(get())
            .reply(raw("HTTP/1.1 520 \r\nContent-Length: 0\r\n\r\n"))
            .expect("Status/Yes: GET http://H/x: 520", "First 520", "GET /x"),
        large("a field too long", format!("HTTP/1.1 200 OK\r\nX: {long}\r\n\r\n")),
        large("a head without an end", format!("HTTP/1.1 200 {}\r\n", "a".repeat(200_000))),
        large("too many fields", fields(1000)),
        once("many fields").send(get()).reply(raw(fields(99))).expect("200 a", "First 200", "GET /x"),
        once("bytes above ASCII in a field")
            .send(get())
            .reply(raw(b"HTTP/1.1 200 OK\r\nX-A: caf\xe9\r\nContent-Length: 1\r\n\r\na"))
            .tell(&["x-a"])
            .expect("200 a", "First 200", "GET /x"),
        once("a final response while the body is still sent")
            .send(Request::post("x").body(vec![b'x'; 4 << 20]))
            .reply(http(413))
            .expect(
                "Status/Yes: POST http://H/x: 413 Payload Too Large: the body of the request is too large",
                "First 413",
                "POST /x (4194304 bytes)",
            ),
    ]
}
