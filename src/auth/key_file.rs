//! An issuer's keys from a file: a JWKS document, or one public key in PEM form (RFC 7468 section 13, RFC 8017 A.1.1).
//!
//! Unlike a document from the network, a file is under the operator's control: a key in it that must not be used is an error that prevents the
//! server from starting.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk};

use super::config::{MAX_JWKS_BYTES, MIN_RSA_BITS};
use super::config_error::IssuerProblem;
use super::jwks::Jwks;
use super::key::{KeyFlaw, PublicParameters, VerificationKey};
use super::key_set::KeySet;

/// Reads the keys in a file. Blocks, so it must only be called when the server starts.
pub(super) fn load(path: &Path) -> Result<KeySet, IssuerProblem> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_JWKS_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| IssuerProblem::UnreadableFile(format!("{}: {error}", path.display())))?;
    if bytes.len() > MAX_JWKS_BYTES {
        return Err(IssuerProblem::LargeFile);
    }
    parse(&bytes).map_err(|why| IssuerProblem::UnusableFile(format!("{}: {why}", path.display())))
}

fn parse(bytes: &[u8]) -> Result<KeySet, String> {
    match bytes.trim_ascii_start().first() {
        Some(b'{') => from_jwks(bytes),
        Some(_) | None => from_pem(bytes).map(KeySet::of_one),
    }
}

fn from_jwks(json: &[u8]) -> Result<KeySet, String> {
    let jwks = Jwks::read(json).map_err(|why| why.to_string())?;
    match jwks.flaws.first() {
        Some(flaw) => Err(flaw.to_string()),
        None => KeySet::new(jwks.keys).ok_or_else(|| "contains no RSA, P-256 or Ed25519 key for signatures".to_owned()),
    }
}

fn from_pem(bytes: &[u8]) -> Result<VerificationKey, String> {
    let text = str::from_utf8(bytes).map_err(|_| NO_KEYS)?;
    if text.contains("PRIVATE KEY-----") {
        return Err(KeyFlaw::Private.to_string());
    }
    match text.matches("-----BEGIN ").count() {
        0 => return Err(NO_KEYS.to_owned()),
        1 => {}
        _ => {
            return Err("several keys in PEM form, which have no kid; use a JWKS document".to_owned());
        }
    }
    if !text.contains("-----BEGIN PUBLIC KEY-----") && !text.contains("-----BEGIN RSA PUBLIC KEY-----") {
        return Err("a certificate or something else; extract the public key from it".to_owned());
    }
    public_key(text.as_bytes())
}

const NO_KEYS: &str = "neither a JWKS document nor a public key in PEM form";

/// Reads a PEM public key by way of its parameters, so that it passes the same checks as any other key.
fn public_key(pem: &[u8]) -> Result<VerificationKey, String> {
    let key = DecodingKey::from_rsa_pem(pem).or_else(|_| DecodingKey::from_ec_pem(pem)).or_else(|_| DecodingKey::from_ed_pem(pem));
    let jwk = key.and_then(|key| Jwk::from_decoding_key(&key, None)).map_err(|_| unsupported_key())?;
    let parameters = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) => PublicParameters::Rsa { n: &rsa.n, e: &rsa.e },
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => PublicParameters::P256 { x: &ec.x, y: &ec.y },
        AlgorithmParameters::OctetKeyPair(pair) => PublicParameters::Ed25519 { x: &pair.x },
        _ => return Err(unsupported_key()),
    };
    VerificationKey::public(None, &parameters).map_err(|flaw| flaw.to_string())
}

fn unsupported_key() -> String {
    format!("not an RSA key of at least {MIN_RSA_BITS} bits, a P-256 key or an Ed25519 key")
}
