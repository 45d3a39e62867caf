//! Any bytes as a cassette: refused with an error, or played, the same in both ways.

use std::fs;

use duocall::mock::Replay;
use duocall::{Api, ErrorKind, Request};

use super::{Outcome, both};

pub fn check(data: &[u8]) {
    let path = std::env::temp_dir().join(format!("duocall-cassette-{}.json", std::process::id()));
    fs::write(&path, data).expect("a place for files");
    both(|way| {
        let api = Api::new("http://api.example.com/").expect("a good base");
        match Replay::open(&api, &path) {
            Ok(replay) => {
                let before = replay.left();
                let first = way.over(api, replay.clone())(Request::get("flows.json").redirects(0));
                assert!(before - replay.left() <= 3, "three attempts take three answers at most");
                Some((before, Outcome::of(first)))
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Request);
                None
            }
        }
    });
    let _ = fs::remove_file(&path);
}
