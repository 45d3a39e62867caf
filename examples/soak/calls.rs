//! One round of calls of every kind, in each way.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use duocall::{Body, Cancel, Error, Paging, Request, Response, blocking, nonblocking, pool};
use futures_lite::{FutureExt, StreamExt};

use crate::tally::Tally;

const KINDS: [&str; 20] = [
    "ok", "ok", "ok", "ok", "ok", "ok", "ok", "slow", "moved", "away", "stray", "post", "reset",
    "closed", "stall", "cut", "hang", "garbage", "chunk", "down",
];

/// One call: what for, its number, and the credential of its time.
struct One<'a> {
    tally: &'a Tally,
    what: &'static str,
    id: u64,
    since: u64,
    /// Bytes of its body.
    sends: usize,
}

impl<'a> One<'a> {
    fn new(tally: &'a Tally) -> One<'a> {
        // Each of these makes the gate narrow for all.
        let busy = fastrand::u8(..) == 0;
        One::of(tally, if busy { "busy" } else { fastrand::choice(KINDS).expect("some") })
    }

    fn of(tally: &'a Tally, what: &'static str) -> One<'a> {
        let sends = if what == "post" { fastrand::usize(1..100_000) } else { 0 };
        One { tally, what, id: tally.id(), since: tally.rotated.load(Relaxed), sends }
    }

    fn request(&self) -> Request {
        let target = format!("{}/{}", self.what, self.id);
        match self.what {
            "post" => Request::post(target).body(vec![b'x'; self.sends]),
            _ => Request::get(target),
        }
    }

    fn judge(&self, result: Result<Response, Error>) {
        self.tally.judge((self.what, self.id, self.sends), self.since, result);
    }
}

fn some(tally: &Tally) -> Vec<One<'_>> {
    (0..10).map(|_| One::new(tally)).collect()
}

fn requests(ones: &[One<'_>]) -> Vec<Request> {
    ones.iter().map(One::request).collect()
}

fn judge(ones: &[One<'_>], results: Vec<Result<Response, Error>>) {
    ones.iter().zip(results).for_each(|(one, result)| one.judge(result));
}

fn list(tally: &Tally) -> (u64, Request, Paging) {
    let id = tally.id();
    (id, Request::get(format!("list/{id}")), Paging::next_url("/next", "/items"))
}

/// Nine items, all of them the number asked for.
fn listed(tally: &Tally, id: u64, items: Vec<Result<u64, Error>>) {
    match items.iter().find_map(|item| item.as_ref().err()) {
        Some(error) => tally.error(error),
        None if items.len() == 9 && items.iter().flatten().all(|item| *item == id) => {
            tally.count("ok")
        }
        None => tally.wrong(format!("list/{id}: {items:?}")),
    }
}

fn big(tally: &Tally, id: u64, piece: &[u8]) {
    if !piece.is_ascii()
        || !String::from_utf8_lossy(piece).contains(&id.to_string()) && piece.len() > 16
    {
        tally.wrong(format!("big/{id}: a piece of another body"));
    }
}

pub fn blocking(client: &blocking::Client, tally: &Tally) {
    match fastrand::u8(0..20) {
        0 => {
            let ones = some(tally);
            judge(&ones, client.batch(requests(&ones)).gather());
        }
        1 => stopped(tally, client.batch(requests(&some(tally))).fail_fast().err().is_some()),
        2 => {
            let (id, request, paging) = list(tally);
            listed(tally, id, client.pages(request, paging).collect());
        }
        3 => {
            let id = tally.id();
            let half = fastrand::bool();
            match client.open(Request::get(format!("big/{id}"))) {
                Ok(mut body) => {
                    tally.count("opened");
                    while let Ok(Some(piece)) = body.piece() {
                        big(tally, id, &piece);
                        if half {
                            break;
                        }
                    }
                }
                Err(error) => tally.error(&error),
            }
        }
        4 => {
            let cancel = Cancel::new();
            let stop = cancel.clone();
            let after = Duration::from_micros(fastrand::u64(0..5000));
            thread::scope(|scope| {
                scope.spawn(move || {
                    thread::sleep(after);
                    stop.cancel();
                });
                let ones = some(tally);
                judge(&ones, client.batch(requests(&ones)).cancel(&cancel).gather());
            });
        }
        5 => {
            let one = One::of(tally, "post");
            let body = Body::sized_reader(std::io::repeat(b'x'), one.sends as u64);
            one.judge(client.send(Request::post(format!("post/{}", one.id)).body(body)));
        }
        _ => {
            let one = One::new(tally);
            one.judge(client.send(one.request()));
        }
    }
}

fn stopped(tally: &Tally, failed: bool) {
    tally.count(if failed { "fail_fast, stopped" } else { "fail_fast, all good" });
}

pub fn pool(client: &pool::Client, tally: &Tally) {
    match fastrand::u8(0..10) {
        0 => {
            let ones = some(tally);
            judge(&ones, client.batch(requests(&ones)).gather());
        }
        1 => stopped(tally, client.batch(requests(&some(tally))).fail_fast().err().is_some()),
        2 => {
            let ones = some(tally);
            let stream = client.batch(requests(&ones)).stream();
            for (index, result) in stream.take(fastrand::usize(0..10)) {
                ones[index].judge(result);
            }
            tally.count("stream, dropped");
        }
        3 => {
            let (id, request, paging) = list(tally);
            listed(tally, id, client.pages(request, paging.prefetch(2)).collect());
        }
        _ => {
            let ones = some(tally);
            let jobs: Vec<_> = ones.iter().map(|one| client.send(one.request())).collect();
            for (one, job) in ones.iter().zip(jobs) {
                match fastrand::u8(0..10) {
                    0 => drop(job),
                    1 => job.detach(),
                    _ => one.judge(job.wait()),
                }
            }
        }
    }
}

pub async fn nonblocking(client: &nonblocking::Client, tally: &Arc<Tally>) {
    match fastrand::u8(0..20) {
        0 => {
            let ones = some(tally);
            judge(&ones, client.batch(requests(&ones)).gather().await);
        }
        1 => {
            let batch = client.batch(requests(&some(tally)));
            stopped(tally, batch.fail_fast().await.is_err());
        }
        2 => {
            let ones = some(tally);
            let mut stream = client.batch(requests(&ones)).stream().take(fastrand::usize(0..10));
            while let Some((index, result)) = stream.next().await {
                ones[index].judge(result);
            }
            tally.count("stream, dropped");
        }
        3 => {
            let (id, request, paging) = list(tally);
            listed(tally, id, client.pages(request, paging).collect().await);
        }
        4 => {
            let id = tally.id();
            let half = fastrand::bool();
            match client.open(Request::get(format!("big/{id}"))).await {
                Ok(mut body) => {
                    tally.count("opened");
                    while let Ok(Some(piece)) = body.piece().await {
                        big(tally, id, &piece);
                        if half {
                            break;
                        }
                    }
                }
                Err(error) => tally.error(&error),
            }
        }
        5..9 => {
            let one = One::new(tally);
            let call = async { Some(client.send(one.request()).await) };
            let enough = async {
                smol::Timer::after(Duration::from_micros(fastrand::u64(0..5000))).await;
                None
            };
            match call.or(enough).await {
                Some(result) => one.judge(result),
                None => tally.count("future, dropped"),
            }
        }
        _ => {
            let one = One::new(tally);
            one.judge(client.send(one.request()).await);
        }
    }
}
