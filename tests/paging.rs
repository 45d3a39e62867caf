//! Lists in pages: the same items and the same requests in the three ways.

mod support;

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use duocall::{Api, Auth, Error, ErrorKind, Paging, Request, Retry, blocking, nonblocking, pool};
use futures_lite::StreamExt;
use futures_lite::future::block_on;
use serde::Deserialize;
use support::{Act, Seen, Server, ok, reply};

const PAGES: u32 = 30;
const SIZE: u32 = 3;
const CANARY: &str = "canary-c2a4";

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
struct Item {
    id: u32,
}

/// What an iteration gave: ids, and the kind of the error that ended it.
type Outcome = (Vec<u32>, Option<ErrorKind>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Blocking,
    Pool,
    Async,
}

const WAYS: [Way; 3] = [Way::Blocking, Way::Pool, Way::Async];

fn api(base: &str) -> Api {
    Api::builder(base).auth(Auth::token(CANARY)).retry(Retry::none()).build().unwrap()
}

/// The first `most` results, and the token after them.
fn take(
    way: Way,
    base: &str,
    request: Request,
    paging: Paging,
    most: usize,
) -> (Vec<Result<Item, Error>>, Option<String>) {
    take_of(way, api(base), request, paging, most)
}

fn take_of(
    way: Way,
    api: Api,
    request: Request,
    paging: Paging,
    most: usize,
) -> (Vec<Result<Item, Error>>, Option<String>) {
    match way {
        Way::Blocking => {
            let mut pages = blocking::Client::new(api).pages::<Item>(request, paging);
            (pages.by_ref().take(most).collect(), pages.token())
        }
        Way::Pool => {
            let mut pages = pool::Client::new(api).pages::<Item>(request, paging);
            (pages.by_ref().take(most).collect(), pages.token())
        }
        Way::Async => block_on(async {
            let mut pages = nonblocking::Client::new(api).pages::<Item>(request, paging);
            let mut items = Vec::new();
            while items.len() < most {
                let Some(item) = pages.next().await else { break };
                items.push(item);
            }
            // It stays at its end.
            if items.len() < most {
                assert!(pages.next().await.is_none());
            }
            (items, pages.token())
        }),
    }
}

fn run(way: Way, base: &str, request: Request, paging: Paging) -> Outcome {
    let (results, _) = take(way, base, request, paging, usize::MAX);
    outcome(results)
}

fn outcome(results: Vec<Result<Item, Error>>) -> Outcome {
    let mut ids = Vec::new();
    let mut last = None;
    for result in results {
        assert_eq!(last, None, "an error ends the iteration");
        match result {
            Ok(item) => ids.push(item.id),
            Err(error) => {
                assert!(!format!("{error} {error:?}").contains(CANARY), "{error:?}");
                last = Some(error.kind());
            }
        }
    }
    (ids, last)
}

fn all() -> Vec<u32> {
    (0..PAGES * SIZE).collect()
}

fn param(seen: &Seen, name: &str) -> Option<String> {
    let query = seen.target.split_once('?')?.1;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}

fn number(seen: &Seen, name: &str) -> Option<u32> {
    param(seen, name).map(|text| text.parse().unwrap())
}

fn items(ids: impl Iterator<Item = u32>) -> String {
    let ids: Vec<String> = ids.filter(|id| *id < PAGES * SIZE).map(item).collect();
    format!("[{}]", ids.join(","))
}

fn item(id: u32) -> String {
    format!(r#"{{"id":{id}}}"#)
}

/// The items of a page, by its number from 0 on.
fn page(number: u32) -> String {
    items(number * SIZE..(number + 1) * SIZE)
}

/// One list in every scheme, for whoever has the credential.
fn list(seen: &Seen) -> Vec<Act> {
    if seen.header("authorization") != Some(&format!("Token {CANARY}")) {
        return reply(403, &[], "no credential");
    }
    let host = seen.header("host").unwrap();
    match seen.target.split('?').next().unwrap() {
        "/v1/next" => {
            let at = number(seen, "p").unwrap_or(0);
            // As servers do it: absolute, of the root, of the directory, only a query.
            let next = match at + 1 {
                PAGES => "null".into(),
                n if n % 4 == 0 => format!(r#""http://{host}/v1/next?p={n}""#),
                n if n % 4 == 1 => format!(r#""/v1/next?p={n}""#),
                n if n % 4 == 2 => format!(r#""next?p={n}""#),
                n => format!(r#""?p={n}""#),
            };
            ok(&format!(r#"{{"next":{next},"results":{}}}"#, page(at)))
        }
        "/v1/page" => ok(&page(number(seen, "page").unwrap() - 1)),
        "/v1/counted" => {
            let page = page(number(seen, "page").unwrap());
            ok(&format!(r#"{{"pages":{PAGES},"count":{},"data":{page}}}"#, PAGES * SIZE))
        }
        "/v1/offset" => {
            let offset = number(seen, "offset").unwrap();
            // A server's own limit may be lower than what is asked for.
            let size = number(seen, "limit").unwrap().min(SIZE);
            let part = items(offset..offset + size);
            ok(&format!(r#"{{"count":{},"data":{part}}}"#, PAGES * SIZE))
        }
        "/v1/cursor" => {
            let at = param(seen, "after").map_or(0, |text| text[4..].parse().unwrap());
            let next = match at + 1 {
                PAGES => String::new(),
                n => format!(r#","after":"c+{n}""#),
            };
            ok(&format!(r#"{{"data":{{"items":{}{next}}}}}"#, page(at)))
        }
        "/v1/link" => {
            let at = number(seen, "p").unwrap_or(0);
            let link = match at + 1 {
                PAGES => r#"</v1/link>; rel="first""#.into(),
                n => format!(r#"</v1/link>; rel="first", <?p={n}>; rel="next""#),
            };
            reply(200, &[("link", &link)], page(at))
        }
        path => match path.strip_prefix("/v1/page/") {
            Some(number) => ok(&page(number.parse::<u32>().unwrap() - 1)),
            None => panic!("unexpected {path}"),
        },
    }
}

fn schemes() -> Vec<(&'static str, Paging)> {
    vec![
        ("next", Paging::next_url("/next", "/results")),
        ("page", Paging::page("page", 1)),
        ("page/{n}", Paging::page("n", 1)),
        ("offset", Paging::offset("offset", "limit", 10).items("/data")),
        ("cursor", Paging::cursor("after", "/data/after").items("/data/items")),
        ("link", Paging::link_header()),
        ("counted", Paging::page("page", 0).items("/data").total("/count")),
        ("counted", Paging::page("page", 0).items("/data").total_pages("/pages")),
        ("offset", Paging::offset("offset", "limit", 10).items("/data").total("/count")),
    ]
}

fn base(server: &Server) -> String {
    server.url() + "v1/"
}

#[test]
fn thirty_pages_of_each_scheme() {
    for (target, paging) in schemes() {
        let mut wire: Vec<Vec<String>> = Vec::new();
        for prefetch in [0, 1, 5] {
            for way in WAYS {
                let server = Server::new(list);
                let paging = paging.clone().prefetch(prefetch);
                let (ids, error) = run(way, &base(&server), Request::get(target), paging);
                assert_eq!((ids, error), (all(), None), "{target} {way:?} {prefetch}");
                let mut seen: Vec<_> = server.requests().into_iter().map(|r| r.target).collect();
                seen.sort();
                wire.push(seen);
            }
        }
        wire.dedup();
        assert_eq!(wire.len(), 1, "the same requests, however made: {wire:?}");
    }
}

#[test]
fn a_known_total_spares_the_empty_page() {
    for (target, paging) in schemes().into_iter().skip(6) {
        for way in WAYS {
            let server = Server::new(list);
            run(way, &base(&server), Request::get(target), paging.clone());
            assert_eq!(server.requests().len(), PAGES as usize, "{target} {way:?}");
        }
    }
}

#[test]
fn a_known_total_makes_the_pages_come_side_by_side() {
    const TOGETHER: usize = 4;
    for way in [Way::Pool, Way::Async] {
        let waiting = Arc::new((Mutex::new(0), Condvar::new()));
        let server = Server::new(move |seen| {
            let (count, changed) = &*waiting;
            if number(seen, "page") != Some(0) {
                let mut count = count.lock().unwrap();
                *count += 1;
                changed.notify_all();
                let limit = Duration::from_secs(10);
                let few = |count: &mut usize| *count < TOGETHER;
                let waited = changed.wait_timeout_while(count, limit, few).unwrap();
                assert!(!waited.1.timed_out(), "one after another");
            }
            list(seen)
        });
        let paging = Paging::page("page", 0).items("/data").total("/count");
        let outcome = run(way, &base(&server), Request::get("counted"), paging);
        assert_eq!(outcome, (all(), None), "{way:?}");
    }
}

#[test]
fn circles_end_with_an_error_after_one_round() {
    let next = || Paging::next_url("/next", "/results");
    let cases: [(&str, Paging, usize); 4] = [
        (r#"{"next":"/v1/list?a=1","results":[{"id":0}]}"#, next(), 1),
        (r#"{"next":"?a=1","results":[]}"#, next(), 1),
        (r#"{"next":"list?b","results":[{"id":0}]}"#, next(), 2),
        (r#"{"next":"same","results":[{"id":0}]}"#, Paging::cursor("c", "/next"), 2),
    ];
    for (body, paging, pages) in cases {
        for way in WAYS {
            let server = Server::script(vec![ok(body)]);
            let request = Request::get("list").query("a", 1);
            let (ids, error) = run(way, &base(&server), request, paging.clone().items("/results"));
            assert_eq!(error, Some(ErrorKind::Redirect), "{way:?} {body}");
            assert_eq!(server.requests().len(), pages, "{way:?} {body}");
            assert!(ids.len() <= pages, "{ids:?}");
        }
    }
    // New links for ever, and never an item.
    for way in WAYS {
        let server = Server::new(|seen| ok(&format!(r#"{{"next":{},"r":[]}}"#, seen.index)));
        let paging = Paging::cursor("c", "/next").items("/r");
        let outcome = run(way, &base(&server), Request::get("list"), paging);
        assert_eq!(outcome, (Vec::new(), Some(ErrorKind::Redirect)), "{way:?}");
    }
}

#[test]
fn a_page_that_fails_is_told_once_and_can_be_asked_for_again() {
    for (target, paging) in schemes() {
        for way in WAYS {
            let broken = Arc::new(Mutex::new(true));
            let repaired = broken.clone();
            // The page with item 9 is down.
            let server = Server::new(move |seen| match list(seen) {
                good if *broken.lock().unwrap() && shows(&good, 9) => reply(500, &[], "down"),
                good => good,
            });
            let request = || Request::get(target);
            let first = take(way, &base(&server), request(), paging.clone(), usize::MAX);
            assert_eq!(outcome(first.0), ((0..9).collect(), Some(ErrorKind::Status)));
            *repaired.lock().unwrap() = false;
            let rest = paging.clone().resume(first.1.expect("a place to go on"));
            let rest = run(way, &base(&server), request(), rest);
            assert_eq!(rest, ((9..PAGES * SIZE).collect(), None), "{target} {way:?}");
        }
    }
}

fn shows(acts: &[Act], id: u32) -> bool {
    let Some(Act::Write(bytes)) = acts.first() else { return false };
    String::from_utf8_lossy(bytes).contains(&item(id))
}

#[test]
fn any_place_can_be_gone_on_from_in_another_way() {
    for (target, paging) in schemes() {
        let paging = paging.prefetch(2);
        for (turn, most) in [0, 1, 3, 7, 44, 89].into_iter().enumerate() {
            let server = Server::new(list);
            let request = || Request::get(target);
            let (way, other) = (WAYS[turn % 3], WAYS[(turn + 1) % 3]);
            let (some, token) = take(way, &base(&server), request(), paging.clone(), most);
            assert_eq!(outcome(some).0, (0..most as u32).collect::<Vec<_>>());
            let rest = paging.clone().resume(token.expect("there is more"));
            let rest = run(other, &base(&server), request(), rest);
            let expected = (most as u32..PAGES * SIZE).collect();
            assert_eq!(rest, (expected, None), "{target} {way:?} {most}");
        }
        let server = Server::new(list);
        let whole = take(WAYS[0], &base(&server), Request::get(target), paging, usize::MAX);
        assert_eq!(whole.1, None, "at the end there is no place");
    }
}

#[test]
fn max_pages_ends_without_an_error() {
    for (target, paging) in schemes() {
        for way in WAYS {
            let server = Server::new(list);
            let some = paging.clone().max_pages(4).prefetch(3);
            let (results, token) =
                take(way, &base(&server), Request::get(target), some.clone(), usize::MAX);
            assert_eq!(outcome(results), ((0..4 * SIZE).collect(), None), "{target} {way:?}");
            assert_eq!(server.requests().len(), 4, "{target} {way:?}");
            let more = some.resume(token.expect("there is more"));
            let more = run(way, &base(&server), Request::get(target), more);
            assert_eq!(more, ((4 * SIZE..8 * SIZE).collect(), None), "{target} {way:?}");
        }
    }
}

#[test]
fn links_out_of_the_base_are_not_followed() {
    for way in WAYS {
        let other = Server::script(vec![ok("[]")]);
        let links = [
            format!("{}v1/list", other.url()),
            format!("//{}/v1/list", other.addr()),
            "/v2/list".into(),
            "../".into(),
            "..%2fadmin".into(),
            "https://127.0.0.1/v1/".into(),
            "ftp://127.0.0.1/".into(),
        ];
        for link in links {
            let body = format!(r#"{{"next":"{link}","results":[{{"id":7}}]}}"#);
            let server = Server::script(vec![ok(&body)]);
            let paging = Paging::next_url("/next", "/results").prefetch(2);
            let outcome = run(way, &base(&server), Request::get("list"), paging);
            assert_eq!(outcome, (vec![7], Some(ErrorKind::Redirect)), "{way:?} {link}");
            assert_eq!(server.requests().len(), 1, "{link}");
        }
        assert_eq!(other.connections(), 0);
    }
}

#[test]
fn an_absolute_start_stays_at_its_origin_without_the_credential() {
    for way in WAYS {
        let api = Server::script(vec![ok("[]")]);
        let other = Server::new(|seen| match number(seen, "p") {
            None => ok(r#"{"next":"/elsewhere?p=1","results":[{"id":1}]}"#),
            Some(_) => ok(r#"{"next":null,"results":[{"id":2}]}"#),
        });
        let paging = || Paging::next_url("/next", "/results");
        let start = || Request::absolute(other.url() + "list").header("x-own", "kept");
        assert_eq!(run(way, &base(&api), start(), paging()), (vec![1, 2], None), "{way:?}");
        for seen in other.requests() {
            assert!(!format!("{seen:?}").contains(CANARY), "{seen:?}");
            assert_eq!(seen.header("x-own"), Some("kept"));
        }
        // Back into the API would be another origin.
        let body = format!(r#"{{"next":"{}v1/list","results":[]}}"#, api.url());
        let other = Server::script(vec![ok(&body)]);
        let start = Request::absolute(other.url() + "list");
        let outcome = run(way, &base(&api), start, paging());
        assert_eq!(outcome, (vec![], Some(ErrorKind::Redirect)), "{way:?}");
        assert_eq!(api.connections(), 0);
    }
}

#[test]
fn a_secret_in_the_query_that_links_echo_is_sent_once_and_not_in_tokens() {
    for way in WAYS {
        // As frameworks do it: the request's own URL with another page in it.
        let server = Server::new(|seen| {
            let page = number(seen, "p").unwrap_or(0);
            let next = match page + 1 {
                PAGES => "null".into(),
                1 => format!(r#""{}&p=1""#, seen.target),
                next => format!(
                    r#""{}""#,
                    seen.target.replace(&format!("p={page}"), &format!("p={next}"))
                ),
            };
            ok(&format!(r#"{{"next":{next},"results":{}}}"#, self::page(page)))
        });
        let builder = Api::builder(base(&server)).auth(Auth::query("key", CANARY));
        let api = builder.build().unwrap();
        let paging = Paging::next_url("/next", "/results");
        let (results, token) = take_of(way, api, Request::get("list"), paging, 40);
        assert_eq!(outcome(results), ((0..40).collect(), None), "{way:?}");
        assert!(!token.unwrap().contains(CANARY));
        for seen in server.requests() {
            assert_eq!(seen.target.matches(CANARY).count(), 1, "{}", seen.target);
        }
    }
}

#[test]
fn linked_pages_keep_method_headers_and_body() {
    for way in WAYS {
        let server = Server::new(|seen| match number(seen, "p") {
            None => ok(r#"{"next":"list?p=1","results":[{"id":1}]}"#),
            Some(_) => ok(r#"{"results":[{"id":2}]}"#),
        });
        let request = Request::post("list").query("q", "x").header("x-own", "kept").json("body");
        let paging = Paging::next_url("/next", "/results");
        assert_eq!(run(way, &base(&server), request, paging), (vec![1, 2], None));
        let seen = server.requests();
        assert_eq!(seen[0].target, "/v1/list?q=x");
        assert_eq!(seen[1].target, "/v1/list?p=1");
        for seen in seen {
            assert_eq!((seen.method.as_str(), &*seen.body), ("POST", &br#""body""#[..]));
            assert_eq!(seen.header("x-own"), Some("kept"));
            assert_eq!(seen.header("authorization"), Some(&*format!("Token {CANARY}")));
        }
    }
}

#[test]
fn what_is_no_page_is_an_error_that_says_where() {
    let next = || Paging::next_url("/next", "/results");
    let cases = [
        ("{}", next(), "there is nothing at /results"),
        (r#"{"results":{}}"#, next(), "/results is not an array"),
        (r#"{"results":[],"next":7}"#, next(), "/next is not a URL"),
        ("{}", Paging::page("p", 1), "the body is not an array"),
        (r#"{"c":[]}"#, Paging::cursor("c", "/c").items(""), "the body is not an array"),
        ("[]", Paging::page("p", 1).total("/count"), "there is nothing at /count"),
        (r#"{"n":-1,"r":[]}"#, Paging::page("p", 1).items("/r").total("/n"), "/n is not a number"),
        ("no JSON", next(), "expected"),
    ];
    for (body, paging, text) in cases {
        for way in WAYS {
            let server = Server::script(vec![ok(body)]);
            let request = Request::get("list");
            let (results, _) = take(way, &base(&server), request, paging.clone(), usize::MAX);
            let error = results[0].as_ref().unwrap_err();
            assert_eq!((results.len(), error.kind()), (1, ErrorKind::Decode), "{way:?} {body}");
            assert!(error.to_string().contains(text), "{error}");
            assert!(error.response().is_some());
        }
    }
}

#[test]
fn a_wrong_item_is_named_and_those_after_it_follow() {
    for way in WAYS {
        let body = format!(r#"{{"results":[{{"id":1}},{{"id":"{CANARY}"}},{{"id":3}}]}}"#);
        let server = Server::script(vec![ok(&body)]);
        let paging = Paging::next_url("/next", "/results");
        let (results, _) = take(way, &base(&server), Request::get("list"), paging, usize::MAX);
        let [Ok(Item { id: 1 }), Err(error), Ok(Item { id: 3 })] = &results[..] else {
            panic!("{way:?}: {results:?}");
        };
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Decode);
        assert!(text.contains("/results/1: ") && !text.contains(CANARY), "{text}");
    }
}

#[test]
fn some_statuses_are_the_end() {
    for way in WAYS {
        for status in [204, 404] {
            let body = if status == 204 { "" } else { "Invalid page" };
            let replies = vec![ok(r#"[{"id":1}]"#), reply(status, &[], body)];
            let server = Server::script(replies);
            let request = Request::get("list").accept(404);
            let outcome = run(way, &base(&server), request, Paging::page("p", 1));
            assert_eq!(outcome, (vec![1], None), "{way:?} {status}");
        }
    }
}

#[test]
fn mistakes_are_the_first_result() {
    let pagings = [
        Paging::next_url("next", "/results"),
        Paging::page("p", 1).items("results"),
        Paging::offset("o", "l", 0),
        Paging::cursor("c", "/c").total("/count"),
        Paging::link_header().max_pages(0),
        Paging::page("p", 1).resume("garbage"),
        Paging::page("p", 1).resume(r#"{"at":{"cursor":"c"},"given":0,"extent":null}"#),
        Paging::next_url("/n", "/r")
            .resume(r#"{"at":{"link":"http://evil/"},"given":0,"extent":null}"#),
        Paging::offset("o", "l", 1).resume(r#"{"at":0,"given":0,"extent":[1,0]}"#),
    ];
    for paging in pagings {
        for way in WAYS {
            let server = Server::script(vec![ok("[]")]);
            let outcome = run(way, &base(&server), Request::get("list"), paging.clone());
            assert_eq!(outcome, (vec![], Some(ErrorKind::Request)), "{way:?} {paging:?}");
            assert_eq!(server.connections(), 0);
        }
    }
}

#[test]
fn a_short_part_amid_a_known_total_is_not_passed_over() {
    for way in WAYS {
        let server = Server::new(|seen| {
            let offset = number(seen, "o").unwrap();
            let end = if offset == 4 { 5 } else { offset + 2 };
            ok(&format!(r#"{{"n":10,"r":{}}}"#, items(offset..end)))
        });
        let paging = Paging::offset("o", "l", 2).items("/r").total("/n");
        let outcome = run(way, &base(&server), Request::get("list"), paging);
        assert_eq!(outcome, ((0..5).collect(), Some(ErrorKind::Decode)), "{way:?}");
    }
}

#[test]
fn prefetch_works_ahead_of_a_busy_consumer() {
    const SOON: Duration = Duration::from_secs(10);
    let request = || Request::get("page");
    let paging = || Paging::page("page", 1).prefetch(2);

    let server = Server::new(list);
    let mut pages = pool::Client::new(api(&base(&server))).pages::<Item>(request(), paging());
    pages.next().unwrap().unwrap();
    assert!(server.wait_requests(2, SOON));
    drop(pages);

    let server = Server::new(list);
    block_on(async {
        let client = nonblocking::Client::new(api(&base(&server)));
        let mut pages = client.pages::<Item>(request(), paging());
        pages.next().await.unwrap().unwrap();
        assert!(server.wait_requests(2, SOON));
    });

    let server = Server::new(list);
    let mut pages = blocking::Client::new(api(&base(&server))).pages::<Item>(request(), paging());
    for item in 1..=3 {
        pages.next().unwrap().unwrap();
        assert_eq!(server.requests().len(), 1, "at item {item}");
    }
    pages.next().unwrap().unwrap();
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn dropping_the_pages_stops_what_is_under_way() {
    const SOON: Duration = Duration::from_secs(10);
    let stalls = || {
        Server::new(|seen| match number(seen, "page") {
            Some(2) => vec![Act::Stall],
            _ => list(seen),
        })
    };
    let paging = || Paging::page("page", 1).prefetch(1);

    let server = stalls();
    let client = pool::Client::new(api(&base(&server)));
    let mut pages = client.pages::<Item>(Request::get("page"), paging());
    pages.next().unwrap().unwrap();
    drop((pages, client));
    assert!(server.wait_closed(SOON));

    let server = stalls();
    block_on(async {
        let client = nonblocking::Client::new(api(&base(&server)));
        let mut pages = client.pages::<Item>(Request::get("page"), paging());
        pages.next().await.unwrap().unwrap();
        assert!(server.wait_requests(2, SOON));
    });
    assert!(server.wait_closed(SOON));
}
