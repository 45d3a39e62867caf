//! The table's replies as servers on loopback give them.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use super::scenario::{Fault, Http, Reply, Routes, Scenario};
use super::site::{Script, filled};
use crate::support::{self, Act, Seen, Server, Word};

/// The servers of a scenario.
pub struct Servers {
    pub first: Server,
    /// On 127.0.0.2, if the scenario has routes for it; or next door, at another port.
    pub elsewhere: Option<Server>,
    /// Where they are: the first, the other, and the front with TLS.
    urls: Arc<OnceLock<[String; 3]>>,
    log: Log,
}

/// What either has seen, in order.
type Log = Arc<Mutex<Vec<Seen>>>;

impl Servers {
    pub fn new(scenario: &Scenario) -> Servers {
        let (log, other) = (Log::default(), Arc::new(OnceLock::<[String; 3]>::new()));
        let serve = |ip: [u8; 4], routes: &Routes, accepting: Vec<Vec<Act>>| {
            let script = Script::new(routes, scenario.denied);
            let (log, refused, other) = (log.clone(), log.clone(), other.clone());
            let words = Mutex::new(scenario.words.clone().into_iter());
            Server::bound(
                Ipv4Addr::from(ip).into(),
                move |connection| accepting.get(connection).cloned(),
                move |seen| {
                    let word = words.lock().unwrap().next().unwrap_or_else(Word::usual);
                    // What is refused does not come to the handler.
                    if matches!(word, Word::Refuse(_)) {
                        refused.lock().unwrap().push(seen.clone());
                    }
                    word
                },
                move |seen| {
                    log.lock().unwrap().push(seen.clone());
                    let path = seen.target.split('?').next().unwrap_or_default();
                    // Whatever the scenario: its own answer for whoever comes later.
                    if let Some(("", id)) = path.split_once("/after/") {
                        return support::ok(id);
                    }
                    let [first, elsewhere, front] = other.get().expect("they are there");
                    let place = |text: &str| {
                        let text = text.replace("{first}", first).replace("{front}", front);
                        let far = elsewhere.trim_start_matches("http://");
                        text.replace("{elsewhere}", elsewhere).replace("{far}", far)
                    };
                    acts(&script.next(path, seen.header("authorization")), seen, &place)
                },
            )
        };
        let first = serve([127, 0, 0, 1], &scenario.routes, scenario.accepting.clone());
        let elsewhere = (!scenario.elsewhere.is_empty())
            .then(|| serve(scenario.elsewhere_at, &scenario.elsewhere, Vec::new()));
        Servers { first, elsewhere, urls: other, log }
    }

    /// Before the first request: now the servers know of each other.
    pub fn begin(&self, front: Option<String>) {
        let elsewhere = self.elsewhere.as_ref().map(Server::url);
        let urls = [Some(self.first.url()), elsewhere, front].map(Option::unwrap_or_default);
        self.urls.set(urls.map(|url| url.trim_end_matches('/').to_owned())).expect("once");
    }

    pub fn requests(&self) -> Vec<Seen> {
        self.log.lock().unwrap().clone()
    }

    /// Waits until they have closed what is open.
    pub fn wait_closed(&self, within: Duration) -> bool {
        let elsewhere = self.elsewhere.as_ref();
        self.first.wait_closed(within) && elsewhere.is_none_or(|it| it.wait_closed(within))
    }
}

fn acts(reply: &Reply, seen: &Seen, place: &dyn Fn(&str) -> String) -> Vec<Act> {
    match reply {
        Reply::Http(http) => whole(http, seen, place),
        Reply::Part(http, bytes, fault) => {
            let mut acts = whole(http, seen, place);
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

fn whole(http: &Http, seen: &Seen, place: &dyn Fn(&str) -> String) -> Vec<Act> {
    let port = seen.header("host").and_then(|host| host.rsplit(':').next()).unwrap_or_default();
    let value = |value: &str| place(&filled(value, port));
    let headers: Vec<_> = http.headers.iter().map(|(name, v)| (*name, value(v))).collect();
    let headers: Vec<_> = headers.iter().map(|(name, v)| (*name, v.as_str())).collect();
    let body: &[u8] = if seen.method == "HEAD" { b"" } else { &http.body };
    let mut acts = vec![Act::Pause(http.delay)];
    if http.delay.is_zero() {
        acts.clear();
    }
    acts.extend(support::reply(http.status, &headers, body));
    acts
}
