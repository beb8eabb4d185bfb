//! Storing and deleting objects. Each is one decision on a few rows, whatever the size of the object.

use super::reads::{object_key, upload_key};
use super::{BlobUse, ObjectBody, ObjectCondition, ObjectPut, StoredObject};
use crate::store::commit::Group;
use crate::store::engine::RowBatch;
use crate::store::keys::{self, RowKind};
use crate::store::row_source::RowSource;
use crate::store::{StoreError, rows};

impl ObjectCondition {
    /// What is answered if the condition does not hold of what is there.
    fn fault(&self, there: Option<&StoredObject>) -> Option<ObjectPut> {
        match (self, there) {
            (ObjectCondition::Always, _) | (ObjectCondition::Absent, None) | (ObjectCondition::Present, Some(_)) => None,
            (ObjectCondition::Etag(etag), Some(there)) if there.etag == *etag => None,
            (ObjectCondition::Absent | ObjectCondition::Etag(_), Some(_)) => Some(ObjectPut::ConditionFailed),
            (ObjectCondition::Present | ObjectCondition::Etag(_), None) => Some(ObjectPut::NoObject),
        }
    }
}

impl Group<'_> {
    /// Stores an object whose bytes are in a file, which are on disk.
    pub fn put_object(
        &mut self,
        bucket: &str,
        key: &str,
        object: &StoredObject,
        condition: &ObjectCondition,
    ) -> Result<ObjectPut, StoreError> {
        let outcome = self.set_object(bucket, key, object, condition)?;
        if let (ObjectPut::Stored(_), ObjectBody::Blob(blob)) = (&outcome, &object.body) {
            let of = BlobUse::Object { bucket: bucket.to_owned(), key: key.to_owned() };
            self.view.decide(vec![(keys::blob(blob), Some(rows::encode(&of)?))]);
        }
        Ok(outcome)
    }

    pub(super) fn set_object(
        &mut self,
        bucket: &str,
        key: &str,
        object: &StoredObject,
        condition: &ObjectCondition,
    ) -> Result<ObjectPut, StoreError> {
        if self.view.get(&keys::of_bucket(RowKind::Bucket, bucket))?.is_none() {
            return Ok(ObjectPut::NoBucket);
        }
        let row = object_key(bucket, key);
        let there: Option<StoredObject> = self.view.row(&row)?;
        if let Some(fault) = condition.fault(there.as_ref()) {
            return Ok(fault);
        }
        let mut batch: RowBatch = vec![(row, Some(rows::encode(object)?))];
        let old = there.map(|there| there.body);
        batch.extend(old.as_ref().map(|old| release(bucket, key, old)));
        self.view.decide(batch);
        Ok(ObjectPut::Stored(old))
    }

    /// Deletes an object; what it had, if it was there.
    pub fn delete_object(&mut self, bucket: &str, key: &str, condition: &ObjectCondition) -> Result<ObjectPut, StoreError> {
        if self.view.get(&keys::of_bucket(RowKind::Bucket, bucket))?.is_none() {
            return Ok(ObjectPut::NoBucket);
        }
        let row = object_key(bucket, key);
        let there: Option<StoredObject> = self.view.row(&row)?;
        if let Some(fault) = condition.fault(there.as_ref()) {
            return Ok(fault);
        }
        let Some(there) = there else { return Ok(ObjectPut::Stored(None)) };
        self.view.decide(vec![(row, None), release(bucket, key, &there.body)]);
        Ok(ObjectPut::Stored(Some(there.body)))
    }
}

/// The row without which the files of a body belong to nobody.
fn release(bucket: &str, key: &str, body: &ObjectBody) -> (Vec<u8>, Option<Vec<u8>>) {
    match body {
        ObjectBody::Blob(blob) => (keys::blob(blob), None),
        ObjectBody::Upload(upload) => (upload_key(bucket, key, upload), None),
    }
}
