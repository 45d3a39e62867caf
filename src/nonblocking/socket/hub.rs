//! One epoll for all sockets, beneath async-io's.
//!
//! async-io has to be told of each wait anew, and spends six system calls on every
//! look it takes. While calls are under way, that is the larger part of what they
//! cost. So sockets are registered once with an epoll of ours, edge-triggered, and
//! async-io watches only that. Whoever has something to do here looks on the way,
//! without waiting, and wakes all that have news.
//!
//! Nobody may wait in vain. While sockets wait, either async-io watches the epoll,
//! or somebody was told of news and has yet to come by, and will look or call the
//! watch when he does. Should he never come, for nobody polls his task, a timer
//! does it for him.

#[cfg(test)]
#[path = "hub/laws.rs"]
mod laws;

use std::io;
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, EventFlags as On};
use smol::{Async, Timer};

use super::Link;
use crate::sync::lock;

/// How long news may lie with somebody who does not come by.
const PATIENCE: Duration = Duration::from_millis(5);

/// How many have their news from one question to the system.
const AT_ONCE: usize = 32;

/// The place of a socket: its descriptor.
pub(super) type Seat = usize;

/// A socket. async-io, which takes a third of a KiB for each, hears of it only once a write has to
/// wait.
pub(super) struct Io {
    stream: Arc<TcpStream>,
    writes: Option<Async<Arc<TcpStream>>>,
}

impl Io {
    pub(super) fn new(io: Async<TcpStream>) -> io::Result<Io> {
        Ok(Io { stream: Arc::new(io.into_inner()?), writes: None })
    }

    pub(super) fn get_ref(&self) -> &TcpStream {
        &self.stream
    }

    fn seat(&self) -> Seat {
        self.stream.as_raw_fd() as Seat
    }

    pub(super) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let writes = match &mut self.writes {
            Some(writes) => writes,
            none => none.insert(Async::new(self.stream.clone())?),
        };
        writes.poll_writable(cx)
    }
}

/// Sees to it that the link is woken when there is something to read, from now on.
pub(super) fn join(io: &Io, link: &Arc<Link>) -> io::Result<Seat> {
    Hub::get()?.join(io, link)
}

/// Whether the link's wake-up will come; otherwise there is news already.
pub(super) fn wait(seat: &Seat, link: &Link) -> bool {
    HUB.get().is_some_and(|hub| hub.wait(*seat, link))
}

/// Has what there may be to read told once more. The epoll tells of each arrival but
/// once, and a read that found nothing may have come too early.
pub(super) fn again(io: &Io) -> io::Result<()> {
    Ok(epoll::modify(&Hub::get()?.epoll, io.get_ref(), data(io.seat()), INTEREST)?)
}

/// Gets the news of this moment to the link.
pub(super) fn look(link: &Link) {
    if !HUB.get().is_some_and(Hub::look) {
        link.bell.set();
    }
}

/// Nobody waits for this socket any more. It may be closed already, and its seat another's.
pub(super) fn rest(seat: &Seat, link: &Link) {
    if let Some(hub) = HUB.get() {
        let mut state = lock(&hub.state);
        if state.seats(*seat, link) {
            state.becomes(*seat, Mood::Quiet);
        }
        hub.mind(state);
    }
}

/// To be said before the socket is closed.
pub(super) fn leave(io: &Io) {
    if let Some(hub) = HUB.get() {
        let seat = io.seat();
        // It fails only for one that is not there.
        epoll::delete(&hub.epoll, io.get_ref()).unwrap_or_default();
        let mut state = lock(&hub.state);
        if state.becomes(seat, Mood::Quiet) {
            // Who waited in vain may have done so because the watch failed.
            state.watched = false;
        }
        let gone = state.guests[seat].take();
        hub.mind(state);
        drop(gone);
    }
}

const INTEREST: On = On::IN.union(On::RDHUP).union(On::ET);

fn data(seat: Seat) -> epoll::EventData {
    epoll::EventData::new_u64(seat as u64)
}

static HUB: OnceLock<Hub> = OnceLock::new();

type Readable = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

struct Hub {
    epoll: Arc<Async<OwnedFd>>,
    watch: Waker,
    watching: Mutex<Option<Readable>>,
    timer: Mutex<Timer>,
    tick: Waker,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By descriptor.
    guests: Vec<Option<Guest>>,
    waiting: usize,
    /// Those who have yet to come by, of this round.
    told: usize,
    /// The timer begins a new one, and expects nothing more of those told before.
    round: u64,
    /// The last who began to wait.
    last: Seat,
    /// async-io watches.
    watched: bool,
    /// The one who waited was told without a look.
    guessed: bool,
    ticking: bool,
}

struct Guest {
    link: Arc<Link>,
    mood: Mood,
}

enum Mood {
    Quiet,
    Waiting,
    Told(u64),
}

impl Hub {
    fn get() -> io::Result<&'static Hub> {
        HUB.get().map_or_else(Hub::first, Ok)
    }

    #[cold]
    fn first() -> io::Result<&'static Hub> {
        let hub = Hub::new()?;
        Ok(HUB.get_or_init(|| hub))
    }

    fn new() -> io::Result<Hub> {
        Ok(Hub {
            epoll: Arc::new(Async::new(epoll::create(epoll::CreateFlags::CLOEXEC)?)?),
            watch: Waker::from(Arc::new(Watch)),
            watching: Mutex::default(),
            timer: Mutex::new(Timer::never()),
            tick: Waker::from(Arc::new(Tick)),
            state: Mutex::default(),
        })
    }

    fn join(&self, io: &Io, link: &Arc<Link>) -> io::Result<Seat> {
        let seat = io.seat();
        let mut state = lock(&self.state);
        if state.guests.len() <= seat {
            state.guests.resize_with(seat + 1, || None);
        }
        state.guests[seat] = Some(Guest { link: link.clone(), mood: Mood::Quiet });
        drop(state);
        let added = epoll::add(&self.epoll, io.get_ref(), data(seat), INTEREST);
        if added.is_err() {
            lock(&self.state).guests[seat] = None;
        }
        Ok(added.map(|()| seat)?)
    }

    fn wait(&self, seat: Seat, link: &Link) -> bool {
        let mut state = lock(&self.state);
        let waits = state.seats(seat, link) && state.wait(seat);
        self.mind(state);
        waits
    }

    /// Sees to it that the news of those who wait will come.
    fn mind<'a>(&'a self, mut state: MutexGuard<'a, State>) {
        if state.is_unminded() && state.waiting > 1 {
            drop(state);
            self.look();
            state = lock(&self.state);
        }
        let next = state.next();
        drop(state);
        match next {
            Next::Nothing => {}
            Next::Watch if self.watch() => {}
            // Later, then.
            Next::Watch => {
                if lock(&self.state).unwatched() {
                    self.tick();
                }
            }
            Next::Tick => self.tick(),
        }
    }

    /// Wakes all who have news; `false` if that can't be known.
    fn look(&self) -> bool {
        loop {
            match self.some_news() {
                // There may be more, and among it that of the one who asks.
                Some(AT_ONCE) => {}
                news => return news.is_some(),
            }
        }
    }

    /// Wakes those whose news comes first; how many had some.
    fn some_news(&self) -> Option<usize> {
        let mut room = [MaybeUninit::uninit(); AT_ONCE];
        // Held meanwhile: news that one thread has fetched must not be missing to the next.
        let mut state = lock(&self.state);
        let found = loop {
            match epoll::wait(&self.epoll, &mut room, Some(&Timespec::default())) {
                Ok((found, _)) => break found,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return None,
            }
        };
        state.guessed = false;
        let some = found.len();
        let mut told = found.iter().filter_map(|event| {
            let ended = { event.flags }.intersects(On::RDHUP | On::HUP | On::ERR);
            state.tell({ event.data }.u64() as Seat, ended)
        });
        // Mostly there is one at most, and then no list.
        let (first, others): (_, Vec<Waker>) = (told.next(), told.collect());
        drop(state);
        for task in first.into_iter().chain(others) {
            // One that panics must not keep the others asleep.
            catch_unwind(AssertUnwindSafe(|| task.wake())).unwrap_or_default();
        }
        Some(some)
    }

    /// Has async-io watch the epoll. Asked anew each time: what it was once asked it takes for
    /// asked, also where that failed.
    fn watch(&self) -> bool {
        let mut watching = lock(&self.watching);
        *watching = None;
        let readable = watching.insert(Box::pin(self.epoll.clone().readable_owned()));
        readable.as_mut().poll(&mut Context::from_waker(&self.watch)).is_pending()
    }

    fn watched(&self) {
        let task = lock(&self.state).watched();
        match task {
            Some(task) => task.wake(),
            None => self.go_round(),
        }
    }

    fn tick(&self) {
        let mut timer = lock(&self.timer);
        timer.set_after(PATIENCE);
        let rang = Pin::new(&mut *timer).poll(&mut Context::from_waker(&self.tick)).is_ready();
        drop(timer);
        if rang {
            self.tick.wake_by_ref();
        }
    }

    fn ticked(&self) {
        lock(&self.state).ticked();
        self.go_round();
    }

    /// Looks, and sees to it that somebody will again.
    fn go_round(&self) {
        self.look();
        self.mind(lock(&self.state));
    }
}

/// What has to be done so that nobody waits in vain.
enum Next {
    Nothing,
    Watch,
    Tick,
}

impl State {
    fn is_unminded(&self) -> bool {
        self.waiting > 0 && self.told == 0 && !self.watched
    }

    fn next(&mut self) -> Next {
        if self.is_unminded() {
            self.watched = true;
            Next::Watch
        } else if self.waiting > 0 && !self.watched && !self.ticking {
            self.ticking = true;
            Next::Tick
        } else {
            Next::Nothing
        }
    }

    /// async-io has said that there is something. If one alone waits it can hardly be for
    /// anybody else, and he is told without a look; if it was, the next time tells.
    fn watched(&mut self) -> Option<Waker> {
        self.watched = false;
        if self.waiting != 1 || self.told > 0 || self.guessed {
            return None;
        }
        self.guessed = true;
        self.tell(self.last, false)
    }

    /// Whether a tick has to be set.
    fn unwatched(&mut self) -> bool {
        self.watched = false;
        !std::mem::replace(&mut self.ticking, true)
    }

    fn ticked(&mut self) {
        self.ticking = false;
        self.round += 1;
        self.told = 0;
    }

    /// Whether the seat is this link's, and not that of one who came after it.
    fn seats(&self, seat: Seat, link: &Link) -> bool {
        self.guests[seat].as_ref().is_some_and(|guest| ptr::eq(&*guest.link, link))
    }

    /// Whether he waits now; otherwise there is news already.
    fn wait(&mut self, seat: Seat) -> bool {
        let Some(guest) = &mut self.guests[seat] else { return false };
        if guest.link.bell.is_set() {
            return false;
        }
        self.becomes(seat, Mood::Waiting);
        self.waiting += 1;
        self.last = seat;
        true
    }

    /// Whether he waited.
    fn becomes(&mut self, seat: Seat, mood: Mood) -> bool {
        let Some(guest) = &mut self.guests[seat] else { return false };
        match std::mem::replace(&mut guest.mood, mood) {
            Mood::Waiting => {
                self.waiting -= 1;
                return true;
            }
            Mood::Told(round) if round == self.round => self.told -= 1,
            Mood::Told(_) | Mood::Quiet => {}
        }
        false
    }

    /// Gives whom to wake.
    fn tell(&mut self, seat: Seat, ended: bool) -> Option<Waker> {
        let guest = self.guests.get_mut(seat)?.as_mut()?;
        // Of an end that came with the last bytes the epoll tells but once.
        if ended {
            guest.link.ended.store(true, Relaxed);
        }
        guest.link.bell.set();
        if !matches!(guest.mood, Mood::Waiting) {
            return None;
        }
        guest.mood = Mood::Told(self.round);
        self.waiting -= 1;
        self.told += 1;
        guest.link.bell.take_task()
    }
}

/// What async-io wakes when the epoll has something.
struct Watch;

impl Wake for Watch {
    fn wake(self: Arc<Self>) {
        HUB.get().inspect(|hub| hub.watched());
    }
}

struct Tick;

impl Wake for Tick {
    fn wake(self: Arc<Self>) {
        HUB.get().inspect(|hub| hub.ticked());
    }
}
