//! The parity table: every scenario through every way of running, with one outcome.
//!
//! `cargo test --all-features --test parity [-- FILTER]`

mod support;

mod parity {
    pub mod backends;
    pub mod canary;
    pub mod door;
    pub mod http2;
    pub mod loopback;
    pub mod mocked;
    pub mod outcome;
    pub mod run;
    pub mod scenario;
    pub mod site;
    pub mod table;
}

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let filter = args.iter().find(|arg| !arg.starts_with('-')).cloned().unwrap_or_default();
    let mut scenarios = parity::table::all();
    scenarios.retain(|scenario| scenario.name.contains(&filter));
    if args.iter().any(|arg| arg == "--list") {
        scenarios.iter().for_each(|scenario| println!("{}: test", scenario.name));
        return ExitCode::SUCCESS;
    }
    parity::run::all(scenarios)
}
