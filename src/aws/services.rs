//! What the services act on.

use std::future::Future;
use std::pin::Pin;

use super::call::AwsCall;
use super::error::AwsError;
use crate::access::{AccountId, Accounts, ArnScope};
use crate::clock::Clock;
use crate::committer::Unavailable;
use crate::identity::{FederatedIdentities, WebIdentities};
use crate::keyring::SharedKeyring;
use crate::objects::S3Endpoint;
use crate::pools::Pools;
use crate::sync::SyncService;
use crate::users::{EndedSignIns, UserPools};

/// Ends what the tokens of a sign-in have opened elsewhere: given by `app`.
pub type EndSessions = Box<dyn Fn(EndedSignIns) -> Pin<Box<dyn Future<Output = Result<(), Unavailable>> + Send>> + Send + Sync>;

/// What the services act on.
pub struct AwsServices {
    pub accounts: Accounts,
    pub clock: Clock,
    pub federation: FederatedIdentities,
    /// `None`: the system has no root certificates.
    pub web_identities: Option<WebIdentities>,
    pub s3: S3Endpoint,
    /// The region in the ARNs of what this server has.
    pub region: String,
    /// The account that owns the pools of the configuration; `None`: the one that was made first.
    pub declared_owner: Option<AccountId>,
    pub pools: Pools,
    pub sync: SyncService,
    /// Seals what clients carry.
    pub keyring: SharedKeyring,
    pub user_pools: UserPools,
    pub end_sessions: EndSessions,
}

impl AwsServices {
    pub(super) fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Ends the sessions that were opened with tokens of sign-ins that have ended.
    pub(super) async fn sign_ins_ended(&self, call: &AwsCall, ended: &EndedSignIns) -> Result<(), AwsError> {
        (self.end_sessions)(ended.clone()).await.map_err(|why| call.unavailable(why))
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    /// Where the ARNs of a pool of the configuration point to. Until there is an account nobody can sign.
    pub(super) async fn declared_scope(&self, call: &AwsCall) -> Result<ArnScope, AwsError> {
        let account = match &self.declared_owner {
            Some(account) => Some(account.clone()),
            None => self.accounts.first().await.map_err(|why| call.unavailable(why))?,
        };
        let account = account.ok_or_else(|| AwsError::access_denied(call.wire, "This server has no account yet"))?;
        Ok(ArnScope { region: self.region.clone(), account })
    }
}
