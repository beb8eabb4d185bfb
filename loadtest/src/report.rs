//! The result of a run: figures, latencies, and whether the budgets are kept. As a table, as JSON, and as an HTML page with charts.

mod html;
mod number;
mod output;
mod plot;

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

pub use output::write;

use self::number::format_number;
use crate::latency::Latencies;
use crate::machine;
use crate::sampler::ResourceSample;
use crate::scenario::FigureBudget;

#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// The name by which a budget refers to it.
    pub name: String,
    pub value: f64,
    pub unit: &'static str,
    /// What was measured, in words.
    pub says: String,
    pub budget: Option<FigureBudget>,
}

impl Figure {
    /// Whether its budget, if it has one, is kept.
    pub fn holds(&self) -> bool {
        self.budget.is_none_or(|budget| budget.holds(self.value))
    }
}

/// The result of a run.
pub struct Report {
    pub scenario: String,
    pub says: String,
    pub seed: u64,
    pub machine: String,
    pub revision: String,
    pub figures: Vec<Figure>,
    pub latencies: Vec<(&'static str, Latencies)>,
    /// What the workload counts per second, for the chart.
    pub rate_of: &'static str,
    pub samples: Vec<ResourceSample>,
    /// Further charts.
    pub charts: Vec<Chart>,
}

pub struct Chart {
    pub title: &'static str,
    pub x_label: &'static str,
    pub y_label: &'static str,
    pub lines: Vec<(&'static str, Vec<(f64, f64)>)>,
}

impl Report {
    pub fn new(scenario: &str, says: &str, seed: u64) -> Report {
        Report {
            scenario: scenario.to_owned(),
            says: says.to_owned(),
            seed,
            machine: machine::describe(),
            revision: machine::revision(),
            figures: Vec::new(),
            latencies: Vec::new(),
            rate_of: "",
            samples: Vec::new(),
            charts: Vec::new(),
        }
    }

    pub fn figure(&mut self, name: &str, value: f64, unit: &'static str, says: &str) {
        let (name, says) = (name.to_owned(), says.to_owned());
        self.figures.push(Figure { name, value, unit, says, budget: None });
    }

    /// Adds latencies, and their p50 and p99 as figures.
    pub fn latencies(&mut self, name: &str, says: &'static str, latencies: Latencies) {
        self.figure(&format!("{name}_p50_us"), latencies.percentile_us(50.0), "us", says);
        self.figure(&format!("{name}_p99_us"), latencies.percentile_us(99.0), "us", "");
        self.latencies.push((says, latencies));
    }

    /// Attaches the budgets to their figures. A budget for an unknown figure is an error.
    pub fn set_budgets(&mut self, budgets: &BTreeMap<String, FigureBudget>) -> Result<(), String> {
        for (name, budget) in budgets {
            let names = || self.figures.iter().map(|figure| figure.name.as_str()).collect::<Vec<_>>().join(", ");
            let known = names();
            let figure = self.figures.iter_mut().find(|figure| figure.name == *name);
            figure.ok_or_else(|| format!("no figure {name} for its budget; the figures are {known}"))?.budget = Some(*budget);
        }
        Ok(())
    }

    /// Whether all budgets are kept.
    pub fn holds(&self) -> bool {
        self.figures.iter().all(Figure::holds)
    }

    /// The report for a terminal.
    pub fn table(&self) -> String {
        let mut text = format!("\n{}: {}\n{}, {}\n\n", self.scenario, self.says, self.machine, self.revision);
        let wide = self.figures.iter().map(|figure| figure.name.len()).max().unwrap_or(0);
        for figure in &self.figures {
            let verdict = match figure.budget {
                None => String::new(),
                Some(budget) if figure.holds() => format!("kept: {budget}"),
                Some(budget) => format!("BROKEN: {budget}"),
            };
            let value = format_number(figure.value);
            let line = format!("  {:<wide$} {value:>14} {:<12} {verdict:<28} {}", figure.name, figure.unit, figure.says);
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }
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
    fn a_broken_budget_is_reported_and_a_budget_without_a_figure_is_an_error() {
        let budget = |name: &str| BTreeMap::from([(name.to_owned(), FigureBudget { at_most: Some(2.0), at_least: None })]);
        let mut kept = report(2.0);
        assert_eq!(kept.set_budgets(&budget("memory_kib")), Ok(()));
        assert!(kept.holds() && kept.table().contains("kept: at most 2"));
        let mut broken = report(2.5);
        assert_eq!(broken.set_budgets(&budget("memory_kib")), Ok(()));
        assert!(!broken.holds() && broken.table().contains("BROKEN: at most 2"));
        assert!(report(1.0).set_budgets(&budget("memory_mib")).is_err_and(|error| error.contains("memory_kib")));
    }
}
