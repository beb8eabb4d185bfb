//! A signature in the query: a presigned URL (IAM User Guide, "Authentication methods"; Amazon S3 API Reference, "Authenticating Requests: Using
//! Query Parameters").

use super::authorization::{ALGORITHM, SignatureParts};
use super::fault::SignatureFault;
use crate::aws::parameters::Parameters;

/// A presigned URL is good for a second to seven days: a signing key is not good for longer.
const MAX_EXPIRES_S: i64 = 604_800;

pub(super) const SIGNATURE: &str = "X-Amz-Signature";
pub(super) const CREDENTIAL: &str = "X-Amz-Credential";
pub(super) const SECURITY_TOKEN: &str = "X-Amz-Security-Token";
pub(super) const CONTENT_SHA256: &str = "X-Amz-Content-Sha256";
pub(super) const ALGORITHM_NAME: &str = "X-Amz-Algorithm";

/// What the parameters of a presigned URL say.
pub(super) struct PresignedParts {
    pub(super) parts: SignatureParts,
    /// `X-Amz-Date`, as it was sent.
    pub(super) date: String,
    /// For how many seconds from its date on it is good.
    pub(super) expires_s: i64,
}

impl PresignedParts {
    pub(super) fn read(query: &Parameters) -> Result<PresignedParts, SignatureFault> {
        let one = |name, missing| {
            let value = query.single(name).map_err(SignatureFault::Query)?;
            value.ok_or(SignatureFault::Incomplete(missing))
        };
        if one(ALGORITHM_NAME, "AWS query-string parameters must include 'X-Amz-Algorithm'.")? != ALGORITHM {
            return Err(SignatureFault::Incomplete("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"."));
        }
        let credential = one(CREDENTIAL, "AWS query-string parameters must include 'X-Amz-Credential'.")?;
        let headers = one("X-Amz-SignedHeaders", "AWS query-string parameters must include 'X-Amz-SignedHeaders'.")?;
        let signature = one(SIGNATURE, "AWS query-string parameters must include 'X-Amz-Signature'.")?;
        let date = one("X-Amz-Date", "AWS query-string parameters must include 'X-Amz-Date'.")?;
        let expires = one("X-Amz-Expires", "AWS query-string parameters must include 'X-Amz-Expires'.")?;
        Ok(PresignedParts {
            parts: SignatureParts::read(credential, headers, signature)?,
            date: date.to_owned(),
            expires_s: expires_s(expires)?,
        })
    }
}

fn expires_s(text: &str) -> Result<i64, SignatureFault> {
    // No sign and no more digits than the bound has, so that no number overflows.
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(SignatureFault::Incomplete("X-Amz-Expires should be a number."));
    }
    let digits = text.trim_start_matches('0');
    let expires_s = if digits.len() > 6 { None } else { digits.parse().ok() };
    match expires_s {
        Some(expires_s @ 1..=MAX_EXPIRES_S) => Ok(expires_s),
        None if digits.is_empty() => Err(SignatureFault::Incomplete("X-Amz-Expires must be positive.")),
        _ => Err(SignatureFault::Incomplete("X-Amz-Expires must be less than a week in seconds, that is, at most 604800.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_presigned_url_ends_within_a_week() {
        // MinIO once took any positive number.
        for (text, expected) in [("1", 1), ("604800", 604_800), ("0900", 900)] {
            assert_eq!(expires_s(text), Ok(expected));
        }
        for wrong in ["", "0", "000", "-1", "+1", "1.5", "604801", "99999999999999999999999", "1e3", " 1", "\u{0661}"] {
            assert!(expires_s(wrong).is_err(), "{wrong}");
        }
    }
}
