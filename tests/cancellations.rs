//! Every scenario of the parity table, given up at every point where it can be.
//!
//! Async: dropped after its first, second, ... poll, until it ends before. Blocking and pool: cancelled when the
//! server has seen so many requests, at once and a little later. What comes next on the same client gets its own
//! answer; with one place at the gate, a place that was lost would stop it.
//!
//! `cargo test --all-features --test cancellations [-- FILTER]`

mod support;

#[path = "parity/mod.rs"]
mod parity;
#[path = "parity/table/mod.rs"]
mod table;

use std::future::{Future, poll_fn};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use duocall::{Api, Cancel, Request, Response, Retry, Timeouts, blocking, nonblocking, pool};
use futures_lite::FutureExt;
use parity::backends::{self, Manner, Work};
use parity::run;
use parity::scenario::{Item, Notes, Op, Reply, Scenario, Step};
use parity::site::{Ground, Place, Site};

/// Most of them wait most of the time.
const AT_ONCE: usize = 8;
/// No scenario waits longer at one point: then it is not given up later either.
const LONGEST: Duration = Duration::from_secs(3);
const MOST: usize = 200;

/// What was wrong, once there is nothing more to give up.
type Found = Option<Vec<String>>;

type Way = (&'static str, fn(&Scenario, &Tally) -> Vec<String>);

const WAYS: [Way; 4] = [
    ("async on smol", |scenario, tally| polled(scenario, tally, |future| smol::block_on(future))),
    ("async, bare block_on", |scenario, tally| {
        polled(scenario, tally, |future| futures_lite::future::block_on(future))
    }),
    ("blocking", |scenario, tally| staged(scenario, tally, Threads::Own)),
    ("pool", |scenario, tally| staged(scenario, tally, Threads::Pool)),
];

#[derive(Default)]
struct Tally {
    given_up: AtomicUsize,
    next: AtomicUsize,
}

fn main() -> ExitCode {
    let Some(scenarios) = table::asked_for() else { return ExitCode::SUCCESS };
    // A hook that panics is part of some scenarios.
    std::panic::set_hook(Box::new(|_| {}));
    let tally = Tally::default();
    let jobs: Vec<(&Scenario, Way)> =
        scenarios.iter().flat_map(|scenario| WAYS.map(|way| (scenario, way))).collect();
    let before = descriptors(&scenarios, &tally);
    let label = |job: &(&Scenario, Way)| format!("{}, {}", job.0.name, job.1.0);
    let found = run::run(&jobs, AT_ONCE, label, |job| (job.1.1)(job.0, &tally));
    let leaks = left_over(before);
    let mut wrong = 0;
    for (job, found) in jobs.iter().zip(&found) {
        found.iter().for_each(|text| println!("{}: {text}", label(job)));
        wrong += found.len();
    }
    let (given_up, next) = (tally.given_up.into_inner(), tally.next.into_inner());
    println!("{next} calls after that");
    println!(
        "cancellations: {} scenarios x {} ways, {given_up} given up, {wrong} wrong answers, {leaks} leaks",
        scenarios.len(),
        WAYS.len()
    );
    if wrong + leaks == 0 && given_up > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Descriptors once everything runs that runs as long as the process.
fn descriptors(scenarios: &[Scenario], tally: &Tally) -> usize {
    for way in WAYS {
        let _ = scenarios.first().map(|scenario| (way.1)(scenario, tally));
    }
    open()
}

#[cfg(target_os = "linux")]
fn open() -> usize {
    support::fds()
}

#[cfg(not(target_os = "linux"))]
fn open() -> usize {
    0
}

fn left_over(before: usize) -> usize {
    let end = Instant::now() + Duration::from_secs(10);
    while open() > before && Instant::now() < end {
        thread::sleep(Duration::from_millis(10));
    }
    open().saturating_sub(before)
}

/// A scenario at its beginning; `None` where the API cannot even be built.
fn begun(scenario: &Scenario) -> Option<(Arc<Site>, Api, Notes)> {
    let site = Arc::new(Site::new(scenario, Ground::Loopback));
    let notes = Notes::default();
    let builder = site.api(scenario.base).retry(run::quick()).timeouts(Timeouts::default());
    let builder = (scenario.setup)(builder, &notes).concurrency(1);
    Some((site, builder.build().ok()?, notes))
}

fn polled(
    scenario: &Scenario,
    tally: &Tally,
    block_on: fn(Pin<&mut dyn Future<Output = Found>>) -> Found,
) -> Vec<String> {
    for most in 1..=MOST {
        let Some((site, api, notes)) = begun(scenario) else { return Vec::new() };
        let client = nonblocking::Client::new(api.clone());
        let (op, manner) = (scenario.op.clone(), Manner::of(scenario, &notes));
        let work = Work { api, op, site: site.clone(), manner };
        let ended = block_on(pin!(async {
            // Some panic on purpose, which ends them.
            let whole = AssertUnwindSafe(backends::async_op(client.clone(), work)).catch_unwind();
            let ended = for_so_many_polls(whole, most).await;
            if !ended {
                tally.given_up.fetch_add(1, SeqCst);
            }
            let mut wrong = Vec::new();
            for id in 0..after(scenario, &site) {
                tally.next.fetch_add(1, SeqCst);
                let said = client.send(next(&site, id)).await;
                wrong.extend(unlike(id, said).map(|text| format!("after {most} polls: {text}")));
            }
            if ended || !wrong.is_empty() { Some(wrong) } else { None }
        }));
        if let Some(wrong) = ended {
            return wrong;
        }
    }
    Vec::new()
}

/// Whether it ended by itself.
async fn for_so_many_polls<T>(future: impl Future<Output = T>, most: usize) -> bool {
    let mut future = pin!(future);
    let mut polls = 0;
    let polled = poll_fn(|cx| {
        polls += 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending if polls >= most => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    });
    let waited = async {
        smol::Timer::after(LONGEST).await;
        true
    };
    smol::future::or(polled, waited).await
}

#[derive(Clone, Copy)]
enum Threads {
    Own,
    Pool,
}

/// The requests of a scenario, one after another.
fn requests(api: &Api, op: &Op) -> Vec<Request> {
    match op {
        Op::Steps(steps) => {
            let request = |step: &Step| match step {
                Step::Send(request) | Step::Open(request) => Some(request.clone()),
                Step::Made(make) => Some(make(api)),
                Step::Call(Item { request, .. }) => Some(request.clone()),
                Step::Do(_) => None,
            };
            steps.iter().filter_map(request).collect()
        }
        Op::Together(requests) => requests.clone(),
        Op::Batch(_, _, items) => items.iter().map(|item| item.request.clone()).collect(),
        Op::Pages(first, _) => vec![(**first).clone()],
        Op::Cancelled(_, op) => requests(api, op),
        Op::Own(_) => Vec::new(),
    }
}

fn staged(scenario: &Scenario, tally: &Tally, threads: Threads) -> Vec<String> {
    for stage in 0..MOST {
        for late in [Duration::ZERO, Duration::from_micros(300)] {
            let Some((site, api, _)) = begun(scenario) else { return Vec::new() };
            let requests = requests(&api, &scenario.op);
            let (cancel, over) = (Cancel::new(), AtomicBool::new(false));
            let client = blocking::Client::new(api.clone());
            let pooled = pool::Client::builder(api).over(client.clone()).threads(1);
            let pooled = pooled.build().expect("a thread is enough");
            thread::scope(|scope| {
                scope.spawn(|| {
                    let start = Instant::now();
                    while site.requests().len() < stage
                        && !over.load(SeqCst)
                        && start.elapsed() < LONGEST
                    {
                        thread::sleep(Duration::from_micros(100));
                    }
                    thread::sleep(late);
                    cancel.cancel();
                });
                // Some panic on purpose, which ends them.
                let _ = catch_unwind(AssertUnwindSafe(|| match threads {
                    Threads::Own => client.batch(requests).cancel(&cancel).gather(),
                    Threads::Pool => pooled.batch(requests).cancel(&cancel).gather(),
                }));
                over.store(true, SeqCst);
            });
            let reached = site.requests().len() >= stage;
            tally.given_up.fetch_add(usize::from(reached), SeqCst);
            for id in 0..after(scenario, &site) {
                tally.next.fetch_add(1, SeqCst);
                let request = next(&site, id);
                let said = match threads {
                    Threads::Own => client.send(request),
                    Threads::Pool => pooled.send(request).wait(),
                };
                if let Some(text) = unlike(id, said) {
                    return vec![format!("at request {stage}, {late:?} later: {text}")];
                }
            }
            if !reached {
                return Vec::new();
            }
        }
    }
    Vec::new()
}

/// How many calls come next: none where nobody listens or lets anybody in, or where the server closes the gate. What a server does
/// to its first connections is over by then.
fn after(scenario: &Scenario, site: &Site) -> usize {
    let Place::Server(servers) = &site.place else { return 0 };
    let barred = scenario.door.tls.is_some() || scenario.door.proxy.is_some();
    if barred && !scenario.expected.results.contains("200") {
        return 0;
    }
    let closes = |reply: &Reply| match reply {
        Reply::Http(http) | Reply::Part(http, ..) => http.headers.iter().any(|(name, _)| {
            name.eq_ignore_ascii_case("retry-after") || name.to_lowercase().ends_with("reset")
        }),
        _ => false,
    };
    if scenario.routes.iter().any(|(_, replies)| replies.iter().any(closes)) {
        return 0;
    }
    while servers.first.connections() < scenario.accepting.len() {
        let before = servers.first.connections();
        let _ = TcpStream::connect(servers.first.addr());
        servers.first.wait_connections(before + 1, LONGEST);
    }
    3
}

/// Without a credential, which some scenarios break on purpose. Its limits are those of a busy machine.
fn next(site: &Site, id: usize) -> Request {
    let retry = Retry::default()
        .attempts(20)
        .backoff(Duration::from_millis(1), Duration::from_millis(20))
        .retry_if(|_| true);
    Request::absolute(format!("{}after/{id}", site.url())).retry(retry).timeout(LONGEST * 5)
}

fn unlike(id: usize, said: Result<Response, duocall::Error>) -> Option<String> {
    match said {
        Ok(response) if response.bytes() == id.to_string().as_bytes() => None,
        Ok(response) => Some(format!("call {id} got {:?}", response.text())),
        Err(error) => Some(format!("call {id} failed: {error}")),
    }
}
