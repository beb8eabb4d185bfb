//! The pool of a login: the one that an argument names, or the server's only one.

use serde::Deserialize;

use super::admin_client::AdminClient;
use super::error::OperatorError;

#[derive(Deserialize)]
struct PoolsResponse {
    pools: Vec<String>,
}

/// The named pool; without a name the server's only one.
pub(super) async fn pool(server: &AdminClient, named: Option<String>) -> Result<String, OperatorError> {
    if let Some(pool) = named {
        return Ok(pool);
    }
    let PoolsResponse { mut pools } = server.get("pools").await?;
    match (pools.pop(), pools.as_slice()) {
        (Some(only), []) => Ok(only),
        (None, _) => Err(OperatorError::Failed("the server has no pool".to_owned())),
        (Some(last), others) => {
            Err(OperatorError::Input(format!("the server has several pools; name one with --pool: {}, {last}", others.join(", "))))
        }
    }
}
