//! What is public, as a list that a reviewer sees change; and whose types are in it.
//!
//! `cargo test --test surface -- --ignored` writes `tests/surface.txt` anew. Every `pub` of the source
//! is public, for the lint `unreachable_pub` refuses those that are not, and rustfmt keeps the source
//! in a shape that can be read line by line: no compiler of a certain version is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The crates whose types users meet: a new major version of one is a breaking change here.
const FOREIGN: [(&str, &str); 7] = [
    ("bytes", "bodies"),
    ("http", "the types that all share; re-exported"),
    ("http_client", "feature surf: the trait it is a transport by"),
    ("serde", "bodies in and out"),
    ("smol", "the trait AsyncRead"),
    ("surf", "nonblocking::Client::with_surf"),
    ("ureq", "blocking::Client::with_agent"),
];

/// One file's part of the surface.
#[derive(Default)]
struct Part {
    lines: Vec<String>,
    /// By the name in scope, the path it was taken from.
    uses: BTreeMap<String, String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
}

fn surface() -> BTreeMap<String, Part> {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let texts: BTreeMap<String, String> = files
        .iter()
        .map(|path| {
            let name = path.strip_prefix(root()).expect("below the root").display().to_string();
            (name.replace('\\', "/"), fs::read_to_string(path).expect("a text"))
        })
        .collect();
    let named = texts.values().flat_map(|text| text.lines()).filter_map(|line| {
        let rest = line.trim_start().strip_prefix("pub ")?;
        let rest =
            ["struct ", "enum ", "trait "].iter().find_map(|kind| rest.strip_prefix(kind))?;
        Some(first_word(rest).to_owned())
    });
    let named: BTreeSet<String> = named.collect();
    let read = |(file, text): (String, String)| (file, part(&text, &named));
    texts.into_iter().map(read).filter(|(_, part)| !part.lines.is_empty()).collect()
}

fn first_word(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// A statement from its first line to the one that ends it, without its block.
fn statement<'a>(first: &'a str, lines: &mut impl Iterator<Item = &'a str>) -> String {
    let mut text = first.trim().to_owned();
    let import = text.starts_with("use ") || text.starts_with("pub use ");
    let ends: &[char] = if import { &[';'] } else { &['{', ';', '}'] };
    while !text.ends_with(ends) {
        let Some(line) = lines.next() else { break };
        let (line, opened) = (line.trim(), text.ends_with(['(', '<', '[', '{']));
        if !opened && !line.starts_with([')', '>', ']', '}']) {
            text.push(' ');
        } else if text.ends_with(',') {
            text.pop();
        }
        text.push_str(line);
    }
    text.trim_end_matches("{}").trim_end_matches(['{', ';', ' ', ',']).to_owned()
}

fn part(text: &str, named: &BTreeSet<String>) -> Part {
    let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code = code.split("mod pages {\n    #[doc").next().unwrap_or_default();
    let mut part = Part::default();
    // The impl we are in, until it is written; the enum or trait we are in; attributes so far.
    let (mut header, mut inside, mut attributes) = (None, None, String::new());
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let (depth, trimmed) = (indent(line), line.trim_start());
        let listed = inside == Some(depth.wrapping_sub(4));
        if inside == Some(depth) && trimmed == "}" {
            inside = None;
        }
        if ["#[cfg(", "#[derive(", "#[non_exhaustive]", "#[macro_export]"]
            .iter()
            .any(|start| trimmed.starts_with(start))
        {
            attributes.push_str(trimmed);
            attributes.push(' ');
            continue;
        }
        if trimmed.starts_with("#[") || trimmed.starts_with("//") {
            continue;
        }
        let attributes = std::mem::take(&mut attributes);
        if depth == 0 && trimmed.starts_with("use ") {
            let text = statement(line, &mut lines);
            flatten(text.trim_start_matches("use "), "", &mut part.uses);
        } else if depth == 0 && (trimmed.starts_with("impl ") || trimmed.starts_with("impl<")) {
            let text = statement(line, &mut lines);
            let subject = text.split(" for ").nth(1).map(|subject| {
                let path = subject.trim_start_matches(['&', ':']);
                last(path.split(['<', ' ']).next().unwrap_or(path))
            });
            let written = format!("{attributes}{text}");
            match subject {
                Some(subject) if named.contains(first_word(subject)) => part.lines.push(written),
                Some(_) => header = None,
                None => header = Some(written),
            }
        } else if let Some(rest) = trimmed.strip_prefix("pub ") {
            let is_field = rest[first_word(rest).len()..].starts_with(':');
            let text = match is_field {
                true => trimmed.trim_end_matches(',').to_owned(),
                false => statement(line, &mut lines),
            };
            if depth > 0 {
                part.lines.extend(header.take());
            }
            if text.starts_with("pub enum ") || text.starts_with("pub trait ") {
                inside = Some(depth);
            }
            part.lines.push(format!("{:depth$}{attributes}{text}", ""));
        } else if listed && trimmed.starts_with(char::is_uppercase) {
            part.lines.push(format!("{:depth$}{attributes}{}", "", trimmed.trim_end_matches(',')));
        } else if listed && ["fn", "type", "async"].contains(&first_word(trimmed)) {
            let text = statement(line, &mut lines);
            part.lines.push(format!("{:depth$}{attributes}{text}", ""));
        } else if depth == 0 && trimmed.contains("!(")
            || attributes.contains("#[macro_export]") && trimmed.starts_with("macro_rules!")
        {
            part.lines.push(format!("{attributes}{}", statement(line, &mut lines)));
        }
    }
    part
}

/// `a::{B, c::D as E}` puts B, from a::B, and E, from a::c::D, into scope.
fn flatten(path: &str, before: &str, uses: &mut BTreeMap<String, String>) {
    if let Some((start, inner)) = path.split_once('{') {
        let (mut depth, mut from) = (0, 0);
        let inner = inner.strip_suffix('}').unwrap_or(inner);
        for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    flatten(inner[from..at].trim(), &format!("{before}{start}"), uses);
                    from = at + 1;
                }
                _ => {}
            }
        }
    } else if !path.is_empty() {
        let (path, name) = path.split_once(" as ").unwrap_or((path, last(path)));
        let name = if name == "self" { last(before.trim_end_matches("::")) } else { name };
        uses.insert(name.to_owned(), format!("{before}{path}"));
    }
}

fn last(path: &str) -> &str {
    path.rsplit("::").next().unwrap_or(path)
}

/// The paths in a line, with what they stand for: `Agent` is `ureq::Agent` where it is in use so.
fn foreign<'a>(
    part: &'a Part,
    dependencies: &'a BTreeSet<String>,
) -> impl Iterator<Item = String> + 'a {
    let paths = part.lines.iter().flat_map(|line| {
        line.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':')
            .map(|path| path.trim_end_matches(':'))
    });
    paths.filter_map(|path| {
        let path = path.trim_start_matches(':');
        let (first, rest) = path.split_once("::").map_or((path, ""), |(first, rest)| (first, rest));
        let whole = match part.uses.get(first) {
            Some(whole) if rest.is_empty() => whole.trim_start_matches(':').to_owned(),
            Some(whole) => format!("{}::{rest}", whole.trim_start_matches(':')),
            None if rest.is_empty() => return None,
            None => path.to_owned(),
        };
        let module = format!("pub mod {}", first_word(&whole));
        let ours = part.lines.iter().any(|line| line.ends_with(&module));
        (!ours && dependencies.contains(first_word(&whole))).then_some(whole)
    })
}

/// As the source names them.
fn dependencies() -> BTreeSet<String> {
    let manifest = include_str!("../Cargo.toml").split("\n[dependencies]\n").nth(1);
    let section = manifest.and_then(|rest| rest.split("\n[").next()).expect("dependencies");
    let names = section.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name);
    names.filter(|name| !name.starts_with('#')).map(|name| name.replace('-', "_")).collect()
}

fn listing() -> String {
    let mut text = String::from(
        "What is public, by file. A test compares it with the source;\n\
         `cargo test --test surface -- --ignored` writes it anew.\n",
    );
    for (file, part) in surface() {
        text.push_str(&format!("\n== {file}\n{}\n", part.lines.join("\n")));
    }
    text
}

#[test]
fn the_surface_is_the_one_that_was_reviewed() {
    let (made, written) = (listing(), include_str!("surface.txt"));
    let differ = made.lines().zip(written.lines()).find(|(made, written)| made != written);
    assert!(
        made == written,
        "the public surface changed, first at {differ:?}. If that is meant, and CHANGELOG.md says \
         so: cargo test --test surface -- --ignored"
    );
}

#[test]
#[ignore = "writes tests/surface.txt"]
fn write_it_anew() {
    fs::write(root().join("tests/surface.txt"), listing()).expect("a file");
}

#[test]
fn only_the_types_of_chosen_crates_are_public() {
    let (mut met, dependencies) = (BTreeSet::new(), dependencies());
    for (file, part) in surface() {
        for path in foreign(&part, &dependencies) {
            let name = first_word(&path).to_owned();
            let allowed = FOREIGN.iter().any(|(allowed, _)| *allowed == name);
            assert!(allowed, "{file} makes {path} public");
            met.insert(name);
        }
    }
    for (name, why) in FOREIGN {
        assert!(met.contains(name), "{name} ({why}) is in no signature any more");
    }
}
