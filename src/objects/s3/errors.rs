//! Errors of operations. The library knows the status of each code.

use s3s::{S3Error, S3ErrorCode};

use crate::committer::Unavailable;
use crate::objects::blob_writer::BlobFault;

pub(super) fn error(code: S3ErrorCode, message: impl Into<std::borrow::Cow<'static, str>>) -> S3Error {
    S3Error::with_message(code, message)
}

/// The store cannot be used now.
pub(super) fn unavailable(_: Unavailable) -> S3Error {
    error(S3ErrorCode::ServiceUnavailable, "The server cannot do this now; try again")
}

pub(super) fn no_bucket() -> S3Error {
    error(S3ErrorCode::NoSuchBucket, "The specified bucket does not exist")
}

pub(super) fn no_key() -> S3Error {
    error(S3ErrorCode::NoSuchKey, "The specified key does not exist.")
}

pub(super) fn no_upload() -> S3Error {
    let words = "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.";
    error(S3ErrorCode::NoSuchUpload, words)
}

pub(super) fn condition_failed() -> S3Error {
    error(S3ErrorCode::PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
}

pub(super) fn invalid(message: &'static str) -> S3Error {
    error(S3ErrorCode::InvalidArgument, message)
}

/// What a client may be told of a file that was not written or read. How it failed stands in the log, without a name of an object.
pub(super) fn of_blob(fault: BlobFault) -> S3Error {
    match fault {
        BlobFault::Full => error(S3ErrorCode::ServiceUnavailable, "The server has no space for objects left"),
        BlobFault::Io(why) => of_io(&why),
    }
}

pub(super) fn of_io(why: &std::io::Error) -> S3Error {
    tracing::warn!(error = %why, "a file with the bytes of an object failed");
    error(S3ErrorCode::InternalError, "We encountered an internal error. Please try again.")
}
