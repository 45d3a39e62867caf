//! Where there is no epoll, async-io watches each socket.

use std::io;
use std::net::TcpStream;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use smol::Async;

use super::Link;

/// The place of a socket: itself, if it is still open.
pub(super) type Seat = Weak<Async<TcpStream>>;

/// A socket.
pub(super) struct Io(Arc<Async<TcpStream>>);

impl Io {
    pub(super) fn new(io: Async<TcpStream>) -> io::Result<Io> {
        Ok(Io(Arc::new(io)))
    }

    pub(super) fn get_ref(&self) -> &TcpStream {
        self.0.get_ref()
    }

    pub(super) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_writable(cx)
    }
}

pub(super) fn join(io: &Io, _: &Arc<Link>) -> io::Result<Seat> {
    Ok(Arc::downgrade(&io.0))
}

/// Registers for a wake-up when there is something to read. Whether async-io says
/// that there is counts for nothing: it may speak of an event long consumed, and
/// may keep silent about one. Only its wake-up counts.
pub(super) fn wait(seat: &Seat, link: &Arc<Link>) -> bool {
    let waker = Waker::from(link.clone());
    let waits = |io: Arc<Async<TcpStream>>| {
        // If it insists that there is something: look.
        (0..3).any(|_| io.poll_readable(&mut Context::from_waker(&waker)).is_pending())
    };
    seat.upgrade().is_some_and(waits)
}

pub(super) fn again(_: &Io) -> io::Result<()> {
    Ok(())
}

/// The system has to be asked by a read.
pub(super) fn look(link: &Link) {
    link.bell.set();
}

pub(super) fn rest(_: &Seat, _: &Link) {}

pub(super) fn leave(_: &Io) {}
