//! The gate that machines share, against a real redis-server.
#![cfg(feature = "redis")]

#[path = "support/redis.rs"]
#[allow(unreachable_pub)]
mod server;

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use duocall::mock::{Mock, Reply};
use duocall::redis::{Fallback, RedisGate};
use duocall::{
    Api, Ask, Cancel, Error, ErrorKind, Gate, Permit, Phase, Rate, Request, Retry, blocking,
    nonblocking, pool,
};
use server::Redis;

fn ask(cost: u32) -> Ask {
    Ask::new(cost, Instant::now() + Duration::from_secs(20))
}

fn gate(redis: &Redis) -> RedisGate {
    RedisGate::new(redis.url(), "tests").expect("a good URL")
}

/// Threads that take admissions as fast as they get them, for so long.
fn hammer(
    gates: &[&RedisGate],
    threads: usize,
    time: Duration,
    each: impl Fn(usize, Result<Permit, Error>) + Sync,
) {
    let end = Instant::now() + time;
    let each = &each;
    thread::scope(|scope| {
        for (who, gate) in gates.iter().copied().enumerate() {
            for _ in 0..threads {
                scope.spawn(move || {
                    while Instant::now() < end {
                        each(who, gate.admit(&Ask::new(1, end)));
                    }
                });
            }
        }
    });
}

#[test]
fn a_rate_binds_all_workers_together() {
    let Some(redis) = Redis::start() else { return };
    let shared = || gate(&redis).rate(Rate::per_second(200).burst(10));
    let (one, two, three) = (shared(), shared(), shared());
    let times = Mutex::new(Vec::new());
    let parts = [const { AtomicUsize::new(0) }; 3];
    hammer(&[&one, &two, &three], 4, Duration::from_secs(2), |who, permit| {
        if permit.is_ok() {
            times.lock().unwrap().push(Instant::now());
            parts[who].fetch_add(1, SeqCst);
        }
    });
    let times = times.into_inner().unwrap();
    let within = |start: &Instant| {
        times.iter().filter(|at| *at >= start && **at < *start + Duration::from_secs(1)).count()
    };
    let most = times.iter().map(within).max();
    // A few more than 210 where threads of a busy machine were late to write their time down.
    assert!(most <= Some(220), "{most:?} in a second");
    assert!((200..=411).contains(&times.len()), "{} of 410", times.len());
    for part in &parts {
        assert!(part.load(SeqCst) > 20, "each gets a part of it: {parts:?}");
    }
}

#[test]
fn concurrency_binds_all_workers_together_and_starves_none() {
    let Some(redis) = Redis::start() else { return };
    for most in [1, 5] {
        let shared = || gate(&redis).concurrency(most);
        let (one, two, three) = (shared(), shared(), shared());
        let all = [&one, &two, &three].into_iter().cycle().take(most);
        drop(all.map(|gate| gate.admit(&ask(1)).expect("room")).collect::<Vec<_>>());
        let (now, peak) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let parts = [const { AtomicUsize::new(0) }; 3];
        hammer(&[&one, &two, &three], 4, Duration::from_secs(1), |who, permit| {
            let Ok(permit) = permit else { return };
            peak.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
            thread::sleep(Duration::from_millis(5));
            now.fetch_sub(1, SeqCst);
            drop(permit);
            parts[who].fetch_add(1, SeqCst);
        });
        assert!(peak.load(SeqCst) <= most, "{peak:?} of {most}");
        for part in &parts {
            assert!(part.load(SeqCst) > 3, "at {most}: {parts:?}");
        }
    }
}

#[test]
fn a_cost_takes_so_many_units_in_a_row() {
    let Some(redis) = Redis::start() else { return };
    let gate = gate(&redis).rate(Rate::per_second(50).burst(10));
    assert_eq!(gate.largest(), Some(10));
    let start = Instant::now();
    for _ in 0..4 {
        drop(gate.admit(&ask(10)).expect("admitted"));
    }
    // Half the burst at once, the other 35 units in 700 ms.
    let took = start.elapsed();
    assert!((690..2000).contains(&took.as_millis()), "{took:?}");
}

#[test]
fn redis_is_asked_far_less_than_once_per_call() {
    let Some(redis) = Redis::start() else { return };
    let gate = gate(&redis).rate(Rate::per_second(1000).burst(20));
    let admitted = AtomicUsize::new(0);
    let served = |_, permit: Result<Permit, Error>| {
        thread::sleep(Duration::from_millis(2));
        admitted.fetch_add(usize::from(permit.is_ok()), SeqCst);
    };
    hammer(&[&gate], 32, Duration::from_secs(1), served);
    let (calls, asked) = (admitted.load(SeqCst) as u64, redis.round_trips());
    assert!((200..=1030).contains(&calls), "{calls} calls");
    assert!(asked * 5 < calls, "{asked} round trips for {calls} calls");
}

#[test]
fn a_rejection_at_one_worker_closes_for_all() {
    let Some(redis) = Redis::start() else { return };
    let shared = || gate(&redis).rate(Rate::per_second(100));
    let (one, two) = (shared(), shared());
    let closed = Mutex::new(None);
    let early = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(500));
            one.close(Duration::from_millis(700));
            *closed.lock().unwrap() = Some(Instant::now());
        });
        hammer(&[&one, &two], 2, Duration::from_millis(1500), |_, permit| {
            let now = Instant::now();
            let Some(at) = *closed.lock().unwrap() else { return };
            // The news take a moment; after that nobody calls.
            let heard = at + Duration::from_millis(100);
            let open = at + Duration::from_millis(699);
            early.fetch_add(usize::from(permit.is_ok() && now > heard && now < open), SeqCst);
        });
    });
    assert_eq!(early.load(SeqCst), 0);
    assert!(two.admit(&ask(1)).is_ok(), "it reopens");
}

#[test]
fn a_clock_of_redis_that_is_set_back_stops_nobody() {
    let Some(redis) = Redis::start() else { return };
    let shared = || gate(&redis).rate(Rate::per_second(20)).concurrency(2);
    let one = shared();
    one.admit(&ask(1)).expect("admitted");
    one.close(Duration::from_millis(1));
    drop(one);
    // As if all of it had happened when the clock was an hour ahead, with a worker that died.
    let hour = 3_600_000_000u64;
    for field in ["now", "tat", "closed", "changed"] {
        redis.ask(&format!("HINCRBYFLOAT duocall:{{tests}} {field} {hour}")).expect("it runs");
    }
    let time = redis.ask("TIME").expect("it runs");
    let seconds: u64 = time.lines().nth(2).and_then(|line| line.parse().ok()).expect("a number");
    redis.ask(&format!("ZADD duocall:{{tests}}:leases {} dead", seconds * 1000 + hour / 1000));
    redis.ask("HSET duocall:{tests}:workers dead \"2 2\"").expect("it runs");

    let start = Instant::now();
    let two = shared().lease(Duration::from_millis(300));
    for _ in 0..6 {
        two.admit(&Ask::new(1, start + Duration::from_secs(8))).expect("admitted in time");
    }
    assert!(start.elapsed() >= Duration::from_millis(200), "the rate holds");
}

#[test]
fn a_rejection_takes_back_the_concurrency_of_all() {
    let Some(redis) = Redis::start() else { return };
    let shared = || gate(&redis).concurrency(8);
    let (one, two) = (shared(), shared());
    let held: Vec<Permit> = (0..4).map(|_| one.admit(&ask(1)).unwrap()).collect();
    let others: Vec<Permit> = (0..2).map(|_| two.admit(&ask(1)).unwrap()).collect();
    for _ in 0..3 {
        one.close(Duration::from_millis(100));
    }
    thread::sleep(Duration::from_millis(200));
    drop((held, others));
    // Six were in flight and three rejected: three at once from now on.
    let held: Vec<Permit> = (0..3).map(|_| two.admit(&ask(1)).unwrap()).collect();
    let soon = Ask::new(1, Instant::now() + Duration::from_millis(300));
    let fourth = one.admit(&soon);
    assert_eq!(fourth.unwrap_err().phase(), Some(Phase::Queue));
    drop(held);
}

/// Not a test of its own: the worker that the next one kills.
#[test]
fn worker_to_be_killed() {
    let Ok(url) = std::env::var("DUOCALL_TEST_REDIS") else { return };
    let gate = RedisGate::new(url, "tests").unwrap().concurrency(2).lease(Duration::from_secs(1));
    let _held = (gate.admit(&ask(1)).unwrap(), gate.admit(&ask(1)).unwrap());
    thread::sleep(Duration::from_secs(30));
}

#[test]
fn what_a_killed_worker_held_is_free_within_its_lease() {
    let Some(redis) = Redis::start() else { return };
    let mut worker = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "worker_to_be_killed"])
        .env("DUOCALL_TEST_REDIS", redis.url())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while redis.ask("ZCARD duocall:{tests}:leases").unwrap() != ":1\r\n" {
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(Duration::from_millis(100));
    let gate = gate(&redis).concurrency(2).lease(Duration::from_secs(1));
    // It lives longer than its lease, and keeps what it has.
    let soon = Ask::new(1, Instant::now() + Duration::from_millis(1500));
    assert_eq!(gate.admit(&soon).unwrap_err().phase(), Some(Phase::Queue));
    worker.kill().unwrap();
    worker.wait().unwrap();
    let killed = Instant::now();
    let held = (gate.admit(&ask(1)).unwrap(), gate.admit(&ask(1)).unwrap());
    // A second, and what a busy machine takes; less than two leases.
    assert!(killed.elapsed() < Duration::from_millis(1900), "{:?}", killed.elapsed());
    drop(held);
}

#[test]
fn a_dropped_gate_gives_back_what_it_holds() {
    let Some(redis) = Redis::start() else { return };
    let one = gate(&redis).concurrency(1);
    drop(one.admit(&ask(1)).unwrap());
    drop(one);
    let start = Instant::now();
    drop(gate(&redis).concurrency(1).admit(&ask(1)).unwrap());
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn the_retry_budget_is_the_fleets() {
    let Some(redis) = Redis::start() else { return };
    let (one, two) = (gate(&redis), gate(&redis));
    assert_eq!(one.may_retry(0.2), None, "not started: the Api's own");
    let _calls = (one.admit(&ask(1)).unwrap(), two.admit(&ask(1)).unwrap());
    thread::sleep(Duration::from_millis(150));
    let mut granted = 0;
    for _ in 0..20 {
        granted += [&one, &two].iter().filter(|gate| gate.may_retry(0.2) == Some(true)).count();
        // Each tells the other by way of Redis, also where the machine is busy.
        thread::sleep(Duration::from_millis(60));
    }
    // Ten, and one more where both took the last at the same moment.
    assert!((10..=11).contains(&granted), "{granted}");
}

#[test]
fn without_redis_calls_are_refused_until_it_is_back() {
    let Some(mut redis) = Redis::start() else { return };
    let gate = gate(&redis).rate(Rate::per_second(1000));
    assert!(gate.admit(&ask(1)).is_ok());
    redis.stop();
    let start = Instant::now();
    let error = loop {
        // What was reserved may be used yet.
        if let Err(error) = gate.admit(&ask(1)) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::Gate);
    assert!(start.elapsed() < Duration::from_secs(1));
    let start = Instant::now();
    assert_eq!(gate.admit(&ask(1)).unwrap_err().kind(), ErrorKind::Gate);
    assert!(start.elapsed() < Duration::from_millis(300), "nobody waits for what is known");
    redis.restart();
    let start = Instant::now();
    while gate.admit(&ask(1)).is_err() {
        assert!(start.elapsed() < Duration::from_secs(3), "it heals");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_smallest_local_share_admits_one_and_does_not_panic() {
    // Nobody listens there.
    let gate = RedisGate::new("redis://127.0.0.1:1/", "k").unwrap();
    let gate = gate.rate(Rate::per_second(1)).fallback(Fallback::local(f64::MIN_POSITIVE));
    gate.admit(&ask(1)).expect("one call at least");
    let soon = Ask::new(1, Instant::now() + Duration::from_millis(100));
    assert_eq!(gate.admit(&soon).unwrap_err().phase(), Some(Phase::Queue));
}

#[test]
fn without_redis_calls_go_on_within_the_local_share() {
    let Some(mut redis) = Redis::start() else { return };
    let rate = Rate::per_second(200).burst(20);
    let gate = gate(&redis).rate(rate).fallback(Fallback::local(0.25));
    assert!(gate.admit(&ask(1)).is_ok());
    redis.stop();
    let count = |time| {
        let (admitted, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        hammer(&[&gate], 8, time, |_, permit| match permit {
            Ok(_) => drop(admitted.fetch_add(1, SeqCst)),
            Err(error) if error.phase() == Some(Phase::Queue) => {}
            Err(_) => drop(failed.fetch_add(1, SeqCst)),
        });
        assert_eq!(failed.load(SeqCst), 0);
        admitted.load(SeqCst)
    };
    let away = count(Duration::from_secs(1));
    // A quarter of 200, and what was left of the last reservation.
    assert!((10..=70).contains(&away), "{away} admitted");
    redis.restart();
    thread::sleep(Duration::from_millis(1100));
    let back = count(Duration::from_secs(1));
    assert!((80..=221).contains(&back), "{back} admitted");
}

#[test]
fn a_silent_redis_hangs_nobody() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}/", silent.local_addr().unwrap());
    let gate = RedisGate::new(url, "k").unwrap().timeout(Duration::from_millis(200));
    let start = Instant::now();
    assert_eq!(gate.admit(&ask(1)).unwrap_err().kind(), ErrorKind::Gate);
    assert!(start.elapsed() < Duration::from_millis(1000), "{:?}", start.elapsed());
    let start = Instant::now();
    drop(gate);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

/// The same calls in all three ways, through gates with one key.
#[test]
fn all_ways_of_running_share_it() {
    let Some(redis) = Redis::start() else { return };
    let mock = Mock::answering(|_| Reply::text("ok"));
    let api = || {
        let gate = gate(&redis).rate(Rate::per_second(100));
        Api::builder("http://example.invalid/").gate(gate).build().unwrap()
    };
    let calls = || (0..30).map(|n| Request::get(format!("items/{n}")));
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            let client = blocking::Client::with_transport(api(), mock.clone());
            calls().for_each(|call| drop(client.send(call).unwrap()));
        });
        scope.spawn(|| {
            let client = pool::Client::with_transport(api(), mock.clone());
            assert!(client.batch(calls()).gather().into_iter().all(|result| result.is_ok()));
        });
        let client = nonblocking::Client::with_transport(api(), mock.clone());
        let results = futures_lite::future::block_on(client.batch(calls()).gather());
        assert!(results.into_iter().all(|result| result.is_ok()));
    });
    let took = start.elapsed();
    assert_eq!(mock.calls(), 90);
    assert!((880..4000).contains(&took.as_millis()), "{took:?}");
}

#[test]
fn a_429_met_by_one_way_stops_the_others() {
    let Some(redis) = Redis::start() else { return };
    let times = Arc::new(Mutex::new(Vec::new()));
    let (seen, refused) = (times.clone(), AtomicBool::new(false));
    let mock = Mock::answering(move |seen_request| {
        seen.lock().unwrap().push(Instant::now());
        let bad = seen_request.uri().path() == "/15" && !refused.swap(true, SeqCst);
        if bad { Reply::status(429).header("retry-after", "1") } else { Reply::text("ok") }
    });
    let api = || {
        let gate = gate(&redis).rate(Rate::per_second(100));
        Api::builder("http://example.invalid/").gate(gate).build().unwrap()
    };
    let calls = || (0..40).map(|n| Request::get(n.to_string()));
    thread::scope(|scope| {
        scope.spawn(|| {
            let client = pool::Client::with_transport(api(), mock.clone());
            assert!(client.batch(calls()).gather().into_iter().all(|result| result.is_ok()));
        });
        let client = nonblocking::Client::with_transport(api(), mock.clone());
        let results = futures_lite::future::block_on(client.batch(calls()).gather());
        assert!(results.into_iter().all(|result| result.is_ok()));
    });
    let times = times.lock().unwrap();
    let pauses = times.windows(2).map(|pair| pair[1] - pair[0]);
    assert_eq!(times.len(), 81);
    assert!(pauses.max() > Some(Duration::from_millis(970)));
}

#[test]
fn a_cancel_is_heard_at_the_gate() {
    let Some(redis) = Redis::start() else { return };
    let gate = gate(&redis);
    let open = gate.admit(&ask(1)).unwrap();
    gate.close(Duration::from_secs(60));
    drop(open);
    let api = Api::builder("http://example.invalid/").gate(gate).build().unwrap();
    let client = blocking::Client::with_transport(api, Mock::new());
    let cancel = Cancel::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(100));
            cancel.cancel();
        });
        let start = Instant::now();
        let results = client.batch([Request::get("a")]).cancel(&cancel).gather();
        assert_eq!(results[0].as_ref().unwrap_err().kind(), ErrorKind::Cancelled);
        assert!(start.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn mistakes_are_named_and_secrets_are_not() {
    let build = |gate: RedisGate| Api::builder("http://example.invalid/").gate(gate).build();
    let plain = || RedisGate::new("redis://:hunter2@127.0.0.1:1/", "k").unwrap();
    let wrong = [
        plain().rate(Rate::per_second(0)),
        plain().concurrency(0),
        plain().lease(Duration::ZERO),
        plain().timeout(Duration::MAX),
        plain().fallback(Fallback::local(0.0)),
        plain().fallback(Fallback::local(f64::NAN)),
    ];
    for gate in wrong {
        assert_eq!(build(gate).unwrap_err().kind(), ErrorKind::Request);
    }
    for bad in ["", "http://x/", "redis://:hunter2@[/", "rediss://127.0.0.1/"] {
        let error = RedisGate::new(bad, "k").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Request, "{bad}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }
    assert!(RedisGate::new("redis://127.0.0.1/", "").is_err());
    let api = build(plain()).unwrap();
    assert!(!format!("{api:?}").contains("hunter2"));
    let client = blocking::Client::with_transport(api, Mock::new());
    let error = client.send(Request::get("a").retry(Retry::none())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Gate);
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}
