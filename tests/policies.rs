//! Policies as laws: what holds whatever the server does and whichever way the calls are made.

mod support;

use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use duocall::mock::{Mock, Reply, VirtualClock};
use duocall::{
    Api, ApiBuilder, Auth, Error, ErrorKind, Phase, Request, Response, Retry, Timeouts, blocking,
    nonblocking, pool,
};
use futures_lite::future::block_on;
use futures_util::future::join_all;
use proptest::prelude::*;
use support::{Act, Server};

/// One call, in each of the three ways, with a mock and a clock of its own.
fn each_way(
    replies: &[Reply],
    request: &Request,
    set: impl Fn(ApiBuilder) -> ApiBuilder,
    check: impl Fn(&Mock, &VirtualClock, Result<Response, Error>),
) {
    for way in 0..3 {
        let (mock, clock) = (Mock::new(), VirtualClock::new());
        replies.iter().fold(mock.on("*", "*"), |route, reply| route.reply(reply.clone()));
        let api = Api::builder("http://api.example.com/").clock(&clock);
        let (api, request) = (set(api).build().expect("good settings"), request.clone());
        let result = match way {
            0 => blocking::Client::with_transport(api, mock.clone()).send(request),
            1 => pool::Client::with_transport(api, mock.clone()).send(request).wait(),
            _ => block_on(nonblocking::Client::with_transport(api, mock.clone()).send(request)),
        };
        check(&mock, &clock, result);
    }
}

fn refused() -> impl Strategy<Value = Reply> {
    prop_oneof![
        Just(Reply::fail(ErrorKind::Connect)),
        Just(Reply::stall(Phase::Connect)),
        Just(Reply::stall(Phase::Resolve)),
    ]
}

/// Whatever can come of a request that has left.
fn met() -> impl Strategy<Value = Reply> {
    let wait = prop_oneof![Just(None), (0u64..100).prop_map(Some)];
    let status = (200u16..600).prop_filter("no redirect", |s| !(300..400).contains(s));
    let answer = (status, wait, 0u64..40).prop_map(|(status, wait, delay)| {
        let reply = Reply::status(status).body("0123456789").delay(Duration::from_secs(delay));
        match wait {
            Some(wait) => reply.header("retry-after", wait),
            None => reply,
        }
    });
    prop_oneof![
        6 => answer,
        1 => Just(Reply::fail(ErrorKind::Closed)),
        1 => Just(Reply::fail(ErrorKind::Protocol)),
        1 => Just(Reply::stall(Phase::Send)),
        1 => Just(Reply::stall(Phase::Head)),
        1 => Just(Reply::stall(Phase::Body)),
        1 => (0usize..10).prop_map(|at| Reply::status(200).body("0123456789").cut_after(at)),
    ]
}

fn retry() -> impl Strategy<Value = Retry> {
    (1u32..8, 1u64..5000, any::<u64>(), any::<bool>()).prop_map(|(attempts, base, seed, eager)| {
        let base = Duration::from_millis(base);
        let retry = Retry::default().attempts(attempts).backoff(base, base * 8).seed(seed);
        if eager { retry.retry_if(|_| true) } else { retry }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_post_without_a_key_reaches_the_server_once(
        refusals in prop::collection::vec(refused(), 0..3),
        rest in prop::collection::vec(met(), 1..4),
        retry in retry(),
    ) {
        let replies = [refusals.clone(), rest].concat();
        each_way(&replies, &Request::post("x").body("b"), |api| api.retry(retry.clone()), |mock, _, _| {
            let reached = mock.calls().saturating_sub(refusals.len());
            assert!(reached <= 1, "{reached} times");
        });
    }

    #[test]
    fn no_sequence_of_waits_exceeds_the_deadline(
        replies in prop::collection::vec(prop_oneof![3 => met(), 1 => refused()], 1..8),
        retry in retry(),
        total in 1u64..100,
    ) {
        let total = Duration::from_secs(total);
        let set = |api: ApiBuilder| {
            api.retry(retry.clone()).timeouts(Timeouts::default().total(total))
        };
        each_way(&replies, &Request::get("x"), set, |_, clock, result| {
            assert!(clock.elapsed() <= total, "{:?} of {total:?}", clock.elapsed());
            let attempts = match &result {
                Ok(response) => response.attempts(),
                Err(error) => error.attempts(),
            };
            let spent: Duration = attempts.iter().map(|a| a.waited() + a.took()).sum();
            assert!(spent <= total, "{spent:?} of {total:?}");
        });
    }
}

/// The same over real connections, fresh and reused, for every way to fail.
#[test]
fn a_post_is_sent_once_over_connections_that_fail() {
    let part = |bytes: &str, then: Act| vec![Act::Write(bytes.as_bytes().to_vec()), then];
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc";
    let faults = [
        vec![Act::Close],
        vec![Act::Reset],
        vec![Act::Stall],
        part("HTTP/1.1 2", Act::Close),
        part("HTTP/1.1 100 Continue\r\n\r\n", Act::Close),
        part("garbage\r\n\r\n", Act::Close),
        part(head, Act::Close),
        part(head, Act::Reset),
        part(head, Act::Stall),
        support::reply(503, &[], ""),
        support::reply(429, &[("retry-after", "0")], ""),
    ];
    for fault in faults {
        let server = Server::new(move |seen| match seen.method.as_str() {
            "GET" => support::ok("a"),
            _ => fault.clone(),
        });
        let limits = Timeouts::default().head(Duration::from_millis(200));
        let limits = limits.idle(Duration::from_millis(200));
        let api = Api::builder(server.url()).timeouts(limits).build().unwrap();
        let blocking = blocking::Client::new(api.clone());
        let nonblocking = nonblocking::Client::new(api);
        let post = || Request::post("x").body("b");
        let count = || server.requests().iter().filter(|seen| seen.method == "POST").count();
        let mut requests = 0;
        for warm in [false, true] {
            let before = count();
            if warm {
                blocking.send(Request::get("x")).unwrap();
                block_on(nonblocking.send(Request::get("x"))).unwrap();
            }
            assert!(blocking.send(post()).is_err());
            assert!(block_on(nonblocking.send(post())).is_err());
            // A request that timed out may still be on its way into the server.
            requests += if warm { 4 } else { 2 };
            assert!(server.wait_requests(requests, Duration::from_secs(10)));
            assert_eq!(count() - before, 2);
        }
    }
}

const PLACES: usize = 5;

/// Takes five at a time, each for 50 ms, and sends the others away for a second.
fn busy_server() -> (Server, Arc<Mutex<Vec<Instant>>>) {
    let rejections = Arc::new(Mutex::new(Vec::new()));
    let (told, busy) = (rejections.clone(), Mutex::new(Vec::new()));
    let server = Server::new(move |_| {
        let now = Instant::now();
        let mut busy = busy.lock().unwrap();
        busy.retain(|until| *until > now);
        if busy.len() == PLACES {
            told.lock().unwrap().push(now);
            return support::reply(429, &[("retry-after", "1")], "");
        }
        let time = Duration::from_millis(50);
        busy.push(now + time);
        [vec![Act::Pause(time)], support::ok("a")].concat()
    });
    (server, rejections)
}

fn sixty_calls(make: impl Fn(Api) -> Vec<Result<Response, Error>>) {
    let (server, rejections) = busy_server();
    let results = make(Api::new(server.url()).unwrap());
    assert_eq!(results.len(), 60);
    for result in results {
        result.expect("served in the end");
    }
    let rejections = rejections.lock().unwrap();
    let first = *rejections.first().expect("more than five at once");
    let late = rejections.iter().filter(|at| **at > first + Duration::from_millis(900)).count();
    assert!(late <= 2, "{late} of {} rejected after the first wave", rejections.len());
}

#[test]
fn sixty_threads_share_five_places() {
    sixty_calls(|api| {
        let client = blocking::Client::new(api);
        thread::scope(|scope| {
            let call = |_| scope.spawn(|| client.send(Request::get("x")));
            let calls: Vec<_> = (0..60).map(call).collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        })
    });
}

#[test]
fn sixty_jobs_share_five_places() {
    sixty_calls(|api| {
        let client = pool::Client::new(api);
        let jobs: Vec<_> = (0..60).map(|_| client.send(Request::get("x"))).collect();
        jobs.into_iter().map(pool::Job::wait).collect()
    });
}

#[test]
fn sixty_tasks_share_five_places() {
    sixty_calls(|api| {
        let client = nonblocking::Client::new(api);
        block_on(join_all((0..60).map(|_| client.send(Request::get("x")))))
    });
}

/// What the server sees of a limit of four: never a fifth.
fn four_at_once(make: impl Fn(Api) -> Vec<Result<Response, Error>>) {
    let time = Duration::from_millis(20);
    let (busy, most) = (Mutex::new(Vec::<Instant>::new()), Arc::new(Mutex::new(0)));
    let told = most.clone();
    let server = Server::new(move |_| {
        let now = Instant::now();
        let mut busy = busy.lock().unwrap();
        busy.retain(|until| *until > now);
        busy.push(now + time);
        let mut most = told.lock().unwrap();
        *most = busy.len().max(*most);
        [vec![Act::Pause(time)], support::ok("a")].concat()
    });
    let results = make(Api::builder(server.url()).concurrency(4).build().unwrap());
    assert!(results.len() == 24 && results.iter().all(Result::is_ok));
    assert!((1..=4).contains(&*most.lock().unwrap()));
    assert!(server.connections() <= 4);
}

#[test]
fn the_server_never_sees_more_than_the_limit() {
    let request = || Request::get("x");
    four_at_once(|api| {
        let client = blocking::Client::new(api);
        thread::scope(|scope| {
            let call = |_| scope.spawn(|| client.send(request()));
            let calls: Vec<_> = (0..24).map(call).collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        })
    });
    four_at_once(|api| {
        let client = pool::Client::builder(api).threads(24).build().unwrap();
        let jobs: Vec<_> = (0..24).map(|_| client.send(request())).collect();
        jobs.into_iter().map(pool::Job::wait).collect()
    });
    four_at_once(|api| {
        let client = nonblocking::Client::new(api);
        block_on(join_all((0..24).map(|_| client.send(request()))))
    });
}

#[test]
fn a_call_waits_for_anothers_refresh_within_its_own_limits() {
    let (begun, beginning) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let auth = Auth::refreshing(move || {
        let _ = begun.send(());
        // A call that waits for this is a failure, and not for ever.
        let _ = released.lock().unwrap().recv_timeout(Duration::from_secs(10));
        Ok::<_, Error>(Auth::bearer("late"))
    });
    let mock = Mock::answering(|_| Reply::status(200));
    let api = Api::builder("http://api.example.com/").auth(auth).build().unwrap();
    let pool = pool::Client::with_transport(api.clone(), mock.clone());
    let leading = pool.send(Request::get("leads"));
    beginning.recv().unwrap();

    let late = |way: &str, result: Result<Response, Error>| {
        let kind = result.map(drop).map_err(|error| error.kind());
        assert_eq!(kind, Err(ErrorKind::Timeout(Phase::Total)), "{way}");
    };
    let (request, limit) = (|| Request::get("x"), Duration::from_millis(20));
    let blocking = blocking::Client::with_transport(api.clone(), mock.clone());
    late("blocking", blocking.send(request().timeout(limit)));
    late("pool", pool.send(request().timeout(limit)).wait());
    let client = nonblocking::Client::with_transport(api, mock.clone());
    late("async", block_on(client.send(request().timeout(limit))));
    // The deadline of a batch is one of these limits.
    late("blocking batch", blocking.batch([request()]).deadline(limit).gather().remove(0));
    late("pool batch", pool.batch([request()]).deadline(limit).gather().remove(0));
    late("async batch", block_on(client.batch([request()]).deadline(limit).gather()).remove(0));

    assert!(!leading.is_done(), "they waited for the hook");
    drop(release);
    assert!(leading.wait().is_ok());
}

/// A token endpoint that is down for a moment fails no call while the last token lasts.
#[test]
fn a_renewal_that_fails_leaves_what_still_holds() {
    for way in ["blocking", "pool", "async"] {
        let (mock, clock) = (Mock::answering(|_| Reply::status(200)), VirtualClock::new());
        let made = Mutex::new(0);
        let auth = Auth::refreshing(move || {
            let mut made = made.lock().unwrap();
            *made += 1;
            let auth = Auth::bearer(format!("t{made}")).expires_in(Duration::from_secs(100));
            if matches!(*made, 1 | 4) { Ok(auth) } else { Err("down") }
        });
        let api = Api::builder("http://api.example.com/").clock(&clock).auth(auth);
        let api = api.build().unwrap();
        let send = || {
            let (api, mock, request) = (api.clone(), mock.clone(), Request::get("x"));
            let result = match way {
                "blocking" => blocking::Client::with_transport(api, mock).send(request),
                "pool" => pool::Client::with_transport(api, mock).send(request).wait(),
                _ => block_on(nonblocking::Client::with_transport(api, mock).send(request)),
            };
            result.map(drop).map_err(|error| error.kind())
        };
        assert_eq!(send(), Ok(()), "{way}");
        // 92 s of 100: the hook fails, and is let be for 4 s.
        clock.advance(Duration::from_secs(92));
        assert_eq!((send(), send()), (Ok(()), Ok(())), "{way}");
        clock.advance(Duration::from_secs(8));
        assert_eq!(send(), Err(ErrorKind::Auth), "{way}");
        assert_eq!(send(), Ok(()), "{way}");
        let sent: Vec<_> = mock
            .requests()
            .iter()
            .map(|seen| seen.header("authorization").unwrap().to_owned())
            .collect();
        assert_eq!(sent, ["Bearer t1", "Bearer t1", "Bearer t1", "Bearer t4"], "{way}");
    }
}
