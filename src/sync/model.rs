//! Threads one at a time, in every order that matters.
//!
//! A thread of a scene may lose its turn wherever it takes a lock, is about to wake another, or waits.
//! [`every_order`] runs the scene again and again until each choice has been made, with so many turns taken
//! from a thread that could have gone on (few are enough to show almost any fault). No time passes: a wait with
//! a limit is one without, so a lost wake-up shows as a scene in which everybody waits.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Wake, Waker};
use std::thread;

pub(crate) type Actor = Box<dyn FnOnce() + Send>;

/// Plays what `scene` gives: its threads, and what must hold when all have ended. Says how many orders there were.
pub(crate) fn every_order<E: FnOnce()>(taken: usize, scene: impl Fn() -> (Vec<Actor>, E)) -> usize {
    let mut path = Vec::new();
    for orders in 1.. {
        let (actors, end) = scene();
        path = play(path, taken, actors);
        end();
        // The last choice that was not the last of its kind comes next.
        while path.last().is_some_and(|choice: &Choice| choice.made + 1 == choice.of) {
            path.pop();
        }
        match path.last_mut() {
            Some(choice) => choice.made += 1,
            None => return orders,
        }
    }
    unreachable!("the loop has no end")
}

struct Choice {
    made: usize,
    of: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Status {
    Ready,
    Parked,
    Gone,
}

struct Stage {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    turn: usize,
    actors: Vec<Status>,
    /// Woken before it waits.
    nudged: Vec<bool>,
    path: Vec<Choice>,
    at: usize,
    /// Turns that may still be taken from somebody who could go on.
    taken: usize,
    failure: Option<String>,
}

thread_local! {
    static ME: RefCell<Option<(Arc<Stage>, usize)>> = const { RefCell::new(None) };
}

/// What unwinds an actor when the scene has failed elsewhere.
struct Failed;

fn play(path: Vec<Choice>, taken: usize, actors: Vec<Actor>) -> Vec<Choice> {
    let count = actors.len();
    let (ready, nudged) = (vec![Status::Ready; count], vec![false; count]);
    let state = State { turn: 0, actors: ready, nudged, path, at: 0, taken, failure: None };
    let stage = Arc::new(Stage { state: Mutex::new(state), changed: Condvar::new() });
    stage.state().choose(count);
    thread::scope(|scope| {
        for (number, actor) in actors.into_iter().enumerate() {
            let stage = stage.clone();
            scope.spawn(move || {
                ME.set(Some((stage.clone(), number)));
                let done = catch_unwind(AssertUnwindSafe(|| {
                    stage.wait_for(number, stage.state());
                    actor();
                }));
                ME.set(None);
                let mut state = stage.state();
                if let Err(panic) = done {
                    let words = panic.downcast_ref::<String>().cloned();
                    let words =
                        words.or_else(|| panic.downcast_ref().map(|it: &&str| (*it).into()));
                    state.failure.get_or_insert(words.unwrap_or_default());
                }
                state.actors[number] = Status::Gone;
                state.choose(number);
                drop(state);
                stage.changed.notify_all();
            });
        }
    });
    let mut state = stage.state();
    let made: Vec<usize> = state.path.iter().map(|choice| choice.made).collect();
    if let Some(failure) = &state.failure {
        panic!("{failure} (after the choices {made:?})");
    }
    std::mem::take(&mut state.path)
}

impl Stage {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under it")
    }

    /// Lets whoever is chosen go on, and comes back when that is `me` again.
    fn switch(&self, me: usize, mut state: MutexGuard<'_, State>) {
        state.choose(me);
        self.changed.notify_all();
        self.wait_for(me, state);
    }

    fn wait_for(&self, me: usize, state: MutexGuard<'_, State>) {
        let others = |state: &mut State| state.turn != me && state.failure.is_none();
        let state = self.changed.wait_while(state, others).expect("nothing panics under it");
        let failed = state.failure.is_some();
        drop(state);
        if failed && !thread::panicking() {
            panic_any(Failed);
        }
    }
}

impl State {
    /// Whose turn is next, `me` having had it.
    fn choose(&mut self, me: usize) {
        let ready = |n: &usize| self.actors[*n] == Status::Ready;
        let goes_on = Some(me).filter(|me| self.actors.get(*me) == Some(&Status::Ready));
        let others = (0..self.actors.len()).filter(|n| *n != me).filter(ready);
        let others = others.filter(|_| goes_on.is_none() || self.taken > 0);
        let choices: Vec<usize> = goes_on.into_iter().chain(others).collect();
        match choices.len() {
            0 if self.actors.iter().all(|it| *it == Status::Gone) => {}
            0 => drop(self.failure.get_or_insert("everybody waits".into())),
            1 => self.turn = choices[0],
            of => {
                if self.at == self.path.len() {
                    self.path.push(Choice { made: 0, of });
                }
                let made = self.path[self.at].made;
                assert_eq!(self.path[self.at].of, of, "a scene must play the same each time");
                self.at += 1;
                self.taken -= usize::from(goes_on.is_some() && made > 0);
                self.turn = choices[made];
            }
        }
    }
}

/// The stage this thread acts on, unless its scene has failed and it only cleans up.
fn acting() -> Option<(Arc<Stage>, usize)> {
    ME.with_borrow(Clone::clone).filter(|(stage, _)| stage.state().failure.is_none())
}

/// Another thread may go first.
pub(crate) fn step() {
    if let Some((stage, me)) = acting() {
        stage.switch(me, stage.state());
    }
}

/// Waits for the waker; false outside of a scene.
pub(super) fn park() -> bool {
    let Some((stage, me)) = acting() else { return false };
    let mut state = stage.state();
    if !std::mem::take(&mut state.nudged[me]) {
        state.actors[me] = Status::Parked;
    }
    stage.switch(me, state);
    true
}

pub(super) fn waker() -> Option<Waker> {
    acting().map(|(stage, me)| Waker::from(Arc::new(Nudge(stage, me))))
}

struct Nudge(Arc<Stage>, usize);

impl Wake for Nudge {
    fn wake(self: Arc<Self>) {
        // Between the lock that found the waker and its call others may go.
        step();
        let mut state = self.0.state();
        match state.actors[self.1] {
            Status::Parked => state.actors[self.1] = Status::Ready,
            _ => state.nudged[self.1] = true,
        }
    }
}
