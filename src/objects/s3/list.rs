//! ListObjectsV2.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{CommonPrefix, EncodingType, ListObjectsV2Input, ListObjectsV2Output, Object, ObjectStorageClass, Owner};
use s3s::{S3Request, S3Response, S3Result};

use super::conditions::{etag, timestamp};
use super::errors::{error, invalid, unavailable};
use super::operations::S3Objects;
use crate::objects::listing::{self, ListEntry, ListQuery};

/// Entries of a page. Source: ListObjectsV2 (Amazon S3 API Reference).
const MOST_ENTRIES: usize = 1000;

/// What stands for itself in a name that is encoded; a space becomes `%20`.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/').remove(b'*');

/// A name as the asked encoding has it. Other encodings than `url` there are none.
pub(super) fn encoded(name: &str, encoding: Option<&EncodingType>) -> String {
    match encoding {
        Some(_) => utf8_percent_encode(name, UNRESERVED).to_string(),
        None => name.to_owned(),
    }
}

/// A page's size as it was asked for.
pub(super) fn limit(asked: Option<i32>, most: usize) -> S3Result<usize> {
    let asked =
        asked.map(usize::try_from).transpose().map_err(|_| invalid("Argument max-keys must be an integer between 0 and 2147483647"))?;
    Ok(asked.unwrap_or(most).min(most))
}

pub(super) fn check_encoding(encoding: Option<&EncodingType>) -> S3Result<()> {
    match encoding {
        Some(encoding) if encoding.as_str() != EncodingType::URL => Err(invalid("Invalid Encoding Method specified in Request")),
        _ => Ok(()),
    }
}

impl S3Objects {
    pub(super) async fn list(&self, request: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = &request.input;
        let bucket = self.reach(&request.extensions, &input.bucket, input).await?;
        let encoding = input.encoding_type.as_ref();
        check_encoding(encoding)?;
        let limit = limit(input.max_keys, MOST_ENTRIES)?;
        let after = match &input.continuation_token {
            None => input.start_after.clone(),
            Some(token) => {
                let name = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                Some(name.ok_or_else(|| error(s3s::S3ErrorCode::InvalidArgument, "The continuation token provided is incorrect"))?)
            }
        };
        let (prefix, delimiter) = (input.prefix.clone().unwrap_or_default(), input.delimiter.clone().unwrap_or_default());
        let query = ListQuery { prefix, delimiter, after: after.filter(|after| !after.is_empty()), limit };
        let name = input.bucket.clone();
        let page = self.objects.read(move |store| listing::page(store, &name, &query));
        let (entries, is_truncated) = page.await.map_err(unavailable)?;
        let next = entries.last().filter(|_| is_truncated).map(|last| URL_SAFE_NO_PAD.encode(last.name()));
        let key_count = i32::try_from(entries.len()).ok();
        let owner = || (input.fetch_owner == Some(true)).then(|| Owner { display_name: None, id: Some(bucket.account.to_string()) });
        let (mut contents, mut common_prefixes) = (Vec::new(), Vec::new());
        for entry in entries {
            match entry {
                ListEntry::CommonPrefix(prefix) => common_prefixes.push(CommonPrefix { prefix: Some(encoded(&prefix, encoding)) }),
                ListEntry::Object(key, object) => contents.push(Object {
                    e_tag: Some(etag(&object)),
                    key: Some(encoded(&key, encoding)),
                    last_modified: Some(timestamp(object.stored_ms)),
                    owner: owner(),
                    size: i64::try_from(object.bytes).ok(),
                    storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
                    ..Object::default()
                }),
            }
        }
        let text = |text: &Option<String>| text.as_deref().map(|text| encoded(text, encoding));
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket.clone()),
            prefix: Some(text(&input.prefix).unwrap_or_default()),
            max_keys: i32::try_from(limit).ok(),
            key_count,
            continuation_token: input.continuation_token.clone(),
            is_truncated: Some(is_truncated),
            next_continuation_token: next,
            contents: Some(contents),
            common_prefixes: Some(common_prefixes),
            delimiter: text(&input.delimiter),
            encoding_type: input.encoding_type.clone(),
            start_after: text(&input.start_after),
            request_charged: None,
        }))
    }
}
