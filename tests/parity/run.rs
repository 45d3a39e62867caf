//! Runs the table, a few scenarios at once, and reports.

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use duocall::{Http2, Retry, Timeouts};

use super::backends::{self, Backend, Manner, Work};
use super::canary;
use super::mocked::plain;
use super::outcome::Outcome;
use super::scenario::{Expected, Notes, Scenario};
use super::site::{Ground, Place, Site};

/// Most of them wait most of the time.
const AT_ONCE: usize = 8;
/// Nothing takes that long.
const HANGS: Duration = Duration::from_secs(30);

pub fn all(scenarios: Vec<Scenario>) -> ExitCode {
    let started = Instant::now();
    // A panic in a scenario is an outcome, not a message of its own.
    std::panic::set_hook(Box::new(|_| {}));
    let (failed, differing) = on(Ground::Loopback, &scenarios);
    let loopback = started.elapsed();
    let bytes = |scenario: &&Scenario| !scenario.only_bytes;
    let without: Vec<Scenario> = scenarios.iter().filter(bytes).cloned().collect();
    let (failed_mock, differing_mock) = on(Ground::Mock, &without);
    let mocked = started.elapsed();
    let (failed_http2, differing_http2) = on(Ground::Http2, &without);
    let http2 = started.elapsed();
    let shown = without_secrets(&scenarios);
    drop(std::panic::take_hook());
    let (count, ways) = (scenarios.len(), backends::ALL.len());
    println!("\non loopback in {:.2} s", loopback.as_secs_f64());
    let seconds = (mocked - loopback).as_secs_f64();
    println!("{} of them on the mock in {seconds:.2} s", without.len());
    let seconds = (http2 - mocked).as_secs_f64();
    println!("{} of them over HTTP/2 in {seconds:.2} s", without.len());
    let failed = failed + failed_mock + failed_http2 + shown;
    let differing = differing + differing_mock + differing_http2;
    let passed = count + 2 * without.len() + 1 - failed;
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored; 0 measured; \
         0 filtered out; finished in {:.2}s\n",
        started.elapsed().as_secs_f64()
    );
    println!("parity: {count} scenarios x {ways} backends, {differing} differences");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the scenarios once more, blocking and async, with every logger on; 1 if a credential showed.
fn without_secrets(scenarios: &[Scenario]) -> usize {
    canary::listen();
    let ways = [&backends::ALL[0], &backends::ALL[2]];
    let jobs: Vec<(&Scenario, &Backend)> =
        scenarios.iter().flat_map(|scenario| ways.map(|way| (scenario, way))).collect();
    let mut hits = run(&jobs, AT_ONCE, label, |job| canary::one(job.0, job.1)).concat();
    let (lines, logged) = canary::logged();
    hits.extend(logged);
    let verdict = if hits.is_empty() { "ok" } else { "FAILED" };
    println!("test a credential shows nowhere, nor in {lines} lines of logs ... {verdict}");
    hits.iter().for_each(|hit| println!("{}", shortened(hit)));
    usize::from(!hits.is_empty())
}

/// The ways that run on this ground.
fn ways(ground: Ground) -> Vec<&'static Backend> {
    let runs = |backend: &&Backend| match ground {
        Ground::Http2 => ["async on smol", "async on tokio, threads"].contains(&backend.name),
        _ => true,
    };
    backends::ALL.iter().filter(runs).collect()
}

/// Runs the scenarios in every way; how many failed, and the number of differences.
fn on(ground: Ground, scenarios: &[Scenario]) -> (usize, usize) {
    let jobs: Vec<(&Scenario, &Backend)> = scenarios
        .iter()
        .flat_map(|scenario| ways(ground).into_iter().map(move |backend| (scenario, backend)))
        .collect();
    let outcomes = run(&jobs, AT_ONCE, label, |job| one(ground, job.0, job.1));
    let told = match ground {
        Ground::Loopback => str::to_owned,
        Ground::Mock | Ground::Http2 => plain,
    };
    let (mut failed, mut differing) = (0, 0);
    for (scenario, outcomes) in scenarios.iter().zip(outcomes.chunks(ways(ground).len())) {
        let names = ways(ground).into_iter().map(|backend| backend.name);
        let outcomes: Vec<_> = names.zip(outcomes).collect();
        let found = compare(&scenario.expected, &outcomes, told);
        let verdict = if found.is_empty() { "ok" } else { "FAILED" };
        let place = match ground {
            Ground::Loopback => "",
            Ground::Mock => "mock: ",
            Ground::Http2 => "http2: ",
        };
        println!("test {place}{} ... {verdict}", scenario.name);
        found.iter().for_each(|difference| println!("{difference}"));
        failed += usize::from(!found.is_empty());
        differing += found.len();
    }
    (failed, differing)
}

fn label(job: &(&Scenario, &Backend)) -> String {
    format!("{}, {}", job.0.name, job.1.name)
}

/// The outcomes in the order of the jobs. Ends the process if a job hangs.
pub fn run<J: Sync, T: Send + Clone>(
    jobs: &[J],
    at_once: usize,
    label: impl Fn(&J) -> String + Sync,
    task: impl Fn(&J) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let running = Mutex::new(vec![None; at_once]);
    let (tell, told) = mpsc::channel();
    let mut outcomes: Vec<Option<T>> = vec![None; jobs.len()];
    thread::scope(|scope| {
        for worker in 0..at_once {
            let (tell, next, running) = (tell.clone(), &next, &running);
            let (label, task) = (&label, &task);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, SeqCst);
                    let Some(job) = jobs.get(index) else { return };
                    running.lock().unwrap()[worker] = Some((Instant::now(), label(job)));
                    tell.send((index, task(job))).expect("somebody listens");
                    running.lock().unwrap()[worker] = None;
                }
            });
        }
        drop(tell);
        loop {
            match told.recv_timeout(Duration::from_secs(1)) {
                Ok((index, outcome)) => outcomes[index] = Some(outcome),
                Err(mpsc::RecvTimeoutError::Timeout) => watch(&running.lock().unwrap()),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
    });
    outcomes.into_iter().map(|outcome| outcome.expect("every job was done")).collect()
}

fn watch(running: &[Option<(Instant, String)>]) {
    for (since, label) in running.iter().flatten() {
        if since.elapsed() > HANGS {
            println!("test {label} ... FAILED\n  hangs");
            std::process::exit(1);
        }
    }
}

fn one(ground: Ground, scenario: &Scenario, backend: &Backend) -> Outcome {
    let site = Arc::new(Site::new(scenario, ground));
    let notes = Notes::default();
    let builder = site.api(scenario.base).retry(quick()).timeouts(Timeouts::default());
    let builder = match &site.place {
        Place::Mock(_, clock) => builder.clock(clock),
        Place::Http2 { .. } => builder.http2(Http2::prior_knowledge()),
        _ => builder,
    };
    let said = match (scenario.setup)(builder, &notes).build() {
        Ok(api) => {
            let (op, site) = (scenario.op.clone(), site.clone());
            backend.run(Work { api, op, site, manner: Manner::of(scenario, &notes) })
        }
        Err(error) => vec![super::outcome::Said::response(Err(error))],
    };
    let expected = &scenario.expected.saw;
    site.wait_requests(if expected.is_empty() { 0 } else { expected.split(" | ").count() });
    Outcome::new(scenario, &said, &site, &notes)
}

/// The default, but quick.
pub fn quick() -> Retry {
    Retry::default().backoff(Duration::from_millis(1), Duration::from_millis(5)).seed(1)
}

/// `3 x a` as `a | a | a`.
fn unfolded(text: &str) -> String {
    let parts = text.split(" | ").flat_map(|part| {
        let many = part.split_once(" x ").and_then(|(n, rest)| Some((n.parse().ok()?, rest)));
        let (count, rest) = many.unwrap_or((1, part));
        std::iter::repeat_n(rest, count)
    });
    parts.collect::<Vec<_>>().join(" | ")
}

fn shortened(text: &str) -> String {
    let most = 2000;
    text.chars().take(most).chain(text.chars().skip(most).take(1).map(|_| '…')).collect()
}

/// Every way against the table, and the others against the first where the table is silent.
pub fn compare(
    expected: &Expected,
    outcomes: &[(&'static str, &Outcome)],
    told: fn(&str) -> String,
) -> Vec<String> {
    let mut found: Vec<(String, Vec<&str>)> = Vec::new();
    for (name, outcome) in outcomes {
        let mut differs = |what: &str, expected: &str, got: &str| {
            let (expected, got) = (&told(&unfolded(expected)), &told(got));
            let (shown, instead) = (shortened(expected), shortened(got));
            let text = format!("{what}\n    expected  {shown}\n    got       {instead}");
            match found.iter_mut().find(|(other, _)| *other == text) {
                _ if expected == got => {}
                Some((_, names)) => names.push(name),
                None => found.push((text, vec![name])),
            }
        };
        let unlike = expected.unlike.iter().find(|(of, _)| of == name);
        let results = unlike.map_or(&*expected.results, |(_, results)| results);
        differs("results", results, &outcome.results.join(" | "));
        differs("attempts", &expected.traces, &outcome.traces.join(" | "));
        differs("the server saw", &expected.saw, &outcome.saw.join(" | "));
        differs("notes", expected.notes, &outcome.notes.join(" | "));
        if expected.unlike.is_empty() {
            differs("details", &outcomes[0].1.fine.join("\n"), &outcome.fine.join("\n"));
        }
        if let Some(got) = outcome.connections {
            let fresh = outcome.saw.iter().filter(|line| !line.contains('~')).count();
            let expected = expected.connections.unwrap_or(fresh);
            differs("connections", &expected.to_string(), &got.to_string());
        }
    }
    let shown = |(text, names): (String, Vec<&str>)| {
        let all = names.len() == outcomes.len();
        format!("  {}: {text}", if all { "all".to_owned() } else { names.join(", ") })
    };
    found.into_iter().map(shown).collect()
}
