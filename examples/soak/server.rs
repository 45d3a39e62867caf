//! A server in a process of its own, that answers well or badly as the target says. Every good answer tells the
//! number it was asked for and the credential that came.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

/// The process; it ends with this.
pub struct Server {
    child: Child,
    pub home: SocketAddr,
}

impl Server {
    pub fn start() -> io::Result<Server> {
        let mut command = Command::new(std::env::current_exe()?);
        let command = command.arg("--serve").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line)?;
        let home = line.trim().parse().map_err(io::Error::other)?;
        Ok(Server { child, home })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves until nobody holds the other end of the standard input.
pub fn serve() -> io::Result<()> {
    let (home, away) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    let elsewhere = away.local_addr()?;
    println!("{}", home.local_addr()?);
    for listener in [home, away] {
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whoever leaves early is no news here.
                thread::spawn(move || drop(connection(&stream, elsewhere)));
            }
        });
    }
    io::copy(&mut io::stdin(), &mut io::sink()).map(drop)
}

struct Asked {
    target: String,
    token: String,
    body: Vec<u8>,
}

fn connection(stream: &TcpStream, elsewhere: SocketAddr) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut reader = BufReader::new(stream);
    while let Some(asked) = request(&mut reader)? {
        if !answer(stream, &asked, elsewhere)? {
            break;
        }
    }
    Ok(())
}

fn request(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Asked>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let target = line.split(' ').nth(1).unwrap_or("/").to_owned();
    let (mut token, mut length) = ("none".to_owned(), 0);
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => token = value.trim_start_matches("Bearer ").to_owned(),
            "content-length" => length = value.parse().map_err(io::Error::other)?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Asked { target, token, body }))
}

fn reply(status: &str, fields: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// `/WHAT/ID`. False when the connection is over.
fn answer(mut stream: &TcpStream, asked: &Asked, elsewhere: SocketAddr) -> io::Result<bool> {
    let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
    let mut parts = path.trim_start_matches('/').split('/');
    let (what, id) = (parts.next().unwrap_or_default(), parts.next().unwrap_or("0"));
    let body = format!(r#"{{"id":{id},"token":"{}","sent":{}}}"#, asked.token, asked.body.len());
    let good = reply("200 OK", "", &body);
    let pause = |millis| thread::sleep(Duration::from_millis(millis));
    match what {
        "reset" => {
            SockRef::from(stream).set_linger(Some(Duration::ZERO))?;
            return Ok(false);
        }
        "closed" => return Ok(false),
        "stall" => {
            pause(400);
            return Ok(false);
        }
        "cut" => {
            stream.write_all(&good.as_bytes()[..good.len() - 5])?;
            return Ok(false);
        }
        "hang" => {
            stream.write_all(&good.as_bytes()[..good.len() - 5])?;
            pause(400);
            return Ok(false);
        }
        "garbage" => stream.write_all(b"\x16\x03\x01 no HTTP \xff\r\n\r\n")?,
        "chunk" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")?;
        }
        "stray" => {
            // Together with an answer that nobody asked for. One that comes when the next request is on its
            // way could not be told from its answer, by anybody.
            let other = reply("200 OK", "", r#"{"id":0,"token":"stray","sent":0}"#);
            stream.write_all((good + &other).as_bytes())?;
        }
        "slow" => {
            for piece in good.as_bytes().chunks(20) {
                stream.write_all(piece)?;
                pause(2);
            }
        }
        "busy" => {
            stream.write_all(reply("429 Too Many", "Retry-After: 0\r\n", &body).as_bytes())?;
        }
        "down" => stream.write_all(reply("503 Down", "", &body).as_bytes())?,
        "moved" => {
            let to = format!("Location: /ok/{id}\r\n");
            stream.write_all(reply("302 Found", &to, "").as_bytes())?;
        }
        "away" => {
            let to = format!("Location: http://{elsewhere}/ok/{id}\r\n");
            stream.write_all(reply("302 Found", &to, "").as_bytes())?;
        }
        "big" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            let piece = format!("{id:>8}").repeat(1 << 10);
            for _ in 0..16 {
                stream.write_all(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes())?;
            }
            stream.write_all(b"0\r\n\r\n")?;
        }
        "list" => {
            let page: u32 = query.trim_start_matches("page=").parse().unwrap_or(1);
            let next =
                if page < 3 { format!(r#""/list/{id}?page={}""#, page + 1) } else { "null".into() };
            let page = format!(r#"{{"next":{next},"items":[{id},{id},{id}]}}"#);
            stream.write_all(reply("200 OK", "", &page).as_bytes())?;
        }
        _ => stream.write_all(good.as_bytes())?,
    }
    Ok(true)
}
