//! Attacks with the form of a token: its size, its parts, their encoding, their nesting (RFC 8725 section 2.4).
#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::super::support::*;
use super::super::{MAX_TOKEN_BYTES, TokenRefusal};

#[tokio::test]
async fn token_of_1_mb() {
    let verifier = shared_verifier();
    let padded = |bytes| shared_token(claims_with(json!({"padding": "x".repeat(bytes)})));
    assert_eq!(refused(&verifier, &padded(1 << 20)).await, TokenRefusal::TooLarge);
    assert_eq!(refused(&verifier, &".".repeat(1 << 20)).await, TokenRefusal::TooLarge);
}

#[tokio::test]
async fn token_just_over_the_limit() {
    let verifier = shared_verifier();
    let padded = |bytes| shared_token(claims_with(json!({"padding": "x".repeat(bytes)})));
    let fitting = (0..MAX_TOKEN_BYTES).rev().map(padded).find(|token| token.len() <= MAX_TOKEN_BYTES).unwrap();
    accepted(&verifier, &fitting).await;
    let longer = format!("{fitting}{}", "A".repeat(MAX_TOKEN_BYTES + 1 - fitting.len()));
    assert_eq!(refused(&verifier, &longer).await, TokenRefusal::TooLarge);
}

#[tokio::test]
async fn encrypted_token() {
    let header = base64url(r#"{"alg":"dir","enc":"A256GCM"}"#);
    assert_malformed(&format!("{header}..AAAAAAAAAAAAAAAA.AAAA.AAAA")).await;
    let header = base64url(r#"{"alg":"RSA-OAEP","enc":"A256GCM","cty":"JWT"}"#);
    assert_malformed(&format!("{header}.AAAA.AAAA.AAAA.AAAA")).await;
}

#[tokio::test]
async fn other_numbers_of_parts() {
    let good = shared_token(claims());
    let (message, _) = good.rsplit_once('.').unwrap();
    for token in ["", ".", "..", "...", "....", message, &format!("{good}."), &format!(".{good}"), &format!("{good}.AAAA")] {
        assert_malformed(token).await;
    }
    // The JSON form of RFC 7515 section 7.2.
    assert_malformed(r#"{"payload":"e30","signatures":[{"protected":"e30","signature":""}]}"#).await;
}

#[tokio::test]
async fn other_spellings_of_the_same_bytes() {
    let good = shared_token(claims());
    let (message, signature) = good.rsplit_once('.').unwrap();
    accepted(&shared_verifier(), &good).await;
    // 32 bytes take 43 characters, of which the last carries 4 bits: three more characters differ in the unused ones.
    let last = signature.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let next = alphabet.as_bytes()[alphabet.find(last).unwrap() + 1] as char;
    let unused_bits = format!("{message}.{}{next}", &signature[..42]);
    for token in [unused_bits, format!("{good}="), format!("{good}\n"), format!("{good}A"), format!("{good}!")] {
        assert_eq!(refused(&shared_verifier(), &token).await, TokenRefusal::BadSignature);
    }
    for token in [format!(" {good}"), format!("Bearer {good}"), good.replacen('.', "=.", 1), good.replacen('.', "\n.", 1)] {
        assert_malformed(&token).await;
    }
}

#[tokio::test]
async fn parts_that_are_no_json_objects() {
    for claims in ["", "null", "[]", r#"["i","a","s",9]"#, "{", "{}x", r#"{"iss":"\ud800"}"#, "\u{feff}{}"] {
        assert_malformed(&shared_token(claims)).await;
    }
    for header in ["", "null", r#"["HS256"]"#, r#"{"alg":"HS256"}{}"#] {
        assert_malformed(&token(header, claims(), &TestSigner::shared())).await;
    }
    let not_utf8 = format!("{}.{}.AAAA", base64url(r#"{"alg":"HS256"}"#), base64url(b"{\"iss\":\"\xff\"}"));
    assert_malformed(&not_utf8).await;
}

#[tokio::test]
async fn deep_nesting() {
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let good = claims().to_string();
    assert_malformed(&shared_token(good.replace(r#""notes-app""#, &deep))).await;
    let ignored = shared_token(format!(r#"{{"other":{deep},{}"#, &good[1..]));
    // Accepted or rejected, it must not exhaust the stack; members that are not read may be nested to any depth.
    let _ = shared_verifier().verify(&ignored, NOW_S).await;
}

async fn assert_malformed(token: &str) {
    let refusal = refused(&shared_verifier(), token).await;
    assert!(matches!(refusal, TokenRefusal::Malformed(_)), "{refusal:?}");
}
