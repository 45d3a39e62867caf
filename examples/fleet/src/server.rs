//! The API that the workers call: it counts, and acts once on each idempotency key.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::Outcome;

#[derive(Default)]
pub struct Seen {
    /// When each request came.
    pub times: Vec<Instant>,
    /// Requests by idempotency key; the first of each has the effect.
    pub keys: HashMap<String, u32>,
    /// When a 429 was answered.
    pub refused: Vec<Instant>,
}

pub struct Server {
    pub address: SocketAddr,
    pub seen: Arc<Mutex<Seen>>,
    refuse: Arc<AtomicBool>,
}

impl Server {
    /// Answers each request after `delay`.
    pub fn start(delay: Duration) -> Outcome<Server> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (seen, refuse) = (Arc::<Mutex<Seen>>::default(), Arc::<AtomicBool>::default());
        let (all, refusing) = (seen.clone(), refuse.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, refuse) = (all.clone(), refusing.clone());
                // It ends when the client has gone, or with the program.
                thread::spawn(move || drop(serve(&stream, delay, &seen, &refuse)));
            }
        });
        Ok(Server { address, seen, refuse })
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The next request is answered 429, `Retry-After: 2`.
    pub fn refuse_one(&self) {
        self.refuse.store(true, SeqCst);
    }
}

fn serve(
    stream: &TcpStream,
    delay: Duration,
    seen: &Mutex<Seen>,
    refuse: &AtomicBool,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let (mut writer, mut line) = (stream, String::new());
    loop {
        let (mut length, mut key, mut first) = (0, None, true);
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if first {
                seen.lock().expect("nobody panics with it").times.push(Instant::now());
                first = false;
            }
            let Some((name, value)) = line.trim_end().split_once(':') else {
                if line.trim_end().is_empty() {
                    break;
                }
                continue;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap_or(0),
                "idempotency-key" => key = Some(value.trim().to_owned()),
                _ => {}
            }
        }
        std::io::copy(&mut (&mut reader).take(length), &mut std::io::sink())?;
        if refuse.swap(false, SeqCst) {
            seen.lock().expect("nobody panics with it").refused.push(Instant::now());
            let head =
                "HTTP/1.1 429 Too Many Requests\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n";
            writer.write_all(head.as_bytes())?;
            continue;
        }
        thread::sleep(delay);
        if let Some(key) = key {
            *seen.lock().expect("nobody panics with it").keys.entry(key).or_default() += 1;
        }
        let body = r#"{"done":true}"#;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
        writer.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes())?;
    }
}
