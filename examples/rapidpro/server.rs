//! Imitates the API: a list of flows in pages of ten, for whoever has a token that it knows. It
//! says 429 once.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::{Answer, Asked, Server};

const FLOWS: usize = 57;
const PAGE: usize = 10;

pub struct RapidProServer {
    server: Server,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    asked: AtomicUsize,
    refused: AtomicUsize,
    /// The page that it says 429 about, once.
    sore: Mutex<Option<usize>>,
}

impl RapidProServer {
    pub fn start(tokens: [String; 2]) -> io::Result<RapidProServer> {
        let counts = Arc::new(Counts { sore: Mutex::new(Some(2)), ..Counts::default() });
        let counted = counts.clone();
        let server = Server::start(move |asked| {
            counted.asked.fetch_add(1, Relaxed);
            let known = asked.token().is_some_and(|given| tokens.iter().any(|one| one == given));
            if known { answer(asked, &counted) } else { message(403, "", "Invalid token") }
        })?;
        Ok(RapidProServer { server, counts })
    }

    pub fn base(&self) -> String {
        self.server.url("/api/v2/")
    }

    /// How often it was asked, and how often it said 429.
    pub fn counts(&self) -> (usize, usize) {
        (self.counts.asked.load(Relaxed), self.counts.refused.load(Relaxed))
    }
}

fn answer(asked: &Asked, counts: &Counts) -> Answer {
    match asked.path.as_str() {
        "/api/v2/workspace.json" => Answer(200, JSON, json!({ "name": "Example" }).to_string()),
        "/api/v2/flows.json" => flows(asked, counts),
        _ => message(404, "", "Not found"),
    }
}

const JSON: &str = "content-type: application/json\r\n";

fn message(status: u16, headers: &'static str, text: &str) -> Answer {
    Answer(status, headers, json!({ "detail": text }).to_string())
}

fn flows(asked: &Asked, counts: &Counts) -> Answer {
    let page = asked.query("cursor").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut sore = counts.sore.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if sore.take_if(|sore| *sore == page).is_some() {
        counts.refused.fetch_add(1, Relaxed);
        return message(429, "retry-after: 1\r\n", "Request was throttled");
    }
    let wanted: Vec<Value> = (0..FLOWS).filter(|n| matches(asked, *n)).map(flow).collect();
    let link = |page: usize| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for name in ["before", "after"] {
            query.extend_pairs(asked.query(name).map(|value| (name, value)));
        }
        query.append_pair("cursor", &page.to_string());
        format!("/api/v2/flows.json?{}", query.finish())
    };
    let body = json!({
        "next": (wanted.len() > (page + 1) * PAGE).then(|| link(page + 1)),
        "previous": page.checked_sub(1).map(link),
        "results": wanted.chunks(PAGE).nth(page).unwrap_or_default(),
    });
    Answer(200, JSON, body.to_string())
}

fn matches(asked: &Asked, number: usize) -> bool {
    let date = modified_on(number);
    asked.query("uuid").is_none_or(|one| one == uuid(number))
        && asked.query("before").is_none_or(|before| date.as_str() < before)
        && asked.query("after").is_none_or(|after| date.as_str() > after)
}

pub fn uuid(number: usize) -> String {
    format!("5f05311e-8f81-4a67-a5b5-{:012x}", number * 7919)
}

fn modified_on(number: usize) -> String {
    format!("2024-{:02}-{:02}T08:00:00Z", number / 5 + 1, number % 5 * 6 + 1)
}

fn flow(number: usize) -> Value {
    let name = format!("Flow {}", number + 1);
    json!({ "uuid": uuid(number), "name": name, "modified_on": modified_on(number) })
}
