//! How long a body may take, and how large it may be.

use std::io::Write as _;
use std::time::Duration;

use duocall::Request;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::get;
use crate::faults::case::{Case, limited, once, row};
use crate::faults::streamed::TO_THE_END;
use crate::parity::scenario::Fault::Silence;
use crate::parity::scenario::{Reply, Scenario, http, ok};
use crate::support::Act;

const SHORT: Duration = Duration::from_millis(200);

pub fn cases() -> Vec<Case> {
    let mut cases = slow();
    cases.extend(endless());
    cases.extend(bombs());
    cases
}

fn slow() -> Vec<Case> {
    let drip = || {
        let (bytes, every) = (b"a".repeat(1000), Duration::from_millis(20));
        let start = Act::Write(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n".to_vec());
        Reply::Raw(vec![start, Act::Drip { bytes, every }, Act::Stall])
    };
    let result = "Timeout(Body)/Yes: GET http://H/x: timed out: reading the body";
    vec![
        row(
            "B8",
            "a body stops after some bytes",
            "a time-out of the body",
            limited(|t| t.idle(SHORT)).send(get()).reply(ok("0123456789").cut(4, Silence)).expect(
                result,
                "First Timeout(Body)",
                "GET /x",
            ),
        )
        .within(200),
        row(
            "B8 streamed",
            "the same with a body that the caller reads as it comes",
            "what came is handed over, then the time-out",
            limited(|t| t.idle(SHORT))
                .own(TO_THE_END)
                .reply(ok("0123456789").cut(4, Silence))
                .expect(
                    "4 bytes | Timeout(Body)/Yes: GET http://H/x: timed out: reading the body",
                    "First 200",
                    "GET /x",
                ),
        )
        .within(200),
        row(
            "B9",
            "a body comes byte by byte, for ever",
            "the limit of the attempt ends it",
            limited(|t| t.attempt(SHORT)).send(get()).reply(drip()).expect(
                "Timeout(Attempt)/Yes: GET http://H/x: timed out: the attempt",
                "First Timeout(Attempt)",
                "GET /x",
            ),
        )
        .within(200),
        row(
            "B9 total",
            "the same, with no limit but that of the call",
            "that limit ends it",
            limited(|t| t.attempt(Duration::MAX).total(SHORT)).send(get()).reply(drip()).expect(
                "Timeout(Total)/Yes: GET http://H/x: timed out: the call",
                "First Timeout(Total)",
                "GET /x",
            ),
        )
        .within(200),
        row(
            "B9 streamed",
            "the same with a body that the caller reads as it comes",
            "the limit of the call ends it",
            limited(|t| t.total(SHORT)).own(STATUS_AND_END).reply(drip()).expect(
                "Timeout(Total)/Yes: GET http://H/x: timed out: the call",
                "First 200",
                "GET /x",
            ),
        )
        .within(200),
    ]
}

/// How many bytes came is a matter of chance.
const STATUS_AND_END: crate::parity::scenario::Own = crate::parity::scenario::Own {
    blocking: |client, site| (TO_THE_END.blocking)(client, site).split_off(1),
    pool: |client, site| (TO_THE_END.pool)(client, site).split_off(1),
    task: |client, site| {
        Box::pin(async move { (TO_THE_END.task)(client, site).await.split_off(1) })
    },
};

fn at_most_1_mib() -> Scenario {
    once().api(|api| api.retry(duocall::Retry::none()).max_body(1 << 20))
}

const TOO_LARGE: &str = "BodyTooLarge/Yes: GET http://H/x: body too large: more than 1048576 bytes";
const WE: &str = "an error at the limit; the connection is closed, the memory stays flat";

/// A head, and then these bytes over and over.
fn flood(head: &str, bytes: Vec<u8>) -> Reply {
    // Some of it comes with the head: what has yet to come nobody can see.
    let first = [head.as_bytes(), &bytes].concat();
    Reply::Raw(vec![Act::Write(first), Act::Flood(bytes)])
}

fn endless() -> Vec<Case> {
    let zeros = || vec![0; 64 << 10];
    let chunk = || [&b"10000\r\n"[..], &zeros(), b"\r\n"].concat();
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let large = |id, what, reply: Reply| {
        let calls = at_most_1_mib().send(get()).reply(reply);
        row(id, what, WE, calls.expect(TOO_LARGE, "First BodyTooLarge", "GET /x")).in_mebibytes(8)
    };
    vec![
        large("B10", "a body without end", flood("HTTP/1.1 200 OK\r\n\r\n", zeros())),
        large("B10 chunked", "chunks without end", flood(chunked, chunk())),
        large(
            "B10 length",
            "a Content-Length of 1 TB",
            flood("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n", zeros()),
        ),
        row(
            "B10 streamed",
            "a body without end that the caller reads as it comes",
            "the limit holds there, too",
            at_most_1_mib().own(STATUS_AND_END).reply(flood(chunked, chunk())).expect(
                TOO_LARGE,
                "First 200",
                "GET /x",
            ),
        )
        .in_mebibytes(8),
        row(
            "B10 error",
            "the body of an error without end",
            "the status; 8 KiB are kept as evidence",
            at_most_1_mib()
                .send(get())
                .reply(flood("HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n", chunk()))
                .expect(
                    "Status/Yes: GET http://H/x: 400 Bad Request: the server could not understand the \
                     request [(8192 bytes)]",
                    "First 400",
                    "GET /x",
                ),
        )
        .in_mebibytes(8),
    ]
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// One member of 256 KiB of zeros; flooded, they are a body without end.
fn bomb() -> Vec<u8> {
    gzip(&vec![0; 256 << 10])
}

fn bombs() -> Vec<Case> {
    let coded = |status: &str, coding: &str| {
        format!("HTTP/1.1 {status} Bomb\r\nContent-Encoding: {coding}\r\n")
    };
    let gzipped = |status| coded(status, "gzip") + "\r\n";
    let many = vec!["gzip"; 100].join(", ");
    let nested = gzip(&bomb().repeat(1000));
    let first = |calls: Scenario, reply: Reply| calls.reply(reply).reply(ok("a"));
    vec![
        row(
            "B12",
            "a small gzip body that decodes to one without end",
            WE,
            at_most_1_mib().send(get()).reply(flood(&gzipped("200"), bomb())).expect(
                TOO_LARGE,
                "First BodyTooLarge",
                "GET /x",
            ),
        )
        .in_mebibytes(24),
        row(
            "B12 nested",
            "gzip in gzip, which decodes to as much in two steps",
            "the limit holds between the codings, too",
            at_most_1_mib()
                .send(get())
                .reply(flood(&(coded("200", "gzip, gzip") + "\r\n"), nested))
                .expect(TOO_LARGE, "First BodyTooLarge", "GET /x"),
        )
        .in_mebibytes(24),
        row(
            "B12 100 codings",
            "gzip named a hundred times",
            "refused unread: four are the most",
            at_most_1_mib().send(get()).reply(flood(&(coded("200", &many) + "\r\n"), bomb())).expect(
                "Decode/Yes: GET http://H/x: body not readable: too many codings one upon another",
                "First Decode",
                "GET /x",
            ),
        )
        .in_mebibytes(24),
        row(
            "B12 redirect",
            "such a body in a redirect",
            "it is not decoded; the redirect is followed",
            first(
                at_most_1_mib().send(get()),
                flood(&(coded("302", "gzip") + "Location: /y\r\n\r\n"), bomb()),
            )
            .expect("200 a @http://H/y", "First 302, Redirect 200", "GET /x | GET /y"),
        )
        .in_mebibytes(24),
        row(
            "B12 error",
            "such a body in an error",
            "the status; 8 KiB are kept as evidence",
            at_most_1_mib().send(get()).reply(flood(&gzipped("404"), bomb())).expect(
                "Status/Yes: GET http://H/x: 404 Not Found: there is no such resource [(8192 bytes)]",
                "First 404",
                "GET /x",
            ),
        )
        .in_mebibytes(24),
        row(
            "B12 304",
            "such a body behind a 304",
            "it is not read; the connection is closed",
            first(at_most_1_mib().send(get().accept(304)).send(get()), flood(&gzipped("304"), bomb()))
                .expect("304 | 200 a", "First 304 | First 200", "GET /x | GET /x"),
        )
        .in_mebibytes(24),
        row(
            "B12 HEAD",
            "such a body behind the answer to HEAD",
            "it is not read; the connection is closed",
            first(at_most_1_mib().send(Request::head("x")).send(get()), flood(&gzipped("200"), bomb()))
                .expect("200 | 200 a", "First 200 | First 200", "HEAD /x | GET /x"),
        )
        .in_mebibytes(24),
        row(
            "B12 retry",
            "such a body in a 503, which is tried again",
            "it is not decoded beyond the evidence",
            {
                let calls = crate::faults::case::case().api(|api| api.max_body(1 << 20)).send(get());
                let calls = calls.reply(flood(&gzipped("503"), bomb())).reply(http(200).body("a"));
                calls.expect("200 a", "First 503, Retry 200", "GET /x | GET /x")
            },
        )
        .in_mebibytes(24),
    ]
}
