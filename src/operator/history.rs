//! The commands about a dataset's history: `history`, `show`, `restore-version`.

use driftless_protocol::{DatasetName, Record};
use hyper::Method;
use serde::Deserialize;
use serde_json::json;

use super::admin_client::{AdminClient, percent_encoded};
use super::error::OperatorError;
use super::output::{line, table, utc};
use crate::client::{count, note, printable};

/// How many keys of a version a line names.
const MAX_LISTED_KEYS: usize = 5;

#[derive(Deserialize)]
struct HistoryResponse {
    version: u64,
    oldest: u64,
    versions: Vec<HistoryLine>,
}

#[derive(Deserialize)]
struct HistoryLine {
    version: u64,
    at_ms: u64,
    device: String,
    origin: WrittenBy,
    touched: Vec<TouchedKey>,
    not_taken: Vec<Record>,
}

#[derive(Deserialize)]
#[serde(tag = "by", rename_all = "lowercase")]
enum WrittenBy {
    Write,
    Restore { to: u64 },
    Merge { from: String },
}

#[derive(Deserialize)]
struct TouchedKey {
    key: String,
    live: bool,
}

#[derive(Deserialize)]
struct RecordsResponse {
    records: Vec<Record>,
}

#[derive(Deserialize)]
struct RestoreResponse {
    version: Option<u64>,
    records: usize,
}

/// The path of a dataset below `/admin/api`.
pub(super) fn dataset_path(identity: &str, dataset: &DatasetName) -> String {
    format!("identities/{}/datasets/{}", percent_encoded(identity), percent_encoded(dataset.as_str()))
}

/// Prints the versions as a table.
pub(super) async fn list(
    server: &AdminClient,
    identity: &str,
    dataset: &DatasetName,
    below: Option<u64>,
    limit: u64,
) -> Result<(), OperatorError> {
    let below = below.map_or_else(String::new, |below| format!("&below={below}"));
    let path = format!("{}/history?limit={limit}{below}", dataset_path(identity, dataset));
    server.show(&path, |history| print_history(dataset, &history)).await
}

fn print_history(dataset: &DatasetName, history: &HistoryResponse) -> Result<(), OperatorError> {
    let mut rows = vec![["version", "when (UTC)", "device", "origin", "keys"].map(str::to_owned)];
    rows.extend(
        history
            .versions
            .iter()
            .map(|entry| [entry.version.to_string(), utc(entry.at_ms), entry.device.clone(), origin(entry), touched_keys(&entry.touched)]),
    );
    line(&table(&rows))?;
    note(&format!(
        "{dataset} is at version {}; versions {} to {} can be shown and restored",
        history.version, history.oldest, history.version
    ));
    Ok(())
}

fn origin(entry: &HistoryLine) -> String {
    let not_taken = match entry.not_taken.len() {
        0 => String::new(),
        n => format!(", {n} not taken"),
    };
    match &entry.origin {
        WrittenBy::Write => format!("write{not_taken}"),
        WrittenBy::Restore { to } => format!("restored to {to}{not_taken}"),
        WrittenBy::Merge { from } => format!("merged {from}{not_taken}"),
    }
}

/// The first few keys; a removed one has a minus before it.
fn touched_keys(touched: &[TouchedKey]) -> String {
    let mut names: Vec<String> =
        touched.iter().take(MAX_LISTED_KEYS).map(|one| format!("{}{}", if one.live { "" } else { "-" }, one.key)).collect();
    if touched.len() > MAX_LISTED_KEYS {
        names.push(format!("and {} more", touched.len() - MAX_LISTED_KEYS));
    }
    names.join(", ")
}

/// Prints the records at a version.
pub(super) async fn show(server: &AdminClient, identity: &str, dataset: &DatasetName, version: u64) -> Result<(), OperatorError> {
    let print = |RecordsResponse { records }| {
        records.iter().try_for_each(|record| line(&record_line(record)))?;
        note(&format!("{} in {dataset} at version {version}", count(records.len(), "record")));
        Ok(())
    };
    server.show(&format!("{}/at/{version}", dataset_path(identity, dataset)), print).await
}

/// A record with the version, device and time of its last write.
pub(super) fn record_line(record: &Record) -> String {
    let value = record.content.value().map_or_else(|| "removed".to_owned(), ToString::to_string);
    let origin = format!("version {}   from {}   {}", record.version, record.device, utc(record.modified_ms));
    format!("{} = {}   {origin}", printable(record.key.as_str()), printable(&value))
}

pub(super) async fn restore(server: &AdminClient, identity: &str, dataset: &DatasetName, version: u64) -> Result<(), OperatorError> {
    let print = |restored: RestoreResponse| match restored.version {
        Some(new) => line(&format!(
            "{dataset} is restored to version {version}: {} changed, as version {new}, which all devices receive like any write",
            count(restored.records, "record")
        )),
        None => line(&format!("{dataset} already equals version {version}: nothing was changed")),
    };
    server.act(Method::POST, &format!("{}/restore", dataset_path(identity, dataset)), &json!({ "version": version }), print).await
}
