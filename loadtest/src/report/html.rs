//! The report as one self-contained HTML page.

use super::number::format_number;
use super::plot::{YAxis, plot};
use super::{Chart, Figure, Report};
use crate::sampler::ResourceSample;

const STYLE: &str = "
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1c2430; background: #f6f7f9; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; } p { margin: .3rem 0; } .quiet { color: #5b6675; }
table { border-collapse: collapse; width: 100%; background: #fff; border: 1px solid #dde1e7; border-radius: 6px; }
td, th { text-align: left; padding: .35rem .7rem; border-bottom: 1px solid #eceff3; vertical-align: top; } .n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr:last-child td { border-bottom: 0; } .kept { color: #0a6b3d; } .broken { color: #b3261e; font-weight: 600; } code { font-size: .9em; }
svg { width: 100%; height: auto; background: #fff; border: 1px solid #dde1e7; border-radius: 6px; }
.verdict { display: inline-block; padding: .1rem .6rem; border-radius: 1rem; background: #fff; border: 1px solid currentColor; margin: .6rem 0; }
";

pub fn html(report: &Report) -> String {
    let Report { scenario, says, machine, revision, seed, .. } = report;
    let (class, verdict) = if report.holds() { ("kept", "every budget is kept") } else { ("broken", "at least one budget is broken") };
    let mut parts = vec![format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'><title>{scenario}: Driftless load test</title>\
         <style>{STYLE}</style><h1>{scenario}</h1><p>{}</p><p class=quiet>{}, revision {}, seed {seed}</p><p class='verdict {class}'>{verdict}</p>",
        text(says),
        text(machine),
        text(revision),
    )];
    parts.push(figures(report));
    parts.push(latencies(report));
    parts.extend(
        report
            .charts
            .iter()
            .map(|Chart { title, x_label, y_label, lines }| section(title, &plot(x_label, y_label, YAxis::FromZero, lines))),
    );
    parts.extend(over_time(report));
    parts.join("\n")
}

fn figures(report: &Report) -> String {
    let row = |figure: &Figure| {
        let budget = match figure.budget {
            None => String::new(),
            Some(budget) if figure.holds() => format!("<span class=kept>&#10003; {budget}</span>"),
            Some(budget) => format!("<span class=broken>&#10007; {budget}</span>"),
        };
        let (name, says) = (text(&figure.name), text(&figure.says));
        format!(
            "<tr><td><code>{name}</code><br><span class=quiet>{says}</span><td class=n>{} {}<td>{budget}",
            format_number(figure.value),
            figure.unit
        )
    };
    let rows: String = report.figures.iter().map(row).collect();
    format!("<h2>Figures</h2><table><tr><th>figure<th class=n>value<th>budget{rows}</table>")
}

fn latencies(report: &Report) -> String {
    if report.latencies.is_empty() {
        return String::new();
    }
    // The x axis counts nines, so that rare latencies have room.
    let nines = |percent: f64| -(1.0 - percent.min(99.999) / 100.0).log10();
    let lines: Vec<_> = report
        .latencies
        .iter()
        .map(|(says, latencies)| (*says, latencies.percentile_curve().into_iter().map(|(at, us)| (nines(at), us)).collect()))
        .collect();
    let rows: String = report
        .latencies
        .iter()
        .map(|(says, latencies)| {
            let cells: String =
                [50.0, 90.0, 99.0, 99.9].iter().map(|at| format!("<td class=n>{}", format_number(latencies.percentile_us(*at)))).collect();
            format!(
                "<tr><td>{says}{cells}<td class=n>{}<td class=n>{}",
                format_number(latencies.max_us()),
                format_number(latencies.count() as f64)
            )
        })
        .collect();
    let head = "<tr><th>microseconds<th class=n>p50<th class=n>p90<th class=n>p99<th class=n>p99.9<th class=n>longest<th class=n>count";
    let drawn = plot("percentile in nines: 1 is 90 %, 2 is 99 %, 3 is 99.9 %", "microseconds", YAxis::Logarithmic, &lines);
    format!("<h2>Latencies</h2><table>{head}{rows}</table>{drawn}")
}

fn over_time(report: &Report) -> Vec<String> {
    let line = |of: fn(&ResourceSample) -> f64| report.samples.iter().map(|sample| (sample.at_s, of(sample))).collect::<Vec<_>>();
    let mut parts = Vec::new();
    if !report.rate_of.is_empty() {
        parts.push(section(
            report.rate_of,
            &plot("seconds", "per second", YAxis::FromZero, &[(report.rate_of, line(|sample| sample.rate))]),
        ));
    }
    parts.push(section(
        "CPU",
        &plot(
            "seconds",
            "cores",
            YAxis::FromZero,
            &[("server", line(|sample| sample.server_cores)), ("load generator", line(|sample| sample.tool_cores))],
        ),
    ));
    let memory = [
        ("server, resident", line(|sample| sample.server_mib)),
        ("sockets in the kernel, both ends", line(|sample| sample.sockets_mib)),
        ("load generator, resident", line(|sample| sample.tool_mib)),
    ];
    parts.push(section("Memory", &plot("seconds", "MiB", YAxis::FromZero, &memory)));
    parts.push(section("Open sessions", &plot("seconds", "sessions", YAxis::FromZero, &[("open", line(|sample| sample.open as f64))])));
    parts
}

fn section(says: &str, drawn: &str) -> String {
    format!("<h2>{}</h2>{drawn}", text(says))
}

fn text(raw: &str) -> String {
    raw.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
