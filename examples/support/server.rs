//! A small HTTP server on 127.0.0.1 for the examples, so that they run without a network.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use url::form_urlencoded;

/// What the server was asked.
pub struct Asked {
    pub path: String,
    query: Vec<(String, String)>,
    authorization: Option<String>,
}

impl Asked {
    pub fn query(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The credential in `Authorization: Token VALUE`.
    pub fn token(&self) -> Option<&str> {
        self.authorization.as_deref()?.strip_prefix("Token ")
    }
}

/// What it says: the status, more header lines, the body.
pub struct Answer(pub u16, pub &'static str, pub String);

type Handler = dyn Fn(&Asked) -> Answer + Send + Sync;

/// Stops listening when dropped; open connections end when their client leaves.
pub struct Server {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
}

impl Server {
    pub fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> io::Result<Server> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let stopped = Arc::new(AtomicBool::new(false));
        let (stop, answer) = (stopped.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().take_while(|_| !stop.load(Ordering::Relaxed)) {
                let answer = answer.clone();
                // A connection that breaks is its client's business.
                thread::spawn(move || stream.and_then(|stream| serve(&stream, &*answer)));
            }
        });
        Ok(Server { address, stopped })
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Wakes the listener.
        drop(TcpStream::connect(self.address));
    }
}

fn serve(stream: &TcpStream, answer: &Handler) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(asked) = read(&mut reader)? {
        let Answer(status, headers, body) = answer(&asked);
        let length = body.len();
        let head = format!("HTTP/1.1 {status} Example\r\ncontent-length: {length}\r\n{headers}");
        (&*stream).write_all(format!("{head}\r\n{body}").as_bytes())?;
    }
    Ok(())
}

/// The next request's head; the examples send no bodies. `None` when the client has left.
fn read(reader: &mut impl BufRead) -> io::Result<Option<Asked>> {
    let mut line = String::new();
    let mut authorization = None;
    let mut target = None;
    loop {
        line.clear();
        if reader.by_ref().take(16 << 10).read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match (line.trim_end(), &target) {
            ("", Some(_)) => break,
            (first, None) => target = Some(first.split(' ').nth(1).unwrap_or("/").to_owned()),
            (header, _) => {
                if let Some((name, value)) = header.split_once(':') {
                    if name.eq_ignore_ascii_case("authorization") {
                        authorization = Some(value.trim().to_owned());
                    }
                }
            }
        }
    }
    let target = target.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let query = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    Ok(Some(Asked { path: path.to_owned(), query, authorization }))
}
