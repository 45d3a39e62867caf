//! The live credential of an `Api`, and its refresh: one at a time, for everybody.

use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Release};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Instant;

use crate::auth::{Auth, Hook, Kind};
use crate::error::{BoxError, Error, ErrorKind, Mistake, Phase};
use crate::sync::lock;

pub(crate) struct Credentials {
    /// That of the credential that goes out now, to be seen without the lock.
    generation: AtomicU64,
    state: Mutex<State>,
}

/// A credential as it goes out.
pub(crate) struct Live {
    pub(crate) auth: Auth,
    /// Grows with each new credential.
    pub(crate) generation: u64,
}

struct State {
    /// As set. What goes out lies in `current`: the same, or what the hook has made.
    auth: Auth,
    current: Arc<Live>,
    stale_at: Option<Instant>,
    ends_at: Option<Instant>,
    running: bool,
    waiters: Vec<Waker>,
    failures: u64,
    failure: Option<Arc<BoxError>>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        lock(&self.state).auth.fmt(f)
    }
}

/// What a call needs to know before it is sent.
pub(crate) enum Standing {
    Good(Arc<Live>),
    /// The credential has to be made first.
    Stale(u64),
}

impl Credentials {
    pub(crate) fn new(auth: Auth) -> Credentials {
        let generation = 1;
        let state = Mutex::new(State {
            current: Arc::new(Live { auth: auth.clone(), generation }),
            auth,
            stale_at: None,
            ends_at: None,
            running: false,
            waiters: Vec::new(),
            failures: 0,
            failure: None,
        });
        Credentials { generation: generation.into(), state }
    }

    /// What goes out from now on.
    fn replace(&self, state: &mut State, auth: Auth) {
        let generation = state.current.generation + 1;
        state.current = Arc::new(Live { auth, generation });
        self.generation.store(generation, Release);
    }

    pub(crate) fn set(&self, auth: Auth) {
        let mut state = lock(&self.state);
        self.replace(&mut state, auth.clone());
        state.auth = auth;
        (state.stale_at, state.ends_at) = (None, None);
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        waiters.into_iter().for_each(Waker::wake);
    }

    /// `renewed`: whether the call has just waited for a newer one.
    pub(crate) fn standing(&self, renewed: bool, now: Instant) -> Result<Standing, Mistake> {
        let state = lock(&self.state);
        state.auth.check()?;
        let current = &state.current;
        let stale = !renewed && state.stale_at.is_some_and(|at| now >= at);
        if current.auth.is_hook() || stale {
            return Ok(Standing::Stale(current.generation));
        }
        Ok(Standing::Good(current.clone()))
    }

    /// Whether the one at hand lasts still, though a newer was to be made.
    pub(crate) fn holds(&self, now: Instant) -> bool {
        lock(&self.state).ends_at.is_some_and(|at| now < at)
    }

    /// What goes out now.
    pub(crate) fn current(&self) -> Arc<Live> {
        lock(&self.state).current.clone()
    }

    /// The same for one who knows what went out a while ago, mostly without the lock.
    pub(crate) fn newer(&self, known: Option<Arc<Live>>) -> Arc<Live> {
        let current = self.generation.load(Acquire);
        known.filter(|live| live.generation == current).unwrap_or_else(|| self.current())
    }

    /// Whether a 401 to this generation can be cured: by the hook, or because a newer one is there.
    pub(crate) fn curable(&self, generation: u64) -> bool {
        let state = lock(&self.state);
        state.current.generation > generation || state.auth.is_hook()
    }

    /// A refresh of whatever is older than or as old as `generation`, for a call that ends at `until`.
    pub(crate) fn refresh(self: &Arc<Self>, generation: u64, until: Instant) -> Refresh {
        let failures = lock(&self.state).failures;
        let credentials = self.clone();
        Refresh { credentials, generation, failures, until }
    }
}

/// A call's wait for a newer credential.
pub(crate) struct Refresh {
    credentials: Arc<Credentials>,
    generation: u64,
    failures: u64,
    until: Instant,
}

/// How a refresh stands.
pub(crate) enum Turn {
    Fresh,
    /// This call is the one that runs the hook.
    Lead(Lead),
}

impl Refresh {
    /// `Err` means that another call runs the hook, and says when to ask again at the latest;
    /// `waker` is woken when the hook is done.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        waker: &Waker,
    ) -> Result<Result<Turn, Error>, Option<Instant>> {
        let mut state = lock(&self.credentials.state);
        if state.current.generation > self.generation {
            return Ok(Ok(Turn::Fresh));
        }
        if state.failures > self.failures {
            return Ok(Err(refused(state.failure.clone())));
        }
        let Kind::Refreshing(hook) = &state.auth.kind else {
            return Ok(Ok(Turn::Fresh));
        };
        if state.running {
            if now >= self.until {
                return Ok(Err(Error::new(ErrorKind::Timeout(Phase::Total), "")));
            }
            state.waiters.push(waker.clone());
            return Err(Some(self.until));
        }
        let hook = hook.clone();
        state.running = true;
        let credentials = self.credentials.clone();
        let generation = state.current.generation;
        Ok(Ok(Turn::Lead(Lead { credentials, hook, generation })))
    }
}

fn refused(failure: Option<Arc<BoxError>>) -> Error {
    let error = Error::new(ErrorKind::Auth, "the refresh hook failed");
    match failure {
        Some(source) => error.caused_by(SharedError(source)),
        None => error,
    }
}

/// The right and the duty to run the hook. If it drops unused, another call takes over.
pub(crate) struct Lead {
    credentials: Arc<Credentials>,
    hook: Hook,
    generation: u64,
}

impl Lead {
    /// Runs the hook and tells everybody; `now` is asked when it is done.
    pub(crate) fn run(self, now: impl Fn() -> Instant) -> Result<(), Error> {
        let made = (self.hook)().and_then(|auth| match auth.kind {
            Kind::Refreshing(_) => Err("the hook gave another hook".into()),
            Kind::Invalid(mistake) => Err(Error::from(mistake).into()),
            _ => Ok(auth),
        });
        let now = now();
        let mut state = lock(&self.credentials.state);
        match made {
            // Somebody has set another credential meanwhile; that one counts.
            _ if state.current.generation > self.generation => Ok(()),
            Ok(auth) => {
                let life = auth.expires_in;
                state.stale_at = life.and_then(|life| now.checked_add(life / 10 * 9));
                state.ends_at = life.and_then(|life| now.checked_add(life));
                self.credentials.replace(&mut state, auth);
                Ok(())
            }
            Err(error) => {
                // The next call that could do without would only wait for the next failure.
                if let Some(end) = state.ends_at {
                    state.stale_at = Some(now + end.saturating_duration_since(now) / 2);
                }
                state.failures += 1;
                state.failure = Some(Arc::new(error));
                Err(refused(state.failure.clone()))
            }
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        let mut state = lock(&self.credentials.state);
        state.running = false;
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        waiters.into_iter().for_each(Waker::wake);
    }
}

/// One failure of the hook is the source of many errors.
#[derive(Debug)]
struct SharedError(Arc<BoxError>);

impl std::fmt::Display for SharedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for SharedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
    use std::time::Duration;

    fn counting() -> (Arc<AtomicU32>, Auth) {
        let count = Arc::new(AtomicU32::new(0));
        let seen = count.clone();
        let auth = Auth::refreshing(move || {
            let n = seen.fetch_add(1, SeqCst);
            Ok::<_, Error>(Auth::bearer(format!("t{n}")).expires_in(Duration::from_secs(100)))
        });
        (count, auth)
    }

    fn refresh(credentials: &Arc<Credentials>) -> Refresh {
        credentials.refresh(1, Instant::now() + Duration::from_secs(1000))
    }

    fn waits(refresh: &mut Refresh) -> bool {
        refresh.poll(Instant::now(), Waker::noop()).is_err()
    }

    fn lead(refresh: &mut Refresh) -> Option<Lead> {
        match refresh.poll(Instant::now(), Waker::noop()) {
            Ok(Ok(Turn::Lead(lead))) => Some(lead),
            _ => None,
        }
    }

    #[test]
    fn one_leads_and_the_others_profit() {
        let now = Instant::now();
        let (count, auth) = counting();
        let credentials = Arc::new(Credentials::new(auth));
        let Ok(Standing::Stale(generation)) = credentials.standing(false, now) else {
            panic!("unmade")
        };
        assert_eq!(generation, 1);
        let mut all: Vec<_> = (0..50).map(|_| refresh(&credentials)).collect();
        let leading = lead(&mut all[0]).expect("the first leads");
        assert!(all[1..].iter_mut().all(waits));
        leading.run(|| now).unwrap();
        assert!(all.iter_mut().all(|w| matches!(w.poll(now, Waker::noop()), Ok(Ok(Turn::Fresh)))));
        assert_eq!(count.load(SeqCst), 1);
        assert!(matches!(credentials.standing(false, now), Ok(Standing::Good(_))));
        let later = now + Duration::from_secs(90);
        assert!(matches!(credentials.standing(false, later), Ok(Standing::Stale(_))));
    }

    #[test]
    fn a_renewal_that_fails_is_tried_again_at_half_of_the_time_left() {
        let made = AtomicU32::new(0);
        let credentials = Arc::new(Credentials::new(Auth::refreshing(move || {
            let life = Duration::from_secs(100);
            let auth = Auth::bearer("t").expires_in(life);
            (made.fetch_add(1, SeqCst) == 0).then_some(auth).ok_or("down")
        })));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let stale = |now| matches!(credentials.standing(false, now), Ok(Standing::Stale(_)));
        lead(&mut refresh(&credentials)).unwrap().run(|| start).unwrap();
        let renew = || {
            let mut refresh = credentials.refresh(2, at(1000));
            lead(&mut refresh).unwrap().run(|| at(92)).unwrap_err();
        };
        assert!(stale(at(92)));
        renew();
        assert!(!stale(at(95)) && stale(at(96)));
        assert!(credentials.holds(at(99)) && !credentials.holds(at(100)));
        credentials.set(Auth::bearer("own"));
        assert!(!stale(at(100)) && !credentials.holds(at(99)));
    }

    #[test]
    fn a_dropped_leader_is_followed_by_another() {
        let credentials = Arc::new(Credentials::new(counting().1));
        let (mut one, mut two) = (refresh(&credentials), refresh(&credentials));
        drop(lead(&mut one));
        assert!(lead(&mut two).is_some());
    }

    #[test]
    fn a_failure_is_everybodys_and_the_next_call_tries_again() {
        let credentials = Arc::new(Credentials::new(Auth::refreshing(|| Err::<Auth, _>("down"))));
        let (mut one, mut two) = (refresh(&credentials), refresh(&credentials));
        let leading = lead(&mut one).unwrap();
        assert!(waits(&mut two));
        assert!(leading.run(Instant::now).is_err());
        assert!(matches!(two.poll(Instant::now(), Waker::noop()), Ok(Err(_))));
        assert!(lead(&mut refresh(&credentials)).is_some());
    }
}
