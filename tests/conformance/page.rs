//! docs/conformance.md, made of the table.

use std::fmt::Write as _;

use super::case::{BASE, OTHER};
use super::table;
use crate::support::ways;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/conformance.md");

fn page() -> String {
    let sections = table::all(BASE, OTHER);
    let count: usize = sections.iter().map(|section| section.cases.len()).sum();
    let names: Vec<&str> = ways::ALL.iter().map(|way| way.name).collect();
    let mut page = format!(
        "\
# Conformance

httpbin is a server that is not ours, made to try clients with. Each of its routes is called in {} ways:
{}.
The same came back in all of them, row by row; there are {count} rows.

`cargo test --all-features --test conformance` makes the calls, and with `-- --write` writes this page. It fails
when a way differs from the page, when the page is out of date, and when a route is not called. The server runs
under gunicorn, put up by `tests/conformance/httpbin.sh`; its address is written here as `httpbin`, and its other
name, which is another origin, as `other`. Of an error the row has kind and message, without method and URL.
",
        ways::ALL.len(),
        names.join("; "),
    );
    for section in sections {
        let _ = write!(page, "\n## {}\n", section.title);
        if !section.note.is_empty() {
            let _ = write!(page, "\n{}\n", section.note);
        }
        page += "\n| asked | came back |\n|---|---|\n";
        for case in section.cases {
            let cell = |text: &str| text.replace('|', "\\|");
            let _ = writeln!(page, "| {} | `{}` |", cell(&case.name), cell(case.expected));
        }
    }
    page
}

pub fn write() {
    std::fs::write(PATH, page()).expect("docs/conformance.md can be written");
}

/// 1 if the page is not what the table says.
pub fn outdated() -> usize {
    let (made, written) = (page(), std::fs::read_to_string(PATH).unwrap_or_default());
    if made == written {
        return 0;
    }
    let differ = made.lines().zip(written.lines()).find(|(made, written)| made != written);
    println!(
        "docs/conformance.md is out of date, first at {differ:?}; write it anew with: \
         cargo test --all-features --test conformance -- --write"
    );
    1
}
