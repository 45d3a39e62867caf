//! The blocking client in places where others panic: inside runtimes, in `Drop`,
//! on somebody else's threads. And the pool's jobs, awaited.

mod support;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use duocall::{Api, Request, blocking, nonblocking, pool};
use support::{Server, ok};

fn here(client: &blocking::Client) -> String {
    client.send(Request::get("x")).unwrap().text().unwrap()
}

#[test]
fn blocking_works_inside_every_runtime() {
    let server = Server::new(|_| ok("here"));
    let client = blocking::Client::new(Api::new(server.url()).unwrap());
    let one = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(one.block_on(async { here(&client) }), "here");
    let many = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    assert_eq!(many.block_on(async { here(&client) }), "here");
    let spawned = client.clone();
    assert_eq!(many.block_on(many.spawn(async move { here(&spawned) })).unwrap(), "here");
    assert_eq!(smol::block_on(async { here(&client) }), "here");
    let spawned = client.clone();
    assert_eq!(smol::block_on(smol::spawn(async move { here(&spawned) })), "here");
    assert_eq!(async_std::task::block_on(async { here(&client) }), "here");
}

#[test]
fn blocking_works_in_drop_also_while_a_runtime_ends() {
    struct Farewell(blocking::Client, Arc<AtomicUsize>);

    impl Drop for Farewell {
        fn drop(&mut self) {
            assert_eq!(here(&self.0), "here");
            self.1.fetch_add(1, SeqCst);
        }
    }

    let server = Server::new(|_| ok("here"));
    let client = blocking::Client::new(Api::new(server.url()).unwrap());
    let said = Arc::new(AtomicUsize::new(0));
    drop(Farewell(client.clone(), said.clone()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let kept = Farewell(client, said.clone());
    runtime.spawn(async move {
        let _kept = kept;
        std::future::pending::<()>().await;
    });
    drop(runtime);
    assert_eq!(said.load(SeqCst), 2);
}

#[test]
fn blocking_works_on_rayons_threads() {
    use rayon::prelude::*;

    let server = Server::new(|_| ok("here"));
    let client = blocking::Client::new(Api::new(server.url()).unwrap());
    let all: Vec<String> = (0..20).into_par_iter().map(|_| here(&client)).collect();
    assert!(all.iter().all(|text| text == "here"));
}

/// A socket on tokio's reactor is of no use outside of its runtime.
#[test]
fn a_client_on_tokio_goes_from_one_runtime_to_the_next() {
    let server = Server::new(|_| ok("here"));
    let client = nonblocking::Client::with_tokio(Api::new(server.url()).unwrap());
    let twice = || async {
        let one = client.send(Request::get("x")).await.unwrap();
        let two = client.send(Request::get("x")).await.unwrap();
        assert_eq!(one.text().unwrap(), "here");
        [one, two].map(|response| response.attempts()[0].reused())
    };
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let (first, second) = (runtime(), runtime());
    assert_eq!(first.block_on(twice()), [false, true]);
    assert_eq!(second.block_on(twice()), [false, true]);
    assert_eq!(first.block_on(twice()), [true, true]);
    drop((first, second));
    assert_eq!(runtime().block_on(twice()), [false, true]);
    assert_eq!(smol::block_on(twice()), [false, true]);
}

#[test]
fn a_client_on_tokio_says_what_a_runtime_lacks() {
    let server = Server::new(|_| ok("here"));
    let api = Api::builder(server.url()).retry(duocall::Retry::none()).build().unwrap();
    let client = nonblocking::Client::with_tokio(api);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(client.send(Request::get("x"))).unwrap_err();
    assert!(error.is_connect(), "{error}");
    assert!(format!("{error:?}").contains("does no I/O"), "{error:?}");
}

#[test]
fn jobs_and_calls_are_awaited_on_any_runtime() {
    let server = Server::new(|_| ok("here"));
    let api = Api::new(server.url()).unwrap();
    let (pool, client) = (pool::Client::new(api.clone()), nonblocking::Client::new(api));
    let both = || {
        let (job, call) = (pool.send(Request::get("x")), client.send(Request::get("x")));
        async move { job.await.unwrap().text().unwrap() + &call.await.unwrap().text().unwrap() }
    };
    let many = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    assert_eq!(many.block_on(many.spawn(both())).unwrap(), "herehere");
    assert_eq!(smol::block_on(smol::spawn(both())), "herehere");
    assert_eq!(async_std::task::block_on(async_std::task::spawn(both())), "herehere");
    assert_eq!(futures_lite::future::block_on(both()), "herehere");
}

/// Answers that lie with tasks which nobody polls keep those of others from nobody.
#[test]
fn calls_that_nobody_polls_hold_nobody_up() {
    let (seen, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (count, gone) = (seen.clone(), go.clone());
    let server = Server::new(move |request| {
        if request.target.ends_with("idle") {
            count.fetch_add(1, SeqCst);
            while !gone.load(SeqCst) {
                std::thread::yield_now();
            }
        }
        ok("here")
    });
    let api = Api::builder(server.url()).concurrency(32).build().unwrap();
    let client = nonblocking::Client::new(api);
    let mut cx = Context::from_waker(Waker::noop());
    let mut idle: Vec<_> = (0..8).map(|_| Box::pin(client.send(Request::get("idle")))).collect();
    for (sent, call) in (1..).zip(&mut idle) {
        while seen.load(SeqCst) < sent {
            assert!(call.as_mut().poll(&mut cx).is_pending());
        }
    }
    go.store(true, SeqCst);
    std::mem::forget(idle.pop());
    let start = Instant::now();
    futures_lite::future::block_on(async {
        for _ in 0..50 {
            let both = [(); 2].map(|()| client.send(Request::get("busy")));
            let [one, two] = both;
            let (one, two) = futures_lite::future::zip(one, two).await;
            let texts = [one, two].map(|response| response.unwrap().text().unwrap());
            assert_eq!(texts, ["here", "here"]);
        }
    });
    let took = start.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    for call in idle {
        assert_eq!(futures_lite::future::block_on(call).unwrap().text().unwrap(), "here");
    }
}
