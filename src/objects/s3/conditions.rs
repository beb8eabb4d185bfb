//! Conditions of requests, on what is stored. Source: "Conditional requests" (Amazon S3 User Guide), RFC 9110 section 13.

use s3s::dto::{ETag, ETagCondition, Timestamp};
use s3s::{S3Error, S3ErrorCode, S3Result};

use super::errors::{condition_failed, error, no_key};
use crate::store::{ObjectCondition, ObjectPut, StoredObject};

/// The conditions of a request that reads.
pub(super) struct ReadConditions<'a> {
    pub if_match: Option<&'a ETagCondition>,
    pub if_none_match: Option<&'a ETagCondition>,
    pub if_modified_since: Option<&'a Timestamp>,
    pub if_unmodified_since: Option<&'a Timestamp>,
}

/// Seconds since 1970 (UTC), as dates of this wire have them.
pub(super) fn seconds(timestamp: &Timestamp) -> i64 {
    time::OffsetDateTime::from(timestamp.clone()).unix_timestamp()
}

/// A date from milliseconds since 1970 (UTC).
pub(super) fn timestamp(ms: u64) -> Timestamp {
    Timestamp::from(std::time::UNIX_EPOCH + std::time::Duration::from_millis(ms))
}

fn names(condition: &ETagCondition, etag: &str) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(named) => named.value() == etag,
    }
}

impl ReadConditions<'_> {
    pub(super) fn check(&self, object: &StoredObject) -> S3Result<()> {
        let stored_s = i64::try_from(object.stored_ms / 1000).unwrap_or(i64::MAX);
        match (self.if_match, self.if_unmodified_since) {
            (Some(condition), _) if !names(condition, &object.etag) => return Err(condition_failed()),
            // A date counts only where no ETag is named.
            (None, Some(date)) if stored_s > seconds(date) => return Err(condition_failed()),
            _ => {}
        }
        match (self.if_none_match, self.if_modified_since) {
            (Some(condition), _) if names(condition, &object.etag) => Err(not_modified(object)),
            (None, Some(date)) if stored_s <= seconds(date) => Err(not_modified(object)),
            _ => Ok(()),
        }
    }
}

fn not_modified(object: &StoredObject) -> S3Error {
    let mut error = error(S3ErrorCode::NotModified, "Not Modified");
    if let Ok(etag) = etag(object).to_http_header() {
        error.set_headers(http::HeaderMap::from_iter([(http::header::ETAG, etag)]));
    }
    error
}

pub(super) fn etag(object: &StoredObject) -> ETag {
    ETag::Strong(object.etag.clone())
}

/// The conditions of a request that stores.
pub(super) fn of_put(if_match: Option<&ETagCondition>, if_none_match: Option<&ETagCondition>) -> S3Result<ObjectCondition> {
    match (if_match, if_none_match) {
        (None, None) => Ok(ObjectCondition::Always),
        (None, Some(ETagCondition::Any)) => Ok(ObjectCondition::Absent),
        (Some(condition), None) => Ok(of_match(condition)),
        (_, Some(_)) => Err(error(S3ErrorCode::NotImplemented, "If-None-Match takes only * here, and not together with If-Match")),
    }
}

pub(super) fn of_match(condition: &ETagCondition) -> ObjectCondition {
    match condition {
        ETagCondition::Any => ObjectCondition::Present,
        ETagCondition::ETag(etag) => ObjectCondition::Etag(etag.value().to_owned()),
    }
}

/// What a change that was not made is answered.
pub(super) fn refused(outcome: &ObjectPut) -> S3Error {
    match outcome {
        ObjectPut::NoBucket => super::errors::no_bucket(),
        ObjectPut::NoObject => no_key(),
        ObjectPut::NoUpload => super::errors::no_upload(),
        ObjectPut::ConditionFailed | ObjectPut::Stored(_) => condition_failed(),
    }
}
