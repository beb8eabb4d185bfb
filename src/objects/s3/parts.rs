//! Parts of uploads: UploadPart, UploadPartCopy, ListParts.

use s3s::dto::{
    CopyPartResult, ETag, ListPartsInput, ListPartsOutput, Part, Range, UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput,
    UploadPartOutput,
};
use s3s::{S3Request, S3Response, S3Result};

use super::conditions::{ReadConditions, timestamp};
use super::errors::{invalid, no_upload, unavailable};
use super::list::limit;
use super::operations::S3Objects;
use super::put::set_checksum;
use super::receive::{Announced, Received, receive};
use crate::store::{MOST_PARTS, StoredPart, Upload, UploadState};

/// Parts of a page.
const MOST_LISTED: usize = 1000;

fn part_number(number: i32) -> S3Result<u16> {
    let number = u16::try_from(number).ok().filter(|number| (1..=MOST_PARTS).contains(number));
    number.ok_or_else(|| invalid("Part number must be an integer between 1 and 10000, inclusive"))
}

impl S3Objects {
    /// An upload that takes parts. It is looked at before a body is read.
    async fn open_upload(&self, bucket: &str, key: &str, id: &str) -> S3Result<Upload> {
        let upload = self.objects.upload(bucket, key, id).await.map_err(unavailable)?;
        upload.filter(|upload| upload.state == UploadState::Open).ok_or_else(no_upload)
    }

    pub(super) async fn part(&self, mut request: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        self.reach(&request.extensions, &request.input.bucket, &request.input).await?;
        let input = &mut request.input;
        let number = part_number(input.part_number)?;
        let upload = self.open_upload(&input.bucket, &input.key, &input.upload_id).await?;
        let named = input.checksum_algorithm.as_ref().map(|algorithm| algorithm.as_str().to_owned());
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
            algorithm: named.or(upload.checksum_algorithm),
            trailing: request.trailing_headers.take(),
        };
        let received = receive(&self.objects, input.body.take(), announced, &request.headers).await?;
        let part = self.store_part(&input.bucket, &input.key, &input.upload_id, number, received).await?;
        let mut output = UploadPartOutput { e_tag: Some(ETag::Strong(part.etag.clone())), ..UploadPartOutput::default() };
        set_checksum!(output, &part.checksum);
        Ok(S3Response::new(output))
    }

    pub(super) async fn copy_part(&self, request: S3Request<UploadPartCopyInput>) -> S3Result<S3Response<UploadPartCopyOutput>> {
        let input = &request.input;
        self.reach(&request.extensions, &input.bucket, input).await?;
        let number = part_number(input.part_number)?;
        let upload = self.open_upload(&input.bucket, &input.key, &input.upload_id).await?;
        let range = input.copy_source_range.as_deref().map(Range::parse).transpose();
        let range = range.map_err(|_| invalid("The x-amz-copy-source-range value must be of the form bytes=first-last"))?;
        let conditions = ReadConditions {
            if_match: input.copy_source_if_match.as_ref(),
            if_none_match: input.copy_source_if_none_match.as_ref(),
            if_modified_since: input.copy_source_if_modified_since.as_ref(),
            if_unmodified_since: input.copy_source_if_unmodified_since.as_ref(),
        };
        let (_, body, bytes) = self.source(&request.extensions, &input.copy_source, &conditions, range.as_ref()).await?;
        let announced = Announced { bytes: i64::try_from(bytes).ok(), algorithm: upload.checksum_algorithm, ..Announced::default() };
        let received = receive(&self.objects, Some(body), announced, &http::HeaderMap::new()).await?;
        let part = self.store_part(&input.bucket, &input.key, &input.upload_id, number, received).await?;
        let (e_tag, last_modified) = (Some(ETag::Strong(part.etag.clone())), Some(timestamp(part.stored_ms)));
        let mut result = CopyPartResult { e_tag, last_modified, ..CopyPartResult::default() };
        set_checksum!(result, &part.checksum);
        Ok(S3Response::new(UploadPartCopyOutput { copy_part_result: Some(result), ..UploadPartCopyOutput::default() }))
    }

    /// Commits a part whose bytes are on disk.
    async fn store_part(&self, bucket: &str, key: &str, id: &str, number: u16, received: Received) -> S3Result<StoredPart> {
        let Received { claim, bytes, etag, checksum } = received;
        let part = StoredPart { blob: claim.id.clone(), bytes, etag, checksum, stored_ms: self.objects.clock.unix_ms() };
        let decide = {
            let (bucket, key, id, part) = (bucket.to_owned(), key.to_owned(), id.to_owned(), part.clone());
            move |group: &mut crate::store::Group<'_>| group.put_part(&bucket, &key, &id, number, &part)
        };
        match self.objects.change(vec![claim], decide).await.map_err(unavailable)? {
            Some(old) => {
                let objects = self.objects.clone();
                tokio::spawn(async move { objects.forget(old.into_iter().collect()).await });
                Ok(part)
            }
            None => {
                self.objects.forget(vec![part.blob]).await;
                Err(no_upload())
            }
        }
    }

    pub(super) async fn parts(&self, request: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        let input = &request.input;
        self.reach(&request.extensions, &input.bucket, input).await?;
        self.open_upload(&input.bucket, &input.key, &input.upload_id).await?;
        let limit = limit(input.max_parts, MOST_LISTED)?;
        let after = u16::try_from(input.part_number_marker.unwrap_or(0).clamp(0, i32::from(MOST_PARTS))).unwrap_or(MOST_PARTS);
        let (bucket, id) = (input.bucket.clone(), input.upload_id.clone());
        let read = move |store: &crate::store::Store| store.parts(&bucket, &id, after, limit + 1);
        let mut found = self.objects.read(read).await.map_err(unavailable)?;
        let is_truncated = found.len() > limit;
        found.truncate(limit);
        let next = found.last().map(|(number, _)| i32::from(*number));
        let parts = found.into_iter().map(|(number, stored)| {
            let mut part = Part {
                e_tag: Some(ETag::Strong(stored.etag.clone())),
                last_modified: Some(timestamp(stored.stored_ms)),
                part_number: Some(i32::from(number)),
                size: i64::try_from(stored.bytes).ok(),
                ..Part::default()
            };
            set_checksum!(part, &stored.checksum);
            part
        });
        Ok(S3Response::new(ListPartsOutput {
            bucket: Some(input.bucket.clone()),
            key: Some(input.key.clone()),
            upload_id: Some(input.upload_id.clone()),
            is_truncated: Some(is_truncated),
            max_parts: i32::try_from(limit).ok(),
            part_number_marker: Some(i32::from(after)),
            next_part_number_marker: next,
            parts: Some(parts.collect()),
            ..ListPartsOutput::default()
        }))
    }
}
