//! The command `import`: writes a file's records to a dataset.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use driftless_protocol::{DatasetName, Value};
use futures_util::{StreamExt, stream};
use serde::Serialize;

use super::error::ClientError;
use super::nested;
use super::output::{CommandOutput, ProgressLine, STANDARD_STREAM};
use super::plan::{ImportPlan, KeySyntax, UnlistedRecords, plan};
use super::render::{self, printable};
use super::session::{CliSession, written};

/// The largest file, in bytes: a full dataset of 16 MiB, with room for indentation and escapes.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// How many patches may be unanswered: enough to keep the server's disk busy, and at most 8 MiB in flight.
const PATCHES_IN_FLIGHT: usize = 8;

/// The result, as JSON.
#[derive(Serialize)]
struct ImportResult<'a> {
    dataset: &'a DatasetName,
    put: usize,
    removed: usize,
    unchanged: usize,
}

/// Reads the records of a file, or of stdin if it is `-`. With `flat` each member of the file's object is one record, whatever its value.
pub(super) fn read(file: &Path, flat: bool) -> Result<BTreeMap<String, Value>, ClientError> {
    let (name, text) = if file == Path::new(STANDARD_STREAM) {
        ("stdin".to_owned(), read_bounded(io::stdin().lock()))
    } else {
        (file.display().to_string(), File::open(file).and_then(read_bounded))
    };
    let text = text.map_err(|why| ClientError::File(format!("cannot read {name}: {why}")))?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(ClientError::File(format!("{name} has more bytes than the limit of {MAX_FILE_BYTES}")));
    }
    // A byte order mark is no part of JSON, but editors write it (RFC 8259 section 8.1).
    match Value::members_from_json(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text)) {
        Ok(Some(members)) if flat => Ok(members),
        Ok(Some(members)) => Ok(nested::flatten(members)),
        Ok(None) => Err(ClientError::File(format!("{name} contains no JSON object"))),
        Err(why) => Err(ClientError::File(format!("{name} is not JSON that can be imported: {}", printable(&why)))),
    }
}

/// Reads everything, or one byte more than the limit.
fn read_bounded(from: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    from.take(MAX_FILE_BYTES + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// Writes the records that differ from the dataset's.
pub(super) async fn run(
    session: &mut CliSession,
    dataset: &DatasetName,
    wanted: BTreeMap<String, Value>,
    flat: bool,
    mirror: bool,
    output: &mut CommandOutput,
) -> Result<(), ClientError> {
    let current = session.records(dataset).await?;
    let keys = if flat { KeySyntax::Plain } else { KeySyntax::Paths };
    let unlisted = if mirror { UnlistedRecords::Remove } else { UnlistedRecords::Keep };
    let ImportPlan { patches, puts, removes, unchanged } =
        plan(wanted, &current, keys, unlisted, &session.limits, session.codec).map_err(ClientError::File)?;
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
    output.result(&ImportResult { dataset, put: puts, removed: removes, unchanged }, |output| {
        output.line(&format!("{dataset}: {puts} put, {removes} removed, {unchanged} unchanged"))
    })
}
