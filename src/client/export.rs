//! A dataset into a file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use driftless_protocol::{DatasetName, Value};

use super::output::note;
use super::session::Session;
use super::{Failure, Output, nested, render};

/// Writes the records as one JSON object with sorted names.
pub(super) async fn run(
    session: &mut Session,
    dataset: &DatasetName,
    file: Option<&Path>,
    flat: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    let held = session.records(dataset).await?;
    let records: BTreeMap<String, Value> =
        held.into_iter().filter_map(|(key, record)| Some((key.to_string(), record.content.value()?.clone()))).collect();
    let (count, objects) = (records.len(), records.values().filter(|value| is_object(value)).count());
    let members =
        if flat { records } else { nested::unflatten(records).map_err(|why| Failure::NotNested(format!("{why}; export with --flat")))? };
    let text = serde_json::to_string_pretty(&members).map_err(|why| Failure::File(why.to_string()))?;
    match file {
        None => output.line(&text)?,
        Some(path) => {
            let cannot = |why| Failure::File(format!("cannot write {}: {why}", path.display()));
            fs::write(path, text + "\n").map_err(cannot)?;
            note(&format!("{} of {dataset} in {}", render::count(count, "record"), path.display()));
        }
    }
    if !flat && objects > 0 {
        let records = render::count(objects, "record");
        note(&format!("{records} with an object for a value: an import makes a record of each member, unless both are --flat"));
    }
    Ok(())
}

fn is_object(value: &Value) -> bool {
    matches!(value, Value::Map(members) if !members.is_empty())
}
