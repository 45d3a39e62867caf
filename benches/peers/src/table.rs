//! What was measured, and the medians of it.

use crate::child::Said;

/// One client in one setting.
pub(crate) struct Row {
    pub(crate) way: String,
    pub(crate) tls: bool,
    pub(crate) in_flight: usize,
    pub(crate) body: String,
    /// What it said, round by round.
    pub(crate) rounds: Vec<Option<Said>>,
    pub(crate) system_calls: Option<f64>,
    pub(crate) allocations: Option<f64>,
}

impl Row {
    pub(crate) fn new(way: &str, tls: bool, in_flight: usize, body: &str) -> Row {
        Row {
            way: way.to_owned(),
            tls,
            in_flight,
            body: body.to_owned(),
            rounds: Vec::new(),
            system_calls: None,
            allocations: None,
        }
    }

    pub(crate) fn is(&self, way: &str, tls: bool, in_flight: usize, body: &str) -> bool {
        self.way == way && self.tls == tls && self.in_flight == in_flight && self.body == body
    }

    pub(crate) fn name(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{} {scheme} {} {}", self.way, self.in_flight, self.body)
    }

    pub(crate) fn median(&self, of: impl Fn(&Said) -> f64) -> Option<f64> {
        median(self.rounds.iter().flatten().map(of))
    }

    /// The median of the rounds' ratios to another row, measured in turns with this one.
    pub(crate) fn ratio(&self, other: &Row, of: impl Fn(&Said) -> f64) -> Option<f64> {
        let both = self.rounds.iter().zip(&other.rounds);
        median(both.filter_map(|(a, b)| Some(of(a.as_ref()?) / of(b.as_ref()?))))
    }
}

/// KiB that a call in flight adds to the peak.
pub(crate) fn memory(said: &Said) -> f64 {
    said.peak_kib - said.base_kib
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) rows: Vec<Row>,
    /// Ten thousand calls at once.
    pub(crate) burst: Option<Result<Said, String>>,
    /// What could not be measured, and why.
    pub(crate) notes: Vec<String>,
}

impl Figures {
    pub(crate) fn find(&self, way: &str, tls: bool, in_flight: usize) -> Option<&Row> {
        self.rows.iter().find(|row| row.is(way, tls, in_flight, "small"))
    }

    /// The row that the others of its setting are compared to.
    pub(crate) fn yardstick(&self, row: &Row) -> Option<&Row> {
        let peer = |way: &str| {
            self.rows.iter().find(|other| other.is(way, row.tls, row.in_flight, &row.body))
        };
        let threads = ["blocking", "pool", "ureq", "requests", "niquests"];
        if threads.iter().any(|word| row.way.contains(word)) {
            peer("ureq")
        } else {
            peer("reqwest, tokio 1")
        }
    }
}
