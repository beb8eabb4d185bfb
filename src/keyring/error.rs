//! Why there is no keyring.

use std::fmt;

use super::key_file::KeyFileError;
use super::rows::KeyringRowError;
use super::secret_key::CryptoFailed;
use super::wrapping::UnwrapError;
use crate::committer::Unavailable;

/// Why there is no keyring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyringError {
    KeyFile(KeyFileError),
    /// The key file is not the one that wrapped the store's keys, or a row is damaged.
    Unwrap(UnwrapError),
    Row(KeyringRowError),
    Crypto(CryptoFailed),
    Unavailable(Unavailable),
}

impl fmt::Display for KeyringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyringError::KeyFile(why) => write!(f, "{why}"),
            KeyringError::Unwrap(why) => write!(f, "{why}"),
            KeyringError::Row(why) => write!(f, "{why}"),
            KeyringError::Crypto(why) => write!(f, "{why}"),
            KeyringError::Unavailable(_) => f.write_str("the store is not available now"),
        }
    }
}

impl std::error::Error for KeyringError {}

impl From<Unavailable> for KeyringError {
    fn from(why: Unavailable) -> KeyringError {
        KeyringError::Unavailable(why)
    }
}
