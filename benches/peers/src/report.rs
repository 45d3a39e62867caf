//! The table on stdout, and the CSV.

use std::fmt::Write as _;
use std::fs;

use crate::Result;
use crate::child::Said;
use crate::options::Settings;
use crate::table::{Figures, Row, memory};

const HEAD: &str = "client, scheme, in flight, body, calls/s, CPU µs/call, of yardstick, p50 µs, p99 µs, memory MiB, \
                    system calls, allocations";

pub(crate) fn write(settings: &Settings, figures: &Figures) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("{cores} cores, {} rounds in turns, medians", settings.rounds);
    println!(
        "yardstick of the CPU ratio: ureq for what blocks, else reqwest on tokio's current thread\n"
    );
    println!("{}", line(HEAD.split(", ").map(str::to_owned)));
    let mut csv = String::from(
        "client,tls,in_flight,body,calls_per_s,cpu_us,cpu_ratio,p50_us,p99_us,memory_kib,system_calls,allocations\n",
    );
    let mut last = None;
    for row in &figures.rows {
        let setting = (row.tls, row.in_flight, &row.body);
        if last.is_some_and(|last| last != setting) {
            println!();
        }
        last = Some(setting);
        let cells = cells(figures, row);
        let scheme = if row.tls { "https" } else { "http" };
        let names = [&*row.way, scheme, &row.in_flight.to_string(), &row.body].map(str::to_owned);
        let shown = |value: Option<f64>, n: usize| match value {
            Some(value) => format!("{value:.*}", DIGITS[n]),
            None => "-".to_owned(),
        };
        let figures = cells.iter().enumerate().map(|(n, value)| shown(*value, n));
        println!("{}", line(names.into_iter().chain(figures)));
        write!(csv, "{},{},{},{}", row.way.replace(',', ""), row.tls, row.in_flight, row.body)?;
        for (n, value) in cells.iter().enumerate() {
            // In the table it is MiB.
            let value = if n == 5 { value.map(|mib| mib * 1024.0) } else { *value };
            write!(csv, ",{}", value.map_or(String::new(), |value| format!("{value:.3}")))?;
        }
        csv.push('\n');
    }
    println!();
    for note in &figures.notes {
        println!("not measured: {note}");
    }
    fs::write(settings.out.join("peers.csv"), csv)?;
    Ok(())
}

const DIGITS: [usize; 8] = [0, 2, 2, 0, 0, 1, 1, 1];

fn cells(figures: &Figures, row: &Row) -> [Option<f64>; 8] {
    let yardstick = figures.yardstick(row);
    [
        row.median(Said::per_second),
        row.median(Said::cpu),
        yardstick.and_then(|other| row.ratio(other, Said::cpu)),
        row.median(|said| said.p50_us),
        row.median(|said| said.p99_us),
        row.median(|said| memory(said) / 1024.0),
        row.system_calls,
        row.allocations,
    ]
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let widths = [23, 6, 9, 7, 9, 12, 13, 8, 9, 11, 13, 12];
    let mut line = String::new();
    for (n, (cell, width)) in cells.zip(widths).enumerate() {
        let pad = " ".repeat(usize::saturating_sub(width, cell.chars().count()));
        // Names to the left, figures to the right.
        line += &if n < 2 { format!("{cell}{pad} ") } else { format!("{pad}{cell} ") };
    }
    line.trim_end().to_owned()
}
