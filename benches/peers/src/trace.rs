//! System calls per call: by perf, or where that can't count, by strace. strace stops the client at
//! each for many times what it takes, and async-io's thread then takes the reactor over, which calls
//! for more; perf does not disturb.

use std::fs;
use std::process::{Command, Stdio};

use crate::Result;
use crate::child::Job;
use crate::table::{Figures, Row};

const WAYS: [&str; 10] = [
    "duocall async, smol",
    "duocall async, tokio 1",
    "duocall over surf",
    "reqwest, tokio 1",
    "hyper-util, tokio 1",
    "hyper by hand, smol",
    "hyper by hand, tokio 1",
    "duocall blocking",
    "duocall pool",
    "ureq",
];

pub(crate) fn system_calls(figures: &mut Figures, job: impl Fn(&Row, usize) -> Job) {
    let Some(tool) = [Tool::Perf, Tool::Strace].into_iter().find(Tool::works) else {
        figures.notes.push("system calls: neither perf nor strace can count them here".into());
        return;
    };
    if matches!(tool, Tool::Strace) {
        figures.notes.push("system calls: counted by strace, which adds some".into());
    }
    let Ok(own) = std::env::current_exe() else { return };
    for row in &mut figures.rows {
        let wanted = !row.tls && [1, 32].contains(&row.in_flight) && row.body == "small";
        if wanted && WAYS.contains(&row.way.as_str()) {
            // The difference of two runs has nothing of the start in it, nor of the warm-up.
            let (few, many) = (1000, 5000);
            let counted = |calls| {
                tool.count(Command::new(&own).arg("--child").arg(job(row, calls).to_string()))
            };
            if let (Ok(low), Ok(high)) = (counted(few), counted(many)) {
                row.system_calls = Some((high - low) / (many - few) as f64);
            }
        }
    }
}

enum Tool {
    Perf,
    Strace,
}

impl Tool {
    fn works(&self) -> bool {
        self.count(&Command::new("true")).is_ok()
    }

    /// How many system calls a program makes.
    fn count(&self, program: &Command) -> Result<f64> {
        let summary = std::env::temp_dir().join(format!("peers-calls-{}", std::process::id()));
        let (name, options): (_, &[&str]) = match self {
            Tool::Perf => ("perf", &["stat", "-x,", "-e", "raw_syscalls:sys_enter"]),
            Tool::Strace => ("strace", &["-f", "-c"]),
        };
        let mut counting = Command::new(name);
        counting.args(options).arg("-o").arg(&summary);
        counting.arg(program.get_program()).args(program.get_args());
        let quiet = counting.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = quiet.status()?;
        let text = fs::read_to_string(&summary);
        drop(fs::remove_file(&summary));
        if !status.success() {
            return Err("the traced client failed".into());
        }
        self.read(&text?).ok_or_else(|| format!("{name} told no count").into())
    }

    fn read(&self, summary: &str) -> Option<f64> {
        let word = match self {
            Tool::Perf => {
                summary.lines().find(|line| line.contains("sys_enter"))?.split(',').next()
            }
            // "% time, seconds, usecs/call, calls, errors, name": its last line is the total.
            Tool::Strace => {
                let total = summary.lines().rev().find(|line| line.ends_with("total"))?;
                total.split_whitespace().nth(3)
            }
        };
        word?.parse().ok()
    }
}
