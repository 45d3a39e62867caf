//! Connections that wait for their next request.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::sync::lock;

/// How long one may wait. Many servers give up after 60 s, some after 20.
pub(crate) const LONGEST: Duration = Duration::from_secs(15);

/// Idle connections. All have the TLS configuration and the proxies of the one
/// API that owns the pool, so those tell none from another.
pub(crate) struct Idle<C> {
    most: usize,
    resting: Mutex<Vec<Resting<C>>>,
}

struct Resting<C> {
    connection: Box<C>,
    until: Instant,
}

impl<C> Idle<C> {
    pub(crate) fn new(most: usize) -> Idle<C> {
        Idle { most, resting: Mutex::default() }
    }

    /// The one used last of those that fit. Whether it is still good is for the taker to see.
    pub(crate) fn take(&self, now: Instant, fits: impl Fn(&C) -> bool) -> Option<Box<C>> {
        let mut resting = lock(&self.resting);
        let at = resting.iter().rposition(|rest| fits(&rest.connection))?;
        let found = resting.remove(at);
        drop(resting);
        // Those below are older still.
        (now < found.until).then_some(found.connection)
    }

    pub(crate) fn put(&self, connection: Box<C>) {
        let now = Instant::now();
        let mut resting = lock(&self.resting);
        resting.push(Resting { connection, until: now + LONGEST });
        let old = |rest: &&Resting<C>| now >= rest.until;
        let stale = resting.iter().take_while(old).count();
        let surplus = stale.max(resting.len().saturating_sub(self.most));
        if surplus > 0 {
            let gone: Vec<Resting<C>> = resting.drain(..surplus).collect();
            // Closed after the lock is gone.
            drop(resting);
            drop(gone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_used_last_serves_first_and_the_oldest_go() {
        let idle = Idle::new(3);
        (0..5).for_each(|n| idle.put(Box::new(n)));
        let even = |n: &i32| n % 2 == 0;
        let now = Instant::now();
        assert_eq!(idle.take(now, even).as_deref(), Some(&4));
        assert_eq!(idle.take(now, even).as_deref(), Some(&2));
        assert_eq!(idle.take(now, even), None, "there is no room for the first two");
        assert_eq!(idle.take(now, |_| true).as_deref(), Some(&3));
    }

    #[test]
    fn one_that_waited_too_long_is_let_go() {
        let idle = Idle::new(3);
        idle.put(Box::new(1));
        assert_eq!(idle.take(Instant::now() + LONGEST, |_| true), None);
        assert!(lock(&idle.resting).is_empty());
    }
}
