//! How many threads wait for resolvers. Alone in its process, for they are counted.
#![cfg(all(feature = "async", target_os = "linux"))]

mod support;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use duocall::transport::Failure;
use duocall::{Api, Request, Resolve, Retry, nonblocking};
use futures_util::future::join_all;
use support::{Server, ok};

/// Answers when it is opened.
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
    asked: AtomicUsize,
    addr: SocketAddr,
}

struct Gated(Arc<Gate>);

impl Resolve for Gated {
    fn resolve(&self, _: &str, _: u16) -> Result<Vec<SocketAddr>, Failure> {
        self.0.asked.fetch_add(1, SeqCst);
        let open = self.0.open.lock().unwrap();
        drop(self.0.opened.wait_while(open, |open| !*open).unwrap());
        Ok(vec![self.0.addr])
    }
}

fn soon(reached: impl Fn() -> bool) {
    let started = Instant::now();
    while !reached() {
        assert!(started.elapsed() < Duration::from_secs(10), "not reached");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn threads_are_bounded_and_dropped_lookups_leave_the_queue() {
    let server = Server::script(vec![ok("hello")]);
    let (open, opened, asked) = (Mutex::new(false), Condvar::new(), AtomicUsize::new(0));
    let gate = Arc::new(Gate { open, opened, asked, addr: server.addr() });
    let api = Api::builder("http://api.example.invalid/")
        .resolver(Gated(gate.clone()))
        .concurrency(500)
        .retry(Retry::none())
        .build()
        .unwrap();
    let client = nonblocking::Client::new(api);
    let before = support::threads();
    smol::block_on(async {
        let calls = join_all((0..200).map(|_| client.send(Request::get("x"))));
        let full = async {
            while gate.asked.load(SeqCst) < 64 {
                smol::Timer::after(Duration::from_millis(2)).await;
            }
            // Nobody comes through while those hang.
            smol::Timer::after(Duration::from_millis(50)).await;
            None
        };
        let ended = smol::future::or(async { Some(calls.await) }, full).await;
        assert!(ended.is_none(), "the resolver never answered");
    });
    assert_eq!(gate.asked.load(SeqCst), 64);
    // The 64, and what async-io starts.
    assert!(support::threads() <= before + 64 + 2, "{before} {}", support::threads());
    *gate.open.lock().unwrap() = true;
    gate.opened.notify_all();
    // The dropped ones that waited are not asked for, and their places serve others.
    smol::block_on(client.send(Request::get("x"))).unwrap();
    assert_eq!(gate.asked.load(SeqCst), 65);
    soon(|| support::threads() <= before + 2);
}
