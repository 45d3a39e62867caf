//! From a URL to a connection that ureq can use.

use std::fmt;
use std::io::ErrorKind::{TimedOut, WouldBlock};
use std::io::{Read, Write};
use std::iter;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use http::Uri;
use ureq::Error;
use ureq::config::Config;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{ConnectionDetails, Connector, NextTimeout};

use super::connection::{Connection, Lent, exchange, other};
use super::current;
use super::hangup::Target;
use super::socket::Socket;
use super::wire::Wire;
use crate::api::Api;
use crate::error::{ErrorKind, Phase, Sent};
use crate::idle::Idle;
use crate::proxy::{AT_ONCE, Move, Proxies, Tunnel};
use crate::resolve::{Found, Names};
use crate::tls::Tls;
use crate::transport::{Exchange, Failure};

/// Finds nothing: ureq asks for every call, also where it has a connection. The
/// connector looks for the addresses when it needs them.
#[derive(Debug)]
pub(super) struct Later;

impl Resolver for Later {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        Ok(self.empty())
    }
}

pub(super) struct Connect {
    idle: Arc<Idle<Connection>>,
    tls: Tls,
    names: Names,
    proxies: Proxies,
}

impl Connect {
    pub(super) fn new(api: &Api) -> Connect {
        Connect {
            idle: Arc::new(Idle::new(api.concurrency())),
            tls: api.tls().clone(),
            names: api.names().clone(),
            proxies: api.proxies().clone(),
        }
    }
}

impl Connector for Connect {
    type Out = Lent;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<Lent>, Error> {
        let uri = current::unsaid(|unsaid| &mut unsaid.uri);
        let now = exchange(|exchange| exchange.started())?;
        let mut kept = iter::from_fn(|| self.idle.take(now, |it| it.leads_to(&uri)));
        let kept = kept.find(|connection| connection.is_quiet());
        exchange(|exchange| exchange.set_reused(kept.is_some()))?;
        let connection = match kept {
            Some(mut connection) => {
                connection.serve_again();
                connection
            }
            None => {
                let exchange = exchange(Arc::clone)?;
                let wire = self.wire(&uri, &exchange).map_err(other)?;
                Box::new(Connection::new(wire, &uri, details.config))
            }
        };
        Ok(Some(Lent::new(connection, &self.idle)))
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connect")
    }
}

impl Connect {
    fn wire(&self, uri: &Uri, exchange: &Exchange) -> Result<Wire, Failure> {
        let https = uri.scheme_str() == Some("https");
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let proxy = self.proxies.choose(uri)?;
        exchange.enter(Phase::Resolve);
        let (near, door) = proxy.map_or((host, port), |proxy| (proxy.host(), proxy.port()));
        let addrs = self.addresses(near, door, exchange)?;
        let tunnel = match proxy.filter(|proxy| !proxy.forwards(uri)) {
            Some(proxy) if proxy.wants_address() => {
                let found = self.addresses(host, port, exchange)?;
                Some(Tunnel::new(proxy, host, port, found.first().copied())?)
            }
            Some(proxy) => Some(Tunnel::new(proxy, host, port, None)?),
            None => None,
        };
        exchange.enter(Phase::Connect);
        let mut socket = first_to_answer(&addrs, exchange)?;
        if let Some(tunnel) = tunnel {
            go_through(tunnel, &mut socket)?;
        }
        if !https {
            return Ok(Wire::Plain(socket));
        }
        exchange.enter(Phase::Tls);
        Wire::tls(socket, host, &self.tls, exchange)
    }

    fn addresses(&self, host: &str, port: u16, exchange: &Exchange) -> Found {
        match self.names.known(host, port) {
            Some(known) => Ok(known),
            None => looked_up(&self.names, host, port, exchange),
        }
    }
}

/// Has the proxy connect this socket to the server.
fn go_through(mut tunnel: Tunnel, socket: &mut Socket) -> Result<(), Failure> {
    let failed = |error| Failure::from_io(error, Phase::Connect);
    let mut buffer = [0; AT_ONCE];
    loop {
        match tunnel.next() {
            Move::Write(bytes) => socket.write_all(&bytes).map_err(failed)?,
            Move::Read(most) => {
                let read = socket.read(&mut buffer[..most]).map_err(failed)?;
                tunnel.fed(&buffer[..read])?;
            }
            Move::Through => return Ok(()),
        }
    }
}

/// Asks on another thread, for a resolver cannot be interrupted.
fn looked_up(names: &Names, host: &str, port: u16, exchange: &Exchange) -> Found {
    // Room for the answer and a cancellation: neither waits.
    let (tell, told) = mpsc::sync_channel(2);
    current::on_cancel(|| Target::Lookup(tell.clone()));
    let left = exchange.remaining()?;
    let _place = names.ask(host, port, move |found| drop(tell.send(found)))?;
    told.recv_timeout(left).unwrap_or_else(|_| Err(exchange.timed_out()))
}

/// Tries one address after another; each gets its share of what is left.
fn first_to_answer(addrs: &[SocketAddr], exchange: &Exchange) -> Result<Socket, Failure> {
    let mut last = Failure::new(ErrorKind::Dns, "the name has no address");
    for (n, addr) in addrs.iter().enumerate() {
        let share = exchange.remaining()? / (addrs.len() - n) as u32;
        let share = share.max(Duration::from_millis(1));
        match Socket::connect(addr, share, exchange) {
            Ok(socket) => return Ok(socket),
            Err(error) if exchange.is_cancelled() => {
                return Err(Failure::from_io(error, Phase::Connect));
            }
            Err(error) if matches!(error.kind(), TimedOut | WouldBlock) => {
                last = exchange.remaining().err().unwrap_or_else(|| {
                    Failure::new(ErrorKind::Timeout(Phase::Connect), "").sent(Sent::No)
                });
            }
            Err(error) => last = Failure::from_io(error, Phase::Connect).sent(Sent::No),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Instant;

    use super::*;
    use crate::blocking::unsaid::Unsaid;
    use crate::cancel::Cancel;
    use crate::clock::Seat;
    use crate::policy::Timeouts;
    use current::Current;

    #[test]
    fn a_lookup_hears_a_cancellation() {
        let now = Instant::now();
        let cancel = Cancel::new();
        let end = now + Duration::from_secs(100);
        let (seat, limits) = (Seat::default(), Timeouts::default());
        let exchange = Exchange::new(seat, now, limits, end, Some(cancel.clone()));
        let exchange = Arc::new(exchange);
        let mut current = Some(Current::new(&exchange, Unsaid::default()));
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let mut names = Names::default();
        names.set_resolver(move |_: &str, _| {
            cancel.cancel();
            // Answers when the test is over.
            let _ = released.lock().unwrap().recv();
            Ok(Vec::new())
        });
        let found = current::within(&mut current, || looked_up(&names, "x", 80, &exchange));
        assert_eq!(found.unwrap_err().kind, ErrorKind::Cancelled);
        assert!(now.elapsed() < Duration::from_secs(2));
        drop(release);
    }
}
