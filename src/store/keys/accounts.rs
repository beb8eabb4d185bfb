//! The keys of the rows of accounts.

use super::{RowKey, RowKind};
use crate::store::account::AccountId;
use crate::store::engine::Bytes;
use crate::store::row_kinds::ACCOUNT_MARK;

/// The prefix of all rows that stand with their account.
pub(in crate::store) fn all_accounts() -> Bytes {
    vec![ACCOUNT_MARK]
}

/// The prefix of everything that an account owns.
pub(in crate::store) fn of_account(account: &AccountId) -> Bytes {
    let mut key = RowKey::of(RowKind::Account).account(account).done();
    key.pop();
    key
}

pub(in crate::store) fn account(account: &AccountId) -> Bytes {
    RowKey::of(RowKind::Account).account(account).done()
}

/// The index row of an account's number.
pub(in crate::store) fn account_number(number: u32) -> Bytes {
    RowKey::of(RowKind::AccountNumber).version(u64::from(number)).done()
}

/// The key of what an account has under these names, or the prefix of what stands below them.
pub(in crate::store) fn account_record(kind: RowKind, account: &AccountId, names: &[&str]) -> Bytes {
    names.iter().fold(RowKey::of(kind).account(account), |key, name| key.name(name)).done()
}

pub(in crate::store) fn account_keys(account: &AccountId) -> Bytes {
    RowKey::of(RowKind::AccountKey).account(account).done()
}

pub(in crate::store) fn account_key(account: &AccountId, access_key: &str) -> Bytes {
    RowKey::of(RowKind::AccountKey).account(account).name(access_key).done()
}

pub(in crate::store) fn access_key(access_key: &str) -> Bytes {
    RowKey::of(RowKind::AccessKey).name(access_key).done()
}
