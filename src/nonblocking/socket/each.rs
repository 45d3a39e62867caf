//! Where there is no epoll, async-io watches each socket.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use smol::Async;

use super::Link;

/// The place of a socket: none.
pub(super) type Seat = ();

/// A socket.
pub(super) struct Io(Async<TcpStream>);

impl Io {
    pub(super) fn new(io: Async<TcpStream>) -> io::Result<Io> {
        Ok(Io(io))
    }

    pub(super) fn get_ref(&self) -> &TcpStream {
        self.0.get_ref()
    }

    pub(super) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_writable(cx)
    }
}

pub(super) fn join(_: &Io, _: &Arc<Link>) -> io::Result<Seat> {
    Ok(())
}

/// Registers for a wake-up when there is something to read. Whether async-io says
/// that there is counts for nothing: it may speak of an event long consumed, and
/// may keep silent about one. Only its wake-up counts.
pub(super) fn wait((): Seat, io: &Io, link: &Arc<Link>) -> io::Result<bool> {
    let waker = Waker::from(link.clone());
    for _ in 0..3 {
        match io.0.poll_readable(&mut Context::from_waker(&waker)) {
            Poll::Pending => return Ok(true),
            Poll::Ready(said) => said?,
        }
    }
    // It insists: look.
    Ok(false)
}

pub(super) fn again((): Seat, _: &Io) -> io::Result<()> {
    Ok(())
}

/// The system has to be asked by a read.
pub(super) fn look(link: &Link) {
    link.bell.set();
}

pub(super) fn rest((): Seat) {}

pub(super) fn leave((): Seat, _: &Io) {}
