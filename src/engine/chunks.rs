//! Responses on their way in (RFC 9112 section 7.1), before a transport sees them.
//!
//! The two HTTP stacks differ in what they forgive: a sign before a size, a trailer
//! that is no field, an end that comes a line too early. Here it is one rule for
//! both. Extensions, trailers and the fields of an interim response are dropped, for
//! they tell us nothing, and so a transport has no rule of its own for them: ureq takes
//! a `100 Continue` with fields (RFC 9110 section 15.2) for a violation of the protocol.

use std::mem;

use memchr::memchr;

use crate::error::ErrorKind;
use crate::transport::{Failure, MAX_HEAD};

/// As much of a line of the head as tells what it is.
const LINE: usize = 64;

/// Watches the bytes of one response.
pub(crate) struct Chunks {
    state: State,
    /// The beginning of a line of the head, and how much of it there is.
    line: [u8; LINE],
    held: usize,
    chunked: bool,
    /// Bytes that may still be dropped.
    room: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    StatusLine,
    /// In the head of an interim response, or of the final one.
    Fields {
        interim: bool,
    },
    /// Before the first digit.
    Start,
    Size(u64),
    Padding(u64),
    /// Behind the semicolon, and before the name.
    Unnamed(u64),
    Extension(u64),
    SizeEnd(u64),
    Data(u64),
    DataEnd,
    DataLineEnd,
    TrailerStart,
    TrailerName,
    TrailerValue,
    LastLineEnd,
    /// No chunks, or none any more.
    Through,
}

impl Chunks {
    /// Before the first byte of a response.
    pub(crate) fn new() -> Chunks {
        let (state, line) = (State::StatusLine, [0; LINE]);
        Chunks { state, line, held: 0, chunked: false, room: MAX_HEAD }
    }

    /// Where nothing is to be watched.
    pub(crate) fn none() -> Chunks {
        Chunks { state: State::Through, ..Chunks::new() }
    }

    /// Takes so many bytes in that a read has put there, and none at the end; says how many of them
    /// there are for the transport.
    pub(crate) fn take_in(&mut self, buffer: &mut [u8], came: usize) -> Result<usize, Failure> {
        // An end that a buffer without room met is none.
        if came > 0 || buffer.len() < 2 {
            return self.pass(&mut buffer[..came]);
        }
        match self.state {
            // Only the empty line behind the last chunk is missing, which is forgiven.
            State::TrailerStart => {
                self.state = State::Through;
                buffer[..2].copy_from_slice(b"\r\n");
                Ok(2)
            }
            State::TrailerName | State::TrailerValue | State::LastLineEnd => {
                Err(Failure::new(ErrorKind::Truncated, "the connection was closed"))
            }
            _ => Ok(0),
        }
    }

    /// Moves what is to be kept to the front; says how much that is.
    pub(crate) fn pass(&mut self, bytes: &mut [u8]) -> Result<usize, Failure> {
        let (mut at, mut kept) = (0, 0);
        while at < bytes.len() {
            let (taken, keeps) = match self.state {
                State::Through => (bytes.len() - at, true),
                State::Fields { interim: true } => {
                    let taken = self.head(&bytes[at..]);
                    self.chunked = false;
                    // The empty line stays, or what there is of it.
                    (taken, self.state == State::StatusLine || self.line[..self.held] == *b"\r")
                }
                State::StatusLine | State::Fields { .. } => (self.head(&bytes[at..]), true),
                State::Data(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                    let left = left - here as u64;
                    self.state = if left > 0 { State::Data(left) } else { State::DataEnd };
                    (here, true)
                }
                _ => (1, self.frame(bytes[at])?),
            };
            if keeps {
                if kept < at {
                    bytes.copy_within(at..at + taken, kept);
                }
                kept += taken;
            } else {
                let large = || Failure::new(ErrorKind::HeadTooLarge, "");
                self.room = self.room.checked_sub(taken).ok_or_else(large)?;
            }
            at += taken;
        }
        Ok(kept)
    }

    /// Takes the rest of a line of the head, or as much as there is; before it, fields that tell
    /// nothing.
    fn head(&mut self, bytes: &[u8]) -> usize {
        let fields = self.state == State::Fields { interim: false } && self.held == 0;
        let dull = if fields { dull(bytes) } else { 0 };
        let bytes = &bytes[dull..];
        let end = memchr(b'\n', bytes);
        let taken = end.map_or(bytes.len(), |end| end + 1);
        let part = &bytes[..taken];
        if end.is_some() && self.held == 0 {
            self.learn(&part[..taken.min(LINE)]);
            return dull + taken;
        }
        let more = taken.min(LINE - self.held);
        self.line[self.held..self.held + more].copy_from_slice(&part[..more]);
        self.held += more;
        if end.is_some() {
            let (line, held) = (self.line, mem::take(&mut self.held));
            self.learn(&line[..held]);
        }
        dull + taken
    }

    /// What a line of the head tells.
    fn learn(&mut self, line: &[u8]) {
        let line = line.trim_ascii_end();
        self.state = match self.state {
            State::StatusLine if line.is_empty() => State::StatusLine,
            State::StatusLine => State::Fields { interim: line.get(9) == Some(&b'1') },
            State::Fields { interim: true } if line.is_empty() => State::StatusLine,
            State::Fields { .. } if line.is_empty() && self.chunked => State::Start,
            State::Fields { .. } if line.is_empty() => State::Through,
            fields => {
                self.chunked |= is_chunked(line);
                fields
            }
        };
    }

    /// One byte of what is around the data; whether it is to be kept.
    fn frame(&mut self, byte: u8) -> Result<bool, Failure> {
        use State::*;
        let (next, keeps) = match (self.state, byte) {
            (Start, byte) => (Size(digit(byte).ok_or_else(broken)?), true),
            (Size(size) | Padding(size) | Extension(size), b'\r') => (SizeEnd(size), true),
            (Size(size) | Padding(size), b';') => (Unnamed(size), false),
            (Size(size) | Padding(size), b' ' | b'\t') => (Padding(size), false),
            (Size(size), byte) => {
                let digit = digit(byte).ok_or_else(broken)?;
                let size = size.checked_mul(16).ok_or_else(broken)? + digit;
                (Size(size), true)
            }
            (Unnamed(size), b' ' | b'\t') => (Unnamed(size), false),
            (Unnamed(size), byte) if is_token(byte) => (Extension(size), false),
            (Extension(size), byte) if byte != b'\n' => (Extension(size), false),
            (SizeEnd(0), b'\n') => (TrailerStart, true),
            (SizeEnd(size), b'\n') => (Data(size), true),
            (DataEnd, b'\r') => (DataLineEnd, true),
            (DataLineEnd, b'\n') => (Start, true),
            (TrailerStart, b'\r') => (LastLineEnd, true),
            (TrailerStart | TrailerName, byte) if is_token(byte) => (TrailerName, false),
            (TrailerName, b':') => (TrailerValue, false),
            (TrailerValue, b'\n') => (TrailerStart, false),
            (TrailerValue, _) => (TrailerValue, false),
            (LastLineEnd, b'\n') => (Through, true),
            _ => return Err(broken()),
        };
        self.state = next;
        Ok(keeps)
    }
}

/// The length of the whole lines that are neither empty nor a `Transfer-Encoding`, by their first
/// byte.
fn dull(bytes: &[u8]) -> usize {
    let mut at = 0;
    let tells = |byte: &u8| matches!(byte, b't' | b'T') || byte.is_ascii_whitespace();
    while bytes.get(at).is_some_and(|first| !tells(first)) {
        let Some(end) = memchr(b'\n', &bytes[at..]) else { break };
        at += end + 1;
    }
    at
}

fn is_chunked(line: &[u8]) -> bool {
    const NAME: &[u8] = b"transfer-encoding:";
    line.split_at_checked(NAME.len()).is_some_and(|(name, value)| {
        name.eq_ignore_ascii_case(NAME) && value.trim_ascii().eq_ignore_ascii_case(b"chunked")
    })
}

fn digit(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn broken() -> Failure {
    Failure::new(ErrorKind::Protocol, "not valid HTTP/1.1")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n";

    /// What the transport has of it, whatever its pieces, when the connection has ended.
    fn passed(came: &str) -> Result<String, ErrorKind> {
        let mut said = Vec::new();
        for size in 1..=came.len() {
            let (mut chunks, mut kept) = (Chunks::new(), Vec::new());
            let mut outcome = Ok(());
            for piece in came.as_bytes().chunks(size).chain([&b""[..]]) {
                let mut buffer = [piece, &[0; 2]].concat();
                match chunks.take_in(&mut buffer, piece.len()) {
                    Ok(len) => kept.extend_from_slice(&buffer[..len]),
                    Err(failure) => outcome = outcome.and(Err(failure.kind)),
                }
            }
            let kept = String::from_utf8(kept).unwrap();
            said.push(outcome.map(|()| kept));
        }
        said.dedup();
        assert_eq!(said.len(), 1, "the pieces make a difference: {said:?}");
        said.remove(0)
    }

    #[test]
    fn what_is_good_passes() {
        let interim = "HTTP/1.1 103 Hints\r\n\r\n";
        for good in [
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n+5",
            "\r\nHTTP/1.1 200 OK\n\n+5\r\n",
            &format!("{HEAD}5\r\nhello\r\n00\r\n\r\nwhat follows is not ours"),
            &format!("{interim}{HEAD}a\r\n0123456789\r\n0\r\n\r\n"),
        ] {
            assert_eq!(passed(good), Ok(good.to_owned()));
        }
    }

    #[test]
    fn of_an_interim_response_the_status_stays() {
        let interim = "HTTP/1.1 100 Continue\r\nServer: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        let last = "HTTP/1.1 200 OK\r\nServer: x\r\n\r\nHTTP/1.1 100 Continue\r\na: b\r\n\r\n";
        let bare = "HTTP/1.1 100 Continue\r\n\r\n".repeat(2);
        assert_eq!(passed(&format!("{interim}{interim}{last}")), Ok(bare + last));
    }

    #[test]
    fn extensions_and_trailers_are_dropped() {
        let long = "x".repeat(1000);
        let came = format!("{HEAD}5 ; a=\"{long}\";b\r\nhello\r\n0;c\r\nX-A: b\r\nX-B:\r\n\r\n");
        let kept = format!("{HEAD}5\r\nhello\r\n0\r\n\r\n");
        assert_eq!(passed(&came), Ok(kept));
        let endless = format!("{HEAD}5;{}", "x".repeat(MAX_HEAD + 1));
        let mut endless = endless.into_bytes();
        let failure = Chunks::new().pass(&mut endless).expect_err("too long");
        assert_eq!(failure.kind, ErrorKind::HeadTooLarge);
    }

    #[test]
    fn what_is_broken_does_not() {
        for bad in [
            "+5\r\nhello",
            "-5\r\n",
            " 5\r\nhello",
            "0x5\r\nhello",
            "\r\n",
            "5;\r\nhello",
            "5; \r\n",
            "five\r\n",
            "5\nhello",
            "5\rhello",
            "5 5\r\n",
            "5;a\nhello",
            "5\r\nhello\n",
            "5\r\nhello!\r\n",
            "FFFFFFFFFFFFFFFFF\r\n",
            "0\r\nno field\r\n\r\n",
            "0\r\n: b\r\n\r\n",
            "0\r\n\rx",
        ] {
            assert_eq!(passed(&format!("{HEAD}{bad}")), Err(ErrorKind::Protocol), "{bad:?}");
        }
    }

    #[test]
    fn only_an_empty_line_may_be_missing() {
        assert_eq!(passed(&format!("{HEAD}0\r\n")), Ok(format!("{HEAD}0\r\n\r\n")));
        // Of these the transports know that something is missing.
        for end in ["", "0", "0\r", "5\r\n", "5\r\nhello\r\n"] {
            assert_eq!(passed(&format!("{HEAD}{end}")), Ok(format!("{HEAD}{end}")));
        }
        for end in ["0\r\nX", "0\r\nX: y", "0\r\n\r"] {
            assert_eq!(passed(&format!("{HEAD}{end}")), Err(ErrorKind::Truncated), "{end:?}");
        }
        assert_eq!(passed(&format!("{HEAD}0\r\nX: y\r\n")), Ok(format!("{HEAD}0\r\n\r\n")));
    }
}
