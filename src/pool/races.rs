//! A job or a batch, its workers and its cancellation, in every order of theirs.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use super::job::{Job, slot};
use super::lane::Lane;
use super::workers::Task;
use crate::cancel::Cancel;
use crate::error::ErrorKind;
use crate::sync::model::{Actor, every_order, step};
use crate::sync::{lock, park, unparker};

/// Of no pool that there is: nobody here works for it.
const POOL: usize = 1;

#[test]
fn a_job_is_done_once_and_its_waiter_hears_of_it() {
    let orders = every_order(3, || {
        let (made, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (calls, results) = (made.clone(), told.clone());
        let (shared, tell) = slot();
        let make = move || Ok(calls.fetch_add(1, SeqCst));
        let task = Task::new(make, move |result| {
            results.fetch_add(1, SeqCst);
            tell.tell(result);
        });
        let cancel = Cancel::new();
        let listening = cancel.listen(&Waker::from(task.0.clone()));
        let job = Job::new(shared, cancel.clone(), task.clone(), POOL);
        let actors: Vec<Actor> = vec![
            Box::new(move || match job.wait() {
                Ok(first) => assert_eq!(first, 0),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Cancelled),
            }),
            Box::new(move || {
                task.run();
                drop(listening);
            }),
            Box::new(move || cancel.cancel()),
        ];
        let end = move || {
            assert!(made.load(SeqCst) <= 1);
            assert_eq!(told.load(SeqCst), 1);
        };
        (actors, end)
    });
    println!("a job: {orders} orders");
    assert!(orders > 100);
}

enum Queued {
    Runner,
    /// Anything else, and how many calls had begun when it came.
    Job(usize),
}

/// The queue of a pool, as little of it as a scene needs.
#[derive(Default)]
struct Pool(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Queued>,
    idle: Vec<Waker>,
    over: bool,
}

impl Pool {
    fn change(&self, change: impl FnOnce(&mut Queue)) {
        let mut queue = lock(&self.0);
        change(&mut queue);
        let idle = std::mem::take(&mut queue.idle);
        drop(queue);
        idle.into_iter().for_each(Waker::wake);
    }

    fn queue(&self, queued: Queued) {
        self.change(|queue| queue.waiting.push_back(queued));
    }

    /// Waits for work; none at the end.
    fn take(&self) -> Option<Queued> {
        let waker = unparker();
        loop {
            let mut queue = lock(&self.0);
            let next = queue.waiting.pop_front();
            if next.is_some() || queue.over {
                return next;
            }
            queue.idle.push(waker.clone());
            drop(queue);
            park(None);
        }
    }
}

type Numbers = Lane<usize, usize>;

const CALLS: usize = 3;

/// What the threads of a batch share.
#[derive(Clone)]
struct Shared {
    lane: Arc<Numbers>,
    most: usize,
    pool: Arc<Pool>,
    running: Arc<AtomicUsize>,
    begun: Arc<AtomicUsize>,
    came: Arc<Mutex<Vec<usize>>>,
    cancel: Cancel,
}

impl Shared {
    fn new(most: usize) -> Shared {
        let cancel = Cancel::new();
        let lane = Arc::new(Lane::new(most, cancel.clone()));
        let (pool, running, begun, came) = Default::default();
        Shared { lane, most, pool, running, begun, came, cancel }
    }

    fn make(&self, call: usize) -> usize {
        assert!(self.running.fetch_add(1, SeqCst) < self.most, "too many at once");
        self.begun.fetch_add(1, SeqCst);
        step();
        self.running.fetch_sub(1, SeqCst);
        call
    }

    /// Does as those of the pool.
    fn worker(self) -> Actor {
        Box::new(move || {
            while let Some(queued) = self.pool.take() {
                if let Queued::Job(begun) = queued {
                    // The one under way, and one that its runner had decided on.
                    assert!(self.begun.load(SeqCst) <= begun + 2, "a job waits for the batch");
                    continue;
                }
                let waiting = || lock(&self.pool.0).waiting.len();
                if self.lane.run(&waiting, |call| self.make(call)) {
                    self.pool.queue(Queued::Runner);
                }
            }
        })
    }

    /// Has so many calls made; `helps` as a worker of the pool would.
    fn consumer(self, calls: usize, helps: bool) -> Actor {
        Box::new(move || {
            let Shared { lane, cancel, .. } = &self;
            let _listening = cancel.listen(&Waker::from(lane.clone()));
            let (mut put, mut done, mut inbox) = (0, 0, Vec::new());
            loop {
                let cancelled = cancel.is_cancelled();
                lane.collect(&mut inbox);
                if cancelled {
                    inbox.extend(lane.clear());
                }
                done += inbox.len();
                self.came.lock().unwrap().append(&mut inbox);
                if !cancelled && put < calls && put - done < 2 * self.most {
                    put += 1;
                    if lane.put(put, &mut inbox) {
                        self.pool.queue(Queued::Runner);
                    }
                    done += inbox.len();
                    self.came.lock().unwrap().append(&mut inbox);
                } else if done == put {
                    break;
                } else if let Some(call) = helps.then(|| lane.take()).flatten() {
                    lane.give(self.make(call));
                } else {
                    // For one result, or for two, which may be more than are to come.
                    lane.wait(1 + done % 2);
                }
            }
            lane.settle();
            self.pool.change(|queue| queue.over = true);
        })
    }
}

/// What else happens.
enum Other {
    Nobody,
    Cancels,
    Queues,
}

/// Each call of a batch comes back once, in every order; a cancellation may come before some are put.
fn batch(most: usize, workers: usize, helps: bool, other: Other) {
    let cancelled = matches!(other, Other::Cancels);
    let orders = every_order(1, || {
        let shared = Shared::new(most);
        let mut actors = vec![shared.clone().consumer(CALLS, helps)];
        actors.extend((0..workers).map(|_| shared.clone().worker()));
        let Shared { pool, begun, cancel, .. } = shared.clone();
        match other {
            Other::Nobody => {}
            Other::Cancels => actors.push(Box::new(move || cancel.cancel())),
            Other::Queues => actors.push(Box::new(move || {
                pool.change(|queue| queue.waiting.push_back(Queued::Job(begun.load(SeqCst))));
            })),
        }
        let end = move || {
            let mut came = shared.came.lock().unwrap().clone();
            came.sort_unstable();
            assert!(came.iter().copied().eq(1..=came.len()), "{came:?}");
            assert!(cancelled || came.len() == CALLS, "{came:?}");
        };
        (actors, end)
    });
    println!("a batch: {orders} orders");
    assert!(orders > 100);
}

#[test]
fn a_batch_comes_to_its_end() {
    batch(2, 2, false, Other::Nobody);
}

#[test]
fn a_batch_keeps_to_narrower_bounds_than_its_pools() {
    batch(1, 2, false, Other::Nobody);
}

#[test]
fn a_batch_on_a_worker_helps_itself() {
    batch(1, 2, true, Other::Nobody);
}

#[test]
fn a_cancelled_batch_answers_what_had_not_begun() {
    batch(1, 1, false, Other::Cancels);
}

#[test]
fn a_batch_gives_its_thread_back() {
    batch(1, 1, false, Other::Queues);
}

/// No time passes in a model, so this is outside of it.
#[test]
fn a_result_waits_only_a_moment_for_others() {
    let lane = Numbers::new(2, Cancel::new());
    let mut none = Vec::new();
    assert!((1..=3).all(|call| lane.put(call, &mut none) == (call < 3)));
    let first = lane.take().unwrap();
    assert_eq!(lane.take(), Some(2), "it is under way for ever, and the third lies ready");
    lane.give(first);
    lane.wait(2);
}
