//! All secrets that the server makes: the keys that seal, the keys that sign, and the file that protects both.
//!
//! - The rows of the keyring are wrapped by a [`WrappingKey`], which stands in a file beside the store and in no backup.
//! - A [`Keyring`] holds the generations of sealing keys. It seals tokens that a client carries for the server ([`TokenKind`]) and secrets that
//!   rows hold ([`SecretKind`]). What is sealed opens only for the kind and the owner that it was sealed for.
//! - [`AccessKeyId`] says in its own letters which account and which generation it belongs to, and the secret of a temporary one is derived
//!   from it, so neither is looked up.
//! - A [`SigningKeyPair`] signs an issuer's tokens with RS256; `jwks` gives the public halves.
//! - Which generation or pair is made, used and dropped at a time is a pure function of the times at which they were made.
//!
//! - [`SharedKeyring`] is the keyring of a running server: it alone reads a clock, reads and writes rows, and waits.
//!
//! A secret never prints itself.

mod access_key_id;
mod access_key_secret;
mod aead;
mod error;
mod generations;
mod key_file;
mod lost_user_pools;
mod purpose;
mod rows;
mod sealing;
mod secret_key;
mod shared;
mod signing_key;
mod signing_schedule;
mod wrapping;

pub use access_key_id::{ACCOUNT_NUMBERS, AccessKeyId, AccessKeyKind, AccountNumber, NoAccessKeyId};
pub use access_key_secret::AccessKeySecret;
pub use error::KeyringError;
pub use generations::{GenerationTimes, TurnPlan, sealing_number, turn_plan};
pub use key_file::{KeyFileError, LoadedKeyFile, StoredKeys, load_or_create};
pub use purpose::{Purpose, SecretKind, TokenKind};
pub use rows::{GenerationRow, KeyringRow, KeyringRowError, SigningKeyRow};
pub use sealing::{Keyring, OpenError, SealError};
pub use secret_key::{CryptoFailed, SecretKey};
pub use shared::{LostKeyFile, SharedKeyring};
pub use signing_key::{SigningKeyPair, jwks};
pub use signing_schedule::{SigningPlan, SigningTimes, signing_plan};
pub use wrapping::{UnwrapError, WrappingKey};

#[cfg(test)]
mod tests;
