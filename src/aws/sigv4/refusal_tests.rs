//! Requests that are not signed as they must be.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;
use crate::aws::head::AwsRequestHead;
use crate::aws::parameters::ParameterFault;

const NOW_S: i64 = 1_440_938_160;
const CREDENTIAL: &str = "AKIDEXAMPLE/20150830/us-east-1/sts/aws4_request";
const SIGNATURE: &str = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";

fn header_map(headers: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    map
}

fn authorization(signed: &str) -> String {
    format!("AWS4-HMAC-SHA256 Credential={CREDENTIAL}, SignedHeaders={signed}, Signature={SIGNATURE}")
}

fn presigned(expires: &str, signed: &str) -> String {
    let credential = CREDENTIAL.replace('/', "%2F");
    format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date=20150830T123600Z&X-Amz-Expires={expires}\
         &X-Amz-SignedHeaders={signed}&X-Amz-Signature={SIGNATURE}"
    )
}

fn parse_at(query: &str, headers: &[(&str, &str)], rules: SigningRules, now_s: i64) -> Result<SignedRequest, SignatureFault> {
    let headers = header_map(headers);
    SignedRequest::parse(&AwsRequestHead { method: "POST", path: "/", query, headers: &headers }, rules, now_s)
}

/// The fault of a request whose `Authorization` signs `signed`, with `host` and these headers.
fn fault(signed: &str, headers: &[(&str, &str)]) -> SignatureFault {
    let value = authorization(signed);
    let headers = [&[("authorization", value.as_str()), ("host", "a.example")], headers].concat();
    parse_at("", &headers, SigningRules::Standard, NOW_S).unwrap_err()
}

fn incomplete(fault: &SignatureFault) -> &'static str {
    match fault {
        SignatureFault::Incomplete(why) => why,
        other => panic!("{other:?}"),
    }
}

const DATE: (&str, &str) = ("x-amz-date", "20150830T123600Z");

#[test]
fn host_and_every_header_of_aws_must_be_signed() {
    assert_eq!(fault("x-amz-date", &[DATE]), SignatureFault::UnsignedHeader("host".to_owned()));
    assert_eq!(fault("host", &[DATE]), SignatureFault::UnsignedHeader("x-amz-date".to_owned()));
    // An unsigned x-amz-copy-source made a copy of an upload in Ceph (CVE-2026-54330), MinIO, RustFS and others; the same here would change a
    // target or a token.
    for name in ["x-amz-target", "x-amz-security-token", "x-amz-content-sha256", "x-amz-copy-source", "x-amz-meta-a", "x-amz-user-agent"] {
        assert_eq!(fault("host;x-amz-date", &[DATE, (name, "a")]), SignatureFault::UnsignedHeader(name.to_owned()));
        let query = presigned("900", "host");
        let refused = parse_at(&query, &[("host", "a.example"), (name, "a")], SigningRules::S3, NOW_S).unwrap_err();
        assert_eq!(refused, SignatureFault::UnsignedHeader(name.to_owned()));
    }
    assert_eq!(
        fault("date;host", &[("date", "Sun, 30 Aug 2015 12:36:00 GMT"), DATE]),
        SignatureFault::UnsignedHeader("x-amz-date".to_owned())
    );
    assert_eq!(fault("host", &[("date", "Sun, 30 Aug 2015 12:36:00 GMT")]), SignatureFault::UnsignedHeader("date".to_owned()));
    assert_eq!(fault("content-type;host;x-amz-date", &[DATE]), SignatureFault::AbsentHeader("content-type".to_owned()));
    // A proxy adds these, and no sender signs them.
    let value = authorization("host;x-amz-date");
    let more = [("authorization", value.as_str()), ("host", "a"), DATE, ("x-amzn-trace-id", "Root=1"), ("x-forwarded-for", "::1")];
    assert!(parse_at("", &more, SigningRules::Standard, NOW_S).is_ok());
}

#[test]
fn dates_are_read_from_their_header_and_must_be_near() {
    assert!(incomplete(&fault("host", &[])).contains("'X-Amz-Date' or a 'Date'"));
    assert!(incomplete(&fault("host;x-amz-date", &[("x-amz-date", "Sun, 30 Aug 2015 12:36:00 GMT")])).contains("basic format"));
    assert!(incomplete(&fault("date;host", &[("date", "yesterday")])).contains("basic format"));
    let at = |headers: &[(&str, &str)], signed: &str, now_s| {
        let value = authorization(signed);
        let headers = [&[("authorization", value.as_str()), ("host", "a")], headers].concat();
        parse_at("", &headers, SigningRules::Standard, now_s).map(|request| request.signed_at_s())
    };
    for date in ["Sun, 30 Aug 2015 12:36:00 GMT", "20150830T123600Z"] {
        assert_eq!(at(&[("date", date)], "date;host", NOW_S), Ok(NOW_S));
    }
    for near in [-900, 0, 900] {
        assert_eq!(at(&[DATE], "host;x-amz-date", NOW_S + near), Ok(NOW_S));
    }
    let expired = SignatureFault::Expired { signed_at_s: NOW_S, now_s: NOW_S + 901 };
    assert_eq!(at(&[DATE], "host;x-amz-date", NOW_S + 901), Err(expired));
    let early = SignatureFault::NotYetCurrent { signed_at_s: NOW_S, now_s: NOW_S - 901 };
    assert_eq!(at(&[DATE], "host;x-amz-date", NOW_S - 901), Err(early));
    assert_eq!(at(&[("x-amz-date", "20150831T000000Z")], "host;x-amz-date", NOW_S + 41_040), Err(SignatureFault::WrongDay));
}

#[test]
fn presigned_requests_are_good_until_their_own_end() {
    let host = [("host", "a")];
    let at = |expires: &str, now_s| parse_at(&presigned(expires, "host"), &host, SigningRules::Standard, now_s).map(drop);
    assert_eq!(at("1", NOW_S), Ok(()));
    assert_eq!(at("1", NOW_S + 1), Err(SignatureFault::PresignedExpired { signed_at_s: NOW_S, expires_s: 1, now_s: NOW_S + 1 }));
    assert_eq!(at("604800", NOW_S + 604_799), Ok(()));
    assert_eq!(at("900", NOW_S - 900), Ok(()));
    assert_eq!(at("900", NOW_S - 901), Err(SignatureFault::NotYetCurrent { signed_at_s: NOW_S, now_s: NOW_S - 901 }));
    assert!(incomplete(&at("604801", NOW_S).unwrap_err()).contains("604800"));
    // Each parameter is needed, and once.
    let query = presigned("900", "host");
    for (at, pair) in query.split('&').enumerate() {
        let without: Vec<_> = query.split('&').enumerate().filter(|(other, _)| *other != at).map(|(_, pair)| pair).collect();
        let refused = parse_at(&without.join("&"), &host, SigningRules::Standard, NOW_S).unwrap_err();
        assert!(incomplete(&refused).contains("must include"), "{pair}");
        let twice = parse_at(&format!("{query}&{pair}"), &host, SigningRules::Standard, NOW_S).unwrap_err();
        let is_located = ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature="].iter().any(|name| pair.starts_with(name));
        assert_eq!(twice, if is_located { SignatureFault::Several } else { SignatureFault::Query(ParameterFault::Repeated) }, "{pair}");
    }
}

#[test]
fn what_may_stand_once_and_is_there_twice_is_refused() {
    assert!(incomplete(&fault("host;x-amz-date", &[DATE, DATE])).contains("twice"));
    assert!(incomplete(&fault("host;x-amz-date", &[DATE, ("host", "b.example")])).contains("twice"));
    let token = ("x-amz-security-token", "t");
    assert!(incomplete(&fault("host;x-amz-date;x-amz-security-token", &[DATE, token, token])).contains("twice"));
    let hash = ("x-amz-content-sha256", SIGNATURE);
    assert!(incomplete(&fault("host;x-amz-content-sha256;x-amz-date", &[DATE, hash, hash])).contains("twice"));
    let value = authorization("host;x-amz-date;x-amz-security-token");
    let headers = [("authorization", value.as_str()), ("host", "a"), DATE, token];
    let both = parse_at("X-Amz-Security-Token=u", &headers, SigningRules::Standard, NOW_S).unwrap_err();
    assert!(incomplete(&both).contains("twice"));
    assert_eq!(parse_at(&presigned("900", "host"), &headers, SigningRules::Standard, NOW_S).unwrap_err(), SignatureFault::Several);
    assert_eq!(fault("host;x-amz-date", &[DATE, ("authorization", "Bearer a")]), SignatureFault::Several);
}

#[test]
fn only_s3_leaves_a_body_unsigned() {
    let value = authorization("host;x-amz-content-sha256;x-amz-date");
    let with = |hash: &str, rules| {
        let headers = [("authorization", value.as_str()), ("host", "a"), DATE, ("x-amz-content-sha256", hash)];
        parse_at("", &headers, rules, NOW_S).map(drop)
    };
    assert_eq!(with(SIGNATURE, SigningRules::Standard), Ok(()));
    assert_eq!(with("UNSIGNED-PAYLOAD", SigningRules::S3), Ok(()));
    for hash in ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "", &SIGNATURE.to_uppercase()] {
        assert!(incomplete(&with(hash, SigningRules::Standard).unwrap_err()).contains("SHA-256"), "{hash}");
    }
}

#[test]
fn large_requests_are_refused_before_they_cost_much() {
    let large = "a".repeat(64 << 10);
    assert!(incomplete(&fault(&large, &[DATE])).contains("too long"));
    let names: Vec<_> = (0..1000).map(|n| format!("a{n:03}")).collect();
    let refused = incomplete(&fault(&names.join(";"), &[DATE])).to_owned();
    assert!(refused.contains("more than 100"), "{refused}");
    assert!(incomplete(&fault("a;host;x-amz-date", &[DATE, ("a", &large)])).contains("too long"));
    assert!(incomplete(&fault("host;x-amz-date;x-amz-security-token", &[DATE, ("x-amz-security-token", &large)])).contains("too long"));
    let value = authorization("host;x-amz-date");
    let headers = header_map(&[("authorization", &value), ("host", "a"), DATE]);
    let parse = |path: &str, query: &str| {
        SignedRequest::parse(&AwsRequestHead { method: "GET", path, query, headers: &headers }, SigningRules::Standard, NOW_S).unwrap_err()
    };
    assert!(incomplete(&parse(&format!("/{large}"), "")).contains("path is too long"));
    assert!(incomplete(&parse("/", &"a=b&".repeat(40_000))).contains("query string is too long"));
    assert_eq!(parse("/", &"a=b&".repeat(10_000)), SignatureFault::Query(ParameterFault::TooMany));
    assert_eq!(parse("/", "a=%4"), SignatureFault::Query(ParameterFault::BrokenEscape));
    assert_eq!(parse("/", "a=%C3"), SignatureFault::Query(ParameterFault::NotUtf8));
}

#[test]
fn an_explanation_shows_what_was_signed_but_no_token() {
    let value = authorization("host;x-amz-date;x-amz-security-token");
    let headers = [("authorization", value.as_str()), ("host", "a.example"), DATE, ("x-amz-security-token", "FwoG/secret+token==")];
    let request = parse_at("b=2&a=1", &headers, SigningRules::Standard, NOW_S).unwrap();
    assert_eq!(request.session_token(), Some("FwoG/secret+token=="));
    let key = DerivedKey::derive("secret-key", request.scope());
    let SignatureFault::Mismatch { explanation } = request.verify(&key, b"").unwrap_err() else { panic!("a signature of another key") };
    assert!(
        explanation.contains("POST\n/\na=1&b=2\nhost:a.example\nx-amz-date:20150830T123600Z\nx-amz-security-token:(session token)\n"),
        "{explanation}"
    );
    assert!(explanation.contains("AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/sts/aws4_request\n"), "{explanation}");
    assert!(!explanation.contains("secret"), "{explanation}");
    assert!(!format!("{request:?}").contains("secret+token"), "a token is not printed");
}

#[test]
fn a_short_token_is_not_torn_out_of_an_explanation() {
    let value = authorization("host;x-amz-date;x-amz-security-token");
    let headers = [("authorization", value.as_str()), ("host", "a.example"), DATE, ("x-amz-security-token", "s")];
    let request = parse_at(&"s".repeat(4_000), &headers, SigningRules::Standard, NOW_S).unwrap();
    let refused = request.verify(&DerivedKey::derive("secret-key", request.scope()), b"").unwrap_err();
    assert_eq!(refused, SignatureFault::Mismatch { explanation: Box::default() });
}

#[test]
fn a_key_of_another_scope_matches_nothing() {
    let value = authorization("host;x-amz-date");
    let request = parse_at("", &[("authorization", value.as_str()), ("host", "a"), DATE], SigningRules::Standard, NOW_S).unwrap();
    let scope = CredentialScope { region: "local".to_owned(), ..request.scope().clone() };
    let refused = request.verify(&DerivedKey::derive("a", &scope), b"").unwrap_err();
    assert!(matches!(refused, SignatureFault::Mismatch { .. }));
}
