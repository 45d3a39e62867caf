//! The threads of a pool.

use std::cell::Cell;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};
use std::thread::{self, JoinHandle};

use async_channel::{Receiver, Sender, unbounded};

use crate::cancel::{Cancel, Subscription};
use crate::error::{Error, ErrorKind};
use crate::sync::lock;

/// What is done with a task.
enum Order {
    Run,
    Refuse(ErrorKind),
}

/// Makes the call, or refuses it; either way somebody is told.
type Work = Box<dyn FnOnce(Order) + Send>;

/// Work that waits for a worker. Whoever comes first does it: a worker, the
/// caller who waits for it, or a cancellation.
#[derive(Clone)]
pub(super) struct Task(pub(super) Arc<Slot>);

pub(super) struct Slot(Mutex<Option<Work>>);

impl Task {
    pub(super) fn new<T>(
        call: impl FnOnce() -> Result<T, Error> + Send + 'static,
        tell: impl FnOnce(Result<T, Error>) + Send + 'static,
    ) -> Task {
        let work = move |order| {
            tell(match order {
                Order::Run => caught(call),
                Order::Refuse(kind) => Err(Error::new(kind, "")),
            });
        };
        Task(Arc::new(Slot(Mutex::new(Some(Box::new(work))))))
    }

    /// Does it here and now, unless that has been done.
    pub(super) fn run(&self) {
        self.0.settle(Order::Run);
    }
}

/// The call's result, or the error that a panic in it becomes.
pub(super) fn caught<T>(call: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    // What the closure leaves behind after a panic is dropped with it.
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        // Its drop may panic in turn; somebody has to be told nevertheless.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(panic)));
        dropped.unwrap_or_else(mem::forget);
        Err(Error::new(ErrorKind::Panicked, "the endpoint's code"))
    })
}

impl Slot {
    fn settle(&self, order: Order) {
        let work = lock(&self.0).take();
        if let Some(work) = work {
            // The result's receiver may run code of the caller's, such as a waker.
            let done = catch_unwind(AssertUnwindSafe(|| work(order)));
            done.unwrap_or_else(mem::forget);
        }
    }
}

impl Wake for Slot {
    /// Cancelled before anybody has begun it.
    fn wake(self: Arc<Self>) {
        self.settle(Order::Refuse(ErrorKind::Cancelled));
    }
}

/// Work in turns, so that nobody waits long for what has no end.
pub(super) trait Turns: Send {
    /// Goes on until there is nothing to do, or a turn has ended and others wait for the thread,
    /// `waiting` so many. Says whether it is to be queued again.
    fn run(&mut self, waiting: &dyn Fn() -> usize) -> bool;

    /// Instead of its next turn, and the last that is asked of it.
    fn refuse(&mut self, kind: ErrorKind);
}

enum Queued {
    /// With its ear for a cancellation.
    Once {
        task: Task,
        _listening: Subscription,
    },
    Often(Box<dyn Turns>),
}

impl Queued {
    /// Whether it is to be queued again.
    fn run(&mut self, waiting: &dyn Fn() -> usize) -> bool {
        match self {
            Queued::Once { task, .. } => task.run(),
            Queued::Often(work) => return work.run(waiting),
        }
        false
    }

    fn refuse(mut self, kind: ErrorKind) {
        match &mut self {
            Queued::Once { task, .. } => task.0.settle(Order::Refuse(kind)),
            Queued::Often(work) => work.refuse(kind),
        }
    }
}

thread_local! {
    /// The pool that this thread works for.
    static POOL: Cell<usize> = const { Cell::new(0) };
}

/// Whether this thread is a worker of that pool. One that waits for its own pool
/// takes a thread away from what it waits for, so it has to do the work itself.
pub(super) fn works_for(pool: usize) -> bool {
    POOL.get() == pool
}

pub(super) struct Workers {
    most: usize,
    queue: Sender<Queued>,
    tasks: Receiver<Queued>,
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    /// Tasks sent and not done with. (A count of workers that wait would still hold one that
    /// has just taken a task, and the next would wait behind that for no reason.)
    open: AtomicUsize,
    closed: AtomicBool,
}

impl Workers {
    pub(super) fn new(most: usize) -> Workers {
        let (queue, tasks) = unbounded();
        Workers { most, queue, tasks, shared: Arc::default(), threads: Mutex::default() }
    }

    /// Never zero, and no other pool's while this one exists.
    pub(super) fn id(&self) -> usize {
        Arc::as_ptr(&self.shared) as usize
    }

    pub(super) fn most(&self) -> usize {
        self.most
    }

    pub(super) fn submit(&self, task: Task, cancel: &Cancel) {
        let listening = cancel.listen(&Waker::from(task.0.clone()));
        self.queue(Queued::Once { task, _listening: listening });
    }

    pub(super) fn engage(&self, work: Box<dyn Turns>) {
        self.queue(Queued::Often(work));
    }

    fn queue(&self, queued: Queued) {
        self.shared.open.fetch_add(1, SeqCst);
        // The queue is open for as long as there are Workers.
        let sent = self.queue.try_send(queued);
        debug_assert!(sent.is_ok());
        self.grow();
    }

    /// Starts a worker if every one there is has something to do.
    fn grow(&self) {
        let mut threads = lock(&self.threads);
        if threads.len() >= self.most.min(self.shared.open.load(SeqCst)) {
            return;
        }
        let (queue, tasks) = (self.queue.clone(), self.tasks.clone());
        let shared = self.shared.clone();
        let work = move || work(&queue, &tasks, &shared);
        match thread::Builder::new().name("duocall-worker".into()).spawn(work) {
            Ok(thread) => threads.push(thread),
            // With some workers the task only waits longer; without any, nobody would ever take it.
            Err(error) if threads.is_empty() => {
                drop(error);
                drop(threads);
                self.refuse_all(ErrorKind::Resource);
            }
            Err(_) => {}
        }
    }

    fn refuse_all(&self, kind: ErrorKind) {
        while let Ok(queued) = self.tasks.try_recv() {
            queued.refuse(kind);
            self.shared.open.fetch_sub(1, SeqCst);
        }
    }
}

fn work(queue: &Sender<Queued>, tasks: &Receiver<Queued>, shared: &Arc<Shared>) {
    POOL.set(Arc::as_ptr(shared) as usize);
    while let Ok(mut queued) = tasks.recv_blocking() {
        if shared.closed.load(SeqCst) {
            queued.refuse(ErrorKind::Shutdown);
        } else if queued.run(&|| tasks.len()) {
            match queue.try_send(queued) {
                // Behind the others, and as open as before.
                Ok(()) => continue,
                Err(closed) => closed.into_inner().refuse(ErrorKind::Shutdown),
            }
        }
        shared.open.fetch_sub(1, SeqCst);
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.shared.closed.store(true, SeqCst);
        self.queue.close();
        self.refuse_all(ErrorKind::Shutdown);
        let me = thread::current().id();
        for worker in lock(&self.threads).drain(..) {
            // The last clone may go with a task, on a worker.
            if worker.thread().id() != me {
                drop(worker.join());
            }
        }
    }
}
