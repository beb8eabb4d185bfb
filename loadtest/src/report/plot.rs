//! Line charts as SVG.

use plotters::prelude::*;

use super::number::format_number;

/// Colours that most people can distinguish, on white and in grey (Okabe, Ito 2008).
const COLOURS: [RGBColor; 5] =
    [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115), RGBColor(204, 121, 167), RGBColor(86, 180, 233)];

/// Width and height of a chart, in pixels.
const SIZE: (u32, u32) = (720, 300);

/// The scale of the y axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum YAxis {
    FromZero,
    Logarithmic,
}

/// Draws lines into one chart. Returns an empty text if there are not two points to connect.
pub fn plot(x_label: &str, y_label: &str, scale: YAxis, lines: &[(&str, Vec<(f64, f64)>)]) -> String {
    let points = || lines.iter().flat_map(|(_, points)| points).filter(|(x, y)| x.is_finite() && y.is_finite());
    let (left, right) = points().fold((f64::MAX, f64::MIN), |(low, high), (x, _)| (low.min(*x), high.max(*x)));
    let (low, top) = points().fold((f64::MAX, f64::MIN), |(low, high), (_, y)| (low.min(*y), high.max(*y)));
    if left >= right {
        return String::new();
    }
    let mut svg = String::new();
    let drawn = match scale {
        YAxis::FromZero => draw(&mut svg, (left, right), 0.0..(top * 1.08).max(1e-6), x_label, y_label, lines),
        YAxis::Logarithmic => draw(&mut svg, (left, right), (low.max(1.0)..top.max(10.0) * 1.3).log_scale(), x_label, y_label, lines),
    };
    match drawn {
        Ok(()) => svg,
        Err(error) => format!("<p>cannot draw the chart: {error}</p>"),
    }
}

fn draw<Y>(
    svg: &mut String,
    (left, right): (f64, f64),
    y_range: Y,
    x_label: &str,
    y_label: &str,
    lines: &[(&str, Vec<(f64, f64)>)],
) -> Result<(), String>
where
    Y: plotters::coord::ranged1d::AsRangedCoord<Value = f64>,
    Y::CoordDescType: plotters::coord::ranged1d::ValueFormatter<f64>,
{
    let fail = |error: DrawingAreaErrorKind<_>| format!("{error}");
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let mut builder = ChartBuilder::on(&area);
    builder.margin(12).x_label_area_size(40).y_label_area_size(72);
    let mut chart = builder.build_cartesian_2d(left..right, y_range).map_err(fail)?;
    let mut mesh = chart.configure_mesh();
    mesh.x_desc(x_label).y_desc(y_label).light_line_style(TRANSPARENT).x_labels(10).y_labels(6);
    mesh.y_label_formatter(&|value| format_number(*value)).x_label_formatter(&|value| format_number(*value));
    mesh.draw().map_err(fail)?;
    for (at, (name, points)) in lines.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let series = LineSeries::new(points.iter().copied(), colour.stroke_width(2));
        let drawn = chart.draw_series(series).map_err(fail)?;
        drawn.label(*name).legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    if lines.len() > 1 {
        let mut labels = chart.configure_series_labels();
        labels.position(SeriesLabelPosition::UpperLeft).background_style(WHITE.mix(0.85)).draw().map_err(fail)?;
    }
    Ok(())
}
