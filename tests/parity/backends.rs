//! The ways of running. Each does what a scenario says in its own colour.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

use duocall::{Api, Batch, Cancel, Error, ErrorGroup, Response, blocking, nonblocking, pool};
use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::runtime::Runtime;

use super::outcome::{Said, shortened};
use super::scenario::{Item, Mode, Notes, Op, Scenario, Step, Value};
use super::site::Site;

pub struct Backend {
    pub name: &'static str,
    run: fn(Work) -> Vec<Said>,
}

/// One run of a scenario.
pub struct Work {
    pub api: Api,
    pub op: Op,
    pub site: Arc<Site>,
    pub manner: Manner,
}

/// What a batch is given besides its items.
#[derive(Clone, Default)]
pub struct Manner {
    pub deadline: Option<Duration>,
    pub progress: Option<Notes>,
    cancel: Option<Cancel>,
}

impl Manner {
    pub fn of(scenario: &Scenario, notes: &Notes) -> Manner {
        let progress = scenario.progress.then(|| notes.clone());
        Manner { deadline: scenario.deadline, progress, cancel: None }
    }

    fn set<C, I>(&self, batch: Batch<C, I>, mode: Mode, most: usize) -> Batch<C, I> {
        let mut batch = batch.concurrency(most);
        if mode == Mode::Ordered {
            batch = batch.ordered();
        }
        if let Some(deadline) = self.deadline {
            batch = batch.deadline(deadline);
        }
        if let Some(notes) = self.progress.clone() {
            batch = batch.on_progress(move |p| {
                notes.add(format!("{} {} {} {}", p.started, p.done, p.failed, p.in_flight));
            });
        }
        match &self.cancel {
            Some(cancel) => batch.cancel(cancel),
            None => batch,
        }
    }

    /// Cancelled when the server has seen so many requests.
    fn until(mut self, requests: usize, site: &Arc<Site>) -> Manner {
        let (cancel, site) = (Cancel::new(), site.clone());
        self.cancel = Some(cancel.clone());
        thread::spawn(move || {
            site.wait_requests(requests);
            cancel.cancel();
        });
        self
    }
}

pub const ALL: &[Backend] = &[
    Backend { name: "blocking", run: run_blocking },
    Backend { name: "pool", run: run_pool },
    Backend { name: "async on smol", run: |work| smol::block_on(run_async(work)) },
    Backend { name: "async on tokio, one thread", run: on_tokio_current },
    Backend { name: "async on tokio, threads", run: on_tokio_threads },
    Backend { name: "async, tokio's sockets", run: on_tokio_sockets },
    Backend {
        name: "async on async-std",
        run: |work| async_std::task::block_on(async_std::task::spawn(run_async(work))),
    },
    Backend {
        name: "async, bare block_on",
        run: |work| futures_lite::future::block_on(run_async(work)),
    },
    Backend {
        name: "async over surf",
        run: |work| {
            let client = work.site.surf(work.api.clone());
            smol::block_on(async_op(client, work))
        },
    },
];

impl Backend {
    pub fn run(&self, work: Work) -> Vec<Said> {
        catch_unwind(AssertUnwindSafe(|| (self.run)(work))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().map(ToString::to_string);
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            vec![Said::Text(format!("panic: {}", text.unwrap_or_default()))]
        })
    }
}

fn on_tokio_current(work: Work) -> Vec<Said> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(run_async(work))
}

fn on_tokio_threads(work: Work) -> Vec<Said> {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
    let joined = RUNTIME.block_on(RUNTIME.spawn(run_async(work)));
    joined.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

fn on_tokio_sockets(work: Work) -> Vec<Said> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let client = work.site.tokio(work.api.clone());
    runtime.block_on(async_op(client, work))
}

/// An item of a page.
fn item(item: Result<serde_json::Value, Error>) -> Said {
    Said::Result(None, item.map(|item| Value::Text(item.to_string())))
}

/// A body read as it comes, as `status body`.
fn read(opened: Result<blocking::Streamed, Error>) -> Said {
    let whole = opened.and_then(|mut opened| {
        let mut body = Vec::new();
        while let Some(piece) = opened.piece()? {
            body.extend_from_slice(&piece);
        }
        Ok(streamed(opened.response(), &body))
    });
    Said::Result(None, whole)
}

async fn read_async(opening: impl Future<Output = Result<nonblocking::Streamed, Error>>) -> Said {
    let whole = async {
        let mut opened = opening.await?;
        let mut body = Vec::new();
        while let Some(piece) = opened.piece().await? {
            body.extend_from_slice(&piece);
        }
        Ok(streamed(opened.response(), &body))
    };
    Said::Result(None, whole.await)
}

fn streamed(response: &Response, body: &[u8]) -> Value {
    Value::Text(format!("{} {}", response.status().as_str(), shortened(body)))
}

fn in_order(results: Vec<Result<Value, Error>>) -> Vec<Said> {
    results.into_iter().map(|result| Said::Result(None, result)).collect()
}

fn all_or_group(result: Result<Vec<Value>, ErrorGroup>) -> Vec<Said> {
    match result {
        Ok(values) => in_order(values.into_iter().map(Ok).collect()),
        Err(group) => {
            let counts = format!(
                "{} finished, {} cancelled, {:?} not started",
                group.finished(),
                group.cancelled(),
                group.not_started()
            );
            let errors = group.into_errors();
            let errors = errors.into_iter().map(|(i, error)| Said::Result(Some(i), Err(error)));
            errors.chain([Said::Text(counts)]).collect()
        }
    }
}

fn run_blocking(work: Work) -> Vec<Said> {
    let client = work.site.blocking(work.api);
    blocking_op(&client, work.op, &work.site, work.manner)
}

fn blocking_op(client: &blocking::Client, op: Op, site: &Arc<Site>, manner: Manner) -> Vec<Said> {
    match op {
        Op::Steps(steps) => {
            let done = steps.into_iter().filter_map(|step| match step {
                Step::Send(request) => Some(Said::response(client.send(request))),
                Step::Made(make) => Some(Said::response(client.send(make(client.api())))),
                Step::Call(item) => Some(Said::Result(None, client.call(item))),
                Step::Open(request) => Some(read(client.open(request))),
                Step::Do(f) => {
                    f(client.api(), site);
                    None
                }
            });
            done.collect()
        }
        Op::Together(requests) => thread::scope(|scope| {
            let send = |request| scope.spawn(move || Said::response(client.send(request)));
            let calls: Vec<_> = requests.into_iter().map(send).collect();
            calls.into_iter().map(|call| call.join().expect("no panic")).collect()
        }),
        Op::Batch(mode, most, items) => {
            let batch = manner.set(client.batch(items), mode, most);
            match mode {
                Mode::Gather => in_order(batch.gather()),
                Mode::FailFast => all_or_group(batch.fail_fast()),
                _ => batch.stream().map(|(i, result)| Said::Result(Some(i), result)).collect(),
            }
        }
        Op::Pages(first, paging) => client.pages(*first, paging()).map(item).collect(),
        Op::Cancelled(at, op) => blocking_op(client, *op, site, manner.until(at, site)),
        Op::Own(own) => (own.blocking)(client, site),
    }
}

fn run_pool(work: Work) -> Vec<Said> {
    let client = work.site.pool(work.api);
    pool_op(&client, work.op, &work.site, work.manner)
}

fn pool_op(client: &pool::Client, op: Op, site: &Arc<Site>, manner: Manner) -> Vec<Said> {
    match op {
        Op::Steps(steps) => {
            let done = steps.into_iter().filter_map(|step| match step {
                Step::Send(request) => Some(Said::response(client.send(request).wait())),
                Step::Made(make) => Some(Said::response(client.send(make(client.api())).wait())),
                Step::Call(item) => Some(Said::Result(None, client.call(item).wait())),
                Step::Open(request) => Some(read(client.open(request).wait())),
                Step::Do(f) => {
                    f(client.api(), site);
                    None
                }
            });
            done.collect()
        }
        Op::Together(requests) => {
            let jobs: Vec<_> = requests.into_iter().map(|request| client.send(request)).collect();
            jobs.into_iter().map(|job| Said::response(job.wait())).collect()
        }
        Op::Batch(mode, most, items) => {
            let batch = manner.set(client.batch(items), mode, most);
            match mode {
                Mode::Gather => in_order(batch.gather()),
                Mode::FailFast => all_or_group(batch.fail_fast()),
                _ => batch.stream().map(|(i, result)| Said::Result(Some(i), result)).collect(),
            }
        }
        Op::Pages(first, paging) => client.pages(*first, paging()).map(item).collect(),
        Op::Cancelled(at, op) => pool_op(client, *op, site, manner.until(at, site)),
        Op::Own(own) => (own.pool)(client, site),
    }
}

async fn run_async(work: Work) -> Vec<Said> {
    let client = work.site.nonblocking(work.api.clone());
    async_op(client, work).await
}

pub async fn async_op(client: nonblocking::Client, work: Work) -> Vec<Said> {
    let (op, manner) = match work.op {
        Op::Cancelled(at, op) => (*op, work.manner.until(at, &work.site)),
        op => (op, work.manner),
    };
    match op {
        Op::Steps(steps) => {
            let mut said = Vec::new();
            for step in steps {
                match step {
                    Step::Send(request) => said.push(Said::response(client.send(request).await)),
                    Step::Made(make) => {
                        said.push(Said::response(client.send(make(client.api())).await));
                    }
                    Step::Call(item) => said.push(Said::Result(None, client.call(item).await)),
                    Step::Open(request) => said.push(read_async(client.open(request)).await),
                    Step::Do(f) => f(client.api(), &work.site),
                }
            }
            said
        }
        Op::Together(requests) => {
            let calls = requests.into_iter().map(|request| client.send(request));
            join_all(calls).await.into_iter().map(Said::response).collect()
        }
        Op::Batch(mode, most, items) => async_batch(&client, mode, most, items, manner).await,
        Op::Pages(first, paging) => client.pages(*first, paging()).map(item).collect().await,
        Op::Cancelled(..) => unreachable!("taken apart above"),
        Op::Own(own) => (own.task)(client, work.site).await,
    }
}

async fn async_batch(
    client: &nonblocking::Client,
    mode: Mode,
    most: usize,
    items: Vec<Item>,
    manner: Manner,
) -> Vec<Said> {
    let batch = manner.set(client.batch(items), mode, most);
    match mode {
        Mode::Gather => in_order(batch.gather().await),
        Mode::FailFast => all_or_group(batch.fail_fast().await),
        _ => batch.stream().map(|(i, result)| Said::Result(Some(i), result)).collect().await,
    }
}
