//! Whose the bytes in a file are.

use super::reads::upload_key;
use super::{BlobUse, ObjectBody, StoredObject, StoredPart, Upload, UploadState};
use crate::store::commit::Group;
use crate::store::keys;
use crate::store::row_source::RowSource;
use crate::store::{Store, StoreError};

use super::reads::object_key;

/// Whether somebody has bytes in a file; what is left of somebody who had is returned with it.
fn is_used(source: &(impl RowSource + ?Sized), blob: &str) -> Result<(bool, Option<BlobUse>), StoreError> {
    let Some(of) = source.row::<BlobUse>(&keys::blob(blob))? else { return Ok((false, None)) };
    let is_used = match &of {
        BlobUse::Object { bucket, key } => {
            let object: Option<StoredObject> = source.row(&object_key(bucket, key))?;
            object.is_some_and(|object| object.body == ObjectBody::Blob(blob.to_owned()))
        }
        BlobUse::Part { bucket, key, upload, number } => {
            let open: Option<Upload> = source.row(&upload_key(bucket, key, upload))?;
            let part: Option<StoredPart> = source.row(&keys::part(bucket, upload, *number))?;
            part.is_some_and(|part| part.blob == *blob)
                && open.is_some_and(|open| match open.state {
                    UploadState::Open => true,
                    UploadState::Completed(parts) => parts.has(*number),
                })
        }
    };
    Ok((is_used, Some(of)))
}

impl Store {
    /// Those of some files that nobody has bytes in.
    pub fn unused_blobs(&self, blobs: Vec<String>) -> Result<Vec<String>, StoreError> {
        let mut unused = Vec::new();
        for blob in blobs {
            if !is_used(&*self.engine, &blob)?.0 {
                unused.push(blob);
            }
        }
        Ok(unused)
    }
}

impl Group<'_> {
    /// Deletes what is left of a file that nobody has bytes in; whether the file can be deleted.
    pub fn forget_blob(&mut self, blob: &str) -> Result<bool, StoreError> {
        let (is_used, of) = is_used(&self.view, blob)?;
        if is_used {
            return Ok(false);
        }
        if let Some(of) = of {
            let mut batch = vec![(keys::blob(blob), None)];
            if let BlobUse::Part { bucket, upload, number, .. } = &of {
                let row = keys::part(bucket, upload, *number);
                let part: Option<StoredPart> = self.view.row(&row)?;
                batch.extend(part.filter(|part| part.blob == *blob).map(|_| (row, None)));
            }
            self.view.decide(batch);
        }
        Ok(true)
    }
}
