//! Where the requests of a scenario go: to a server on loopback, or into a mock.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use duocall::mock::{Mock, VirtualClock};
use duocall::surf::HttpClient;
use duocall::{Api, ApiBuilder, blocking, nonblocking, pool};
use socket2::{Domain, Socket, Type};

use super::door::Door;
use super::scenario::{Reply, Scenario, http};
use super::{http2, loopback, mocked};
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
    port: u16,
    door: Door,
}

pub enum Place {
    Server(Server),
    Http2 {
        _server: Good,
        seen: Arc<Mutex<Vec<Seen>>>,
    },
    Mock(Mock, VirtualClock),
    /// A port that nobody listens on, held so that nobody else gets it.
    Nowhere {
        _held: Socket,
    },
}

impl Site {
    pub fn new(scenario: &Scenario, ground: Ground) -> Site {
        if ground == Ground::Mock {
            return Site { place: mocked::place(scenario), port: 8, door: Door::default() };
        }
        if ground == Ground::Http2 {
            let (place, port) = http2::place(scenario);
            return Site { place, port, door: Door::default() };
        }
        if scenario.refuse {
            // Bound, so that nobody else gets the port, and not listening.
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
            let port = socket.local_addr().unwrap().as_socket().unwrap().port();
            let door = Door::default();
            return Site { place: Place::Nowhere { _held: socket }, port, door };
        }
        let server = loopback::server(scenario);
        let port = server.addr().port();
        let door = Door::new(&scenario.door, server.addr());
        Site { place: Place::Server(server), port, door }
    }

    pub fn url(&self) -> String {
        self.door.url().unwrap_or_else(|| format!("http://127.0.0.1:{}/", self.port))
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
        text.replace(&format!("127.0.0.1:{port}"), "H").replace(&format!("localhost:{port}"), "O")
    }

    pub fn requests(&self) -> Vec<Seen> {
        match &self.place {
            Place::Server(server) => server.requests(),
            Place::Http2 { seen, .. } => seen.lock().unwrap().clone(),
            Place::Mock(mock, _) => mock.requests().iter().map(mocked::seen).collect(),
            Place::Nowhere { .. } => Vec::new(),
        }
    }

    pub fn connections(&self) -> Option<usize> {
        match &self.place {
            Place::Server(server) => Some(server.connections()),
            Place::Mock(..) | Place::Http2 { .. } => None,
            Place::Nowhere { .. } => Some(0),
        }
    }

    /// Waits until the server has seen so many.
    pub fn wait_requests(&self, count: usize) {
        match &self.place {
            Place::Server(server) => drop(server.wait_requests(count, SOON)),
            Place::Http2 { seen, .. } => drop(soon(|| seen.lock().unwrap().len() >= count)),
            Place::Mock(..) | Place::Nowhere { .. } => {}
        }
    }

    /// Waits until the server has closed what is open, and the client's system knows.
    pub fn settle(&self) {
        if let Place::Server(server) = &self.place {
            assert!(server.wait_closed(SOON), "the server closes its connections");
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

/// Chooses the replies of a scenario, one request after another.
pub struct Script {
    routes: Vec<(&'static str, Vec<Reply>)>,
    denied: Option<&'static str>,
    counts: Mutex<HashMap<&'static str, usize>>,
}

impl Script {
    pub fn new(scenario: &Scenario) -> Script {
        let (routes, denied) = (scenario.routes.clone(), scenario.denied);
        Script { routes, denied, counts: Mutex::default() }
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
