//! What came of a scenario, in words that can be compared.

use std::fmt::Write as _;

use duocall::{Attempt, Error, Response};
use serde::{Deserialize, Serialize};

use super::scenario::{Notes, Op, Scenario, Value};
use super::site::Site;
use crate::support::Seen;

/// One thing a way of running said.
pub enum Said {
    Result(Option<usize>, Result<Value, Error>),
    Text(String),
}

impl Said {
    pub fn response(result: Result<Response, Error>) -> Said {
        Said::Result(None, result.map(Value::Response))
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The kinds and statuses alone.
    pub brief: Vec<String>,
    pub results: Vec<String>,
    pub traces: Vec<String>,
    pub saw: Vec<String>,
    pub notes: Vec<String>,
    pub connections: Option<usize>,
    /// Compared between the ways, and with nothing else: all headers of the requests, source chains.
    pub fine: Vec<String>,
}

impl Outcome {
    pub fn new(scenario: &Scenario, said: &[Said], site: &Site, notes: &Notes) -> Outcome {
        let seen = site.requests();
        let mut saw: Vec<String> = seen.iter().map(|seen| brief(scenario, seen, site)).collect();
        let mut fine: Vec<String> = seen.iter().map(|seen| full(seen, site)).collect();
        if scenario.at_once {
            saw.sort();
            fine.sort();
        }
        if scenario.loose {
            saw.clear();
            fine.clear();
        }
        fine.extend(said.iter().filter(|_| !scenario.loose).map(|said| details(said, site)));
        let mask = |text: String| masked_times(&site.masked(&text));
        let traced = if scenario.loose { &[] } else { said };
        let mut brief: Vec<_> = said.iter().map(|said| mask(kind(said))).collect();
        let mut results: Vec<_> = said.iter().map(|said| mask(result(scenario, said))).collect();
        let mut traces: Vec<_> = traced.iter().filter_map(|said| trace(scenario, said)).collect();
        if matches!(scenario.op, Op::Together(_)) {
            // Which of them came first is a matter of chance.
            brief.sort();
            results.sort();
            traces.sort();
            fine.sort();
        }
        Outcome {
            brief,
            results,
            traces,
            saw,
            notes: [notes.all(), site.asked()].concat(),
            connections: site.connections().filter(|_| !scenario.at_once && !scenario.loose),
            fine,
        }
    }
}

fn kind(said: &Said) -> String {
    match said {
        Said::Text(text) | Said::Result(_, Ok(Value::Text(text))) => shortened(text.as_bytes()),
        Said::Result(_, Ok(Value::Response(response))) => response.status().as_str().to_owned(),
        Said::Result(_, Err(error)) => match error.status() {
            Some(status) => format!("{:?} {}", error.kind(), status.as_u16()),
            None => format!("{:?}, sent {:?}", error.kind(), error.sent()),
        },
    }
}

fn result(scenario: &Scenario, said: &Said) -> String {
    let (index, result) = match said {
        Said::Text(text) => return text.clone(),
        Said::Result(index, result) => (index, result),
    };
    let mut text = index.map_or(String::new(), |index| format!("[{index}] "));
    match result {
        Ok(Value::Text(value)) => text += value,
        Ok(Value::Response(response)) => {
            text += response.status().as_str();
            told(scenario, response, &mut text);
            let body = shortened(response.bytes());
            text += if body.is_empty() { "" } else { " " };
            text += &body;
            if response.history().count() > 0 {
                text += &format!(" @{}", response.url());
            }
        }
        Err(error) => {
            let _ = write!(text, "{:?}/{:?}: {error}", error.kind(), error.sent());
            if let Some(response) = error.response() {
                told(scenario, response, &mut text);
                let body = shortened(response.bytes());
                text += &if body.is_empty() { body } else { format!(" [{body}]") };
            }
        }
    }
    text
}

fn told(scenario: &Scenario, response: &Response, text: &mut String) {
    for name in &scenario.told {
        if let Some(value) = response.header(name) {
            let _ = write!(text, " {{{name}: {value}}}");
        }
    }
}

pub fn shortened(body: &[u8]) -> String {
    if body.len() > 60 {
        return format!("({} bytes)", body.len());
    }
    String::from_utf8_lossy(body).into_owned()
}

fn trace(scenario: &Scenario, said: &Said) -> Option<String> {
    let attempts: &[Attempt] = match said {
        Said::Result(_, Ok(Value::Response(response))) => response.attempts(),
        Said::Result(_, Err(error)) => error.attempts(),
        _ => return None,
    };
    let shown = attempts.iter().map(|attempt| {
        let met = match (attempt.status(), attempt.error()) {
            (Some(status), _) => status.as_u16().to_string(),
            (None, error) => error.map_or(String::new(), |kind| format!("{kind:?}")),
        };
        let reused = if attempt.reused() && !scenario.at_once { "~" } else { "" };
        let withheld = if attempt.withheld() { " (withheld)" } else { "" };
        format!("{:?} {met}{reused}{withheld}", attempt.cause())
    });
    Some(shown.collect::<Vec<_>>().join(", "))
}

fn brief(scenario: &Scenario, seen: &Seen, site: &Site) -> String {
    let host = site.masked(seen.header("host").unwrap_or_default());
    let elsewhere = if host == "H" { "" } else { &host };
    let reused = if seen.on_connection > 0 && !scenario.at_once { "~" } else { "" };
    let mut line = format!("{} {elsewhere}{}{reused}", seen.method, seen.target);
    for name in &scenario.shown {
        let values = seen.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        for (_, value) in values {
            let _ = write!(line, " {{{name}: {value}}}");
        }
    }
    if !seen.body.is_empty() {
        let _ = write!(line, " {}", shortened(&seen.body));
    }
    line
}

fn full(seen: &Seen, site: &Site) -> String {
    let shown = |(name, value): &(String, String)| {
        // A key made for the call is a different one in every run.
        let value = if name.eq_ignore_ascii_case("idempotency-key") { "KEY" } else { value };
        // So is the boundary of a form.
        let value = value.split_once("; boundary=").map_or(value, |(kind, _)| kind);
        format!("{}: {}", name.to_ascii_lowercase(), site.masked(value))
    };
    let mut headers: Vec<String> = seen.headers.iter().map(shown).collect();
    headers.sort();
    format!("{} {} {headers:?} {:?}", seen.method, seen.target, shortened(&seen.body))
}

fn details(said: &Said, site: &Site) -> String {
    match said {
        Said::Result(_, Ok(Value::Response(response))) => {
            let history: Vec<&str> = response.history().collect();
            let mut headers: Vec<String> =
                response.headers().iter().map(|(n, v)| format!("{n}: {v:?}")).collect();
            headers.sort();
            site.masked(&format!(
                "{} {} {headers:?} {history:?}",
                response.method(),
                response.url()
            ))
        }
        Said::Result(_, Err(error)) => format!(
            "{:?} {:?} {:?} {:?}",
            error.status(),
            error.phase(),
            error.retry_after(),
            error.meaning()
        ),
        _ => String::new(),
    }
}

/// `after 3 attempts in 4.1 s` without the seconds.
fn masked_times(text: &str) -> String {
    let Some((before, rest)) = text.split_once(" attempts in ") else { return text.to_owned() };
    let after = rest.split_once(" s").map_or("", |(_, after)| after);
    format!("{before} attempts in T s{}", masked_times(after))
}
