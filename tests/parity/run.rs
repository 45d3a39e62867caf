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
use super::scenario::{Notes, Scenario};
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
    let mut hits = run(&jobs, canary::one).concat();
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
    let outcomes = run(&jobs, |scenario, backend| one(ground, scenario, backend));
    let (mut failed, mut differing) = (0, 0);
    for (scenario, outcomes) in scenarios.iter().zip(outcomes.chunks(ways(ground).len())) {
        let found = compare(ground, scenario, outcomes);
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

/// The outcomes in the order of the jobs. Ends the process if a job hangs.
fn run<T: Send + Clone>(
    jobs: &[(&Scenario, &Backend)],
    task: impl Fn(&Scenario, &Backend) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let running = Mutex::new(vec![None; AT_ONCE]);
    let (tell, told) = mpsc::channel();
    let mut outcomes: Vec<Option<T>> = vec![None; jobs.len()];
    thread::scope(|scope| {
        for worker in 0..AT_ONCE {
            let (tell, next, running, task) = (tell.clone(), &next, &running, &task);
            scope.spawn(move || {
                while let Some((scenario, backend)) = jobs.get(next.fetch_add(1, SeqCst)) {
                    running.lock().unwrap()[worker] =
                        Some((Instant::now(), scenario.name, backend.name));
                    let at = (scenario.name, backend.name);
                    tell.send((at, task(scenario, backend))).expect("somebody listens");
                    running.lock().unwrap()[worker] = None;
                }
            });
        }
        drop(tell);
        loop {
            match told.recv_timeout(Duration::from_secs(1)) {
                Ok((at, outcome)) => {
                    let index = jobs.iter().position(|(s, b)| (s.name, b.name) == at);
                    outcomes[index.expect("a job")] = Some(outcome);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => watch(&running.lock().unwrap()),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
    });
    outcomes.into_iter().map(|outcome| outcome.expect("every job was done")).collect()
}

fn watch(running: &[Option<(Instant, &str, &str)>]) {
    for (since, scenario, backend) in running.iter().flatten() {
        if since.elapsed() > HANGS {
            println!("test {scenario} ... FAILED\n  hangs: {backend}");
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
    let expected = scenario.expected.saw;
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
fn compare(ground: Ground, scenario: &Scenario, outcomes: &[Outcome]) -> Vec<String> {
    let expected = &scenario.expected;
    let mut found: Vec<(String, Vec<&str>)> = Vec::new();
    let ways = ways(ground);
    for (backend, outcome) in ways.iter().zip(outcomes) {
        let mut differs = |what: &str, expected: &str, got: &str| {
            let told = |text: &str| match ground {
                Ground::Loopback => text.to_owned(),
                Ground::Mock | Ground::Http2 => plain(text),
            };
            let (expected, got) = (&told(&unfolded(expected)), &told(got));
            let (shown, instead) = (shortened(expected), shortened(got));
            let text = format!("{what}\n    expected  {shown}\n    got       {instead}");
            match found.iter_mut().find(|(other, _)| *other == text) {
                _ if expected == got => {}
                Some((_, names)) => names.push(backend.name),
                None => found.push((text, vec![backend.name])),
            }
        };
        let results = expected.pool.filter(|_| backend.name == "pool").unwrap_or(expected.results);
        differs("results", results, &outcome.results.join(" | "));
        differs("attempts", expected.traces, &outcome.traces.join(" | "));
        differs("the server saw", expected.saw, &outcome.saw.join(" | "));
        differs("notes", expected.notes, &outcome.notes.join(" | "));
        if expected.pool.is_none() {
            differs("details", &outcomes[0].fine.join("\n"), &outcome.fine.join("\n"));
        }
        if let Some(got) = outcome.connections {
            let fresh = outcome.saw.iter().filter(|line| !line.contains('~')).count();
            let expected = expected.connections.unwrap_or(fresh);
            differs("connections", &expected.to_string(), &got.to_string());
        }
    }
    let shown = |(text, names): (String, Vec<&str>)| {
        let all = names.len() == ways.len();
        format!("  {}: {text}", if all { "all".to_owned() } else { names.join(", ") })
    };
    found.into_iter().map(shown).collect()
}
