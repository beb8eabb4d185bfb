//! `driftless compare`: prints the records that differ between two versions of a dataset.

use driftless_protocol::{DatasetName, Record};
use serde::Deserialize;

use super::admin_client::AdminClient;
use super::error::OperatorError;
use super::history::{dataset_path, record_line};
use super::output::line;
use crate::client::{count, note};

#[derive(Deserialize)]
struct CompareResponse {
    differences: Vec<RecordDifference>,
}

#[derive(Deserialize)]
struct RecordDifference {
    before: Option<Record>,
    after: Option<Record>,
}

/// Prints each record in the first version after a minus, in the second after a plus.
pub(super) async fn run(server: &AdminClient, identity: &str, dataset: &DatasetName, first: u64, second: u64) -> Result<(), OperatorError> {
    let path = format!("{}/compare?first={first}&second={second}", dataset_path(identity, dataset));
    let print = |CompareResponse { differences }| {
        print_differences(&differences)?;
        note(&format!("{} of {dataset} differ between version {first} and version {second}", count(differences.len(), "record")));
        Ok(())
    };
    server.show(&path, print).await
}

fn print_differences(differences: &[RecordDifference]) -> Result<(), OperatorError> {
    for RecordDifference { before, after } in differences {
        for (sign, record) in [("-", before), ("+", after)] {
            if let Some(record) = record {
                line(&format!("{sign} {}", record_line(record)))?;
            }
        }
    }
    Ok(())
}
