//! The threads that talk to Redis: one asks, one listens.

use std::sync::{Arc, Condvar, Mutex, Weak};
use std::task::Waker;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ::redis::{Client, Connection, RedisError, Script};

use super::state::{Message, Reply, Settings, State};
use crate::sync::lock;

/// How long the listener waits before it looks whether anybody still needs it.
const LISTEN: Duration = Duration::from_secs(1);

/// What the gate, its permits and its threads share.
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) state: Mutex<State>,
    pub(super) sleep: Mutex<Sleep>,
    pub(super) bell: Condvar,
}

/// What the asking thread waits for.
#[derive(Default)]
pub(super) struct Sleep {
    /// It sleeps, until then if there is a limit.
    asleep: Option<Option<Instant>>,
    stop: bool,
}

impl Shared {
    pub(super) fn new(settings: Settings) -> Shared {
        let state = Mutex::new(State::new(Instant::now()));
        Shared { settings, state, sleep: Mutex::default(), bell: Condvar::new() }
    }

    /// Does something to the state, and has Redis asked if that makes it necessary.
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut State, Instant) -> T) -> T {
        let now = Instant::now();
        let mut state = lock(&self.state);
        let result = change(&mut state, now);
        let due = state.due(&self.settings, now);
        drop(state);
        if let Some(due) = due {
            let mut sleep = lock(&self.sleep);
            if sleep.asleep.is_some_and(|until| until.is_none_or(|until| due < until)) {
                // It wakes once, whoever else comes before it does.
                sleep.asleep = None;
                self.bell.notify_one();
            }
        }
        result
    }

    pub(super) fn stop(&self) {
        lock(&self.sleep).stop = true;
        self.bell.notify_one();
    }

    fn stopped(&self) -> bool {
        lock(&self.sleep).stop
    }

    /// Waits until Redis has to be asked. False when that is no longer wanted.
    fn rest(&self) -> bool {
        loop {
            let mut sleep = lock(&self.sleep);
            if sleep.stop {
                return false;
            }
            // Under the lock of the sleep: who makes it earlier from now on finds a sleeper.
            let now = Instant::now();
            let due = lock(&self.state).due(&self.settings, now);
            if due.is_some_and(|at| at <= now) {
                return true;
            }
            sleep.asleep = Some(due);
            let mut sleep = match due {
                Some(at) => {
                    let woken = self.bell.wait_timeout(sleep, at - now);
                    woken.unwrap_or_else(std::sync::PoisonError::into_inner).0
                }
                None => self.bell.wait(sleep).unwrap_or_else(std::sync::PoisonError::into_inner),
            };
            sleep.asleep = None;
        }
    }
}

/// Asks Redis for one worker.
struct Link {
    client: Client,
    script: Script,
    key: String,
    worker: String,
    timeout: Duration,
    connection: Option<Connection>,
}

impl Link {
    fn exchange(&mut self, settings: &Settings, message: &Message) -> Result<Reply, RedisError> {
        let reused = self.connection.is_some();
        match self.attempt(settings, message) {
            // It may have been closed while nobody used it.
            Err(error) if reused && !error.is_timeout() && error.is_io_error() => {
                self.attempt(settings, message)
            }
            result => result,
        }
    }

    fn attempt(&mut self, settings: &Settings, message: &Message) -> Result<Reply, RedisError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.client, self.timeout)?,
        };
        let interval = settings.rate.map_or(0.0, |rate| rate.interval() as f64 / 1000.0);
        let mut call = self.script.prepare_invoke();
        for part in ["", ":leases", ":workers"] {
            call.key(format!("{}{part}", self.key));
        }
        call.arg(&self.worker).arg(settings.lease.as_millis() as u64).arg(settings.most);
        call.arg(interval).arg(settings.at_once()).arg(message.units).arg(message.returned);
        call.arg(message.keeps).arg(message.want);
        call.arg(message.calls).arg(message.repeats).arg(message.served);
        call.arg(message.closing).arg(message.rejections).arg(u8::from(message.healing));
        let (units, first, slots, closed, calls, repeats, workers) =
            call.invoke(&mut connection)?;
        // Only a connection that has answered is used again.
        self.connection = Some(connection);
        Ok(Reply { units, first, slots, closed, calls, repeats, workers })
    }
}

fn connect(client: &Client, timeout: Duration) -> Result<Connection, RedisError> {
    let connection = client.get_connection_with_timeout(timeout)?;
    connection.set_read_timeout(Some(timeout))?;
    connection.set_write_timeout(Some(timeout))?;
    Ok(connection)
}

/// Starts the threads of a gate; gives back the one that asks.
pub(super) fn start(
    shared: &Arc<Shared>,
    client: &Client,
    key: String,
) -> std::io::Result<JoinHandle<()>> {
    let link = Link {
        client: client.clone(),
        script: Script::new(include_str!("gate.lua")),
        worker: format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..)),
        timeout: shared.settings.timeout,
        connection: None,
        key: key.clone(),
    };
    let asker = shared.clone();
    let asking =
        thread::Builder::new().name("duocall-redis".into()).spawn(move || ask(&asker, link))?;
    let (listener, client) = (Arc::downgrade(shared), client.clone());
    // Without it the news come with the next exchange.
    let listening = thread::Builder::new().name("duocall-redis-listen".into());
    drop(listening.spawn(move || listen(&listener, &client, &key)));
    Ok(asking)
}

fn ask(shared: &Shared, mut link: Link) {
    while shared.rest() {
        let message = lock(&shared.state).message(&shared.settings, Instant::now());
        let result = link.exchange(&shared.settings, &message);
        let mut state = lock(&shared.state);
        let now = Instant::now();
        let wakers: Vec<Waker> = match result {
            Ok(reply) => {
                state.apply(&shared.settings, &message, &reply, now);
                state.front().into_iter().collect()
            }
            Err(error) => {
                state.failed(&message, &error.to_string(), now);
                state.all()
            }
        };
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
    let farewell = lock(&shared.state).farewell(Instant::now());
    if let Some(message) = farewell {
        // If it does not arrive, the lease ends by itself.
        drop(link.attempt(&shared.settings, &message));
    }
}

/// Hears at once when another worker closes the gate.
fn listen(shared: &Weak<Shared>, client: &Client, key: &str) {
    while let Some(timeout) = shared.upgrade().filter(|s| !s.stopped()).map(|s| s.settings.timeout)
    {
        // Whatever ends it, the news come with the next exchange until it is back.
        drop(subscribed(shared, client, key, timeout));
        thread::sleep(LISTEN.min(timeout));
    }
}

fn subscribed(
    shared: &Weak<Shared>,
    client: &Client,
    key: &str,
    timeout: Duration,
) -> Result<(), RedisError> {
    let mut connection = connect(client, timeout)?;
    let mut news = connection.as_pubsub();
    news.subscribe(key)?;
    news.set_read_timeout(Some(LISTEN))?;
    loop {
        let message = match news.get_message() {
            Ok(message) => Some(message),
            Err(error) if error.is_timeout() => None,
            Err(error) => return Err(error),
        };
        let Some(shared) = shared.upgrade().filter(|shared| !shared.stopped()) else {
            return Ok(());
        };
        let Some(message) = message else { continue };
        let micros = message.get_payload()?;
        shared.with(|state, now| state.close(now, Duration::from_micros(micros)));
    }
}
