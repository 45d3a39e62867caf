//! What a batch gives, in every way of running, whatever its items, its calls and its caller do.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use duocall::{
    Api, Cancel, Endpoint, Error, ErrorGroup, ErrorKind, Phase, Progress, Request, Response, Retry,
    Timeline, blocking, http, nonblocking, pool,
};
use futures_lite::StreamExt;
use futures_lite::future::block_on;
use support::{Act, Server, ok, reply};

/// Runs a batch in each way: `$batch` is set up by the block, `$end` finishes it.
macro_rules! each_way {
    ($clients:expr, $items:expr, |$batch:ident| $set_up:expr, $end:ident) => {{
        let (blocking, pool, nonblocking) = $clients;
        [
            ("blocking", {
                let $batch = blocking.batch($items);
                $set_up.$end()
            }),
            ("pool", {
                let $batch = pool.batch($items);
                $set_up.$end()
            }),
            ("async", {
                let $batch = nonblocking.batch($items);
                block_on($set_up.$end())
            }),
        ]
    }};
}

type Clients = (blocking::Client, pool::Client, nonblocking::Client);

fn api() -> Api {
    Api::builder("http://x/").retry(Retry::none()).concurrency(4).build().unwrap()
}

/// Clients whose calls are answered at once: 500 to `/fail`, 200 to the rest.
fn instant() -> Clients {
    let status = |path: &str| if path == "/fail" { 500 } else { 200 };
    let blocking = move |request: http::Request<_>, _: &_| {
        let body: blocking::Reader = Box::new(&b"done"[..]);
        let mut response = http::Response::new(body);
        *response.status_mut() = status(request.uri().path()).try_into().unwrap();
        Ok(response)
    };
    let nonblocking = move |request: http::Request<_>, _| async move {
        let mut response = http::Response::new(bytes::Bytes::from("done").into());
        *response.status_mut() = status(request.uri().path()).try_into().unwrap();
        Ok(response)
    };
    (
        blocking::Client::with_transport(api(), blocking),
        pool::Client::with_transport(api(), blocking),
        nonblocking::Client::with_transport(api(), nonblocking),
    )
}

/// A call that runs a function in its `decode`.
struct Decoding<F>(&'static str, F);

impl<T, F: Fn() -> Result<T, Error>> Endpoint for Decoding<F> {
    type Output = T;

    fn request(&self) -> Request {
        Request::get(self.0)
    }

    fn decode(&self, _: Response) -> Result<T, Error> {
        self.1()
    }
}

fn kinds<T>(results: &[Result<T, Error>]) -> Vec<Option<ErrorKind>> {
    results.iter().map(|result| result.as_ref().err().map(Error::kind)).collect()
}

/// Finished, cancelled, not started; and the indices of the errors.
fn counts(group: &ErrorGroup) -> (usize, usize, Option<usize>, Vec<usize>) {
    let errors = group.errors().iter().map(|(index, _)| *index).collect();
    (group.finished(), group.cancelled(), group.not_started(), errors)
}

const CANCELLED: Option<ErrorKind> = Some(ErrorKind::Cancelled);
const LATE: Option<ErrorKind> = Some(ErrorKind::Timeout(Phase::Total));

fn twenty(failing: &[usize]) -> Vec<Request> {
    let path = |n: usize| if failing.contains(&n) { "fail".to_owned() } else { n.to_string() };
    (0..20).map(|n| Request::get(path(n))).collect()
}

#[test]
fn gather_has_a_result_for_each_item_in_order() {
    for (way, results) in each_way!(instant(), twenty(&[3, 9]), |batch| batch, gather) {
        let failed: Vec<_> = (0..20).filter(|n| results[*n].is_err()).collect();
        assert_eq!((results.len(), failed), (20, vec![3, 9]), "{way}");
        let url = results[17].as_ref().unwrap().url().to_owned();
        assert_eq!(url, "http://x/17", "{way}");
    }
}

#[test]
fn fail_fast_accounts_for_every_item() {
    for (way, outcome) in each_way!(instant(), twenty(&[]), |batch| batch, fail_fast) {
        assert_eq!(outcome.unwrap().len(), 20, "{way}");
    }
    for (way, outcome) in each_way!(instant(), twenty(&[5]), |batch| batch, fail_fast) {
        let group = outcome.unwrap_err();
        let (finished, cancelled, left, errors) = counts(&group);
        assert_eq!(errors, [5], "{way}: {group}");
        assert_eq!(finished + cancelled + left.unwrap() + 1, 20, "{way}: {group}");
        let results = group.take_results::<Response>();
        assert_eq!(results.len(), finished, "{way}");
        assert!(results.iter().all(|(n, r)| r.url() == format!("http://x/{n}")), "{way}");
    }
}

#[test]
fn an_iterator_that_cannot_tell_is_not_believed() {
    let path = |n: usize| if n == 5 { "fail".to_owned() } else { n.to_string() };
    let items = || (0..usize::MAX).filter(|_| true).map(|n| Request::get(path(n)));
    for (way, outcome) in each_way!(instant(), items(), |batch| batch, fail_fast) {
        assert_eq!(outcome.unwrap_err().not_started(), None, "{way}");
    }
}

#[test]
fn an_error_of_the_endpoints_own_that_says_cancelled_is_an_error() {
    let no = || Err::<(), _>(Error::custom(ErrorKind::Cancelled, "says who"));
    for (way, outcome) in each_way!(instant(), [Decoding("x", no)], |batch| batch, fail_fast) {
        let group = outcome.unwrap_err();
        assert_eq!(counts(&group), (0, 0, Some(0), vec![0]), "{way}: {group}");
    }
}

#[test]
fn a_batch_cancelled_before_it_starts_makes_no_call() {
    let cancel = Cancel::new();
    cancel.cancel();
    let never = || -> Result<(), Error> { panic!("it is never made") };
    let items = || (0..3).map(|_| Decoding("x", never));
    for (way, results) in each_way!(instant(), items(), |batch| batch.cancel(&cancel), gather) {
        assert_eq!(kinds(&results), [CANCELLED; 3], "{way}");
    }
    for (way, outcome) in each_way!(instant(), items(), |batch| batch.cancel(&cancel), fail_fast) {
        let group = outcome.expect_err("nothing was done");
        assert_eq!(counts(&group), (0, 0, Some(3), vec![]), "{way}: {group}");
    }
    let (blocking, pool, nonblocking) = instant();
    assert!(blocking.batch(items()).cancel(&cancel).stream().next().is_none());
    assert!(pool.batch(items()).cancel(&cancel).stream().next().is_none());
    let mut stream = nonblocking.batch(items()).cancel(&cancel).stream();
    assert!(block_on(stream.next()).is_none());
}

#[test]
fn a_batch_cancelled_on_its_way_keeps_what_is_done() {
    let stop = |cancel: &Cancel| {
        let cancel = cancel.clone();
        move |progress: Progress| {
            if progress.done == 6 {
                cancel.cancel();
            }
        }
    };
    let check = |way: &str, results: Vec<Result<Response, Error>>| {
        assert_eq!(results.len(), 20, "{way}");
        let done = results.iter().filter(|result| result.is_ok()).count();
        assert!((6..15).contains(&done), "{way}: {done}");
        let lost = results.iter().filter_map(|result| result.as_ref().err());
        assert!(lost.clone().all(|error| error.kind() == ErrorKind::Cancelled), "{way}");
    };
    for (way, results) in each_way!(
        instant(),
        twenty(&[]),
        |batch| {
            let cancel = Cancel::new();
            batch.cancel(&cancel).on_progress(stop(&cancel))
        },
        gather
    ) {
        check(way, results);
    }
    for (way, outcome) in each_way!(
        instant(),
        twenty(&[]),
        |batch| {
            let cancel = Cancel::new();
            batch.cancel(&cancel).on_progress(stop(&cancel))
        },
        fail_fast
    ) {
        let group = outcome.expect_err("it did not come to its end");
        let (finished, cancelled, left, errors) = counts(&group);
        assert!(errors.is_empty(), "{way}: {group}");
        assert_eq!(finished + cancelled + left.unwrap(), 20, "{way}: {group}");
        assert!(group.to_string().starts_with("stopped, "), "{way}: {group}");
    }
}

#[test]
fn a_panic_in_on_progress_cancels_the_batch_and_no_more() {
    let panics = |progress: Progress| assert!(progress.done < 3, "on purpose");
    let each = each_way!(instant(), twenty(&[]), |batch| batch.on_progress(panics), gather);
    for (way, results) in each {
        // The pool may be twice its concurrency ahead.
        let done = results.iter().filter(|result| result.is_ok()).count();
        assert!(results.len() == 20 && (3..12).contains(&done), "{way}: {done}");
        assert_eq!(kinds(&results)[19], CANCELLED, "{way}");
    }
    // From the first on.
    let panics = |_| panic!("on purpose");
    let each = each_way!(instant(), twenty(&[]), |batch| batch.on_progress(panics), fail_fast);
    for (way, outcome) in each {
        assert_eq!(counts(&outcome.unwrap_err()), (0, 1, Some(19), vec![]), "{way}");
    }
}

#[test]
fn progress_adds_up() {
    type Told = Arc<Mutex<Vec<Progress>>>;
    let keep = |told: &Told| {
        let told = told.clone();
        move |progress| told.lock().unwrap().push(progress)
    };
    let all: [Told; 3] = Default::default();
    let mut next = all.iter();
    let each = each_way!(
        instant(),
        twenty(&[3, 9]),
        |batch| batch.concurrency(3).on_progress(keep(next.next().unwrap())),
        gather
    );
    for ((way, _), told) in each.iter().zip(&all) {
        let told = told.lock().unwrap();
        for p in told.iter() {
            assert_eq!(p.started, p.done + p.in_flight, "{way}: {p:?}");
            assert!(p.failed <= p.done && p.waiting <= p.in_flight, "{way}: {p:?}");
            assert!(p.in_flight <= 3 && p.total == Some(20), "{way}: {p:?}");
        }
        assert!(told.is_sorted_by_key(|p| (p.started, p.done)), "{way}");
        let last = told.last().unwrap();
        assert_eq!((last.done, last.failed, last.in_flight), (20, 2, 0), "{way}");
        assert_eq!((last.waiting, last.retried, last.bytes), (0, 0, 20 * 4), "{way}");
    }
}

#[test]
fn retries_are_counted_and_nobody_waits_in_the_end() {
    // Every third item fails once in each of the three ways: every other time it is asked for.
    let asked = Mutex::new(std::collections::HashMap::new());
    let server = Server::new(move |seen| {
        let mut asked = asked.lock().unwrap();
        let times = asked.entry(seen.target.clone()).or_insert(0);
        *times += 1;
        let item: usize = seen.target.trim_start_matches('/').parse().unwrap();
        if item % 3 == 0 && *times % 2 == 1 { reply(503, &[], "") } else { ok("") }
    });
    let quick = Retry::default().backoff(Duration::from_millis(1), Duration::from_millis(2));
    let api = || Api::builder(server.url()).retry(quick.clone()).concurrency(1).build().unwrap();
    let clients =
        (blocking::Client::new(api()), pool::Client::new(api()), nonblocking::Client::new(api()));
    let last = Arc::new(Mutex::new(Progress::default()));
    let items = || (0..12).map(|n| Request::get(n.to_string()));
    let keep = || {
        let last = last.clone();
        move |progress| *last.lock().unwrap() = progress
    };
    let each =
        each_way!(clients, items(), |batch| batch.concurrency(4).on_progress(keep()), gather);
    for (way, results) in each {
        assert!(results.iter().all(Result::is_ok), "{way}");
        let sent: usize = results.iter().flatten().map(|r| r.attempts().len()).sum();
        assert_eq!(sent, 12 + 4, "{way}");
    }
    let last = last.lock().unwrap();
    assert_eq!((last.retried, last.waiting), (4, 0), "{last:?}");
}

#[test]
fn a_late_batch_says_so_for_every_item() {
    let slow = || {
        thread::sleep(Duration::from_millis(30));
        Ok(())
    };
    let items = || (0..40).map(|_| Decoding("x", slow));
    let limit = Duration::from_millis(100);
    let each = each_way!(instant(), items(), |batch| batch.concurrency(2).deadline(limit), gather);
    for (way, results) in each {
        assert_eq!(results.len(), 40, "{way}");
        assert!(results[0].is_ok(), "{way}");
        assert_eq!(kinds(&results)[39], LATE, "{way}");
    }
    let each =
        each_way!(instant(), items(), |batch| batch.concurrency(2).deadline(limit), fail_fast);
    for (way, outcome) in each {
        let group = outcome.expect_err("it is late");
        assert!(group.errors().iter().all(|(_, e)| Some(e.kind()) == LATE), "{way}: {group}");
        assert!(!group.errors().is_empty(), "{way}: {group}");
    }
    for (way, results) in each_way!(instant(), twenty(&[]), |b| b.deadline(Duration::ZERO), gather)
    {
        assert_eq!(kinds(&results), [Some(ErrorKind::Request); 20], "{way}");
    }
    for (way, results) in each_way!(instant(), twenty(&[]), |b| b.concurrency(0), gather) {
        assert_eq!(kinds(&results), [Some(ErrorKind::Request); 20], "{way}");
    }
    // Far beyond what a clock can hold.
    for (way, results) in each_way!(instant(), twenty(&[]), |b| b.deadline(Duration::MAX), gather) {
        assert!(results.iter().all(Result::is_ok), "{way}");
    }
}

#[test]
fn endless_items_end_with_the_deadline_or_a_cancellation() {
    let endless = || std::iter::repeat_with(|| Request::get("x"));
    let limit = Duration::from_millis(50);
    for (way, results) in each_way!(instant(), endless(), |batch| batch.deadline(limit), gather) {
        assert!(results[0].is_ok() && kinds(&results).last() == Some(&LATE), "{way}");
    }
    // None of these meets the deadline by itself.
    let mistakes = || std::iter::repeat_with(|| Request::get("http://y/"));
    for (way, results) in each_way!(instant(), mistakes(), |batch| batch.deadline(limit), gather) {
        assert_eq!(kinds(&results)[0], Some(ErrorKind::Request), "{way}");
        assert_eq!(kinds(&results).last(), Some(&LATE), "{way}");
    }
    // Calls that never wait leave room for the clock and the cancellation, in a task, too.
    for way in 0..3 {
        let cancel = Cancel::new();
        let theirs = cancel.clone();
        let stop = move |p: Progress| {
            if p.done > 9 {
                theirs.cancel()
            }
        };
        let (blocking, pool, nonblocking) = instant();
        let results = match way {
            0 => blocking.batch(endless()).cancel(&cancel).on_progress(stop).gather(),
            1 => pool.batch(endless()).cancel(&cancel).on_progress(stop).gather(),
            _ => block_on(nonblocking.batch(endless()).cancel(&cancel).on_progress(stop).gather()),
        };
        assert!(results[0].is_ok() && kinds(&results).last() != Some(&LATE));
    }
    // More than there is memory for.
    let many = || (0..u64::MAX >> 1).map(|_| Request::get("x"));
    let cancel = Cancel::new();
    cancel.cancel();
    for (way, results) in each_way!(instant(), many(), |batch| batch.cancel(&cancel), gather) {
        assert!(results.len() <= 1 << 20, "{way}: {}", results.len());
    }
}

#[test]
fn items_are_pulled_when_there_is_room() {
    let pulled = AtomicUsize::new(0);
    let items = || {
        pulled.store(0, SeqCst);
        let pulled = &pulled;
        std::iter::repeat_with(move || {
            pulled.fetch_add(1, SeqCst);
            Request::get("x")
        })
    };
    let (blocking, pool, _) = instant();
    let mut stream = blocking.batch(items()).stream();
    assert_eq!(pulled.load(SeqCst), 0);
    assert_eq!(stream.by_ref().take(5).count(), 5);
    assert_eq!(pulled.load(SeqCst), 5);
    for ordered in [false, true] {
        let batch = pool.batch(items()).concurrency(4);
        let mut stream = if ordered { batch.ordered() } else { batch }.stream();
        assert_eq!(pulled.load(SeqCst), 0);
        for taken in 1..100 {
            let (index, _) = stream.next().unwrap();
            assert!(!ordered || index == taken - 1);
            let ahead = pulled.load(SeqCst) - taken;
            assert!(ahead < 2 * 4, "{ahead}");
        }
    }
    let pulled = Arc::new(AtomicUsize::new(0));
    let items = || {
        pulled.store(0, SeqCst);
        let pulled = pulled.clone();
        std::iter::repeat_with(move || {
            pulled.fetch_add(1, SeqCst);
            Request::get("x")
        })
    };
    let (_, _, nonblocking) = instant();
    for ordered in [false, true] {
        let batch = nonblocking.batch(items()).concurrency(4);
        let mut stream = if ordered { batch.ordered() } else { batch }.stream();
        assert_eq!(pulled.load(SeqCst), 0);
        for taken in 1..100 {
            let (index, _) = block_on(stream.next()).unwrap();
            assert!(!ordered || index == taken - 1);
            let ahead = pulled.load(SeqCst) - taken;
            assert!(ahead < 2 * 4, "{ahead}");
        }
    }
}

#[test]
fn a_panic_of_the_items_is_the_callers_and_leaves_the_client_whole() {
    let items = || {
        (0..20).map(|n| {
            assert!(n < 6, "on purpose");
            Request::get("x")
        })
    };
    let (blocking, pool, nonblocking) = instant();
    let caught = [
        catch_unwind(AssertUnwindSafe(|| blocking.batch(items()).gather())),
        catch_unwind(AssertUnwindSafe(|| pool.batch(items()).gather())),
        catch_unwind(AssertUnwindSafe(|| block_on(nonblocking.batch(items()).gather()))),
    ];
    assert!(caught.iter().all(Result::is_err));
    let clients = (blocking, pool, nonblocking);
    for (way, results) in each_way!(clients, twenty(&[]), |batch| batch, gather) {
        assert!(results.iter().all(Result::is_ok), "{way}");
    }
}

#[test]
fn a_panic_of_an_endpoint_is_its_own_in_the_pool_and_the_callers_elsewhere() {
    let once = |n| {
        move || {
            assert!(n != 3, "on purpose");
            Ok(n)
        }
    };
    let items = || (0..10).map(|n| Decoding("x", once(n)));
    let (blocking, pool, nonblocking) = instant();
    let results = pool.batch(items()).gather();
    let panicked =
        |r: &Result<usize, Error>| r.as_ref().is_err_and(|e| e.kind() == ErrorKind::Panicked);
    assert!((0..10).all(|n| panicked(&results[n]) == (n == 3)));
    assert!(catch_unwind(AssertUnwindSafe(|| blocking.batch(items()).gather())).is_err());
    let gathered = AssertUnwindSafe(|| block_on(nonblocking.batch(items()).gather()));
    assert!(catch_unwind(gathered).is_err());
    // Of the stream's tasks, the panic comes to whoever polls; then it is over, not stuck.
    let mut stream = nonblocking.batch(items()).stream();
    let mut next = || catch_unwind(AssertUnwindSafe(|| block_on(stream.next())));
    let polls: Vec<_> =
        std::iter::from_fn(|| next().map_or(Some(false), |r| r.map(|_| true))).collect();
    assert_eq!(polls.iter().filter(|fine| !**fine).count(), 1, "{polls:?}");
}

#[test]
fn a_slow_consumer_lets_nothing_time_out() {
    let slow = || {
        Server::new(|_| {
            let mut acts = vec![Act::Pause(Duration::from_millis(500))];
            acts.extend(ok("late, and in time"));
            acts
        })
    };
    let api = |server: &Server| {
        let limits = duocall::Timeouts::default().head(Duration::from_secs(2));
        Api::builder(server.url()).timeouts(limits).retry(Retry::none()).build().unwrap()
    };
    let items = || (0..16).map(|n| Request::get(n.to_string()));
    let in_pool = thread::spawn(move || {
        let server = slow();
        let mut stream = pool::Client::new(api(&server)).batch(items()).concurrency(8).stream();
        let first = stream.next();
        thread::sleep(Duration::from_secs(3));
        first.into_iter().chain(stream).all(|(_, result)| result.is_ok())
    });
    let in_task = thread::spawn(move || {
        let server = slow();
        let client = nonblocking::Client::new(api(&server));
        let mut stream = client.batch(items()).concurrency(8).stream();
        block_on(async {
            let first = stream.next().await;
            // Rudely: the consumer blocks its own thread.
            thread::sleep(Duration::from_secs(3));
            first.into_iter().all(|(_, result)| result.is_ok())
                && stream.all(|(_, result)| result.is_ok()).await
        })
    });
    assert!(in_pool.join().unwrap() && in_task.join().unwrap());
}

#[test]
fn a_timeline_tells_of_retries_reuse_and_what_was_stopped() {
    let quick = Retry::default().backoff(Duration::from_millis(1), Duration::from_millis(2));
    for way in ["blocking", "pool", "async"] {
        let server = Server::new(|seen| match &*seen.target {
            "/stalls" => vec![Act::Stall],
            _ if seen.index == 0 => reply(503, &[], "no"),
            _ => ok("12345"),
        });
        let api = Api::builder(server.url()).retry(quick.clone()).build().unwrap();
        let items = ["a", "b", "stalls"].map(Request::get);
        let (timeline, cancel) = (Timeline::new(), Cancel::new());
        let results = thread::scope(|scope| {
            scope.spawn(|| {
                assert!(server.wait_requests(4, Duration::from_secs(5)));
                cancel.cancel();
            });
            macro_rules! gather {
                ($client:expr) => {
                    $client.batch(items).concurrency(1).cancel(&cancel).timeline(&timeline).gather()
                };
            }
            match way {
                "blocking" => gather!(blocking::Client::new(api)),
                "pool" => gather!(pool::Client::new(api)),
                _ => block_on(gather!(nonblocking::Client::new(api))),
            }
        });
        assert_eq!(kinds(&results), [None, None, CANCELLED], "{way}");
        tells_of_all(way, &timeline);
    }
}

fn tells_of_all(way: &str, timeline: &Timeline) {
    let calls = timeline.calls();
    let indices: Vec<usize> = calls.iter().map(|call| call.index).collect();
    assert_eq!(indices, [0, 1, 2], "{way}");
    let statuses = |n: usize| -> Vec<_> {
        let attempts = calls[n].attempts.iter();
        attempts.map(|attempt| attempt.outcome.map(|status| status.as_u16())).collect()
    };
    assert_eq!((statuses(0), statuses(1)), (vec![Ok(503), Ok(200)], vec![Ok(200)]), "{way}");
    assert_eq!(statuses(2), [Err(ErrorKind::Cancelled)], "{way}");
    let again = &calls[0].attempts[1];
    assert!(again.reused && again.bytes == 5, "{way}: {again:?}");
    for call in &calls {
        let mut times = vec![Some(call.queued), call.admitted];
        for attempt in &call.attempts {
            times.extend([Some(attempt.start), attempt.head, Some(attempt.end)]);
        }
        times.push(Some(call.ended));
        let times: Vec<Duration> = times.into_iter().flatten().collect();
        assert!(times.is_sorted(), "{way}: {call:?}");
    }
    let answered = |n: usize| calls[n].attempts.iter().all(|attempt| attempt.head.is_some());
    assert!(answered(0) && answered(1) && !answered(2), "{way}");
    let summary = timeline.summary();
    assert_eq!((summary.calls, summary.failed, summary.attempts), (3, 1, 4), "{way}");
    assert!(summary.parallelism > 0.0 && summary.p99 >= summary.p50, "{way}: {summary}");
}
