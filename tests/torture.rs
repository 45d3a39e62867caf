//! The n-th read, write, connect and timer fails, for each n: nothing hangs, and nobody gets another's answer.
//!
//! `cargo test --all-features --test torture`

mod support;

mod torture {
    pub mod alarms;
    pub mod client;
    pub mod scene;
    pub mod system;
    pub mod tally;
    pub mod wire;
}

use std::process::ExitCode;
use std::time::Instant;

use torture::tally::Tally;
use torture::{alarms, system, wire};

fn main() -> ExitCode {
    if system::client() {
        return ExitCode::SUCCESS;
    }
    let mut sum = Tally::default();
    let mut part = |name: &str, tortured: &mut dyn FnMut() -> Option<Tally>| {
        let started = Instant::now();
        let Some(tally) = tortured() else {
            println!("test {name} ... SKIPPED: strace is not installed or not permitted");
            return;
        };
        let verdict = if tally.is_good() { "ok" } else { "FAILED" };
        let took = started.elapsed().as_secs_f64();
        println!("test {name} ... {verdict}: {} faults in {took:.1} s", tally.faults);
        sum.add(&tally);
    };
    part("timers fail", &mut alarms::torture);
    part("the wire fails", &mut wire::torture);
    part("the system's calls fail", &mut system::torture);
    let Tally { faults, wrong, hangs } = sum;
    println!("torture: {faults} injected failures, {wrong} wrong answers, {hangs} hangs");
    if sum.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
