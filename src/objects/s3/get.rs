//! GetObject and HeadObject, with ranges and conditions.

use s3s::dto::{GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, Metadata, Range, StreamingBlob};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::conditions::{ReadConditions, etag, timestamp};
use super::errors::{error, no_key, of_io, unavailable};
use super::operations::S3Objects;
use super::put::{checksum_type, set_checksum};
use super::reach::PresenceAsk;
use crate::objects::blob_reader;
use crate::store::{Bucket, ObjectBody, StoredObject, UploadState};

/// What an object without a type is sent as.
const DEFAULT_TYPE: &str = "binary/octet-stream";

/// The answer to both, from a stored object.
macro_rules! describe {
    ($output:ident, $object:expr, $wants_checksum:expr) => {
        let object: &StoredObject = $object;
        $output.accept_ranges = Some("bytes".to_owned());
        $output.e_tag = Some(etag(object));
        $output.last_modified = Some(timestamp(object.stored_ms));
        $output.content_type = Some(object.headers.content_type.clone().unwrap_or_else(|| DEFAULT_TYPE.to_owned()));
        $output.cache_control.clone_from(&object.headers.cache_control);
        $output.content_disposition.clone_from(&object.headers.content_disposition);
        $output.content_encoding.clone_from(&object.headers.content_encoding);
        $output.content_language.clone_from(&object.headers.content_language);
        $output.expires = object.headers.expires_s.and_then(|s| u64::try_from(s).ok()).map(|s| timestamp(s.saturating_mul(1000)));
        $output.metadata = Some(object.headers.user.iter().cloned().collect::<Metadata>());
        if $wants_checksum {
            set_checksum!($output, &object.checksum);
            $output.checksum_type = object.checksum.as_ref().map(checksum_type);
        }
    };
}

impl S3Objects {
    pub(super) async fn get(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = &request.input;
        let bucket = self.reach(&request.extensions, &input.bucket, input).await?;
        let conditions = ReadConditions {
            if_match: input.if_match.as_ref(),
            if_none_match: input.if_none_match.as_ref(),
            if_modified_since: input.if_modified_since.as_ref(),
            if_unmodified_since: input.if_unmodified_since.as_ref(),
        };
        if input.version_id.as_deref().is_some_and(|version| version != "null") || input.part_number.is_some() {
            return Err(error(S3ErrorCode::NotImplemented, "Versions and single parts of objects are not implemented"));
        }
        // Twice: between reading the row and opening its file the object may be replaced.
        for is_last in [false, true] {
            let object = self.present(&request.extensions, &bucket, &input.key).await?;
            conditions.check(&object)?;
            let (wanted, content_range) = wanted(input.range.as_ref(), object.bytes)?;
            let files = self.files(&input.bucket, &input.key, &object).await?;
            let parts = blob_reader::ranges(files, &wanted);
            let stream = match blob_reader::read(self.objects.blobs.clone(), parts).await {
                Ok(stream) => stream,
                Err(why) if why.kind() == std::io::ErrorKind::NotFound && !is_last => continue,
                Err(why) => return Err(of_io(&why)),
            };
            let mut output = GetObjectOutput::default();
            let is_whole = content_range.is_none();
            describe!(output, &object, input.checksum_mode.is_some() && is_whole);
            output.content_length = i64::try_from(wanted.end - wanted.start).ok();
            output.content_range = content_range;
            output.body = Some(StreamingBlob::wrap(stream));
            return Ok(S3Response::new(output));
        }
        Err(no_key())
    }

    pub(super) async fn head(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = &request.input;
        let bucket = self.reach(&request.extensions, &input.bucket, input).await?;
        let object = self.present(&request.extensions, &bucket, &input.key).await?;
        let conditions = ReadConditions {
            if_match: input.if_match.as_ref(),
            if_none_match: input.if_none_match.as_ref(),
            if_modified_since: input.if_modified_since.as_ref(),
            if_unmodified_since: input.if_unmodified_since.as_ref(),
        };
        conditions.check(&object)?;
        let (wanted, content_range) = wanted(input.range.as_ref(), object.bytes)?;
        let mut output = HeadObjectOutput::default();
        let is_whole = content_range.is_none();
        describe!(output, &object, input.checksum_mode.is_some() && is_whole);
        output.content_length = i64::try_from(wanted.end - wanted.start).ok();
        output.content_range = content_range;
        Ok(S3Response::new(output))
    }

    /// An object that must be there. Who may not list the bucket does not learn that it is not.
    pub(super) async fn present(&self, extensions: &http::Extensions, bucket: &Bucket, key: &str) -> S3Result<StoredObject> {
        if let Some(object) = self.objects.object(&bucket.name, key).await.map_err(unavailable)? {
            return Ok(object);
        }
        let ask = PresenceAsk { bucket: bucket.name.clone(), key: key.to_owned() };
        self.reach_in(extensions, bucket, &ask).await.map_err(|why| match why.code() {
            S3ErrorCode::AccessDenied => error(S3ErrorCode::AccessDenied, "Access Denied"),
            _ => why,
        })?;
        Err(no_key())
    }

    /// The files that an object's bytes are in, in order, each with its size.
    pub(super) async fn files(&self, bucket: &str, key: &str, object: &StoredObject) -> S3Result<Vec<(String, u64)>> {
        match &object.body {
            ObjectBody::Blob(blob) => Ok(vec![(blob.clone(), object.bytes)]),
            ObjectBody::Upload(id) => {
                let parts = self.objects.parts(bucket, id).await.map_err(unavailable)?;
                let upload = self.objects.upload(bucket, key, id).await.map_err(unavailable)?;
                let Some(UploadState::Completed(bits)) = upload.map(|upload| upload.state) else { return Err(no_key()) };
                Ok(parts.into_iter().filter(|(number, _)| bits.has(*number)).map(|(_, part)| (part.blob, part.bytes)).collect())
            }
        }
    }
}

/// The bytes that are asked for, and how the answer names them if they are not all.
pub(super) fn wanted(range: Option<&Range>, bytes: u64) -> S3Result<(std::ops::Range<u64>, Option<String>)> {
    let Some(range) = range else { return Ok((0..bytes, None)) };
    let wanted = range.check(bytes).map_err(|_| not_satisfiable(bytes))?;
    let name = format!("bytes {}-{}/{bytes}", wanted.start, wanted.end.saturating_sub(1));
    Ok((wanted, Some(name)))
}

fn not_satisfiable(bytes: u64) -> S3Error {
    let mut error = error(S3ErrorCode::InvalidRange, "The requested range is not satisfiable");
    if let Ok(value) = format!("bytes */{bytes}").parse() {
        error.set_headers(http::HeaderMap::from_iter([(http::header::CONTENT_RANGE, value)]));
    }
    error
}
