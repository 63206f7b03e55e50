//! The run as a picture: memory over time with the budget above it, and below it the error.
//!
//! Samples are drawn as the least and the most of each slice of time, so that the picture stays small
//! and no extreme is lost.

use std::path::Path;

use bywash_cli::report::as_f64;
use plotters::prelude::*;

use crate::failure::{Result, fail};
use crate::report::error_ratio;
use crate::sampler::Sample;
use crate::spills::Spill;

const WIDTH: u32 = 960;
const HEIGHT: u32 = 600;
const SLICES: usize = 420;

const BUDGET: RGBColor = RGBColor(0xc6, 0x28, 0x28);
const GRANTED: RGBColor = RGBColor(0x15, 0x65, 0xc0);
const COUNTED: RGBColor = RGBColor(0x2e, 0x7d, 0x32);
const RESIDENT: RGBColor = RGBColor(0xef, 0x6c, 0x00);
const SPILL: RGBColor = RGBColor(0x75, 0x75, 0x75);

/// Draws an SVG file.
pub(crate) fn draw(path: &Path, budget: u64, samples: &[Sample], spills: &[Spill]) -> Result<()> {
    let root = SVGBackend::new(path, (WIDTH, HEIGHT)).into_drawing_area();
    root.fill(&WHITE).map_err(fail)?;
    let (upper, lower) = root.split_vertically(HEIGHT * 7 / 10);
    let end = samples.last().map_or(1.0, |sample| seconds(sample.at));

    let top = mebibytes(budget) * 1.15;
    let mut chart = ChartBuilder::on(&upper)
        .margin(10)
        .margin_top(LEGEND_HEIGHT)
        .x_label_area_size(20)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..end, 0.0..top)
        .map_err(fail)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .y_desc("MiB")
        .x_label_formatter(&|seconds| format!("{seconds:.0}"))
        .y_label_formatter(&|mebibytes| format!("{mebibytes:.0}"))
        .axis_desc_style(FONT)
        .label_style(FONT)
        .draw()
        .map_err(fail)?;
    let running: Vec<&Sample> = samples.iter().filter(|sample| !sample.stopped).collect();
    let stopped: Vec<&Sample> = samples.iter().filter(|sample| sample.stopped).collect();
    let series = [
        ("granted", GRANTED, slices(&running, end, |sample| mebibytes(sample.granted))),
        (
            "counted by the allocator",
            COUNTED,
            slices(&stopped, end, |sample| mebibytes(sample.counted)),
        ),
        ("resident", RESIDENT, slices(&running, end, |sample| mebibytes(sample.resident))),
        ("budget", BUDGET, vec![(0.0, mebibytes(budget)), (end, mebibytes(budget))]),
    ];
    let title = "Memory of shuffles, several at once under one budget";
    upper.draw(&Text::new(title, (70, 8), FONT_TITLE)).map_err(fail)?;
    let mut place = 70;
    for (name, color, points) in series {
        chart.draw_series(LineSeries::new(points, color)).map_err(fail)?;
        place = legend(&upper, place, name, color)?;
    }
    let marks = spills.iter().map(|spill| {
        let at = seconds(spill.begin);
        PathElement::new([(at, 0.0), (at, top * 0.025)], SPILL)
    });
    chart.draw_series(marks).map_err(fail)?;
    legend(&upper, place, "a spill begins (below)", SPILL)?;

    // Of a few hundred bytes, before the first task and after the last, nothing is charged.
    let large = |sample: &&Sample| sample.counted >= 1 << 20;
    let stopped: Vec<&Sample> = stopped.into_iter().filter(large).collect();
    let errors = slices(&stopped, end, |sample| error_ratio(sample) * 100.0);
    let top = errors.iter().fold(1.0, |top: f64, point| top.max(point.1)) * 1.1;
    let mut chart = ChartBuilder::on(&lower)
        .margin(10)
        .x_label_area_size(36)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..end, 0.0..top)
        .map_err(fail)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .y_labels(5)
        .x_desc("seconds")
        .y_desc("|live - counted|, %")
        .x_label_formatter(&|seconds| format!("{seconds:.0}"))
        .y_label_formatter(&|percent| format!("{percent:.1}"))
        .axis_desc_style(FONT)
        .label_style(FONT)
        .draw()
        .map_err(fail)?;
    for (points, color) in [(errors, COUNTED), (vec![(0.0, 1.0), (end, 1.0)], BUDGET)] {
        chart.draw_series(LineSeries::new(points, color)).map_err(fail)?;
    }
    root.present().map_err(fail)
}

/// A line and its name; returns where the next one may be.
fn legend<B: DrawingBackend>(
    area: &DrawingArea<B, plotters::coord::Shift>,
    place: i32,
    name: &str,
    color: RGBColor,
) -> Result<i32>
where
    B::ErrorType: 'static,
{
    let line = [(place, LEGEND_AT), (place + 18, LEGEND_AT)];
    area.draw(&PathElement::new(line, color.stroke_width(2))).map_err(fail)?;
    let text = (place + 24, LEGEND_AT - 7);
    area.draw(&Text::new(name, text, FONT)).map_err(fail)?;
    // Letters of this font are about seven pixels wide.
    Ok(text.0 + 7 * i32::try_from(name.len()).unwrap_or(0) + 24)
}

/// The least and the most of each slice of time, in the order they came.
fn slices(samples: &[&Sample], end: f64, value: impl Fn(&Sample) -> f64) -> Vec<(f64, f64)> {
    let mut points = Vec::with_capacity(2 * SLICES);
    let slice = |sample: &Sample| (seconds(sample.at) / end * as_f64(SLICES as u64)).floor();
    for group in samples.chunk_by(|a, b| slice(a).to_bits() == slice(b).to_bits()) {
        let values = group.iter().map(|sample| (seconds(sample.at), value(sample)));
        let least = values.clone().min_by(|a, b| a.1.total_cmp(&b.1));
        let most = values.max_by(|a, b| a.1.total_cmp(&b.1));
        let mut both: Vec<_> = least.into_iter().chain(most).collect();
        both.sort_by(|a, b| a.0.total_cmp(&b.0));
        both.dedup();
        points.extend(both);
    }
    points
}

fn seconds(microseconds: u64) -> f64 {
    as_f64(microseconds) / 1e6
}

fn mebibytes(bytes: u64) -> f64 {
    as_f64(bytes) / as_f64(1 << 20)
}

const LEGEND_HEIGHT: u32 = 58;
const LEGEND_AT: i32 = 44;
const FONT: (&str, u32) = ("sans-serif", 15);
const FONT_TITLE: (&str, u32) = ("sans-serif", 20);
