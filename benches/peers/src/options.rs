//! What the program is asked to do.

use std::path::PathBuf;

use lexopt::{Arg, ValueExt};

use crate::Result;
use crate::child::Job;

pub(crate) const HELP: &str = "\
peers [--quick] [--only WORD] [--rounds N] [--python PATH] [--out FOLDER]

Compares duocall with other HTTP clients against a server on this machine.

  --quick        3 short rounds instead of 5 long ones, and fewer rows
  --only WORD    only the ways with WORD in their name (targets are then incomplete)
  --rounds N     that many rounds
  --python PATH  the interpreter that has httpx, aiohttp, requests, niquests; default python3
  --out FOLDER   for peers.csv and peers.svg; default target/peers";

pub(crate) enum Mode {
    Help,
    Serve,
    Child(Job),
    Compare(Settings),
}

pub(crate) struct Settings {
    pub(crate) quick: bool,
    pub(crate) rounds: usize,
    pub(crate) only: String,
    pub(crate) python: PathBuf,
    pub(crate) out: PathBuf,
}

pub(crate) fn parse() -> Result<Mode> {
    let mut settings = Settings {
        quick: false,
        rounds: 0,
        only: String::new(),
        python: "python3".into(),
        out: "target/peers".into(),
    };
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Long("help") | Arg::Short('h') => return Ok(Mode::Help),
            Arg::Long("serve") => return Ok(Mode::Serve),
            Arg::Long("child") => return Ok(Mode::Child(args.value()?.string()?.parse()?)),
            Arg::Long("quick") => settings.quick = true,
            Arg::Long("rounds") => settings.rounds = args.value()?.parse()?,
            Arg::Long("only") => settings.only = args.value()?.string()?,
            Arg::Long("python") => settings.python = args.value()?.into(),
            Arg::Long("out") => settings.out = args.value()?.into(),
            other => return Err(other.unexpected().into()),
        }
    }
    if settings.rounds == 0 {
        settings.rounds = if settings.quick { 3 } else { 5 };
    }
    Ok(Mode::Compare(settings))
}
