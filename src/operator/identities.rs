//! Logins and the identities that they lead to.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Failure;
use super::output::{line, size, table};
use super::server::{Server, part};
use super::who::logins;

/// An identity at a glance.
#[derive(Deserialize)]
pub(super) struct Account {
    pub pool: String,
    pub merged: Vec<String>,
    pub datasets: Vec<Dataset>,
}

#[derive(Deserialize)]
pub(super) struct Dataset {
    pub dataset: String,
    pub version: u64,
    pub records: u64,
    pub bytes: u64,
}

/// Asks for an identity at a glance.
pub(super) async fn account(server: &Server, identity: &str) -> Result<Account, Failure> {
    server.get(&format!("identities/{}", part(identity))).await
}

/// Prints the identities of a subject, and what they have.
pub(super) async fn find(server: &Server, pool: &str, subject: &str) -> Result<(), Failure> {
    let found = logins(server, pool, subject).await?;
    if found.is_empty() {
        return Err(Failure::Input(format!(
            "nobody with the subject {subject} has signed in to the pool {pool}; name another with --pool"
        )));
    }
    for login in found {
        line(&format!("{}   login {subject} of {}", login.identity, login.issuer))?;
        let account = account(server, &login.identity).await?;
        for merged in &account.merged {
            line(&format!("  {merged} was merged into it"))?;
        }
        let mut rows = vec![["  dataset", "version", "records", "size"].map(str::to_owned)];
        rows.extend(
            account
                .datasets
                .iter()
                .map(|one| [format!("  {}", one.dataset), one.version.to_string(), one.records.to_string(), size(one.bytes)]),
        );
        line(&table(&rows))?;
    }
    Ok(())
}

/// Lets a login lead to an identity.
pub(super) async fn link(server: &Server, identity: &str, issuer: &str, subject: &str) -> Result<(), Failure> {
    let path = format!("identities/{}/logins", part(identity));
    let _: Value = server.post(&path, &json!({ "issuer": issuer, "subject": subject })).await?;
    line(&format!("the login {subject} of {issuer} leads to {identity}"))
}
