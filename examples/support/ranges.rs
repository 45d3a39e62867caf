//! A server of one large file that is unlucky: it hangs up half way, hangs up again, and then the
//! file is another one. It understands `Range` and `If-Range`.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

const LENGTH: usize = 8 << 20;

pub struct Server(SocketAddr);

impl Server {
    pub fn start() -> io::Result<Server> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let asked = Arc::new(AtomicUsize::new(0));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let asked = asked.clone();
                // A client that leaves is nothing to report.
                thread::spawn(move || drop(serve(&stream, &asked)));
            }
        });
        Ok(Server(address))
    }

    pub fn url(&self) -> String {
        format!("http://{}/large.bin", self.0)
    }
}

/// One request for each connection.
fn serve(mut stream: &TcpStream, asked: &AtomicUsize) -> io::Result<()> {
    let (mut first, mut condition) = (0, None);
    for line in BufReader::new(stream).lines() {
        let line = line?;
        match line.split_once(": ") {
            Some(("range", range)) => {
                let range = range.trim_start_matches("bytes=").trim_end_matches('-');
                first = range.parse().unwrap_or_default();
            }
            Some(("if-range", tag)) => condition = Some(tag.to_owned()),
            _ if line.is_empty() => break,
            _ => {}
        }
    }
    let asked = asked.fetch_add(1, Relaxed);
    let (tag, byte) = if asked < 2 { ("\"one\"", 1) } else { ("\"two\"", 2) };
    let status = if first > 0 && condition.as_deref() == Some(tag) {
        format!("206 Partial Content\r\ncontent-range: bytes {first}-{}/{LENGTH}", LENGTH - 1)
    } else {
        first = 0;
        "200 OK".to_owned()
    };
    let length = LENGTH - first;
    write!(
        stream,
        "HTTP/1.1 {status}\r\netag: {tag}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    )?;
    // Half of it is all that comes of the first two.
    let sent = if asked < 2 { length / 2 } else { length };
    let piece = [byte; 64 << 10];
    for _ in 0..sent / piece.len() {
        stream.write_all(&piece)?;
    }
    Ok(())
}
