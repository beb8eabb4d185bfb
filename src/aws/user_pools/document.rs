//! The documents of a user pool that everybody may read: its keys, and its discovery (OpenID Connect Discovery 1.0).

use super::faults::fault;
use crate::aws::answer;
use crate::aws::call::AwsAnswer;
use crate::aws::service::AwsWire;
use crate::aws::services::AwsServices;
use crate::store::UserPoolId;

/// The document of a path such as `/local_AbCdEfGhI/.well-known/jwks.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::aws) enum PoolDocument {
    Keys(UserPoolId),
    Discovery(UserPoolId),
}

impl PoolDocument {
    pub(in crate::aws) fn of_path(path: &str) -> Option<PoolDocument> {
        let (pool, document) = path.strip_prefix('/')?.split_once('/')?;
        let pool = UserPoolId::parse(pool)?;
        match document {
            ".well-known/jwks.json" => Some(PoolDocument::Keys(pool)),
            ".well-known/openid-configuration" => Some(PoolDocument::Discovery(pool)),
            _ => None,
        }
    }

    pub(in crate::aws) async fn answer(&self, services: &AwsServices, id: answer::AwsRequestId) -> AwsAnswer {
        let document = match self {
            PoolDocument::Keys(pool) => services.user_pools.jwks(pool.as_str()).await,
            PoolDocument::Discovery(pool) => services.user_pools.discovery(pool.as_str()).await,
        };
        let document = document.map_err(|why| fault(AwsWire::Json, why))?;
        Ok(answer::with_body(document.into_bytes(), http::HeaderValue::from_static("application/json"), AwsWire::Json, id))
    }
}
