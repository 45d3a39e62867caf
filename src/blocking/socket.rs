//! Connections for ureq: std sockets and rustls, under the limits of the exchange at hand.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, ErrorKind::*, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use http::Uri;
use socket2::{Domain, Protocol, SockRef, Type};
use ureq::Error;
use ureq::config::Config;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

use super::current;
use super::hangup::{Found, Target};
use super::wire::Wire;
use crate::api::Api;
use crate::error::{ErrorKind, Phase, Sent};
use crate::resolve;
use crate::tls::Tls;
use crate::transport::{Exchange, Failure};

fn other(failure: Failure) -> Error {
    Error::Other(failure.into())
}

fn exchange() -> Result<Arc<Exchange>, Error> {
    current::exchange().ok_or_else(|| other(Failure::new(ErrorKind::Other, "no exchange at hand")))
}

/// Resolves on a thread of its own, for the system's resolver cannot be interrupted.
#[derive(Debug)]
pub(super) struct Resolve;

/// Threads that wait for the system's resolver at most; each may hang for a minute.
const RESOLVERS: usize = 64;
static RESOLVING: AtomicUsize = AtomicUsize::new(0);

impl Resolver for Resolve {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let exchange = exchange()?;
        exchange.enter(Phase::Resolve);
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(default);
        let mut addrs = self.empty();
        if let Some(addr) = resolve::literal(host, port) {
            addrs.push(addr);
            return Ok(addrs);
        }
        let name = host.to_owned();
        let lookup = move || resolve::system(&name, port);
        let found = looked_up(lookup, &exchange).map_err(other)?;
        // ureq has room for sixteen.
        found.into_iter().take(16).for_each(|addr| addrs.push(addr));
        Ok(addrs)
    }
}

fn looked_up(lookup: impl FnOnce() -> Found + Send + 'static, exchange: &Exchange) -> Found {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            RESOLVING.fetch_sub(1, SeqCst);
        }
    }
    if RESOLVING.fetch_add(1, SeqCst) >= RESOLVERS {
        drop(Leave);
        return Err(Failure::new(ErrorKind::Resource, "too many names being resolved"));
    }
    // Room for the answer and a cancellation: neither waits.
    let (tell, told) = mpsc::sync_channel(2);
    current::on_cancel(|| Target::Lookup(tell.clone()));
    let left = exchange.remaining()?;
    let work = move || {
        let _leave = Leave;
        drop(tell.send(lookup()));
    };
    let spawned = thread::Builder::new().name("duocall-resolve".into()).spawn(work);
    spawned.map_err(|error| Failure::new(ErrorKind::Resource, "no thread").caused_by(error))?;
    told.recv_timeout(left).unwrap_or_else(|_| Err(exchange.timed_out()))
}

#[derive(Debug)]
pub(super) struct Connect {
    tls: Tls,
}

impl Connect {
    pub(super) fn new(api: &Api) -> Connect {
        Connect { tls: api.tls().clone() }
    }
}

impl Connector for Connect {
    type Out = Connection;

    fn connect(
        &self,
        details: &ConnectionDetails,
        _: Option<()>,
    ) -> Result<Option<Connection>, Error> {
        let exchange = exchange()?;
        exchange.enter(Phase::Connect);
        let socket = first_to_answer(&details.addrs, &exchange).map_err(other)?;
        let wire = if details.needs_tls() {
            exchange.enter(Phase::Tls);
            let host = details.uri.host().unwrap_or_default();
            Wire::tls(socket, host, &self.tls, &exchange).map_err(other)?
        } else {
            Wire::Plain(socket)
        };
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(Connection { wire, buffers, fresh: true }))
    }
}

/// Tries one address after another; each gets its share of what is left.
fn first_to_answer(addrs: &[SocketAddr], exchange: &Exchange) -> Result<Socket, Failure> {
    let mut last = Failure::new(ErrorKind::Dns, "the name has no address");
    for (n, addr) in addrs.iter().enumerate() {
        let share = exchange.remaining()? / (addrs.len() - n) as u32;
        let share = share.max(Duration::from_millis(1));
        match Socket::connect(addr, share, exchange) {
            Ok(socket) => return Ok(socket),
            Err(error) if exchange.is_cancelled() => {
                return Err(Failure::from_io(error, Phase::Connect));
            }
            Err(error) if matches!(error.kind(), TimedOut | WouldBlock) => {
                last = exchange.remaining().err().unwrap_or_else(|| {
                    Failure::new(ErrorKind::Timeout(Phase::Connect), "").sent(Sent::No)
                });
            }
            Err(error) => last = Failure::from_io(error, Phase::Connect).sent(Sent::No),
        }
    }
    Err(last)
}

/// A TCP socket whose reads and writes end with the phase of the exchange at hand.
pub(super) struct Socket {
    stream: Arc<TcpStream>,
    read_limit: Option<Duration>,
    write_limit: Option<Duration>,
    /// The write that failed. The server may have answered, or said why, before it
    /// hung up, so that is looked for first.
    broken: Option<io::Error>,
}

impl Socket {
    /// Like `TcpStream::connect_timeout`, on a socket that exists before it is
    /// connected, so that a cancellation can shut it down.
    fn connect(addr: &SocketAddr, limit: Duration, exchange: &Exchange) -> io::Result<Socket> {
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
        let socket = Socket { stream, read_limit: None, write_limit: None, broken: None };
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
        let peeked = self.stream.set_nonblocking(true).and_then(|()| {
            let peeked = self.stream.peek(&mut [0]);
            self.stream.set_nonblocking(false)?;
            peeked
        });
        matches!(peeked, Err(error) if error.kind() == WouldBlock)
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
            Err(error) if matches!(error.kind(), WouldBlock | TimedOut | Interrupted) => {}
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
        let written = timed(|left| {
            if !will_do(self.write_limit, left) {
                self.stream.set_write_timeout(Some(left))?;
                self.write_limit = Some(left);
            }
            (&*self.stream).write(bytes)
        });
        match written {
            Ok(bytes) => {
                // Part of a request has left even where the rest fails. A handshake is no part of it.
                let exchange =
                    current::exchange().filter(|exchange| exchange.phase() >= Phase::Send);
                exchange.inspect(|exchange| exchange.wrote(bytes));
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

/// The peer has closed the connection, or reset it.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), BrokenPipe | ConnectionReset)
}

/// What ureq keeps: the bytes on their way in and out, and the wire.
pub(super) struct Connection {
    wire: Wire,
    buffers: LazyBuffers,
    /// Made for the exchange at hand, and not taken from the pool.
    fresh: bool,
}

impl Connection {
    /// Notes a new exchange on this connection.
    fn begin(&mut self, exchange: &Exchange) {
        if exchange.phase() < Phase::Send {
            exchange.set_reused(!self.fresh);
            if !self.fresh {
                self.wire.socket().hang_up_on_cancel();
            }
            self.fresh = false;
        }
        exchange.enter(Phase::Send);
    }
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
        if exchange.phase() == Phase::Send {
            exchange.enter(Phase::Head);
        }
        let input = self.buffers.input_append_buf();
        match self.wire.read(input) {
            Ok(amount) if amount > 0 || self.broken.is_none() => {
                self.buffers.input_appended(amount);
                exchange.received(amount);
                Ok(amount > 0)
            }
            // As a failure of ours it is not taken for the end of a body.
            ended => {
                let error = ended.err().unwrap_or(UnexpectedEof.into());
                Err(other(Failure::from_io(error, exchange.phase())))
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::cancel::Cancel;
    use crate::clock::Seat;
    use crate::policy::Timeouts;
    use current::Current;

    #[test]
    fn a_lookup_hears_a_cancellation() {
        let now = Instant::now();
        let cancel = Cancel::new();
        let end = now + Duration::from_secs(100);
        let (seat, limits) = (Seat::default(), Timeouts::default());
        let exchange = Exchange::new(seat, now, limits, end, Some(cancel.clone()));
        let exchange = Arc::new(exchange);
        let mut current = Some(Current::new(&exchange, None));
        let (release, released) = mpsc::channel::<()>();
        let lookup = move || {
            cancel.cancel();
            // Answers when the test is over.
            let _ = released.recv();
            Ok(Vec::new())
        };
        let found = current::within(&mut current, || looked_up(lookup, &exchange));
        assert_eq!(found.unwrap_err().kind, ErrorKind::Cancelled);
        assert!(now.elapsed() < Duration::from_secs(2));
        drop(release);
    }
}
