//! Cookies: kept, sent where they belong, never elsewhere.

use duocall::{ApiBuilder, Request};

use crate::parity::scenario::{Scenario, case, http, ok};

const COOKIE: &[&str] = &["cookie"];

fn on(api: ApiBuilder) -> ApiBuilder {
    api.cookies(true)
}

fn get(path: &str) -> Request {
    Request::get(path)
}

pub fn rows() -> Vec<Scenario> {
    let set = |value| ok("a").header("set-cookie", value);
    vec![
        case("no cookie is kept unless asked for")
            .send(get("x"))
            .send(get("x"))
            .reply(set("k=v"))
            .show(COOKIE)
            .expect("200 a | 200 a", "First 200 | First 200~", "GET /x | GET /x~"),
        case("a cookie comes back, and a new value takes its place")
            .api(on)
            .send(get("x"))
            .send(get("x"))
            .send(get("x"))
            .reply(set("k=1"))
            .reply(set("k=2"))
            .reply(ok("a"))
            .show(COOKIE)
            .expect(
                "200 a | 200 a | 200 a",
                "First 200 | First 200~ | First 200~",
                "GET /x | GET /x~ {cookie: k=1} | GET /x~ {cookie: k=2}",
            ),
        case("a redirect sets one, and the next hop has it")
            .api(on)
            .send(get("x"))
            .reply(http(302).header("location", "/y").header("set-cookie", "k=v; Path=/y"))
            .reply(ok("a"))
            .show(COOKIE)
            .expect(
                "200 a @http://H/y",
                "First 302, Redirect 200~",
                "GET /x | GET /y~ {cookie: k=v}",
            ),
        case("another host gets none, and keeps its own")
            .api(on)
            .send(get("x"))
            .send(get("x"))
            .reply(http(302).header("location", "{other}/y").header("set-cookie", "mine=1; Path=/"))
            .reply(ok("a").header("set-cookie", "theirs=2; Path=/"))
            .reply(ok("b"))
            .show(COOKIE)
            .expect(
                "200 a @http://O/y | 200 b",
                "First 302, Redirect 200 | First 200~",
                "GET /x | GET O/y | GET /x~ {cookie: mine=1}",
            ),
        case("a failure sets one as well, and its retry has it")
            .api(on)
            .send(get("x"))
            .reply(http(503).header("set-cookie", "k=v"))
            .reply(ok("a"))
            .show(COOKIE)
            .expect("200 a", "First 503, Retry 200~", "GET /x | GET /x~ {cookie: k=v}"),
        case("the caller's own Cookie header wins")
            .api(on)
            .send(get("x"))
            .send(get("x").header("cookie", "own=1"))
            .reply(set("k=v"))
            .show(COOKIE)
            .expect("200 a | 200 a", "First 200 | First 200~", "GET /x | GET /x~ {cookie: own=1}"),
        case("a cookie for elsewhere is refused")
            .api(on)
            .send(get("x"))
            .send(get("x"))
            .reply(set("k=v; Domain=example.com"))
            .show(COOKIE)
            .expect("200 a | 200 a", "First 200 | First 200~", "GET /x | GET /x~"),
    ]
}
