//! Where a body ends.

use std::time::Duration;

use duocall::Request;
use duocall::http::Method;

use super::get;
use crate::faults::case::{Case, case, once, row};
use crate::faults::streamed::TO_THE_END;
use crate::faults::table::head::{read, refused};
use crate::parity::scenario::Fault::{Close, Reset};
use crate::parity::scenario::{Fault, Reply, ok, raw, raw_close};
use crate::support::Act;

pub fn cases() -> Vec<Case> {
    let mut cases = cut();
    cases.extend(ends());
    cases.extend(sizes());
    cases.extend(chunks());
    cases.extend(none());
    cases
}

fn cut() -> Vec<Case> {
    let ten = |fault: Fault| ok("0123456789").cut(5, fault);
    let again = |id, what, fault| {
        let calls = case().send(get()).reply(ten(fault)).reply(ok("a"));
        let calls = calls.expect("200 a", "First Truncated, Retry 200", "GET /x | GET /x");
        row(id, what, "an error, and never a short body; tried again", calls)
    };
    let streamed = |id, what, fault, results| {
        let calls = once().own(TO_THE_END).reply(ten(fault));
        let calls = calls.expect(results, "First 200", "GET /x");
        row(id, what, "what came is handed over, then an error; not tried again", calls)
    };
    vec![
        again("B1 FIN", "FIN at half of Content-Length", Close),
        again("B1 RST", "RST at half of Content-Length", Reset),
        row(
            "B1 POST",
            "FIN at half of the response to a POST",
            "an error; not tried again",
            case().send(Request::post("x").body("b")).reply(ten(Close)).expect(
                "Truncated/Yes: POST http://H/x: body truncated: the connection was closed",
                "First Truncated",
                "POST /x b",
            ),
        ),
        streamed(
            "B1 streamed FIN",
            "FIN at half of a body that the caller reads as it comes",
            Close,
            "5 bytes | Truncated/Yes: GET http://H/x: body truncated: the connection was closed",
        ),
        streamed(
            "B1 streamed RST",
            "RST at half of such a body",
            Reset,
            "5 bytes | Truncated/Yes: GET http://H/x: body truncated: connection reset",
        ),
    ]
}

fn read_to_fin(id: &'static str, what: &'static str, response: String) -> Case {
    let calls = once().send(get()).send(get()).reply(raw_close(response));
    let calls = calls.expect("200 hello | 200 hello", "First 200 | First 200", "GET /x | GET /x");
    row(id, what, "is read; the connection is gone", calls)
}

fn ends() -> Vec<Case> {
    vec![
        read(
            "B2",
            "more bytes than Content-Length",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, world",
            false,
        ),
        read(
            "B2 response",
            "a second response behind the body",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother",
            false,
        ),
        read_to_fin(
            "B3 FIN",
            "a body that ends with the connection",
            "HTTP/1.1 200 OK\r\n\r\nhello".to_owned(),
        ),
        row(
            "B3 RST",
            "a body that ends with a reset",
            "an error, for it may have been longer",
            once()
                .send(get())
                .reply(Reply::Raw(vec![
                    Act::Write(b"HTTP/1.1 200 OK\r\n\r\nhello".to_vec()),
                    Act::Pause(Duration::from_millis(30)),
                    Act::Reset,
                ]))
                .expect(
                    "Truncated/Yes: GET http://H/x: body truncated: connection reset",
                    "First Truncated",
                    "GET /x",
                ),
        ),
    ]
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// These chunks, and then the end of the connection.
fn short(id: &'static str, what: &'static str, we: &'static str, chunks: &str) -> Case {
    let calls = once().send(get()).reply(raw_close(format!("{CHUNKED}{chunks}"))).expect(
        "Truncated/Yes: GET http://H/x: body truncated: the connection was closed",
        "First Truncated",
        "GET /x",
    );
    row(id, what, we, calls)
}

fn sizes() -> Vec<Case> {
    let size =
        |id, what, size: &str| refused(id, what, format!("{CHUNKED}{size}\r\nhello\r\n0\r\n\r\n"));
    vec![
        size("B4 overflow", "a chunk of FFFFFFFFFFFFFFFFF bytes", "FFFFFFFFFFFFFFFFF"),
        short(
            "B4 huge",
            "a chunk of 7FFFFFFFFFFFFFFF bytes, of which few come",
            "an error of a short body; the memory stays flat",
            "7FFFFFFFFFFFFFFF\r\nhello",
        )
        .in_mebibytes(8),
        size("B4 -1", "a chunk of -1 bytes", "-1"),
        size("B4 +5", "a chunk of +5 bytes", "+5"),
        size("B4 0x5", "a chunk of 0x5 bytes", "0x5"),
        size("B4 space", "a space before the size", " 5"),
        size("B4 empty", "an empty size", ""),
        size("B4 5;", "an extension without a name", "5;"),
        size("B4 word", "a size in letters", "five"),
        size("B4 wide", "a size of full-width digits", "\u{ff15}"),
        read(
            "B4 extension",
            "an extension with a name and a value",
            format!("{CHUNKED}5;a=b\r\nhello\r\n0;c\r\n\r\n"),
            true,
        ),
        read("B4 zeros", "leading zeros", format!("{CHUNKED}0005\r\nhello\r\n000\r\n\r\n"), true),
    ]
}

fn chunks() -> Vec<Case> {
    let bad = |id, what, chunks: &str| refused(id, what, format!("{CHUNKED}{chunks}"));
    let short = |id, what, chunks| short(id, what, "an error, and never a short body", chunks);
    vec![
        bad("B5 longer", "a chunk longer than its size", "5\r\nhello!!\r\n0\r\n\r\n"),
        bad("B5 shorter", "a chunk shorter than its size", "7\r\nhello\r\n0\r\n\r\n"),
        bad("B5 no CRLF", "no CRLF behind a chunk", "5\r\nhello0\r\n\r\n"),
        bad("B5 bare LF size", "LF alone behind a size", "5\nhello\r\n0\r\n\r\n"),
        bad("B5 bare LF data", "LF alone behind a chunk", "5\r\nhello\n0\r\n\r\n"),
        short("B5 EOF in data", "the end within a chunk", "5\r\nhe"),
        short("B5 EOF in size", "the end within a size", "5\r\nhello\r\n1"),
        short("B5 EOF", "the end before the last chunk", "5\r\nhello\r\n"),
        read_to_fin(
            "B5 EOF after 0",
            "the end behind `0` CRLF",
            format!("{CHUNKED}5\r\nhello\r\n0\r\n"),
        ),
        short("B5 EOF in trailer", "the end within a trailer", "5\r\nhello\r\n0\r\nX-Checksum: "),
        short("B5 EOF in name", "the end within its name", "5\r\nhello\r\n0\r\nX-Che"),
        short("B5 EOF in CRLF", "the end within the last CRLF", "5\r\nhello\r\n0\r\n\r"),
        read(
            "B5 trailers",
            "trailers",
            format!("{CHUNKED}5\r\nhello\r\n0\r\nX-Checksum: 1\r\nX-Other: 2\r\n\r\n"),
            true,
        ),
        bad("B5 bad trailer", "a trailer that is no field", "5\r\nhello\r\n0\r\nno field\r\n\r\n"),
        read(
            "B5 stray",
            "a byte behind the last chunk",
            format!("{CHUNKED}5\r\nhello\r\n0\r\n\r\nx"),
            false,
        ),
    ]
}

fn none() -> Vec<Case> {
    let bodiless = |id: &'static str, what, request: Request, response: &str| {
        let method = if id.contains("HEAD") { "HEAD" } else { "GET" };
        let status = &response[..3];
        // What comes behind the head would be taken for the next response.
        let (tilde, we) = match response.ends_with("\r\n\r\n") {
            true => ("~", "no body is waited for; the connection serves again"),
            false => ("", "no body is waited for; the connection is closed"),
        };
        let calls = once().send(request).send(get()).reply(raw(format!("HTTP/1.1 {response}")));
        let calls = calls.reply(ok("a")).expect(
            format!("{status} | 200 a"),
            format!("First {status} | First 200{tilde}"),
            format!("{method} /x | GET /x{tilde}"),
        );
        row(id, what, we, calls)
    };
    let head = || Request::head("x");
    let modified = || get().accept(304);
    vec![
        bodiless("B19 204", "204", get(), "204 None\r\n\r\n"),
        bodiless("B19 204 body", "204 with a body", get(), "204 None\r\n\r\nhello"),
        bodiless(
            "B19 204 length",
            "204 with a Content-Length and a body",
            get(),
            "204 None\r\nContent-Length: 5\r\n\r\nhello",
        ),
        bodiless(
            "B19 204 length alone",
            "204 with a Content-Length and no body",
            get(),
            "204 None\r\nContent-Length: 5\r\n\r\n",
        ),
        bodiless(
            "B19 304",
            "304 with a Content-Length and no body",
            modified(),
            "304 Same\r\nContent-Length: 5\r\n\r\n",
        ),
        bodiless(
            "B19 304 body",
            "304 with a Content-Length and a body",
            modified(),
            "304 Same\r\nContent-Length: 5\r\n\r\nhello",
        ),
        bodiless(
            "B19 205",
            "205 with a Content-Length of 0",
            get(),
            "205 Reset\r\nContent-Length: 0\r\n\r\n",
        ),
        bodiless(
            "B19 HEAD",
            "HEAD with a Content-Length",
            head(),
            "200 OK\r\nContent-Length: 5\r\n\r\n",
        ),
        bodiless(
            "B19 HEAD body",
            "HEAD with a Content-Length and a body",
            head(),
            "200 OK\r\nContent-Length: 5\r\n\r\nhello",
        ),
        bodiless(
            "B19 HEAD chunked",
            "HEAD with Transfer-Encoding and no body",
            head(),
            "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        row(
            "B19 CONNECT",
            "CONNECT, which makes a tunnel",
            "refused before anything is sent",
            case().send(Request::new(Method::CONNECT, "x")).reply(ok("a")).connections(0).expect(
                "Request/No: invalid request: method CONNECT opens a tunnel and is not a call",
                "",
                "",
            ),
        ),
    ]
}
