//! What a call does with what comes back: statuses and repeats, redirects, cookies.

use std::time::Duration;

use duocall::http::Method;
use duocall::{Auth, Error, Retry, Timeouts};

use super::{Section, section};
use crate::conformance::case::Look::{Attempts, Header, Json, Text, Url};
use crate::conformance::case::{Case, call, get, post, sweep};
use crate::support::ways::Said;

pub fn sections(other: &str) -> Vec<Section> {
    vec![
        section("Statuses", "", statuses()),
        section("Redirects", "", redirects(other)),
        section("Cookies", "", cookies()),
    ]
}

/// Those that are registered, and some that are not.
fn known() -> impl Iterator<Item = u16> {
    let odd = [218, 299, 399, 444, 460, 499, 520, 530, 599, 600, 777, 999];
    (200..=208)
        .chain(300..=308)
        .chain(400..=418)
        .chain(421..=431)
        .chain([226, 451])
        .chain(500..=511)
        .chain(odd)
}

fn statuses() -> Vec<Case> {
    let failing =
        || known().filter(|status| *status >= 400).map(|status| get(format!("status/{status}")));
    let accepted = |status| {
        get(format!("status/{status}")).with("", |request| request.accept(status).redirects(0))
    };
    let methods =
        [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::POST, Method::PATCH];
    vec![
        sweep(
            "`GET /status/` and 73 statuses from 200 to 999, each accepted",
            known().map(accepted),
            as_asked,
        )
        .gives("74 of 74 as asked"),
        sweep("`GET /status/` and every one of them from 400", failing(), tries)
            .api("retries without a budget", |api| api.retry(quick().budget(1000.0)))
            .gives("3 attempts: 408 425 429 500 502 503 504; 1 attempt: the other 45"),
        sweep(
            "`/status/503` by every method",
            methods.map(|method| call(method, "status/503")),
            by_method,
        )
        .gives("GET 3, HEAD 3, PUT 3, DELETE 3, POST 1, PATCH 1 attempts"),
        get("status/418")
            .see([Header("x-more-info")])
            .gives("Status: 418 I'm a teapot; x-more-info: http://tools.ietf.org/html/rfc2324"),
        get("status/402").gives("Status: 402 Payment Required: payment is required"),
        get("status/407")
            .gives("Status: 407 Proxy Authentication Required: the proxy wants a credential"),
        get("status/304").gives("Status: 304 Not Modified: the resource has not changed"),
        get("status/204").see([Text]).gives("204; \"\""),
        get("status/500,500:2").see([Attempts]).gives(
            "Status: 500 Internal Server Error after 3 attempts: the server failed; 3 attempts",
        ),
        get("status/x").see([Text]).gives(
            "Status: 400 Bad Request: the server could not understand the request; \
             \"Invalid status code\"",
        ),
        get("status/100")
            .api("0.3 s for the head", |api| {
                api.timeouts(Timeouts::default().head(Duration::from_millis(300)))
                    .retry(Retry::none())
            })
            .gives("Timeout(Head): timed out: waiting for the response"),
        get("status/101")
            .gives("Protocol: broken response: an interim response in place of the final one"),
        get("status/1000")
            .api("once", |api| api.retry(Retry::none()))
            .gives("Status: 500 Internal Server Error: the server failed"),
    ]
}

fn quick() -> Retry {
    Retry::default().backoff(Duration::from_millis(1), Duration::from_millis(2))
}

fn as_asked(said: &[Said]) -> String {
    let came = said.iter().map(|said| match said {
        Said::Response(response, _) => Some(response.status().as_u16()),
        _ => None,
    });
    let good = came.zip(known()).filter(|(came, asked)| *came == Some(*asked)).count();
    format!("{good} of {} as asked", known().count())
}

fn tries(said: &[Said]) -> String {
    let errors = said.iter().filter_map(|said| match said {
        Said::Error(error) => Some(error),
        _ => None,
    });
    let (repeated, once): (Vec<_>, Vec<_>) = errors.partition(|error| error.attempts().len() == 3);
    let status = |error: &&Error| error.status().map(|status| status.as_u16().to_string());
    let repeated: Vec<String> = repeated.iter().filter_map(status).collect();
    let once = once.iter().filter(|error| error.attempts().len() == 1).count();
    format!("3 attempts: {}; 1 attempt: the other {once}", repeated.join(" "))
}

fn by_method(said: &[Said]) -> String {
    let tried = said.iter().map(|said| match said {
        Said::Error(error) => error.attempts().len().to_string(),
        _ => "no error".to_owned(),
    });
    let methods = ["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH"];
    let told: Vec<String> =
        methods.iter().zip(tried).map(|(method, tried)| format!("{method} {tried}")).collect();
    format!("{} attempts", told.join(", "))
}

fn redirects(other: &str) -> Vec<Case> {
    let to = |case: Case, url: String, status: u16| {
        case.with(&format!("{status} to `{url}`"), |request| {
            request.query("url", url).query("status_code", status)
        })
    };
    let bearing = |case: Case| case.api("a bearer token", |api| api.auth(Auth::bearer("abc")));
    let seen = || [Json("/headers/Authorization"), Url];
    let came = || [Json("/method"), Json("/data")];
    let moved = |method: Method, status| {
        to(
            call(method, "redirect-to").with("a body", |r| r.body("x")),
            "/anything".to_owned(),
            status,
        )
        .see(came())
    };
    vec![
        get("redirect/1").see([Url]).gives("200; at http://httpbin/get"),
        get("redirect/10").see([Url]).gives("200; at http://httpbin/get"),
        get("redirect/11").gives("Redirect: redirect not followed: more than 10 in a row"),
        get("redirect/3")
            .with("at most 2", |r| r.redirects(2))
            .gives("Redirect: redirect not followed: more than 2 in a row"),
        get("redirect/1")
            .with("none", |r| r.redirects(0))
            .accepting(302)
            .see([Header("location")])
            .gives("302; location: /get"),
        get("redirect/3?absolute=true").see([Url]).gives("200; at http://httpbin/get"),
        get("relative-redirect/3").see([Url]).gives("200; at http://httpbin/get"),
        bearing(get("absolute-redirect/3")).see([Url]).gives("200; at http://httpbin/get"),
        moved(Method::POST, 301).gives("200; method \"GET\"; data \"\""),
        moved(Method::POST, 302).gives("200; method \"GET\"; data \"\""),
        moved(Method::PUT, 302).gives("200; method \"PUT\"; data \"x\""),
        moved(Method::PATCH, 303).gives("200; method \"GET\"; data \"\""),
        moved(Method::POST, 307).gives("200; method \"POST\"; data \"x\""),
        moved(Method::DELETE, 308).gives("200; method \"DELETE\"; data \"x\""),
        moved(Method::POST, 305).gives(
            "Status: 305 Use Proxy: the resource wants a proxy; method absent; data \
             absent",
        ),
        bearing(to(get("redirect-to"), "/headers".to_owned(), 302))
            .see(seen())
            .gives(r#"200; headers/Authorization "Bearer abc"; at http://httpbin/headers"#),
        bearing(to(get("redirect-to"), format!("{other}/headers"), 302))
            .see(seen())
            .gives("200; headers/Authorization absent; at http://other/headers"),
        to(post("redirect-to").with("a body", |r| r.body("x")), format!("{other}/post"), 307)
            .gives("Redirect: redirect not followed: a POST would go to another origin"),
        to(get("redirect-to"), "ftp://httpbin/".to_owned(), 302).gives(
            "Redirect: redirect not followed: the Location does not have the scheme \
             http or https",
        ),
    ]
}

fn cookies() -> Vec<Case> {
    let kept = |case: Case| case.api("cookies kept", |api| api.cookies(true));
    let seen = || [Json("/cookies")];
    vec![
        kept(get("cookies/set?a=1&b=x%20y"))
            .see(seen())
            .gives(r#"200; cookies {"a":"1","b":"x y"}"#),
        get("cookies/set?a=1").see(seen()).gives("200; cookies {}"),
        kept(get("cookies/set/name/value").then(get("cookies")))
            .see(seen())
            .gives(r#"200; cookies {"name":"value"}, then 200; cookies {"name":"value"}"#),
        kept(get("cookies/set?a=1&b=2").then(get("cookies/delete?a=")))
            .see(seen())
            .gives(r#"200; cookies {"a":"1","b":"2"}, then 200; cookies {"b":"2"}"#),
        kept(get("cookies").with("one of its own", |r| r.header("cookie", "mine=1")))
            .see(seen())
            .gives(r#"200; cookies {"mine":"1"}"#),
    ]
}
