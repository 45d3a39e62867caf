//! The same API calls made three ways (blocking, pool, async), their data compared and timed.
//! Run: cargo run --release --example compare [-- --help]
//! Expect: in 15 s a table, and compare.svg and compare.csv under target/compare/.

mod chart;
mod options;
mod pages;
mod report;
mod server;
mod ways;

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Write};
use std::process::ExitCode;

use duocall::{Api, Auth, Retry, Secret};

use options::{HELP, Options, Target, USAGE};
use pages::{AnyPage, SpeciesPage};
use server::Server;
use ways::Comparison;

enum Failure {
    BadOption(String),
    Run(String),
}

fn bad_option(error: impl Display) -> Failure {
    Failure::BadOption(error.to_string())
}

fn failed(what: &str, error: impl Display) -> Failure {
    Failure::Run(format!("{what}: {error}"))
}

fn main() -> ExitCode {
    match run() {
        Ok(status) => status,
        Err(Failure::BadOption(error)) => {
            say(&format!("compare: {error}\n{USAGE}"));
            ExitCode::from(2)
        }
        Err(Failure::Run(error)) => {
            say(&format!("compare: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, Failure> {
    let options = Options::parse(std::env::args_os().skip(1)).map_err(bad_option)?;
    if options.help {
        print(&format!("{USAGE}\n\n{HELP}\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    // Before the calls: a folder that cannot be had should not cost the whole run.
    fs::create_dir_all(&options.out)
        .map_err(|error| failed("cannot make the folder for --out", error))?;
    let csv = options.out.join("compare.csv");
    File::options()
        .append(true)
        .create(true)
        .open(&csv)
        .map_err(|error| failed("cannot write to the folder for --out", error))?;

    let Comparison { rows, problems } = match &options.target {
        Some(target) => compare_at(target, &options)?,
        None => compare_embedded(&options)?,
    };

    fs::write(&csv, report::csv(&rows)).map_err(|error| failed("cannot write the data", error))?;
    let svg = options.out.join("compare.svg");
    chart::draw(&svg, &options.setting(), &rows)
        .map_err(|error| failed("cannot draw the chart", error))?;

    if options.json {
        print(&report::json(&options.pages, &rows))?;
    } else {
        print(&format!(
            "{}\n\n{}\nchart: {}\ndata:  {}\n",
            options.setting(),
            report::table(&rows),
            svg.display(),
            csv.display()
        ))?;
    }
    for problem in &problems {
        say(problem);
    }
    Ok(ExitCode::from(u8::from(!problems.is_empty())))
}

fn compare_embedded(options: &Options) -> Result<Comparison, Failure> {
    let server = Server::start(options.latency())
        .map_err(|error| failed("cannot start the embedded server", error))?;
    let auth = Some(Auth::token(server::TOKEN));
    let api = api(&server.base_url(), auth, options)?;
    ways::compare(&api, options, SpeciesPage).map_err(|error| failed("cannot call", error))
}

fn compare_at(target: &Target, options: &Options) -> Result<Comparison, Failure> {
    let auth = match &options.token_env {
        Some(name) => Some(Auth::token(Secret::from_env(name).map_err(bad_option)?)),
        None => None,
    };
    let api = api(&target.base, auth, options)?;
    let page = |number: usize| AnyPage { target: target.relative.clone(), number };
    ways::compare(&api, options, page).map_err(|error| failed("cannot call", error))
}

fn api(base: &str, auth: Option<Auth>, options: &Options) -> Result<Api, Failure> {
    // Without retries an error in the table is one call.
    let mut builder = Api::builder(base).concurrency(options.concurrency).retry(Retry::none());
    if let Some(auth) = auth {
        builder = builder.auth(auth);
    }
    for (name, value) in &options.headers {
        builder = builder.header(name, value);
    }
    builder.build().map_err(bad_option)
}

/// To stdout. That its reader has left is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(failed("cannot print", error))
        }
        _ => Ok(()),
    }
}

/// To stderr, whose loss could be told nowhere.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
