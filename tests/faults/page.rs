//! docs/faults.md: every case, what we do about it, and what came of it in each way of running.

use std::fmt::Write as _;

use super::case::{Case, Section};
use super::one::Found;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/faults.md");
const INTRODUCTION: &str = "\
# Faults

What the network, a server, a caller and this machine can do to a call, and what comes of it. The table is
written by the test that runs every case through every way of running, over real sockets: `cargo test
--all-features --test faults -- --write`. The same test without `--write` fails when a result is another one.

Asked of every case, besides what its row says: nothing panics; the calls end within their limit of time and
half a second; the credential they carry shows in no message, no `Debug` output and no line of a log, with every
logger on; the server has seen as many requests and connections as it should; and when all cases have run, no
file descriptor and no thread is left.

A result is the status of the response, or the kind of the error with what it knows of the request's way (`sent`).
`=` stands for the same result as in the column `blocking`.
";

/// What is wrong with the page. With `write`, writes it.
pub fn check(
    sections: &[Section],
    ways: &[&str],
    found: &[Vec<Found>],
    filter: &str,
    write: bool,
) -> Vec<String> {
    if !filter.is_empty() {
        return Vec::new();
    }
    let made = page(sections, ways, found);
    if write {
        std::fs::write(PATH, &made).expect("docs can be written");
    }
    let written = std::fs::read_to_string(PATH).unwrap_or_default();
    let differ = made.lines().zip(written.lines()).find(|(made, written)| made != written);
    if made == written {
        return Vec::new();
    }
    vec![format!(
        "  it is not, first at {differ:?}; write it anew with: \
         cargo test --all-features --test faults -- --write"
    )]
}

fn page(sections: &[Section], ways: &[&str], found: &[Vec<Found>]) -> String {
    let mut text = INTRODUCTION.to_owned();
    let mut n = 0;
    for Section { letter, title, cases } in sections {
        let _ = writeln!(text, "\n## {letter}: {title}\n");
        let _ = writeln!(text, "| case | what happens | what we do | {} |", ways.join(" | "));
        let _ = writeln!(text, "|{}", "---|".repeat(3 + ways.len()));
        let mut notes = Vec::new();
        for case in cases {
            let results: Vec<String> = found.iter().map(|way| brief(&way[n])).collect();
            let _ = write!(text, "| {} | {} | {} |", cell(case.id), cell(case.what), cell(case.we));
            for (way, result) in ways.iter().zip(&results) {
                let _ = write!(text, " {} |", shown(case, way, result, &results[0]));
            }
            text.push('\n');
            let apart = case.not_on.iter().chain(&case.unlike);
            notes.extend(apart.map(|(way, why)| format!("- {}, {way}: {why}.", case.id)));
            n += 1;
        }
        if !notes.is_empty() {
            let _ = writeln!(text, "\n{}", notes.join("\n"));
        }
    }
    text
}

fn shown(case: &Case, way: &str, result: &str, first: &str) -> String {
    match result {
        _ if !case.is_on(way) => "not possible".to_owned(),
        _ if result == first && way != "blocking" => "=".to_owned(),
        _ => cell(result),
    }
}

/// The results, with those that follow each other counted.
fn brief(found: &Found) -> String {
    let mut folded: Vec<(usize, &str)> = Vec::new();
    for result in &found.outcome.brief {
        match folded.last_mut() {
            Some((count, last)) if last == result => *count += 1,
            _ => folded.push((1, result)),
        }
    }
    let shown = folded.iter().map(|(count, result)| match count {
        1 => (*result).to_owned(),
        _ => format!("{count} x {result}"),
    });
    shown.collect::<Vec<_>>().join("; ")
}

/// What would end a cell, or be taken for a tag, is escaped.
fn cell(text: &str) -> String {
    let mut cell = String::new();
    for character in text.chars() {
        match character {
            '|' => cell += "\\|",
            '<' => cell += "&lt;",
            control if control.is_control() => cell.extend(control.escape_default()),
            other => cell.push(other),
        }
    }
    cell
}
