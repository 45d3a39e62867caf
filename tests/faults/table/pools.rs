//! P: connections that wait for their next request.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use duocall::{Error, Request, Response};

use crate::faults::caller::{Caller, own};
use crate::faults::case::{Case, case, once, row};
use crate::parity::outcome::Said;
use crate::parity::scenario::Fault::{Close, Reset};
use crate::parity::scenario::{Reply, Scenario, ok};
use crate::parity::site::Site;
use crate::support::{self, Act, Server};

pub fn cases() -> Vec<Case> {
    let mut cases = closed();
    cases.extend(dying());
    cases.extend(half_closed());
    cases.extend(stray());
    cases.extend(given_up());
    cases
}

pub fn get() -> Request {
    Request::get("x")
}

fn whole(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A whole response, and then this.
fn and_then(body: &str, acts: Vec<Act>) -> Reply {
    Reply::Raw([vec![Act::Write(whole(body))], acts].concat())
}

fn settle(_: &duocall::Api, site: &Site) {
    site.settle();
}

/// What was written after a response has come.
fn played(_: &duocall::Api, site: &Site) {
    site.wait_played();
}

fn closed() -> Vec<Case> {
    let two = |request: fn() -> Request| {
        once()
            .send(request())
            .then(settle)
            .send(request())
            .reply(and_then("1", vec![Act::Close]))
            .reply(ok("2"))
            .connections(2)
    };
    let we = "seen before it is used: a new connection, and no error";
    vec![
        row(
            "P1",
            "an idle connection is closed by the server",
            we,
            two(get).expect("200 1 | 200 2", "First 200 | First 200", "GET /x | GET /x"),
        ),
        row(
            "P1 POST",
            "the same before a POST",
            we,
            two(|| Request::post("x").body("b")).expect(
                "200 1 | 200 2",
                "First 200 | First 200",
                "POST /x b | POST /x b",
            ),
        ),
    ]
}

fn dying() -> Vec<Case> {
    let two = |request: fn() -> Request, fault: Reply| {
        let calls = once().send(request()).send(request());
        calls.reply(ok("1")).reply(fault).reply(ok("2"))
    };
    let got = |id, what, fault| {
        row(
            id,
            what,
            "one silent resend on a new connection",
            two(get, fault).expect(
                "200 1 | 200 2",
                "First 200 | First Closed~, Resend 200",
                "GET /x | GET /x~ | GET /x",
            ),
        )
    };
    let posted = |id, what, fault, detail: &str| {
        let text = format!("200 1 | Closed/Maybe: POST http://H/x: no response: {detail}");
        row(
            id,
            what,
            "an error that leaves open whether it arrived; not sent again",
            two(|| Request::post("x").body("b"), fault).expect(
                text,
                "First 200 | First Closed~",
                "POST /x b | POST /x~ b",
            ),
        )
    };
    vec![
        got("P2 RST", "a reused connection is reset when it gets a GET", Reset.into()),
        got("P2 FIN", "a reused connection is closed when it gets a GET", Close.into()),
        posted("P2 POST RST", "the same with a POST: reset", Reset.into(), "connection reset"),
        posted(
            "P2 POST FIN",
            "the same with a POST: closed",
            Close.into(),
            "the connection was closed",
        ),
        row(
            "P2 many",
            "each connection is closed when its second request comes, 500 times",
            "each call is served",
            (0..500)
                .fold(case().own(own!(many)), |it, _| it.reply(ok("a")).reply(Close))
                .loose()
                .expect("500 of 500", "", ""),
        )
        // Each of its calls has its own limit.
        .within(30_000),
    ]
}

async fn many(caller: Caller, _: Arc<Site>) -> Vec<Said> {
    let mut good = 0;
    for _ in 0..500 {
        good += usize::from(caller.send(get()).await.is_ok());
    }
    vec![Said::Text(format!("{good} of 500"))]
}

fn half_closed() -> Vec<Case> {
    vec![
        row(
            "P4 output",
            "the server shuts down its output after a response, and goes on reading",
            "a new connection for the next call",
            once()
                .send(get())
                .then(played)
                .send(get())
                .reply(and_then("1", vec![Act::HalfClose]))
                .reply(ok("2"))
                .connections(2)
                .expect("200 1 | 200 2", "First 200 | First 200", "GET /x | GET /x"),
        ),
        row(
            "P4 all",
            "the server ends after a response",
            "the next call is refused",
            once().own(own!(ended)).reply(ok("never")).connections(0).expect(
                "200 | Connect, sent No",
                "",
                "",
            ),
        ),
    ]
}

/// On an address that nobody else has, so that the port stays free.
async fn ended(caller: Caller, _: Arc<Site>) -> Vec<Said> {
    let address = Ipv4Addr::new(127, 0, 0, 77).into();
    let server = Server::bound(address, |_| None, |_| support::Word::usual(), |_| support::ok("a"));
    let request = || Request::absolute(format!("{}x", server.url()));
    let (first, second) = (caller.send(request()).await, request());
    drop(server);
    let text = |said: Result<Response, Error>| {
        Said::Text(match said {
            Ok(response) => response.status().as_str().to_owned(),
            Err(error) => format!("{:?}, sent {:?}", error.kind(), error.sent()),
        })
    };
    vec![text(first), text(caller.send(second).await)]
}

fn stray() -> Vec<Case> {
    let we = "the connection is given up; the next call gets its own answer";
    let late = |bytes: &[u8]| vec![Act::Pause(Duration::from_millis(10)), Act::Write(bytes.into())];
    let two = |id, what, acts| {
        row(
            id,
            what,
            we,
            once()
                .send(Request::get("1"))
                .then(played)
                .send(Request::get("2"))
                .on("/1", and_then("1", acts))
                .on("/2", ok("2"))
                .connections(2)
                .expect("200 1 | 200 2", "First 200 | First 200", "GET /1 | GET /2"),
        )
    };
    vec![
        two("P7 at once", "a second response follows the first", vec![Act::Write(whole("stray"))]),
        two(
            "P7 late",
            "a second response comes while the connection is idle",
            late(&whole("stray")),
        ),
        two(
            "P7 408",
            "a 408 comes while the connection is idle",
            late(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"),
        ),
        two("P7 a byte", "a single byte comes while it is idle", late(b"x")),
        row(
            "P7 just now",
            "a second response is there when the next call begins, at once after the first, 50 times",
            we,
            once().own(own!(just_now)).reply(ok("never")).connections(0).expect(
                "50 own answers",
                "",
                "",
            ),
        ),
    ]
}

/// A server that says when the stray response has left it.
async fn just_now(caller: Caller, _: Arc<Site>) -> Vec<Said> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    let (tell, told) = mpsc::channel();
    let (ask, asked) = mpsc::channel::<()>();
    let serving = thread::spawn(move || {
        while asked.recv().is_ok() {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut request = [0; 4096];
            let read = stream.read(&mut request).expect("a request");
            let path = String::from_utf8_lossy(&request[1..read]);
            let path = path.split(' ').nth(1).expect("a target").to_owned();
            stream.write_all(&whole(&path)).expect("written");
            asked.recv().expect("it has come");
            stream.write_all(&whole("stray")).expect("written");
            tell.send(stream).expect("somebody waits");
        }
    });
    let mut good = 0;
    for n in 0..50 {
        ask.send(()).expect("it serves");
        let path = format!("/{n}");
        match caller.send(Request::absolute(format!("{base}{path}"))).await {
            Ok(response) => good += usize::from(response.bytes() == path.as_bytes()),
            Err(error) => return vec![Said::response(Err(error))],
        }
        ask.send(()).expect("it serves");
        drop(told.recv().expect("it is written"));
    }
    drop(ask);
    serving.join().expect("no panic");
    vec![Said::Text(format!("{good} own answers"))]
}

fn given_up() -> Vec<Case> {
    let next =
        |scenario: Scenario| scenario.on("/1", ok("1")).on("/2", ok("2")).on("/3", ok("3")).loose();
    let drip = Act::Drip { bytes: whole(&"x".repeat(40)), every: Duration::from_micros(300) };
    vec![
        row(
            "P8",
            "a call is given up after its first, second, ... poll, up to its last",
            "its connection is closed; the next three calls get their own answers",
            next(once().api(|api| api.concurrency(2)).own(own!(at_each_poll)))
                .on("/gone", Reply::Raw(vec![drip]))
                .expect("own answers", "", ""),
        )
        .within(15_000),
        row(
            "P9 unread",
            "a response is opened and dropped unread",
            "its connection is closed; the next call gets its own answer",
            next(once().own(own!(unread))).on("/x", ok("x".repeat(100_000))).expect(
                "200 1 | 2 connections",
                "",
                "",
            ),
        ),
        row(
            "P9 half read",
            "a response is dropped half-read",
            "its connection is closed; the next call gets its own answer",
            next(once().own(own!(half_read))).on("/x", ok("x".repeat(1_000_000))).expect(
                "200 1 | 2 connections",
                "",
                "",
            ),
        ),
    ]
}

async fn at_each_poll(caller: Caller, _: Arc<Site>) -> Vec<Said> {
    let mut done = 0;
    for polls in 1..=200 {
        let ended = caller.give_up(Request::get("gone"), polls).await;
        done += usize::from(matches!(ended, Some(Ok(_))));
        for path in ["1", "2", "3"] {
            match caller.send(Request::get(path)).await {
                Ok(response) if response.bytes() == path.as_bytes() => {}
                Ok(response) => return vec![Said::response(Ok(response))],
                Err(error) => return vec![Said::response(Err(error))],
            }
        }
        if done == 3 {
            break;
        }
    }
    vec![Said::Text("own answers".into())]
}

async fn unread(caller: Caller, site: Arc<Site>) -> Vec<Said> {
    dropped(caller, site, 0).await
}

async fn half_read(caller: Caller, site: Arc<Site>) -> Vec<Said> {
    dropped(caller, site, 2).await
}

async fn dropped(caller: Caller, site: Arc<Site>, pieces: usize) -> Vec<Said> {
    if let Err(error) = caller.peek(get(), pieces).await {
        return vec![Said::response(Err(error))];
    }
    let next = Said::response(caller.send(Request::get("1")).await);
    let connections = site.connections().unwrap_or_default();
    vec![next, Said::Text(format!("{connections} connections"))]
}
