//! What must be reached, as ratios within the run.

use crate::child::Said;
use crate::server::SLOWNESS;
use crate::table::{Figures, Row, memory};

const OURS: &str = "duocall async, smol";
const REQWEST: [&str; 2] = ["reqwest, tokio 1", "reqwest, tokio 2"];

struct Target {
    name: String,
    /// `None`: not measured, which is not met.
    value: Option<f64>,
    limit: f64,
    at_least: bool,
}

impl Target {
    fn is_met(&self) -> bool {
        let met = |value| if self.at_least { value >= self.limit } else { value <= self.limit };
        self.value.is_some_and(met)
    }
}

/// Prints those missed, and as the last line how many were met.
pub(crate) fn print(figures: &Figures) {
    let targets = all(figures);
    for target in &targets {
        let met = if target.is_met() { "met   " } else { "MISSED" };
        let most = if target.at_least { "at least" } else { "at most" };
        let value = target.value.map_or("not measured".into(), |value| format!("{value:.2}"));
        println!("{met} {}: {value}, {most} {}", target.name, target.limit);
    }
    let met = targets.iter().filter(|target| target.is_met()).count();
    let missed: Vec<&str> =
        targets.iter().filter(|target| !target.is_met()).map(|it| &*it.name).collect();
    let named =
        if missed.is_empty() { String::new() } else { format!("; missed: {}", missed.join("; ")) };
    println!("targets: {met} of {} met{named}", targets.len());
}

fn all(figures: &Figures) -> Vec<Target> {
    let mut targets = Vec::new();
    let mut at_most = |name: String, value: Option<f64>, limit: f64| {
        targets.push(Target { name, value, limit, at_least: false });
    };
    let ratio = |ours: &str, theirs: &str, tls, n, of: &dyn Fn(&Said) -> f64| {
        figures.find(ours, tls, n)?.ratio(figures.find(theirs, tls, n)?, of)
    };
    // Against the better of the two, by its median.
    let best = |tls, n, of: &dyn Fn(&Said) -> f64| {
        let rows = REQWEST.iter().filter_map(|way| figures.find(way, tls, n));
        let by = |row: &&Row| row.median(of).unwrap_or(f64::INFINITY);
        let best = rows.min_by(|a, b| by(a).total_cmp(&by(b)))?;
        figures.find(OURS, tls, n)?.ratio(best, of)
    };
    for n in [8, 32, 256] {
        at_most(format!("async CPU / best reqwest, {n}"), best(false, n, &Said::cpu), 0.75);
    }
    at_most("async CPU / best reqwest, 1".into(), best(false, 1, &Said::cpu), 0.95);
    for n in [1, 8, 32, 256] {
        at_most(format!("async CPU / best reqwest, TLS, {n}"), best(true, n, &Said::cpu), 0.85);
    }
    for n in [32, 256] {
        let p99 = best(false, n, &|said: &Said| said.p99_us);
        at_most(format!("async p99 / best reqwest, {n}"), p99, 1.0);
    }
    for n in [1, 8, 32, 256] {
        let value = ratio(OURS, "hyper by hand, smol", false, n, &Said::cpu);
        at_most(format!("async CPU / hyper by hand on smol, {n}"), value, 1.25);
    }
    for tokio in ["tokio 1", "tokio 2"] {
        let (ours, theirs) = (format!("duocall async, {tokio}"), format!("reqwest, {tokio}"));
        for n in [1, 8, 32, 256] {
            let value = ratio(&ours, &theirs, false, n, &Said::cpu);
            at_most(format!("async CPU / reqwest, both on {tokio}, {n}"), value, 0.9);
        }
    }
    let value = ratio("duocall blocking", "ureq", false, 1, &Said::cpu);
    at_most("blocking CPU / ureq".into(), value, 1.05);
    let value = ratio("duocall pool", "ureq", false, 32, &Said::cpu);
    at_most("pool CPU / ureq on 32 threads".into(), value, 1.15);
    let value = ratio("duocall pool", "reqwest blocking", false, 32, &Said::cpu);
    at_most("pool CPU / reqwest blocking on 32 threads".into(), value, 0.6);
    at_most("memory in flight / best reqwest, 1000".into(), best(false, 1000, &memory), 0.7);
    for (n, limit) in [(1, 9.0), (32, 3.5)] {
        let value = figures.find(OURS, false, n).and_then(|row| row.system_calls);
        at_most(format!("async system calls per call, {n}"), value, limit);
    }
    let allocations = |way| figures.find(way, false, 1).and_then(|row| row.allocations);
    let value = allocations(OURS).zip(allocations(REQWEST[0])).map(|(ours, theirs)| ours / theirs);
    at_most("async allocations / reqwest's".into(), value, 1.0);
    let burst = figures.burst.as_ref().and_then(|burst| burst.as_ref().ok());
    // Wall time less the client's own CPU time, in latencies of one call.
    let value = burst.map(|said| (said.wall_us - said.cpu_us) / SLOWNESS.as_micros() as f64);
    at_most("10,000 calls at once, without errors, less CPU, in latencies".into(), value, 3.0);
    for (way, limit) in [("aiohttp", 10.0), ("httpx", 50.0)] {
        let theirs = figures.find(way, false, 32).and_then(|row| row.median(Said::per_second));
        let ours = figures.find(OURS, false, 32).and_then(|row| row.median(Said::per_second));
        targets.push(Target {
            name: format!("async calls/s / {way}, 32"),
            value: ours.zip(theirs).map(|(ours, theirs)| ours / theirs),
            limit,
            at_least: true,
        });
    }
    targets
}
