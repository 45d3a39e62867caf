//! Imitates the API: pages of species, one of them missing, and a refusal that looks like success.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, Asked, Server};

const PAGES: u64 = 9;
const MISSING: u64 = 5;
const SIZE: u64 = 4;
const LATENCY: Duration = Duration::from_millis(20);

pub struct IucnServer {
    server: Server,
    asked: Arc<AtomicUsize>,
}

impl IucnServer {
    pub fn start(token: String) -> io::Result<IucnServer> {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let server = Server::start(move |asked| {
            count.fetch_add(1, Relaxed);
            thread::sleep(LATENCY);
            let (status, body) = answer(asked, &token);
            Answer(status, "content-type: application/json\r\n", body.to_string())
        })?;
        Ok(IucnServer { server, asked })
    }

    pub fn base(&self) -> String {
        self.server.url("/api/v3/")
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Relaxed)
    }
}

fn answer(asked: &Asked, token: &str) -> (u16, Value) {
    if asked.query("token") != Some(token) {
        return (200, json!({ "message": "Token not valid!" }));
    }
    let page = asked.path.strip_prefix("/api/v3/species/page/").and_then(|n| n.parse().ok());
    match page {
        None | Some(MISSING) => (404, json!({ "message": "Not found" })),
        Some(page) => {
            let numbers = if page < PAGES { page * SIZE..(page + 1) * SIZE } else { 0..0 };
            let result: Vec<Value> = numbers.map(species).collect();
            (200, json!({ "count": result.len(), "page": page, "result": result }))
        }
    }
}

fn species(number: u64) -> Value {
    let genera = ["Panthera", "Lynx", "Salmo", "Aquila", "Quercus", "Rana", "Testudo"];
    let epithets = ["borealis", "montana", "minor", "robusta", "viridis"];
    let categories = ["LC", "NT", "VU", "EN", "CR", "DD"];
    let pick = |list: &[&str], step: u64| list[(number * step) as usize % list.len()].to_owned();
    json!({
        "taxonid": 1000 + number,
        "scientific_name": format!("{} {}", pick(&genera, 3), pick(&epithets, 2)),
        "category": pick(&categories, 5),
    })
}
