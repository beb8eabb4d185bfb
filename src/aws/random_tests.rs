//! Random heads and bodies, made of the words that this part looks for: nothing panics, and what is read keeps its bounds.

use std::panic::{AssertUnwindSafe, catch_unwind};

use fastrand::Rng;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use super::head::AwsRequestHead;
use super::json;
use super::query::QueryCall;
use super::rest::SyncCall;
use super::route::route;
use super::service::AwsService;
use super::sigv4::{SignedRequest, SigningRules};

const SEEDS: u64 = 30_000;
const NOW_S: i64 = 1_440_938_160;

const WORDS: &[&str] = &[
    "AWS4-HMAC-SHA256 ",
    "AWS ",
    "Credential=",
    "AKID/20150830/us-east-1/sts/aws4_request",
    "AKID/20150830/us-east-1/s3/aws4_request",
    "AKID%2F20150830%2Flocal%2Fcognito-sync%2Faws4_request",
    ", SignedHeaders=",
    "host",
    ";x-amz-date",
    ", Signature=",
    "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
    "X-Amz-Algorithm=AWS4-HMAC-SHA256",
    "&X-Amz-Credential=",
    "&X-Amz-Date=20150830T123600Z",
    "&X-Amz-Expires=900",
    "&X-Amz-SignedHeaders=host",
    "&X-Amz-Signature=",
    "20150830T123600Z",
    "Sun, 30 Aug 2015 12:36:00 GMT",
    "Action=GetUser&Version=2010-05-08",
    "&Tags.member.",
    "1",
    ".Key=a",
    "AWSCognitoIdentityService.",
    "GetId",
    "/identitypools",
    "/us-east-1%3Aa",
    "/identities",
    "/datasets",
    "/records",
    "/..",
    "//",
    "%",
    "%zz",
    "%C3",
    "\u{e9}",
    "\u{1f600}",
    "&",
    "=",
    ".",
    "_",
    "+",
    "{",
    "}",
    "\"IdentityPoolId\":\"a\"",
    "\u{0}",
    "application/x-www-form-urlencoded; charset=",
    "utf-8",
];

const NAMES: &[&str] = &[
    "authorization",
    "host",
    "date",
    "origin",
    "content-type",
    "x-amz-date",
    "x-amz-target",
    "x-amz-security-token",
    "x-amz-content-sha256",
    "access-control-request-method",
    "access-control-request-headers",
];

#[derive(Deserialize)]
struct RandomInput {
    #[serde(rename = "IdentityPoolId")]
    _identity_pool_id: Option<String>,
}

fn words(random: &mut Rng, most: usize) -> String {
    let mut text = String::new();
    for _ in 0..random.usize(0..=most) {
        match random.u8(0..8) {
            0 => text.push(random.char(..)),
            1 => text.push(char::from(random.u8(0..128))),
            _ => text.push_str(random.choice(WORDS.iter()).unwrap()),
        }
    }
    text
}

/// One random request through everything that reads one.
fn read_all(seed: u64) {
    let random = &mut Rng::with_seed(seed);
    let method = *random.choice(["GET", "POST", "DELETE", "OPTIONS", "PUT", ""].iter()).unwrap();
    let (path, query, body) = (words(random, 8), words(random, 12), words(random, 12));
    let mut headers = HeaderMap::new();
    for _ in 0..random.usize(0..8) {
        let name = HeaderName::from_static(random.choice(NAMES.iter()).unwrap());
        if let Ok(value) = HeaderValue::from_bytes(words(random, 8).as_bytes()) {
            headers.append(name, value);
        }
    }
    let head = AwsRequestHead { method, path: &path, query: &query, headers: &headers };
    drop(route(&head, &[]));
    for rules in [SigningRules::Standard, SigningRules::S3] {
        if let Ok(request) = SignedRequest::parse(&head, rules, NOW_S) {
            assert!(headers.contains_key("host") && request.access_key_id().len() <= 128);
        }
    }
    if let Ok(call) = SyncCall::read(&head) {
        assert!([&call.identity_pool_id, &call.identity_id, &call.dataset_name, &call.device_id].iter().all(|label| label.len() <= 256));
    }
    if let Ok(call) = QueryCall::read(None, &query, body.as_bytes()) {
        drop(call.members().list("Tags"));
        drop(call.members().map("Tags"));
    }
    drop(json::read_body::<RandomInput>(AwsService::CognitoIdentity, body.as_bytes()));
}

#[test]
fn nothing_panics_on_random_requests() {
    for seed in 0..SEEDS {
        assert!(catch_unwind(AssertUnwindSafe(|| read_all(seed))).is_ok(), "seed {seed}");
    }
}
