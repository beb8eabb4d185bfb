//! The keys of the rows of buckets and their objects.

use super::{RowKey, RowKind};
use crate::store::account::AccountId;
use crate::store::engine::Bytes;
use crate::store::row_kinds::BUCKET_MARK;

/// The prefix of all rows that stand with their bucket.
pub(in crate::store) fn all_buckets() -> Bytes {
    vec![BUCKET_MARK]
}

/// The prefix of everything that stands with a bucket.
pub(in crate::store) fn bucket_rows(bucket: &str) -> Bytes {
    let mut key = of_bucket(RowKind::Bucket, bucket);
    key.pop();
    key
}

pub(in crate::store) fn account_buckets(account: &AccountId) -> Bytes {
    RowKey::of(RowKind::AccountBucket).account(account).done()
}

pub(in crate::store) fn account_bucket(account: &AccountId, bucket: &str) -> Bytes {
    RowKey::of(RowKind::AccountBucket).account(account).name(bucket).done()
}

/// The prefix of all rows of a kind that a bucket owns. Objects stand in the order of their keys' bytes, so their keys have no length before them.
pub(in crate::store) fn of_bucket(kind: RowKind, bucket: &str) -> Bytes {
    RowKey::of(kind).owner(bucket).done()
}

/// The prefix of the parts of an upload.
pub(in crate::store) fn parts(bucket: &str, upload: &str) -> Bytes {
    RowKey::of(RowKind::Part).owner(bucket).name(upload).done()
}

pub(in crate::store) fn part(bucket: &str, upload: &str, number: u16) -> Bytes {
    RowKey::of(RowKind::Part).owner(bucket).name(upload).number(number).done()
}

pub(in crate::store) fn blob(blob: &str) -> Bytes {
    RowKey::of(RowKind::Blob).name(blob).done()
}
