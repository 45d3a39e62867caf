//! Every case in every way, a few at once.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use duocall::Api;

use super::case::{BASE, Case, OTHER, usual};
use super::server::Httpbin;
use super::table;
use crate::support::ways::{self, Way};

/// Most of them wait for the server.
const AT_ONCE: usize = 8;

/// The number of failures.
pub fn all(httpbin: &Httpbin, filter: &str) -> usize {
    let started = Instant::now();
    let cases = || {
        let all = table::all(&httpbin.base(), &httpbin.other());
        let cases = all.into_iter().flat_map(|section| section.cases);
        cases.filter(|case| case.name.contains(filter)).enumerate()
    };
    let calls: Vec<String> = cases().flat_map(|(_, case)| case.calls).collect();
    let count = cases().count();
    // A body that is read can be sent once, so every way gets a table of its own.
    let jobs = ways::ALL.iter().flat_map(|way| cases().map(move |(n, case)| (n, case, way)));
    let jobs = Mutex::new(jobs.collect::<Vec<_>>());
    let found = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((n, case, way)) = jobs.lock().unwrap().pop() else { return };
                    if let Some(difference) = one(httpbin, case, way) {
                        found.lock().unwrap().push(((n, difference), way.name));
                    }
                }
            });
        }
    });
    let found = found.into_inner().unwrap();
    print(&found);
    let uncalled = if filter.is_empty() { httpbin.uncalled(&calls) } else { Vec::new() };
    uncalled.iter().for_each(|route| println!("no case calls {route}"));
    println!("{} calls in {:.1} s", calls.len() * ways::ALL.len(), started.elapsed().as_secs_f64());
    println!("conformance: {count} cases x {} ways, {} differences", ways::ALL.len(), found.len());
    found.len() + uncalled.len()
}

/// What must come back and what did, where they differ.
fn one(httpbin: &Httpbin, case: Case, way: &Way) -> Option<String> {
    let api = Api::builder(httpbin.base()).no_proxy();
    let api = (case.setup)(usual(api)).build().unwrap();
    let said = (way.run)(api, case.asks);
    let got = case.seen.text(&said).replace(&httpbin.base(), BASE).replace(&httpbin.other(), OTHER);
    let Case { name, expected, .. } = case;
    (got != expected).then(|| format!("{name}\n    expected  {expected}\n    got       {got}"))
}

/// Each difference once, with the ways that show it.
fn print(found: &[((usize, String), &str)]) {
    let mut ways: BTreeMap<&(usize, String), Vec<&str>> = BTreeMap::new();
    found.iter().for_each(|(difference, way)| ways.entry(difference).or_default().push(way));
    for ((_, difference), names) in ways {
        let all = names.len() == ways::ALL.len();
        println!("{}: {difference}", if all { "all".to_owned() } else { names.join(", ") });
    }
}
