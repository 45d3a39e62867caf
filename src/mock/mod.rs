//! For the tests of programs that use duocall: scripted answers, virtual time, cassettes.
//!
//! No port is opened and no runtime is needed. The same [`Mock`] serves the
//! blocking, the pool and the async client.
//!
//! ```
//! use duocall::mock::{Mock, Reply};
//! use duocall::{Api, ErrorKind, Request, blocking, nonblocking};
//!
//! # fn main() -> Result<(), duocall::Error> {
//! let mock = Mock::new();
//! mock.on("GET", "flows/7").reply(Reply::json(&["seven"])).expect(2);
//!
//! let api = Api::new("http://api.example.com/v2/")?;
//! let client = blocking::Client::with_transport(api.clone(), mock.clone());
//! assert_eq!(client.send(Request::get("flows/7"))?.json::<Vec<String>>()?, ["seven"]);
//!
//! let client = nonblocking::Client::with_transport(api, mock.clone());
//! futures_lite::future::block_on(client.send(Request::get("flows/7")))?;
//! mock.verify();
//! # Ok(()) }
//! ```

mod cassette;
mod clock;
mod play;
mod reply;

use std::fmt;
use std::sync::{Arc, Mutex};

use http::{HeaderMap, Method, Request, Uri};

pub use cassette::{Recorder, Replay};
pub use clock::VirtualClock;
pub use reply::Reply;

use crate::body::Body;
use crate::error::ErrorKind;
use crate::request::Fields;
use crate::sync::lock;
use crate::transport::Failure;
use play::Answer;

/// A transport that answers from a script. Clones share the script and the count.
///
/// A request that no route is for fails with [`ErrorKind::Other`].
#[derive(Clone, Default)]
pub struct Mock(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    routes: Vec<Rule>,
    seen: Vec<Seen>,
}

type Responder = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

struct Rule {
    method: String,
    path: String,
    replies: Vec<Reply>,
    responder: Option<Responder>,
    hits: usize,
    expected: Option<usize>,
}

/// A request that a mock has seen.
#[derive(Clone)]
pub struct Seen {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
}

impl Seen {
    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The whole URL.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The header fields, credentials too.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The value of the first field of that name, if it is visible ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body; empty for one that is read as it is sent.
    pub fn body(&self) -> &[u8] {
        self.body.bytes().map_or(&[], |bytes| bytes)
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen")
            .field("method", &self.method)
            .field("path", &self.uri.path())
            .field("headers", &Fields(&self.headers))
            .field("body", &self.body)
            .finish()
    }
}

impl Mock {
    /// A mock without a route.
    pub fn new() -> Mock {
        Mock::default()
    }

    /// A mock that asks `respond` for the answer to every request.
    pub fn answering(respond: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Mock {
        let mock = Mock::new();
        mock.on("*", "*").respond(respond);
        mock
    }

    /// A route: a method, or `*` for any, and a path. A path that begins with a
    /// slash must be the whole path of the URL, another its end; `*` is any. The
    /// first route that fits answers.
    pub fn on(&self, method: &str, path: &str) -> Route {
        let mut state = lock(&self.0);
        state.routes.push(Rule {
            method: method.to_owned(),
            path: path.to_owned(),
            replies: Vec::new(),
            responder: None,
            hits: 0,
            expected: None,
        });
        Route { mock: self.clone(), index: state.routes.len() - 1 }
    }

    /// How many requests came.
    pub fn calls(&self) -> usize {
        lock(&self.0).seen.len()
    }

    /// The requests that came, in order.
    pub fn requests(&self) -> Vec<Seen> {
        lock(&self.0).seen.clone()
    }

    /// Checks what the routes [`expect`](Route::expect).
    ///
    /// # Panics
    /// When a route was not asked as often as expected; the message names it.
    pub fn verify(&self) {
        let state = lock(&self.0);
        let wrong: Vec<String> = state.routes.iter().filter_map(Rule::complaint).collect();
        drop(state);
        assert!(wrong.is_empty(), "{}", wrong.join("; "));
    }
}

impl Rule {
    fn fits(&self, request: &Seen) -> bool {
        let path = request.uri.path();
        let method_fits = self.method == "*" || self.method == request.method.as_str();
        let path_fits = match self.path.as_str() {
            "*" => true,
            whole if whole.starts_with('/') => path == whole,
            end => path.strip_suffix(end).is_some_and(|before| before.ends_with('/')),
        };
        method_fits && path_fits
    }

    fn complaint(&self) -> Option<String> {
        let expected = self.expected.filter(|expected| *expected != self.hits)?;
        let (method, path, hits) = (&self.method, &self.path, self.hits);
        Some(format!("{method} {path}: expected {expected} requests, saw {hits}"))
    }
}

impl Answer for Mock {
    fn answer(&self, request: &Request<Body>) -> Result<Reply, Failure> {
        let seen = Seen {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
            body: request.body().clone(),
        };
        let mut state = lock(&self.0);
        state.seen.push(seen.clone());
        let Some(rule) = state.routes.iter_mut().find(|rule| rule.fits(&seen)) else {
            let detail = format!("the mock has no route for {} {}", seen.method, seen.uri.path());
            return Err(Failure::new(ErrorKind::Other, detail).lasting());
        };
        let turn = rule.hits;
        rule.hits += 1;
        let responder = rule.responder.clone();
        let scripted = rule.replies.get(turn).or(rule.replies.last()).cloned();
        // The caller's code runs without the lock.
        drop(state);
        match (responder, scripted) {
            (Some(respond), _) => Ok(respond(&seen)),
            (None, Some(reply)) => Ok(reply),
            (None, None) => Ok(Reply::status(200)),
        }
    }
}

impl fmt::Debug for Mock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mock").field("calls", &self.calls()).finish_non_exhaustive()
    }
}

/// A route of a [`Mock`] in the making. Without a reply it answers 200.
#[derive(Debug)]
pub struct Route {
    mock: Mock,
    index: usize,
}

#[expect(clippy::return_self_not_must_use, reason = "each call changes the mock itself")]
impl Route {
    /// Adds the answer to the next request; the last one repeats.
    pub fn reply(self, reply: Reply) -> Route {
        self.change(|rule| rule.replies.push(reply))
    }

    /// Asks `respond` for every answer instead.
    pub fn respond(self, respond: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Route {
        self.change(|rule| rule.responder = Some(Arc::new(respond)))
    }

    /// How many requests there must have been when [`verify`](Mock::verify) is called.
    pub fn expect(self, requests: usize) -> Route {
        self.change(|rule| rule.expected = Some(requests))
    }

    fn change(self, change: impl FnOnce(&mut Rule)) -> Route {
        change(&mut lock(&self.mock.0).routes[self.index]);
        self
    }
}
