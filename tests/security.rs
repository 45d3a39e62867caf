//! The page on security names the tests behind each promise: they have to exist.

use std::fs;
use std::path::Path;

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("SECURITY.md names {file}: {error}"))
}

/// Lines of `- FILE: text with NAMES`, each with what is indented below it.
fn evidence(page: &str) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in page.lines() {
        if let Some((file, rest)) = line.strip_prefix("- ").and_then(|it| it.split_once(": ")) {
            found.push((file.to_owned(), rest.to_owned()));
        } else if let (Some((_, text)), true) = (found.last_mut(), line.starts_with("  ")) {
            *text += line;
        }
    }
    let names = |text: String| text.split('`').skip(1).step_by(2).map(String::from).collect();
    found.into_iter().map(|(file, text)| (file, names(text))).collect()
}

#[test]
fn every_test_that_is_named_exists() {
    let (mut missing, mut seen) = (Vec::new(), 0);
    for (file, names) in evidence(&read("SECURITY.md")) {
        let text = read(&file);
        for name in names.iter().filter(|name| *name != "fuzz/") {
            seen += 1;
            // A test, one of proptest's, or a row of a table.
            if !text.contains(&format!("fn {name}(")) && !text.contains(&format!("\"{name}\"")) {
                missing.push(format!("{file}: {name}"));
            }
        }
    }
    assert!(missing.is_empty(), "SECURITY.md names what is not there: {missing:#?}");
    assert!(seen >= 40, "it names {seen} tests only");
}

#[test]
fn every_promise_names_a_test() {
    let page = read("SECURITY.md");
    let promises = page.split("\n**").skip(1);
    let bare: Vec<&str> = promises.filter(|it| evidence(it).is_empty()).collect();
    assert!(bare.is_empty(), "without a test: {bare:#?}");
}
