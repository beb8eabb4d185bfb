//! Attacks with special values in a signature (RFC 8725 sections 2.3 and 3.4).
#![allow(clippy::unwrap_used)]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::super::support::*;
use super::super::{TokenRefusal, Verifier};

/// The order of the group of P-256 (FIPS 186-5, SP 800-186 section 3.2.1.3).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84,
    0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];
const ZERO: [u8; 32] = [0; 32];
const ONE: [u8; 32] = with_last(ZERO, 1);
const ORDER_AND_ONE: [u8; 32] = with_last(ORDER, 0x52);
const ALL_BITS: [u8; 32] = [0xff; 32];

#[tokio::test]
async fn es256_with_r_or_s_of_zero_or_out_of_range() {
    let forge = Forge::new(&P256).await;
    let (r, s) = forge.signature.split_at(32);
    for wrong in [ZERO, ORDER, ORDER_AND_ONE, ALL_BITS] {
        forge.assert_refused(&[&wrong, s].concat()).await;
        forge.assert_refused(&[r, &wrong].concat()).await;
        for other in [ZERO, ONE, ORDER, ORDER_AND_ONE, ALL_BITS] {
            forge.assert_refused(&[wrong, other].concat()).await;
            forge.assert_refused(&[other, wrong].concat()).await;
        }
    }
}

#[tokio::test]
async fn es256_of_other_lengths_and_forms() {
    let forge = Forge::new(&P256).await;
    let (r, s) = forge.signature.split_at(32);
    let der = [&[0x30, 70, 0x02, 33, 0], r, &[0x02, 33, 0], s].concat();
    let wide = [&[0], r, &[0], s].concat();
    for wrong in [&der, &wide, &forge.signature[..63], &[r, s, &[0]].concat(), &[r, r].concat(), &[s, r].concat(), r, &[]] {
        forge.assert_refused(wrong).await;
    }
}

#[tokio::test]
async fn rs256_of_other_lengths_and_numbers() {
    let forge = Forge::new(&RSA).await;
    let modulus = URL_SAFE_NO_PAD.decode(RSA.jwk("k")["n"].as_str().unwrap()).unwrap();
    let mut one = vec![0; 256];
    one[255] = 1;
    for wrong in [&vec![0; 256], &one, &modulus, &vec![0xff; 256], &[&[0], &forge.signature[..]].concat()] {
        forge.assert_refused(wrong).await;
    }
    forge.assert_refused(&forge.signature[1..]).await;
    forge.assert_refused(&[]).await;
}

#[tokio::test]
async fn eddsa_with_s_beyond_the_order() {
    let forge = Forge::new(&ED25519).await;
    let (r, s) = forge.signature.split_at(32);
    // The order of the group, little-endian (RFC 8032 section 5.1): without a range check s + order would be as valid as s.
    let order = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0x10_u8,
    ];
    let mut carry = 0;
    let sum: Vec<u8> = s
        .iter()
        .zip(order)
        .map(|(a, b)| {
            carry += u16::from(*a) + u16::from(b);
            let byte = carry as u8;
            carry >>= 8;
            byte
        })
        .collect();
    forge.assert_refused(&[r, &sum].concat()).await;
    forge.assert_refused(&[0; 64]).await;
    forge.assert_refused(&[]).await;
}

#[tokio::test]
async fn one_bit_changed_anywhere() {
    let good = shared_token(claims());
    let verifier = shared_verifier();
    accepted(&verifier, &good).await;
    for position in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[position] ^= 1;
        assert!(verifier.verify(str::from_utf8(&bytes).unwrap(), NOW_S).await.is_err(), "{position}");
    }
}

#[tokio::test]
async fn claims_changed_after_signing() {
    let forge = Forge::new(&P256).await;
    let bob = message(json!({"alg": "ES256", "kid": "k"}), claims_with(json!({"sub": "bob"})));
    let refusal = refused(&forge.verifier, &with_signature(&bob, &forge.signature)).await;
    assert_eq!(refusal, TokenRefusal::BadSignature);
}

/// A valid token whose signature is replaced.
struct Forge {
    verifier: Verifier,
    message: String,
    signature: Vec<u8>,
}

impl Forge {
    async fn new(signer: &TestSigner) -> Self {
        let verifier = keys_verifier(&[signer.jwk("k")]);
        let token = token_of(signer, "k");
        accepted(&verifier, &token).await;
        let (message, signature) = token.rsplit_once('.').unwrap();
        Self { verifier, message: message.to_owned(), signature: URL_SAFE_NO_PAD.decode(signature).unwrap() }
    }

    async fn assert_refused(&self, signature: &[u8]) {
        let refusal = refused(&self.verifier, &with_signature(&self.message, signature)).await;
        assert_eq!(refusal, TokenRefusal::BadSignature, "{signature:?}");
    }
}

const fn with_last(mut number: [u8; 32], last: u8) -> [u8; 32] {
    number[31] = last;
    number
}
