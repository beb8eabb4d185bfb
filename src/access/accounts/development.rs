//! Makes the account of `driftless dev`, whose access key is public.

use super::{AccountRefused, AccountResult, refused};
use crate::access::shared::Accounts;
use crate::access::{DEVELOPMENT_ACCESS_KEY_ID, DEVELOPMENT_ACCOUNT, DEVELOPMENT_SECRET_ACCESS_KEY};
use crate::committer::{JobOwner, ReadOwner, Unavailable};
use crate::keyring::AccessKeySecret;
use crate::store::{Account, AccountId, AccountState, Group};

/// What the development account is called.
const NAME: &str = "development";

impl Accounts {
    /// Makes the development account and adds the public key to its root, unless they are there. It deletes nothing: a root that has two other
    /// keys is [`AccountRefused::TooManyKeys`].
    pub async fn ensure_development(&self) -> AccountResult<()> {
        let (Some(id), Some(secret)) = (AccountId::parse(DEVELOPMENT_ACCOUNT), AccessKeySecret::from_text(DEVELOPMENT_SECRET_ACCESS_KEY))
        else {
            return Ok(Err(AccountRefused::NoAccount));
        };
        if self.has_development_key().await? {
            return Ok(Ok(()));
        }
        let of = id.clone();
        let known = self.reader.read(ReadOwner::Server, move |store| store.account(&of)).await?;
        let account = Account { id, name: NAME.to_owned(), number: 0, made_ms: self.clock.unix_ms(), state: AccountState::default() };
        let is_new = known.is_none();
        let key = self.sealed_root_key(&account, DEVELOPMENT_ACCESS_KEY_ID.to_owned(), &secret)?;
        let decide = move |group: &mut Group<'_>, _| {
            if is_new {
                let Some(number) = group.take_account_number()? else { return Ok((Err(AccountRefused::TooMany), Vec::new())) };
                group.make_account(&Account { number, ..account.clone() })?;
            }
            Ok((group.add_access_key(&key)?.map_err(refused), Vec::new()))
        };
        self.committer.transact(JobOwner::Store, decide).await
    }

    /// Whether the store has the public key, also if it is disabled: enabling it again takes one command.
    pub async fn has_development_key(&self) -> Result<bool, Unavailable> {
        let key = self.reader.read(ReadOwner::Server, |store| store.access_key(DEVELOPMENT_ACCESS_KEY_ID)).await?;
        Ok(key.is_some())
    }
}
