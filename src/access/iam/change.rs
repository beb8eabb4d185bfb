//! One change of what an account has, decided over its rows.

use super::error::{IamError, IamResult};
use crate::access::shared::Accounts;
use crate::committer::{JobOwner, ReadOwner};
use crate::store::{Account, AccountId, AccountRecord, Group, Store, StoreError};

/// What a decision comes to.
pub(super) type Decided<T> = Result<T, NotDone>;

/// Why a decision came to nothing.
pub(super) enum NotDone {
    Refused(IamError),
    Store(StoreError),
}

impl From<IamError> for NotDone {
    fn from(error: IamError) -> NotDone {
        NotDone::Refused(error)
    }
}

impl From<StoreError> for NotDone {
    fn from(error: StoreError) -> NotDone {
        NotDone::Store(error)
    }
}

/// A refusal is an answer; an error of the store is not.
fn answer<T>(decided: Decided<T>) -> Result<Result<T, IamError>, StoreError> {
    match decided {
        Ok(done) => Ok(Ok(done)),
        Err(NotDone::Refused(error)) => Ok(Err(error)),
        Err(NotDone::Store(error)) => Err(error),
    }
}

/// The account's rows while a change is decided. What is written here is written only if the decision succeeds, because each decision checks first and
/// writes then.
pub(super) struct AccountChange<'g, 'a> {
    group: &'g mut Group<'a>,
    pub account: Account,
    /// Milliseconds since 1970 (UTC).
    pub now_ms: u64,
}

impl AccountChange<'_, '_> {
    pub fn get<R: AccountRecord>(&self, names: &[&str]) -> Result<Option<R>, StoreError> {
        self.group.account_record(&self.account.id, names)
    }

    /// The records under some names: at most so many.
    pub fn list<R: AccountRecord>(&self, under: &[&str], limit: usize) -> Result<Vec<(Vec<String>, R)>, StoreError> {
        self.group.account_records(&self.account.id, under, limit)
    }

    pub fn put<R: AccountRecord>(&mut self, names: &[&str], record: &R) -> Result<(), StoreError> {
        self.group.put_account_record(&self.account.id, names, record)
    }

    pub fn delete<R: AccountRecord>(&mut self, names: &[&str]) {
        self.group.delete_account_record::<R>(&self.account.id, names);
    }

    pub fn access_key_ids(&self, user: &str) -> Result<Vec<String>, StoreError> {
        self.group.access_key_ids(&self.account.id, user)
    }
}

impl Accounts {
    /// Decides a change and writes it; the account's revision rises.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        account: &AccountId,
        decide: impl Fn(&mut AccountChange<'_, '_>) -> Decided<T> + Send + 'static,
    ) -> IamResult<T> {
        let id = account.clone();
        let transaction = move |group: &mut Group<'_>, now_ms| {
            let Some(account) = group.account(&id)? else { return Ok((Err(IamError::no_account()), Vec::new())) };
            let mut change = AccountChange { group, account, now_ms };
            let decided = answer(decide(&mut change))?;
            if decided.is_ok() {
                let AccountChange { group, mut account, .. } = change;
                account.state.revision += 1;
                group.set_account_state(account)?;
            }
            Ok((decided, Vec::new()))
        };
        self.committer.transact(JobOwner::Store, transaction).await
    }

    /// Reads what an account has.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        account: &AccountId,
        read: impl FnOnce(&Store, &AccountId) -> Decided<T> + Send + 'static,
    ) -> IamResult<T> {
        let id = account.clone();
        self.reader.read(ReadOwner::Server, move |store| answer(read(store, &id))).await
    }
}
