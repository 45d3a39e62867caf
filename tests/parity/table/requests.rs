//! What goes out: methods, bodies, queries, headers; and what is refused before.

use std::time::Duration;

use duocall::http::Method;
use duocall::{ApiBuilder, Auth, Rate, Request, Retry, Timeouts};

use crate::parity::scenario::{Scenario, case, http, ok};

const LENGTH: &[&str] = &["content-length"];
const TYPED: &[&str] = &["content-type", "content-length"];

pub fn rows() -> Vec<Scenario> {
    let mut rows = methods();
    rows.extend(headers());
    rows.extend(mistakes());
    rows
}

fn methods() -> Vec<Scenario> {
    vec![
        case("get").send(Request::get("x")).reply(ok("hello")).expect(
            "200 hello",
            "First 200",
            "GET /x",
        ),
        case("head has no body").send(Request::head("x")).reply(ok("hello")).expect(
            "200",
            "First 200",
            "HEAD /x",
        ),
        case("options").send(Request::options("x")).reply(http(204)).expect(
            "204",
            "First 204",
            "OPTIONS /x",
        ),
        case("delete has no length")
            .send(Request::delete("x"))
            .reply(http(204))
            .show(LENGTH)
            .expect("204", "First 204", "DELETE /x"),
        case("an empty post has a length")
            .send(Request::post("x"))
            .reply(http(201))
            .show(LENGTH)
            .expect("201", "First 201", "POST /x {content-length: 0}"),
        case("an empty put and patch have a length")
            .send(Request::put("x"))
            .send(Request::patch("y"))
            .reply(http(200))
            .show(LENGTH)
            .expect(
                "200 | 200",
                "First 200 | First 200~",
                "PUT /x {content-length: 0} | PATCH /y~ {content-length: 0}",
            ),
        case("a body with get")
            .send(Request::get("x").body("abc"))
            .reply(ok("y"))
            .show(LENGTH)
            .expect("200 y", "First 200", "GET /x {content-length: 3} abc"),
        case("a json body")
            .send(Request::post("x").json(&["a", "b"]))
            .reply(ok("y"))
            .show(TYPED)
            .expect(
                "200 y",
                "First 200",
                r#"POST /x {content-type: application/json} {content-length: 9} ["a","b"]"#,
            ),
        case("a form body")
            .send(Request::put("x").form(&[("k", "a b"), ("l", "é")]))
            .reply(ok("y"))
            .show(TYPED)
            .expect(
                "200 y",
                "First 200",
                "PUT /x {content-type: application/x-www-form-urlencoded} {content-length: 14} k=a+b&l=%C3%A9",
            ),
        case("a large body")
            .send(Request::post("x").body(vec![b'x'; 300_000]))
            .reply(ok("y"))
            .expect("200 y", "First 200", "POST /x (300000 bytes)"),
        case("a method of the caller's own")
            .send(Request::new(Method::from_bytes(b"PURGE").unwrap(), "x"))
            .reply(ok("y"))
            .show(LENGTH)
            .expect("200 y", "First 200", "PURGE /x"),
    ]
}

fn headers() -> Vec<Scenario> {
    vec![
        case("queries are joined")
            .base("v1")
            .send(Request::get("x?a=1").query("b", "2 3").query_opt("c", None::<u8>))
            .reply(ok("y"))
            .expect("200 y", "First 200", "GET /v1/x?a=1&b=2+3"),
        case("a path parameter is one segment")
            .send(Request::get("x/{id}/y").param("id", "a/b ?"))
            .reply(ok("y"))
            .expect("200 y", "First 200", "GET /x/a%2Fb%20%3F/y"),
        case("default headers")
            .send(Request::get("x"))
            .reply(ok("y"))
            .show(&["user-agent", "accept", "accept-encoding", "connection", "content-length"])
            .expect(
                "200 y",
                "First 200",
                "GET /x {user-agent: duocall/0.1.0} {accept: */*} {accept-encoding: gzip, deflate, br, zstd}",
            ),
        case("a request's header takes the api's place")
            .api(|api| api.header("accept", "text/plain").header("x-a", "1").header("x-b", "2"))
            .send(Request::get("x").header("X-A", "9").header("user-agent", "me"))
            .reply(ok("y"))
            .show(&["accept", "x-a", "x-b", "user-agent"])
            .expect(
                "200 y",
                "First 200",
                "GET /x {accept: text/plain} {x-a: 9} {x-b: 2} {user-agent: me}",
            ),
    ]
}

fn mistakes() -> Vec<Scenario> {
    let refused = |name, request: Request, results| {
        case(name).send(request).reply(ok("never")).expect(results, "", "")
    };
    let unbuilt = |name, set: fn(ApiBuilder) -> ApiBuilder, results| {
        case(name).api(set).send(Request::get("x")).reply(ok("never")).expect(results, "", "")
    };
    let get = || Request::get("x");
    vec![
        case("a target that leaves the base")
            .base("v1/")
            .send(Request::get("../admin"))
            .send(Request::get("//evil.example/x"))
            .send(Request::get("https://evil.example/x"))
            .send(Request::get("a\tb"))
            .reply(ok("never"))
            .expect(
                "Request/No: invalid request: URL could lead outside the path of the API's base | \
                 Request/No: invalid request: URL leads to another origin than the API's base | \
                 Request/No: invalid request: URL has a scheme where one relative to the API's base is expected \
                 (a whole URL is for Request::absolute, a name with a colon begins with ./) | \
                 Request/No: invalid request: URL contains a control character, a backslash, or white space around it",
                " |  |  | ",
                "",
            ),
        refused(
            "a header with a line break",
            get().header("x-a", "hide\r\nx-b: 1"),
            "Request/No: invalid request: value of header x-a has a character that no header may hold",
        ),
        refused(
            "a header without a name",
            get().header("", "1"),
            "Request/No: invalid request: header has a name that is not a token",
        ),
        refused(
            "the caller frames no message",
            get().header("Transfer-Encoding", "chunked"),
            "Request/No: invalid request: header transfer-encoding is set by the transport only",
        ),
        refused(
            "the first mistake wins",
            get().header("content-length", "1").timeout(Duration::ZERO),
            "Request/No: invalid request: header content-length is set by the transport only",
        ),
        refused(
            "an empty idempotency key",
            Request::post("x").idempotency_key(""),
            "Request/No: invalid request: header idempotency-key is empty",
        ),
        refused(
            "a path parameter that is a dot",
            Request::get("x/{id}").param("id", ".."),
            "Request/No: invalid request: path parameter id is empty or a dot segment",
        ),
        refused(
            "a path parameter without a value",
            Request::get("x/{id}").query("id", 7),
            "Request/No: invalid request: URL has a path parameter in braces that was given no value",
        ),
        refused(
            "connect is no call",
            Request::new(Method::CONNECT, "x"),
            "Request/No: invalid request: method CONNECT opens a tunnel and is not a call",
        ),
        refused(
            "an absolute URL that is none",
            Request::absolute("ftp://h/x"),
            "Request/No: invalid request: URL does not have the scheme http or https",
        ),
        unbuilt(
            "a flawed token",
            |api| api.auth(Auth::token("abc\r\nX: y")),
            "Request/No: invalid request: token has a line break",
        ),
        unbuilt(
            "a credential that frames messages",
            |api| api.auth(Auth::header("Transfer-Encoding", "chunked")),
            "Request/No: invalid request: header transfer-encoding is set by the transport only",
        ),
        unbuilt(
            "a rate of zero",
            |api| api.rate(Rate::per_second(0)),
            "Request/No: invalid request: rate is not a number above zero",
        ),
        unbuilt(
            "no concurrency",
            |api| api.concurrency(0),
            "Request/No: invalid request: concurrency is zero",
        ),
        unbuilt(
            "no attempt",
            |api| api.retry(Retry::default().attempts(0)),
            "Request/No: invalid request: retry attempts are zero",
        ),
        unbuilt(
            "no time",
            |api| api.timeouts(Timeouts::default().head(Duration::ZERO)),
            "Request/No: invalid request: time-out head is zero",
        ),
    ]
}
