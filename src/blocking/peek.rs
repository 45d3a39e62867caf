//! Asks a socket what is there, without waiting and without taking it.

use std::io;
use std::net::TcpStream;

#[cfg(unix)]
pub(super) fn peek(stream: &TcpStream) -> io::Result<usize> {
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    socket2::SockRef::from(stream).recv_with_flags(&mut [std::mem::MaybeUninit::uninit()], flags)
}

#[cfg(not(unix))]
pub(super) fn peek(stream: &TcpStream) -> io::Result<usize> {
    peek_at(stream, &mut [0])
}

/// The same with the bytes, for which the socket has to be told, and told back.
pub(super) fn peek_at(stream: &TcpStream, bytes: &mut [u8]) -> io::Result<usize> {
    stream.set_nonblocking(true)?;
    let peeked = stream.peek(bytes);
    stream.set_nonblocking(false)?;
    peeked
}
