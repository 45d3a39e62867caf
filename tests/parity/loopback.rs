//! The table's replies as a server on loopback gives them.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Mutex;
use std::time::Duration;

use super::scenario::{Fault, Http, Reply, Scenario};
use crate::support::{self, Act, Seen, Server};

/// How long to wait for what must come.
const SOON: Duration = Duration::from_secs(10);

/// Where the requests of a scenario go.
pub struct Site {
    server: Option<Server>,
    addr: SocketAddr,
}

impl Site {
    pub fn new(scenario: &Scenario) -> Site {
        if scenario.refuse {
            let addr = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap();
            return Site { server: None, addr };
        }
        let (routes, denied) = (scenario.routes.clone(), scenario.denied);
        let counts: Mutex<HashMap<&str, usize>> = Mutex::default();
        let server = Server::new(move |seen| {
            if denied.is_some() && seen.header("authorization") == denied {
                return support::reply(401, &[], "");
            }
            let path = seen.target.split('?').next().unwrap_or_default();
            let route = routes.iter().find(|(of, _)| of.is_empty() || *of == path);
            let Some((of, replies)) = route else { return support::reply(404, &[], "no route") };
            let mut counts = counts.lock().unwrap();
            let count = counts.entry(of).or_default();
            *count += 1;
            acts(&replies[(*count - 1).min(replies.len() - 1)], seen)
        });
        let addr = server.addr();
        Site { server: Some(server), addr }
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.addr)
    }

    /// Without what tells one run from another.
    pub fn masked(&self, text: &str) -> String {
        let port = self.addr.port();
        text.replace(&format!("127.0.0.1:{port}"), "H").replace(&format!("localhost:{port}"), "O")
    }

    pub fn requests(&self) -> Vec<Seen> {
        self.server.as_ref().map(Server::requests).unwrap_or_default()
    }

    pub fn connections(&self) -> usize {
        self.server.as_ref().map_or(0, Server::connections)
    }

    /// Waits until the server has seen so many.
    pub fn wait_requests(&self, count: usize) -> bool {
        self.server.as_ref().is_none_or(|server| server.wait_requests(count, SOON))
    }

    /// Waits until the server has closed what is open, and the client's system knows.
    pub fn settle(&self) {
        let closed = self.server.as_ref().is_none_or(|server| server.wait_closed(SOON));
        assert!(closed, "the server closes its connections");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn acts(reply: &Reply, seen: &Seen) -> Vec<Act> {
    match reply {
        Reply::Http(http) => whole(http, seen),
        Reply::Part(http, bytes, fault) => {
            let mut acts = whole(http, seen);
            let Some(Act::Write(written)) = acts.last_mut() else { unreachable!("a write") };
            written.truncate(written.len() - http.body.len() + bytes);
            acts.extend(fault_acts(*fault));
            acts
        }
        Reply::Fault(fault) => fault_acts(*fault),
        Reply::Raw(acts) => acts.clone(),
    }
}

fn fault_acts(fault: Fault) -> Vec<Act> {
    // What was written before shall not be lost to the reset.
    let while_ago = Act::Pause(Duration::from_millis(20));
    match fault {
        Fault::Close => vec![Act::Close],
        Fault::Reset => vec![while_ago, Act::Reset],
        Fault::Silence => vec![Act::Stall],
    }
}

fn whole(http: &Http, seen: &Seen) -> Vec<Act> {
    let host = seen.header("host").unwrap_or_default();
    let port = host.rsplit(':').next().unwrap_or_default();
    let filled = |value: &str| {
        let value = value.replace("{base}", &format!("http://127.0.0.1:{port}"));
        let value = value.replace("{hostport}", &format!("127.0.0.1:{port}"));
        value.replace("{other}", &format!("http://localhost:{port}"))
    };
    let headers: Vec<_> = http.headers.iter().map(|(name, v)| (*name, filled(v))).collect();
    let headers: Vec<_> = headers.iter().map(|(name, v)| (*name, v.as_str())).collect();
    let body: &[u8] = if seen.method == "HEAD" { b"" } else { &http.body };
    let mut acts = vec![Act::Pause(http.delay)];
    if http.delay.is_zero() {
        acts.clear();
    }
    acts.extend(support::reply(http.status, &headers, body));
    acts
}
