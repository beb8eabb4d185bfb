//! The parameters of a query that the operations know. At S3 a parameter such as `tagging` makes another operation of the same method and path; the
//! library takes one that it does not know for nothing, so `DELETE /bucket?analytics` would delete the bucket.

use percent_encoding::percent_decode_str;

/// The parameters of the operations that are answered.
const KNOWN: [&str; 24] = [
    "continuation-token",
    "cors",
    "delete",
    "delimiter",
    "encoding-type",
    "fetch-owner",
    "key-marker",
    "list-type",
    "location",
    "max-keys",
    "max-parts",
    "max-uploads",
    "max-buckets",
    "bucket-region",
    "partNumber",
    "part-number-marker",
    "policy",
    "prefix",
    "start-after",
    "uploadId",
    "upload-id-marker",
    "uploads",
    // The operation's own name, which the SDK for JavaScript adds.
    "x-id",
    "marker",
];

/// What the parameters of a presigned request, and those that name headers of the answer, begin with, in lower case.
const KNOWN_BEGINNINGS: [&str; 2] = ["x-amz-", "response-"];

/// Whether a query has a parameter that no operation here knows.
pub(super) fn is_unknown(query: &str) -> bool {
    let names = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split('=').next().unwrap_or_default());
    names.into_iter().any(|name| {
        let name = percent_decode_str(name).decode_utf8_lossy();
        let lower = name.to_ascii_lowercase();
        !KNOWN.contains(&name.as_ref()) && !KNOWN_BEGINNINGS.iter().any(|beginning| lower.starts_with(beginning))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_another_operation_is_not_taken_for_nothing() {
        for known in
            ["", "list-type=2&prefix=a%2F&x-id=ListObjectsV2", "uploads", "X-Amz-Date=1&X%2DAmz-Signature=2", "response-content-type=a"]
        {
            assert!(!is_unknown(known), "{known}");
        }
        for unknown in ["analytics", "analytics&id=x", "tagging=", "%74agging", "versionId=1", "Policy", "list-type=2&acl", "=x"] {
            assert!(is_unknown(unknown), "{unknown}");
        }
    }
}
