//! A row of the table: what is asked, what the server does, what must come of it.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use duocall::{
    Api, ApiBuilder, Endpoint, Error, Paging, Request, Response, blocking, nonblocking, pool,
};

use super::door::{Called, Plan};
use super::outcome::Said;
use super::site::Site;
use crate::support::proxy::Rules;
use crate::support::tls;
use crate::support::{self, Act, Word};

/// What hooks and rules of a scenario have to say.
#[derive(Clone, Default)]
pub struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    pub fn add(&self, note: impl Display) {
        self.0.lock().unwrap().push(note.to_string());
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

type Setup = Arc<dyn Fn(ApiBuilder, &Notes) -> ApiBuilder + Send + Sync>;

#[derive(Clone)]
pub struct Scenario {
    pub name: &'static str,
    /// Appended to the server's address.
    pub base: &'static str,
    pub setup: Setup,
    pub op: Op,
    pub routes: Routes,
    /// Those of a second server, `{elsewhere}` (`{far}` without its scheme), on another address; `E` in what
    /// was seen.
    pub elsewhere: Routes,
    pub elsewhere_at: [u8; 4],
    pub scheme: &'static str,
    /// The name it is called by.
    pub host: Option<&'static str>,
    /// Request headers shown in `saw`, response headers shown in the result.
    pub shown: Vec<&'static str>,
    pub told: Vec<&'static str>,
    /// Calls run at once: the order of what the server saw, and its connections, mean nothing.
    pub at_once: bool,
    /// The deadline of its batch.
    pub deadline: Option<Duration>,
    /// The progress of its batch is noted.
    pub progress: bool,
    pub only_bytes: bool,
    /// How many requests it took, and which, is a matter of chance.
    pub loose: bool,
    pub refuse: bool,
    /// The queue of connections to be accepted is full, and stays so.
    pub full: bool,
    /// What the server does to the first connections before it reads anything.
    pub accepting: Vec<Vec<Act>>,
    /// What the server says to heads with an expectation, one after another; then what is usual.
    pub words: Vec<Word>,
    /// The `Authorization` that gets a 401, whatever the script.
    pub denied: Option<&'static str>,
    pub door: Plan,
    pub expected: Expected,
}

/// The replies to requests of a path, or of any.
pub type Routes = Vec<(&'static str, Vec<Reply>)>;

/// Each is lines joined by ` | `.
#[derive(Clone, Default)]
pub struct Expected {
    pub results: String,
    /// `First 503, Retry 200~`: the cause, what it met, `~` for a reused connection.
    pub traces: String,
    /// `GET /x~ {shown: header} body`.
    pub saw: String,
    pub notes: &'static str,
    /// Where a way of running differs, as documented: its name and its results.
    pub unlike: Vec<(&'static str, &'static str)>,
    /// If it is not the number of requests on new ones.
    pub connections: Option<usize>,
}

/// What a scenario does with a client.
#[derive(Clone)]
pub enum Op {
    /// One after another.
    Steps(Vec<Step>),
    /// All at once: a thread, a task or a job for each.
    Together(Vec<Request>),
    Batch(Mode, usize, Vec<Item>),
    /// Items of pages, as their JSON.
    Pages(Box<Request>, fn() -> Paging),
    /// Cancelled when the server has seen so many requests.
    Cancelled(usize, Box<Op>),
    Own(Own),
}

/// What has no step of its own, in each colour.
#[derive(Clone, Copy)]
pub struct Own {
    pub blocking: fn(&blocking::Client, &Arc<Site>) -> Vec<Said>,
    pub pool: fn(&pool::Client, &Arc<Site>) -> Vec<Said>,
    pub task: fn(nonblocking::Client, Arc<Site>) -> Saying,
}

pub type Saying = Pin<Box<dyn Future<Output = Vec<Said>> + Send>>;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Gather,
    FailFast,
    Stream,
    Ordered,
}

#[derive(Clone)]
pub enum Step {
    Send(Request),
    /// Made for the server's address.
    Made(fn(&Api) -> Request),
    Call(Item),
    /// Its body read as it comes.
    Open(Request),
    Do(fn(&Api, &Site)),
}

/// An endpoint with a choice of `decode`.
#[derive(Clone)]
pub struct Item {
    pub request: Request,
    pub read: fn(Response) -> Result<Value, Error>,
}

pub enum Value {
    Response(Response),
    Text(String),
}

impl Endpoint for Item {
    type Output = Value;

    fn request(&self) -> Request {
        self.request.clone()
    }

    fn decode(&self, response: Response) -> Result<Value, Error> {
        (self.read)(response)
    }
}

impl From<Request> for Item {
    fn from(request: Request) -> Item {
        Item { request, read: |response| Ok(Value::Response(response)) }
    }
}

/// What the server does about one request.
#[derive(Clone)]
pub enum Reply {
    Http(Http),
    /// A response of which only so many bytes of the body come, and then this.
    Part(Http, usize, Fault),
    /// No response.
    Fault(Fault),
    /// Bytes as they are; not for the mock.
    Raw(Vec<Act>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Close,
    Reset,
    Silence,
}

#[derive(Clone)]
pub struct Http {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    pub delay: Duration,
}

impl Http {
    /// `{base}` in the value stands for the server's address, `{other}` for its other name.
    pub fn header(mut self, name: &'static str, value: impl Display) -> Http {
        self.headers.push((name, value.to_string()));
        self
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Http {
        self.body = body.as_ref().to_vec();
        self
    }

    pub fn after(mut self, millis: u64) -> Http {
        self.delay = Duration::from_millis(millis);
        self
    }

    /// So many bytes of the body, then the fault.
    pub fn cut(self, bytes: usize, fault: Fault) -> Reply {
        Reply::Part(self, bytes, fault)
    }
}

pub fn http(status: u16) -> Http {
    let (headers, body, delay) = (Vec::new(), Vec::new(), Duration::ZERO);
    Http { status, headers, body, delay }
}

pub fn ok(body: impl AsRef<[u8]>) -> Http {
    http(200).body(body)
}

pub fn raw(bytes: impl AsRef<[u8]>) -> Reply {
    Reply::Raw(vec![Act::Write(bytes.as_ref().to_vec())])
}

/// The bytes, and then FIN.
pub fn raw_close(bytes: impl AsRef<[u8]>) -> Reply {
    Reply::Raw(vec![Act::Write(bytes.as_ref().to_vec()), Act::Close])
}

impl From<Http> for Reply {
    fn from(http: Http) -> Reply {
        Reply::Http(http)
    }
}

impl From<Fault> for Reply {
    fn from(fault: Fault) -> Reply {
        Reply::Fault(fault)
    }
}

fn add(routes: &mut Routes, path: &'static str, reply: Reply) {
    match routes.iter_mut().find(|route| route.0 == path) {
        Some(route) => route.1.push(reply),
        None => routes.push((path, vec![reply])),
    }
}

pub fn case(name: &'static str) -> Scenario {
    Scenario {
        name,
        base: "",
        setup: Arc::new(|api, _| api),
        op: Op::Steps(Vec::new()),
        routes: Vec::new(),
        elsewhere: Vec::new(),
        elsewhere_at: [127, 0, 0, 2],
        scheme: "http",
        host: None,
        shown: Vec::new(),
        told: Vec::new(),
        at_once: false,
        deadline: None,
        progress: false,
        only_bytes: false,
        loose: false,
        denied: None,
        door: Plan::default(),
        accepting: Vec::new(),
        words: Vec::new(),
        refuse: false,
        full: false,
        expected: Expected::default(),
    }
}

impl Scenario {
    pub fn base(mut self, path: &'static str) -> Self {
        self.base = path;
        self
    }

    pub fn api(self, f: impl Fn(ApiBuilder) -> ApiBuilder + Send + Sync + 'static) -> Self {
        self.noting(move |api, _| f(api))
    }

    pub fn noting(
        mut self,
        f: impl Fn(ApiBuilder, &Notes) -> ApiBuilder + Send + Sync + 'static,
    ) -> Self {
        self.setup = Arc::new(f);
        self
    }

    fn step(mut self, step: Step) -> Self {
        if let Op::Steps(steps) = &mut self.op {
            steps.push(step);
        }
        self
    }

    pub fn send(self, request: Request) -> Self {
        self.step(Step::Send(request))
    }

    pub fn send_made(self, make: fn(&Api) -> Request) -> Self {
        self.step(Step::Made(make))
    }

    pub fn call(self, request: Request, read: fn(Response) -> Result<Value, Error>) -> Self {
        self.step(Step::Call(Item { request, read }))
    }

    pub fn open(self, request: Request) -> Self {
        self.step(Step::Open(request))
    }

    pub fn then(self, f: fn(&Api, &Site)) -> Self {
        self.step(Step::Do(f))
    }

    pub fn together(mut self, requests: impl IntoIterator<Item = Request>) -> Self {
        self.op = Op::Together(requests.into_iter().collect());
        self.at_once = true;
        self
    }

    pub fn batch<T: Into<Item>>(
        mut self,
        mode: Mode,
        concurrency: usize,
        items: impl IntoIterator<Item = T>,
    ) -> Self {
        self.op = Op::Batch(mode, concurrency, items.into_iter().map(Into::into).collect());
        self.at_once = concurrency > 1;
        self
    }

    pub fn deadline(mut self, millis: u64) -> Self {
        self.deadline = Some(Duration::from_millis(millis));
        self
    }

    pub fn noting_progress(mut self) -> Self {
        self.progress = true;
        self
    }

    pub fn pages(mut self, first: Request, paging: fn() -> Paging) -> Self {
        self.op = Op::Pages(Box::new(first), paging);
        self
    }

    pub fn cancelled_at(mut self, requests: usize) -> Self {
        self.op = Op::Cancelled(requests, Box::new(self.op));
        self
    }

    pub fn reply(self, reply: impl Into<Reply>) -> Self {
        self.on("", reply)
    }

    /// The next reply to a request of that path; the last one repeats.
    pub fn on(mut self, path: &'static str, reply: impl Into<Reply>) -> Self {
        let reply = reply.into();
        self.only_bytes |= matches!(reply, Reply::Raw(_));
        add(&mut self.routes, path, reply);
        self
    }

    /// The same of the second server.
    pub fn elsewhere(mut self, path: &'static str, reply: impl Into<Reply>) -> Self {
        self.only_bytes = true;
        add(&mut self.elsewhere, path, reply.into());
        self
    }

    /// The second server is on the address of the first, at another port.
    pub fn next_door(mut self) -> Self {
        self.elsewhere_at = [127, 0, 0, 1];
        self
    }

    /// The server speaks TLS as well, at `{front}`; `F` in what was seen.
    pub fn with_front(mut self, setup: fn() -> tls::Setup) -> Self {
        self.door.beside = true;
        self.tls(setup)
    }

    /// Called by the name localhost, which has to be looked up.
    pub fn by_name(mut self) -> Self {
        (self.host, self.only_bytes) = (Some("localhost"), true);
        self
    }

    /// Called over https, by this name; the server speaks it only where it has [`tls`](Scenario::tls).
    pub fn https(mut self, host: &'static str) -> Self {
        (self.scheme, self.host, self.only_bytes) = ("https", Some(host), true);
        self
    }

    pub fn own(mut self, own: Own) -> Self {
        self.op = Op::Own(own);
        self.only_bytes = true;
        self
    }

    pub fn show(mut self, headers: &[&'static str]) -> Self {
        self.shown = headers.to_vec();
        self
    }

    pub fn tell(mut self, headers: &[&'static str]) -> Self {
        self.told = headers.to_vec();
        self
    }

    /// Makes sense only where there are bytes and connections.
    pub fn only_bytes(mut self) -> Self {
        self.only_bytes = true;
        self
    }

    pub fn loose(mut self) -> Self {
        self.loose = true;
        self
    }

    pub fn denies(mut self, authorization: &'static str) -> Self {
        self.denied = Some(authorization);
        self
    }

    /// Done to the next connection, instead of reading a request.
    pub fn accepts(mut self, acts: Vec<Act>) -> Self {
        self.accepting.push(acts);
        self.only_bytes = true;
        self
    }

    /// The server is reached under TLS, by the name `localhost`.
    pub fn tls(mut self, setup: fn() -> tls::Setup) -> Self {
        self.door.tls = Some(setup);
        self.only_bytes = true;
        self
    }

    /// The server is reached through a proxy; what that was asked for is noted.
    pub fn via(mut self, rules: Rules, proxy: Called) -> Self {
        self.door.proxy = Some((rules, proxy));
        self.only_bytes = true;
        self
    }

    /// Said to the next head with an expectation.
    pub fn says(mut self, word: Word) -> Self {
        self.words.push(word);
        self.only_bytes = true;
        self
    }

    /// Said in place of a 100.
    pub fn refuses(self, http: Http) -> Self {
        let headers: Vec<_> = http.headers.iter().map(|(name, v)| (*name, v.as_str())).collect();
        let acts = support::reply(http.status, &headers, &http.body);
        self.says(Word::Refuse(acts))
    }

    pub fn nobody_listens(mut self) -> Self {
        self.refuse = true;
        self.only_bytes = true;
        self
    }

    pub fn nobody_accepts(mut self) -> Self {
        self.full = true;
        self.only_bytes = true;
        self
    }

    pub fn notes(mut self, notes: &'static str) -> Self {
        self.expected.notes = notes;
        self
    }

    pub fn pool_differs(mut self, results: &'static str) -> Self {
        self.expected.unlike.push(("pool", results));
        self
    }

    pub fn connections(mut self, count: usize) -> Self {
        self.expected.connections = Some(count);
        self
    }

    pub fn expect(
        mut self,
        results: impl Into<String>,
        traces: impl Into<String>,
        saw: impl Into<String>,
    ) -> Scenario {
        let (results, traces, saw) = (results.into(), traces.into(), saw.into());
        self.expected = Expected { results, traces, saw, ..self.expected };
        self
    }
}
