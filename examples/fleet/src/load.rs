//! Calls as many as the gate lets through, in one of the three ways.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use duocall::{Error, ErrorKind, Request, Response, Retry, blocking, nonblocking, pool};

use crate::{Options, Outcome, worker};

#[derive(Default)]
struct Count {
    ok: u64,
    refused: u64,
    failed: u64,
    longest: Duration,
}

/// Prints how many calls went well, were refused by the gate, failed otherwise, and the longest one in milliseconds.
pub fn run(options: &Options) -> Outcome<()> {
    let api = worker::api(options, options.text("redis", "redis://127.0.0.1/"))?;
    let callers: usize = options.get("callers", 8)?;
    let end = Instant::now() + Duration::from_secs_f64(options.get("seconds", 5.0)?);
    let count = Mutex::new(Count::default());
    let note = |start: Instant, result: Result<Response, Error>| {
        let refused = {
            let mut count = count.lock().expect("nobody panics with it");
            count.longest = count.longest.max(start.elapsed());
            let refused = result.as_ref().is_err_and(|e| e.kind() == ErrorKind::Gate);
            match result {
                Ok(_) => count.ok += 1,
                Err(_) if refused => count.refused += 1,
                Err(error) => {
                    eprintln!("{error}");
                    count.failed += 1;
                }
            }
            refused
        };
        // A caller has better things to do than to ask again at once.
        Duration::from_millis(if refused { 20 } else { 0 })
    };
    let request = || Request::get("load").retry(Retry::default().attempts(2));
    match options.text("way", "blocking") {
        "async" => {
            let client = nonblocking::Client::new(api);
            let caller = || async {
                while Instant::now() < end {
                    let start = Instant::now();
                    let pause = note(start, client.send(request()).await);
                    smol::Timer::after(pause).await;
                }
            };
            let all: futures_util::stream::FuturesUnordered<_> =
                (0..callers).map(|_| caller()).collect();
            smol::block_on(futures_util::StreamExt::collect::<Vec<()>>(all));
        }
        way => {
            let call: Box<dyn Fn() -> Result<Response, Error> + Sync> = if way == "pool" {
                let client = pool::Client::new(api);
                Box::new(move || client.send(request()).wait())
            } else {
                let client = blocking::Client::new(api);
                Box::new(move || client.send(request()))
            };
            thread::scope(|scope| {
                for _ in 0..callers {
                    scope.spawn(|| {
                        while Instant::now() < end {
                            let start = Instant::now();
                            thread::sleep(note(start, call()));
                        }
                    });
                }
            });
        }
    }
    let Count { ok, refused, failed, longest } = count.into_inner().expect("nobody panics with it");
    println!("{ok} {refused} {failed} {}", longest.as_millis());
    Ok(())
}
