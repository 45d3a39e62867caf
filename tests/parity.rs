//! The parity table: every scenario through every way of running, with one outcome.
//!
//! `cargo test --all-features --test parity [-- FILTER]`

mod support;

#[path = "parity/mod.rs"]
mod parity;
#[path = "parity/table/mod.rs"]
mod table;

use std::process::ExitCode;

fn main() -> ExitCode {
    table::asked_for().map_or(ExitCode::SUCCESS, parity::run::all)
}
