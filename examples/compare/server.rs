//! A small API server on 127.0.0.1: pages of species records for whoever has the token, each
//! answered after the same latency. It stops when dropped.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub const TOKEN: &str = "an-example-token";

const RECORDS_PER_PAGE: u64 = 41;
const MAX_HEAD: usize = 16 * 1024;

pub struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(latency: Duration) -> io::Result<Server> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let listening = thread::Builder::new()
            .name("server".to_owned())
            .spawn(move || listen(&listener, latency, &stopped))?;
        Ok(Server { address, stop, listening: Some(listening) })
    }

    pub fn base_url(&self) -> String {
        format!("http://{}/api/v3/", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the listener out of accept(); the connections notice at their next read timeout.
        let woken = TcpStream::connect(self.address).is_ok();
        if let Some(listening) = self.listening.take().filter(|_| woken) {
            let _ = listening.join();
        }
    }
}

fn listen(listener: &TcpListener, latency: Duration, stop: &Arc<AtomicBool>) {
    for stream in listener.incoming() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let stop = Arc::clone(stop);
        let started = stream.and_then(|stream| {
            thread::Builder::new()
                .stack_size(128 * 1024)
                .spawn(move || serve(stream, latency, &stop))
        });
        if started.is_err() {
            // Out of descriptors or threads: wait for some connection to end.
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Answers one connection's requests until the client leaves or the server stops.
fn serve(mut stream: TcpStream, latency: Duration, stop: &AtomicBool) {
    let mut unread = Vec::new();
    let set_up = stream
        .set_nodelay(true)
        .and_then(|()| stream.set_read_timeout(Some(Duration::from_millis(500))));
    if set_up.is_err() {
        return;
    }
    while let Some(head) = read_head(&mut stream, &mut unread, stop) {
        let (status, body) = answer(&head);
        // A request with another method may have a body, which nobody here reads.
        let close = status == "405 Method Not Allowed" || wants_close(&head);
        thread::sleep(latency);
        let connection = if close { "close" } else { "keep-alive" };
        let response = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             connection: {connection}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(response.as_bytes()).is_err() || close {
            return;
        }
    }
}

/// Reads up to and with the empty line that ends a request's head; what came after it stays in
/// `unread`. `None` when the connection or the server is at its end.
fn read_head(stream: &mut TcpStream, unread: &mut Vec<u8>, stop: &AtomicBool) -> Option<String> {
    let mut chunk = [0; 2048];
    loop {
        if let Some(end) = unread.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = unread.drain(..end + 4).collect();
            return String::from_utf8(head).ok();
        }
        if unread.len() > MAX_HEAD {
            return None;
        }
        match stream.read(&mut chunk) {
            Ok(0) => return None,
            Ok(count) => unread.extend_from_slice(&chunk[..count]),
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    if !stop.load(Ordering::Relaxed) => {}
                _ => return None,
            },
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn wants_close(head: &str) -> bool {
    header(head, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
}

fn answer(head: &str) -> (&'static str, String) {
    let mut words = head.split_whitespace();
    let (method, target) = (words.next(), words.next().unwrap_or_default());
    if method != Some("GET") {
        return ("405 Method Not Allowed", message("only GET is served"));
    }
    let given = header(head, "authorization").and_then(|value| value.strip_prefix("Token "));
    if given != Some(TOKEN) {
        return ("401 Unauthorized", message("a valid token is required"));
    }
    let page = target
        .strip_prefix("/api/v3/species/page/")
        .and_then(|number| number.parse::<u32>().ok())
        .filter(|&number| number > 0);
    match page {
        Some(number) => ("200 OK", page_of_species(number)),
        None => ("404 Not Found", message("no such resource")),
    }
}

fn message(text: &str) -> String {
    format!("{{\"message\":\"{text}\"}}")
}

/// About 4 KiB of records, the same for a page whenever it is asked for.
fn page_of_species(page: u32) -> String {
    const GENERA: [&str; 7] = ["Panthera", "Lynx", "Salmo", "Aquila", "Quercus", "Rana", "Testudo"];
    const EPITHETS: [&str; 5] = ["borealis", "montana", "minor", "robusta", "viridis"];
    const CATEGORIES: [&str; 6] = ["LC", "NT", "VU", "EN", "CR", "DD"];
    const TRENDS: [&str; 3] = ["increasing", "stable", "decreasing"];

    let first = u64::from(page - 1) * RECORDS_PER_PAGE + 1;
    let mut body = String::with_capacity(4096 + 256);
    for id in first..first + RECORDS_PER_PAGE {
        // A multiplicative hash: numbers that look random and are not.
        let mut left = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
        let mut pick = |count: usize| {
            let picked = left % count as u64;
            left /= count as u64;
            picked as usize
        };
        let comma = if id == first { '[' } else { ',' };
        let _ = write!(
            body,
            "{comma}{{\"id\":{id},\"scientific_name\":\"{} {}\",\"category\":\"{}\",\
             \"population\":{},\"trend\":\"{}\"}}",
            GENERA[pick(GENERA.len())],
            EPITHETS[pick(EPITHETS.len())],
            CATEGORIES[pick(CATEGORIES.len())],
            pick(1_000_000),
            TRENDS[pick(TRENDS.len())],
        );
    }
    body.push(']');
    body
}
