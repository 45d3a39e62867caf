//! Redirects: methods, limits, and what does not go along.

use duocall::{Auth, Request};

use crate::parity::scenario::{Http, Scenario, case, http, ok};

pub fn rows() -> Vec<Scenario> {
    let mut rows = methods();
    rows.extend(targets());
    rows.extend(credentials());
    rows
}

fn to(status: u16, location: &str) -> Http {
    http(status).header("location", location)
}

/// A redirect from /a to /b, which answers.
fn leads(name: &'static str, request: Request, there: Http, saw: &str) -> Scenario {
    let traces = format!("First {}, Redirect 200~", there.status);
    case(name).send(request).on("/a", there).on("/b", ok("b")).expect(
        "200 b @http://H/b",
        traces,
        saw,
    )
}

fn methods() -> Vec<Scenario> {
    let row = |name, request, status, saw| leads(name, request, to(status, "/b"), saw);
    let post = || Request::post("a").body("x");
    let put = || Request::put("a").body("x");
    vec![
        row("301 of a get", Request::get("a"), 301, "GET /a | GET /b~"),
        row(
            "301 of a post becomes a get",
            post(),
            301,
            "POST /a {content-length: 1} x | GET /b~",
        )
        .show(&["content-length"]),
        row("302 of a post becomes a get", post(), 302, "POST /a x | GET /b~"),
        row("302 of a put stays one", put(), 302, "PUT /a x | PUT /b~ x"),
        row("303 of a put becomes a get", put(), 303, "PUT /a x | GET /b~"),
        case("303 of a head stays one")
            .send(Request::head("a"))
            .on("/a", to(303, "/b"))
            .on("/b", ok("b"))
            .expect("200 @http://H/b", "First 303, Redirect 200~", "HEAD /a | HEAD /b~"),
        row("307 keeps method and body", post(), 307, "POST /a x | POST /b~ x"),
        row(
            "308 keeps method and body",
            Request::patch("a").json(&1),
            308,
            "PATCH /a {content-type: application/json} 1 | PATCH /b~ {content-type: application/json} 1",
        )
        .show(&["content-type"]),
        case("300 and 304 are not followed")
            .send(Request::get("a").accept(300))
            .send(Request::get("a").accept(304))
            .on("/a", to(300, "/b"))
            .on("/a", to(304, "/b"))
            .expect("300 | 304", "First 300 | First 304~", "GET /a | GET /a~"),
    ]
}

fn targets() -> Vec<Scenario> {
    let plain = |name, there| leads(name, Request::get("a"), there, "GET /a | GET /b~");
    let refused = |name, location: &str, results| {
        case(name).send(Request::get("a")).on("/a", to(302, location)).expect(
            results,
            "First 302",
            "GET /a",
        )
    };
    vec![
        case("a relative location")
            .send(Request::get("d/a"))
            .on("/d/a", to(302, "b?q=1#f"))
            .on("/d/b", ok("b"))
            .expect("200 b @http://H/d/b?q=1", "First 302, Redirect 200~", "GET /d/a | GET /d/b?q=1~"),
        plain("a location without a scheme", to(302, "//{hostport}/b")),
        plain("an absolute location", to(302, "{base}/b")),
        plain("userinfo in a location is dropped", to(302, "http://user:pass@{hostport}/b"))
            .show(&["authorization"]),
        case("no location, no redirect").send(Request::get("a")).on("/a", http(302)).expect(
            "Status/Yes: GET http://H/a: 302 Found: the resource is elsewhere for now",
            "First 302",
            "GET /a",
        ),
        case("two locations are none")
            .send(Request::get("a"))
            .on("/a", to(302, "/b").header("location", "/c"))
            .expect(
                "Status/Yes: GET http://H/a: 302 Found: the resource is elsewhere for now",
                "First 302",
                "GET /a",
            ),
        refused(
            "another scheme",
            "javascript:alert(1)",
            "Redirect/Yes: GET http://H/a: redirect not followed: the Location does not have the scheme http or https",
        ),
        refused(
            "a file",
            "file:///etc/passwd",
            "Redirect/Yes: GET http://H/a: redirect not followed: the Location does not have the scheme http or https",
        ),
        case("a loop ends")
            .send(Request::get("a").redirects(3))
            .on("/a", to(302, "/b"))
            .on("/b", to(302, "/a"))
            .expect(
                "Redirect/Yes: GET http://H/b: redirect not followed: more than 3 in a row",
                "First 302, Redirect 302~, Redirect 302~, Redirect 302~",
                "GET /a | GET /b~ | GET /a~ | GET /b~",
            ),
        case("eleven are too many").send(Request::get("a")).reply(to(307, "a")).expect(
            "Redirect/Yes: GET http://H/a: redirect not followed: more than 10 in a row",
            "First 307, Redirect 307~, Redirect 307~, Redirect 307~, Redirect 307~, Redirect 307~, \
             Redirect 307~, Redirect 307~, Redirect 307~, Redirect 307~, Redirect 307~",
            "GET /a | 10 x GET /a~",
        ),
        case("none wanted")
            .send(Request::get("a").redirects(0))
            .send(Request::get("a").redirects(0).accept(302))
            .on("/a", to(302, "/b").body("there"))
            .expect(
                "Status/Yes: GET http://H/a: 302 Found: the resource is elsewhere for now [there] | 302 there",
                "First 302 | First 302~",
                "GET /a | GET /a~",
            ),
        plain(
            "the body of a redirect is not decoded",
            to(302, "/b").header("content-encoding", "gzip").body("not gzip"),
        ),
        case("a retry begins where the redirect led")
            .send(Request::get("a"))
            .on("/a", to(302, "/b"))
            .on("/b", http(503))
            .on("/b", ok("b"))
            .expect(
                "200 b @http://H/b",
                "First 302, Redirect 503~, Retry 200~",
                "GET /a | GET /b~ | GET /b~",
            ),
    ]
}

const KNOWN: &[&str] = &["authorization", "x-own", "x-api", "accept", "user-agent"];

fn credentials() -> Vec<Scenario> {
    let row = |name| {
        case(name)
            .base("v1/")
            .api(|api| api.auth(Auth::bearer("t")).header("x-api", "1").header("accept", "a/b"))
            .send(Request::get("a").header("x-own", "2").header("user-agent", "me"))
            .show(KNOWN)
    };
    vec![
        row("all headers go along within the base").on("/v1/a", to(302, "b")).on("/v1/b", ok("b")).expect(
            "200 b @http://H/v1/b",
            "First 302, Redirect 200~",
            "GET /v1/a {authorization: Bearer t} {x-own: 2} {x-api: 1} {accept: a/b} {user-agent: me} | \
             GET /v1/b~ {authorization: Bearer t} {x-own: 2} {x-api: 1} {accept: a/b} {user-agent: me}",
        ),
        row("outside the base's path no credential goes along")
            .on("/v1/a", to(302, "/v2/b"))
            .on("/v2/b", ok("b"))
            .expect(
                "200 b @http://H/v2/b",
                "First 302, Redirect 200~",
                "GET /v1/a {authorization: Bearer t} {x-own: 2} {x-api: 1} {accept: a/b} {user-agent: me} | \
                 GET /v2/b~ {accept: a/b} {user-agent: me}",
            ),
        row("another origin gets no credential")
            .on("/v1/a", to(302, "{other}/v1/b"))
            .on("/v1/b", ok("b"))
            .expect(
                "200 b @http://O/v1/b",
                "First 302, Redirect 200",
                "GET /v1/a {authorization: Bearer t} {x-own: 2} {x-api: 1} {accept: a/b} {user-agent: me} | \
                 GET O/v1/b {accept: a/b} {user-agent: me}",
            ),
        row("and it is not back on the way home")
            .on("/v1/a", to(302, "{other}/v1/b"))
            .on("/v1/b", to(302, "{base}/v1/c"))
            .on("/v1/c", ok("c"))
            .expect(
                "200 c @http://H/v1/c",
                "First 302, Redirect 302, Redirect 200~",
                "GET /v1/a {authorization: Bearer t} {x-own: 2} {x-api: 1} {accept: a/b} {user-agent: me} | \
                 GET O/v1/b {accept: a/b} {user-agent: me} | \
                 GET /v1/c~ {accept: a/b} {user-agent: me}",
            ),
        case("a body does not go to another origin")
            .send(Request::post("a").body("x"))
            .on("/a", to(307, "{other}/b"))
            .expect(
                "Redirect/Yes: POST http://H/a: redirect not followed: a POST would go to another origin",
                "First 307",
                "POST /a x",
            ),
        case("a secret in the query that comes back goes out once")
            .api(|api| api.auth(Auth::query("key", "t")))
            .send(Request::get("a?q=1"))
            .on("/a", to(302, "/b?key=t&q=2"))
            .on("/b", ok("b"))
            .expect(
                "200 b @http://H/b?key=t&q=2",
                "First 302, Redirect 200~",
                "GET /a?q=1&key=t | GET /b?q=2&key=t~",
            ),
        case("a secret in the query stays behind")
            .base("v1/")
            .api(|api| api.auth(Auth::query("key", "t")))
            .send(Request::get("a?q=1"))
            .on("/v1/a", to(302, "/v2/b?q=2"))
            .on("/v2/b", ok("b"))
            .expect(
                "200 b @http://H/v2/b?q=2",
                "First 302, Redirect 200~",
                "GET /v1/a?q=1&key=t | GET /v2/b?q=2~",
            ),
    ]
}
