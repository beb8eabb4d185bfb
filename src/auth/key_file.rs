//! An issuer's keys from a file: a JWKS document, or one public key in PEM form (RFC 7468 section 13, RFC 8017 A.1.1).
//!
//! Unlike a document from the network, a file is under the operator's control: a key in it that must not be used is an error that prevents the
//! server from starting.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;

use super::algorithm::KeyKind;
use super::config::{MAX_JWKS_BYTES, MIN_RSA_BITS};
use super::config_error::IssuerProblem;
use super::jwks::{Jwks, without_byte_order_mark};
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

/// The keys of a document of this server's own.
pub(super) fn own(document: &str) -> Result<KeySet, IssuerProblem> {
    from_jwks(document.as_bytes()).map_err(IssuerProblem::UnusableFile)
}

fn parse(bytes: &[u8]) -> Result<KeySet, String> {
    let bytes = without_byte_order_mark(bytes);
    match bytes.trim_ascii_start().first() {
        Some(b'{') => from_jwks(bytes),
        Some(_) | None => from_pem(bytes).map(KeySet::of_one),
    }
}

fn from_jwks(json: &[u8]) -> Result<KeySet, String> {
    let jwks = Jwks::read(json).map_err(|why| why.to_string())?;
    match jwks.flaws.first() {
        Some(flaw) => Err(flaw.to_string()),
        None => KeySet::new(jwks.keys).ok_or_else(|| "contains no public key for signatures of a kind that is supported".to_owned()),
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

/// The kinds of keys that a PEM file can have beside RSA.
const CURVES: [KeyKind; 5] = [KeyKind::P256, KeyKind::P384, KeyKind::P521, KeyKind::Secp256k1, KeyKind::Ed25519];

/// Reads a PEM public key. An RSA key is read by way of its parameters, so that it passes the same checks as any other key.
fn public_key(pem: &[u8]) -> Result<VerificationKey, String> {
    if let Ok(spki) = SubjectPublicKeyInfoDer::from_pem_slice(pem)
        && let Some(key) = CURVES.into_iter().find_map(|curve| VerificationKey::from_spki(curve, &spki))
    {
        return Ok(key);
    }
    let jwk = DecodingKey::from_rsa_pem(pem).and_then(|key| Jwk::from_decoding_key(&key, None)).map_err(|_| unsupported_key())?;
    match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) => {
            VerificationKey::public(&PublicParameters::Rsa { n: &rsa.n, e: &rsa.e }).map_err(|flaw| flaw.to_string())
        }
        _ => Err(unsupported_key()),
    }
}

fn unsupported_key() -> String {
    format!("not an RSA key of at least {MIN_RSA_BITS} bits, nor a key on P-256, P-384, P-521, secp256k1 or Ed25519")
}
