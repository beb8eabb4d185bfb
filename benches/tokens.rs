//! The cost of verifying a token, at first and again: `cargo bench --bench tokens`.
//!
//! Prints the p50 of a verification in microseconds. The two kinds are measured in turns within one run.

#![allow(clippy::unwrap_used)]

use std::time::Instant;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use driftless::auth::{IssuerConfig, MintClaims, Verifier, mint};
use futures_util::FutureExt;

const NOW_S: u64 = 1_790_000_000;
const ROUNDS: u64 = 2_000;
const ISSUER: &str = "https://issuer.example/";
const SECRET: &str = "a secret for measuring: forty bytes or so";

/// Signs a message.
type SignFn = Box<dyn Fn(&[u8]) -> Vec<u8>>;

fn main() {
    let random = SystemRandom::new();
    let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let ed25519 = Ed25519KeyPair::generate().unwrap();
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let spki = [
        p256.public_key().as_der().unwrap().as_ref().to_vec(),
        ed25519.public_key().as_der().unwrap().as_ref().to_vec(),
        rsa.public_key().as_der().unwrap().as_ref().to_vec(),
    ];
    let rs256 = move |message: &[u8]| {
        let mut signature = vec![0; rsa.public_modulus_len()];
        rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    };
    let signers: [(&str, SignFn); 3] = [
        ("ES256", Box::new(move |message| p256.sign(&random, message).unwrap().as_ref().to_vec())),
        ("EdDSA", Box::new(move |message| ed25519.sign(message).as_ref().to_vec())),
        ("RS256", Box::new(rs256)),
    ];
    println!("{:<8} {:>10} {:>10}", "", "first, us", "again, us");
    let minted = |number: u64| {
        let subject = number.to_string();
        mint(SECRET, &MintClaims { issuer: ISSUER, audience: "app", subject: &subject, issued_s: NOW_S, expires_s: NOW_S + 60 }).unwrap()
    };
    measure("HS256", IssuerConfig { secret: Some(SECRET.to_owned()), ..config() }, minted);
    for ((name, sign), spki) in signers.into_iter().zip(spki) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.pem");
        std::fs::write(&file, format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(spki))).unwrap();
        measure(name, IssuerConfig { keys_file: Some(file), ..config() }, |number| token(name, number, &sign));
    }
}

fn config() -> IssuerConfig {
    IssuerConfig { issuer: ISSUER.to_owned(), audience: vec!["app".to_owned()], ..IssuerConfig::default() }
}

fn token(algorithm: &str, number: u64, sign: &SignFn) -> String {
    let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{algorithm}"}}"#));
    let claims = format!(r#"{{"iss":"{ISSUER}","aud":"app","sub":"{number}","exp":{}}}"#, NOW_S + 60);
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn measure(name: &str, config: IssuerConfig, token: impl Fn(u64) -> String) {
    let verifier = Verifier::new([("pool".into(), vec![config])]).unwrap();
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for number in 0..ROUNDS {
        let token = token(number);
        for times in [&mut first, &mut again] {
            let start = Instant::now();
            let login = verifier.verify(&token, NOW_S).now_or_never().expect("the keys are at hand").unwrap();
            times.push(start.elapsed());
            assert_eq!(login.subject, number.to_string());
        }
    }
    let p50 = |mut times: Vec<std::time::Duration>| {
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1e6
    };
    println!("{name:<8} {:>10.1} {:>10.1}", p50(first), p50(again));
}
