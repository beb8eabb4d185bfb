//! The server's pools, and the pool of a login: the one that an argument names, or the server's only one.

use serde::Deserialize;
use serde_json::Value;

use super::admin_client::AdminClient;
use super::error::OperatorError;
use super::output::{ResultFormat, line, table};

#[derive(Deserialize)]
struct PoolsResponse {
    pools: Vec<PoolEntry>,
}

#[derive(Deserialize)]
struct PoolEntry {
    name: String,
    /// The id by which AWS's clients name it.
    id: String,
    /// By the server's configuration; otherwise it was made while a server ran.
    declared: bool,
}

/// Prints the pools.
pub(super) async fn list(server: &AdminClient) -> Result<(), OperatorError> {
    let answer: Value = server.get("pools").await?;
    let PoolsResponse { pools } = server.typed(&answer)?;
    if server.format == ResultFormat::Json {
        return line(&answer.to_string());
    }
    let mut rows = vec![["pool", "id", "by"].map(str::to_owned)];
    let by = |declared| if declared { "configuration" } else { "request" };
    rows.extend(pools.into_iter().map(|PoolEntry { name, id, declared }| [name, id, by(declared).to_owned()]));
    line(&table(&rows))
}

/// The named pool; without a name the server's only one.
pub(super) async fn pool(server: &AdminClient, named: Option<String>) -> Result<String, OperatorError> {
    if let Some(pool) = named {
        return Ok(pool);
    }
    let PoolsResponse { pools } = server.get("pools").await?;
    let mut names: Vec<String> = pools.into_iter().map(|pool| pool.name).collect();
    match (names.pop(), names.as_slice()) {
        (Some(only), []) => Ok(only),
        (None, _) => Err(OperatorError::Failed("the server has no pool".to_owned())),
        (Some(last), others) => {
            Err(OperatorError::Input(format!("the server has several pools; name one with --pool: {}, {last}", others.join(", "))))
        }
    }
}
