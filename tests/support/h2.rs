//! Servers that speak HTTP/2: a good one, and one that writes frames by hand.

use std::future::Future;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use duocall::nonblocking::Client;
use duocall::{Api, ApiBuilder, Error, Http2, Request, Response, Retry, Timeouts};
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::HeaderMap;
use tokio::sync::Notify;

type Handling = Pin<Box<dyn Future<Output = ()> + Send>>;
type Handler = dyn Fn(Incoming) -> Handling + Send + Sync;

/// A server by h2, on a thread of its own.
pub struct Good {
    addr: SocketAddr,
    counts: Arc<Counts>,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
pub struct Counts {
    pub connections: AtomicUsize,
    pub open: AtomicUsize,
    pub streams: AtomicUsize,
    /// At work now, and the most there ever were.
    pub now: AtomicUsize,
    pub peak: AtomicUsize,
    /// Streams that the client has reset.
    pub cancelled: AtomicUsize,
    heads: Mutex<Vec<String>>,
}

impl Counts {
    /// Method, URL and header fields of each request.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// A request, and the means to answer it.
pub struct Incoming {
    pub head: http::request::Parts,
    pub body: RecvStream,
    pub respond: SendResponse<Bytes>,
    pub counts: Arc<Counts>,
}

impl Incoming {
    pub fn path(&self) -> &str {
        self.head.uri.path()
    }

    /// The whole body.
    pub async fn read(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(Ok(piece)) = self.body.data().await {
            let _ = self.body.flow_control().release_capacity(piece.len());
            all.extend_from_slice(&piece);
        }
        all
    }

    pub fn head(&mut self, response: http::Response<()>) -> SendStream<Bytes> {
        self.respond.send_response(response, false).expect("the first response")
    }

    /// A response with this body, as fast as the client takes it.
    pub async fn answer(mut self, status: u16, body: impl Into<Bytes>) {
        let response = http::Response::builder().status(status).body(()).unwrap();
        // Whoever has reset the stream misses nothing.
        if let Ok(mut stream) = self.respond.send_response(response, false) {
            let _ = send(&mut stream, body.into(), true).await;
        }
    }
}

/// Sends as there is room.
pub async fn send(stream: &mut SendStream<Bytes>, mut body: Bytes, end: bool) -> Result<(), ()> {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
        let Some(Ok(room)) = room else { return Err(()) };
        let part = body.split_to(room.min(body.len()));
        let last = end && body.is_empty();
        stream.send_data(part, last).map_err(drop)?;
        if last {
            return Ok(());
        }
    }
    if end { stream.send_data(Bytes::new(), true).map_err(drop) } else { Ok(()) }
}

/// Waits until the client has reset the stream.
pub async fn until_reset(respond: &mut SendResponse<Bytes>, counts: &Counts) -> Option<Reason> {
    let reason = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
    counts.cancelled.fetch_add(1, SeqCst);
    reason.ok()
}

impl Good {
    pub fn new<F, R>(handler: F) -> Good
    where
        F: Fn(Incoming) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Good::with(Builder::new(), handler)
    }

    pub fn with<F, R>(builder: Builder, handler: F) -> Good
    where
        F: Fn(Incoming) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        let (counts, stop) = (Arc::new(Counts::default()), Arc::new(Notify::new()));
        let handler: Arc<Handler> = Arc::new(move |incoming| Box::pin(handler(incoming)));
        let (ours, ends) = (counts.clone(), stop.clone());
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tokio::spawn(async move {
                    while let Ok((stream, _)) = listener.accept().await {
                        let (counts, handler) = (ours.clone(), handler.clone());
                        tokio::spawn(serve(stream, builder.clone(), counts, handler));
                    }
                });
                // With the runtime, everything ends.
                ends.notified().await;
            });
        });
        Good { addr, counts, stop, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.addr)
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn connections(&self) -> usize {
        self.counts.connections.load(SeqCst)
    }

    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// Waits for what must come soon.
    pub fn wait(&self, what: impl Fn(&Counts) -> bool) -> bool {
        soon(|| what(&self.counts))
    }
}

/// Whether it came within ten seconds.
pub fn soon(what: impl Fn() -> bool) -> bool {
    (0..1000).any(|_| {
        let came = what();
        if !came {
            thread::sleep(Duration::from_millis(10));
        }
        came
    })
}

impl Drop for Good {
    fn drop(&mut self) {
        self.stop.notify_one();
        let joined = self.thread.take().map(JoinHandle::join);
        if let (Some(Err(panic)), false) = (joined, thread::panicking()) {
            std::panic::resume_unwind(panic);
        }
    }
}

async fn serve(
    stream: tokio::net::TcpStream,
    builder: Builder,
    counts: Arc<Counts>,
    handler: Arc<Handler>,
) {
    stream.set_nodelay(true).unwrap();
    counts.connections.fetch_add(1, SeqCst);
    counts.open.fetch_add(1, SeqCst);
    if let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await {
        while let Some(Ok((request, respond))) = connection.accept().await {
            counts.streams.fetch_add(1, SeqCst);
            let now = counts.now.fetch_add(1, SeqCst) + 1;
            counts.peak.fetch_max(now, SeqCst);
            let (head, body) = request.into_parts();
            let shown = format!("{} {} {:?}", head.method, head.uri, head.headers);
            counts.heads.lock().unwrap().push(shown);
            let handled = handler(Incoming { head, body, respond, counts: counts.clone() });
            let counts = counts.clone();
            tokio::spawn(async move {
                handled.await;
                counts.now.fetch_sub(1, SeqCst);
            });
        }
    }
    counts.open.fetch_sub(1, SeqCst);
}

/// A server that writes what it likes.
pub struct Frames {
    addr: SocketAddr,
    connections: Arc<AtomicUsize>,
    stopping: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Frames {
    /// `script` gets each connection, with its number, after the client's preface. What it leaves is
    /// closed.
    pub fn new(
        script: impl Fn(usize, &mut Wire) -> io::Result<()> + Send + Sync + 'static,
    ) -> Frames {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (connections, stopping) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (count, stop, script) = (connections.clone(), stopping.clone(), Arc::new(script));
        let acceptor = thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if stop.load(SeqCst) {
                    return;
                }
                let (number, script) = (count.fetch_add(1, SeqCst), script.clone());
                thread::spawn(move || {
                    stream.set_nodelay(true)?;
                    let mut wire = Wire { stream };
                    let mut preface = [0; 24];
                    wire.stream.read_exact(&mut preface)?;
                    assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
                    // Whoever leaves early is the client's business.
                    script(number, &mut wire)
                });
            }
        });
        Frames { addr, connections, stopping, acceptor: Some(acceptor) }
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.addr)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.stopping.store(true, SeqCst);
        let _ = TcpStream::connect(self.addr);
        let _ = self.acceptor.take().map(JoinHandle::join);
    }
}

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// `:status: 200`, from the static table.
pub const OK: &[u8] = &[0x88];

#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

pub struct Wire {
    pub stream: TcpStream,
}

impl Wire {
    pub fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        self.stream.write_all(&frame)
    }

    pub fn settings(&mut self, settings: &[(u16, u32)]) -> io::Result<()> {
        let pairs = settings.iter();
        let payload: Vec<u8> = pairs
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        self.write(SETTINGS, 0, 0, &payload)
    }

    pub fn goaway(&mut self, last: u32, reason: Reason) -> io::Result<()> {
        let payload = [last.to_be_bytes(), u32::from(reason).to_be_bytes()].concat();
        self.write(GOAWAY, 0, 0, &payload)
    }

    pub fn reset(&mut self, stream: u32, reason: Reason) -> io::Result<()> {
        self.write(RESET, 0, stream, &u32::from(reason).to_be_bytes())
    }

    /// A 200 with this body.
    pub fn answer(&mut self, stream: u32, body: &[u8]) -> io::Result<()> {
        self.write(HEADERS, END_HEADERS, stream, OK)?;
        self.write(DATA, END_STREAM, stream, body)
    }

    pub fn read(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload)?;
        Ok(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The next frame of this kind; settings and PINGs on the way are answered.
    pub fn next(&mut self, kind: u8) -> io::Result<Frame> {
        loop {
            let frame = self.read()?;
            match (frame.kind, frame.flags & 1) {
                (SETTINGS, 0) => self.write(SETTINGS, 1, 0, &[])?,
                (PING, 0) if kind != PING => self.write(PING, 1, 0, &frame.payload)?,
                _ => {}
            }
            if frame.kind == kind {
                return Ok(frame);
            }
        }
    }

    /// Reads until the client is gone.
    pub fn drain(&mut self) -> io::Result<()> {
        loop {
            self.next(u8::MAX)?;
        }
    }
}

/// A field with its name and value as they are (RFC 7541 section 6.2.2).
pub fn field(name: &str, value: &str) -> Vec<u8> {
    let mut out = vec![0];
    for text in [name, value] {
        let mut length = text.len();
        if length < 127 {
            out.push(length as u8);
        } else {
            out.push(127);
            length -= 127;
            while length >= 128 {
                out.push(length as u8 | 128);
                length >>= 7;
            }
            out.push(length as u8);
        }
        out.extend_from_slice(text.as_bytes());
    }
    out
}

/// Trailers, to send.
pub fn trailers() -> HeaderMap {
    let mut map = HeaderMap::new();
    map.insert("x-trailer", "late".parse().unwrap());
    map
}

/// An API that insists on it, and tries once.
pub fn prior(url: &str) -> ApiBuilder {
    Api::builder(url).http2(Http2::prior_knowledge()).concurrency(300).retry(Retry::none())
}

pub fn client(url: &str) -> Client {
    Client::new(prior(url).build().unwrap())
}

/// With limits short enough to wait for.
pub fn hasty(url: &str) -> ApiBuilder {
    let timeouts = Timeouts::default().connect(Duration::from_secs(1));
    prior(url).timeouts(timeouts.head(Duration::from_millis(500)).idle(Duration::from_millis(500)))
}

/// What each request met, and `~` where its connection had served before.
pub fn trace(response: &Result<Response, Error>) -> String {
    let attempts = match response {
        Ok(response) => response.attempts(),
        Err(error) => error.attempts(),
    };
    let shown = attempts.iter().map(|attempt| {
        let met = match (attempt.status(), attempt.error()) {
            (Some(status), _) => status.as_u16().to_string(),
            (None, error) => format!("{:?}", error.unwrap()),
        };
        let reused = if attempt.reused() { "~" } else { "" };
        format!("{:?} {met}{reused}", attempt.cause())
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// Answers with the path of the request, and its body.
pub fn echo() -> Good {
    Good::new(|mut incoming| async move {
        let body = incoming.read().await;
        let text = [incoming.path().as_bytes(), &body].concat();
        incoming.answer(200, text).await;
    })
}
