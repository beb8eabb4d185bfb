//! A file into a dataset.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use driftless_protocol::{Codec, DatasetName, Value};
use futures_util::{StreamExt, stream};

use super::output::Progress;
use super::plan::{Others, Plan, plan};
use super::session::{Session, written};
use super::{Failure, Output, nested, render};

/// The largest file, in bytes: a full dataset holds 16 MiB, and this is that with room for indentation and escapes.
const FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Patches on their way at once: enough to keep the server's disk busy, and 8 MiB in flight.
const AT_ONCE: usize = 8;

/// Reads the records of a file. A flat file's members are records as they are.
pub(super) fn read(file: &Path, flat: bool) -> Result<BTreeMap<String, Value>, Failure> {
    let cannot = |why: std::io::Error| Failure::File(format!("cannot read {}: {why}", file.display()));
    let bytes = fs::metadata(file).map_err(cannot)?.len();
    if bytes > FILE_BYTES {
        return Err(Failure::Input(format!("{} has {bytes} bytes; {FILE_BYTES} is the most", file.display())));
    }
    let text = fs::read(file).map_err(cannot)?;
    match Codec::Json.decode(&text) {
        Ok(Value::Map(members)) if flat => Ok(members),
        Ok(Value::Map(members)) => Ok(nested::flatten(members)),
        Ok(_) => Err(Failure::Input(format!("{} holds no JSON object", file.display()))),
        Err(why) => Err(Failure::Input(format!("{} is not JSON: {why}", file.display()))),
    }
}

/// Writes what differs.
pub(super) async fn run(
    session: &mut Session,
    dataset: &DatasetName,
    wanted: BTreeMap<String, Value>,
    mirror: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    let held = session.records(dataset).await?;
    let others = if mirror { Others::Remove } else { Others::Keep };
    let Plan { patches, puts, removes, unchanged } = plan(wanted, &held, others, &session.limits, session.codec).map_err(Failure::Input)?;
    let all = puts + removes;
    let progress = Progress::start();
    let mut done = 0;
    let device = session.device.clone();
    let writes = patches.into_iter().map(|patch| {
        let changes = patch.len();
        let write = device.write(dataset, patch);
        async move { (changes, write.await) }
    });
    let mut answers = stream::iter(writes).buffered(AT_ONCE);
    while let Some((changes, answer)) = session.during(answers.next()).await? {
        if let Err(why) = answer.map_err(Failure::from).and_then(written) {
            progress.end(&format!("stopped after {done} of {}; import again to go on", render::count(all, "change")));
            return Err(why);
        }
        done += changes;
        progress.show(&format!("{done} of {} written", render::count(all, "change")));
    }
    progress.show("");
    output.line(&format!("{dataset}: {puts} put, {removes} removed, {unchanged} unchanged"))
}
