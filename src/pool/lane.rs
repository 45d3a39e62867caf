//! What the consumer of a batch and those who make its calls share.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use crate::cancel::Cancel;
use crate::sync::{lock, park, unparker};

/// The longest that a result waits for others to come. Short against most calls over a network; of
/// shorter calls, half of those at once end in about half the time that one takes.
const COMPANY: Duration = Duration::from_micros(200);

/// Calls that wait, and results that were not taken in yet. The consumer fills it; runners, up to
/// `most`, take a call and bring its result until nothing is left.
pub(super) struct Lane<C, R> {
    most: usize,
    cancel: Cancel,
    state: Mutex<State<C, R>>,
}

struct State<C, R> {
    calls: VecDeque<C>,
    results: Vec<R>,
    /// Those that wait for a thread, and those at work.
    runners: usize,
    /// Those that wait for a thread.
    queued: usize,
    /// Calls under way, at most `most`; a consumer that helps has one, too.
    running: usize,
    /// No call is begun any more.
    closed: bool,
    /// The consumer is to look up even if there is no result.
    nudged: bool,
    /// The consumer, asleep until there are `enough` results, or a runner finds no call.
    waker: Option<Waker>,
    enough: usize,
}

/// What a runner does next.
enum Next<C> {
    Call(C),
    /// Calls are left, but others wait for the thread.
    Requeue,
    /// It is a runner no more.
    End,
}

impl<C, R> Lane<C, R> {
    pub(super) fn new(most: usize, cancel: Cancel) -> Lane<C, R> {
        let state = State {
            calls: VecDeque::new(),
            results: Vec::new(),
            runners: 0,
            queued: 0,
            running: 0,
            closed: false,
            nudged: false,
            waker: None,
            enough: 1,
        };
        Lane { most, cancel, state: Mutex::new(state) }
    }

    /// Adds a call, and collects. If this says so, the consumer has to send another runner.
    #[must_use]
    pub(super) fn put(&self, call: C, into: &mut Vec<R>) -> bool {
        let mut state = lock(&self.state);
        state.collect(into);
        state.calls.push_back(call);
        let more = state.runners < self.most;
        state.runners += usize::from(more);
        state.queued += usize::from(more);
        more
    }

    /// A call to make oneself; [`give`](Lane::give) its result.
    pub(super) fn take(&self) -> Option<C> {
        self.take_from(&mut lock(&self.state))
    }

    pub(super) fn give(&self, result: R) {
        lock(&self.state).give(result);
    }

    /// A runner's work: makes calls until none is left, or one and then others wait for its thread.
    /// `waiting` is how many do, this batch's own runners among them. Whether it is to be queued again.
    pub(super) fn run(&self, waiting: &dyn Fn() -> usize, mut make: impl FnMut(C) -> R) -> bool {
        lock(&self.state).queued -= 1;
        let mut next = self.next(None, 0);
        while let Next::Call(call) = next {
            let result = make(call);
            next = self.next(Some(result), waiting());
        }
        matches!(next, Next::Requeue)
    }

    /// Gives a result and takes another call in one go. Whether one is left and whether the runner
    /// stays one has to be decided under one lock, or a call that is put between the two would count
    /// on a runner that is about to end.
    fn next(&self, result: Option<R>, waiting: usize) -> Next<C> {
        let mut state = lock(&self.state);
        if let Some(result) = result {
            state.give(result);
        }
        // Runners of this batch in the queue are no reason: they would only do the same.
        let others_wait = waiting > state.queued;
        let next = if others_wait && !state.calls.is_empty() && !self.is_closed(&state) {
            state.queued += 1;
            Next::Requeue
        } else if let Some(call) = self.take_from(&mut state) {
            Next::Call(call)
        } else {
            state.runners -= 1;
            Next::End
        };
        let due = state.results.len() >= state.enough || matches!(next, Next::End);
        let waker = state.waker.take_if(|_| due);
        drop(state);
        wake(waker);
        next
    }

    /// A runner ends before its turn, because nobody can make any call; `answer` makes the results.
    pub(super) fn refuse(&self, answer: impl FnMut(C) -> R) {
        let mut state = lock(&self.state);
        state.runners -= 1;
        state.queued -= 1;
        let calls = mem::take(&mut state.calls);
        drop(state);
        // What is left of a call is dropped here, which may be code of the caller's.
        let results: Vec<R> = calls.into_iter().map(answer).collect();
        let mut state = lock(&self.state);
        state.results.extend(results);
        let waker = state.waker.take();
        drop(state);
        wake(waker);
    }

    /// Lets no call begin any more.
    pub(super) fn close(&self) {
        lock(&self.state).closed = true;
    }

    /// The same, and takes those back that have not begun.
    pub(super) fn clear(&self) -> VecDeque<C> {
        let mut state = lock(&self.state);
        state.closed = true;
        mem::take(&mut state.calls)
    }

    /// Takes all results there are, in order of their coming. `into` is empty.
    pub(super) fn collect(&self, into: &mut Vec<R>) {
        lock(&self.state).collect(into);
    }

    /// Waits for so many results, for a moment only if that is more than one; or for a runner that
    /// finds no call, or a cancellation. May come back without. To be woken by each result would cost
    /// every call two changes of thread.
    pub(super) fn wait(&self, enough: usize) {
        let until = (enough > 1).then(|| Instant::now() + COMPANY);
        let waker = unparker();
        let mut state = lock(&self.state);
        let few =
            state.results.is_empty() || state.results.len() < enough && !state.calls.is_empty();
        if few && !mem::take(&mut state.nudged) {
            state.waker = Some(waker);
            state.enough = enough;
            drop(state);
            park(until);
        }
    }

    /// Waits for the calls under way to end.
    pub(super) fn settle(&self) {
        let waker = unparker();
        loop {
            let mut state = lock(&self.state);
            if state.running == 0 {
                return;
            }
            state.waker = Some(waker.clone());
            drop(state);
            park(None);
        }
    }

    fn take_from(&self, state: &mut State<C, R>) -> Option<C> {
        if self.is_closed(state) || state.running == self.most {
            return None;
        }
        let call = state.calls.pop_front()?;
        state.running += 1;
        Some(call)
    }

    /// What was cancelled is left where it is: the consumer has heard of that.
    fn is_closed(&self, state: &State<C, R>) -> bool {
        state.closed || self.cancel.is_cancelled()
    }
}

impl<C, R> State<C, R> {
    fn collect(&mut self, into: &mut Vec<R>) {
        mem::swap(&mut self.results, into);
        // The consumer is awake.
        self.waker = None;
    }

    fn give(&mut self, result: R) {
        self.running -= 1;
        self.results.push(result);
    }
}

fn wake(waker: Option<Waker>) {
    waker.inspect(Waker::wake_by_ref);
}

impl<C: Send + 'static, R: Send + 'static> Wake for Lane<C, R> {
    /// The batch was cancelled.
    fn wake(self: Arc<Self>) {
        let mut state = lock(&self.state);
        state.nudged = true;
        let waker = state.waker.take();
        drop(state);
        wake(waker);
    }
}
