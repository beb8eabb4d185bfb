//! The server's side of the Secure Remote Password protocol (SRP-6a; RFC 2945, RFC 5054) as the clients of Amazon Cognito speak it.
//!
//! They depart from RFC 5054: the generator of the 3072-bit group is 2, numbers are padded as Java writes them, the hash is SHA-256, and the
//! proof is an HMAC under a key that HKDF derives.
//!
//! 1. USER_SRP_AUTH brings the client's public key ([`SrpClientKey`]). [`SrpExchange::start`] answers with the server's public key; what it has
//!    to remember, the caller seals into the SECRET_BLOCK, for one pool, client and user, and for one use.
//! 2. PASSWORD_VERIFIER brings the block back, with a [`SrpClaim`]: [`SrpExchange::accepts`].

mod exchange;
mod group;
mod timestamp;
mod verifier;

pub use exchange::{SrpClaim, SrpClientKey, SrpExchange, SrpRefusal};
pub use timestamp::SrpTimestamp;
pub use verifier::SrpVerifier;

#[cfg(test)]
mod tests;
