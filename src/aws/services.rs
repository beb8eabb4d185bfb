//! What the services act on, and which of them does a call.

use std::future::Future;
use std::pin::Pin;

use super::call::{AwsAnswer, AwsCall};
use super::error::AwsError;
use super::query::QueryCall;
use super::rest::SyncCall;
use super::service::AwsService;
use super::{iam, identity, sts, sync, user_pools};
use crate::access::{AccountId, Accounts, ArnScope};
use crate::clock::Clock;
use crate::committer::Unavailable;
use crate::identity::{FederatedIdentities, WebIdentities};
use crate::keyring::SharedKeyring;
use crate::pools::Pools;
use crate::sync::SyncService;
use crate::objects::S3Endpoint;
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

    /// Whether a service with forms has an operation: an unknown one is refused before its signature is looked at.
    pub(super) fn has_form(&self, service: AwsService, action: &str) -> bool {
        match service {
            AwsService::Sts => sts::StsOperation::of_action(action).is_some(),
            AwsService::Iam => iam::IamOperation::of_action(action).is_some(),
            _ => false,
        }
    }

    pub(super) async fn answer_form(&self, call: &AwsCall, form: &QueryCall) -> AwsAnswer {
        let unknown = || AwsError::unknown_operation(call.wire, &form.action, form.service.form_version());
        match form.service {
            AwsService::Sts => sts::StsOperation::of_action(&form.action).ok_or_else(unknown)?.answer(self, call, form).await,
            AwsService::Iam => iam::IamOperation::of_action(&form.action).ok_or_else(unknown)?.answer(self, call, form).await,
            _ => Err(unknown()),
        }
    }

    pub(super) async fn answer_json(&self, call: &AwsCall, service: AwsService, operation: &str, body: &[u8]) -> AwsAnswer {
        match service {
            AwsService::CognitoIdentity => identity::answer(self, call, operation, body).await,
            AwsService::CognitoIdp => user_pools::answer(self, call, operation, body).await,
            _ => Err(AwsError::unknown_operation(call.wire, operation, None)),
        }
    }

    pub(super) async fn answer_sync(&self, call: &AwsCall, sync_call: &SyncCall, body: &[u8]) -> AwsAnswer {
        sync::answer(self, call, sync_call, body).await
    }
}
