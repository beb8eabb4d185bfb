//! An issuer's keys from a file: a JWKS document, or one public key in PEM form (RFC 7468 section 13, RFC 8017 A.1.1).
//!
//! Unlike a document from the network, a file is under the operator's hand: a key in it that must not be used stops the
//! start instead of being passed over.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk};

use super::config::{MAX_JWKS_BYTES, MIN_RSA_BITS};
use super::config_error::Problem;
use super::jwks::Jwks;
use super::key::{Flaw, Key, PublicNumbers};
use super::key_set::KeySet;

/// Reads the keys in a file. Blocks on the disk: for the start only.
pub(super) fn load(path: &Path) -> Result<KeySet, Problem> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_JWKS_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| Problem::UnreadableFile(format!("{}: {error}", path.display())))?;
    if bytes.len() > MAX_JWKS_BYTES {
        return Err(Problem::LargeFile);
    }
    parse(&bytes).map_err(|why| Problem::UnusableFile(format!("{}: {why}", path.display())))
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
        None => KeySet::new(jwks.keys).ok_or_else(|| "no RSA, P-256 or Ed25519 key for signatures in it".to_owned()),
    }
}

fn from_pem(bytes: &[u8]) -> Result<Key, String> {
    let text = str::from_utf8(bytes).map_err(|_| NEITHER)?;
    if text.contains("PRIVATE KEY-----") {
        return Err(Flaw::Private.to_string());
    }
    match text.matches("-----BEGIN ").count() {
        0 => return Err(NEITHER.to_owned()),
        1 => {}
        _ => {
            return Err("several keys in PEM form, which have no names; use a JWKS document".to_owned());
        }
    }
    if !text.contains("-----BEGIN PUBLIC KEY-----") && !text.contains("-----BEGIN RSA PUBLIC KEY-----") {
        return Err("a certificate or something else; take the public key out of it".to_owned());
    }
    public_key(text.as_bytes())
}

const NEITHER: &str = "neither a JWKS document nor a public key in PEM form";

/// Takes the key's numbers out of its PEM form, so that it passes the same checks as any other.
fn public_key(pem: &[u8]) -> Result<Key, String> {
    let key = DecodingKey::from_rsa_pem(pem).or_else(|_| DecodingKey::from_ec_pem(pem)).or_else(|_| DecodingKey::from_ed_pem(pem));
    let jwk = key.and_then(|key| Jwk::from_decoding_key(&key, None)).map_err(|_| unusable())?;
    let numbers = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) => PublicNumbers::Rsa { n: &rsa.n, e: &rsa.e },
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => PublicNumbers::P256 { x: &ec.x, y: &ec.y },
        AlgorithmParameters::OctetKeyPair(pair) => PublicNumbers::Ed25519 { x: &pair.x },
        _ => return Err(unusable()),
    };
    Key::public(None, &numbers).map_err(|flaw| flaw.to_string())
}

fn unusable() -> String {
    format!("no RSA key of {MIN_RSA_BITS} bits or more, P-256 or Ed25519 key")
}
