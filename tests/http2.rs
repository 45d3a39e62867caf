//! HTTP/2: one connection for many calls, and what a server may do to it.
#![cfg(feature = "http2")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use bytes::Bytes;
use duocall::nonblocking::Client;
use duocall::{
    Api, ApiBuilder, Body, Cause, Error, ErrorKind, Http2, Phase, Request, Response, Retry, Sent,
    Timeouts,
};
use futures_util::future::join_all;
use h2::Reason;
use h2::server::Builder;
use smol::block_on;
use support::h2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, Good, HEADERS, OK, Wire, field, send,
    trailers, until_reset,
};

fn prior(url: &str) -> ApiBuilder {
    Api::builder(url).http2(Http2::prior_knowledge()).concurrency(300).retry(Retry::none())
}

fn client(url: &str) -> Client {
    Client::new(prior(url).build().unwrap())
}

/// With limits short enough to wait for.
fn hasty(url: &str) -> ApiBuilder {
    let timeouts = Timeouts::default().connect(Duration::from_millis(400));
    prior(url).timeouts(timeouts.head(Duration::from_millis(200)).idle(Duration::from_millis(200)))
}

/// What each request met, and `~` where its connection had served before.
fn trace(response: &Result<Response, Error>) -> String {
    let attempts = match response {
        Ok(response) => response.attempts(),
        Err(error) => error.attempts(),
    };
    let shown = attempts.iter().map(|attempt| {
        let met = match (attempt.status(), attempt.error()) {
            (Some(status), _) => status.as_u16().to_string(),
            (None, error) => format!("{:?}", error.unwrap()),
        };
        let reused = if attempt.reused() { "~" } else { "" };
        format!("{:?} {met}{reused}", attempt.cause())
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// Answers with the path of the request, and its body.
fn echo() -> Good {
    Good::new(|mut incoming| async move {
        let body = incoming.read().await;
        let text = [incoming.path().as_bytes(), &body].concat();
        incoming.answer(200, text).await;
    })
}

async fn many(client: &Client, calls: usize) {
    let sent = (0..calls).map(|n| client.send(Request::get(format!("call/{n}"))));
    for (n, response) in join_all(sent).await.into_iter().enumerate() {
        assert_eq!(response.unwrap().text().unwrap(), format!("/call/{n}"));
    }
}

#[test]
fn two_hundred_calls_share_one_connection_under_every_executor() {
    type Way = (&'static str, fn(Client));
    let ways: [Way; 5] = [
        ("smol", |client| block_on(many(&client, 200))),
        ("bare", |client| futures_lite::future::block_on(many(&client, 200))),
        ("async-std", |client| {
            async_std::task::block_on(async_std::task::spawn(
                async move { many(&client, 200).await },
            ));
        }),
        ("tokio, one thread", |client| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(many(&client, 200));
        }),
        ("tokio, threads", |client| {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let spawned = (0..200).map(|n| {
                let sent = client.send(Request::get(format!("call/{n}")));
                runtime.spawn(async move { (n, sent.await.unwrap().text().unwrap().to_string()) })
            });
            let spawned: Vec<_> = spawned.collect();
            for joined in runtime.block_on(join_all(spawned)) {
                let (n, text) = joined.unwrap();
                assert_eq!(text, format!("/call/{n}"));
            }
        }),
    ];
    for (way, run) in ways {
        let server = echo();
        run(client(&server.url()));
        assert_eq!(server.connections(), 1, "{way}");
        assert_eq!(server.counts().streams.load(SeqCst), 200, "{way}");
        assert!(server.wait(|counts| counts.open.load(SeqCst) == 0), "{way}: it stays open");
    }
}

#[test]
fn a_connection_is_used_again_and_closed_with_its_client() {
    let server = echo();
    let client = client(&server.url());
    let first = block_on(client.send(Request::get("a")));
    let second = block_on(client.send(Request::get("b")));
    assert_eq!((trace(&first), trace(&second)), ("First 200".into(), "First 200~".into()));
    assert_eq!(server.counts().open.load(SeqCst), 1);
    drop(client);
    assert!(server.wait(|counts| counts.open.load(SeqCst) == 0));
}

#[test]
fn the_head_is_as_http2_wants_it() {
    let server = echo();
    block_on(client(&server.url()).send(Request::post("x?y=z").body("body"))).unwrap();
    let head = server.counts().heads().remove(0);
    assert!(head.starts_with(&format!("POST {}x?y=z ", server.url())), "{head}");
    assert!(head.contains("\"content-length\": \"4\""), "{head}");
    assert!(!head.contains("\"host\""), "{head}");
}

#[test]
#[cfg(feature = "surf")]
fn surf_on_our_transport_speaks_it_and_what_is_of_a_connection_stays_at_home() {
    let server = echo();
    let api = prior(&server.url()).build().unwrap();
    let surf = surf::Client::with_http_client(duocall::surf::HttpClient::for_api(&api));
    let mut request = surf.post(format!("{}x", server.url())).body("body");
    for name in ["connection", "te", "keep-alive", "upgrade", "proxy-connection", "x-kept"] {
        request = request.header(name, "close");
    }
    let mut response = block_on(request).unwrap();
    assert_eq!(block_on(response.body_string()).unwrap(), "/xbody");
    assert_eq!(response.version(), Some(surf::http::Version::Http2_0));
    let head = server.counts().heads().remove(0);
    assert_eq!(head.matches("close").count(), 1, "{head}");
    // A surf client chooses its transport itself, so with one of ours above it nothing is sure.
    let error = block_on(Client::with_surf(api, surf).send(Request::get("x"))).unwrap_err();
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Request, Sent::No));
}

#[test]
fn calls_wait_where_the_server_takes_one_at_a_time() {
    let mut builder = Builder::new();
    builder.max_concurrent_streams(1);
    let server = Good::with(builder, |incoming| async move {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let path = incoming.path().to_owned();
        incoming.answer(200, path).await;
    });
    block_on(many(&client(&server.url()), 30));
    assert_eq!((server.connections(), server.counts().peak.load(SeqCst)), (1, 1));
}

#[test]
fn a_call_that_waits_for_room_in_vain_was_not_sent() {
    let server = Frames::new(|_, wire| {
        wire.settings(&[(3, 1)])?;
        wire.next(HEADERS)?;
        wire.write(HEADERS, END_HEADERS, 1, OK)?;
        wire.drain()
    });
    let client = Client::new(hasty(&server.url()).build().unwrap());
    block_on(async {
        // Has the only stream, and is not done.
        let _first = client.open(Request::get("slow")).await.unwrap();
        let error = client.send(Request::post("x").body("y")).await.unwrap_err();
        assert_eq!((error.kind(), error.sent()), (ErrorKind::Timeout(Phase::Send), Sent::No));
    });
}

/// Answers all but `/never`.
fn reticent() -> Good {
    Good::new(|mut incoming| async move {
        if incoming.path() == "/never" {
            let counts = incoming.counts.clone();
            assert_eq!(until_reset(&mut incoming.respond, &counts).await, Some(Reason::CANCEL));
            return;
        }
        let path = incoming.path().to_owned();
        incoming.answer(200, path).await;
    })
}

#[test]
fn a_call_that_is_dropped_or_late_resets_its_stream_only() {
    let server = reticent();
    let client = Client::new(hasty(&server.url()).build().unwrap());
    block_on(async {
        let other = client.send(Request::get("a"));
        let dropped = client.send(Request::get("never"));
        let soon = async {
            smol::Timer::after(Duration::from_millis(50)).await;
            None
        };
        let (other, dropped) = futures_lite::future::zip(
            other,
            futures_lite::future::or(async { Some(dropped.await) }, soon),
        )
        .await;
        assert!(dropped.is_none());
        assert_eq!(other.unwrap().text().unwrap(), "/a");
        let late = client.send(Request::get("never")).await.unwrap_err();
        assert_eq!((late.kind(), late.sent()), (ErrorKind::Timeout(Phase::Head), Sent::Yes));
        let next = client.send(Request::get("b")).await;
        assert_eq!(trace(&next), "First 200~");
    });
    assert!(server.wait(|counts| counts.cancelled.load(SeqCst) == 2));
    assert_eq!(server.connections(), 1);
}

#[test]
fn after_a_thousand_dropped_calls_the_next_gets_its_own_answer() {
    let mut builder = Builder::new();
    builder.max_concurrent_streams(100).max_concurrent_reset_streams(2000);
    builder.max_pending_accept_reset_streams(2000);
    let server = Good::with(builder, |incoming| async move {
        let path = incoming.path().to_owned();
        incoming.answer(200, path).await;
    });
    let client = client(&server.url());
    block_on(async {
        many(&client, 1).await;
        for round in 0..10 {
            let mut calls: Vec<_> = (0..100)
                .map(|n| Box::pin(client.send(Request::get(format!("dropped/{round}/{n}")))))
                .collect();
            // Some are polled once, some a little longer, none with patience.
            for turn in 0..3 {
                let mut pending = Vec::new();
                for mut call in calls.drain(..).skip(turn * 20) {
                    match futures_lite::future::poll_once(&mut call).await {
                        Some(answer) => drop(answer.unwrap()),
                        None => pending.push(call),
                    }
                }
                calls = pending;
            }
            drop(calls);
            many(&client, 3).await;
        }
    });
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_body_that_nobody_reads_stalls_only_its_own_stream() {
    const SIZE: usize = 4 << 20;
    let server = Good::new(|incoming| async move {
        let size = if incoming.path() == "/large" { SIZE } else { 10 };
        incoming.answer(200, vec![7; size]).await;
    });
    let api = prior(&server.url()).http2(Http2::prior_knowledge().window(100_000)).build().unwrap();
    let client = Client::new(api);
    block_on(async {
        let mut unread = Vec::new();
        for _ in 0..20 {
            unread.push(client.open(Request::get("large")).await.unwrap());
        }
        for _ in 0..20 {
            assert_eq!(client.send(Request::get("small")).await.unwrap().bytes().len(), 10);
        }
        for mut body in unread {
            let mut got = 0;
            while let Some(piece) = body.piece().await.unwrap() {
                got += piece.len();
            }
            assert_eq!(got, SIZE);
        }
    });
    assert_eq!(server.connections(), 1);
}

#[test]
fn bodies_go_out_as_the_server_makes_room() {
    const SIZE: usize = 3 << 20;
    let server = Good::new(|mut incoming| async move {
        let length = incoming.read().await.len();
        incoming.answer(200, length.to_string()).await;
    });
    let client = client(&server.url());
    let told = Arc::new(AtomicUsize::new(0));
    let ears = told.clone();
    let bodies = [
        Body::from(vec![1; SIZE]),
        Body::reader(std::io::Read::take(std::io::repeat(1), SIZE as u64)),
        Body::sized_reader(std::io::Read::take(std::io::repeat(1), SIZE as u64), SIZE as u64),
        Body::async_reader(smol::io::Cursor::new(vec![1; SIZE]))
            .on_progress(move |sent| ears.store(sent as usize, SeqCst)),
        Body::empty(),
        Body::reader(std::io::empty()),
    ];
    block_on(async {
        let sent = bodies.map(|body| client.send(Request::put("x").body(body)));
        let sizes = join_all(sent)
            .await
            .into_iter()
            .map(|sent| sent.unwrap().text().unwrap().parse().unwrap());
        assert_eq!(sizes.collect::<Vec<usize>>(), [SIZE, SIZE, SIZE, SIZE, 0, 0]);
    });
    assert_eq!((server.connections(), told.load(SeqCst)), (1, SIZE));
    let heads = server.counts().heads();
    let sized = heads.iter().filter(|head| head.contains("content-length")).count();
    assert_eq!(sized, 3, "{heads:?}");
}

#[test]
fn a_body_that_breaks_its_word_ends_its_call_only() {
    let server = reticent();
    let client = client(&server.url());
    let short = Body::sized_reader(&b"12345"[..], 6);
    let error = block_on(client.send(Request::put("never").body(short))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Body);
    assert!(server.wait(|counts| counts.cancelled.load(SeqCst) == 1));
    assert_eq!(trace(&block_on(client.send(Request::get("a")))), "First 200~");
}

#[test]
fn an_answer_may_come_before_the_request_is_whole() {
    let server = Good::new(|incoming| async move {
        incoming.answer(413, "too much").await;
    });
    let client = client(&server.url());
    let endless = Request::put("x").body(Body::reader(std::io::repeat(1)));
    let error = block_on(client.send(endless)).unwrap_err();
    assert_eq!(error.status().map(|status| status.as_u16()), Some(413), "{error:?}");
    assert_eq!(error.response().unwrap().text().unwrap(), "too much");
    let next = block_on(client.send(Request::get("x").accept(413)));
    assert_eq!(trace(&next), "First 413~");
}

#[test]
fn trailers_interim_responses_and_empty_ones_are_taken() {
    let server = Good::new(|mut incoming| async move {
        let head = |status: u16| http::Response::builder().status(status);
        match incoming.path() {
            "/trailers" => {
                incoming.respond.send_informational(head(103).body(()).unwrap()).unwrap();
                let mut stream = incoming.head(head(200).body(()).unwrap());
                let _ = send(&mut stream, Bytes::from_static(b"body"), false).await;
                stream.send_trailers(trailers()).unwrap();
            }
            "/head" => {
                let head = head(200).header("content-length", "1000000");
                incoming.respond.send_response(head.body(()).unwrap(), true).unwrap();
            }
            "/304" => {
                let head = head(304).header("content-length", "5");
                incoming.respond.send_response(head.body(()).unwrap(), true).unwrap();
            }
            _ => incoming.answer(204, "").await,
        }
    });
    let client = client(&server.url());
    block_on(async {
        let trailing = client.send(Request::get("trailers")).await.unwrap();
        assert_eq!((trailing.status().as_u16(), trailing.text().unwrap()), (200, "body".into()));
        for request in [Request::head("head"), Request::get("204"), Request::get("304").accept(304)]
        {
            let empty = client.send(request).await.unwrap();
            assert!(empty.bytes().is_empty());
        }
    });
    assert_eq!(server.connections(), 1);
}

/// A server that answers the first request on each connection with this.
fn answering(script: impl Fn(&mut Wire) -> std::io::Result<()> + Send + Sync + 'static) -> Frames {
    Frames::new(move |_, wire| {
        wire.settings(&[])?;
        wire.next(HEADERS)?;
        script(wire)?;
        wire.drain()
    })
}

#[test]
fn what_breaks_has_a_type() {
    type Script = fn(&mut Wire) -> std::io::Result<()>;
    let rows: [(&str, ErrorKind, Sent, Script); 17] = [
        ("reset", ErrorKind::Closed, Sent::Maybe, |wire| wire.reset(1, Reason::INTERNAL_ERROR)),
        ("calm", ErrorKind::Closed, Sent::Maybe, |wire| wire.reset(1, Reason::ENHANCE_YOUR_CALM)),
        ("wants h1", ErrorKind::Protocol, Sent::Maybe, |wire| {
            wire.reset(1, Reason::HTTP_1_1_REQUIRED)
        }),
        ("reset in the body", ErrorKind::Truncated, Sent::Yes, |wire| {
            wire.write(HEADERS, END_HEADERS, 1, OK)?;
            wire.write(DATA, 0, 1, b"part")?;
            wire.reset(1, Reason::CANCEL)
        }),
        ("reset without a fault", ErrorKind::Truncated, Sent::Yes, |wire| {
            wire.write(HEADERS, END_HEADERS, 1, OK)?;
            wire.write(DATA, 0, 1, b"part")?;
            wire.reset(1, Reason::NO_ERROR)
        }),
        ("end before the head", ErrorKind::Closed, Sent::Maybe, |wire| {
            wire.stream.shutdown(std::net::Shutdown::Both)
        }),
        ("end in the body", ErrorKind::Truncated, Sent::Yes, |wire| {
            wire.write(HEADERS, END_HEADERS, 1, OK)?;
            wire.write(DATA, 0, 1, b"part")?;
            wire.stream.shutdown(std::net::Shutdown::Both)
        }),
        ("short", ErrorKind::Truncated, Sent::Yes, |wire| {
            wire.write(HEADERS, END_HEADERS, 1, &[OK, &field("content-length", "5")].concat())?;
            wire.write(DATA, END_STREAM, 1, b"1234")
        }),
        ("long", ErrorKind::Truncated, Sent::Yes, |wire| {
            wire.write(HEADERS, END_HEADERS, 1, &[OK, &field("content-length", "5")].concat())?;
            wire.write(DATA, END_STREAM, 1, b"123456")
        }),
        ("two lengths", ErrorKind::Protocol, Sent::Maybe, |wire| {
            let lengths = [field("content-length", "5"), field("content-length", "6")].concat();
            wire.write(HEADERS, END_HEADERS, 1, &[OK, &lengths].concat())
        }),
        ("no status", ErrorKind::Protocol, Sent::Maybe, |wire| {
            wire.write(HEADERS, END_HEADERS, 1, &field("x", "y"))
        }),
        ("a name in capitals", ErrorKind::Protocol, Sent::Maybe, |wire| {
            wire.write(HEADERS, END_HEADERS, 1, &[OK, &field("Name", "y")].concat())
        }),
        ("data on no stream", ErrorKind::Protocol, Sent::Maybe, |wire| {
            wire.write(DATA, 0, 0, b"x")
        }),
        ("too many fields", ErrorKind::HeadTooLarge, Sent::Yes, |wire| {
            let fields: Vec<u8> = (0..101).flat_map(|n| field(&format!("x-{n}"), "y")).collect();
            wire.write(HEADERS, END_HEADERS, 1, &[OK, &fields].concat())
        }),
        ("too large", ErrorKind::HeadTooLarge, Sent::Yes, |wire| {
            wire.write(HEADERS, 0, 1, OK)?;
            for n in 0..5 {
                let flags = if n == 4 { END_HEADERS } else { 0 };
                wire.write(CONTINUATION, flags, 1, &field(&format!("x-{n}"), &"y".repeat(15_000)))?;
            }
            Ok(())
        }),
        ("endless", ErrorKind::HeadTooLarge, Sent::Maybe, |wire| {
            wire.write(HEADERS, 0, 1, OK)?;
            loop {
                wire.write(CONTINUATION, 0, 1, &field("x", &"y".repeat(15_000)))?;
            }
        }),
        ("a bomb", ErrorKind::HeadTooLarge, Sent::Maybe, |wire| {
            // One entry of the table, named over and over: one byte each.
            let mut entry = field("x", &"y".repeat(4000));
            entry[0] = 0x40;
            let bomb = [OK, &entry, &[0xbe; 10_000]].concat();
            wire.write(HEADERS, END_HEADERS, 1, &bomb)
        }),
    ];
    for (name, kind, sent, script) in rows {
        let server = answering(script);
        let begun = Instant::now();
        let error = block_on(client(&server.url()).send(Request::post("x"))).expect_err(name);
        assert_eq!((error.kind(), error.sent()), (kind, sent), "{name}: {error:?}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{name}");
        let text = error.to_string();
        assert!(!text.contains("HTTP/1.1") || name == "wants h1", "{name}: {text}");
    }
}

#[test]
#[cfg(feature = "tls")]
fn a_server_of_another_protocol_is_told_apart() {
    let server = support::tls::Blunt::new(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let client = client(&format!("http://{}/", server.addr()));
    let calls = (0..5).map(|_| client.send(Request::get("x")));
    for said in block_on(join_all(calls)) {
        let error = said.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error:?}");
    }
}

#[test]
fn what_a_goaway_leaves_out_is_sent_again_whatever_it_is() {
    let server = Frames::new(|connection, wire| {
        wire.settings(&[])?;
        wire.next(HEADERS)?;
        if connection == 0 {
            wire.next(HEADERS)?;
            wire.goaway(1, Reason::NO_ERROR)?;
        }
        // The stream that it names goes on to its end.
        wire.answer(1, format!("from {connection}").as_bytes())?;
        wire.drain()
    });
    let client = client(&server.url());
    let said = block_on(async {
        let first = client.send(Request::post("a"));
        let second = async {
            smol::Timer::after(Duration::from_millis(50)).await;
            client.send(Request::post("b")).await
        };
        futures_lite::future::zip(first, second).await
    });
    assert_eq!(trace(&said.0), "First 200");
    assert_eq!(said.0.unwrap().text().unwrap(), "from 0");
    assert_eq!(trace(&said.1), "First Closed~, Resend 200");
    assert_eq!(said.1.unwrap().text().unwrap(), "from 1");
    assert_eq!(server.connections(), 2);
}

#[test]
fn a_refused_stream_is_sent_again_once_and_then_as_the_policy_says() {
    let refusals = Arc::new(AtomicUsize::new(1));
    let left = refusals.clone();
    let server = Frames::new(move |_, wire| {
        wire.settings(&[])?;
        let stream = wire.next(HEADERS)?.stream;
        if left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            wire.reset(stream, Reason::REFUSED_STREAM)?;
        } else {
            wire.answer(stream, b"done")?;
        }
        wire.drain()
    });
    let backoff = Retry::default().backoff(Duration::from_millis(1), Duration::from_millis(2));
    let api = |retry| prior(&server.url()).retry(retry).build().unwrap();
    let send = |retry| block_on(Client::new(api(retry)).send(Request::post("x").body("y")));
    assert_eq!(trace(&send(Retry::none())), "First Closed, Resend 200");
    refusals.store(3, SeqCst);
    let said = send(backoff.clone());
    assert_eq!(trace(&said), "First Closed, Resend Closed, Retry Closed, Resend 200");
    assert_eq!(said.unwrap().attempts()[2].cause(), Cause::Retry);
    refusals.store(9, SeqCst);
    let error = send(Retry::none()).unwrap_err();
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Closed, Sent::No));
}

#[test]
fn a_body_that_was_begun_cannot_be_sent_again() {
    let server = Frames::new(|_, wire| {
        wire.settings(&[])?;
        let stream = wire.next(HEADERS)?.stream;
        wire.next(DATA)?;
        wire.reset(stream, Reason::REFUSED_STREAM)?;
        wire.drain()
    });
    let api = prior(&server.url()).retry(Retry::default()).build().unwrap();
    let once = Request::post("x").body(Body::reader(std::io::repeat(1)));
    let error = block_on(Client::new(api).send(once)).unwrap_err();
    assert_eq!((error.kind(), server.connections()), (ErrorKind::Closed, 1));
    assert!(error.to_string().contains("can be sent once"), "{error}");
}

#[test]
fn after_a_goaway_or_an_end_the_next_call_opens_a_new_connection() {
    for end in [true, false] {
        let server = Frames::new(move |connection, wire| {
            wire.settings(&[])?;
            let stream = wire.next(HEADERS)?.stream;
            wire.answer(stream, format!("from {connection}").as_bytes())?;
            if end {
                return Ok(());
            }
            wire.goaway(stream, Reason::NO_ERROR)?;
            wire.drain()
        });
        let client = client(&server.url());
        for connection in 0..3 {
            let said = block_on(client.send(Request::post("x")));
            assert_eq!(trace(&said), "First 200", "end: {end}");
            assert_eq!(said.unwrap().text().unwrap(), format!("from {connection}"));
            // Time for the frame, or the end, to arrive.
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(server.connections(), 3);
    }
}

#[test]
fn a_server_that_gives_no_room_for_the_body_runs_into_the_limit() {
    let server = Frames::new(|_, wire| {
        wire.settings(&[(4, 0)])?;
        wire.drain()
    });
    let client = Client::new(hasty(&server.url()).build().unwrap());
    // More than what may go before the server has said anything.
    let body = vec![1; 100_000];
    let error = block_on(client.send(Request::put("x").body(body))).unwrap_err();
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Timeout(Phase::Send), Sent::Maybe));
}

#[test]
fn a_dead_connection_is_found_out_by_a_ping() {
    // Takes requests, and says nothing at all.
    let silent = || {
        Frames::new(|_, wire| {
            wire.settings(&[])?;
            loop {
                wire.read()?;
            }
        })
    };
    let server = silent();
    let policy = Http2::prior_knowledge();
    let policy = policy.keep_alive(Duration::from_millis(100), Duration::from_millis(100));
    let api = prior(&server.url()).http2(policy.clone()).build().unwrap();
    let begun = Instant::now();
    let error = block_on(Client::new(api).send(Request::post("x"))).unwrap_err();
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Closed, Sent::Maybe), "{error:?}");
    assert!(error.to_string().contains("no answer to a PING"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    // One that answers PINGs may take its time.
    let slow = Good::new(|incoming| async move {
        tokio::time::sleep(Duration::from_millis(600)).await;
        incoming.answer(200, "late").await;
    });
    let api = prior(&slow.url()).http2(policy).build().unwrap();
    assert_eq!(trace(&block_on(Client::new(api).send(Request::post("x")))), "First 200");
}

#[test]
fn a_silent_connection_that_failed_a_call_is_not_used_for_ever() {
    let server = Frames::new(|connection, wire| {
        wire.settings(&[])?;
        let stream = wire.next(HEADERS)?.stream;
        wire.answer(stream, b"first")?;
        if connection > 0 {
            return wire.drain();
        }
        loop {
            wire.read()?;
        }
    });
    let timeouts = Timeouts::default().connect(Duration::from_millis(200));
    let api = prior(&server.url()).timeouts(timeouts.head(Duration::from_millis(1200)));
    let client = Client::new(api.build().unwrap());
    block_on(async {
        client.send(Request::get("a")).await.unwrap();
        let late = client.send(Request::get("b")).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Timeout(Phase::Head));
        let began = Instant::now();
        // Either it hears of the end, or it finds the connection gone.
        let next = client.send(Request::get("c")).await;
        let met = trace(&next);
        assert!(["First 200", "First Closed~, Resend 200"].contains(&met.as_str()), "{met}");
        assert_eq!(next.unwrap().text().unwrap(), "first");
        assert!(began.elapsed() < Duration::from_secs(1));
    });
    assert_eq!(server.connections(), 2);
}

#[test]
fn those_who_wait_for_a_connection_share_its_failure_and_outlive_its_opener() {
    // Nobody listens.
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", socket.local_addr().unwrap());
    drop(socket);
    let client = client(&url);
    let calls = (0..50).map(|_| client.send(Request::get("x")));
    for said in block_on(join_all(calls)) {
        let error = said.unwrap_err();
        assert_eq!((error.kind(), error.sent()), (ErrorKind::Connect, Sent::No), "{error:?}");
    }
    // The first opens the connection, and is dropped at it.
    let server = echo();
    let client = self::client(&server.url());
    block_on(async {
        let mut opener = Box::pin(client.send(Request::get("opener")));
        assert!(futures_lite::future::poll_once(&mut opener).await.is_none());
        let mut others: Vec<_> =
            (0..5).map(|_| Box::pin(client.send(Request::get("other")))).collect();
        for other in &mut others {
            assert!(futures_lite::future::poll_once(other).await.is_none());
        }
        drop(opener);
        for said in join_all(others).await {
            assert_eq!(said.unwrap().text().unwrap(), "/other");
        }
    });
    assert!(server.connections() <= 2);
}

#[test]
#[cfg(target_os = "linux")]
fn the_thousandth_client_leaves_as_few_threads_as_the_first() {
    let server = echo();
    block_on(many(&client(&server.url()), 3));
    for _ in 0..50 {
        block_on(many(&client(&server.url()), 3));
    }
    assert!(server.wait(|counts| counts.open.load(SeqCst) == 0));
    let threads = std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    let ours = threads.filter(|name| name.starts_with("smol") || name.starts_with("async-io"));
    assert!(ours.count() <= 2);
}

#[test]
fn settings_that_make_no_sense_are_mistakes() {
    let zero = Duration::ZERO;
    for policy in [
        Http2::default().keep_alive(zero, Duration::from_secs(1)),
        Http2::default().keep_alive(Duration::from_secs(1), zero),
        Http2::default().window(0),
        Http2::default().window(1 << 31),
    ] {
        let error = Api::builder("http://localhost/").http2(policy).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Request);
    }
}
