//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::{Long, Short, ValueExt};

pub const USAGE: &str = "\
Usage: compare [--url URL] [--pages LIST] [--latency TIME] [--concurrency N] [--threads N]
               [--header 'NAME: VALUE']... [--token-env NAME] [--out DIR] [--json] [--help]";

pub const HELP: &str = "\
The same API calls made three ways, and how long each takes.

  --url URL         call this API instead of the embedded server; {n} stands for the page number,
                    as in 'http://host/path/{n}'
  --pages LIST      how many pages to get, one run each (1,3,5,10,100)
  --latency TIME    how long the embedded server takes to answer: 50ms, 0.1s, 2s, 0 (100ms)
  --concurrency N   calls under way at once at most, pool and async (100)
  --threads N       the pool's threads (100)
  --header 'N: V'   send this header with every call; may be repeated
  --token-env NAME  with --url: send 'Authorization: Token ...', the token read from the
                    environment variable NAME
  --out DIR         where compare.svg and compare.csv go (target/compare)
  --json            print one JSON object instead of the table
  --help            print this

The exit status is 1 if a call failed or the ways' data differ, 2 for a bad option.";

/// `--url`, cut in two at the last slash of the path before `{n}`.
pub struct Target {
    pub base: String,
    pub relative: String,
}

pub struct Options {
    pub target: Option<Target>,
    pub pages: Vec<usize>,
    pub latency: Option<Duration>,
    pub concurrency: usize,
    pub threads: usize,
    pub headers: Vec<(String, String)>,
    pub token_env: Option<String>,
    pub out: PathBuf,
    pub json: bool,
    pub help: bool,
}

impl Options {
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Options, lexopt::Error> {
        let mut options = Options {
            target: None,
            pages: vec![1, 3, 5, 10, 100],
            latency: None,
            concurrency: 100,
            threads: 100,
            headers: Vec::new(),
            token_env: None,
            out: PathBuf::from("target/compare"),
            json: false,
            help: false,
        };
        let mut parser = lexopt::Parser::from_args(arguments);
        while let Some(argument) = parser.next()? {
            match argument {
                Long("url") => options.target = Some(value(&mut parser, "--url", target)?),
                Long("pages") => options.pages = value(&mut parser, "--pages", pages)?,
                Long("latency") => {
                    options.latency = Some(value(&mut parser, "--latency", duration)?);
                }
                Long("concurrency") => {
                    options.concurrency = value(&mut parser, "--concurrency", positive)?;
                }
                Long("threads") => options.threads = value(&mut parser, "--threads", positive)?,
                Long("header") => options.headers.push(value(&mut parser, "--header", header)?),
                Long("token-env") => options.token_env = Some(parser.value()?.string()?),
                Long("out") => options.out = PathBuf::from(parser.value()?),
                Long("json") => options.json = true,
                Long("help") | Short('h') => options.help = true,
                other => return Err(other.unexpected()),
            }
        }
        // Either would be without effect, which nobody who gives it expects.
        if options.target.is_none() && options.token_env.is_some() {
            return Err("--token-env needs --url: the embedded server has its own token".into());
        }
        if options.target.is_some() && options.latency.is_some() {
            return Err("--latency is the embedded server's, it cannot go with --url".into());
        }
        Ok(options)
    }

    /// The embedded server's.
    pub fn latency(&self) -> Duration {
        self.latency.unwrap_or(Duration::from_millis(100))
    }

    /// What the numbers hold for, in one line.
    pub fn setting(&self) -> String {
        let server = match self.target {
            Some(_) => "pages of the given URL".to_owned(),
            None => format!("pages of 4 KiB, {} ms latency", self.latency().as_millis()),
        };
        let Options { threads, concurrency, .. } = self;
        format!("{server}, {threads} threads in the pool, {concurrency} calls at once at most")
    }
}

/// The error names the option and not the value, which may be a secret.
fn value<T>(
    parser: &mut lexopt::Parser,
    option: &str,
    parse: impl Fn(&str) -> Result<T, &'static str>,
) -> Result<T, lexopt::Error> {
    parse(&parser.value()?.string()?).map_err(|error| format!("{option}: {error}").into())
}

fn target(url: &str) -> Result<Target, &'static str> {
    let number = url.find("{n}").ok_or("no {n} in it")?;
    let authority = url.find("://").ok_or("not an absolute URL")? + "://".len();
    let query = url.find(['?', '#']).unwrap_or(url.len());
    let cut = url[..number.min(query)].rfind('/').map_or(0, |at| at + 1);
    if cut <= authority {
        return Err("{n} must stand in the path or the query");
    }
    Ok(Target {
        base: url[..cut].to_owned(),
        // Without the dot a colon further on would make it look like a scheme.
        relative: format!("./{}", &url[cut..]),
    })
}

fn positive(number: &str) -> Result<usize, &'static str> {
    match number.trim().parse() {
        Ok(number @ 1..=100_000) => Ok(number),
        _ => Err("not a whole number from 1 to 100000"),
    }
}

fn pages(list: &str) -> Result<Vec<usize>, &'static str> {
    list.split(',').map(positive).collect()
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    const EXPECTED: &str = "not a time such as 50ms, 0.1s or 0";
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1e-3),
        None => match text.strip_suffix('s') {
            Some(number) => (number, 1.0),
            None if text == "0" => (text, 1.0),
            None => return Err(EXPECTED),
        },
    };
    let number: f64 = number.trim().parse().map_err(|_| EXPECTED)?;
    Duration::try_from_secs_f64(number * unit).map_err(|_| EXPECTED)
}

fn header(line: &str) -> Result<(String, String), &'static str> {
    let (name, value) = line.split_once(':').ok_or("not of the form 'Name: value'")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}
