//! What the operations on a pool check first: that the pool is there, whose it is, and that the caller may.

use super::context::IdentityContext;
use crate::access::{AccessOperation, ArnScope};
use crate::aws::error::AwsError;
use crate::identity::{FederationRefused, FederationResult, PoolDetails, PoolRefused, PoolResult};

impl IdentityContext<'_> {
    /// A pool, and where its ARN points to. A pool that is not there is one of the caller's account, so that a stranger learns nothing.
    pub(super) async fn checked_pool<I: AccessOperation>(&self, id: &str, input: &I) -> Result<PoolDetails, AwsError> {
        let caller = self.call.signed()?;
        let own = || caller.account().cloned().ok_or_else(|| AwsError::internal(self.call.wire));
        let found = self.services.federation.pools.find(id).await.map_err(|why| self.call.unavailable(why))?;
        let scope = match &found {
            Ok(PoolDetails { account: Some(account), .. }) => ArnScope { region: self.services.region.clone(), account: account.clone() },
            Ok(_) => self.services.declared_scope(self.call).await?,
            Err(_) => ArnScope { region: self.services.region.clone(), account: own()? },
        };
        self.call.check(self.services.accounts(), input, &scope).await?;
        found.map_err(|why| self.pool_error(why, id))
    }

    /// Whether the caller may do something that is about no pool in particular.
    pub(super) async fn check_account<I: AccessOperation>(&self, input: &I) -> Result<crate::access::AccountId, AwsError> {
        let account = self.call.signed()?.account().cloned().ok_or_else(|| AwsError::internal(self.call.wire))?;
        let scope = ArnScope { region: self.services.region.clone(), account: account.clone() };
        self.call.check(self.services.accounts(), input, &scope).await?;
        Ok(account)
    }

    pub(super) fn pool_done<T>(&self, result: PoolResult<T>, id: &str) -> Result<T, AwsError> {
        result.map_err(|why| self.call.unavailable(why))?.map_err(|why| self.pool_error(why, id))
    }

    fn pool_error(&self, why: PoolRefused, id: &str) -> AwsError {
        match why {
            PoolRefused::NoPool => self.error("ResourceNotFoundException", format!("IdentityPool '{}' not found.", excerpt(id))),
            PoolRefused::TooMany => self.error("LimitExceededException", "The account has as many identity pools as it may have."),
            PoolRefused::Declared => self.invalid(format!("What is asked of pool {} is set by its configuration.", excerpt(id))),
            PoolRefused::Invalid(why) => self.invalid(why),
        }
    }

    /// What federation came to, in the words of the service.
    pub(super) fn federated<T>(&self, result: FederationResult<T>) -> Result<T, AwsError> {
        result.map_err(|why| self.call.unavailable(why))?.map_err(|why| match why {
            FederationRefused::NoPool(id) => self.error("ResourceNotFoundException", format!("IdentityPool '{}' not found.", excerpt(&id))),
            FederationRefused::NoIdentity(id) => self.error("ResourceNotFoundException", format!("Identity '{}' not found.", excerpt(&id))),
            FederationRefused::NoGuests => {
                self.error("NotAuthorizedException", "Unauthenticated access is not supported for this identity pool.")
            }
            FederationRefused::InvalidToken { provider, why } => {
                self.error("NotAuthorizedException", format!("Invalid login token for {}. {why}", excerpt(&provider)))
            }
            FederationRefused::ProviderUnavailable { provider } => {
                self.error("ExternalServiceException", format!("The keys of {} could not be fetched.", excerpt(&provider)))
            }
            FederationRefused::NotItsLogin(id) => {
                self.error("NotAuthorizedException", format!("Access to Identity '{}' is forbidden.", excerpt(&id)))
            }
            FederationRefused::TokenRefused => self.error("NotAuthorizedException", "Invalid login token. It was revoked."),
            FederationRefused::TooManyLogins => self.error("LimitExceededException", "The identity has as many logins as it may have."),
            FederationRefused::LoginOfAnother => {
                self.error("ResourceConflictException", "One of the logins is already linked to another identity.")
            }
            FederationRefused::NoClassicFlow => self.invalid("Basic (classic) flow is not enabled, please use enhanced flow."),
            FederationRefused::NoRole(text) => self.error("InvalidIdentityPoolConfigurationException", text),
        })
    }
}

fn excerpt(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(128).collect()
}
