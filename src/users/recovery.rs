//! A forgotten password: ForgotPassword, ConfirmForgotPassword.

use super::attributes;
use super::code;
use super::fault::UserFault;
use super::messages::target;
use super::names::CodeDelivery;
use super::sign_up::refused;
use super::user_pools::{ClientCall, UserPools, check_username};
use crate::committer::JobOwner;
use crate::store::{CodeUse, Group, Tries, User, UserStatus};

impl UserPools {
    /// Sends a code with which the user sets a new password.
    pub async fn forgot_password(&self, call: &ClientCall, username: &str) -> Result<CodeDelivery, UserFault> {
        check_username(username)?;
        let found = self.find(&call.pool_id, &call.pool, username).await?;
        let Some((key, user)) = found else { return self.unknown_user_asks_for_code(call, username, CodeUse::Password).await };
        let fault = match (user.enabled, user.status) {
            (false, _) => Some(UserFault::NotAuthorized("User is disabled.")),
            (true, UserStatus::ForceChangePassword) => {
                Some(UserFault::NotAuthorized("User password cannot be reset in the current state."))
            }
            (true, UserStatus::Unconfirmed | UserStatus::Confirmed | UserStatus::ResetRequired) => None,
        };
        let target = target(&user, |name| attributes::is_verified(&user.attributes, name));
        match (fault, target) {
            (None, Some((attribute, value))) => {
                self.send_new_code(&call.pool.settings, &key, &user, CodeUse::Password, attribute, value).await
            }
            _ if call.client.hides_users => self.unknown_user_asks_for_code(call, username, CodeUse::Password).await,
            (Some(fault), _) => Err(fault),
            (None, None) => {
                let words = "Cannot reset password for the user as there is no registered/verified email or phone_number";
                Err(UserFault::parameter(words))
            }
        }
    }

    /// Sets a new password with the code. All sign-ins of the user end.
    pub async fn confirm_forgot_password(&self, call: &ClientCall, username: &str, digits: &str, password: &str) -> Result<(), UserFault> {
        check_username(username)?;
        let found = self.find(&call.pool_id, &call.pool, username).await?;
        // A unknown user's is hashed, too: everybody who guesses waits as long.
        let key = match &found {
            Some((key, _)) => key.clone(),
            None => crate::store::PoolUserKey { pool: call.pool_id.clone(), name: username.into() },
        };
        let stored = self.new_password(&key, &call.pool.settings.password, password, None).await?;
        let Some((key, user)) = found else { return Err(self.unknown_user_tries_code(call, username, CodeUse::Password).await?) };
        let row = self.code_row(&key, CodeUse::Password).await?;
        if row.is_none() && call.client.hides_users {
            return Err(self.unknown_user_tries_code(call, username, CodeUse::Password).await?);
        }
        let hash = self.code_hash(&user.sub, CodeUse::Password, row.as_ref().map_or("", |row| &row.value), digits)?;
        let sub = user.sub;
        let decide = move |group: &mut Group<'_>, now_ms| {
            let Some(user) = group.user(&key)?.filter(|user| user.sub == sub) else { return Ok((Err(UserFault::NoUser), Vec::new())) };
            let Some(row) = group.user_code(&key, CodeUse::Password)? else { return Ok((Err(UserFault::CodeExpired), Vec::new())) };
            let (outcome, after) = code::tried(&row, &hash, now_ms);
            group.put_user_code(&key, CodeUse::Password, &after)?;
            if let Some(fault) = refused(outcome) {
                return Ok((Err(fault), Vec::new()));
            }
            // Everybody who has the code reads the user's mail: that confirms a user who was not.
            let status = UserStatus::Confirmed;
            let (password, tries) = (Some(stored.clone()), Tries::default());
            group.put_user(&key, &User { status, password, tries, changed_ms: now_ms, signed_out_ms: now_ms, ..user })?;
            group.delete_families(&key)?;
            Ok((Ok(()), Vec::new()))
        };
        self.committer.transact(JobOwner::Store, decide).await?
    }
}
