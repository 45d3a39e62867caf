//! surf over our transport, and our client over surf.

#![cfg(feature = "surf")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use duocall::http::{HeaderMap, StatusCode};
use duocall::nonblocking::Client;
use duocall::surf::{HttpClient, RawHead};
use duocall::transport::Failure;
use duocall::{Api, Body, ErrorKind, Phase, Request, Retry, Timeouts};
use http_client::{Config, HttpClient as _};
use smol::future::FutureExt;
use support::{Act, Server, ok, reply};

fn over_ours() -> surf::Client {
    surf::Client::with_http_client(HttpClient::new())
}

fn raw(bytes: &[u8]) -> Vec<Act> {
    vec![Act::Write(bytes.to_vec())]
}

fn get(client: &surf::Client, url: &str) -> surf::Result<surf::Response> {
    smol::block_on(async { client.get(url).await })
}

fn failure(error: &surf::Error) -> String {
    error.downcast_ref::<Failure>().expect("ours").to_string()
}

#[test]
fn statuses_that_surf_does_not_know_are_told() {
    let statuses = [200, 299, 399, 404, 418, 499, 520, 599, 999];
    let server = Server::script(statuses.map(|status| reply(status, &[], "x")).into());
    let client = over_ours();
    for status in statuses {
        let mut response = get(&client, &server.url()).expect("no status is an error");
        let head = response.ext::<RawHead>().expect("from our transport");
        assert_eq!(head.status(), StatusCode::from_u16(status).unwrap());
        assert_eq!(u16::from(response.status()) / 100, (status / 100).min(5));
        assert_eq!(smol::block_on(response.body_string()).unwrap(), "x");
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn headers_that_are_not_ascii_are_told() {
    let head =
        b"HTTP/1.1 200 OK\r\nX-A: caf\xe9\r\nX-A: tea\r\nX-B: b\r\nContent-Length: 0\r\n\r\n";
    let server = Server::script(vec![raw(head)]);
    let response = get(&over_ours(), &server.url()).expect("no panic and no error");
    let seen: Vec<&str> = response.header("x-a").unwrap().iter().map(|v| v.as_str()).collect();
    assert_eq!((seen, response["x-b"].as_str()), (vec!["tea"], "b"));
    assert!(response.header("content-type").is_none());
    let head: &HeaderMap = response.ext::<RawHead>().unwrap().headers();
    let all: Vec<&[u8]> = head.get_all("x-a").iter().map(|value| value.as_bytes()).collect();
    assert_eq!(all, [&b"caf\xe9"[..], b"tea"]);
}

#[test]
fn what_has_no_body_lets_its_connection_go_unread() {
    let server = Server::new(|seen| match seen.target.as_str() {
        "/head" => raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
        "/204" => raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
        "/304" => raw(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"),
        _ => ok("abc"),
    });
    let (client, base) = (over_ours(), server.url());
    smol::block_on(async {
        let mut response = client.head(format!("{base}head")).await.unwrap();
        assert_eq!(response["content-length"].as_str(), "1000");
        assert_eq!(response.body_bytes().await.unwrap(), b"");
        for path in ["204", "304"] {
            let response = client.get(format!("{base}{path}")).await.unwrap();
            assert_eq!(response.len(), Some(0), "{path}");
        }
        let mut response = client.get(format!("{base}last")).await.unwrap();
        assert_eq!(response.len(), Some(3));
        assert_eq!(response.body_bytes().await.unwrap(), b"abc");
    });
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_short_body_is_an_error() {
    let short: [&[u8]; 2] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ];
    for head in short {
        let server = Server::script(vec![[raw(head), vec![Act::Close]].concat()]);
        let mut response = get(&over_ours(), &server.url()).unwrap();
        let error = smol::block_on(response.body_bytes()).expect_err("three bytes of ten");
        let error: std::io::Error = error.downcast().expect("an I/O error");
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Failure>());
        assert!(inner.expect("ours").to_string().contains("Truncated"));
    }
}

/// surf's own h1 client gives `/b` the answer to `/a` here.
#[test]
fn a_dropped_call_leaves_nothing_behind() {
    let server = Server::new(|seen| match seen.target.as_str() {
        "/a" => [vec![Act::Pause(Duration::from_millis(3))], ok("answer to /a")].concat(),
        "/b" => ok("answer to /b"),
        _ => ok("warm"),
    });
    let (client, base) = (over_ours(), server.url());
    smol::block_on(async {
        for round in 0..100 {
            client.recv_string(client.get(format!("{base}warm"))).await.unwrap();
            let late = async {
                smol::Timer::after(Duration::from_micros(100 * (round % 20))).await;
                Ok(String::new())
            };
            let a = client.recv_string(client.get(format!("{base}a")));
            drop(a.or(late).await.unwrap());
            let b = client.recv_string(client.get(format!("{base}b"))).await.unwrap();
            assert_eq!(b, "answer to /b", "in round {round}");
        }
    });
}

#[test]
fn bodies_go_out_whole_and_framed_once() {
    let server = Server::new(|_| ok(""));
    let (client, base) = (over_ours(), server.url());
    smol::block_on(async {
        let url = base.replace("http://", "http://user:secret@");
        client.post(format!("{url}x?q=1#f")).body("ab").await.unwrap();
        let chunked = surf::Body::from_reader(smol::io::Cursor::new("abc"), None);
        client.put(&base).header("transfer-encoding", "chunked").body(chunked).await.unwrap();
        client.post(&base).await.unwrap();
        client.get(&base).await.unwrap();
    });
    let seen = server.requests();
    let lines: Vec<_> = seen
        .iter()
        .map(|seen| (seen.target.as_str(), seen.header("content-length"), seen.body.as_slice()))
        .collect();
    assert_eq!(
        lines,
        [
            ("/x?q=1", Some("2"), &b"ab"[..]),
            ("/", None, b"abc"),
            ("/", Some("0"), b""),
            ("/", None, b""),
        ]
    );
    assert!(seen.iter().all(|seen| seen.header("host") == Some(&server.addr().to_string())));
    assert!(!format!("{seen:?}").contains("secret"));
}

#[test]
fn another_number_of_connections_counts_from_the_next_call_on() {
    let server = Server::new(|_| {
        [raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), vec![Act::Stall]].concat()
    });
    let url: surf::Url = server.url().parse().unwrap();
    let request = || surf::http::Request::new(surf::http::Method::Get, url.clone());
    let most = |most| {
        let config = Config::new().set_timeout(Some(Duration::from_millis(500)));
        config.set_max_connections_per_host(most)
    };
    let mut ours = HttpClient::new();
    ours.set_config(most(1)).unwrap();
    smol::block_on(async {
        drop(ours.send(request()).await.unwrap());
        ours.set_config(most(2)).unwrap();
        let one = ours.send(request()).await.expect("a place");
        let two = ours.send(request()).await.expect("another");
        ours.send(request()).await.expect_err("no third");
        drop((one, two));
    });
}

#[test]
fn the_configuration_is_obeyed() {
    let server = Server::new(|seen| match seen.target.as_str() {
        "/silent" => vec![Act::Stall],
        "/stops" => {
            [raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), vec![Act::Stall]].concat()
        }
        _ => ok("x"),
    });
    let base = server.url();
    let configured = |limit| {
        let mut ours = HttpClient::new();
        let config = Config::new().set_http_keep_alive(false).set_timeout(Some(limit));
        ours.set_config(config.set_max_connections_per_host(1)).unwrap();
        assert!(ours.config().tcp_no_delay && !ours.config().http_keep_alive);
        surf::Client::with_http_client(ours)
    };
    let limit = Duration::from_millis(50);
    let client = configured(limit);
    let started = Instant::now();
    let error = get(&client, &format!("{base}silent")).expect_err("silence");
    assert!(failure(&error).contains("Timeout(Head)"), "{error:?}");
    assert!(started.elapsed() >= limit);
    // Enough for an answer, also where the machine is busy.
    let client = configured(Duration::from_secs(1));
    smol::block_on(async {
        for _ in 0..2 {
            client.get(&base).recv_bytes().await.unwrap();
        }
        // One place: the second call waits for the body of the first, and runs out of time.
        let first = client.get(format!("{base}stops")).await.unwrap();
        let error = client.get(&base).await.expect_err("no place");
        assert!(failure(&error).contains("Timeout"), "{error:?}");
        drop(first);
        client.get(&base).recv_bytes().await.unwrap();
    });
    assert_eq!(server.connections(), server.requests().len(), "none is kept");
    let idle = Api::builder(&base).timeouts(Timeouts::default().idle(limit)).build().unwrap();
    let client = surf::Client::with_http_client(HttpClient::for_api(&idle));
    let mut response = get(&client, &format!("{base}stops")).unwrap();
    let error = smol::block_on(response.body_bytes()).expect_err("six bytes are missing");
    assert!(format!("{error:?}").contains("Timeout(Body)"), "{error:?}");
}

#[test]
fn what_cannot_be_sent_is_refused() {
    let client = over_ours();
    let error = get(&client, "ftp://127.0.0.1/").expect_err("no http");
    assert!(failure(&error).starts_with("Request: "), "{error:?}");
    let url = surf::Url::parse("http://127.0.0.1:1/").unwrap();
    let unnamed = surf::Request::new(surf::http::Method::Pri, url);
    let error = smol::block_on(client.send(unnamed)).expect_err("no method");
    assert!(failure(&error).starts_with("Request: "), "{error:?}");
}

struct Stamp(Arc<AtomicUsize>);

#[surf::utils::async_trait]
impl surf::middleware::Middleware for Stamp {
    async fn handle(
        &self,
        mut request: surf::Request,
        client: surf::Client,
        next: surf::middleware::Next<'_>,
    ) -> surf::Result<surf::Response> {
        let nth = self.0.fetch_add(1, SeqCst);
        request.insert_header("x-stamp", nth.to_string());
        let mut response = next.run(request, client).await?;
        if response.header("x-change").is_some() {
            let head: &mut surf::http::Headers = response.as_mut();
            head.insert("x-change", "changed");
            let response: &mut surf::http::Response = response.as_mut();
            response.set_status(surf::StatusCode::Ok);
        }
        Ok(response)
    }
}

#[test]
fn middleware_sees_every_attempt_of_ours() {
    let server = Server::script(vec![
        reply(520, &[("x-raw", "kept")], "no"),
        vec![Act::Close],
        reply(404, &[("x-change", "asked")], "yes"),
        reply(599, &[("x-raw", "kept")], "odd"),
    ]);
    let retry = Retry::default().backoff(Duration::from_millis(1), Duration::from_millis(2));
    let api = Api::builder(server.url()).retry(retry.statuses([520])).build().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let surf = surf::Client::with_http_client(HttpClient::for_api(&api)).with(Stamp(count.clone()));
    let client = Client::with_surf(api, surf);
    smol::block_on(async {
        let response = client.send(Request::get("x")).await.unwrap();
        assert_eq!((response.status().as_u16(), response.bytes()), (200, &b"yes"[..]));
        assert_eq!(response.header("x-change"), Some("changed"));
        assert!(response.attempts().len() >= 3);
        let error = client.send(Request::get("x").retry(Retry::none())).await.unwrap_err();
        assert_eq!(error.status().unwrap().as_u16(), 599);
        assert_eq!(error.response().unwrap().header("x-raw"), Some("kept"));
    });
    let stamps = server.requests();
    let stamps: Vec<_> = stamps.iter().map(|seen| seen.header("x-stamp").unwrap()).collect();
    assert_eq!(stamps, ["0", "1", "2", "3"]);
    assert_eq!(count.load(SeqCst), 4);
}

/// Another transport than ours: it counts nothing, and so nobody may say that nothing was sent.
#[derive(Debug)]
struct Foreign(&'static str);

#[surf::utils::async_trait]
impl surf::HttpClient for Foreign {
    async fn send(&self, _: surf::http::Request) -> surf::Result<surf::http::Response> {
        match self.0 {
            "silent" => std::future::pending().await,
            "broken" => Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into()),
            "strange" => Err(surf::Error::from_str(500, "strange")),
            _ => {
                let mut response = surf::http::Response::new(200);
                let body = smol::io::Cursor::new("abc");
                response.set_body(surf::Body::from_reader(body, Some(10)));
                Ok(response)
            }
        }
    }
}

#[test]
fn streams_go_through_both_ways() {
    let server = Server::new(|seen| match seen.body.len() {
        300_000 => ok(&"b".repeat(200_000)),
        0 => ok("nothing"),
        length => ok(&length.to_string()),
    });
    let api = Api::new(server.url()).unwrap();
    let client = Client::with_surf(api.clone(), over_ours());
    let body = vec![b'a'; 300_000];
    smol::block_on(async {
        for sized in [true, false] {
            let reader = smol::io::Cursor::new(body.clone());
            let body = match sized {
                true => Body::sized_async_reader(reader, 300_000),
                false => Body::async_reader(reader),
            };
            let response = client.send(Request::put("x").body(body)).await.unwrap();
            assert_eq!(response.bytes().len(), 200_000);
        }
        let short = Body::sized_async_reader(smol::io::Cursor::new(vec![b'a'; 10]), 20);
        let error = client.send(Request::put("x").body(short)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Body);
        assert!(error.to_string().contains("it is shorter than its length"), "{error}");
    });
    let seen = server.requests();
    let lengths: Vec<_> = seen.iter().map(|seen| seen.header("content-length")).collect();
    assert_eq!(lengths, [Some("300000"), None]);
}

#[test]
fn a_foreign_transport_is_trusted_with_nothing() {
    let cases = [
        ("silent", ErrorKind::Timeout(Phase::Head)),
        ("broken", ErrorKind::Closed),
        ("strange", ErrorKind::Other),
        ("short", ErrorKind::Truncated),
    ];
    for (how, kind) in cases {
        // Silence ends with its limit; the others take no time, unless the machine is busy.
        let limit = Duration::from_millis(if how == "silent" { 20 } else { 10_000 });
        let timeouts = Timeouts::default().head(limit);
        let api = Api::builder("http://127.0.0.1/").timeouts(timeouts).build().unwrap();
        let client = Client::with_surf(api, surf::Client::with_http_client(Foreign(how)));
        let error = smol::block_on(client.send(Request::post("x").body("a"))).unwrap_err();
        assert_eq!(error.kind(), kind, "{how}: {error}");
        assert_eq!(
            error.attempts().len(),
            1,
            "{how}: a POST that may have arrived is not repeated"
        );
    }
}
