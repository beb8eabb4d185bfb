//! One key of an issuer: its name, its algorithm, and whether it made a signature.
//!
//! A key is checked when it is loaded, so that no login depends on a weak or broken one.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, crypto};

use super::config::{MAX_RSA_BITS, MIN_RSA_BITS};
use super::proven::{self, Proven};

/// The algorithms that tokens may be signed with (RFC 7518 section 3.1, RFC 8037 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// HMAC with SHA-256, for shared secrets only.
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// The algorithm that a header's or a key's `alg` names. Names have one spelling (RFC 7515 section 4.1.1).
    pub(super) fn from_name(alg: &str) -> Option<Self> {
        match alg {
            "HS256" => Some(Self::Hs256),
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            "EdDSA" => Some(Self::EdDsa),
            _ => None,
        }
    }

    fn of_library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

/// A key that is fit for use. It has no `Debug`, so that a secret cannot be printed.
pub(super) struct Key {
    /// Its `kid`. Shared secrets and keys in PEM form have none.
    pub(super) kid: Option<String>,
    /// The only algorithm that it is used with (RFC 8725 section 3.1).
    pub(super) algorithm: Algorithm,
    material: DecodingKey,
    /// Signatures of its own that were checked before; of a shared secret none, as checking is as fast as hashing.
    proven: Option<Proven>,
}

/// A public key as numbers, each in base64url (RFC 7518 section 6, RFC 8037 section 2).
pub(super) enum PublicNumbers<'a> {
    /// Modulus and exponent.
    Rsa { n: &'a str, e: &'a str },
    /// A point of the curve P-256.
    P256 { x: &'a str, y: &'a str },
    /// A point of the curve Ed25519.
    Ed25519 { x: &'a str },
}

/// Why a key must not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// An RSA modulus under [`MIN_RSA_BITS`].
    WeakRsa,
    /// An RSA modulus over [`MAX_RSA_BITS`].
    HugeRsa,
    /// A private key, where a public one belongs.
    Private,
    /// Its numbers are missing or no key.
    Broken,
}

impl Key {
    /// The key of a shared secret. Its length was checked with the configuration.
    pub(super) fn shared(secret: &str) -> Self {
        Self { kid: None, algorithm: Algorithm::Hs256, material: DecodingKey::from_secret(secret.as_bytes()), proven: None }
    }

    /// A public key, of which the kind gives the algorithm.
    ///
    /// Whether a point lies on its curve is left to the cryptographic library, which then accepts no signature.
    pub(super) fn public(kid: Option<String>, numbers: &PublicNumbers<'_>) -> Result<Self, Flaw> {
        let (algorithm, material) = match *numbers {
            PublicNumbers::Rsa { n, e } => {
                let (n, e) = (decode(n)?, decode(e)?);
                let (n, e) = (without_leading_zeros(&n), without_leading_zeros(&e));
                check_rsa(n, e)?;
                (Algorithm::Rs256, Ok(DecodingKey::from_rsa_raw_components(n, e)))
            }
            PublicNumbers::P256 { x, y } => {
                check_coordinate(&decode(x)?)?;
                check_coordinate(&decode(y)?)?;
                (Algorithm::Es256, DecodingKey::from_ec_components(x, y))
            }
            PublicNumbers::Ed25519 { x } => {
                check_coordinate(&decode(x)?)?;
                (Algorithm::EdDsa, DecodingKey::from_ed_components(x))
            }
        };
        Ok(Self { kid, algorithm, material: material.map_err(|_| Flaw::Broken)?, proven: Some(Proven::default()) })
    }

    /// Whether this key made the signature, given in base64url, of the message.
    pub(super) fn made(&self, signature: &str, message: &[u8]) -> bool {
        let Some(proven) = &self.proven else { return self.checks(signature, message) };
        let hash = proven::hash(message, signature);
        if proven.has(&hash) {
            return true;
        }
        let genuine = self.checks(signature, message);
        if genuine {
            proven.note(hash);
        }
        genuine
    }

    fn checks(&self, signature: &str, message: &[u8]) -> bool {
        matches!(crypto::verify(signature, message, &self.material, self.algorithm.of_library()), Ok(true))
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WeakRsa => write!(f, "an RSA key under {MIN_RSA_BITS} bits"),
            Self::HugeRsa => write!(f, "an RSA key over {MAX_RSA_BITS} bits"),
            Self::Private => f.write_str("a private key, which belongs to the issuer alone"),
            Self::Broken => f.write_str("a key with missing or wrong numbers"),
        }
    }
}

fn decode(number: &str) -> Result<Vec<u8>, Flaw> {
    URL_SAFE_NO_PAD.decode(number).map_err(|_| Flaw::Broken)
}

/// The modulus is within bounds; the exponent is odd and over 1.
fn check_rsa(n: &[u8], e: &[u8]) -> Result<(), Flaw> {
    match bits(n) {
        0..MIN_RSA_BITS => return Err(Flaw::WeakRsa),
        MIN_RSA_BITS..=MAX_RSA_BITS => {}
        _ => return Err(Flaw::HugeRsa),
    }
    let odd = e.last().is_some_and(|last| last % 2 == 1);
    if odd && bits(e) > 1 { Ok(()) } else { Err(Flaw::Broken) }
}

/// A coordinate has the full length of its field: 32 bytes (RFC 7518 section 6.2.1.2, RFC 8032 section 5.1.2).
fn check_coordinate(bytes: &[u8]) -> Result<(), Flaw> {
    match bytes.len() {
        32 => Ok(()),
        _ => Err(Flaw::Broken),
    }
}

/// Some issuers write a sign byte before a modulus, which RFC 7518 section 6.3.1.1 forbids and the library refuses.
fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// The length of a number without leading zero bytes.
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
    fn an_exponent_of_1_signs_anything_and_is_refused() {
        assert_eq!(check_rsa(&[0xff; 256], &[1]), Err(Flaw::Broken));
        assert_eq!(check_rsa(&[0xff; 256], &[1, 0]), Err(Flaw::Broken));
        assert_eq!(check_rsa(&[0xff; 256], &[1, 0, 1]), Ok(()));
    }
}
