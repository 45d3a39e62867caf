//! A socket on the reactor of the tokio runtime at hand: no other thread has to be
//! woken to tell of an answer.

use std::io::{self, Read};
use std::net::{Shutdown, TcpStream as StdStream};
use std::panic::catch_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::{Handle, Id};

use super::{ASYNC_IO, Link, Raw, Reactor, once, uninterrupted};

/// A runtime, or `None` for async-io's reactor. A socket dies with its runtime, and
/// stands still where that does.
pub(in crate::nonblocking) type Place = Option<Id>;

/// That of the runtime in whose context the socket is adopted; async-io's outside of any.
pub(in crate::nonblocking) const TOKIO: Reactor = Reactor {
    here: || Handle::try_current().ok().map(|handle| handle.id()),
    adopt: |io, link| {
        if link.place.is_none() {
            return (ASYNC_IO.adopt)(io, link);
        }
        Ok(Box::new(Adopted::new(io.into_inner()?, link)?))
    },
};

struct Adopted {
    stream: TcpStream,
    link: Arc<Link>,
    waker: Waker,
    /// tokio has the waker, and will wake it.
    armed: bool,
}

impl Adopted {
    fn new(stream: StdStream, link: &Arc<Link>) -> io::Result<Adopted> {
        // tokio panics in a runtime that was built without I/O, and has no question for it.
        let adopted = catch_unwind(|| TcpStream::from_std(stream));
        let none = |_| Err(io::Error::other("the tokio runtime does no I/O"));
        let stream = adopted.unwrap_or_else(none)?;
        let waker = Waker::from(link.clone());
        Ok(Adopted { stream, link: link.clone(), waker, armed: false })
    }
}

impl Raw for Adopted {
    fn poll_worthwhile(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.link.bell.rang() {
            self.armed = false;
        }
        self.link.listen(cx);
        if self.armed && !self.link.look.load(Relaxed) {
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_worthwhile(cx))?;
        if once(&self.link.look) {
            // tokio would only say what it was told the last time it asked.
            match uninterrupted(|| (&*SockRef::from(&self.stream)).read(buffer)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.armed => {
                    return Poll::Pending;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
        let mut read = ReadBuf::new(buffer);
        let mut cx = Context::from_waker(&self.waker);
        let done = Pin::new(&mut self.stream).poll_read(&mut cx, &mut read);
        self.armed = done.is_pending();
        ready!(done)?;
        Poll::Ready(Ok(read.filled().len()))
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.stream);
        match pieces {
            [piece] => stream.poll_write(cx, piece),
            pieces => stream.poll_write_vectored(cx, pieces),
        }
    }

    fn close(&self) {
        // It may be closed already.
        drop(SockRef::from(&self.stream).shutdown(Shutdown::Write));
    }
}
