//! Uploads in parts. A completed one stays: the object takes its parts from it.

use super::reads::{UPLOAD_ID_BYTES, upload_key};
use super::{BlobUse, ObjectBody, ObjectCondition, ObjectPut, PartBits, StoredObject, StoredPart, Upload, UploadState};
use crate::store::StoreError;
use crate::store::commit::Group;
use crate::store::keys::{self, RowKind};
use crate::store::row_source::RowSource;
use crate::store::rows;

/// An upload whose parts become an object.
#[derive(Clone, Debug)]
pub struct DoneUpload {
    pub id: String,
    /// The revision at which its parts were looked at.
    pub revision: u64,
    pub parts: PartBits,
    /// The object; its body is replaced.
    pub object: StoredObject,
}

impl Group<'_> {
    /// Begins an upload; whether the bucket is there.
    pub fn begin_upload(&mut self, bucket: &str, key: &str, id: &str, upload: &Upload) -> Result<bool, StoreError> {
        if id.len() != UPLOAD_ID_BYTES || self.view.get(&keys::of_bucket(RowKind::Bucket, bucket))?.is_none() {
            return Ok(false);
        }
        self.view.decide(vec![(upload_key(bucket, key, id), Some(rows::encode(upload)?))]);
        Ok(true)
    }

    fn open_upload(&mut self, bucket: &str, key: &str, id: &str) -> Result<Option<Upload>, StoreError> {
        if id.len() != UPLOAD_ID_BYTES {
            return Ok(None);
        }
        let upload: Option<Upload> = self.view.row(&upload_key(bucket, key, id))?;
        Ok(upload.filter(|upload| upload.state == UploadState::Open))
    }

    /// Stores a part whose bytes are on disk. `None`: the upload is not open. Otherwise the file that an earlier part of this number had.
    pub fn put_part(
        &mut self,
        bucket: &str,
        key: &str,
        id: &str,
        number: u16,
        part: &StoredPart,
    ) -> Result<Option<Option<String>>, StoreError> {
        let Some(mut upload) = self.open_upload(bucket, key, id)? else { return Ok(None) };
        upload.revision += 1;
        let row = keys::part(bucket, id, number);
        let old: Option<StoredPart> = self.view.row(&row)?;
        let of = BlobUse::Part { bucket: bucket.to_owned(), key: key.to_owned(), upload: id.to_owned(), number };
        let mut batch = vec![
            (row, Some(rows::encode(part)?)),
            (upload_key(bucket, key, id), Some(rows::encode(&upload)?)),
            (keys::blob(&part.blob), Some(rows::encode(&of)?)),
        ];
        let old = old.map(|old| old.blob);
        batch.extend(old.as_ref().map(|old| (keys::blob(old), None)));
        self.view.decide(batch);
        Ok(Some(old))
    }

    /// Makes an object of an upload's parts.
    pub fn complete_upload(
        &mut self,
        bucket: &str,
        key: &str,
        done: &DoneUpload,
        condition: &ObjectCondition,
    ) -> Result<ObjectPut, StoreError> {
        let open = self.open_upload(bucket, key, &done.id)?;
        let Some(mut upload) = open.filter(|upload| upload.revision == done.revision) else { return Ok(ObjectPut::NoUpload) };
        let object = StoredObject { body: ObjectBody::Upload(done.id.clone()), ..done.object.clone() };
        let outcome = self.set_object(bucket, key, &object, condition)?;
        if let ObjectPut::Stored(_) = outcome {
            upload.state = UploadState::Completed(done.parts.clone());
            self.view.decide(vec![(upload_key(bucket, key, &done.id), Some(rows::encode(&upload)?))]);
        }
        Ok(outcome)
    }

    /// Ends an upload: its parts belong to nobody from now on. Whether it was open.
    pub fn abort_upload(&mut self, bucket: &str, key: &str, id: &str) -> Result<bool, StoreError> {
        let was_open = self.open_upload(bucket, key, id)?.is_some();
        if was_open {
            self.view.decide(vec![(upload_key(bucket, key, id), None)]);
        }
        Ok(was_open)
    }
}
