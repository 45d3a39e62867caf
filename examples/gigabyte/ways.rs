//! The same two transfers in each way, and what they took.

use std::error::Error;
use std::fs;
use std::io::Read;
use std::time::{Duration, Instant};

use duocall::{Api, Body, Request, Timeouts, blocking, nonblocking, pool};

use crate::noise::{Hash, Noise};

pub const WAYS: [&str; 4] = ["blocking", "pool", "smol", "tokio"];

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Prints the peak of the memory in KiB, and how many milliseconds each transfer took.
pub fn run(way: &str, url: &str, bytes: u64) -> Result<()> {
    let patient = Timeouts::default().attempt(Duration::MAX).total(Duration::MAX);
    let api = Api::builder(url).timeouts(patient).max_body(usize::MAX).build()?;
    let [down, up] = match way {
        "blocking" => on_this_thread(&blocking::Client::new(api), bytes)?,
        "pool" => on_a_worker(&pool::Client::new(api), bytes)?,
        "smol" => smol::block_on(in_a_task(nonblocking::Client::new(api), bytes))?,
        "tokio" => {
            let runtime = tokio::runtime::Runtime::new()?;
            runtime.block_on(in_a_task(nonblocking::Client::new(api), bytes))?
        }
        _ => return Err("there is no such way".into()),
    };
    println!("{} {} {}", peak()?, down.as_millis(), up.as_millis());
    Ok(())
}

fn download(bytes: u64) -> Request {
    Request::get(bytes.to_string())
}

fn upload(bytes: u64, hash: &Hash) -> Request {
    Request::put("up").body(Body::sized_reader(Noise::new(bytes, hash), bytes))
}

/// The hash of what the server sent last.
fn sent() -> Request {
    Request::get("sha256")
}

fn on_this_thread(client: &blocking::Client, bytes: u64) -> Result<[Duration; 2]> {
    let started = Instant::now();
    let hash = hashed(client.open(download(bytes))?)?;
    let down = started.elapsed();
    agree(&hash, client.send(sent())?.text()?)?;
    let (hash, started) = (Hash::new(), Instant::now());
    let answer = client.send(upload(bytes, &hash))?;
    agree(&hash, answer.text()?)?;
    Ok([down, started.elapsed()])
}

fn on_a_worker(client: &pool::Client, bytes: u64) -> Result<[Duration; 2]> {
    let started = Instant::now();
    let hash = hashed(client.open(download(bytes)).wait()?)?;
    let down = started.elapsed();
    agree(&hash, client.send(sent()).wait()?.text()?)?;
    let (hash, started) = (Hash::new(), Instant::now());
    let answer = client.send(upload(bytes, &hash)).wait()?;
    agree(&hash, answer.text()?)?;
    Ok([down, started.elapsed()])
}

async fn in_a_task(client: nonblocking::Client, bytes: u64) -> Result<[Duration; 2]> {
    let (hash, started) = (Hash::new(), Instant::now());
    let mut body = client.open(download(bytes)).await?;
    while let Some(piece) = body.piece().await? {
        hash.update(&piece);
    }
    let down = started.elapsed();
    agree(&hash, client.send(sent()).await?.text()?)?;
    let (hash, started) = (Hash::new(), Instant::now());
    let answer = client.send(upload(bytes, &hash)).await?;
    agree(&hash, answer.text()?)?;
    Ok([down, started.elapsed()])
}

fn hashed(mut body: impl Read) -> Result<Hash> {
    let (hash, mut buffer) = (Hash::new(), vec![0; 64 << 10]);
    loop {
        match body.read(&mut buffer)? {
            0 => return Ok(hash),
            read => hash.update(&buffer[..read]),
        }
    }
}

fn agree(ours: &Hash, theirs: String) -> Result<()> {
    let ours = ours.hex();
    if ours == theirs { Ok(()) } else { Err(format!("{ours} here, {theirs} there").into()) }
}

/// The most memory this process ever had, in KiB, as Linux counts it.
fn peak() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    Ok(line.and_then(|line| line.split_whitespace().next()).ok_or("no VmHWM")?.parse()?)
}
