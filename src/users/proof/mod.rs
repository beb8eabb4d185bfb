//! How a user proves to know a password.
//!
//! - [`Password`] is a text that may be one: nothing longer is ever hashed. [`PasswordPolicy`] is what a user pool demands of a new one.
//! - [`PasswordHash`] checks a password that the client sends. [`SrpVerifier`] and [`SrpExchange`] check one that it does not send, in the form of
//!   the Secure Remote Password protocol that Amazon Cognito's clients speak.
//! - For a user who is not there, both compute the same on values that are derived from a secret and the name: an answer tells nothing, and
//!   neither does the time that it takes.
//!
//! Hashing and SRP take milliseconds of a processor and [`PASSWORD_HASH_MEMORY_BYTES`]: the caller runs a bounded number at a time, on threads
//! of their own. Never here: a clock, a store, a runtime. What was tried and how often is the caller's to count.

mod password;
mod password_policy;
mod srp;

pub use password::{MAX_PASSWORD_CHARACTERS, PASSWORD_HASH_MEMORY_BYTES, Password, PasswordFlaw, PasswordHash};
pub use password_policy::{PasswordPolicy, PolicyFlaw};
pub use srp::{SrpClaim, SrpClientKey, SrpExchange, SrpRefusal, SrpTimestamp, SrpVerifier};
