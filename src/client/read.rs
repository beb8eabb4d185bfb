//! The commands `get` and `list`.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use driftless_protocol::{DatasetInfo, DatasetName, Key, Record};
use serde::Serialize;

use super::error::ClientError;
use super::nearest::nearest;
use super::output::{CommandOutput, note};
use super::render;
use super::session::CliSession;

/// Prints one record's value as JSON.
pub(super) async fn get(session: &mut CliSession, dataset: &DatasetName, key: &Key, output: &mut CommandOutput) -> Result<(), ClientError> {
    let records = session.existing(dataset).await?;
    let record = record(dataset, &records, key)?;
    output.result(record, |output| record.content.value().map_or(Ok(()), |value| output.line(&value.to_string())))
}

/// The record of a key.
pub(super) fn record<'a>(dataset: &DatasetName, records: &'a BTreeMap<Key, Record>, key: &Key) -> Result<&'a Record, ClientError> {
    records.get(key).ok_or_else(|| {
        let nearest = nearest(key.as_str(), records.keys().map(Key::as_str));
        ClientError::NoRecord { dataset: dataset.clone(), key: key.clone(), nearest }
    })
}

/// Prints a dataset's records, one a line.
pub(super) async fn records(session: &mut CliSession, dataset: &DatasetName, output: &mut CommandOutput) -> Result<(), ClientError> {
    let (records, now_ms) = (session.existing(dataset).await?, now_ms());
    if records.is_empty() {
        note(&format!("{dataset} has no records"));
    }
    records.values().try_for_each(|record| output.result(record, |output| output.line(&render::line(record, now_ms, output.style))))
}

/// Prints the datasets, one a line.
pub(super) async fn datasets(session: &mut CliSession, output: &mut CommandOutput) -> Result<(), ClientError> {
    let device = session.device.clone();
    let mut datasets = session.run(device.list()).await??;
    datasets.sort_by(|a, b| a.dataset.cmp(&b.dataset));
    output.result(&DatasetsResult { datasets: &datasets }, |output| table(&datasets).iter().try_for_each(|line| output.line(line)))
}

/// The result of `list`, as JSON.
#[derive(Serialize)]
struct DatasetsResult<'a> {
    datasets: &'a [DatasetInfo],
}

fn table(datasets: &[DatasetInfo]) -> Vec<String> {
    let width = datasets.iter().map(|info| info.dataset.as_str().len()).chain(["dataset".len()]).max().unwrap_or_default();
    let head = format!("{:width$}  {:>10}  {:>8}  {:>10}", "dataset", "version", "records", "bytes");
    let rows = datasets
        .iter()
        .map(|info| format!("{:width$}  {:>10}  {:>8}  {:>10}", info.dataset.as_str(), info.version, info.records, info.bytes));
    std::iter::once(head).chain(rows).collect()
}

/// Milliseconds since 1970 UTC.
pub(super) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
