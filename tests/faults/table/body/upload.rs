//! The body of a request: a server that does not want it all, and a caller that does not have it all.

use std::io::{self, Read};
use std::time::Duration;

use duocall::{Body, Request};

use super::get;
use crate::faults::case::{Case, once, row};
use crate::parity::scenario::{Scenario, ok};
use crate::support::Act;

pub fn cases() -> Vec<Case> {
    let mut cases = early();
    cases.extend(readers());
    cases
}

/// The server reads a little of 10 MB, says no, and then does this.
fn refused(id: &'static str, what: &'static str, status: &str, then: Vec<Act>) -> Case {
    let response = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    let start = vec![Act::Read(10_000), Act::Write(response.into_bytes())];
    let calls = once()
        .send(Request::post("x").body(vec![b'x'; 10 << 20]))
        .send(get())
        .accepts([start, then].concat())
        .reply(ok("a"))
        .connections(2);
    row(id, what, "gives that answer; the connection is closed", calls)
}

fn early() -> Vec<Case> {
    let expect = |mut case: Case, results, traces| {
        case.scenario = case.scenario.expect(results, traces, "GET /x");
        case
    };
    let large = "413 Too Large";
    let yes = "Status/Yes: POST http://H/x: 413 Payload Too Large: the body of the request is too large | 200 a";
    let met = "First 413 | First 200";
    let wait = Act::Pause(Duration::from_secs(4));
    let soon = Act::Pause(Duration::from_millis(300));
    vec![
        expect(
            refused(
                "B20 reads on",
                "413 while a body is sent; the server reads on",
                large,
                vec![soon.clone(), Act::Read(u64::MAX)],
            ),
            yes,
            met,
        ),
        expect(
            refused(
                "B20 stops",
                "413 while a body is sent; the server reads no more",
                large,
                vec![wait.clone(), Act::Reset],
            ),
            yes,
            met,
        )
        .within(2000),
        expect(
            refused(
                "B20 closes",
                "413 while a body is sent; the server closes",
                large,
                vec![soon.clone(), Act::Close],
            ),
            yes,
            met,
        ),
        expect(
            refused(
                "B20 half",
                "413 while a body is sent; the server closes its half",
                large,
                vec![Act::HalfClose, wait, Act::Reset],
            ),
            yes,
            met,
        )
        .within(2000),
        expect(
            refused(
                "B20 401",
                "401 while a body is sent; the server reads on",
                "401 Who",
                vec![soon.clone(), Act::Read(u64::MAX)],
            ),
            "Status/Yes: POST http://H/x: 401 Unauthorized: the credential is missing or not valid | 200 a",
            "First 401 | First 200",
        ),
        row(
            "B20 RST",
            "a reset while a body is sent",
            "an error that does not know how much of it arrived",
            once()
                .send(Request::post("x").body(vec![b'x'; 10 << 20]))
                .send(get())
                .accepts(vec![Act::Read(10_000), Act::Reset])
                .reply(ok("a"))
                .connections(2)
                .expect(
                    "Closed/Maybe: POST http://H/x: no response: connection reset | 200 a",
                    "First Closed | First 200",
                    "GET /x",
                ),
        ),
    ]
}

/// Gives some bytes, and then does something else.
struct Odd {
    left: usize,
    then: fn() -> io::Result<usize>,
}

impl Read for Odd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return (self.then)();
        }
        let read = self.left.min(buffer.len());
        buffer[..read].fill(b'x');
        self.left -= read;
        Ok(read)
    }
}

const SOME: usize = 200_000;

fn fails() -> Odd {
    Odd { left: SOME, then: || Err(io::ErrorKind::PermissionDenied.into()) }
}

fn panics() -> Odd {
    Odd { left: SOME, then: || panic!("on purpose") }
}

fn ends() -> Odd {
    Odd { left: SOME, then: || Ok(0) }
}

fn readers() -> Vec<Case> {
    let put = |calls: Scenario| calls.send(get()).reply(ok("a")).connections(2);
    let we = "an error; the request is never completed, its connection is closed";
    let result = |detail| format!("Body/Maybe: PUT http://H/x: body not sent: {detail} | 200 a");
    let met = "First Body | First 200";
    vec![
        row(
            "B22 error",
            "the reader of a chunked body fails",
            we,
            put(once().send_made(|_| Request::put("x").body(Body::reader(fails())))).expect(
                result("it could not be read"),
                met,
                "GET /x",
            ),
        ),
        row(
            "B22 error, sized",
            "the reader of a body with a length fails",
            we,
            put(once().send_made(|_| Request::put("x").body(Body::sized_reader(fails(), 1 << 20))))
                .expect(result("it could not be read"), met, "GET /x"),
        ),
        row(
            "B22 short",
            "a reader gives less than was said",
            we,
            put(once().send_made(|_| {
                Request::put("x").body(Body::sized_reader(ends(), SOME as u64 + 1))
            }))
            .expect(result("it is shorter than its length"), met, "GET /x"),
        ),
        row(
            "B22 long",
            "a reader gives far more than was said",
            we,
            put(once().send_made(|_| Request::put("x").body(Body::sized_reader(ends(), 100_003))))
                .expect(result("it is longer than its length"), met, "GET /x"),
        ),
        row(
            "B22 panic",
            "a reader panics",
            "an error, the same in every way of running; the request is never completed",
            put(once().send_made(|_| Request::put("x").body(Body::reader(panics())))).expect(
                "Panicked/Maybe: PUT http://H/x: panicked: the reader of the body | 200 a",
                "First Panicked | First 200",
                "GET /x",
            ),
        ),
    ]
}
