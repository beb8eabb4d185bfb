//! What the server keeps of a password for SRP: a salt, and the verifier.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use crypto_bigint::{U256, U3072};
use zeroize::{Zeroize, Zeroizing};

use super::group::{GROUP_BYTES, Residue, padded, power};
use crate::keyring::{CryptoFailed, SecretKey};
use crate::users::proof::Password;

pub(super) const SALT_BYTES: usize = 16;

/// A salt and the verifier of a password. It is as good as a hash of the password, so it stands sealed in a row; it does not print itself.
#[derive(Clone)]
pub struct SrpVerifier {
    salt: [u8; SALT_BYTES],
    verifier: Zeroizing<[u8; GROUP_BYTES]>,
}

impl SrpVerifier {
    /// The bytes of an encoded verifier.
    pub const BYTES: usize = SALT_BYTES + GROUP_BYTES;

    /// The verifier of a password, with a salt from these random bytes. `pool_name` is what stands behind the `_` of the user pool's id, and
    /// `user_id` what the server answers as USER_ID_FOR_SRP. It takes a millisecond of a processor.
    pub fn of_password(pool_name: &str, user_id: &str, password: Password<'_>, chance: [u8; SALT_BYTES]) -> SrpVerifier {
        SrpVerifier::with_salt(pool_name, user_id, password, plain_salt(chance))
    }

    pub(super) fn with_salt(pool_name: &str, user_id: &str, password: Password<'_>, salt: [u8; SALT_BYTES]) -> SrpVerifier {
        let mut exponent = private_key(pool_name, user_id, password.as_str(), &salt);
        let verifier = encoded(&power(&exponent).retrieve());
        exponent.zeroize();
        SrpVerifier { salt, verifier }
    }

    /// What is checked for a user who is not there: it depends on the secret and the name alone, so it is the same at every attempt, and it is
    /// the verifier of no password that anybody knows.
    pub fn of_unknown_user(secret: &SecretKey, pool_name: &str, user_id: &str) -> Result<SrpVerifier, CryptoFailed> {
        let mut bytes = Zeroizing::new([0; SALT_BYTES + GROUP_BYTES]);
        // No pool's name has a colon.
        secret.expand(&[b"driftless unknown user srp 1:", pool_name.as_bytes(), b":", user_id.as_bytes()], bytes.as_mut_slice())?;
        let (salt, random) = bytes.split_at(SALT_BYTES);
        let mut decoy = [0; SALT_BYTES];
        decoy.copy_from_slice(salt);
        // A real verifier is a power of the generator, which is a square: so is this one.
        let verifier = encoded(&Residue::new(&U3072::from_be_slice(random)).square().retrieve());
        Ok(SrpVerifier { salt: plain_salt(decoy), verifier })
    }

    /// The salt as the challenge says it, in hexadecimal.
    pub fn salt_text(&self) -> String {
        self.salt.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The bytes to be sealed.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([&self.salt[..], &self.verifier[..]].concat())
    }

    /// What [`to_bytes`](SrpVerifier::to_bytes) made; `None` of anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<SrpVerifier> {
        let (salt, verifier) = bytes.split_first_chunk::<SALT_BYTES>()?;
        let verifier: &[u8; GROUP_BYTES] = verifier.try_into().ok()?;
        Some(SrpVerifier { salt: *salt, verifier: Zeroizing::new(*verifier) })
    }

    pub(super) fn residue(&self) -> Residue {
        Residue::new(&U3072::from_be_slice(&self.verifier[..]))
    }
}

impl fmt::Debug for SrpVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SrpVerifier")
    }
}

/// A salt that all clients hash alike. They take its hexadecimal digits for a number, and some add and drop leading zeros as a number has them
/// while others keep the text as it is: from 0x40 to 0x7f as its first byte there is nothing to add and nothing to drop.
fn plain_salt(mut chance: [u8; SALT_BYTES]) -> [u8; SALT_BYTES] {
    chance[0] = (chance[0] & 0x3f) | 0x40;
    chance
}

/// `x` of the protocol.
fn private_key(pool_name: &str, user_id: &str, password: &str, salt: &[u8; SALT_BYTES]) -> U256 {
    let mut inner = Context::new(&SHA256);
    for part in [pool_name, user_id, ":", password] {
        inner.update(part.as_bytes());
    }
    let mut outer = Context::new(&SHA256);
    outer.update(&padded(salt));
    outer.update(inner.finish().as_ref());
    U256::from_be_slice(outer.finish().as_ref())
}

fn encoded(number: &U3072) -> Zeroizing<[u8; GROUP_BYTES]> {
    let mut bytes = Zeroizing::new([0; GROUP_BYTES]);
    bytes.copy_from_slice(number.to_be_bytes().as_ref());
    bytes
}
