//! Retries: what is repeated, when, and how often.

use std::time::Duration;

use duocall::{ErrorKind, Request, Retry, Timeouts};

use crate::parity::run::quick;
use crate::parity::scenario::Fault::{Close, Silence};
use crate::parity::scenario::{Http, Scenario, case, http, ok};

pub fn rows() -> Vec<Scenario> {
    let mut rows = repeated();
    rows.extend(waits());
    rows.extend(settings());
    rows
}

fn get() -> Request {
    Request::get("x")
}

fn repeated() -> Vec<Scenario> {
    let listed = |name, status| {
        let again = "GET /x | GET /x~";
        case(name).send(get()).reply(http(status)).reply(ok("a")).expect(
            "200 a",
            match status {
                408 => "First 408, Retry 200~",
                425 => "First 425, Retry 200~",
                429 => "First 429, Retry 200~",
                500 => "First 500, Retry 200~",
                502 => "First 502, Retry 200~",
                503 => "First 503, Retry 200~",
                _ => "First 504, Retry 200~",
            },
            again,
        )
    };
    vec![
        listed("408 is retried", 408),
        listed("425 is retried", 425),
        listed("429 is retried", 429),
        listed("500 is retried", 500),
        listed("502 is retried", 502),
        listed("503 is retried", 503),
        listed("504 is retried", 504),
        case("501 is not retried").send(get()).reply(http(501)).expect(
            "Status/Yes: GET http://H/x: 501 Not Implemented: the server does not know this method",
            "First 501",
            "GET /x",
        ),
        case("three attempts and the last error")
            .send(Request::delete("x"))
            .reply(http(502).body("one"))
            .reply(http(500).body("two"))
            .reply(http(503).body("three"))
            .expect(
                "Status/Yes: DELETE http://H/x: 503 Service Unavailable after 3 attempts in T s: \
                 the server is not ready [three]",
                "First 502, Retry 500~, Retry 503~",
                "DELETE /x | DELETE /x~ | DELETE /x~",
            ),
        case("a post is not retried").send(Request::post("x").body("b")).reply(http(503)).expect(
            "Status/Yes: POST http://H/x: 503 Service Unavailable: the server is not ready",
            "First 503",
            "POST /x b",
        ),
        case("a patch is not retried").send(Request::patch("x").body("b")).reply(http(429)).expect(
            "Status/Yes: PATCH http://H/x: 429 Too Many Requests: the server wants fewer requests",
            "First 429",
            "PATCH /x b",
        ),
        case("a put is retried with its body")
            .send(Request::put("x").body("b"))
            .reply(http(503))
            .reply(http(201))
            .expect("201", "First 503, Retry 201~", "PUT /x b | PUT /x~ b"),
        case("a post with a key is retried with the same key")
            .send(Request::post("x").body("b").idempotency_key("k1"))
            .reply(http(503))
            .reply(Close)
            .reply(ok("a"))
            .show(&["idempotency-key"])
            .only_bytes()
            .expect(
                "200 a",
                "First 503, Retry Closed~, Resend 200",
                "POST /x {idempotency-key: k1} b | POST /x~ {idempotency-key: k1} b | POST /x {idempotency-key: k1} b",
            ),
        case("keys made for posts make them safe")
            .api(|api| api.idempotency_keys(true).retry(quick()))
            .send(Request::post("x").body("b"))
            .send(get())
            .reply(http(503))
            .reply(ok("a"))
            .expect("200 a | 200 a", "First 503, Retry 200~ | First 200~", "POST /x b | POST /x~ b | GET /x~"),
    ]
}

fn limited() -> Http {
    http(429)
}

fn waits() -> Vec<Scenario> {
    let own = |name, value: &str| {
        case(name).send(get()).reply(limited().header("retry-after", value)).reply(ok("a")).expect(
            "200 a",
            "First 429, Retry 200~",
            "GET /x | GET /x~",
        )
    };
    let kept = |name, field, value: &str, expected| {
        case(name)
            .api(|api| api.timeouts(Timeouts::default().total(Duration::from_secs(20))))
            .send(get())
            .reply(limited().header("date", "Sat, 21 Nov 2026 12:00:00 GMT").header(field, value))
            .expect(expected, "First 429", "GET /x")
    };
    let thirty = "Status/Yes: GET http://H/x: 429 Too Many Requests: the server wants fewer requests (the server asks to wait 30 s)";
    let ever = "Status/Yes: GET http://H/x: 429 Too Many Requests: the server wants fewer requests (the server asks to wait 18446744073709551615 s)";
    vec![
        own("retry-after 0 is a short breath", "0"),
        own("retry-after below zero counts for nothing", "-1"),
        own("retry-after in parts of a second counts for nothing", "2.5"),
        own("retry-after in words counts for nothing", "soon"),
        own("retry-after with a sign counts for nothing", "+2"),
        own("an empty retry-after counts for nothing", ""),
        own("a retry-after in the past is a short breath", "Sat, 21 Nov 2015 12:00:00 GMT"),
        case("retry-after is waited for")
            .send(get())
            .reply(http(503).header("retry-after", "1"))
            .reply(ok("a"))
            .expect("200 a", "First 503, Retry 200~", "GET /x | GET /x~"),
        kept("a retry-after longer than what is left ends the call", "retry-after", "30", thirty),
        kept("so does a date", "retry-after", "Sat, 21 Nov 2026 12:00:30 GMT", thirty),
        kept("so does a date of RFC 850", "retry-after", "Saturday, 21-Nov-26 12:00:30 GMT", thirty),
        kept("ratelimit-reset stands in", "ratelimit-reset", "30", thirty),
        kept("x-ratelimit-reset stands in", "x-ratelimit-reset", "30", thirty),
        kept("x-ratelimit-reset as a time", "x-ratelimit-reset", "1795262430", thirty),
        case("a reset told with every response is no wait while something is left")
            .send(get())
            .reply(http(503).header("x-ratelimit-reset", "30").header("x-ratelimit-remaining", "7"))
            .reply(http(502).header("ratelimit-reset", "30").header("ratelimit-remaining", "7"))
            .reply(ok("a"))
            .expect("200 a", "First 503, Retry 502~, Retry 200~", "GET /x | GET /x~ | GET /x~"),
        kept("a retry-after too large for a number", "retry-after", "99999999999999999999", ever),
        case("two retry-afters that differ count for nothing")
            .send(get())
            .reply(limited().header("retry-after", "30").header("retry-after", "40"))
            .reply(ok("a"))
            .expect("200 a", "First 429, Retry 200~", "GET /x | GET /x~"),
        case("a post tells what the server asked for")
            .send(Request::post("x"))
            .reply(limited().header("retry-after", "1"))
            .expect(
                "Status/Yes: POST http://H/x: 429 Too Many Requests: the server wants fewer requests (the server asks to wait 1 s)",
                "First 429",
                "POST /x",
            ),
    ]
}

fn settings() -> Vec<Scenario> {
    const GONE: &str =
        "Status/Yes: GET http://H/x: 503 Service Unavailable: the server is not ready";
    vec![
        case("no retry for the api")
            .api(|api| api.retry(Retry::none()))
            .send(get())
            .reply(http(503))
            .expect(GONE, "First 503", "GET /x"),
        case("no retry for a request")
            .send(get().retry(Retry::none()))
            .reply(http(503))
            .expect(GONE, "First 503", "GET /x"),
        case("more attempts for a request")
            .send(get().retry(quick().attempts(5)))
            .reply(http(503))
            .reply(http(503))
            .reply(http(503))
            .reply(http(503))
            .reply(ok("a"))
            .expect(
                "200 a",
                "First 503, Retry 503~, Retry 503~, Retry 503~, Retry 200~",
                "GET /x | GET /x~ | GET /x~ | GET /x~ | GET /x~",
            ),
        case("a list of statuses instead")
            .api(|api| api.retry(quick().statuses([418])))
            .send(get())
            .send(get())
            .reply(http(418))
            .reply(ok("a"))
            .reply(http(503))
            .expect(
                "200 a | Status/Yes: GET http://H/x: 503 Service Unavailable: the server is not ready",
                "First 418, Retry 200~ | First 503~",
                "GET /x | GET /x~ | GET /x~",
            ),
        case("retry_if decides")
            .noting(|api, notes| {
                let notes = notes.clone();
                api.retry(quick().retry_if(move |error| {
                    notes.add(format!("{:?}", error.status().map(|s| s.as_u16())));
                    error.kind() == ErrorKind::Status && error.status().unwrap() != 500
                }))
            })
            .send(get())
            .reply(http(404))
            .reply(http(500))
            .notes("Some(404) | Some(500)")
            .expect(
                "Status/Yes: GET http://H/x: 500 Internal Server Error after 2 attempts in T s: the server failed",
                "First 404, Retry 500~",
                "GET /x | GET /x~",
            ),
        case("retry_if does not make a post safe")
            .api(|api| api.retry(quick().retry_if(|_| true)))
            .send(Request::post("x"))
            .reply(http(503))
            .expect(
                "Status/Yes: POST http://H/x: 503 Service Unavailable: the server is not ready",
                "First 503",
                "POST /x",
            ),
        case("a rejection can be retried")
            .api(|api| {
                api.reject(|r| r.text_contains("busy").then(|| "busy".into()))
                    .retry(quick().retry_if(|error| error.kind() == ErrorKind::Rejected))
            })
            .send(get())
            .reply(ok("busy"))
            .reply(ok("a"))
            .expect("200 a", "First 200, Retry 200~", "GET /x | GET /x~"),
        case("the budget for repeats runs out")
            .api(|api| api.retry(quick().attempts(20)))
            .send(get())
            .reply(http(500))
            .expect(
                "Status/Yes: GET http://H/x: 500 Internal Server Error after 11 attempts in T s: the server failed",
                "First 500, Retry 500~, Retry 500~, Retry 500~, Retry 500~, Retry 500~, Retry 500~, Retry 500~, Retry 500~, Retry 500~, Retry 500~",
                "GET /x | 10 x GET /x~",
            ),
        case("attempts end with the call")
            .api(|api| {
                let limits = Timeouts::default().head(Duration::from_millis(120));
                let backoff = Duration::from_secs(20);
                api.timeouts(limits.total(Duration::from_millis(600)))
                    .retry(Retry::default().attempts(50).backoff(backoff, backoff).seed(7))
            })
            .send(get())
            .reply(Silence)
            .expect(
                "Timeout(Head)/Yes: GET http://H/x: timed out: waiting for the response",
                "First Timeout(Head)",
                "GET /x",
            ),
    ]
}
