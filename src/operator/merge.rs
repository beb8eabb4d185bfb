//! An identity becomes part of another one.

use serde::Deserialize;
use serde_json::json;

use super::Failure;
use super::output::line;
use super::server::{Server, part};
use crate::client::count;

#[derive(Deserialize)]
struct Merged {
    datasets: usize,
    finished: bool,
}

/// Merges one identity into another.
pub(super) async fn run(server: &Server, from: &str, into: &str) -> Result<(), Failure> {
    let merged: Merged = server.post(&format!("identities/{}/merge", part(from)), &json!({ "into": into })).await?;
    let datasets = count(merged.datasets, "dataset");
    line(&format!("{from} was merged into {into}: its logins and devices lead there, {datasets} went over"))?;
    if !merged.finished {
        line("the server is still moving some of them; nothing more is to be done")?;
    }
    line("where both had a record of the same key, the one that was not taken is in the dataset's history (export-identity: not_taken)")
}
