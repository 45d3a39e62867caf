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

fn keeping(name: &'static str) -> Scenario {
    case(name).api(on).show(COOKIE)
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
        keeping("a cookie comes back, and a new value takes its place")
            .send(get("x"))
            .send(get("x"))
            .send(get("x"))
            .reply(set("k=1"))
            .reply(set("k=2"))
            .reply(ok("a"))
            .expect(
                "200 a | 200 a | 200 a",
                "First 200 | First 200~ | First 200~",
                "GET /x | GET /x~ {cookie: k=1} | GET /x~ {cookie: k=2}",
            ),
        keeping("a redirect sets one, and the next hop has it")
            .send(get("x"))
            .reply(http(302).header("location", "/y").header("set-cookie", "k=v; Path=/y"))
            .reply(ok("a"))
            .expect(
                "200 a @http://H/y",
                "First 302, Redirect 200~",
                "GET /x | GET /y~ {cookie: k=v}",
            ),
        keeping("another host gets none, and keeps its own")
            .send(get("x"))
            .send(get("x"))
            .reply(http(302).header("location", "{other}/y").header("set-cookie", "mine=1; Path=/"))
            .reply(ok("a").header("set-cookie", "theirs=2; Path=/"))
            .reply(ok("b"))
            .expect(
                "200 a @http://O/y | 200 b",
                "First 302, Redirect 200 | First 200~",
                "GET /x | GET O/y | GET /x~ {cookie: mine=1}",
            ),
        keeping("a failure sets one as well, and its retry has it")
            .send(get("x"))
            .reply(http(503).header("set-cookie", "k=v"))
            .reply(ok("a"))
            .expect("200 a", "First 503, Retry 200~", "GET /x | GET /x~ {cookie: k=v}"),
        keeping("the caller's own Cookie header wins")
            .send(get("x"))
            .send(get("x").header("cookie", "own=1"))
            .reply(set("k=v"))
            .expect("200 a | 200 a", "First 200 | First 200~", "GET /x | GET /x~ {cookie: own=1}"),
        keeping("a cookie for elsewhere is refused")
            .send(get("x"))
            .send(get("x"))
            .reply(set("k=v; Domain=example.com"))
            .expect("200 a | 200 a", "First 200 | First 200~", "GET /x | GET /x~"),
    ]
}
