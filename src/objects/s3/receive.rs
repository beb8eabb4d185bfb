//! Takes the bytes of an object or a part, and compares them with what the sender says of them.
//! Source: "Checking object integrity" (Amazon S3 User Guide), Content-MD5 in PutObject.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use http::HeaderMap;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Sha1, Sha256};
use s3s::dto::{Checksum, StreamingBlob};
use s3s::{S3Error, S3ErrorCode, S3Result, TrailingHeaders};

use super::errors::{error, of_blob};
use crate::objects::Objects;
use crate::objects::blob_folder::BlobClaim;
use crate::objects::blob_writer::BlobWriter;
use crate::store::StoredChecksum;

/// The largest object or part that is sent at once. Source: "Uploading objects" (Amazon S3 User Guide).
const MAX_BYTES: u64 = 5 << 30;

/// The algorithms, as `x-amz-sdk-checksum-algorithm` and the names of headers have them.
const ALGORITHMS: [&str; 5] = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"];

/// What the sender says of the bytes.
#[derive(Default)]
pub(super) struct Announced {
    pub bytes: Option<i64>,
    pub md5: Option<String>,
    /// CRC32, CRC32C, CRC64NVME, SHA1, SHA256.
    pub checksums: [Option<String>; 5],
    pub algorithm: Option<String>,
    pub trailing: Option<TrailingHeaders>,
}

/// Bytes that are on disk and are what their sender says.
pub(super) struct Received {
    pub claim: BlobClaim,
    pub bytes: u64,
    /// The hexadecimal MD5.
    pub etag: String,
    pub checksum: Option<StoredChecksum>,
}

impl Announced {
    /// The algorithm of the checksum that is computed, by its place among [`ALGORITHMS`].
    fn algorithm(&self, headers: &HeaderMap) -> S3Result<Option<usize>> {
        let named = |name: &str| ALGORITHMS.iter().position(|algorithm| name.eq_ignore_ascii_case(algorithm));
        let mut found: Vec<usize> = (0..ALGORITHMS.len()).filter(|at| self.checksums[*at].is_some()).collect();
        let trailer = headers.get("x-amz-trailer").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let in_trailer = trailer.split(',').filter_map(|name| named(name.trim().to_ascii_lowercase().strip_prefix("x-amz-checksum-")?));
        found.extend(in_trailer);
        if found.is_empty() {
            found.extend(self.algorithm.as_deref().and_then(named));
        }
        found.dedup();
        match found.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(*one)),
            _ => Err(error(
                S3ErrorCode::InvalidRequest,
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
            )),
        }
    }
}

fn hasher(algorithm: Option<usize>) -> ChecksumHasher {
    let mut hasher = ChecksumHasher::default();
    match algorithm {
        Some(0) => hasher.crc32 = Some(Crc32::new()),
        Some(1) => hasher.crc32c = Some(Crc32c::new()),
        Some(2) => hasher.crc64nvme = Some(Crc64Nvme::new()),
        Some(3) => hasher.sha1 = Some(Sha1::new()),
        Some(4) => hasher.sha256 = Some(Sha256::new()),
        _ => {}
    }
    hasher
}

fn computed(checksum: Checksum) -> Option<String> {
    let Checksum { checksum_crc32, checksum_crc32c, checksum_crc64nvme, checksum_sha1, checksum_sha256, .. } = checksum;
    checksum_crc32.or(checksum_crc32c).or(checksum_crc64nvme).or(checksum_sha1).or(checksum_sha256)
}

/// The checksum of texts that belong together, as an upload in parts has it: of the parts' checksums.
pub(super) fn checksum_of(algorithm: &str, bytes: &[u8]) -> Option<String> {
    let at = ALGORITHMS.iter().position(|name| *name == algorithm)?;
    let mut hasher = hasher(Some(at));
    hasher.update(bytes);
    computed(hasher.finalize())
}

/// Streams a body to disk: what it takes in memory does not depend on its size. Nothing is left of one that is not what its sender says.
pub(super) async fn receive(
    objects: &Objects,
    body: Option<StreamingBlob>,
    announced: Announced,
    headers: &HeaderMap,
) -> S3Result<Received> {
    let algorithm = announced.algorithm(headers)?;
    let expected_bytes = announced.bytes.and_then(|bytes| u64::try_from(bytes).ok());
    if expected_bytes.is_some_and(|bytes| bytes > MAX_BYTES) {
        return Err(too_large());
    }
    let mut writer = BlobWriter::begin(objects.blobs.clone(), hasher(algorithm)).await.map_err(of_blob)?;
    if let Some(mut body) = body {
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|why| of_body(why.as_ref()))?;
            if writer.bytes() + chunk.len() as u64 > MAX_BYTES {
                return Err(too_large());
            }
            writer.write(chunk).await.map_err(of_blob)?;
        }
    }
    if expected_bytes.is_some_and(|bytes| bytes != writer.bytes()) {
        return Err(error(
            S3ErrorCode::IncompleteBody,
            "You did not provide the number of bytes specified by the Content-Length HTTP header",
        ));
    }
    let written = writer.finish().await.map_err(of_blob)?;
    let checksum = computed(written.checksum);
    let checked = check(&announced, algorithm, &written.md5, checksum.as_deref());
    if let Err(why) = checked {
        let (claim, folder) = (written.claim, objects.blobs.clone());
        let _ = tokio::task::spawn_blocking(move || folder.delete(&claim.id)).await;
        return Err(why);
    }
    let named = algorithm.and_then(|at| ALGORITHMS.get(at)).zip(checksum);
    let checksum = named.map(|(algorithm, value)| StoredChecksum { algorithm: (*algorithm).to_owned(), value });
    Ok(Received { claim: written.claim, bytes: written.bytes, etag: hex(&written.md5), checksum })
}

fn check(announced: &Announced, algorithm: Option<usize>, md5: &[u8; 16], computed: Option<&str>) -> S3Result<()> {
    if let Some(named) = &announced.md5 {
        let named = STANDARD.decode(named).ok().filter(|bytes| bytes.len() == md5.len());
        let named = named.ok_or_else(|| error(S3ErrorCode::InvalidDigest, "The Content-MD5 you specified was invalid."))?;
        if named != md5 {
            return Err(error(S3ErrorCode::BadDigest, "The Content-MD5 you specified did not match what we received."));
        }
    }
    let Some(at) = algorithm else { return Ok(()) };
    let in_trailer = announced.trailing.as_ref().and_then(|trailing| {
        let name = format!("x-amz-checksum-{}", ALGORITHMS[at].to_ascii_lowercase());
        trailing.read(|headers| headers.get(name.as_str()).and_then(|value| value.to_str().ok()).map(str::to_owned)).flatten()
    });
    match announced.checksums[at].clone().or(in_trailer) {
        Some(named) if Some(named.as_str()) != computed => {
            Err(error(S3ErrorCode::BadDigest, format!("The {} you specified did not match the calculated checksum.", ALGORITHMS[at])))
        }
        _ => Ok(()),
    }
}

fn too_large() -> S3Error {
    error(S3ErrorCode::EntityTooLarge, "Your proposed upload exceeds the maximum allowed size")
}

/// A body that broke off, or whose chunks have another signature or length than they say.
fn of_body(why: &(dyn std::error::Error + Send + Sync + 'static)) -> S3Error {
    let words = why.to_string();
    if words.contains("ignature") {
        error(S3ErrorCode::SignatureDoesNotMatch, "The signature of a chunk of the body is not the one that was calculated")
    } else if words.contains("SHA") || words.contains("sha256") || words.contains("hecksum") {
        error(S3ErrorCode::BadDigest, "The provided 'x-amz-content-sha256' header does not match what was computed.")
    } else {
        error(S3ErrorCode::RequestTimeout, "The body ended before its length, or arrived too slowly")
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
