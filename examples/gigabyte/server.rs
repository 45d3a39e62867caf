//! The other end, in a process of its own: its memory is not the client's.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::noise::{Hash, Noise};

/// Serves until standard input ends.
pub fn run() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("http://{}/", listener.local_addr()?);
    let last = Arc::new(Mutex::new(String::new()));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let last = last.clone();
            // A client that leaves is nothing to report.
            thread::spawn(move || drop(serve(&stream, &last)));
        }
    });
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// `GET /BYTES` gives so many, `GET /sha256` the hash of the last, `PUT` the hash of its own body.
fn serve(stream: &TcpStream, last: &Mutex<String>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(64 << 10, stream);
    while let Some(asked) = read(&mut reader)? {
        let hash = Hash::new();
        let text = match (&*asked.method, asked.path.parse::<u64>()) {
            ("GET", Ok(bytes)) => {
                write!(&*stream, "HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n")?;
                pass(&mut Noise::new(bytes, &hash), |piece| (&*stream).write_all(piece))?;
                *last.lock().expect("nobody panics with it") = hash.hex();
                continue;
            }
            ("PUT", _) => {
                if asked.waits {
                    (&*stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
                }
                let mut body = reader.by_ref().take(asked.length);
                pass(&mut body, |piece| {
                    hash.update(piece);
                    Ok(())
                })?;
                hash.hex()
            }
            _ => last.lock().expect("nobody panics with it").clone(),
        };
        let length = text.len();
        write!(&*stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{text}")?;
    }
    Ok(())
}

fn pass(from: &mut dyn Read, mut to: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            read => to(&buffer[..read])?,
        }
    }
}

#[derive(Default)]
struct Asked {
    method: String,
    path: String,
    length: u64,
    waits: bool,
}

/// The next head; `None` when the client has left.
fn read(reader: &mut impl BufRead) -> io::Result<Option<Asked>> {
    let mut asked = Asked::default();
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 {
        match line.trim_end().split_once([' ', ':']) {
            None => return Ok(Some(asked)),
            Some((method, rest)) if asked.method.is_empty() => {
                asked.method = method.to_owned();
                let target = rest.split(' ').next().unwrap_or_default();
                asked.path = target.trim_start_matches('/').to_owned();
            }
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                asked.length = value.trim().parse().unwrap_or_default();
            }
            Some((name, _)) => asked.waits |= name.eq_ignore_ascii_case("expect"),
        }
        line.clear();
    }
    Ok(None)
}
