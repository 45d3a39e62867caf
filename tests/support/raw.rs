//! A TCP server on loopback that does what a script says: write, drip, stall, half-close, close, reset.

use std::any::Any;
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::SockRef;

/// One step of what the server does on a connection. After the last one it reads the next request.
#[derive(Clone, Debug)]
pub enum Act {
    /// Write these bytes.
    Write(Vec<u8>),
    /// Write them one by one, with this pause after each.
    Drip { bytes: Vec<u8>, every: Duration },
    /// Write them over and over until the client is gone.
    Flood(Vec<u8>),
    /// Read and drop so many bytes beyond the request; `u64::MAX` reads until the client closes.
    Read(u64),
    /// Do nothing for a while.
    Pause(Duration),
    /// Neither read nor write until the client is gone. A close behind bytes that nobody reads cannot be
    /// seen: then until the server is dropped.
    Stall,
    /// Send FIN, go on reading.
    HalfClose,
    /// Close with FIN.
    Close,
    /// Close with RST.
    Reset,
}

/// What the server does about the head of a request with `Expect: 100-continue`.
#[derive(Clone, Debug)]
pub enum Word {
    /// This, and then it reads the body.
    Go(Vec<Act>),
    /// This, and no byte of the body may come. The request counts as one without a body.
    Refuse(Vec<Act>),
}

impl Word {
    /// What servers say as a rule.
    pub fn usual() -> Word {
        Word::Go(vec![Act::Write(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec())])
    }
}

/// One complete request.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its connection, in order of acceptance.
    pub connection: usize,
    /// Its place on that connection.
    pub on_connection: usize,
    /// Its place among all requests, in order of arrival.
    pub index: usize,
    pub method: String,
    pub target: String,
    /// In the order and the case of the wire.
    pub headers: Vec<(String, String)>,
    /// Without its transfer coding.
    pub body: Vec<u8>,
}

impl Seen {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// The server. Dropping it ends every connection, joins its threads and passes on a panic of a handler.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    listener: Arc<TcpListener>,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Server {
    /// Asks `handler` what to do about each request. It panics about a request that is not HTTP/1.1.
    pub fn new(handler: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static) -> Server {
        Server::on_accept(|_| None, handler)
    }

    /// Each reply serves one request, in order of arrival on whatever connection; the last one repeats.
    pub fn script(replies: Vec<Vec<Act>>) -> Server {
        assert!(!replies.is_empty(), "a script needs a reply");
        Server::new(move |seen| replies[seen.index.min(replies.len() - 1)].clone())
    }

    /// Like [`Server::new`], but asks `accept` first, with the number of the connection, before anything is read.
    pub fn on_accept(
        accept: impl Fn(usize) -> Option<Vec<Act>> + Send + Sync + 'static,
        handler: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static,
    ) -> Server {
        Server::on_expect(accept, |_| Word::usual(), handler)
    }

    /// Like [`Server::on_accept`], and asks `word` about the head of each request with an expectation.
    pub fn on_expect(
        accept: impl Fn(usize) -> Option<Vec<Act>> + Send + Sync + 'static,
        word: impl Fn(&Seen) -> Word + Send + Sync + 'static,
        handler: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static,
    ) -> Server {
        Server::bound(Ipv4Addr::LOCALHOST.into(), accept, word, handler)
    }

    /// The same, at an address of which loopback has many.
    pub fn bound(
        ip: IpAddr,
        accept: impl Fn(usize) -> Option<Vec<Act>> + Send + Sync + 'static,
        word: impl Fn(&Seen) -> Word + Send + Sync + 'static,
        handler: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static,
    ) -> Server {
        let listener = Arc::new(TcpListener::bind((ip, 0)).expect("bind"));
        let addr = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared::default());
        let script =
            Script { accept: Box::new(accept), word: Box::new(word), handler: Box::new(handler) };
        let (ours, theirs) = (shared.clone(), listener.clone());
        let acceptor = Some(thread::spawn(move || accept_all(&theirs, &ours, &script)));
        Server { addr, listener, shared, acceptor }
    }

    /// The base URL, with its final slash.
    pub fn url(&self) -> String {
        format!("http://{}/", self.addr)
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.lock().accepted
    }

    /// Requests read so far.
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.lock().requests.clone()
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.shared.lock().open.len()
    }

    /// Waits until no connection is open: true when that came in time.
    pub fn wait_closed(&self, within: Duration) -> bool {
        self.shared.wait(within, |state| state.open.is_empty())
    }

    /// Waits until it has done all there is to do about so many requests.
    pub fn wait_played(&self, count: usize, within: Duration) -> bool {
        self.shared.wait(within, |state| state.played >= count)
    }

    /// Waits until so many connections were accepted.
    pub fn wait_connections(&self, count: usize, within: Duration) -> bool {
        self.shared.wait(within, |state| state.accepted >= count)
    }

    /// Waits until so many requests were read.
    pub fn wait_requests(&self, count: usize, within: Duration) -> bool {
        self.shared.wait(within, |state| state.requests.len() >= count)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.update(|state| {
            state.stopping = true;
            for stream in state.open.values() {
                // Wakes its thread, whether that reads or writes.
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
        // Wakes `accept`, even without a free descriptor, and frees the port: who connected to it now might
        // disturb another server. Elsewhere than on Linux a connection is what wakes.
        let _ = SockRef::from(&*self.listener).shutdown(Shutdown::Both);
        if cfg!(not(target_os = "linux")) {
            let _ = TcpStream::connect_timeout(&self.addr, Duration::from_secs(1));
        }
        let joined = self.acceptor.take().map_or(Ok(()), JoinHandle::join);
        let panic = joined.err().or_else(|| self.shared.lock().panic.take());
        if let Some(panic) = panic.filter(|_| !thread::panicking()) {
            resume_unwind(panic);
        }
    }
}

/// What to do on a connection: at its start, about a head that waits for a word, about a request.
struct Script {
    accept: Box<dyn Fn(usize) -> Option<Vec<Act>> + Send + Sync>,
    word: Box<About<Word>>,
    handler: Box<About<Vec<Act>>>,
}

type About<T> = dyn Fn(&Seen) -> T + Send + Sync;

/// No code of a test runs while this is locked, so the lock is never poisoned.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    stopping: bool,
    accepted: usize,
    requests: Vec<Seen>,
    open: HashMap<usize, Arc<TcpStream>>,
    /// Requests whose acts are over.
    played: usize,
    panic: Option<Box<dyn Any + Send>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn wait(&self, within: Duration, reached: impl Fn(&State) -> bool) -> bool {
        let (condvar, state) = (&self.changed, self.lock());
        let waited = condvar.wait_timeout_while(state, within, |state| !reached(state));
        reached(&waited.unwrap().0)
    }

    /// False when the server stopped meanwhile.
    fn pause(&self, time: Duration) -> bool {
        !self.wait(time, |state| state.stopping)
    }
}

/// Returns when the server stops and the thread of every connection has ended.
fn accept_all(listener: &TcpListener, shared: &Shared, script: &Script) {
    thread::scope(|scope| {
        loop {
            let Ok((stream, _)) = listener.accept() else {
                // Out of descriptors, most likely: do not spin until one is free.
                if shared.pause(Duration::from_millis(10)) {
                    continue;
                }
                return;
            };
            let stream = Arc::new(stream);
            let mut state = shared.lock();
            if state.stopping {
                return;
            }
            let number = state.accepted;
            state.accepted += 1;
            state.open.insert(number, stream.clone());
            drop(state);
            shared.changed.notify_all();
            scope.spawn(move || serve(number, stream, shared, script));
        }
    });
}

fn serve(number: usize, stream: Arc<TcpStream>, shared: &Shared, script: &Script) {
    // What is written apart shall arrive apart.
    let _ = stream.set_nodelay(true);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let reader = BufReader::new(&*stream);
        let mut connection = Connection { reader, shared, script };
        let mut next = (script.accept)(number);
        for on_connection in 0.. {
            let goes_on = next.unwrap_or_default().into_iter().all(|act| connection.act(act));
            shared.update(|state| state.played += usize::from(on_connection > 0));
            if !goes_on {
                break;
            }
            let Some(seen) = connection.request(number, on_connection) else {
                break;
            };
            next = Some((script.handler)(&seen));
        }
    }));
    drop(stream);
    shared.update(|state| {
        // The last owner: this closes the socket, before anybody hears that it is closed.
        state.open.remove(&number);
        if let Err(panic) = outcome {
            state.panic.get_or_insert(panic);
        }
    });
}

struct Connection<'a> {
    reader: BufReader<&'a TcpStream>,
    shared: &'a Shared,
    script: &'a Script,
}

impl Connection<'_> {
    /// False when the connection is over.
    fn act(&mut self, act: Act) -> bool {
        let mut stream = *self.reader.get_ref();
        match act {
            Act::Write(bytes) => stream.write_all(&bytes).is_ok(),
            Act::Drip { bytes, every } => bytes
                .chunks(1)
                .all(|byte| stream.write_all(byte).is_ok() && self.shared.pause(every)),
            Act::Flood(bytes) => {
                while stream.write_all(&bytes).is_ok() {}
                false
            }
            Act::Read(count) => {
                let mut bytes = self.reader.by_ref().take(count);
                io::copy(&mut bytes, &mut io::sink()).is_ok_and(|read| read == count)
            }
            Act::Pause(time) => self.shared.pause(time),
            Act::Stall => {
                if stream.peek(&mut [0]).is_ok_and(|count| count > 0) {
                    self.shared.pause(Duration::MAX);
                }
                false
            }
            Act::HalfClose => stream.shutdown(Shutdown::Write).is_ok(),
            Act::Close => {
                // A close over unread bytes would send RST.
                let _ = stream.shutdown(Shutdown::Write);
                let _ = stream.set_nonblocking(true);
                let _ = io::copy(&mut stream, &mut io::sink());
                false
            }
            Act::Reset => {
                let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
                false
            }
        }
    }

    /// The next whole request; `None` when the client left before or amid it.
    fn request(&mut self, connection: usize, on_connection: usize) -> Option<Seen> {
        let first = self.line()?;
        let parts: Vec<&str> = first.split(' ').collect();
        let [method, target, "HTTP/1.1"] = parts[..] else {
            panic!("not a request line: {first:?}");
        };
        let mut headers = Vec::new();
        while let Some(line) = Some(self.line()?).filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').expect("a header has a colon");
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let mut seen = Seen {
            connection,
            on_connection,
            index: 0,
            method: method.to_owned(),
            target: target.to_owned(),
            headers,
            body: Vec::new(),
        };
        if seen.header("expect") == Some("100-continue") {
            match (self.script.word)(&seen) {
                Word::Go(acts) => acts.into_iter().all(|act| self.act(act)).then_some(())?,
                Word::Refuse(acts) => {
                    self.count(&mut seen);
                    self.refuse(acts);
                    return None;
                }
            }
        }
        seen.body = match (seen.header("transfer-encoding"), seen.header("content-length")) {
            (None, None) => Vec::new(),
            (None, Some(length)) => self.bytes(length.parse().expect("a length"))?,
            (Some("chunked"), None) => self.chunks()?,
            framing => panic!("a body framed by {framing:?}"),
        };
        self.count(&mut seen);
        Some(seen)
    }

    fn count(&self, seen: &mut Seen) {
        self.shared.update(|state| {
            seen.index = state.requests.len();
            state.requests.push(seen.clone());
        });
    }

    /// Refuses a body: the client closes, and sends none of it.
    fn refuse(&mut self, acts: Vec<Act>) {
        if acts.into_iter().all(|act| self.act(act)) {
            let mut rest = Vec::new();
            let _ = self.reader.read_to_end(&mut rest);
            assert!(rest.is_empty(), "{} bytes of a body that was refused", rest.len());
        }
    }

    fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = usize::from_str_radix(&self.line()?, 16).expect("a chunk size");
            body.extend(self.bytes(size)?);
            // The end of the chunk, or of an empty trailer.
            assert_eq!(self.line()?, "", "after a chunk of {size} bytes");
            if size == 0 {
                return Some(body);
            }
        }
    }

    fn bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Without its CRLF.
    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line).ok()?;
        line.ends_with(b"\n").then_some(())?;
        let line = String::from_utf8_lossy(&line);
        Some(line.strip_suffix("\r\n").expect("a line ends with CRLF").to_owned())
    }
}
