//! A TCP socket that asks the system no more than it has to.
//!
//! `smol::Async` tries a read whenever it is polled, and hyper polls often: five
//! reads per call, four of which learn that there is nothing. This one knows when
//! a socket is drained, and then waits for news of it.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Relaxed, Release},
};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, ready};

use smol::Async;
use smol::io::{AsyncRead, AsyncWrite};

use super::bell::{Bell, taken};
use crate::transport::Exchange;

#[cfg(not(feature = "tokio"))]
#[path = "socket/no_tokio.rs"]
mod tokio;
#[cfg(feature = "tokio")]
mod tokio;

#[cfg(not(any(target_os = "android", target_os = "linux")))]
#[path = "socket/each.rs"]
mod hub;
#[cfg(any(target_os = "android", target_os = "linux"))]
mod hub;

#[cfg(test)]
#[path = "socket/races.rs"]
mod races;

use tokio::Place;
#[cfg(feature = "tokio")]
pub(super) use tokio::TOKIO;

/// Whose events tell a socket that it can be read.
#[derive(Clone, Copy)]
pub(super) struct Reactor {
    /// Where a socket adopted now would live; a socket serves there alone.
    pub(super) here: fn() -> Place,
    adopt: Adopt,
}

type Adopt = fn(Async<TcpStream>, &Arc<Link>) -> io::Result<Box<dyn Raw>>;

/// That of async-io, which is everywhere.
pub(super) const ASYNC_IO: Reactor = Reactor {
    here: Place::default,
    adopt: |io, link| {
        let io = hub::Io::new(io)?;
        let seat = hub::join(&io, link)?;
        link.seat.get_or_init(|| seat);
        Ok(Box::new(Watched { io, link: link.clone() }))
    },
};

/// A connected socket with its reactor.
trait Raw: Send + Sync {
    /// Whether a read is worth its while; otherwise a wake-up will come.
    fn poll_worthwhile(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>>;

    /// Nothing more is written.
    fn close(&self);
}

/// What the owner of a connection shares with the socket deep inside it. The flags are of the one
/// task that has the connection, but for `ended`, which others set before they ring.
pub(super) struct Link {
    /// Where the socket lives.
    pub(super) place: Place,
    /// Bytes of the exchange at hand that it was not told of yet.
    written: AtomicUsize,
    read: AtomicUsize,
    /// A byte of the request is on its way. What comes before is no answer to it.
    asked: AtomicBool,
    /// Rings when there is news of the socket.
    pub(super) bell: Bell,
    /// Somebody drives the connection, and sees to it himself that the bell wakes his task.
    driven: AtomicBool,
    /// There is more to drive already.
    stirred: AtomicBool,
    /// The owner wants to know how the socket is.
    look: AtomicBool,
    /// The peer has yet to take what was written before.
    full: AtomicBool,
    /// The next byte that comes is the first of a response.
    begins: AtomicBool,
    /// An answer came while the peer had yet to take a part of the request.
    early: AtomicBool,
    /// Everything was read; news will tell.
    drained: AtomicBool,
    /// After what there is to read comes the end.
    ended: AtomicBool,
    seat: OnceLock<hub::Seat>,
}

impl Link {
    fn new(place: Place) -> Link {
        Link {
            place,
            written: AtomicUsize::default(),
            read: AtomicUsize::default(),
            asked: AtomicBool::default(),
            bell: Bell::default(),
            driven: AtomicBool::default(),
            stirred: AtomicBool::default(),
            look: AtomicBool::default(),
            full: AtomicBool::default(),
            begins: AtomicBool::default(),
            early: AtomicBool::default(),
            drained: AtomicBool::default(),
            ended: AtomicBool::default(),
            seat: OnceLock::new(),
        }
    }

    /// Begins an exchange.
    pub(super) fn serve(&self) {
        self.begins.store(true, Relaxed);
        self.asked.store(false, Relaxed);
        self.written.store(0, Relaxed);
        self.read.store(0, Relaxed);
    }

    /// There is none any more.
    pub(super) fn rest(&self) {
        self.begins.store(false, Relaxed);
        self.seat.get().inspect(|seat| hub::rest(seat, self));
    }

    /// Tells the exchange at hand of the bytes that went and came.
    pub(super) fn tell(&self, exchange: &Exchange) {
        exchange.wrote(drawn(&self.written));
        exchange.received(drawn(&self.read));
    }

    /// Begins to drive the connection.
    pub(super) fn drive(&self) {
        self.driven.store(true, Relaxed);
        taken(&self.stirred);
    }

    /// Has it driven once more.
    pub(super) fn stir(&self) {
        self.stirred.store(true, Release);
        self.bell.wake();
    }

    /// Sees to it that the task is woken when there is more to drive. What came while it was
    /// driven found nobody to wake.
    pub(super) fn wait(self: &Arc<Self>, cx: &Context<'_>) {
        self.bell.wakes(cx);
        if self.stirred.load(Relaxed) || self.bell.is_set() || !self.will_hear() {
            self.bell.wake();
        }
    }

    /// Whether what comes to be read will ring.
    fn will_hear(self: &Arc<Self>) -> bool {
        let seat = self.seat.get().filter(|_| self.drained.load(Relaxed));
        seat.is_none_or(|seat| hub::wait(seat, self))
    }

    /// Sees to it that news wakes the task at hand, unless its owner does.
    fn listen(self: &Arc<Self>, cx: &Context<'_>) {
        if !self.driven.load(Relaxed) {
            self.wait(cx);
        }
    }

    /// Notes what comes.
    pub(super) fn came(&self, bytes: &[u8]) {
        if self.asked.load(Relaxed) {
            self.read.store(self.read.load(Relaxed) + bytes.len(), Relaxed);
        }
        if self.is_full() && !bytes.is_empty() && !bytes.starts_with(b"HTTP/1.1 1") {
            self.early.store(true, Relaxed);
        }
    }

    pub(super) fn is_early(&self) -> bool {
        self.early.load(Relaxed)
    }

    /// Whether a response begins; once for each.
    pub(super) fn begins(&self) -> bool {
        once(&self.begins)
    }

    /// Makes the next read ask the system, whatever is known.
    pub(super) fn probe(&self) {
        self.look.store(true, Relaxed);
    }

    /// Notes what goes.
    pub(super) fn went(&self, bytes: usize) {
        self.asked.store(true, Relaxed);
        self.written.store(self.written.load(Relaxed) + bytes, Relaxed);
    }

    /// Notes whether a write could not go on.
    pub(super) fn wrote<T>(&self, done: &Poll<T>) {
        self.full.store(done.is_pending(), Relaxed);
    }

    /// Whether a part of the request is still here.
    pub(super) fn is_full(&self) -> bool {
        self.full.load(Relaxed)
    }
}

fn drawn(bytes: &AtomicUsize) -> usize {
    let drawn = bytes.load(Relaxed);
    bytes.store(0, Relaxed);
    drawn
}

/// Whether a flag is set that one task alone sets; it is not any more.
fn once(flag: &AtomicBool) -> bool {
    let set = flag.load(Relaxed);
    flag.store(false, Relaxed);
    set
}

impl Wake for Link {
    fn wake(self: Arc<Self>) {
        self.bell.ring();
    }
}

/// On async-io's reactor.
struct Watched {
    io: hub::Io,
    link: Arc<Link>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        hub::leave(&self.io);
    }
}

impl Raw for Watched {
    fn poll_worthwhile(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if once(&self.link.look) {
            hub::look(&self.link);
        }
        if self.link.bell.rang() {
            self.link.drained.store(false, Relaxed);
        }
        if !self.link.drained.load(Relaxed) {
            return Poll::Ready(Ok(()));
        }
        self.link.listen(cx);
        Poll::Pending
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_worthwhile(cx))?;
            match uninterrupted(|| self.io.get_ref().read(buffer)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // What was told may have been of another, who had the seat before.
                    self.link.ended.store(false, Relaxed);
                    hub::again(&self.io)?;
                    self.link.drained.store(true, Relaxed);
                }
                done => {
                    if let Ok(bytes) = done {
                        // A short read took all there was but the end.
                        let ended = bytes == 0 || self.link.ended.load(Relaxed);
                        self.link.drained.store(bytes < buffer.len() && !ended, Relaxed);
                    }
                    return Poll::Ready(done);
                }
            }
        }
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut stream = self.io.get_ref();
            let done = uninterrupted(|| match pieces {
                // The system has less to do for it.
                [piece] => stream.write(piece),
                pieces => stream.write_vectored(pieces),
            });
            match done {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.io.poll_writable(cx))?;
                }
                done => return Poll::Ready(done),
            }
        }
    }

    fn close(&self) {
        // It may be closed already.
        drop(self.io.get_ref().shutdown(std::net::Shutdown::Write));
    }
}

fn uninterrupted(mut io: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match io() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

pub(super) struct Socket {
    raw: Box<dyn Raw>,
    /// The write that failed. The server may have answered, or said why, before it
    /// hung up, so that is looked for first.
    broken: Option<io::Error>,
}

impl Socket {
    pub(super) fn new(io: Async<TcpStream>, reactor: Reactor) -> io::Result<(Socket, Arc<Link>)> {
        let link = Arc::new(Link::new((reactor.here)()));
        let raw = (reactor.adopt)(io, &link)?;
        Ok((Socket { raw, broken: None }, link))
    }

    /// Whether a read is worth its while; otherwise a wake-up will come.
    pub(super) fn poll_worthwhile(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.raw.poll_worthwhile(cx)
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match ready!(self.raw.poll_read(cx, buffer)) {
            // Of a reset the system tells but once, and then of an end.
            Ok(0) if self.broken.is_some() && !buffer.is_empty() => {
                Poll::Ready(self.broken.take().map_or(Ok(0), Err))
            }
            Err(error) if is_gone(&error) => Poll::Ready(Err(self.broken.take().unwrap_or(error))),
            done => Poll::Ready(done),
        }
    }
}

/// The peer has closed the connection, or reset it.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = || pieces.iter().map(|piece| piece.len()).sum();
        if self.broken.is_some() {
            return Poll::Ready(Ok(all()));
        }
        match ready!(self.raw.poll_write(cx, pieces)) {
            // They count as written: the next read tells what became of it.
            Err(error) if is_gone(&error) => {
                self.broken = Some(error);
                Poll::Ready(Ok(all()))
            }
            done => Poll::Ready(done),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.raw.close();
        Poll::Ready(Ok(()))
    }
}
