//! Records what each call of a batch does, and draws it: waiting, connecting, backing off, reading.
//! Run: cargo run --example timeline
//! Expect: a summary, and timeline.svg and timeline.csv under target/timeline/.

#[path = "support/mod.rs"]
mod support;

use std::error::Error;
use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use duocall::pool::Client;
use duocall::{Api, Rate, Request, Retry, Timeline};
use plotters::prelude::*;
use support::{Answer, Server};

const CALLS: usize = 40;

fn main() -> Result<(), Box<dyn Error>> {
    let served = AtomicU64::new(0);
    let server = Server::start(move |_| {
        let n = served.fetch_add(1, Relaxed);
        let status = if n % 9 == 8 { 503 } else { 200 };
        Answer { status, body: "x".repeat(20_000), after: Duration::from_millis(40 + n * 37 % 120) }
    })?;
    let api = Api::builder(server.url())
        .retry(Retry::default().backoff(Duration::from_millis(50), Duration::from_millis(200)))
        .rate(Rate::per_second(60).burst(8))
        .build()?;
    let client = Client::new(api);
    let timeline = Timeline::new();
    let calls = (0..CALLS).map(|n| Request::get(format!("items/{n}")));
    let results = client.batch(calls).concurrency(8).timeline(&timeline).gather();
    assert_eq!(results.len(), CALLS);

    println!("{}", timeline.summary());
    println!("{}", serde_json::to_string_pretty(&timeline.summary())?);
    let folder = Path::new("target/timeline");
    fs::create_dir_all(folder)?;
    timeline.write_csv(File::create(folder.join("timeline.csv"))?)?;
    draw(&folder.join("timeline.svg"), &timeline)?;
    println!("drawn in {}", folder.join("timeline.svg").display());
    Ok(())
}

const WAITING: RGBColor = RGBColor(215, 215, 215);
const FRESH: RGBColor = RGBColor(230, 159, 0);
const REUSED: RGBColor = RGBColor(86, 180, 233);
const FAILED: RGBColor = RGBColor(213, 94, 0);
const INK: RGBColor = RGBColor(40, 40, 40);

/// A line for each call, from the first at the top; a bar for each request.
fn draw(path: &Path, timeline: &Timeline) -> Result<(), Box<dyn Error>> {
    let (calls, summary) = (timeline.calls(), timeline.summary());
    let root = SVGBackend::new(path, (1000, 120 + 14 * calls.len() as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    let root = root.margin(10, 10, 10, 10);
    let font = |size: i32| ("sans-serif", size).into_font().color(&INK);
    let root = root.titled("What the calls of a batch did", font(22))?;
    let text = format!(
        "{} calls in {:.2} s, {:.1} at once on average, {:.1} times as fast as one by one",
        summary.calls,
        summary.wall.as_secs_f64(),
        summary.parallelism,
        summary.speed_up
    );
    let root = root.titled(&text, font(14))?;
    let mut chart = ChartBuilder::on(&root)
        .x_label_area_size(40)
        .y_label_area_size(40)
        .build_cartesian_2d(0.0..summary.wall.as_secs_f64() * 1.02, calls.len() as f64..0.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("seconds")
        .y_desc("call")
        .y_label_formatter(&|index| format!("{index:.0}"))
        .label_style(font(13))
        .draw()?;

    let mut bars = vec![Vec::new(); 4];
    for (row, call) in calls.iter().enumerate() {
        let bar = |from: Duration, to: Duration, inset: f64| {
            let (top, bottom) = (row as f64 + inset, row as f64 + 1.0 - inset);
            [(from.as_secs_f64(), top), (to.as_secs_f64(), bottom)]
        };
        bars[0].push(bar(call.queued, call.ended, 0.35));
        for attempt in &call.attempts {
            let good = attempt.outcome.is_ok_and(|status| status.is_success());
            let kind = if !good { 3 } else { 1 + usize::from(attempt.reused) };
            bars[kind].push(bar(attempt.start, attempt.end, 0.12));
        }
    }
    let names = ["waiting", "on a new connection", "on a reused connection", "failed"];
    let colors = [WAITING, FRESH, REUSED, FAILED];
    for ((bars, name), color) in bars.into_iter().zip(names).zip(colors) {
        let bars = bars.into_iter().map(|corners| Rectangle::new(corners, color.filled()));
        let key = move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], color.filled());
        chart.draw_series(bars)?.label(name).legend(key);
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerLeft)
        .background_style(WHITE.mix(0.9))
        .border_style(WAITING)
        .label_font(font(13))
        .draw()?;
    root.present()?;
    Ok(())
}
