//! Where the requests of a scenario go: to a server on loopback, or into a mock.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use duocall::mock::{Mock, VirtualClock};
use duocall::surf::HttpClient;
use duocall::{Api, ApiBuilder, blocking, nonblocking, pool};
use socket2::{Domain, Socket, Type};

use super::door::Door;
use super::loopback::Servers;
use super::scenario::{Reply, Routes, Scenario, http};
use super::{http2, mocked};
use crate::support::h2::{Good, soon};
use crate::support::{Seen, Server};

/// How long to wait for what must come.
const SOON: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    Loopback,
    /// A server on loopback that speaks HTTP/2, for the async client.
    Http2,
    Mock,
}

pub struct Site {
    pub place: Place,
    scheme: &'static str,
    host: Option<&'static str>,
    port: u16,
    door: Door,
    elsewhere: Option<SocketAddr>,
}

pub enum Place {
    Server(Servers),
    Http2 {
        _server: Good,
        seen: Arc<Mutex<Vec<Seen>>>,
    },
    Mock(Mock, VirtualClock),
    /// A port that nobody listens on, held so that nobody else gets it; or nobody accepts on.
    Nowhere {
        _held: Socket,
        _queued: Vec<TcpStream>,
    },
}

impl Site {
    pub fn new(scenario: &Scenario, ground: Ground) -> Site {
        let (scheme, host) = (scenario.scheme, scenario.host);
        let site = |place, port| Site {
            place,
            scheme,
            host,
            port,
            door: Door::default(),
            elsewhere: None,
        };
        if ground == Ground::Mock {
            return site(mocked::place(scenario), 8);
        }
        if ground == Ground::Http2 {
            let (place, port) = http2::place(scenario);
            return site(place, port);
        }
        if scenario.refuse || scenario.full {
            let (place, port) = nowhere(scenario.full);
            return site(place, port);
        }
        let servers = Servers::new(scenario);
        let addr = servers.first.addr();
        let elsewhere = servers.elsewhere.as_ref().map(Server::addr);
        let door = Door::new(&scenario.door, addr);
        servers.begin(door.secure(host.unwrap_or("127.0.0.1")));
        Site { door, elsewhere, ..site(Place::Server(servers), addr.port()) }
    }

    pub fn url(&self) -> String {
        let front = self.door.url(self.host.unwrap_or("localhost"));
        let host = self.host.unwrap_or("127.0.0.1");
        front.unwrap_or_else(|| format!("{}://{host}:{}/", self.scheme, self.port))
    }

    /// An API that knows the way in.
    pub fn api(&self, base: &str) -> ApiBuilder {
        self.door.set(Api::builder(format!("{}{base}", self.url())))
    }

    /// What the proxy was asked for.
    pub fn asked(&self) -> Vec<String> {
        self.door.asked().iter().map(|asked| self.masked(asked)).collect()
    }

    /// Without what tells one run from another.
    pub fn masked(&self, text: &str) -> String {
        let port = self.port;
        let text = self.door.masked(text);
        let text = match self.elsewhere {
            Some(addr) => text.replace(&addr.to_string(), "E"),
            None => text,
        };
        text.replace(&format!("127.0.0.1:{port}"), "H").replace(&format!("localhost:{port}"), "O")
    }

    pub fn requests(&self) -> Vec<Seen> {
        match &self.place {
            Place::Server(servers) => servers.requests(),
            Place::Http2 { seen, .. } => seen.lock().unwrap().clone(),
            Place::Mock(mock, _) => mock.requests().iter().map(mocked::seen).collect(),
            Place::Nowhere { .. } => Vec::new(),
        }
    }

    pub fn connections(&self) -> Option<usize> {
        match &self.place {
            Place::Server(servers) => {
                let elsewhere = servers.elsewhere.as_ref().map_or(0, Server::connections);
                Some(servers.first.connections() + elsewhere)
            }
            Place::Mock(..) | Place::Http2 { .. } => None,
            Place::Nowhere { .. } => Some(0),
        }
    }

    /// Waits until the server has seen so many.
    pub fn wait_requests(&self, count: usize) {
        match &self.place {
            Place::Server(servers) => {
                let end = Instant::now() + SOON;
                while servers.requests().len() < count && Instant::now() < end {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            Place::Http2 { seen, .. } => drop(soon(|| seen.lock().unwrap().len() >= count)),
            Place::Mock(..) | Place::Nowhere { .. } => {}
        }
    }

    /// Waits until the server has closed what is open.
    pub fn settle(&self) {
        self.wait_for(|servers| servers.wait_closed(SOON));
    }

    /// Waits until the server has done all there is to do about the first request.
    pub fn wait_played(&self) {
        self.wait_for(|servers| servers.first.wait_played(1, SOON));
    }

    /// And until the client's system knows.
    fn wait_for(&self, reached: impl FnOnce(&Servers) -> bool) {
        if let Place::Server(servers) = &self.place {
            assert!(reached(servers), "the server does what it shall");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn blocking(&self, api: Api) -> blocking::Client {
        match &self.place {
            Place::Mock(mock, _) => blocking::Client::with_transport(api, mock.clone()),
            _ => blocking::Client::new(api),
        }
    }

    pub fn pool(&self, api: Api) -> pool::Client {
        match &self.place {
            Place::Mock(mock, _) => pool::Client::with_transport(api, mock.clone()),
            _ => pool::Client::new(api),
        }
    }

    pub fn nonblocking(&self, api: Api) -> nonblocking::Client {
        match &self.place {
            Place::Mock(mock, _) => nonblocking::Client::with_transport(api, mock.clone()),
            _ => nonblocking::Client::new(api),
        }
    }

    /// With its sockets on the tokio runtime that it is called in.
    pub fn tokio(&self, api: Api) -> nonblocking::Client {
        match &self.place {
            Place::Mock(mock, _) => nonblocking::Client::with_transport(api, mock.clone()),
            _ => nonblocking::Client::with_tokio(api),
        }
    }

    pub fn surf(&self, api: Api) -> nonblocking::Client {
        match &self.place {
            Place::Mock(mock, _) => nonblocking::Client::with_transport(api, mock.clone()),
            _ => {
                let surf = surf::Client::with_http_client(HttpClient::for_api(&api));
                nonblocking::Client::with_surf(api, surf)
            }
        }
    }
}

/// A port that refuses connections, or leaves them waiting.
fn nowhere(full: bool) -> (Place, u16) {
    let _held = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    _held.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let addr = _held.local_addr().unwrap().as_socket().unwrap();
    let mut _queued = Vec::new();
    if full {
        _held.listen(0).unwrap();
        let wait = Duration::from_millis(100);
        // Until one has to wait, for then the queue is full.
        while let Ok(stream) = TcpStream::connect_timeout(&addr, wait) {
            _queued.push(stream);
        }
    }
    (Place::Nowhere { _held, _queued }, addr.port())
}

/// Chooses the replies of a scenario, one request after another.
pub struct Script {
    routes: Routes,
    denied: Option<&'static str>,
    counts: Mutex<HashMap<&'static str, usize>>,
}

impl Script {
    pub fn new(routes: &Routes, denied: Option<&'static str>) -> Script {
        Script { routes: routes.clone(), denied, counts: Mutex::default() }
    }

    pub fn next(&self, path: &str, authorization: Option<&str>) -> Reply {
        if self.denied.is_some() && authorization == self.denied {
            return http(401).into();
        }
        let route = self.routes.iter().find(|(of, _)| of.is_empty() || *of == path);
        let Some((of, replies)) = route else { return http(404).body("no route").into() };
        let mut counts = self.counts.lock().unwrap();
        let count = counts.entry(of).or_default();
        *count += 1;
        replies[(*count - 1).min(replies.len() - 1)].clone()
    }
}

/// The value of a header with the server's addresses in it.
pub fn filled(value: &str, port: &str) -> String {
    let value = value.replace("{base}", &format!("http://127.0.0.1:{port}"));
    let value = value.replace("{hostport}", &format!("127.0.0.1:{port}"));
    value.replace("{other}", &format!("http://localhost:{port}"))
}
