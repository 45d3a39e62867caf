//! P: the life of a client.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use duocall::{Body, Endpoint, Error, ErrorKind, Request, Response, Retry, pool};
use futures_lite::FutureExt;
use futures_lite::future::block_on;

use super::pools::get;
use crate::faults::caller::{Caller, own};
use crate::faults::case::{Case, TOTAL, once, row};
use crate::parity::outcome::Said;
use crate::parity::scenario::Fault::{Close, Silence};
use crate::parity::scenario::ok;
use crate::parity::site::{Place, Site};

pub fn cases() -> Vec<Case> {
    let mut cases = gone();
    cases.extend(panicking());
    cases.extend(everywhere());
    cases
}

fn gone() -> Vec<Case> {
    let no_queue = |case: Case| {
        let ways = ["blocking", "async on smol", "async on tokio, threads"];
        let ways = ways.into_iter().chain(["async on tokio, one thread", "async over surf"]);
        ways.fold(case, |case, way| case.not_on(way, "it has no queue"))
    };
    let slow = || once().on("/x", ok("a")).on("/slow", ok("a").after(300)).loose();
    vec![
        row(
            "P11 client",
            "the last client is dropped while a call is on its way",
            "the call goes on",
            slow().own(own!(without_client)).expect("200 a", "", ""),
        ),
        row(
            "P11 executor",
            "an executor is dropped in the middle of a body that one of its tasks reads",
            "the connection is closed; nothing is called complete",
            once()
                .own(own!(without_executor))
                .reply(ok("0123456789").cut(4, Silence))
                .loose()
                .expect("not complete | closed", "", ""),
        )
        .not_on("blocking", "it runs on no executor")
        .not_on("pool", "it runs on no executor"),
        no_queue(row(
            "P14",
            "a pool is dropped with 1,000 jobs in its queue",
            "each is answered, at once",
            slow().own(own!(without_pool)).expect("1000 answered", "", ""),
        ))
        .within(1500),
        no_queue(row(
            "P17",
            "1,000 jobs for one worker, which is busy",
            "`send` waits for nothing: the queue has no bound; each is done",
            slow().own(own!(full)).expect("1000 queued at once | 1000 done", "", ""),
        ))
        // Each of its calls has its own limit.
        .within(30_000),
    ]
}

async fn without_client(caller: Caller, site: Arc<Site>) -> Vec<Said> {
    let request = Request::get("slow");
    vec![match caller {
        // Its caller holds another one.
        Caller::Blocking(client) => {
            let call = thread::spawn(move || client.send(request));
            Said::response(call.join().expect("no panic"))
        }
        Caller::Pool(client) => {
            let client = pool::Client::new(client.api().clone());
            let job = client.send(request);
            site.wait_requests(1);
            drop(client);
            match job.wait() {
                Err(error) => Said::Text(format!("{:?}, sent {:?}", error.kind(), error.sent())),
                done => Said::response(done),
            }
        }
        Caller::Task(client) => {
            let call = client.send(request);
            drop(client);
            Said::response(call.await)
        }
    }]
}

async fn without_executor(caller: Caller, site: Arc<Site>) -> Vec<Said> {
    let Caller::Task(client) = caller else { unreachable!("it runs on no executor") };
    let (tell, told) = mpsc::channel();
    let reading = async move {
        let mut body = client.open(get()).await.expect("a head");
        body.piece().await.expect("a piece");
        tell.send("begun").expect("somebody waits");
        while let Ok(Some(_)) = body.piece().await {}
        let _ = tell.send("complete");
    };
    let executor = smol::Executor::new();
    executor.spawn(reading).detach();
    // Driven from another thread, for ours may be an executor's itself.
    let driving = thread::spawn(move || {
        block_on(executor.run(async {
            while told.try_recv() != Ok("begun") {
                smol::future::yield_now().await;
            }
        }));
        drop(executor);
        told
    });
    let told = driving.join().expect("no panic");
    let complete = if told.recv() == Ok("complete") { "complete" } else { "not complete" };
    let Place::Server(servers) = &site.place else { unreachable!("on loopback") };
    let closed = servers.wait_closed(Duration::from_secs(2));
    vec![Said::Text(complete.into()), Said::Text(if closed { "closed" } else { "open" }.into())]
}

const JOBS: usize = 1000;

async fn without_pool(caller: Caller, site: Arc<Site>) -> Vec<Said> {
    let client = pool::Client::builder(caller_api(&caller)).threads(2).build().expect("a pool");
    let jobs: Vec<_> = (0..JOBS).map(|_| client.send(Request::get("slow"))).collect();
    site.wait_requests(1);
    drop(client);
    let answered = jobs.into_iter().map(pool::Job::wait).filter(|answer| match answer {
        Ok(_) => true,
        Err(error) => matches!(error.kind(), ErrorKind::Shutdown | ErrorKind::Cancelled),
    });
    vec![Said::Text(format!("{} answered", answered.count()))]
}

fn caller_api(caller: &Caller) -> duocall::Api {
    match caller {
        Caller::Blocking(client) => client.api().clone(),
        Caller::Pool(client) => client.api().clone(),
        Caller::Task(client) => client.api().clone(),
    }
}

/// Keeps its worker busy until it is told, or nothing else is to come.
struct Busy(mpsc::Receiver<()>);

impl Endpoint for Busy {
    type Output = bool;

    fn request(&self) -> Request {
        get()
    }

    fn decode(&self, _: Response) -> Result<bool, Error> {
        Ok(self.0.recv_timeout(TOTAL).is_ok())
    }
}

async fn full(caller: Caller, site: Arc<Site>) -> Vec<Said> {
    let client = pool::Client::builder(caller_api(&caller)).threads(1).build().expect("a pool");
    let (free, until) = mpsc::channel();
    let busy = client.call(Busy(until));
    site.wait_requests(1);
    let jobs: Vec<_> = (0..JOBS).map(|_| client.send(get())).collect();
    let told = free.send(()).is_ok() && busy.wait().is_ok_and(|told| told);
    let queued = if told { "1000 queued at once" } else { "queued when the worker was free" };
    let done = jobs.into_iter().filter_map(|job| job.wait().ok()).count();
    vec![Said::Text(queued.to_owned()), Said::Text(format!("{done} done"))]
}

fn panicking() -> Vec<Case> {
    let served = || once().reply(ok("a")).loose();
    let caught = |id, what, own| {
        row(id, what, "the panic is the caller's; the client is whole", served().own(own))
    };
    let all = "20 panics | 20 served";
    let pool = "20 Panicked | 20 served";
    let why = "a worker catches the panic, and survives it";
    let with = |case: Case| Case { scenario: case.scenario.expect(all, "", ""), ..case };
    let mut cases = vec![
        with(caught("P15 decode", "an endpoint's `decode` panics, 20 times", own!(in_decode))),
        with(caught("P15 request", "an endpoint's `request` panics, 20 times", own!(in_request))),
        with(caught("P15 reader", "the reader of a body panics, 20 times", own!(in_reader))),
        with(caught("P15 progress", "`Body::on_progress` panics, 20 times", own!(in_progress))),
    ];
    cases.push(with(row(
        "P15 reject",
        "the API's `reject` panics, 20 times",
        "the panic is the caller's; the client is whole",
        served()
            .api(|api| {
                api.retry(Retry::none()).reject(|response: &Response| {
                    assert!(response.url().ends_with("/good"), "on purpose");
                    None::<String>
                })
            })
            .own(own!(in_reject)),
    )));
    let surf = "what runs below surf is caught with its body's reader";
    let unlike = |case: Case| match case.id {
        "P15 reader" => Case {
            we: "the reader's panic is an error of that call, in every way of running",
            scenario: case.scenario.expect(pool, "", ""),
            ..case
        },
        "P15 progress" => case.unlike("pool", pool, why).unlike("async over surf", pool, surf),
        _ => case.unlike("pool", pool, why),
    };
    cases.into_iter().map(unlike).collect()
}

#[derive(Clone, Copy)]
enum Panicking {
    Request,
    Decode,
    Reader,
    Progress,
    Reject,
    Not,
}

impl Endpoint for Panicking {
    type Output = ();

    fn request(&self) -> Request {
        match self {
            Panicking::Request => panic!("on purpose"),
            Panicking::Reader => Request::put("good").body(Body::reader(Broken)),
            Panicking::Progress => {
                let body = Body::reader(&b"xyz"[..]);
                Request::put("good").body(body.on_progress(|_| panic!("on purpose")))
            }
            Panicking::Reject => Request::get("bad"),
            _ => Request::get("good"),
        }
    }

    fn decode(&self, _: Response) -> Result<(), Error> {
        assert!(!matches!(self, Panicking::Decode), "on purpose");
        Ok(())
    }
}

struct Broken;

impl std::io::Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        panic!("on purpose")
    }
}

async fn in_decode(caller: Caller, _: Arc<Site>) -> Vec<Said> {
    twenty(caller, Panicking::Decode).await
}

async fn in_request(caller: Caller, _: Arc<Site>) -> Vec<Said> {
    twenty(caller, Panicking::Request).await
}

async fn in_reader(caller: Caller, _: Arc<Site>) -> Vec<Said> {
    twenty(caller, Panicking::Reader).await
}

async fn in_progress(caller: Caller, _: Arc<Site>) -> Vec<Said> {
    twenty(caller, Panicking::Progress).await
}

async fn in_reject(caller: Caller, _: Arc<Site>) -> Vec<Said> {
    twenty(caller, Panicking::Reject).await
}

/// More than a pool has threads; each followed by one that is good.
async fn twenty(caller: Caller, what: Panicking) -> Vec<Said> {
    let mut met = Vec::new();
    let mut served = 0;
    for _ in 0..20 {
        let called = AssertUnwindSafe(caller.call(what)).catch_unwind().await;
        met.push(match called {
            Err(_) => "panics".to_owned(),
            Ok(Ok(())) => "nothing".to_owned(),
            Ok(Err(error)) => format!("{:?}", error.kind()),
        });
        served += usize::from(caller.call(Panicking::Not).await.is_ok());
    }
    met.sort();
    met.dedup();
    vec![Said::Text(format!("20 {}", met.join(", "))), Said::Text(format!("{served} served"))]
}

fn everywhere() -> Vec<Case> {
    vec![
        row(
            "P19",
            "five executors use one client at once",
            "the same results on each",
            once().own(own!(five_executors)).reply(ok("a")).loose().expect(
                "20 calls served by each of 5",
                "",
                "",
            ),
        ),
        row(
            "P20",
            "300 calls at once, 900 in all, of a server that takes 100 ms",
            "all are served, none waits for long; memory grows by little",
            once()
                .api(|api| api.retry(Retry::none()).concurrency(300))
                .own(own!(crowd))
                .reply(ok("a").after(100))
                .loose()
                .expect("900 of 900 | in a second or a few", "", ""),
        )
        .in_mebibytes(64)
        .within(10_000),
        row(
            "P22",
            "500 calls of all kinds, some of them cancelled; the soak is a program of its own",
            "no descriptor and no thread is left",
            once()
                .own(own!(mixed))
                .on("/good", ok("a"))
                .on("/bad", Close)
                .on("/slow", ok("a").after(5))
                .loose()
                .expect("500 ended | 200 a", "", ""),
        )
        // Each of its calls has its own limit.
        .within(30_000),
    ]
}

async fn five_executors(caller: Caller, _: Arc<Site>) -> Vec<Said> {
    async fn calls(caller: Caller) -> usize {
        let mut good = 0;
        for _ in 0..20 {
            good += usize::from(caller.send(get()).await.is_ok());
        }
        good
    }
    fn tokio(caller: Caller, threads: bool) -> usize {
        let mut builder = match threads {
            true => tokio::runtime::Builder::new_multi_thread(),
            false => tokio::runtime::Builder::new_current_thread(),
        };
        builder.build().expect("a runtime").block_on(calls(caller))
    }
    let executors: [fn(Caller) -> usize; 5] = [
        |caller| smol::block_on(calls(caller)),
        |caller| async_std::task::block_on(calls(caller)),
        |caller| block_on(calls(caller)),
        |caller| tokio(caller, true),
        |caller| tokio(caller, false),
    ];
    let threads = executors.map(|run| {
        let caller = caller.clone();
        thread::spawn(move || run(caller))
    });
    let served: Vec<usize> =
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
    let text = if served == [20; 5] {
        "20 calls served by each of 5".into()
    } else {
        format!("{served:?}")
    };
    vec![Said::Text(text)]
}

async fn crowd(caller: Caller, _: Arc<Site>) -> Vec<Said> {
    let started = Instant::now();
    let good = match &caller {
        // Its batches run on the calling thread, so the caller brings the threads.
        Caller::Blocking(client) => thread::scope(|scope| {
            let three = || (0..3).filter(|_| client.send(get()).is_ok()).count();
            let calls: Vec<_> = (0..300).map(|_| scope.spawn(three)).collect();
            calls.into_iter().map(|calls| calls.join().expect("no panic")).sum()
        }),
        Caller::Pool(client) => {
            let client = pool::Client::builder(client.api().clone()).threads(300).build();
            let results = client.expect("a pool").batch(vec![get(); 900]).concurrency(300).gather();
            results.iter().filter(|result| result.is_ok()).count()
        }
        Caller::Task(client) => {
            let results = client.batch(vec![get(); 900]).concurrency(300).gather().await;
            results.iter().filter(|result| result.is_ok()).count()
        }
    };
    let time = match started.elapsed() {
        took if took < Duration::from_secs(8) => "in a second or a few".to_owned(),
        took => format!("in {took:?}"),
    };
    vec![Said::Text(format!("{good} of 900")), Said::Text(time)]
}

async fn mixed(caller: Caller, _: Arc<Site>) -> Vec<Said> {
    for n in 0..500 {
        let path = ["good", "bad", "slow"][n % 3];
        if n % 7 == 0 {
            caller.give_up(Request::get(path), n % 11).await;
        } else {
            let _ = caller.send(Request::get(path)).await;
        }
    }
    let last = caller.send(Request::get("good")).await;
    vec![Said::Text("500 ended".into()), Said::response(last)]
}
