//! The chart: seconds over the number of calls, both on logarithmic axes, for the numbers of calls
//! are far apart and the ways' times too.

use std::error::Error;
use std::ops::Range;
use std::path::Path;

use plotters::prelude::*;

use crate::ways::{Row, Way};

const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(225, 225, 225);

pub fn draw(path: &Path, setting: &str, rows: &[Row]) -> Result<(), Box<dyn Error>> {
    let mut counts: Vec<f64> = rows.iter().map(|row| row.calls as f64).collect();
    counts.sort_by(f64::total_cmp);
    counts.dedup();
    let times = rows.iter().map(|row| row.seconds);
    let least = times.clone().fold(f64::INFINITY, f64::min);
    let most = times.fold(0.0, f64::max);
    let (Some(fewest), Some(largest)) = (counts.first(), counts.last()) else {
        return Err("there is nothing to draw".into());
    };
    // Room around the points, which also keeps a single one from making an empty range.
    let calls = fewest / 1.3..largest * 1.3;
    let seconds = least / 1.6..most * 1.6;
    let (labels, ticks) = (spaced(&counts, calls.end / calls.start), ticks(&seconds));

    let root = SVGBackend::new(path, (900, 560)).into_drawing_area();
    root.fill(&WHITE)?;
    let font = |size| ("sans-serif", size).into_font().color(&INK);
    let root = root.margin(10, 5, 5, 5);
    let root =
        root.titled("The same API calls, three ways", font(26))?.titled(setting, font(15))?;
    let mut chart = ChartBuilder::on(&root)
        .margin(15)
        .x_label_area_size(50)
        .y_label_area_size(70)
        .build_cartesian_2d(
            calls.log_scale().with_key_points(labels),
            seconds.log_scale().with_key_points(ticks),
        )?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style(font(15))
        .axis_desc_style(font(17))
        .x_desc("calls (log scale)")
        .y_desc("seconds (log scale)")
        .x_label_formatter(&|calls| format!("{calls:.0}"))
        .y_label_formatter(&|seconds| seconds.to_string())
        .draw()?;

    for way in Way::ALL {
        let mut points: Vec<(f64, f64)> = rows
            .iter()
            .filter(|row| row.way == way)
            .map(|row| (row.calls as f64, row.seconds))
            .collect();
        points.sort_by(|left, right| left.0.total_cmp(&right.0));
        let line = color(way).stroke_width(2);
        chart
            .draw_series(LineSeries::new(points.iter().copied(), line))?
            .label(way.to_string())
            .legend(move |(x, y)| {
                EmptyElement::at((x + 15, y))
                    + PathElement::new([(-15, 0), (15, 0)], line)
                    + marker(way)
            });
        chart.draw_series(points.iter().map(|&at| EmptyElement::at(at) + marker(way)))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .margin(20)
        .legend_area_size(40)
        .label_font(font(16))
        .background_style(WHITE)
        .border_style(GRID)
        .draw()?;
    Ok(root.present()?)
}

fn color(way: Way) -> RGBColor {
    match way {
        Way::Blocking => RGBColor(200, 60, 40),
        Way::Pool => RGBColor(30, 100, 180),
        Way::Async => RGBColor(30, 140, 80),
    }
}

/// The ways differ in shape too: colours alone do not survive every printer and eye.
fn marker(way: Way) -> Polygon<(i32, i32)> {
    let corners: &[(i32, i32)] = match way {
        Way::Blocking => &[(0, -7), (7, 0), (0, 7), (-7, 0)],
        Way::Pool => &[(-5, -5), (5, -5), (5, 5), (-5, 5)],
        Way::Async => &[(0, -6), (6, 5), (-6, 5)],
    };
    Polygon::new(corners, color(way).filled())
}

/// The numbers of calls (ascending) whose labels have room beside each other.
fn spaced(counts: &[f64], extent: f64) -> Vec<f64> {
    let apart = extent.powf(0.04);
    let mut kept: Vec<f64> = Vec::new();
    for &count in counts.iter().rev() {
        if kept.last().is_none_or(|last| last / count >= apart) {
            kept.push(count);
        }
    }
    kept
}

/// 1, 2 and 5 times the powers of ten, from a microsecond on.
fn ticks(seconds: &Range<f64>) -> Vec<f64> {
    (0..15)
        .flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * 10f64.powi(power) / 1e6))
        .filter(|tick| seconds.contains(tick))
        .collect()
}
