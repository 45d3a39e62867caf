//! duocall's socket without what it counts and watches; see `src/nonblocking/socket.rs`. What
//! watches it is the same.

use std::io::{self, ErrorKind::WouldBlock, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use smol::Async;
use smol::io::{AsyncRead, AsyncWrite};

use bell::Bell;

#[expect(dead_code, reason = "nothing but news rings here")]
#[path = "../../../../../src/nonblocking/bell.rs"]
mod bell;
#[expect(dead_code, reason = "a connection by hand never rests")]
#[path = "../../../../../src/nonblocking/socket/hub.rs"]
mod hub;

#[derive(Default)]
struct Link {
    bell: Bell,
    ended: AtomicBool,
}

pub(super) struct Socket {
    io: hub::Io,
    link: Arc<Link>,
    seat: hub::Seat,
    drained: bool,
}

impl Socket {
    pub(super) async fn connect(address: SocketAddr) -> io::Result<Socket> {
        let io = Async::<TcpStream>::connect(address).await?;
        io.get_ref().set_nodelay(true)?;
        let link = Arc::new(Link::default());
        let io = hub::Io::new(io)?;
        let seat = hub::join(&io, &link)?;
        Ok(Socket { io, link, seat, drained: false })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        hub::leave(&self.io);
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.link.bell.wakes(cx);
        loop {
            if self.link.bell.rang() {
                self.drained = false;
            }
            if !self.drained {
                match self.io.get_ref().read(buffer) {
                    Err(error) if error.kind() == WouldBlock => {
                        hub::again(&self.io)?;
                        self.drained = true;
                    }
                    Err(error) => return Poll::Ready(Err(error)),
                    Ok(read) => {
                        let ended = read == 0 || self.link.ended.load(Relaxed);
                        self.drained = read < buffer.len() && !ended;
                        return Poll::Ready(Ok(read));
                    }
                }
            }
            if hub::wait(&self.seat, &self.link) {
                return Poll::Pending;
            }
            self.drained = false;
        }
    }
}

impl Socket {
    fn writing(
        &mut self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match write(self.io.get_ref()) {
                Err(error) if error.kind() == WouldBlock => ready!(self.io.poll_writable(cx))?,
                done => return Poll::Ready(done),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writing(cx, |mut stream| stream.write(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writing(cx, |mut stream| stream.write_vectored(pieces))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.io.get_ref().shutdown(std::net::Shutdown::Write))
    }
}
