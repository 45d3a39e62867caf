//! Runs the table, one way of running after another, and reports.

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use duocall::{Body, Request};

use super::alone::one_alone;
use super::case::{Case, case, row};
use super::one::{Found, hear_panics, one, panics};
use super::{page, table};
use crate::parity::backends::{self, Backend};
use crate::parity::canary;
use crate::parity::run::{compare, run};
use crate::parity::scenario::{Mode, ok};
use crate::support::fds;

/// Most of them wait most of the time.
const AT_ONCE: usize = 16;
/// Those with a process of their own are there because they work hard.
const ALONE_AT_ONCE: usize = 2;

const WAYS: [&str; 6] = [
    "blocking",
    "pool",
    "async on smol",
    "async on tokio, threads",
    "async on tokio, one thread",
    "async over surf",
];

pub fn all(filter: &str, write: bool) -> ExitCode {
    let started = Instant::now();
    hear_panics();
    canary::listen();
    let mut sections = table::sections();
    sections.iter_mut().for_each(|it| it.cases.retain(|case| case.id.starts_with(filter)));
    let cases: Vec<&Case> = sections.iter().flat_map(|section| &section.cases).collect();
    // Its threads last as long as the process.
    async_std::task::block_on(async {});
    let ways = WAYS.map(|name| backends::ALL.iter().find(|it| it.name == name).expect("a way"));
    ways.iter().for_each(|way| warm_up(way));
    let (mut leaks, mut found) = (0, Vec::new());
    for way in ways {
        let (there, left) = pass(way, &cases);
        found.push(there);
        leaks += left;
    }
    let (mut failed, mut differing) = (0, 0);
    for (n, case) in cases.iter().enumerate() {
        let found: Vec<(&str, &Found)> =
            WAYS.iter().copied().zip(found.iter().map(|it| &it[n])).collect();
        let lines = verdict(case, &found);
        println!("test {} ... {}", case.id, if lines.is_empty() { "ok" } else { "FAILED" });
        lines.iter().for_each(|line| println!("{line}"));
        failed += usize::from(!lines.is_empty());
        differing += lines.len();
    }
    for (what, lines) in [
        ("nothing panics", panics()),
        ("no credential is logged", canary::logged().1),
        ("docs/faults.md is up to date", page::check(&sections, &WAYS, &found, filter, write)),
    ] {
        println!("test {what} ... {}", if lines.is_empty() { "ok" } else { "FAILED" });
        lines.iter().for_each(|line| println!("{line}"));
        failed += usize::from(!lines.is_empty());
    }
    failed += usize::from(leaks > 0);
    let (count, passed) = (cases.len(), cases.len() + 4 - failed);
    println!("\n{} lines of logs", canary::logged().0);
    println!(
        "\ntest result: {}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out; \
         finished in {:.2}s\n",
        if failed == 0 { "ok" } else { "FAILED" },
        started.elapsed().as_secs_f64()
    );
    let ways = WAYS.len();
    println!("faults: {count} cases x {ways} backends, {differing} differences, {leaks} leaks");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Starts what then lasts as long as the process: a reactor, an executor.
fn warm_up(way: &Backend) {
    let sent = case().by_name().send(Request::get("x")).reply(ok("a"));
    let read =
        case().send_made(|_| Request::put("x").body(Body::reader(&b"abc"[..]))).reply(ok("a"));
    let batch =
        case().batch(Mode::Stream, 2, [Request::get("x"), Request::get("y")]).reply(ok("a"));
    for scenario in [sent, read, batch] {
        one(&row("", "", "", scenario), way);
    }
}

/// All cases in one way of running, and how many descriptors and threads that left.
fn pass(way: &'static Backend, cases: &[&Case]) -> (Vec<Found>, usize) {
    let started = Instant::now();
    let before = settled();
    let here: Vec<&Case> =
        cases.iter().copied().filter(|case| case.alone.is_none() && case.is_on(way.name)).collect();
    let label = |case: &&Case| format!("{}, {}", case.id, way.name);
    let there = run(&here, AT_ONCE, label, |case| one(case, way));
    let left = left_over(before);
    let alone: Vec<&Case> =
        cases.iter().copied().filter(|case| case.alone.is_some() && case.is_on(way.name)).collect();
    let apart = run(&alone, ALONE_AT_ONCE, label, |case| {
        one_alone(case, way, case.alone.expect("filtered"))
    });
    let (mut there, mut apart) = (there.into_iter(), apart.into_iter());
    let found = cases.iter().map(|case| match case.alone {
        _ if !case.is_on(way.name) => Some(Found::default()),
        None => there.next(),
        Some(_) => apart.next(),
    });
    let found: Option<Vec<Found>> = found.collect();
    println!(
        "{}: {:.1} s, {} descriptors and {} threads left",
        way.name,
        started.elapsed().as_secs_f64(),
        left.0,
        left.1
    );
    if left.1 > 0 {
        println!("  there are now: {:?}", names_of_threads());
    }
    (found.expect("one for each"), left.0 + left.1)
}

/// Descriptors and threads, once their number no longer changes.
fn settled() -> (usize, usize) {
    let quiet = Duration::from_millis(300);
    let (mut since, mut last) = (Instant::now(), (fds(), threads()));
    while since.elapsed() < quiet {
        thread::sleep(Duration::from_millis(20));
        let now = (fds(), threads());
        if now != last {
            (since, last) = (Instant::now(), now);
        }
    }
    last
}

/// Without those of the crate `blocking`, which keeps as many as were ever busy at once.
fn names_of_threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("procfs").flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| !name.starts_with("blocking-")).collect()
}

fn threads() -> usize {
    names_of_threads().len()
}

/// How many more there are than before, when there has been time for them to go.
fn left_over(before: (usize, usize)) -> (usize, usize) {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let more = (fds().saturating_sub(before.0), threads().saturating_sub(before.1));
        if more == (0, 0) || Instant::now() > end {
            return more;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn verdict(case: &Case, found: &[(&'static str, &Found)]) -> Vec<String> {
    let ran = || found.iter().filter(|(name, _)| case.is_on(name));
    let outcomes: Vec<_> = ran().map(|(name, found)| (*name, &found.outcome)).collect();
    let mut lines = compare(&case.scenario.expected, &outcomes, str::to_owned);
    for (name, found) in ran() {
        lines.extend(found.faults.iter().map(|fault| format!("  {name}:{fault}")));
    }
    lines
}
