//! A key of an issuer, which verifies signatures.
//!
//! Keys are checked when they are loaded, so that no weak or malformed key is ever used.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256K1_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::algorithm::{Algorithm, KeyKind};
use super::config::{MAX_RSA_BITS, MIN_RSA_BITS};
use super::issuer_name;
use super::signature_cache::{self, SignatureCache};

/// A key that passed the checks. It does not implement `Debug`, so that a secret cannot be printed.
pub(super) struct VerificationKey {
    /// The `kid`. Shared secrets and keys in PEM form have none.
    pub(super) kid: Option<String>,
    pub(super) kind: KeyKind,
    /// The key's own `alg`: the key may be used with no other algorithm.
    only: Option<Algorithm>,
    /// The issuer that the key's document names for it: one document can have the keys of several tenants.
    issuer: Option<String>,
    material: KeyMaterial,
    /// `None` for a shared secret: verifying an HMAC is as fast as a lookup.
    signature_cache: Option<SignatureCache>,
}

enum KeyMaterial {
    Secret(Vec<u8>),
    /// Modulus and exponent, which serve all RSA algorithms.
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
    /// A point on a curve, which serves the one algorithm of its curve.
    Point(ParsedPublicKey),
}

/// The parameters of a public key, each in base64url (RFC 7518 section 6, RFC 8037 section 2).
pub(super) enum PublicParameters<'a> {
    /// Modulus `n` and exponent `e`.
    Rsa { n: &'a str, e: &'a str },
    /// A point on a curve with two coordinates.
    Ec { curve: KeyKind, x: &'a str, y: &'a str },
    /// A point on the curve Ed25519.
    Ed25519 { x: &'a str },
}

/// Why a key must not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyFlaw {
    /// An RSA modulus under [`MIN_RSA_BITS`].
    WeakRsa,
    /// An RSA modulus over [`MAX_RSA_BITS`].
    HugeRsa,
    /// A private key instead of a public one.
    Private,
    /// A parameter is missing or invalid.
    Invalid,
}

impl VerificationKey {
    /// The key made from a shared secret, whose length was checked with the configuration.
    pub(super) fn shared(secret: &str) -> Self {
        Self::of(KeyKind::Secret, KeyMaterial::Secret(secret.as_bytes().to_vec()), None)
    }

    /// A public key.
    pub(super) fn public(numbers: &PublicParameters<'_>) -> Result<Self, KeyFlaw> {
        let (kind, material) = match *numbers {
            PublicParameters::Rsa { n, e } => {
                let (n, e) = (decode(n)?, decode(e)?);
                let (n, e) = (without_leading_zeros(&n), without_leading_zeros(&e));
                check_rsa(n, e)?;
                let key = RsaPublicKeyComponents { n: n.to_vec(), e: e.to_vec() };
                key.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).map_err(|_| KeyFlaw::Invalid)?;
                (KeyKind::Rsa, KeyMaterial::Rsa(key))
            }
            PublicParameters::Ec { curve, x, y } => {
                let (x, y) = (coordinate(x, curve)?, coordinate(y, curve)?);
                (curve, KeyMaterial::Point(point(curve, &[&[UNCOMPRESSED], x.as_slice(), y.as_slice()].concat())?))
            }
            PublicParameters::Ed25519 { x } => {
                (KeyKind::Ed25519, KeyMaterial::Point(point(KeyKind::Ed25519, &coordinate(x, KeyKind::Ed25519)?)?))
            }
        };
        Ok(Self::of(kind, material, Some(SignatureCache::default())))
    }

    /// A public key on a curve, from its SubjectPublicKeyInfo in DER (RFC 5480, RFC 8410). `None`: it is not a key of this kind.
    pub(super) fn from_spki(kind: KeyKind, der: &[u8]) -> Option<Self> {
        // The library also reads a bare point, which has no name of an algorithm: its first byte says how it is written, or it is one coordinate.
        let key = point(kind, der).ok().filter(|_| der.first() == Some(&SEQUENCE) && der.len() > field_bytes(kind))?;
        Some(Self::of(kind, KeyMaterial::Point(key), Some(SignatureCache::default())))
    }

    fn of(kind: KeyKind, material: KeyMaterial, signature_cache: Option<SignatureCache>) -> Self {
        Self { kid: None, kind, only: None, issuer: None, material, signature_cache }
    }

    /// The same key with the name, the algorithm and the issuer that its document gives it.
    pub(super) fn named(self, kid: Option<String>, only: Option<Algorithm>, issuer: Option<String>) -> Self {
        Self { kid, only, issuer, ..self }
    }

    /// Whether the key signs for this tenant, if the issuer has tenants: a document can have the keys of several.
    pub(super) fn is_for(&self, tenant: Option<&str>) -> bool {
        self.issuer.as_ref().zip(tenant).is_none_or(|(own, tenant)| issuer_name::is_for_tenant(own, tenant))
    }

    /// Whether the algorithm may be used with this key (RFC 8725 section 3.1).
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        let is_long_enough = match &self.material {
            KeyMaterial::Secret(secret) => secret.len() >= algorithm.min_secret_bytes(),
            KeyMaterial::Rsa(_) | KeyMaterial::Point(_) => true,
        };
        algorithm.key_kind() == self.kind && is_long_enough && self.only.is_none_or(|only| only == algorithm)
    }

    /// Whether the signature of the message, given in base64url, was made with this key and this algorithm, which must fit. The message
    /// begins with the token's header, so the cache does not need the algorithm.
    pub(super) fn verifies(&self, algorithm: Algorithm, signature: &str, message: &[u8]) -> bool {
        let Some(cache) = &self.signature_cache else { return self.verifies_uncached(algorithm, signature, message) };
        let hash = signature_cache::hash(message, signature);
        if cache.contains(&hash) {
            return true;
        }
        let is_genuine = self.verifies_uncached(algorithm, signature, message);
        if is_genuine {
            cache.insert(hash);
        }
        is_genuine
    }

    fn verifies_uncached(&self, algorithm: Algorithm, signature: &str, message: &[u8]) -> bool {
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
        match &self.material {
            KeyMaterial::Secret(secret) => {
                hmac_of(algorithm).is_some_and(|hash| hmac::verify(&hmac::Key::new(hash, secret), message, &signature).is_ok())
            }
            KeyMaterial::Rsa(key) => rsa_of(algorithm).is_some_and(|rsa| key.verify(rsa, message, &signature).is_ok()),
            KeyMaterial::Point(key) => key.verify_sig(message, &signature).is_ok(),
        }
    }
}

impl fmt::Display for KeyFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WeakRsa => write!(f, "an RSA key under {MIN_RSA_BITS} bits"),
            Self::HugeRsa => write!(f, "an RSA key over {MAX_RSA_BITS} bits"),
            Self::Private => f.write_str("a private key, which only the issuer may have"),
            Self::Invalid => f.write_str("a key with missing or invalid parameters"),
        }
    }
}

/// The first byte of a SubjectPublicKeyInfo in DER.
const SEQUENCE: u8 = 0x30;

/// The first byte of a point with both coordinates (SEC 1 section 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// The bytes of a coordinate: those of the curve's field (RFC 7518 section 6.2.1.2, RFC 8032 section 5.1.2).
fn field_bytes(curve: KeyKind) -> usize {
    match curve {
        KeyKind::P256 | KeyKind::Secp256k1 | KeyKind::Ed25519 => 32,
        KeyKind::P384 => 48,
        KeyKind::P521 => 66,
        KeyKind::Secret | KeyKind::Rsa => 0,
    }
}

/// Reads a point, and checks that it is on its curve.
fn point(curve: KeyKind, bytes: &[u8]) -> Result<ParsedPublicKey, KeyFlaw> {
    let algorithm: &'static dyn VerificationAlgorithm = match curve {
        KeyKind::P256 => &ECDSA_P256_SHA256_FIXED,
        KeyKind::P384 => &ECDSA_P384_SHA384_FIXED,
        KeyKind::P521 => &ECDSA_P521_SHA512_FIXED,
        KeyKind::Secp256k1 => &ECDSA_P256K1_SHA256_FIXED,
        KeyKind::Ed25519 => &ED25519,
        KeyKind::Secret | KeyKind::Rsa => return Err(KeyFlaw::Invalid),
    };
    ParsedPublicKey::new(algorithm, bytes).map_err(|_| KeyFlaw::Invalid)
}

fn hmac_of(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    match algorithm {
        Algorithm::Hs256 => Some(hmac::HMAC_SHA256),
        Algorithm::Hs384 => Some(hmac::HMAC_SHA384),
        Algorithm::Hs512 => Some(hmac::HMAC_SHA512),
        _ => None,
    }
}

fn rsa_of(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::Rs256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Some(&RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Some(&RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Some(&RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

/// Decodes a parameter. Some issuers write it in the other alphabet of base64 or with padding, which RFC 7518 section 6 forbids.
fn decode(parameter: &str) -> Result<Vec<u8>, KeyFlaw> {
    let base64url = parameter.trim_end_matches('=').replace('+', "-").replace('/', "_");
    URL_SAFE_NO_PAD.decode(base64url).map_err(|_| KeyFlaw::Invalid)
}

/// Checks that the size of the modulus is within bounds, and that the exponent is odd and over 1.
fn check_rsa(n: &[u8], e: &[u8]) -> Result<(), KeyFlaw> {
    match bits(n) {
        0..MIN_RSA_BITS => return Err(KeyFlaw::WeakRsa),
        MIN_RSA_BITS..=MAX_RSA_BITS => {}
        _ => return Err(KeyFlaw::HugeRsa),
    }
    let is_odd = e.last().is_some_and(|last| last % 2 == 1);
    if is_odd && bits(e) > 1 { Ok(()) } else { Err(KeyFlaw::Invalid) }
}

/// A coordinate, which must have the full length of its field.
fn coordinate(parameter: &str, curve: KeyKind) -> Result<Vec<u8>, KeyFlaw> {
    let bytes = decode(parameter)?;
    if bytes.len() == field_bytes(curve) { Ok(bytes) } else { Err(KeyFlaw::Invalid) }
}

/// Some issuers put a sign byte before the modulus, which RFC 7518 section 6.3.1.1 forbids and the library rejects.
fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// The number of bits of a number that has no leading zero bytes.
fn bits(number: &[u8]) -> usize {
    let unused = number.first().map_or(0, |first| first.leading_zeros());
    number.len() * 8 - unused as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_zeros_do_not_make_a_number_longer() {
        let length = |number| bits(without_leading_zeros(number));
        assert_eq!(length(&[]), 0);
        assert_eq!(length(&[0, 0]), 0);
        assert_eq!(length(&[0, 1]), 1);
        assert_eq!(length(&[0x80, 0]), 16);
    }

    #[test]
    fn an_exponent_of_1_would_verify_anything_and_is_rejected() {
        assert_eq!(check_rsa(&[0xff; 256], &[1]), Err(KeyFlaw::Invalid));
        assert_eq!(check_rsa(&[0xff; 256], &[1, 0]), Err(KeyFlaw::Invalid));
        assert_eq!(check_rsa(&[0xff; 256], &[1, 0, 1]), Ok(()));
    }

    #[test]
    fn a_point_that_is_not_on_its_curve_is_rejected() {
        let ones = URL_SAFE_NO_PAD.encode([1; 32]);
        let off_the_curve = PublicParameters::Ec { curve: KeyKind::P256, x: &ones, y: &ones };
        assert_eq!(VerificationKey::public(&off_the_curve).err(), Some(KeyFlaw::Invalid));
    }
}
