//! From an address to a connection that can carry HTTP.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use smol::future::FutureExt;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::{Async, Timer, channel};

use super::socket::{Link, Reactor, Socket};
use super::wire::{Layer, Wire};
use crate::api::Api;
use crate::error::{ErrorKind, Phase, Sent};
use crate::proxy::{AT_ONCE, Move, Proxies, Proxy, Tunnel};
use crate::resolve::{Found, Names};
use crate::tls::Tls;
use crate::transport::{Exchange, Failure};
use crate::url::Origin;

/// What connections of one API are made with.
pub(super) struct Means {
    tls: Tls,
    names: Names,
    proxies: Proxies,
    pub(super) reactor: Reactor,
}

impl Means {
    pub(super) fn new(api: &Api, reactor: Reactor) -> Means {
        Means::offering(api.tls().clone(), api, reactor)
    }

    /// With settings of TLS that offer something else.
    pub(super) fn offering(tls: Tls, api: &Api, reactor: Reactor) -> Means {
        Means { tls, names: api.names().clone(), proxies: api.proxies().clone(), reactor }
    }

    pub(super) async fn connect(
        &self,
        origin: &Origin,
        exchange: &Exchange,
    ) -> Result<(Wire, Arc<Link>), Failure> {
        let (https, uri) = (origin.is_https(), &origin.to_uri());
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let proxy = self.proxies.choose(uri)?;
        exchange.enter(Phase::Resolve);
        let (near, door) = proxy.map_or((host, port), |proxy| (proxy.host(), proxy.port()));
        let addrs = self.addresses(near, door).await?;
        let tunnel = match proxy.filter(|proxy| !proxy.forwards(uri)) {
            Some(proxy) if proxy.wants_address() => {
                let found = self.addresses(host, port).await?;
                Some(Tunnel::new(proxy, host, port, found.first().copied())?)
            }
            Some(proxy) => Some(Tunnel::new(proxy, host, port, None)?),
            None => None,
        };
        exchange.enter(Phase::Connect);
        let io = first_to_answer(&addrs).await?;
        let failed = |error| Failure::from_io(error, Phase::Connect).sent(Sent::No);
        let (mut socket, link) = Socket::new(io, self.reactor).map_err(failed)?;
        if let Some(tunnel) = tunnel {
            go_through(tunnel, &mut socket).await?;
        }
        let layer = if https {
            exchange.enter(Phase::Tls);
            Box::pin(shake_hands(socket, host, &self.tls)).await?
        } else {
            Layer::Plain(socket)
        };
        Ok((Wire::new(layer, link.clone()), link))
    }

    /// The proxy that takes requests for this origin as they are.
    pub(super) fn forwarder(&self, origin: &Origin) -> Result<Option<&Proxy>, Failure> {
        let uri = &origin.to_uri();
        Ok(self.proxies.choose(uri)?.filter(|proxy| proxy.forwards(uri)))
    }

    async fn addresses(&self, host: &str, port: u16) -> Found {
        match self.names.known(host, port) {
            Some(known) => Ok(known),
            None => looked_up(&self.names, host, port).await,
        }
    }
}

/// Has the proxy connect this socket to the server.
async fn go_through(mut tunnel: Tunnel, socket: &mut Socket) -> Result<(), Failure> {
    let failed = |error| Failure::from_io(error, Phase::Connect);
    // On the heap, for the future of every call would hold it.
    let mut buffer = vec![0; AT_ONCE];
    loop {
        match tunnel.next() {
            Move::Write(bytes) => socket.write_all(&bytes).await.map_err(failed)?,
            Move::Read(most) => {
                let read = socket.read(&mut buffer[..most]).await.map_err(failed)?;
                tunnel.fed(&buffer[..read])?;
            }
            Move::Through => return Ok(()),
        }
    }
}

async fn looked_up(names: &Names, host: &str, port: u16) -> Found {
    let (tell, told) = channel::bounded(1);
    let _place = names.ask(host, port, move |found| drop(tell.try_send(found)))?;
    told.recv().await.unwrap_or_else(|_| Err(Failure::new(ErrorKind::Dns, "no answer")))
}

/// How long an address has for itself (RFC 8305 section 8).
const HEAD_START: Duration = Duration::from_millis(250);

/// Tries the addresses one after another, without giving those before up; the
/// first that answers wins (RFC 8305 section 5). One that fails makes room for the
/// next at once.
async fn first_to_answer(addrs: &[SocketAddr]) -> Result<Async<TcpStream>, Failure> {
    let mut rest = addrs.iter();
    let mut trying = FuturesUnordered::new();
    loop {
        if let Some(addr) = rest.next() {
            trying.push(reach(*addr));
        }
        let failed = async {
            match trying.next().await {
                Some(Ok(stream)) => Some(Ok(stream)),
                Some(Err(error)) if rest.len() == 0 && trying.is_empty() => Some(Err(error)),
                Some(Err(_)) => None,
                None => Some(Err(io::Error::other("no address"))),
            }
        };
        let waited = async {
            if rest.len() == 0 {
                std::future::pending::<()>().await;
            }
            Timer::after(HEAD_START).await;
            None
        };
        if let Some(ended) = failed.or(waited).await {
            return ended.map_err(|error| Failure::from_io(error, Phase::Connect).sent(Sent::No));
        }
    }
}

async fn reach(addr: SocketAddr) -> io::Result<Async<TcpStream>> {
    let stream = Async::<TcpStream>::connect(addr).await?;
    stream.get_ref().set_nodelay(true)?;
    Ok(stream)
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
