//! A key of an issuer, which verifies signatures.
//!
//! Keys are checked when they are loaded, so that no weak or malformed key is ever used.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, crypto};

use super::config::{MAX_RSA_BITS, MIN_RSA_BITS};
use super::signature_cache::{self, SignatureCache};

/// The supported signature algorithms (RFC 7518 section 3.1, RFC 8037 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// HMAC with SHA-256, with shared secrets only.
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// The algorithm with this `alg`, which is case-sensitive (RFC 7515 section 4.1.1).
    pub(super) fn from_name(alg: &str) -> Option<Self> {
        match alg {
            "HS256" => Some(Self::Hs256),
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            "EdDSA" => Some(Self::EdDsa),
            _ => None,
        }
    }

    fn to_jsonwebtoken(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

/// A key that passed the checks. It does not implement `Debug`, so that a secret cannot be printed.
pub(super) struct VerificationKey {
    /// The `kid`. Shared secrets and keys in PEM form have none.
    pub(super) kid: Option<String>,
    /// The only algorithm that the key may be used with (RFC 8725 section 3.1).
    pub(super) algorithm: Algorithm,
    material: DecodingKey,
    /// `None` for a shared secret: verifying an HMAC is as fast as a lookup.
    signature_cache: Option<SignatureCache>,
}

/// The parameters of a public key, each in base64url (RFC 7518 section 6, RFC 8037 section 2).
pub(super) enum PublicParameters<'a> {
    /// Modulus `n` and exponent `e`.
    Rsa { n: &'a str, e: &'a str },
    /// A point on the curve P-256.
    P256 { x: &'a str, y: &'a str },
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
        Self { kid: None, algorithm: Algorithm::Hs256, material: DecodingKey::from_secret(secret.as_bytes()), signature_cache: None }
    }

    /// A public key. Its type determines the algorithm.
    ///
    /// A point that is not on its curve passes this check, but the cryptographic library then rejects every signature.
    pub(super) fn public(kid: Option<String>, numbers: &PublicParameters<'_>) -> Result<Self, KeyFlaw> {
        let (algorithm, material) = match *numbers {
            PublicParameters::Rsa { n, e } => {
                let (n, e) = (decode(n)?, decode(e)?);
                let (n, e) = (without_leading_zeros(&n), without_leading_zeros(&e));
                check_rsa(n, e)?;
                (Algorithm::Rs256, Ok(DecodingKey::from_rsa_raw_components(n, e)))
            }
            PublicParameters::P256 { x, y } => {
                check_coordinate(&decode(x)?)?;
                check_coordinate(&decode(y)?)?;
                (Algorithm::Es256, DecodingKey::from_ec_components(x, y))
            }
            PublicParameters::Ed25519 { x } => {
                check_coordinate(&decode(x)?)?;
                (Algorithm::EdDsa, DecodingKey::from_ed_components(x))
            }
        };
        Ok(Self { kid, algorithm, material: material.map_err(|_| KeyFlaw::Invalid)?, signature_cache: Some(SignatureCache::default()) })
    }

    /// Whether the signature of the message, given in base64url, was made with this key.
    pub(super) fn verifies(&self, signature: &str, message: &[u8]) -> bool {
        let Some(cache) = &self.signature_cache else { return self.verifies_uncached(signature, message) };
        let hash = signature_cache::hash(message, signature);
        if cache.contains(&hash) {
            return true;
        }
        let is_genuine = self.verifies_uncached(signature, message);
        if is_genuine {
            cache.insert(hash);
        }
        is_genuine
    }

    fn verifies_uncached(&self, signature: &str, message: &[u8]) -> bool {
        matches!(crypto::verify(signature, message, &self.material, self.algorithm.to_jsonwebtoken()), Ok(true))
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

fn decode(parameter: &str) -> Result<Vec<u8>, KeyFlaw> {
    URL_SAFE_NO_PAD.decode(parameter).map_err(|_| KeyFlaw::Invalid)
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

/// Checks that a coordinate has the full length of its field: 32 bytes (RFC 7518 section 6.2.1.2, RFC 8032 section 5.1.2).
fn check_coordinate(bytes: &[u8]) -> Result<(), KeyFlaw> {
    match bytes.len() {
        32 => Ok(()),
        _ => Err(KeyFlaw::Invalid),
    }
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
}
