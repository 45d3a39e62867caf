//! What one worker knows of the gate it shares. It decides; the link asks Redis.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::Fallback;
use crate::engine::gate::Ask;
use crate::error::{Error, ErrorKind, Phase};
use crate::policy::{LONGEST, Rate};

/// How often a busy worker tells Redis of itself, and how far ahead it reserves.
const TICK: Duration = Duration::from_millis(50);
/// A worker asks for more when what it has reserved ends sooner than this.
const AHEAD: Duration = Duration::from_millis(25);
/// The most units of one reservation, unless a single call costs more.
const LARGEST: u64 = 100;
/// Repeats that are always allowed within the window, as in the budget of one process.
const FLOOR: f64 = 10.0;
/// The waits between attempts to reach Redis again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) rate: Option<Rate>,
    pub(super) most: usize,
    pub(super) lease: Duration,
    pub(super) timeout: Duration,
    pub(super) fallback: Fallback,
}

impl Settings {
    fn interval(&self) -> Option<Duration> {
        self.rate.map(|rate| Duration::from_nanos(rate.interval()))
    }

    /// How much of the burst may go at once. The rest of it pays for units used
    /// late, for they may come together with what follows them.
    pub(super) fn at_once(&self) -> u32 {
        self.rate.map_or(1, |rate| rate.burst - rate.burst / 2)
    }

    /// How late a unit may be used.
    fn grace(&self, interval: Duration) -> Duration {
        let late = self.rate.map_or(0, |rate| rate.burst / 2);
        (interval * (1 + late)).clamp(Duration::from_millis(5), TICK)
    }

    /// How long anybody waits for word from Redis.
    fn patience(&self) -> Duration {
        self.timeout * 2
    }
}

/// A unit of the rate, reserved for this worker.
struct Unit {
    at: Instant,
    lapse: Instant,
    /// Units of one reservation follow each other without a gap.
    run: u64,
}

struct Waiter {
    cost: u64,
    waker: Waker,
}

enum Mode {
    /// Nobody has asked Redis yet.
    Fresh,
    Shared,
    /// Redis cannot be asked. `due` is when the local share, which has no burst, admits the next.
    Away {
        why: Arc<str>,
        due: Instant,
    },
}

/// What happened here and Redis does not know yet.
#[derive(Clone, Copy, Default)]
struct Report {
    calls: i64,
    repeats: i64,
    served: u64,
    rejections: u32,
}

/// What one exchange says.
pub(super) struct Message {
    pub(super) units: u64,
    pub(super) returned: u64,
    /// Slots that it may use whatever the answer.
    pub(super) keeps: usize,
    pub(super) want: usize,
    pub(super) calls: i64,
    pub(super) repeats: i64,
    pub(super) served: u64,
    /// For how long to close, in microseconds.
    pub(super) closing: u64,
    pub(super) rejections: u32,
    pub(super) healing: bool,
}

/// What Redis answers; times in microseconds.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) units: u64,
    /// When the first unit may be used; negative if it might have been long ago.
    pub(super) first: i64,
    pub(super) slots: usize,
    pub(super) closed: u64,
    pub(super) calls: i64,
    pub(super) repeats: i64,
    pub(super) workers: u32,
}

pub(super) struct State {
    /// Waiters by arrival. Only the first may be admitted.
    queue: BTreeMap<u64, Waiter>,
    next: u64,
    /// Units that the queue asks for in all.
    waiting: u64,
    in_flight: usize,
    /// Slots this worker has of the concurrency, and whether that is less than it wants.
    held: usize,
    starved: bool,
    /// The most in flight since the last exchange.
    peak: usize,
    units: VecDeque<Unit>,
    run: u64,
    returned: u64,
    /// The latest reservation begins in the future: the rate is used up.
    saturated: bool,
    closed_until: Option<Instant>,
    mode: Mode,
    report: Report,
    fleet: Report,
    workers: u32,
    touched: bool,
    /// Units per second used lately, measured from `marked` on.
    pace: f64,
    used: u64,
    marked: Instant,
    /// When the exchange under way began, and when the last one ended.
    asked: Option<Instant>,
    last: Option<Instant>,
    retry: (Instant, Duration),
}

impl State {
    pub(super) fn new(now: Instant) -> State {
        State {
            queue: BTreeMap::new(),
            next: 0,
            waiting: 0,
            in_flight: 0,
            held: 0,
            starved: false,
            peak: 0,
            units: VecDeque::new(),
            run: 0,
            returned: 0,
            saturated: false,
            closed_until: None,
            mode: Mode::Fresh,
            report: Report::default(),
            fleet: Report::default(),
            workers: 1,
            touched: false,
            pace: 0.0,
            used: 0,
            marked: now,
            asked: None,
            last: None,
            retry: (now, BACKOFF.0),
        }
    }

    /// Admits the waiter with this number if its turn has come. `Err` says when to
    /// ask again at the latest.
    pub(super) fn poll(
        &mut self,
        set: &Settings,
        number: &mut Option<u64>,
        ask: &Ask,
        now: Instant,
        waker: &Waker,
    ) -> Result<Result<(), Error>, Option<Instant>> {
        if self.asked.is_some_and(|since| now > since + set.patience()) {
            self.away("no answer in time", now);
        }
        if let (Mode::Away { why, .. }, None) = (&self.mode, set.fallback.share()) {
            let detail = format!("Redis cannot be asked: {why}");
            return Ok(Err(Error::new(ErrorKind::Gate, detail)));
        }
        let cost = u64::from(ask.cost);
        let first = self.queue.keys().next().copied();
        let mut again = None;
        if first.is_none() || first == *number {
            match self.admit(set, cost, now) {
                Ok(()) => {
                    if let Some(number) = number.take() {
                        self.leave(number);
                    }
                    return Ok(Ok(()));
                }
                Err(at) => again = Some(at.unwrap_or(now + set.patience())),
            }
        }
        if now >= ask.until {
            return Ok(Err(Error::new(ErrorKind::Timeout(Phase::Queue), "")));
        }
        let number = *number.get_or_insert_with(|| {
            self.next += 1;
            self.next
        });
        let waiter = Waiter { cost, waker: waker.clone() };
        if self.queue.insert(number, waiter).is_none() {
            self.waiting += cost;
        }
        Err(Some(again.map_or(ask.until, |at| at.min(ask.until))))
    }

    fn admit(&mut self, set: &Settings, cost: u64, now: Instant) -> Result<(), Option<Instant>> {
        if let Some(at) = self.closed_until.filter(|at| *at > now) {
            return Err(Some(at));
        }
        match (&mut self.mode, set.fallback.share()) {
            (Mode::Shared, _) => {
                if self.in_flight >= self.held {
                    return Err(None);
                }
                if set.rate.is_some() {
                    self.take(cost, now)?;
                }
            }
            (Mode::Away { due, .. }, Some(share)) => {
                if self.in_flight >= ((set.most as f64 * share) as usize).max(1) {
                    return Err(None);
                }
                if let Some(interval) = set.interval() {
                    if now < *due {
                        return Err(Some(*due));
                    }
                    let pause = interval.as_secs_f64() * cost as f64 / share;
                    *due = now
                        + Duration::try_from_secs_f64(pause).map_or(LONGEST, |p| p.min(LONGEST));
                }
            }
            (Mode::Fresh | Mode::Away { .. }, _) => return Err(None),
        }
        self.in_flight += 1;
        self.peak = self.peak.max(self.in_flight);
        self.used += cost;
        self.report.calls += 1;
        self.touched = true;
        Ok(())
    }

    /// Takes units that follow each other, so many as the call costs.
    fn take(&mut self, cost: u64, now: Instant) -> Result<(), Option<Instant>> {
        let Some(more) = (cost as usize).checked_sub(1) else { return Ok(()) };
        loop {
            let run = self.units.front().ok_or(None)?.run;
            match self.units.get(more) {
                Some(last) if last.run == run && last.at > now => return Err(Some(last.at)),
                Some(last) if last.run == run && last.lapse < now => drop(self.units.pop_front()),
                Some(last) if last.run == run => {
                    self.units.drain(..=more);
                    return Ok(());
                }
                // What is left of this run is too short, and the first in line must not wait for ever.
                _ if run == self.run => self.give_back(now),
                _ => self.units.retain(|unit| unit.run != run),
            }
        }
    }

    /// Gives up all units; those to come go back, if nobody reserved after them.
    fn give_back(&mut self, now: Instant) {
        let run = self.run;
        self.returned += self.units.iter().filter(|u| u.run == run && u.at > now).count() as u64;
        self.units.clear();
    }

    /// Takes a waiter out.
    pub(super) fn leave(&mut self, number: u64) {
        if let Some(waiter) = self.queue.remove(&number) {
            self.waiting -= waiter.cost;
            self.touched = true;
        }
    }

    /// The waker of the first in line.
    pub(super) fn front(&self) -> Option<Waker> {
        self.queue.values().next().map(|waiter| waiter.waker.clone())
    }

    pub(super) fn all(&self) -> Vec<Waker> {
        self.queue.values().map(|waiter| waiter.waker.clone()).collect()
    }

    pub(super) fn release(&mut self) {
        self.in_flight -= 1;
        self.touched = true;
    }

    pub(super) fn served(&mut self) {
        self.report.served += 1;
    }

    /// The server rejected a call and asked to stay away.
    pub(super) fn rejected(&mut self, now: Instant, wait: Duration) {
        self.report.rejections = self.report.rejections.saturating_add(1);
        self.close(now, wait);
    }

    /// The gate is closed, by this worker or another.
    pub(super) fn close(&mut self, now: Instant, wait: Duration) {
        self.closed_until = self.closed_until.max(now.checked_add(wait));
        self.units.clear();
        self.returned = 0;
    }

    /// Takes a repeat from the fleet's budget. `None` while there is no fleet.
    pub(super) fn may_retry(&mut self, share: f64) -> Option<bool> {
        if !matches!(self.mode, Mode::Shared) {
            return None;
        }
        let calls = (self.fleet.calls + self.report.calls) as f64;
        let left = (calls * share).max(FLOOR) - self.fleet.repeats as f64;
        // Others take from the same rest, unseen until the next exchange.
        let part = (left / f64::from(self.workers)).ceil().min(left);
        let granted = self.report.repeats as f64 + 1.0 <= part;
        if granted {
            self.report.repeats += 1;
            // Its admission will count as a call, which it is not.
            self.report.calls -= 1;
            self.touched = true;
        }
        Some(granted)
    }

    /// When Redis has to be asked next.
    pub(super) fn due(&self, set: &Settings, now: Instant) -> Option<Instant> {
        if let Mode::Away { .. } = self.mode {
            return Some(self.retry.0);
        }
        // What the others have to know soon: a closed gate, a repeat taken from the budget.
        if self.report.rejections > 0 || self.report.repeats > 0 {
            return Some(now);
        }
        let tick = self.last.map_or(now, |at| at + TICK);
        let mut due = None;
        let mut by = |at: Instant| due = Some(due.map_or(at, |due: Instant| due.min(at)));
        let reopening = self.closed_until.filter(|at| *at > now);
        match reopening {
            _ if self.queue.is_empty() => {}
            Some(at) => by(at),
            None => {
                if self.in_flight >= self.held && self.held < set.most {
                    by(if self.starved { tick } else { now });
                }
                if set.rate.is_some() && self.waiting > self.units.len() as u64 {
                    let end = self.units.back().map(|unit| unit.at);
                    by(end.and_then(|at| at.checked_sub(AHEAD)).unwrap_or(now));
                }
            }
        }
        if self.held > 0 || self.in_flight > 0 {
            by(self.last.map_or(now, |at| at + set.lease / 3));
        }
        let idle = self.held > self.in_flight + self.queue.len();
        if self.touched || idle {
            by(tick);
        }
        due
    }

    /// Begins an exchange.
    pub(super) fn message(&mut self, set: &Settings, now: Instant) -> Message {
        self.asked = Some(now);
        let elapsed = now.saturating_duration_since(self.marked);
        if elapsed >= AHEAD {
            self.pace = (self.pace + self.used as f64 / elapsed.as_secs_f64()) / 2.0;
            (self.used, self.marked) = (0, now);
        }
        let units = self.wanted(set, now);
        if self.queue.is_empty() && self.pace * TICK.as_secs_f64() < 1.0 {
            self.give_back(now);
        }
        let healing = matches!(self.mode, Mode::Away { .. });
        let Report { calls, repeats, served, rejections } = std::mem::take(&mut self.report);
        self.fleet.calls += calls;
        self.fleet.repeats += repeats;
        let left = self.closed_until.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        let wanted = (self.in_flight + self.queue.len()).max(self.peak).min(set.most);
        self.peak = self.in_flight;
        // What it does not want it gives up now, not when the answer comes.
        self.held = self.held.min(wanted);
        self.touched = false;
        Message {
            units,
            returned: std::mem::take(&mut self.returned),
            keeps: self.held.max(self.in_flight),
            want: wanted.max(self.in_flight),
            calls,
            repeats,
            served,
            closing: left.as_micros() as u64,
            rejections,
            healing,
        }
    }

    /// Units to reserve: those that are waited for and those that the pace makes
    /// likely, at most what the rate gives in 50 ms.
    fn wanted(&self, set: &Settings, now: Instant) -> u64 {
        let Some(interval) = set.interval() else { return 0 };
        let lacking = self.waiting.saturating_sub(self.units.len() as u64);
        let enough = self.units.back().is_some_and(|unit| unit.at > now + AHEAD);
        if lacking == 0 || enough || self.closed_until.is_some_and(|at| at > now) {
            return 0;
        }
        let usable = if self.saturated { TICK } else { TICK.min(set.grace(interval) * 2) };
        let likely = (self.pace * usable.as_secs_f64()) as u64;
        let batch = (TICK.as_nanos() / interval.as_nanos().max(1)).clamp(1, LARGEST.into()) as u64;
        let first = self.queue.values().next().map_or(1, |waiter| waiter.cost);
        lacking.max(likely).min(batch).max(first)
    }

    /// Ends an exchange well.
    pub(super) fn apply(&mut self, set: &Settings, message: &Message, reply: &Reply, now: Instant) {
        self.asked = None;
        self.last = Some(now);
        self.retry.1 = BACKOFF.0;
        self.mode = Mode::Shared;
        self.held = reply.slots;
        self.starved = reply.slots < message.want;
        // It was asked for some: Redis has to hear when it has let go of them.
        self.touched |= reply.slots < message.keeps;
        self.fleet.calls = reply.calls;
        self.fleet.repeats = reply.repeats;
        self.workers = reply.workers.max(1);
        if reply.closed > 0 {
            self.close(now, Duration::from_micros(reply.closed));
        }
        // Closed meanwhile: what was just reserved is void.
        let open = self.closed_until.is_none_or(|at| at <= now);
        let Some(interval) = set.interval().filter(|_| open && reply.units > 0) else { return };
        let grace = set.grace(interval);
        self.run += 1;
        self.saturated = reply.first > 0;
        for nth in 0..reply.units {
            let later =
                i128::from(reply.first) * 1000 + interval.as_nanos() as i128 * i128::from(nth);
            let at =
                now + Duration::from_nanos(u64::try_from(later.max(0)).unwrap_or(u64::MAX / 4));
            self.units.push_back(Unit { at, lapse: at + grace, run: self.run });
        }
    }

    /// Ends an exchange badly.
    pub(super) fn failed(&mut self, message: &Message, why: &str, now: Instant) {
        self.report.rejections += message.rejections;
        self.away(why, now);
        self.retry.0 = now + self.retry.1;
        self.retry.1 = (self.retry.1 * 2).min(BACKOFF.1);
    }

    fn away(&mut self, why: &str, now: Instant) {
        self.asked = None;
        self.units.clear();
        self.returned = 0;
        self.held = 0;
        if let Mode::Away { why: known, .. } = &mut self.mode {
            *known = why.into();
            return;
        }
        self.mode = Mode::Away { why: why.into(), due: now };
        self.retry.0 = now;
    }

    /// Leaves the gate for good.
    pub(super) fn farewell(&mut self, now: Instant) -> Option<Message> {
        if !matches!(self.mode, Mode::Shared) {
            return None;
        }
        self.give_back(now);
        let returned = std::mem::take(&mut self.returned);
        let Report { calls, repeats, served, rejections } = std::mem::take(&mut self.report);
        let (units, keeps, want, closing) = (0, self.in_flight, self.in_flight, 0);
        let healing = false;
        Some(Message {
            units,
            returned,
            keeps,
            want,
            calls,
            repeats,
            served,
            closing,
            rejections,
            healing,
        })
    }

    pub(super) fn counts(&self) -> (usize, usize, bool) {
        (self.in_flight, self.queue.len(), matches!(self.mode, Mode::Shared))
    }
}
