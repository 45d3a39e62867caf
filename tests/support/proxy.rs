//! A proxy that does what the real ones do, and can be told to refuse.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// What it does about whom.
#[derive(Clone, Default)]
pub struct Rules {
    /// Who may use it: `user:password`.
    pub login: Option<&'static str>,
    /// What it says instead of making a connection: the status of CONNECT, the code of SOCKS.
    pub refuses: Option<u16>,
    /// Where every name leads; it resolves none.
    pub leads_to: Option<SocketAddr>,
    /// Takes connections and says nothing.
    pub silent: bool,
}

/// A proxy for HTTP (whole URLs and CONNECT) and for SOCKS 5, at one port.
pub struct Relay {
    addr: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    stopping: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Relay {
    pub fn new(rules: Rules) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (seen, stopping): (Arc<Mutex<Vec<String>>>, Arc<AtomicBool>) = Default::default();
        let (ours, stop) = (seen.clone(), stopping.clone());
        let acceptor = thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if stop.load(SeqCst) {
                    return;
                }
                let (rules, seen) = (rules.clone(), ours.clone());
                // Whoever leaves early is the client's business.
                thread::spawn(move || drop(serve(&stream, &rules, &seen)));
            }
        });
        Relay { addr, seen, stopping, acceptor: Some(acceptor) }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What it was asked for, in order: the head of a request, or `SOCKS` and the place.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stopping.store(true, SeqCst);
        let _ = TcpStream::connect(self.addr);
        let _ = self.acceptor.take().map(JoinHandle::join);
    }
}

fn serve(stream: &TcpStream, rules: &Rules, seen: &Mutex<Vec<String>>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if rules.silent {
        return io::copy(&mut &*stream, &mut io::sink()).map(drop);
    }
    let mut first = [0];
    stream.peek(&mut first)?;
    if first == [5] { socks(stream, rules, seen) } else { http(stream, rules, seen) }
}

fn http(stream: &TcpStream, rules: &Rules, seen: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        seen.lock().unwrap().push(head.clone());
        let (line, fields) = head.split_once("\r\n").unwrap();
        let login = fields.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("proxy-authorization").then_some(value)
        });
        let wanted = rules.login.map(|login| format!("Basic {}", base64(login)));
        let refuses =
            if wanted.as_deref() == login || wanted.is_none() { rules.refuses } else { Some(407) };
        let mut out = stream;
        if let Some(status) = refuses {
            write!(out, "HTTP/1.1 {status} No\r\nContent-Length: 2\r\n\r\nno")?;
            continue;
        }
        let mut words = line.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        if method == "CONNECT" {
            let server = TcpStream::connect(place(target, rules)?)?;
            write!(out, "HTTP/1.1 200 Connected\r\nVia: 1.1 relay\r\n\r\n")?;
            return splice(stream, &server);
        }
        let rest = target.strip_prefix("http://").expect("a whole URL");
        let (authority, path) = rest.split_at(rest.find('/').unwrap());
        let mut server = TcpStream::connect(place(authority, rules)?)?;
        write!(server, "{method} {path} HTTP/1.1\r\nConnection: close\r\n")?;
        let kept = |line: &&str| !line.to_ascii_lowercase().starts_with("proxy-");
        for field in fields.lines().filter(kept) {
            write!(server, "{field}\r\n")?;
        }
        let length = fields.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse::<u64>().unwrap())
        });
        io::copy(&mut reader.by_ref().take(length.unwrap_or(0)), &mut server)?;
        // Whatever the server thinks of the `close`, this ends its answers.
        server.shutdown(Shutdown::Write)?;
        io::copy(&mut server, &mut out)?;
    }
}

fn socks(mut stream: &TcpStream, rules: &Rules, seen: &Mutex<Vec<String>>) -> io::Result<()> {
    let methods = bytes(stream, 2)?[1];
    let methods = bytes(stream, methods.into())?;
    match rules.login {
        None => stream.write_all(&[5, 0])?,
        Some(_) if !methods.contains(&2) => return stream.write_all(&[5, 255]),
        Some(login) => {
            stream.write_all(&[5, 2])?;
            let user = bytes(stream, 2)?[1];
            let user = bytes(stream, user.into())?;
            let password = bytes(stream, 1)?[0];
            let password = bytes(stream, password.into())?;
            let good = [user, password].join(&b':') == login.as_bytes();
            stream.write_all(&[1, u8::from(!good)])?;
            if !good {
                return Ok(());
            }
        }
    }
    let host = match bytes(stream, 4)?[3] {
        1 => {
            let ip: [u8; 4] = bytes(stream, 4)?.try_into().unwrap();
            std::net::Ipv4Addr::from(ip).to_string()
        }
        3 => {
            let length = bytes(stream, 1)?[0];
            String::from_utf8(bytes(stream, length.into())?).unwrap()
        }
        other => panic!("an address of kind {other}"),
    };
    let port = u16::from_be_bytes(bytes(stream, 2)?.try_into().unwrap());
    seen.lock().unwrap().push(format!("SOCKS {host}:{port}"));
    if let Some(code) = rules.refuses {
        return stream.write_all(&[5, code as u8, 0, 1, 0, 0, 0, 0, 0, 0]);
    }
    let server = TcpStream::connect(place(&format!("{host}:{port}"), rules)?)?;
    stream.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 1])?;
    splice(stream, &server)
}

fn bytes(mut stream: &TcpStream, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn place(authority: &str, rules: &Rules) -> io::Result<SocketAddr> {
    match rules.leads_to {
        Some(addr) => Ok(addr),
        None => authority.parse().map_err(io::Error::other),
    }
}

fn splice(client: &TcpStream, server: &TcpStream) -> io::Result<()> {
    server.set_nodelay(true)?;
    let one_way = |mut from: &TcpStream, mut to: &TcpStream| {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    };
    thread::scope(|scope| {
        scope.spawn(|| one_way(client, server));
        one_way(server, client);
    });
    Ok(())
}

fn base64(text: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in text.as_bytes().chunks(3) {
        let bits = three.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - three.len()));
        for place in 0..4 {
            let sextet = bits >> (18 - 6 * place) & 63;
            let letter = ALPHABET[sextet as usize] as char;
            out.push(if place <= three.len() { letter } else { '=' });
        }
    }
    out
}
