//! The table's replies as a server on loopback gives them.

use std::sync::Mutex;
use std::time::Duration;

use super::scenario::{Fault, Http, Reply, Scenario};
use super::site::{Script, filled};
use crate::support::{self, Act, Seen, Server, Word};

pub fn server(scenario: &Scenario) -> Server {
    let script = Script::new(scenario);
    let accepting = scenario.accepting.clone();
    let words = Mutex::new(scenario.words.clone().into_iter());
    Server::on_expect(
        move |connection| accepting.get(connection).cloned(),
        move |_| words.lock().unwrap().next().unwrap_or_else(Word::usual),
        move |seen| {
            let path = seen.target.split('?').next().unwrap_or_default();
            acts(&script.next(path, seen.header("authorization")), seen)
        },
    )
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
    match fault {
        Fault::Close => vec![Act::Close],
        // What was written before shall not be lost to the reset.
        Fault::Reset => vec![Act::Pause(Duration::from_millis(20)), Act::Reset],
        Fault::Silence => vec![Act::Stall],
    }
}

fn whole(http: &Http, seen: &Seen) -> Vec<Act> {
    let port = seen.header("host").and_then(|host| host.rsplit(':').next()).unwrap_or_default();
    let headers: Vec<_> = http.headers.iter().map(|(name, v)| (*name, filled(v, port))).collect();
    let headers: Vec<_> = headers.iter().map(|(name, v)| (*name, v.as_str())).collect();
    let body: &[u8] = if seen.method == "HEAD" { b"" } else { &http.body };
    let mut acts = vec![Act::Pause(http.delay)];
    if http.delay.is_zero() {
        acts.clear();
    }
    acts.extend(support::reply(http.status, &headers, body));
    acts
}
