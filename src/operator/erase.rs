//! `driftless erase-identity`.

use hyper::Method;
use serde::Deserialize;
use serde_json::Value;

use super::admin_client::{AdminClient, percent_encoded};
use super::error::OperatorError;
use super::identities::{DatasetEntry, SummaryResponse};
use super::output::{line, size};
use crate::client::count;
use crate::invocation;

#[derive(Deserialize)]
struct EraseResponse {
    finished: bool,
}

/// Erases an identity; without `yes` prints what would be erased, and fails.
pub(super) async fn run(server: &AdminClient, identity: &str, yes: bool) -> Result<(), OperatorError> {
    if !yes {
        return print_what_would_be_erased(server, identity).await;
    }
    let path = format!("identities/{}", percent_encoded(identity));
    server.act(Method::DELETE, &path, &Value::Null, |erased| print_erased(identity, &erased)).await
}

fn print_erased(identity: &str, erased: &EraseResponse) -> Result<(), OperatorError> {
    line(&format!("{identity} is erased: its sessions are closed, and its data can no longer be read"))?;
    if !erased.finished {
        line("the server still deletes its rows in the background")?;
    }
    line("backups from before the erasure still contain it")
}

async fn print_what_would_be_erased(server: &AdminClient, identity: &str) -> Result<(), OperatorError> {
    let print = |summary: SummaryResponse| {
        line(&format!("{identity} of the pool {} has {}:", summary.pool, count(summary.datasets.len(), "dataset")))?;
        let dataset = |one: &DatasetEntry| {
            let records = count(one.records as usize, "record");
            line(&format!("  {}   {records}, {}, version {}", one.dataset, size(one.bytes), one.version))
        };
        summary.datasets.iter().try_for_each(dataset)
    };
    server.show(&format!("identities/{}", percent_encoded(identity)), print).await?;
    Err(OperatorError::Input(format!(
        "nothing was erased; with --yes the server erases these datasets with their history, and all devices and logins of the identity, for good:\n  \
         {} erase-identity {identity} --yes{}",
        invocation::name(),
        server.url_argument()
    )))
}
