//! Uploads in parts: begin, complete, abort, list. Source: "Uploading and copying objects using multipart upload" (Amazon S3 User Guide).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumType, CompleteMultipartUploadInput, CompleteMultipartUploadOutput,
    CompletedPart, CreateMultipartUploadInput, CreateMultipartUploadOutput, ListMultipartUploadsInput, ListMultipartUploadsOutput,
    MultipartUpload,
};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result};

use super::conditions::{self, etag, timestamp};
use super::errors::{error, no_bucket, no_upload, unavailable};
use super::list::{check_encoding, encoded, limit};
use super::operations::S3Objects;
use super::put::{check_key, checksum_type, headers, set_checksum};
use super::receive::{checksum_of, hex};
use crate::store::{DoneUpload, ObjectBody, ObjectPut, PartBits, StoredChecksum, StoredObject, StoredPart, Upload, UploadState};

/// Bytes that every part but the last one has at least.
const MIN_PART_BYTES: u64 = 5 << 20;

/// The largest object. Source: "Amazon S3 multipart upload limits".
const MAX_OBJECT_BYTES: u64 = 50 << 40;

/// Uploads of a page.
const MOST_UPLOADS: usize = 1000;

/// The id of a new upload: 32 hexadecimal digits.
fn new_id() -> S3Result<String> {
    let chance = || getrandom::u64().map_err(|_| unavailable(crate::committer::Unavailable::Now));
    Ok(format!("{:016x}{:016x}", chance()?, chance()?))
}

impl S3Objects {
    pub(super) async fn begin(
        &self,
        mut request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        check_key(&request.input.key)?;
        self.reach(&request.extensions, &request.input.bucket, &request.input).await?;
        let input = &mut request.input;
        if input.checksum_type.as_ref().is_some_and(|kind| kind.as_str() != ChecksumType::COMPOSITE) {
            return Err(error(S3ErrorCode::NotImplemented, "A checksum of a whole object in parts is not implemented; use COMPOSITE"));
        }
        let texts = [
            input.content_type.take(),
            input.cache_control.take(),
            input.content_disposition.take(),
            input.content_encoding.take(),
            input.content_language.take(),
        ];
        let headers = headers(texts, input.expires.as_ref(), input.metadata.take())?;
        let checksum_algorithm = input.checksum_algorithm.as_ref().map(|algorithm| algorithm.as_str().to_owned());
        let made_ms = self.objects.clock.unix_ms();
        let upload = Upload { made_ms, headers, checksum_algorithm, revision: 0, state: UploadState::Open };
        let (bucket, key, id) = (input.bucket.clone(), input.key.clone(), new_id()?);
        let decide = {
            let (bucket, key, id) = (bucket.clone(), key.clone(), id.clone());
            move |group: &mut crate::store::Group<'_>| group.begin_upload(&bucket, &key, &id, &upload)
        };
        if !self.objects.change(Vec::new(), decide).await.map_err(unavailable)? {
            return Err(no_bucket());
        }
        let checksum_type = input.checksum_algorithm.as_ref().map(|_| ChecksumType::from_static(ChecksumType::COMPOSITE));
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(bucket),
            key: Some(key),
            upload_id: Some(id),
            checksum_algorithm: input.checksum_algorithm.take(),
            checksum_type,
            ..CreateMultipartUploadOutput::default()
        }))
    }

    pub(super) async fn complete(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = &request.input;
        self.reach(&request.extensions, &input.bucket, input).await?;
        let condition = conditions::of_put(input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let (bucket, key, id) = (input.bucket.clone(), input.key.clone(), input.upload_id.clone());
        let upload = self.objects.upload(&bucket, &key, &id).await.map_err(unavailable)?.ok_or_else(no_upload)?;
        let stored = self.objects.parts(&bucket, &id).await.map_err(unavailable)?;
        let named = input.multipart_upload.as_ref().and_then(|upload| upload.parts.as_deref()).unwrap_or_default();
        if upload.state != UploadState::Open {
            return Err(no_upload());
        }
        let parts = chosen(named, &stored)?;
        let object = assembled(&upload, &parts, self.objects.clock.unix_ms())?;
        if input.mpu_object_size.is_some_and(|bytes| u64::try_from(bytes) != Ok(object.bytes)) {
            return Err(error(
                S3ErrorCode::InvalidRequest,
                "The provided MpuObjectSize header value does not match the actual object size",
            ));
        }
        let numbers = parts.iter().map(|(number, _)| *number);
        let done = DoneUpload { id, revision: upload.revision, parts: PartBits::of(numbers), object: object.clone() };
        let unused = stored.iter().filter(|(number, _)| !done.parts.has(*number)).map(|(_, part)| part.blob.clone()).collect();
        let decide = {
            let (bucket, key) = (bucket.clone(), key.clone());
            move |group: &mut crate::store::Group<'_>| group.complete_upload(&bucket, &key, &done, &condition)
        };
        match self.objects.change(Vec::new(), decide).await.map_err(unavailable)? {
            ObjectPut::Stored(old) => {
                if let Some(old) = old {
                    self.objects.release(&bucket, old);
                }
                let objects = self.objects.clone();
                tokio::spawn(async move { objects.forget(unused).await });
            }
            refused => return Err(conditions::refused(&refused)),
        }
        let mut output = CompleteMultipartUploadOutput {
            location: Some(format!("/{bucket}/{}", encoded(&key, Some(&s3s::dto::EncodingType::from_static("url"))))),
            bucket: Some(bucket),
            key: Some(key),
            e_tag: Some(etag(&object)),
            ..CompleteMultipartUploadOutput::default()
        };
        set_checksum!(output, &object.checksum);
        output.checksum_type = object.checksum.as_ref().map(checksum_type);
        Ok(S3Response::new(output))
    }

    pub(super) async fn abort(&self, request: S3Request<AbortMultipartUploadInput>) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = &request.input;
        self.reach(&request.extensions, &input.bucket, input).await?;
        let (bucket, key, id) = (input.bucket.clone(), input.key.clone(), input.upload_id.clone());
        let decide = move |group: &mut crate::store::Group<'_>| group.abort_upload(&bucket, &key, &id);
        if !self.objects.change(Vec::new(), decide).await.map_err(unavailable)? {
            return Err(no_upload());
        }
        self.objects.release(&input.bucket, ObjectBody::Upload(input.upload_id.clone()));
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    pub(super) async fn uploads(&self, request: S3Request<ListMultipartUploadsInput>) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let input = &request.input;
        self.reach(&request.extensions, &input.bucket, input).await?;
        check_encoding(input.encoding_type.as_ref())?;
        if input.delimiter.as_deref().is_some_and(|delimiter| !delimiter.is_empty()) {
            return Err(error(S3ErrorCode::NotImplemented, "A delimiter of uploads is not implemented"));
        }
        let limit = limit(input.max_uploads, MOST_UPLOADS)?.max(1);
        let (bucket, prefix) = (input.bucket.clone(), input.prefix.clone().unwrap_or_default());
        // A marker without an id is behind all uploads of its key.
        let marker = input.key_marker.clone().filter(|key| !key.is_empty());
        let after = marker.map(|key| (key, input.upload_id_marker.clone().unwrap_or_else(|| "g".to_owned())));
        let read = move |store: &crate::store::Store| {
            let (mut open, mut after) = (Vec::new(), after);
            // Completed uploads stand among them, as the parts of objects: one read passes over a bounded number of them.
            for _ in 0..16 {
                let behind = after.as_ref().map(|(key, id)| (key.as_str(), id.as_str()));
                let some = store.uploads(&bucket, &prefix, behind, limit + 1)?;
                let is_last = some.len() <= limit;
                after = some.last().map(|(key, id, _)| (key.clone(), id.clone()));
                open.extend(some.into_iter().filter(|(_, _, upload)| upload.state == UploadState::Open));
                if is_last || open.len() > limit {
                    return Ok((open, None));
                }
            }
            Ok((open, after))
        };
        let (mut open, left_at) = self.objects.read(read).await.map_err(unavailable)?;
        let is_truncated = open.len() > limit || left_at.is_some();
        open.truncate(limit);
        let next = left_at.or_else(|| open.last().map(|(key, id, _)| (key.clone(), id.clone()))).filter(|_| is_truncated);
        let encoding = input.encoding_type.as_ref();
        let uploads = open.into_iter().map(|(key, id, upload)| MultipartUpload {
            initiated: Some(timestamp(upload.made_ms)),
            key: Some(encoded(&key, encoding)),
            upload_id: Some(id),
            ..MultipartUpload::default()
        });
        Ok(S3Response::new(ListMultipartUploadsOutput {
            bucket: Some(input.bucket.clone()),
            encoding_type: input.encoding_type.clone(),
            is_truncated: Some(is_truncated),
            key_marker: input.key_marker.clone(),
            max_uploads: i32::try_from(limit).ok(),
            next_key_marker: next.as_ref().map(|(key, _)| encoded(key, encoding)),
            next_upload_id_marker: next.map(|(_, id)| id),
            prefix: input.prefix.as_deref().map(|prefix| encoded(prefix, encoding)),
            upload_id_marker: input.upload_id_marker.clone(),
            uploads: Some(uploads.collect()),
            ..ListMultipartUploadsOutput::default()
        }))
    }
}

/// The parts that a request names, in ascending order, as they are stored.
fn chosen<'a>(named: &[CompletedPart], stored: &'a [(u16, StoredPart)]) -> S3Result<Vec<&'a (u16, StoredPart)>> {
    if named.is_empty() {
        return Err(error(
            S3ErrorCode::MalformedXML,
            "The XML you provided was not well-formed or did not validate against our published schema",
        ));
    }
    let invalid = || {
        let words = "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.";
        error(S3ErrorCode::InvalidPart, words)
    };
    let mut found: Vec<&(u16, StoredPart)> = Vec::new();
    for part in named {
        let number = part.part_number.and_then(|number| u16::try_from(number).ok()).ok_or_else(invalid)?;
        if found.last().is_some_and(|(last, _)| *last >= number) {
            return Err(error(
                S3ErrorCode::InvalidPartOrder,
                "The list of parts was not in ascending order. Parts must be ordered by part number.",
            ));
        }
        let at = stored.binary_search_by_key(&number, |(number, _)| *number).map_err(|_| invalid())?;
        let there = stored.get(at).ok_or_else(invalid)?;
        if part.e_tag.as_ref().is_none_or(|etag| etag.value() != there.1.etag) {
            return Err(invalid());
        }
        let sent = [&part.checksum_crc32, &part.checksum_crc32c, &part.checksum_crc64nvme, &part.checksum_sha1, &part.checksum_sha256];
        let computed = there.1.checksum.as_ref().map(|checksum| &checksum.value);
        if sent.into_iter().flatten().any(|sent| Some(sent) != computed) {
            return Err(invalid());
        }
        found.push(there);
    }
    let too_small = found.iter().rev().skip(1).any(|(_, part)| part.bytes < MIN_PART_BYTES);
    match too_small {
        true => Err(error(S3ErrorCode::EntityTooSmall, "Your proposed upload is smaller than the minimum allowed size")),
        false => Ok(found),
    }
}

/// The object of these parts: its ETag and its checksum are of those of its parts.
fn assembled(upload: &Upload, parts: &[&(u16, StoredPart)], now_ms: u64) -> S3Result<StoredObject> {
    let bytes = parts.iter().map(|(_, part)| part.bytes).sum();
    if bytes > MAX_OBJECT_BYTES {
        return Err(error(S3ErrorCode::EntityTooLarge, "Your proposed upload exceeds the maximum allowed size"));
    }
    let mut md5 = Md5::new();
    for (_, part) in parts {
        md5.update(&unhex(&part.etag));
    }
    let etag = format!("{}-{}", hex(&md5.finalize()), parts.len());
    let checksums: Option<Vec<u8>> = parts.iter().try_fold(Vec::new(), |mut all, (_, part)| {
        let checksum = part.checksum.as_ref().filter(|checksum| Some(&checksum.algorithm) == upload.checksum_algorithm.as_ref())?;
        all.extend(STANDARD.decode(&checksum.value).ok()?);
        Some(all)
    });
    let checksum = upload.checksum_algorithm.as_ref().zip(checksums).and_then(|(algorithm, checksums)| {
        let value = checksum_of(algorithm, &checksums)?;
        Some(StoredChecksum { algorithm: algorithm.clone(), value: format!("{value}-{}", parts.len()) })
    });
    let (headers, body) = (upload.headers.clone(), ObjectBody::Upload(String::new()));
    Ok(StoredObject { bytes, etag, stored_ms: now_ms, checksum, headers, body })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    (0..text.len()).step_by(2).map_while(digits).collect()
}
