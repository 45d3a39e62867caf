//! A connected stream as hyper wants it, plain or under TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use smol::io::{AsyncRead, AsyncWrite};

use super::socket::{Link, Socket};
use crate::engine::chunks::Chunks;
use crate::landing::Landing;

/// Counts what goes over it: bytes of HTTP, not of TLS.
pub(super) struct Wire {
    layer: Layer,
    link: Arc<Link>,
    chunks: Chunks,
    /// TLS holds nothing that came before.
    drained: bool,
}

pub(super) enum Layer {
    Plain(Socket),
    #[cfg(feature = "tls")]
    Tls(Box<futures_rustls::client::TlsStream<Socket>>),
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

impl Wire {
    pub(super) fn new(layer: Layer, link: Arc<Link>) -> Wire {
        Wire { layer, link, chunks: Chunks::none(), drained: false }
    }

    pub(super) fn stream(&mut self) -> Pin<&mut dyn Stream> {
        match &mut self.layer {
            Layer::Plain(socket) => Pin::new(socket),
            #[cfg(feature = "tls")]
            Layer::Tls(stream) => Pin::new(&mut **stream),
        }
    }

    fn socket(&self) -> &Socket {
        match &self.layer {
            Layer::Plain(socket) => socket,
            #[cfg(feature = "tls")]
            Layer::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Whether a read is worth its while. TLS may have something of its own.
    fn poll_worthwhile(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_plain() && !self.drained {
            return Poll::Ready(Ok(()));
        }
        match &mut self.layer {
            Layer::Plain(socket) => socket.poll_worthwhile(cx),
            #[cfg(feature = "tls")]
            Layer::Tls(stream) => stream.get_mut().0.poll_worthwhile(cx),
        }
    }

    /// Reads until there is something to be kept, or the end.
    fn poll_some(&mut self, cx: &mut Context<'_>, landing: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            let came = self.stream().poll_read(cx, landing);
            self.drained = came.is_pending();
            let read = ready!(came)?;
            if self.link.begins() {
                self.chunks = Chunks::new();
            }
            self.link.came(&landing[..read]);
            let kept = self.chunks.take_in(landing, read)?;
            if kept > 0 || read == 0 {
                return Poll::Ready(Ok(kept));
            }
        }
    }

    /// A write has failed, which the socket keeps to itself until it is read from.
    pub(super) fn is_broken(&self) -> bool {
        self.socket().is_broken()
    }

    pub(super) fn is_plain(&self) -> bool {
        matches!(self.layer, Layer::Plain(_))
    }

    /// The server has chosen it by ALPN.
    #[cfg(feature = "http2")]
    pub(super) fn agreed_on_http2(&self) -> bool {
        match &self.layer {
            Layer::Plain(_) => false,
            #[cfg(feature = "tls")]
            Layer::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }

    fn written(&self, done: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.link.wrote(&done);
        if let Poll::Ready(Ok(bytes)) = done {
            if !self.is_broken() {
                self.link.went(bytes);
            }
        }
        done
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_worthwhile(cx))?;
        // hyper's buffer is not initialised, and asked for much oftener than there is
        // something to read.
        let mut landing = Landing::take();
        let buffer = landing.bytes();
        let room = cursor.remaining().min(buffer.len());
        let kept = ready!(self.poll_some(cx, &mut buffer[..room]))?;
        cursor.put_slice(&buffer[..kept]);
        Poll::Ready(Ok(()))
    }
}

impl Write for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = self.stream().poll_write(cx, bytes);
        self.written(done)
    }

    fn is_write_vectored(&self) -> bool {
        self.is_plain()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = self.stream().poll_write_vectored(cx, pieces);
        self.written(done)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = self.stream().poll_flush(cx);
        self.link.wrote(&done);
        done
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_close(cx)
    }
}
