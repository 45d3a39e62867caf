//! httpbin, which is not ours, called in every way: what comes back must be what the table says.
//!
//! `cargo test --all-features --test conformance [-- FILTER]`; with `-- --write` it writes docs/conformance.md.

mod support;

mod conformance {
    pub mod case;
    pub mod page;
    pub mod run;
    pub mod server;
    pub mod table;
}

use std::process::ExitCode;

use conformance::server::Httpbin;
use conformance::{page, run};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--list") {
        return ExitCode::SUCCESS;
    }
    if args.iter().any(|arg| arg == "--write") {
        page::write();
        return ExitCode::SUCCESS;
    }
    // The page is made of the table alone, so it is checked where no httpbin is.
    let mut failed = page::outdated();
    let filter = args.iter().find(|arg| !arg.starts_with('-')).cloned().unwrap_or_default();
    match Httpbin::start() {
        Some(httpbin) => failed += run::all(&httpbin, &filter),
        None => {
            println!("NOT TESTED: httpbin is not installed; tests/conformance/httpbin.sh does it")
        }
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
