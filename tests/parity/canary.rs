//! A credential that must show nowhere: every scenario again, with every logger on.

use std::error::Error as _;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use duocall::Auth;
use log::{LevelFilter, Log, Metadata, Record};

use super::backends::{Backend, Manner, Work};
use super::outcome::Said;
use super::run;
use super::scenario::{Notes, Scenario, Value};
use super::site::{Ground, Site};

pub const CANARY: &str = "s3cr3t-CANARY";
/// The same as it looks in Basic, `user:s3cr3t-CANARY`.
const BASIC: &str = "dXNlcjpzM2NyM3QtQ0FOQVJZ";

/// How many lines there were, and those in which it shows.
struct Collector(Mutex<(usize, Vec<String>)>);

static LOGGED: Collector = Collector(Mutex::new((0, Vec::new())));

impl Log for Collector {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = format!("{} {}", record.target(), record.args());
        let mut logged = self.0.lock().unwrap();
        logged.0 += 1;
        logged.1.extend(hits(&line, "log"));
    }

    fn flush(&self) {}
}

pub fn listen() {
    log::set_logger(&LOGGED).expect("the only logger");
    log::set_max_level(LevelFilter::Trace);
}

/// Everything that a program would print; the lines in which the credential shows.
pub fn one(scenario: &Scenario, backend: &Backend) -> Vec<String> {
    let site = Arc::new(Site::new(scenario, Ground::Loopback));
    let auth = match scenario.name.len() % 3 {
        0 => Auth::bearer(CANARY),
        1 => Auth::query("key", CANARY),
        _ => Auth::basic("user", CANARY),
    };
    let builder = site.api(scenario.base).retry(run::quick());
    let builder = (scenario.setup)(builder, &Notes::default()).auth(auth);
    let mut shown = format!("{builder:?}\n");
    match builder.build() {
        Ok(api) => {
            let (op, manner) = (scenario.op.clone(), Manner::of(scenario, &Notes::default()));
            let said = backend.run(Work { api: api.clone(), op, site: site.clone(), manner });
            let _ = writeln!(shown, "{api:?}");
            said.iter().for_each(|said| print(said, &mut shown));
        }
        Err(error) => print(&Said::response(Err(error)), &mut shown),
    }
    hits(&shown, scenario.name)
}

/// How many lines were logged, and those in which it shows.
pub fn logged() -> (usize, Vec<String>) {
    LOGGED.0.lock().unwrap().clone()
}

/// The lines in which it shows.
pub fn hits(text: &str, of: &str) -> Vec<String> {
    let hit = |line: &&str| line.contains(CANARY) || line.contains(BASIC);
    text.lines().filter(hit).map(|line| format!("  {of}: {line}")).collect()
}

/// Everything that can be printed of it.
pub fn print(said: &Said, shown: &mut String) {
    let _ = match said {
        Said::Text(text) => writeln!(shown, "{text}"),
        Said::Result(_, Ok(Value::Text(text))) => writeln!(shown, "{text}"),
        Said::Result(_, Ok(Value::Response(response))) => writeln!(shown, "{response:?}"),
        Said::Result(_, Err(error)) => {
            let _ = writeln!(shown, "{error}\n{error:?}\n{error:#?}");
            let mut cause = error.source();
            while let Some(error) = cause {
                let _ = writeln!(shown, "{error}\n{error:?}");
                cause = error.source();
            }
            Ok(())
        }
    };
}
