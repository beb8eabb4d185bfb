//! Buckets: rows of owners of their own, found by their names. The account's list has each of its buckets, in the same batch.

use serde::{Deserialize, Serialize};

use super::account::AccountId;
use super::commit::Group;
use super::engine::Bytes;
use super::keys::{self, KeyParts, RowKind};
use super::row_source::RowSource;
use super::{Store, StoreError, rows};

/// A bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    pub name: String,
    pub account: AccountId,
    /// When it was made, in milliseconds since 1970 (UTC).
    pub made_ms: u64,
    /// The policy as it was checked and is stored.
    pub policy: Option<String>,
    /// What pages of other origins may ask; empty: nothing.
    pub cors: Vec<CorsRule>,
}

/// A rule for pages of other origins. Source: "CORSRule" (Amazon S3 API Reference).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorsRule {
    pub id: Option<String>,
    pub allowed_origins: Vec<String>,
    pub allowed_methods: Vec<String>,
    pub allowed_headers: Vec<String>,
    pub expose_headers: Vec<String>,
    pub max_age_s: Option<u32>,
}

/// What came of making a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MadeBucket {
    Made,
    /// The account has it already.
    Owned,
    /// Another account has it.
    Taken,
    /// The account has as many as it may have.
    TooMany,
}

/// What came of deleting a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BucketDeletion {
    Deleted,
    NoBucket,
    /// It has an object or an upload.
    NotEmpty,
}

/// Buckets of one account, as at AWS by default before 2024: each is read when the account's are listed.
const MOST_BUCKETS: usize = 1000;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct BucketRow {
    pub account: String,
    pub made_ms: u64,
    pub policy: Option<String>,
    pub cors: Vec<CorsRule>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AccountBucketRow {
    pub made_ms: u64,
}

impl BucketRow {
    fn bucket(self, name: &str) -> Result<Bucket, StoreError> {
        let BucketRow { account, made_ms, policy, cors } = self;
        let account = AccountId::parse(&account).ok_or_else(|| StoreError::Damaged("the account of a bucket".to_owned()))?;
        Ok(Bucket { name: name.to_owned(), account, made_ms, policy, cors })
    }
}

pub(super) fn bucket(source: &(impl RowSource + ?Sized), name: &str) -> Result<Option<Bucket>, StoreError> {
    let row: Option<BucketRow> = source.row(&keys::of_bucket(RowKind::Bucket, name))?;
    row.map(|row| row.bucket(name)).transpose()
}

impl Store {
    /// The bucket with a name.
    pub fn bucket(&self, name: &str) -> Result<Option<Bucket>, StoreError> {
        bucket(&*self.engine, name)
    }

    /// An account's buckets, each with the date when it was made, in the order of the lengths of their names and then of the names.
    pub fn buckets(&self, account: &AccountId) -> Result<Vec<(String, u64)>, StoreError> {
        let prefix = keys::account_buckets(account);
        let one = |(key, row): &(Bytes, Bytes)| {
            let AccountBucketRow { made_ms } = rows::decode(row)?;
            Ok((KeyParts::after(key, &prefix)?.name()?.to_owned(), made_ms))
        };
        self.engine.some_of(&prefix, MOST_BUCKETS)?.iter().map(one).collect()
    }
}

impl Group<'_> {
    /// Makes a bucket. The name was checked.
    pub fn make_bucket(&mut self, name: &str, account: &AccountId, made_ms: u64) -> Result<MadeBucket, StoreError> {
        if let Some(there) = bucket(&self.view, name)? {
            return Ok(if there.account == *account { MadeBucket::Owned } else { MadeBucket::Taken });
        }
        if self.view.some_of(&keys::account_buckets(account), MOST_BUCKETS)?.len() >= MOST_BUCKETS {
            return Ok(MadeBucket::TooMany);
        }
        let row = BucketRow { account: account.as_str().to_owned(), made_ms, policy: None, cors: Vec::new() };
        let of_account = (keys::account_bucket(account, name), Some(rows::encode(&AccountBucketRow { made_ms })?));
        self.view.decide(vec![(keys::of_bucket(RowKind::Bucket, name), Some(rows::encode(&row)?)), of_account]);
        Ok(MadeBucket::Made)
    }

    /// Deletes a bucket that has nothing.
    pub fn delete_bucket(&mut self, name: &str) -> Result<BucketDeletion, StoreError> {
        let Some(there) = bucket(&self.view, name)? else { return Ok(BucketDeletion::NoBucket) };
        for kind in [RowKind::Object, RowKind::Upload] {
            if !self.view.some_of(&keys::of_bucket(kind, name), 1)?.is_empty() {
                return Ok(BucketDeletion::NotEmpty);
            }
        }
        self.view.decide(vec![(keys::of_bucket(RowKind::Bucket, name), None), (keys::account_bucket(&there.account, name), None)]);
        Ok(BucketDeletion::Deleted)
    }

    /// Sets or deletes a bucket's policy; whether the bucket is there.
    pub fn set_bucket_policy(&mut self, name: &str, policy: Option<String>) -> Result<bool, StoreError> {
        self.change_bucket(name, |row| row.policy.clone_from(&policy))
    }

    /// Sets or deletes a bucket's rules for other origins; whether the bucket is there.
    pub fn set_bucket_cors(&mut self, name: &str, cors: &[CorsRule]) -> Result<bool, StoreError> {
        self.change_bucket(name, |row| row.cors = cors.to_vec())
    }

    fn change_bucket(&mut self, name: &str, change: impl Fn(&mut BucketRow)) -> Result<bool, StoreError> {
        let key = keys::of_bucket(RowKind::Bucket, name);
        let Some(mut row) = self.view.row::<BucketRow>(&key)? else { return Ok(false) };
        change(&mut row);
        self.view.decide(vec![(key, Some(rows::encode(&row)?))]);
        Ok(true)
    }
}
