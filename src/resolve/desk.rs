//! Where lookups wait for a thread: a resolver blocks, and nobody can interrupt it.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::thread;

use crate::error::{ErrorKind, Sent};
use crate::sync::lock;
use crate::transport::Failure;

/// Threads at most; each may hang for as long as its resolver does.
const THREADS: usize = 64;

type Job = Box<dyn FnOnce() + Send>;

struct Desk {
    threads: usize,
    next: u64,
    queue: VecDeque<(u64, Job)>,
}

static DESK: Mutex<Desk> = Mutex::new(Desk { threads: 0, next: 0, queue: VecDeque::new() });

/// A lookup's place in the queue, given up on drop. One that has begun goes on.
#[must_use = "the lookup is taken back when it drops"]
pub(crate) struct Place(Option<u64>);

impl Drop for Place {
    fn drop(&mut self) {
        let Some(number) = self.0 else { return };
        let mut desk = lock(&DESK);
        let found = desk.queue.iter().position(|(waiting, _)| *waiting == number);
        let job = found.and_then(|at| desk.queue.remove(at));
        // What it holds drops without the lock.
        drop(desk);
        drop(job);
    }
}

/// Runs the job on a thread, or lets it wait for one.
pub(super) fn submit(job: impl FnOnce() + Send + 'static) -> Result<Place, Failure> {
    let mut desk = lock(&DESK);
    if desk.threads == THREADS {
        let number = desk.next;
        desk.next += 1;
        desk.queue.push_back((number, Box::new(job)));
        return Ok(Place(Some(number)));
    }
    desk.threads += 1;
    drop(desk);
    let work = move || {
        job();
        while let Some(job) = another() {
            job();
        }
    };
    match thread::Builder::new().name("duocall-resolve".into()).spawn(work) {
        Ok(_) => Ok(Place(None)),
        Err(error) => {
            lock(&DESK).threads -= 1;
            Err(Failure::new(ErrorKind::Resource, "no thread").sent(Sent::No).caused_by(error))
        }
    }
}

/// The next job for this thread; without one, the thread leaves.
fn another() -> Option<Job> {
    let mut desk = lock(&DESK);
    let job = desk.queue.pop_front().map(|(_, job)| job);
    if job.is_none() {
        desk.threads -= 1;
    }
    job
}
