//! What came of the calls, and what the process holds.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use duocall::{Error, Response};
use serde::Deserialize;

/// The body of a good answer.
#[derive(Deserialize)]
pub struct Told {
    pub id: u64,
    pub token: String,
    pub sent: usize,
}

#[derive(Default)]
pub struct Tally {
    pub over: AtomicBool,
    calls: AtomicU64,
    next: AtomicU64,
    /// The number in the newest credential, counted before it is set.
    pub rotation: AtomicU64,
    /// The same, counted when it is set.
    pub rotated: AtomicU64,
    outcomes: Mutex<BTreeMap<String, u64>>,
    wrong: Mutex<Vec<String>>,
}

impl Tally {
    pub fn goes_on(&self) -> bool {
        !self.over.load(Relaxed)
    }

    /// A number that no other call has.
    pub fn id(&self) -> u64 {
        1 + self.next.fetch_add(1, Relaxed)
    }

    pub fn calls(&self) -> u64 {
        self.calls.load(Relaxed)
    }

    pub fn count(&self, what: impl Into<String>) {
        self.calls.fetch_add(1, Relaxed);
        *self.outcomes.lock().unwrap().entry(what.into()).or_default() += 1;
    }

    pub fn wrong(&self, what: String) {
        self.wrong.lock().unwrap().push(what);
    }

    pub fn wrongs(&self) -> Vec<String> {
        self.wrong.lock().unwrap().clone()
    }

    pub fn error(&self, error: &Error) {
        if error.to_string().contains("token-") || format!("{error:?}").contains("token-") {
            self.wrong("an error shows a credential".into());
        }
        self.count(match error.status() {
            Some(status) if error.is_status() => format!("status {}", status.as_u16()),
            _ => format!("{:?}", error.kind()),
        });
    }

    /// The answer to `what/id` with so many bytes, asked for when the credential was number `since`.
    pub fn judge(
        &self,
        (what, id, sends): (&str, u64, usize),
        since: u64,
        result: Result<Response, Error>,
    ) {
        let response = match result {
            Ok(response) => response,
            Err(error) => return self.error(&error),
        };
        self.count("ok");
        let told: Told = match response.json() {
            Ok(told) => told,
            Err(error) => return self.wrong(format!("{what}/{id}: {error}")),
        };
        let newest = self.rotation.load(Relaxed);
        let token = told.token.strip_prefix("token-").and_then(|n| n.parse::<u64>().ok());
        let right = match what {
            // No credential leaves home.
            "away" => told.token == "none",
            _ => token.is_some_and(|n| (since..=newest).contains(&n)),
        };
        if told.id != id || told.sent != sends || !right {
            self.wrong(format!(
                "{what}/{id}: told {}, {} bytes, with {:?}",
                told.id, told.sent, told.token
            ));
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcomes = self.outcomes.lock().unwrap();
        let outcomes: Vec<_> = outcomes.iter().map(|(what, n)| format!("{what} {n}")).collect();
        f.write_str(&outcomes.join(", "))
    }
}

#[derive(Clone, Copy)]
pub struct Gauge {
    pub descriptors: u64,
    pub threads: u64,
    /// KiB in memory.
    pub resident: u64,
}

impl Gauge {
    /// From procfs; zeros elsewhere than on Linux.
    pub fn now() -> Gauge {
        let entries = |dir: &str| fs::read_dir(dir).map_or(0, |dir| dir.count() as u64);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        Gauge {
            descriptors: entries("/proc/self/fd"),
            threads: entries("/proc/self/task"),
            resident: resident.unwrap_or(0),
        }
    }

    pub fn mean(of: &[Gauge]) -> Gauge {
        let mean =
            |part: fn(&Gauge) -> u64| of.iter().map(part).sum::<u64>() / of.len().max(1) as u64;
        Gauge {
            descriptors: mean(|it| it.descriptors),
            threads: mean(|it| it.threads),
            resident: mean(|it| it.resident),
        }
    }

    /// No more than a quarter above, and so much that may come and go.
    pub fn is_flat_after(&self, before: &Gauge) -> bool {
        let flat = |now: u64, then: u64, slack: u64| now <= then + then / 4 + slack;
        flat(self.descriptors, before.descriptors, 16)
            && flat(self.threads, before.threads, 8)
            && flat(self.resident, before.resident, 4 << 10)
    }
}

impl fmt::Display for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Gauge { descriptors, threads, resident } = self;
        write!(
            f,
            "{descriptors} descriptors, {threads} threads, {:.1} MiB",
            *resident as f64 / 1024.0
        )
    }
}
