//! The three ways, side by side.

use std::fmt::{self, Display};
use std::time::Instant;

use duocall::{Api, Endpoint, Error, Progress, blocking, nonblocking, pool};
use futures_lite::future::block_on;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::options::Options;

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    Blocking,
    Pool,
    Async,
}

impl Way {
    /// Blocking comes first: the others are compared with it.
    pub const ALL: [Way; 3] = [Way::Blocking, Way::Pool, Way::Async];
}

impl Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Way::Blocking => "blocking",
            Way::Pool => "pool",
            Way::Async => "async",
        })
    }
}

#[derive(Serialize)]
pub struct Row {
    pub way: Way,
    pub calls: usize,
    pub seconds: f64,
    pub calls_per_second: f64,
    #[serde(skip)]
    pub speed_up: f64,
    pub errors: usize,
}

pub struct Comparison {
    pub rows: Vec<Row>,
    /// Calls that failed and data that differ, for a person to read.
    pub problems: Vec<String>,
}

type Results<T> = Vec<Result<T, Error>>;

/// The whole point: one definition of the calls, three ways to make them.
fn gather<E>(
    way: Way,
    api: &Api,
    threads: usize,
    calls: Vec<E>,
    tell: impl Fn(Progress) + Send + Sync + 'static,
) -> Result<Results<E::Output>, Error>
where
    E: Endpoint + Send + 'static,
    E::Output: Send + 'static,
{
    let api = api.clone();
    Ok(match way {
        Way::Blocking => blocking::Client::new(api).batch(calls).on_progress(tell).gather(),
        Way::Pool => {
            let client = pool::Client::builder(api).threads(threads).build()?;
            client.batch(calls).on_progress(tell).gather()
        }
        Way::Async => {
            let client = nonblocking::Client::new(api);
            block_on(client.batch(calls).on_progress(tell).gather())
        }
    })
}

/// Every number of pages by every way. Each run has a client of its own, so that none gains by the
/// connections of the one before.
pub fn compare<E>(
    api: &Api,
    options: &Options,
    page: impl Fn(usize) -> E,
) -> Result<Comparison, Error>
where
    E: Endpoint + Send + 'static,
    E::Output: PartialEq + Send + 'static,
{
    let mut comparison = Comparison { rows: Vec::new(), problems: Vec::new() };
    let bar = progress_bar(options.pages.iter().sum::<usize>() * Way::ALL.len());
    for &calls in &options.pages {
        let mut runs = Vec::new();
        for way in Way::ALL {
            bar.set_message(format!("{calls} by {way}"));
            let pages = (1..=calls).map(&page).collect();
            let (moving, before) = (bar.clone(), bar.position());
            let tell = move |progress: Progress| moving.set_position(before + progress.done);
            let start = Instant::now();
            let results = gather(way, api, options.threads, pages, tell)?;
            // Never zero, for it divides.
            let seconds = start.elapsed().as_secs_f64().max(1e-6);
            runs.push((seconds, results));
        }
        let (blocking_seconds, reference) = &runs[0];
        for (way, (seconds, results)) in Way::ALL.into_iter().zip(&runs) {
            let errors = comparison.note_errors(way, results);
            comparison.note_differences(way, results, reference);
            comparison.rows.push(Row {
                way,
                calls,
                seconds: *seconds,
                calls_per_second: calls as f64 / seconds,
                speed_up: blocking_seconds / seconds,
                errors,
            });
        }
    }
    bar.finish_and_clear();
    Ok(comparison)
}

impl Comparison {
    /// Returns how many there are.
    fn note_errors<T>(&mut self, way: Way, results: &[Result<T, Error>]) -> usize {
        let calls = results.len();
        let errors = (1..).zip(results).filter_map(|(page, result)| {
            let error = result.as_ref().err()?;
            Some(format!("{way}, page {page} of {calls}: {error}"))
        });
        self.note(errors.collect())
    }

    fn note_differences<T: PartialEq>(
        &mut self,
        way: Way,
        results: &[Result<T, Error>],
        reference: &[Result<T, Error>],
    ) {
        let calls = reference.len();
        let pairs = results.iter().zip(reference);
        let differences = (1..).zip(pairs).filter_map(|(page, pair)| match pair {
            (Ok(data), Ok(expected)) if data != expected => {
                Some(format!("{way}, page {page} of {calls}: not the data that blocking got"))
            }
            _ => None,
        });
        self.note(differences.collect());
    }

    /// Only the first few: where a server is down, every call fails alike.
    fn note(&mut self, mut found: Vec<String>) -> usize {
        const SHOWN: usize = 5;
        let count = found.len();
        if count > SHOWN {
            found.truncate(SHOWN);
            found.push(format!("and {} more like these", count - SHOWN));
        }
        self.problems.append(&mut found);
        count
    }
}

fn progress_bar(calls: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("[{bar:40}] {pos}/{len} calls, now {msg}")
        .expect("the template is well-formed")
        .progress_chars("=> ");
    ProgressBar::new(calls as u64).with_style(style)
}
