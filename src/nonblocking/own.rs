//! Our own transport: HTTP/1.1, and HTTP/2 where the API asks for it.

use std::sync::Arc;

use http::{Request, Response};

use super::connect::Means;
use super::h1::Connection;
use super::http2::{Hub, Line};
use super::reader::Reader;
use super::socket::{ASYNC_IO, Reactor};
use super::transport::Transport;
use crate::api::Api;
use crate::body::Body;
use crate::engine::{Errand, Mail, Outgoing};
use crate::idle::Idle;
use crate::transport::{Exchange, Failure};
use crate::url::Origin;

pub(crate) struct Own {
    means: Means,
    idle: Arc<Idle<Connection>>,
    hub: Option<Box<Hub>>,
}

impl Own {
    /// With sockets of async-io.
    pub(crate) fn new(api: &Api) -> Own {
        Own::on(api, ASYNC_IO)
    }

    pub(super) fn on(api: &Api, reactor: Reactor) -> Own {
        let idle = Arc::new(Idle::new(api.concurrency()));
        Own { means: Means::new(api, reactor), idle, hub: Hub::new(api) }
    }

    /// Does the errand, and gives the body to come.
    pub(super) async fn run(
        &self,
        errand: &mut Errand<'_>,
        exchange: &Arc<Exchange>,
    ) -> Result<Reader, Failure> {
        let origin = errand.origin();
        let mut fresh = None;
        if let Some(hub) = &self.hub {
            match hub.line(origin, exchange).await? {
                Line::Shared(connection) => {
                    // On the heap, for the future of every call would hold it.
                    let running = Box::pin(connection.run(errand.take(), exchange));
                    return Ok(errand.split(running.await?));
                }
                Line::Single(connection) => fresh = connection,
            }
        }
        let mut back = None;
        loop {
            let mut connection = match fresh.take().or_else(|| self.rested(origin, exchange)) {
                Some(connection) => connection,
                // Boxed: it is large, and rare.
                None => Box::pin(self.open(origin, exchange)).await?,
            };
            match connection.send(errand, back, exchange).await? {
                Ok(body) => return Ok(connection.reader(body, exchange, &self.idle)),
                Err(request) => back = Some(request),
            }
        }
    }

    /// A connection that was used before.
    fn rested(&self, origin: &Origin, exchange: &Exchange) -> Option<Box<Connection>> {
        let here = (self.means.reactor.here)();
        let idle =
            self.idle.take(exchange.started(), |it| it.origin == *origin && it.link.place == here);
        exchange.set_reused(idle.is_some());
        idle
    }

    async fn open(&self, origin: &Origin, exchange: &Exchange) -> Result<Box<Connection>, Failure> {
        let forwarder = self.means.forwarder(origin)?.cloned().map(Box::new);
        let wire = self.means.connect(origin, exchange).await?;
        Connection::new(wire, origin.clone(), forwarder, exchange).await
    }
}

impl Transport for Own {
    async fn send(
        &self,
        request: Request<Body>,
        exchange: Arc<Exchange>,
    ) -> Result<Response<Reader>, Failure> {
        let (request, url) = Outgoing::foreign(request)?;
        let mut mail = Mail::Out(request);
        let body = self.run(&mut mail.to(&url), &exchange).await?;
        Ok(Response::from_parts(mail.into_head(), body))
    }
}
