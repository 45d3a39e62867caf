//! A case: what happens, what we do about it, and how that is shown.

use std::time::Duration;

use duocall::{Retry, Timeouts};

use crate::parity::scenario::{self, Scenario, ok};

pub struct Section {
    pub letter: &'static str,
    pub title: &'static str,
    pub cases: Vec<Case>,
}

pub struct Case {
    /// Its row, and which of the row's variants: `H12 +5`.
    pub id: &'static str,
    pub what: &'static str,
    pub we: &'static str,
    pub scenario: Scenario,
    /// All of its calls have ended by then, and half a second.
    pub within: Duration,
    pub alone: Option<Alone>,
    /// The ways of running that it is impossible for, and why.
    pub not_on: Vec<(&'static str, &'static str)>,
    /// The ways that differ, and why.
    pub unlike: Vec<(&'static str, &'static str)>,
}

/// Run in a process of its own.
#[derive(Clone, Copy)]
pub struct Alone {
    /// Which may open so many descriptors.
    pub descriptors: Option<usize>,
    /// And whose memory may grow by so many MiB.
    pub mebibytes: usize,
}

/// The limit of the whole call where a case sets no other.
pub const TOTAL: Duration = Duration::from_secs(5);

pub fn row(id: &'static str, what: &'static str, we: &'static str, scenario: Scenario) -> Case {
    let scenario = Scenario { name: id, ..scenario };
    let (not_on, unlike) = (Vec::new(), Vec::new());
    Case { id, what, we, scenario, within: TOTAL, alone: None, not_on, unlike }
}

#[allow(dead_code)] // not every table has a row that is impossible for a way of running
impl Case {
    /// Its calls have a limit of so many milliseconds in all.
    pub fn within(mut self, millis: u64) -> Case {
        self.within = Duration::from_millis(millis);
        self
    }

    /// In a process of its own, whose memory may grow by so much.
    pub fn in_mebibytes(mut self, mebibytes: usize) -> Case {
        self.alone = Some(Alone { descriptors: None, mebibytes });
        self
    }

    /// In a process of its own, with so many descriptors.
    pub fn with_descriptors(mut self, descriptors: usize) -> Case {
        self.alone = Some(Alone { descriptors: Some(descriptors), mebibytes: 64 });
        self
    }

    /// Impossible there.
    pub fn not_on(mut self, backend: &'static str, why: &'static str) -> Case {
        self.not_on.push((backend, why));
        self
    }

    /// Other results there.
    pub fn unlike(
        mut self,
        backend: &'static str,
        results: &'static str,
        why: &'static str,
    ) -> Case {
        self.scenario.expected.unlike.push((backend, results));
        self.unlike.push((backend, why));
        self
    }

    pub fn is_on(&self, backend: &str) -> bool {
        self.not_on.iter().all(|(name, _)| *name != backend)
    }

    /// `H12`.
    pub fn row(&self) -> &'static str {
        self.id.split(' ').next().unwrap_or_default()
    }
}

/// With the usual retries, but quick.
pub fn case() -> Scenario {
    scenario::case("")
}

/// One attempt, so that the fault itself is seen.
pub fn once() -> Scenario {
    case().api(|api| api.retry(Retry::none()))
}

/// One attempt within these limits.
pub fn limited(set: fn(Timeouts) -> Timeouts) -> Scenario {
    case().api(move |api| api.retry(Retry::none()).timeouts(set(Timeouts::default().total(TOTAL))))
}

/// An error of the request, before anything is sent.
pub fn unsent(calls: Scenario, why: &str) -> Scenario {
    let error = format!("Request/No: invalid request: {why}");
    calls.reply(ok("never")).connections(0).expect(error, "", "")
}
