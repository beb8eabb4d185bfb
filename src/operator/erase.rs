//! `driftless erase-identity`.

use serde::Deserialize;

use super::admin_client::{AdminClient, percent_encoded};
use super::error::OperatorError;
use super::identities::summary;
use super::output::{line, size};
use crate::client::count;

#[derive(Deserialize)]
struct EraseResponse {
    finished: bool,
}

/// Erases an identity; without `yes` prints what would be erased, and fails.
pub(super) async fn run(server: &AdminClient, identity: &str, yes: bool) -> Result<(), OperatorError> {
    if !yes {
        return print_what_would_be_erased(server, identity).await;
    }
    let erased: EraseResponse = server.delete(&format!("identities/{}", percent_encoded(identity))).await?;
    line(&format!("{identity} is erased: its sessions are closed, and its data can no longer be read"))?;
    if !erased.finished {
        line("the server still deletes its rows in the background")?;
    }
    line("backups from before the erasure still contain it")
}

async fn print_what_would_be_erased(server: &AdminClient, identity: &str) -> Result<(), OperatorError> {
    let summary = summary(server, identity).await?;
    line(&format!("{identity} of the pool {} has {}:", summary.pool, count(summary.datasets.len(), "dataset")))?;
    for one in &summary.datasets {
        line(&format!("  {}   {} records, {}, version {}", one.dataset, one.records, size(one.bytes), one.version))?;
    }
    Err(OperatorError::Input(format!(
        "nothing was erased; with --yes the server erases these datasets with their history, and all devices and logins of the identity, for good:\n  \
         driftless erase-identity {identity} --yes"
    )))
}
