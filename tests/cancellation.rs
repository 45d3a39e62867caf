//! A cancelled call ends in milliseconds, whatever it waits for, and nobody else's call is hit.

mod support;

use std::future::Future;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use duocall::{
    Api, Auth, Cancel, Endpoint, Error, ErrorKind, Request, Response, Retry, blocking, nonblocking,
    pool,
};
use futures_lite::future::block_on;
use socket2::{Domain, Socket, Type};
use support::{Act, Server, ok, reply};

/// Far below every limit of time, far above what it takes.
const SOON: Duration = Duration::from_secs(2);

fn api(url: &str) -> duocall::ApiBuilder {
    Api::builder(url)
}

/// One call in each way, the first, second and third, cancelled soon after `ready`, and how long it took from there.
fn cancelled(case: &str, api: &Api, request: &Request, ready: impl Fn(usize)) {
    type Call = Box<dyn FnOnce(Api, Request, Cancel) -> Vec<Result<Response, Error>> + Send>;
    let ways: [(&str, Call); 3] = [
        (
            "blocking",
            Box::new(|api, request, cancel| {
                blocking::Client::new(api).batch([request]).cancel(&cancel).gather()
            }),
        ),
        (
            "pool",
            Box::new(|api, request, cancel| {
                pool::Client::new(api).batch([request]).cancel(&cancel).gather()
            }),
        ),
        (
            "async",
            Box::new(|api, request, cancel| {
                block_on(nonblocking::Client::new(api).batch([request]).cancel(&cancel).gather())
            }),
        ),
    ];
    for (n, (way, call)) in (1..).zip(ways) {
        let cancel = Cancel::new();
        let (api, request, theirs) = (api.clone(), request.clone(), cancel.clone());
        let calling = thread::spawn(move || call(api, request, theirs));
        ready(n);
        a_moment();
        let start = Instant::now();
        cancel.cancel();
        let results = calling.join().expect("no panic");
        let took = start.elapsed();
        println!("{case}, {way}: {:.1} ms", took.as_secs_f64() * 1e3);
        assert!(took < SOON, "{case}, {way}: {took:?}");
        let kinds: Vec<_> =
            results.into_iter().map(|r| r.map(drop).map_err(|e| e.kind())).collect();
        assert_eq!(kinds, [Err(ErrorKind::Cancelled)], "{case}, {way}");
    }
}

/// Where nothing can be seen from outside. Too short would only mean to cancel earlier.
fn a_moment() {
    thread::sleep(Duration::from_millis(50));
}

#[test]
fn at_the_gate() {
    let server = Server::new(|_| vec![Act::Stall]);
    let api = api(&server.url()).concurrency(1).build().unwrap();
    let holder = pool::Client::new(api.clone());
    let held = holder.send(Request::get("held"));
    assert!(server.wait_requests(1, SOON));
    cancelled("at the gate", &api, &Request::get("x"), |_| ());
    assert_eq!(server.requests().len(), 1);
    drop(held);
}

#[test]
fn in_back_off() {
    let server = Server::new(|_| reply(500, &[], ""));
    let long = Duration::from_secs(30);
    let retry = Retry::default().backoff(long, long).seed(1);
    let api = api(&server.url()).retry(retry).build().unwrap();
    cancelled("in back-off", &api, &Request::get("x"), |n| assert!(server.wait_requests(n, SOON)));
}

#[test]
fn while_another_call_refreshes() {
    let server = Server::new(|_| ok(""));
    let (release, released) = mpsc::channel::<()>();
    let (begun, beginning) = mpsc::channel();
    let released = std::sync::Mutex::new(released);
    let auth = Auth::refreshing(move || {
        let _ = begun.send(());
        let _ = released.lock().unwrap().recv();
        Ok::<_, Error>(Auth::bearer("late"))
    });
    let api = api(&server.url()).auth(auth).build().unwrap();
    let leader = pool::Client::new(api.clone());
    let leading = leader.send(Request::get("leads"));
    beginning.recv().unwrap();
    cancelled("in a refresh", &api, &Request::get("x"), |_| ());
    drop(release);
    assert!(leading.wait().is_ok());
}

/// An address that answers no SYN: its queue is full and nobody accepts.
struct BlackHole {
    addr: SocketAddr,
    _listener: Socket,
    _fill: Vec<Socket>,
}

fn black_hole() -> BlackHole {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    listener.listen(0).unwrap();
    let addr = listener.local_addr().unwrap().as_socket().unwrap();
    let mut fill = Vec::new();
    loop {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let connected = socket.connect_timeout(&addr.into(), Duration::from_millis(100));
        fill.push(socket);
        if connected.is_err() {
            return BlackHole { addr, _listener: listener, _fill: fill };
        }
        assert!(fill.len() < 100, "the queue does not fill");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn while_connecting() {
    let hole = black_hole();
    assert!(TcpStream::connect_timeout(&hole.addr, Duration::from_millis(100)).is_err());
    let api = api(&format!("http://{}/", hole.addr)).build().unwrap();
    cancelled("connecting", &api, &Request::get("x"), |_| ());
    // At moments around the beginning, too: none is missed.
    let client = pool::Client::new(api);
    for micros in (0..200).step_by(4) {
        let start = Instant::now();
        let job = client.send(Request::get("x").retry(Retry::none()));
        while start.elapsed() < Duration::from_micros(micros) {
            std::hint::spin_loop();
        }
        job.cancel();
        assert_eq!(job.wait().unwrap_err().kind(), ErrorKind::Cancelled);
        assert!(start.elapsed() < SOON, "after {micros} µs");
    }
}

#[test]
fn in_the_tls_handshake() {
    let server = Server::on_accept(|_| Some(vec![Act::Stall]), |_| ok(""));
    let api = api(&format!("https://{}/", server.addr())).build().unwrap();
    cancelled("in the TLS handshake", &api, &Request::get("x"), |n| {
        assert!(server.wait_connections(n, SOON))
    });
}

#[test]
fn while_a_large_body_is_written() {
    let server = Server::on_accept(|_| Some(vec![Act::Pause(Duration::from_secs(60))]), |_| ok(""));
    let api = api(&server.url()).build().unwrap();
    let request = Request::put("x").body(vec![7; 50 << 20]);
    cancelled("writing a body", &api, &request, |n| assert!(server.wait_connections(n, SOON)));
}

#[test]
fn before_the_head_and_amid_the_body() {
    let half = reply(200, &[("content-length", "100")], "only a part");
    let cases = [("before the head", Vec::new()), ("amid the body", half)];
    for (case, mut acts) in cases {
        acts.push(Act::Stall);
        let server = Server::new(move |_| acts.clone());
        let api = api(&server.url()).build().unwrap();
        cancelled(case, &api, &Request::get("x"), |n| assert!(server.wait_requests(n, SOON)));
        assert!(server.wait_closed(SOON), "{case}");
    }
}

/// Takes its time, so that a cancellation falls anywhere: before the head, amid the body, at its end.
fn echoing() -> Server {
    Server::new(|seen| {
        let us = |n: usize| Act::Pause(Duration::from_micros((n as u64 * 37) % 400));
        let body = &seen.body;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        let (one, two) = body.split_at(body.len() / 2);
        let n = seen.index;
        let write = |bytes: &[u8]| Act::Write(bytes.to_vec());
        vec![us(n), write(head.as_bytes()), us(n / 2), write(one), us(n / 3), write(two)]
    })
}

/// Never sent twice: a connection that was cancelled in another's stead would show.
fn unique(lane: usize, round: usize, what: &str) -> (Request, String) {
    let body = format!("{what} {lane} {round} {}", "x".repeat(round % 50));
    (Request::post("echo").body(body.clone()).retry(Retry::none()), body)
}

const LANES: usize = 4;
const ROUNDS: usize = 250;

#[test]
fn a_thousand_cancelled_jobs_hit_nobody_else() {
    let server = echoing();
    let api = api(&server.url()).build().unwrap();
    let client = pool::Client::builder(api).threads(8).build().unwrap();
    thread::scope(|scope| {
        for lane in 0..LANES {
            let client = &client;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(lane as u64);
                for round in 0..ROUNDS {
                    let job = client.send(unique(lane, round, "cancelled").0);
                    thread::sleep(Duration::from_micros(random.u64(0..1500)));
                    if random.bool() {
                        drop(job);
                    } else {
                        job.cancel();
                        let (_, sent) = unique(lane, round, "cancelled");
                        match job.wait() {
                            Ok(response) => assert_eq!(response.text().unwrap(), sent),
                            Err(error) => assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}"),
                        }
                    }
                    let (request, sent) = unique(lane, round, "kept");
                    assert_eq!(client.send(request).wait().unwrap().text().unwrap(), sent);
                }
            });
        }
    });
    println!("{} connections for {} requests", server.connections(), server.requests().len());
}

#[test]
fn a_thousand_dropped_futures_hit_nobody_else() {
    let server = echoing();
    let api = api(&server.url()).build().unwrap();
    let client = nonblocking::Client::new(api);
    thread::scope(|scope| {
        for lane in 0..LANES {
            let client = &client;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(lane as u64);
                block_on(async {
                    for round in 0..ROUNDS {
                        let (request, sent) = unique(lane, round, "cancelled");
                        let late = Duration::from_micros(random.u64(0..1500));
                        let late = async {
                            smol::Timer::after(late).await;
                            None
                        };
                        let call = async { Some(client.send(request).await) };
                        if let Some(answer) = smol::future::or(call, late).await {
                            assert_eq!(answer.unwrap().text().unwrap(), sent);
                        }
                        let (request, sent) = unique(lane, round, "kept");
                        assert_eq!(client.send(request).await.unwrap().text().unwrap(), sent);
                    }
                });
            });
        }
    });
    println!("{} connections for {} requests", server.connections(), server.requests().len());
}

/// Dropped at every point where it can be: after so many polls.
#[test]
fn a_future_dropped_after_any_poll_leaves_nothing_to_the_next() {
    let server = echoing();
    let client = nonblocking::Client::new(api(&server.url()).build().unwrap());
    block_on(async {
        let mut polls = 0;
        let mut finished = 0;
        while finished < 20 {
            polls += 1;
            let mut call = Box::pin(client.send(unique(0, polls, "dropped").0));
            let mut left = polls;
            let dropped = std::future::poll_fn(|cx| {
                left -= 1;
                match call.as_mut().poll(cx) {
                    std::task::Poll::Pending if left > 0 => std::task::Poll::Pending,
                    polled => std::task::Poll::Ready(polled.is_pending()),
                }
            });
            finished += usize::from(!dropped.await);
            drop(call);
            for next in 0..3 {
                let (request, sent) = unique(next, polls, "kept");
                assert_eq!(client.send(request).await.unwrap().text().unwrap(), sent, "{polls}");
            }
            assert!(polls < 1000, "it never finishes");
        }
        println!("up to {polls} polls");
    });
}

/// Two batches share connections; only one is cancelled, over and over.
#[test]
fn a_cancelled_batch_leaves_the_other_alone() {
    let server = echoing();
    let api = api(&server.url()).build().unwrap();
    let client = pool::Client::builder(api).threads(8).build().unwrap();
    thread::scope(|scope| {
        let other = client.clone();
        let cancelling = scope.spawn(move || {
            let mut random = fastrand::Rng::with_seed(7);
            for round in 0..100 {
                let cancel = Cancel::new();
                let calls = (0..4).map(move |n| unique(n, round, "cancelled").0);
                let mut stream = other.batch(calls).concurrency(4).cancel(&cancel).stream();
                drop(stream.next());
                thread::sleep(Duration::from_micros(random.u64(0..500)));
                cancel.cancel();
                stream.for_each(drop);
            }
        });
        let mut round = 0;
        while !cancelling.is_finished() {
            round += 1;
            let calls = (0..4).map(|n| unique(n, round, "kept").0);
            for (n, result) in client.batch(calls).concurrency(4).stream() {
                assert_eq!(result.unwrap().text().unwrap(), unique(n, round, "kept").1);
            }
        }
        println!("{round} rounds undisturbed");
    });
}

/// A queue that is stuck behind others' calls.
#[test]
fn what_is_queued_is_cancelled_without_a_free_worker() {
    struct Never;
    impl Endpoint for Never {
        type Output = ();
        fn request(&self) -> Request {
            panic!("it is never made")
        }
        fn decode(&self, _: Response) -> Result<(), Error> {
            Ok(())
        }
    }
    let server = Server::new(|_| vec![Act::Stall]);
    let api = api(&server.url()).build().unwrap();
    let client = pool::Client::builder(api).threads(1).build().unwrap();
    let busy = client.send(Request::get("stalls"));
    assert!(server.wait_requests(1, SOON));
    let queued = client.call(Never);
    queued.cancel();
    assert_eq!(queued.wait().unwrap_err().kind(), ErrorKind::Cancelled);
    let cancel = Cancel::new();
    let theirs = cancel.clone();
    let batch = client.batch([Never, Never]).cancel(&cancel);
    let gathering = thread::spawn(move || batch.gather());
    a_moment();
    theirs.cancel();
    let results = gathering.join().unwrap();
    let all_cancelled =
        |r: &Result<(), Error>| r.as_ref().is_err_and(|e| e.kind() == ErrorKind::Cancelled);
    assert!(results.len() == 2 && results.iter().all(all_cancelled));
    drop(busy);
}
