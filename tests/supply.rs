//! What the crate is made of: no dependency below its floor, no unsafe code.

use std::fs;
use std::path::Path;

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lowest version of each that we answer for. A library's lock does not protect its users, so
/// the requirement in Cargo.toml has to.
const FLOORS: [(&str, [u64; 3]); 9] = [
    ("async-channel", [2, 5, 0]),
    ("futures-rustls", [0, 26, 0]),
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
    assert!(seen > 40, "looked at {seen} files only");
    assert!(read("src/lib.rs").contains("#![forbid(unsafe_code)]"));
}
