//! From an address to a connection that can carry HTTP.

use std::io::{self, ErrorKind::TimedOut};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use smol::future::FutureExt;
use smol::io::{AsyncRead, AsyncWrite};
use smol::{Async, Timer};

use super::socket::{Link, Socket};
use crate::error::{ErrorKind, Phase, Sent};
use crate::resolve;
use crate::tls::Tls;
use crate::transport::{Exchange, Failure};

/// A connected stream, and the count of what goes over it: bytes of HTTP, not of TLS.
pub(super) struct Wire {
    layer: Layer,
    link: Arc<Link>,
}

enum Layer {
    Plain(Socket),
    #[cfg(feature = "tls")]
    Tls(Box<futures_rustls::client::TlsStream<Socket>>),
}

pub(super) async fn connect(
    uri: &Uri,
    tls: &Tls,
    exchange: &Exchange,
) -> Result<(Wire, Arc<Link>), Failure> {
    let https = uri.scheme_str() == Some("https");
    let host = uri.host().unwrap_or_default();
    let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
    exchange.enter(Phase::Resolve);
    let addrs = resolved(host.trim_matches(['[', ']']), port).await?;
    exchange.enter(Phase::Connect);
    let (socket, link) = Socket::new(first_to_answer(&addrs, exchange).await?);
    let layer = if https {
        exchange.enter(Phase::Tls);
        shake_hands(socket, host, tls).await?
    } else {
        Layer::Plain(socket)
    };
    Ok((Wire { layer, link: link.clone() }, link))
}

async fn resolved(host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    if let Some(addr) = resolve::literal(host, port) {
        return Ok(vec![addr]);
    }
    let host = host.to_owned();
    // The system's resolver blocks; the executor must not.
    smol::unblock(move || resolve::system(&host, port)).await
}

/// Tries one address after another; each gets its share of what is left.
async fn first_to_answer(
    addrs: &[SocketAddr],
    exchange: &Exchange,
) -> Result<Async<TcpStream>, Failure> {
    let mut last = Failure::new(ErrorKind::Dns, "the name has no address");
    for (n, addr) in addrs.iter().enumerate() {
        let connecting = async {
            let stream = Async::<TcpStream>::connect(*addr).await?;
            stream.get_ref().set_nodelay(true)?;
            Ok(stream)
        };
        let others = addrs.len() - n - 1;
        let connected = if others == 0 {
            // The call's own timer bounds the last one.
            connecting.await
        } else {
            let share = exchange.remaining()? / (others + 1) as u32;
            let late = async {
                Timer::after(share).await;
                Err(io::Error::from(TimedOut))
            };
            connecting.or(late).await
        };
        match connected {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Failure::from_io(error, Phase::Connect).sent(Sent::No),
        }
    }
    Err(last)
}

#[cfg(feature = "tls")]
async fn shake_hands(socket: Socket, host: &str, tls: &Tls) -> Result<Layer, Failure> {
    let connector = futures_rustls::TlsConnector::from(tls.rustls().clone());
    let name = crate::tls::server_name(host)?;
    match connector.connect(name, socket).await {
        Ok(stream) => Ok(Layer::Tls(Box::new(stream))),
        Err(error) => Err(Failure::from_io(error, Phase::Tls)),
    }
}

#[cfg(not(feature = "tls"))]
async fn shake_hands(_: Socket, _: &str, tls: &Tls) -> Result<Layer, Failure> {
    Err(tls.missing())
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

impl Wire {
    fn stream(&mut self) -> Pin<&mut dyn Stream> {
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

    fn written(&self, done: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let (Poll::Ready(Ok(bytes)), Some(exchange)) = (&done, &*self.link.exchange()) {
            if !self.socket().is_broken() {
                exchange.wrote(*bytes);
            }
        }
        done
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = self.stream().poll_read(cx, buffer);
        if let (Poll::Ready(Ok(bytes)), Some(exchange)) = (&read, &*self.link.exchange()) {
            exchange.received(*bytes);
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = self.stream().poll_write(cx, bytes);
        self.written(done)
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
        self.stream().poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_close(cx)
    }
}
