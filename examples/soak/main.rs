//! Calls of every kind in all ways at once, against a server that misbehaves: what is lost, what leaks?
//! Run: cargo run --release --example soak --all-features [-- --minutes 10]
//! Expect: a line every ten seconds; at the end no wrong answer, and descriptors, threads and memory of the last
//! minute no more than a quarter above those of the second.

mod calls;
mod server;
mod tally;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use duocall::{Api, Auth, Retry, Timeouts, blocking, nonblocking, pool};
use lexopt::ValueExt;
use server::Server;
use tally::{Gauge, Tally};

const EVERY: Duration = Duration::from_secs(10);
const ASYNC_TASKS: usize = 6;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut minutes = 10.0;
    let mut parser = lexopt::Parser::from_env();
    while let Some(option) = parser.next()? {
        match option {
            lexopt::Arg::Long("serve") => return Ok(server::serve().map(|()| ExitCode::SUCCESS)?),
            lexopt::Arg::Long("minutes") => minutes = parser.value()?.parse()?,
            other => return Err(other.unexpected().into()),
        }
    }
    let time = Duration::try_from_secs_f64(minutes * 60.0)
        .map_err(|_| "--minutes must be a time that can be waited for")?;
    let server = Server::start()?;
    let tally = Arc::new(Tally::default());
    let samples = run(&server, &tally, time)?;
    Ok(verdict(&tally, &samples))
}

fn api(server: &Server) -> Result<Api, duocall::Error> {
    let short = Duration::from_millis(200);
    let limits = Timeouts::default().head(short).idle(short).total(Duration::from_secs(5));
    let retry = Retry::default().backoff(Duration::from_millis(1), Duration::from_millis(20));
    let api = Api::builder(format!("http://{}/", server.home)).timeouts(limits).no_proxy();
    api.auth(Auth::bearer("token-0")).retry(retry).concurrency(48).build()
}

/// Every way at once, until the time is up; then everything is dropped.
fn run(server: &Server, tally: &Arc<Tally>, time: Duration) -> Result<Vec<Gauge>, Box<dyn Error>> {
    let api = api(server)?;
    let ways = start(&api, tally)?;
    let (began, mut samples) = (Instant::now(), vec![Gauge::now()]);
    let mut told = began;
    while began.elapsed() < time {
        thread::sleep(Duration::from_millis(50));
        let rotation = tally.rotation.load(Relaxed) + 1;
        tally.rotation.store(rotation, Relaxed);
        api.set_auth(Auth::bearer(format!("token-{rotation}")));
        tally.rotated.store(rotation, Relaxed);
        if told.elapsed() >= EVERY {
            told += EVERY;
            let gauge = Gauge::now();
            samples.push(gauge);
            println!(
                "{:>4} s: {} calls; {gauge}; {tally}",
                began.elapsed().as_secs(),
                tally.calls()
            );
        }
    }
    tally.over.store(true, Relaxed);
    for (way, thread) in ways {
        thread.join().map_err(|_| format!("{way} panicked"))?;
    }
    Ok(samples)
}

type Way = (&'static str, thread::JoinHandle<()>);

fn start(api: &Api, tally: &Arc<Tally>) -> Result<Vec<Way>, Box<dyn Error>> {
    let mut ways = Vec::new();
    for _ in 0..3 {
        let (client, tally) = (blocking::Client::new(api.clone()), tally.clone());
        let work = move || {
            while tally.goes_on() {
                calls::blocking(&client, &tally);
            }
        };
        ways.push(("blocking", thread::spawn(work)));
    }
    let (client, ours) = (pool::Client::builder(api.clone()).threads(6).build()?, tally.clone());
    let work = move || {
        while ours.goes_on() {
            calls::pool(&client, &ours);
        }
    };
    ways.push(("pool", thread::spawn(work)));
    let client = nonblocking::Client::new(api.clone());
    let work = tasks(&client, tally);
    ways.push(("async on smol", thread::spawn(move || smol::block_on(work))));
    let client = nonblocking::Client::new(api.clone());
    let work = tasks(&client, tally);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    ways.push((
        "async on tokio",
        thread::spawn(move || drop(runtime.block_on(runtime.spawn(work)))),
    ));
    let surf = surf::Client::with_http_client(duocall::surf::HttpClient::new());
    let client = nonblocking::Client::with_surf(api.clone(), surf);
    let work = tasks(&client, tally);
    ways.push(("surf", thread::spawn(move || smol::block_on(work))));
    Ok(ways)
}

/// Some at once, in one future.
fn tasks(
    client: &nonblocking::Client,
    tally: &Arc<Tally>,
) -> impl Future<Output = ()> + Send + use<> {
    let tasks = (0..ASYNC_TASKS).map(|_| {
        let (client, tally) = (client.clone(), tally.clone());
        async move {
            while tally.goes_on() {
                calls::nonblocking(&client, &tally).await;
            }
        }
    });
    let all = futures_util::future::join_all(tasks);
    async move { drop(all.await) }
}

fn verdict(tally: &Tally, samples: &[Gauge]) -> ExitCode {
    let wrong = tally.wrongs();
    wrong.iter().take(10).for_each(|what| println!("WRONG: {what}"));
    println!("{} calls, {} wrong answers; {tally}", tally.calls(), wrong.len());
    println!("all dropped: {}", Gauge::now());
    // Each sample is ten seconds after the one before; the first minute is for growing up.
    let flat = if samples.len() > 18 {
        let (before, after) =
            (Gauge::mean(&samples[7..13]), Gauge::mean(&samples[samples.len() - 6..]));
        println!("the second minute: {before}\nthe last minute:   {after}");
        let flat = after.is_flat_after(&before);
        println!("verdict: {}", if flat { "flat" } else { "NOT flat" });
        flat
    } else {
        println!("verdict: too short to tell (three minutes are the least)");
        true
    };
    if wrong.is_empty() && flat { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
