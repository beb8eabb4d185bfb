//! Wraps the keyring's rows with the key of the key file, so that a store without its file, such as a backup, gives no key away.

use std::fmt;

use zeroize::Zeroizing;

use super::aead;
use super::purpose::Purpose;
use super::rows::{GenerationRow, SigningKeyRow};
use super::secret_key::{CryptoFailed, KEY_BYTES, SecretKey};
use super::signing_key::SigningKeyPair;

/// The form of a wrapped row.
const VERSION: u8 = 1;

/// Says which key wrapped a row, and nothing of the key: a wrong key file is told from a damaged row.
const FINGERPRINT_BYTES: usize = 8;

/// The key of the key file.
#[derive(Clone, Debug)]
pub struct WrappingKey(SecretKey);

impl WrappingKey {
    pub(super) fn new(key: SecretKey) -> WrappingKey {
        WrappingKey(key)
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_BYTES] {
        self.0.bytes()
    }

    /// A new generation of sealing keys, as a row.
    pub fn new_generation(&self, purpose: Purpose, number: u32, made_ms: u64) -> Result<GenerationRow, CryptoFailed> {
        let key = SecretKey::random()?;
        let wrapped = self.wrap(&generation_bound(purpose, number, made_ms), key.bytes())?;
        Ok(GenerationRow { purpose, number, made_ms, wrapped })
    }

    pub(super) fn generation_key(&self, row: &GenerationRow) -> Result<SecretKey, UnwrapError> {
        let key = self.unwrap(&generation_bound(row.purpose, row.number, row.made_ms), &row.wrapped)?;
        SecretKey::from_bytes(&key).ok_or(UnwrapError::Damaged)
    }

    /// The row of an issuer's signing key pair, which signs from `signs_from_ms` on: milliseconds since 1970 (UTC).
    pub fn signing_key_row(&self, issuer: &str, pair: &SigningKeyPair, signs_from_ms: u64) -> Result<SigningKeyRow, CryptoFailed> {
        let wrapped = self.wrap(&signing_bound(issuer, signs_from_ms), &pair.to_pkcs8()?)?;
        Ok(SigningKeyRow { issuer: issuer.to_owned(), key_id: pair.key_id().to_owned(), signs_from_ms, wrapped })
    }

    /// The key pair of a row.
    pub fn signing_key_pair(&self, row: &SigningKeyRow) -> Result<SigningKeyPair, UnwrapError> {
        let pkcs8 = self.unwrap(&signing_bound(&row.issuer, row.signs_from_ms), &row.wrapped)?;
        let pair = SigningKeyPair::from_pkcs8(&pkcs8).map_err(|_| UnwrapError::Damaged)?;
        if pair.key_id() == row.key_id { Ok(pair) } else { Err(UnwrapError::Damaged) }
    }

    fn wrap(&self, bound: &[u8], content: &[u8]) -> Result<Vec<u8>, CryptoFailed> {
        let mut wrapped = vec![VERSION];
        wrapped.extend_from_slice(&self.fingerprint()?);
        wrapped.extend_from_slice(&aead::seal(&self.0, bound, content)?);
        Ok(wrapped)
    }

    fn unwrap(&self, bound: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, UnwrapError> {
        let Some((&VERSION, rest)) = wrapped.split_first() else { return Err(UnwrapError::Damaged) };
        let (fingerprint, boxed) = rest.split_first_chunk::<FINGERPRINT_BYTES>().ok_or(UnwrapError::Damaged)?;
        if self.fingerprint().ok() != Some(*fingerprint) {
            return Err(UnwrapError::OtherKeyFile);
        }
        aead::open(&self.0, bound, boxed).ok_or(UnwrapError::Damaged)
    }

    fn fingerprint(&self) -> Result<[u8; FINGERPRINT_BYTES], CryptoFailed> {
        let mut fingerprint = [0; FINGERPRINT_BYTES];
        self.0.expand(&[b"driftless key file 1"], &mut fingerprint)?;
        Ok(fingerprint)
    }
}

fn generation_bound(purpose: Purpose, number: u32, made_ms: u64) -> Vec<u8> {
    [b"generation:".as_slice(), &[purpose.byte()], &number.to_be_bytes(), &made_ms.to_be_bytes()].concat()
}

fn signing_bound(issuer: &str, signs_from_ms: u64) -> Vec<u8> {
    [b"signing key:".as_slice(), &signs_from_ms.to_be_bytes(), issuer.as_bytes()].concat()
}

/// Why a row was not unwrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnwrapError {
    /// Another key wrapped it: the store was restored without its key file, or with that of another store.
    OtherKeyFile,
    /// It is not as it was written.
    Damaged,
}

/// What an operator can do about a store whose key file is not there. It stands in the errors of both files that notice it.
pub(super) const WITHOUT_KEY_FILE: &str = "put back the key file that belongs to this store, or start once with driftless serve --new-keyring, which \
    makes new keys: all sessions and tokens end, and access keys, passwords and client secrets of this store are lost";

impl fmt::Display for UnwrapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnwrapError::OtherKeyFile => write!(f, "the keyring was wrapped with another key file; {WITHOUT_KEY_FILE}"),
            UnwrapError::Damaged => f.write_str("a row of the keyring is damaged"),
        }
    }
}

impl std::error::Error for UnwrapError {}
