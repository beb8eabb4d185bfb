//! The commands about logins and the identities that they lead to.

use serde::Deserialize;
use serde_json::{Value, json};

use super::admin_client::{AdminClient, percent_encoded};
use super::error::OperatorError;
use super::identity_args::find_logins;
use super::output::{line, size, table};

#[derive(Deserialize)]
pub(super) struct SummaryResponse {
    pub pool: String,
    pub merged: Vec<String>,
    pub datasets: Vec<DatasetEntry>,
}

#[derive(Deserialize)]
pub(super) struct DatasetEntry {
    pub dataset: String,
    pub version: u64,
    pub records: u64,
    pub bytes: u64,
}

pub(super) async fn summary(server: &AdminClient, identity: &str) -> Result<SummaryResponse, OperatorError> {
    server.get(&format!("identities/{}", percent_encoded(identity))).await
}

/// Prints the identities of a subject with their datasets.
pub(super) async fn find(server: &AdminClient, pool: &str, subject: &str) -> Result<(), OperatorError> {
    let found = find_logins(server, pool, subject).await?;
    if found.is_empty() {
        return Err(OperatorError::Input(format!(
            "no one with the subject {subject} has signed in to the pool {pool}; name another pool with --pool"
        )));
    }
    for login in found {
        line(&format!("{}   login {subject} of {}", login.identity, login.issuer))?;
        let summary = summary(server, &login.identity).await?;
        for merged in &summary.merged {
            line(&format!("  {merged} was merged into it"))?;
        }
        let mut rows = vec![["  dataset", "version", "records", "size"].map(str::to_owned)];
        rows.extend(
            summary
                .datasets
                .iter()
                .map(|one| [format!("  {}", one.dataset), one.version.to_string(), one.records.to_string(), size(one.bytes)]),
        );
        line(&table(&rows))?;
    }
    Ok(())
}

/// Links a login to an identity.
pub(super) async fn link(server: &AdminClient, identity: &str, issuer: &str, subject: &str) -> Result<(), OperatorError> {
    let path = format!("identities/{}/logins", percent_encoded(identity));
    let _: Value = server.post(&path, &json!({ "issuer": issuer, "subject": subject })).await?;
    line(&format!("the login {subject} of {issuer} leads to {identity}"))
}
