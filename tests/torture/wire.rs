//! The wire fails: a relay lets exactly n bytes pass in one direction, and then does something to them.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::SockRef;

use super::client::{self, TRANSPORTS, Transport};
use super::scene::{SCENES, Scene, Stage, judge};
use super::tally::{self, HANGS, Tally};

/// What happens behind the n-th byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Reset,
    /// FIN in both directions.
    End,
    /// Nothing more comes, so that a timer has to end it.
    Silence,
    /// Not a failure: everything comes byte by byte, and so do the reads.
    Drip,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// The client's limits where a timer has to end it; elsewhere whoever waits is lost.
const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(60);

pub fn torture() -> Option<Tally> {
    let mut jobs = Vec::new();
    for scene in SCENES {
        for transport in TRANSPORTS {
            for direction in [Direction::Up, Direction::Down] {
                for fault in [Fault::Reset, Fault::End, Fault::Silence, Fault::Drip] {
                    jobs.push((scene, transport, direction, fault));
                }
            }
        }
    }
    Some(tally::over(&jobs, |_, (scene, transport, direction, fault)| {
        let mut tally = Tally::default();
        let mut n = 0;
        loop {
            let (met, wrong) = once(scene, *transport, *direction, *fault, n);
            tally.count(usize::from(met), wrong, || {
                format!("{}, {transport:?}, {direction:?}, {fault:?} behind byte {n}", scene.name)
            });
            if !met || *fault == Fault::Drip {
                return tally;
            }
            n += step(*fault, n);
        }
    }))
}

/// Every place in a head, fewer in what is long; and fewer where each costs its wait.
fn step(fault: Fault, n: usize) -> usize {
    let fine = if fault == Fault::Silence { 37 } else { 7 };
    fine.max(n / 8)
}

/// Whether the fault was met, and what was wrong.
fn once(
    scene: &'static Scene,
    transport: Transport,
    direction: Direction,
    fault: Fault,
    n: usize,
) -> (bool, Vec<String>) {
    let stage = Stage::new(scene.door);
    let way = stage.way();
    let cut = Cut::new(way.near, direction, fault, n);
    let mut base = way.base.clone();
    if !way.proxied {
        base = base.replace(&way.near.port().to_string(), &cut.addr.port().to_string());
    }
    let way = super::scene::Way { base, ..way };
    let hasty = fault == Fault::Silence;
    let api = client::api(&way, cut.addr, if hasty { SHORT } else { LONG });
    let (tell, told) = mpsc::channel();
    let running = thread::spawn(move || drop(tell.send(client::lines(scene, transport, api))));
    let Ok(lines) = told.recv_timeout(HANGS) else {
        let why = if running.is_finished() { "it panics" } else { tally::HANG };
        return (true, vec![why.to_owned()]);
    };
    let met = cut.met.load(SeqCst);
    let faults = usize::from(met && fault != Fault::Drip);
    (met, judge(scene, &lines, &stage.server, faults, hasty))
}

/// The relay. Bytes of a direction are counted over all connections; the fault comes once.
struct Cut {
    addr: SocketAddr,
    met: Arc<AtomicBool>,
    stopping: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Clone)]
struct Plan {
    direction: Direction,
    fault: Fault,
    left: Arc<AtomicUsize>,
    met: Arc<AtomicBool>,
}

impl Cut {
    fn new(behind: SocketAddr, direction: Direction, fault: Fault, n: usize) -> Cut {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let addr = listener.local_addr().expect("bound");
        let (met, stopping) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let plan = Plan { direction, fault, left: Arc::new(AtomicUsize::new(n)), met: met.clone() };
        let stop = stopping.clone();
        let acceptor = thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if stop.load(SeqCst) {
                    return;
                }
                let Ok(server) = TcpStream::connect(behind) else { continue };
                let pair = Arc::new(Pair { client, server, reset: AtomicBool::new(false) });
                for direction in [Direction::Up, Direction::Down] {
                    let (pair, plan) = (pair.clone(), plan.clone());
                    thread::spawn(move || plan.carry(&pair, direction));
                }
            }
        });
        Cut { addr, met, stopping, acceptor: Some(acceptor) }
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        self.stopping.store(true, SeqCst);
        let _ = TcpStream::connect(self.addr);
        let _ = self.acceptor.take().map(JoinHandle::join);
    }
}

impl Plan {
    fn carry(&self, pair: &Pair, direction: Direction) {
        let (mut from, mut to) = match direction {
            Direction::Up => (&pair.client, &pair.server),
            Direction::Down => (&pair.server, &pair.client),
        };
        let _ = to.set_nodelay(true);
        let mut buffer = [0; 16 << 10];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let bytes = &buffer[..read];
            let written = match (self.fault, self.cut(direction, bytes)) {
                (_, Some(part)) => {
                    let _ = to.write_all(part);
                    self.strike(pair, from);
                    break;
                }
                (Fault::Drip, _) if direction == self.direction => {
                    self.met.store(true, SeqCst);
                    let (slow, fast) = bytes.split_at(bytes.len().min(2000));
                    let slow = slow.chunks(1).try_for_each(|byte| to.write_all(byte));
                    slow.and_then(|()| to.write_all(fast))
                }
                _ => to.write_all(bytes),
            };
            if written.is_err() {
                break;
            }
        }
        if !pair.reset.load(SeqCst) {
            let _ = to.shutdown(Shutdown::Write);
        }
    }

    /// What still passes before the fault, if that comes amid these bytes, and comes to this connection.
    fn cut<'a>(&self, direction: Direction, bytes: &'a [u8]) -> Option<&'a [u8]> {
        if direction != self.direction || self.fault == Fault::Drip {
            return None;
        }
        let take = |left: usize| Some(left.saturating_sub(bytes.len()));
        let left = self.left.fetch_update(SeqCst, SeqCst, take).expect("always some");
        let comes = bytes.len() > left && !self.met.swap(true, SeqCst);
        comes.then(|| &bytes[..left])
    }

    fn strike(&self, pair: &Pair, mut from: &TcpStream) {
        match self.fault {
            Fault::Reset => {
                pair.reset.store(true, SeqCst);
                let _ = SockRef::from(&pair.client).set_linger(Some(Duration::ZERO));
                // Wakes the other direction; the reset goes out when both have let go.
                let _ = pair.client.shutdown(Shutdown::Read);
                let _ = pair.server.shutdown(Shutdown::Both);
            }
            Fault::End => {
                let _ = pair.client.shutdown(Shutdown::Write);
                let _ = pair.server.shutdown(Shutdown::Both);
            }
            // Until the client gives up.
            Fault::Silence | Fault::Drip => drop(io::copy(&mut from, &mut io::sink())),
        }
    }
}

/// The two ends of a connection through the relay.
struct Pair {
    client: TcpStream,
    server: TcpStream,
    /// The client gets a reset, and no end before it.
    reset: AtomicBool,
}
