//! Every input that the fuzzer keeps, and a few made from them, without the fuzzer.

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub)] // a crate of its own for the fuzzer
mod laws;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

type Check = fn(&[u8]);

/// Checks what lies in `fuzz/seeds/NAME`, and so many changed ones of each.
fn all(name: &str, check: Check, changed: u64) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
    let mut seeds = Vec::new();
    for entry in fs::read_dir(&folder).expect("seeds") {
        let path = entry.expect("an entry").path();
        let data = fs::read(&path).expect("a file");
        seeds.push((path.file_name().expect("a name").to_string_lossy().into_owned(), data));
    }
    seeds.sort();
    assert!(seeds.len() > 20, "{} seeds in {}", seeds.len(), folder.display());
    let mut dice = fastrand::Rng::with_seed(7);
    let mut bad = Vec::new();
    let mut done = 0;
    for (seed, data) in &seeds {
        for turn in 0..=changed {
            let data = if turn == 0 { data.clone() } else { mutated(data, &seeds, &mut dice) };
            done += 1;
            if catch_unwind(AssertUnwindSafe(|| check(&data))).is_err() {
                bad.push(format!("{seed}, turn {turn}: {:?}", String::from_utf8_lossy(&data)));
            }
        }
    }
    println!("{name}: {done} inputs of {} seeds", seeds.len());
    assert!(bad.is_empty(), "{} of {done} failed:\n{}", bad.len(), bad.join("\n"));
}

/// A byte changed, a part left out, doubled or taken from another: once or a few times.
fn mutated(data: &[u8], seeds: &[(String, Vec<u8>)], dice: &mut fastrand::Rng) -> Vec<u8> {
    let mut out = data.to_vec();
    for _ in 0..dice.usize(1..4) {
        let from = dice.usize(0..=out.len());
        let to = dice.usize(from..=out.len().min(from + 20));
        match dice.u8(0..4) {
            0 if from < out.len() => {
                out[from] = *dice.choice(b"\r\n\t :,;=\"<>/%0159aZ\0\xff").unwrap()
            }
            1 => drop(out.drain(from..to)),
            2 => {
                let part = out[from..to].to_vec();
                out.splice(from..from, part);
            }
            _ => {
                let (_, other) = &seeds[dice.usize(0..seeds.len())];
                let begin = dice.usize(0..=other.len());
                let end = dice.usize(begin..=other.len().min(begin + 20));
                out.splice(from..to, other[begin..end].iter().copied());
            }
        }
    }
    out
}

#[test]
fn responses() {
    all("response", laws::response::check, 1);
}

#[test]
fn retry_after() {
    all("retry_after", laws::retry_after::check, 10);
}

#[test]
fn links() {
    all("link", laws::link::check, 10);
}

#[test]
fn urls() {
    all("url", laws::url::check, 10);
}

#[test]
fn cassettes() {
    all("cassette", laws::cassette::check, 10);
}
