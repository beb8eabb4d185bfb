//! The command `export`: writes a dataset to a file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use driftless_protocol::{DatasetName, Value};
use serde::Serialize;

use super::error::ClientError;
use super::output::{CommandOutput, STANDARD_STREAM, note};
use super::session::CliSession;
use super::{nested, render};

/// The result of an export to a file, as JSON.
#[derive(Serialize)]
struct ExportResult<'a> {
    dataset: &'a DatasetName,
    file: String,
    records: usize,
}

/// Writes the records as one JSON object with sorted names; to stdout without a file, or if it is `-`.
pub(super) async fn run(
    session: &mut CliSession,
    dataset: &DatasetName,
    file: Option<&Path>,
    flat: bool,
    output: &mut CommandOutput,
) -> Result<(), ClientError> {
    let current = session.existing(dataset).await?;
    let records: BTreeMap<String, Value> =
        current.into_iter().filter_map(|(key, record)| Some((key.to_string(), record.content.value()?.clone()))).collect();
    let (count, objects) = (records.len(), records.values().filter(|value| is_object(value)).count());
    let members = if flat {
        records
    } else {
        nested::unflatten(records).map_err(|why| ClientError::NotNested(format!("{why}; export with --flat")))?
    };
    let text = serde_json::to_string_pretty(&members).map_err(|why| ClientError::File(why.to_string()))?;
    match file.filter(|path| *path != Path::new(STANDARD_STREAM)) {
        None => output.line(&text)?,
        Some(path) => {
            let cannot = |why| ClientError::File(format!("cannot write {}: {why}", path.display()));
            fs::write(path, text + "\n").map_err(cannot)?;
            output.result(&ExportResult { dataset, file: path.display().to_string(), records: count }, |_| {
                note(&format!("{} of {dataset} exported to {}", render::count(count, "record"), path.display()));
                Ok(())
            })?;
        }
    }
    if !flat && objects > 0 {
        let records = render::count(objects, "record");
        note(&format!(
            "{records} with an object as value: an import makes one record of each member, unless both export and import are --flat"
        ));
    }
    Ok(())
}

fn is_object(value: &Value) -> bool {
    value.members().is_some_and(|members| !members.is_empty())
}
