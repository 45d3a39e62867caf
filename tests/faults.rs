//! What the network, a server, a caller or this machine can do to a call: every case through every way of running.
//!
//! `cargo test --all-features --test faults [-- CASE]`; with `--write` it writes docs/faults.md.

// Descriptors and threads are counted in /proc.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports))]

mod support;

#[path = "parity/mod.rs"]
mod parity;

mod faults {
    pub mod alone;
    pub mod caller;
    pub mod case;
    pub mod one;
    pub mod page;
    pub mod run;
    pub mod streamed;
    pub mod table;
}

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if let ["--alone", case, backend] = args[..] {
        return faults::alone::child(case, backend);
    }
    let filter = args.iter().find(|arg| !arg.starts_with('-')).copied().unwrap_or_default();
    if args.contains(&"--list") {
        let cases = faults::table::sections().into_iter().flat_map(|section| section.cases);
        cases.for_each(|case| println!("{}: test", case.id));
        return ExitCode::SUCCESS;
    }
    faults::run::all(filter, args.contains(&"--write"))
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    println!("faults: not run, for it counts descriptors and threads in /proc");
    ExitCode::SUCCESS
}
