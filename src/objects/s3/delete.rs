//! DeleteObject and DeleteObjects.

use s3s::dto::{DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETag, Error};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result};

use super::conditions;
use super::errors::{error, no_bucket, unavailable};
use super::operations::S3Objects;
use super::reach::DeleteAsk;
use crate::store::{Bucket, ObjectCondition, ObjectPut};

/// Keys of one DeleteObjects. Source: DeleteObjects (Amazon S3 API Reference).
const MOST_KEYS: usize = 1000;

impl S3Objects {
    pub(super) async fn delete(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = &request.input;
        let bucket = self.reach(&request.extensions, &input.bucket, input).await?;
        let condition = input.if_match.as_ref().map(conditions::of_match).unwrap_or_default();
        self.delete_key(&bucket, &input.key, input.version_id.as_deref(), condition).await?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_key(&self, bucket: &Bucket, key: &str, version: Option<&str>, condition: ObjectCondition) -> S3Result<()> {
        if version.is_some_and(|version| version != "null") {
            return Err(error(S3ErrorCode::NotImplemented, "Versions of objects are not implemented"));
        }
        let (name, key) = (bucket.name.clone(), key.to_owned());
        let decide = move |group: &mut crate::store::Group<'_>| group.delete_object(&name, &key, &condition);
        match self.objects.change(Vec::new(), decide).await.map_err(unavailable)? {
            ObjectPut::Stored(old) => {
                if let Some(old) = old {
                    self.objects.release(&bucket.name, old);
                }
                Ok(())
            }
            refused => Err(conditions::refused(&refused)),
        }
    }

    /// Each key is asked about, and has an outcome of its own.
    pub(super) async fn delete_several(&self, request: S3Request<DeleteObjectsInput>) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let (input, extensions) = (&request.input, &request.extensions);
        if input.delete.objects.is_empty() || input.delete.objects.len() > MOST_KEYS {
            return Err(error(
                S3ErrorCode::MalformedXML,
                "The XML you provided was not well-formed or did not validate against our published schema",
            ));
        }
        let bucket = self.objects.bucket(&input.bucket).await.map_err(unavailable)?.ok_or_else(no_bucket)?;
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for object in &input.delete.objects {
            let ask = DeleteAsk { bucket: input.bucket.clone(), key: object.key.clone() };
            let condition = object.e_tag.as_ref().map(|etag: &ETag| ObjectCondition::Etag(etag.value().to_owned())).unwrap_or_default();
            let outcome = match self.reach_in(extensions, &bucket, &ask).await {
                Ok(()) => self.delete_key(&bucket, &object.key, object.version_id.as_deref(), condition).await,
                Err(why) => Err(why),
            };
            match outcome {
                Ok(()) => deleted.push(DeletedObject { key: Some(object.key.clone()), ..DeletedObject::default() }),
                Err(why) => errors.push(Error {
                    code: Some(why.code().as_str().to_owned()),
                    key: Some(object.key.clone()),
                    message: why.message().map(str::to_owned),
                    version_id: object.version_id.clone(),
                }),
            }
        }
        let is_quiet = input.delete.quiet == Some(true);
        let deleted = Some(deleted).filter(|_| !is_quiet);
        Ok(S3Response::new(DeleteObjectsOutput { deleted, errors: Some(errors), ..DeleteObjectsOutput::default() }))
    }
}
