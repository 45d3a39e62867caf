//! Nobody waits in vain, whatever comes in whatever order.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::thread;

use smol::Async;

use super::super::{Link, tokio::Place};
use super::{Guest, Io, Mood, Next, Seat, State};

const SEATS: Seat = 4;

/// The state with the system around it: an epoll, async-io's watch on it, a timer.
struct World {
    state: State,
    /// What the epoll would tell.
    ready: BTreeSet<Seat>,
    watch: bool,
    timer: bool,
}

impl World {
    fn new() -> World {
        let guest = |_| {
            let link = Link::new(Place::default());
            Some(Guest { link: Arc::new(link), mood: Mood::Quiet })
        };
        let guests = (0..SEATS).map(guest).collect();
        let state = State { guests, ..State::default() };
        World { state, ready: BTreeSet::new(), watch: false, timer: false }
    }

    fn mind(&mut self) {
        if self.state.is_unminded() && self.state.waiting > 1 {
            self.look();
        }
        match self.state.next() {
            Next::Nothing => {}
            Next::Watch => self.watch = true,
            Next::Tick => self.timer = true,
        }
        assert_eq!((self.state.watched, self.state.ticking), (self.watch, self.timer));
        assert!(self.state.waiting == 0 || self.watch || self.timer, "nobody would come");
    }

    fn look(&mut self) {
        self.state.guessed = false;
        for seat in std::mem::take(&mut self.ready) {
            self.state.tell(seat, false);
        }
    }

    /// The task is polled: reads what there is, and waits, unless there is news.
    fn come_by(&mut self, seat: Seat) {
        let guest = self.state.guests[seat].as_ref().expect("everybody stays");
        guest.link.bell.rang();
        guest.link.bell.wakes(&Context::from_waker(Waker::noop()));
        assert!(self.state.wait(seat));
        self.mind();
    }

    fn rest(&mut self, seat: Seat) {
        self.state.becomes(seat, Mood::Quiet);
        self.mind();
    }

    /// What happens by itself: `false` if nothing does.
    fn go_on(&mut self) -> bool {
        if self.watch && !self.ready.is_empty() {
            self.watch = false;
            if self.state.watched().is_none() {
                self.look();
                self.mind();
            }
        } else if self.timer {
            self.timer = false;
            self.state.ticked();
            self.look();
            self.mind();
        } else {
            return false;
        }
        true
    }

    fn seats(&self, of: fn(&Mood) -> bool) -> BTreeSet<Seat> {
        let is = |seat: &Seat| self.state.guests[*seat].as_ref().is_some_and(|it| of(&it.mood));
        (0..SEATS).filter(is).collect()
    }

    fn waiting(&self) -> BTreeSet<Seat> {
        self.seats(|mood| matches!(mood, Mood::Waiting))
    }

    fn told(&self) -> BTreeSet<Seat> {
        self.seats(|mood| matches!(mood, Mood::Told(_)))
    }

    /// Anything, in any order.
    fn wander(&mut self, random: &mut fastrand::Rng) {
        for _ in 0..40 {
            let seat = random.usize(..SEATS);
            match random.u8(..6) {
                0 | 1 => self.come_by(seat),
                2 => drop(self.ready.insert(seat)),
                3 => self.rest(seat),
                4 => self.look(),
                _ => drop(self.go_on()),
            }
            self.mind();
        }
    }
}

fn worlds() -> impl Iterator<Item = World> {
    (0..2000).map(|seed| {
        let mut world = World::new();
        world.wander(&mut fastrand::Rng::with_seed(seed));
        world
    })
}

#[test]
fn nobody_waits_in_vain_for_one_who_never_comes_by() {
    for mut world in worlds() {
        let mut waiting = world.waiting();
        let patient = waiting.pop_first();
        world.ready = waiting;
        let steps = (0..20).take_while(|_| world.go_on()).count();
        assert!(steps < 20, "it never rests");
        // The guess may have been wrong; whoever was told is waiting no more.
        assert!(world.waiting().iter().all(|seat| Some(*seat) == patient));
        assert!(world.waiting().is_empty() || world.watch);
    }
}

#[test]
fn all_is_quiet_when_everybody_comes_by() {
    for mut world in worlds() {
        world.ready.insert(0);
        let quiet = (0..20).any(|_| {
            while let Some(seat) = world.told().pop_first() {
                world.come_by(seat);
            }
            assert!(world.waiting().is_empty() || world.watch, "it leans on the timer");
            !world.go_on()
        });
        assert!(quiet, "it never rests");
    }
}

#[test]
fn who_has_news_already_does_not_wait() {
    let mut world = World::new();
    world.ready.insert(0);
    world.look();
    assert!(!world.state.wait(0));
    assert!(world.waiting().is_empty() && world.told().is_empty());
    world.come_by(0);
    assert_eq!(world.waiting(), BTreeSet::from([0]));
}

#[test]
fn a_write_that_waits_goes_on_when_the_peer_reads() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    let mut io = Io::new(Async::new(stream).unwrap()).unwrap();
    let mut sent = 0;
    // The second time async-io knows the socket.
    for _ in 0..2 {
        sent += fill(&io);
        assert!(io.poll_writable(&mut Context::from_waker(Waker::noop())).is_pending());
        let reader = thread::spawn(move || {
            peer.read_exact(&mut vec![0; sent]).unwrap();
            peer
        });
        smol::block_on(poll_fn(|cx| io.poll_writable(cx))).unwrap();
        peer = reader.join().unwrap();
        sent = io.get_ref().write(b"on").unwrap();
    }
}

/// Writes until the system takes no more.
fn fill(io: &Io) -> usize {
    let mut written = 0;
    loop {
        match io.get_ref().write(&[0; 1 << 16]) {
            Ok(bytes) => written += bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return written,
            Err(error) => panic!("{error}"),
        }
    }
}
