//! A request with its signature, read and then checked.

use std::fmt;

use aws_lc_rs::digest;

use super::authorization::{ALGORITHM, SignatureParts, SignedHeaderNames};
use super::canonical::{self, SigningRules};
use super::derived_key::DerivedKey;
use super::fault::{MAX_SKEW_S, SignatureFault};
use super::located::{self, SignaturePlace};
use super::presigned::{self, PresignedParts};
use super::scope::CredentialScope;
use crate::aws::head::{AwsRequestHead, RepeatedHeader};
use crate::aws::parameters::Parameters;
use crate::aws::{percent, timestamp};

/// A path of cognito-sync has at most 2 KiB; a key of S3 has 1,024 bytes, each as `%XX`.
const MAX_PATH_BYTES: usize = 8 * 1024;

/// A web identity token of 20,000 characters and a policy, each byte as `%XX`.
const MAX_QUERY_BYTES: usize = 128 * 1024;

/// A form may have 1,000 fields (`query/form.rs`), and a signature adds eight.
const MAX_PARAMETERS: usize = 1_008;

/// All signed headers together; a head of more is not read by the server.
const MAX_SIGNED_HEADER_BYTES: usize = 64 * 1024;

/// Our own session tokens have a few hundred bytes, AWS's up to 4 KiB.
const MAX_SESSION_TOKEN_BYTES: usize = 8 * 1024;

/// A session token is at least this long: ours and AWS's have hundreds of bytes.
const MIN_SESSION_TOKEN_BYTES: usize = 16;

/// A mismatch is explained up to this size, in bytes: a person reads it.
const MAX_EXPLANATION_BYTES: usize = 8 * 1024;

/// `X-Amz-Content-Sha256` of a body that is not signed.
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// A request whose signature was read; nothing of it is proved until [`verify`](Self::verify).
pub struct SignedRequest {
    access_key_id: String,
    scope: CredentialScope,
    session_token: Option<String>,
    signed_at_s: i64,
    signature: [u8; 32],
    payload: SignedPayload,
    /// The canonical request up to the hash of the payload.
    canonical: Vec<u8>,
}

/// Without the session token, the headers and the signature: a log shows who signed what for when.
impl fmt::Debug for SignedRequest {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SignedRequest { access_key_id, scope, signed_at_s, .. } = self;
        let mut shown = text.debug_struct("SignedRequest");
        shown.field("access_key_id", access_key_id).field("scope", scope).field("signed_at_s", signed_at_s).finish_non_exhaustive()
    }
}

/// What a signature says of the body.
enum SignedPayload {
    /// It covers the body's hash.
    Body,
    /// It covers this hash, which must be the body's.
    Declared(String),
    /// It does not cover the body.
    Unsigned,
}

impl SignedRequest {
    /// Reads the signature of a request, and refuses what no secret could make valid.
    ///
    /// `now_s` is the time in seconds since 1970. A signature in the header is good for 15 minutes before and after its date; a presigned one
    /// from 15 minutes before its date until `X-Amz-Expires` seconds, at most seven days, after it.
    ///
    /// The work is bounded by the head of the request and by the limits above; the result holds at most a few times its size.
    pub fn parse(head: &AwsRequestHead, rules: SigningRules, now_s: i64) -> Result<SignedRequest, SignatureFault> {
        if head.path.len() > MAX_PATH_BYTES {
            return Err(SignatureFault::Incomplete("The path is too long."));
        }
        if head.query.len() > MAX_QUERY_BYTES {
            return Err(SignatureFault::Incomplete("The query string is too long."));
        }
        let place = located::locate(head)?.ok_or(SignatureFault::Missing)?.place;
        let query = Parameters::parse(head.query.as_bytes(), MAX_PARAMETERS).map_err(SignatureFault::Query)?;
        let (parts, signed_at_s) = match place {
            SignaturePlace::Header => of_header(head, now_s)?,
            SignaturePlace::Query => of_query(&query, now_s)?,
        };
        let SignatureParts { credential, signed_headers, signature } = parts;
        if !timestamp::basic(signed_at_s).starts_with(&credential.scope.day) {
            return Err(SignatureFault::WrongDay);
        }
        // Before anything reads one of these headers.
        require_signed(head, &signed_headers)?;
        let session_token = session_token(head, &query)?;
        let payload = signed_payload(head, &query, place, rules)?;
        let headers = canonical::headers(&signed_headers, head.headers)?;
        if headers.len() > MAX_SIGNED_HEADER_BYTES {
            return Err(SignatureFault::Incomplete("The signed headers are too long."));
        }
        let path = canonical::path(head.path, rules);
        let query = canonical::query(&query, place == SignaturePlace::Query);
        let mut canonical = format!("{}\n{path}\n{query}\n", head.method).into_bytes();
        canonical.extend_from_slice(&headers);
        canonical.extend_from_slice(format!("\n{}\n", signed_headers.text()).as_bytes());
        let (access_key_id, scope) = (credential.access_key_id, credential.scope);
        Ok(SignedRequest { access_key_id, scope, session_token, signed_at_s, signature, payload, canonical })
    }

    /// The access key whose secret is to be looked up. 1 to 128 letters, digits, `-` and `_`.
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// The scope for which the signing key is to be derived.
    pub fn scope(&self) -> &CredentialScope {
        &self.scope
    }

    /// The session token, which the signature covers.
    pub fn session_token(&self) -> Option<&str> {
        self.session_token.as_deref()
    }

    /// The date of the request, in seconds since 1970.
    pub fn signed_at_s(&self) -> i64 {
        self.signed_at_s
    }

    /// Whether the signature is that of this request, with this body, by this key.
    ///
    /// It costs a hash of the body and an HMAC. The signatures are compared in constant time.
    pub fn verify(&self, key: &DerivedKey, body: &[u8]) -> Result<(), SignatureFault> {
        let hash = match &self.payload {
            SignedPayload::Unsigned => UNSIGNED_PAYLOAD.to_owned(),
            SignedPayload::Body => sha256_hex(body),
            SignedPayload::Declared(declared) if *declared == sha256_hex(body) => declared.clone(),
            SignedPayload::Declared(_) => return Err(SignatureFault::OtherPayload),
        };
        let canonical = [self.canonical.as_slice(), hash.as_bytes()].concat();
        let date = timestamp::basic(self.signed_at_s);
        let string_to_sign = format!("{ALGORITHM}\n{date}\n{}\n{}", self.scope.text(), sha256_hex(&canonical));
        // A key of another scope matches no signature.
        if *key.scope() == self.scope && key.matches(string_to_sign.as_bytes(), &self.signature) {
            return Ok(());
        }
        Err(SignatureFault::Mismatch { explanation: self.explanation(&canonical, &string_to_sign) })
    }

    /// What should have been signed. All of it came with the request; the session token is left out all the same, because texts of errors
    /// end up in logs.
    fn explanation(&self, canonical: &[u8], string_to_sign: &str) -> Box<str> {
        let token = self.session_token.as_deref().unwrap_or_default();
        // A short text in the place of a token may stand anywhere in the request, and hiding it would tear the rest apart.
        let is_short = !token.is_empty() && token.len() < MIN_SESSION_TOKEN_BYTES;
        if canonical.len() > MAX_EXPLANATION_BYTES || is_short {
            return Box::default();
        }
        let mut canonical = String::from_utf8_lossy(canonical).into_owned();
        if !token.is_empty() {
            let encoded = percent::encode(token.as_bytes());
            canonical = canonical.replace(token, "(session token)").replace(&encoded, "(session token)");
        }
        let canonical = format!("The Canonical String for this request should have been\n'{canonical}'");
        format!("{canonical}\n\nThe String-to-Sign should have been\n'{string_to_sign}'").into()
    }
}

/// `host`, which is there once, and every `x-amz-*` header must be signed.
fn require_signed(head: &AwsRequestHead, signed: &SignedHeaderNames) -> Result<(), SignatureFault> {
    single(head, "host")?;
    let of_aws = head.headers.keys().map(|name| name.as_str()).filter(|name| name.starts_with("x-amz-"));
    match std::iter::once("host").chain(of_aws).find(|name| !signed.contains(name)) {
        Some(name) => Err(SignatureFault::UnsignedHeader(name.to_owned())),
        None => Ok(()),
    }
}

/// The signature in `Authorization`, and its date: `X-Amz-Date`, or `Date` if that is signed.
fn of_header(head: &AwsRequestHead, now_s: i64) -> Result<(SignatureParts, i64), SignatureFault> {
    let value = single(head, "authorization")?.ok_or(SignatureFault::Missing)?;
    let parts = SignatureParts::of_header(value)?;
    let malformed = SignatureFault::Incomplete("Date must be in ISO-8601 'basic format', as 20150830T123600Z.");
    let signed_at_s = match (single(head, "x-amz-date")?, single(head, "date")?) {
        (Some(date), _) => text(date).and_then(timestamp::parse_basic).ok_or(malformed)?,
        (None, Some(date)) if parts.signed_headers.contains("date") => text(date).and_then(any_date).ok_or(malformed)?,
        (None, Some(_)) => return Err(SignatureFault::UnsignedHeader("date".to_owned())),
        (None, None) => {
            let missing = "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.";
            return Err(SignatureFault::Incomplete(missing));
        }
    };
    if signed_at_s < now_s - MAX_SKEW_S {
        return Err(SignatureFault::Expired { signed_at_s, now_s });
    }
    if signed_at_s > now_s + MAX_SKEW_S {
        return Err(SignatureFault::NotYetCurrent { signed_at_s, now_s });
    }
    Ok((parts, signed_at_s))
}

fn of_query(query: &Parameters, now_s: i64) -> Result<(SignatureParts, i64), SignatureFault> {
    let PresignedParts { parts, date, expires_s } = PresignedParts::read(query)?;
    let malformed = SignatureFault::Incomplete("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"");
    let signed_at_s = timestamp::parse_basic(&date).ok_or(malformed)?;
    if signed_at_s > now_s + MAX_SKEW_S {
        return Err(SignatureFault::NotYetCurrent { signed_at_s, now_s });
    }
    if now_s >= signed_at_s + expires_s {
        return Err(SignatureFault::PresignedExpired { signed_at_s, expires_s, now_s });
    }
    Ok((parts, signed_at_s))
}

/// `Date`: as HTTP writes it (RFC 9110 §5.6.7), or as `X-Amz-Date` does.
fn any_date(text: &str) -> Option<i64> {
    let http = || {
        let since = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        i64::try_from(since.as_secs()).ok()
    };
    timestamp::parse_basic(text).or_else(http)
}

/// The session token, from its header or from the query; both are signed.
fn session_token(head: &AwsRequestHead, query: &Parameters) -> Result<Option<String>, SignatureFault> {
    let in_query = query.single(presigned::SECURITY_TOKEN).map_err(SignatureFault::Query)?;
    let malformed = SignatureFault::Incomplete("X-Amz-Security-Token is malformed.");
    let token = match (single(head, "x-amz-security-token")?, in_query) {
        (Some(_), Some(_)) => return Err(SignatureFault::Incomplete("X-Amz-Security-Token is there twice.")),
        (Some(value), None) => Some(text(value).ok_or(malformed)?.to_owned()),
        (None, value) => value.map(str::to_owned),
    };
    match token {
        Some(token) if token.len() > MAX_SESSION_TOKEN_BYTES => Err(SignatureFault::Incomplete("X-Amz-Security-Token is too long.")),
        token => Ok(token),
    }
}

fn signed_payload(
    head: &AwsRequestHead,
    query: &Parameters,
    place: SignaturePlace,
    rules: SigningRules,
) -> Result<SignedPayload, SignatureFault> {
    let in_query = query.single(presigned::CONTENT_SHA256).map_err(SignatureFault::Query)?;
    let declared = match (single(head, "x-amz-content-sha256")?, in_query) {
        (Some(_), Some(_)) => return Err(SignatureFault::Incomplete("X-Amz-Content-Sha256 is there twice.")),
        (Some(value), None) => Some(text(value).unwrap_or_default()),
        (None, value) => value,
    };
    let is_hash = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    match (declared, rules, place) {
        (Some(UNSIGNED_PAYLOAD), SigningRules::S3, _) => Ok(SignedPayload::Unsigned),
        (Some(hash), _, _) if is_hash(hash) => Ok(SignedPayload::Declared(hash.to_owned())),
        (Some(_), _, _) => Err(SignatureFault::Incomplete("X-Amz-Content-Sha256 must be the SHA-256 of the body, in hexadecimal.")),
        (None, SigningRules::S3, SignaturePlace::Query) => Ok(SignedPayload::Unsigned),
        (None, SigningRules::S3, SignaturePlace::Header) => Err(SignatureFault::Incomplete("X-Amz-Content-Sha256 is missing.")),
        (None, SigningRules::Standard, _) => Ok(SignedPayload::Body),
    }
}

fn single<'a>(head: &AwsRequestHead<'a>, name: &str) -> Result<Option<&'a [u8]>, SignatureFault> {
    head.single(name).map_err(|RepeatedHeader| SignatureFault::Incomplete("A header that may stand once is there twice."))
}

fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}

fn sha256_hex(bytes: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, bytes);
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
