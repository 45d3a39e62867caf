//! What is called, what a good server says to it, and what must hold when something failed on the way.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{LazyLock, Mutex};

use crate::support::proxy::{Relay, Rules};
use crate::support::tls::{Ca, Front, Setup};
use crate::support::{Act, Seen, Server, chunked, ok, reply};

/// One thing that is asked of a client. Every answer holds the id of its question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Get,
    Post,
    Chunked,
    Gzip,
    /// A redirect to a plain GET.
    Moved,
    /// A 503 first.
    Flaky,
    /// A body from a reader, which can be sent once.
    Up,
    /// A body read piece by piece.
    Down,
    /// Four GETs, two at a time.
    Batch,
}

/// What stands between the client and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Plain,
    Tls,
    /// A proxy that is asked to CONNECT, and TLS within.
    Tunnel,
}

pub struct Scene {
    pub name: &'static str,
    pub door: Door,
    pub calls: &'static [Call],
}

use Call::*;

pub const SCENES: &[Scene] = &[
    Scene { name: "a GET", door: Door::Plain, calls: &[Get] },
    Scene { name: "a POST with a body", door: Door::Plain, calls: &[Post] },
    Scene { name: "a chunked response", door: Door::Plain, calls: &[Chunked] },
    Scene { name: "a response in gzip", door: Door::Plain, calls: &[Gzip] },
    Scene { name: "one connection, three calls", door: Door::Plain, calls: &[Get, Post, Chunked] },
    Scene { name: "a redirect", door: Door::Plain, calls: &[Moved] },
    Scene { name: "a retry after 503", door: Door::Plain, calls: &[Flaky] },
    Scene { name: "TLS", door: Door::Tls, calls: &[Get, Post] },
    Scene { name: "through a proxy", door: Door::Tunnel, calls: &[Get, Post] },
    Scene { name: "a streamed upload", door: Door::Plain, calls: &[Up] },
    Scene { name: "a streamed download", door: Door::Plain, calls: &[Down] },
    Scene { name: "a batch", door: Door::Plain, calls: &[Batch] },
];

/// Asked after the scene, on the same client.
const AFTER: [Call; 3] = [Get, Post, Get];

impl Scene {
    /// All calls, with what they are named by.
    pub fn calls(&self) -> impl Iterator<Item = (usize, Call)> {
        self.calls.iter().chain(&AFTER).copied().enumerate()
    }
}

/// Larger than what a socket takes at once.
pub const LARGE: usize = 300_000;

/// The right answer to a question.
pub fn answer(call: Call, id: &str) -> String {
    let text = format!("{call:?} {id}");
    match call {
        // It leads there.
        Moved => answer(Get, id),
        Batch => answer(Get, id),
        Chunked | Gzip => format!("{text} {}", "lorem ipsum ".repeat(20)),
        Down => format!("{text} {}", "x".repeat(LARGE)),
        _ => text,
    }
}

static CA: LazyLock<Ca> = LazyLock::new(|| Ca::new("torture"));

/// A server and what stands in front of it.
pub struct Stage {
    pub server: Server,
    front: Option<Front>,
    proxy: Option<Relay>,
}

/// Where a client finds a stage.
pub struct Way {
    pub base: String,
    /// Where the first connection goes.
    pub near: SocketAddr,
    pub proxied: bool,
    pub roots: Option<&'static str>,
}

impl Stage {
    pub fn new(door: Door) -> Stage {
        let refused = Mutex::new(HashSet::new());
        let server = Server::new(move |seen| acts(seen, &refused));
        let front = (door != Door::Plain).then(|| {
            static SETUP: LazyLock<Setup> =
                LazyLock::new(|| Setup::new(CA.issue("localhost", |_| {})));
            Front::new(&SETUP, server.addr())
        });
        let proxy = (door == Door::Tunnel).then(|| {
            let leads_to = front.as_ref().map(Front::addr);
            Relay::new(Rules { leads_to, ..Rules::default() })
        });
        Stage { server, front, proxy }
    }

    pub fn way(&self) -> Way {
        let Some(front) = &self.front else {
            let (base, near) = (self.server.url(), self.server.addr());
            return Way { base, near, proxied: false, roots: None };
        };
        let near = self.proxy.as_ref().map_or(front.addr(), Relay::addr);
        let (base, proxied) = (front.url("localhost"), self.proxy.is_some());
        Way { base, near, proxied, roots: Some(&CA.pem) }
    }
}

fn acts(seen: &Seen, refused: &Mutex<HashSet<String>>) -> Vec<Act> {
    let (path, query) = seen.target.split_once('?').expect("a question has an id");
    let id = query.strip_prefix("id=").expect("an id");
    let call = match path {
        "/Get" => Get,
        "/Post" => Post,
        "/Chunked" => Chunked,
        "/Gzip" => Gzip,
        "/Moved" => return reply(302, &[("location", &format!("/Get?id={id}"))], "elsewhere"),
        "/Flaky" if refused.lock().unwrap().insert(id.to_owned()) => return reply(503, &[], ""),
        "/Flaky" => Flaky,
        "/Up" => Up,
        "/Down" => Down,
        other => panic!("nobody asks for {other}"),
    };
    let answer = answer(call, id);
    match call {
        // Not what was asked, but what came: a body that lost a part would show.
        Post if seen.body != id.as_bytes() => ok("the body is not the question's"),
        Up if seen.body != uploaded(id) => ok("the body is not the question's"),
        Chunked => {
            let (one, two) = answer.as_bytes().split_at(answer.len() / 2);
            chunked(200, &[], &[one, two])
        }
        Gzip => reply(200, &[("content-encoding", "gzip")], gzip(answer.as_bytes())),
        _ => ok(&answer),
    }
}

pub fn uploaded(id: &str) -> Vec<u8> {
    [id.as_bytes(), &vec![b'u'; LARGE]].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What one question came to: `id what`.
pub type Lines = Vec<String>;

/// What is wrong about a run in which so many faults were injected. `hasty`: its limits of time are
/// short, so that on a busy machine another call may have met one; never the last.
pub fn judge(
    scene: &Scene,
    lines: &Lines,
    server: &Server,
    faults: usize,
    hasty: bool,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let asked: usize = scene.calls().map(|(_, call)| if call == Batch { 4 } else { 1 }).sum();
    if lines.len() != asked {
        wrong.push(format!("{} of {asked} questions came to an end", lines.len()));
    }
    let mut failed = 0;
    for (n, line) in lines.iter().enumerate() {
        let (question, outcome) = line.split_once(": ").expect("a line of ours");
        if let Some(error) = outcome.strip_prefix("error ") {
            if hasty && error.starts_with("Timeout") && n + 1 < lines.len() {
                continue;
            }
            failed += 1;
            if let Some(why) = unfair(question, error, server) {
                wrong.push(format!("{why}: {line}"));
            }
        } else if outcome != "right" {
            wrong.push(line.clone());
        }
    }
    if failed > faults {
        wrong.push(format!("{failed} calls failed of {faults} faults"));
    }
    for post in posted_twice(server) {
        wrong.push(format!("{post} was sent twice"));
    }
    wrong
}

/// Why a call must not have failed like this.
fn unfair(question: &str, error: &str, server: &Server) -> Option<&'static str> {
    let typed = ["Connect", "Closed", "Truncated", "Timeout", "Resource", "Dns"];
    let (kind, rest) = error.split_once(' ').unwrap_or((error, ""));
    if !typed.iter().any(|typed| kind.starts_with(typed)) {
        return Some("an error of no sensible kind");
    }
    let once = ["Post", "Up", "Down"].iter().any(|once| question.starts_with(once));
    if !once && kind != "Resource" {
        return Some("one fault is worth another attempt");
    }
    // It speaks of the last attempt.
    let first = !error.contains(" attempts in ");
    let arrived = server.requests().iter().any(|seen| seen.target == target(question));
    if arrived && first && rest.starts_with("No") {
        return Some("it was sent, and says that it was not");
    }
    None
}

fn target(question: &str) -> String {
    let (call, id) = question.split_once(' ').expect("a question of ours");
    format!("/{call}?id={id}")
}

fn posted_twice(server: &Server) -> Vec<String> {
    let mut seen = HashSet::new();
    let posts = server.requests().into_iter().filter(|seen| seen.method == "POST");
    posts.map(|post| post.target).filter(|target| !seen.insert(target.clone())).collect()
}
