//! Our own transport: HTTP/1.1, and HTTP/2 where the API asks for it.

use std::sync::Arc;

use http::{Request, Response, Uri};

use super::connect::Means;
use super::h1::Connection;
use super::http2::{Hub, Line};
use super::outgoing;
use super::reader::Reader;
use super::socket::Reactor;
use super::transport::Transport;
use crate::api::Api;
use crate::body::Body;
use crate::engine::Outgoing;
use crate::idle::Idle;
use crate::transport::{Exchange, Failure};

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
        request: &mut Outgoing,
        exchange: &Arc<Exchange>,
    ) -> Result<Response<Reader>, Failure> {
        let mut fresh = None;
        if let Some(hub) = &self.hub {
            match hub.line(request.uri(), exchange).await? {
                Line::Shared(connection) => {
                    // On the heap, for the future of every call would hold it.
                    return Box::pin(connection.run(request.take(), exchange)).await;
                }
                Line::Single(connection) => fresh = connection,
            }
        }
        let mut connection = match fresh {
            Some(connection) => connection,
            None => self.connection(request.uri(), exchange).await?,
        };
        let mut back: Option<Box<Request<outgoing::Outgoing>>> = None;
        loop {
            let made = || match back.take() {
                Some(back) => *back,
                None => request.take().map(outgoing::Outgoing::new),
            };
            match connection.send(made, exchange).await? {
                Ok(head) => return Ok(connection.response(head, exchange, &self.idle)),
                Err(request) => back = Some(request),
            }
            connection = self.connection(connection.origin.uri(), exchange).await?;
        }
    }

    /// One that was used before, or a new one.
    async fn connection(&self, uri: &Uri, exchange: &Exchange) -> Result<Box<Connection>, Failure> {
        let here = (self.means.reactor.here)();
        let idle =
            self.idle.take(exchange.started(), |it| it.origin.is_of(uri) && it.link.place == here);
        exchange.set_reused(idle.is_some());
        match idle {
            Some(connection) => Ok(connection),
            // Boxed: it is large, and rare.
            None => Box::pin(self.open(uri, exchange)).await,
        }
    }

    async fn open(&self, uri: &Uri, exchange: &Exchange) -> Result<Box<Connection>, Failure> {
        let forwarder = self.means.forwarder(uri)?.cloned().map(Box::new);
        let wire = self.means.connect(uri, exchange).await?;
        Connection::new(wire, uri, forwarder, exchange).await
    }
}

impl Transport for Own {
    async fn send(
        &self,
        request: Request<Body>,
        exchange: Arc<Exchange>,
    ) -> Result<Response<Reader>, Failure> {
        self.run(&mut Outgoing::new(request), &exchange).await
    }
}
