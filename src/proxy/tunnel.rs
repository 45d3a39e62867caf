//! The way through a proxy, byte by byte and without I/O: CONNECT and SOCKS 5.

use std::net::{IpAddr, SocketAddr};

use super::{Kind, Proxy, refused};
use crate::transport::{Failure, MAX_HEAD};

/// As much as is read at once.
pub(crate) const AT_ONCE: usize = 1024;

/// What a transport has to do next.
pub(crate) enum Move {
    Write(Vec<u8>),
    /// Read some, at most so many bytes, and give it to [`fed`](Tunnel::fed); nothing at the end.
    Read(usize),
    /// The connection leads to the server now.
    Through,
}

/// The exchange with a proxy that ends with a connection to the server.
pub(crate) struct Tunnel {
    step: Step,
    to_write: Option<Vec<u8>>,
    input: Vec<u8>,
    /// Where in it the answer to CONNECT begins, behind interim ones.
    begins: usize,
    credential: Option<Vec<u8>>,
    request: Vec<u8>,
}

/// What the proxy is to say next.
enum Step {
    Head,
    Method,
    Verdict,
    Reply,
    Through,
}

impl Step {
    /// How much may be read. A server that speaks first may have done so behind the last answer of
    /// SOCKS, and what it said is not for us. Behind CONNECT is TLS, where the client begins.
    fn most(&self, input: &[u8]) -> usize {
        match (self, reply_length(input)) {
            (Step::Reply, Some(whole)) => whole - input.len(),
            (Step::Reply, None) => 5 - input.len().min(4),
            _ => AT_ONCE,
        }
    }
}

/// Of a reply of SOCKS, once it can be told (RFC 1928 section 6).
fn reply_length(input: &[u8]) -> Option<usize> {
    let [_, _, _, kind, first, ..] = *input else { return None };
    let address = match kind {
        1 => 4,
        4 => 16,
        3 => 1 + usize::from(first),
        _ => return None,
    };
    Some(4 + address + 2)
}

const VERSION: u8 = 5;
const NO_CREDENTIAL: u8 = 0;
const PASSWORD: u8 = 2;

impl Tunnel {
    /// To the host, or to its address where the proxy wants that.
    pub(crate) fn new(
        proxy: &Proxy,
        host: &str,
        port: u16,
        address: Option<SocketAddr>,
    ) -> Result<Tunnel, Failure> {
        if proxy.kind == Kind::Http {
            let mut head = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
            head += concat!("User-Agent: duocall/", env!("CARGO_PKG_VERSION"), "\r\n");
            let mut head = head.into_bytes();
            if let Some(value) = proxy.basic() {
                head.extend(b"Proxy-Authorization: ");
                head.extend(value.as_bytes());
                head.extend(b"\r\n");
            }
            head.extend(b"\r\n");
            return Ok(Tunnel::begin(Step::Head, head, None, Vec::new()));
        }
        let credential = proxy.credential.as_ref().map(|(user, password)| {
            let mut out = vec![1];
            for part in [user, password] {
                out.push(part.expose().len() as u8);
                out.extend(part.expose().as_bytes());
            }
            out
        });
        let greeting = match credential {
            Some(_) => vec![VERSION, 2, NO_CREDENTIAL, PASSWORD],
            None => vec![VERSION, 1, NO_CREDENTIAL],
        };
        let mut request = vec![VERSION, 1, 0];
        let bare = host.trim_matches(['[', ']']);
        match address.map(|at| at.ip()).or_else(|| bare.parse().ok()) {
            Some(IpAddr::V4(ip)) => {
                request.push(1);
                request.extend(ip.octets());
            }
            Some(IpAddr::V6(ip)) => {
                request.push(4);
                request.extend(ip.octets());
            }
            None => {
                let length = u8::try_from(bare.len());
                let length = length.map_err(|_| refused("the name is too long").lasting())?;
                request.extend([3, length]);
                request.extend(bare.as_bytes());
            }
        }
        request.extend(address.map_or(port, |at| at.port()).to_be_bytes());
        Ok(Tunnel::begin(Step::Method, greeting, credential, request))
    }

    fn begin(step: Step, first: Vec<u8>, credential: Option<Vec<u8>>, request: Vec<u8>) -> Tunnel {
        let input = Vec::new();
        Tunnel { step, to_write: Some(first), input, begins: 0, credential, request }
    }

    pub(crate) fn next(&mut self) -> Move {
        match (self.to_write.take(), &self.step) {
            (Some(bytes), _) => Move::Write(bytes),
            (None, Step::Through) => Move::Through,
            (None, step) => Move::Read(step.most(&self.input)),
        }
    }

    /// Takes what the proxy said; nothing says that it has hung up.
    pub(crate) fn fed(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if bytes.is_empty() {
            return Err(refused("the proxy hung up"));
        }
        // The end of a head may begin in what came before.
        let unseen = self.input.len().saturating_sub(3);
        self.input.extend(bytes);
        let taken = match self.step {
            Step::Head => self.head(unseen)?,
            Step::Method => self.method()?,
            Step::Verdict => self.verdict()?,
            Step::Reply => self.reply()?,
            Step::Through => Some(0),
        };
        let Some(taken) = taken else { return Ok(()) };
        // It is our turn to speak: whatever comes now is no answer of anybody.
        if self.input.len() > taken {
            return Err(refused("the proxy said more than it was asked"));
        }
        self.input.clear();
        Ok(())
    }

    /// The answer to CONNECT, behind as many interim ones as there are (RFC 9110 section 15.2).
    /// Gives how many bytes it took, once it is whole.
    fn head(&mut self, unseen: usize) -> Result<Option<usize>, Failure> {
        let mut unseen = unseen.max(self.begins);
        loop {
            let mut fresh = self.input[unseen..].windows(4);
            let Some(end) = fresh.position(|four| four == b"\r\n\r\n") else {
                if self.input.len() > MAX_HEAD {
                    return Err(refused("the head of the proxy's answer is too large").lasting());
                }
                return Ok(None);
            };
            let end = unseen + end + 4;
            let status = status(&self.input[self.begins..]);
            match status.ok_or_else(|| refused("the proxy does not speak HTTP"))? {
                100 | 102..=199 => (self.begins, unseen) = (end, end),
                200..=299 => {
                    self.step = Step::Through;
                    return Ok(Some(end));
                }
                407 => return Err(refused("the proxy wants a credential").lasting()),
                code @ 400..=499 => {
                    return Err(refused(format!("the proxy refused: {code}")).lasting());
                }
                code => return Err(refused(format!("the proxy refused: {code}"))),
            }
        }
    }

    fn method(&mut self) -> Result<Option<usize>, Failure> {
        let [version, method, ..] = self.input[..] else { return Ok(None) };
        if version != VERSION {
            return Err(refused("the proxy does not speak SOCKS 5").lasting());
        }
        match (method, self.credential.take()) {
            (NO_CREDENTIAL, _) => self.ask(),
            (PASSWORD, Some(credential)) => {
                self.to_write = Some(credential);
                self.step = Step::Verdict;
            }
            _ => return Err(refused("the proxy wants a credential").lasting()),
        }
        Ok(Some(2))
    }

    fn verdict(&mut self) -> Result<Option<usize>, Failure> {
        let [_, verdict, ..] = self.input[..] else { return Ok(None) };
        if verdict != 0 {
            return Err(refused("the proxy does not take the credential").lasting());
        }
        self.ask();
        Ok(Some(2))
    }

    fn ask(&mut self) {
        self.to_write = Some(std::mem::take(&mut self.request));
        self.step = Step::Reply;
    }

    /// RFC 1928 section 6.
    fn reply(&mut self) -> Result<Option<usize>, Failure> {
        let [_, code, _, _, _, ..] = self.input[..] else { return Ok(None) };
        let (words, lasting) = match code {
            0 => ("", false),
            2 => ("the proxy's rules forbid it", true),
            3 => ("the proxy cannot reach the network", false),
            4 => ("the proxy cannot reach the host", false),
            5 => ("the server refused the proxy's connection", false),
            6 => ("the proxy's packets got lost", false),
            7 | 8 => ("the proxy does not know the command", true),
            _ => ("the proxy failed", false),
        };
        if code != 0 {
            let failure = refused(words);
            return Err(if lasting { failure.lasting() } else { failure });
        }
        let Some(whole) = reply_length(&self.input) else {
            return Err(refused("the proxy does not speak SOCKS 5").lasting());
        };
        if self.input.len() < whole {
            return Ok(None);
        }
        self.step = Step::Through;
        Ok(Some(whole))
    }
}

/// The status of `HTTP/1.x NNN ...`.
fn status(head: &[u8]) -> Option<u16> {
    let line = head.strip_prefix(b"HTTP/1.")?;
    let [_, b' ', status @ ..] = line else { return None };
    let digits = std::str::from_utf8(status.get(..3)?).ok()?;
    let ended = matches!(status.get(3), Some(b' ' | b'\r'));
    digits.parse().ok().filter(|_| ended && digits.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays the proxy's part, byte by byte. Gives what was written, and the end of it.
    fn play(url: &str, host: &str, says: &[&[u8]]) -> (Vec<Vec<u8>>, Result<(), String>) {
        let proxy = Proxy::new(url);
        let mut tunnel = Tunnel::new(&proxy, host, 443, None).unwrap();
        let (mut written, mut says) = (Vec::new(), says.to_vec());
        says.reverse();
        loop {
            match tunnel.next() {
                Move::Write(bytes) => written.push(bytes),
                Move::Through => return (written, Ok(())),
                Move::Read(most) => {
                    let answer = says.pop().unwrap_or_default();
                    let (answer, later) = answer.split_at(answer.len().min(most));
                    says.extend(Some(later).filter(|later| !later.is_empty()));
                    let ends =
                        if answer.is_empty() { vec![answer] } else { answer.chunks(1).collect() };
                    for byte in ends {
                        if let Err(failure) = tunnel.fed(byte) {
                            return (written, Err(failure.detail.into_owned()));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn connect() {
        let (written, end) =
            play("http://u:p@h", "example.com", &[b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n"]);
        let text = String::from_utf8(written.concat()).unwrap();
        assert!(text.starts_with("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n"));
        assert!(text.ends_with("\r\nProxy-Authorization: Basic dTpw\r\n\r\n"), "{text}");
        assert_eq!(end, Ok(()));
        let end = |answer: &[u8]| play("http://h", "[::1]", &[answer]).1.unwrap_err();
        assert_eq!(end(b"HTTP/1.1 407 No\r\n\r\n"), "the proxy wants a credential");
        assert_eq!(end(b"HTTP/1.1 502 Bad\r\n\r\n"), "the proxy refused: 502");
        assert_eq!(end(b"SSH-2.0-x\r\n\r\n"), "the proxy does not speak HTTP");
        assert_eq!(end(b"HTTP/1.1 2000\r\n\r\n"), "the proxy does not speak HTTP");
        assert_eq!(end(b"HTTP/1.1 200\r\n\r\nx"), "the proxy said more than it was asked");
        assert_eq!(end(b""), "the proxy hung up");
        let long = [b"HTTP/1.1 200 OK\r\nA: ".as_slice(), &[b'a'; MAX_HEAD]].concat();
        assert_eq!(end(&long), "the head of the proxy's answer is too large");
    }

    #[test]
    fn interim_answers_come_before_the_answer() {
        let interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n";
        let end = |last: &[u8]| play("http://h", "ab", &[&[&interim[..], last].concat()]).1;
        let refused = |last: &[u8]| end(last).unwrap_err();
        assert_eq!(end(b"HTTP/1.1 200 OK\r\n\r\n"), Ok(()));
        assert_eq!(refused(b"HTTP/1.1 502 Bad\r\n\r\n"), "the proxy refused: 502");
        assert_eq!(refused(b"HTTP/1.1 101 No\r\n\r\n"), "the proxy refused: 101");
        assert_eq!(refused(b""), "the proxy hung up");
        let many = interim.repeat(MAX_HEAD / interim.len() + 1);
        assert_eq!(refused(&many), "the head of the proxy's answer is too large");
        // All of it in one read.
        let mut tunnel = Tunnel::new(&Proxy::new("http://h"), "ab", 443, None).unwrap();
        assert!(matches!(tunnel.next(), Move::Write(_)));
        tunnel.fed(&[&interim[..], b"HTTP/1.1 200 OK\r\n\r\n"].concat()).unwrap();
        assert!(matches!(tunnel.next(), Move::Through));
    }

    #[test]
    fn socks() {
        let reply = [5, 0, 0, 1, 9, 9, 9, 9, 1, 1];
        let (written, end) = play("socks5h://h", "ab", &[&[5, 0], &reply]);
        assert_eq!(written, [vec![5, 1, 0], vec![5, 1, 0, 3, 2, b'a', b'b', 1, 187]]);
        assert_eq!(end, Ok(()));
        // What the server says is left where it is.
        let early = [&reply[..], b"server"].concat();
        assert_eq!(play("socks5h://h", "ab", &[&[5, 0], &early]).1, Ok(()));
        let named = [5, 0, 0, 3, 2, b'x', b'y', 1, 1];
        let (written, end) = play("socks5h://u:pw@h", "1.2.3.4", &[&[5, 2], &[1, 0], &named]);
        let login = vec![1, 1, b'u', 2, b'p', b'w'];
        assert_eq!(written, [vec![5, 2, 0, 2], login, vec![5, 1, 0, 1, 1, 2, 3, 4, 1, 187]]);
        assert_eq!(end, Ok(()));
        let end = |says: &[&[u8]]| play("socks5h://u:pw@h", "ab", says).1.unwrap_err();
        assert_eq!(end(&[&[5, 255]]), "the proxy wants a credential");
        assert_eq!(end(&[b"HTTP"]), "the proxy does not speak SOCKS 5");
        assert_eq!(end(&[&[5, 2], &[1, 1]]), "the proxy does not take the credential");
        assert_eq!(end(&[&[5, 0], &[5, 5, 0, 1, 0]]), "the server refused the proxy's connection");
        assert_eq!(end(&[&[5, 0], &[5, 0]]), "the proxy hung up");
    }
}
