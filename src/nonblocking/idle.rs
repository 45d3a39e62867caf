//! Connections that wait for their next request.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};

use super::h1::Connection;
use super::socket::Reactor;
use crate::sync::lock;

/// How long one may wait. Many servers give up after 60 s, some after 20.
pub(super) const LONGEST: Duration = Duration::from_secs(15);

/// Idle connections by origin. All have the TLS configuration and the proxies of
/// the one API that owns the pool, so those are no part of the key.
pub(super) struct Idle {
    most: usize,
    resting: Mutex<Vec<Resting>>,
}

struct Resting {
    connection: Box<Connection>,
    since: Instant,
}

/// A URL without a path.
#[derive(PartialEq, Eq)]
pub(super) struct Origin(Uri);

impl Origin {
    /// The engine's URLs have an authority.
    pub(super) fn of(uri: &Uri) -> Origin {
        let mut parts = uri.clone().into_parts();
        parts.scheme.get_or_insert(Scheme::HTTP);
        parts.path_and_query = Some(PathAndQuery::from_static("/"));
        Origin(Uri::from_parts(parts).expect("an absolute URL"))
    }

    /// Names are in lower case there, so bytes are compared.
    pub(super) fn is_of(&self, uri: &Uri) -> bool {
        fn name(uri: &Uri) -> Option<&str> {
            uri.authority().map(Authority::as_str)
        }
        name(&self.0) == name(uri) && self.0.scheme() == uri.scheme()
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.0
    }
}

impl Idle {
    pub(super) fn new(most: usize) -> Idle {
        Idle { most, resting: Mutex::default() }
    }

    /// The one used last. Whether it is still good shows as it is used.
    pub(super) fn take(&self, uri: &Uri, reactor: Reactor) -> Option<Box<Connection>> {
        let here = (reactor.here)();
        let fits = |rest: &Resting| {
            rest.connection.origin.is_of(uri) && rest.connection.link.place == here
        };
        let mut resting = lock(&self.resting);
        let at = resting.iter().rposition(fits)?;
        let found = resting.remove(at);
        drop(resting);
        (found.since.elapsed() < LONGEST).then_some(found.connection)
    }

    pub(super) fn put(&self, connection: Box<Connection>) {
        let since = Instant::now();
        let mut resting = lock(&self.resting);
        let old = |rest: &Resting| since.saturating_duration_since(rest.since) >= LONGEST;
        let stale = resting.iter().take_while(|rest| old(rest)).count();
        let full = (resting.len() + 1).saturating_sub(self.most.saturating_add(stale));
        // Closed after the lock is gone.
        let surplus = (stale + full).min(resting.len());
        let gone: Vec<Resting> = resting.drain(..surplus).collect();
        resting.push(Resting { connection, since });
        drop(resting);
        drop(gone);
    }
}
