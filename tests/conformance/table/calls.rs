//! What goes out: methods, queries, headers, bodies, credentials.

use std::io::Cursor;

use duocall::http::Method;
use duocall::{Auth, Body, Multipart, Paging};

use super::{Section, section};
use crate::conformance::case::Look::{Header, Is, Json, Size, Text};
use crate::conformance::case::{Case, call, get, post, sweep};
use crate::support::ways::Said;

pub fn sections(base: &str) -> Vec<Section> {
    vec![
        section("Methods", "", methods()),
        section("What the server saw", "", inspected(base)),
        section("Bodies that go up", "", uploads()),
        section(
            "Credentials",
            "Digest (RFC 7616) is not supported: the challenge is an error like every other 401.",
            credentials(),
        ),
    ]
}

fn methods() -> Vec<Case> {
    let url = || [Json("/url")];
    let put = |path: &str| call(Method::PUT, path);
    vec![
        get("get").see(url()).gives("200; url \"http://httpbin/get\""),
        post("post").see(url()).gives("200; url \"http://httpbin/post\""),
        put("put").see(url()).gives("200; url \"http://httpbin/put\""),
        call(Method::PATCH, "patch").see(url()).gives("200; url \"http://httpbin/patch\""),
        call(Method::DELETE, "delete").see(url()).gives("200; url \"http://httpbin/delete\""),
        call(Method::HEAD, "get")
            .see([Size, Header("content-type")])
            .gives("200; 0 bytes; content-type: application/json"),
        call(Method::OPTIONS, "get").see([Header("access-control-allow-methods")]).gives(
            "200; access-control-allow-methods: GET, POST, PUT, DELETE, PATCH, \
             OPTIONS",
        ),
        call(Method::TRACE, "anything").see([Json("/method")]).gives("200; method \"TRACE\""),
        call(Method::from_bytes(b"PURGE").expect("a method"), "get")
            .gives("Status: 405 Method Not Allowed: the resource does not know this method"),
        post("get").gives("Status: 405 Method Not Allowed: the resource does not know this method"),
        sweep("every other route by `HEAD`", HEADS.map(|path| call(Method::HEAD, path)), no_body)
            .gives("200 and no body, 29 times"),
    ]
}

const HEADS: [&str; 29] = [
    "",
    "base64/aGVsbG8=",
    "brotli",
    "bytes/1000",
    "cache",
    "cache/60",
    "cookies",
    "deflate",
    "deny",
    "drip?duration=0",
    "encoding/utf8",
    "etag/x",
    "forms/post",
    "gzip",
    "headers",
    "html",
    "image/jpeg",
    "image/png",
    "image/svg",
    "image/webp",
    "ip",
    "json",
    "range/1000",
    "response-headers?x=y",
    "robots.txt",
    "stream-bytes/1000",
    "stream/3",
    "uuid",
    "xml",
];

fn no_body(said: &[Said]) -> String {
    let good = |said: &&Said| match said {
        Said::Response(response, body) => response.status() == 200 && body.is_empty(),
        _ => false,
    };
    format!("200 and no body, {} times", said.iter().filter(good).count())
}

fn inspected(base: &str) -> Vec<Case> {
    let link = format!("<{base}/response-headers?n=3&n=4>; rel=\"next\"");
    vec![
        get("get?a=1&b=x%20y&a=2")
            .see([Json("/args")])
            .gives(r#"200; args {"a":["1","2"],"b":"x y"}"#),
        get("anything")
            .with("a query of all sorts", |r| r.query("q", "a+b & c=ü/?#%"))
            .see([Json("/args")])
            .gives(r##"200; args {"q":"a+b & c=ü/?#%"}"##),
        get("anything/{id}/x")
            .with("a parameter of all sorts", |r| r.param("id", "a b/ü?"))
            .see([Json("/url")])
            .gives("200; url \"http://httpbin/anything/a%20b/ü%3F/x\""),
        get("headers")
            .with("a header of its own", |r| r.header("x-own", "a, b"))
            .see([Json("/headers/X-Own")])
            .gives("200; headers/X-Own \"a, b\""),
        get("headers")
            .see([Json("/headers/Connection"), Json("/headers/Content-Length")])
            .gives("200; headers/Connection absent; headers/Content-Length absent"),
        get("user-agent")
            .see([Is("duocall and its version", |body| {
                String::from_utf8_lossy(body).contains(concat!(
                    "\"duocall/",
                    env!("CARGO_PKG_VERSION"),
                    "\""
                ))
            })])
            .gives("200; duocall and its version"),
        get("user-agent")
            .with("one of its own", |r| r.header("user-agent", "mine/1"))
            .see([Json("/user-agent")])
            .gives("200; user-agent \"mine/1\""),
        get("ip").see([Json("/origin")]).gives("200; origin \"127.0.0.1\""),
        get("response-headers?x-a=1&x-a=2&x-b=%C3%A9")
            .see([Header("x-a"), Header("x-b")])
            .gives(r"200; x-a: 1, 2; x-b: \xe9"),
        post("response-headers?x-a=1").see([Header("x-a")]).gives("200; x-a: 1"),
        get("response-headers")
            .with("a Link header in it", |r| r.query("Link", link).query("n", 1).query("n", 2))
            .pages(Paging::link_header().items("/n"))
            .gives(r#""1", then "2", then "3", then "4""#),
        get("no-such-route").see([Header("content-type")]).gives(
            "Status: 404 Not Found: there is no such resource; content-type: text/html; \
             charset=utf-8",
        ),
    ]
}

fn text() -> String {
    "0123456789".repeat(20_000)
}

fn uploads() -> Vec<Case> {
    let form = |case: Case| case.with("a form", |r| r.form(&[("a", "b c&d=ü"), ("e", "")]));
    let length = Json("/headers/Content-Length");
    let whole = || {
        Is("the whole body", |body| {
            let echo: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
            echo["data"] == text()
        })
    };
    vec![
        form(post("post")).see([Json("/form")]).gives(r#"200; form {"a":"b c&d=ü","e":""}"#),
        form(call(Method::PUT, "put"))
            .see([Json("/form")])
            .gives(r#"200; form {"a":"b c&d=ü","e":""}"#),
        form(call(Method::PATCH, "patch")).see([Json("/form/a")]).gives(r#"200; form/a "b c&d=ü""#),
        call(Method::DELETE, "delete")
            .with("JSON", |r| r.json(&[1, 2]))
            .see([Json("/json")])
            .gives("200; json [1,2]"),
        post("anything/x")
            .with("JSON", |r| r.json(&"ü"))
            .see([Json("/json"), Json("/headers/Content-Type")])
            .gives(r#"200; json "ü"; headers/Content-Type "application/json""#),
        post("post")
            .with("bytes that are not text", |r| r.body(vec![0, 159, 146, 150]))
            .see([Json("/data")])
            .gives("200; data \"data:application/octet-stream;base64,AJ+Slg==\""),
        post("post")
            .with("nothing", |r| r)
            .see([length, Json("/data")])
            .gives("200; headers/Content-Length \"0\"; data \"\""),
        post("post").with("200 kB", |r| r.body(text())).see([whole()]).gives("200; the whole body"),
        post("post")
            .with("200 kB from a reader, chunked", |r| r.body(Body::reader(Cursor::new(text()))))
            .see([whole(), Json("/headers/Transfer-Encoding")])
            .gives("200; the whole body; headers/Transfer-Encoding \"chunked\""),
        post("post")
            .with("200 kB from a reader of known length", |r| {
                r.body(Body::sized_reader(Cursor::new(text()), text().len() as u64))
            })
            .see([whole(), Json("/headers/Content-Length")])
            .gives("200; the whole body; headers/Content-Length \"200000\""),
        post("post")
            .with("fields and a file", |r| {
                let form = Multipart::new().text("a", "ü").text("b \"c\"", "1\r\n2");
                r.multipart(form.bytes("f", "ü.txt", "text/plain", "in the file"))
            })
            .see([Json("/form"), Json("/files")])
            .gives(r#"200; form {"a":"ü","b \"c\"":"1\r\n2"}; files {"f":"in the file"}"#),
    ]
}

fn credentials() -> Vec<Case> {
    let basic =
        |case: Case| case.api("`user` and `pass`", |api| api.auth(Auth::basic("user", "pass")));
    let wrong = |case: Case| case.api("`user` and `no`", |api| api.auth(Auth::basic("user", "no")));
    let challenge = || [Header("www-authenticate")];
    let good = || [Text];
    vec![
        basic(get("basic-auth/user/pass"))
            .see([Json("/authenticated")])
            .gives("200; authenticated true"),
        wrong(get("basic-auth/user/pass")).see(challenge()).gives(
            "Status: 401 Unauthorized: the credential is missing or not valid; \
             www-authenticate: Basic realm=\\\"Fake Realm\\\"",
        ),
        get("basic-auth/user/pass")
            .gives("Status: 401 Unauthorized: the credential is missing or not valid"),
        get("basic-auth/%C3%BCser/p%3A%C3%A4")
            .api("`üser` and `p:ä`", |api| api.auth(Auth::basic("üser", "p:ä")))
            .see([Json("/user")])
            .gives("200; user \"üser\""),
        basic(get("hidden-basic-auth/user/pass")).see([Json("/user")]).gives("200; user \"user\""),
        wrong(get("hidden-basic-auth/user/pass"))
            .gives("Status: 404 Not Found: there is no such resource"),
        get("bearer")
            .api("a bearer token", |api| api.auth(Auth::bearer("abc")))
            .see([Json("/token")])
            .gives("200; token \"abc\""),
        get("bearer")
            .api("a token of another scheme", |api| api.auth(Auth::token("abc")))
            .see(challenge())
            .gives(
                "Status: 401 Unauthorized: the credential is missing or not valid; \
                 www-authenticate: Bearer",
            ),
        get("headers")
            .api("a key in a header", |api| api.auth(Auth::header("X-Key", "abc")))
            .see([Json("/headers/X-Key")])
            .gives("200; headers/X-Key \"abc\""),
        get("get?a=b")
            .api("a key in the query", |api| api.auth(Auth::query("key", "abc")))
            .see([Json("/args")])
            .gives(r#"200; args {"a":"b","key":"abc"}"#),
        basic(get("digest-auth/auth/user/pass"))
            .see([])
            .gives("Status: 401 Unauthorized: the credential is missing or not valid"),
        get("digest-auth/auth/user/pass/SHA-256").accepting(401).see(good()).gives("401; \"\""),
        get("digest-auth/auth-int/user/pass/MD5/2").accepting(401).see(good()).gives("401; \"\""),
    ]
}
