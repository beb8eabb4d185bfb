//! A dataset as it is, then every change as it comes.

use driftless_client::Event;
use driftless_protocol::{DatasetName, Record};

use super::output::note;
use super::read::now_ms;
use super::session::Session;
use super::{Failure, Output, render};

/// Prints until the process is stopped, nobody reads, or the device gives up.
pub(super) async fn run(session: &mut Session, dataset: &DatasetName, output: &mut Output) -> Result<(), Failure> {
    session.device.open(dataset).await?;
    loop {
        let Some(event) = session.events.recv().await else { return Err(Failure::Gone) };
        match event {
            Event::Changed { from, reset, records, .. } => {
                if reset && from > 0 {
                    note(&format!("{dataset} starts over: what was shown before may be gone"));
                }
                show(&records, output)?;
            }
            Event::Synced { version, .. } => {
                let records = session.device.records(dataset).await?.unwrap_or_default().len();
                note(&format!("{dataset} is up to date at version {version} with {}", render::count(records, "record")));
            }
            Event::Dropped { .. } => {
                note("too many changes at once: some were not shown, this is everything");
                let records: Vec<Record> = session.device.records(dataset).await?.unwrap_or_default().into_values().collect();
                show(&records, output)?;
            }
            event @ (Event::Connected(_)
            | Event::Disconnected { .. }
            | Event::StoreRestored { .. }
            | Event::IdentityMerged { .. }
            | Event::Registered { .. }
            | Event::Unregistered
            | Event::ReofferConflict { .. }
            | Event::ReofferRefused { .. }
            | Event::Refused { .. }
            | Event::Closed { .. }) => session.connection(&event)?,
        }
    }
}

fn show(records: &[Record], output: &mut Output) -> Result<(), Failure> {
    let now_ms = now_ms();
    records.iter().try_for_each(|record| output.line(&render::line(record, now_ms, output.style)))
}
