//! What a body says.

use std::io::Write as _;

use duocall::{Error, Response};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use super::get;
use crate::faults::case::{Case, once, row};
use crate::parity::scenario::{Value, http, ok};

const TEXT: &[u8] = b"hello, hello, hello, hello";

pub fn cases() -> Vec<Case> {
    let mut cases = gzips();
    cases.extend(evidence());
    cases.extend(deflates());
    cases.extend(texts());
    cases.extend(jsons());
    cases
}

macro_rules! squeezed {
    ($encoder:ident, $data:expr) => {{
        let mut encoder = $encoder::new(Vec::new(), Compression::best());
        encoder.write_all($data).unwrap();
        encoder.finish().unwrap()
    }};
}

fn gzip(data: &[u8]) -> Vec<u8> {
    squeezed!(GzEncoder, data)
}

fn good(
    id: &'static str,
    what: &'static str,
    coding: &str,
    body: Vec<u8>,
    results: &'static str,
) -> Case {
    let calls = once().send(get()).reply(ok(body).header("content-encoding", coding));
    row(id, what, "is decoded", calls.expect(results, "First 200", "GET /x"))
}

fn bad(id: &'static str, what: &'static str, body: Vec<u8>) -> Case {
    let calls = once().send(get()).reply(ok(body).header("content-encoding", "gzip"));
    let calls = calls.expect(
        "Decode/Yes: GET http://H/x: body not readable: not gzip, or cut short",
        "First Decode",
        "GET /x",
    );
    row(id, what, "an error, and never a short body", calls)
}

fn gzips() -> Vec<Case> {
    let whole = gzip(TEXT);
    let cut = |at: usize| whole[..at].to_vec();
    let flipped = |from_end: usize| {
        let mut body = whole.clone();
        let at = body.len() - from_end;
        body[at] ^= 1;
        body
    };
    vec![
        bad("B13 cut", "gzip, cut in the middle of the data", cut(15)),
        bad("B13 cut head", "gzip, cut in its head", cut(5)),
        bad("B13 no trailer", "gzip without its trailer", cut(whole.len() - 8)),
        bad("B13 half a trailer", "gzip with half a trailer", cut(whole.len() - 4)),
        bad("B13 CRC", "gzip with a wrong checksum", flipped(8)),
        bad("B13 ISIZE", "gzip with a wrong length", flipped(4)),
        bad("B13 garbage", "bytes behind the end of gzip", [&whole[..], b"garbage"].concat()),
        bad("B13 plain", "a plain body that is said to be gzip", TEXT.to_vec()),
        good(
            "B13 members",
            "gzip of two members",
            "gzip",
            [gzip(&TEXT[..10]), gzip(&TEXT[10..])].concat(),
            "200 hello, hello, hello, hello",
        ),
        good(
            "B13 empty",
            "gzip of nothing at all, with Content-Length: 0",
            "gzip",
            Vec::new(),
            "200",
        ),
        good("B13 empty member", "gzip of an empty text", "gzip", gzip(b""), "200"),
    ]
}

/// In a failure, whose status says more than what became of its body.
fn evidence() -> Vec<Case> {
    let with = |id, what, coding, body: Vec<u8>, shown: &'static str| {
        let reply = http(404).body(body).header("content-encoding", coding);
        let calls = once().send(get()).reply(reply).expect(shown, "First 404", "GET /x");
        row(id, what, "the status, and of the body what can be read", calls)
    };
    let none = "Status/Yes: GET http://H/x: 404 Not Found: there is no such resource";
    let cut = [&gzip(TEXT)[..], b"garbage"].concat();
    vec![
        with("B13 error", "a plain body that is said to be gzip", "gzip", TEXT.to_vec(), none),
        with(
            "B13 error garbage",
            "garbage behind gzip",
            "gzip",
            cut,
            concat!(
                "Status/Yes: GET http://H/x: 404 Not Found: there is no such resource ",
                "[hello, hello, hello, hello]",
            ),
        ),
        with(
            "B13 error 5 codings",
            "more codings than are undone",
            &[", gzip"; 5].concat()[2..],
            b"a".to_vec(),
            concat!("Status/Yes: GET http://H/x: 404 Not Found: there is no such resource ", "[a]",),
        ),
        {
            let calls = crate::faults::case::case().send(get());
            let calls = calls.reply(http(503).body(TEXT).header("content-encoding", "gzip"));
            let calls =
                calls.reply(ok("a")).expect("200 a", "First 503, Retry 200~", "GET /x | GET /x~");
            row("B13 retry", "a plain 503 that is said to be gzip", "it is tried again", calls)
        },
    ]
}

fn deflates() -> Vec<Case> {
    let text = "200 hello, hello, hello, hello";
    vec![
        good(
            "B15 zlib",
            "deflate as the standard means it",
            "deflate",
            squeezed!(ZlibEncoder, TEXT),
            text,
        ),
        good(
            "B15 raw",
            "deflate as some servers mean it",
            "deflate",
            squeezed!(DeflateEncoder, TEXT),
            text,
        ),
        {
            let mut body = squeezed!(ZlibEncoder, TEXT);
            body.truncate(body.len() - 5);
            let calls = once().send(get()).reply(ok(body).header("content-encoding", "deflate"));
            let calls = calls.expect(
                "Decode/Yes: GET http://H/x: body not readable: deflate cut short",
                "First Decode",
                "GET /x",
            );
            row("B15 cut", "deflate, cut in the middle", "an error, and never a short body", calls)
        },
    ]
}

type Reading = fn(Response) -> Result<Value, Error>;

fn text(response: Response) -> Result<Value, Error> {
    Ok(Value::Text(response.text()?))
}

fn lossy(response: Response) -> Result<Value, Error> {
    Ok(Value::Text(response.text_lossy().into_owned()))
}

fn json(response: Response) -> Result<Value, Error> {
    Ok(Value::Text(response.json::<serde_json::Value>()?.to_string()))
}

fn bytes(response: Response) -> Result<Value, Error> {
    Ok(Value::Text(response.bytes().escape_ascii().to_string()))
}

fn reading(
    id: &'static str,
    what: &'static str,
    we: &'static str,
    (body, read): (&[u8], Reading),
    results: &'static str,
) -> Case {
    // Of a value that was read, no response is left to ask.
    let met = if results.starts_with("Decode") { "First 200" } else { "" };
    row(id, what, we, once().call(get(), read).reply(ok(body)).expect(results, met, "GET /x"))
}

fn texts() -> Vec<Case> {
    let latin = b"caf\xe9";
    let exact = b"\xef\xbb\xbfcaf\xe9\0\xff";
    vec![
        reading(
            "B17 text",
            "a text that is not UTF-8",
            "`text()` is an error that says at which byte",
            (latin, text),
            "Decode/Yes: GET http://H/x: body not readable: not UTF-8 at byte 3 [caf\u{fffd}]",
        ),
        reading(
            "B17 lossy",
            "a text that is not UTF-8",
            "`text_lossy()` puts U+FFFD there",
            (latin, lossy),
            "caf\u{fffd}",
        ),
        reading(
            "B17 bytes",
            "anything",
            "`bytes()` is exact",
            (exact, bytes),
            r"\xef\xbb\xbfcaf\xe9\x00\xff",
        ),
        reading(
            "B17 BOM text",
            "UTF-8 with a byte order mark",
            "the mark is no part of the text",
            (b"\xef\xbb\xbfabc", text),
            "abc",
        ),
        reading(
            "B17 BOM JSON",
            "JSON with a byte order mark",
            "the mark is let by",
            (b"\xef\xbb\xbf[1]", json),
            "[1]",
        ),
        reading(
            "B17 UTF-16",
            "JSON in UTF-16",
            "an error: JSON is UTF-8",
            (b"\xff\xfe[\x001\0]\0", json),
            "Decode/Yes: GET http://H/x: body not readable: expected value at line 1 column 1, byte 0 of 8 \
             [\u{fffd}\u{fffd}[\x001\0]\0]",
        ),
        reading(
            "B17 UTF-16 text",
            "a text in UTF-16",
            "`text()` is an error that says at which byte",
            (b"\xff\xfea\0", text),
            "Decode/Yes: GET http://H/x: body not readable: not UTF-8 at byte 0 [\u{fffd}\u{fffd}a\0]",
        ),
        reading(
            "B17 surrogate",
            "a lone surrogate, `\\ud800`, in JSON",
            "an error",
            (br#"["\ud800"]"#, json),
            "Decode/Yes: GET http://H/x: body not readable: unexpected end of hex escape at line 1 column 9, \
             byte 8 of 10 [[\"\\ud800\"]]",
        ),
        reading(
            "B17 not UTF-8 JSON",
            "JSON with a string that is not UTF-8",
            "an error",
            (b"[\"\xe9\"]", json),
            "Decode/Yes: GET http://H/x: body not readable: invalid unicode code point at line 1 column 3, \
             byte 2 of 5 [[\"\u{fffd}\"]]",
        ),
        reading(
            "B17 NUL",
            "a NUL in a text",
            "it is a character like others",
            (b"a\0b", text),
            "a\0b",
        ),
        reading(
            "B17 NUL JSON",
            "an escaped NUL in JSON",
            "it is a character like others",
            (br#"["\u0000"]"#, json),
            r#"["\u0000"]"#,
        ),
    ]
}

fn jsons() -> Vec<Case> {
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    let secret = br#"{"token": "s3cr3t-CANARY", "more": }"#;
    let html = b"<html><title>Sign in</title><body>not for everybody</body></html>";
    let offset = "an error with the place in bytes, and of the body at most 8 KiB as evidence";
    let list = |response: Response| -> Result<Value, Error> {
        Ok(Value::Text(format!("{:?}", response.json::<Vec<u64>>()?)))
    };
    let name = |response: Response| -> Result<Value, Error> {
        Ok(Value::Text(response.json::<Vec<String>>()?.concat()))
    };
    vec![
        reading(
            "B18 deep",
            "JSON of 100,000 levels",
            offset,
            (&deep, json),
            "Decode/Yes: GET http://H/x: body not readable: recursion limit exceeded at line 1 column 128, \
             byte 127 of 200000 [(8192 bytes)]",
        ),
        reading(
            "B18 1e999",
            "a number beyond all numbers",
            offset,
            (b"[1e999]", json),
            "Decode/Yes: GET http://H/x: body not readable: number out of range at line 1 column 6, byte 5 of 7 \
             [[1e999]]",
        ),
        reading("B18 twice", "a key twice", "the last one counts", (br#"{"a": 1, "a": 2}"#, json), r#"{"a":2}"#),
        reading(
            "B18 large number",
            "an integer that does not fit",
            offset,
            (b"[18446744073709551616]", list),
            "Decode/Yes: GET http://H/x: body not readable: invalid type: floating point `1.8446744073709552e+19`, \
             expected u64 at line 1 column 21, byte 20 of 22 [[18446744073709551616]]",
        ),
        reading(
            "B18 trailing",
            "something behind the JSON",
            offset,
            (b"[1]\n[2]", json),
            "Decode/Yes: GET http://H/x: body not readable: trailing characters at line 2 column 1, byte 4 of 7 \
             [[1]\n[2]]",
        ),
        reading(
            "B18 empty",
            "an empty body",
            offset,
            (b"", json),
            "Decode/Yes: GET http://H/x: body not readable: EOF while parsing a value at line 1 column 0, byte 0 of 0",
        ),
        reading(
            "B18 cut",
            "JSON that ends in the middle",
            offset,
            (b"[1, 2", json),
            "Decode/Yes: GET http://H/x: body not readable: EOF while parsing a list at line 1 column 5, byte 4 of 5 \
             [[1, 2]",
        ),
        row(
            "B18 HTML",
            "a page of HTML, with status 200",
            "an error that names the type of the body; no word of the body is in it",
            once()
                .call(get(), json)
                .reply(ok(html).header("content-type", "text/html"))
                .expect(
                    "Decode/Yes: GET http://H/x: body not readable: expected value at line 1 column 1, byte 0 of 65 \
                     of text/html [(65 bytes)]",
                    "First 200",
                    "GET /x",
                ),
        ),
        reading(
            "B18 secret",
            "JSON that is broken and has the credential in it",
            "the error does not show it",
            (secret, json),
            "Decode/Yes: GET http://H/x: body not readable: expected value at line 1 column 36, byte 35 of 36 \
             [{\"token\": \"s3cr3t-CANARY\", \"more\": }]",
        ),
        reading(
            "B18 quoted",
            "JSON of another shape, which the message would quote",
            "the credential in it is blotted out",
            (br#"[["x"], "s3cr3t-CANARY"]"#, |response| match response.json::<(Vec<String>, u8)>() {
                Ok(_) => Ok(Value::Text("read".into())),
                Err(error) => Ok(Value::Text(error.to_string())),
            }),
            "GET http://H/x: body not readable: invalid type: string \"***\", expected u8 at line 1 column 23, \
             byte 22 of 24",
        ),
        reading("B18 shape", "JSON of another shape", offset, (b"{}", name), "Decode/Yes: GET http://H/x: body not readable: invalid type: map, expected a sequence at line 1 column 0, byte 0 of 2 [{}]"),
    ]
}
