//! The chart: CPU time per call over the calls in flight, both logarithmic.

use std::path::Path;

use plotters::prelude::*;

use crate::Result;
use crate::child::Said;
use crate::table::Figures;

const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(225, 225, 225);

/// Those in the chart, their colours, and the side of a square that marks them.
const LINES: [(&str, RGBColor, i32); 8] = [
    ("duocall async, smol", RGBColor(200, 40, 40), 5),
    ("duocall async, tokio 1", RGBColor(230, 130, 50), 5),
    ("duocall async, tokio 2", RGBColor(190, 150, 20), 5),
    ("reqwest, tokio 1", RGBColor(30, 90, 180), 4),
    ("reqwest, tokio 2", RGBColor(110, 170, 220), 4),
    ("hyper-util, tokio 1", RGBColor(120, 70, 160), 3),
    ("hyper by hand, smol", RGBColor(120, 120, 120), 3),
    ("isahc, smol", RGBColor(40, 140, 90), 3),
];

pub(crate) fn draw(path: &Path, figures: &Figures) -> Result<()> {
    let points = |way: &str| -> Vec<(f64, f64)> {
        let rows = figures.rows.iter().filter(|row| row.way == way && !row.tls);
        let rows = rows.filter(|row| row.body == "small");
        rows.filter_map(|row| Some((row.in_flight as f64, row.median(Said::cpu)?))).collect()
    };
    let all: Vec<f64> = LINES.iter().flat_map(|line| points(line.0)).map(|at| at.1).collect();
    let least = all.iter().copied().fold(f64::INFINITY, f64::min);
    let most = all.iter().copied().fold(0.0, f64::max);
    if all.is_empty() {
        return Ok(());
    }
    let root = SVGBackend::new(path, (900, 560)).into_drawing_area();
    root.fill(&WHITE)?;
    let title = ("sans-serif", 24).into_font().color(&INK);
    let root = root.margin(10, 5, 5, 5).titled("What a call costs its client", title)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(15)
        .x_label_area_size(50)
        .y_label_area_size(70)
        .build_cartesian_2d(
            (0.8..1400.0).log_scale().with_key_points(vec![1.0, 8.0, 32.0, 256.0, 1000.0]),
            (least / 1.3..most * 1.3)
                .log_scale()
                .with_key_points(vec![2.0, 5.0, 10.0, 20.0, 50.0, 100.0]),
        )?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style(("sans-serif", 15).into_font().color(&INK))
        .axis_desc_style(("sans-serif", 17).into_font().color(&INK))
        .x_desc("calls in flight (plain, 100 bytes of JSON)")
        .y_desc("CPU microseconds per call")
        .x_label_formatter(&|n| format!("{n:.0}"))
        .y_label_formatter(&|us| us.to_string())
        .draw()?;
    for (way, color, side) in LINES {
        let points = points(way);
        let square = move |at| {
            EmptyElement::at(at) + Rectangle::new([(-side, -side), (side, side)], color.filled())
        };
        chart
            .draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?
            .label(way)
            .legend(move |(x, y)| {
                PathElement::new([(x, y), (x + 20, y)], color.stroke_width(2 + side as u32 - 3))
            });
        chart.draw_series(points.into_iter().map(square))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .label_font(("sans-serif", 14).into_font().color(&INK))
        .background_style(WHITE)
        .border_style(GRID)
        .draw()?;
    root.present()?;
    Ok(())
}
