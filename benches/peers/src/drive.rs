//! Keeps so many calls in flight, in tasks or in threads, and times each.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::child::{Job, Meter};

/// What a way gives back: the meter, the nanoseconds of each call, the time of all.
pub(crate) type Driven = (Meter, Vec<u64>, Duration);

/// Says how long to go on: for so many calls, or so much time.
pub(crate) struct Turn {
    left: AtomicUsize,
    until: Option<Instant>,
}

impl Turn {
    pub(crate) fn calls(calls: usize) -> Turn {
        Turn { left: AtomicUsize::new(calls), until: None }
    }

    pub(crate) fn time(time: Duration) -> Turn {
        Turn { left: AtomicUsize::new(0), until: Some(Instant::now() + time) }
    }

    /// Whether there is another call to make, asked at `now`.
    pub(crate) fn next(&self, now: Instant) -> bool {
        match self.until {
            Some(until) => now < until,
            None => self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok(),
        }
    }
}

/// One caller of many; clones of clients, or a connection of its own.
pub(crate) trait Caller: Send + 'static {
    fn call(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// Any clonable client and the way to make a call with it.
pub(crate) struct With<C, F>(pub(crate) C, pub(crate) F);

impl<C, F, R> Caller for With<C, F>
where
    C: Clone + Send + 'static,
    F: Fn(C) -> R + Send + 'static,
    R: Future<Output = Result<()>> + Send,
{
    async fn call(&mut self) -> Result<()> {
        (self.1)(self.0.clone()).await
    }
}

/// The executors that people have.
pub(crate) enum Runtime {
    Smol(smol::LocalExecutor<'static>),
    Tokio(tokio::runtime::Runtime),
}

impl Runtime {
    pub(crate) fn smol() -> Runtime {
        Runtime::Smol(smol::LocalExecutor::new())
    }

    pub(crate) fn tokio1() -> Result<Runtime> {
        Ok(Runtime::Tokio(tokio::runtime::Builder::new_current_thread().enable_all().build()?))
    }

    /// With two threads, like the machine.
    pub(crate) fn tokio2() -> Result<Runtime> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        Ok(Runtime::Tokio(builder.worker_threads(2).enable_all().build()?))
    }

    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        match self {
            Runtime::Smol(executor) => smol::block_on(executor.run(future)),
            Runtime::Tokio(runtime) => runtime.block_on(future),
        }
    }

    /// Runs all callers, each in a task, until the turn is over.
    fn all<C: Caller>(&self, callers: Vec<C>, turn: Turn) -> Result<Vec<(C, Vec<u64>)>> {
        let turn = Arc::new(turn);
        let tasks = callers.into_iter().map(|caller| one(caller, turn.clone()));
        self.block_on(async {
            let mut done = Vec::new();
            match self {
                Runtime::Smol(executor) => {
                    let tasks: Vec<_> = tasks.map(|task| executor.spawn(task)).collect();
                    for task in tasks {
                        done.push(task.await?);
                    }
                }
                Runtime::Tokio(_) => {
                    let tasks: Vec<_> = tasks.map(tokio::spawn).collect();
                    for task in tasks {
                        done.push(task.await??);
                    }
                }
            }
            Ok(done)
        })
    }

    /// Warms up and measures.
    pub(crate) fn drive<C: Caller>(
        &self,
        job: &Job,
        mut meter: Meter,
        make: impl Fn() -> C,
    ) -> Result<Driven> {
        let callers = (0..job.in_flight).map(|_| make()).collect();
        // Without a warm-up every call opens a connection: that is what is measured then.
        let callers = self.all(callers, job.warm_up())?.into_iter().map(|(caller, _)| caller);
        let callers = callers.collect();
        meter.start()?;
        let start = Instant::now();
        let done = self.all(callers, job.measured())?;
        let wall = start.elapsed();
        Ok((meter, done.into_iter().flat_map(|(_, took)| took).collect(), wall))
    }
}

async fn one<C: Caller>(mut caller: C, turn: Arc<Turn>) -> Result<(C, Vec<u64>)> {
    let mut took = Vec::new();
    let mut now = Instant::now();
    while turn.next(now) {
        caller.call().await?;
        let done = Instant::now();
        took.push((done - now).as_nanos() as u64);
        now = done;
    }
    Ok((caller, took))
}

/// The same in threads.
pub(crate) fn threads<F>(job: &Job, mut meter: Meter, call: F) -> Result<Driven>
where
    F: Fn() -> Result<()> + Sync,
{
    let (call, mut took) = (&call, Vec::new());
    let mut all = |turn: Turn| -> Result<()> {
        took.clear();
        let turn = &turn;
        thread::scope(|scope| {
            let work = || -> Result<Vec<u64>> {
                let mut took = Vec::new();
                let mut now = Instant::now();
                while turn.next(now) {
                    call()?;
                    let done = Instant::now();
                    took.push((done - now).as_nanos() as u64);
                    now = done;
                }
                Ok(took)
            };
            let threads: Vec<_> = (0..job.in_flight).map(|_| scope.spawn(work)).collect();
            for thread in threads {
                took.extend(thread.join().map_err(|_| "a thread panicked")??);
            }
            Ok(())
        })
    };
    all(job.warm_up())?;
    meter.start()?;
    let start = Instant::now();
    all(job.measured())?;
    Ok((meter, took, start.elapsed()))
}
