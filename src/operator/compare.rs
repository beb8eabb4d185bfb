//! What differs between two versions of a dataset.

use driftless_protocol::{DatasetName, Record};
use serde::Deserialize;

use super::Failure;
use super::history::{of, shown};
use super::output::line;
use super::server::Server;
use crate::client::{count, note};

#[derive(Deserialize)]
struct Differences {
    differences: Vec<Difference>,
}

#[derive(Deserialize)]
struct Difference {
    before: Option<Record>,
    after: Option<Record>,
}

/// Prints each record that differs: as it was after a minus, as it is after a plus.
pub(super) async fn run(server: &Server, identity: &str, dataset: &DatasetName, first: u64, second: u64) -> Result<(), Failure> {
    let Differences { differences } = server.get(&format!("{}/compare?first={first}&second={second}", of(identity, dataset))).await?;
    for Difference { before, after } in &differences {
        for (sign, record) in [("-", before), ("+", after)] {
            if let Some(record) = record {
                line(&format!("{sign} {}", shown(record)))?;
            }
        }
    }
    note(&format!("{} of {dataset} differ between version {first} and version {second}", count(differences.len(), "record")));
    Ok(())
}
