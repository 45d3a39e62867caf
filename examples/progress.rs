//! A progress bar that is moved by a batch.
//! Run: cargo run --example progress
//! Expect: a bar for three seconds, with retries and bytes, then a line that sums up.

#[path = "support/mod.rs"]
mod support;

use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use duocall::pool::Client;
use duocall::{Api, Request, Retry};
use indicatif::{ProgressBar, ProgressStyle};
use support::{Answer, Server};

const CALLS: usize = 300;

fn main() -> Result<(), Box<dyn Error>> {
    let served = AtomicUsize::new(0);
    let server = Server::start(move |_| {
        // Overworked now and then.
        let status = if served.fetch_add(1, Relaxed) % 25 == 24 { 503 } else { 200 };
        Answer { status, body: "x".repeat(4096), after: Duration::from_millis(70) }
    })?;
    let retry = Retry::default().backoff(Duration::from_millis(50), Duration::from_millis(200));
    let client = Client::new(Api::builder(server.url()).retry(retry).build()?);

    let style = ProgressStyle::with_template("[{bar:40}] {pos}/{len} {msg}")?;
    let bar = ProgressBar::new(CALLS as u64).with_style(style.progress_chars("=> "));
    let calls = (0..CALLS).map(|n| Request::get(format!("items/{n}")));
    let results = client
        .batch(calls)
        .concurrency(8)
        .on_progress({
            let bar = bar.clone();
            move |p| {
                bar.set_position(p.done);
                let kib = p.bytes / 1024;
                bar.set_message(format!("{} failed, {} retried, {kib} KiB", p.failed, p.retried));
            }
        })
        .gather();
    bar.finish();
    let good = results.iter().filter(|result| result.is_ok()).count();
    println!("{good} of {CALLS} calls ended well");
    Ok(())
}
