//! Streams a thousand calls, then a million, and compares the memory that each took.
//! Run: cargo run --release --example million [-- 20000]
//! Expect: the peak memory of each run (Linux only), and whether a million (or 20000) took over 10 MiB more.

use std::env;
use std::error::Error;
use std::process::{Command, ExitCode};
use std::time::Instant;

use duocall::{Api, Request, blocking, http, nonblocking, pool};
use futures_lite::StreamExt;
use futures_lite::future::block_on;

const FEW: usize = 1_000;
const MANY: usize = 1_000_000;
const USAGE: &str = "usage: million [CALLS]";
const WAYS: [&str; 2] = ["pool", "async"];
const ALLOWED_KIB: u64 = 10 << 10;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let calls = match &arguments[..] {
        [] => MANY,
        [calls] => number(calls)?,
        // What the program calls itself with.
        [way, calls] if WAYS.contains(&&**way) => {
            return run(way, number(calls)?).map(|()| ExitCode::SUCCESS);
        }
        _ => return Err(USAGE.into()),
    };
    let mut within = true;
    for way in WAYS {
        let few = in_a_process_of_its_own(way, FEW)?;
        let many = in_a_process_of_its_own(way, calls)?;
        let more = many.saturating_sub(few);
        within &= more <= ALLOWED_KIB;
        let verdict = if more <= ALLOWED_KIB { "within" } else { "NOT within" };
        println!("{way}: {more} KiB more for {calls} calls than for {FEW}: {verdict} 10 MiB");
    }
    Ok(if within { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn number(calls: &str) -> Result<usize, &'static str> {
    calls.parse().map_err(|_| USAGE)
}

/// The peak of its memory, in KiB.
fn in_a_process_of_its_own(way: &str, count: usize) -> Result<u64, Box<dyn Error>> {
    let start = Instant::now();
    let child = Command::new(env::current_exe()?).args([way, &count.to_string()]).output()?;
    if !child.status.success() {
        return Err(String::from_utf8_lossy(&child.stderr).into());
    }
    let peak = String::from_utf8(child.stdout)?.trim().parse()?;
    println!("{way}, {count} calls: {peak} KiB at most, {:.1} s", start.elapsed().as_secs_f64());
    Ok(peak)
}

/// Calls that are answered in memory, so that nothing but the batch is measured.
fn run(way: &str, count: usize) -> Result<(), Box<dyn Error>> {
    let api = Api::new("http://localhost/")?;
    let items = (0..count).map(|n| Request::get(format!("items/{n}")));
    let good = if way == "pool" {
        let transport = |_: http::Request<_>, _: &_| {
            let body: blocking::Reader = Box::new(&b"{}"[..]);
            Ok(http::Response::new(body))
        };
        let client = pool::Client::with_transport(api, transport);
        client.batch(items).stream().filter(|(_, result)| result.is_ok()).count()
    } else {
        let client = nonblocking::Client::with_transport(api, |_, _| async {
            Ok(http::Response::new(bytes::Bytes::from_static(b"{}").into()))
        });
        let stream = client.batch(items).stream();
        block_on(stream.filter(|(_, result)| result.is_ok()).count())
    };
    if good != count {
        return Err(format!("only {good} of {count} calls ended well").into());
    }
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|peak| peak.trim().strip_suffix(" kB"));
    println!("{}", peak.ok_or("the system does not tell the peak")?);
    Ok(())
}
