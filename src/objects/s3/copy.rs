//! Copies: the source is asked about as if it were read by the same caller.

use s3s::dto::{CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, MetadataDirective, StreamingBlob};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result};

use super::conditions::{ReadConditions, etag, timestamp};
use super::errors::{error, invalid, of_io};
use super::operations::S3Objects;
use super::put::{check_key, checksum_type, headers, set_checksum};
use super::reach::SourceAsk;
use super::receive::{Announced, receive};
use crate::objects::blob_reader;
use crate::store::{ObjectCondition, StoredObject};

impl S3Objects {
    /// The bytes of a copy's source, or of a range of it, as the caller may read them.
    pub(super) async fn source(
        &self,
        extensions: &http::Extensions,
        source: &CopySource,
        conditions: &ReadConditions<'_>,
        range: Option<&s3s::dto::Range>,
    ) -> S3Result<(StoredObject, StreamingBlob, u64)> {
        let CopySource::Bucket { bucket, key, version_id: None } = source else {
            return Err(error(S3ErrorCode::NotImplemented, "Only the current objects of buckets can be copied"));
        };
        let ask = SourceAsk { bucket: bucket.to_string(), key: key.to_string() };
        let of = self.reach(extensions, bucket, &ask).await?;
        let object = self.present(extensions, &of, key).await?;
        conditions.check(&object).map_err(|_| super::errors::condition_failed())?;
        let (wanted, _) = super::get::wanted(range, object.bytes)?;
        let parts = blob_reader::ranges(self.files(bucket, key, &object).await?, &wanted);
        let stream = blob_reader::read(self.objects.blobs.clone(), parts).await.map_err(|why| of_io(&why))?;
        Ok((object, StreamingBlob::wrap(stream), wanted.end - wanted.start))
    }

    pub(super) async fn copy(&self, mut request: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        check_key(&request.input.key)?;
        self.reach(&request.extensions, &request.input.bucket, &request.input).await?;
        let input = &mut request.input;
        let conditions = ReadConditions {
            if_match: input.copy_source_if_match.as_ref(),
            if_none_match: input.copy_source_if_none_match.as_ref(),
            if_modified_since: input.copy_source_if_modified_since.as_ref(),
            if_unmodified_since: input.copy_source_if_unmodified_since.as_ref(),
        };
        let (source, body, bytes) = self.source(&request.extensions, &input.copy_source, &conditions, None).await?;
        let replaces = input.metadata_directive.as_ref().is_some_and(|directive| directive.as_str() == MetadataDirective::REPLACE);
        let of_itself =
            matches!(&input.copy_source, CopySource::Bucket { bucket, key, .. } if **bucket == *input.bucket && **key == *input.key);
        if of_itself && !replaces {
            return Err(error(
                S3ErrorCode::InvalidRequest,
                "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, \
                 storage class, website redirect location or encryption attributes.",
            ));
        }
        if bytes > 5 << 30 {
            return Err(invalid("The specified copy source is larger than the maximum allowable size for a copy source: 5368709120"));
        }
        let texts = [
            input.content_type.take(),
            input.cache_control.take(),
            input.content_disposition.take(),
            input.content_encoding.take(),
            input.content_language.take(),
        ];
        let headers = match replaces {
            true => headers(texts, input.expires.as_ref(), input.metadata.take())?,
            false => source.headers.clone(),
        };
        let named = input.checksum_algorithm.as_ref().map(|algorithm| algorithm.as_str().to_owned());
        let algorithm = named.or_else(|| source.checksum.as_ref().map(|checksum| checksum.algorithm.clone()));
        let announced = Announced { bytes: i64::try_from(bytes).ok(), algorithm, ..Announced::default() };
        let received = receive(&self.objects, Some(body), announced, &http::HeaderMap::new()).await?;
        let object = self.store(&input.bucket, &input.key, received, headers, ObjectCondition::Always).await?;
        let mut result = CopyObjectResult {
            e_tag: Some(etag(&object)),
            last_modified: Some(timestamp(object.stored_ms)),
            ..CopyObjectResult::default()
        };
        set_checksum!(result, &object.checksum);
        result.checksum_type = object.checksum.as_ref().map(checksum_type);
        Ok(S3Response::new(CopyObjectOutput { copy_object_result: Some(result), ..CopyObjectOutput::default() }))
    }
}
