//! The commands `get` and `list`.

use std::time::{SystemTime, UNIX_EPOCH};

use driftless_protocol::{DatasetInfo, DatasetName, Key};

use super::error::ClientError;
use super::output::CommandOutput;
use super::render;
use super::session::CliSession;

/// Prints one record's value as JSON.
pub(super) async fn get(session: &mut CliSession, dataset: &DatasetName, key: &Key, output: &mut CommandOutput) -> Result<(), ClientError> {
    let records = session.records(dataset).await?;
    match records.get(key).and_then(|record| record.content.value()) {
        Some(value) => output.line(&value.to_string()),
        None => Err(ClientError::NoRecord { dataset: dataset.clone(), key: key.clone() }),
    }
}

/// Prints a dataset's records, one a line.
pub(super) async fn records(session: &mut CliSession, dataset: &DatasetName, output: &mut CommandOutput) -> Result<(), ClientError> {
    let (records, now_ms) = (session.records(dataset).await?, now_ms());
    records.values().try_for_each(|record| output.line(&render::line(record, now_ms, output.style)))
}

/// Prints the datasets, one a line.
pub(super) async fn datasets(session: &mut CliSession, output: &mut CommandOutput) -> Result<(), ClientError> {
    let device = session.device.clone();
    let mut datasets = session.run(device.list()).await??;
    datasets.sort_by(|a, b| a.dataset.cmp(&b.dataset));
    table(&datasets).iter().try_for_each(|line| output.line(line))
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
