//! A gigabyte down and a gigabyte up, in every way of running, each in a process of its own.
//! Run: cargo run --release --example gigabyte [-- --mib 64]
//! Expect: in half a minute a table of peak memory (below 32 MiB) and speed; every SHA-256 agrees.

mod noise;
mod server;
mod ways;

use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitCode, Stdio};

use lexopt::prelude::{Long, ValueExt};
use ways::WAYS;

/// What a process may need at most, in KiB.
const MOST: u64 = 32 << 10;
/// Its end nobody waits for.
const LONGEST_MIB: u64 = 1 << 20;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let (mut mib, mut way, mut url) = (1024, None, String::new());
    let mut options = lexopt::Parser::from_env();
    while let Some(option) = options.next()? {
        match option {
            Long("mib") => mib = options.value()?.parse()?,
            // The two that the program calls itself with.
            Long("serve") => return server::run().map(|()| ExitCode::SUCCESS).map_err(Into::into),
            Long("way") => way = Some(options.value()?.string()?),
            Long("url") => url = options.value()?.string()?,
            _ => return Err(option.unexpected().into()),
        }
    }
    if mib > LONGEST_MIB {
        return Err(format!("--mib is at most {LONGEST_MIB}").into());
    }
    match way {
        Some(way) => ways::run(&way, &url, mib << 20).map(|()| ExitCode::SUCCESS),
        None => all(mib),
    }
}

fn all(mib: u64) -> Result<ExitCode, Box<dyn Error>> {
    let mut server = itself(&["--serve"])?;
    let mut url = String::new();
    BufReader::new(server.stdout.take().expect("piped")).read_line(&mut url)?;
    println!("{mib} MiB each way over {}", url.trim());
    println!("{:<10} {:>12} {:>10} {:>10}", "way", "peak memory", "down", "up");
    let mut good = true;
    for way in WAYS {
        let mut child = itself(&["--way", way, "--url", url.trim(), "--mib", &mib.to_string()])?;
        let mut said = String::new();
        child.stdout.take().expect("piped").read_to_string(&mut said)?;
        let numbers: Vec<u64> = said.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        let ([peak, down, up], true) = (&numbers[..], child.wait()?.success()) else {
            println!("{way:<10} failed {said}");
            good = false;
            continue;
        };
        let speed = |millis: u64| format!("{} MiB/s", mib * 1000 / millis.max(1));
        let peak_mib = *peak as f64 / 1024.0;
        println!("{way:<10} {peak_mib:>8.1} MiB {:>10} {:>10}", speed(*down), speed(*up));
        good &= *peak < MOST;
    }
    // It ends with its standard input.
    drop(server.stdin.take());
    server.wait()?;
    if good {
        println!("every SHA-256 agrees, and every peak is below {} MiB", MOST >> 10);
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn itself(arguments: &[&str]) -> Result<Child, Box<dyn Error>> {
    let mut command = Command::new(env::current_exe()?);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    Ok(command.spawn()?)
}
