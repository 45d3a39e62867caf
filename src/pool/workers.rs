//! The threads of a pool.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use async_channel::{Receiver, Sender, unbounded};

use crate::error::{Error, ErrorKind};
use crate::sync::lock;

/// Work for a worker: makes the call, or refuses it; either way somebody is told.
pub(super) struct Task(Box<dyn FnOnce(Order) + Send>);

/// What a worker does with a task.
enum Order {
    Run,
    Refuse,
}

impl Task {
    pub(super) fn new<T>(
        call: impl FnOnce() -> Result<T, Error> + Send + 'static,
        tell: impl FnOnce(Result<T, Error>) + Send + 'static,
    ) -> Task {
        Task(Box::new(move |order| {
            let result = match order {
                // What the closure leaves behind after a panic is dropped with it.
                Order::Run => catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
                    drop(panic);
                    Err(Error::new(ErrorKind::Panicked, "the endpoint's code"))
                }),
                Order::Refuse => Err(Error::new(ErrorKind::Shutdown, "")),
            };
            tell(result);
        }))
    }

    fn run(self) {
        (self.0)(Order::Run);
    }

    fn refuse(self) {
        (self.0)(Order::Refuse);
    }
}

pub(super) struct Workers {
    most: usize,
    queue: Sender<Task>,
    tasks: Receiver<Task>,
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    /// Workers that wait for a task.
    free: AtomicUsize,
    closed: AtomicBool,
}

impl Workers {
    pub(super) fn new(most: usize) -> Workers {
        let (queue, tasks) = unbounded();
        Workers { most, queue, tasks, shared: Arc::default(), threads: Mutex::default() }
    }

    pub(super) fn submit(&self, task: Task) {
        // It is open for as long as there are Workers.
        let sent = self.queue.send_blocking(task);
        debug_assert!(sent.is_ok());
        self.grow();
    }

    /// Starts a worker if every one there is has something to do.
    fn grow(&self) {
        let mut threads = lock(&self.threads);
        let waiting = self.tasks.len();
        if threads.len() >= self.most || self.shared.free.load(SeqCst) >= waiting {
            return;
        }
        let (tasks, shared) = (self.tasks.clone(), self.shared.clone());
        let work = move || work(&tasks, &shared);
        match thread::Builder::new().name("duocall-worker".into()).spawn(work) {
            Ok(thread) => threads.push(thread),
            // With some workers the task only waits longer; without any, nobody would ever take it.
            Err(error) if threads.is_empty() => {
                drop(error);
                drop(threads);
                self.refuse_all();
            }
            Err(_) => {}
        }
    }

    fn refuse_all(&self) {
        while let Ok(task) = self.tasks.try_recv() {
            task.refuse();
        }
    }
}

fn work(tasks: &Receiver<Task>, shared: &Shared) {
    loop {
        shared.free.fetch_add(1, SeqCst);
        let task = tasks.recv_blocking();
        shared.free.fetch_sub(1, SeqCst);
        let Ok(task) = task else { return };
        if shared.closed.load(SeqCst) {
            task.refuse();
        } else {
            // The result's receiver may run code of the caller's, such as a waker.
            drop(catch_unwind(AssertUnwindSafe(|| task.run())));
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.shared.closed.store(true, SeqCst);
        self.queue.close();
        self.refuse_all();
        let me = thread::current().id();
        for worker in lock(&self.threads).drain(..) {
            // The last clone may go with a task, on a worker.
            if worker.thread().id() != me {
                drop(worker.join());
            }
        }
    }
}
