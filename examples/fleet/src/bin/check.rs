//! Measures what the shared gate promises, with processes, a real Redis and a counting server.
//! Run: cargo run --release --bin check [-- --only rate]     (rate, closed, killed, away, cost; 90 s in all)
//! Expect: a line per promise with its figures, `ok` or `FAILED`; the exit status tells.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use duocall::mock::{Mock, Reply};
use duocall::redis::RedisGate;
use duocall::{Api, Rate, Request, blocking};
use fleet::own_redis::OwnRedis;
use fleet::server::Server;
use fleet::{Options, Outcome, worker};
use redis::{Commands, Connection};

fn main() -> Outcome<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    let only = options.text("only", "").to_owned();
    let mut good = true;
    type Check = (&'static str, fn(&mut bool) -> Outcome<()>);
    let checks: [Check; 5] =
        [("rate", rate), ("closed", closed), ("killed", killed), ("away", away), ("cost", cost)];
    for (name, check) in checks {
        if only.is_empty() || only == name {
            println!("== {name}");
            check(&mut good)?;
        }
    }
    if good { Ok(()) } else { Err("not everything is as promised".into()) }
}

fn report(good: &mut bool, fine: bool, text: &str) {
    println!("{}  {text}", if fine { "ok    " } else { "FAILED" });
    *good &= fine;
}

const WAYS: [&str; 4] = ["blocking", "pool", "async", "async"];

fn program() -> Outcome<std::path::PathBuf> {
    let own = std::env::current_exe()?;
    let fleet = own.with_file_name("fleet");
    if !fleet.exists() {
        return Err("build the program fleet first: cargo build --release".into());
    }
    Ok(fleet)
}

/// Four processes, each with eight callers, that call as fast as the gate lets them.
fn load(redis: &OwnRedis, server: &Server, seconds: f64, fallback: &str) -> Outcome<Vec<Child>> {
    let start = |way: &str| -> Outcome<Child> {
        let child = Command::new(program()?)
            .args(["load", "--redis", &redis.url(), "--api", &server.url(), "--way", way])
            .args(["--seconds", &seconds.to_string(), "--fallback", fallback])
            .args(["--concurrency", "32"])
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(child)
    };
    WAYS.iter().map(|way| start(way)).collect()
}

/// What they print: calls that went well, were refused, failed; the longest in milliseconds.
fn results(children: Vec<Child>) -> Outcome<Vec<[u64; 4]>> {
    let mut all = Vec::new();
    for child in children {
        let output = child.wait_with_output()?;
        let text = String::from_utf8(output.stdout)?;
        let numbers: Vec<u64> =
            text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        all.push(numbers.try_into().map_err(|_| format!("a worker said {text:?}"))?);
    }
    Ok(all)
}

fn most_within(times: &[Instant], span: Duration) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (last, time) in times.iter().enumerate() {
        while times[first] + span <= *time {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

fn rate(good: &mut bool) -> Outcome<()> {
    let (redis, server) = (OwnRedis::start()?, Server::start(Duration::from_millis(5))?);
    let each = results(load(&redis, &server, 20.0, "refuse")?)?;
    let seen = server.seen.lock().expect("nobody panics with it");
    let total = seen.times.len();
    let most = most_within(&seen.times, Duration::from_secs(1));
    let parts: Vec<u64> = each.iter().map(|numbers| numbers[0]).collect();
    report(
        good,
        (3880..=4120).contains(&total),
        &format!("{total} of 4000 requests in 20 s at 200/s {parts:?}"),
    );
    report(
        good,
        most <= 210,
        &format!("at most {most} requests in any second; 200 and a burst of 10 allowed"),
    );
    Ok(())
}

fn closed(good: &mut bool) -> Outcome<()> {
    let (redis, server) = (OwnRedis::start()?, Server::start(Duration::from_millis(5))?);
    let children = load(&redis, &server, 6.0, "refuse")?;
    thread::sleep(Duration::from_secs(2));
    server.refuse_one();
    drop(results(children)?);
    let seen = server.seen.lock().expect("nobody panics with it");
    let refused = *seen.refused.first().ok_or("no 429 was answered")?;
    let after = |at: &&Instant| **at > refused;
    let during = |at: &&Instant| **at < refused + Duration::from_millis(1999);
    let under_way: Vec<u128> = seen
        .times
        .iter()
        .filter(after)
        .filter(during)
        .map(|at| (*at - refused).as_micros())
        .collect();
    let text = format!(
        "requests that came after the 429 and within its 2 s: {under_way:?} (microseconds after it)"
    );
    report(good, under_way.iter().all(|micros| *micros < 10_000), &text);
    let next = seen.times.iter().find(|at| **at > refused + Duration::from_millis(1999));
    let next = next.map(|at| (*at - refused).as_millis());
    report(
        good,
        next.is_some_and(|millis| millis < 2200),
        &format!("the next after that: {next:?} ms"),
    );
    Ok(())
}

fn killed(good: &mut bool) -> Outcome<()> {
    const ITEMS: usize = 2000;
    let (redis, server) = (OwnRedis::start()?, Server::start(Duration::from_millis(20))?);
    let mut connection = redis::Client::open(redis.url())?.get_connection()?;
    worker::fill(&mut connection, ITEMS)?;
    let _: () = connection.set(worker::CLOSED, 1)?;
    let mut fleet = Vec::new();
    for number in 1..=4 {
        let child = Command::new(program()?)
            .args(["worker", "--redis", &redis.url(), "--api", &server.url()])
            .args(["--rate", "400", "--lease", "2", "--name", &format!("worker-{number}")])
            .spawn()?;
        fleet.push(child);
    }
    let leases = format!("duocall:{{{}}}:leases", worker::QUOTA);
    let alive = |connection: &mut Connection| -> Outcome<usize> {
        let (seconds, micros): (u64, u64) = redis::cmd("TIME").query(connection)?;
        Ok(connection.zcount(&leases, seconds * 1000 + micros / 1000, "+inf")?)
    };
    while connection.hlen::<_, usize>(worker::RESULTS)? < ITEMS / 2 {
        thread::sleep(Duration::from_millis(5));
    }
    fleet[0].kill()?;
    let (at, before) = (Instant::now(), alive(&mut connection)?);
    let mut free = None;
    let begun = Instant::now();
    while connection.hlen::<_, usize>(worker::RESULTS)? < ITEMS && begun.elapsed().as_secs() < 60 {
        if free.is_none() && alive(&mut connection)? < before {
            free = Some(at.elapsed());
        }
        thread::sleep(Duration::from_millis(5));
    }
    for child in &mut fleet {
        child.wait()?;
    }
    let results: usize = connection.hlen(worker::RESULTS)?;
    let seen = server.seen.lock().expect("nobody panics with it");
    let repeated = seen.keys.values().filter(|count| **count > 1).count();
    let text = format!(
        "{results} of {ITEMS} items done after kill -9 at half; {} effects, {repeated} keys asked for again",
        seen.keys.len()
    );
    report(good, results == ITEMS && seen.keys.len() == ITEMS, &text);
    let fine = free.is_some_and(|after| after <= Duration::from_millis(2050));
    report(
        good,
        fine,
        &format!("the dead worker's slots were free after {free:?}; its lease is 2 s"),
    );
    Ok(())
}

fn away(good: &mut bool) -> Outcome<()> {
    for fallback in ["refuse", "local"] {
        let (mut redis, server) = (OwnRedis::start()?, Server::start(Duration::from_millis(5))?);
        let children = load(&redis, &server, 13.0, fallback)?;
        thread::sleep(Duration::from_secs(4));
        redis.stop();
        let stopped = Instant::now();
        thread::sleep(Duration::from_secs(5));
        let restarting = Instant::now();
        redis.restart()?;
        let each = results(children)?;
        let seen = server.seen.lock().expect("nobody panics with it");
        let between = |from: Instant, to: Instant| {
            seen.times.iter().filter(|at| **at > from && **at < to).count()
        };
        let second = Duration::from_secs(1);
        let first = between(stopped, stopped + second / 2);
        let during = between(stopped + second / 2, restarting);
        let later = between(restarting + second * 2, restarting + second * 3);
        let [refused, failed]: [u64; 2] =
            [1, 2].map(|n| each.iter().map(|numbers| numbers[n]).sum());
        let longest = each.iter().map(|numbers| numbers[3]).max().unwrap_or(0);
        let fine = match fallback {
            "refuse" => during == 0 && refused > 0,
            _ => (800..=920).contains(&during) && refused == 0,
        };
        let text = format!(
            "{fallback}: {first} requests in the half second after it went, {during} in the 4.5 s then, \
             {later} in a second after it was back; {refused} refused, {failed} failed; longest call {longest} ms"
        );
        let most = most_within(&seen.times, second);
        report(good, fine && failed == 0 && longest < 2500 && later > 180, &text);
        report(
            good,
            most <= 420,
            &format!("{fallback}: at most {most} requests in any second of it"),
        );
    }
    Ok(())
}

/// Calls per second by so many threads, on a transport that answers at once: what the engine and the gate cost.
fn calls(api: Api, callers: usize, seconds: u64) -> u64 {
    let client = blocking::Client::with_transport(api, Mock::answering(|_| Reply::text("ok")));
    let (count, end) = (AtomicU64::new(0), Instant::now() + Duration::from_secs(seconds));
    thread::scope(|scope| {
        for _ in 0..callers {
            scope.spawn(|| {
                while Instant::now() < end && client.send(Request::get("x")).is_ok() {
                    count.fetch_add(1, Relaxed);
                }
            });
        }
    });
    count.into_inner()
}

/// Commands that Redis did for clients, and all it counts, those inside scripts too.
fn commands(connection: &mut Connection) -> Outcome<(u64, u64)> {
    let number = |text: &str, name: &str| -> Option<u64> {
        let rest = text.split(name).nth(1)?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    let text: String = redis::cmd("INFO").arg("commandstats").query(connection)?;
    let scripts = number(&text, "cmdstat_evalsha:calls=").unwrap_or(0);
    let text: String = redis::cmd("INFO").arg("stats").query(connection)?;
    Ok((scripts, number(&text, "total_commands_processed:").unwrap_or(0)))
}

fn cost(good: &mut bool) -> Outcome<()> {
    let redis = OwnRedis::start()?;
    let mut connection = redis::Client::open(redis.url())?.get_connection()?;
    let base = || Api::builder("http://example.invalid/");
    let shared = |key: &str| RedisGate::new(redis.url(), key);
    let fast = Rate::per_second(1_000_000).burst(1000);
    for callers in [1, 8] {
        let local = calls(base().build()?, callers, 2) / 2;
        let local_rate = calls(base().rate(fast).build()?, callers, 2) / 2;
        println!(
            "local gate, {callers} threads: {local} calls/s; with a rate of 1,000,000/s {local_rate}"
        );
        let slots = calls(base().gate(shared("slots")?).build()?, callers, 2) / 2;
        let units = calls(base().gate(shared("units")?.rate(fast)).build()?, callers, 2) / 2;
        println!(
            "Redis gate, {callers} threads: {slots} calls/s; with a rate of 1,000,000/s {units}"
        );
    }
    for (callers, burst) in [(32, 1), (32, 50), (1, 50)] {
        let gate =
            shared(&format!("cost-{callers}-{burst}"))?.rate(Rate::per_second(1000).burst(burst));
        let (scripts, all) = commands(&mut connection)?;
        let made = calls(base().gate(gate).build()?, callers, 5);
        let (scripts_now, all_now) = commands(&mut connection)?;
        let each = (scripts_now - scripts) as f64 / made as f64;
        let inside = (all_now - all) as f64 / made as f64;
        let text = format!(
            "1,000/s, burst {burst}, {callers} callers: {made} calls in 5 s; {each:.3} round trips per call, \
             {inside:.2} commands with those inside the script"
        );
        report(good, each < 0.35, &text);
    }
    Ok(())
}
