//! The command `import`: writes a file's records to a dataset.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use driftless_protocol::{Codec, DatasetName, Value};
use futures_util::{StreamExt, stream};

use super::error::ClientError;
use super::output::CommandOutput;
use super::output::ProgressLine;
use super::plan::{ImportPlan, UnlistedRecords, plan};
use super::session::{CliSession, written};
use super::{nested, render};

/// The largest file, in bytes: a full dataset of 16 MiB, with room for indentation and escapes.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// How many patches may be unanswered: enough to keep the server's disk busy, and at most 8 MiB in flight.
const PATCHES_IN_FLIGHT: usize = 8;

/// Reads the records of a file. With `flat` each member of the file's object is one record, whatever its value.
pub(super) fn read(file: &Path, flat: bool) -> Result<BTreeMap<String, Value>, ClientError> {
    let cannot = |why: std::io::Error| ClientError::File(format!("cannot read {}: {why}", file.display()));
    let bytes = fs::metadata(file).map_err(cannot)?.len();
    if bytes > MAX_FILE_BYTES {
        return Err(ClientError::Input(format!("{} has {bytes} bytes, more than the limit of {MAX_FILE_BYTES}", file.display())));
    }
    let text = fs::read(file).map_err(cannot)?;
    match Codec::Json.decode(&text) {
        Ok(Value::Map(members)) if flat => Ok(members),
        Ok(Value::Map(members)) => Ok(nested::flatten(members)),
        Ok(_) => Err(ClientError::Input(format!("{} contains no JSON object", file.display()))),
        Err(why) => Err(ClientError::Input(format!("{} is not JSON: {why}", file.display()))),
    }
}

/// Writes the records that differ from the dataset's.
pub(super) async fn run(
    session: &mut CliSession,
    dataset: &DatasetName,
    wanted: BTreeMap<String, Value>,
    mirror: bool,
    output: &mut CommandOutput,
) -> Result<(), ClientError> {
    let current = session.records(dataset).await?;
    let unlisted = if mirror { UnlistedRecords::Remove } else { UnlistedRecords::Keep };
    let ImportPlan { patches, puts, removes, unchanged } =
        plan(wanted, &current, unlisted, &session.limits, session.codec).map_err(ClientError::Input)?;
    let all = puts + removes;
    let progress = ProgressLine::start();
    let mut done = 0;
    let device = session.device.clone();
    let writes = patches.into_iter().map(|patch| {
        let changes = patch.len();
        let write = device.write(dataset, patch);
        async move { (changes, write.await) }
    });
    let mut answers = stream::iter(writes).buffered(PATCHES_IN_FLIGHT);
    while let Some((changes, answer)) = session.run(answers.next()).await? {
        if let Err(why) = answer.map_err(ClientError::from).and_then(written) {
            progress.end(&format!("stopped after {done} of {}; import again to continue", render::count(all, "change")));
            return Err(why);
        }
        done += changes;
        progress.show(&format!("{done} of {} written", render::count(all, "change")));
    }
    progress.show("");
    output.line(&format!("{dataset}: {puts} put, {removes} removed, {unchanged} unchanged"))
}
