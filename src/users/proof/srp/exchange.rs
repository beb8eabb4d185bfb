//! One exchange: the server's key pair beside the client's public key, and the check of the client's claim.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crypto_bigint::{U256, U3072, Uint};
use zeroize::{Zeroize, Zeroizing};

use super::group::{GROUP_BYTES, Residue, hexadecimal, modulus, multiplier, padded, power};
use super::timestamp::SrpTimestamp;
use super::verifier::SrpVerifier;
use crate::keyring::CryptoFailed;

/// The digits of the largest public key, with the zero byte that some clients write in front of it.
const MAX_KEY_DIGITS: usize = 2 * (GROUP_BYTES + 1);

/// The bytes of a proof, an HMAC with SHA-256; as text in base64 44 characters.
const SIGNATURE_TEXT_BYTES: usize = 44;

/// The bytes of the server's secret exponent: RFC 5054 section 3.2 wants 256 bits or more.
const SECRET_BYTES: usize = 32;

const HASH_BYTES: usize = 32;

/// The bytes of the key that HKDF derives from what both sides share.
const SESSION_KEY_BYTES: usize = 16;

/// A client's public key, `SRP_A`: from 1 to the modulus, which it is not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SrpClientKey(U3072);

impl SrpClientKey {
    /// Reads hexadecimal digits. A text that is too long is refused before it is looked at.
    ///
    /// A number without a remainder by the modulus is refused: with it, the sender knows what both sides would share, without a password
    /// (RFC 5054 section 2.5.4). So is any other one that is not below the modulus, as no client makes it.
    pub fn parse(text: &str) -> Result<SrpClientKey, SrpRefusal> {
        if text.len() > MAX_KEY_DIGITS {
            return Err(SrpRefusal::ClientKey);
        }
        let digits = text.trim_start_matches('0');
        if digits.len() > 2 * GROUP_BYTES || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(SrpRefusal::ClientKey);
        }
        let number = U3072::from_be_hex(&format!("{digits:0>width$}", width = 2 * GROUP_BYTES));
        if number == U3072::ZERO || number >= *modulus() {
            return Err(SrpRefusal::ClientKey);
        }
        Ok(SrpClientKey(number))
    }
}

impl fmt::Debug for SrpClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SrpClientKey")
    }
}

/// Why an exchange does not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SrpRefusal {
    /// `SRP_A` is no public key.
    ClientKey,
    /// The random bytes lead to a key that gives nothing to hide: never, as far as anybody can count. The caller takes others.
    Chance,
}

impl fmt::Display for SrpRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SrpRefusal::ClientKey => "SRP_A is not a public key of the 3072-bit group",
            SrpRefusal::Chance => "random bytes cannot be used",
        })
    }
}

impl std::error::Error for SrpRefusal {}

/// What the server remembers of an exchange, sealed, until the client answers. It does not print itself.
pub struct SrpExchange {
    client_key: U3072,
    secret: Zeroizing<[u8; SECRET_BYTES]>,
    /// The hash of both public keys, `u`.
    scramble: [u8; HASH_BYTES],
}

impl SrpExchange {
    /// The bytes of an encoded exchange.
    pub const BYTES: usize = GROUP_BYTES + SECRET_BYTES + HASH_BYTES;

    /// Begins an exchange with these random bytes: gives what to remember, and `SRP_B` in hexadecimal. It takes a millisecond of a processor.
    pub fn start(
        verifier: &SrpVerifier,
        client_key: &SrpClientKey,
        chance: [u8; SECRET_BYTES],
    ) -> Result<(SrpExchange, String), SrpRefusal> {
        let mut secret = Zeroizing::new(chance);
        // The exponent is never short, so never zero: with it both sides would share the number 1.
        secret[0] |= 0x80;
        let mut exponent = U256::from_be_slice(&secret[..]);
        let server_key = server_key(verifier, &exponent);
        exponent.zeroize();
        let scramble = scramble(&client_key.0, &server_key);
        if server_key == U3072::ZERO || scramble == [0; HASH_BYTES] {
            return Err(SrpRefusal::Chance);
        }
        Ok((SrpExchange { client_key: client_key.0, secret, scramble }, hexadecimal(&server_key)))
    }

    /// Whether the client that makes this claim knows the password of the verifier. The comparison takes the same time for every wrong
    /// signature. It takes two milliseconds of a processor.
    pub fn accepts(&self, verifier: &SrpVerifier, claim: &SrpClaim<'_>) -> Result<bool, CryptoFailed> {
        let mut exponent = U256::from_be_slice(&self.secret[..]);
        let shared = shared(verifier, &self.client_key, &exponent, &self.scramble);
        exponent.zeroize();
        let key = session_key(&shared, &self.scramble)?;
        Ok(claim.is_signed_with(&key))
    }

    /// The bytes to be sealed.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([self.client_key.to_be_bytes().as_ref(), &self.secret[..], &self.scramble].concat())
    }

    /// What [`to_bytes`](SrpExchange::to_bytes) made; `None` of anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<SrpExchange> {
        let (client_key, rest) = bytes.split_first_chunk::<GROUP_BYTES>()?;
        let (secret, scramble) = rest.split_first_chunk::<SECRET_BYTES>()?;
        let client_key = U3072::from_be_slice(client_key);
        Some(SrpExchange { client_key, secret: Zeroizing::new(*secret), scramble: scramble.try_into().ok()? })
    }
}

impl fmt::Debug for SrpExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SrpExchange")
    }
}

/// What a client answers to a PASSWORD_VERIFIER challenge.
#[derive(Clone, Copy)]
pub struct SrpClaim<'a> {
    /// What stands behind the `_` of the user pool's id.
    pub pool_name: &'a str,
    /// USER_ID_FOR_SRP of the challenge.
    pub user_id: &'a str,
    /// SECRET_BLOCK of the challenge, as bytes.
    pub secret_block: &'a [u8],
    /// TIMESTAMP, which has to be a [`SrpTimestamp`].
    pub timestamp: &'a str,
    /// PASSWORD_CLAIM_SIGNATURE, in base64.
    pub signature: &'a str,
}

impl SrpClaim<'_> {
    pub(super) fn is_signed_with(&self, key: &[u8; SESSION_KEY_BYTES]) -> bool {
        if self.signature.len() != SIGNATURE_TEXT_BYTES || SrpTimestamp::parse(self.timestamp).is_none() {
            return false;
        }
        let Ok(signature) = STANDARD.decode(self.signature) else { return false };
        let signed = [self.pool_name.as_bytes(), self.user_id.as_bytes(), self.secret_block, self.timestamp.as_bytes()].concat();
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key), &signed, &signature).is_ok()
    }
}

/// `B` of the protocol: `k v + g^b`.
pub(super) fn server_key<const LIMBS: usize>(verifier: &SrpVerifier, exponent: &Uint<LIMBS>) -> U3072 {
    multiplier().mul(&verifier.residue()).add(&power(exponent)).retrieve()
}

/// `u` of the protocol: the hash of `A` and `B`.
pub(super) fn scramble(client_key: &U3072, server_key: &U3072) -> [u8; HASH_BYTES] {
    let mut hash = Context::new(&SHA256);
    for key in [client_key, server_key] {
        hash.update(&padded(key.to_be_bytes().as_ref()));
    }
    let mut bytes = [0; HASH_BYTES];
    bytes.copy_from_slice(hash.finish().as_ref());
    bytes
}

/// `S` of the protocol, what both sides share: `(A v^u)^b`.
pub(super) fn shared<const LIMBS: usize>(
    verifier: &SrpVerifier,
    client_key: &U3072,
    exponent: &Uint<LIMBS>,
    scramble: &[u8; HASH_BYTES],
) -> Zeroizing<U3072> {
    let scramble = U256::from_be_slice(scramble);
    let base: Residue = Residue::new(client_key).mul(&verifier.residue().pow(&scramble));
    Zeroizing::new(base.pow(exponent).retrieve())
}

/// The key of the proof: HKDF of RFC 5869 over what both sides share, with `u` as the salt.
pub(super) fn session_key(shared: &U3072, scramble: &[u8; HASH_BYTES]) -> Result<Zeroizing<[u8; SESSION_KEY_BYTES]>, CryptoFailed> {
    let shared = Zeroizing::new(padded(shared.to_be_bytes().as_ref()));
    let extracted = Salt::new(HKDF_SHA256, &padded(scramble)).extract(&shared);
    let mut key = Zeroizing::new([0; SESSION_KEY_BYTES]);
    let derived = extracted.expand(&[b"Caldera Derived Key"], SessionKeyLength);
    derived.and_then(|derived| derived.fill(key.as_mut_slice())).map_err(|_| CryptoFailed)?;
    Ok(key)
}

struct SessionKeyLength;

impl KeyType for SessionKeyLength {
    fn len(&self) -> usize {
        SESSION_KEY_BYTES
    }
}
