//! X: what a caller may write.

use std::time::Duration;

use duocall::http::Method;
use duocall::{Api, ApiBuilder, Auth, Rate, Request, Timeouts};

use crate::faults::case::{Case, once, row, unsent};
use crate::parity::outcome::Said;
use crate::parity::scenario::{Own, ok};

pub fn cases() -> Vec<Case> {
    let mut cases = leaving();
    cases.extend(within());
    cases.extend(parameters());
    cases.extend(bases());
    cases.extend(headers());
    cases.extend(tokens());
    cases.extend(methods());
    cases.extend(extremes());
    cases
}

const ORIGIN: &str = "URL leads to another origin than the API's base";
const BASE: &str = "URL could lead outside the path of the API's base";
const SLASH: &str = "URL starts at the root of the host, outside the path of the API's base: leave its first slash out";
const RELATIVE: &str = "URL has a scheme where one relative to the API's base is expected \
    (a whole URL is for Request::absolute, a name with a colon begins with ./)";
const CHARACTER: &str = "URL contains a control character, a backslash, or white space around it";

/// Of an API below `/v1/`: nothing is sent.
fn refused(id: &'static str, target: &'static str, why: &str) -> Case {
    row(
        id,
        code(target),
        "an error of the request; nothing is sent",
        unsent(once().base("v1/").send(Request::get(target)), why),
    )
}

fn leaving() -> Vec<Case> {
    vec![
        refused("X1", "https://evil.com/", RELATIVE),
        refused("X1 upper case", "HTTPS://evil.com", RELATIVE),
        refused("X1 space", " https://evil.com", CHARACTER),
        refused("X1 line break", "ht\ntps://evil.com/", CHARACTER),
        refused("X1 tab", "https:\t//evil.com/", CHARACTER),
        refused("X2", "//evil.com/x", ORIGIN),
        refused("X2 backslashes", "\\\\evil.com\\x", CHARACTER),
        refused("X2 mixed", "/\\evil.com", CHARACTER),
        refused("X2 tab", "/\t/evil.com", CHARACTER),
        refused("X2 at", "//evil.com\\@api.example.com", CHARACTER),
        refused("X3 http", "http:evil.com", RELATIVE),
        refused("X3 https", "https:evil.com", RELATIVE),
        refused("X4 up", "../admin", BASE),
        refused("X4 encoded", "%2e%2e/admin", BASE),
        refused("X4 half encoded", ".%2e/admin", BASE),
        refused("X4 root", "/users", SLASH),
        refused("X4 deeper", "a/../../admin", BASE),
        refused("X4 prefix", "/v10/users", SLASH),
        refused("X4 semicolon", "..;/admin", BASE),
        refused("X4 encoded slash", "..%2fadmin", BASE),
        refused("X4 encoded backslash", "..%5cadmin", BASE),
        refused("X5", "//user:pw@evil.com", ORIGIN),
        refused("X5 like a host", "//api.example.com@evil.com/", ORIGIN),
        refused("X6 javascript", "javascript:alert(1)", RELATIVE),
        refused("X6 data", "data:text/html,x", RELATIVE),
        refused("X6 file", "file:///etc/passwd", RELATIVE),
        refused("X6 other", "a:b", RELATIVE),
        refused("X6 CRLF", "x\r\nHost: evil", CHARACTER),
    ]
}

fn within() -> Vec<Case> {
    let sent = |id, base, target: &'static str, path: &'static str| {
        row(
            id,
            format!("`{target}` of the base `/{base}`").leak(),
            "sent there",
            once().base(base).send(Request::get(target)).reply(ok("a")).expect(
                "200 a",
                "First 200",
                format!("GET {path}"),
            ),
        )
    };
    vec![
        sent("X4 within", "v1/", "a/../b", "/v1/b"),
        sent("X4 whole path", "v1/", "/v1/users", "/v1/users"),
        sent("X8", "v1", "users", "/v1/users"),
        sent("X8 with slash", "v1/", "users", "/v1/users"),
        sent("X9 space", "v1/", "a b", "/v1/a%20b"),
        sent("X9 percent", "v1/", "%zz", "/v1/%zz"),
        row(
            "X9 1 MB",
            "a target of a megabyte",
            "an error of the request; nothing is sent",
            unsent(
                once().send(Request::get("a".repeat(1 << 20))),
                "URL is longer than 65534 bytes",
            ),
        ),
    ]
}

fn parameters() -> Vec<Case> {
    let of = |value: &'static str| {
        let call = once().base("v1/").send(Request::get("users/{id}/x").param("id", value));
        (format!("{} as a path parameter", code(value)).leak(), call)
    };
    let sent = |id, value, path| {
        let (what, call) = of(value);
        let call = call.reply(ok("a"));
        let call = call.expect("200 a", "First 200", format!("GET /v1/users/{path}/x"));
        row(id, what, "one segment, whatever it holds", call)
    };
    let dots = |id, value, why| {
        let we =
            "an error of the request, for a server that decodes once more would read another path";
        let (what, call) = of(value);
        row(id, what, we, unsent(call, why))
    };
    vec![
        dots("X4 parameter dots", "..", EMPTY),
        dots("X4 parameter dot", ".", EMPTY),
        dots("X4 parameter empty", "", EMPTY),
        dots("X4 parameter path", "a/../b", BASE),
        dots("X4 parameter semicolon", "..;/", BASE),
        dots("X4 parameter encoded", "%2e%2e", BASE),
        sent("X4 parameter slash", "a/b", "a%2Fb"),
        sent("X4 parameter encoded slash", "%2f", "%252f"),
        sent("X4 parameter encoded backslash", "%5c", "%255c"),
        dots("X4 parameter encoded NUL", "%00", CHARACTER),
        dots("X4 parameter NUL", "\0", CHARACTER),
        sent("X4 parameter query", "a?b#c", "a%3Fb%23c"),
    ]
}

const EMPTY: &str = "path parameter id is empty or a dot segment";

const NOTHING: Own = Own {
    blocking: |_, _| bad_bases(),
    pool: |_, _| bad_bases(),
    task: |_, _| Box::pin(async { bad_bases() }),
};

/// What comes of building APIs with these bases, none of which shows.
fn bad_bases() -> Vec<Said> {
    let long = format!("http://h/{}", "s3cr3t-CANARY".repeat(100_000));
    [
        "http://h/?key=s3cr3t-CANARY",
        "http://h/#s3cr3t-CANARY",
        "http://user:s3cr3t-CANARY@h/",
        "http:///s3cr3t-CANARY",
        "http://h:0/",
        "http://h:65536/",
        "http://h:x/",
        "http:// h/",
        "http://h\\s3cr3t-CANARY/",
        "ftp://h/",
        "h/v1",
        "",
        &long,
    ]
    .map(|base| Said::response(Api::new(base).map(|_| unreachable!("{base}"))))
    .into()
}

fn bases() -> Vec<Case> {
    let said = [
        "has a query, which the base of an API cannot have",
        "has a fragment, which the base of an API cannot have",
        "contains a user name or a password",
        HOST,
        PORT,
        PORT,
        PORT,
        HOST,
        "contains a control character, a backslash, or white space around it",
        "does not have the scheme http or https",
        "does not have the scheme http or https",
        "is empty",
        "is longer than 65534 bytes",
    ];
    let said = said.map(|why| format!("Request/No: invalid request: base URL {why}"));
    let empty = vec![""; said.len()].join(" | ");
    vec![row(
        "X9 bases",
        "a base with a query, a fragment, userinfo; no host; port 0, 65536, x; a space, a backslash; another scheme, \
         none; empty; a megabyte",
        "an error when the API is built, which does not repeat the text",
        once().own(NOTHING).reply(ok("never")).connections(0).expect(said.join(" | "), empty, ""),
    )]
}

const HOST: &str = "has no valid host (an international name must be in its xn-- form, an IPv4 address four decimal numbers)";
const PORT: &str = "has a port that is not a number from 1 to 65535";

fn bad(id: &'static str, what: &'static str, request: Request, why: &str) -> Case {
    row(
        id,
        what,
        "an error of the request, which does not repeat the value; nothing is sent",
        unsent(once().send(request), why),
    )
}

fn headers() -> Vec<Case> {
    let value = "value of header x-a has a character that no header may hold";
    let name = "header has a name that is not a token";
    let get = || Request::get("x");
    vec![
        bad("X10 CRLF", "a header with CRLF", get().header("x-a", "s3cr3t-CANARY\r\nx: y"), value),
        bad("X10 CR", "a header with CR", get().header("x-a", "s3cr3t-CANARY\ry"), value),
        bad("X10 LF", "a header with LF", get().header("x-a", "s3cr3t-CANARY\ny"), value),
        bad("X10 NUL", "a header with NUL", get().header("x-a", "s3cr3t-CANARY\0"), value),
        bad("X10 name CRLF", "a name with CRLF", get().header("x\r\ny", "s3cr3t-CANARY"), name),
        bad("X10 name colon", "a name with a colon", get().header("x:y", "s3cr3t-CANARY"), name),
        bad(
            "X10 name non-ASCII",
            "a name with \u{e9}",
            get().header("x-\u{e9}", "s3cr3t-CANARY"),
            name,
        ),
        bad("X10 name empty", "an empty name", get().header("", "s3cr3t-CANARY"), name),
        row(
            "X10 non-ASCII",
            "a header with letters in UTF-8",
            "sent byte for byte",
            once().send(get().header("x-a", "\u{e9}")).reply(ok("a")).expect(
                "200 a",
                "First 200",
                "GET /x",
            ),
        )
        .not_on("async over surf", "surf has only headers in ASCII, and refuses the request"),
        row(
            "X10 1 MB",
            "a header of a megabyte",
            "sent: how much a server takes is its own affair",
            once().send(get().header("x-a", "v".repeat(1 << 20))).reply(ok("a")).expect(
                "200 a",
                "First 200",
                "GET /x",
            ),
        ),
    ]
}

fn unbuilt(
    id: &'static str,
    what: &'static str,
    set: impl Fn(ApiBuilder) -> ApiBuilder + Send + Sync + 'static,
    why: &str,
) -> Case {
    row(
        id,
        what,
        "an error when the API is built, which does not repeat the value",
        unsent(once().api(set).send(Request::get("x")), why),
    )
}

fn tokens() -> Vec<Case> {
    let mut cases = Vec::new();
    for (id, what, token, why) in [
        ("X11 LF", "a token with LF at its end", "s3cr3t-CANARY\n", "has a line break"),
        ("X11 CRLF", "a token with CRLF", "s3cr3t-CANARY\r\nX: y", "has a line break"),
        (
            "X11 space before",
            "a token with a space before",
            " s3cr3t-CANARY",
            "has white space around it",
        ),
        (
            "X11 space after",
            "a token with a space behind",
            "s3cr3t-CANARY ",
            "has white space around it",
        ),
        ("X11 empty", "an empty token", "", "is empty"),
        (
            "X11 non-ASCII",
            "a token with \u{e9}",
            "s3cr3t-CANARY\u{e9}",
            "has a character outside visible ASCII",
        ),
    ] {
        cases.push(unbuilt(
            id,
            what,
            move |api| api.auth(Auth::token(token)),
            &format!("token {why}"),
        ));
    }
    cases
}

fn methods() -> Vec<Case> {
    let split = Method::from_bytes(b"GET / HTTP/1.1\r\nX").is_err();
    assert!(split, "the type of methods is their grammar");
    let sent = |id, what, method: &'static str| {
        let parsed = Method::from_bytes(method.as_bytes()).expect("a token");
        row(
            id,
            what,
            "sent as it is",
            once().send(Request::new(parsed, "x")).reply(ok("a")).expect(
                "200 a",
                "First 200",
                format!("{method} /x"),
            ),
        )
    };
    vec![
        sent("X12 lower case", "the method `get`, which is not `GET`", "get"),
        sent("X12 TRACE", "the method `TRACE`", "TRACE"),
        sent("X12 own", "a method of the caller's own", "PROPFIND"),
        bad(
            "X12 CONNECT",
            "the method `CONNECT`",
            Request::new(Method::CONNECT, "x"),
            "method CONNECT opens a tunnel and is not a call",
        ),
    ]
}

fn extremes() -> Vec<Case> {
    let zero = |id, what, set: fn(Timeouts) -> Timeouts, name| {
        let set = move |api: ApiBuilder| api.timeouts(set(Timeouts::default()));
        unbuilt(id, what, set, &format!("time-out {name} is zero"))
    };
    let works = |id, what, set: fn(ApiBuilder) -> ApiBuilder| {
        row(
            id,
            what,
            "works",
            once().api(set).send(Request::get("x")).reply(ok("a")).expect(
                "200 a",
                "First 200",
                "GET /x",
            ),
        )
    };
    vec![
        zero("X15 connect 0", "no time to connect", |t| t.connect(Duration::ZERO), "connect"),
        zero("X15 head 0", "no time for the head", |t| t.head(Duration::ZERO), "head"),
        zero("X15 total 0", "no time at all", |t| t.total(Duration::ZERO), "total"),
        works("X15 limits MAX", "every limit of time at `Duration::MAX`", |api| {
            let t =
                Timeouts::default().connect(Duration::MAX).head(Duration::MAX).idle(Duration::MAX);
            api.timeouts(t.attempt(Duration::MAX).total(Duration::MAX).queue(Duration::MAX))
        }),
        works("X15 sizes MAX", "a body of `usize::MAX`, as many calls at once", |api| {
            api.max_body(usize::MAX).concurrency(usize::MAX)
        }),
        works("X15 rate", "a burst of 4,294,967,295", |api| {
            api.rate(Rate::per_second(1).burst(u32::MAX))
        }),
        bad(
            "X15 request 0",
            "a request with no time",
            Request::get("x").timeout(Duration::ZERO),
            "time-out total is zero",
        ),
        bad(
            "X15 body 0",
            "a request that takes no body",
            Request::get("x").max_body(0),
            "max_body is zero",
        ),
        unbuilt(
            "X15 concurrency 0",
            "no call at once",
            |api| api.concurrency(0),
            "concurrency is zero",
        ),
        row(
            "X15 elapsed",
            "a limit of a nanosecond, which is over before the call begins",
            "a time-out of the call",
            once()
                .send(Request::get("x").timeout(Duration::from_nanos(1)))
                .reply(ok("never"))
                .loose()
                .expect("Timeout(Total)/No: GET http://H/x: timed out: the call", "", ""),
        ),
    ]
}

/// As code, with what does not show made visible.
fn code(text: &str) -> &'static str {
    format!("`{}`", text.escape_debug()).leak()
}
