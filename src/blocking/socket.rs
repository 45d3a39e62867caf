//! Connections for ureq: std sockets and rustls, under the limits of the exchange at hand.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, ErrorKind::*, Read, Write};
use std::mem;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Type};
use ureq::Error;
use ureq::unversioned::transport::{Buffers, LazyBuffers, NextTimeout, Transport};

use super::announced::{GO_ON, Word, word};
use super::current;
use super::hangup::Target;
use super::interim::Interim;
use super::peek::{peek, peek_at};
use super::wire::Wire;
use crate::engine::chunks::Chunks;
use crate::error::{ErrorKind, Phase};
use crate::transport::{Exchange, Failure, MAX_HEAD};

pub(super) fn other(failure: Failure) -> Error {
    Error::Other(failure.into())
}

pub(super) fn exchange() -> Result<Arc<Exchange>, Error> {
    current::exchange().ok_or_else(|| other(Failure::new(ErrorKind::Other, "no exchange at hand")))
}

/// A TCP socket whose reads and writes end with the phase of the exchange at hand.
pub(super) struct Socket {
    stream: Arc<TcpStream>,
    read_limit: Option<Duration>,
    write_limit: Option<Duration>,
    /// The write that failed. The server may have answered, or said why, before it
    /// hung up, so that is looked for first.
    broken: Option<io::Error>,
    /// What comes is an answer, and not perhaps a ticket of TLS.
    plain: bool,
    /// Bytes written since we looked whether the server has answered.
    unlooked: usize,
}

/// An answer that comes before the request is written is looked for this often.
const LOOK_AFTER: usize = 256 << 10;
/// And where the server takes nothing more, after this pause.
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
        let socket = Socket { stream, read_limit, write_limit, broken, plain: false, unlooked: 0 };
        socket.hang_up_on_cancel();
        Ok(socket)
    }

    pub(super) fn hang_up_on_cancel(&self) {
        current::on_cancel(|| Target::Stream(self.stream.clone()));
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Open, and with nothing to read.
    pub(super) fn is_quiet(&self) -> bool {
        matches!(peek(&self.stream), Err(error) if error.kind() == WouldBlock)
    }

    /// Whether the final answer has begun, or there will be none.
    fn is_answered(&self) -> bool {
        let mut start = *b"HTTP/1.1 1";
        match peek_at(&self.stream, &mut start) {
            Ok(0) => true,
            Ok(bytes) => bytes == start.len() && start != *b"HTTP/1.1 1",
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
    let Some(exchange) = current::exchange() else {
        return Err(io::Error::other("no exchange at hand"));
    };
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
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
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
            return Ok(bytes.len());
        }
        if self.unlooked >= LOOK_AFTER {
            self.unlooked = 0;
            if self.plain && self.is_answered() {
                self.broken = Some(BrokenPipe.into());
                return Ok(bytes.len());
            }
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
                let exchange =
                    current::exchange().filter(|exchange| exchange.phase() >= Phase::Send);
                exchange.inspect(|exchange| exchange.wrote(bytes));
                self.unlooked += bytes;
                Ok(bytes)
            }
            // They count as written: the next read tells what became of it.
            Err(error) if is_gone(&error) => {
                self.broken = Some(error);
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

/// What ureq keeps: the bytes on their way in and out, and the wire.
pub(super) struct Connection {
    wire: Wire,
    buffers: LazyBuffers,
    interim: Interim,
    chunks: Chunks,
    /// Made for the exchange at hand, and not taken from the pool.
    fresh: bool,
    /// The head of the response lies in the buffers, and ureq asks for it once more.
    answered: bool,
}

impl Connection {
    pub(super) fn new(mut wire: Wire, buffers: LazyBuffers) -> Connection {
        if let Wire::Plain(socket) = &mut wire {
            socket.plain = true;
        }
        let (interim, chunks) = (Interim::new(), Chunks::none());
        Connection { wire, buffers, interim, chunks, fresh: true, answered: false }
    }

    /// Notes a new exchange on this connection.
    fn begin(&mut self, exchange: &Exchange) {
        if exchange.phase() < Phase::Send {
            exchange.set_reused(!self.fresh);
            if !self.fresh {
                self.wire.socket().hang_up_on_cancel();
            }
            self.fresh = false;
            (self.interim, self.chunks) = (Interim::new(), Chunks::new());
        }
        exchange.enter(Phase::Send);
    }

    /// Waits for the server's word on an announced body, and passes on what ureq understands of it.
    fn await_word(&mut self, exchange: &Exchange) -> Result<(), Failure> {
        exchange.be_patient();
        let mut heard = Vec::new();
        let mut buffer = [0; 4 << 10];
        loop {
            match word(&heard) {
                Word::Nothing(bytes) => drop(heard.drain(..bytes)),
                Word::Wanted => break,
                Word::Response => {
                    exchange.withhold();
                    self.answered = true;
                    break;
                }
                Word::None if heard.len() >= MAX_HEAD => {
                    return Err(Failure::new(ErrorKind::HeadTooLarge, ""));
                }
                Word::None => match self.wire.read(&mut buffer) {
                    Ok(0) => return Err(closed()),
                    Ok(read) => {
                        exchange.received(read);
                        heard.extend_from_slice(&buffer[..read]);
                    }
                    Err(error) => {
                        let failure = Failure::from_io(error, Phase::Send);
                        if !matches!(failure.kind, ErrorKind::Timeout(Phase::Send)) {
                            return Err(failure);
                        }
                        // It has had its time.
                        heard.splice(..0, GO_ON.iter().copied());
                        break;
                    }
                },
            }
        }
        // Waiting is no part of the time for writing.
        exchange.enter(Phase::Send);
        let kept = self.interim.bare(&mut heard);
        let kept = self.chunks.pass(&mut heard[..kept])?;
        self.buffers.input_append_buf()[..kept].copy_from_slice(&heard[..kept]);
        self.buffers.input_appended(kept);
        Ok(())
    }
}

fn closed() -> Failure {
    Failure::from_io(io::ErrorKind::UnexpectedEof.into(), Phase::Send)
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        let exchange = exchange()?;
        self.begin(&exchange);
        if amount == 0 {
            return Ok(());
        }
        let mut output = Cow::from(&self.buffers.output()[..amount]);
        if let Some(unsaid) = current::unsaid() {
            // ureq's part of a head is a few lines, which it writes at once.
            let incomplete = || other(Failure::new(ErrorKind::Other, "an incomplete head"));
            output = unsaid.said(&output).ok_or_else(incomplete)?.into();
        }
        let written = self.wire.write_all(&output).and_then(|()| self.wire.flush());
        written.map_err(|error| other(Failure::from_io(error, Phase::Send)))
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        let exchange = exchange()?;
        if current::announced() {
            return self.await_word(&exchange).map(|()| true).map_err(other);
        }
        if mem::take(&mut self.answered) {
            return Ok(true);
        }
        if exchange.phase() == Phase::Send {
            exchange.enter(Phase::Head);
        }
        loop {
            let input = self.buffers.input_append_buf();
            // As a failure of ours it is not taken for the end of a body.
            let amount = self.wire.read(input);
            let amount =
                amount.map_err(|error| other(Failure::from_io(error, exchange.phase())))?;
            exchange.received(amount);
            let kept = self.interim.bare(&mut input[..amount]);
            let mut kept = self.chunks.pass(&mut input[..kept]).map_err(other)?;
            if amount == 0 {
                let missing = self.chunks.missing();
                kept = missing.len();
                input[..kept].copy_from_slice(missing);
            }
            self.buffers.input_appended(kept);
            if kept > 0 || amount == 0 {
                return Ok(kept > 0);
            }
        }
    }

    /// ureq asks before it puts a connection away and again before it reuses it;
    /// the second time tells all that the first would.
    fn is_open(&mut self) -> bool {
        if self.wire.socket().is_broken() {
            return false;
        }
        let taken_out = current::exchange().is_none_or(|exchange| exchange.untouched());
        if !taken_out {
            // From now on it may serve another call.
            current::let_go();
            return true;
        }
        self.wire.is_quiet()
    }

    fn is_tls(&self) -> bool {
        matches!(self.wire, Wire::Tls(_))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}
