//! Reading objects, uploads and parts.

use super::{StoredObject, StoredPart, Upload};
use crate::store::engine::Bytes;
use crate::store::keys::{self, KeyParts, RowKind};
use crate::store::row_source::RowSource;
use crate::store::{Store, StoreError, rows};

/// Characters of an upload's id.
pub(super) const UPLOAD_ID_BYTES: usize = 32;

pub(super) fn object_key(bucket: &str, key: &str) -> Bytes {
    [keys::of_bucket(RowKind::Object, bucket).as_slice(), key.as_bytes()].concat()
}

pub(super) fn upload_key(bucket: &str, key: &str, upload: &str) -> Bytes {
    [keys::of_bucket(RowKind::Upload, bucket).as_slice(), key.as_bytes(), upload.as_bytes()].concat()
}

/// The bytes behind a prefix, as text.
fn text_after(key: &[u8], prefix: &[u8]) -> Result<String, StoreError> {
    let damaged = || StoreError::Damaged("the key of an object".to_owned());
    let rest = key.strip_prefix(prefix).ok_or_else(damaged)?;
    String::from_utf8(rest.to_vec()).map_err(|_| damaged())
}

impl Store {
    /// The bucket whose rows come next behind those of another one: by the lengths of names first. With a deleted one whose parts are not gone yet.
    pub fn next_bucket(&self, after: Option<&str>) -> Result<Option<String>, StoreError> {
        let all = keys::all_buckets();
        let start = after.map_or_else(|| all.clone(), |name| keys::prefix_end(&keys::bucket_rows(name)));
        let found = self.engine.scan(&start, &keys::prefix_end(&all), 1)?;
        found.first().map(|(key, _)| Ok(KeyParts::after(key, &all)?.name()?.to_owned())).transpose()
    }

    pub fn object(&self, bucket: &str, key: &str) -> Result<Option<StoredObject>, StoreError> {
        self.engine.row(&object_key(bucket, key))
    }

    /// Up to `limit` objects whose keys begin with `prefix`, from the key `from` on, in the order of the keys' bytes.
    pub fn objects(&self, bucket: &str, prefix: &str, from: &[u8], limit: usize) -> Result<Vec<(String, StoredObject)>, StoreError> {
        let of_bucket = keys::of_bucket(RowKind::Object, bucket);
        let first = object_key(bucket, prefix);
        let start = [of_bucket.as_slice(), from].concat().max(first.clone());
        let found = self.engine.scan(&start, &keys::prefix_end(&first), limit)?;
        found.iter().map(|(key, row)| Ok((text_after(key, &of_bucket)?, rows::decode(row)?))).collect()
    }

    pub fn upload(&self, bucket: &str, key: &str, upload: &str) -> Result<Option<Upload>, StoreError> {
        // An id of another length would be read as the end of another key.
        if upload.len() != UPLOAD_ID_BYTES { Ok(None) } else { self.engine.row(&upload_key(bucket, key, upload)) }
    }

    /// Up to `limit` uploads of keys that begin with `prefix`, behind one: key, id and upload.
    pub fn uploads(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<(&str, &str)>,
        limit: usize,
    ) -> Result<Vec<(String, String, Upload)>, StoreError> {
        let of_bucket = keys::of_bucket(RowKind::Upload, bucket);
        let first = upload_key(bucket, prefix, "");
        let behind = after.map(|(key, upload)| [upload_key(bucket, key, upload).as_slice(), &[0]].concat());
        let start = behind.map_or(first.clone(), |behind| behind.max(first.clone()));
        let found = self.engine.scan(&start, &keys::prefix_end(&first), limit)?;
        let one = |(key, row): &(Bytes, Bytes)| {
            let mut name = text_after(key, &of_bucket)?;
            let at = name.len().checked_sub(UPLOAD_ID_BYTES).filter(|at| name.is_char_boundary(*at));
            let id = name.split_off(at.ok_or_else(|| StoreError::Damaged("the key of an upload".to_owned()))?);
            Ok((name, id, rows::decode(row)?))
        };
        found.iter().map(one).collect()
    }

    /// Up to `limit` parts of an upload behind a number, in the order of their numbers.
    pub fn parts(&self, bucket: &str, upload: &str, after: u16, limit: usize) -> Result<Vec<(u16, StoredPart)>, StoreError> {
        let prefix = keys::parts(bucket, upload);
        let start = keys::part(bucket, upload, after.saturating_add(1));
        let found = self.engine.scan(&start, &keys::prefix_end(&prefix), limit)?;
        found.iter().map(|(key, row)| Ok((KeyParts::after(key, &prefix)?.number()?, rows::decode(row)?))).collect()
    }
}
