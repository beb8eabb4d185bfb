//! Access keys of users.

use super::error::{IamError, IamResult};
use super::names::{NameKind, key_of};
use super::users::find_user;
use crate::access::AccountId;
use crate::access::shared::Accounts;
use crate::committer::{JobOwner, Unavailable};
use crate::keyring::{AccessKeyId, AccessKeySecret, AccountNumber, SecretKind};
use crate::store::{AccessKey, AccessKeyRefused, AccessKeyStatus, Group, IamUser};

/// An access key of a user. The secret is there when it was just made.
#[derive(Clone, Debug)]
pub struct UserKey {
    pub user: String,
    pub id: String,
    pub status: AccessKeyStatus,
    /// Milliseconds since 1970 (UTC).
    pub made_ms: u64,
    pub secret: Option<AccessKeySecret>,
}

impl Accounts {
    /// Makes an access key of a user, which has two at most.
    pub async fn create_user_key(&self, account: &AccountId, user: &str) -> IamResult<UserKey> {
        let of = account.clone();
        let number = self.reader.read(crate::committer::ReadOwner::Server, move |store| store.account(&of)).await?;
        let Some(number) = number.and_then(|account| AccountNumber::new(account.number)) else { return Ok(Err(IamError::no_account())) };
        let id = AccessKeyId::lasting(number, getrandom::u64().map_err(|_| Unavailable::Now)?).to_string();
        let secret = AccessKeySecret::random().map_err(|_| Unavailable::Now)?;
        let sealed = self.keyring.current().seal_secret(SecretKind::AccessKey, id.as_bytes(), secret.expose().as_bytes());
        let sealed_secret = sealed.map_err(|_| Unavailable::Now)?;
        let (account, name, key_id) = (account.clone(), user.to_owned(), id.clone());
        let add = move |group: &mut Group<'_>, now_ms| {
            let key = match key_of(NameKind::User, &name) {
                Ok(key) => key,
                Err(error) => return Ok((Err(error), Vec::new())),
            };
            let Some(user) = group.account_record::<IamUser>(&account, &[&key])? else {
                return Ok((Err(super::users::no_user(&name)), Vec::new()));
            };
            let (account, user_id) = (account.clone(), Some(user.id));
            let key = AccessKey {
                id: key_id.clone(),
                account,
                user: user_id,
                sealed_secret: sealed_secret.clone(),
                status: AccessKeyStatus::Active,
                made_ms: now_ms,
            };
            let added = group.add_access_key(&key)?.map_err(|why| match why {
                AccessKeyRefused::NoAccount => IamError::no_account(),
                AccessKeyRefused::TooMany => IamError::quota("AccessKeysPerUser", crate::store::KEYS_PER_PRINCIPAL),
                AccessKeyRefused::IdTaken => IamError::exists("The access key cannot be made now; try again"),
            });
            Ok((added.map(|()| (user.name, now_ms)), Vec::new()))
        };
        let added = self.committer.transact(JobOwner::Store, add).await?;
        Ok(added.map(|(user, made_ms)| UserKey { user, id, status: AccessKeyStatus::Active, made_ms, secret: Some(secret) }))
    }

    /// The access keys of a user: two at most.
    pub async fn user_keys(&self, account: &AccountId, user: &str) -> IamResult<Vec<UserKey>> {
        let name = user.to_owned();
        self.look(account, move |store, account| {
            let user = find_user(store, account, &name)?;
            let keys = store.access_keys(account, Some(&user.id))?.into_iter();
            let shown =
                |key: AccessKey| UserKey { user: user.name.clone(), id: key.id, status: key.status, made_ms: key.made_ms, secret: None };
            Ok(keys.map(shown).collect())
        })
        .await
    }

    /// Switches an access key of a user on or off.
    pub async fn set_user_key_status(&self, account: &AccountId, user: &str, id: &str, status: AccessKeyStatus) -> IamResult<()> {
        self.with_user_key(account, user, id, move |group, account, id| group.set_access_key_status(account, id, status)).await
    }

    /// Deletes an access key of a user.
    pub async fn delete_user_key(&self, account: &AccountId, user: &str, id: &str) -> IamResult<()> {
        self.with_user_key(account, user, id, move |group, account, id| group.delete_access_key(account, id)).await
    }

    /// Changes an access key, if it is this user's.
    async fn with_user_key(
        &self,
        account: &AccountId,
        user: &str,
        id: &str,
        act: impl Fn(&mut Group<'_>, &AccountId, &str) -> Result<bool, crate::store::StoreError> + Send + 'static,
    ) -> IamResult<()> {
        let (account, name, id) = (account.clone(), user.to_owned(), id.to_owned());
        let change = move |group: &mut Group<'_>, _| {
            let absent = || IamError::absent(format!("The Access Key with id {id} cannot be found."));
            let user = match key_of(NameKind::User, &name) {
                Ok(key) => group.account_record::<IamUser>(&account, &[&key])?.ok_or_else(|| super::users::no_user(&name)),
                Err(error) => Err(error),
            };
            let user = match user {
                Ok(user) => user,
                Err(error) => return Ok((Err(error), Vec::new())),
            };
            if !group.access_key_ids(&account, &user.id)?.contains(&id) {
                return Ok((Err(absent()), Vec::new()));
            }
            let done = act(group, &account, &id)?;
            Ok((done.then_some(()).ok_or_else(absent), Vec::new()))
        };
        self.committer.transact(JobOwner::Store, change).await
    }
}
