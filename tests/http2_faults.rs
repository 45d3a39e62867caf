//! HTTP/2: what a server may do to a connection and its calls.
#![cfg(feature = "http2")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use duocall::nonblocking::Client;
use duocall::{Body, Cause, ErrorKind, Http2, Phase, Request, Retry, Sent, Timeouts};
use futures_util::future::join_all;
use h2::Reason;
use smol::block_on;
use support::h2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, Good, HEADERS, OK, PUSH_PROMISE,
    WINDOW_UPDATE, Wire, client, echo, field, hasty, prior, trace,
};

fn interim(status: u16) -> Vec<u8> {
    field(":status", &status.to_string())
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

fn answer_in_part(wire: &mut Wire) -> std::io::Result<()> {
    wire.write(HEADERS, END_HEADERS, 1, OK)?;
    wire.write(DATA, 0, 1, b"part")
}

#[test]
fn what_breaks_has_a_type() {
    type Script = fn(&mut Wire) -> std::io::Result<()>;
    let rows: [(&str, ErrorKind, Sent, Script); 27] = [
        ("reset", ErrorKind::Closed, Sent::Maybe, |wire| wire.reset(1, Reason::INTERNAL_ERROR)),
        ("calm", ErrorKind::Closed, Sent::Maybe, |wire| wire.reset(1, Reason::ENHANCE_YOUR_CALM)),
        ("wants h1", ErrorKind::Protocol, Sent::Maybe, |wire| {
            wire.reset(1, Reason::HTTP_1_1_REQUIRED)
        }),
        ("reset in the body", ErrorKind::Truncated, Sent::Yes, |wire| {
            answer_in_part(wire)?;
            wire.reset(1, Reason::CANCEL)
        }),
        ("reset without a fault", ErrorKind::Truncated, Sent::Yes, |wire| {
            answer_in_part(wire)?;
            wire.reset(1, Reason::NO_ERROR)
        }),
        ("end before the head", ErrorKind::Closed, Sent::Maybe, |wire| {
            wire.stream.shutdown(std::net::Shutdown::Both)
        }),
        ("end in the body", ErrorKind::Truncated, Sent::Yes, |wire| {
            answer_in_part(wire)?;
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
        ("data before the head", ErrorKind::Protocol, Sent::Maybe, |wire| {
            wire.write(DATA, END_STREAM, 1, b"x")
        }),
        ("an interim head that ends", ErrorKind::Protocol, Sent::Maybe, |wire| {
            wire.write(HEADERS, END_HEADERS | END_STREAM, 1, &interim(103))
        }),
        ("a head that ends before its body", ErrorKind::Protocol, Sent::Maybe, |wire| {
            let head = [OK, &field("content-length", "5")].concat();
            wire.write(HEADERS, END_HEADERS | END_STREAM, 1, &head)
        }),
        ("trailers before the length", ErrorKind::Truncated, Sent::Yes, |wire| {
            wire.write(HEADERS, END_HEADERS, 1, &[OK, &field("content-length", "5")].concat())?;
            wire.write(DATA, 0, 1, b"1234")?;
            wire.write(HEADERS, END_HEADERS | END_STREAM, 1, &field("x-late", "y"))
        }),
        ("trailers that go on", ErrorKind::Protocol, Sent::Yes, |wire| {
            wire.write(HEADERS, END_HEADERS, 1, OK)?;
            wire.write(HEADERS, END_HEADERS, 1, &field("x-late", "y"))
        }),
        ("a push that nobody wants", ErrorKind::Protocol, Sent::Maybe, |wire| {
            let promise = [&2_u32.to_be_bytes(), OK].concat();
            wire.write(PUSH_PROMISE, END_HEADERS, 1, &promise)
        }),
        ("a frame above the limit", ErrorKind::Protocol, Sent::Yes, |wire| {
            wire.write(HEADERS, END_HEADERS, 1, OK)?;
            wire.write(DATA, 0, 1, &[7; 20_000])
        }),
        ("a window that overflows", ErrorKind::Protocol, Sent::Maybe, |wire| {
            wire.write(WINDOW_UPDATE, 0, 0, &u32::MAX.to_be_bytes())?;
            wire.write(WINDOW_UPDATE, 0, 0, &(u32::MAX >> 1).to_be_bytes())
        }),
        ("refused after the head", ErrorKind::Truncated, Sent::Yes, |wire| {
            answer_in_part(wire)?;
            wire.reset(1, Reason::REFUSED_STREAM)
        }),
        ("left out after the head", ErrorKind::Truncated, Sent::Yes, |wire| {
            answer_in_part(wire)?;
            wire.goaway(0, Reason::NO_ERROR)
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
        let mut stream = wire.next(HEADERS)?.stream;
        if connection == 0 {
            wire.answer(stream, b"")?;
            stream = wire.next(HEADERS)?.stream;
            wire.next(HEADERS)?;
            wire.goaway(stream, Reason::NO_ERROR)?;
        }
        // The stream that it names goes on to its end.
        wire.answer(stream, format!("from {connection}").as_bytes())?;
        wire.drain()
    });
    let client = client(&server.url());
    let said = block_on(async {
        client.send(Request::get("x")).await.unwrap();
        let (first, second) = (Request::post("a"), Request::post("b"));
        futures_lite::future::zip(client.send(first), client.send(second)).await
    });
    assert_eq!(trace(&said.0), "First 200~");
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
