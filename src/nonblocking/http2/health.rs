//! Whether a connection lives: what went over it, what ended it, and PINGs where it is in doubt.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use atomic_waker::AtomicWaker;
use h2::{Ping, PingPong};
use smol::Timer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::wire::Wire;
use crate::http2::KeepAlive;
use crate::idle;
use crate::landing::Landing;

/// A connection that was heard that lately is not in doubt.
const LATELY: Duration = Duration::from_secs(1);

/// How much is read before the driver stands aside: other connections have theirs on the same
/// thread, and calls are woken only then.
const GULP: usize = 256 << 10;

/// What a connection and its calls tell each other.
pub(super) struct Health {
    born: Instant,
    written: AtomicU64,
    /// When something came last, and when the last call ended; in nanoseconds since `born`.
    heard: AtomicU64,
    rested: AtomicU64,
    calls: AtomicUsize,
    doubted: AtomicBool,
    /// The task to ask about a doubt. h2 wakes it for a dropped call only if it has nothing to write.
    driver: AtomicWaker,
    /// The call that is the next to be sent, once there is room.
    room: AtomicWaker,
    retired: AtomicBool,
    end: OnceLock<End>,
}

/// What ended a connection.
pub(super) enum End {
    Io(io::Error),
    /// It did not answer a PING.
    Silent,
}

impl Health {
    pub(super) fn new() -> Arc<Health> {
        Arc::new(Health {
            born: Instant::now(),
            written: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            rested: AtomicU64::new(0),
            calls: AtomicUsize::new(0),
            doubted: AtomicBool::new(false),
            driver: AtomicWaker::new(),
            room: AtomicWaker::new(),
            retired: AtomicBool::new(false),
            end: OnceLock::new(),
        })
    }

    /// No further call may use it.
    pub(super) fn retire(&self) {
        self.retired.store(true, SeqCst);
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(SeqCst) || self.end.get().is_some()
    }

    pub(super) fn end(&self) -> Option<&End> {
        self.end.get()
    }

    /// Bytes handed to the system.
    pub(super) fn written(&self) -> u64 {
        self.written.load(SeqCst)
    }

    /// Whether there is room for a call, where so many may be under way; it is taken then.
    pub(super) fn call_begins(&self, most: usize) -> bool {
        let more = |calls| (calls < most).then_some(calls + 1);
        self.calls.fetch_update(SeqCst, SeqCst, more).is_ok()
    }

    /// One that was not answered may have the connection to blame.
    pub(super) fn call_ends(&self, answered: bool) {
        if !answered && self.since(&self.heard).elapsed() >= LATELY {
            self.doubted.store(true, SeqCst);
            self.driver.wake();
        }
        self.mark(&self.rested);
        self.calls.fetch_sub(1, SeqCst);
        self.room.wake();
    }

    /// There may be room now, or the end. Who waits for it looks.
    pub(super) fn moved(&self) {
        self.room.wake();
    }

    pub(super) fn waits_for_room(&self, cx: &Context<'_>) {
        self.room.register(cx.waker());
    }

    fn ended(&self, end: End) {
        drop(self.end.set(end));
    }

    fn mark(&self, when: &AtomicU64) {
        when.store(self.born.elapsed().as_nanos() as u64, SeqCst);
    }

    fn since(&self, nanos: &AtomicU64) -> Instant {
        self.born + Duration::from_nanos(nanos.load(SeqCst))
    }
}

/// A wire that keeps the record.
pub(super) struct Pipe {
    wire: Wire,
    health: Arc<Health>,
    /// Read since the driver last stood aside.
    gulped: usize,
}

impl Pipe {
    pub(super) fn new(wire: Wire, health: Arc<Health>) -> Pipe {
        Pipe { wire, health, gulped: 0 }
    }

    /// What h2 keeps of an error is its kind, so the error itself goes to the record.
    fn failed(&self, error: io::Error) -> io::Error {
        let kind = error.kind();
        self.health.ended(End::Io(error));
        kind.into()
    }

    fn wrote(&self, done: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let bytes = ready!(done).map_err(|error| self.failed(error))?;
        if !self.wire.is_broken() {
            self.health.written.fetch_add(bytes as u64, SeqCst);
        }
        Poll::Ready(Ok(bytes))
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.gulped >= GULP {
            self.gulped = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // h2's buffer is not initialised, and asked for much oftener than there is something to read.
        let mut landing = Landing::take();
        let room = buffer.remaining().min(landing.bytes().len());
        let read = self.wire.stream().poll_read(cx, &mut landing.bytes()[..room]);
        if read.is_pending() {
            self.gulped = 0;
        }
        match ready!(read) {
            Ok(0) => self.health.ended(End::Io(io::ErrorKind::UnexpectedEof.into())),
            Ok(bytes) => {
                buffer.put_slice(&landing.bytes()[..bytes]);
                self.gulped += bytes;
                self.health.mark(&self.health.heard);
            }
            Err(error) => return Poll::Ready(Err(self.failed(error))),
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = self.wire.stream().poll_write(cx, bytes);
        self.wrote(done)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = self.wire.stream().poll_write_vectored(cx, pieces);
        self.wrote(done)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = ready!(self.wire.stream().poll_flush(cx));
        Poll::Ready(done.map_err(|error| self.failed(error)))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.stream().poll_close(cx)
    }
}

/// Says when a connection is to be given up: idle for too long, or dead.
pub(super) struct Pulse {
    health: Arc<Health>,
    ping: PingPong,
    keep_alive: Option<KeepAlive>,
    /// How long a PING may go unanswered.
    patience: Duration,
    /// When the one went out that nothing has followed yet.
    asked: Option<Instant>,
    timer: Timer,
    due: Option<Instant>,
}

impl Pulse {
    pub(super) fn new(
        health: Arc<Health>,
        ping: PingPong,
        keep_alive: Option<KeepAlive>,
        connecting: Duration,
    ) -> Pulse {
        let patience = keep_alive.map_or(connecting, |it| it.timeout);
        let (timer, due) = (Timer::never(), None);
        Pulse { health, ping, keep_alive, patience, asked: None, timer, due }
    }

    /// Ready when the connection is to be given up.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.health.driver.register(cx.waker());
        loop {
            let now = Instant::now();
            let Some(next) = self.look(now, cx) else { return Poll::Ready(()) };
            // Not for every frame: setting a timer costs a system call. One that rings early
            // costs a look.
            if self.due.is_none_or(|due| next < due) {
                self.timer.set_at(next);
                self.due = Some(next);
            }
            ready!(Pin::new(&mut self.timer).poll(cx));
            self.due = None;
        }
    }

    /// When to look again; `None` is the end.
    fn look(&mut self, now: Instant, cx: &mut Context<'_>) -> Option<Instant> {
        let health = self.health.clone();
        let heard = health.since(&health.heard);
        let busy = health.calls.load(SeqCst) > 0;
        // Makes room for the next PING.
        let _ = self.ping.poll_pong(cx);
        if self.asked.is_some_and(|asked| heard >= asked) {
            self.asked = None;
        }
        let quiet = self.keep_alive.filter(|_| busy).map(|it| heard + it.interval);
        if self.asked.is_none() {
            let doubted = health.doubted.swap(false, SeqCst);
            if doubted || quiet.is_some_and(|at| now >= at) {
                // It fails where one is out already: that one will do.
                let _ = self.ping.send_ping(Ping::opaque());
                self.asked = Some(now);
            }
        }
        let rested = if busy { now } else { health.since(&health.rested) };
        let mut next = rested + idle::LONGEST;
        if let Some(asked) = self.asked {
            next = next.min(asked + self.patience);
            if now >= asked + self.patience {
                health.ended(End::Silent);
                return None;
            }
        } else if let Some(quiet) = quiet {
            next = next.min(quiet);
        }
        (busy || now < rested + idle::LONGEST).then_some(next)
    }
}
