//! A fleet in small: workers in processes of their own share one quota, and one of them is killed.
//! Run: cargo run -- --items 300 --workers 3       (needs redis-server; ends by itself)
//! Or, with a Redis and an API of yours:
//!   cargo run -- worker --redis redis://host/ --api https://api.example.com/ --name one
//! Expect: `300 of 300 items done, none missing, none done twice`.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use fleet::own_redis::OwnRedis;
use fleet::server::Server;
use fleet::{Options, Outcome, load, worker};
use redis::Commands;

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1).peekable();
    let role = args.next_if(|first| !first.starts_with("--")).unwrap_or_default();
    let options = Options::parse(args)?;
    match role.as_str() {
        "" => demonstrate(&options),
        "worker" => worker::run(&options),
        "load" => load::run(&options),
        other => {
            Err(format!("no role {other}; there are: worker, load, and none for all in one").into())
        }
    }
}

fn demonstrate(options: &Options) -> Outcome<()> {
    let items = options.get("items", 300)?;
    let workers = options.get("workers", 3)?;
    if items == 0 || workers == 0 {
        return Err("--items and --workers are at least 1".into());
    }
    let redis = OwnRedis::start()?;
    let server = Server::start(Duration::from_millis(20))?;
    let mut connection = redis::Client::open(redis.url())?.get_connection()?;
    worker::fill(&mut connection, items)?;
    let _: () = connection.set(worker::CLOSED, 1)?;
    println!("{items} items, {workers} workers, 200 calls per second between them");
    let start = |number: usize| {
        Command::new(std::env::current_exe()?)
            .args(["worker", "--redis", &redis.url(), "--api", &server.url()])
            .args(["--workers", &workers.to_string(), "--name", &format!("worker-{number}")])
            .spawn()
    };
    let mut fleet: Vec<Child> = (1..=workers).map(start).collect::<Result<_, _>>()?;
    let begun = Instant::now();
    let done = |connection: &mut redis::Connection| connection.hlen(worker::RESULTS);
    let mut killed = workers < 2;
    loop {
        let finished: usize = done(&mut connection)?;
        if !killed && finished >= items / 3 {
            println!("{finished} done; worker-1 is killed");
            fleet[0].kill()?;
            killed = true;
        }
        if finished == items || begun.elapsed() > Duration::from_secs(60) {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    for worker in &mut fleet {
        worker.wait()?;
    }
    let seen = server.seen.lock().expect("nobody panics with it");
    let repeated = seen.keys.values().filter(|count| **count > 1).count();
    println!(
        "{} requests in {:.1} s; {repeated} items were asked for again, under the key they had before",
        seen.times.len(),
        begun.elapsed().as_secs_f64(),
    );
    let finished: usize = done(&mut connection)?;
    if finished != items || seen.keys.len() != items {
        return Err(format!("{finished} of {items} items done, {} effects", seen.keys.len()).into());
    }
    println!("{items} of {items} items done, none missing, none done twice");
    Ok(())
}
