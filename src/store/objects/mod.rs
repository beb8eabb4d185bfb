//! Objects of buckets, uploads in parts, and which of them has its bytes in which file.
//!
//! Invariant: a file's row stands exactly as long as an object or a part has its bytes there, because both are written in one batch. A file without
//! a row, and the file of a part whose upload is gone, belong to nobody.

mod blobs;
mod changes;
mod reads;
mod uploads;

use serde::{Deserialize, Serialize};

pub use uploads::DoneUpload;

/// Parts of an upload. Source: "Amazon S3 multipart upload limits" (S3 User Guide).
pub const MOST_PARTS: u16 = 10_000;

/// An object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredObject {
    pub bytes: u64,
    /// Without quotes.
    pub etag: String,
    /// When it was stored, in milliseconds since 1970 (UTC).
    pub stored_ms: u64,
    pub checksum: Option<StoredChecksum>,
    pub headers: ObjectHeaders,
    pub body: ObjectBody,
}

/// Where the bytes of an object are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ObjectBody {
    /// In the file with this id.
    Blob(String),
    /// In the files of the parts of the upload with this id.
    Upload(String),
}

/// A checksum that was compared when the bytes came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredChecksum {
    /// Like `CRC32`.
    pub algorithm: String,
    /// In base64; of an upload in parts with `-` and the number of parts.
    pub value: String,
}

/// What is sent back with an object as it was sent in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectHeaders {
    pub content_type: Option<String>,
    pub cache_control: Option<String>,
    pub content_disposition: Option<String>,
    pub content_encoding: Option<String>,
    pub content_language: Option<String>,
    /// In seconds since 1970 (UTC).
    pub expires_s: Option<i64>,
    /// What stands behind `x-amz-meta-` and its value, in the order of the names.
    pub user: Vec<(String, String)>,
}

/// An upload in parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    pub made_ms: u64,
    pub headers: ObjectHeaders,
    /// The algorithm of the parts' checksums.
    pub checksum_algorithm: Option<String>,
    /// Rises with each part that is stored: who completes an upload has seen all of them.
    pub revision: u64,
    pub state: UploadState,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UploadState {
    Open,
    /// Its parts are those of an object.
    Completed(PartBits),
}

/// Which parts an object has: bit `n - 1` for the part `n`. At most 1,250 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartBits(#[serde(with = "serde_bytes")] Vec<u8>);

/// A part of an upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPart {
    pub blob: String,
    pub bytes: u64,
    pub etag: String,
    pub checksum: Option<StoredChecksum>,
    pub stored_ms: u64,
}

/// Whose bytes are in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BlobUse {
    Object { bucket: String, key: String },
    Part { bucket: String, key: String, upload: String, number: u16 },
}

/// What must be true of the object that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ObjectCondition {
    #[default]
    Always,
    /// There is none.
    Absent,
    /// There is one, whatever its bytes are.
    Present,
    /// There is one with this ETag, without quotes.
    Etag(String),
}

/// What came of storing an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectPut {
    /// With what the object had before.
    Stored(Option<ObjectBody>),
    NoBucket,
    /// There is no object, and the condition names one.
    NoObject,
    ConditionFailed,
    /// The upload was not there, or has changed.
    NoUpload,
}

impl PartBits {
    pub fn of(numbers: impl IntoIterator<Item = u16>) -> PartBits {
        let mut bits = Vec::new();
        for number in numbers.into_iter().filter(|number| (1..=MOST_PARTS).contains(number)) {
            let at = usize::from(number - 1);
            if bits.len() <= at / 8 {
                bits.resize(at / 8 + 1, 0);
            }
            bits[at / 8] |= 1 << (at % 8);
        }
        PartBits(bits)
    }

    pub fn has(&self, number: u16) -> bool {
        let at = usize::from(number.saturating_sub(1));
        number > 0 && self.0.get(at / 8).is_some_and(|byte| byte & (1 << (at % 8)) != 0)
    }
}
