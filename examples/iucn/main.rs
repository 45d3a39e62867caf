//! Species from an API like that of the IUCN Red List: pages until an empty one, in three ways.
//! Run: cargo run --example iucn [-- blocking|pool|async] [--config FILE with {"token": "…"}].
//! Expect: what an embedded server has, less one missing page; in each way the same, in a second.

mod client;
mod server;
#[path = "../support/server.rs"]
#[allow(dead_code)] // each example uses its own part
mod support;
mod ways;

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use client::List;
use duocall::{Api, Secret};
use serde::Deserialize;
use server::IucnServer;

const WAYS: [&str; 3] = ["blocking", "pool", "async"];
const TOKEN: &str = "the token of the embedded server";

#[derive(Deserialize)]
struct Config {
    token: String,
}

#[derive(Default)]
struct Options {
    way: Option<&'static str>,
    config: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let token = match &options.config {
        Some(path) => token(path)?,
        None => token_of_our_own()?,
    };
    let report = match options.way {
        Some(way) => run(way, &token)?,
        None => compare(&token)?,
    };
    print!("{report}");
    Ok(())
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut options = Options::default();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            lexopt::Arg::Long("config") => options.config = Some(parser.value()?.into()),
            lexopt::Arg::Value(value) if options.way.is_none() => {
                let known = WAYS.into_iter().find(|way| value == *way);
                options.way =
                    Some(known.ok_or("usage: iucn [blocking|pool|async] [--config FILE]")?);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(options)
}

fn token(path: &Path) -> Result<Secret, Box<dyn Error>> {
    // The error of a parser may quote the file, and the file holds a secret.
    let config = serde_json::from_slice::<Config>(&fs::read(path)?);
    Ok(config.map_err(|_| "the configuration is not JSON with a token")?.token.into())
}

/// Writes a configuration where nobody minds, and reads it like any other.
fn token_of_our_own() -> Result<Secret, Box<dyn Error>> {
    let path = std::env::temp_dir().join(format!("duocall-iucn-{}.json", std::process::id()));
    fs::write(&path, serde_json::json!({ "token": TOKEN }).to_string())?;
    let token = token(&path);
    fs::remove_file(&path)?;
    token
}

/// Calls in each way; the reports must be the same.
fn compare(token: &Secret) -> Result<String, Box<dyn Error>> {
    let report = run(WAYS[0], token)?;
    for way in &WAYS[1..] {
        if run(way, token)? != report {
            return Err(format!("{way} differs from {}", WAYS[0]).into());
        }
    }
    Ok(report + "the same in all three ways\n")
}

fn run(way: &str, token: &Secret) -> Result<String, Box<dyn Error>> {
    let server = IucnServer::start(token.expose().to_owned())?;
    let api = client::api(&server.base(), token.clone())?;
    let list = list_by(way, api)?;
    // How many more than needed is the difference between lazy and concurrent.
    eprintln!("{way}: {} requests for {} pages and an empty one", server.asked(), list.pages);
    let refusal = match list_by(way, client::api(&server.base(), "wrong")?) {
        Ok(_) => "none".to_owned(),
        Err(error) => format!("{:?}: {}", error.kind(), error.meaning().unwrap_or("no meaning")),
    };
    Ok(report(&list, &refusal)?)
}

fn list_by(way: &str, api: Api) -> Result<List, duocall::Error> {
    match way {
        "blocking" => ways::one_at_a_time(api),
        "pool" => ways::on_threads(api),
        _ => futures_lite::future::block_on(ways::in_a_task(api)),
    }
}

fn report(list: &List, refusal: &str) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for species in &list.species {
        writeln!(text, "{}  {}  {}", species.taxonid, species.category, species.scientific_name)?;
    }
    let species = list.species.len();
    writeln!(text, "{species} species on {} pages, {} of them missing", list.pages, list.missing)?;
    writeln!(text, "with a wrong token: {refusal}")?;
    Ok(text)
}
