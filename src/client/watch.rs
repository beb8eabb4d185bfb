//! The command `watch`: prints a dataset, then each change as it arrives.

use driftless_client::Event;
use driftless_protocol::{DatasetName, Record};

use super::error::ClientError;
use super::output::CommandOutput;
use super::output::note;
use super::read::now_ms;
use super::render;
use super::session::CliSession;

/// Runs until the process is stopped, stdout is closed, or the device gives up.
pub(super) async fn run(session: &mut CliSession, dataset: &DatasetName, output: &mut CommandOutput) -> Result<(), ClientError> {
    session.device.open(dataset).await?;
    loop {
        let Some(event) = session.events.recv().await else { return Err(ClientError::DeviceEnded) };
        match event {
            Event::Changed { from, reset, records, .. } => {
                if reset && from > 0 {
                    note(&format!("{dataset} was reset: records that were printed before may no longer exist"));
                }
                print(&records, output)?;
            }
            Event::Synced { version: 0, .. } => note(&format!("there is no dataset {dataset} yet; its first write will be printed")),
            Event::Synced { version, .. } => {
                let records = session.device.records(dataset).await?.unwrap_or_default().len();
                note(&format!("{dataset} is up to date at version {version} with {}", render::count(records, "record")));
            }
            Event::Dropped { .. } => {
                note("too many changes at once: some were not printed; these are all records");
                let records: Vec<Record> = session.device.records(dataset).await?.unwrap_or_default().into_values().collect();
                print(&records, output)?;
            }
            event @ (Event::Connected(_)
            | Event::Disconnected { .. }
            | Event::StoreRestored { .. }
            | Event::IdentityMerged { .. }
            | Event::Registered { .. }
            | Event::Unregistered
            | Event::Linked { .. }
            | Event::PushLost { .. }
            | Event::ReofferConflict { .. }
            | Event::ReofferRefused { .. }
            | Event::Refused { .. }
            | Event::Closed { .. }) => session.report(&event)?,
        }
    }
}

fn print(records: &[Record], output: &mut CommandOutput) -> Result<(), ClientError> {
    let now_ms = now_ms();
    records.iter().try_for_each(|record| output.result(record, |output| output.line(&render::line(record, now_ms, output.style))))
}
