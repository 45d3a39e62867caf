//! The life of a pool: queues, panics, workers that wait for their own pool, and its end.

mod support;

use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use duocall::pool::{Client, Job};
use duocall::{Api, Cancel, Endpoint, Error, ErrorKind, Request, Response, http};
use futures_lite::future::block_on;
use support::{Act, Server, ok};

const SOON: Duration = Duration::from_secs(5);

/// A client whose calls are answered at once.
fn instant(threads: usize) -> Client {
    let transport = |_: http::Request<_>, _: &_| {
        let body: duocall::blocking::Reader = Box::new(&b"done"[..]);
        Ok(http::Response::new(body))
    };
    let api = Api::new("http://x/").unwrap();
    let client = duocall::blocking::Client::with_transport(api.clone(), transport);
    Client::builder(api).over(client).threads(threads).build().unwrap()
}

/// A call that runs a function in its `decode`.
struct Decoding<F>(F);

impl<T, F: Fn() -> Result<T, Error>> Endpoint for Decoding<F> {
    type Output = T;

    fn request(&self) -> Request {
        Request::get("x")
    }

    fn decode(&self, _: Response) -> Result<T, Error> {
        self.0()
    }
}

/// Fails the test instead of hanging it.
fn in_time<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(run()));
    told.recv_timeout(SOON).expect("it hangs, or has panicked")
}

fn kind<T>(result: Result<T, Error>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[test]
fn no_threads_are_a_mistake() {
    let api = Api::new("http://x/").unwrap();
    let error = Client::builder(api).threads(0).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Request);
}

#[test]
fn whoever_is_queued_is_answered_when_the_client_goes() {
    let server = Server::new(|_| {
        let mut acts = vec![Act::Pause(Duration::from_millis(100))];
        acts.extend(ok("done"));
        acts
    });
    let api = Api::new(server.url()).unwrap();
    let client = Client::builder(api).threads(2).build().unwrap();
    let jobs: Vec<Job<Response>> = (0..1000).map(|_| client.send(Request::get("x"))).collect();
    assert!(server.wait_requests(2, SOON));
    let start = Instant::now();
    drop(client);
    assert!(start.elapsed() < SOON);
    let kinds: Vec<_> = jobs.into_iter().map(|job| kind(job.wait())).collect();
    let finished = kinds.iter().filter(|kind| kind.is_none()).count();
    let refused = kinds.iter().filter(|kind| **kind == Some(ErrorKind::Shutdown)).count();
    assert_eq!((finished, refused), (2, 998));
}

/// Panics with something that panics again when it is dropped.
struct Evil;

impl Drop for Evil {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic!("on purpose, too");
        }
    }
}

#[test]
fn panics_cost_no_worker() {
    in_time(|| {
        let client = instant(2);
        for _ in 0..2 * 2 + 1 {
            let job = client.call(Decoding(|| -> Result<(), Error> { panic!("on purpose") }));
            assert_eq!(kind(job.wait()), Some(ErrorKind::Panicked));
            let evil = || -> Result<(), Error> { std::panic::panic_any(Evil) };
            assert_eq!(kind(client.call(Decoding(evil)).wait()), Some(ErrorKind::Panicked));
        }
        assert!(client.send(Request::get("x")).wait().is_ok());
    });
}

#[test]
fn a_worker_may_drop_the_last_client() {
    let (tell, told) = mpsc::channel();
    let client = instant(1);
    let own = std::sync::Mutex::new(Some(client.clone()));
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let last = Decoding(move || {
        released.lock().unwrap().recv().unwrap();
        drop(own.lock().unwrap().take());
        tell.send(()).unwrap();
        Ok(7)
    });
    let job = client.call(last);
    let queued = client.send(Request::get("x"));
    drop(client);
    release.send(()).unwrap();
    told.recv_timeout(SOON).expect("the worker goes on");
    in_time(move || {
        assert_eq!(job.wait().unwrap(), 7);
        assert_eq!(kind(queued.wait()), Some(ErrorKind::Shutdown));
    });
}

#[test]
fn a_worker_may_wait_for_its_own_pool() {
    for threads in [1, 2, 4] {
        in_time(move || {
            let client = instant(threads);
            let inner = client.clone();
            let by_batch = move || {
                let leaf = inner.clone();
                let middle = move || {
                    let leaves = (0..10).map(|_| Request::get("leaf"));
                    Ok(leaf.batch(leaves).fail_fast().expect("no error").len())
                };
                let counts = inner.batch(vec![Decoding(middle.clone()), Decoding(middle)]);
                Ok(counts.gather().into_iter().map(Result::unwrap).sum::<usize>())
            };
            let outer = client.batch((0..8).map(|_| Decoding(by_batch.clone())));
            assert!(outer.gather().into_iter().all(|result| result.unwrap() == 20));

            let inner = client.clone();
            let by_jobs = move || {
                let one = inner.send(Request::get("one"));
                let two = inner.send(Request::get("two"));
                Ok((two.wait().is_ok(), block_on(one).is_ok()))
            };
            assert_eq!(client.call(Decoding(by_jobs)).wait().unwrap(), (true, true));
        });
    }
}

#[test]
fn a_worker_may_stop_a_batch_of_its_own_pool() {
    in_time(|| {
        let client = instant(1);
        let inner = client.clone();
        let stops = move || {
            let cancel = Cancel::new();
            let mut stream = inner.batch(vec![Request::get("x"); 5]).cancel(&cancel).stream();
            let first = stream.next().map(|(index, result)| (index, result.is_ok()));
            cancel.cancel();
            // What is dropped on the way is not waited for.
            drop(inner.batch(vec![Request::get("x"); 5]).stream().next());
            Ok((first, stream.all(|(_, result)| result.is_err())))
        };
        assert_eq!(client.call(Decoding(stops)).wait().unwrap(), (Some((0, true)), true));
    });
}

#[test]
fn a_detached_job_goes_on_and_a_dropped_one_does_not() {
    let (tell, told) = mpsc::channel();
    let client = instant(1);
    let telling = |text: &'static str| {
        let tell = tell.clone();
        Decoding(move || {
            tell.send(text).unwrap();
            Ok(())
        })
    };
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let first = client.call(Decoding(move || {
        released.lock().unwrap().recv().unwrap();
        Ok(())
    }));
    client.call(telling("detached")).detach();
    drop(client.call(telling("dropped")));
    let last = client.call(telling("last"));
    release.send(()).unwrap();
    in_time(move || {
        first.wait().unwrap();
        last.wait().unwrap();
    });
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["detached", "last"]);
}

#[test]
fn a_worker_that_has_just_taken_a_task_is_not_counted_on_for_the_next() {
    in_time(|| {
        for _ in 0..2000 {
            let client = instant(2);
            client.send(Request::get("x")).wait().unwrap();
            let (tell, told) = mpsc::channel();
            let told = Mutex::new(told);
            // The first ends only if the second runs beside it.
            let waits = Decoding(move || Ok(told.lock().unwrap().recv_timeout(SOON).is_ok()));
            let first = client.call(waits);
            let second = client.call(Decoding(move || Ok(tell.send(()).is_ok())));
            assert!(first.wait().unwrap() && second.wait().unwrap());
        }
    });
}
