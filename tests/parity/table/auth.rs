//! Credentials: how they look on the wire, how they change, where they stay behind.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use duocall::{ApiBuilder, Auth, Request};

use crate::parity::scenario::{Notes, Scenario, case, http, ok};

pub fn rows() -> Vec<Scenario> {
    let mut rows = kinds();
    rows.extend(refreshing());
    rows
}

const KEY: &[&str] = &["authorization", "x-api-key"];
const DENIED: &str =
    "Status/Yes: GET http://H/x: 401 Unauthorized: the credential is missing or not valid";

fn get() -> Request {
    Request::get("x")
}

fn kinds() -> Vec<Scenario> {
    let row = |name, auth: fn() -> Auth, saw| {
        case(name).api(move |api| api.auth(auth())).send(get()).reply(ok("a")).show(KEY).expect(
            "200 a",
            "First 200",
            saw,
        )
    };
    vec![
        row("a token", || Auth::token("t"), "GET /x {authorization: Token t}"),
        row("a bearer token", || Auth::bearer("t"), "GET /x {authorization: Bearer t}"),
        row(
            "user and password",
            || Auth::basic("Aladdin", "open sesame"),
            "GET /x {authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==}",
        ),
        row("a header", || Auth::header("X-Api-Key", "t"), "GET /x {x-api-key: t}"),
        row("a query parameter", || Auth::query("api key", "t&u"), "GET /x?api+key=t%26u"),
        case("a credential takes the place of the caller's header")
            .api(|api| api.auth(Auth::token("t")))
            .send(get().header("authorization", "mine"))
            .reply(ok("a"))
            .show(KEY)
            .expect("200 a", "First 200", "GET /x {authorization: Token t}"),
        case("a secret in the query is not in the response")
            .api(|api| api.auth(Auth::query("key", "t")))
            .send(get())
            .reply(http(404))
            .expect(
                "Status/Yes: GET http://H/x: 404 Not Found: there is no such resource",
                "First 404",
                "GET /x?key=t",
            ),
        case("an absolute URL gets no credential")
            .base("v1/")
            .api(|api| api.auth(Auth::token("t")).header("x-api", "1"))
            .send(get())
            .send_made(|api| Request::absolute(format!("{}x", api.base_url())))
            .reply(ok("a"))
            .show(&["authorization", "x-api"])
            .expect(
                "200 a | 200 a",
                "First 200 | First 200~",
                "GET /v1/x {authorization: Token t} {x-api: 1} | GET /v1/x~",
            ),
        case("a new credential counts at once")
            .api(|api| api.auth(Auth::token("one")))
            .send(get())
            .then(|api, _| api.clone().set_auth(Auth::bearer("two")))
            .send(get())
            .then(|api, _| api.set_auth(Auth::none()))
            .send(get())
            .reply(ok("a"))
            .show(KEY)
            .expect(
                "200 a | 200 a | 200 a",
                "First 200 | First 200~ | First 200~",
                "GET /x {authorization: Token one} | GET /x~ {authorization: Bearer two} | GET /x~",
            ),
        case("a flawed new credential is the error of the calls")
            .then(|api, _| api.set_auth(Auth::token("abc\n")))
            .send(get())
            .then(|api, _| api.set_auth(Auth::token("abc")))
            .send(get())
            .reply(ok("a"))
            .expect(
                "Request/No: GET http://H/x: invalid request: token has a line break | 200 a",
                " | First 200",
                "GET /x",
            ),
        case("401 and 403 that stay are statuses")
            .api(|api| api.auth(Auth::token("t")))
            .send(get())
            .send(get())
            .reply(http(401))
            .reply(http(403))
            .expect(
                "Status/Yes: GET http://H/x: 401 Unauthorized: the credential is missing or not valid | \
                 Status/Yes: GET http://H/x: 403 Forbidden: the server understood and refuses",
                "First 401 | First 403~",
                "GET /x | GET /x~",
            ),
    ]
}

/// A hook that gives t0, t1 and so on, and notes that it ran.
fn counting(api: ApiBuilder, notes: &Notes) -> ApiBuilder {
    let (count, notes) = (AtomicU32::new(0), notes.clone());
    api.auth(Auth::refreshing(move || {
        let n = count.fetch_add(1, SeqCst);
        notes.add(format!("made t{n}"));
        Ok::<_, &str>(Auth::bearer(format!("t{n}")))
    }))
}

fn refreshing() -> Vec<Scenario> {
    vec![
        case("a hook makes the first credential")
            .noting(counting)
            .send(get())
            .send(get())
            .reply(ok("a"))
            .show(KEY)
            .notes("made t0")
            .expect(
                "200 a | 200 a",
                "First 200 | First 200~",
                "GET /x {authorization: Bearer t0} | GET /x~ {authorization: Bearer t0}",
            ),
        case("a 401 is cured by one refresh and one replay")
            .noting(counting)
            .send(Request::post("x").body("b"))
            .reply(http(401))
            .reply(ok("a"))
            .show(KEY)
            .notes("made t0 | made t1")
            .expect(
                "200 a",
                "First 401, Refresh 200~",
                "POST /x {authorization: Bearer t0} b | POST /x~ {authorization: Bearer t1} b",
            ),
        case("a second 401 is the error")
            .noting(counting)
            .send(get())
            .reply(http(401))
            .show(KEY)
            .notes("made t0 | made t1")
            .expect(
                DENIED,
                "First 401, Refresh 401~",
                "GET /x {authorization: Bearer t0} | GET /x~ {authorization: Bearer t1}",
            ),
        case("a hook that fails")
            .noting(|api, notes| {
                let notes = notes.clone();
                api.auth(Auth::refreshing(move || {
                    notes.add("asked");
                    Err::<Auth, _>("the token endpoint is down")
                }))
            })
            .send(get())
            .send(get())
            .reply(ok("never"))
            .notes("asked | asked")
            .expect(
                "Auth/No: GET http://H/x: no credential: the refresh hook failed | \
                 Auth/No: GET http://H/x: no credential: the refresh hook failed",
                " | ",
                "",
            ),
        case("a hook that fails after a 401")
            .noting(|api, _| {
                let count = AtomicU32::new(0);
                api.auth(Auth::refreshing(move || match count.fetch_add(1, SeqCst) {
                    0 => Ok(Auth::bearer("t0")),
                    _ => Err("down"),
                }))
            })
            .send(get())
            .reply(http(401))
            .expect(
                "Auth/Yes: GET http://H/x: no credential: the refresh hook failed",
                "First 401",
                "GET /x",
            ),
        case("a credential is renewed ahead of its end")
            .noting(|api, notes| {
                let (count, notes) = (AtomicU32::new(0), notes.clone());
                api.auth(Auth::refreshing(move || {
                    let n = count.fetch_add(1, SeqCst);
                    notes.add(format!("made t{n}"));
                    let auth = Auth::bearer(format!("t{n}"));
                    Ok::<_, &str>(auth.expires_in(Duration::from_secs(if n == 0 { 0 } else { 60 })))
                }))
            })
            .send(get())
            .send(get())
            .reply(ok("a"))
            .show(KEY)
            .notes("made t0 | made t1")
            .expect(
                "200 a | 200 a",
                "First 200 | First 200~",
                "GET /x {authorization: Bearer t0} | GET /x~ {authorization: Bearer t1}",
            ),
        case("a hook's flawed credential")
            .api(|api| api.auth(Auth::refreshing(|| Ok::<_, &str>(Auth::token("a\nb")))))
            .send(get())
            .reply(ok("never"))
            .expect("Auth/No: GET http://H/x: no credential: the refresh hook failed", "", ""),
        case("fifty denied at once need one refresh")
            .noting(counting)
            .together((0..50).map(|_| get()))
            .denies("Bearer t0")
            .reply(ok("a"))
            .notes("made t0 | made t1")
            .loose()
            .expect("50 x 200 a", "", ""),
    ]
}
