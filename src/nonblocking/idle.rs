//! Connections that wait for their next request.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use http::Uri;
use http::uri::{Authority, Scheme};

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

#[derive(PartialEq, Eq)]
pub(super) struct Origin(Scheme, Authority);

impl Origin {
    /// The engine's URLs have both parts.
    pub(super) fn of(uri: &Uri) -> Origin {
        let scheme = uri.scheme().cloned().unwrap_or(Scheme::HTTP);
        let authority = uri.authority().cloned().expect("an absolute URL");
        Origin(scheme, authority)
    }

    pub(super) fn is_of(&self, uri: &Uri) -> bool {
        uri.authority() == Some(&self.1) && uri.scheme() == Some(&self.0)
    }
}

impl Idle {
    pub(super) fn new(most: usize) -> Idle {
        Idle { most, resting: Mutex::default() }
    }

    /// The one used last, if it is still good.
    pub(super) fn take(&self, uri: &Uri, reactor: Reactor) -> Option<Box<Connection>> {
        let here = (reactor.here)();
        let fits = |rest: &Resting| {
            rest.connection.origin.is_of(uri) && rest.connection.link.place == here
        };
        loop {
            let now = Instant::now();
            let mut found = {
                let mut resting = lock(&self.resting);
                let at = resting.iter().rposition(fits)?;
                resting.remove(at)
            };
            let age = now.saturating_duration_since(found.since);
            if age < LONGEST && found.connection.is_good() {
                return Some(found.connection);
            }
        }
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
