//! docs/errors.md is what the errors say, and leaves out no kind.

// Numbers and words of the system are in it.
#![cfg(unix)]

#[path = "../examples/errors/page.rs"]
mod page;

#[test]
fn the_page_is_up_to_date() {
    let written = include_str!("../docs/errors.md");
    let made = page::page();
    let differ = made.lines().zip(written.lines()).find(|(made, written)| made != written);
    assert!(
        made == written,
        "docs/errors.md is out of date, first at {differ:?}; write it anew with: \
         cargo run --example errors -- --write"
    );
}

#[test]
fn no_kind_is_left_out() {
    let source = include_str!("../src/error.rs");
    let kinds =
        source.split_once("pub enum ErrorKind {").and_then(|(_, rest)| rest.split_once('}'));
    let kinds = kinds.expect("the kinds").0.lines().map(str::trim);
    let kinds = kinds.filter(|line| line.ends_with(',')).map(|line| line.trim_end_matches(','));
    let page = include_str!("../docs/errors.md");
    for kind in kinds {
        let name = kind.split('(').next().expect("a name");
        assert!(page.contains(&format!("\n## {name}\n")), "{name} is not on the page");
    }
}
