//! The numbers, as a table, as CSV and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use crate::ways::{Row, Way};

pub fn table(rows: &[Row]) -> String {
    let mut text = String::from("calls  way        seconds  speed-up   calls/s  errors\n");
    for (index, row) in rows.iter().enumerate() {
        if index > 0 && row.way == Way::ALL[0] {
            text.push('\n');
        }
        let _ = writeln!(
            text,
            "{:>5}  {:<8}  {:>8.3}  {:>7.1}x  {:>8.1}  {:>6}",
            row.calls, row.way, row.seconds, row.speed_up, row.calls_per_second, row.errors
        );
    }
    text
}

pub fn csv(rows: &[Row]) -> String {
    let mut text = String::from("calls,way,seconds,speed_up,calls_per_second,errors\n");
    for row in rows {
        let _ = writeln!(
            text,
            "{},{},{:.6},{:.3},{:.3},{}",
            row.calls, row.way, row.seconds, row.speed_up, row.calls_per_second, row.errors
        );
    }
    text
}

pub fn json(calls: &[usize], rows: &[Row]) -> String {
    #[derive(Serialize)]
    struct Report<'a> {
        calls: &'a [usize],
        rows: &'a [Row],
    }
    let report = Report { calls, rows };
    serde_json::to_string(&report).expect("numbers and names are JSON") + "\n"
}
