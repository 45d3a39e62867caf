//! System calls per call, by strace, where it is installed.

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
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        figures.notes.push("system calls: strace is not installed".into());
        return;
    }
    for row in &mut figures.rows {
        let wanted = !row.tls && [1, 32].contains(&row.in_flight) && row.body == "small";
        if wanted && WAYS.contains(&row.way.as_str()) {
            // The difference of two runs has nothing of the start in it, nor of the warm-up.
            let (few, many) = (1000, 3000);
            let counted = |calls| count(&job(row, calls));
            if let (Ok(low), Ok(high)) = (counted(few), counted(many)) {
                row.system_calls = Some((high - low) / (many - few) as f64);
            }
        }
    }
}

fn count(job: &Job) -> Result<f64> {
    let own = std::env::current_exe()?;
    let summary = std::env::temp_dir().join(format!("peers-strace-{}", std::process::id()));
    let status = Command::new("strace")
        .args(["-f", "-c", "-o"])
        .arg(&summary)
        .arg(own)
        .args(["--child", &job.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    let text = fs::read_to_string(&summary);
    drop(fs::remove_file(&summary));
    if !status.success() {
        return Err("the traced client failed".into());
    }
    // "% time, seconds, usecs/call, calls, errors, name": its last line is the total.
    let text = text?;
    let total = text.lines().rev().find(|line| line.ends_with("total")).ok_or("no total")?;
    let calls = total.split_whitespace().nth(3).ok_or("no number of calls")?;
    Ok(calls.parse()?)
}
