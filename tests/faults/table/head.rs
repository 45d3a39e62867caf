//! H: the head of a response.

use std::time::Duration;

use duocall::{Request, Response};

use crate::faults::case::{Case, case, limited, once, row};
use crate::parity::scenario::Fault::{Close, Reset, Silence};
use crate::parity::scenario::{Reply, Value, ok, raw, raw_close};
use crate::support::Act;

const SHORT: Duration = Duration::from_millis(200);

pub fn cases() -> Vec<Case> {
    let mut cases = silence();
    cases.extend(closed());
    cases.extend(large());
    cases.extend(interim());
    cases.extend(statuses());
    cases.extend(syntax());
    cases.extend(values());
    cases.extend(lengths());
    cases.extend(codings());
    cases
}

fn get() -> Request {
    Request::get("x")
}

fn post() -> Request {
    Request::post("x").body("b")
}

fn silence() -> Vec<Case> {
    let patient = |request: Request| {
        case().api(|api| api.timeouts(duocall::Timeouts::default().head(SHORT))).send(request)
    };
    let drip = || {
        let (bytes, every) = (b"a".repeat(1000), Duration::from_millis(20));
        let start = Act::Write(b"HTTP/1.1 200 OK\r\nX: ".to_vec());
        Reply::Raw(vec![start, Act::Drip { bytes, every }, Act::Stall])
    };
    vec![
        row(
            "H1",
            "the request is read and never answered",
            "a time-out of the head; tried again",
            patient(get()).reply(Silence).reply(ok("a")).expect(
                "200 a",
                "First Timeout(Head), Retry 200",
                "GET /x | GET /x",
            ),
        )
        .within(400),
        row(
            "H1 POST",
            "a POST is read and never answered",
            "a time-out that says that it was sent; not tried again",
            patient(post()).reply(Silence).expect(
                "Timeout(Head)/Yes: POST http://H/x: timed out: waiting for the response",
                "First Timeout(Head)",
                "POST /x b",
            ),
        )
        .within(200),
        row(
            "H2",
            "a head comes byte by byte, for ever",
            "the limit of the head ends it, for it is not one of a read",
            limited(|t| t.head(SHORT)).send(get()).reply(drip()).expect(
                "Timeout(Head)/Yes: GET http://H/x: timed out: waiting for the response",
                "First Timeout(Head)",
                "GET /x",
            ),
        )
        .within(200),
        row(
            "H2 total",
            "the same, with no limit but that of the call",
            "that limit ends it",
            limited(|t| t.head(Duration::MAX).attempt(Duration::MAX).total(SHORT))
                .send(get())
                .reply(drip())
                .expect(
                    "Timeout(Total)/Yes: GET http://H/x: timed out: the call",
                    "First Timeout(Total)",
                    "GET /x",
                ),
        )
        .within(200),
    ]
}

fn closed() -> Vec<Case> {
    let again = |id, what, reply: Reply| {
        let calls = case().send(get()).reply(reply).reply(ok("a"));
        let calls = calls.expect("200 a", "First Closed, Retry 200", "GET /x | GET /x");
        row(id, what, "the request is sent again", calls)
    };
    let half = Reply::Raw(vec![Act::HalfClose, Act::Read(u64::MAX)]);
    vec![
        again("H3 FIN", "the request is read, and the connection closed", Close.into()),
        again("H3 RST", "the request is read, and the connection reset", Reset.into()),
        again("H3 half", "the request is read, and the server's half closed", half),
        row(
            "H3 POST",
            "a POST is read, and the connection closed",
            "an error that does not know whether it was done; not sent again",
            case().send(post()).reply(Close).expect(
                "Closed/Maybe: POST http://H/x: no response: the connection was closed",
                "First Closed",
                "POST /x b",
            ),
        ),
        row(
            "H3 key",
            "a POST with an idempotency key is read, and the connection reset",
            "it is sent again, with the same key",
            case()
                .send(post().idempotency_key("k1"))
                .reply(Reset)
                .reply(ok("a"))
                .show(&["idempotency-key"])
                .expect(
                    "200 a",
                    "First Closed, Retry 200",
                    "POST /x {idempotency-key: k1} b | POST /x {idempotency-key: k1} b",
                ),
        ),
        row(
            "H3 reused",
            "a connection that served before is closed on the next request",
            "that request is sent again at once, once, and not counted as a try",
            once().send(get()).send(get()).reply(ok("a")).reply(Close).reply(ok("b")).expect(
                "200 a | 200 b",
                "First 200 | First Closed~, Resend 200",
                "GET /x | GET /x~ | GET /x",
            ),
        ),
        row(
            "H3 reused POST",
            "the same with a POST",
            "an error; not sent again",
            once().send(get()).send(post()).reply(ok("a")).reply(Close).expect(
                "200 a | Closed/Maybe: POST http://H/x: no response: the connection was closed",
                "First 200 | First Closed~",
                "GET /x | POST /x~ b",
            ),
        ),
        row(
            "H3 amid",
            "the connection is closed in the middle of the head",
            "an error of the connection; tried again",
            case().send(get()).reply(raw_close("HTTP/1.1 200 O")).reply(ok("a")).expect(
                "200 a",
                "First Closed, Retry 200",
                "GET /x | GET /x",
            ),
        ),
    ]
}

fn large() -> Vec<Case> {
    let large = |id, what, acts: Vec<Act>| {
        row(
            id,
            what,
            "an error at 64 KiB or 100 fields; the connection is closed, the memory stays flat",
            once().send(get()).reply(Reply::Raw(acts)).expect(
                "HeadTooLarge/Yes: GET http://H/x: response head above 64 KiB or 100 fields",
                "First HeadTooLarge",
                "GET /x",
            ),
        )
        .in_mebibytes(8)
    };
    let start = |text: &str| Act::Write(text.as_bytes().to_vec());
    let fields: String = (0..10_000).map(|n| format!("X-{n}: a\r\n")).collect();
    let status = "HTTP/1.1 200 OK\r\n";
    vec![
        large(
            "H4 lines",
            "header lines without end",
            vec![start(status), Act::Flood(b"X-Line: the same again\r\n".repeat(100))],
        ),
        large(
            "H4 value",
            "one header value without end",
            vec![start(status), start("X: "), Act::Flood(vec![b'a'; 8192])],
        ),
        large(
            "H4 10,000",
            "10,000 header fields",
            vec![start(status), start(&fields), start("\r\n"), Act::Close],
        ),
        large(
            "H4 reason",
            "a reason phrase of 1 MB",
            vec![
                start("HTTP/1.1 200 "),
                start(&"a".repeat(1 << 20)),
                start("\r\n\r\n"),
                Act::Close,
            ],
        ),
    ]
}

fn interim() -> Vec<Case> {
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";
    let before = |id, what, interim: &str| {
        let calls = once().send(get()).send(get()).reply(raw(format!("{interim}{last}")));
        let calls = calls.expect("200 a | 200 a", "First 200 | First 200~", "GET /x | GET /x~");
        row(id, what, "the final response alone is handed over; the connection serves again", calls)
    };
    vec![
        before("H6 100", "100 before the final response", "HTTP/1.1 100 Continue\r\n\r\n"),
        before("H6 100 fields", "100 with fields", "HTTP/1.1 100 Continue\r\nX-A: b\r\n\r\n"),
        before("H6 102", "102 with fields", "HTTP/1.1 102 Processing\r\nX-A: b\r\n\r\n"),
        before(
            "H6 103",
            "103 with fields, twice",
            &"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(2),
        ),
        row(
            "H6 endless",
            "100 for ever",
            "the limit of the head ends it",
            limited(|t| t.head(SHORT))
                .send(get())
                .reply(Reply::Raw(vec![Act::Drip {
                    bytes: b"HTTP/1.1 100 Continue\r\n\r\n".repeat(20),
                    every: Duration::from_millis(1),
                }]))
                .expect(
                    "Timeout(Head)/Yes: GET http://H/x: timed out: waiting for the response",
                    "First Timeout(Head)",
                    "GET /x",
                ),
        )
        .within(200),
        refused_for(
            "H6 101",
            "101, which nobody asked for",
            "HTTP/1.1 101 Switching
Upgrade: x
Connection: upgrade

",
            "Protocol/Yes: GET http://H/x: broken response: an interim response in place of the final one",
        ),
    ]
}

pub const PROTOCOL: &str = "Protocol/Yes: GET http://H/x: broken response: not valid HTTP/1.1";

/// A response that is refused.
pub fn refused(id: &'static str, what: &'static str, response: impl AsRef<[u8]>) -> Case {
    refused_for(id, what, response, PROTOCOL)
}

/// Twice, for the connection that it came on is no longer used.
fn refused_for(
    id: &'static str,
    what: &'static str,
    response: impl AsRef<[u8]>,
    doubt: &str,
) -> Case {
    let twice = format!("{doubt} | {doubt}");
    let calls = once().send(get()).send(get()).reply(raw(response));
    let calls = calls.expect(twice, "First Protocol | First Protocol", "GET /x | GET /x");
    row(id, what, "refuses the response and closes the connection", calls)
}

/// A response that is read, twice: the connection serves again, or does not.
pub fn read(id: &'static str, what: &'static str, response: impl AsRef<[u8]>, again: bool) -> Case {
    let (met, saw, we) = match again {
        true => ("First 200~", "GET /x~", "is read; the connection serves again"),
        false => ("First 200", "GET /x", "is read; the connection is closed"),
    };
    let calls = once().send(get()).send(get()).reply(raw(response)).expect(
        "200 hello | 200 hello",
        format!("First 200 | {met}"),
        format!("GET /x | {saw}"),
    );
    row(id, what, we, calls)
}

fn statuses() -> Vec<Case> {
    let refuse = |id, what, status: &str| {
        refused(id, what, format!("HTTP/1.1 {status} Odd\r\nContent-Length: 0\r\n\r\n"))
    };
    let pass = |id, what, status: u16, results| {
        let response = format!("HTTP/1.1 {status} Odd\r\nContent-Length: 0\r\n\r\n");
        let met = format!("First {status}");
        let calls = once().send(get()).reply(raw(response)).expect(results, met, "GET /x");
        row(id, what, "the number is handed over, as an error of the status", calls)
    };
    vec![
        refuse("H8 099", "status 099", "099"),
        refuse("H8 20", "status 20", "20"),
        refuse("H8 2000", "status 2000", "2000"),
        refuse("H8 abc", "status abc", "abc"),
        refuse("H8 none", "no status", ""),
        refuse("H8 -200", "status -200", "-200"),
        pass("H8 420", "status 420", 420, "Status/Yes: GET http://H/x: 420"),
        pass("H8 520", "status 520", 520, "Status/Yes: GET http://H/x: 520"),
        pass("H8 529", "status 529", 529, "Status/Yes: GET http://H/x: 529"),
        pass("H8 600", "status 600", 600, "Status/Yes: GET http://H/x: 600"),
        pass("H8 999", "status 999", 999, "Status/Yes: GET http://H/x: 999"),
        row(
            "H8 accepted",
            "status 999, which the request accepts",
            "the number is handed over",
            once()
                .send(get().accept(999))
                .reply(raw("HTTP/1.1 999 \r\nContent-Length: 0\r\n\r\n"))
                .expect("999", "First 999", "GET /x"),
        ),
        read(
            "H8 no reason",
            "no reason, nor the space before it",
            "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
            true,
        ),
        refused(
            "H8 version",
            "HTTP/2.0 in the status line",
            "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        ),
        refused("H8 ssh", "another protocol's greeting", "SSH-2.0-OpenSSH_9.9\r\n\r\n"),
    ]
}

fn syntax() -> Vec<Case> {
    let with = |line: &str| format!("HTTP/1.1 200 OK\r\n{line}Content-Length: 5\r\n\r\nhello");
    vec![
        read(
            "H10 bare LF",
            "lines that end with LF alone",
            "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
            true,
        ),
        refused(
            "H10 fold",
            "a field continued on the next line (obs-fold)",
            with("X-A: b\r\n c\r\n"),
        ),
        refused("H10 space", "a space before the colon", with("X-A : b\r\n")),
        refused(
            "H10 length space",
            "a space before the colon of Content-Length",
            "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
        ),
        refused("H10 no colon", "a line without a colon", with("X-A\r\n")),
        refused("H10 NUL", "a NUL in a value", with("X-A: b\0c\r\n")),
        refused("H10 CR", "a CR in a value", with("X-A: b\rc\r\n")),
        refused("H10 no name", "an empty name", with(": b\r\n")),
        refused("H10 name", "a name that is no token", with("X(A): b\r\n")),
        refused("H10 name bytes", "a name that is not ASCII", with("X-\u{e9}: b\r\n")),
        refused("H10 start", "a space before the first field", with(" X-A: b\r\n")),
        read("H10 empty value", "an empty value", with("X-A:\r\n"), true),
        read("H10 tab", "a tab within a value", with("X-A: b\tc\r\n"), true),
        read(
            "H10 empty line",
            "an empty line before the status line",
            with("X-A: b\r\n").replace("HTTP", "\r\nHTTP"),
            true,
        ),
    ]
}

fn values() -> Vec<Case> {
    fn shown(response: Response) -> Result<Value, duocall::Error> {
        let bytes = response.headers()["x-a"].as_bytes();
        Ok(Value::Text(format!("{} {:?}", bytes.escape_ascii(), response.header("x-a"))))
    }
    let value = |id, what, value: &[u8], results| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX-A: ";
        let response = [head, value, b"\r\n\r\na"].concat();
        let calls = once().call(get(), shown).reply(raw(response)).expect(results, "", "GET /x");
        row(id, what, "the bytes are kept; there is no text of it", calls)
    };
    vec![
        value("H11 latin-1", "a value in Latin-1", b"caf\xe9", r"caf\xe9 None"),
        value(
            "H11 not UTF-8",
            "a value that is no text at all",
            b"\xff\xfe\x80",
            r"\xff\xfe\x80 None",
        ),
        value("H11 UTF-8", "a value in UTF-8", "é".as_bytes(), r"\xc3\xa9 None"),
        value("H11 emoji", "an emoji", "🦀".as_bytes(), r"\xf0\x9f\xa6\x80 None"),
    ]
}

fn lengths() -> Vec<Case> {
    let with = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\nhello");
    let length = |value: &str| with(&format!("Content-Length: {value}\r\n"));
    vec![
        read(
            "H12 equal",
            "two Content-Length that are equal",
            with("Content-Length: 5\r\nContent-Length: 5\r\n"),
            true,
        ),
        refused(
            "H12 different",
            "two Content-Length that differ",
            with("Content-Length: 5\r\nContent-Length: 6\r\n"),
        ),
        refused("H12 +5", "Content-Length: +5", length("+5")),
        refused("H12 -1", "Content-Length: -1", length("-1")),
        refused("H12 2^64", "Content-Length: 18446744073709551616", length("18446744073709551616")),
        refused("H12 hex", "Content-Length: 0x5", length("0x5")),
        read("H12 5,5", "Content-Length: 5,5, which says the same twice", length("5,5"), true),
        refused("H12 5, 6", "Content-Length: 5, 6", length("5, 6")),
        refused("H12 empty", "an empty Content-Length", length("")),
        refused("H12 5.0", "Content-Length: 5.0", length("5.0")),
        refused("H12 5 5", "Content-Length: 5 5", length("5 5")),
        row(
            "H12 huge",
            "Content-Length: 9223372036854775807",
            "an error before anything of it is read",
            once().send(get()).reply(raw(length("9223372036854775807"))).expect(
                "BodyTooLarge/Yes: GET http://H/x: body too large: more than 10485760 bytes",
                "First BodyTooLarge",
                "GET /x",
            ),
        )
        .in_mebibytes(8),
    ]
}

fn codings() -> Vec<Case> {
    let chunks = "\r\n5\r\nhello\r\n0\r\n\r\n";
    let with = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}{chunks}");
    let coding = |value: &str| with(&format!("Transfer-Encoding: {value}\r\n"));
    let (length, chunked) = ("Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n");
    let both = |id, what, fields: &str| {
        let doubt = "Protocol/Yes: GET http://H/x: broken response: a length and a transfer coding";
        refused_for(id, what, with(fields), doubt)
    };
    let other = |id, what, response: String| {
        let doubt =
            "Protocol/Yes: GET http://H/x: broken response: a transfer coding other than chunked";
        refused_for(id, what, response, doubt)
    };
    vec![
        both("H13 both", "a Content-Length and a Transfer-Encoding", &[length, chunked].concat()),
        both("H13 both, other order", "the same the other way round", &[chunked, length].concat()),
        other("H13 gzip", "Transfer-Encoding: gzip, chunked", coding("gzip, chunked")),
        other("H13 twice", "Transfer-Encoding: chunked, chunked", coding("chunked, chunked")),
        other(
            "H13 two fields",
            "Transfer-Encoding: chunked, in two fields",
            with(&chunked.repeat(2)),
        ),
        other("H13 xchunked", "Transfer-Encoding: xchunked", coding("xchunked")),
        other("H13 identity", "Transfer-Encoding: identity", coding("identity")),
        other("H13 empty", "an empty Transfer-Encoding", coding("")),
        read("H13 Chunked", "Transfer-Encoding: Chunked", coding("Chunked"), true),
        refused_for(
            "H13 1.0",
            "Transfer-Encoding with HTTP/1.0",
            coding("chunked").replace("HTTP/1.1", "HTTP/1.0"),
            PROTOCOL,
        ),
    ]
}
