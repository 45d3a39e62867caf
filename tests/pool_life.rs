//! The life of a pool: queues, panics, workers that wait for their own pool, and its end.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use duocall::pool::{Client, Job};
use duocall::{
    Api, Auth, Cancel, Endpoint, Error, ErrorKind, Phase, Request, Response, Timeouts, blocking,
    http,
};
use futures_lite::future::block_on;
use support::{Act, Server, ok};

const SOON: Duration = Duration::from_secs(5);
/// Nothing takes that long, on a busy machine either.
const HANGS: Duration = Duration::from_secs(60);

/// A client whose calls are answered at once.
fn instant(threads: usize) -> Client {
    let api = Api::new("http://x/").unwrap();
    Client::builder(api.clone()).over(answering(api)).threads(threads).build().unwrap()
}

fn answering(api: Api) -> blocking::Client {
    let transport = |_: http::Request<_>, _: &_| {
        let body: blocking::Reader = Box::new(&b"done"[..]);
        Ok(http::Response::new(body))
    };
    blocking::Client::with_transport(api, transport)
}

/// A call that runs a function in its `decode`.
#[derive(Clone)]
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
    told.recv_timeout(HANGS).expect("it hangs, or has panicked")
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
fn a_refresh_is_no_wait_for_a_thread() {
    let limit = Duration::from_millis(400);
    let slow = move || {
        thread::sleep(limit + Duration::from_millis(100));
        Ok::<_, Error>(Auth::bearer("fresh"))
    };
    let timeouts = Timeouts::default().queue(limit);
    let api = Api::builder("http://x/").timeouts(timeouts).auth(Auth::refreshing(slow));
    let api = api.build().unwrap();
    let client = Client::builder(api.clone()).over(answering(api)).build().unwrap();
    client.send(Request::get("x")).wait().unwrap();
}

#[test]
fn a_result_is_given_once_and_nobody_waits_for_another() {
    let client = instant(1);
    let again = in_time(move || {
        let mut job = client.call(Decoding(|| Ok(())));
        block_on(&mut job).unwrap();
        job.wait()
    });
    assert_eq!(kind(again), Some(ErrorKind::Request));
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

#[test]
fn a_batch_keeps_to_its_concurrency_in_a_wider_pool() {
    in_time(|| {
        for most in [1, 3] {
            let running = Arc::new(AtomicUsize::new(0));
            let alone = move || {
                assert!(running.fetch_add(1, SeqCst) < most, "too many at once");
                thread::sleep(Duration::from_millis(1));
                running.fetch_sub(1, SeqCst);
                Ok(())
            };
            let items = vec![Decoding(alone.clone()); 40];
            let client = instant(8);
            let inner = client.clone();
            let own = items.clone();
            let good = move |client: &Client, items: Vec<_>| {
                client.batch(items).concurrency(most).gather().iter().all(Result::is_ok)
            };
            assert!(good(&client, items));
            // Its consumer makes calls, too.
            let nested = move || Ok(good(&inner, own.clone()));
            assert!(client.call(Decoding(nested)).wait().unwrap());
        }
    });
}

#[test]
fn a_worker_finds_the_next_call_while_the_consumer_is_busy() {
    in_time(|| {
        let (tell, told) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let (pulled, counter) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let source = pulled.clone();
        let call = Decoding(move || {
            // The first two are held until twice as many are there.
            if counter.fetch_add(1, SeqCst) < 2 {
                released.lock().unwrap().recv().unwrap();
            }
            tell.send(()).unwrap();
            Ok(())
        });
        let items = std::iter::repeat_with(move || {
            if source.fetch_add(1, SeqCst) + 1 == 4 {
                release.send(()).unwrap();
                release.send(()).unwrap();
            }
            call.clone()
        });
        let mut stream = instant(2).batch(items.take(10)).concurrency(2).stream();
        assert!(stream.next().is_some());
        for _ in 0..4 {
            told.recv_timeout(SOON).expect("made without the consumer");
        }
        assert_eq!(pulled.load(SeqCst), 4);
        assert_eq!(stream.count(), 9);
    });
}

#[test]
fn a_call_held_ready_does_not_wait_for_a_thread() {
    let limits = Timeouts::default().queue(Duration::from_millis(200));
    let api = Api::builder("http://x/").timeouts(limits).build().unwrap();
    let client = Client::builder(api.clone()).over(answering(api)).threads(1).build().unwrap();
    let slow = Decoding(|| {
        thread::sleep(Duration::from_millis(500));
        Ok(())
    });
    let results = client.batch(vec![slow.clone(); 2]).gather();
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    // One that finds the only thread busy does.
    let busy = client.call(slow);
    let late = client.batch([Request::get("x")]).gather().remove(0);
    assert_eq!(kind(late), Some(ErrorKind::Timeout(Phase::Queue)));
    busy.wait().unwrap();
}

#[test]
fn nobody_waits_for_the_end_of_a_long_batch() {
    in_time(|| {
        let client = instant(1);
        let endless = || std::iter::repeat_with(|| Request::get("x"));
        let mut one = client.batch(endless()).stream();
        let mut two = client.batch(endless()).stream();
        assert!(one.next().is_some());
        let job = client.send(Request::get("job"));
        for _ in 0..10 {
            // The only thread goes from one to the other.
            assert!(two.next().is_some() && one.next().is_some());
        }
        assert!(job.is_done());
    });
}

#[test]
fn nothing_begins_after_the_error_of_a_batch_that_fails_fast() {
    in_time(|| {
        for threads in [1, 4] {
            let begun = Arc::new(AtomicUsize::new(0));
            let counter = begun.clone();
            let fails = move || match counter.fetch_add(1, SeqCst) {
                4 => Err(Error::custom(ErrorKind::Rejected, "on purpose")),
                _ => Ok(()),
            };
            let items = vec![Decoding(fails); 100];
            let group = instant(threads).batch(items).concurrency(1).fail_fast().unwrap_err();
            assert_eq!(begun.load(SeqCst), 5, "{group}");
            let (finished, cancelled) = (group.finished(), group.cancelled());
            assert_eq!((finished, cancelled, group.not_started()), (4, 0, Some(95)), "{group}");
        }
    });
}

#[test]
fn a_cancellation_is_heard_while_no_thread_is_free() {
    in_time(|| {
        let client = instant(1);
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let busy = client.call(Decoding(move || Ok(released.lock().unwrap().recv().is_ok())));
        let cancel = Cancel::new();
        let theirs = cancel.clone();
        let stops = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            theirs.cancel();
        });
        let results = client.batch(vec![Request::get("x"); 5]).cancel(&cancel).gather();
        let cancelled = |result: &Result<_, Error>| {
            result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Cancelled)
        };
        assert!(results.len() == 5 && results.iter().all(cancelled));
        stops.join().unwrap();
        release.send(()).unwrap();
        assert!(busy.wait().unwrap());
    });
}
