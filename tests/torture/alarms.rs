//! Timers fail: who waits is woken early, for nothing, again and again; or is looked at late.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use duocall::mock::{Mock, Reply, VirtualClock};
use duocall::{Api, Error, Request, Response, Retry, blocking, nonblocking};
use futures_lite::future::block_on;

use super::tally::Tally;
use crate::support::{Act, Seen, Server, ok, reply};

/// The n-th wait is disturbed, for n up to this.
const WAITS: usize = 12;
const TICK: Duration = Duration::from_millis(2);

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Woken each 2 ms from the n-th time on.
    Early(usize),
    /// Not looked at for long, from the n-th time on.
    Late(usize),
}

pub fn torture() -> Option<Tally> {
    let mut tally = Tally::default();
    let due = planned();
    for n in 0..WAITS {
        for fault in [Fault::Early(n), Fault::Late(n)] {
            tally.count(1, check(due, fault, in_task), || format!("async, {fault:?}"));
        }
        let fault = Fault::Early(n);
        tally.count(1, check(due, fault, in_thread), || format!("blocking, {fault:?}"));
    }
    Some(tally)
}

fn retry() -> Retry {
    let wait = Duration::from_millis(40);
    Retry::default().backoff(wait, wait).seed(3)
}

/// How long the back-off is: the virtual clock jumps to its end exactly.
fn planned() -> Duration {
    let clock = VirtualClock::new();
    let api = Api::builder("http://api.example.com/").retry(retry()).clock(&clock);
    let mock = Mock::new();
    mock.on("GET", "x").reply(Reply::status(503)).reply(Reply::status(200));
    let client = blocking::Client::with_transport(api.build().unwrap(), mock);
    client.send(Request::get("x")).unwrap();
    clock.elapsed()
}

/// A failure, its back-off, and an answer that takes a while.
fn check(
    due: Duration,
    fault: Fault,
    send: fn(Api, Request, Fault) -> Result<Response, Error>,
) -> Vec<String> {
    let server = Server::new(|seen: &Seen| match seen.index {
        0 => reply(503, &[], ""),
        _ => [vec![Act::Pause(TICK * 5)], ok(&seen.target)].concat(),
    });
    let api = Api::builder(server.url()).retry(retry()).build().unwrap();
    let mut wrong = Vec::new();
    match send(api, Request::get("x"), fault) {
        Ok(response) if response.bytes() != b"/x" => wrong.push("another's answer".to_owned()),
        Ok(response) => {
            let waited = response.attempts()[1].waited();
            if waited < due {
                wrong.push(format!("waited {waited:?} of {due:?}"));
            }
        }
        Err(error) => wrong.push(error.to_string()),
    }
    wrong
}

fn in_thread(api: Api, request: Request, fault: Fault) -> Result<Response, Error> {
    let Fault::Early(n) = fault else { unreachable!("nobody can hold a thread up") };
    let (calling, over) = (thread::current(), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(TICK * n as u32);
            while !over.load(SeqCst) {
                calling.unpark();
                thread::sleep(TICK);
            }
        });
        let said = blocking::Client::new(api).send(request);
        over.store(true, SeqCst);
        said
    })
}

fn in_task(api: Api, request: Request, fault: Fault) -> Result<Response, Error> {
    let client = nonblocking::Client::new(api);
    let mut call = pin!(client.send(request));
    let (mut polls, mut held_until) = (0, None);
    block_on(poll_fn(move |cx| {
        polls += 1;
        match fault {
            Fault::Early(n) if polls > n => again(cx, TICK),
            Fault::Late(n) if polls > n => {
                let until = *held_until.get_or_insert_with(|| Instant::now() + TICK * 20);
                if Instant::now() < until {
                    again(cx, TICK * 20);
                    return Poll::Pending;
                }
            }
            _ => {}
        }
        call.as_mut().poll(cx)
    }))
}

/// Wakes the task later.
fn again(cx: &Context<'_>, after: Duration) {
    let waker: Waker = cx.waker().clone();
    thread::spawn(move || {
        thread::sleep(after);
        waker.wake();
    });
}
