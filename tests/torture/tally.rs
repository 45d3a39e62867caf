//! What came of many runs.

use std::process::{Command, ExitStatus};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// No run takes that long.
pub const HANGS: Duration = Duration::from_secs(30);
pub const HANG: &str = "it hangs";
/// Most of them wait most of the time.
const AT_ONCE: usize = 12;

#[derive(Default)]
pub struct Tally {
    pub faults: usize,
    pub wrong: usize,
    pub hangs: usize,
}

impl Tally {
    pub fn count(&mut self, faults: usize, wrong: Vec<String>, of: impl Fn() -> String) {
        self.faults += faults;
        for wrong in wrong {
            println!("{}: {wrong}", of());
            if wrong == HANG {
                self.hangs += 1;
            } else {
                self.wrong += 1;
            }
        }
    }

    pub fn add(&mut self, other: &Tally) {
        self.faults += other.faults;
        self.wrong += other.wrong;
        self.hangs += other.hangs;
    }

    pub fn is_good(&self) -> bool {
        self.faults > 0 && self.wrong == 0 && self.hangs == 0
    }
}

/// Does the jobs, a few at once. Each is told which it is.
pub fn over<J: Sync>(jobs: &[J], work: impl Fn(usize, &J) -> Tally + Sync) -> Tally {
    let (next, sum) = (AtomicUsize::new(0), Mutex::new(Tally::default()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, SeqCst);
                    let Some(job) = jobs.get(at) else { return };
                    let tally = work(at, job);
                    sum.lock().unwrap().add(&tally);
                }
            });
        }
    });
    sum.into_inner().unwrap()
}

/// How the process ended; `None` if it hung and had to be ended.
pub fn ended(command: &mut Command) -> Option<ExitStatus> {
    let mut process = command.spawn().expect("it can be started");
    let started = Instant::now();
    while started.elapsed() < HANGS {
        if let Some(status) = process.try_wait().expect("a child") {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(1));
    }
    // strace lets go of what it traces; that ends when its server is gone.
    let _ = process.kill();
    let _ = process.wait();
    None
}
