//! A dataset's past: listed, shown, restored.

use driftless_protocol::{DatasetName, Record};
use serde::Deserialize;
use serde_json::json;

use super::Failure;
use super::output::{line, table, utc};
use super::server::{Server, part};
use crate::client::{count, note, printable};

/// Keys of a version that a line names.
const KEYS: usize = 5;

#[derive(Deserialize)]
struct History {
    version: u64,
    oldest: u64,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    version: u64,
    at_ms: u64,
    device: String,
    what: What,
    touched: Vec<Touched>,
    not_taken: Vec<Record>,
}

#[derive(Deserialize)]
#[serde(tag = "by", rename_all = "lowercase")]
enum What {
    Write,
    Restore { to: u64 },
    Merge { from: String },
}

#[derive(Deserialize)]
struct Touched {
    key: String,
    lives: bool,
}

#[derive(Deserialize)]
struct At {
    records: Vec<Record>,
}

#[derive(Deserialize)]
struct Restored {
    version: Option<u64>,
    records: usize,
}

/// The path of a dataset.
pub(super) fn of(identity: &str, dataset: &DatasetName) -> String {
    format!("identities/{}/datasets/{}", part(identity), part(dataset.as_str()))
}

/// Lists versions.
pub(super) async fn list(server: &Server, identity: &str, dataset: &DatasetName, below: Option<u64>, limit: u64) -> Result<(), Failure> {
    let below = below.map_or_else(String::new, |below| format!("&below={below}"));
    let history: History = server.get(&format!("{}/history?limit={limit}{below}", of(identity, dataset))).await?;
    let mut rows = vec![["version", "when (UTC)", "device", "what", "keys"].map(str::to_owned)];
    rows.extend(
        history.steps.iter().map(|step| [step.version.to_string(), utc(step.at_ms), step.device.clone(), what(step), keys(&step.touched)]),
    );
    line(&table(&rows))?;
    note(&format!(
        "{dataset} is at version {}; versions {} to {} can be shown and restored",
        history.version, history.oldest, history.version
    ));
    Ok(())
}

fn what(step: &Step) -> String {
    let lost = match step.not_taken.len() {
        0 => String::new(),
        n => format!(", {n} not taken"),
    };
    match &step.what {
        What::Write => format!("write{lost}"),
        What::Restore { to } => format!("restored to {to}{lost}"),
        What::Merge { from } => format!("merged {from}{lost}"),
    }
}

/// The first few; a removed one has a minus before it.
fn keys(touched: &[Touched]) -> String {
    let mut names: Vec<String> = touched.iter().take(KEYS).map(|one| format!("{}{}", if one.lives { "" } else { "-" }, one.key)).collect();
    if touched.len() > KEYS {
        names.push(format!("and {} more", touched.len() - KEYS));
    }
    names.join(", ")
}

/// Shows the records of a version.
pub(super) async fn show(server: &Server, identity: &str, dataset: &DatasetName, version: u64) -> Result<(), Failure> {
    let At { records } = server.get(&format!("{}/at/{version}", of(identity, dataset))).await?;
    for record in &records {
        line(&shown(record))?;
    }
    note(&format!("{} in {dataset} at version {version}", count(records.len(), "record")));
    Ok(())
}

/// A record on a line, and where it comes from.
pub(super) fn shown(record: &Record) -> String {
    let value = record.content.value().map_or_else(|| "removed".to_owned(), ToString::to_string);
    let origin = format!("version {}   from {}   {}", record.version, record.device, utc(record.modified_ms));
    format!("{} = {}   {origin}", printable(record.key.as_str()), printable(&value))
}

/// Restores a dataset to a version.
pub(super) async fn restore(server: &Server, identity: &str, dataset: &DatasetName, version: u64) -> Result<(), Failure> {
    let restored: Restored = server.post(&format!("{}/restore", of(identity, dataset)), &json!({ "version": version })).await?;
    match restored.version {
        Some(new) => line(&format!(
            "{dataset} is as it was at version {version}: {} changed, as version {new}, which all devices get like any write",
            count(restored.records, "record")
        )),
        None => line(&format!("{dataset} is already as it was at version {version}: nothing was changed")),
    }
}
