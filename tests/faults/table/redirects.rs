//! R: redirects.

use std::sync::LazyLock;

use duocall::{Auth, Body, Request, Tls};

use crate::faults::case::{Case, case, row};
use crate::parity::canary::CANARY;
use crate::parity::scenario::{Http, Scenario, http, ok, raw};
use crate::support::tls::{Ca, Setup};

/// What a caller may have put into a request, and what may cross.
const SHOWN: &[&str] = &["authorization", "proxy-authorization", "cookie", "accept", "user-agent"];
const SECRETS: &[&str] = &["authorization", "x-api-key", "api-key", "x-auth-token"];
const FOUND: &str = "200 b @";

pub fn cases() -> Vec<Case> {
    let mut cases = elsewhere();
    cases.extend(schemes());
    cases.extend(secrets());
    cases.extend(and_back());
    cases.extend(locations());
    cases.extend(outside_the_base());
    cases.extend(loops());
    cases.extend(methods());
    cases.extend(bodies());
    cases
}

fn to(location: &str) -> Http {
    http(302).header("location", location)
}

fn laden() -> Request {
    Request::get("a")
        .header("cookie", "c=1")
        .header("proxy-authorization", "p")
        .header("accept", "a/b")
        .header("user-agent", "me")
}

const LADEN: &str = "GET /a {authorization: Bearer s3cr3t-CANARY} {proxy-authorization: p} {cookie: c=1} \
                     {accept: a/b} {user-agent: me}";

/// Asked here, answered at another place.
fn crossing(location: &str) -> Scenario {
    case().send(laden()).show(SHOWN).on("/a", to(location))
}

/// What it brings along to another origin.
fn arrives_bare(crossing: Scenario, url: &str) -> Scenario {
    let (_, at) = url.split_once("://").expect("a scheme");
    crossing.expect(
        format!("200 b @{url}"),
        "First 302, Redirect 200",
        format!("{LADEN} | GET {at} {{accept: a/b}} {{user-agent: me}}"),
    )
}

fn elsewhere() -> Vec<Case> {
    let we =
        "follows, with no credential and none of the caller's headers but accept and user-agent";
    vec![
        row(
            "R1 other address",
            "from 127.0.0.1 to 127.0.0.2",
            we,
            arrives_bare(crossing("{elsewhere}/b").elsewhere("/b", ok("b")), "http://E/b"),
        ),
        row(
            "R1 other name",
            "from 127.0.0.1 to localhost, the same server",
            we,
            arrives_bare(crossing("{other}/b").on("/b", ok("b")), "http://O/b"),
        ),
        row(
            "R1 other address for the name",
            "from localhost to 127.0.0.1, the same server",
            we,
            crossing("{first}/b").by_name().on("/b", ok("b")).expect(
                "200 b @http://H/b",
                "First 302, Redirect 200",
                format!(
                    "{} | GET /b {{accept: a/b}} {{user-agent: me}}",
                    LADEN.replace("/a", "O/a")
                ),
            ),
        ),
        row(
            "R1 not followed",
            "the same where the request wants none followed",
            "gives the response",
            case()
                .send(laden().redirects(0).accept(302))
                .reply(to("{elsewhere}/b"))
                .elsewhere("/b", ok("never"))
                .expect("302", "First 302", "GET /a"),
        ),
    ]
}

static CA: LazyLock<Ca> = LazyLock::new(|| Ca::new("ours"));

fn tls() -> Setup {
    Setup::new(CA.issue("127.0.0.1", |_| {}))
}

fn trusting(scenario: Scenario) -> Scenario {
    let before = scenario.setup.clone();
    let tls = || Tls::default().roots_pem(CA.pem.as_bytes());
    scenario.noting(move |api, notes| before(api, notes).tls(tls()))
}

fn schemes() -> Vec<Case> {
    vec![
        row(
            "R2 other port",
            "to another port of the same host",
            "another origin: no credential goes along",
            arrives_bare(
                crossing("{elsewhere}/b").next_door().elsewhere("/b", ok("b")),
                "http://E/b",
            ),
        ),
        row(
            "R2 to https",
            "from http to https on the same host",
            "another origin: no credential goes along",
            arrives_bare(
                trusting(crossing("{front}/b").with_front(tls)).on("/b", ok("b")),
                "https://F/b",
            ),
        ),
        row(
            "R2 to http",
            "from https to http on the same host",
            "not followed: an error that says so",
            trusting(case().https("127.0.0.1").tls(tls))
                .send(laden())
                .reply(to("{first}/b"))
                .expect(
                    "Redirect/Yes: GET https://H/a: redirect not followed: from https to http",
                    "First 302",
                    "GET /a",
                ),
        ),
    ]
}

fn secrets() -> Vec<Case> {
    let we = "stays behind; only accept, user-agent and content-type cross";
    let left = |calls: Scenario, location: &str, sent: &str| {
        calls.show(SECRETS).on("/a", to(location)).elsewhere("/b", ok("b")).expect(
            "200 b @http://E/b?q=1",
            "First 302, Redirect 200",
            format!("{sent} | GET E/b?q=1"),
        )
    };
    let there = "{elsewhere}/b?q=1";
    let none = || case().api(|api| api.auth(Auth::none()));
    let header = |id, what, name: &'static str| {
        let calls = none().send(Request::get("a").header(name, "key"));
        row(id, what, we, left(calls, there, &format!("GET /a {{{name}: key}}")))
    };
    let auth = |id, what, auth: fn() -> Auth, sent| {
        let calls = case().api(move |api| api.auth(auth())).send(Request::get("a"));
        row(id, what, we, left(calls, there, sent))
    };
    vec![
        header("R3 X-Api-Key", "a header X-Api-Key of the request's", "x-api-key"),
        header("R3 Api-Key", "a header Api-Key of the request's", "api-key"),
        header("R3 X-Auth-Token", "a header X-Auth-Token of the request's", "x-auth-token"),
        row(
            "R3 header of the API's",
            "a header X-Api-Key that the API sets for all",
            we,
            left(
                case()
                    .api(|api| api.header("x-api-key", CANARY).auth(Auth::none()))
                    .send(Request::get("a")),
                there,
                "GET /a {x-api-key: s3cr3t-CANARY}",
            ),
        ),
        auth(
            "R3 auth header",
            "a credential in a header of its own",
            || Auth::header("x-api-key", CANARY),
            "GET /a {x-api-key: s3cr3t-CANARY}",
        ),
        auth(
            "R3 query",
            "a credential in the query",
            || Auth::query("key", CANARY),
            "GET /a?key=s3cr3t-CANARY",
        ),
        auth(
            "R3 basic",
            "a name and a password",
            || Auth::basic("user", CANARY),
            "GET /a {authorization: Basic dXNlcjpzM2NyM3QtQ0FOQVJZ}",
        ),
        row(
            "R3 userinfo",
            "a name and a password in the URL it points to",
            "they are not sent, and not shown",
            left(none().send(Request::get("a")), "http://user:pass@{far}/b?q=1", "GET /a"),
        ),
    ]
}

fn and_back() -> Vec<Case> {
    let we = "what was left behind does not come back";
    vec![
        row(
            "R4 a, b, b",
            "to another origin, and on within it",
            we,
            crossing("{elsewhere}/b").elsewhere("/b", to("c")).elsewhere("/c", ok("c")).expect(
                "200 c @http://E/c",
                "First 302, Redirect 302, Redirect 200~",
                format!(
                    "{LADEN} | GET E/b {{accept: a/b}} {{user-agent: me}} | \
                     GET E/c~ {{accept: a/b}} {{user-agent: me}}"
                ),
            ),
        ),
        row(
            "R4 a, b, a",
            "to another origin, and back to the first",
            we,
            crossing("{elsewhere}/b").elsewhere("/b", to("{first}/c")).on("/c", ok("c")).expect(
                "200 c @http://H/c",
                "First 302, Redirect 302, Redirect 200~",
                format!(
                    "{LADEN} | GET E/b {{accept: a/b}} {{user-agent: me}} | \
                     GET /c~ {{accept: a/b}} {{user-agent: me}}"
                ),
            ),
        ),
    ]
}

/// What the WHATWG standard makes of a Location, by the crate `url`.
fn by_the_standard(location: &str) -> String {
    let base = url::Url::parse("http://h:1/d/a?q").unwrap();
    let mut url = base.join(location).expect("a good Location");
    url.set_fragment(None);
    let (host, port) = (url.host_str().unwrap(), url.port().unwrap_or(80));
    format!("http://{host}:{port}{}", &url[url::Position::BeforePath..])
}

fn locations() -> Vec<Case> {
    let mut cases = Vec::new();
    // Where it leads, by the standard; `h:1` is the server itself.
    for (id, what, location, leads) in [
        ("R6 relative", "`Location: b`", "b", "/d/b"),
        ("R6 path", "`/b`", "/b", "/b"),
        ("R6 query", "`?x`", "?x", "/d/a?x"),
        ("R6 empty", "empty", "", "/d/a?q"),
        ("R6 fragment", "`/b#f`", "/b#f", "/b"),
        ("R6 only a fragment", "`#f`", "#f", "/d/a?q"),
        ("R6 dots", "`../../c/./b`", "../../c/./b", "/c/b"),
        ("R6 encoded dots", "`%2e%2e/b`", "%2e%2e/b", "/b"),
        ("R6 backslash", "`\\b`", "\\b", "/b"),
        ("R6 own scheme", "`http:b`", "http:b", "/d/b"),
        ("R6 tab", "a tab within", "/b\tc", "/bc"),
        ("R6 space", "spaces within", "/b c?d e", "/b%20c?d%20e"),
        ("R6 non-ASCII", "letters in UTF-8", "/\u{e9}?\u{e9}", "/%C3%A9?%C3%A9"),
        ("R6 CRLF", "an encoded CRLF", "/b%0d%0aX:%20y", "/b%0d%0aX:%20y"),
        ("R6 bad percent", "`%zz`", "/%zz", "/%zz"),
    ] {
        assert_eq!(by_the_standard(location), format!("http://h:1{leads}"), "{id}");
        let scenario = case().send(Request::get("d/a?q")).reply(to(location)).reply(ok("b"));
        cases.push(row(
            id,
            what,
            "leads where the WHATWG standard says",
            scenario.expect(
                format!("{FOUND}http://H{leads}"),
                "First 302, Redirect 200~",
                format!("GET /d/a?q | GET {leads}~"),
            ),
        ));
    }
    for (id, what, location) in [
        ("R6 other host", "`//evil`", "//{far}/b"),
        ("R6 backslashes", "`\\\\evil`", "\\\\{far}/b"),
        ("R6 mixed slashes", "`/\\evil`", "/\\{far}/b"),
        ("R6 tab and slashes", "`/<TAB>/evil`", "/\t/{far}/b"),
        ("R6 userinfo", "`http://user:pass@evil`", "http://user:pass@{far}/b"),
        ("R6 userinfo like a host", "`//our.host@evil`", "//{hostport}@{far}/b"),
        ("R6 missing slashes", "`http:/evil`, from https; here `http://evil`", "http://{far}/b"),
    ] {
        let standard =
            by_the_standard(&location.replace("{far}", "e:2").replace("{hostport}", "h:1"));
        assert_eq!(standard, "http://e:2/b", "{id}");
        cases.push(row(
            id,
            what,
            "leads where the WHATWG standard says, as another origin; userinfo is dropped",
            arrives_bare(crossing(location).elsewhere("/b", ok("b")), "http://E/b"),
        ));
    }
    cases.extend(refused_locations());
    cases
}

fn refused_locations() -> Vec<Case> {
    let refused = |id, what, location: &str, why: &str| {
        let text =
            format!("Redirect/Yes: GET http://H/a: redirect not followed: the Location {why}");
        let scenario = case().send(Request::get("a")).reply(to(location));
        row(id, what, "not followed", scenario.expect(text, "First 302", "GET /a"))
    };
    let scheme = "does not have the scheme http or https";
    let elsewhere = "Status/Yes: GET http://H/a: 302 Found: the resource is elsewhere for now";
    let moved = |text: &[u8]| {
        let head = [b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n", text, b"\r\n\r\n"].concat();
        case().send(Request::get("a")).reply(raw(head))
    };
    let long: &str = format!("/{}", "b".repeat(60_000)).leak();
    vec![
        refused("R6 javascript", "`javascript:alert(1)`", "javascript:alert(1)", scheme),
        refused("R6 file", "`file:///etc/passwd`", "file:///etc/passwd", scheme),
        refused("R6 data", "`data:text/html,x`", "data:text/html,x", scheme),
        refused("R6 ftp", "`ftp://evil/x`", "ftp://evil/x", scheme),
        row(
            "R6 https without slashes",
            "`https:127.0.0.1:1`, from http",
            "another scheme, so another origin, as the WHATWG standard says",
            case().send(Request::get("a")).reply(to("https:127.0.0.1:1")).expect(
                "Connect/No: GET https://127.0.0.1:1/: could not connect after 3 attempts in T s: connection refused",
                "First 302, Redirect Connect, Retry Connect, Retry Connect",
                "GET /a",
            ),
        ),
        row(
            "R6 missing",
            "no Location",
            "gives the response",
            case()
                .send(Request::get("a"))
                .send(Request::get("a").accept(302))
                .reply(http(302))
                .expect(format!("{elsewhere} | 302"), "First 302 | First 302~", "GET /a | GET /a~"),
        ),
        row(
            "R6 two",
            "two Locations that differ",
            "as if there were none",
            case()
                .send(Request::get("a"))
                .reply(to("/b").header("location", "/c"))
                .expect(elsewhere, "First 302", "GET /a"),
        ),
        row(
            "R6 two alike",
            "the same Location twice",
            "follows it",
            case().send(Request::get("a")).reply(to("/b").header("location", "/b")).reply(ok("b")).expect(
                "200 b @http://H/b",
                "First 302, Redirect 200~",
                "GET /a | GET /b~",
            ),
        ),
        row(
            "R6 latin-1",
            "a letter in latin-1",
            "not followed",
            moved(b"Location: /b\xe9").expect(
                "Redirect/Yes: GET http://H/a: redirect not followed: the Location is not UTF-8",
                "First 302",
                "GET /a",
            ),
        ),
        row(
            "R6 60 KB",
            "a Location of 60,000 bytes",
            "follows it",
            case().send(Request::get("a")).reply(to(long)).reply(ok("b")).expect(
                format!("{FOUND}http://H{long}"),
                "First 302, Redirect 200~",
                format!("GET /a | GET {long}~"),
            ),
        ),
        row(
            "R6 1 MB",
            "a Location of a megabyte",
            "the head is too large",
            moved(&[b"Location: /", &[b'b'; 1 << 20][..]].concat()).expect(
                "HeadTooLarge/Yes: GET http://H/a: response head above 64 KiB or 100 fields",
                "First HeadTooLarge",
                "GET /a",
            ),
        ),
    ]
}

fn outside_the_base() -> Vec<Case> {
    let mut cases = Vec::new();
    for (id, what, location, leads) in [
        ("R7 other path", "from /v1/a to /v2/b", "/v2/b", "/v2/b"),
        ("R7 dots", "to /v1/../b", "/v1/../b", "/b"),
        ("R7 encoded dots", "to /v1/%2e%2e/b", "/v1/%2e%2e/b", "/b"),
        ("R7 prefix", "to /v10/b", "/v10/b", "/v10/b"),
        ("R7 without slash", "to /v1", "/v1", "/v1"),
    ] {
        cases.push(row(
            id,
            what,
            "follows, without the credential and the caller's headers, for it leaves the API",
            crossing(location).base("v1/").on("/v1/a", to(location)).on(leads, ok("b")).expect(
                format!("{FOUND}http://H{leads}"),
                "First 302, Redirect 200~",
                format!(
                    "{} | GET {leads}~ {{accept: a/b}} {{user-agent: me}}",
                    LADEN.replace("/a ", "/v1/a ")
                ),
            ),
        ));
    }
    cases.push(row(
        "R7 within",
        "from /v1/a to /v1/b",
        "follows, with the credential",
        crossing("b").base("v1/").on("/v1/a", to("b")).on("/v1/b", ok("b")).expect(
            "200 b @http://H/v1/b",
            "First 302, Redirect 200~",
            format!("{} | {}", LADEN.replace("/a ", "/v1/a "), LADEN.replace("/a ", "/v1/b~ ")),
        ),
    ));
    cases
}

const TEN: &str = "First 302, Redirect 302~, Redirect 302~, Redirect 302~, Redirect 302~, Redirect 302~, \
                   Redirect 302~, Redirect 302~, Redirect 302~, Redirect 302~, Redirect 302~";

fn loops() -> Vec<Case> {
    let we = "an error that names the limit, after ten; its attempts tell the way";
    let last = |path| {
        let text = format!("Redirect/Yes: GET http://H/{path}: redirect not followed");
        format!("{text}: more than 10 in a row")
    };
    let mut endless = case().send(Request::get("0"));
    for n in 0..20 {
        endless = endless.on(format!("/{n}").leak(), to(&(n + 1).to_string()));
    }
    let on: Vec<String> = (1..=10).map(|n| format!("GET /{n}~")).collect();
    vec![
        row(
            "R8 A, A",
            "a page that leads to itself",
            we,
            case().send(Request::get("a")).reply(to("a")).expect(
                last("a"),
                TEN,
                "GET /a | 10 x GET /a~",
            ),
        ),
        row(
            "R8 A, B",
            "two pages that lead to each other",
            we,
            case().send(Request::get("a")).on("/a", to("b")).on("/b", to("a")).expect(
                last("a"),
                TEN,
                format!("GET /a{}", " | GET /b~ | GET /a~".repeat(5)),
            ),
        ),
        row(
            "R8 endless",
            "each page leads to a new one",
            we,
            endless.expect(last("10"), TEN, format!("GET /0 | {}", on.join(" | "))),
        ),
    ]
}

fn methods() -> Vec<Case> {
    let mut cases = Vec::new();
    for status in [301, 302, 303, 307, 308] {
        for method in ["POST", "PUT", "DELETE", "HEAD"] {
            let then = match (status, method) {
                (303, "HEAD") => "HEAD",
                (303, _) | (301 | 302, "POST") => "GET",
                _ => method,
            };
            let parsed = duocall::http::Method::from_bytes(method.as_bytes()).unwrap();
            let request = Request::new(parsed, "a");
            let has_body = matches!(method, "POST" | "PUT");
            let request = match has_body {
                true => request.header("content-language", "en").json(&1),
                false => request,
            };
            let carried =
                " {content-type: application/json} {content-language: en} {content-length: 1} 1";
            let first = if has_body { carried } else { "" };
            let second = if has_body && then == method { carried } else { "" };
            let body = if then == "HEAD" { "" } else { " b" };
            let we = match (then == method, has_body) {
                (true, true) => "keeps the method and the body",
                (true, false) => "keeps the method",
                (false, _) => "asks with GET, without the body and what describes it",
            };
            cases.push(row(
                format!("R9 {status} {method}").leak(),
                format!("{status} to a {method}").leak(),
                we,
                case()
                    .send(request)
                    .on("/a", http(status).header("location", "b"))
                    .on("/b", ok("b"))
                    .show(&["content-type", "content-language", "content-length"])
                    .expect(
                        format!("200{body} @http://H/b"),
                        format!("First {status}, Redirect 200~"),
                        format!("{method} /a{first} | {then} /b~{second}"),
                    ),
            ));
        }
    }
    cases
}

fn bodies() -> Vec<Case> {
    let mut cases = Vec::new();
    for (id, status) in [("R9 307 stream", 307), ("R9 308 stream", 308)] {
        cases.push(row(
            id,
            "to a PUT whose body is a reader",
            "not followed: the body can be sent once",
            streamed(status).expect(
                "Redirect/Yes: PUT http://H/a: redirect not followed: the body can be sent once",
                format!("First {status}"),
                "PUT /a xyz",
            ),
        ));
    }
    cases.push(row(
        "R9 303 stream",
        "to a PUT whose body is a reader",
        "asks with GET, for which there is no body to send again",
        streamed(303).expect(
            "200 b @http://H/b",
            "First 303, Redirect 200~",
            "PUT /a xyz | GET /b~",
        ),
    ));
    for (id, status) in [("R9 307 elsewhere", 307), ("R9 308 elsewhere", 308)] {
        cases.push(row(
            id,
            "to a POST, and to another origin",
            "not followed: the body is for this one",
            case()
                .send(Request::post("a").body("x"))
                .on("/a", http(status).header("location", "{elsewhere}/b"))
                .elsewhere("/b", ok("never"))
                .expect(
                    "Redirect/Yes: POST http://H/a: redirect not followed: a POST would go to another origin",
                    format!("First {status}"),
                    "POST /a x",
                ),
        ));
    }
    cases
}

fn streamed(status: u16) -> Scenario {
    case()
        .send_made(|_| Request::put("a").body(Body::reader(&b"xyz"[..])))
        .on("/a", http(status).header("location", "b"))
        .on("/b", ok("b"))
}
