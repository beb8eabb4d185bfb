//! What came of a run: figures, times, and whether budgets were kept. As a table, as JSON, and as a page with plots.

mod page;
mod plot;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::machine;
use crate::scenario::Budget;
use crate::times::Times;
use crate::watch::Sample;

/// One number.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// Its name, as budgets name it.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
    /// What it is, in words.
    pub says: String,
    /// What it had to be.
    pub budget: Option<Budget>,
}

impl Figure {
    /// Whether its budget, if it has one, is kept.
    pub fn holds(&self) -> bool {
        self.budget.is_none_or(|budget| budget.holds(self.value))
    }
}

/// All of a run.
pub struct Report {
    pub scenario: String,
    pub says: String,
    pub seed: u64,
    pub machine: String,
    pub revision: String,
    pub figures: Vec<Figure>,
    pub times: Vec<(&'static str, Times)>,
    /// What the story counts a second, for the plot.
    pub rate_says: &'static str,
    pub samples: Vec<Sample>,
    /// Lines beside the samples: what they are of, and their points.
    pub curves: Vec<Curve>,
}

/// Something over something.
pub struct Curve {
    pub says: &'static str,
    pub across: &'static str,
    pub up: &'static str,
    pub lines: Vec<(&'static str, Vec<(f64, f64)>)>,
}

impl Report {
    /// An empty one.
    pub fn new(scenario: &str, says: &str, seed: u64) -> Report {
        Report {
            scenario: scenario.to_owned(),
            says: says.to_owned(),
            seed,
            machine: machine::describe(),
            revision: machine::revision(),
            figures: Vec::new(),
            times: Vec::new(),
            rate_says: "",
            samples: Vec::new(),
            curves: Vec::new(),
        }
    }

    /// Another figure.
    pub fn figure(&mut self, name: &str, value: f64, unit: &'static str, says: &str) {
        let (name, says) = (name.to_owned(), says.to_owned());
        self.figures.push(Figure { name, value, unit, says, budget: None });
    }

    /// Times, and their p50 and p99 as figures.
    pub fn times(&mut self, name: &str, says: &'static str, times: Times) {
        self.figure(&format!("{name}_p50_us"), times.at(50.0), "us", says);
        self.figure(&format!("{name}_p99_us"), times.at(99.0), "us", "");
        self.times.push((says, times));
    }

    /// Puts the budgets beside their figures. One that is of no figure is a mistake.
    pub fn judge(&mut self, budgets: &BTreeMap<String, Budget>) -> Result<(), String> {
        for (name, budget) in budgets {
            let names = || self.figures.iter().map(|figure| figure.name.as_str()).collect::<Vec<_>>().join(", ");
            let known = names();
            let figure = self.figures.iter_mut().find(|figure| figure.name == *name);
            figure.ok_or_else(|| format!("a budget for {name}, and there is no such figure; there are {known}"))?.budget = Some(*budget);
        }
        Ok(())
    }

    /// Whether all budgets are kept.
    pub fn holds(&self) -> bool {
        self.figures.iter().all(Figure::holds)
    }

    /// For a terminal.
    pub fn table(&self) -> String {
        let mut text = format!("\n{}: {}\n{}, {}\n\n", self.scenario, self.says, self.machine, self.revision);
        let wide = self.figures.iter().map(|figure| figure.name.len()).max().unwrap_or(0);
        for figure in &self.figures {
            let verdict = match figure.budget {
                None => String::new(),
                Some(budget) if figure.holds() => format!("kept: {budget}"),
                Some(budget) => format!("BROKEN: {budget}"),
            };
            let line = format!("  {:<wide$} {:>14} {:<12} {verdict:<28} {}", figure.name, shown(figure.value), figure.unit, figure.says);
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }

    /// Writes JSON and the page into a folder; returns the page's path.
    pub fn write(&self, folder: &Path) -> Result<PathBuf, String> {
        let fail = |error: std::io::Error| format!("{} cannot be written to: {error}", folder.display());
        std::fs::create_dir_all(folder).map_err(fail)?;
        let times: Vec<_> = self
            .times
            .iter()
            .map(|(says, times)| serde_json::json!({"of": says, "count": times.count(), "percentiles_us": times.curve()}))
            .collect();
        let json = serde_json::json!({
            "scenario": self.scenario, "says": self.says, "seed": self.seed, "machine": self.machine, "revision": self.revision,
            "kept": self.holds(), "figures": self.figures, "times": times, "samples": self.samples,
        });
        std::fs::write(folder.join(format!("{}.json", self.scenario)), format!("{json:#}")).map_err(fail)?;
        let page = folder.join(format!("{}.html", self.scenario));
        std::fs::write(&page, page::page(self)).map_err(fail)?;
        Ok(page)
    }
}

/// With as many digits as a reader needs.
pub fn shown(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        ..0.1 => 4,
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    let groups: Vec<_> = whole.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group)).collect();
    let rest = rest.map_or(String::new(), |rest| format!(".{rest}"));
    format!("{sign}{}{rest}", groups.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(value: f64) -> Report {
        let mut report = Report::new("idle", "nothing happens", 1);
        report.figure("memory_kib", value, "KiB", "memory");
        report
    }

    #[test]
    fn a_broken_budget_is_seen_and_one_of_nothing_is_refused() {
        let budget = |name: &str| BTreeMap::from([(name.to_owned(), Budget { at_most: Some(2.0), at_least: None })]);
        let mut kept = report(2.0);
        assert_eq!(kept.judge(&budget("memory_kib")), Ok(()));
        assert!(kept.holds() && kept.table().contains("kept: at most 2"));
        let mut broken = report(2.5);
        assert_eq!(broken.judge(&budget("memory_kib")), Ok(()));
        assert!(!broken.holds() && broken.table().contains("BROKEN: at most 2"));
        assert!(report(1.0).judge(&budget("memory_mib")).is_err_and(|error| error.contains("memory_kib")));
    }

    #[test]
    fn numbers_are_shown_as_people_read_them() {
        let cases = [(0.0, "0"), (0.0123, "0.0123"), (3.456, "3.46"), (12.34, "12.3"), (1234567.8, "1,234,568"), (-1000.0, "-1,000")];
        cases.iter().for_each(|(value, text)| assert_eq!(shown(*value), *text));
    }
}
