//! Our own transport: HTTP/1.1, and HTTP/2 where the API asks for it.

use std::iter;
use std::sync::Arc;

use http::{Request, Response, Uri};

use super::connect::Means;
use super::h1::Connection;
use super::http2::{Hub, Line};
use super::reader::Reader;
use super::socket::Reactor;
use super::transport::Transport;
use crate::api::Api;
use crate::body::Body;
use crate::engine::Outgoing;
use crate::idle::Idle;
use crate::proxy;
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
        let proxy = self.means.forwarder(request.uri())?;
        let reused = match fresh {
            Some(_) => None,
            None => {
                let here = (self.means.reactor.here)();
                let fits =
                    |it: &Connection| it.origin.is_of(request.uri()) && it.link.place == here;
                let mut kept = iter::from_fn(|| self.idle.take(fits));
                kept.find_map(|mut it| it.is_good().then_some(it))
            }
        };
        exchange.set_reused(reused.is_some());
        let mut connection = match reused.or(fresh) {
            Some(connection) => connection,
            // Boxed: it is large, and rare.
            None => Box::pin(self.open(request.uri(), exchange)).await?,
        };
        let head = connection.send(request.take(), proxy, exchange).await?;
        proxy::judge(proxy, head.status())?;
        Ok(connection.response(head, exchange, &self.idle))
    }

    async fn open(&self, uri: &Uri, exchange: &Exchange) -> Result<Box<Connection>, Failure> {
        let wire = self.means.connect(uri, exchange).await?;
        Connection::new(wire, uri, exchange).await
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
