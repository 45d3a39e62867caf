//! TCP sockets under the limits of the exchange at hand.

use std::io::{self, ErrorKind::*, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Type};

use super::announced::is_settled;
use super::current;
use super::hangup::Target;
use super::peek::{peek, peek_at};
use crate::error::{ErrorKind, Phase};
use crate::transport::{Exchange, Failure};

/// A TCP socket whose reads and writes end with the phase of the exchange at hand.
pub(super) struct Socket {
    stream: Arc<TcpStream>,
    read_limit: Option<Duration>,
    write_limit: Option<Duration>,
    /// The write that failed. The server may have answered, or said why, before it
    /// hung up, so that is looked for first.
    broken: Option<io::Error>,
    /// What comes is an answer, and not perhaps a ticket of TLS.
    pub(super) plain: bool,
    /// Bytes written since we looked whether the server has answered.
    unlooked: usize,
    /// When that was, for the exchange at hand.
    looked: Option<Instant>,
}

/// An answer that comes before the request is written is looked for this often.
const LOOK_AFTER: usize = 256 << 10;
/// And where the server takes nothing more, or the body comes slowly, after this pause.
const STANDSTILL: Duration = Duration::from_millis(100);

impl Socket {
    /// Like `TcpStream::connect_timeout`, on a socket that exists before it is
    /// connected, so that a cancellation can shut it down.
    pub(super) fn connect(
        addr: &SocketAddr,
        limit: Duration,
        exchange: &Exchange,
    ) -> io::Result<Socket> {
        let domain = Domain::for_address(*addr);
        let stream = socket2::Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        let stream = Arc::new(TcpStream::from(stream));
        current::on_cancel(|| Target::Connecting(stream.clone()));
        exchange.remaining()?;
        let connected = SockRef::from(&*stream).connect_timeout(&(*addr).into(), limit);
        if exchange.is_cancelled() {
            return Err(Failure::new(ErrorKind::Cancelled, "").into());
        }
        connected?;
        stream.set_nodelay(true)?;
        let (read_limit, write_limit, broken) = (None, None, None);
        let (plain, unlooked, looked) = (false, 0, None);
        let socket = Socket { stream, read_limit, write_limit, broken, plain, unlooked, looked };
        socket.hang_up_on_cancel();
        Ok(socket)
    }

    pub(super) fn hang_up_on_cancel(&self) {
        current::on_cancel(|| Target::Stream(self.stream.clone()));
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Sends nothing any more.
    fn break_off(&mut self, error: io::Error) {
        self.broken = Some(error);
        current::stop_sending();
    }

    /// Open, with no byte of a response waiting. (A ticket of TLS 1.3 may wait;
    /// the connection is then let go, which is rare and safe.)
    pub(super) fn is_quiet(&self) -> bool {
        matches!(peek(&self.stream), Err(error) if error.kind() == WouldBlock)
    }

    /// Whether it is time to look for an answer. Of most requests all is written at once.
    fn is_due(&mut self) -> bool {
        if self.unlooked == 0 {
            return false;
        }
        let last = self.looked.or_else(|| current::exchange(|exchange| exchange.started()));
        let due = self.unlooked >= LOOK_AFTER || last.is_some_and(|it| it.elapsed() >= STANDSTILL);
        if due {
            (self.unlooked, self.looked) = (0, Some(Instant::now()));
        }
        due
    }

    /// Whether an answer is there that needs no more of the request, or there will be none.
    fn is_answered(&self) -> bool {
        let mut seen = [0; 4096];
        match peek_at(&self.stream, &mut seen) {
            Ok(bytes) => bytes == 0 || is_settled(&seen[..bytes]),
            Err(_) => false,
        }
    }
}

/// Whether the limit set on a socket will do for what is left: no shorter than
/// half of it, for then it would only wake for nothing, and hardly longer.
fn will_do(set: Option<Duration>, left: Duration) -> bool {
    let slack = Duration::from_millis(100);
    set.is_some_and(|set| set <= left + slack && set >= left / 2)
}

/// Does `io` until it is done or the phase is over.
fn timed(mut io: impl FnMut(Duration) -> io::Result<usize>) -> io::Result<usize> {
    let done = current::exchange(|exchange| {
        loop {
            let left = exchange.remaining()?;
            match io(left) {
                Err(error) if is_late(&error) || error.kind() == Interrupted => {}
                // A socket that was hung up looks like one that was closed.
                Ok(0) | Err(_) if exchange.is_cancelled() => {
                    return Err(Failure::new(ErrorKind::Cancelled, "").into());
                }
                done => return done,
            }
        }
    });
    done.unwrap_or_else(|| Err(io::Error::other("no exchange at hand")))
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (self.unlooked, self.looked) = (0, None);
        let read = timed(|left| {
            if !will_do(self.read_limit, left) {
                self.stream.set_read_timeout(Some(left))?;
                self.read_limit = Some(left);
            }
            (&*self.stream).read(buffer)
        });
        // Of a reset the system tells but once, and then of an end.
        let ended = match &read {
            Ok(bytes) => *bytes == 0 && !buffer.is_empty(),
            Err(error) => is_gone(error),
        };
        self.broken.take_if(|_| ended).map_or(read, Err)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.broken.is_some() {
            // It goes nowhere, but no longer than the exchange lasts.
            return timed(|_| Ok(bytes.len()));
        }
        if self.plain && self.is_due() && self.is_answered() {
            self.break_off(BrokenPipe.into());
            return Ok(bytes.len());
        }
        let written = timed(|left| {
            let left = if self.plain { left.min(STANDSTILL) } else { left };
            if !will_do(self.write_limit, left) {
                self.stream.set_write_timeout(Some(left))?;
                self.write_limit = Some(left);
            }
            match (&*self.stream).write(bytes) {
                // As if it had closed its half.
                Err(error) if is_late(&error) && self.plain && self.is_answered() => {
                    Err(BrokenPipe.into())
                }
                done => done,
            }
        });
        match written {
            Ok(bytes) => {
                // Part of a request has left even where the rest fails. A handshake is no part of it.
                current::exchange(|exchange| {
                    if exchange.phase() >= Phase::Send {
                        exchange.wrote(bytes);
                    }
                });
                self.unlooked += bytes;
                Ok(bytes)
            }
            // They count as written: the next read tells what became of it.
            Err(error) if is_gone(&error) => {
                self.break_off(error);
                Ok(bytes.len())
            }
            Err(error) => Err(error),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The limit set on the socket ran out.
fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), WouldBlock | TimedOut)
}

/// The peer has closed the connection, or reset it.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), BrokenPipe | ConnectionReset)
}
