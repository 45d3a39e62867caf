//! A client of the RapidPro API, defined once (client.rs) and called in three ways (ways.rs).
//! Run: cargo run --example rapidpro [-- blocking|pool|async]; RAPIDPRO_TOKEN may name the token.
//! Expect: what an embedded server that imitates the API has; in each way the same, in about a second.

mod client;
mod server;
#[path = "../support/server.rs"]
mod support;
mod ways;

use std::error::Error;
use std::fmt::Write as _;

use client::RapidPro;
use duocall::Secret;
use server::RapidProServer;
use ways::Found;

const WAYS: [&str; 3] = ["blocking", "pool", "async"];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let report = match (arguments.next().as_deref(), arguments.next()) {
        (None, None) => compare()?,
        (Some(way), None) if WAYS.contains(&way) => run(way)?,
        _ => return Err("usage: rapidpro [blocking|pool|async]".into()),
    };
    print!("{report}");
    Ok(())
}

/// Calls in each way; the reports must be the same.
fn compare() -> Result<String, Box<dyn Error>> {
    let report = run(WAYS[0])?;
    for way in &WAYS[1..] {
        if run(way)? != report {
            return Err(format!("{way} differs from {}", WAYS[0]).into());
        }
    }
    Ok(report + "the same in all three ways\n")
}

fn run(way: &str) -> Result<String, Box<dyn Error>> {
    let token = match std::env::var_os("RAPIDPRO_TOKEN") {
        Some(_) => Secret::from_env("RAPIDPRO_TOKEN")?,
        None => Secret::from("the token of the embedded server"),
    };
    let server = RapidProServer::start([token.expose().into(), ways::rotated(token.expose())])?;
    let rapidpro = RapidPro::new(&server.base(), token.clone())?;
    let found = match way {
        "blocking" => ways::blocking::run(&rapidpro, token.expose())?,
        "pool" => ways::pool::run(&rapidpro, token.expose())?,
        _ => futures_lite::future::block_on(ways::nonblocking::run(&rapidpro, token.expose()))?,
    };
    Ok(report(&found, server.counts())?)
}

fn report(found: &Found, (asked, refused): (usize, usize)) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    writeln!(text, "the token is valid: {}", found.token_is_valid)?;
    writeln!(text, "a wrong token is valid: {}", found.wrong_token_is_valid)?;
    writeln!(text, "a call with the wrong token: {}", found.refusal)?;
    let name = |flow: &Option<client::Flow>| flow.as_ref().map(|flow| flow.name.clone());
    writeln!(
        text,
        "one flow: {:?}; a flow that is not there: {:?}",
        name(&found.flow),
        name(&found.missing)
    )?;
    for flow in &found.flows {
        writeln!(text, "{}  {}  {}", flow.uuid, flow.modified_on, flow.name)?;
    }
    writeln!(
        text,
        "{} flows; the server was asked {asked} times and said 429 {refused} time",
        found.flows.len()
    )?;
    Ok(text)
}
