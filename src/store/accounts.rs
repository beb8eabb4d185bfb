//! Accounts and their access keys.
//!
//! An account is an owner as an identity is: its rows stand together, behind a prefix and a fence of their own. An access key is found by its id alone,
//! because that is all that a signed request says.

use serde::{Deserialize, Serialize};

use super::account::AccountId;
use super::commit::Group;
use super::engine::{Bytes, RowBatch};
use super::keys::{KeyParts, RowKind};
use super::row_source::RowSource;
use super::{Store, StoreError, keys, rows};

/// Accounts that a store can have: their numbers are part of access key ids, with 20 bits.
pub const MOST_ACCOUNTS: u32 = 1 << 20;

/// Access keys of one principal at a time, as at AWS: enough to exchange one while it is used.
pub const KEYS_PER_PRINCIPAL: usize = 2;

/// The name of the row that has the number of the next account.
const NEXT_NUMBER: &str = "accounts";

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub id: AccountId,
    /// What its owner calls it.
    pub name: String,
    /// Its running number, below [`MOST_ACCOUNTS`]: access key ids have it.
    pub number: u32,
    /// When it was made, in milliseconds since 1970 (UTC).
    pub made_ms: u64,
    pub state: AccountState,
}

/// What an account counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountState {
    /// It rises with every change of who is there and of what policies say.
    pub revision: u64,
    pub users: u32,
    pub groups: u32,
    pub roles: u32,
    pub policies: u32,
    pub providers: u32,
    pub pools: u32,
}

/// An access key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    pub id: String,
    pub account: AccountId,
    /// The id of the user whose key it is; `None`: the account's root.
    pub user: Option<String>,
    /// The secret, sealed by the keyring.
    pub sealed_secret: Vec<u8>,
    pub status: AccessKeyStatus,
    /// When it was made, in milliseconds since 1970 (UTC).
    pub made_ms: u64,
}

/// Whether requests that are signed with a key are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccessKeyStatus {
    Active,
    Inactive,
}

/// Why an access key was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessKeyRefused {
    NoAccount,
    /// The principal has [`KEYS_PER_PRINCIPAL`] already.
    TooMany,
    /// The id is another key's.
    IdTaken,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AccountRow {
    pub name: String,
    pub number: u32,
    pub made_ms: u64,
    pub state: AccountState,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AccountNumberRow {
    pub account: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AccountKeyRow {
    pub user: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AccessKeyRow {
    pub account: String,
    pub user: Option<String>,
    #[serde(with = "serde_bytes")]
    pub sealed_secret: Vec<u8>,
    pub status: AccessKeyStatus,
    pub made_ms: u64,
}

impl AccessKeyRow {
    fn access_key(self, id: &str) -> Result<AccessKey, StoreError> {
        let AccessKeyRow { account, user, sealed_secret, status, made_ms } = self;
        let account = AccountId::parse(&account).ok_or_else(|| StoreError::Damaged("the account of an access key".to_owned()))?;
        Ok(AccessKey { id: id.to_owned(), account, user, sealed_secret, status, made_ms })
    }
}

impl AccountRow {
    fn account(self, id: AccountId) -> Account {
        let AccountRow { name, number, made_ms, state } = self;
        Account { id, name, number, made_ms, state }
    }
}

fn account_of(row: &AccountNumberRow) -> Result<AccountId, StoreError> {
    AccountId::parse(&row.account).ok_or_else(|| StoreError::Damaged("the account of a number".to_owned()))
}

/// The access key with an id.
fn access_key(source: &(impl RowSource + ?Sized), id: &str) -> Result<Option<AccessKey>, StoreError> {
    let row: Option<AccessKeyRow> = source.row(&keys::access_key(id))?;
    row.map(|row| row.access_key(id)).transpose()
}

/// The ids of an account's keys, each with its user.
fn account_keys(source: &(impl RowSource + ?Sized), account: &AccountId) -> Result<Vec<(String, Option<String>)>, StoreError> {
    let prefix = keys::account_keys(account);
    let one = |(key, row): &(Bytes, Bytes)| {
        let AccountKeyRow { user } = rows::decode(row)?;
        Ok((KeyParts::after(key, &prefix)?.name()?.to_owned(), user))
    };
    source.all_of(&prefix)?.iter().map(one).collect()
}

impl Store {
    /// The account with an id.
    pub fn account(&self, id: &AccountId) -> Result<Option<Account>, StoreError> {
        let row: Option<AccountRow> = self.engine.row(&keys::account(id))?;
        Ok(row.map(|row| row.account(id.clone())))
    }

    /// The account with a running number.
    pub fn account_of_number(&self, number: u32) -> Result<Option<AccountId>, StoreError> {
        let row: Option<AccountNumberRow> = self.engine.row(&keys::account_number(number))?;
        row.map(|row| account_of(&row)).transpose()
    }

    /// The account with the lowest running number.
    pub fn first_account(&self) -> Result<Option<AccountId>, StoreError> {
        let first = self.engine.some_of(&keys::of_kind(RowKind::AccountNumber), 1)?.pop();
        first.map(|(_, row)| account_of(&rows::decode(&row)?)).transpose()
    }

    /// Up to `limit` accounts behind one, in the order of their ids. Reads one or two rows for each, whatever they own.
    pub fn accounts(&self, after: Option<&AccountId>, limit: usize) -> Result<Vec<Account>, StoreError> {
        let end = keys::prefix_end(&keys::all_accounts());
        let mut start = after.map_or_else(keys::all_accounts, |after| keys::prefix_end(&keys::of_account(after)));
        let mut found = Vec::new();
        while found.len() < limit
            && let Some((key, _)) = self.engine.scan(&start, &end, 1)?.pop()
        {
            let name = KeyParts::after(&key, &keys::all_accounts())?.name()?;
            let id = AccountId::parse(name).ok_or_else(|| StoreError::Damaged("the key of an account".to_owned()))?;
            found.extend(self.account(&id)?);
            start = keys::prefix_end(&keys::of_account(&id));
        }
        Ok(found)
    }

    /// The access key with an id.
    pub fn access_key(&self, id: &str) -> Result<Option<AccessKey>, StoreError> {
        access_key(&*self.engine, id)
    }

    /// Up to `limit` access keys of any account: what the keyring has sealed.
    pub fn some_access_keys(&self, limit: usize) -> Result<Vec<AccessKey>, StoreError> {
        let prefix = keys::of_kind(RowKind::AccessKey);
        let one = |(key, row): &(Bytes, Bytes)| {
            let row: AccessKeyRow = rows::decode(row)?;
            row.access_key(KeyParts::after(key, &prefix)?.name()?)
        };
        self.engine.some_of(&prefix, limit)?.iter().map(one).collect()
    }

    /// The access keys of an account's root, or of one of its users, in the order of their ids.
    pub fn access_keys(&self, account: &AccountId, user: Option<&str>) -> Result<Vec<AccessKey>, StoreError> {
        let ids = account_keys(&*self.engine, account)?;
        let own = ids.into_iter().filter(|(_, of)| of.as_deref() == user);
        own.filter_map(|(id, _)| self.access_key(&id).transpose()).collect()
    }
}

impl Group<'_> {
    /// Takes the number of a new account; `None`: there are as many accounts as there can be. A number that is not used stays free for ever.
    pub fn take_account_number(&mut self) -> Result<Option<u32>, StoreError> {
        let key = keys::meta(NEXT_NUMBER);
        let number: u32 = self.view.row(&key)?.unwrap_or(0);
        if number >= MOST_ACCOUNTS {
            return Ok(None);
        }
        self.view.decide(vec![(key, Some(rows::encode(&(number + 1))?))]);
        Ok(Some(number))
    }

    /// Makes an account; whether the id was free.
    pub fn make_account(&mut self, account: &Account) -> Result<bool, StoreError> {
        let key = keys::account(&account.id);
        if self.view.get(&key)?.is_some() {
            return Ok(false);
        }
        let Account { id, name, number, made_ms, state } = account.clone();
        let of_number = (keys::account_number(number), Some(rows::encode(&AccountNumberRow { account: id.as_str().to_owned() })?));
        self.view.decide(vec![(key, Some(rows::encode(&AccountRow { name, number, made_ms, state })?)), of_number]);
        Ok(true)
    }

    /// The account with an id, to be changed.
    pub fn account(&self, id: &AccountId) -> Result<Option<Account>, StoreError> {
        let row: Option<AccountRow> = self.view.row(&keys::account(id))?;
        Ok(row.map(|row| row.account(id.clone())))
    }

    /// Writes what an account counts.
    pub fn set_account_state(&mut self, account: Account) -> Result<(), StoreError> {
        let Account { id, name, number, made_ms, state } = account;
        self.view.decide(vec![(keys::account(&id), Some(rows::encode(&AccountRow { name, number, made_ms, state })?))]);
        Ok(())
    }

    /// The ids of the access keys of an account's user.
    pub fn access_key_ids(&self, account: &AccountId, user: &str) -> Result<Vec<String>, StoreError> {
        let own = account_keys(&self.view, account)?.into_iter().filter(|(_, of)| of.as_deref() == Some(user));
        Ok(own.map(|(id, _)| id).collect())
    }

    /// Adds an access key to its account.
    pub fn add_access_key(&mut self, key: &AccessKey) -> Result<Result<(), AccessKeyRefused>, StoreError> {
        let AccessKey { id, account, user, sealed_secret, status, made_ms } = key.clone();
        if self.view.get(&keys::account(&account))?.is_none() {
            return Ok(Err(AccessKeyRefused::NoAccount));
        }
        if access_key(&self.view, &id)?.is_some() {
            return Ok(Err(AccessKeyRefused::IdTaken));
        }
        if account_keys(&self.view, &account)?.iter().filter(|(_, of)| *of == user).count() >= KEYS_PER_PRINCIPAL {
            return Ok(Err(AccessKeyRefused::TooMany));
        }
        let account_key = (keys::account_key(&account, &id), Some(rows::encode(&AccountKeyRow { user: user.clone() })?));
        let row = AccessKeyRow { account: account.as_str().to_owned(), user, sealed_secret, status, made_ms };
        self.view.decide(vec![account_key, (keys::access_key(&id), Some(rows::encode(&row)?))]);
        Ok(Ok(()))
    }

    /// Sets whether a key of an account may be used; whether the account has it.
    pub fn set_access_key_status(&mut self, account: &AccountId, id: &str, status: AccessKeyStatus) -> Result<bool, StoreError> {
        let key = keys::access_key(id);
        let row: Option<AccessKeyRow> = self.view.row(&key)?;
        let Some(row) = row.filter(|row| row.account == account.as_str()) else { return Ok(false) };
        self.view.decide(vec![(key, Some(rows::encode(&AccessKeyRow { status, ..row })?))]);
        Ok(true)
    }

    /// Deletes a key of an account; whether the account had it.
    pub fn delete_access_key(&mut self, account: &AccountId, id: &str) -> Result<bool, StoreError> {
        let account_key = keys::account_key(account, id);
        let had = self.view.get(&account_key)?.is_some();
        if had {
            let batch: RowBatch = vec![(account_key, None), (keys::access_key(id), None)];
            self.view.decide(batch);
        }
        Ok(had)
    }
}
