//! PutObject.

use s3s::dto::{Metadata, PutObjectInput, PutObjectOutput, Timestamp};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result};

use super::conditions::{self, etag};
use super::errors::{error, unavailable};
use super::operations::S3Objects;
use super::receive::{Announced, Received, receive};
use crate::objects::blob_folder::BlobClaim;
use crate::store::{ObjectBody, ObjectCondition, ObjectHeaders, ObjectPut, StoredChecksum, StoredObject};

/// Bytes of the names and values of an object's own metadata together. Source: "Working with object metadata" (Amazon S3 User Guide).
const METADATA_BYTES: usize = 2048;

/// Bytes of each header that is sent back with an object.
const HEADER_BYTES: usize = 2048;

/// Bytes of a key. Source: "Naming Amazon S3 objects".
const KEY_BYTES: usize = 1024;

pub(super) fn check_key(key: &str) -> S3Result<()> {
    match key.len() {
        0 => Err(error(S3ErrorCode::InvalidArgument, "The key is empty")),
        1..=KEY_BYTES => Ok(()),
        _ => Err(error(S3ErrorCode::KeyTooLongError, "Your key is too long")),
    }
}

/// What is sent back with an object, within its bounds.
pub(super) fn headers(texts: [Option<String>; 5], expires: Option<&Timestamp>, metadata: Option<Metadata>) -> S3Result<ObjectHeaders> {
    let mut user: Vec<(String, String)> = metadata.into_iter().flatten().collect();
    user.sort_unstable();
    let metadata_bytes: usize = user.iter().map(|(name, value)| name.len() + value.len()).sum();
    if metadata_bytes > METADATA_BYTES || texts.iter().flatten().any(|text| text.len() > HEADER_BYTES) {
        return Err(error(S3ErrorCode::MetadataTooLarge, "Your metadata headers exceed the maximum allowed metadata size"));
    }
    let [content_type, cache_control, content_disposition, content_encoding, content_language] = texts;
    // Chunks are of the transfer, and not of the object.
    let content_encoding = content_encoding
        .map(|names| names.split(',').map(str::trim).filter(|name| *name != "aws-chunked").collect::<Vec<_>>().join(","))
        .filter(|names| !names.is_empty());
    let expires_s = expires.map(conditions::seconds);
    Ok(ObjectHeaders { content_type, cache_control, content_disposition, content_encoding, content_language, expires_s, user })
}

/// The checksum of an object or a part under its algorithm's name, in an answer of any kind.
macro_rules! set_checksum {
    ($output:ident, $checksum:expr) => {
        if let Some(crate::store::StoredChecksum { algorithm, value }) = $checksum {
            match algorithm.as_str() {
                "CRC32" => $output.checksum_crc32 = Some(value.clone()),
                "CRC32C" => $output.checksum_crc32c = Some(value.clone()),
                "CRC64NVME" => $output.checksum_crc64nvme = Some(value.clone()),
                "SHA1" => $output.checksum_sha1 = Some(value.clone()),
                "SHA256" => $output.checksum_sha256 = Some(value.clone()),
                _ => {}
            }
        }
    };
}
pub(super) use set_checksum;

/// Whether a checksum is of the bytes, or of the checksums of parts.
pub(super) fn checksum_type(checksum: &StoredChecksum) -> s3s::dto::ChecksumType {
    let name = if checksum.value.contains('-') { s3s::dto::ChecksumType::COMPOSITE } else { s3s::dto::ChecksumType::FULL_OBJECT };
    s3s::dto::ChecksumType::from_static(name)
}

impl S3Objects {
    pub(super) async fn put(&self, mut request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        check_key(&request.input.key)?;
        self.reach(&request.extensions, &request.input.bucket, &request.input).await?;
        let condition = conditions::of_put(request.input.if_match.as_ref(), request.input.if_none_match.as_ref())?;
        let input = &mut request.input;
        let texts = [
            input.content_type.take(),
            input.cache_control.take(),
            input.content_disposition.take(),
            input.content_encoding.take(),
            input.content_language.take(),
        ];
        let headers = headers(texts, input.expires.as_ref(), input.metadata.take())?;
        let announced = Announced {
            bytes: input.content_length,
            md5: input.content_md5.take(),
            checksums: [
                input.checksum_crc32.take(),
                input.checksum_crc32c.take(),
                input.checksum_crc64nvme.take(),
                input.checksum_sha1.take(),
                input.checksum_sha256.take(),
            ],
            algorithm: input.checksum_algorithm.as_ref().map(|algorithm| algorithm.as_str().to_owned()),
            trailing: request.trailing_headers.take(),
        };
        let received = receive(&self.objects, input.body.take(), announced, &request.headers).await?;
        let (bucket, key) = (request.input.bucket, request.input.key);
        let object = self.store(&bucket, &key, received, headers, condition).await?;
        let mut output = PutObjectOutput { e_tag: Some(etag(&object)), ..PutObjectOutput::default() };
        set_checksum!(output, &object.checksum);
        output.checksum_type = object.checksum.as_ref().map(checksum_type);
        Ok(S3Response::new(output))
    }

    /// Commits an object whose bytes are on disk.
    pub(super) async fn store(
        &self,
        bucket: &str,
        key: &str,
        received: Received,
        headers: ObjectHeaders,
        condition: ObjectCondition,
    ) -> S3Result<StoredObject> {
        let Received { claim, bytes, etag, checksum } = received;
        let (blob, stored_ms) = (claim.id.clone(), self.objects.clock.unix_ms());
        let object = StoredObject { bytes, etag, stored_ms, checksum, headers, body: ObjectBody::Blob(blob.clone()) };
        let decide = {
            let (bucket, key, object) = (bucket.to_owned(), key.to_owned(), object.clone());
            move |group: &mut crate::store::Group<'_>| group.put_object(&bucket, &key, &object, &condition)
        };
        let outcome = self.change_blob(claim, decide).await?;
        self.settle(bucket, outcome, blob).await?;
        Ok(object)
    }

    async fn change_blob(
        &self,
        claim: BlobClaim,
        decide: impl Fn(&mut crate::store::Group<'_>) -> Result<ObjectPut, crate::store::StoreError> + Send + 'static,
    ) -> S3Result<ObjectPut> {
        self.objects.change(vec![claim], decide).await.map_err(unavailable)
    }

    /// Deletes the files that nobody has bytes in any more: those of before, or the new one if it was refused.
    async fn settle(&self, bucket: &str, outcome: ObjectPut, blob: String) -> S3Result<()> {
        match outcome {
            ObjectPut::Stored(None) => Ok(()),
            ObjectPut::Stored(Some(old)) => {
                self.objects.release(bucket, old);
                Ok(())
            }
            refused => {
                self.objects.forget(vec![blob]).await;
                Err(conditions::refused(&refused))
            }
        }
    }
}
