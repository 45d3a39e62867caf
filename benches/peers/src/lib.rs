//! The benchmark: this process starts the server and every client as processes of their own,
//! in turns, and compares what they say of themselves.

#![forbid(unsafe_code)]

mod chart;
mod child;
mod drive;
mod options;
mod python;
mod report;
mod run;
mod server;
mod sync;
mod table;
mod targets;
mod trace;
mod ways;

use std::process::ExitCode;

use options::Mode;

/// The error of everything here: it ends the program and is read by a person.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How many allocations there were so far in this process.
type Count = fn() -> u64;

/// The program; `count` is there where allocations are counted.
pub fn main(count: Option<Count>) -> ExitCode {
    let done = options::parse().and_then(|mode| match mode {
        Mode::Help => {
            println!("{}", options::HELP);
            Ok(())
        }
        Mode::Serve => server::serve(),
        Mode::Child(job) => child::run(&job, count),
        Mode::Compare(settings) => run::compare(&settings),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}
