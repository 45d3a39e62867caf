//! Python's clients, by a script, where they are installed.

use std::process::{Command, Stdio};

use crate::child::Said;
use crate::options::Settings;
use crate::table::{Figures, Row};

const SCRIPT: &str = include_str!("../peers.py");

pub(crate) fn measure(settings: &Settings, base: &str, figures: &mut Figures) {
    let millis = if settings.quick { "500" } else { "2000" };
    for way in ["aiohttp", "httpx", "requests", "niquests"] {
        if !way.contains(&settings.only) {
            continue;
        }
        let in_flight = if ["aiohttp", "httpx"].contains(&way) { 32 } else { 1 };
        let mut row = Row::new(way, false, in_flight, "small");
        for _ in 0..settings.rounds {
            let output = Command::new(&settings.python)
                .args(["-c", SCRIPT, way, &format!("{base}small"), &in_flight.to_string(), millis])
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .output();
            let said = output.ok().and_then(|it| Said::read(&String::from_utf8_lossy(&it.stdout)));
            row.rounds.push(said);
            if said.is_none() {
                break;
            }
        }
        if row.rounds.iter().all(Option::is_some) {
            figures.rows.push(row);
        } else {
            figures.notes.push(format!("{way}: not installed for {}", settings.python.display()));
        }
    }
}
