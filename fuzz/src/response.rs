//! Any bytes in the place of a response: no panic, no wait beyond their end, the same from both transports,
//! and none of them in the answer to the next request.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use duocall::{Api, Ask, Error, Gate, Permit, Request, Retry, Timeouts};

use super::{Outcome, Way, both};

/// For a GET and for a HEAD, each on a connection that ends with the bytes; and where the end of the
/// response can be told without that, on one that stays.
pub fn check(data: &[u8]) {
    for request in [Request::get, Request::head] {
        let api = serve(data, true);
        let ask = |way: Way| Outcome::of(way.client(api.clone())(request("first").redirects(0)));
        let [said, told] = [Way::Blocking, Way::Async].map(|way| evened(ask(way)));
        if !is_uneven(data) {
            assert_eq!(said, told, "blocking on the left, async on the right");
        }
        for outcome in [&said, &told] {
            let hung = outcome.error.as_ref().is_some_and(|error| error.contains("Timeout"));
            assert!(!hung, "nothing was left to wait for");
        }
        if tells_its_end(&said) && tells_its_end(&told) {
            let api = serve(data, false);
            both(|way| {
                let send = way.client(api.clone());
                let _ = send(request("first").redirects(0));
                let second = Outcome::of(send(Request::get("second")));
                let body = second.response.as_ref().map(|(_, _, body)| &**body);
                assert_eq!(body, Some(&b"second"[..]), "{way:?}: {second:?}");
            });
        }
    }
}

/// Where the transports may differ: in the fields of a 100 Continue, which the blocking one drops unread.
fn is_uneven(data: &[u8]) -> bool {
    data.starts_with(b"HTTP/1.1 100")
}

/// Of a head that is wrong in two ways, and of a length near 2^64, each transport says what it sees first.
fn evened(said: Outcome) -> Outcome {
    let ours = said.error.as_deref().map(|error| match error {
        "HeadTooLarge, sent Yes" | "BodyTooLarge, sent Yes" => "Protocol, sent Yes",
        other => other,
    });
    Outcome { error: ours.map(String::from), ..said }
}

fn tells_its_end(said: &Outcome) -> bool {
    let Some((status, fields, _)) = &said.response else { return false };
    let framed = |field: &String| {
        field.starts_with("content-length:") || field.starts_with("transfer-encoding:")
    };
    let whole = said.error.as_ref().is_none_or(|error| error.starts_with("Status"));
    whole && (matches!(status, 204 | 304) || fields.iter().any(framed))
}

/// What the server says to the first request on a connection, and whether it ends the connection then. To
/// every later one it says `SECOND`.
static SCRIPT: Mutex<(Vec<u8>, bool)> = Mutex::new((Vec::new(), true));

const SECOND: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond";

fn serve(data: &[u8], ends: bool) -> Api {
    static ADDR: OnceLock<SocketAddr> = OnceLock::new();
    let addr = ADDR.get_or_init(start);
    *SCRIPT.lock().unwrap() = (data.to_vec(), ends);
    let limit = Duration::from_secs(20);
    // What only the end of the connection ends is waited for in vain where that stays.
    let idle = if ends { limit } else { Duration::from_millis(250) };
    let limits = Timeouts::default().head(limit).idle(idle).attempt(limit).total(limit);
    let api = Api::builder(format!("http://{addr}/")).timeouts(limits).no_proxy().gate(Open);
    api.retry(Retry::none()).max_body(1 << 20).build().expect("good settings")
}

/// Never closed, whatever a Retry-After says.
#[derive(Debug)]
struct Open;

impl Gate for Open {
    fn admit(&self, _: &Ask) -> Result<Permit, Error> {
        Ok(Permit::new(()))
    }

    fn admit_async<'a>(
        &'a self,
        ask: &'a Ask,
    ) -> Pin<Box<dyn Future<Output = Result<Permit, Error>> + Send + 'a>> {
        Box::pin(std::future::ready(self.admit(ask)))
    }

    fn close(&self, _: Duration) {}
}

/// Two threads, for a client may open a connection before it closes another.
fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("bound");
    for _ in 0..2 {
        let listener = listener.try_clone().expect("a descriptor");
        thread::spawn(move || {
            for stream in listener.incoming() {
                // The client may leave when it likes.
                let _ = stream.and_then(|stream| answer(&stream));
            }
        });
    }
    addr
}

fn answer(mut stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut said = Vec::new();
    for turn in 0.. {
        said.clear();
        while !said.ends_with(b"\r\n\r\n") {
            let mut buffer = [0; 4096];
            match stream.read(&mut buffer)? {
                0 => return Ok(()),
                read => said.extend_from_slice(&buffer[..read]),
            }
        }
        let (first, ends) = SCRIPT.lock().unwrap().clone();
        if said.starts_with(b"GET /second") || turn > 0 {
            stream.write_all(SECOND)?;
            continue;
        }
        stream.write_all(&first)?;
        if ends {
            stream.shutdown(Shutdown::Write)?;
        }
    }
    Ok(())
}
