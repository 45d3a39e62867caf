//! Every kind of error made to happen, with what it says and what to do about it: docs/errors.md.
//! Run: cargo run --example errors [-- --write]
//! Expect: the page on the terminal; with --write, the page written to docs/errors.md.

mod page;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let page = page::page();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => print!("{page}"),
        ["--write"] => {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md");
            if let Err(error) = std::fs::write(path, page) {
                eprintln!("errors: cannot write {path}: {error}");
                return ExitCode::FAILURE;
            }
        }
        _ => {
            eprintln!("Usage: errors [--write]");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
