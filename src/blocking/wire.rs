//! A socket, plain or under TLS.

use std::io::{self, Read, Write};

use super::socket::Socket;
use crate::tls::Tls;
use crate::transport::{Exchange, Failure};

#[cfg(feature = "tls")]
pub(super) type TlsStream = Box<rustls::StreamOwned<rustls::ClientConnection, Socket>>;
#[cfg(not(feature = "tls"))]
pub(super) type TlsStream = std::convert::Infallible;

pub(super) enum Wire {
    Plain(Socket),
    Tls(TlsStream),
}

#[cfg(not(feature = "tls"))]
impl Wire {
    pub(super) fn tls(_: Socket, _: &str, tls: &Tls, _: &Exchange) -> Result<Wire, Failure> {
        Err(tls.missing())
    }

    pub(super) fn socket(&self) -> &Socket {
        match self {
            Wire::Plain(socket) => socket,
            Wire::Tls(never) => match *never {},
        }
    }

    fn stream(&mut self) -> &mut Socket {
        match self {
            Wire::Plain(socket) => socket,
            Wire::Tls(never) => match *never {},
        }
    }
}

#[cfg(feature = "tls")]
impl Wire {
    /// Shakes hands.
    pub(super) fn tls(
        mut socket: Socket,
        host: &str,
        tls: &Tls,
        exchange: &Exchange,
    ) -> Result<Wire, Failure> {
        let mut connection = tls.client(host)?;
        while connection.is_handshaking() {
            if let Err(error) = connection.complete_io(&mut socket) {
                return Err(Failure::from_io(error, exchange.phase()));
            }
        }
        Ok(Wire::Tls(Box::new(rustls::StreamOwned::new(connection, socket))))
    }

    pub(super) fn socket(&self) -> &Socket {
        match self {
            Wire::Plain(socket) => socket,
            Wire::Tls(stream) => &stream.sock,
        }
    }

    fn stream(&mut self) -> &mut dyn Stream {
        match self {
            Wire::Plain(socket) => socket,
            Wire::Tls(stream) => &mut **stream,
        }
    }
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream().read(buffer)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream().flush()
    }
}
