//! HTTP/2 by h2: the calls to one origin share one connection.

mod connection;
mod fault;
mod health;
mod late;
mod stream;

use std::convert::Infallible;
use std::mem;
use std::sync::{Arc, Mutex, OnceLock};

use smol::channel::{self, Receiver, Sender};

use super::connect::Means;
use super::h1;
use super::socket::ASYNC_IO;
use crate::api::Api;
use crate::error::{ErrorKind, Phase, Sent};
use crate::http2::Http2;
use crate::sync::lock;
use crate::transport::{Exchange, Failure};
use crate::url::Origin;
use connection::{Connection, Terms};
pub(super) use stream::Incoming;

/// Origins that are remembered to speak HTTP/1.1.
const REMEMBERED: usize = 100;

/// The connections of one client, by origin.
pub(super) struct Hub {
    prior: bool,
    /// Its sockets are async-io's, even where those of HTTP/1.1 are tokio's: the task that moves
    /// the bytes runs outside of any runtime, and its connection outlives them all.
    means: Means,
    terms: Terms,
    origins: Mutex<Vec<(Origin, Known)>>,
}

/// What is known of an origin.
enum Known {
    Opening(Arc<Opening>),
    Http2(Shared),
    Http1,
}

/// A connection that somebody is opening, as those see it who wait for it.
struct Opening {
    /// Closed when it is over, however it ended.
    over: Receiver<Infallible>,
    failure: OnceLock<Failure>,
}

pub(super) type Shared = Arc<Connection>;

/// What a request goes over.
pub(super) enum Line {
    /// A connection that others use as well.
    Shared(Shared),
    /// One for itself, speaking HTTP/1.1; this one, if it is there already.
    Single(Option<Box<h1::Connection>>),
}

impl Hub {
    pub(super) fn new(api: &Api) -> Option<Box<Hub>> {
        let policy: &Http2 = api.http2()?;
        let prior = policy.is_prior();
        let means = Means::offering(api.tls().offering_http2(prior), api, ASYNC_IO);
        let terms = Terms::new(api, policy);
        Some(Box::new(Hub { prior, means, terms, origins: Mutex::default() }))
    }

    /// The line for requests to this origin. The first to ask opens the connection; the others wait
    /// for it. If that fails, it fails for all of them; if it is given up, another one goes on.
    pub(super) async fn line(&self, origin: &Origin, exchange: &Exchange) -> Result<Line, Failure> {
        if self.prior && self.means.forwarder(origin)?.is_some() {
            let what = "a proxy that forwards is not asked for HTTP/2 by prior knowledge";
            return Err(Failure::new(ErrorKind::Request, what).sent(Sent::No).lasting());
        }
        if !self.prior && !origin.is_https() {
            return Ok(Line::Single(None));
        }
        let mut waited = false;
        loop {
            match self.look(origin) {
                Look::Shared(shared) => {
                    exchange.set_reused(!waited);
                    return Ok(Line::Shared(shared));
                }
                Look::Http1 => return Ok(Line::Single(None)),
                Look::Lead(lead) => {
                    // Boxed: it is large, and rare.
                    return Box::pin(self.open(lead, exchange)).await;
                }
                Look::Wait(opening) => {
                    exchange.enter(Phase::Connect);
                    waited = true;
                    let Err(_closed) = opening.over.recv().await;
                    if let Some(failure) = opening.failure.get() {
                        return Err(failure.again());
                    }
                }
            }
        }
    }

    fn look(&self, origin: &Origin) -> Look<'_> {
        let mut origins = lock(&self.origins);
        let at = origins.iter().position(|(known, _)| known == origin);
        match at.map(|at| &origins[at].1) {
            Some(Known::Http1) => return Look::Http1,
            Some(Known::Opening(opening)) => return Look::Wait(opening.clone()),
            Some(Known::Http2(shared)) if shared.is_good() => return Look::Shared(shared.clone()),
            Some(Known::Http2(_)) | None => {}
        }
        let (tell, over) = channel::bounded(1);
        let opening = Arc::new(Opening { over, failure: OnceLock::new() });
        let many = origins.len() >= REMEMBERED;
        let (kept, gone): (Vec<_>, Vec<_>) =
            mem::take(&mut *origins).into_iter().partition(|(other, known)| match known {
                _ if other == origin => false,
                Known::Opening(_) => true,
                Known::Http2(shared) => shared.is_good(),
                Known::Http1 => !many,
            });
        *origins = kept;
        origins.push((origin.clone(), Known::Opening(opening.clone())));
        drop(origins);
        // Connections are closed after the lock is gone.
        drop(gone);
        Look::Lead(Lead { hub: self, origin: origin.clone(), opening, _tell: tell })
    }

    async fn open(&self, lead: Lead<'_>, exchange: &Exchange) -> Result<Line, Failure> {
        exchange.set_reused(false);
        match self.opened(&lead.origin, exchange).await {
            Ok(line) => {
                lead.knows(match &line {
                    Line::Shared(shared) => Known::Http2(shared.clone()),
                    Line::Single(_) => Known::Http1,
                });
                Ok(line)
            }
            Err(failure) => {
                drop(lead.opening.failure.set(failure.again()));
                Err(failure)
            }
        }
    }

    async fn opened(&self, origin: &Origin, exchange: &Exchange) -> Result<Line, Failure> {
        let (wire, link) = self.means.connect(origin, exchange).await?;
        if self.prior || wire.agreed_on_http2() {
            return Ok(Line::Shared(Connection::open(wire, &self.terms, exchange).await?));
        }
        let single = h1::Connection::new((wire, link), origin.clone(), None, exchange).await?;
        Ok(Line::Single(Some(single)))
    }
}

enum Look<'a> {
    Shared(Shared),
    Http1,
    Wait(Arc<Opening>),
    /// Nobody has one, nobody opens one: whoever looked does.
    Lead(Lead<'a>),
}

/// Opens a connection; dropped, it lets those go on who wait for it.
struct Lead<'a> {
    hub: &'a Hub,
    origin: Origin,
    opening: Arc<Opening>,
    _tell: Sender<Infallible>,
}

impl Lead<'_> {
    fn knows(&self, known: Known) {
        let mut origins = lock(&self.hub.origins);
        if let Some(entry) = origins.iter_mut().find(|(origin, _)| *origin == self.origin) {
            entry.1 = known;
        }
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let mut origins = lock(&self.hub.origins);
        let given_up = |(origin, known): &(Origin, Known)| {
            *origin == self.origin && matches!(known, Known::Opening(_))
        };
        origins.retain(|entry| !given_up(entry));
    }
}
