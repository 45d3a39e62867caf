//! `fail_fast` ends in milliseconds and leaves nothing behind. One test, for it counts descriptors and threads.
#![cfg(target_os = "linux")]

mod support;

use std::thread;
use std::time::{Duration, Instant};

use duocall::{Api, ErrorGroup, Request, Response, Retry, nonblocking, pool};
use futures_lite::StreamExt;
use support::{Act, Server, reply};

const CALLS: usize = 100;
const AT_ONCE: usize = 32;
const SOON: Duration = Duration::from_secs(2);

/// Number 7 fails at once; the others would wait for ever.
fn server() -> Server {
    Server::new(|seen| match &*seen.target {
        "/7" => reply(500, &[], "no"),
        _ => vec![Act::Stall],
    })
}

fn api(server: &Server) -> Api {
    let api = Api::builder(server.url()).retry(Retry::none()).concurrency(AT_ONCE);
    api.build().unwrap()
}

fn calls() -> impl ExactSizeIterator<Item = Request> + Send {
    (0..CALLS).map(|n| Request::get(n.to_string()))
}

fn timed<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = run();
    let took = start.elapsed();
    println!("{what}: {:.1} ms", took.as_secs_f64() * 1e3);
    assert!(took < SOON, "{what}: {took:?}");
    done
}

fn fails_fast(way: &str, batch: impl FnOnce() -> Result<Vec<Response>, ErrorGroup>) {
    let group = timed(&format!("fail_fast, {way}"), batch).expect_err("number 7 fails");
    println!("  {}", group.to_string().lines().next().unwrap());
    assert_eq!(group.errors().len(), 1, "{way}: {group}");
    let (index, error) = &group.errors()[0];
    assert_eq!((*index, error.status().map(|s| s.as_u16())), (7, Some(500)), "{way}");
    assert_eq!(group.finished(), 0, "{way}");
    assert_eq!(group.cancelled() + 1 + group.not_started().unwrap(), CALLS, "{way}");
    assert!((7..=AT_ONCE).contains(&group.cancelled()), "{way}: {group}");
}

fn every_way(tokio: &tokio::runtime::Runtime) {
    let server = server();
    let gone = |what: &str| {
        // The connection of number 7 is idle, and goes with its client.
        assert!(server.wait_closed(SOON), "{what}: {} connections are left", server.open());
    };
    fails_fast("pool", || {
        let client = pool::Client::builder(api(&server)).threads(AT_ONCE).build().unwrap();
        client.batch(calls()).fail_fast()
    });
    gone("pool");
    fails_fast("async on smol", || {
        smol::block_on(nonblocking::Client::new(api(&server)).batch(calls()).fail_fast())
    });
    gone("async on smol");
    fails_fast("async on tokio", || {
        let batch = nonblocking::Client::new(api(&server)).batch(calls());
        tokio.block_on(tokio.spawn(batch.fail_fast())).expect("no panic")
    });
    gone("async on tokio");

    let client = pool::Client::builder(api(&server)).threads(AT_ONCE).build().unwrap();
    let mut stream = client.batch(calls()).stream();
    assert_eq!(stream.next().expect("number 7").0, 7);
    timed("a stream dropped, pool", || drop(stream));
    let job = client.send(Request::get("job"));
    assert!(server.wait_requests(1, SOON));
    timed("a job dropped, and its client", || drop((job, client)));
    gone("pool, dropped");

    let client = nonblocking::Client::new(api(&server));
    let mut stream = client.batch(calls()).stream();
    assert_eq!(smol::block_on(stream.next()).expect("number 7").0, 7);
    drop(client);
    timed("a stream dropped, async", || {
        drop(stream);
        gone("async, dropped");
    });
}

#[test]
fn number_seven_stops_the_rest_and_nothing_is_left() {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    // The reactor and smol's executor stay for the life of the process.
    every_way(&tokio);
    let before = (support::fds(), support::threads());
    println!("{} descriptors, {} threads", before.0, before.1);
    for _ in 0..3 {
        every_way(&tokio);
    }
    let end = Instant::now() + SOON;
    while support::fds() > before.0 || support::threads() > before.1 {
        let left = (support::fds(), support::threads());
        assert!(Instant::now() < end, "{left:?} descriptors and threads, {before:?} before");
        thread::sleep(Duration::from_millis(5));
    }
}
