//! The report as one page that needs nothing else.

use super::plot::{Up, plot};
use super::{Curve, Report, shown};
use crate::watch::Sample;

const STYLE: &str = "
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1c2430; background: #f6f7f9; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; } p { margin: .3rem 0; } .quiet { color: #5b6675; }
table { border-collapse: collapse; width: 100%; background: #fff; border: 1px solid #dde1e7; border-radius: 6px; }
td, th { text-align: left; padding: .35rem .7rem; border-bottom: 1px solid #eceff3; vertical-align: top; } .n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr:last-child td { border-bottom: 0; } .kept { color: #0a6b3d; } .broken { color: #b3261e; font-weight: 600; } code { font-size: .9em; }
svg { width: 100%; height: auto; background: #fff; border: 1px solid #dde1e7; border-radius: 6px; }
.verdict { display: inline-block; padding: .1rem .6rem; border-radius: 1rem; background: #fff; border: 1px solid currentColor; margin: .6rem 0; }
";

pub fn page(report: &Report) -> String {
    let Report { scenario, says, machine, revision, seed, .. } = report;
    let (class, verdict) = if report.holds() { ("kept", "every budget is kept") } else { ("broken", "a budget is broken") };
    let mut parts = vec![format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'><title>{scenario}: Driftless under load</title>\
         <style>{STYLE}</style><h1>{scenario}</h1><p>{}</p><p class=quiet>{}, revision {}, seed {seed}</p><p class='verdict {class}'>{verdict}</p>",
        text(says),
        text(machine),
        text(revision),
    )];
    parts.push(figures(report));
    parts.push(times(report));
    parts.extend(report.curves.iter().map(|Curve { says, across, up, lines }| section(says, &plot(across, up, Up::FromZero, lines))));
    parts.extend(over_time(report));
    parts.join("\n")
}

fn figures(report: &Report) -> String {
    let row = |figure: &super::Figure| {
        let budget = match figure.budget {
            None => String::new(),
            Some(budget) if figure.holds() => format!("<span class=kept>&#10003; {budget}</span>"),
            Some(budget) => format!("<span class=broken>&#10007; {budget}</span>"),
        };
        let (name, says) = (text(&figure.name), text(&figure.says));
        format!(
            "<tr><td><code>{name}</code><br><span class=quiet>{says}</span><td class=n>{} {}<td>{budget}",
            shown(figure.value),
            figure.unit
        )
    };
    let rows: String = report.figures.iter().map(row).collect();
    format!("<h2>Figures</h2><table><tr><th>figure<th class=n>value<th>budget{rows}</table>")
}

fn times(report: &Report) -> String {
    if report.times.is_empty() {
        return String::new();
    }
    // Across: how many nines, so that the rare ones have room.
    let nines = |percent: f64| -(1.0 - percent.min(99.999) / 100.0).log10();
    let lines: Vec<_> =
        report.times.iter().map(|(says, times)| (*says, times.curve().into_iter().map(|(at, us)| (nines(at), us)).collect())).collect();
    let rows: String = report
        .times
        .iter()
        .map(|(says, times)| {
            let cells: String = [50.0, 90.0, 99.0, 99.9].iter().map(|at| format!("<td class=n>{}", shown(times.at(*at)))).collect();
            format!("<tr><td>{says}{cells}<td class=n>{}<td class=n>{}", shown(times.most()), shown(times.count() as f64))
        })
        .collect();
    let head = "<tr><th>microseconds<th class=n>p50<th class=n>p90<th class=n>p99<th class=n>p99.9<th class=n>longest<th class=n>count";
    let drawn = plot("nines: 1 is 90 %, 2 is 99 %, 3 is 99.9 %", "microseconds", Up::Logarithmic, &lines);
    format!("<h2>Times</h2><table>{head}{rows}</table>{drawn}")
}

fn over_time(report: &Report) -> Vec<String> {
    let line = |of: fn(&Sample) -> f64| report.samples.iter().map(|sample| (sample.at_s, of(sample))).collect::<Vec<_>>();
    let mut parts = Vec::new();
    if !report.rate_says.is_empty() {
        parts.push(section(report.rate_says, &plot("seconds", "a second", Up::FromZero, &[(report.rate_says, line(|one| one.rate))])));
    }
    parts.push(section(
        "CPU",
        &plot(
            "seconds",
            "cores",
            Up::FromZero,
            &[("server", line(|one| one.server_cores)), ("load generator", line(|one| one.tool_cores))],
        ),
    ));
    let memory = [
        ("server, resident", line(|one| one.server_mib)),
        ("sockets in the kernel, both sides", line(|one| one.sockets_mib)),
        ("load generator, resident", line(|one| one.tool_mib)),
    ];
    parts.push(section("Memory", &plot("seconds", "MiB", Up::FromZero, &memory)));
    parts.push(section("Open sessions", &plot("seconds", "sessions", Up::FromZero, &[("open", line(|one| one.open as f64))])));
    parts
}

fn section(says: &str, drawn: &str) -> String {
    format!("<h2>{}</h2>{drawn}", text(says))
}

fn text(raw: &str) -> String {
    raw.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
