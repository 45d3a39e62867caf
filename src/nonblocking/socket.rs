//! A TCP socket that asks the system no more than it has to.
//!
//! `smol::Async` tries a read whenever it is polled, and hyper polls often: five
//! reads per call, four of which learn that there is nothing. This one knows when
//! a socket is drained, registers its interest once, and waits for the wake-up.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker, ready};

use smol::Async;
use smol::io::{AsyncRead, AsyncWrite};

use crate::sync::lock;
use crate::transport::Exchange;

/// What the owner of a connection shares with the socket deep inside it.
#[derive(Default)]
pub(super) struct Link {
    /// The exchange the bytes belong to.
    exchange: Mutex<Option<Arc<Exchange>>>,
    /// A wake-up came, or the owner wants to know how the socket is.
    look: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Link {
    pub(super) fn serve(&self, exchange: Option<&Arc<Exchange>>) {
        *lock(&self.exchange) = exchange.cloned();
    }

    pub(super) fn exchange(&self) -> MutexGuard<'_, Option<Arc<Exchange>>> {
        lock(&self.exchange)
    }

    /// Makes the next read ask the system, whatever is known.
    pub(super) fn probe(&self) {
        self.look.store(true, SeqCst);
    }

    /// Whether the reactor has told of anything since the last read.
    pub(super) fn has_news(&self) -> bool {
        self.look.load(SeqCst)
    }
}

impl Wake for Link {
    fn wake(self: Arc<Self>) {
        self.look.store(true, SeqCst);
        let task = lock(&self.task).take();
        task.inspect(Waker::wake_by_ref);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// There may be something to read.
    Try,
    /// Everything was read; the interest is not registered.
    Drained,
    /// The wake-up will tell.
    Registered,
}

pub(super) struct Socket {
    io: Async<TcpStream>,
    link: Arc<Link>,
    /// One waker for the life of the connection; it finds the task through the link.
    waker: Waker,
    state: State,
    /// The write that failed. The server may have answered, or said why, before it
    /// hung up, so that is looked for first.
    broken: Option<io::Error>,
}

impl Socket {
    pub(super) fn new(io: Async<TcpStream>) -> (Socket, Arc<Link>) {
        let link = Arc::new(Link::default());
        let waker = Waker::from(link.clone());
        let state = State::Try;
        (Socket { io, link: link.clone(), waker, state, broken: None }, link)
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Registers for a wake-up when there is something to read. Whether the
    /// reactor says that there is counts for nothing: it may speak of an event
    /// long consumed, and may keep silent about one. Only its wake-up counts.
    fn register(&mut self) -> io::Result<()> {
        for _ in 0..3 {
            let mut cx = Context::from_waker(&self.waker);
            match self.io.poll_readable(&mut cx) {
                Poll::Pending => {
                    self.state = State::Registered;
                    return Ok(());
                }
                Poll::Ready(said) => said?,
            }
        }
        // It insists: look.
        self.link.look.store(true, SeqCst);
        self.waker.wake_by_ref();
        Ok(())
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.state != State::Try {
            let mut task = lock(&self.link.task);
            if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
                *task = Some(cx.waker().clone());
            }
        }
        if self.link.look.swap(false, SeqCst) {
            self.state = State::Try;
        }
        if self.state == State::Try {
            let read = loop {
                match self.io.get_ref().read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    done => break done,
                }
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    *lock(&self.link.task) = Some(cx.waker().clone());
                    self.state = State::Drained;
                }
                // Of a reset the system tells but once, and then of an end.
                Ok(0) if self.broken.is_some() && !buffer.is_empty() => {
                    return Poll::Ready(self.broken.take().map_or(Ok(0), Err));
                }
                Err(error) if is_gone(&error) => {
                    return Poll::Ready(Err(self.broken.take().unwrap_or(error)));
                }
                done => {
                    if let Ok(bytes) = done {
                        // A short read took all there was; the end stays readable.
                        let drained = bytes > 0 && bytes < buffer.len();
                        self.state = if drained { State::Drained } else { State::Try };
                    }
                    return Poll::Ready(done);
                }
            }
        }
        if self.state == State::Drained {
            self.register()?;
        }
        Poll::Pending
    }
}

impl Socket {
    fn poll_writing(
        &mut self,
        cx: &mut Context<'_>,
        all: usize,
        mut write: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if self.broken.is_some() {
            return Poll::Ready(Ok(all));
        }
        loop {
            match write(self.io.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.io.poll_writable(cx))?;
                }
                // They count as written: the next read tells what became of it.
                Err(error) if is_gone(&error) => {
                    self.broken = Some(error);
                    return Poll::Ready(Ok(all));
                }
                done => return Poll::Ready(done),
            }
        }
    }
}

/// The peer has closed the connection, or reset it.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_writing(cx, bytes.len(), |mut stream| stream.write(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = pieces.iter().map(|piece| piece.len()).sum();
        self.poll_writing(cx, all, |mut stream| stream.write_vectored(pieces))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // It may be closed already; either way nothing more is written.
        drop(self.io.get_ref().shutdown(std::net::Shutdown::Write));
        Poll::Ready(Ok(()))
    }
}
