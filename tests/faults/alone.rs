//! A case in a process of its own: with few descriptors, or with an eye on its memory.

use std::process::{Command, ExitCode};

use super::case::{Alone, Case};
use super::one::{Found, hear_panics, one, panics};
use super::table;
use crate::parity::backends::{self, Backend};
use crate::parity::canary;

/// Runs the case in a child.
pub fn one_alone(case: &Case, backend: &Backend, alone: Alone) -> Found {
    let me = std::env::current_exe().expect("this test");
    let mut command = match alone.descriptors {
        None => Command::new(me),
        // We could set the limit ourselves only by unsafe means; a shell can.
        Some(most) => {
            let mut shell = Command::new("sh");
            shell.args(["-c", "ulimit -n $0 && exec \"$@\"", &most.to_string()]).arg(me);
            shell
        }
    };
    let output = command.args(["--alone", case.id, backend.name]).output().expect("a process");
    let told = String::from_utf8_lossy(&output.stdout);
    let found = told.lines().last().and_then(|line| serde_json::from_str(line).ok());
    found.unwrap_or_else(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        let faults = vec![format!("  the process ended with {}: {errors}", output.status)];
        Found { faults, ..Found::default() }
    })
}

/// In the child: runs it, and tells what was found.
pub fn child(id: &str, backend: &str) -> ExitCode {
    hear_panics();
    canary::listen();
    let cases = table::sections().into_iter().flat_map(|section| section.cases);
    let case = cases.into_iter().find(|case| case.id == id).expect("a case");
    let backend = backends::ALL.iter().find(|it| it.name == backend).expect("a backend");
    let alone = case.alone.expect("to be run alone");
    let before = peak();
    let mut found = one(&case, backend);
    let grown = peak() - before;
    if grown > alone.mebibytes << 10 {
        let most = alone.mebibytes;
        found.faults.push(format!("  memory grew by {} MiB, more than {most}", grown >> 10));
    }
    found.faults.extend(panics());
    found.faults.extend(canary::logged().1);
    println!("{}", serde_json::to_string(&found).expect("plain text"));
    ExitCode::SUCCESS
}

/// The most memory that was ever resident, in KiB.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
