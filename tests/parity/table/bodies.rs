//! What comes back: framing, codings, limits, decoding, judgement.

use std::io::Write as _;

use duocall::{ApiBuilder, Error, ErrorKind, Request, Response};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use crate::parity::scenario::{Fault, Http, Scenario, Value, case, http, ok, raw, raw_close};
use crate::support;

use crate::parity::scenario::Reply;

pub const TEXT: &[u8] = b"the same, the same, the same";
/// The same as other programs code it.
const BROTLI: &[u8] = b"\x1b\x1b\x00\xf8\xa5@X\xea\x90iJ\x01\x884\x92\x00";
const ZSTD: &[u8] = b"(\xb5/\xfd$\x1c\x8d\x00\x00Xthe same, t\x01\x00\x9d\x8b\x17\x9db\xaa\n";

pub fn rows() -> Vec<Scenario> {
    let mut rows = framing();
    rows.extend(codings());
    rows.extend(limits());
    rows.extend(judgement());
    rows.extend(decoding());
    rows
}

pub fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn bare(data: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn coded(coding: &str, body: Vec<u8>) -> Http {
    ok(body).header("content-encoding", coding)
}

fn chunked(chunks: &[&[u8]]) -> Reply {
    Reply::Raw(support::chunked(200, &[], chunks))
}

fn get() -> Request {
    Request::get("x")
}

fn framing() -> Vec<Scenario> {
    vec![
        case("a connection serves again")
            .send(get())
            .send(Request::post("y").body("b"))
            .send(get())
            .reply(ok("a"))
            .expect(
                "200 a | 200 a | 200 a",
                "First 200 | First 200~ | First 200~",
                "GET /x | POST /y~ b | GET /x~",
            ),
        case("chunked").send(get()).send(get()).reply(chunked(&[b"ab", b"cde"])).expect(
            "200 abcde | 200 abcde",
            "First 200 | First 200~",
            "GET /x | GET /x~",
        ),
        case("chunked with extensions and trailers")
            .send(get())
            .send(get())
            .reply(raw(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nab\r\n0\r\nX-T: 1\r\n\r\n",
            ))
            .expect("200 ab | 200 ab", "First 200 | First 200~", "GET /x | GET /x~"),
        case("the body ends with the connection")
            .send(get())
            .send(get())
            .reply(raw_close("HTTP/1.1 200 OK\r\n\r\nall of it"))
            .expect(
                "200 all of it | 200 all of it",
                "First 200 | First 200",
                "GET /x | GET /x",
            ),
        case("connection: close is obeyed")
            .send(get())
            .send(get())
            .reply(Reply::Raw({
                let mut acts = support::reply(200, &[("connection", "close")], "a");
                acts.push(support::Act::Close);
                acts
            }))
            .expect("200 a | 200 a", "First 200 | First 200", "GET /x | GET /x"),
        case("http/1.0 closes")
            .send(get())
            .send(get())
            .reply(raw_close("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na"))
            .expect("200 a | 200 a", "First 200 | First 200", "GET /x | GET /x"),
        case("stray bytes after a body spoil the connection")
            .send(get())
            .send(get())
            .reply(raw("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\n\r\n"))
            .expect("200 a | 200 a", "First 200 | First 200", "GET /x | GET /x"),
        case("204 and 304 have no body and leave the connection")
            .send(get())
            .send(get().accept(304))
            .send(get())
            .reply(http(204))
            .reply(http(304).header("etag", "\"1\""))
            .reply(ok("a"))
            .tell(&["etag"])
            .expect(
                "204 | 304 {etag: \"1\"} | 200 a",
                "First 204 | First 304~ | First 200~",
                "GET /x | GET /x~ | GET /x~",
            ),
        case("304 with a length waits for no body, and has none that is too large")
            .send(get().accept(304))
            .send(get())
            .reply(raw("HTTP/1.1 304 Not Modified\r\nContent-Length: 123456789\r\n\r\n"))
            .reply(ok("a"))
            .expect("304 | 200 a", "First 304 | First 200~", "GET /x | GET /x~"),
        case("head tells the length and leaves the connection")
            .send(Request::head("x"))
            .send(get())
            .reply(raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"))
            .reply(ok("a"))
            .tell(&["content-length"])
            .expect(
                "200 {content-length: 5} | 200 {content-length: 1} a",
                "First 200 | First 200~",
                "HEAD /x | GET /x~",
            ),
        case("early hints come before the final response")
            .send(get())
            .send(get())
            .reply(raw(
                "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
            ))
            .expect("200 a | 200 a", "First 200 | First 200~", "GET /x | GET /x~"),
        case("100 and 102 come before the final response")
            .send(Request::post("x").body("b"))
            .reply(raw(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nX-A: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
            ))
            .expect("200 a", "First 200", "POST /x b"),
        case("100 may have header fields")
            .send(Request::post("x").body("b"))
            .send(Request::post("x").body("c"))
            .reply(raw(
                "HTTP/1.1 100 Continue\r\nServer: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
            ))
            .expect("200 a | 200 a", "First 200 | First 200~", "POST /x b | POST /x~ c"),
    ]
}

fn once(api: ApiBuilder) -> ApiBuilder {
    api.retry(duocall::Retry::none())
}

fn cut_of(coded: &[u8]) -> Vec<u8> {
    coded[..coded.len() - 3].to_vec()
}

fn codings() -> Vec<Scenario> {
    let text = "200 the same, the same, the same";
    let two = [gzip(&TEXT[..10]), gzip(&TEXT[10..])].concat();
    let cut = gzip(TEXT)[..20].to_vec();
    let one = |name, coding, body| {
        case(name)
            .send(get())
            .reply(coded(coding, body))
            .tell(&["content-encoding", "content-length"])
            .expect(text, "First 200", "GET /x")
    };
    vec![
        one("gzip", "gzip", gzip(TEXT)),
        one("x-gzip of two members", "X-Gzip", two),
        one("deflate", "deflate", zlib(TEXT)),
        one("bare deflate", "deflate", bare(TEXT)),
        one("gzip upon deflate", "deflate, gzip", gzip(&zlib(TEXT))),
        one("brotli", "br", BROTLI.to_vec()),
        one("zstd", "zstd", ZSTD.to_vec()),
        one("zstd behind a frame to skip", "zstd", [b"P*M\x18\x02\0\0\0ab", ZSTD].concat()),
        one("gzip upon brotli", "br, gzip", gzip(BROTLI)),
        case("a truncated brotli").api(once).send(get()).reply(coded("br", cut_of(BROTLI))).expect(
            "Decode/Yes: GET http://H/x: body not readable: brotli cut short",
            "First Decode",
            "GET /x",
        ),
        case("a truncated zstd").api(once).send(get()).reply(coded("zstd", cut_of(ZSTD))).expect(
            "Decode/Yes: GET http://H/x: body not readable: zstd cut short",
            "First Decode",
            "GET /x",
        ),
        case("more codings than are undone")
            .send(get())
            .reply(coded("gzip, gzip, gzip, gzip, gzip", gzip(TEXT)))
            .expect(
                "Decode/Yes: GET http://H/x: body not readable: too many codings one upon another",
                "First Decode",
                "GET /x",
            ),
        case("a truncated gzip is retried, and then not readable")
            .api(|api| api.retry(crate::parity::run::quick().attempts(2)))
            .send(get())
            .reply(coded("gzip", cut))
            .expect(
                "Decode/Yes: GET http://H/x: body not readable: not gzip, or cut short",
                "First Decode",
                "GET /x",
            ),
        case("a coding not asked for is handed over")
            .send(get())
            .send(get().header("accept-encoding", "br"))
            .reply(coded("compress", b"raw".to_vec()))
            .reply(coded("gzip", b"raw".to_vec()))
            .tell(&["content-encoding"])
            .show(&["accept-encoding"])
            .expect(
                "200 {content-encoding: compress} raw | 200 {content-encoding: gzip} raw",
                "First 200 | First 200~",
                "GET /x {accept-encoding: gzip, deflate, br, zstd} | GET /x~ {accept-encoding: br}",
            ),
        case("identity is no coding").send(get()).reply(coded("identity", b"a".to_vec())).expect(
            "200 a",
            "First 200",
            "GET /x",
        ),
        case("an empty gzip body").send(get()).reply(coded("gzip", Vec::new())).expect(
            "200",
            "First 200",
            "GET /x",
        ),
        case("empty brotli and zstd bodies")
            .send(get())
            .send(get())
            .reply(coded("br", Vec::new()))
            .reply(coded("zstd", Vec::new()))
            .expect("200 | 200", "First 200 | First 200~", "GET /x | GET /x~"),
        case("an error's body is decoded")
            .send(get())
            .reply(http(404).body(gzip(TEXT)).header("content-encoding", "gzip"))
            .expect(
                "Status/Yes: GET http://H/x: 404 Not Found: there is no such resource \
                 [the same, the same, the same]",
                "First 404",
                "GET /x",
            ),
    ]
}

fn limits() -> Vec<Scenario> {
    const LARGE: &str =
        "BodyTooLarge/Yes: GET http://H/x: body too large: more than 10 bytes | 200 a";
    let limited = |name| case(name).api(|api| api.max_body(10)).send(get());
    vec![
        limited("a body of max_body bytes").reply(ok([b'a'; 10])).expect(
            "200 aaaaaaaaaa",
            "First 200",
            "GET /x",
        ),
        limited("a body above max_body").send(get()).reply(ok([b'a'; 11])).reply(ok("a")).expect(
            LARGE,
            "First BodyTooLarge | First 200",
            "GET /x | GET /x",
        ),
        limited("a chunked body above max_body")
            .send(get())
            .reply(chunked(&[b"123456", b"78901"]))
            .reply(ok("a"))
            .expect(LARGE, "First BodyTooLarge | First 200", "GET /x | GET /x"),
        limited("a gzip body above max_body")
            .send(get())
            .reply(coded("gzip", gzip(&[b'a'; 100_000])))
            .reply(ok("a"))
            .expect(LARGE, "First BodyTooLarge | First 200", "GET /x | GET /x"),
        limited("brotli and zstd bodies above max_body")
            .send(get())
            .send(get())
            .reply(coded("br", BROTLI.to_vec()))
            .reply(coded("zstd", ZSTD.to_vec()))
            .reply(ok("a"))
            .expect(
                "BodyTooLarge/Yes: GET http://H/x: body too large: more than 10 bytes | \
                 BodyTooLarge/Yes: GET http://H/x: body too large: more than 10 bytes | 200 a",
                "First BodyTooLarge | First BodyTooLarge | First 200",
                "GET /x | GET /x | GET /x",
            ),
        case("an endless body")
            .api(|api| api.max_body(100_000))
            .send(get())
            .reply(Reply::Raw(vec![
                support::Act::Write(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
                support::Act::Flood(vec![0; 8 << 10]),
            ]))
            .expect(
                "BodyTooLarge/Yes: GET http://H/x: body too large: more than 100000 bytes",
                "First BodyTooLarge",
                "GET /x",
            ),
        case("8 KiB of an error's body are kept")
            .api(|api| api.max_body(100))
            .send(get())
            .send(get())
            .reply(http(400).body([b'a'; 20_000]))
            .reply(ok("a"))
            .expect(
                "Status/Yes: GET http://H/x: 400 Bad Request: the server could not understand the \
                 request [(8192 bytes)] | 200 a",
                "First 400 | First 200~",
                "GET /x | GET /x~",
            ),
        case("an error's endless body is let go")
            .send(get())
            .send(get())
            .reply(http(400).body(vec![b'a'; 300_000]))
            .reply(ok("a"))
            .expect(
                "Status/Yes: GET http://H/x: 400 Bad Request: the server could not understand the \
                 request [(8192 bytes)] | 200 a",
                "First 400 | First 200",
                "GET /x | GET /x",
            )
            .only_bytes(),
        case("an error's body may be cut short")
            .api(|api| api.retry(duocall::Retry::none()))
            .send(get())
            .reply(http(400).body("0123456789").cut(4, Fault::Close))
            .expect(
                "Truncated/Yes: GET http://H/x: body truncated: the connection was closed",
                "First Truncated",
                "GET /x",
            ),
    ]
}

fn judgement() -> Vec<Scenario> {
    vec![
        case("a status has a meaning")
            .api(|api| api.meaning(403, "You may not."))
            .send(get())
            .send(get())
            .reply(http(403))
            .reply(http(402).body("pay"))
            .expect(
                "Status/Yes: GET http://H/x: 403 Forbidden: You may not. | \
                 Status/Yes: GET http://H/x: 402 Payment Required: payment is required [pay]",
                "First 403 | First 402~",
                "GET /x | GET /x~",
            ),
        case("a status nobody knows").send(get()).reply(http(999)).expect(
            "Status/Yes: GET http://H/x: 999",
            "First 999",
            "GET /x",
        ),
        case("an accepted status").send(get().accept(404)).reply(http(404).body("none")).expect(
            "404 none",
            "First 404",
            "GET /x",
        ),
        case("an accepted status is not retried")
            .send(get().accept(503))
            .reply(http(503).body("none"))
            .expect("503 none", "First 503", "GET /x"),
        case("a 200 that is a failure")
            .api(|api| api.reject(|r| r.text_contains("Token").then(|| "bad token".into())))
            .send(get())
            .send(get())
            .reply(ok("Token not valid!"))
            .reply(ok("fine"))
            .expect(
                "Rejected/Yes: GET http://H/x: 200 OK rejected: bad token [Token not valid!] | 200 fine",
                "First 200 | First 200~",
                "GET /x | GET /x~",
            ),
        case("secrets of a query are hidden")
            .send(Request::get("x").query("key", "hide").query("page", 2))
            .reply(http(404))
            .expect(
                "Status/Yes: GET http://H/x?key=***&page=***: 404 Not Found: there is no such resource",
                "First 404",
                "GET /x?key=hide&page=2",
            ),
    ]
}

fn decoding() -> Vec<Scenario> {
    fn names(response: Response) -> Result<Value, Error> {
        Ok(Value::Text(response.json::<Vec<String>>()?.join("+")))
    }
    fn own(_: Response) -> Result<Value, Error> {
        Err(Error::custom(ErrorKind::Rejected, "the flow is archived"))
    }
    vec![
        case("a typed call")
            .call(get(), names)
            .call(get(), names)
            .reply(ok(r#"["a","b"]"#))
            .reply(ok("\u{feff}[\"c\"]"))
            .expect("a+b | c", "", "GET /x | GET /x~"),
        case("a decode error").call(get(), names).reply(ok("{}")).expect(
            "Decode/Yes: GET http://H/x: body not readable: invalid type: map, expected a sequence \
             at line 1 column 0, byte 0 of 2 [{}]",
            "First 200",
            "GET /x",
        ),
        case("a decode error shows no more than 8 KiB")
            .call(get(), names)
            .reply(ok(vec![b'['; 100_000]).header("content-type", "application/json"))
            .expect(
                "Decode/Yes: GET http://H/x: body not readable: invalid type: sequence, expected a \
                 string at line 1 column 1, byte 0 of 100000 of application/json [(8192 bytes)]",
                "First 200",
                "GET /x",
            ),
        case("text that is not UTF-8")
            .call(get(), |response| Ok(Value::Text(response.text()?)))
            .reply(ok(b"caf\xe9"))
            .expect(
                "Decode/Yes: GET http://H/x: body not readable: not UTF-8 at byte 3 [caf\u{fffd}]",
                "First 200",
                "GET /x",
            ),
        case("an error of the endpoint's own").call(get(), own).reply(ok("a")).expect(
            "Rejected/No: rejected: the flow is archived",
            "",
            "GET /x",
        ),
        case("a panic in decode")
            .call(get(), |_| panic!("in decode"))
            .reply(ok("a"))
            .expect("panic: in decode", "", "GET /x")
            .pool_differs("Panicked/No: panicked: the endpoint's code"),
    ]
}
