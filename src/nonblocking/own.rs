//! Our own transport: HTTP/1.1, and HTTP/2 where the API asks for it.

use std::sync::Arc;

use http::{Request, Response};

use super::connect::Means;
use super::h1::Connection;
use super::http2::{Hub, Line};
use super::outgoing;
use super::reader::Reader;
use super::socket::Reactor;
use super::transport::Transport;
use crate::api::Api;
use crate::body::Body;
use crate::engine::{Addressed, Outgoing};
use crate::idle::Idle;
use crate::transport::{Exchange, Failure};
use crate::url::Origin;

pub(crate) struct Own {
    means: Means,
    idle: Arc<Idle<Connection>>,
    hub: Option<Box<Hub>>,
}

impl Own {
    pub(super) fn new(api: &Api, reactor: Reactor) -> Own {
        let idle = Arc::new(Idle::new(api.concurrency()));
        Own { means: Means::new(api, reactor), idle, hub: Hub::new(api) }
    }

    pub(super) async fn run(
        &self,
        request: &mut Addressed<'_>,
        exchange: &Arc<Exchange>,
    ) -> Result<Response<Reader>, Failure> {
        let mut fresh = None;
        if let Some(hub) = &self.hub {
            match hub.line(request.origin(), exchange).await? {
                Line::Shared(connection) => {
                    // On the heap, for the future of every call would hold it.
                    return Box::pin(connection.run(request.take(), exchange)).await;
                }
                Line::Single(connection) => fresh = connection,
            }
        }
        let mut connection = match fresh {
            Some(connection) => connection,
            None => self.connection(request.origin(), exchange).await?,
        };
        let mut back: Option<Box<Request<outgoing::Outgoing>>> = None;
        loop {
            let made = |whole| match back.take() {
                Some(back) => *back,
                None => request.take_as(whole, outgoing::Outgoing::new),
            };
            match connection.send(made, exchange).await? {
                Ok(head) => return Ok(connection.response(head, exchange, &self.idle)),
                Err(request) => back = Some(request),
            }
            connection = self.connection(&connection.origin, exchange).await?;
        }
    }

    /// One that was used before, or a new one.
    async fn connection(
        &self,
        origin: &Origin,
        exchange: &Exchange,
    ) -> Result<Box<Connection>, Failure> {
        let here = (self.means.reactor.here)();
        let idle =
            self.idle.take(exchange.started(), |it| it.origin == *origin && it.link.place == here);
        exchange.set_reused(idle.is_some());
        match idle {
            Some(connection) => Ok(connection),
            // Boxed: it is large, and rare.
            None => Box::pin(self.open(origin, exchange)).await,
        }
    }

    async fn open(&self, origin: &Origin, exchange: &Exchange) -> Result<Box<Connection>, Failure> {
        let uri = &origin.to_uri();
        let forwarder = self.means.forwarder(uri)?.cloned().map(Box::new);
        let wire = self.means.connect(uri, exchange).await?;
        Connection::new(wire, origin.clone(), forwarder, exchange).await
    }
}

impl Transport for Own {
    async fn send(
        &self,
        request: Request<Body>,
        exchange: Arc<Exchange>,
    ) -> Result<Response<Reader>, Failure> {
        let (mut request, url) = Outgoing::foreign(request)?;
        self.run(&mut request.to(&url), &exchange).await
    }
}
