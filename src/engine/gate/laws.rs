//! What the gate keeps to in any order of arrivals, answers, drops and expiries.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::Wake;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Event {
    Arrive { cost: u32, patience: u64 },
    Leave(usize),
    Release(usize),
    Serve(usize),
    Reject(usize, u64),
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1u32..4, 1u64..20_000).prop_map(|(cost, patience)| Event::Arrive { cost, patience }),
        1 => (0usize..9).prop_map(Event::Leave),
        2 => (0usize..9).prop_map(Event::Release),
        2 => (0usize..9).prop_map(Event::Serve),
        1 => (0usize..9, 0u64..3000).prop_map(|(n, wait)| Event::Reject(n, wait)),
        3 => (0u64..2000).prop_map(Event::Pass),
    ]
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

struct Waiting {
    number: usize,
    cost: u32,
    ticket: Ticket,
    woken: Arc<Woken>,
    alarm: Option<Instant>,
}

/// Callers who ask only when they are woken or told to, and never of themselves.
struct World {
    gate: Gates,
    now: Instant,
    arrived: usize,
    waiting: Vec<Waiting>,
    held: Vec<Permit>,
    admitted: Vec<(Instant, u32)>,
}

impl World {
    fn happens(&mut self, event: Event) {
        let held = self.held.len();
        match event {
            Event::Arrive { cost, patience } => {
                let until = self.now + Duration::from_millis(patience);
                let Admit::Local(ticket) = self.gate.ask(cost, until, None) else { unreachable!() };
                let woken = Arc::new(Woken(AtomicBool::new(true)));
                let number = self.arrived;
                self.arrived += 1;
                self.waiting.push(Waiting { number, cost, ticket, woken, alarm: None });
            }
            Event::Leave(n) if n < self.waiting.len() => drop(self.waiting.remove(n)),
            Event::Release(n) if n < held => drop(self.held.remove(n)),
            Event::Serve(n) if n < held => self.held.remove(n).served(),
            Event::Reject(n, wait) if n < held => {
                self.held.remove(n).rejected(self.now, Duration::from_millis(wait));
            }
            Event::Pass(time) => self.now += Duration::from_millis(time),
            _ => {}
        }
        self.settle();
    }

    /// Lets everybody ask who has a reason to.
    fn settle(&mut self) {
        let called = |waiting: &Waiting, now| {
            waiting.woken.0.swap(false, SeqCst) || waiting.alarm.is_some_and(|at| at <= now)
        };
        while let Some(n) = self.waiting.iter().position(|waiting| called(waiting, self.now)) {
            self.ask(n);
        }
        if !self.waiting.is_empty() {
            let before = self.held.len();
            self.ask(0);
            assert_eq!(before, self.held.len(), "the first in line could go and nobody told it");
        }
    }

    fn ask(&mut self, n: usize) {
        let waiting = &mut self.waiting[n];
        let waker = Waker::from(waiting.woken.clone());
        match waiting.ticket.poll(self.now, &waker) {
            Ok(Ok(permit)) => {
                let waiting = self.waiting.remove(n);
                assert!(self.waiting.iter().all(|other| other.number > waiting.number), "its turn");
                self.admitted.push((self.now, waiting.cost));
                self.held.push(permit);
            }
            Ok(Err(_)) => drop(self.waiting.remove(n)),
            Err(alarm) => waiting.alarm = alarm,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn neither_too_many_nor_nobody(
        most in 1usize..6,
        rate in prop::option::of((1u32..50, 3u32..10)),
        events in prop::collection::vec(event(), 1..80),
    ) {
        let rule = rate.map(|(count, burst)| Rate::per_second(count).burst(burst));
        let start = Instant::now();
        let gate = Gates::Local(Arc::new(LocalGate::new(most, rule)));
        let (waiting, held, admitted) = (Vec::new(), Vec::new(), Vec::new());
        let mut world = World { gate, now: start, arrived: 0, waiting, held, admitted };
        for event in events {
            world.happens(event);
            prop_assert!(world.held.len() <= most);
        }
        if let Some((count, burst)) = rate {
            for (n, (from, _)) in world.admitted.iter().enumerate() {
                let mut units = 0;
                for (at, cost) in &world.admitted[n..] {
                    units += cost;
                    let most = (*at - *from).as_secs_f64() * f64::from(count) + f64::from(burst);
                    prop_assert!(f64::from(units) <= most + 1e-3, "{units} of {most}");
                }
            }
        }
        // Every place is given up in the end, and everybody else gets one or gives up.
        for _ in 0..1000 {
            world.held.clear();
            world.happens(Event::Pass(100));
        }
        prop_assert!(world.waiting.is_empty());
    }
}
