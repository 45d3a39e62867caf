//! duocall's socket without what it counts and watches; see `src/nonblocking/socket.rs`.

use std::io::{self, ErrorKind::WouldBlock, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker, ready};

use smol::Async;
use smol::io::{AsyncRead, AsyncWrite};

#[derive(Default)]
struct Bell {
    rang: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Bell {
    fn listen(&self, cx: &Context<'_>) {
        let mut task = self.task.lock().expect("nobody panics here");
        if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rang.store(true, SeqCst);
        let task = self.task.lock().expect("nobody panics here").take();
        task.inspect(Waker::wake_by_ref);
    }
}

pub(super) struct Socket {
    io: Async<TcpStream>,
    bell: Arc<Bell>,
    waker: Waker,
    drained: bool,
    registered: bool,
}

impl Socket {
    pub(super) async fn connect(address: SocketAddr) -> io::Result<Socket> {
        let io = Async::<TcpStream>::connect(address).await?;
        io.get_ref().set_nodelay(true)?;
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(bell.clone());
        Ok(Socket { io, bell, waker, drained: false, registered: false })
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.drained {
            self.bell.listen(cx);
        }
        if self.bell.rang.swap(false, SeqCst) {
            (self.drained, self.registered) = (false, false);
        }
        if !self.drained {
            match self.io.get_ref().read(buffer) {
                Err(error) if error.kind() == WouldBlock => {
                    self.bell.listen(cx);
                    self.drained = true;
                }
                done => {
                    self.drained =
                        matches!(done, Ok(1..)) && matches!(done, Ok(n) if n < buffer.len());
                    return Poll::Ready(done);
                }
            }
        }
        if !self.registered {
            let waker = self.waker.clone();
            let mut cx = Context::from_waker(&waker);
            let pending = (0..3).any(|_| self.io.poll_readable(&mut cx).is_pending());
            self.registered = pending;
            if !pending {
                waker.wake();
            }
        }
        Poll::Pending
    }
}

impl Socket {
    fn writing(
        &self,
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
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writing(cx, |mut stream| stream.write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
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
