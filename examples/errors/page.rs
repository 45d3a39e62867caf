//! The page: what every kind of error says, made by a failure of that kind.

use std::fmt::Write as _;
use std::future::Future;
use std::io::{self, Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use duocall::blocking::{Client, Reader};
use duocall::mock::{Mock, Reply, VirtualClock};
use duocall::transport::Failure;
use duocall::{
    Api, ApiBuilder, Ask, Auth, Body, Endpoint, Error, ErrorKind, Gate, Permit, Phase, Request,
    Response, Retry, Secret, Timeouts, http, pool,
};

const HOST: &str = "api.example.com";
const INTRODUCTION: &str = "\
# Errors

Every failure is a `duocall::Error`. `kind()` says what kind it is, `Display` says it in one line, `source()`
has the cause where there is one. More is in `status()`, `response()` (headers, and up to 8 KiB of the body),
`meaning()`, `retry_after()`, `attempts()`, `phase()` and `sent()`.

The messages below are real: `cargo run --example errors -- --write` makes each failure happen and writes this
page, and a test fails when it is out of date. Most are scripted, some come from sockets on this machine, whose
address is written as `api.example.com`. Query values, user names, passwords and credentials never show.

What is repeated by itself is not listed as advice: by the time you see an error, its retries are over.
";

struct Entry {
    kind: &'static str,
    when: &'static str,
    todo: &'static str,
    errors: Vec<Error>,
}

/// The whole page, as Markdown.
pub fn page() -> String {
    let mut text = String::from(INTRODUCTION);
    for Entry { kind, when, todo, errors } in entries() {
        let _ = write!(text, "\n## {kind}\n\n{}\n```text\n", wrapped(when));
        for error in &errors {
            let shown = format!("{:?}", error.kind());
            assert!(shown.starts_with(kind), "{shown} is not {kind}: {error}");
            let _ = writeln!(text, "{}", anonymous(&error.to_string()));
        }
        let _ = write!(text, "```\n\n{}", wrapped(todo));
    }
    text
}

/// In lines of up to 110 characters.
fn wrapped(prose: &str) -> String {
    let mut text = String::new();
    let mut line = 0;
    for word in prose.split_whitespace() {
        let space = line > 0 && line + 1 + word.len() <= 110;
        if line > 0 {
            text.push(if space { ' ' } else { '\n' });
        }
        line = if space { line + 1 + word.len() } else { word.len() };
        text.push_str(word);
    }
    text + "\n"
}

/// The ports of loopback servers differ from run to run.
fn anonymous(message: &str) -> String {
    let Some((before, rest)) = message.split_once("127.0.0.1:") else { return message.to_owned() };
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    format!("{before}{HOST}{}", &rest[end..])
}

fn entries() -> Vec<Entry> {
    let entry = |kind, when, todo, errors| Entry { kind, when, todo, errors };
    vec![
        entry(
            "Request",
            "A setting or a request is wrong. Nothing was sent. The message names the field and \
             never its value.",
            "Correct the program, or the configuration the value comes from. Repeating it changes \
             nothing.",
            vec![
                failed(Api::new("example.com/v2").map(drop)),
                failed(Api::builder("http://h/").auth(Auth::token("abc\n")).build().map(drop)),
                failed(
                    Api::builder("http://h/")
                        .timeouts(Timeouts::default().total(Duration::ZERO))
                        .build()
                        .map(drop),
                ),
                call(Request::get("../admin")),
                call(Request::get("flows").header("Host", "elsewhere")),
            ],
        ),
        entry(
            "Dns",
            "The name of the host could not be resolved.",
            "Check the base URL for a slip, then the machine's resolver and network.",
            vec![by_transport(|| Failure::new(ErrorKind::Dns, "the name is not known"))],
        ),
        entry(
            "Connect",
            "No address of the host took the connection.",
            "Check that the server runs and that the port is right; a firewall or a missing \
             network shows here too.",
            vec![at(nobody_listens(), Request::get("flows"))],
        ),
        entry(
            "Tls",
            "The TLS handshake failed, or the certificate is not one to trust.",
            "`source()` has the reason in full. For a server with a certificate of your own \
             authority, give its root to `Tls::roots_pem`. For a host that speaks plain HTTP, \
             write `http://`.",
            vec![over_tls(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")],
        ),
        entry(
            "Timeout",
            "A limit of time ran out; `phase()` says which. Waiting at the gate counts against \
             the queue's limit only.",
            "`Resolve`, `Connect`, `Tls`: the server or the way to it is down. `Send`, `Head`, \
             `Body`: it is slow; raise `head` or `idle` if that is normal for it. `Attempt`, \
             `Total`: the whole took too long; raise them, or ask for less. `Queue`: the API's \
             own concurrency or rate is the brake. `sent()` says whether the server may have \
             acted.",
            timeouts(),
        ),
        entry(
            "Protocol",
            "What the server sent is not HTTP/1.1.",
            "Check that the port is one for HTTP. Otherwise the server, or something between, is \
             broken.",
            vec![at(answering(b"220 mail.example.com ESMTP\r\n\r\n"), Request::get("flows"))],
        ),
        entry(
            "HeadTooLarge",
            "The head of the response is larger than 64 KiB, or has more than 100 fields.",
            "The server is at fault; most often it sets too many cookies.",
            vec![at(answering(&large_head()), Request::get("flows"))],
        ),
        entry(
            "Redirect",
            "The server pointed to a place that must not be followed, or pointed once too often.",
            "Put the final address into the base URL. With `Request::redirects(0)` and \
             `accept(302)` the redirect is handed over as the response it is. A link to a next page that \
             leaves the API's base is this error, too: a shorter base lets it be.",
            vec![
                redirected(Request::get("flows"), "http://api.example.com/v2/flows"),
                redirected(Request::put("flows").body("x"), "https://elsewhere.example/"),
                redirected(Request::get("flows"), "flows"),
            ],
        ),
        entry(
            "Closed",
            "The connection was closed before the response began.",
            "`sent()` says whether the server may have acted on the request. A request that was \
             not safe to repeat was not repeated; an `Idempotency-Key`, where the API takes one, \
             makes it safe.",
            vec![at(answering(b""), Request::get("flows"))],
        ),
        entry(
            "Truncated",
            "The body ended before its end.",
            "Nothing of it is handed over. If it happens again and again, the server or a proxy \
             gives up in the middle: ask for smaller pages.",
            vec![at(
                answering(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n[1,"),
                Request::get("flows"),
            )],
        ),
        entry(
            "BodyTooLarge",
            "The body is larger than `max_body` allows, after decoding.",
            "Ask for less, or raise `ApiBuilder::max_body`. The limit keeps a small response from \
             growing without end in memory.",
            vec![scripted(
                |api| api.max_body(10),
                Reply::text("more than ten bytes"),
                Request::get("flows"),
            )],
        ),
        entry(
            "Decode",
            "The body is not what was asked for: not JSON, not of that shape, not UTF-8, a broken \
             coding.",
            "Look at `error.response()`: a page of HTML or a login form tells more than the \
             position. Otherwise the type in the program and the API have drifted apart.",
            vec![
                decoded::<Vec<String>>(Reply::json(&[1, 2])),
                decoded::<Vec<String>>(Reply::text("<html>").header("content-type", "text/html")),
            ],
        ),
        entry(
            "Status",
            "The final status is outside 2xx, and the request did not accept it.",
            "`meaning()` says what it means: your own words by `ApiBuilder::meaning`, else those \
             of the registry. `api::<T>()` reads the API's own error from the body. Where a \
             status is an answer, `Request::accept(404)` makes it a response.",
            vec![
                scripted(
                    |api| api,
                    Reply::status(404),
                    Request::get("flows/7").query("key", "secret"),
                ),
                scripted(
                    |api| api.meaning(403, "Your token does not cover this list."),
                    Reply::status(403),
                    Request::get("flows"),
                ),
                scripted(|api| api, Reply::status(503), Request::get("flows")),
                scripted(
                    |api| api,
                    Reply::status(429).header("retry-after", "3600"),
                    Request::get("flows"),
                ),
            ],
        ),
        entry(
            "Rejected",
            "The status is good, and the API's `reject` rule called the response a failure.",
            "`meaning()` has the rule's words, `response()` the body it looked at.",
            vec![scripted(
                |api| {
                    api.reject(|r: &Response| {
                        r.text_contains("not valid").then(|| "Token not valid!".into())
                    })
                },
                Reply::text("Token not valid!"),
                Request::get("flows"),
            )],
        ),
        entry(
            "Auth",
            "A credential could not be made. (A 401 or 403 of the server is `Status`.)",
            "Set what is missing. For a refresh hook, `source()` is its own error.",
            vec![
                failed(Secret::from_env("NO_SUCH_TOKEN").map(drop)),
                failed(Secret::from_file("no/such/file").map(drop)),
                scripted(
                    |api| {
                        api.auth(Auth::refreshing(|| Err::<Auth, _>("the token endpoint is down")))
                    },
                    Reply::status(200),
                    Request::get("flows"),
                ),
            ],
        ),
        entry(
            "Cancelled",
            "The caller cancelled the call, its batch or its job.",
            "Nothing: it was asked for. `sent()` says whether the server may have acted.",
            vec![cancelled()],
        ),
        entry(
            "Resource",
            "This machine ran out of something: file descriptors, threads, memory.",
            "Raise the limit, or lower `concurrency`.",
            vec![by_transport(|| {
                Failure::from_io(io::Error::from_raw_os_error(24), Phase::Connect)
            })],
        ),
        entry(
            "Body",
            "The body of the request could not be read, or is not of the length that was told.",
            "Correct what makes the body. A reader can be sent once: it cannot be sent again after an \
             attempt that failed.",
            vec![unread(), too_short()],
        ),
        entry(
            "Panicked",
            "Code of yours, an endpoint's `request` or `decode`, panicked in a worker of the \
             pool. The worker lives on.",
            "Correct the endpoint; the panic's message went where panics go.",
            vec![panicked()],
        ),
        entry(
            "Shutdown",
            "The last clone of a pool's client was dropped with the call still queued. Nothing \
             was sent.",
            "Keep a clone of the client until its jobs are done.",
            vec![shut_down()],
        ),
        entry(
            "Gate",
            "A gate of another making could not be asked for admission.",
            "What is wrong is that gate's to say.",
            vec![at_gate()],
        ),
        entry(
            "Other",
            "Something else in the transport.",
            "The message and `source()` say what. A mock says so when it has no route for a \
             request.",
            vec![unrouted()],
        ),
    ]
}

fn failed(result: Result<(), Error>) -> Error {
    result.expect_err("made to fail")
}

fn base() -> String {
    format!("https://{HOST}/v2/")
}

/// Fails before it is sent.
fn call(request: Request) -> Error {
    scripted(|api| api, Reply::status(200), request)
}

/// Against a script, on a clock that takes no time, with jitter that is always the same.
fn scripted(settings: impl Fn(ApiBuilder) -> ApiBuilder, reply: Reply, request: Request) -> Error {
    let clock = VirtualClock::new();
    let api = Api::builder(base()).retry(Retry::default().seed(1)).clock(&clock);
    let api = settings(api).build().expect("a good API");
    let client = Client::with_transport(api, Mock::answering(move |_| reply.clone()));
    failed(client.send(request).map(drop))
}

fn decoded<T: serde::de::DeserializeOwned>(reply: Reply) -> Error {
    let api = Api::new(base()).expect("a good API");
    let client = Client::with_transport(api, Mock::answering(move |_| reply.clone()));
    failed(client.call(Request::get("flows").into_json::<T>()).map(drop))
}

fn redirected(request: Request, location: &'static str) -> Error {
    scripted(|api| api, Reply::status(307).header("location", location), request)
}

fn timeouts() -> Vec<Error> {
    use Phase::{Body, Connect, Head, Resolve, Send, Tls};
    let stalled = [Resolve, Connect, Tls, Send, Head, Body].map(|phase| {
        let once = |api: ApiBuilder| api.retry(Retry::none());
        scripted(once, Reply::stall(phase), Request::get("flows"))
    });
    let slow = |limits: fn(Timeouts) -> Timeouts| {
        let once = |api: ApiBuilder| api.retry(Retry::none()).timeouts(limits(Timeouts::default()));
        scripted(once, Reply::stall(Head), Request::get("flows"))
    };
    let whole = [
        slow(|limits| limits.attempt(Duration::from_secs(1))),
        slow(|limits| limits.total(Duration::from_secs(1))),
        queued(),
    ];
    stalled.into_iter().chain(whole).collect()
}

fn by_transport(failure: fn() -> Failure) -> Error {
    let api = Api::builder(base()).retry(Retry::none()).build().expect("a good API");
    let client = Client::with_transport(api, move |_, _: &_| Err(failure()));
    failed(client.send(Request::get("flows")).map(drop))
}

/// A client whose transport says when a request is there, and holds it until told.
fn held(api: ApiBuilder) -> (Client, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (came, arrivals) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let client = Client::with_transport(api.build().expect("a good API"), move |_, _: &_| {
        let _ = came.send(());
        let _ = released.lock().map(|released| released.recv());
        Ok(http::Response::new(Box::new(io::empty()) as Reader))
    });
    (client, arrivals, release)
}

/// A second call where only one may be under way.
fn queued() -> Error {
    let limits = Timeouts::default().queue(Duration::from_millis(1));
    let (client, arrivals, release) = held(Api::builder(base()).concurrency(1).timeouts(limits));
    let other = client.clone();
    let first = thread::spawn(move || other.send(Request::get("flows")).map(drop));
    arrivals.recv().expect("the first call");
    let error = failed(client.send(Request::get("flows")).map(drop));
    drop(release);
    first.join().expect("no panic").expect("released");
    error
}

/// A call that still waits for a worker when the client goes.
fn shut_down() -> Error {
    let (client, arrivals, release) = held(Api::builder(base()));
    let builder = pool::Client::builder(client.api().clone()).over(client).threads(1);
    let client = builder.build().expect("a pool");
    let first = client.send(Request::get("flows"));
    arrivals.recv().expect("the first call");
    let second = client.send(Request::get("flows"));
    let dropping = thread::spawn(move || drop(client));
    let error = failed(second.wait().map(drop));
    drop(release);
    first.wait().expect("released");
    dropping.join().expect("joined its workers");
    error
}

fn unread() -> Error {
    struct Torn;
    impl Read for Torn {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }
    // This server would hang up on an announcement.
    let request = Request::put("flows/7").expect_above(u64::MAX);
    at(answering(b""), request.body(Body::reader(Torn)))
}

fn too_short() -> Error {
    at(answering(b""), Request::put("flows/7").body(Body::sized_reader(io::empty(), 10)))
}

fn cancelled() -> Error {
    let (came, arrivals) = mpsc::channel();
    let mock = Mock::answering(move |_| {
        let _ = came.send(());
        Reply::stall(Phase::Head)
    });
    let api = Api::new(base()).expect("a good API");
    let client = pool::Client::with_transport(api, mock);
    let job = client.send(Request::get("flows"));
    arrivals.recv().expect("the call");
    job.cancel();
    failed(job.wait().map(drop))
}

fn panicked() -> Error {
    struct Careless;
    impl Endpoint for Careless {
        type Output = ();

        fn request(&self) -> Request {
            Request::get("flows")
        }

        fn decode(&self, _: Response) -> Result<(), Error> {
            // As a panic does, without its message on the terminal.
            std::panic::resume_unwind(Box::new(()))
        }
    }
    let api = Api::new(base()).expect("a good API");
    let mock = Mock::answering(|_| Reply::status(200));
    failed(pool::Client::with_transport(api, mock).call(Careless).wait())
}

fn at_gate() -> Error {
    #[derive(Debug)]
    struct Closed;
    impl Gate for Closed {
        fn admit(&self, _: &Ask) -> Result<Permit, Error> {
            Err(Error::custom(ErrorKind::Gate, "the rate server does not answer"))
        }

        fn admit_async<'a>(
            &'a self,
            ask: &'a Ask,
        ) -> Pin<Box<dyn Future<Output = Result<Permit, Error>> + Send + 'a>> {
            Box::pin(async { self.admit(ask) })
        }

        fn close(&self, _: Duration) {}
    }
    scripted(|api| api.gate(Closed), Reply::status(200), Request::get("flows"))
}

fn unrouted() -> Error {
    let api = Api::new(base()).expect("a good API");
    let client = Client::with_transport(api, Mock::new());
    failed(client.send(Request::get("flows")).map(drop))
}

/// Over real sockets, once.
fn at(address: SocketAddr, request: Request) -> Error {
    over("http", address, request)
}

fn over(scheme: &str, address: SocketAddr, request: Request) -> Error {
    let base = format!("{scheme}://{address}/v2/");
    let api = Api::builder(base).retry(Retry::none()).build().expect("a good API");
    failed(Client::new(api).send(request).map(drop))
}

fn over_tls(answer: &[u8]) -> Error {
    over("https", answering(answer), Request::get("flows"))
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

fn nobody_listens() -> SocketAddr {
    listener().1
}

/// A server that takes one request, writes these bytes and hangs up.
fn answering(answer: &[u8]) -> SocketAddr {
    let (listener, address) = listener();
    let answer = answer.to_vec();
    thread::spawn(move || -> io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        let _ = stream.read(&mut [0; 4096])?;
        stream.write_all(&answer)?;
        stream.shutdown(Shutdown::Write)?;
        // What is unread when a socket closes would reset it.
        io::copy(&mut stream, &mut io::sink()).map(drop)
    });
    address
}

fn large_head() -> Vec<u8> {
    let field = format!("x-large: {}\r\n", "x".repeat(1000));
    format!("HTTP/1.1 200 OK\r\n{}\r\n", field.repeat(100)).into_bytes()
}
