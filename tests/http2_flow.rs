//! HTTP/2: room for bytes and for streams, and what becomes of calls that somebody gives up.
#![cfg(feature = "http2")]

mod support;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use duocall::nonblocking::Client;
use duocall::{Api, Body, ErrorKind, Http2, Phase, Request, Response, Sent, Timeouts};
use futures_util::future::join_all;
use h2::Reason;
use smol::block_on;
use smol::channel::{Receiver, Sender, bounded};
use support::h2::{
    DATA, END_HEADERS, END_STREAM, Frame, Frames, Good, HEADERS, OK, PING, RESET, SETTINGS,
    WINDOW_UPDATE, Wire, client, field, hasty, prior, soon, trace,
};

const CANCEL: u32 = 8;

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap())
}

/// Frames of these kinds as they come, each answered where it wants to be.
fn among(wire: &mut Wire, kinds: &[u8]) -> io::Result<Frame> {
    loop {
        let frame = wire.read()?;
        match (frame.kind, frame.flags & 1) {
            (SETTINGS, 0) => wire.write(SETTINGS, 1, 0, &[])?,
            (PING, 0) => wire.write(PING, 1, 0, &frame.payload)?,
            _ => {}
        }
        if kinds.contains(&frame.kind) {
            return Ok(frame);
        }
    }
}

/// Everything that the client wrote before it saw what we have written until now.
fn until_seen(wire: &mut Wire) -> io::Result<Vec<Frame>> {
    wire.write(PING, 0, 0, b"are-you?")?;
    let mut seen = Vec::new();
    loop {
        let frame = among(wire, &[DATA, HEADERS, RESET, PING])?;
        if frame.kind == PING {
            return Ok(seen);
        }
        seen.push(frame);
    }
}

/// The body of a request, to its end.
fn body(wire: &mut Wire, stream: u32) -> io::Result<usize> {
    let mut size = 0;
    loop {
        let frame = wire.next(DATA)?;
        assert_eq!(frame.stream, stream);
        size += frame.payload.len();
        if frame.flags & END_STREAM != 0 {
            return Ok(size);
        }
    }
}

/// Polls a call until the server says so.
async fn dropped<T>(call: impl Future<Output = T>, now: &Receiver<()>) {
    let given_up = async {
        now.recv().await.unwrap();
        None
    };
    // Asked first: what comes after the signal must not go on.
    let done = futures_lite::future::or(given_up, async { Some(call.await) }).await;
    assert!(done.is_none(), "it is over");
}

fn signal() -> (Sender<()>, Receiver<()>) {
    bounded(1)
}

fn say(now: &Sender<()>) {
    now.send_blocking(()).unwrap();
}

fn text(response: Result<Response, duocall::Error>) -> String {
    response.unwrap().text().unwrap().to_string()
}

#[test]
fn the_windows_are_as_they_are_documented() {
    let (told, heard) = bounded(1);
    let server = Frames::new(move |_, wire| {
        let settings = wire.read()?;
        wire.settings(&[])?;
        let window = wire.next(WINDOW_UPDATE)?;
        told.send_blocking((settings.payload, number(&window.payload))).unwrap();
        let stream = wire.next(HEADERS)?.stream;
        wire.answer(stream, b"")?;
        wire.drain()
    });
    for (policy, window) in [
        (Http2::prior_knowledge(), 2 << 20),
        (Http2::prior_knowledge().window(100_000), 100_000_u32),
    ] {
        let api = prior(&server.url()).concurrency(5).http2(policy).build().unwrap();
        block_on(Client::new(api).send(Request::get("x"))).unwrap();
        let (settings, all) = heard.recv_blocking().unwrap();
        let told = |wanted: u16| {
            let mut pairs = settings.chunks(6);
            let found = pairs.find(|pair| pair[..2] == wanted.to_be_bytes());
            found.map(|pair| number(&pair[2..]))
        };
        // SETTINGS_INITIAL_WINDOW_SIZE, SETTINGS_ENABLE_PUSH.
        assert_eq!((told(4), told(2)), (Some(window), Some(0)));
        assert_eq!(all, 5 * window - 65_535);
    }
}

#[test]
fn a_body_stops_and_goes_on_as_the_server_changes_the_window() {
    let server = Frames::new(|_, wire| {
        settle(wire, &[(4, 0)])?;
        let stream = wire.next(HEADERS)?.stream;
        assert_eq!(until_seen(wire)?.len(), 0, "there was no room for it");
        wire.settings(&[(4, 10)])?;
        let part = wire.next(DATA)?;
        assert_eq!((part.payload.len(), part.flags & END_STREAM), (10, 0));
        // Ten bytes have gone, so there is less than none.
        wire.settings(&[(4, 0)])?;
        wire.write(WINDOW_UPDATE, 0, stream, &10_u32.to_be_bytes())?;
        assert_eq!(until_seen(wire)?.len(), 0, "there was no room for more");
        wire.settings(&[(4, 1 << 20)])?;
        wire.write(WINDOW_UPDATE, 0, 0, &(1_u32 << 20).to_be_bytes())?;
        let size = 10 + body(wire, stream)?;
        wire.answer(stream, size.to_string().as_bytes())?;
        wire.drain()
    });
    let client = client(&server.url());
    block_on(async {
        client.send(Request::get("x")).await.unwrap();
        let sent = client.send(Request::put("x").body(vec![7; 100_000])).await;
        assert_eq!(text(sent), "100000");
    });
    assert_eq!(server.connections(), 1);
}

/// Answers the first call, and has the next know of these settings.
fn settle(wire: &mut Wire, settings: &[(u16, u32)]) -> io::Result<()> {
    wire.settings(&[])?;
    let first = wire.next(HEADERS)?.stream;
    wire.settings(settings)?;
    wire.answer(first, b"")
}

#[test]
fn streams_wait_until_the_server_takes_some() {
    let server = Frames::new(|_, wire| {
        // SETTINGS_MAX_CONCURRENT_STREAMS.
        settle(wire, &[(3, 0)])?;
        assert_eq!(until_seen(wire)?.len(), 0, "none was allowed");
        wire.settings(&[(3, 3)])?;
        let three = [0; 3].map(|_| wire.next(HEADERS).unwrap().stream);
        assert_eq!(until_seen(wire)?.len(), 0, "three were allowed");
        wire.settings(&[(3, 1)])?;
        for stream in three {
            assert_eq!(until_seen(wire)?.len(), 0, "there are enough");
            wire.answer(stream, b"next")?;
        }
        for _ in 0..3 {
            let stream = wire.next(HEADERS)?.stream;
            assert_eq!(until_seen(wire)?.len(), 0, "one was allowed");
            wire.answer(stream, b"last")?;
        }
        wire.drain()
    });
    let client = client(&server.url());
    block_on(client.send(Request::get("x"))).unwrap();
    let calls = (0..6).map(|_| client.send(Request::post("x")));
    let mut said: Vec<_> = block_on(join_all(calls)).into_iter().map(text).collect();
    said.sort();
    assert_eq!(said, ["last", "last", "last", "next", "next", "next"]);
    assert_eq!(server.connections(), 1);
}

#[test]
fn where_the_server_takes_no_streams_calls_were_not_sent() {
    let server = Frames::new(|_, wire| {
        settle(wire, &[(3, 0)])?;
        wire.drain()
    });
    let client = Client::new(hasty(&server.url()).build().unwrap());
    block_on(client.send(Request::get("x"))).unwrap();
    let error = block_on(client.send(Request::post("x").body("y"))).unwrap_err();
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Timeout(Phase::Send), Sent::No));
}

#[test]
fn a_call_that_is_dropped_is_taken_back_whatever_it_was_at() {
    let (now, given_up) = signal();
    let server = Frames::new(move |_, wire| {
        settle(wire, &[(3, 1), (4, 0)])?;
        // It waits for room for its body, or for its head.
        for _ in 0..2 {
            let stream = wire.next(HEADERS)?.stream;
            say(&now);
            let reset = wire.next(RESET)?;
            assert_eq!((reset.stream, number(&reset.payload)), (stream, CANCEL));
        }
        // The body is on its way.
        let stream = wire.next(HEADERS)?.stream;
        wire.write(HEADERS, END_HEADERS, stream, OK)?;
        wire.write(DATA, 0, stream, b"part")?;
        let reset = wire.next(RESET)?;
        assert_eq!((reset.stream, number(&reset.payload)), (stream, CANCEL));
        // It waits for another to end, and nobody hears of it.
        let stream = wire.next(HEADERS)?.stream;
        assert_eq!(until_seen(wire)?.len(), 0);
        say(&now);
        assert_eq!(until_seen(wire)?.len(), 0);
        wire.answer(stream, b"patience")?;
        let stream = wire.next(HEADERS)?.stream;
        wire.answer(stream, b"good")?;
        wire.drain()
    });
    let client = client(&server.url());
    block_on(async {
        client.send(Request::get("x")).await.unwrap();
        dropped(client.send(Request::put("x").body("body")), &given_up).await;
        dropped(client.send(Request::get("x")), &given_up).await;
        let mut open = client.open(Request::get("x")).await.unwrap();
        assert_eq!(open.piece().await.unwrap().unwrap(), "part");
        drop(open);
        let (patient, ()) = futures_lite::future::zip(
            client.send(Request::get("x")),
            dropped(client.send(Request::get("dropped")), &given_up),
        )
        .await;
        assert_eq!(text(patient), "patience");
        assert_eq!(text(client.send(Request::get("x")).await), "good");
    });
    assert_eq!(server.connections(), 1);
}

#[test]
fn what_a_dropped_body_leaves_unread_takes_no_room() {
    const SIZE: usize = 1 << 20;
    let server = Good::new(|incoming| async move {
        incoming.answer(200, vec![7; SIZE]).await;
    });
    // Four of them fill the window of the connection.
    let policy = Http2::prior_knowledge().window(100_000);
    let api = prior(&server.url()).concurrency(4).http2(policy).build().unwrap();
    let client = Client::new(api);
    block_on(async {
        for _ in 0..40 {
            let mut open = client.open(Request::get("x")).await.unwrap();
            assert!(open.piece().await.unwrap().is_some());
        }
        assert_eq!(client.send(Request::get("x")).await.unwrap().bytes().len(), SIZE);
    });
    assert_eq!(server.connections(), 1);
}

/// RFC 9113 section 8.1: with a reset that finds no fault, or without one.
#[test]
fn an_early_answer_ends_the_upload_and_nothing_else() {
    for reset in [true, false] {
        for content in [&b""[..], b"too much"] {
            let seen = Arc::new(AtomicUsize::new(0));
            let resets = seen.clone();
            let server = Frames::new(move |_, wire| {
                wire.settings(&[])?;
                let stream = wire.next(HEADERS)?.stream;
                wire.next(DATA)?;
                let head = [field(":status", "413")].concat();
                if content.is_empty() {
                    wire.write(HEADERS, END_HEADERS | END_STREAM, stream, &head)?;
                } else {
                    wire.write(HEADERS, END_HEADERS, stream, &head)?;
                    wire.write(DATA, END_STREAM, stream, content)?;
                }
                if reset {
                    wire.reset(stream, Reason::NO_ERROR)?;
                    let stream = wire.next(HEADERS)?.stream;
                    wire.answer(stream, b"good")?;
                    return wire.drain();
                }
                // In whichever order.
                for _ in 0..2 {
                    let frame = among(wire, &[HEADERS, RESET])?;
                    if frame.kind == HEADERS {
                        wire.answer(frame.stream, b"good")?;
                    } else {
                        assert_eq!((frame.stream, number(&frame.payload)), (stream, CANCEL));
                        resets.fetch_add(1, SeqCst);
                    }
                }
                wire.drain()
            });
            let client = client(&server.url());
            let endless = Request::put("x").body(Body::reader(io::repeat(1))).accept(413);
            let early = block_on(client.send(endless)).unwrap();
            assert_eq!((early.status().as_u16(), early.bytes()), (413, content));
            let next = block_on(client.send(Request::get("x")));
            assert_eq!(trace(&next), "First 200~", "{reset} {content:?}");
            assert!(reset || soon(|| seen.load(SeqCst) == 1), "{content:?}: it goes on");
        }
    }
}

/// RFC 9113 section 6.8: first a warning, then the number of the last stream.
#[test]
fn a_server_may_say_twice_that_it_goes() {
    let (warned, hear) = signal();
    let server = Frames::new(move |connection, wire| {
        wire.settings(&[])?;
        let stream = wire.next(HEADERS)?.stream;
        if connection == 0 {
            wire.goaway(u32::MAX >> 1, Reason::NO_ERROR)?;
            until_seen(wire)?;
            say(&warned);
            wire.goaway(stream, Reason::NO_ERROR)?;
            until_seen(wire)?;
        }
        wire.answer(stream, format!("from {connection}").as_bytes())?;
        wire.drain()
    });
    let client = client(&server.url());
    let (old, new) = block_on(futures_lite::future::zip(client.send(Request::post("a")), async {
        hear.recv().await.unwrap();
        client.send(Request::post("b")).await
    }));
    assert_eq!((trace(&old), trace(&new)), ("First 200".into(), "First 200".into()));
    assert_eq!((text(old), text(new)), ("from 0".into(), "from 1".into()));
}

#[test]
fn what_a_goaway_does_not_leave_out_may_have_been_processed() {
    let server = Frames::new(|_, wire| {
        wire.settings(&[])?;
        let stream = wire.next(HEADERS)?.stream;
        wire.goaway(stream, Reason::INTERNAL_ERROR)
    });
    let error = block_on(client(&server.url()).send(Request::post("x"))).unwrap_err();
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Closed, Sent::Maybe), "{error:?}");
    assert_eq!(server.connections(), 1);
}

#[test]
fn what_is_unknown_or_of_no_use_is_passed_over() {
    let server = Frames::new(|_, wire| {
        wire.settings(&[(0xfff, 7), (1, 0), (6, 1000)])?;
        let stream = wire.next(HEADERS)?.stream;
        wire.write(0x42, 0xff, stream, b"of another world")?;
        wire.write(2, 0, stream, &[0, 0, 0, 0, 7])?;
        for status in [100, 103, 199] {
            wire.write(HEADERS, END_HEADERS, stream, &field(":status", &status.to_string()))?;
        }
        // Padded, with a priority; then padded, and empty.
        let padded = [&[2, 0, 0, 0, 0, 7], OK, &[0, 0]].concat();
        wire.write(HEADERS, END_HEADERS | 0x28, stream, &padded)?;
        wire.write(DATA, 8, stream, &[3, b'g', b'o', 0, 0, 0])?;
        wire.write(DATA, 0, stream, b"")?;
        wire.write(DATA, 8, stream, &[0, b'o', b'd'])?;
        wire.write(DATA, END_STREAM | 8, stream, &[2, 0, 0])?;
        // For a stream that is over.
        wire.write(WINDOW_UPDATE, 0, stream, &1_u32.to_be_bytes())?;
        wire.reset(stream, Reason::CANCEL)?;
        let stream = wire.next(HEADERS)?.stream;
        wire.answer(stream, b"good")?;
        wire.drain()
    });
    let client = client(&server.url());
    for _ in 0..2 {
        assert_eq!(text(block_on(client.send(Request::post("x")))), "good");
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn interim_heads_do_not_stop_the_clock() {
    let server = Frames::new(|_, wire| {
        wire.settings(&[])?;
        let stream = wire.next(HEADERS)?.stream;
        loop {
            wire.write(HEADERS, END_HEADERS, stream, &field(":status", "103"))?;
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let client = Client::new(hasty(&server.url()).build().unwrap());
    let error = block_on(client.send(Request::post("x"))).unwrap_err();
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Timeout(Phase::Head), Sent::Yes));
}

/// Neither the reset of a call nor a PING can go out.
#[test]
fn a_server_that_stops_reading_is_given_up() {
    let (over, wait) = signal();
    let server = Frames::new(move |connection, wire| {
        wire.settings(&[(4, u32::MAX >> 1)])?;
        wire.write(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes())?;
        let stream = wire.next(HEADERS)?.stream;
        if connection == 0 {
            let _ = wait.recv_blocking();
            return Ok(());
        }
        wire.answer(stream, b"good")?;
        loop {
            let stream = wire.next(HEADERS)?.stream;
            wire.answer(stream, b"good")?;
        }
    });
    let timeouts = Timeouts::default().connect(Duration::from_millis(200));
    let api = prior(&server.url()).timeouts(timeouts.head(Duration::from_millis(1200)));
    let client = Client::new(api.build().unwrap());
    let endless = Request::put("x").body(Body::reader(io::repeat(1)));
    let error = block_on(client.send(endless)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Send), "{error:?}");
    let began = Instant::now();
    while server.connections() == 1 {
        assert!(began.elapsed() < Duration::from_secs(5), "it is used for ever");
        let _ = block_on(client.send(Request::get("x")));
    }
    assert_eq!(text(block_on(client.send(Request::get("x")))), "good");
    drop(over);
}

#[test]
fn a_body_that_was_read_leaves_its_place() {
    let server = Frames::new(|_, wire| {
        settle(wire, &[(3, 1)])?;
        loop {
            let stream = wire.next(HEADERS)?.stream;
            wire.answer(stream, b"good")?;
        }
    });
    let client = Client::new(hasty(&server.url()).build().unwrap());
    block_on(async {
        client.send(Request::get("x")).await.unwrap();
        let mut open = client.open(Request::get("x")).await.unwrap();
        while open.piece().await.unwrap().is_some() {}
        assert_eq!(text(client.send(Request::get("x")).await), "good");
        drop(open);
    });
}

/// What waits for room was not sent, so it may go elsewhere, whatever it is.
#[test]
fn who_waits_for_room_on_a_connection_that_ends_takes_another() {
    for fate in ["a GOAWAY", "no answer to a PING", "the end"] {
        let ((now, hear), (end, ends)) = (signal(), signal());
        let server = Frames::new(move |connection, wire| {
            if connection > 0 {
                wire.settings(&[])?;
                let stream = wire.next(HEADERS)?.stream;
                wire.answer(stream, b"elsewhere")?;
                return wire.drain();
            }
            settle(wire, &[(3, 1)])?;
            let stream = wire.next(HEADERS)?.stream;
            say(&now);
            let _ = ends.recv_blocking();
            assert_eq!(until_seen(wire)?.len(), 0, "there is no room");
            match fate {
                "a GOAWAY" => {
                    wire.goaway(stream, Reason::NO_ERROR)?;
                    wire.drain()
                }
                "no answer to a PING" => loop {
                    wire.read()?;
                },
                _ => Ok(()),
            }
        });
        let asks = Duration::from_millis(300);
        let policy = Http2::prior_knowledge().keep_alive(asks, asks);
        let client = Client::new(prior(&server.url()).http2(policy).build().unwrap());
        let waited = block_on(async {
            client.send(Request::get("x")).await.unwrap();
            let mut first = Box::pin(client.send(Request::post("x")));
            dropped(&mut first, &hear).await;
            let mut waits = Box::pin(client.send(Request::post("x")));
            assert!(futures_lite::future::poll_once(&mut waits).await.is_none());
            say(&end);
            waits.await
        });
        assert_eq!(trace(&waited), "First Closed~, Resend 200", "{fate}");
        assert_eq!(text(waited), "elsewhere");
    }
}

/// h2 has it, and will send it should the server read again.
#[test]
fn a_call_that_is_stuck_behind_another_may_have_been_sent() {
    let (over, wait) = signal();
    let server = Frames::new(move |_, wire| {
        settle(wire, &[(4, u32::MAX >> 1)])?;
        wire.write(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes())?;
        let _ = wait.recv_blocking();
        Ok(())
    });
    let client = Client::new(hasty(&server.url()).build().unwrap());
    block_on(client.send(Request::get("x"))).unwrap();
    let endless = Request::put("x").body(Body::reader(io::repeat(1)));
    let error = block_on(client.send(endless)).unwrap_err();
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Timeout(Phase::Send), Sent::Maybe));
    let error = block_on(client.send(Request::post("x"))).unwrap_err();
    assert!(error.is_timeout() && error.sent() != Sent::No, "{error:?}");
    drop(over);
}

/// Many tasks of many threads, before there is any connection.
#[test]
fn who_comes_at_the_same_time_shares_one_connection() {
    let server = support::h2::echo();
    let api: Api = prior(&server.url()).build().unwrap();
    let client = Client::new(api);
    let threads = (0..4).map(|thread| {
        let client = client.clone();
        std::thread::spawn(move || {
            let calls = (0..50).map(|n| client.send(Request::get(format!("{thread}/{n}"))));
            for (n, said) in block_on(join_all(calls)).into_iter().enumerate() {
                assert_eq!(text(said), format!("/{thread}/{n}"));
            }
        })
    });
    for thread in threads.collect::<Vec<_>>() {
        thread.join().unwrap();
    }
    assert_eq!(server.connections(), 1);
}
