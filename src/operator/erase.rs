//! An identity goes for good.

use serde::Deserialize;

use super::Failure;
use super::identities::account;
use super::output::{line, size};
use super::server::{Server, part};
use crate::client::count;

#[derive(Deserialize)]
struct Erased {
    finished: bool,
}

/// Erases an identity, or says what that would mean.
pub(super) async fn run(server: &Server, identity: &str, yes: bool) -> Result<(), Failure> {
    if !yes {
        return would(server, identity).await;
    }
    let erased: Erased = server.delete(&format!("identities/{}", part(identity))).await?;
    line(&format!("{identity} is erased: its sessions are closed, and nobody can read it any more"))?;
    if !erased.finished {
        line("the server is still deleting its rows; nothing more is to be done")?;
    }
    line("backups that were made before still hold it")
}

async fn would(server: &Server, identity: &str) -> Result<(), Failure> {
    let account = account(server, identity).await?;
    line(&format!("{identity} of the pool {} has {}:", account.pool, count(account.datasets.len(), "dataset")))?;
    for one in &account.datasets {
        line(&format!("  {}   {} records, {}, version {}", one.dataset, one.records, size(one.bytes), one.version))?;
    }
    Err(Failure::Input(format!(
        "nothing was erased; with --yes these go, with their history, and all devices and logins of the identity, for good:\n  \
         driftless erase-identity {identity} --yes"
    )))
}
