//! HTTP/2: many calls on one connection, and each on its own.
#![cfg(feature = "http2")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use duocall::nonblocking::Client;
use duocall::{Api, Body, ErrorKind, Http2, Phase, Request, Sent};
use futures_util::future::join_all;
use h2::Reason;
use h2::server::Builder;
use smol::block_on;
use support::h2::{
    END_HEADERS, Frames, Good, HEADERS, OK, client, echo, hasty, prior, send, trace, trailers,
    until_reset,
};

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

/// Its sockets for HTTP/2 are async-io's: no runtime has to run for them, or to do I/O.
#[cfg(feature = "tokio")]
#[test]
fn a_client_on_tokio_shares_its_connection_among_runtimes_and_outlives_them() {
    let server = echo();
    let client = Client::with_tokio(prior(&server.url()).build().unwrap());
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (first, second) = (runtime(), runtime());
    first.block_on(many(&client, 20));
    // The first stands still, and then is gone.
    second.block_on(many(&client, 20));
    drop((first, second));
    runtime().block_on(many(&client, 20));
    block_on(many(&client, 20));
    let threads = tokio::runtime::Runtime::new().unwrap();
    let spawned = client.clone();
    threads.block_on(threads.spawn(async move { many(&spawned, 20).await })).unwrap();
    assert_eq!(server.connections(), 1);
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
            while server.counts().streams.load(SeqCst) < 2 {
                smol::Timer::after(Duration::from_millis(2)).await;
            }
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
