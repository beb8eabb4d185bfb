//! Writes a report into a folder.

use std::path::{Path, PathBuf};

use super::Report;
use super::html::html;

/// Writes `SCENARIO.json` and `SCENARIO.html`; returns the path of the HTML page.
pub fn write(report: &Report, folder: &Path) -> Result<PathBuf, String> {
    let fail = |error: std::io::Error| format!("cannot write to {}: {error}", folder.display());
    std::fs::create_dir_all(folder).map_err(fail)?;
    let times: Vec<_> = report
        .latencies
        .iter()
        .map(|(of, latencies)| serde_json::json!({"of": of, "count": latencies.count(), "percentiles_us": latencies.percentile_curve()}))
        .collect();
    let json = serde_json::json!({
        "scenario": report.scenario, "says": report.says, "seed": report.seed, "machine": report.machine, "revision": report.revision,
        "kept": report.holds(), "figures": report.figures, "times": times, "samples": report.samples,
    });
    std::fs::write(folder.join(format!("{}.json", report.scenario)), format!("{json:#}")).map_err(fail)?;
    let page = folder.join(format!("{}.html", report.scenario));
    std::fs::write(&page, html(report)).map_err(fail)?;
    Ok(page)
}
