//! `driftless merge-identities`.

use hyper::Method;
use serde::Deserialize;
use serde_json::json;

use super::admin_client::{AdminClient, percent_encoded};
use super::error::OperatorError;
use super::output::line;
use crate::client::count;

#[derive(Deserialize)]
struct MergeResponse {
    datasets: usize,
    finished: bool,
}

pub(super) async fn run(server: &AdminClient, from: &str, into: &str) -> Result<(), OperatorError> {
    let path = format!("identities/{}/merge", percent_encoded(from));
    server.act(Method::POST, &path, &json!({ "into": into }), |merged| print(from, into, &merged)).await
}

fn print(from: &str, into: &str, merged: &MergeResponse) -> Result<(), OperatorError> {
    let datasets = count(merged.datasets, "dataset");
    line(&format!("{from} was merged into {into}: its logins and devices lead there, {datasets} merged"))?;
    if !merged.finished {
        line("the server still merges some of them in the background")?;
    }
    line(
        "if both identities had a record of the same key, the record that was not taken is in the dataset's history (export-identity: not_taken)",
    )
}
