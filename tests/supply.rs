//! What the crate is made of: no crate that nobody has looked at, none below its floor, no unsafe code.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lowest version of each that we answer for. A library's lock does not protect its users, so
/// the requirement in Cargo.toml has to.
const FLOORS: [(&str, [u64; 3]); 10] = [
    ("async-channel", [2, 5, 0]),
    ("futures-rustls", [0, 26, 0]),
    // Before, a reset could take the end of a response, small frames all memory, and a response could
    // have two lengths.
    ("h2", [0, 4, 20]),
    // Before 1.10 a dropped connection could pass for the end of a body.
    ("hyper", [1, 12, 0]),
    ("mockito", [1, 7, 0]),
    ("rustls", [0, 23, 46]),
    ("rustls-webpki", [0, 103, 16]),
    ("smol", [2, 0, 0]),
    ("ureq", [3, 5, 1]),
    ("webpki-roots", [1, 0, 10]),
];

fn version(text: &str) -> [u64; 3] {
    let mut parts = text.split('.').map(|part| part.parse().expect("a number"));
    [(); 3].map(|()| parts.next().unwrap_or(0))
}

/// What stands between the first quotes after `key`.
fn quoted<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.split_once(key)?.1.split('"').nth(1)
}

#[test]
fn requirements_keep_to_the_floors() {
    let manifest = read("Cargo.toml");
    for (name, floor) in FLOORS {
        let line = manifest.lines().find(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('='))
        });
        let line = line.unwrap_or_else(|| panic!("Cargo.toml does not require {name}"));
        let key = if line.contains("version") { "version" } else { "=" };
        let required = quoted(line, key).expect("a version").trim_start_matches(['~', '^', '=']);
        assert!(version(required) >= floor, "{name} {required} is below its floor");
    }
}

#[test]
fn the_lock_keeps_to_the_floors() {
    let lock = read("Cargo.lock");
    for (name, floor) in FLOORS {
        let locked =
            lock.split("[[package]]").filter(|entry| quoted(entry, "name =") == Some(name));
        let best = locked.filter_map(|entry| quoted(entry, "\nversion =")).map(version).max();
        assert!(best >= Some(floor), "{name}: {best:?} is below its floor");
    }
}

#[test]
fn ureq_is_held_to_one_minor_version() {
    // Its connector traits are outside its semver promise.
    assert!(read("Cargo.toml").contains(r#"ureq = { version = "~3.5."#));
}

/// The crates that these features bring, on all systems; what runs while building included.
fn tree(features: &str) -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["tree", "--locked", "--target", "all"]);
    cargo.args(["-e", "normal,build", "--prefix", "none", "--no-dedupe"]);
    let output = cargo.args(["--no-default-features", "--features", features]).output();
    let output = output.expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("a text");
    let names = text.lines().filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "duocall").map(String::from).collect()
}

#[test]
fn every_crate_is_on_the_list() {
    let list = read("tests/supply/crates.txt");
    let mut features = Vec::new();
    let mut known = BTreeSet::new();
    for part in list.split("features: ").skip(1) {
        let mut lines = part.lines().map(str::trim).filter(|line| !line.is_empty());
        features.push(lines.next().expect("features").to_owned());
        known.extend(lines.map(String::from));
        let there = tree(&features.join(","));
        let new: Vec<_> = there.difference(&known).collect();
        assert!(
            new.is_empty(),
            "with {features:?} come crates that nobody has put on the list: {new:?}"
        );
        let gone: Vec<_> = known.difference(&there).collect();
        assert!(gone.is_empty(), "with {features:?} these do not come any more: {gone:?}");
    }
    let whole: BTreeSet<_> = features.iter().flat_map(|some| some.split(',')).collect();
    let manifest = read("Cargo.toml");
    let section = manifest.split("\n[features]\n").nth(1).and_then(|rest| rest.split("\n[").next());
    let named = section.expect("features").lines().filter_map(|line| line.split_once(" = ["));
    for (name, brings) in named.filter(|(name, _)| *name != "default") {
        // A feature that brings nothing has nothing to list.
        assert!(whole.contains(name) || brings == "]", "{name} is not on the list of crates");
    }
}

#[test]
fn nothing_of_ours_runs_while_building() {
    let manifest = read("Cargo.toml");
    let key = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
    let keys: Vec<_> = manifest.lines().map(key).collect();
    for unwanted in ["build", "links", "proc-macro", "[build-dependencies]"] {
        assert!(!keys.iter().any(|key| key == unwanted), "Cargo.toml has {unwanted}");
    }
    assert!(!Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs").exists());
}

#[test]
fn no_source_is_unsafe() {
    fn look(folder: &Path, seen: &mut usize) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                look(&path, seen);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                *seen += 1;
                let text = fs::read_to_string(&path).expect("a text");
                for (number, line) in text.lines().enumerate() {
                    let code = line.split("//").next().unwrap_or_default();
                    let word = code.split(|c: char| !c.is_alphanumeric() && c != '_');
                    let unsafe_word = word.into_iter().any(|word| word == "unsafe");
                    assert!(!unsafe_word, "{}:{}", path.display(), number + 1);
                }
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    look(&root.join("src"), &mut seen);
    look(&root.join("examples"), &mut seen);
    look(&root.join("fuzz").join("src"), &mut seen);
    assert!(seen > 40, "looked at {seen} files only");
    assert!(read("src/lib.rs").contains("#![forbid(unsafe_code)]"));
}
