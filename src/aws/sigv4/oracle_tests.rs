//! The signer of AWS's SDK for Rust signs random requests. Each is good as it was sent, and none is after a change in one place.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use fastrand::Rng;
use http::{HeaderName, HeaderValue, Request};

use super::*;
use crate::aws::head::AwsRequestHead;

const REQUESTS: u64 = 3_000;
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const NOW_S: i64 = 1_796_000_000;

/// A request as a client sends it.
#[derive(Clone, Debug)]
struct SentRequest {
    request: Request<Vec<u8>>,
    rules: SigningRules,
    place: SignaturePlace,
}

impl SentRequest {
    fn verify(&self, secret: &str) -> Result<(), SignatureFault> {
        let uri = self.request.uri();
        let head = AwsRequestHead {
            method: self.request.method().as_str(),
            path: uri.path(),
            query: uri.query().unwrap_or_default(),
            headers: self.request.headers(),
        };
        let request = SignedRequest::parse(&head, self.rules, NOW_S)?;
        request.verify(&DerivedKey::derive(secret, request.scope()), self.request.body())
    }
}

fn pick<'a>(random: &mut Rng, from: &[&'a str]) -> &'a str {
    from[random.usize(..from.len())]
}

fn random_path(random: &mut Rng) -> String {
    const PIECES: [&str; 16] =
        ["/", "//", "/.", "/..", "/us-east-1%3Aa", "a", "Z9", "-_.~", "%2F", "%20", "%C3%A9", "%25", "+", "=", "@", ":,;!'()*$&"];
    let mut path = "/".to_owned();
    for _ in 0..random.usize(0..8) {
        path.push_str(pick(random, &PIECES));
    }
    path
}

fn random_query(random: &mut Rng) -> String {
    const PIECES: [&str; 18] =
        ["&", "&", "=", "a", "b", "A", "a=1", "a=1", "a-b", "%20", "+", "%2B", "%2F", "/", "%C3%A9", "~", "lastSyncCount=7", "x%3Dy"];
    (0..random.usize(0..10)).map(|_| pick(random, &PIECES)).collect()
}

fn random_request(seed: u64) -> SentRequest {
    let random = &mut Rng::with_seed(seed);
    let rules = if random.bool() { SigningRules::Standard } else { SigningRules::S3 };
    let place = if random.u8(0..3) > 0 { SignaturePlace::Header } else { SignaturePlace::Query };
    let (path, query) = (random_path(random), random_query(random));
    let uri = if query.is_empty() { path } else { format!("{path}?{query}") };
    let body: Vec<u8> = (0..random.usize(0..40)).map(|_| random.u8(..)).collect();
    let mut request = Request::builder().method(pick(random, &["GET", "POST", "DELETE"])).uri(uri);
    request = request.header("host", pick(random, &["sync.example:8443", "127.0.0.1:8080", "bucket.s3.example"]));
    for _ in 0..random.usize(0..4) {
        let name = pick(random, &["content-type", "x-amz-target", "x-amz-meta-a", "my-header", "amz-sdk-request", "range"]);
        let value = pick(random, &["a", "a  b   c", "  a ", "a, b,c", "\"a  b\"", "attempt=1; max=3", "caf\u{e9}", "", "a\tb"]);
        request = request.header(name, value);
    }
    let mut sent = SentRequest { request: request.body(body).unwrap(), rules, place };
    let token = random.bool().then(|| "FwoGZXIvYXdzE+/==".to_owned());
    sign_request(&mut sent, token, random.i64(-900..=900));
    sent
}

fn sign_request(sent: &mut SentRequest, token: Option<String>, skew_s: i64) {
    let mut settings = SigningSettings::default();
    if sent.rules == SigningRules::S3 {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    let mut signed_at_s = NOW_S + skew_s;
    if sent.place == SignaturePlace::Query {
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(Duration::from_secs(1_000));
        signed_at_s = signed_at_s.max(NOW_S - 900);
    }
    let identity = Credentials::new("AKIDEXAMPLE", SECRET, token, None, "test").into();
    let service = if sent.rules == SigningRules::S3 { "s3" } else { "cognito-sync" };
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("local")
        .name(service)
        .time(UNIX_EPOCH + Duration::from_secs(signed_at_s.unsigned_abs()))
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let headers = sent.request.headers().iter().map(|(name, value)| (name.as_str(), std::str::from_utf8(value.as_bytes()).unwrap()));
    let body = match (sent.rules, sent.place) {
        (SigningRules::S3, SignaturePlace::Query) => SignableBody::UnsignedPayload,
        _ => SignableBody::Bytes(sent.request.body()),
    };
    let uri = format!("http://{}{}", sent.request.headers()["host"].to_str().unwrap(), sent.request.uri());
    let signable = SignableRequest::new(sent.request.method().as_str(), uri, headers, body).unwrap();
    let (instructions, _) = sign(signable, &params).unwrap().into_parts();
    instructions.apply_to_request_http1x(&mut sent.request);
}

#[test]
fn what_the_sdk_signs_is_good() {
    for seed in 0..REQUESTS {
        let sent = random_request(seed);
        let verified = sent.verify(SECRET);
        assert!(verified.is_ok(), "seed {seed}: {sent:?}: {verified:?}");
    }
}

#[test]
fn what_was_changed_in_one_place_is_not() {
    for seed in 0..REQUESTS {
        let sent = random_request(seed);
        assert!(sent.verify("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEX").is_err(), "seed {seed}: another secret");
        for (what, changed) in changes(&sent, &mut Rng::with_seed(seed)) {
            assert!(changed.verify(SECRET).is_err(), "seed {seed}: {what}: {changed:?}");
        }
    }
}

/// The request with one place changed each, and what it is.
fn changes(sent: &SentRequest, random: &mut Rng) -> Vec<(&'static str, SentRequest)> {
    let mut changes = Vec::new();
    let mut add = |what, change: &dyn Fn(&mut Request<Vec<u8>>)| {
        let mut changed = sent.clone();
        change(&mut changed.request);
        changes.push((what, changed));
    };
    add("method", &|request| *request.method_mut() = http::Method::PATCH);
    let (path, query) = (sent.request.uri().path().to_owned(), sent.request.uri().query().map(str::to_owned));
    let with = |path: &str, query: &str| format!("{path}?{query}").parse::<http::Uri>().unwrap();
    let old_query = query.clone().unwrap_or_default();
    add("path", &|request| *request.uri_mut() = with(&format!("{path}x"), &old_query));
    add("encoding of the path", &|request| *request.uri_mut() = with(&format!("{path}/%61"), &old_query));
    add("a parameter more", &|request| *request.uri_mut() = with(&path, &format!("{old_query}&zz=1")));
    for at in random_places(random, old_query.len()) {
        // Another letter or digit; what a signature does not cover is its own value's case alone, which is refused.
        let byte = old_query.as_bytes()[at];
        if byte.is_ascii_alphanumeric() && !in_escape(&old_query, at) {
            let mut bytes = old_query.clone().into_bytes();
            bytes[at] = if byte == b'q' { b'r' } else { b'q' };
            let changed = String::from_utf8(bytes).unwrap();
            add("a byte of the query", &|request| *request.uri_mut() = with(&path, &changed));
        }
    }
    let covers_body = sent.place == SignaturePlace::Header || sent.rules == SigningRules::Standard;
    if covers_body {
        add("body", &|request| request.body_mut().push(b'x'));
    }
    add("host", &|request| drop(request.headers_mut().insert("host", HeaderValue::from_static("other.example"))));
    for name in ["x-amz-date", "x-amz-security-token", "x-amz-content-sha256", "x-amz-target", "content-type"] {
        let name = HeaderName::from_static(name);
        if sent.request.headers().contains_key(&name) {
            add("a header's value", &|request| assert!(request.headers_mut().append(&name, HeaderValue::from_static("x"))));
            add("a header less", &|request| drop(request.headers_mut().remove(&name)));
        }
    }
    add("a header of AWS more", &|request| drop(request.headers_mut().insert("x-amz-copy-source", HeaderValue::from_static("/b/k"))));
    if let Some(value) = sent.request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned()) {
        let last = value.chars().last().unwrap();
        for (from, to) in [("/local/", "/locam/"), ("/s3/", "/s4/"), ("/cognito-sync/", "/cognito-idp/"), ("=AKID", "=BKID"), ("host;", "")]
        {
            let changed = value.replace(from, to);
            // The key id is looked up, not signed: another one has another secret.
            if changed != value && from != "=AKID" {
                add("a part of the header", &|request| drop(request.headers_mut().insert("authorization", changed.parse().unwrap())));
            }
        }
        let other = if last == '0' { "1" } else { "0" };
        let changed = format!("{}{other}", &value[..value.len() - 1]);
        add("the signature", &|request| drop(request.headers_mut().insert("authorization", changed.parse().unwrap())));
    }
    changes
}

fn random_places(random: &mut Rng, length: usize) -> Vec<usize> {
    if length == 0 { Vec::new() } else { (0..6).map(|_| random.usize(..length)).collect() }
}

/// Whether a byte is one of the two digits of a `%XX`.
fn in_escape(text: &str, at: usize) -> bool {
    text.as_bytes()[at.saturating_sub(2)..at].contains(&b'%')
}
